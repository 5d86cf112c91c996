"""Logging, changing, confirming and superseding pledges: what is refused, with which sentence, and what is kept."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404

from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.editing import VersionStale
from pledges import declaring, ladder
from pledges.models import Allocation, Pledge
from tests.factories import (
    a_capability,
    a_condition,
    a_member,
    a_nation,
    a_pledge,
    a_requirement,
    an_allocation,
    an_operation,
    the_operation,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def officer():
    return a_member(Role.OFFICER, "FR")


@pytest.fixture
def planner():
    return a_member(Role.PLANNER)


@pytest.fixture(autouse=True)
def _plan(db):
    the_operation()
    a_capability("infantry")
    a_capability("field-hospital", unit="beds", category="medical")
    a_nation("GB")
    a_nation("FR")


def draft(**fields) -> dict:
    return {"capability": "infantry", "what": "A battalion", "quantity": 200, **fields}


def problems(call, *args, **kwargs) -> dict[str, list[str]]:
    """The sentences per field with which a call is refused; nothing may be left behind."""
    with acting_as(SYSTEM):
        before = list(Pledge.objects.order_by("pk").values())
    with pytest.raises(ValidationError) as refused:
        call(*args, **kwargs)
    with acting_as(SYSTEM):
        assert list(Pledge.objects.order_by("pk").values()) == before
    return refused.value.message_dict


# --- Logging ------------------------------------------------------------------------------


def test_an_officer_needs_to_say_only_what_and_how_much(officer):
    pledge = declaring.declare(draft(), by=officer)
    assert (pledge.nation_id, pledge.operation, pledge.status) == ("FR", the_operation(), "offered")
    assert (pledge.quantity, pledge.stated_low, pledge.stated_high) == (200, 200, 200)
    assert pledge.created_by_id == officer.pk
    assert pledge.last_confirmed_on == the_operation().today()


def test_a_public_statement_keeps_its_honesty(officer):
    said_on = date(2025, 3, 2)
    pledge = declaring.declare(
        draft(quantity=None, stated_low=100, stated_high=None, status="signalled", stated_on=said_on), by=officer
    )
    assert (pledge.quantity, pledge.stated_low, pledge.stated_high) == (None, 100, None)
    assert (pledge.status, pledge.last_confirmed_on) == ("signalled", said_on)


def test_a_pledge_cannot_be_logged_half_way_up_the_ladder(officer):
    assert "status" in problems(declaring.declare, draft(status="committed"), by=officer)


def test_an_officer_logs_for_their_own_nation_only(officer):
    with pytest.raises(PermissionDenied, match="own nation"):
        declaring.declare(draft(nation="GB"), by=officer)


@pytest.mark.parametrize("role", [Role.MONITOR, Role.ANALYST])
def test_monitors_and_analysts_log_nothing(role):
    with pytest.raises(PermissionDenied):
        declaring.declare(draft(nation="FR"), by=a_member(role, "FR"))


def test_a_planner_logs_for_any_nation_but_must_name_it(planner):
    assert declaring.declare(draft(nation="GB"), by=planner).nation_id == "GB"
    assert "nation" in problems(declaring.declare, draft(), by=planner)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("quantity", -1),
        ("quantity", "NaN"),
        ("quantity", float("nan")),
        ("quantity", "Infinity"),
        ("quantity", "1e400"),
        ("quantity", Decimal(10**12 + 1)),
        ("quantity", "1.234"),
        ("quantity", "about 200"),
        ("stated_low", -1),
        ("stated_high", "1e999999"),
        ("notice_days", -1),
        ("notice_days", 99999),
        ("notice_days", "soon"),
        ("available_from", "2027-02-30"),
        ("available_from", "0001-01-01"),
        ("available_until", date(9999, 12, 31)),
        ("tier", 4),
        ("tier", "secret"),
        ("what", ""),
        ("what", "x" * 301),
        ("what", "a\0b"),
        ("what", "a\ud800b"),
        ("note", "x" * 5_000_000),
        ("source_url", "javascript:alert(1)"),
        ("stated_on", date(2099, 1, 1)),
        ("capability", "no-such"),
        ("capability", ""),
        ("capability", None),
        ("capability", 10**30),
        ("capability", ["infantry"]),
        ("capability", "a\0"),
        ("nation", "XX"),
        ("operation", "no-such"),
        ("requirement", 999_999),
        ("conditions", [999_999]),
        ("conditions", ["x"]),
        ("conditions", ["9" * 5000]),
        ("conditions", [10**30]),
        ("conditions", 5),
        ("caveats", [{"kind": "weather", "text": "Not in winter"}]),
        ("caveats", [{"kind": "task", "text": ""}]),
        ("caveats", ["Not in winter"]),
        ("external_id", "7"),
        ("superseded_by", 1),
        ("version", 7),
    ],
)
def test_bad_input_gets_a_sentence_on_its_field(officer, field, value):
    said = problems(declaring.declare, draft(**{field: value}), by=officer)
    assert set(said) & {field, "dataset"}


def test_a_float_is_taken_as_it_was_typed(officer):
    assert declaring.declare(draft(quantity=0.1), by=officer).quantity == Decimal("0.10")


def test_a_window_that_ends_before_it_starts_is_refused_on_its_last_day(officer):
    said = problems(
        declaring.declare, draft(available_from=date(2027, 5, 2), available_until=date(2027, 5, 1)), by=officer
    )
    assert said == {"available_until": ["The last day cannot come before the first."]}


def test_a_range_upside_down_is_refused(officer):
    assert "stated_high" in problems(declaring.declare, draft(stated_low=300, stated_high=100), by=officer)


def test_formula_like_text_is_kept_as_it_is(officer):
    assert declaring.declare(draft(what="=1+1"), by=officer).what == "=1+1"


def test_a_condition_of_another_operation_is_refused(officer):
    with acting_as(SYSTEM):
        foreign = a_condition("Elsewhere", operation=an_operation())
    assert "another operation" in problems(declaring.declare, draft(conditions=[foreign]), by=officer)["conditions"][0]


def test_a_condition_is_never_stricter_than_the_pledge_it_gates(officer):
    with acting_as(SYSTEM):
        condition = a_condition("Quiet talks", tier=Tier.COALITION)
    said = problems(declaring.declare, draft(conditions=[condition.pk], tier=Tier.PUBLIC), by=officer)
    assert "“Quiet talks” is for coalition" in said["conditions"][0]
    assert declaring.declare(draft(conditions=[condition.pk], tier=Tier.COALITION), by=officer)


def test_a_condition_one_may_not_see_does_not_exist(officer):
    with acting_as(SYSTEM):
        secret = a_condition("Secret", tier=Tier.PLANNING)
    said = problems(declaring.declare, draft(conditions=[secret.pk], tier=Tier.PLANNING), by=officer)
    assert said == {"conditions": ["One of the conditions is not known."]}


def test_a_line_must_ask_for_this_capability_in_this_operation(officer):
    with acting_as(SYSTEM):
        beds = a_requirement(20, "field-hospital")
        elsewhere = a_requirement(20, operation=an_operation())
        hidden = a_requirement(20, tier=Tier.PLANNING)
        fits = a_requirement(20)
    for line in (beds, elsewhere, hidden):
        assert "requirement" in problems(declaring.declare, draft(requirement=line.pk), by=officer)
    assert declaring.declare(draft(requirement=fits.pk), by=officer).requirement == fits


def test_a_planning_line_is_not_given_away_by_a_pledge(planner):
    with acting_as(SYSTEM):
        line = a_requirement(20, tier=Tier.PLANNING)
    said = problems(declaring.declare, draft(nation="FR", requirement=line.pk), by=planner)
    assert "give it away" in said["requirement"][0]


def test_an_external_id_is_taken_once_even_by_a_row_one_may_not_see(officer, planner):
    ids = {"dataset": "statements", "external_id": "7"}
    declaring.declare(draft(nation="GB", tier=Tier.PLANNING, **ids), by=planner)
    assert "external_id" in problems(declaring.declare, draft(**ids), by=officer)


# --- Changing -----------------------------------------------------------------------------


def test_a_change_needs_the_version_it_was_based_on(officer):
    pledge = declaring.declare(draft(), by=officer)
    declaring.revise(pledge.pk, {"what": "Two battalions"}, by=officer, based_on=pledge.version)
    with pytest.raises(VersionStale) as refused:
        declaring.revise(pledge.pk, {"what": "Three"}, by=officer, based_on=pledge.version)
    assert refused.value.current.what == "Two battalions"


def test_conditions_and_caveats_are_replaced_as_sets_and_raise_the_version(officer):
    with acting_as(SYSTEM):
        one, two = a_condition("One"), a_condition("Two")
    pledge = declaring.declare(draft(conditions=[one], caveats=[{"kind": "task", "text": "No policing"}]), by=officer)
    changed = declaring.revise(pledge.pk, {"conditions": [two]}, by=officer, based_on=pledge.version)
    assert changed.version > pledge.version
    again = declaring.revise(
        pledge.pk, {"caveats": [{"kind": "force", "text": "Self-defence"}]}, by=officer, based_on=changed.version
    )
    assert again.version > changed.version
    with acting_as(officer):
        assert list(again.conditions.all()) == [two]
        assert [caveat.text for caveat in again.caveats.all()] == ["Self-defence"]


def test_saving_without_a_change_takes_no_ready_pledge_down(officer, planner):
    with acting_as(SYSTEM):
        pledge = a_pledge(status="ready", stated_low=100, stated_high=100)
    same = {"what": pledge.what, "quantity": "100", "conditions": [], "caveats": [], "available_from": ""}
    assert declaring.revise(pledge.pk, same, by=officer, based_on=pledge.version).status == "ready"


@pytest.mark.parametrize("field", ["nation", "status", "superseded_by", "created_by", "last_confirmed_on", "tier_"])
def test_what_is_not_a_matter_of_editing_is_refused(officer, field):
    pledge = declaring.declare(draft(), by=officer)
    assert field in problems(declaring.revise, pledge.pk, {field: "GB"}, by=officer, based_on=pledge.version)


@pytest.mark.parametrize("status", ["ended", "withdrawn", "lapsed"])
def test_what_left_the_ladder_stays_as_it_is(officer, status):
    with acting_as(SYSTEM):
        pledge = a_pledge(status=status)
    with pytest.raises(declaring.Closed, match=status):
        declaring.revise(pledge.pk, {"what": "Changed"}, by=officer, based_on=pledge.version)


def test_a_superseded_pledge_is_not_edited(officer):
    old = declaring.declare(draft(), by=officer)
    successor = declaring.supersede(old.pk, {"quantity": 1}, by=officer, based_on=old.version).pledge
    with pytest.raises(declaring.Closed, match=f"P{successor.pk}"):
        declaring.revise(old.pk, {"what": "Changed"}, by=officer, based_on=None)


def test_another_nations_pledge_is_not_changed_and_a_hidden_one_does_not_exist(officer):
    with acting_as(SYSTEM):
        seen = a_pledge(nation="GB")
        hidden = a_pledge(nation="GB", tier=Tier.PLANNING)
    with pytest.raises(PermissionDenied):
        declaring.revise(seen.pk, {"what": "Ours"}, by=officer, based_on=seen.version)
    with pytest.raises(Http404):
        declaring.revise(hidden.pk, {"what": "Ours"}, by=officer, based_on=hidden.version)


def test_cutting_a_pledge_below_its_allocations_is_refused_and_names_them(officer):
    pledge = declaring.declare(draft(), by=officer)
    with acting_as(SYSTEM):
        line = a_requirement(150)
        an_allocation(pledge, line, 150)
    said = problems(declaring.revise, pledge.pk, {"quantity": 149}, by=officer, based_on=pledge.version)
    assert f"R{line.pk} (150 persons)" in said["quantity"][0]
    assert declaring.revise(pledge.pk, {"quantity": 150}, by=officer, based_on=pledge.version).quantity == 150


def test_a_cut_is_measured_by_the_fullest_day_not_by_the_sum(officer):
    pledge = declaring.declare(draft(), by=officer)
    with acting_as(SYSTEM):
        an_allocation(pledge, a_requirement(150, needed_from=date(2027, 3, 1), needed_until=date(2027, 6, 30)), 150)
        an_allocation(pledge, a_requirement(150, needed_from=date(2027, 7, 1)), 150)
    assert declaring.revise(pledge.pk, {"quantity": 150}, by=officer, based_on=pledge.version).quantity == 150


def test_a_line_the_officer_may_not_see_holds_the_quantity_and_is_not_named(officer):
    pledge = declaring.declare(draft(), by=officer)
    with acting_as(SYSTEM):
        line = a_requirement(150, tier=Tier.PLANNING, title="Hidden line")
        an_allocation(pledge, line, 150)
    said = problems(declaring.revise, pledge.pk, {"quantity": 100}, by=officer, based_on=pledge.version)
    assert "planners' lines" in said["quantity"][0]
    assert f"R{line.pk}" not in str(said)
    assert "150" not in str(said)


@pytest.mark.parametrize("field", ["capability", "operation", "quantity"])
def test_an_allocated_pledge_keeps_its_capability_its_operation_and_a_quantity(officer, field):
    pledge = declaring.declare(draft(), by=officer)
    other = an_operation()
    with acting_as(SYSTEM):
        line = a_requirement(100)
        an_allocation(pledge, line, 100)
    change = {"capability": "field-hospital", "operation": other.code, "quantity": None}[field]
    said = problems(declaring.revise, pledge.pk, {field: change}, by=officer, based_on=pledge.version)
    assert f"R{line.pk}" in said[field][0]


def test_a_window_is_not_moved_away_from_the_lines_it_serves(officer):
    pledge = declaring.declare(draft(), by=officer)
    with acting_as(SYSTEM):
        an_allocation(pledge, a_requirement(100, needed_from=date(2027, 9, 1)), 100)
    change = {"available_until": date(2027, 8, 31)}
    assert "available_until" in problems(declaring.revise, pledge.pk, change, by=officer, based_on=pledge.version)


def test_releasing_a_pledge_further_than_its_conditions_is_refused(officer):
    with acting_as(SYSTEM):
        condition = a_condition("Quiet talks", tier=Tier.COALITION)
    pledge = declaring.declare(draft(conditions=[condition]), by=officer)
    said = problems(declaring.revise, pledge.pk, {"tier": Tier.PUBLIC}, by=officer, based_on=pledge.version)
    assert "Quiet talks" in said["conditions"][0]


def test_a_condition_the_officer_may_not_see_stays_and_is_not_named(officer, planner):
    with acting_as(SYSTEM):
        secret, shown = a_condition("Secret", tier=Tier.PLANNING), a_condition("Shown")
    pledge = declaring.declare(draft(nation="FR", conditions=[secret, shown], tier=Tier.PLANNING), by=planner)
    pledge = declaring.revise(pledge.pk, {"conditions": []}, by=officer, based_on=pledge.version)
    with acting_as(SYSTEM):
        assert list(pledge.conditions.all()) == [secret]
    said = problems(declaring.revise, pledge.pk, {"tier": Tier.COALITION}, by=officer, based_on=pledge.version)
    assert "Secret" not in str(said)


def test_a_line_the_officer_may_not_see_stays_when_the_form_comes_back_without_it(officer, planner):
    with acting_as(SYSTEM):
        line = a_requirement(100, tier=Tier.PLANNING)
    pledge = declaring.declare(draft(nation="FR", requirement=line.pk, tier=Tier.PLANNING), by=planner)
    changes = {"what": "Changed", "requirement": ""}
    changed = declaring.revise(pledge.pk, changes, by=officer, based_on=pledge.version)
    assert (changed.what, changed.requirement_id) == ("Changed", line.pk)
    said = problems(declaring.revise, pledge.pk, {"tier": Tier.COALITION}, by=officer, based_on=changed.version)
    assert f"R{line.pk}" not in str(said)


def test_a_raised_tier_hides_the_pledge_from_the_others(officer):
    pledge = declaring.declare(draft(), by=officer)
    declaring.revise(pledge.pk, {"tier": Tier.PLANNING}, by=officer, based_on=pledge.version)
    other = a_member(Role.OFFICER, "GB")
    with acting_as(other):
        assert not Pledge.objects.visible_to(other).exists()


# --- Confirming ---------------------------------------------------------------------------


def test_confirming_in_bulk_skips_what_may_not_be_confirmed_and_says_why(officer):
    long_ago = date(2026, 1, 1)
    with acting_as(SYSTEM):
        own = [a_pledge(last_confirmed_on=long_ago) for _ in range(3)]
        gone = a_pledge(status="withdrawn")
        foreign = a_pledge(nation="GB")
        hidden = a_pledge(nation="GB", tier=Tier.PLANNING)
    ids = [pledge.pk for pledge in (*own, gone, foreign, hidden)]
    result = declaring.confirm([*ids, 999_999, 10**30, -1, own[0].pk], by=officer)
    assert result.done == [pledge.pk for pledge in own]
    assert set(result.skipped) == {gone.pk, foreign.pk, hidden.pk, 999_999, 10**30, -1}
    assert result.skipped[hidden.pk] == result.skipped[999_999] == "There is no such pledge."
    with acting_as(officer):
        days = set(Pledge.objects.filter(pk__in=result.done).values_list("last_confirmed_on", flat=True))
    assert days == {the_operation().today()}


def test_what_changed_since_it_was_shown_is_not_confirmed(officer):
    pledge = declaring.declare(draft(), by=officer)
    declaring.revise(pledge.pk, {"quantity": 10}, by=officer, based_on=pledge.version)
    result = declaring.confirm([pledge.pk], by=officer, based_on={pledge.pk: pledge.version})
    assert "was changed" in result.skipped[pledge.pk]


def test_confirming_many_takes_as_many_queries_as_confirming_one(officer, django_assert_max_num_queries):
    with acting_as(SYSTEM):
        ids = [a_pledge().pk for _ in range(20)]
    with django_assert_max_num_queries(8):
        declaring.confirm(ids, by=officer)


# --- Superseding --------------------------------------------------------------------------


def test_a_successor_takes_over_what_the_draft_leaves_out_and_starts_at_the_foot(officer):
    with acting_as(SYSTEM):
        condition = a_condition("Mandate")
    old = declaring.declare(draft(conditions=[condition], source="Speech", available_from=date(2027, 4, 1)), by=officer)
    ladder.take(old.pk, "commit", by=officer)
    new = declaring.supersede(old.pk, {"quantity": 300}, by=officer, based_on=None).pledge
    assert (new.what, new.available_from, new.quantity) == ("A battalion", date(2027, 4, 1), 300)
    assert (new.stated_low, new.status, new.source) == (300, "offered", "")
    with acting_as(officer):
        assert list(new.conditions.all()) == [condition]
        assert Pledge.objects.get(pk=old.pk).superseded_by == new


def test_a_successor_keeps_hanging_on_conditions_the_officer_may_not_see(officer, planner):
    with acting_as(SYSTEM):
        secret = a_condition("Secret", tier=Tier.PLANNING)
    old = declaring.declare(draft(nation="FR", conditions=[secret], tier=Tier.PLANNING), by=planner)
    new = declaring.supersede(old.pk, {"conditions": []}, by=officer, based_on=old.version).pledge
    with acting_as(SYSTEM):
        assert list(new.conditions.all()) == [secret]


def test_allocations_move_by_priority_up_to_the_successors_quantity_and_the_rest_is_listed(officer):
    old = declaring.declare(draft(), by=officer)
    with acting_as(SYSTEM):
        third = a_requirement(80, priority=3)
        first = a_requirement(120, priority=1)
        for line, quantity in ((third, 80), (first, 120)):
            an_allocation(old, line, quantity)
    result = declaring.supersede(old.pk, {"quantity": 150}, by=officer, based_on=old.version)
    assert [(lost.requirement, lost.quantity) for lost in result.moved.fell_off] == [(third, 50)]
    with acting_as(SYSTEM):
        assert not old.allocations.exists()
        moved = dict(result.pledge.allocations.values_list("requirement", "quantity"))
    assert moved == {first.pk: 120, third.pk: 30}


def test_a_successor_of_another_capability_carries_nothing_over(officer):
    old = declaring.declare(draft(), by=officer)
    with acting_as(SYSTEM):
        line = a_requirement(100)
        an_allocation(old, line, 100)
    result = declaring.supersede(old.pk, {"capability": "field-hospital"}, by=officer, based_on=old.version)
    assert [(lost.requirement, lost.quantity) for lost in result.moved.fell_off] == [(line, 100)]


def test_a_stricter_successor_gets_a_copy_so_that_the_others_totals_do_not_move(officer):
    old = declaring.declare(draft(), by=officer)
    with acting_as(SYSTEM):
        an_allocation(old, a_requirement(100), 100)
    new = declaring.supersede(old.pk, {"tier": Tier.PLANNING}, by=officer, based_on=old.version).pledge
    with acting_as(SYSTEM):
        assert [a.tier for a in old.allocations.all()] == [Tier.COALITION]
        assert [a.tier for a in new.allocations.all()] == [Tier.PLANNING]


def test_lines_the_officer_may_not_see_move_too_and_are_not_reported(officer):
    old = declaring.declare(draft(), by=officer)
    with acting_as(SYSTEM):
        line = a_requirement(200, tier=Tier.PLANNING)
        an_allocation(old, line, 200)
    result = declaring.supersede(old.pk, {"quantity": 150}, by=officer, based_on=old.version)
    assert (result.moved.allocations, result.moved.fell_off) == ([], [])
    with acting_as(SYSTEM):
        assert Allocation.objects.get(requirement=line).quantity == 150


def test_a_pledge_that_stands_already_may_be_the_successor(officer):
    old, new = (declaring.declare(draft(), by=officer) for _ in range(2))
    with acting_as(SYSTEM):
        line = a_requirement(200)
        an_allocation(old, line, 120)
        an_allocation(new, line, 50)
    result = declaring.supersede(old.pk, new.pk, by=officer, based_on=old.version)
    assert result.moved.allocations[0].quantity == 170


def test_a_successor_must_be_of_the_same_nation_and_operation_and_another_pledge(officer, planner):
    old = declaring.declare(draft(), by=officer)
    british = declaring.declare(draft(nation="GB"), by=planner)
    elsewhere = declaring.declare(draft(operation=an_operation().code), by=officer)
    for new in (old, british, elsewhere):
        assert "superseded_by" in problems(declaring.supersede, old.pk, new.pk, by=planner, based_on=old.version)


def test_nothing_supersedes_in_a_circle(officer):
    old, new = (declaring.declare(draft(), by=officer) for _ in range(2))
    declaring.supersede(old.pk, new.pk, by=officer, based_on=None)
    with pytest.raises(declaring.Closed):
        declaring.supersede(new.pk, old.pk, by=officer, based_on=None)


def test_what_is_under_way_is_not_superseded_by_a_mere_offer(officer):
    with acting_as(SYSTEM):
        pledge = a_pledge(status="in_place")
    said = problems(declaring.supersede, pledge.pk, {"quantity": 5}, by=officer, based_on=pledge.version)
    assert "in place" in said["superseded_by"][0]


def test_a_chain_counts_exactly_once_in_every_tier(officer):
    a = declaring.declare(draft(), by=officer)
    b = declaring.supersede(a.pk, {"tier": Tier.PLANNING}, by=officer, based_on=None).pledge
    c = declaring.supersede(b.pk, {"tier": Tier.COALITION}, by=officer, based_on=None).pledge

    def counted(tier):
        with acting_as(SYSTEM):
            return list(Pledge.objects.counted_at(tier).order_by("pk"))

    assert [counted(tier) for tier in (1, 2, 3)] == [[], [c], [c]]
    c = declaring.revise(c.pk, {"tier": Tier.PLANNING}, by=officer, based_on=None)
    assert [counted(tier) for tier in (1, 2, 3)] == [[], [a], [c]]
    declaring.revise(c.pk, {"tier": Tier.PUBLIC}, by=officer, based_on=None)
    assert [counted(tier) for tier in (1, 2, 3)] == [[c], [c], [c]]


def test_a_pledge_said_tomorrow_is_refused_and_said_today_is_not(officer):
    today = the_operation().today()
    assert declaring.declare(draft(stated_on=today), by=officer)
    assert "stated_on" in problems(declaring.declare, draft(stated_on=today + timedelta(days=1)), by=officer)
