"""`pledges.certainty` against the slow way: every pledge in or out, in every world."""

import itertools
import math
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pledges import certainty
from pledges.certainty import Capability, Contribution, Plan, elimination, sampling, spread

SAME = 1e-9


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


# The slow way ---------------------------------------------------------------------------------------------


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
                # Where a chance touches the share itself, a rounding decides: both neighbours are right.
                assert x in {largest_reached(spread, share + nudge) for nudge in (-1e-9, 0, 1e-9)}
            assert (plan.need <= answer.x10[t]) == (answer.p_met[t] >= 0.9 - 1e-12) or plan.any_one


# Random small plans ---------------------------------------------------------------------------------------

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
    """Up to three lines that share conditions, and pledges split over several lines with equal or other
    windows.
    """
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
        monkeypatch.setattr(spread, "LONGEST_SHORT", -1)
        monkeypatch.setattr(elimination, "CACHED_CELLS", 8)  # so that small sums are cut as large ones are
    return request.param


# The fixture sets the same for every example.
any_way = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


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


# Worked by hand -------------------------------------------------------------------------------------------


def test_a_backstop_that_gates_two_pledges_correlates_them():
    plan = a_line(10, brings(1, 10, 0.8, conditions=[0]), brings(2, 10, 0.8, conditions=[0]))
    one = the_line(plan, [0.6])
    both = the_line(replace(plan, need=20), [0.6])
    assert one.p_met == pytest.approx([0.576])
    assert both.p_met == pytest.approx([0.384])
    assert one.expected == pytest.approx([9.6])
    assert (one.x10[0], one.x50[0], one.x90[0]) == (0, 10, 20)


def test_a_condition_of_each_pledges_own_does_not_correlate_them():
    plan = a_line(10, brings(1, 10, 0.8, conditions=[0]), brings(2, 10, 0.8, conditions=[1]))
    assert the_line(plan, [0.6, 0.6]).p_met == pytest.approx([0.7296])
    assert the_line(replace(plan, need=20), [0.6, 0.6]).p_met == pytest.approx([0.2304])


def test_a_parliament_gates_one_of_two_pledges_on_top_of_the_backstop():
    plan = a_line(10, brings(1, 10, 0.8, conditions=[0]), brings(2, 10, 0.8, conditions=[0, 1]))
    assert the_line(plan, [0.6, 0.9]).p_met == pytest.approx([0.5664])
    assert the_line(replace(plan, need=20), [0.6, 0.9]).p_met == pytest.approx([0.3456])


def test_two_lines_that_hang_on_one_condition_are_met_together():
    plans = [a_line(5, brings(n, 5, 1.0, conditions=[0])) for n in (1, 2)]
    answer = the_capability(plans, [0.6])
    assert answer.p_all == pytest.approx([0.6])


def test_a_pledge_split_over_two_lines_comes_to_both_or_to_neither():
    plans = [a_line(5, brings(1, 5, 0.7)), a_line(5, brings(1, 5, 0.7))]
    assert the_capability(plans).p_all == pytest.approx([0.7])
    apart = [a_line(5, brings(1, 5, 0.7)), a_line(5, brings(2, 5, 0.7))]
    assert the_capability(apart).p_all == pytest.approx([0.49])


def test_what_stands_on_the_wrong_line_is_a_gap_of_allocation():
    answer = the_capability([a_line(10, brings(1, 20, 0.9)), a_line(10)])
    assert answer.p_all == [0]
    assert answer.worst == [1]
    assert answer.pooled.p_met == pytest.approx([0.9])


def test_the_pool_counts_what_is_not_allocated():
    plans = [a_line(10, brings(1, 5, 1.0))]
    pool = (brings(1, 5, 1.0), brings(2, 5, 0.8))
    answer = the_capability(plans, pool=pool)
    assert answer.p_all == [0]
    assert answer.pooled.p_met == pytest.approx([0.8])


def test_a_need_met_with_just_ninety_percent_is_within_the_tenth_percentile(way):
    gated = a_line(5, brings(1, 5, 1.0, conditions=[0]), brings(2, 0, 1.0, conditions=[0]))
    twice = a_line(5, *(brings(n, 5, 1 - math.sqrt(0.1)) for n in (1, 2)))
    for plan in (a_line(5, brings(1, 5, 0.9)), gated, twice):
        answer = the_line(plan, [0.9])
        assert answer.p_met == pytest.approx([0.9])
        assert answer.x10 == [5]


# The edges ------------------------------------------------------------------------------------------------


def test_a_line_without_pledges_has_nothing_on_all_its_days():
    answer = the_line(a_line(5, first=3, last=8))
    assert (answer.first.tolist(), answer.last.tolist()) == ([3], [8])
    assert (answer.p_met, answer.expected, answer.coverage, answer.x90) == ([0], [0], [0], [0])


def test_a_need_of_zero_is_met_and_has_no_share():
    answer = the_line(a_line(0, brings(1, 5, 0.3)))
    assert answer.p_met == [1]
    assert math.isnan(answer.coverage[0])
    assert answer.expected == pytest.approx([1.5])


def test_what_is_certain_is_certain_to_the_last_digit():
    pledges = [brings(n, 10, 1.0) for n in range(30)]
    gated = [brings(n, 10, 0.9, conditions=[n % 3]) for n in range(30, 45)]
    answer = the_line(a_line(300, *pledges, *gated), [0.3, 0.6, 0.7])
    assert answer.p_met == [1.0]
    assert answer.coverage == [1.0]


def test_billions_of_euros_are_counted_to_the_cent():
    pledges = [brings(n, Decimal(f"{n + 1}234567890.{n:02}"), 0.5) for n in range(6)]
    whole = sum(pledge.weight for pledge in pledges)
    assert the_line(a_line(whole, *pledges)).p_met == pytest.approx([0.5**6])
    assert the_line(a_line(whole + Decimal("0.01"), *pledges)).p_met == [0]


def test_a_tenth_and_two_tenths_are_three_tenths():
    assert the_line(a_line(0.3, brings(1, 0.1, 1.0), brings(2, 0.2, 0.5))).p_met == [0.5]


def test_any_one_pledge_must_reach_the_need_alone():
    halves = a_line(2, brings(1, 1, 1.0), brings(2, 1, 1.0), any_one=True)
    assert the_line(halves).p_met == [0]
    either = a_line(2, brings(1, 2, 0.5), brings(2, 3, 0.5), any_one=True)
    assert the_line(either).p_met == pytest.approx([0.75])
    assert the_line(either).coverage == pytest.approx([0.75])


def test_two_lines_that_want_any_one_pool_two_that_can():
    lines = [a_line(2, brings(1, 2, 0.5), any_one=True), a_line(2, brings(2, 3, 0.5), any_one=True)]
    assert the_capability(lines).pooled.p_met == pytest.approx([0.25])


def test_a_pledge_that_deploys_is_two_pieces_with_chances_of_their_own():
    plans = [
        a_line(5, brings(1, 5, 0.4, 0, 4, [0]), brings(1, 5, 0.9, 5, 9)),
        a_line(5, brings(1, 5, 0.4, 2, 4, [0]), brings(1, 5, 0.9, 5, 7), first=2, last=7),
    ]
    answer = the_capability(plans, [0.5])
    assert answer.first.tolist() == [0, 2, 5, 8]
    assert answer.p_all == pytest.approx([0.2, 0.2, 0.9, 0.9])


def test_a_capability_without_lines_has_an_empty_answer():
    answer = the_capability([])
    assert (answer.lines, answer.p_all.size, answer.pooled.p_met.size) == ((), 0, 0)


def test_days_without_an_active_line_are_left_out_of_the_joint_answer():
    plans = [a_line(1, brings(1, 1, 0.5, 0, 99), first=0, last=4), a_line(1, first=10, last=14)]
    answer = the_capability(plans)
    assert answer.first.tolist() == answer.pooled.first.tolist() == [0, 10]
    assert answer.last.tolist() == answer.pooled.last.tolist() == [4, 14]


def test_rotations_leave_no_gap_between_them():
    answer = the_line(a_line(5, brings(1, 5, 0.9, 0, 4), brings(2, 5, 0.8, 5, 9)))
    assert answer.first.tolist() == [0, 5]
    assert answer.p_met == pytest.approx([0.9, 0.8])


def test_a_window_of_a_century_costs_no_more_than_a_day():
    answer = the_line(a_line(5, brings(1, 5, 0.9, 0, 36524), last=36524))
    assert answer.p_met == pytest.approx([0.9])


def test_many_lines_at_once_are_each_answered_as_alone():
    plans = [a_line(n, brings(1, n, 0.5, conditions=[0]), brings(2, 3, 0.7, 2, 5)) for n in range(12)]
    for together, plan in zip(certainty.lines(plans, [0.4]), plans, strict=True):
        assert together.p_met.tolist() == the_line(plan, [0.4]).p_met.tolist()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: brings(1, 5, 1.2), "chance of pledge 1"),
        (lambda: brings(1, 5, -0.1), "chance of pledge 1"),
        (lambda: brings(1, 5, math.nan), "chance of pledge 1"),
        (lambda: brings(1, -5, 0.5), "weight of pledge 1"),
        (lambda: brings(1, math.nan, 0.5), "weight of pledge 1"),
        (lambda: brings(1, Decimal("NaN"), 0.5), "weight of pledge 1"),
        (lambda: brings(1, math.inf, 0.5), "weight of pledge 1"),
        (lambda: brings(-1, 5, 0.5), "pledge must be"),
        (lambda: a_line(-1), "need"),
        (lambda: a_line(math.nan), "need"),
        (lambda: a_line(1, first=5, last=4), "ends on day 4"),
        (lambda: the_line(a_line(1), [1.5]), "chance of condition 0"),
        (lambda: the_line(a_line(1), [math.nan]), "chance of condition 0"),
        (lambda: the_line(a_line(1, brings(1, 5, 0.5, conditions=[1])), [0.5]), "condition 1"),
        (lambda: the_line(a_line(1, brings(1, 5, 0.5, conditions=[-1])), [0.5]), "condition -1"),
        (lambda: the_line(a_line(1, brings(1, 5, 0.5), brings(1, 5, 0.5))), "pledge 1 stands twice"),
        (lambda: the_line(a_line(1, *(brings(n, 1 << 61, 0.5) for n in range(3)))), "add up to more"),
        (
            lambda: the_capability([a_line(1, brings(1, 1, 0.5)), a_line(1, brings(1, 1, 0.6))]),
            "pledge 1 has",
        ),
        (lambda: the_capability([a_line(1, any_one=True), a_line(1)]), "either all"),
        (lambda: certainty.staleness(3, 0), "half-life"),
        (lambda: certainty.staleness(math.nan, 30), "half-life"),
        (lambda: certainty.overridden([0.5], {1: 1.0}), "condition 1"),
        (lambda: certainty.overridden([0.5], {0: 2.0}), "chance of condition 0"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_certainty_halves_with_each_half_life_overdue():
    assert certainty.staleness(0, 30) == certainty.staleness(-5, 30) == 1
    assert certainty.staleness(30, 30) == 0.5
    assert certainty.staleness(75, 30) == pytest.approx(2**-2.5)


def test_the_day_from_which_it_holds_to_the_end():
    rises = a_line(5, brings(1, 5, 0.7), brings(2, 5, 0.5, 4, 9))
    assert certainty.holds_from(the_line(rises)) == (4, None)
    assert certainty.holds_from(the_line(rises), 0.7) == (0, None)
    assert certainty.holds_from(the_line(rises), 0.9) == (None, None)


def test_a_level_that_is_lost_again_names_both_days():
    plan = a_line(5, brings(1, 5, 0.9, 2, 3), brings(2, 5, 0.9, 6, 7))
    assert certainty.holds_from(the_line(plan)) == (2, 4)
    assert certainty.holds_from(the_line(replace(plan, last=7))) == (6, None)


# Never the wrong way --------------------------------------------------------------------------------------


@any_way
@given(case=small_capabilities(), data=st.data())
def test_less_never_makes_a_need_more_likely(way, case, data):
    plans, conditions = case
    pledges = sorted({piece.pledge for plan in plans for piece in plan.contributions})
    assume(pledges)
    pledge = data.draw(st.sampled_from(pledges))
    change = data.draw(st.sampled_from(["withdrawn", "cut", "less sure", "condition fails"]))
    fewer, fails = plans, conditions
    if change == "condition fails":
        assume(conditions)
        fails = certainty.overridden(conditions, {data.draw(st.integers(0, len(conditions) - 1)): 0.0})
    elif change == "withdrawn":
        [group] = certainty.without([Capability(tuple(plans))], {pledge})
        fewer = group.lines
    else:
        fewer = [
            replace(
                plan,
                contributions=tuple(
                    piece
                    if piece.pledge != pledge
                    else replace(piece, weight=piece.weight - 1)
                    if change == "cut"
                    else replace(piece, chance=piece.chance / 2)
                    for piece in plan.contributions
                ),
            )
            for plan in plans
        ]
    before, after = the_capability(plans, conditions), the_capability(fewer, fails)
    for day in range(10):
        for more, less in zip(before.lines, after.lines, strict=True):
            assert on_day(less, less.p_met, day) <= on_day(more, more.p_met, day) + SAME
        assert on_day(after, after.p_all, day) <= on_day(before, before.p_all, day) + SAME


def on_day(answer, values, day):
    """Return the value of the stretch that holds the day; 0 when there is none."""
    at = np.searchsorted(answer.first, day, side="right") - 1
    return values[at] if at >= 0 and day <= answer.last[at] else 0.0


@given(small_capabilities())
def test_all_lines_together_are_no_likelier_than_the_worst_of_them(case):
    plans, conditions = case
    answer = the_capability(plans, conditions)
    for t, day in enumerate(answer.first):
        worst = answer.lines[answer.worst[t]]
        assert answer.p_all[t] <= on_day(worst, worst.p_met, day) + SAME


# Large plans ----------------------------------------------------------------------------------------------


def a_large_line(pledges=40, conditions=8, most=40, days_=60, seed=5):
    rng = np.random.default_rng(seed)
    pieces = []
    for n in range(pledges):
        first = int(rng.integers(0, days_ // 2))
        gates = tuple(int(c) for c in rng.choice(conditions, rng.integers(0, 3), replace=False))
        last = first + int(rng.integers(10, days_))
        pieces.append(Contribution(n, int(rng.integers(1, most + 1)), float(rng.uniform(0.2, 1)), first, last, gates))
    standing = sum(piece.weight * piece.chance for piece in pieces) / 3
    return Plan(int(standing), 0, days_ - 1, tuple(pieces)), tuple(rng.uniform(0.3, 0.95, conditions).tolist())


def simulated(plans, conditions, day, draws=200_000):
    """Return the drawn sums, shape (lines, draws), by the plainest simulation."""
    rng = np.random.default_rng(11)
    worlds = rng.random((len(conditions), draws)) < np.array(conditions)[:, None]
    sums = np.zeros((len(plans), draws))
    drawn = {}
    for line, plan in enumerate(plans):
        for piece in plan.contributions:
            if piece.pledge not in drawn:
                drawn[piece.pledge] = rng.random(draws) < piece.chance
            if piece.first <= day <= piece.last:
                sums[line] += piece.weight * (drawn[piece.pledge] & worlds[list(piece.conditions)].all(axis=0))
    return sums


def test_a_large_line_agrees_with_a_simulation():
    plan, conditions = a_large_line()
    answer = the_line(plan, conditions)
    assert set(answer.method) == {"exact"}
    for t in (0, len(answer.first) // 2, len(answer.first) - 1):
        [sums] = simulated([plan], conditions, int(answer.first[t]))
        assert answer.p_met[t] == pytest.approx((sums >= plan.need).mean(), abs=0.006)
        assert answer.expected[t] == pytest.approx(sums.mean(), rel=0.01)
        assert answer.coverage[t] * plan.need == pytest.approx(np.minimum(sums, plan.need).mean(), rel=0.01)
        for share, x in ((0.1, answer.x10[t]), (0.5, answer.x50[t]), (0.9, answer.x90[t])):
            assert (sums >= x).mean() >= 1 - share - 0.006
            assert (sums > x).mean() <= 1 - share + 0.006


def test_large_lines_that_share_pledges_and_conditions_agree_with_a_simulation():
    whole, conditions = a_large_line(pledges=30)
    plans = [replace(whole, need=whole.need // 2, contributions=whole.contributions[n : n + 20]) for n in (0, 5, 10)]
    answer = the_capability(plans, conditions)
    day = int(answer.first[len(answer.first) // 2])
    met = simulated(plans, conditions, day) >= np.array([[plan.need] for plan in plans])
    assert on_day(answer, answer.p_all, day) == pytest.approx(met.all(axis=0).mean(), abs=0.006)
    error = on_day(answer, answer.error, day)
    assert error <= 0.006


def test_forty_conditions_are_exact_while_few_are_in_hand_at_once():
    chain = [brings(n, n % 5 + 1, 0.8, conditions=[n, n + 1]) for n in range(39)]
    conditions = [0.9] * 40
    answer = the_line(a_line(60, *chain), conditions)
    assert answer.method == ("exact",)
    [sums] = simulated([a_line(60, *chain)], conditions, 0)
    assert answer.p_met[0] == pytest.approx((sums >= 60).mean(), abs=0.006)


def test_bins_keep_the_bound_they_state():
    plan, conditions = a_large_line(most=500)
    [exact] = certainty.lines([plan], conditions)
    [binned] = certainty.lines([plan], conditions, budget=1e5)
    assert set(exact.method) == {"exact"}
    assert "binned" in binned.method
    assert (abs(binned.p_met - exact.p_met) <= binned.error + SAME).all()
    assert (abs(binned.coverage - exact.coverage) * plan.need <= binned.quantity_error + 1e-6).all()
    for coarse, fine in ((binned.x10, exact.x10), (binned.x50, exact.x50), (binned.x90, exact.x90)):
        assert (abs(coarse - fine) <= binned.quantity_error + 1e-6).all()
    assert binned.expected == pytest.approx(exact.expected)


def test_a_joint_chance_of_binned_lines_keeps_the_bound_it_states():
    whole, conditions = a_large_line(pledges=60, conditions=3, most=500)
    plans = [replace(whole, need=1500, contributions=whole.contributions[n : n + 30]) for n in (0, 30)]
    [exact] = certainty.capabilities([Capability(tuple(plans))], conditions, budget=1e10)
    [binned] = certainty.capabilities([Capability(tuple(plans))], conditions, budget=3e6)
    assert set(exact.method) == {"exact"}
    assert "binned" in binned.method
    assert (abs(binned.p_all - exact.p_all) <= binned.error + SAME).all()
    assert abs(binned.p_all - exact.p_all)[[m == "binned" for m in binned.method]].max() > 1e-6


@pytest.fixture
def only_simulation(monkeypatch):
    monkeypatch.setattr(spread, "LONGEST_SHORT", -1)
    monkeypatch.setattr(elimination, "WIDEST_FRONTIER", -1)


def test_a_simulation_keeps_the_bound_it_states(only_simulation, monkeypatch):
    plan, conditions = a_large_line(pledges=15)
    drawn = the_line(plan, conditions)
    monkeypatch.undo()
    exact = the_line(plan, conditions)
    assert set(drawn.method) == {"sampled"}
    assert set(exact.method) == {"exact"}
    assert (abs(drawn.p_met - exact.p_met) <= drawn.error).all()
    assert (drawn.error <= 0.006).all()


def test_a_simulation_gives_the_same_answer_twice(only_simulation):
    plan, conditions = a_large_line(pledges=15)
    assert the_line(plan, conditions).p_met.tolist() == the_line(plan, conditions).p_met.tolist()


def test_a_withdrawal_never_raises_a_simulated_chance(only_simulation):
    plan, conditions = a_large_line(pledges=12)
    before = the_line(plan, conditions)
    for n in range(0, len(plan.contributions), 2):
        rest = replace(plan, contributions=plan.contributions[:n] + plan.contributions[n + 1 :])
        after = the_line(rest, conditions)
        for day in range(0, 60, 7):
            assert on_day(after, after.p_met, day) <= on_day(before, before.p_met, day)


def test_a_joint_chance_is_simulated_where_its_lines_are(only_simulation, monkeypatch):
    whole, conditions = a_large_line(pledges=12)
    plans = [replace(whole, need=30, contributions=whole.contributions[n : n + 8]) for n in (0, 4)]
    drawn = the_capability(plans, conditions)
    monkeypatch.undo()
    exact = the_capability(plans, conditions)
    assert "sampled" in drawn.method
    assert set(exact.method) == {"exact"}
    assert (abs(drawn.p_all - exact.p_all) <= drawn.error + SAME).all()


def test_ten_thousand_pledges_on_one_line_are_answered_within_their_budget():
    rng = np.random.default_rng(2)
    firsts, weights = rng.integers(0, 700, 10_000), rng.integers(1, 5001, 10_000)
    pieces = [brings(n, int(weights[n]), 0.5, int(firsts[n]), int(firsts[n]) + 30, [n % 7]) for n in range(10_000)]
    plan = a_line(150_000, *pieces, last=729)
    [answer] = certainty.lines([plan], [0.9] * 7, budget=1e7)
    assert len(answer.first) == 730
    assert set(answer.method[1:]) == {"sampled"}
    assert (answer.error <= sampling.error_of(sampling.FEWEST_DRAWS)).all()
    assert answer.expected[100] == pytest.approx(
        sum(0.45 * piece.weight for piece in pieces if piece.first <= 100 <= piece.last)
    )


def test_hundreds_of_pledges_split_over_two_lines_are_simulated_together():
    pieces = tuple(brings(n, 1, 0.5) for n in range(300))
    answer = the_capability([a_line(150, *pieces), a_line(150, *pieces)])
    alone = answer.lines[0].p_met[0]
    assert answer.lines[0].method == ("exact",)
    assert answer.method == ("sampled",)
    # Both lines get the same, so both are met when one is.
    assert answer.p_all[0] == pytest.approx(alone, abs=answer.error[0])


def test_a_hundred_lines_may_hang_on_the_same_conditions():
    plans = [a_line(1, brings(n, 1, 0.99, n % 5, 9, [n % 8])) for n in range(100)]
    answer = the_capability(plans, [0.9] * 8)
    at_the_end = 0.9**8 * 0.99**100
    assert answer.method[-1] == "exact"
    assert answer.p_all[-1] == pytest.approx(at_the_end)


# What would change it -------------------------------------------------------------------------------------


@any_way
@given(case=small_capabilities(), data=st.data())
def test_the_loss_of_a_nation_is_the_answer_without_its_pledges(way, case, data):
    plans, conditions = case
    pledges = sorted({piece.pledge for plan in plans for piece in plan.contributions})
    assume(pledges)
    gone = data.draw(st.sets(st.sampled_from(pledges), min_size=1))
    group = Capability(tuple(plans))
    losses = certainty.losses([group], conditions, {"FR": gone, "nobody": ()})
    assert losses["nobody"] == []
    full = the_capability(plans, conditions)
    [less] = certainty.without([group], gone)
    direct = the_capability(less.lines, conditions)
    for loss in losses["FR"]:
        for t, day in enumerate(full.first):
            assert loss.p_all[t] == pytest.approx(on_day(direct, direct.p_all, day), abs=SAME)
        for line, p_met in loss.p_met.items():
            for t, day in enumerate(full.lines[line].first):
                expected = on_day(direct.lines[line], direct.lines[line].p_met, day)
                assert p_met[t] == pytest.approx(expected, abs=SAME)


@any_way
@given(case=small_capabilities())
def test_the_tornado_is_the_answer_with_each_condition_failed_and_held(way, case):
    plans, conditions = case
    full = the_capability(plans, conditions)
    swings = certainty.tornado([Capability(tuple(plans))], conditions)
    assert set(swings) == {c for c, chance in enumerate(conditions) if 0 < chance < 1}
    for c, found in swings.items():
        for swing in found:
            for loss, chance in ((swing.failed, 0.0), (swing.held, 1.0)):
                direct = the_capability(plans, certainty.overridden(conditions, {c: chance}))
                for t, day in enumerate(full.first):
                    assert loss.p_all[t] == pytest.approx(on_day(direct, direct.p_all, day), abs=SAME)
                for line, p_met in loss.p_met.items():
                    for t, day in enumerate(full.lines[line].first):
                        expected = on_day(direct.lines[line], direct.lines[line].p_met, day)
                        assert p_met[t] == pytest.approx(expected, abs=SAME)


def test_a_nation_without_pledges_on_a_capability_does_not_appear_there():
    groups = [Capability((a_line(1, brings(n, 1, 0.5)),)) for n in (1, 2)]
    losses = certainty.losses(groups, [], {"FR": {1}})
    assert [loss.capability for loss in losses["FR"]] == [0]
    assert losses["FR"][0].p_all == [0]
