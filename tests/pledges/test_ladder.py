"""The commitment ladder on a real database: who may take which step, four eyes, reasons, and undo."""

from datetime import date, timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404

from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.editing import VersionStale
from coalition.models import Condition
from pledges import declaring, ladder
from pledges.models import Pledge, PledgeStep, Requirement
from tests.factories import (
    a_capability,
    a_condition,
    a_member,
    a_nation,
    a_pledge,
    a_requirement,
    an_allocation,
    the_operation,
)

pytestmark = pytest.mark.django_db
WHY = "Checked with the staff"


@pytest.fixture
def people():
    """One officer of France, one of the United Kingdom, two planners."""
    return {
        "officer": a_member(Role.OFFICER, "FR"),
        "foreign": a_member(Role.OFFICER, "GB"),
        "planner": a_member(Role.PLANNER),
        "other_planner": a_member(Role.PLANNER),
    }


def logged(by, **fields) -> Pledge:
    the_operation()
    a_capability()
    a_nation("FR")
    draft = {"nation": "FR", "capability": "infantry", "what": "A battalion", "quantity": 200, **fields}
    return declaring.declare(draft, by=by)


def climbed(people, to: str) -> Pledge:
    """A pledge of France that the officer committed, taken up to a status."""
    pledge = logged(people["officer"])
    for step in ("commit", "verify", "deploy", "arrive", "end"):
        if pledge.status == to:
            break
        who = people["planner"] if step == "verify" else people["officer"]
        pledge = ladder.take(pledge.pk, step, by=who, reason=WHY)
    assert pledge.status == to
    return pledge


def test_a_pledge_climbs_the_whole_ladder_and_each_step_is_written_down(people):
    pledge = climbed(people, "ended")
    with acting_as(people["planner"]):
        steps = list(pledge.steps.values_list("kind", "from_status", "to_status", "user"))
    officer, planner = people["officer"].pk, people["planner"].pk
    assert steps == [
        ("log", "", "offered", officer),
        ("commit", "offered", "committed", officer),
        ("verify", "committed", "ready", planner),
        ("deploy", "ready", "deploying", officer),
        ("arrive", "deploying", "in_place", officer),
        ("end", "in_place", "ended", officer),
    ]


def test_ordering_it_to_deploy_notes_the_day_in_the_operations_time_zone(people):
    assert climbed(people, "deploying").ordered_on == the_operation().today()


@pytest.mark.parametrize(
    ("step", "status"),
    [
        (step.name, status)
        for step in ladder.STEPS.values()
        for status in Pledge.Status.values
        if status not in step.origins
    ],
)
def test_a_step_from_anywhere_else_is_refused(step, status):
    planner = a_member(Role.PLANNER)
    with acting_as(SYSTEM):
        pledge = a_pledge(status=status)
    with pytest.raises(ladder.WrongStep, match="starts from"):
        ladder.take(pledge.pk, step, by=planner, reason=WHY)
    with acting_as(SYSTEM):
        assert Pledge.objects.get().status == status
        assert not PledgeStep.objects.exists()


def test_a_step_that_does_not_exist_is_refused(people):
    with pytest.raises(ladder.WrongStep, match="no step"):
        ladder.take(logged(people["officer"]).pk, "fly", by=people["planner"])


def test_whoever_logged_it_may_not_verify_it(people):
    pledge = logged(people["planner"])
    ladder.take(pledge.pk, "commit", by=people["officer"])
    with pytest.raises(PermissionDenied, match="somebody else"):
        ladder.take(pledge.pk, "verify", by=people["planner"], reason=WHY)
    assert ladder.take(pledge.pk, "verify", by=people["other_planner"], reason=WHY).status == "ready"


def test_whoever_committed_it_may_not_verify_it(people):
    pledge = logged(people["officer"])
    ladder.take(pledge.pk, "commit", by=people["planner"])
    with pytest.raises(PermissionDenied, match="somebody else"):
        ladder.take(pledge.pk, "verify", by=people["planner"], reason=WHY)


def test_a_commit_that_was_undone_bars_nobody(people):
    pledge = logged(people["officer"])
    ladder.take(pledge.pk, "commit", by=people["planner"])
    ladder.undo(pledge.pk, by=people["planner"])
    ladder.take(pledge.pk, "commit", by=people["officer"])
    assert ladder.take(pledge.pk, "verify", by=people["planner"], reason=WHY).status == "ready"


def test_whoever_changed_its_substance_may_not_verify_it(people):
    pledge = climbed(people, "committed")
    declaring.revise(pledge.pk, {"quantity": 300}, by=people["planner"], based_on=pledge.version)
    with pytest.raises(PermissionDenied, match="somebody else"):
        ladder.take(pledge.pk, "verify", by=people["planner"], reason=WHY)


def test_whoever_only_changed_a_note_may_verify_it(people):
    pledge = climbed(people, "committed")
    declaring.revise(pledge.pk, {"note": "Call first"}, by=people["planner"], based_on=pledge.version)
    assert ladder.take(pledge.pk, "verify", by=people["planner"], reason=WHY).status == "ready"


def test_a_ready_pledge_whose_substance_changed_must_be_verified_again(people):
    pledge = climbed(people, "ready")
    pledge = declaring.revise(pledge.pk, {"quantity": 2000}, by=people["officer"], based_on=pledge.version)
    assert pledge.status == "committed"
    with pytest.raises(ladder.WrongStep, match="verified again"):
        ladder.undo(pledge.pk, by=people["officer"])
    assert ladder.take(pledge.pk, "verify", by=people["planner"], reason=WHY).status == "ready"


@pytest.mark.parametrize("step", ["verify", "withdraw"])
def test_a_step_that_needs_a_reason_is_refused_without_one(people, step):
    pledge = climbed(people, "committed")
    with pytest.raises(ValidationError) as refused:
        ladder.take(pledge.pk, step, by=people["planner"], reason="  ")
    assert list(refused.value.message_dict) == ["reason"]


@pytest.mark.parametrize("reason", ["x" * 1001, "a\0b", "a\ud800b"])
def test_a_reason_that_cannot_be_kept_is_refused(people, reason):
    with pytest.raises(ValidationError):
        ladder.take(logged(people["officer"]).pk, "withdraw", by=people["officer"], reason=reason)


@pytest.mark.parametrize("status", Pledge.ON_LADDER)
def test_a_pledge_may_be_withdrawn_from_anywhere_on_the_ladder(people, status):
    with acting_as(SYSTEM):
        pledge = a_pledge(status=status)
    assert ladder.take(pledge.pk, "withdraw", by=people["officer"], reason=WHY).status == "withdrawn"


def test_another_nations_pledge_is_seen_but_not_moved(people):
    pledge = logged(people["officer"])
    with pytest.raises(PermissionDenied):
        ladder.take(pledge.pk, "commit", by=people["foreign"])


def test_another_nations_planning_pledge_does_not_exist(people):
    pledge = logged(people["officer"], tier=Tier.PLANNING)
    with pytest.raises(Http404):
        ladder.take(pledge.pk, "commit", by=people["foreign"])


def test_a_step_based_on_an_old_version_is_refused_and_carries_the_row(people):
    pledge = logged(people["officer"])
    now = ladder.take(pledge.pk, "commit", by=people["officer"], based_on=pledge.version)
    with pytest.raises(VersionStale) as refused:
        ladder.take(pledge.pk, "withdraw", by=people["officer"], reason=WHY, based_on=pledge.version)
    assert refused.value.current.version == now.version > pledge.version
    assert refused.value.current.status == "committed"


def test_only_the_steps_this_person_may_take_are_offered(people):
    pledge = climbed(people, "committed")

    def names(who):
        with acting_as(people[who]):
            return [step.name for step in ladder.next_steps(pledge, people[who])]

    assert names("officer") == ["withdraw"]
    assert names("planner") == ["verify", "withdraw"]
    assert names("foreign") == []


def test_four_eyes_hide_the_verify_step_from_whoever_wrote_it(people):
    pledge = logged(people["planner"])
    pledge = ladder.take(pledge.pk, "commit", by=people["officer"])
    with acting_as(people["planner"]):
        assert "verify" not in [step.name for step in ladder.next_steps(pledge, people["planner"])]


def test_a_condition_warns_but_forbids_nothing(people):
    the_operation()
    with acting_as(SYSTEM):
        condition = a_condition("Backstop agreed")
    pledge = logged(people["officer"], conditions=[condition])
    with acting_as(people["officer"]):
        assert "“Backstop agreed” is still open" in ladder.warnings(pledge, people["officer"])[0]
    with acting_as(SYSTEM):
        Condition.objects.update(state="failed")
    with acting_as(people["officer"]):
        assert ladder.warnings(pledge, people["officer"])[0].startswith("Blocked")
    assert ladder.take(pledge.pk, "commit", by=people["officer"]).status == "committed"


def test_undo_puts_back_status_order_day_and_confirmation(people):
    pledge = climbed(people, "ready")
    with acting_as(SYSTEM):
        Pledge.objects.update(last_confirmed_on=date(2026, 1, 1))
    ladder.take(pledge.pk, "deploy", by=people["officer"])
    pledge = ladder.undo(pledge.pk, by=people["officer"])
    assert (pledge.status, pledge.ordered_on, pledge.last_confirmed_on) == ("ready", None, date(2026, 1, 1))


def test_undo_adds_a_step_and_erases_none(people):
    pledge = climbed(people, "committed")
    ladder.undo(pledge.pk, by=people["officer"])
    with acting_as(people["officer"]):
        log, commit, undo = pledge.steps.select_related("undoes")
    assert (undo.kind, undo.undoes, undo.from_status, undo.to_status) == ("undo", commit, "committed", "offered")
    assert log.undoes is None


def test_undoing_twice_goes_down_two_steps_and_then_says_it_is_at_the_foot(people):
    pledge = climbed(people, "ready")
    ladder.undo(pledge.pk, by=people["planner"])
    assert ladder.undo(pledge.pk, by=people["officer"]).status == "offered"
    with pytest.raises(ladder.WrongStep, match="as it was logged"):
        ladder.undo(pledge.pk, by=people["officer"])


def test_only_whoever_took_the_step_or_a_planner_undoes_it(people):
    pledge = climbed(people, "ready")
    with pytest.raises(PermissionDenied):
        ladder.undo(pledge.pk, by=people["officer"])
    with pytest.raises(PermissionDenied):
        ladder.undo(pledge.pk, by=people["foreign"])
    with acting_as(people["officer"]):
        assert ladder.undoable(pledge, people["officer"]) is None
    assert ladder.undo(pledge.pk, by=people["planner"]).status == "committed"


def test_undoing_somebody_elses_step_needs_a_reason(people):
    pledge = climbed(people, "committed")
    with pytest.raises(ValidationError):
        ladder.undo(pledge.pk, by=people["planner"])
    assert ladder.undo(pledge.pk, by=people["planner"], reason="Not agreed at home").status == "offered"


def test_a_withdrawn_pledge_keeps_its_allocations_and_undo_brings_it_back(people):
    pledge = climbed(people, "committed")
    with acting_as(people["planner"]):
        an_allocation(pledge, a_requirement(100), 100)
    ladder.take(pledge.pk, "withdraw", by=people["officer"], reason=WHY)
    with acting_as(people["planner"]):
        assert pledge.allocations.count() == 1
    assert ladder.undo(pledge.pk, by=people["officer"]).status == "committed"


def test_a_pledge_whose_allocations_no_longer_fit_does_not_come_back(people):
    pledge = climbed(people, "committed")
    with acting_as(people["planner"]):
        june = a_requirement(200, needed_from=date(2027, 6, 1), needed_until=date(2027, 6, 30))
        july = a_requirement(200, needed_from=date(2027, 7, 1))
        an_allocation(pledge, june, 200)
        an_allocation(pledge, july, 200)
    ladder.take(pledge.pk, "withdraw", by=people["officer"], reason=WHY)
    with acting_as(people["planner"]):
        Requirement.objects.filter(pk=june.pk).update(needed_until=None)
    with pytest.raises(ladder.WrongStep, match="More than 200 is allocated from 2027-07-01"):
        ladder.undo(pledge.pk, by=people["officer"])


def test_a_window_that_ended_yesterday_lapses_and_one_that_ends_today_does_not():
    today = the_operation().today()
    with acting_as(SYSTEM):
        over = a_pledge(available_until=today - timedelta(days=1))
        last_day = a_pledge(available_until=today)
        moving = a_pledge(available_until=today - timedelta(days=1), status="deploying")
        open_ended = a_pledge()
    assert ladder.lapse() == [over.pk]
    with acting_as(SYSTEM):
        assert Pledge.objects.get(pk=over.pk).status == "lapsed"
        for other in (last_day, moving, open_ended):
            assert Pledge.objects.get(pk=other.pk).status == other.status
        step = over.steps.get()
    assert (step.kind, step.user, step.from_status) == ("lapse", None, "offered")


def test_a_planner_undoes_a_lapse_and_an_officer_does_not(people):
    with acting_as(SYSTEM):
        pledge = a_pledge(available_until=the_operation().today() - timedelta(days=1))
    ladder.lapse()
    with pytest.raises(PermissionDenied):
        ladder.undo(pledge.pk, by=people["officer"])
    assert ladder.undo(pledge.pk, by=people["planner"], reason="Extended by letter").status == "offered"


def test_a_superseded_pledge_stands_still(people):
    pledge = climbed(people, "committed")
    declaring.supersede(pledge.pk, {"quantity": 50}, by=people["officer"], based_on=pledge.version)
    with acting_as(people["officer"]):
        pledge.refresh_from_db()
        assert ladder.next_steps(pledge, people["officer"]) == []
    with pytest.raises(ladder.WrongStep, match="superseded"):
        ladder.take(pledge.pk, "withdraw", by=people["officer"], reason=WHY)
    with pytest.raises(ladder.WrongStep, match="superseded"):
        ladder.undo(pledge.pk, by=people["officer"])


def test_a_superseded_pledge_that_still_counts_for_others_may_be_withdrawn(people):
    pledge = climbed(people, "committed")
    declaring.supersede(
        pledge.pk, {"quantity": 50, "tier": Tier.PLANNING}, by=people["officer"], based_on=pledge.version
    )
    with pytest.raises(ladder.WrongStep, match="starts from"):
        ladder.take(pledge.pk, "commit", by=people["officer"])
    assert ladder.take(pledge.pk, "withdraw", by=people["officer"], reason=WHY).status == "withdrawn"


def test_the_history_of_the_row_names_who_and_why(people):
    pledge = logged(people["officer"])
    ladder.take(pledge.pk, "withdraw", by=people["officer"], reason="Parliament said no")
    with acting_as(people["officer"]):
        context = Pledge.pgh_event_model.objects.filter(pgh_obj_id=pledge.pk).latest("pgh_id").pgh_context
    assert (context["why"], context["user"]) == ("Parliament said no", people["officer"].pk)
