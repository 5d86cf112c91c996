"""The arithmetic alone, without the database: stretches, levels, lines, what is free."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pledges import counting
from pledges.counting import FIRM, LEVELS, AllocationRow, LineRow, Plan, PledgeRow

TODAY = date(2026, 11, 22)
FIRM_AT = counting.place_of(FIRM)


def day(number):
    return TODAY + timedelta(days=number)


def a_row(pk=1, quantity=10, level="firm", first=0, last=None, **fields):
    return PledgeRow(
        **{
            "id": pk,
            "nation": "FR",
            "tier": 1,
            "superseded_tier": None,
            "level": level,
            "first": day(first),
            "last": None if last is None else day(last),
            "quantity": None if quantity is None else Decimal(quantity),
            **fields,
        }
    )


def a_line(pk=1, quantity=10, first=0, last=None, **fields):
    window = {"first": day(first), "last": None if last is None else day(last)}
    return LineRow(**{"id": pk, "tier": 1, "quantity": Decimal(quantity), **window, **fields})


def gives(pledge, line, quantity):
    return AllocationRow(pledge.id, line.id, Decimal(quantity))


def on(counts, number):
    """Return what counts on a day so many days from today."""
    return [stretch for start, stretch in zip(counts.starts, counts.stretches, strict=True) if start <= day(number)][-1]


def test_an_empty_plan_is_one_stretch_of_nothing():
    counts = counting.count(Plan(), today=TODAY)
    assert (counts.starts, counts.stretches) == ((TODAY,), (counting.CapabilityCount(),))


def test_the_last_day_of_a_window_counts_and_the_next_does_not():
    counts = counting.count(Plan((a_row(first=2, last=4),)), today=TODAY)
    assert counts.starts == (TODAY, day(2), day(5))
    assert [stretch.levels[FIRM_AT] for stretch in counts.stretches] == [0, 10, 0]


def test_what_cannot_stand_before_its_window_ends_never_counts():
    counts = counting.count(Plan((a_row(first=9, last=4),)), today=TODAY)
    assert not any(any(stretch.levels) for stretch in counts.stretches)


def test_firm_or_better_is_a_sum_of_levels():
    plan = Plan(tuple(a_row(pk, 10**pk, level) for pk, level in enumerate(LEVELS)))
    [stretch] = counting.count(plan, today=TODAY).stretches
    assert stretch.levels == (1, 10, 100, 1000, 10000, 100000, 1000000)
    assert counting.or_better(stretch.levels) == (1111111, 1111110, 1111100, 1111000, 1110000, 1100000, 1000000)
    assert counting.at_or_above("ready") == ("ready", "deploying", "in_place")


def test_the_same_people_serve_one_line_until_june_and_another_from_july():
    pledge, first, second = a_row(quantity=200), a_line(1, 200, 0, 10), a_line(2, 200, 11)
    plan = Plan((pledge,), (first, second), (gives(pledge, first, 200), gives(pledge, second, 200)))
    counts = counting.count(plan, today=TODAY)
    assert [stretch.covered[FIRM_AT] for stretch in counts.stretches] == [200, 200]
    assert [stretch.free[FIRM_AT] for stretch in counts.stretches] == [0, 0]


def test_what_is_allocated_to_a_line_not_needed_yet_is_free():
    pledge, line = a_row(quantity=30), a_line(1, 20, 5)
    counts = counting.count(Plan((pledge,), (line,), (gives(pledge, line, 20),)), today=TODAY)
    assert [stretch.free[FIRM_AT] for stretch in counts.stretches] == [30, 10]
    assert [stretch.need for stretch in counts.stretches] == [0, 20]
    assert [stretch.need for stretch in counts.lines[1].stretches] == [None, 20]


def test_a_cut_pledge_gives_no_more_than_it_has():
    pledge, line = a_row(quantity=5), a_line(1, 20)
    [stretch] = counting.count(Plan((pledge,), (line,), (gives(pledge, line, 20),)), today=TODAY).stretches
    assert (stretch.covered[FIRM_AT], stretch.free[FIRM_AT]) == (5, 0)


@pytest.mark.parametrize("change", [{"level": "blocked"}, {"quantity": None}])
def test_blocked_and_unquantified_pledges_cover_nothing(change):
    pledge, line = replace(a_row(), **change), a_line()
    [stretch] = counting.count(Plan((pledge,), (line,), (gives(pledge, line, 10),)), today=TODAY).stretches
    assert (any(stretch.covered), any(stretch.levels), any(stretch.free)) == (False, False, False)


def test_an_any_line_asks_for_one_pledge_at_the_threshold_or_better():
    line = a_line(quantity=2)
    offered, firm = a_row(1, 3, "offered"), a_row(2, 1, "firm")
    plan = Plan((offered, firm), (line,), (gives(offered, line, 3), gives(firm, line, 1)), any_alone=True)
    [stretch] = counting.count(plan, today=TODAY).stretches
    assert stretch.covered == (2, 2, 0, 0, 0, 0, 0)
    assert stretch.met == (1, 1, 0, 0, 0, 0, 0)


def test_reserve_is_counted_only_where_the_line_is_met():
    full, short = a_line(1, 10), a_line(2, 10)
    many, few = a_row(1, 25), a_row(2, 4)
    plan = Plan((many, few), (full, short), (gives(many, full, 25), gives(few, short, 4)))
    [stretch] = counting.count(plan, today=TODAY).stretches
    assert (stretch.reserve[FIRM_AT], stretch.covered[FIRM_AT], stretch.need) == (15, 14, 20)


def test_a_tier_sees_an_allocation_only_with_both_its_ends():
    pledge, line = a_row(tier=2), a_line(tier=3)
    plan = Plan((pledge,), (line,), (gives(pledge, line, 10),))
    assert [len(plan.seen_at(tier).allocations) for tier in (1, 2, 3)] == [0, 0, 1]
    assert plan.seen_at(2) == Plan((pledge,), ())


def test_a_pledge_counts_up_to_the_tier_that_sees_its_successor():
    assert [a_row(tier=2, superseded_tier=3).counts_at(tier) for tier in (1, 2, 3)] == [False, True, False]


def test_the_last_day_of_the_calendar_has_no_day_after_it():
    assert counting.breakpoints(TODAY, [(TODAY, date.max)]) == (TODAY,)


rows = st.builds(
    a_row,
    pk=st.just(0),
    quantity=st.none() | st.decimals(0, 10**12, places=2),
    level=st.sampled_from([*LEVELS, "blocked"]),
    first=st.integers(-9, 30),
    last=st.none() | st.integers(-9, 30),
)


@given(st.lists(rows, max_size=8), st.lists(st.builds(a_line, first=st.integers(-9, 30)), max_size=3))
def test_each_pledge_counts_in_one_place_on_the_days_it_stands(pledges, lines):
    plan = Plan(
        tuple(replace(row, id=number) for number, row in enumerate(pledges)),
        tuple(replace(line, id=number) for number, line in enumerate(lines)),
    )
    counts = counting.count(plan, today=TODAY)
    assert all(before < after for before, after in pairwise(counts.starts))
    for number in range(40):
        standing = [
            row for row in plan.pledges if row.first <= day(number) and (row.last is None or day(number) <= row.last)
        ]
        found = on(counts, number)
        assert sum(found.levels) + found.blocked == sum(row.quantity or 0 for row in standing)
        assert sum(found.unquantified) == sum(row.quantity is None and row.level != "blocked" for row in standing)
        assert found.free == found.levels  # nothing is allocated
