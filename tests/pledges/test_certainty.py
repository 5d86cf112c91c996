"""`pledges.certainty` against the same questions answered the slow way: every pledge in or out, in every world."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pledges import certainty
from pledges.certainty import Capability, Contribution, Plan

SAME = 1e-9
few_examples = settings(max_examples=120, deadline=None)


def a_line(need, *contributions, first=0, last=9, any_one=False):
    return Plan(need, first, last, tuple(contributions), any_one)


def brings(pledge, weight, chance, first=0, last=9, conditions=()):
    return Contribution(pledge, weight, chance, first, last, tuple(conditions))


def the_line(plan, conditions=()):
    [answer] = certainty.lines([plan], conditions)
    return answer


def the_capability(plans, conditions=(), pool=None):
    [answer] = certainty.capabilities([Capability(tuple(plans), pool)], conditions)
    return answer


# The slow way -------------------------------------------------------------------------------------------------------


def outcomes(plans, conditions, day):
    """Yield (chance, sum per line) for every way the day can go."""
    standing = [
        (line, piece)
        for line, plan in enumerate(plans)
        for piece in plan.contributions
        if piece.first <= day <= piece.last and plan.first <= day <= plan.last
    ]
    pledges = sorted({piece.pledge: piece.chance for _, piece in standing}.items())
    for world in itertools.product((0, 1), repeat=len(conditions)):
        in_world = math.prod(q if held else 1 - q for q, held in zip(conditions, world, strict=True))
        for coming in itertools.product((0, 1), repeat=len(pledges)):
            chance = in_world * math.prod(p if c else 1 - p for (_, p), c in zip(pledges, coming, strict=True))
            come = {pledge for (pledge, _), c in zip(pledges, coming, strict=True) if c}
            sums = [0] * len(plans)
            for line, piece in standing:
                if piece.pledge in come and all(world[c] for c in piece.conditions):
                    weight = piece.weight
                    if plans[line].any_one:
                        weight = 1 if piece.weight >= plans[line].need else 0
                    sums[line] += weight
            yield chance, sums


def by_listing(plan, conditions, day):
    """Return (P(met), E[sum], E[min(sum, need)], {sum: chance}) of one line on one day."""
    need = min(1, plan.need) if plan.any_one else plan.need
    spread = {}
    for chance, [total] in outcomes([plan], conditions, day):
        spread[total] = spread.get(total, 0) + chance
    return (
        sum(chance for total, chance in spread.items() if total >= need),
        sum(chance * total for total, chance in spread.items()),
        sum(chance * min(total, need) for total, chance in spread.items()),
        spread,
    )


def largest_reached(spread, share):
    return max(x for x in spread if sum(p for y, p in spread.items() if y >= x) >= 1 - share - 1e-12)


def assert_as_listed(answer, plan, conditions):
    assert answer.first[0] == plan.first
    assert answer.last[-1] == plan.last
    assert (answer.first[1:] == answer.last[:-1] + 1).all()
    for t in range(len(answer.first)):
        for day in {int(answer.first[t]), int(answer.last[t])}:
            p_met, expected, minimum, spread = by_listing(plan, conditions, day)
            assert answer.p_met[t] == pytest.approx(p_met, abs=SAME)
            assert answer.expected[t] == pytest.approx(expected, rel=SAME, abs=SAME)
            if plan.need == 0:
                assert math.isnan(answer.coverage[t])
            else:
                need = min(1, plan.need) if plan.any_one else plan.need
                assert answer.coverage[t] == pytest.approx(minimum / need, abs=SAME)
            for share, x in ((0.1, answer.x10[t]), (0.5, answer.x50[t]), (0.9, answer.x90[t])):
                # Where a sum's chance touches the share itself, a rounding decides: both neighbours are right.
                assert x in {largest_reached(spread, share + nudge) for nudge in (-1e-9, 0, 1e-9)} | {0}
            assert (plan.need <= answer.x10[t]) == (answer.p_met[t] >= 0.9 - 1e-12) or plan.any_one


# Random small plans -------------------------------------------------------------------------------------------------

chances = st.one_of(st.sampled_from([0.0, 0.15, 0.5, 0.85, 1.0]), st.floats(0, 1, allow_subnormal=False))
days = st.integers(0, 9)


@st.composite
def contributions(draw, pledge, conditions, weights):
    first = draw(days)
    return Contribution(
        pledge,
        draw(weights),
        draw(chances),
        first,
        draw(st.integers(first - 1, 9)),
        tuple(draw(st.sets(st.integers(0, conditions - 1), max_size=2)) if conditions else ()),
    )


@st.composite
def small_plans(draw, weights=None, most=5):
    weights = weights or st.one_of(st.integers(0, 9), st.integers(0, 30).map(lambda x: 10 * x))
    conditions = draw(st.lists(chances, max_size=3))
    pieces = [draw(contributions(i, len(conditions), weights)) for i in range(draw(st.integers(0, most)))]
    whole = sum(piece.weight for piece in pieces)
    need = draw(st.sampled_from([0, 1, *(piece.weight for piece in pieces), whole, whole // 2, whole + 1]))
    first = draw(days)
    return Plan(need, first, draw(st.integers(first, 9)), tuple(pieces), draw(st.booleans())), conditions


@st.composite
def small_capabilities(draw):
    """Up to three lines that share conditions, and pledges split over several lines with equal or other windows."""
    conditions = draw(st.lists(chances, max_size=3))
    count = draw(st.integers(1, 3))
    pieces = [[] for _ in range(count)]
    for pledge in range(draw(st.integers(0, 5))):
        whole = draw(contributions(pledge, len(conditions), st.integers(1, 9)))
        for line in draw(st.sets(st.integers(0, count - 1), min_size=1)):
            pieces[line].append(
                Contribution(
                    pledge,
                    draw(st.integers(1, 9)),
                    whole.chance,
                    whole.first,
                    max(whole.first - 1, whole.last - draw(st.integers(0, 3))),
                    whole.conditions,
                )
            )
    plans = []
    for own in pieces:
        first = draw(days)
        plans.append(Plan(draw(st.integers(0, 12)), first, draw(st.integers(first, 9)), tuple(own)))
    return plans, conditions


@pytest.fixture(params=["listed", "eliminated"])
def way(request, monkeypatch):
    """Answer small plans by listing subsets, or make them take the way of the large ones."""
    if request.param == "eliminated":
        monkeypatch.setattr(certainty, "LONGEST_SHORT", -1)
    return request.param


any_way = settings(few_examples, suppress_health_check=[HealthCheck.function_scoped_fixture])


@any_way
@given(case=small_plans())
def test_a_line_equals_every_pledge_in_or_out_in_every_world(way, case):
    plan, conditions = case
    answer = the_line(plan, conditions)
    assert set(answer.method) <= {"exact"}
    assert_as_listed(answer, plan, conditions)


@any_way
@given(case=small_capabilities())
def test_the_joint_chance_equals_every_pledge_in_or_out_in_every_world(way, case):
    plans, conditions = case
    answer = the_capability(plans, conditions)
    for plan, line in zip(plans, answer.lines, strict=True):
        assert_as_listed(line, plan, conditions)
    for t in range(len(answer.first)):
        day = int(answer.first[t])
        active = [n for n, plan in enumerate(plans) if plan.first <= day <= plan.last]
        joint = pooled = 0
        alone = dict.fromkeys(active, 0)
        for chance, sums in outcomes(plans, conditions, day):
            met = [n for n in active if sums[n] >= plans[n].need]
            joint += chance * (met == active)
            pooled += chance * (sum(sums) >= sum(plans[n].need for n in active))
            for n in met:
                alone[n] += chance
        assert answer.p_all[t] == pytest.approx(joint, abs=SAME)
        assert alone[answer.worst[t]] == pytest.approx(min(alone.values()), abs=SAME)
        at = np.searchsorted(answer.pooled.first, day, side="right") - 1
        assert answer.pooled.p_met[at] == pytest.approx(pooled, abs=SAME)
        assert answer.pooled.p_met[at] >= joint - SAME
