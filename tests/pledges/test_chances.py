"""What each pledge would bring, on which days and how likely: numbers worked out by hand, as docs/method.md says."""

from datetime import date, timedelta

import pytest

from coalition.access import SYSTEM, Tier, acting_as
from pledges import certainty, chances
from pledges.chances import Supposition
from pledges.models import Allocation, Capability
from tests.factories import (
    a_capability,
    a_condition,
    a_pledge,
    a_requirement,
    an_allocation,
    an_operation,
    the_operation,
)

pytestmark = pytest.mark.django_db
TODAY = date(2027, 1, 1)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _acting():
    with acting_as(SYSTEM):
        an_operation(is_current=True, starts_on=TODAY, confirm_every_days=30, half_life_days=90)
        yield


def line_of(quantity=100, **fields):
    return a_requirement(quantity, **{"needed_from": TODAY, "needed_until": TODAY + 400 * DAY, **fields})


def asked_of(pledge, *, line=None, today=TODAY, supposed=None):
    """Return the question's contributions of one pledge to the line it is allocated to."""
    line = line or line_of()
    if not Allocation.objects.filter(pledge=pledge, requirement=line).exists():
        an_allocation(pledge, line)
    asked = chances.question(the_operation(), [pledge.capability_id], today=today, supposed=supposed)
    return asked.groups[pledge.capability_id].lines[0].contributions


def days_of(contribution):
    return contribution.first, contribution.last


# --- when it stands -------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["signalled", "offered", "committed", "ready"])
def test_a_pledge_not_ordered_yet_needs_its_notice_from_today(status):
    pledge = a_pledge(status=status, notice_days=60, available_until=TODAY + 90 * DAY, last_confirmed_on=TODAY)
    [piece] = asked_of(pledge)
    assert days_of(piece) == (60, 90)


def test_without_an_order_the_first_day_slides_with_today():
    pledge = a_pledge(notice_days=60, last_confirmed_on=TODAY)
    line = line_of()
    [piece] = asked_of(pledge, line=line)
    [later] = asked_of(pledge, line=line, today=TODAY + DAY)
    assert (piece.first, later.first) == (60, 60)  # counted from another today


def test_an_open_condition_holds_a_pledge_back_until_it_is_due_and_its_notice_has_run():
    waiting = a_condition(due_on=TODAY + 20 * DAY, probability=0.5)
    [piece] = asked_of(a_pledge(notice_days=10, conditions=(waiting,), last_confirmed_on=TODAY))
    assert piece.first == 30
    assert piece.conditions == (0,)


def test_what_deploys_comes_after_its_order_and_notice_but_never_before_tomorrow():
    late = a_pledge(status="deploying", ordered_on=TODAY - 5 * DAY, notice_days=15, last_confirmed_on=TODAY)
    assert asked_of(late)[0].first == 10
    overdue = a_pledge(
        10, "armour", status="deploying", ordered_on=TODAY - 50 * DAY, notice_days=15, last_confirmed_on=TODAY
    )
    assert asked_of(overdue, line=line_of(capability="armour"))[0].first == 1


def test_what_is_open_ended_stands_as_long_as_anything_of_it_is_needed():
    far = TODAY + 5000 * DAY  # longer than the plan is looked at
    [piece] = asked_of(a_pledge(last_confirmed_on=TODAY), line=line_of(needed_until=far))
    assert piece.last == 5000


def test_a_line_without_an_end_lasts_to_the_end_of_the_mandate():
    operation = the_operation()
    operation.mandate_until = TODAY + 300 * DAY
    operation.save()
    line = line_of(needed_until=None)
    asked = chances.question(operation, [line.capability_id], today=TODAY)
    assert asked.groups[line.capability_id].lines[0].last == 300


# --- how likely -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "certain"),
    [("signalled", 0.15), ("offered", 0.40), ("committed", 0.85), ("ready", 0.95), ("in_place", 1.0)],
)
def test_a_pledge_confirmed_in_time_is_as_likely_as_its_step(status, certain):
    [piece] = asked_of(a_pledge(status=status, last_confirmed_on=TODAY - 30 * DAY))
    assert piece.chance == certain


@pytest.mark.parametrize(("unconfirmed", "left"), [(30, 1.0), (31, 2 ** (-1 / 90)), (120, 0.5), (210, 0.25)])
def test_certainty_halves_with_every_half_life_overdue(unconfirmed, left):
    [piece] = asked_of(a_pledge(status="committed", last_confirmed_on=TODAY - unconfirmed * DAY))
    assert piece.chance == pytest.approx(0.85 * left)


def test_what_was_never_confirmed_counts_from_the_day_it_was_said():
    [piece] = asked_of(a_pledge(status="offered", stated_on=TODAY - 120 * DAY))
    assert piece.chance == pytest.approx(0.2)


def test_what_is_in_place_has_been_seen_and_does_not_age():
    [piece] = asked_of(a_pledge(status="in_place", last_confirmed_on=TODAY - 900 * DAY))
    assert piece.chance == 1.0


def test_what_deploys_ages_only_from_its_planned_arrival():
    # Planned to arrive today: however long unconfirmed, nothing is lost yet.
    on_its_way = a_pledge(
        status="deploying", ordered_on=TODAY - 20 * DAY, notice_days=20, last_confirmed_on=TODAY - 900 * DAY
    )
    assert asked_of(on_its_way)[0].chance == 0.98
    # Planned to have arrived 90 days ago, and unconfirmed for 120: one half-life.
    missing = a_pledge(
        10,
        "armour",
        status="deploying",
        ordered_on=TODAY - 110 * DAY,
        notice_days=20,
        last_confirmed_on=TODAY - 120 * DAY,
    )
    assert asked_of(missing, line=line_of(capability="armour"))[0].chance == pytest.approx(0.49)


def test_a_met_or_waived_condition_is_no_question_and_a_failed_one_leaves_nothing():
    met, waived = a_condition(state="met", probability=0.1), a_condition(state="waived", probability=0.1)
    [piece] = asked_of(a_pledge(conditions=(met, waived), last_confirmed_on=TODAY))
    assert piece.conditions == ()
    failed = a_condition(state="failed", probability=0.9)
    blocked = a_pledge(10, "armour", conditions=(failed,), last_confirmed_on=TODAY)
    assert asked_of(blocked, line=line_of(capability="armour")) == ()


# --- conditions of staying ------------------------------------------------------------------------------------


def test_a_condition_of_what_is_in_place_bites_from_its_due_day():
    mandate = a_condition(due_on=TODAY + 40 * DAY, probability=0.5)
    [before, after] = asked_of(
        a_pledge(
            status="in_place", conditions=(mandate,), available_until=TODAY + 99 * DAY, available_from=TODAY - 9 * DAY
        )
    )
    assert (days_of(before), before.conditions) == ((-9, 39), ())
    assert (days_of(after), after.conditions) == ((40, 99), (0,))
    assert before.chance == after.chance == 1.0


def test_a_condition_of_staying_without_a_due_day_or_past_it_bites_from_today():
    for number, due_on in enumerate([None, TODAY - 30 * DAY]):
        condition = a_condition(due_on=due_on, probability=0.5)
        pledge = a_pledge(10, f"c{number}", status="in_place", conditions=(condition,))
        pieces = asked_of(pledge, line=line_of(capability=f"c{number}"))
        assert [(piece.first, len(piece.conditions)) for piece in pieces] == [(0, 1)]


def test_two_conditions_of_staying_cut_a_pledge_in_three():
    soon = a_condition(due_on=TODAY + 10 * DAY, probability=0.5)
    later = a_condition(due_on=TODAY + 20 * DAY, probability=0.5)
    pieces = asked_of(a_pledge(status="in_place", conditions=(soon, later), available_until=TODAY + 30 * DAY))
    assert [(*days_of(piece), piece.conditions) for piece in pieces] == [
        (0, 9, ()),
        (10, 19, (0,)),
        (20, 30, (0, 1)),
    ]


def test_what_deploys_hangs_on_a_condition_only_from_its_due_day():
    host = a_condition(due_on=TODAY + 40 * DAY, probability=0.5)
    pieces = asked_of(
        a_pledge(status="deploying", ordered_on=TODAY, notice_days=10, conditions=(host,), last_confirmed_on=TODAY)
    )
    assert [(piece.first, piece.conditions) for piece in pieces] == [(10, ()), (40, (0,))]


# --- what counts -----------------------------------------------------------------------------------------------


def test_unquantified_blocked_superseded_and_ended_pledges_bring_nothing():
    failed = a_condition(state="failed")
    successor = a_pledge(5, last_confirmed_on=TODAY)
    a_pledge(None)
    a_pledge(10, conditions=(failed,))
    a_pledge(20, superseded_by=successor)
    a_pledge(40, status="withdrawn")
    line = line_of()
    group = chances.question(the_operation(), [line.capability_id], today=TODAY).groups[line.capability_id]
    assert [piece.weight for piece in group.pool] == [5]


def test_planners_count_what_only_planners_see():
    pledge = a_pledge(10, tier=Tier.PLANNING, last_confirmed_on=TODAY)
    assert len(asked_of(pledge)) == 1


def test_an_allocation_brings_no_more_than_its_pledge_has_and_the_pool_the_whole():
    pledge, line = a_pledge(50, last_confirmed_on=TODAY), line_of()
    an_allocation(pledge, line, 20)
    asked = chances.question(the_operation(), [pledge.capability_id], today=TODAY).groups[pledge.capability_id]
    assert [piece.weight for piece in asked.lines[0].contributions] == [20]
    assert [piece.weight for piece in asked.pool] == [50]


def test_an_allocation_across_capabilities_answers_nothing():
    line = line_of(capability="armour")
    an_allocation(a_pledge(50, "infantry"), line)
    ids = list(Capability.objects.values_list("pk", flat=True))
    asked = chances.question(the_operation(), ids, today=TODAY)
    assert asked.groups[line.capability_id].lines[0].contributions == ()


def test_the_answer_for_a_capability_does_not_depend_on_which_others_are_asked():
    near, far = line_of(needed_until=None), line_of(capability="armour", needed_until=TODAY + 3000 * DAY)
    both = chances.question(the_operation(), [near.capability_id, far.capability_id], today=TODAY)
    alone = chances.question(the_operation(), [near.capability_id], today=TODAY)
    assert both.groups[near.capability_id] == alone.groups[near.capability_id]


def test_a_line_that_is_over_is_not_asked_about():
    line = line_of(needed_from=TODAY - 9 * DAY, needed_until=TODAY - DAY)
    assert chances.question(the_operation(), [line.capability_id], today=TODAY).groups == {}


# --- the worked example of the method ---------------------------------------------------------------------------------


def worked_example(*, parliament=False):
    operation = the_operation()
    operation.certainty_committed = 0.8
    operation.save()
    backstop = a_condition("US backstop", probability=0.6)
    also = (a_condition("Parliament", probability=0.9),) if parliament else ()
    lines = [line_of(10), line_of(20, capability=a_capability("infantry"))]
    pledges = [
        a_pledge(10, nation=nation, status="committed", conditions=(backstop, *more), last_confirmed_on=TODAY)
        for nation, more in (("FR", ()), ("GB", also))
    ]
    for line in lines:
        for pledge in pledges:
            an_allocation(pledge, line)
    asked = chances.question(operation, [lines[0].capability_id], today=TODAY)
    [answer] = certainty.capabilities(list(asked.groups.values()), asked.chances)
    return answer.lines


def test_two_pledges_behind_one_backstop_come_or_stay_away_together():
    ten, twenty = worked_example()
    assert ten.p_met[0] == pytest.approx(0.576)
    assert twenty.p_met[0] == pytest.approx(0.384)
    assert ten.expected[0] == pytest.approx(9.6)
    assert (ten.x10[0], ten.x50[0], ten.x90[0]) == (0, 10, 20)


def test_a_parliament_for_one_of_them_makes_both_less_sure():
    ten, twenty = worked_example(parliament=True)
    assert ten.p_met[0] == pytest.approx(0.5664)
    assert twenty.p_met[0] == pytest.approx(0.3456)


# --- what is supposed ------------------------------------------------------------------------------------------------


def test_a_supposition_changes_the_question_and_nothing_that_is_stored():
    condition = a_condition(probability=0.5)
    pledge = a_pledge(status="committed", conditions=(condition,), last_confirmed_on=TODAY, notice_days=5)
    line = line_of()

    def supposed(**fields):
        return asked_of(pledge, line=line, supposed=Supposition(**fields))

    assert supposed(states={condition.pk: "met"})[0].conditions == ()
    assert supposed(states={condition.pk: "failed"}) == ()
    assert supposed(nations_out=frozenset({"FR"})) == ()
    assert supposed(withdrawn=frozenset({pledge.pk})) == ()
    assert supposed(slipped={pledge.pk: 30})[0].first == 35
    assert supposed(certainties={"committed": 0.5})[0].chance == 0.5
    condition.refresh_from_db()
    assert condition.state == "open"
