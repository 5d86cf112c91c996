"""How sure is it that a need is met, on each day, given what was pledged and what the pledges hang on?

Numbers in, numbers out: nothing here knows the database. Days are whole numbers counted from any day the caller
likes, the last day of a window counts. Conditions are named by their place in the sequence of their chances; they are
independent of each other and *shared*: two pledges that hang on one condition come or stay away together. Pledges are
independent once the conditions are known. So the chance of a sum is not the product of averages.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from pledges import elimination, enumeration, sampling

Quantity = int | float | Decimal | Fraction

EXACT, BINNED, SAMPLED = "exact", "binned", "sampled"
TOLERANCE = 1e-12  # of a comparison between chances: they are sums of many roundings
DECIMALS = 6  # quantities are read to so many
LARGEST_TOTAL = 1 << 62
LINE_BUDGET = 2e8  # elementary steps for one need line's exact answer: about 0.2 s
POOL_BUDGET = 1e7  # the same for a capability's pooled sum, which is shown as an upper bound only
PATIENCE = 4  # so many times the budget may be used when an exact answer would cost more than the budget
FINE_ERROR = 0.005  # of P(met): then the cheapest way that promises this error is taken
SHORT_CELLS = 14  # a sum with up to 2^14 subsets and worlds is listed without asking
LONGEST_SHORT, MOST_SHORT_CELLS = (
    16,
    20,
)  # where elimination is dearer: so many contributions, 2^20 subsets and worlds
WIDEST_JOINT = 8  # conditions whose worlds are listed for a joint chance; above, they are eliminated
MOST_JOINT_CELLS = 1 << 20  # of a product of lines while they are
LONGEST_RUN = 16  # stretches that are multiplied side by side


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one pledge brings to one need on the days `first` to `last`; it never stands when first > last.

    `pledge` is a whole number that names the pledge wherever it appears: pieces of one pledge on the same day, on
    different lines, come together or not at all. `weight` is the planning quantity, at least 0, in the capability's
    unit. `chance` (0 to 1) is what is left once every one of `conditions` holds: the step's certainty times
    staleness. Raises ValueError when a number is not one or out of range.
    """

    pledge: int
    weight: Quantity
    chance: float
    first: int
    last: int
    conditions: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.pledge < 1 << 63:
            raise ValueError(f"pledge must be a number from 0, not {self.pledge!r}")
        _demand_quantity(f"weight of pledge {self.pledge}", self.weight)
        _demand_chance(f"chance of pledge {self.pledge}", self.chance)


@dataclass(frozen=True, slots=True)
class Plan:
    """One need line: `need` (at least 0, 0 is always met) on the days `first` to `last`, and what is allocated to it.

    With `any_one` the need is met by one contribution that alone reaches it; then contributions count 1 if they do,
    and all quantities in the answer are numbers of such contributions. Raises ValueError for a need that is no
    quantity or days in the wrong order.
    """

    need: Quantity
    first: int
    last: int
    contributions: tuple[Contribution, ...] = ()
    any_one: bool = False

    def __post_init__(self) -> None:
        _demand_quantity("need", self.need)
        if self.first > self.last:
            raise ValueError(f"the line ends on day {self.last}, before it begins on day {self.first}")


@dataclass(frozen=True, slots=True)
class Capability:
    """The need lines of one capability, and what could be moved between them.

    `pool` holds every contribution of the capability with its whole quantity and window, allocated or not. None: the
    lines' own contributions, pieces of one pledge on one day added up.
    """

    lines: tuple[Plan, ...]
    pool: tuple[Contribution, ...] | None = None


@dataclass(frozen=True, slots=True)
class LineAnswer:
    """One need line; every array has one entry per stretch, the stretches cover the line's days in order.

    `first`, `last`: days, both count. `p_met`: P(sum >= need), 0 to 1. `expected`: E[sum]. `coverage`: E[min(sum,
    need)] / need, 0 to 1, NaN where the need is 0. `x10`, `x50`, `x90`: quantities; x10 is the largest that is reached
    with at least 90 %, so need <= x10 exactly when p_met >= 0.9. `method`: "exact", "binned" or "sampled". `error`:
    how far p_met can be off (0 when exact; when sampled, but for one case in a million). `quantity_error`: how far
    coverage times need, and in a binned answer the percentiles, can be off, in the unit of the need.
    """

    first: np.ndarray
    last: np.ndarray
    p_met: np.ndarray
    expected: np.ndarray
    coverage: np.ndarray
    x10: np.ndarray
    x50: np.ndarray
    x90: np.ndarray
    method: tuple[str, ...]
    error: np.ndarray
    quantity_error: np.ndarray


@dataclass(frozen=True, slots=True)
class CapabilityAnswer:
    """One capability: its lines in order, and per stretch of days on which a line is active the chance of all of them.

    `p_all`: P(every line active that day is met as allocated). `worst`: the place in `lines` of the active line with
    the lowest p_met, the first of equals. `error` and `method` are those of `p_all`. `pooled`: the sum of the pool
    against the sum of the active lines' needs, an upper bound, "if everything could be moved". With `any_one` it counts
    how often the smallest need would fit into what comes, against the number of active lines. Stretches of `pooled` are its own. A capability without lines has
    empty arrays.
    """

    lines: tuple[LineAnswer, ...]
    first: np.ndarray
    last: np.ndarray
    p_all: np.ndarray
    worst: np.ndarray
    method: tuple[str, ...]
    error: np.ndarray
    pooled: LineAnswer


class Crossing(NamedTuple):
    """From which day something holds: `day`, None if never; `lost_on` the day it is lost again, None if it lasts."""

    day: int | None
    lost_on: int | None


def staleness(days_overdue: float, half_life_days: float) -> float:
    """Return what is left of a certainty, 0 to 1, that is overdue for confirmation: half per half-life, 1 if not overdue.

    Raises ValueError when the half-life is not above 0 or a number is not one.
    """
    if not half_life_days > 0 or math.isnan(days_overdue):
        raise ValueError("staleness needs a number of days and a half-life above 0 days")
    return 2.0 ** (-max(0.0, float(days_overdue)) / float(half_life_days))


def lines(plans: Sequence[Plan], conditions: Sequence[float], *, budget: float = LINE_BUDGET) -> list[LineAnswer]:
    """Return the answer for each need line, all of them worked out together.

    `conditions` are chances: 1 for a condition met or waived, 0 for one that failed. `budget` bounds each line's
    elementary steps (see `LINE_BUDGET`); a line that would cost more is binned or sampled and says so. Raises
    ValueError for chances out of range, unknown conditions, a pledge twice on one line and day, and sums too large.
    """
    open_conditions = _checked(conditions)
    courses = [_course_of(plan, open_conditions, budget) for plan in plans]
    columns = _solved(courses)
    return [_answer(course, columns) for course in courses]


def capabilities(
    groups: Sequence[Capability],
    conditions: Sequence[float],
    *,
    budget: float = LINE_BUDGET,
    pool_budget: float = POOL_BUDGET,
) -> list[CapabilityAnswer]:
    """Return the answer for each capability with its lines, all worked out together. See `lines` for the arguments.

    `pool_budget` is the budget of each pooled sum.
    """
    open_conditions = _checked(conditions)
    prepared = [_prepared(group, open_conditions, budget, pool_budget) for group in groups]
    columns = _solved([course for group in prepared for course in (*group.courses, group.pool)])
    joints = _joined(prepared, columns)
    return [_capability_answer(group, columns, joint) for group, joint in zip(prepared, joints, strict=True)]


def holds_from(answer: LineAnswer | CapabilityAnswer, level: float = 0.8) -> Crossing:
    """Return from which day the chance is at least `level`: the first day after which that stays so to the end.

    Where it does not hold at the end: the first day it holds, and the day it is lost for the first time. Never:
    (None, None).
    """
    chances = answer.p_met if isinstance(answer, LineAnswer) else answer.p_all
    holds = chances >= level - TOLERANCE
    if not holds.any():
        return Crossing(None, None)
    if holds[-1]:
        misses = np.flatnonzero(~holds)
        begin = misses[-1] + 1 if len(misses) else 0
        return Crossing(int(answer.first[begin]), None)
    begin = int(np.argmax(holds))
    lost = begin + int(np.argmin(holds[begin:]))
    return Crossing(int(answer.first[begin]), int(answer.first[lost]))


# What is given, made ready to be worked out -------------------------------------------------------------------------


class _Conditions(NamedTuple):
    chances: list[float]
    count: int


class _Piece(NamedTuple):
    pledge: int
    weight: int
    chance: float
    gate: int  # a bit per condition that is neither certain nor impossible
    first: int
    last: int


@dataclass
class _Course:
    """One sum over time, an entry per stretch in each list. Needs and weights are whole multiples of 1 / scale."""

    firsts: list[int]
    lasts: list[int]
    needs: list[int]
    scale: int
    budget: float
    plain: list[_Piece]  # as given; a simulation draws these
    conditions: list[float]
    # The same pieces with their conditions tied and merged over the whole capability, and those conditions' chances.
    pieces: list[_Piece] = field(default_factory=list)
    chances: list[float] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)  # a mask of conditions by which P(met) is to be split
    slot: int = 0  # the place of its first stretch in the columns

    def __post_init__(self) -> None:
        self.pieces, self.chances = list(self.plain), self.conditions
        self.kept = [0] * len(self.firsts)

    def reach(self, piece: _Piece) -> tuple[int, int]:
        """Return the stretches begin <= t < end on which the piece stands."""
        return bisect_left(self.firsts, piece.first), bisect_right(self.lasts, piece.last)

    def slots(self) -> slice:
        """Return the places of its stretches in the columns."""
        return slice(self.slot, self.slot + len(self.firsts))


@dataclass
class _Group:
    """One capability: its lines, its pool, and the stretches of days on which at least one line is active."""

    courses: list[_Course]
    pool: _Course
    budget: float
    firsts: list[int]
    lasts: list[int]
    active: list[list[tuple[int, int]]]  # per stretch: (line, stretch of that line)


def _demand_chance(name: str, chance: float) -> None:
    if not 0 <= chance <= 1:
        raise ValueError(f"{name} must lie between 0 and 1, not {chance!r}")


def _demand_quantity(name: str, quantity: Quantity) -> None:
    if not (math.isfinite(quantity) and quantity >= 0):
        raise ValueError(f"{name} must be a finite number from 0, not {quantity!r}")


def _checked(conditions: Sequence[float]) -> _Conditions:
    for c, chance in enumerate(conditions):
        _demand_chance(f"chance of condition {c}", chance)
    return _Conditions([float(chance) for chance in conditions], len(conditions))


def _exactly(quantity: Quantity) -> Fraction | int:
    """Read a quantity as people wrote it: the float 0.1 is one tenth."""
    if isinstance(quantity, int):
        return quantity
    if isinstance(quantity, Fraction):
        return Fraction(round(quantity * 10**DECIMALS), 10**DECIMALS)
    return Fraction(round(Decimal(str(quantity)), DECIMALS))


def _scale_of(quantities: Iterable[Fraction | int]) -> int:
    return math.lcm(*{quantity.denominator for quantity in quantities})


def _pieces(
    contributions: Iterable[Contribution],
    weights: Iterable[Fraction | int],
    scale: int,
    first: int,
    last: int,
    conditions: _Conditions,
) -> list[_Piece]:
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
            found.append(_Piece(contribution.pledge, int(weight * scale), chance, gate, begin, end))
    _demand_each_pledge_once(found)
    if sum(piece.weight for piece in found) > LARGEST_TOTAL:
        raise ValueError("the quantities of one line add up to more than can be counted")
    return found


def _demand_each_pledge_once(pieces: list[_Piece]) -> None:
    until: dict[int, int] = {}
    for piece in sorted(pieces, key=lambda piece: piece.first):
        if piece.first <= until.get(piece.pledge, piece.first - 1):
            raise ValueError(f"pledge {piece.pledge} stands twice on one line on day {piece.first}")
        until[piece.pledge] = piece.last


def _course_of(plan: Plan, conditions: _Conditions, budget: float) -> _Course:
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
    return _Course(firsts, lasts, needs, scale, budget, pieces, conditions.chances)


def _counted(plan: Plan) -> tuple[Fraction | int, list[Fraction | int]]:
    """Return need and weights as they are counted: where one must do alone, 1 for each that does."""
    need = _exactly(plan.need)
    weights = [_exactly(contribution.weight) for contribution in plan.contributions]
    if not plan.any_one:
        return need, weights
    return min(1, math.ceil(need)), [1 if weight >= need else 0 for weight in weights]


def _prepared(group: Capability, conditions: _Conditions, budget: float, pool_budget: float) -> _Group:
    if len({plan.any_one for plan in group.lines}) > 1:
        raise ValueError("the lines of one capability are either all met by any one contribution or all by the sum")
    courses = [_course_of(plan, conditions, budget) for plan in group.lines]
    pool = _pool_of(group, conditions, pool_budget)
    chances = list(conditions.chances)
    _tie_split_pledges(courses, chances)
    _merge_equal_conditions(courses, chances)
    _keep_shared_conditions(courses)
    for course in courses:
        course.chances = chances
    return _Group(courses, pool, budget, *_active(courses))


def _active(courses: list[_Course]) -> tuple[list[int], list[int], list[list[tuple[int, int]]]]:
    """Return first and last days of the stretches with an active line, and for each its lines with their stretches."""
    cuts = sorted({day for course in courses for day in (*course.firsts, course.lasts[-1] + 1)})
    firsts, lasts, active = [], [], []
    for begin, end in zip(cuts, cuts[1:], strict=False):
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


def _pool_of(group: Capability, conditions: _Conditions, budget: float) -> _Course:
    """Return the sum of everything, against the sum of the needs of the lines active that day."""
    active = sorted({plan.first for plan in group.lines} | {plan.last + 1 for plan in group.lines})
    if not active:
        return _Course([], [], [], 1, budget, [], [])
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
    firsts, lasts, totals = [], [], []
    for begin, end in zip(cuts, cuts[1:], strict=False):
        standing = [n for n, plan in enumerate(group.lines) if plan.first <= begin <= plan.last]
        if standing:
            firsts.append(begin)
            lasts.append(end - 1)
            totals.append(min(int(sum(needs[n] for n in standing) * scale), LARGEST_TOTAL))
    pieces = [piece for piece in pieces if bisect_left(firsts, piece.first) < bisect_right(lasts, piece.last)]
    return _Course(firsts, lasts, totals, scale, budget, pieces, conditions.chances)


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
        for begin, end in zip(cuts, cuts[1:], strict=False):
            standing = [piece for piece in pieces if piece.first <= begin <= piece.last]
            if standing:
                weight = sum(_exactly(piece.weight) for piece in standing)
                one = standing[0]
                found.append(Contribution(one.pledge, weight, one.chance, begin, end - 1, one.conditions))
    return found


def _tie_split_pledges(courses: list[_Course], chances: list[float]) -> None:
    """Let pieces of one pledge on several lines on the same day share one event: it becomes a condition of its own."""
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
            if len({piece.gate for piece in pieces}) > 1 or np.ptp([piece.chance for piece in pieces]) > TOLERANCE:
                raise ValueError(f"pledge {pledge} has different chances or conditions on one day")
            if pieces[0].chance < 1:
                event = 1 << len(chances)
                chances.append(pieces[0].chance)
                for line, place in together:
                    piece = courses[line].pieces[place]
                    courses[line].pieces[place] = piece._replace(chance=1.0, gate=piece.gate | event)


def _overlapping(courses: list[_Course], places: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
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


def _merge_equal_conditions(courses: list[_Course], chances: list[float]) -> None:
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


def _keep_shared_conditions(courses: list[_Course]) -> None:
    """Mark for each stretch the conditions on which other lines hang at about that time."""
    spans: dict[int, dict[int, tuple[int, int]]] = {}
    for line, course in enumerate(courses):
        for piece in course.pieces:
            for c in elimination.bits(piece.gate):
                first, last = spans.setdefault(c, {}).get(line, (piece.first, piece.last))
                spans[c][line] = min(first, piece.first), max(last, piece.last)
    for c, by_line in spans.items():
        for line in by_line:
            course = courses[line]
            for other, (first, last) in by_line.items():
                if other != line:
                    for t in range(bisect_left(course.lasts, first), bisect_right(course.firsts, last)):
                        course.kept[t] |= 1 << c


# Working it out -----------------------------------------------------------------------------------------------------

_METHODS = (EXACT, BINNED, SAMPLED)
_SHARES = (0.1, 0.5, 0.9)


@dataclass
class _Columns:
    """One entry per stretch of every course. Quantities are in the course's whole numbers."""

    p_met: np.ndarray
    minimum: np.ndarray  # E[min(sum, need)]
    percentiles: np.ndarray  # (stretches, 3)
    method: np.ndarray  # place in _METHODS
    error: np.ndarray
    quantity_error: np.ndarray
    mask: list[int]  # the conditions by which P(met) is split, lowest bit first
    offset: np.ndarray  # where that split begins in the tables, -1 where there is none
    tables: list[np.ndarray] = field(default_factory=list)
    table_size: int = 0

    def add_tables(self, slots: Sequence[int], given: np.ndarray) -> None:
        """Store P(met) of each slot in each world, shape (slots, 2^k)."""
        self.offset[slots] = self.table_size + np.arange(len(slots)) * given.shape[1]
        self.tables.append(given.ravel())
        self.table_size += given.size


@dataclass
class _Stretch:
    """What is uncertain on one stretch of a course."""

    count: int
    members: list[int]  # empty when there are more than LONGEST_SHORT
    need: int  # what is left of it
    base: int  # what comes for certain
    mask: int = 0  # the conditions in hand: shared by members, or kept

    @property
    def cells(self) -> int:
        """Return log2 of the subsets and worlds."""
        return self.count + self.mask.bit_count()

    @property
    def can_be_listed(self) -> bool:
        return self.count <= LONGEST_SHORT and self.cells <= MOST_SHORT_CELLS

    @property
    def listing_steps(self) -> float:
        return 6.0 * (1 << self.cells) + 12.0 * (1 << self.count)


def _solved(courses: Sequence[_Course]) -> _Columns:
    size = 0
    for course in courses:
        course.slot = size
        size += len(course.firsts)
    columns = _Columns(
        p_met=np.zeros(size),
        minimum=np.zeros(size),
        percentiles=np.zeros((size, 3)),
        method=np.zeros(size, dtype=np.int8),
        error=np.zeros(size),
        quantity_error=np.zeros(size),
        mask=[0] * size,
        offset=np.full(size, -1),
    )
    batch: list[enumeration.Short] = []
    slots: list[int] = []
    bases: list[int] = []
    for course in courses:
        stretches = _stretches(course)
        short = [t for t, stretch in enumerate(stretches) if stretch.can_be_listed and stretch.cells <= SHORT_CELLS]
        if len(short) < len(stretches):
            known = set(short)
            short += _solve_long(course, stretches, [t for t in range(len(stretches)) if t not in known], columns)
        for t in short:
            batch.append(_short(course, stretches[t]))
            slots.append(course.slot + t)
            bases.append(stretches[t].base)
            columns.mask[course.slot + t] = stretches[t].mask
    for places, found in enumeration.subsets(batch):
        base = np.array([bases[place] for place in places], dtype=np.int64)
        _read_subsets(columns, [slots[place] for place in places], base, found)
    return columns


def _stretches(course: _Course) -> list[_Stretch]:
    size = len(course.firsts)
    uncertain, certain = [0] * (size + 1), [0] * (size + 1)
    reaches = []
    for i, piece in enumerate(course.pieces):
        begin, end = course.reach(piece)
        if piece.chance == 1 and not piece.gate:
            certain[begin] += piece.weight
            certain[end] -= piece.weight
        else:
            uncertain[begin] += 1
            uncertain[end] -= 1
            reaches.append((i, begin, end))
    counts, bases = list(accumulate(uncertain)), list(accumulate(certain))
    found = [_Stretch(counts[t], [], max(0, course.needs[t] - bases[t]), bases[t]) for t in range(size)]
    few = [count <= LONGEST_SHORT for count in counts]
    for i, begin, end in reaches:
        for t in range(begin, end):
            if few[t]:
                found[t].members.append(i)
    for t, stretch in enumerate(found):
        seen = twice = 0
        for i in stretch.members:
            gate = course.pieces[i].gate
            twice |= seen & gate
            seen |= gate
        stretch.mask = seen & (twice | course.kept[t])
    return found


def _short(course: _Course, stretch: _Stretch) -> enumeration.Short:
    """Number the conditions in hand from 0, and fold the others, which gate one member each, into its chance."""
    in_hand = elimination.bits(stretch.mask)
    weights, chances, gates = [], [], []
    for i in stretch.members:
        piece = course.pieces[i]
        chance, gate = piece.chance, 0
        if piece.gate:
            for c in elimination.bits(piece.gate & ~stretch.mask):
                chance *= course.chances[c]
            gate = sum(1 << place for place, c in enumerate(in_hand) if piece.gate >> c & 1)
        weights.append(piece.weight)
        chances.append(chance)
        gates.append(gate)
    return enumeration.Short(weights, chances, gates, [course.chances[c] for c in in_hand], stretch.need)


def _read_subsets(columns: _Columns, slots: list[int], base: np.ndarray, found: enumeration.Subsets) -> None:
    order = np.argsort(-found.totals, axis=1, kind="stable")
    totals = np.take_along_axis(found.totals, order, axis=1)
    # P(sum >= x), read at the last of the subsets with that total. P(met) comes from the same additions as the
    # percentiles, so that need <= x10 and P(met) >= 0.9 cannot differ by a rounding.
    at_least = np.cumsum(np.take_along_axis(found.chances, order, axis=1), axis=1)
    rows = np.arange(len(slots))
    meeting = (totals >= found.needs[:, None]).sum(axis=1)
    columns.p_met[slots] = np.where(meeting > 0, at_least[rows, meeting - 1], 0.0)
    columns.p_met[slots] = np.where(found.needs <= 0, 1.0, columns.p_met[slots])
    for place, share in enumerate(_SHARES):
        reached = at_least >= 1 - share - TOLERANCE
        # The smallest total is reached for certain, whatever the additions were rounded to.
        first = np.where(reached.any(axis=1), np.argmax(reached, axis=1), totals.shape[1] - 1)
        columns.percentiles[slots, place] = base + totals[rows, first]
    columns.minimum[slots] = base + (found.chances * np.minimum(found.totals, found.needs[:, None])).sum(axis=1)
    columns.add_tables(slots, found.given)


def _solve_long(course: _Course, stretches: list[_Stretch], where: list[int], columns: _Columns) -> list[int]:
    """Work out stretches with many contributions; return those that are better listed after all.

    What is exact and within the budget is preferred, the cheapest of it. Else the cheapest of what promises
    `FINE_ERROR`, and else what promises the smallest error, within `PATIENCE` times the budget.
    """
    kept = elimination.union(course.kept[t] for t in where)
    problem, members = _gated_sum(course, where, kept)
    order = elimination.schedule(problem)
    unit = _finest_unit(problem)
    exact = order.steps(unit) if _is_possible(order, unit) else math.inf
    listed = [t for t in where if stretches[t].can_be_listed]
    listing = sum(stretches[t].listing_steps for t in listed)
    if listed and exact > min(course.budget, listing):
        if len(listed) < len(where):
            rest = sorted(set(where) - set(listed))
            return _solve_long(course, stretches, listed, columns) + _solve_long(course, stretches, rest, columns)
        if listing <= course.budget:
            return listed
    if kept and exact > course.budget:
        problem, members = _gated_sum(course, where, 0)
        order = elimination.schedule(problem)
        exact = order.steps(unit) if _is_possible(order, unit) else math.inf
    patience = PATIENCE * course.budget
    draws = sampling.affordable_draws(len(members), len(where), 1, patience)
    ways = [
        _Way(_eliminate, 0.0, exact, unit),
        _Way(_simulate, sampling.error_of(draws), sampling.steps(len(members), len(where), 1, draws), draws),
    ]
    if listed:
        ways.append(_Way(None, 0.0, listing, 0))
    for bins in _widths(problem, order, unit, patience):
        ways.append(_Way(_eliminate, bins * _error_per_unit(problem), order.steps(bins), bins))
    way = _best(ways, course.budget)
    if way.work is None:
        return listed
    way.work(_Long(course, stretches, where, problem, members, order), way.fineness, columns)
    return []


class _Long(NamedTuple):
    """Stretches of a course, given by `where`, as one problem with its schedule; `members` are its pieces."""

    course: _Course
    stretches: list[_Stretch]
    where: list[int]
    problem: elimination.GatedSum
    members: list[int]
    order: elimination.Schedule


class _Way(NamedTuple):
    """How it could be worked out: with what error of P(met), at what cost; `fineness` is the bin width or the draws."""

    work: Callable[[_Long, int, _Columns], None] | None  # None: by listing
    error: float
    steps: float
    fineness: int


def _best(ways: list[_Way], budget: float) -> _Way:
    """Choose by the rule that `_solve_long` states. A simulation is always among the ways, however dear."""
    cheapest = min((way for way in ways if way.error == 0), key=lambda way: way.steps)
    if cheapest.steps <= budget:
        return cheapest
    affordable = [way for way in ways if way.steps <= PATIENCE * budget]
    fine = [way for way in affordable if way.error <= FINE_ERROR]
    if fine:
        return min(fine, key=lambda way: way.steps)
    return min(affordable or ways, key=lambda way: way.error if way.steps < math.inf else math.inf)


def _widths(problem: elimination.GatedSum, order: elimination.Schedule, unit: int, patience: float) -> list[int]:
    """Return widths of bins worth a look: the widest that promises `FINE_ERROR`, the narrowest that can be afforded."""
    if not problem.weights or order.fixed >= patience or not _is_possible(order, sum(problem.weights)):
        return []
    fine = int(FINE_ERROR / _error_per_unit(problem)) // unit * unit
    cheap = math.ceil(order.sliding / (patience - order.fixed))
    if order.states < elimination.MOST_CELLS:
        cheap = max(cheap, math.ceil(order.state_weight / (elimination.MOST_CELLS - order.states)))
    return [width for width in (fine, -(-cheap // unit) * unit) if width > unit and _is_possible(order, width)]


def _error_per_unit(problem: elimination.GatedSum) -> float:
    """Return about how much P(met) can be off per unit of the bins' width.

    A weight is off by a quarter of the width in the mean, half of them one way. The sums are taken to be spread like a
    normal distribution with the variance that independent contributions would have; the bound that is stored with the
    answer rests on neither.
    """
    count, variance = np.zeros(problem.stretches), np.zeros(problem.stretches)
    for i, weight in enumerate(problem.weights):
        at = slice(problem.begins[i], problem.ends[i])
        chance = problem.chances[i]
        for c in elimination.bits(problem.gates[i]):
            chance *= problem.conditions[c]
        count[at] += 1
        variance[at] += float(weight) ** 2 * chance * (1 - chance)
    return float((count / 8 / np.sqrt(2 * np.pi * np.maximum(variance, 1e-9))).max(initial=0.0))


def _gated_sum(course: _Course, where: list[int], kept: int) -> tuple[elimination.GatedSum, list[int]]:
    """Return the uncertain pieces on these stretches as one problem, and which pieces they are."""
    members, begins, ends = [], [], []
    for i, piece in enumerate(course.pieces):
        begin, end = course.reach(piece)
        begin, end = bisect_left(where, begin), bisect_left(where, end)
        if begin < end and (piece.chance < 1 or piece.gate):
            members.append(i)
            begins.append(begin)
            ends.append(end)
    pieces = [course.pieces[i] for i in members]
    problem = elimination.GatedSum(
        weights=[piece.weight for piece in pieces],
        chances=[piece.chance for piece in pieces],
        gates=[piece.gate for piece in pieces],
        begins=begins,
        ends=ends,
        stretches=len(where),
        conditions=course.chances,
        kept=kept,
    )
    return problem, members


def _finest_unit(problem: elimination.GatedSum) -> int:
    """Return the largest unit that divides all weights, 1 when there are none: with it nothing is rounded."""
    return math.gcd(*problem.weights) or 1


def _is_possible(order: elimination.Schedule, unit: int) -> bool:
    return order.frontier <= elimination.WIDEST_FRONTIER and order.cells(unit) <= elimination.MOST_CELLS


def _residue(problem: elimination.GatedSum, unit: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how far a sum can lie above, and how far below, the sum of its weights rounded to the unit, per stretch."""
    above, below = np.zeros(problem.stretches), np.zeros(problem.stretches)
    for i, weight in enumerate(problem.weights):
        rest = weight - unit * elimination.in_units(weight, unit)
        (above if rest > 0 else below)[problem.begins[i] : problem.ends[i]] += abs(rest)
    return above, below


def _eliminate(long: _Long, unit: int, columns: _Columns) -> None:
    course, stretches, where, problem, _, order = long
    values, axes = elimination.distribution(problem, order, unit)
    slots = [course.slot + t for t in where]
    rows = np.arange(len(where))
    needs = np.array([stretches[t].need for t in where], dtype=np.int64)
    base = np.array([stretches[t].base for t in where], dtype=np.int64)
    mixed = values[:, 0]
    if axes:
        chances = enumeration.worlds(np.array([[course.chances[c] for c in axes]]))[0]
        mixed = np.tensordot(values, chances, axes=(1, 0))
    longest = mixed.shape[1]
    at_least = np.zeros((len(where), longest + 1))
    at_least[:, :longest] = np.cumsum(mixed[:, ::-1], axis=1)[:, ::-1]

    def reached(quantity: np.ndarray) -> np.ndarray:
        """Return P(sum >= quantity), for one quantity per stretch; 1 where it is not above 0."""
        place = np.clip(np.ceil(quantity / unit), 0, longest).astype(np.int64)
        return np.where(quantity <= 0, 1.0, at_least[rows, place])

    place = np.minimum(-(-needs // unit), longest)
    columns.p_met[slots] = np.where(needs <= 0, 1.0, at_least[rows, place])
    for column, share in enumerate(_SHARES):
        largest = np.maximum((at_least >= 1 - share - TOLERANCE).sum(axis=1) - 1, 0)
        columns.percentiles[slots, column] = base + largest * unit
    # E[min(S, N)] is the sum of P(S >= x) over x = 1 ... N; P(S >= x) is a staircase with steps of one unit.
    whole = np.minimum(needs // unit, longest)
    running = np.concatenate((np.zeros((len(where), 1)), np.cumsum(at_least[:, 1:], axis=1)), axis=1)
    last_step = np.where(needs // unit < longest, (needs % unit) * at_least[rows, place], 0.0)
    columns.minimum[slots] = base + unit * running[rows, whole] + last_step
    if unit > _finest_unit(problem):
        above, below = _residue(problem, unit)
        high, low = reached(needs - above), reached(needs + below)
        columns.error[slots] = np.maximum(high - columns.p_met[slots], columns.p_met[slots] - low)
        columns.quantity_error[slots] = np.maximum(above, below)
        columns.method[slots] = _METHODS.index(BINNED)
    if not problem.kept and any(course.kept[t] for t in where):
        return  # the joint chance has to do without these
    given = np.array([values[row, :, place[row] :].sum(axis=1) for row in range(len(where))])
    given[needs <= 0] = 1.0
    columns.add_tables(slots, given)
    for slot in slots:
        columns.mask[slot] = sum(1 << c for c in axes)


def _simulate(long: _Long, draws: int, columns: _Columns) -> None:
    course, stretches, where, _, members, _ = long
    entries = [_entry(0, course.plain[i], course, where) for i in members]
    for row, totals in enumerate(sampling.sums(entries, course.conditions, 1, len(where), draws)):
        stretch, slot = stretches[where[row]], course.slot + where[row]
        columns.p_met[slot] = (totals[0] >= stretch.need).mean()
        columns.minimum[slot] = stretch.base + np.minimum(totals[0], stretch.need).mean()
        columns.percentiles[slot] = stretch.base + sampling.percentile(totals[0], _SHARES)
        columns.error[slot] = sampling.error_of(draws)
        columns.quantity_error[slot] = sampling.error_of(draws) * stretch.need
        columns.method[slot] = _METHODS.index(SAMPLED)


def _entry(line: int, piece: _Piece, course: _Course, where: list[int]) -> sampling.Entry:
    begin, end = (bisect_left(where, t) for t in course.reach(piece))
    return sampling.Entry(line, piece.pledge, piece.weight, piece.chance, piece.gate, begin, end)


# All lines at once --------------------------------------------------------------------------------------------------


@dataclass
class _Joint:
    """One entry per stretch of a group."""

    p_all: np.ndarray
    worst: np.ndarray
    method: np.ndarray
    error: np.ndarray


def _joined(groups: Sequence[_Group], columns: _Columns) -> list[_Joint]:
    """Return the joint chances. Given the conditions lines are independent: their split chances are multiplied."""
    tables = _Tables(np.concatenate((np.ones(1), *columns.tables)), columns.offset + 1, columns.mask)
    p_met, method, error = columns.p_met.tolist(), columns.method.tolist(), columns.error.tolist()
    is_split = (columns.offset >= 0).tolist()
    joints = []
    for group in groups:
        size = len(group.firsts)
        joint = _Joint(np.ones(size), np.zeros(size, int), np.zeros(size, np.int8), np.zeros(size))
        joints.append(joint)
        to_simulate, to_multiply = [], []
        for t, active in enumerate(group.active):
            slots = [group.courses[line].slot + stretch for line, stretch in active]
            joint.worst[t] = min(active, key=lambda at: p_met[group.courses[at[0]].slot + at[1]])[0]
            if all(is_split[slot] for slot in slots):
                joint.method[t] = max(method[slot] for slot in slots)
                joint.error[t] = min(1.0, 2 * sum(error[slot] for slot in slots))
                to_multiply.append((t, slots))
            else:
                to_simulate.append(t)
        for run in _runs(to_multiply, tables):
            to_simulate += _multiply(group, run, tables, joint)
        if to_simulate:
            _simulate_joint(group, sorted(to_simulate), joint)
    return joints


class _Tables(NamedTuple):
    """P(met) of all slots, split by their own conditions; `values[0]` is 1, for a line that is not active."""

    values: np.ndarray
    offset: np.ndarray
    mask: list[int]

    def split_by(self, slots: Sequence[int | None], conditions: int) -> np.ndarray:
        """Return P(met) of each slot (None: a line not active) in each world of these conditions, (slots, 2^k)."""
        known = elimination.bits(conditions)
        strides = np.zeros((len(slots), len(known)))
        begins = np.zeros(len(slots), dtype=np.int64)
        for row, slot in enumerate(slots):
            if slot is not None:
                begins[row] = self.offset[slot]
                # Bit j of a slot's own world number is the j-th of its own conditions.
                own = 1.0
                for place, c in enumerate(known):
                    if self.mask[slot] >> c & 1:
                        strides[row, place] = own
                        own *= 2
        holds = np.arange(1 << len(known))[None, :] >> np.arange(len(known))[:, None] & 1
        own_world = (strides @ holds.astype(np.float64)).astype(np.int64)
        return self.values[own_world + begins[:, None]]


_Run = list[tuple[int, list[int]]]  # stretches of a group that are multiplied side by side, with their slots


def _runs(stretches: _Run, tables: _Tables) -> list[_Run]:
    """Cut stretches into runs which hang on about the same conditions, so that one numpy call serves them all."""
    runs: list[_Run] = []
    together = most = 0
    for t, slots in stretches:
        mask = elimination.union(tables.mask[slot] for slot in slots)
        if not runs or len(runs[-1]) == LONGEST_RUN or (together | mask).bit_count() > most:
            runs.append([])
            together, most = 0, max(WIDEST_JOINT, mask.bit_count() + 2)
        together |= mask
        runs[-1].append((t, slots))
    return runs


def _multiply(group: _Group, run: _Run, tables: _Tables, joint: _Joint) -> list[int]:
    """Store the joint chances of the run's stretches; return those that hang together on too many conditions."""
    by_line: dict[int, list[int | None]] = {}
    for place, (t, slots) in enumerate(run):
        for (line, _), slot in zip(group.active[t], slots, strict=True):
            by_line.setdefault(line, [None] * len(run))[place] = slot
    factors = []
    for slots in by_line.values():
        mask = elimination.union(tables.mask[slot] for slot in slots if slot is not None)
        factors.append((mask, tables.split_by(slots, mask)))
    chances = group.courses[0].chances
    everything = elimination.union(mask for mask, _ in factors)
    if everything.bit_count() <= WIDEST_JOINT:
        product = math.prod(_spread(table, mask, everything) for mask, table in factors)
        worlds = enumeration.worlds(np.array([[chances[c] for c in elimination.bits(everything)]]))
        together = product.reshape(len(run), -1) @ worlds[0]
    else:
        together = _eliminated(factors, chances)
    if together is not None:
        joint.p_all[[t for t, _ in run]] = together
        return []
    if len(run) == 1:
        return [run[0][0]]
    return [t for one in run for t in _multiply(group, [one], tables, joint)]


def _spread(table: np.ndarray, mask: int, over: int) -> np.ndarray:
    """Give a table (stretches, 2^k) one axis per condition in `over`, highest first, as its numbering has it."""
    return table.reshape(len(table), *(2 if mask >> c & 1 else 1 for c in reversed(elimination.bits(over))))


def _eliminated(factors: list[tuple[int, np.ndarray]], chances: Sequence[float]) -> np.ndarray | None:
    """Return the chance that all hold, per stretch, eliminating one condition after the other; None when too wide.

    A factor is a mask of conditions and the chance in each of their worlds, shape (stretches, 2^k).
    """
    while True:
        reach: dict[int, int] = {}
        for mask, _ in factors:
            for c in elimination.bits(mask):
                reach[c] = reach.get(c, 0) | mask
        if not reach:
            return math.prod(table[:, 0] for _, table in factors)
        c = min(reach, key=lambda c: reach[c].bit_count())
        in_hand = reach[c]
        stretches = len(factors[0][1])
        if stretches << in_hand.bit_count() > MOST_JOINT_CELLS:
            return None
        product = math.prod(_spread(table, mask, in_hand) for mask, table in factors if mask >> c & 1)
        below = 1 << (in_hand & ((1 << c) - 1)).bit_count()
        split = product.reshape(stretches, -1, 2, below)
        rest = split[:, :, 0] + chances[c] * (split[:, :, 1] - split[:, :, 0])
        factors = [(mask, table) for mask, table in factors if not mask >> c & 1]
        factors.append((in_hand & ~(1 << c), rest.reshape(stretches, -1)))


def _simulate_joint(group: _Group, where: list[int], joint: _Joint) -> None:
    entries = []
    for line, course in enumerate(group.courses):
        for piece in course.plain:
            begin = bisect_left(where, bisect_left(group.firsts, piece.first))
            end = bisect_left(where, bisect_right(group.lasts, piece.last))
            if begin < end:
                entries.append(sampling.Entry(line, piece.pledge, piece.weight, piece.chance, piece.gate, begin, end))
    count = len(group.courses)
    draws = sampling.affordable_draws(len(entries), len(where), count, PATIENCE * group.budget)
    conditions = group.courses[0].conditions
    for t, totals in zip(where, sampling.sums(entries, conditions, count, len(where), draws), strict=True):
        met = np.ones(draws, dtype=bool)
        for line, stretch in group.active[t]:
            met &= totals[line] >= group.courses[line].needs[stretch]
        joint.p_all[t] = met.mean()
        joint.error[t] = sampling.error_of(draws)
        joint.method[t] = _METHODS.index(SAMPLED)


# What is handed back ------------------------------------------------------------------------------------------------


def _chance(values: np.ndarray) -> np.ndarray:
    """Take the last roundings off: what is 1 but for them is 1."""
    values = np.clip(values, 0.0, 1.0)
    return np.where(values > 1 - TOLERANCE, 1.0, values)


def _answer(course: _Course, columns: _Columns) -> LineAnswer:
    at = course.slots()
    expected = np.zeros(len(course.firsts))
    for piece in course.plain:
        chance = piece.chance
        for c in elimination.bits(piece.gate):
            chance *= course.conditions[c]
        begin, end = course.reach(piece)
        expected[begin:end] += piece.weight * chance
    needs = np.array(course.needs, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        coverage = np.where(needs > 0, np.minimum(columns.minimum[at] / needs, 1.0), np.nan)
    x10, x50, x90 = columns.percentiles[at].T / course.scale
    return LineAnswer(
        first=np.array(course.firsts, dtype=np.int64),
        last=np.array(course.lasts, dtype=np.int64),
        p_met=_chance(columns.p_met[at]),
        expected=expected / course.scale,
        coverage=coverage,
        x10=x10,
        x50=x50,
        x90=x90,
        method=tuple(_METHODS[m] for m in columns.method[at]),
        error=columns.error[at].copy(),
        quantity_error=columns.quantity_error[at] / course.scale,
    )


def _capability_answer(group: _Group, columns: _Columns, joint: _Joint) -> CapabilityAnswer:
    return CapabilityAnswer(
        lines=tuple(_answer(course, columns) for course in group.courses),
        first=np.array(group.firsts, dtype=np.int64),
        last=np.array(group.lasts, dtype=np.int64),
        p_all=_chance(joint.p_all),
        worst=joint.worst,
        method=tuple(_METHODS[m] for m in joint.method),
        error=joint.error,
        pooled=_answer(group.pool, columns),
    )
