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

from coalition.access import SYSTEM, Tier, acting_as
from coalition.models import Condition
from pledges import readiness
from pledges.counting import LEVELS
from pledges.models import Capability, Pledge, Requirement
from tests.factories import (
    a_capability,
    a_condition,
    a_pledge,
    a_requirement,
    an_allocation,
    an_operation,
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
@settings(deadline=None)
@given(plan=plans())
def test_stored_answers_equal_a_recount_whatever_the_plan(plan):
    with taken_back():
        operation = build(plan)
        readiness.recompute_all(operation)
        assert_equals_a_recount(operation, [TODAY + number * DAY for number in (0, 1, 3, 9, 17, 34, 61, 100)])
