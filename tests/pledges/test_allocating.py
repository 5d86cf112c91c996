"""Pledges to requirement lines: never more than is pledged on any day, however many planners try at once."""

import contextlib
import random
import threading
from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.http import Http404
from hypothesis import given
from hypothesis import strategies as st

from coalition import conditions
from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.editing import Refused, VersionStale
from pledges import allocating, declaring, ladder, requiring
from pledges.allocating import OverAllocated, Use, stretches
from pledges.models import Allocation, Pledge, PledgeCondition
from tests.factories import (
    a_condition,
    a_member,
    a_pledge,
    a_requirement,
    an_allocation,
    an_operation,
)

MARCH, JUNE, JULY = date(2027, 3, 1), date(2027, 6, 30), date(2027, 7, 1)


@pytest.fixture
def planner(db):
    return a_member(Role.PLANNER)


@pytest.fixture
def pledge(planner) -> Pledge:
    with acting_as(SYSTEM):
        return a_pledge(200)


def a_line(quantity=100, **fields):
    with acting_as(SYSTEM):
        return a_requirement(quantity, **fields)


def refusal(call, *args, **kwargs) -> dict[str, list[str]]:
    with pytest.raises(ValidationError) as refused:
        call(*args, **kwargs)
    return refused.value.message_dict


def test_a_pledge_answers_a_line(planner, pledge):
    line = a_line()
    allocation = allocating.allocate(pledge.pk, line.pk, "80", by=planner)
    assert (allocation.pledge, allocation.requirement, allocation.quantity) == (pledge, line, 80)
    assert (allocation.tier, allocation.version) == (Tier.COALITION, 1)


@pytest.mark.parametrize("role", [Role.OFFICER, Role.MONITOR, Role.ANALYST])
def test_only_planners_allocate(pledge, role):
    with pytest.raises(PermissionDenied):
        allocating.allocate(pledge.pk, a_line().pk, 10, by=a_member(role, "FR"))


def test_no_more_is_allocated_than_is_pledged_and_the_sentence_says_what_is_free(planner, pledge):
    one, two = a_line(150), a_line(150)
    allocating.allocate(pledge.pk, one.pk, 150, by=planner)
    with pytest.raises(OverAllocated, match=rf"Only 50 of P{pledge.pk}'s 200 is free .* R{one.pk} \(150\)") as refused:
        allocating.allocate(pledge.pk, two.pk, 51, by=planner)
    assert (refused.value.free, refused.value.on) == (50, MARCH)
    assert allocating.allocate(pledge.pk, two.pk, 50, by=planner).quantity == 50


def test_the_same_people_serve_one_line_until_june_and_another_from_july(planner, pledge):
    spring = a_line(200, needed_from=MARCH, needed_until=JUNE)
    summer = a_line(200, needed_from=JULY)
    allocating.allocate(pledge.pk, spring.pk, 200, by=planner)
    assert allocating.allocate(pledge.pk, summer.pk, 200, by=planner).quantity == 200


def test_lines_that_share_a_single_day_share_the_pledge_on_it(planner, pledge):
    allocating.allocate(pledge.pk, a_line(200, needed_from=MARCH, needed_until=JULY).pk, 200, by=planner)
    with pytest.raises(OverAllocated) as refused:
        allocating.allocate(pledge.pk, a_line(200, needed_from=JULY).pk, 1, by=planner)
    assert refused.value.on == JULY


def test_a_long_line_is_measured_by_its_fullest_day(planner, pledge):
    allocating.allocate(pledge.pk, a_line(needed_from=MARCH, needed_until=JUNE).pk, 120, by=planner)
    allocating.allocate(pledge.pk, a_line(needed_from=JULY).pk, 150, by=planner)
    with pytest.raises(OverAllocated) as refused:
        allocating.allocate(pledge.pk, a_line().pk, 60, by=planner)
    assert (refused.value.free, refused.value.on) == (50, JULY)


@pytest.mark.parametrize("quantity", [0, -1, "NaN", "Infinity", "1.001", "all", None, 10**13])
def test_an_impossible_quantity_is_refused(planner, pledge, quantity):
    assert "quantity" in refusal(allocating.allocate, pledge.pk, a_line().pk, quantity, by=planner)


def test_an_unquantified_pledge_cannot_be_allocated(planner):
    with acting_as(SYSTEM):
        pledge = a_pledge(None)
    assert "no planning quantity" in refusal(allocating.allocate, pledge.pk, a_line().pk, 1, by=planner)["pledge"][0]


@pytest.mark.parametrize("status", ["ended", "withdrawn", "lapsed"])
def test_what_left_the_ladder_cannot_be_allocated(planner, status):
    with acting_as(SYSTEM):
        pledge = a_pledge(status=status)
    assert status in refusal(allocating.allocate, pledge.pk, a_line().pk, 1, by=planner)["pledge"][0]


def test_a_superseded_pledge_is_not_allocated_but_its_successor_is(planner, pledge):
    new = declaring.supersede(pledge.pk, {}, by=planner, based_on=None).pledge
    line = a_line()
    assert f"P{new.pk}" in refusal(allocating.allocate, pledge.pk, line.pk, 1, by=planner)["pledge"][0]
    assert allocating.allocate(new.pk, line.pk, 1, by=planner)


def test_a_line_of_another_capability_operation_or_time_is_refused(planner):
    with acting_as(SYSTEM):
        pledge = a_pledge(available_from=MARCH, available_until=JUNE)
    for line in (a_line(capability="medics"), a_line(operation=an_operation()), a_line(needed_from=JULY)):
        assert "requirement" in refusal(allocating.allocate, pledge.pk, line.pk, 1, by=planner)


def test_a_second_allocation_to_the_same_line_is_a_change_of_the_first(planner, pledge):
    line = a_line()
    allocating.allocate(pledge.pk, line.pk, 10, by=planner)
    assert "already answers" in refusal(allocating.allocate, pledge.pk, line.pk, 10, by=planner)["requirement"][0]


def test_what_does_not_exist_is_not_found(planner, pledge):
    for ids in ((999_999, a_line().pk), (pledge.pk, 999_999), (pledge.pk, 10**30)):
        with pytest.raises(Http404):
            allocating.allocate(*ids, 1, by=planner)


def test_a_longer_notice_than_the_line_asks_for_warns_and_forbids_nothing(planner):
    with acting_as(SYSTEM):
        pledge = a_pledge(notice_days=90, conditions=(a_condition("Mandate", state="failed"),))
    line = a_line(notice_days=30)
    with acting_as(planner):
        said = allocating.warnings(pledge, line)
    assert "needs 90 days' notice to move; the line asks for 30" in said[0]
    assert "“Mandate” failed" in said[1]
    assert allocating.allocate(pledge.pk, line.pk, 1, by=planner)


def test_reallocating_counts_everything_but_itself(planner, pledge):
    line, other = a_line(), a_line()
    mine = allocating.allocate(pledge.pk, line.pk, 120, by=planner)
    allocating.allocate(pledge.pk, other.pk, 50, by=planner)
    more = allocating.reallocate(mine.pk, 150, by=planner, based_on=mine.version)
    assert (more.quantity, more.version) == (150, 2)
    with pytest.raises(OverAllocated):
        allocating.reallocate(mine.pk, 151, by=planner, based_on=more.version)
    with pytest.raises(VersionStale):
        allocating.reallocate(mine.pk, 10, by=planner, based_on=mine.version)


def test_releasing_frees_the_pledge(planner, pledge):
    mine = allocating.allocate(pledge.pk, a_line().pk, 200, by=planner)
    with pytest.raises(VersionStale):
        allocating.release(mine.pk, by=planner, based_on=7)
    allocating.release(mine.pk, by=planner, based_on=mine.version)
    with acting_as(planner):
        assert allocating.free_quantity(pledge) == 200
    with pytest.raises(Http404):
        allocating.release(mine.pk, by=planner, based_on=None)


def test_a_proposal_is_accepted_with_what_is_free_and_needed(planner):
    line = a_line(100)
    with acting_as(SYSTEM):
        other, proposing = a_pledge(80), a_pledge(200, requirement=line)
    allocating.allocate(other.pk, line.pk, 70, by=planner)
    assert allocating.accept(proposing.pk, by=planner, based_on=proposing.version).quantity == 30


def test_an_open_need_is_counted_on_the_days_both_are_there(planner):
    line = a_line(100)
    with acting_as(SYSTEM):
        until_june = a_pledge(100, available_until=JUNE)
        from_july = a_pledge(300, available_from=JULY, requirement=line)
        gone = a_pledge(100, status="withdrawn")
        an_allocation(gone, line, 100)
    allocating.allocate(until_june.pk, line.pk, 100, by=planner)
    assert allocating.accept(from_july.pk, by=planner).quantity == 100


def test_a_headquarters_is_taken_whole(planner):
    line = a_line(1, capability="headquarters")
    with acting_as(SYSTEM):
        line.capability.aggregation = "any"
        line.capability.save()
        pledge = a_pledge(2, "headquarters", requirement=line)
    assert allocating.accept(pledge.pk, by=planner).quantity == 2


def test_nothing_is_accepted_where_nothing_is_proposed_free_or_lacking(planner, pledge):
    assert "pledge" in refusal(allocating.accept, pledge.pk, by=planner)
    line = a_line(50)
    with acting_as(SYSTEM):
        proposing = a_pledge(50, requirement=line)
    allocating.allocate(pledge.pk, line.pk, 50, by=planner)
    assert "quantity" in refusal(allocating.accept, proposing.pk, by=planner)


days = st.integers(0, 40).map(lambda n: MARCH + timedelta(days=n))
windows = st.tuples(days, days | st.just(date.max)).map(lambda ends: (min(ends), max(ends)))
uses = st.lists(st.builds(lambda w, q: Use(*w, Decimal(q)), windows, st.integers(1, 50)), max_size=8)


@given(uses, days, days)
def test_stretches_say_for_every_day_what_adding_up_that_day_says(taken, one, other):
    first, last = min(one, other), max(one, other)
    answer = stretches(taken, first, last)
    assert answer[0][0] == first
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        told = [total for begins, total in answer if begins <= day][-1]
        assert told == sum(use.quantity for use in taken if use.first <= day <= use.last)


def in_parallel(*calls) -> list:
    """Run calls at once, each in a thread with a connection of its own; return what each returned or raised."""
    results: list = [None] * len(calls)
    gate = threading.Barrier(len(calls))

    def run(number, call):
        try:
            gate.wait()
            results[number] = call()
        except Exception as error:
            results[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_two_planners_at_once_never_allocate_more_than_is_pledged(committed):
    planners = [a_member(Role.PLANNER) for _ in range(4)]
    with acting_as(SYSTEM):
        pledge = a_pledge(100)
        lines = [a_requirement(100) for _ in range(8)]

    def allocates(number):
        return lambda: allocating.allocate(pledge.pk, lines[number].pk, 30, by=planners[number % 4])

    results = in_parallel(*(allocates(number) for number in range(8)))
    assert sorted(type(result).__name__ for result in results) == ["Allocation"] * 3 + ["OverAllocated"] * 5
    with acting_as(SYSTEM):
        assert sum(Allocation.objects.values_list("quantity", flat=True)) == 90


def test_a_cut_and_an_allocation_at_once_leave_the_pledge_whole(committed):
    officer, planner = a_member(Role.OFFICER, "FR"), a_member(Role.PLANNER)
    for _ in range(5):
        with acting_as(SYSTEM):
            pledge, line = a_pledge(100), a_requirement(100)
        in_parallel(
            lambda: declaring.revise(pledge.pk, {"quantity": 50}, by=officer, based_on=None),  # noqa: B023
            lambda: allocating.allocate(pledge.pk, line.pk, 100, by=planner),  # noqa: B023
        )
        with acting_as(SYSTEM):
            pledge.refresh_from_db()
            taken = sum(pledge.allocations.values_list("quantity", flat=True))
            assert (pledge.quantity, taken) in [(50, 0), (100, 100)]


def test_many_writers_at_once_neither_overspend_a_pledge_nor_lock_each_other_out(committed):
    officer, planner = a_member(Role.OFFICER, "FR"), a_member(Role.PLANNER)
    with acting_as(SYSTEM):
        pledges = [a_pledge(100).pk for _ in range(3)]
        lines = [a_requirement(100, needed_until=JUNE).pk for _ in range(3)]
        open_ends = [a_condition().pk for _ in range(2)]
    expected = (Refused, ValidationError)

    def writes(seed):
        chance = random.Random(seed)

        def one():
            pledge, line = chance.choice(pledges), chance.choice(lines)
            condition, quantity = chance.choice(open_ends), chance.randint(1, 100)
            window = chance.choice([(MARCH, JUNE), (JULY, None), (MARCH, None)])
            change = {"quantity": quantity, "conditions": chance.sample(open_ends, chance.randint(0, 2))}
            return chance.choice(
                [
                    lambda: allocating.allocate(pledge, line, quantity, by=planner),
                    lambda: allocating.allocate(pledge, line, quantity, by=planner),
                    lambda: declaring.revise(pledge, change, by=officer, based_on=None),
                    lambda: declaring.confirm(pledges, by=officer),
                    lambda: ladder.take(pledge, "commit", by=officer),
                    lambda: ladder.undo(pledge, by=officer),
                    lambda: conditions.revise(condition, {"tier": chance.choice([1, 3])}, by=planner, based_on=None),
                    lambda: declaring.supersede(pledge, chance.choice(pledges), by=officer, based_on=None),
                    lambda: requiring.revise(
                        line, {"needed_from": window[0], "needed_until": window[1]}, by=planner, based_on=None
                    ),
                ]
            )

        def run():
            for _ in range(25):
                with contextlib.suppress(*expected):
                    one()()

        return run

    assert in_parallel(*(writes(seed) for seed in range(4))) == [None] * 4
    with acting_as(SYSTEM):
        for pledge in Pledge.objects.filter(superseded_by=None):
            assert allocating.conflicts(pledge, by=planner) == {}
        for link in PledgeCondition.objects.select_related("pledge", "condition"):
            assert link.condition.tier <= link.pledge.tier
