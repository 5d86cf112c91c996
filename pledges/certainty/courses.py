"""What adds up on which days, and which contributions hang together? Plans are made ready to be worked out.

A *course* is one sum over time, cut into stretches on which the same contributions stand.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from pledges.certainty import elimination
from pledges.certainty.plans import Capability, Contribution, Plan, Quantity, demand_chance

SAME_CHANCE = 1e-12  # two chances of one pledge that differ by less are one
DECIMALS = 6  # quantities are read to so many
LARGEST_TOTAL = 1 << 62


class Conditions(NamedTuple):
    chances: list[float]
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody asks of it


class Piece(NamedTuple):
    pledge: int
    weight: int
    chance: float
    gate: int  # a bit per condition that is neither certain nor impossible
    first: int
    last: int


@dataclass
class Course:
    """One sum over time, an entry per stretch in each list. Needs and weights are whole multiples of 1 /
    scale.
    """

    firsts: list[int]
    lasts: list[int]
    needs: list[int]
    scale: int
    budget: float
    plain: list[Piece]  # as given; a simulation draws these
    conditions: list[float]
    # The same pieces, in the same order, with their conditions tied and merged over the whole capability,
    # and those conditions' chances.
    pieces: list[Piece] = field(default_factory=list)
    chances: list[float] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)  # a mask of conditions by which P(met) is to be split
    slot: int = 0  # the place of its first stretch in the columns

    def __post_init__(self) -> None:
        self.pieces, self.chances = list(self.plain), self.conditions
        self.kept = [0] * len(self.firsts)

    def reach(self, piece: Piece) -> tuple[int, int]:
        """Return the stretches begin <= t < end on which the piece stands."""
        return bisect_left(self.firsts, piece.first), bisect_right(self.lasts, piece.last)

    def slots(self) -> slice:
        """Return the places of its stretches in the columns."""
        return slice(self.slot, self.slot + len(self.firsts))


@dataclass
class Group:
    """One capability: its lines, its pool, and the stretches of days on which at least one line is active."""

    courses: list[Course]
    pool: Course
    budget: float
    firsts: list[int]
    lasts: list[int]
    active: list[list[tuple[int, int]]]  # per stretch: (line, stretch of that line)


def checked(conditions: Sequence[float]) -> Conditions:
    for c, chance in enumerate(conditions):
        demand_chance(f"chance of condition {c}", chance)
    return Conditions([float(chance) for chance in conditions], len(conditions))


def _exactly(quantity: Quantity) -> Fraction | int:
    """Read a quantity as people wrote it: the float 0.1 is one tenth."""
    if isinstance(quantity, int):
        return quantity
    if isinstance(quantity, Fraction):
        return Fraction(round(quantity * 10**DECIMALS), 10**DECIMALS)
    if math.isfinite(quantity) and (whole := int(quantity)) == quantity:
        return whole  # most are, and fractions are slow
    return Fraction(round(Decimal(str(quantity)), DECIMALS))


def _scale_of(quantities: Iterable[Fraction | int]) -> int:
    return math.lcm(*{quantity.denominator for quantity in quantities})


def _pieces(
    contributions: Iterable[Contribution],
    weights: Iterable[Fraction | int],
    scale: int,
    first: int,
    last: int,
    conditions: Conditions,
) -> list[Piece]:
    """Return what can come between the two days; what cannot (or counts nothing) is left out."""
    found = []
    for contribution, weight in zip(contributions, weights, strict=True):
        chance, gate = float(contribution.chance), 0
        for c in contribution.conditions:
            if not 0 <= c < conditions.count:
                raise ValueError(f"pledge {contribution.pledge} hangs on condition {c}, which does not exist")
            if conditions.chances[c] == 0:
                chance = 0.0
            elif conditions.chances[c] < 1:
                gate |= 1 << c
        begin, end = max(first, contribution.first), min(last, contribution.last)
        if begin <= end and weight > 0 and chance > 0:
            found.append(Piece(contribution.pledge, int(weight * scale), chance, gate, begin, end))
    _demand_each_pledge_once(found)
    if sum(piece.weight for piece in found) > LARGEST_TOTAL:
        raise ValueError("the quantities of one line add up to more than can be counted")
    return found


def _demand_each_pledge_once(pieces: list[Piece]) -> None:
    until: dict[int, int] = {}
    for piece in sorted(pieces, key=lambda piece: piece.first):
        if piece.first <= until.get(piece.pledge, piece.first - 1):
            raise ValueError(f"pledge {piece.pledge} stands twice on one line on day {piece.first}")
        until[piece.pledge] = piece.last


def course_of(plan: Plan, conditions: Conditions, budget: float) -> Course:
    need, weights = _counted(plan)
    scale = _scale_of([need, *weights])
    pieces = _pieces(plan.contributions, weights, scale, plan.first, plan.last, conditions)
    firsts = sorted(
        {plan.first}
        | {piece.first for piece in pieces}
        | {piece.last + 1 for piece in pieces if piece.last < plan.last}
    )
    lasts = [*(day - 1 for day in firsts[1:]), plan.last]
    needs = [min(int(need * scale), LARGEST_TOTAL)] * len(firsts)
    return Course(firsts, lasts, needs, scale, budget, pieces, conditions.chances)


def _counted(plan: Plan) -> tuple[Fraction | int, list[Fraction | int]]:
    """Return need and weights as they are counted: where one must do alone, 1 for each that does."""
    need = _exactly(plan.need)
    weights = [_exactly(contribution.weight) for contribution in plan.contributions]
    if not plan.any_one:
        return need, weights
    return min(1, math.ceil(need)), [1 if weight >= need else 0 for weight in weights]


def group_of(group: Capability, conditions: Conditions, budget: float, pool_budget: float) -> Group:
    if len({plan.any_one for plan in group.lines}) > 1:
        raise ValueError("the lines of one capability are either all met by any one contribution or all by the sum")
    courses = [course_of(plan, conditions, budget) for plan in group.lines]
    pool = _pool_of(group, conditions, pool_budget)
    chances = list(conditions.chances)
    _tie_split_pledges(courses, chances)
    _merge_equal_conditions(courses, chances)
    _keep_shared_conditions(courses)
    for course in courses:
        course.chances = chances
    return Group(courses, pool, budget, *_active(courses))


def _active(courses: list[Course]) -> tuple[list[int], list[int], list[list[tuple[int, int]]]]:
    """Return first and last days of the stretches with an active line, and for each its lines with their
    stretches.
    """
    cuts = sorted({day for course in courses for day in (*course.firsts, course.lasts[-1] + 1)})
    firsts, lasts, active = [], [], []
    for begin, end in pairwise(cuts):
        standing = [
            (line, bisect_right(course.firsts, begin) - 1)
            for line, course in enumerate(courses)
            if course.firsts[0] <= begin <= course.lasts[-1]
        ]
        if standing:
            firsts.append(begin)
            lasts.append(end - 1)
            active.append(standing)
    return firsts, lasts, active


def _pool_of(group: Capability, conditions: Conditions, budget: float) -> Course:
    """Return the sum of everything, against the sum of the needs of the lines active that day."""
    active = sorted({plan.first for plan in group.lines} | {plan.last + 1 for plan in group.lines})
    if not active:
        return Course([], [], [], 1, budget, [], [])
    contributions = group.pool if group.pool is not None else _added_up(group.lines)
    needs = [_exactly(plan.need) for plan in group.lines]
    weights = [_exactly(contribution.weight) for contribution in contributions]
    if group.lines[0].any_one:
        smallest = min((need for need in needs if need > 0), default=1)
        weights = [weight // smallest for weight in weights]
        needs = [min(1, math.ceil(need)) for need in needs]
    scale = _scale_of([*needs, *weights])
    pieces = _pieces(contributions, weights, scale, active[0], active[-1] - 1, conditions)
    cuts = sorted({*active, *(piece.first for piece in pieces), *(piece.last + 1 for piece in pieces)})
    whole_needs = [int(need * scale) for need in needs]
    firsts, lasts, totals = [], [], []
    for begin, end in pairwise(cuts):
        standing = [
            need for plan, need in zip(group.lines, whole_needs, strict=True) if plan.first <= begin <= plan.last
        ]
        if standing:
            firsts.append(begin)
            lasts.append(end - 1)
            totals.append(min(sum(standing), LARGEST_TOTAL))
    pieces = [piece for piece in pieces if bisect_left(firsts, piece.first) < bisect_right(lasts, piece.last)]
    return Course(firsts, lasts, totals, scale, budget, pieces, conditions.chances)


def _added_up(plans: Sequence[Plan]) -> list[Contribution]:
    """Return each pledge's pieces on all lines as one contribution per stretch of days, its weights added."""
    by_pledge: dict[int, list[Contribution]] = {}
    for plan in plans:
        for piece in plan.contributions:
            first, last = max(piece.first, plan.first), min(piece.last, plan.last)
            if first <= last:
                cut = Contribution(piece.pledge, piece.weight, piece.chance, first, last, piece.conditions)
                by_pledge.setdefault(piece.pledge, []).append(cut)
    found = []
    for pieces in by_pledge.values():
        if len(pieces) == 1:
            found += pieces
            continue
        cuts = sorted({piece.first for piece in pieces} | {piece.last + 1 for piece in pieces})
        for begin, end in pairwise(cuts):
            standing = [piece for piece in pieces if piece.first <= begin <= piece.last]
            if standing:
                weight = sum(_exactly(piece.weight) for piece in standing)
                one = standing[0]
                found.append(Contribution(one.pledge, weight, one.chance, begin, end - 1, one.conditions))
    return found


def _tie_split_pledges(courses: list[Course], chances: list[float]) -> None:
    """Let pieces of one pledge on several lines on the same day share one event: it becomes a condition of
    its own.
    """
    by_pledge: dict[int, list[tuple[int, int]]] = {}
    for line, course in enumerate(courses):
        for place, piece in enumerate(course.pieces):
            by_pledge.setdefault(piece.pledge, []).append((line, place))
    for pledge, places in by_pledge.items():
        if len({line for line, _ in places}) < 2:
            continue
        places.sort(key=lambda at: courses[at[0]].pieces[at[1]].first)
        for together in _overlapping(courses, places):
            pieces = [courses[line].pieces[place] for line, place in together]
            if len(together) < 2:
                continue
            if len({piece.gate for piece in pieces}) > 1 or np.ptp([piece.chance for piece in pieces]) > SAME_CHANCE:
                raise ValueError(f"pledge {pledge} has different chances or conditions on one day")
            if pieces[0].chance < 1:
                event = 1 << len(chances)
                chances.append(pieces[0].chance)
                for line, place in together:
                    piece = courses[line].pieces[place]
                    courses[line].pieces[place] = piece._replace(chance=1.0, gate=piece.gate | event)


def _overlapping(courses: list[Course], places: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Cut pieces, ordered by their first day, into runs that overlap in time."""
    runs: list[list[tuple[int, int]]] = []
    until = None
    for line, place in places:
        piece = courses[line].pieces[place]
        if until is None or piece.first > until:
            runs.append([])
            until = piece.last
        runs[-1].append((line, place))
        until = max(until, piece.last)
    return runs


def _merge_equal_conditions(courses: list[Course], chances: list[float]) -> None:
    """Replace conditions that gate exactly the same pieces by one: they are needed together or not at all."""
    gated: dict[int, list[tuple[int, int]]] = {}
    for line, course in enumerate(courses):
        for place, piece in enumerate(course.pieces):
            for c in elimination.bits(piece.gate):
                gated.setdefault(c, []).append((line, place))
    alike: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for c in sorted(gated):
        alike.setdefault(tuple(gated[c]), []).append(c)
    gone = 0
    for same in alike.values():
        for c in same[1:]:
            chances[same[0]] *= chances[c]
            gone |= 1 << c
    if gone:
        for course in courses:
            course.pieces = [piece._replace(gate=piece.gate & ~gone) for piece in course.pieces]


def _keep_shared_conditions(courses: list[Course]) -> None:
    """Mark for each stretch the conditions on which other lines hang at about that time."""
    spans: dict[int, dict[int, tuple[int, int]]] = {}
    for line, course in enumerate(courses):
        for piece in course.pieces:
            for c in elimination.bits(piece.gate):
                first, last = spans.setdefault(c, {}).get(line, (piece.first, piece.last))
                spans[c][line] = min(first, piece.first), max(last, piece.last)
    for c, by_line in spans.items():
        begins = sorted(first for first, _ in by_line.values())
        ends = sorted(last for _, last in by_line.values())
        for line, (first, last) in by_line.items():
            course = courses[line]
            for t in range(bisect_left(course.lasts, first), bisect_right(course.firsts, last)):
                # The lines whose span touches the stretch: those that have begun, less those that have ended.
                touching = bisect_right(begins, course.lasts[t]) - bisect_left(ends, course.firsts[t])
                if touching > 1:
                    course.kept[t] |= 1 << c
