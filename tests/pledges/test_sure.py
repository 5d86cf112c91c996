"""How sure the stored answers are: against certainty computed anew, against brute force over the rows, and over time."""

import random
from datetime import UTC, date, datetime, timedelta
from itertools import product

import pytest
import time_machine
from django.db import IntegrityError, transaction

from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.models import Stale
from pledges import certainty, chances, readiness, sure
from pledges.models import Pledge, PledgeCondition, ReadinessLine, Requirement
from pledges.sure import CapabilitySure, Held, LineSure
from tests.factories import a_condition, a_member, a_pledge, a_requirement, an_allocation, an_operation, the_operation

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _acting():
    with acting_as(SYSTEM):
        yield


def today():
    return the_operation().today()


def line_of(quantity=10, **fields):
    return a_requirement(quantity, **{"needed_from": today(), "needed_until": today() + 200 * DAY, **fields})


def line_on(requirement, day, tier=Tier.PLANNING):
    [found] = readiness.requirement_lines(the_operation(), on=day, tier=tier, only=[requirement.pk])
    return found


def row_on(day, tier=Tier.PLANNING):
    return readiness.matrix(the_operation(), on=day, tier=tier).rows[0]


# --- a plan of rows, made at random, and a recount that shares nothing with the code under test ---------------


def a_random_plan(seed):
    """Return the lines of a small plan: up to four pledges, two open conditions, two lines."""
    dice = random.Random(seed)
    operation = an_operation(is_current=True, starts_on=date(2026, 1, 1), confirm_every_days=30, half_life_days=90)
    now = operation.today()
    open_conditions = [
        a_condition(probability=dice.choice([0, 0.3, 0.9, 1]), due_on=dice.choice([None, now + 15 * DAY]))
        for _ in range(2)
    ]
    settled = a_condition(state=dice.choice(["met", "waived", "failed"]))
    lines = [line_of(dice.choice([0, 5, 12.5, 30]), needed_from=now + dice.randrange(-5, 20) * DAY) for _ in range(2)]
    for _ in range(4):
        hangs_on = [c for c in open_conditions if dice.random() < 0.5] + [settled] * (dice.random() < 0.2)
        status = dice.choice(["signalled", "offered", "committed", "ready", "deploying", "in_place"])
        pledge = a_pledge(
            dice.choice([5, 10, 12.5]),
            status=status,
            tier=dice.choice(list(Tier)),
            conditions=tuple(hangs_on),
            notice_days=dice.choice([0, 10]),
            ordered_on=now - 3 * DAY if status == "deploying" else None,
            available_from=now + dice.randrange(-20, 20) * DAY,
            available_until=now + dice.randrange(21, 60) * DAY,
            last_confirmed_on=now - dice.randrange(0, 100) * DAY,
        )
        taker, share = dice.choice(lines), dice.choice([1, 2])
        an_allocation(pledge, taker, pledge.quantity / share)
        if share == 2:
            an_allocation(pledge, lines[1 - lines.index(taker)], pledge.quantity / 2)
    return lines


def chance_and_gates(pledge, day, now):
    """Return how likely a pledge is on a day and what it hangs on; None where it cannot stand."""
    states = {link.condition for link in PledgeCondition.objects.filter(pledge=pledge).select_related("condition")}
    waiting = [condition for condition in states if condition.state == "open"]
    if any(condition.state == "failed" for condition in states):
        return None
    if pledge.status == "in_place":
        first = pledge.available_from
    elif pledge.status == "deploying":
        first = max(pledge.available_from, pledge.ordered_on + pledge.notice_days * DAY, now + DAY)
    else:
        dues = [condition.due_on for condition in waiting if condition.due_on]
        first = max(pledge.available_from, max([now, *dues]) + pledge.notice_days * DAY)
    if not first <= day <= pledge.available_until:
        return None
    overdue = (now - pledge.last_confirmed_on).days - 30
    if pledge.status == "deploying":
        arrival = max(pledge.available_from, pledge.ordered_on + pledge.notice_days * DAY)
        overdue = min(overdue, (now - arrival).days)
    if pledge.status in ("deploying", "in_place"):
        waiting = [condition for condition in waiting if (condition.due_on or now) <= day]
    if pledge.status == "in_place":
        overdue = 0
    chance = getattr(pledge.operation, f"certainty_{pledge.status}") * 2 ** (-max(overdue, 0) / 90)
    return chance, {condition.pk: condition.probability for condition in waiting}


def brute_force(lines, day):
    """Return P(met) of each line and P(all met) on a day: every pledge in or out, every condition met or failed."""
    now = today()
    pledges = list(Pledge.objects.select_related("operation"))
    known = {pledge.pk: found for pledge in pledges if (found := chance_and_gates(pledge, day, now))}
    conditions = {pk: chance for _, gates in known.values() for pk, chance in gates.items()}
    brought = {
        line.pk: {a.pledge_id: a.quantity for a in line.allocations.all() if a.pledge_id in known} for line in lines
    }
    met, every = dict.fromkeys(brought, 0.0), 0.0
    for world in product((0, 1), repeat=len(conditions)):
        holds = dict(zip(conditions, world, strict=True))
        likely = 1.0
        for pk, chance in conditions.items():
            likely *= chance if holds[pk] else 1 - chance
        for coming in product((0, 1), repeat=len(known)):
            comes, share = dict(zip(known, coming, strict=True)), likely
            for pk, (chance, gates) in known.items():
                chance *= all(holds[gate] for gate in gates)
                share *= chance if comes[pk] else 1 - chance
            found = {
                line.pk: sum(q for pk, q in brought[line.pk].items() if comes[pk]) >= line.quantity for line in lines
            }
            for pk, is_met in found.items():
                met[pk] += share * is_met
            every += share * all(found[line.pk] for line in lines if line.needed_from <= day <= line.needed_until)
    return met, every


@pytest.mark.parametrize("seed", range(8))
def test_stored_chances_equal_every_pledge_in_or_out_in_every_world(seed):
    lines = a_random_plan(seed)
    readiness.sweep()
    for day in (today() + number * DAY for number in (0, 1, 7, 14, 15, 16, 25, 40, 61)):
        met, every = brute_force(lines, day)
        for line in lines:
            found = line_on(line, day)
            if found.is_needed:
                assert found.sure.p_met == pytest.approx(met[line.pk], abs=1e-9), (day, line)
            else:
                assert found.sure is None
        if any(line.needed_from <= day for line in lines):
            assert row_on(day).sure.p_all == pytest.approx(every, abs=1e-9), day


@pytest.mark.parametrize("seed", [3, 4])
def test_what_is_stored_is_what_certainty_says_of_the_rows(seed):
    lines = a_random_plan(seed)
    readiness.sweep()
    operation = the_operation()
    asked = chances.question(operation, [lines[0].capability_id], today=today())
    [answer] = certainty.capabilities(list(asked.groups.values()), asked.chances)
    for line_id, line in zip(asked.lines[lines[0].capability_id], answer.lines, strict=True):
        for place, first in enumerate(line.first):
            [found] = readiness.requirement_lines(operation, on=asked.day(first), tier=Tier.PLANNING, only=[line_id])
            for name in ("p_met", "expected", "x10", "x50", "x90", "error", "quantity_error"):
                assert getattr(found.sure, name) == getattr(line, name)[place], name
            assert found.sure.method == line.method[place]
    for place, first in enumerate(answer.pooled.first):
        assert row_on(asked.day(first)).sure.pooled.p_met == answer.pooled.p_met[place]
    for place, first in enumerate(answer.first):
        worst = asked.lines[lines[0].capability_id][answer.worst[place]]
        assert row_on(asked.day(first)).sure.worst == worst


# --- the method's example, through the database ---------------------------------------------------------------


def worked_example(*needs):
    """Return the method's two pledges of 10 behind one backstop, allocated to lines of these needs."""
    operation = the_operation()
    operation.certainty_committed = 0.8
    operation.save()
    backstop = a_condition("US backstop", probability=0.6)
    pledges = [
        a_pledge(10, nation=nation, status="committed", conditions=(backstop,), last_confirmed_on=today())
        for nation in ("FR", "GB")
    ]
    lines = [line_of(need) for need in needs]
    for pledge, line in product(pledges, lines):
        an_allocation(pledge, line, 10)
    readiness.sweep()
    return lines, pledges, backstop


def test_the_worked_example_is_stored_as_it_was_worked_out():
    lines, *_ = worked_example(10, 20)
    ten, twenty = (line_on(line, today()).sure for line in lines)
    assert (ten.p_met, twenty.p_met) == (pytest.approx(0.576), pytest.approx(0.384))
    assert (ten.expected, ten.coverage) == (pytest.approx(9.6), pytest.approx(0.96 * 0.6))
    assert (ten.x10, ten.x50, ten.x90) == (0, 10, 20)
    assert (ten.method, ten.error) == ("exact", 0.0)
    whole = row_on(today()).sure
    assert whole.p_all == pytest.approx(0.384)  # both come: the same worlds, not a product
    assert whole.worst == lines[1].pk
    assert whole.coverage == pytest.approx((0.576 * 10 + 9.6) / 30)


def test_a_low_joint_chance_is_a_gap_of_allocation_where_the_pool_would_do():
    line = line_of(10)
    an_allocation(a_pledge(5, status="in_place"), line)
    a_pledge(50, status="in_place")
    readiness.sweep()
    whole = row_on(today()).sure
    assert (whole.p_all, whole.pooled.p_met, whole.verdict) == (0.0, 1.0, "a gap of allocation")
    Pledge.objects.filter(quantity=50).update(quantity=4)
    readiness.sweep()
    assert row_on(today()).sure.verdict == "a gap of generation"
    Pledge.objects.filter(quantity=5).update(quantity=10)
    line.allocations.update(quantity=10)
    readiness.sweep()
    assert row_on(today()).sure.verdict == ""


def test_one_pledge_must_do_alone_where_quantities_do_not_add_up():
    line = a_requirement(1, "headquarters", needed_from=today(), needed_until=today() + 50 * DAY)
    line.capability.aggregation = "any"
    line.capability.save()
    for _ in range(2):
        an_allocation(a_pledge(1, line.capability, status="offered", last_confirmed_on=today()), line)
    readiness.sweep()
    assert line_on(line, today()).sure.p_met == pytest.approx(1 - 0.6**2)


def test_a_need_of_nothing_is_met_and_has_no_coverage():
    line = line_of(0)
    readiness.sweep()
    assert (line_on(line, today()).sure.p_met, line_on(line, today()).sure.coverage) == (1.0, None)


# --- tiers ------------------------------------------------------------------------------------------------


def test_only_the_planning_tier_has_an_answer():
    [line], *_ = worked_example(10)
    assert line_on(line, today()).sure is not None
    assert line_on(line, today(), Tier.COALITION).sure is None
    assert row_on(today(), Tier.COALITION).sure is None
    stored = ReadinessLine.objects.exclude(tier=Tier.PLANNING).values_list("sure", "sure_starts")
    assert [list(row) for row in stored] == [[[], []]] * 2


def test_the_database_refuses_a_chance_below_the_planning_tier():
    worked_example(10)
    with pytest.raises(IntegrityError, match="sure_for_planners_only"), transaction.atomic():
        ReadinessLine.objects.filter(tier=Tier.COALITION).update(sure=[{"p_met": 1}])


def test_officers_analysts_and_monitors_find_no_row_with_a_chance():
    worked_example(10)
    people = [a_member(role) for role in (Role.OFFICER, Role.ANALYST, Role.MONITOR)]
    for person in people:
        with acting_as(person):
            assert ReadinessLine.objects.exists()
            assert not ReadinessLine.objects.exclude(sure=[]).exists()


# --- freshness --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change", ["probability", "failed", "withdrawn", "quantity", "allocation", "certainty", "need"]
)
def test_whatever_moves_a_chance_is_computed_anew(change):
    [line], pledges, backstop = worked_example(10)
    match change:
        case "probability":
            backstop.probability = 0.3
            backstop.save()
        case "failed":
            backstop.state = "failed"
            backstop.save()
        case "withdrawn":
            Pledge.objects.filter(pk=pledges[0].pk).update(status="withdrawn")
        case "quantity":
            Pledge.objects.filter(pk=pledges[0].pk).update(quantity=5)
        case "allocation":
            pledges[0].allocations.get().delete()
        case "certainty":
            operation = the_operation()
            operation.certainty_committed = 0.4
            operation.save()
        case "need":
            Requirement.objects.filter(pk=line.pk).update(quantity=20)
    assert Stale.objects.filter(kind=readiness.KIND).exists()
    readiness.sweep()
    expected = {
        "probability": 0.3 * 0.96,
        "failed": 0.0,
        "withdrawn": 0.48,
        "quantity": 0.48,
        "allocation": 0.48,
        "certainty": 0.6 * (1 - 0.6**2),
        "need": 0.384,
    }
    assert line_on(line, today()).sure.p_met == pytest.approx(expected[change])
    assert expected[change] < 0.576  # each of them makes it less sure


def test_when_the_date_turns_a_pledge_nobody_confirms_is_worth_less():
    with time_machine.travel(datetime(2026, 11, 22, 10, tzinfo=UTC), tick=False) as clock:
        operation = an_operation(is_current=True, confirm_every_days=30, half_life_days=90)
        line = line_of(10)
        an_allocation(a_pledge(10, status="committed", last_confirmed_on=today() - 120 * DAY), line)
        readiness.sweep()
        assert line_on(line, today()).sure.p_met == pytest.approx(0.85 / 2)
        clock.move_to(datetime(2027, 2, 20, 10, tzinfo=UTC))
        assert readiness.as_of(operation).is_amber
        readiness.mark_outdated()
        readiness.sweep()
        assert line_on(line, today()).sure.p_met == pytest.approx(0.85 / 4)
        assert not readiness.as_of(operation).is_amber


# --- what cannot be answered ------------------------------------------------------------------------------


def test_a_line_that_cannot_be_answered_says_why_and_holds_up_nobody(monkeypatch):
    good, bad = line_of(10), line_of(77)
    other = line_of(10, capability="armour")
    an_allocation(a_pledge(10, status="in_place"), good)
    answer_lines, answer_capabilities = certainty.lines, certainty.capabilities

    def refuse(plans):
        if any(plan.need == 77 for plan in plans):
            raise ValueError("the quantities of one line add up to more than can be counted")

    def lines(plans, *given):
        refuse(plans)
        return answer_lines(plans, *given)

    def capabilities(groups, *given, **how):
        refuse([plan for group in groups for plan in group.lines])
        return answer_capabilities(groups, *given, **how)

    monkeypatch.setattr(certainty, "lines", lines)
    monkeypatch.setattr(certainty, "capabilities", capabilities)
    readiness.sweep()
    assert not Stale.objects.filter(kind=readiness.KIND).exists()
    assert line_on(good, today()).sure.p_met == 1.0
    assert line_on(other, today()).sure.p_met == 0.0
    assert line_on(bad, today()).sure.problem.startswith("the quantities")
    found = {row.code: row.sure for row in readiness.matrix(the_operation(), on=today(), tier=Tier.PLANNING).rows}
    assert (found["infantry"].p_all, found["infantry"].problem[:14]) == (None, "the quantities")
    assert found["armour"].p_all == 0.0
    assert readiness.capability_detail(the_operation(), bad.capability, on=today(), tier=Tier.PLANNING)


# --- over time --------------------------------------------------------------------------------------------


def detail():
    line = Requirement.objects.first()
    return readiness.capability_detail(the_operation(), line.capability, on=today(), tier=Tier.PLANNING)


def test_it_is_told_from_which_day_a_line_is_sure_enough_and_when_that_is_lost():
    line = line_of(10)
    an_allocation(
        a_pledge(10, status="ready", notice_days=20, available_until=today() + 90 * DAY, last_confirmed_on=today()),
        line,
    )
    readiness.sweep()
    [stretches] = detail().lines
    assert readiness.held(stretches) == Held(today() + 20 * DAY, today() + 91 * DAY)
    assert readiness.gap_days(stretches) == 20 + 110  # before it comes, and after it has left, of 201 days


def test_a_chance_that_is_never_high_enough_is_held_from_no_day():
    worked_example(10)
    assert readiness.held(detail().stretches) == Held(None, None)


def test_stretches_are_cut_where_a_chance_changes_and_no_count_does():
    staying = a_condition(due_on=today() + 40 * DAY, probability=0.5)
    line = line_of(10)
    an_allocation(a_pledge(10, status="in_place", conditions=(staying,)), line)
    readiness.sweep()
    [stretches] = detail().lines
    found = [(stretch.first - today(), stretch.answer.covered, stretch.answer.sure) for stretch in stretches]
    assert [(first.days, covered, sure.p_met if sure else None) for first, covered, sure in found] == [
        (0, 10, 1.0),
        (40, 10, 0.5),
        (201, 0, None),
    ]


def test_days_before_a_line_begins_and_after_it_ends_have_no_chance():
    line = line_of(10, needed_from=today() + 5 * DAY, needed_until=today() + 9 * DAY)
    readiness.sweep()
    found = {number: line_on(line, today() + number * DAY).sure for number in (0, 4, 5, 9, 10, 4000)}
    assert {number: answer is not None for number, answer in found.items()} == {
        0: False, 4: False, 5: True, 9: True, 10: False, 4000: False,
    }  # fmt: skip


def test_an_answer_is_read_as_it_was_stored():
    assert sure.line_sure({}) is None
    assert sure.line_sure({"p_met": 0.5, "method": "sampled", "error": 0.004}) == LineSure(
        p_met=0.5, method="sampled", error=0.004
    )
    assert sure.capability_sure({"problem": "too large"}) == CapabilitySure(problem="too large")
