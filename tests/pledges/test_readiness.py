"""Stored answers against a plain recount, per tier; what readers get; what marks an answer as no longer true."""

from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count as numbers
from itertools import product

import pytest
import time_machine
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.models import Condition, Operation, Stale
from pledges import readiness
from pledges.counting import LEVELS
from pledges.models import Allocation, Capability, Pledge, PledgeCondition, ReadinessLine, Requirement
from tests.factories import (
    a_capability,
    a_condition,
    a_member,
    a_pledge,
    a_requirement,
    a_sector,
    an_allocation,
    an_operation,
    the_operation,
)

pytestmark = pytest.mark.django_db
Status, State = Pledge.Status, Condition.State
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _acting():
    with acting_as(SYSTEM):
        yield


# --- a plain recount: day by day, row by row, nothing shared with the code under test -----------


@dataclass
class Recount:
    levels: dict
    unquantified: dict
    blocked: Decimal
    need: Decimal
    covered: dict
    met: dict
    free: dict
    lines: dict


def level_of(pledge):
    states = [condition.state for condition in pledge.conditions.all()]
    if pledge.status in ("ended", "withdrawn", "lapsed"):
        return None
    if "failed" in states:
        return "blocked"
    if pledge.status in ("committed", "ready") and "open" in states:
        return "conditional"
    return "firm" if pledge.status == "committed" else pledge.status


def stands(pledge, day, today):
    operation = pledge.operation
    if pledge.status == "in_place":
        first = pledge.available_from or today
    elif pledge.status == "deploying":
        days = [today + DAY]
        if pledge.ordered_on:
            days.append(pledge.ordered_on + pledge.notice_days * DAY)
        if pledge.available_from:
            days.append(pledge.available_from)
        first = max(days)
    else:
        move = today
        if operation.activated_on:
            move = max(move, operation.activated_on)
        for condition in pledge.conditions.all():
            if condition.state == "open" and condition.due_on:
                move = max(move, condition.due_on)
        first = move + pledge.notice_days * DAY
        if pledge.available_from:
            first = max(first, pledge.available_from)
    return first <= day and (pledge.available_until is None or day <= pledge.available_until)


def seen_successor(pledge, tier, by_id):
    """Follow the chain: is anything that took its place seen at the tier?"""
    while pledge.superseded_by_id is not None:
        pledge = by_id[pledge.superseded_by_id]
        if pledge.tier <= tier:
            return True
    return False


def loaded(operation):
    """Return the plan's pledges and lines as they stand in the database."""
    pledges = Pledge.objects.filter(operation=operation).select_related("operation")
    return (
        list(pledges.prefetch_related("conditions", "allocations")),
        list(Requirement.objects.filter(operation=operation)),
    )


def recount(rows, capability, tier, day, today):
    by_id = {pledge.pk: pledge for pledge in rows[0]}
    pledges = [
        pledge
        for pledge in rows[0]
        if pledge.capability_id == capability.pk
        and pledge.tier <= tier
        and level_of(pledge)
        and not seen_successor(pledge, tier, by_id)
        and stands(pledge, day, today)
    ]
    lines = [
        line
        for line in rows[1]
        if line.capability_id == capability.pk
        and line.tier <= tier
        and line.needed_from <= day
        and (line.needed_until is None or day <= line.needed_until)
    ]
    ids = {line.pk for line in lines}
    answer = Recount(
        levels=dict.fromkeys(LEVELS, Decimal(0)),
        unquantified=dict.fromkeys(LEVELS, 0),
        blocked=Decimal(0),
        need=sum((line.quantity for line in lines), Decimal(0)),
        covered={},
        met={},
        free=dict.fromkeys(LEVELS, Decimal(0)),
        lines={},
    )
    for pledge in pledges:
        level = level_of(pledge)
        if level == "blocked":
            answer.blocked += pledge.quantity or 0
        elif pledge.quantity is None:
            answer.unquantified[level] += 1
        else:
            answer.levels[level] += pledge.quantity
            bound = sum(a.quantity for a in pledge.allocations.all() if a.requirement_id in ids)
            answer.free[level] += max(pledge.quantity - bound, Decimal(0))
    for place, threshold in enumerate(LEVELS):
        covered, met = Decimal(0), 0
        for line in lines:
            amounts = [
                min(allocation.quantity, pledge.quantity)
                for pledge in pledges
                if pledge.quantity is not None and level_of(pledge) in LEVELS[place:]
                for allocation in pledge.allocations.all()
                if allocation.requirement_id == line.pk
            ]
            if capability.aggregation == "any":
                reached = line.quantity if max(amounts, default=0) >= line.quantity else Decimal(0)
            else:
                reached = min(sum(amounts, Decimal(0)), line.quantity)
            covered += reached
            met += reached == line.quantity
            answer.lines.setdefault(line.pk, {})[threshold] = reached
        answer.covered[threshold], answer.met[threshold] = covered, met
    return answer


def assert_equals_a_recount(operation, on_days):
    today, rows = operation.today(), loaded(operation)
    capabilities = Capability.objects.filter(pk__in={row.capability_id for part in rows for row in part})
    for tier, day in product(Tier, on_days):
        found = {row.capability_id: row for row in readiness.matrix(operation, on=day, tier=tier).rows}
        lines = {line.requirement_id: line for line in readiness.requirement_lines(operation, on=day, tier=tier)}
        for capability in capabilities:
            plain = recount(rows, capability, tier, day, today)
            row = found.get(capability.pk)
            if row is None:
                assert not any(plain.levels.values())
                assert not any(plain.unquantified.values())
                assert (plain.blocked, plain.lines) == (0, {})
                continue
            assert (row.levels, row.unquantified) == (plain.levels, plain.unquantified)
            assert (row.blocked, row.need, row.lines) == (plain.blocked, plain.need, len(plain.lines))
            for place, threshold in enumerate(LEVELS):
                at = replace(row, threshold=threshold)
                assert (at.covered, at.lines_met) == (plain.covered[threshold], plain.met[threshold])
                assert at.free == sum(list(plain.free.values())[place:])
                for pk, covered in plain.lines.items():
                    assert replace(lines[pk], threshold=threshold).covered == covered[threshold]
            assert {pk for pk, line in lines.items() if line.is_needed and line.capability_code == capability.code} == (
                plain.lines.keys()
            )


# --- random plans ---------------------------------------------------------------------------------

TODAY = date(2026, 11, 22)
days = st.integers(-20, 60).map(lambda number: TODAY + number * DAY)
quantities = st.one_of(st.integers(0, 50).map(Decimal), st.decimals(0, 50, places=2))
tiers = st.sampled_from(list(Tier))


@st.composite
def windows(draw):
    first = draw(st.none() | days)
    last = draw(st.none() | days)
    return (first, last) if first is None or last is None or first <= last else (last, first)


@st.composite
def plans(draw):
    """Return what a random plan is made of, as plain values: small, crowded on few days, several nations and tiers."""
    pledges = draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "nation": st.sampled_from(["FR", "GB", "EE"]),
                    "capability": st.sampled_from([0, 0, 1]),
                    "quantity": st.none() | quantities,
                    "window": windows(),
                    "notice_days": st.integers(0, 15),
                    "status": st.sampled_from(Status.values),
                    "ordered_on": st.none() | days,
                    "tier": tiers,
                    "conditions": st.sets(st.integers(0, 2), max_size=2),
                    "superseded_by": st.none() | st.integers(0, 7),
                }
            ),
            min_size=1,
            max_size=7,
        )
    )
    return {
        "activated_on": draw(st.none() | days),
        "aggregation": draw(st.sampled_from(["sum", "any"])),
        "conditions": draw(
            st.lists(
                st.fixed_dictionaries({"state": st.sampled_from(State.values), "due_on": st.none() | days}),
                min_size=3,
                max_size=3,
            )
        ),
        "lines": draw(
            st.lists(
                st.fixed_dictionaries(
                    {
                        "capability": st.sampled_from([0, 0, 1]),
                        "quantity": quantities,
                        "window": windows(),
                        "tier": tiers,
                    }
                ),
                max_size=4,
            )
        ),
        "pledges": pledges,
        "allocations": draw(
            st.lists(
                st.tuples(st.integers(0, 6), st.integers(0, 3), st.decimals("0.01", 40, places=2)),
                max_size=6,
                unique_by=lambda allocation: allocation[:2],
            )
        ),
    }


_plan_number = numbers()


def build(plan):
    operation = an_operation(activated_on=plan["activated_on"], starts_on=TODAY)
    number = next(_plan_number)
    capabilities = [
        a_capability(f"capability-{number}-{place}", aggregation=aggregation)
        for place, aggregation in enumerate((plan["aggregation"], "sum"))
    ]
    conditions = [a_condition(operation=operation, **fields) for fields in plan["conditions"]]
    lines = [
        a_requirement(
            line["quantity"],
            capabilities[line["capability"]],
            operation=operation,
            needed_from=line["window"][0] or TODAY,
            needed_until=line["window"][1] and max(line["window"][1], line["window"][0] or TODAY),
            tier=line["tier"],
        )
        for line in plan["lines"]
    ]
    pledges = [
        a_pledge(
            fields["quantity"],
            capabilities[fields["capability"]],
            operation=operation,
            nation=fields["nation"],
            available_from=fields["window"][0],
            available_until=fields["window"][1],
            notice_days=fields["notice_days"],
            status=fields["status"],
            ordered_on=fields["ordered_on"],
            tier=fields["tier"],
            conditions=tuple(conditions[place] for place in sorted(fields["conditions"])),
        )
        for fields in plan["pledges"]
    ]
    for place, fields in enumerate(plan["pledges"]):
        successor = fields["superseded_by"]
        if successor is not None and place < successor < len(pledges):  # only onwards, so no circle
            pledges[place].superseded_by = pledges[successor]
            pledges[place].save()
    for pledge, line, quantity in plan["allocations"]:
        if pledge < len(pledges) and line < len(lines) and pledges[pledge].capability_id == lines[line].capability_id:
            an_allocation(pledges[pledge], lines[line], quantity)
    return operation


@contextmanager
def taken_back():
    """Roll back what the block wrote: each random plan meets an empty database."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@time_machine.travel(datetime(2026, 11, 22, 10, tzinfo=UTC))
@given(plan=plans())
def test_stored_answers_equal_a_recount_whatever_the_plan(plan):
    with taken_back():
        operation = build(plan)
        readiness.recompute_all(operation)
        assert_equals_a_recount(operation, [TODAY + number * DAY for number in (0, 1, 3, 9, 17, 34, 61, 100)])


# --- tiers ------------------------------------------------------------------------------------------


CHANGES = ["quantity", "status", "window", "condition", "delete", "new", "supersede"]


def totals(operation, tier):
    """Return all that is stored for a tier, as it stands in the database."""
    stored = ReadinessLine.objects.filter(operation=operation, tier=tier)
    return list(stored.order_by("pk").values("capability", "requirement", "starts", "ends_on", "answers", "nations"))


@time_machine.travel(datetime(2026, 11, 22, 10, tzinfo=UTC))
@settings(max_examples=25)
@given(
    plan=plans(), change=st.sampled_from(["quantity", "status", "window", "condition", "delete", "new", "supersede"])
)
def test_lower_tiers_never_move_when_a_planning_only_pledge_changes(plan, change):
    with taken_back():
        operation = build(plan)
        seen = a_pledge(20, "secret", operation=operation, tier=Tier.COALITION)
        hidden = a_pledge(30, "secret", operation=operation, tier=Tier.PLANNING, nation="GB")
        line = a_requirement(40, "secret", operation=operation)
        an_allocation(seen, line, 20)
        an_allocation(hidden, line, 5)
        readiness.recompute_all(operation)
        before = [totals(operation, tier) for tier in (Tier.PUBLIC, Tier.COALITION)]
        planning = totals(operation, Tier.PLANNING)
        match change:
            case "quantity":
                Pledge.objects.filter(pk=hidden.pk).update(quantity=300)
            case "status":
                Pledge.objects.filter(pk=hidden.pk).update(status=Status.READY)
            case "window":
                Pledge.objects.filter(pk=hidden.pk).update(available_from=TODAY + 7 * DAY, notice_days=3)
            case "condition":
                hidden.conditions.add(a_condition(operation=operation, tier=Tier.PLANNING, state=State.FAILED))
            case "delete":
                hidden.delete()
            case "new":
                a_pledge(99, "secret", operation=operation, tier=Tier.PLANNING, nation="EE")
            case "supersede":
                Pledge.objects.filter(pk=seen.pk).update(superseded_by=hidden)
        readiness.recompute_all(operation)
        assert [totals(operation, tier) for tier in (Tier.PUBLIC, Tier.COALITION)] == before
        assert totals(operation, Tier.PLANNING) != planning


def test_a_superseded_pledge_counts_where_its_successor_may_not_be_seen():
    old = a_pledge(10, tier=Tier.PUBLIC)
    new = a_pledge(25, tier=Tier.PLANNING)
    old.superseded_by = new
    old.save()
    readiness.recompute_all(the_operation())
    found = [row_of(tier=tier).levels["offered"] for tier in Tier]
    assert found == [10, 10, 25]


def test_a_reader_gets_no_answer_of_a_tier_above_theirs():
    a_pledge(10, tier=Tier.PUBLIC)
    operation = the_operation()
    readiness.recompute_all(operation)
    with acting_as(a_member(Role.ANALYST)):
        assert readiness.matrix(operation, on=operation.today(), tier=Tier.COALITION).rows
        assert readiness.matrix(operation, on=operation.today(), tier=Tier.PLANNING).rows == ()


# --- what a reader gets -----------------------------------------------------------------------------


def row_of(capability="infantry", *, tier=Tier.PLANNING, on=None, **asked):
    operation = the_operation()
    rows = readiness.matrix(operation, on=on or operation.today(), tier=tier, **asked).rows
    [row] = [row for row in rows if row.code == capability]
    return row


def needed_today(quantity=100, capability="infantry", **fields):
    return a_requirement(quantity, capability, needed_from=the_operation().today(), **fields)


def test_a_surplus_on_one_line_does_not_hide_a_gap_on_another():
    full, empty = needed_today(100), needed_today(100)
    an_allocation(a_pledge(500, status=Status.COMMITTED), full)
    readiness.recompute_all(the_operation())
    row = row_of()
    assert (row.need, row.covered, row.gap, row.share) == (200, 100, 100, 0.5)
    assert (row.lines, row.lines_met, row.reserve) == (2, 1, 400)
    assert {line.requirement_id: line.share for line in lines_of_today()} == {full.pk: 1, empty.pk: 0}


def lines_of_today(**asked):
    operation = the_operation()
    return readiness.requirement_lines(operation, on=operation.today(), tier=Tier.PLANNING, **asked)


def test_the_free_pool_closes_no_gap():
    needed_today(100)
    a_pledge(300, status=Status.READY)
    readiness.recompute_all(the_operation())
    row = row_of()
    assert (row.covered, row.gap, row.free, row.standing) == (0, 100, 300, 300)


def test_one_headquarters_must_reach_the_need_alone():
    a_capability("headquarters", aggregation="any")
    line = needed_today(2, "headquarters")
    for _ in range(2):
        an_allocation(a_pledge(1, "headquarters", status=Status.COMMITTED), line)
    readiness.recompute_all(the_operation())
    assert (row_of("headquarters").covered, row_of("headquarters").lines_met) == (0, 0)
    an_allocation(a_pledge(2, "headquarters", status=Status.COMMITTED), line)
    readiness.recompute_all(the_operation())
    assert (row_of("headquarters").covered, row_of("headquarters").lines_met) == (2, 1)


def test_the_threshold_moves_what_is_covered():
    line = needed_today(100)
    an_allocation(a_pledge(60, status=Status.OFFERED), line)
    an_allocation(a_pledge(30, status=Status.READY), line)
    readiness.recompute_all(the_operation())
    found = {
        threshold: row_of(threshold=threshold).covered for threshold in ("signalled", "offered", "firm", "in_place")
    }
    assert found == {"signalled": 90, "offered": 90, "firm": 30, "in_place": 0}


def test_worst_comes_first_then_the_more_pressing_and_no_need_last():
    for code, quantity, priority in (("half", 50, 2), ("none", 0, 2), ("none-essential", 0, 1), ("full", 100, 1)):
        line = needed_today(100, code, priority=priority)
        if quantity:
            an_allocation(a_pledge(quantity, code, status=Status.COMMITTED), line)
    a_pledge(10, "unasked")
    readiness.recompute_all(the_operation())
    operation = the_operation()
    found = readiness.matrix(operation, on=operation.today(), tier=Tier.PLANNING)
    assert [row.code for row in found.rows] == ["none-essential", "none", "half", "full", "unasked"]
    assert found.totals == readiness.Totals(capabilities=4, capabilities_met=1, lines=4, lines_met=1, share=0.375)
    assert [row.code for row in readiness.worst_gaps(found.rows, 2)] == ["none-essential", "none"]


def test_an_empty_plan_has_no_readiness():
    operation = the_operation()
    assert readiness.recompute_all(operation) == 0
    found = readiness.matrix(operation, on=operation.today(), tier=Tier.PLANNING)
    assert (found.rows, found.totals.share) == ((), None)


def test_a_need_of_nothing_is_met_and_has_no_share():
    needed_today(0)
    readiness.recompute_all(the_operation())
    assert (row_of().share, row_of().lines_met, row_of().gap) == (None, 1, 0)


def test_an_unquantified_pledge_is_in_no_sum_and_is_counted_beside():
    a_pledge(None, status=Status.COMMITTED)
    readiness.recompute_all(the_operation())
    assert (row_of().standing, row_of().unquantified["firm"]) == (0, 1)


def test_a_blocked_pledge_is_in_no_level_and_is_listed():
    a_pledge(40, status=Status.READY, conditions=(a_condition(state=State.FAILED), a_condition()))
    readiness.recompute_all(the_operation())
    assert (row_of().blocked, row_of().blocked_pledges, any(row_of().levels.values())) == (40, 1, False)


def test_what_deploys_keeps_its_level_under_an_open_condition_and_warns():
    operation = the_operation()
    tomorrow = operation.today() + DAY
    a_pledge(40, status=Status.DEPLOYING, ordered_on=operation.today(), conditions=(a_condition(),))
    readiness.recompute_all(operation)
    assert row_of().levels["deploying"] == 0
    assert (row_of(on=tomorrow).levels["deploying"], row_of(on=tomorrow).warnings) == (40, 1)


def test_a_longer_notice_than_the_line_asks_for_warns_and_still_counts():
    operation = the_operation()
    later = operation.today() + 30 * DAY
    line = a_requirement(10, needed_from=later, notice_days=5)
    an_allocation(a_pledge(10, status=Status.COMMITTED, notice_days=20), line)
    readiness.recompute_all(operation)
    assert (row_of(on=later).covered, row_of(on=later).warnings) == (10, 1)


def test_amounts_stay_exact_to_the_cent_at_any_size():
    line = needed_today(10**12, "money")
    an_allocation(a_pledge(Decimal("999999999999.99"), "money", status=Status.COMMITTED), line)
    readiness.recompute_all(the_operation())
    assert (row_of("money").gap, row_of("money").covered) == (Decimal("0.01"), Decimal("999999999999.99"))


def test_a_sector_shows_its_own_lines_and_the_whole_free_pool():
    north, south = a_sector("north"), a_sector("south")
    here, there = needed_today(100, sector=north), needed_today(50, sector=south)
    pledge = a_pledge(200, status=Status.COMMITTED)
    an_allocation(pledge, here, 80)
    an_allocation(pledge, there, 50)
    needed_today(7, "medics")
    readiness.recompute_all(the_operation())
    operation = the_operation()
    found = readiness.matrix(operation, on=operation.today(), tier=Tier.PLANNING, sector=north)
    [row] = found.rows
    assert (row.need, row.covered, row.levels["firm"], row.free) == (100, 80, 80, 70)
    assert [line.requirement_id for line in lines_of_today(sector=north)] == [here.pk]


def test_the_past_is_not_counted_anew():
    operation = the_operation()
    with pytest.raises(readiness.DayIsPast, match="past"):
        readiness.matrix(operation, on=operation.today() - DAY, tier=Tier.PLANNING)


def test_the_last_stretch_holds_for_ever():
    a_pledge(5, status=Status.COMMITTED)
    readiness.recompute_all(the_operation())
    assert row_of(on=date.max).levels["firm"] == 5


def test_days_at_the_end_of_the_calendar_do_no_harm():
    a_pledge(5, status=Status.COMMITTED, available_from=date.max, available_until=date.max, notice_days=3650)
    operation = the_operation()
    Operation.objects.filter(pk=operation.pk).update(activated_on=date.max)
    a_requirement(5, needed_from=date.max, needed_until=date.max)
    readiness.recompute_all(Operation.objects.get(pk=operation.pk))
    assert row_of(on=date.max).levels["firm"] == 5


def test_a_line_is_answered_on_its_own_first_day():
    operation = the_operation()
    later, over = needed_today(10), needed_today(10)
    Requirement.objects.filter(pk=later.pk).update(needed_from=operation.today() + 50 * DAY)
    Requirement.objects.filter(pk=over.pk).update(
        needed_from=operation.today() - 50 * DAY, needed_until=operation.today() - DAY
    )
    an_allocation(a_pledge(10, status=Status.COMMITTED, available_from=operation.today() + 50 * DAY), later)
    readiness.recompute_all(operation)
    found = readiness.lines_on_their_days(operation, [later, over], user=SYSTEM)
    assert (found[later.pk].share, found[over.pk].is_needed) == (1.0, False)


def test_nations_show_what_is_on_the_ladder_whenever_it_stands():
    operation = the_operation()
    far = operation.today() + 900 * DAY
    a_pledge(100, nation="FR", status=Status.COMMITTED, available_from=far)
    a_pledge(None, nation="FR", status=Status.COMMITTED)
    a_pledge(3, "tanker", nation="GB", status=Status.WITHDRAWN)
    a_pledge(4, a_capability("clinic", category="medical"), nation="EE", conditions=(a_condition(state=State.FAILED),))
    readiness.recompute_all(operation)
    estonia, france = readiness.nation_matrix(operation, tier=Tier.PLANNING)
    cell = france.cells["troops"]
    assert (france.code, cell.pledges, cell.total, cell.unquantified) == ("FR", {"firm": 2}, 2, 1)
    assert cell.parts[0].quantities == {"firm": 100}
    assert (estonia.cells["medical"].pledges, estonia.cells["medical"].total) == ({"blocked": 1}, 0)


def test_one_capability_over_time_ends_each_stretch_where_the_next_begins():
    operation = the_operation()
    today = operation.today()
    line = a_requirement(10, needed_from=today + 5 * DAY, needed_until=today + 9 * DAY)
    an_allocation(a_pledge(10, status=Status.COMMITTED, notice_days=7), line)
    readiness.recompute_all(operation)
    found = readiness.capability_detail(operation, line.capability, on=today + 8 * DAY, tier=Tier.PLANNING)
    assert [(stretch.first, stretch.answer.need, stretch.answer.covered) for stretch in found.stretches] == [
        (today, 0, 0),
        (today + 5 * DAY, 10, 0),
        (today + 7 * DAY, 10, 10),
        (today + 10 * DAY, 0, 0),
    ]
    assert (found.now.share, found.stretches[0].last) == (1.0, today + 4 * DAY)
    assert found.stretches[-1].last >= operation.starts_on
    assert [stretch.answer.need for stretch in found.lines[0]] == [None, 10, 10, None]


def test_the_rows_behind_a_number_are_found_with_the_same_expressions():
    operation = the_operation()
    today = operation.today()
    for status in Status.values:
        a_pledge(1, status=status, tier=Tier.PUBLIC)
        a_pledge(1, status=status, tier=Tier.PLANNING, conditions=(a_condition(),), notice_days=9)
    readiness.recompute_all(operation)
    for tier, day in product(Tier, (today, today + 20 * DAY)):
        rows = Pledge.objects.filter(operation=operation).with_standing().counted_at(tier).standing_on(day)
        listed = {level: rows.at_level(level).count() for level in LEVELS}
        assert row_of(tier=tier, on=day).levels == listed
        assert row_of(tier=tier, on=day, threshold="ready").standing == rows.at_least("ready").count()


# --- queries ------------------------------------------------------------------------------------------


def test_reading_takes_the_same_few_queries_whatever_the_plan(django_assert_num_queries):
    operation, sector, capability = the_operation(), a_sector(), a_capability("c0")
    for number in range(5):
        an_allocation(a_pledge(5, f"c{number}"), needed_today(5, f"c{number}", sector=sector))
    readiness.recompute_all(operation)
    today = {"on": operation.today(), "tier": Tier.PLANNING}
    with django_assert_num_queries(1):
        assert len(readiness.matrix(operation, **today).rows) == 5
    with django_assert_num_queries(2):
        assert len(readiness.matrix(operation, **today, sector=sector).rows) == 5
    with django_assert_num_queries(1):
        assert len(readiness.requirement_lines(operation, **today)) == 5
    with django_assert_num_queries(1):
        assert readiness.capability_detail(operation, capability, **today)
    with django_assert_num_queries(2):
        readiness.nation_matrix(operation, tier=Tier.PLANNING)
    with django_assert_num_queries(2):
        readiness.as_of(operation)


def test_computing_many_keys_takes_the_queries_of_one(django_assert_max_num_queries):
    for number in range(12):
        an_allocation(a_pledge(5, f"c{number}"), needed_today(5, f"c{number}"))
    with django_assert_max_num_queries(26):
        assert readiness.sweep() == 12


# --- marks ----------------------------------------------------------------------------------------------


def marked(do):
    """Return the keys that a change marks."""
    Stale.objects.all().delete()
    do()
    return set(Stale.objects.filter(kind=readiness.KIND).values_list("key", flat=True))


def test_every_way_of_writing_marks_the_old_key_and_the_new():
    operation = the_operation()
    infantry, medics = a_capability("infantry"), a_capability("medics")
    pledge, other = a_pledge(10), a_pledge(10)
    line, condition = needed_today(10), a_condition()
    old, new = (readiness.key_of(operation.pk, capability.pk) for capability in (infantry, medics))
    one = Pledge.objects.filter(pk=pledge.pk)

    assert marked(lambda: Pledge.objects.update(quantity=11)) == {old}
    assert marked(lambda: one.update(capability=medics)) == {old, new}
    assert marked(lambda: one.update(capability=infantry)) == {old, new}
    assert marked(lambda: Pledge.objects.bulk_create([Pledge(**facts_of(pledge))])) == {old}
    assert marked(lambda: pledge.conditions.set([condition])) == {old}
    assert marked(lambda: Condition.objects.filter(pk=condition.pk).update(state=State.FAILED)) == {old}
    assert marked(lambda: pledge.conditions.clear()) == {old}
    assert marked(
        lambda: PledgeCondition.objects.bulk_create([PledgeCondition(pledge=pledge, condition=condition)])
    ) == {old}
    allocation = an_allocation(other, line, 5)
    assert marked(lambda: Allocation.objects.filter(pk=allocation.pk).update(quantity=6)) == {old}
    assert marked(lambda: Requirement.objects.filter(pk=line.pk).update(priority=1)) == {old}
    assert marked(lambda: Operation.objects.filter(pk=operation.pk).update(activated_on=operation.today())) == {old}
    assert old in marked(lambda: Capability.objects.filter(pk=infantry.pk).update(aggregation="any"))
    assert marked(lambda: allocation.delete()) == {old}
    assert marked(lambda: line.delete()) == {old}
    assert marked(lambda: Pledge.objects.filter(pk=other.pk).delete()) == {old}


def facts_of(pledge):
    return {
        "operation": pledge.operation,
        "capability": pledge.capability,
        "nation": pledge.nation,
        "what": "Another",
        "quantity": 3,
    }


def test_a_bulk_load_marks_keys_and_not_rows():
    pledge = a_pledge(10)
    Stale.objects.all().delete()
    Pledge.objects.bulk_create([Pledge(**facts_of(pledge)) for _ in range(50)])
    assert Stale.objects.count() == 1


def test_a_sweep_computes_what_is_marked_and_leaves_no_mark():
    a_pledge(10, "infantry")
    a_pledge(10, "medics")
    assert readiness.sweep() == 2
    assert (Stale.objects.count(), row_of("medics").levels["offered"]) == (0, 10)
    assert readiness.sweep() == 0


def test_what_has_no_answer_any_more_is_taken_away():
    line, pledge = needed_today(10), a_pledge(10, tier=Tier.PUBLIC)
    readiness.sweep()
    assert ReadinessLine.objects.count() == 3 + 2  # a public pledge in three tiers, a coalition line in two
    line.delete()
    readiness.sweep()
    assert ReadinessLine.objects.count() == 3
    pledge.delete()
    readiness.sweep()
    assert not ReadinessLine.objects.exists()


def test_answers_of_yesterday_are_marked_once_when_the_day_turns():
    with time_machine.travel(datetime(2026, 11, 22, 10, tzinfo=UTC), tick=False) as clock:
        pledge = a_pledge(10, notice_days=3)
        readiness.sweep()
        assert readiness.mark_outdated() == 0
        clock.move_to(datetime(2026, 11, 22, 22, 30, tzinfo=UTC))  # half past midnight in Kyiv
        assert readiness.as_of(pledge.operation).waiting_since is not None
        assert (readiness.mark_outdated(), readiness.mark_outdated()) == (1, 0)
        readiness.sweep()
        assert readiness.as_of(pledge.operation).waiting_since is None
        assert ReadinessLine.objects.first().starts[1] == date(2026, 11, 26)


def test_a_dashboard_says_how_old_it_is_and_turns_amber():
    operation = the_operation()
    a_pledge(10)
    readiness.sweep()
    fresh = readiness.as_of(operation)
    assert (fresh.waiting, fresh.waiting_since, fresh.is_amber) == (0, None, False)
    Pledge.objects.update(quantity=11)
    waiting = readiness.as_of(operation)
    assert (waiting.waiting, waiting.is_amber) == (1, False)
    assert waiting.counted_until == waiting.waiting_since
    Stale.objects.update(marked_at=waiting.waiting_since - timedelta(seconds=90))
    assert readiness.as_of(operation).is_amber
    assert not readiness.as_of(an_operation()).is_amber
