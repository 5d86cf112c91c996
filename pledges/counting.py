"""How much counts, on which days: plain arithmetic over loaded rows, without the database.

Time is cut into stretches on which nothing changes. A pledge counts in exactly one level on the days it can stand; a
requirement line is answered by its allocations alone; a surplus on one line never hides a gap on another.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import accumulate, pairwise
from operator import add

LEVELS = ("signalled", "offered", "conditional", "firm", "ready", "deploying", "in_place")
BLOCKED = "blocked"
FIRM = "firm"  # the threshold for need, gap, share and order unless the viewer picks another
STANDING = ("deploying", "in_place")

ZERO = Decimal(0)
NOTHING = (ZERO,) * len(LEVELS)
NONE_OF_ANY = (0,) * len(LEVELS)
_PLACE = {level: place for place, level in enumerate(LEVELS)}
_DAY = timedelta(days=1)

Sums = tuple[Decimal | int, ...]  # one per level, in the order of LEVELS
Counts = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PledgeRow:
    """A pledge on the ladder as ``with_standing`` annotates it. ``last`` is the last day, None open-ended."""

    id: int
    nation: str
    tier: int
    superseded_tier: int | None
    level: str
    first: date
    last: date | None
    quantity: Decimal | int | None
    notice_days: int = 0
    has_open: bool = False

    def counts_at(self, tier: int) -> bool:
        """The rule of ``PledgeQuerySet.counted_at``: seen by the tier, and not superseded by anything it sees."""
        return self.tier <= tier and (self.superseded_tier is None or self.superseded_tier > tier)


@dataclass(frozen=True, slots=True)
class LineRow:
    """A requirement line. ``last`` is the last day it is needed, None open-ended."""

    id: int
    tier: int
    quantity: Decimal | int
    first: date
    last: date | None
    priority: int = 2
    notice_days: int | None = None


@dataclass(frozen=True, slots=True)
class AllocationRow:
    """So much of a pledge answers a line."""

    pledge_id: int
    line_id: int
    quantity: Decimal | int


@dataclass(frozen=True, slots=True)
class Plan:
    """All that one operation has of one capability. ``any_alone``: a line is met by one pledge alone, or not at all."""

    pledges: tuple[PledgeRow, ...] = ()
    lines: tuple[LineRow, ...] = ()
    allocations: tuple[AllocationRow, ...] = ()
    any_alone: bool = False

    def seen_at(self, tier: int) -> "Plan":
        """Return what stands in the aggregates of a tier: an allocation needs both its ends there."""
        pledges = tuple(pledge for pledge in self.pledges if pledge.counts_at(tier))
        lines = tuple(line for line in self.lines if line.tier <= tier)
        pledge_ids, line_ids = {pledge.id for pledge in pledges}, {line.id for line in lines}
        allocations = tuple(a for a in self.allocations if a.pledge_id in pledge_ids and a.line_id in line_ids)
        return Plan(pledges, lines, allocations, self.any_alone)

    def with_whole_numbers(self) -> "Plan":
        """Return the same plan with whole quantities as int, which add up several times faster; counts are the same."""
        return Plan(
            tuple(
                pledge if pledge.quantity is None else replace(pledge, quantity=_whole(pledge.quantity))
                for pledge in self.pledges
            ),
            tuple(replace(line, quantity=_whole(line.quantity)) for line in self.lines),
            tuple(replace(allocation, quantity=_whole(allocation.quantity)) for allocation in self.allocations),
            self.any_alone,
        )


@dataclass(frozen=True, slots=True)
class LineCount:
    """One line on one stretch. ``need`` is None on days it is not needed; ``covered`` and ``reserve`` per threshold."""

    need: Decimal | int | None = None
    allocated: Sums = NOTHING
    covered: Sums = NOTHING
    reserve: Sums = NOTHING
    open_conditions: int = 0  # allocated pledges that deploy or are in place and hang on an open condition
    slow: int = 0  # allocated pledges whose notice to move is longer than the line asks for


@dataclass(frozen=True, slots=True)
class CapabilityCount:
    """One capability on one stretch, sums over its lines active then. Thresholds as in LEVELS: that level or better."""

    levels: Sums = NOTHING  # planning quantity that stands, per level
    unquantified: Counts = NONE_OF_ANY  # pledges that stand without a planning quantity, per level
    blocked: Decimal | int = ZERO  # what would stand had no condition failed: in no level
    blocked_pledges: int = 0
    free: Sums = NOTHING  # what stands and is allocated to no line of that day, per level
    need: Decimal | int = ZERO
    lines: int = 0
    priority: int | None = None  # the most pressing of the lines, 1 to 3
    allocated: Sums = NOTHING  # per level
    covered: Sums = NOTHING  # Σ min(allocated, need), per threshold
    reserve: Sums = NOTHING  # Σ of what is allocated beyond need, per threshold
    met: Counts = NONE_OF_ANY  # lines met, per threshold
    open_conditions: int = 0  # pledges that deploy or are in place and hang on an open condition
    slow: int = 0  # allocations whose pledge has a longer notice to move than the line asks for


@dataclass(frozen=True, slots=True)
class LineCounts:
    """A line over time: stretch ``i`` begins on ``starts[i]``; the last one goes on for ever."""

    starts: tuple[date, ...]
    stretches: tuple[LineCount, ...]


@dataclass(frozen=True, slots=True)
class NationCount:
    """What one nation has on the ladder in one level, whenever it can stand."""

    pledges: int = 0
    quantity: Decimal | int = ZERO
    unquantified: int = 0


@dataclass(frozen=True, slots=True)
class PlanCounts:
    """The whole answer for one capability, as far as it was given in the plan."""

    starts: tuple[date, ...]
    stretches: tuple[CapabilityCount, ...]
    lines: dict[int, LineCounts]
    nations: dict[str, dict[str, NationCount]]  # nation → level or blocked


class _Steps:
    """By how much each measure of a CapabilityCount rises where a stretch begins; added up, it is the measure itself."""

    PER_LEVEL = ("levels", "unquantified", "free", "allocated", "covered", "reserve", "met")
    SINGLE = ("blocked", "blocked_pledges", "need", "lines", "open_conditions", "slow", "first", "second", "third")

    def __init__(self, size: int):
        self.size = size
        # A list per level, made when something is there: most measures of most levels are nothing.
        self.per_level: dict[str, list] = {name: [None] * len(LEVELS) for name in self.PER_LEVEL}
        self.single: dict[str, list] = {name: [0] * (size + 1) for name in self.SINGLE}

    def add(self, name: str, place: int, span: range, amount: Decimal | int) -> None:
        column = self.per_level[name][place]
        if column is None:
            column = self.per_level[name][place] = [0] * (self.size + 1)
        column[span.start] += amount
        column[span.stop] -= amount

    def add_all(self, name: str, span: range, amounts: Iterable[Decimal | int]) -> None:
        for place, amount in enumerate(amounts):
            if amount:
                self.add(name, place, span, amount)

    def add_single(self, name: str, span: range, amount: Decimal | int) -> None:
        column = self.single[name]
        column[span.start] += amount
        column[span.stop] -= amount

    def added_up(self) -> tuple[CapabilityCount, ...]:
        """Return one count per stretch."""
        measures = {name: accumulate(column[:-1]) for name, column in self.single.items()}
        for name, columns in self.per_level.items():
            nothing = [0] * self.size
            found = [nothing if column is None else accumulate(column[:-1]) for column in columns]
            measures[name] = zip(*found, strict=True)
        priorities = (
            1 if one else 2 if two else 3 if three else None
            for one, two, three in zip(
                measures.pop("first"), measures.pop("second"), measures.pop("third"), strict=True
            )
        )
        names = tuple(measures)
        return tuple(
            CapabilityCount(priority=priority, **dict(zip(names, values, strict=True)))
            for priority, *values in zip(priorities, *measures.values(), strict=True)
        )


def _whole(quantity: Decimal | int) -> Decimal | int:
    whole = int(quantity)
    return whole if whole == quantity else quantity


def or_better(sums: Iterable) -> tuple:
    """Return per threshold the sum of that level and all better ones."""
    total, reached = 0, []
    for value in reversed(tuple(sums)):
        total += value
        reached.append(total)
    return tuple(reversed(reached))


def at_or_above(threshold: str) -> tuple[str, ...]:
    """Return a level and all better ones. Raises KeyError for an unknown level."""
    return LEVELS[_PLACE[threshold] :]


def place_of(level: str) -> int:
    """Return a level's place in the tuples of sums. Raises KeyError for an unknown level."""
    return _PLACE[level]


def breakpoints(today: date, windows: Iterable[tuple[date, date | None]]) -> tuple[date, ...]:
    """Return the days from today on which something begins, or has ended the day before; today is the first."""
    days = {today}
    for first, last in windows:
        days.add(first)
        if last is not None and last < date.max:
            days.add(last + _DAY)
    return tuple(sorted(day for day in days if day >= today))


def count(plan: Plan, *, today: date) -> PlanCounts:
    """Return what counts from today on, over all rows of the plan; ``plan.seen_at(tier)`` picks a tier's rows."""
    pledge_of = {pledge.id: pledge for pledge in plan.pledges}
    answers: dict[int, list[AllocationRow]] = {line.id: [] for line in plan.lines}
    given: dict[int, list[AllocationRow]] = {}
    for allocation in plan.allocations:
        answers[allocation.line_id].append(allocation)
        given.setdefault(allocation.pledge_id, []).append(allocation)

    line_counts = {
        line.id: _count_line(line, answers[line.id], pledge_of, today, any_alone=plan.any_alone) for line in plan.lines
    }
    windows = [(row.first, row.last) for row in (*plan.pledges, *plan.lines)]
    starts = breakpoints(today, windows)
    steps = _Steps(len(starts))
    lines = {line.id: line for line in plan.lines}
    for pledge in plan.pledges:
        taken = [(a.quantity, _span(starts, lines[a.line_id])) for a in given.get(pledge.id, ())]
        _add_pledge(pledge, taken, _span(starts, pledge), steps)
    for line in plan.lines:
        _add_line(line, line_counts[line.id], starts, steps)
    return PlanCounts(starts, steps.added_up(), line_counts, _count_nations(plan.pledges))


def over_lines(lines: Iterable[tuple[int, LineCount]]) -> CapabilityCount:
    """Return the sums over active lines, given with their priority; as levels stands what is allocated to them."""
    pairs = list(lines)
    counts = [line for _, line in pairs]
    allocated = _added(line.allocated for line in counts)
    return CapabilityCount(
        levels=allocated,
        need=sum((line.need for line in counts), ZERO),
        lines=len(counts),
        priority=min((priority for priority, _ in pairs), default=None),
        allocated=allocated,
        covered=_added(line.covered for line in counts),
        reserve=_added(line.reserve for line in counts),
        met=tuple(sum(line.covered[place] == line.need for line in counts) for place in range(len(LEVELS))),
        open_conditions=sum(line.open_conditions for line in counts),
        slow=sum(line.slow for line in counts),
    )


def _span(starts: tuple[date, ...], row: PledgeRow | LineRow) -> range:
    """Return the stretches that lie within a row's window."""
    return range(bisect_left(starts, row.first), len(starts) if row.last is None else bisect_right(starts, row.last))


def _count_line(
    line: LineRow,
    allocations: list[AllocationRow],
    pledge_of: dict[int, PledgeRow],
    today: date,
    *,
    any_alone: bool,
) -> LineCounts:
    answers = [
        (pledge, min(allocation.quantity, pledge.quantity))
        for allocation in allocations
        if (pledge := pledge_of[allocation.pledge_id]).quantity is not None and pledge.level != BLOCKED
    ]
    inside = [
        (max(pledge.first, line.first), pledge.last if line.last is None else min(pledge.last or date.max, line.last))
        for pledge, _ in answers
    ]
    starts = breakpoints(
        today,
        [(line.first, line.last), *((first, last) for first, last in inside if last is None or first <= last)],
    )
    stretches = [LineCount()] * len(starts)
    for i in _span(starts, line):
        standing = [
            (pledge, quantity)
            for pledge, quantity in answers
            if pledge.first <= starts[i] and (pledge.last is None or starts[i] <= pledge.last)
        ]
        stretches[i] = _line_count(line, standing, any_alone=any_alone)
    return LineCounts(starts, tuple(stretches))


def _line_count(line: LineRow, standing: list[tuple[PledgeRow, Decimal]], *, any_alone: bool) -> LineCount:
    need = line.quantity
    if not standing:
        return LineCount(need=need)
    allocated: list[Decimal | int] = [0] * len(LEVELS)
    largest = allocated.copy()
    for pledge, quantity in standing:
        place = _PLACE[pledge.level]
        allocated[place] += quantity
        largest[place] = max(largest[place], quantity)
    reached = or_better(allocated)
    if any_alone:
        covered = tuple(need if max(largest[place:]) >= need else 0 for place in range(len(LEVELS)))
    else:
        covered = tuple(min(sum_, need) for sum_ in reached)
    return LineCount(
        need=need,
        allocated=tuple(allocated),
        covered=covered,
        reserve=_reserve(reached, covered, need),
        open_conditions=sum(pledge.has_open and pledge.level in STANDING for pledge, _ in standing),
        slow=sum(line.notice_days is not None and pledge.notice_days > line.notice_days for pledge, _ in standing),
    )


def _reserve(reached: Sums, covered: Sums, need: Decimal) -> Sums:
    """Return what is allocated beyond the need of a line that is met, per threshold."""
    if max(reached) <= need:
        return NOTHING
    return tuple(max(sum_ - need, 0) if part == need else 0 for sum_, part in zip(reached, covered, strict=True))


def _add_pledge(pledge: PledgeRow, taken: list[tuple[Decimal, range]], span: range, steps: _Steps) -> None:
    """Add a pledge where it stands; ``taken``: what of it is allocated, and on which stretches that line is needed."""
    if not span:
        return
    if pledge.level == BLOCKED:
        steps.add_single("blocked_pledges", span, 1)
        steps.add_single("blocked", span, pledge.quantity or 0)
        return
    place = _PLACE[pledge.level]
    if pledge.has_open and pledge.level in STANDING:
        steps.add_single("open_conditions", span, 1)
    if pledge.quantity is None:
        steps.add("unquantified", place, span, 1)
        return
    steps.add("levels", place, span, pledge.quantity)
    inside = [(quantity, range(max(at.start, span.start), min(at.stop, span.stop))) for quantity, at in taken]
    cuts = sorted({span.start, span.stop, *(cut for _, at in inside if at for cut in (at.start, at.stop))})
    for begin, end in pairwise(cuts):
        bound = sum((quantity for quantity, at in inside if begin in at))
        if bound < pledge.quantity:
            steps.add("free", place, range(begin, end), pledge.quantity - bound)


def _add_line(line: LineRow, counts: LineCounts, starts: tuple[date, ...], steps: _Steps) -> None:
    begins = [bisect_left(starts, day) for day in counts.starts]  # each of them is a start of the whole
    for begin, end, count in zip(begins, [*begins[1:], len(starts)], counts.stretches, strict=True):
        if count.need is None:
            continue
        span = range(begin, end)
        steps.add_single("need", span, count.need)
        steps.add_single("lines", span, 1)
        steps.add_single(("first", "second", "third")[line.priority - 1], span, 1)
        steps.add_single("slow", span, count.slow)
        steps.add_all("allocated", span, count.allocated)
        steps.add_all("covered", span, count.covered)
        steps.add_all("reserve", span, count.reserve)
        steps.add_all("met", span, [part == count.need for part in count.covered])


def _added(rows: Iterable[Sums]) -> Sums:
    total = NOTHING
    for row in rows:
        if row is not NOTHING:
            total = row if total is NOTHING else tuple(map(add, total, row))
    return total


def _count_nations(pledges: Iterable[PledgeRow]) -> dict[str, dict[str, NationCount]]:
    nations: dict[str, dict[str, NationCount]] = {}
    for pledge in pledges:
        levels = nations.setdefault(pledge.nation, {})
        before = levels.get(pledge.level, NationCount())
        levels[pledge.level] = NationCount(
            before.pledges + 1,
            before.quantity + (pledge.quantity or 0),
            before.unquantified + (pledge.quantity is None),
        )
    return nations
