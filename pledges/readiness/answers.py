"""What an answer says: one capability or one need on one day, a whole matrix, and what is derived from a count."""

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from pledges import counting
from pledges.counting import BLOCKED, FIRM, LEVELS, ZERO, CapabilityCount, LineCount
from pledges.sure import CapabilitySure, LineSure


@dataclass(frozen=True)
class Answer:
    """What capabilities and lines have in common. ``threshold``: this level or a better one covers a need."""

    threshold: str
    count: CapabilityCount | LineCount
    sure: CapabilitySure | LineSure | None  # how sure it is; None below the planning tier and on days without a need

    @property
    def _at(self) -> int:
        return counting.place_of(self.threshold)

    @property
    def need(self) -> Decimal | None:
        """Needed that day; None for a line that is not needed that day."""
        return self.count.need

    @property
    def covered(self) -> Decimal:
        """Σ min(allocated, need) over the lines."""
        return self.count.covered[self._at]

    @property
    def gap(self) -> Decimal:
        return (self.need or ZERO) - self.covered

    @property
    def share(self) -> float | None:
        """Covered share, 0 to 1; None where nothing is needed."""
        return float(self.covered / self.need) if self.need else None

    @property
    def reserve(self) -> Decimal:
        """Allocated beyond what is needed; it closes no gap elsewhere."""
        return self.count.reserve[self._at]

    @property
    def allocated(self) -> dict[str, Decimal]:
        """Allocated quantity that stands, per level."""
        return dict(zip(LEVELS, self.count.allocated, strict=True))


@dataclass(frozen=True)
class CapabilityAnswer(Answer):
    """One row of the matrix: one capability on one day.

    In a sector's matrix ``levels`` holds what is allocated to that sector's lines (a pledge has no sector of its own),
    nothing is unquantified or blocked, and ``free`` stays the free pool of the whole operation.
    """

    capability_id: int
    code: str
    name: str
    category: str
    unit: str
    count: CapabilityCount
    sure: CapabilitySure | None  # None in a sector's matrix: the joint chance is of all lines, wherever they are

    @property
    def levels(self) -> dict[str, Decimal]:
        """Planning quantity that stands, per level."""
        return dict(zip(LEVELS, self.count.levels, strict=True))

    @property
    def standing(self) -> Decimal:
        """Planning quantity that stands at the threshold or better, allocated or not."""
        return sum(self.count.levels[self._at :], ZERO)

    @property
    def unquantified(self) -> dict[str, int]:
        """Pledges that stand without a planning quantity, per level."""
        return dict(zip(LEVELS, self.count.unquantified, strict=True))

    @property
    def blocked(self) -> Decimal:
        """Planning quantity of pledges that would stand had no condition failed."""
        return self.count.blocked

    @property
    def blocked_pledges(self) -> int:
        return self.count.blocked_pledges

    @property
    def free(self) -> Decimal:
        """The free pool at the threshold or better: it stands and is allocated to no line of that day."""
        return sum(self.count.free[self._at :], ZERO)

    @property
    def lines(self) -> int:
        """Requirement lines active that day."""
        return self.count.lines

    @property
    def lines_met(self) -> int:
        return self.count.met[self._at]

    @property
    def priority(self) -> int | None:
        return self.count.priority

    @property
    def warnings(self) -> int:
        """Standing pledges with an open condition, and allocations whose notice is longer than their line asks for."""
        return self.count.open_conditions + self.count.slow


@dataclass(frozen=True)
class LineAnswer(Answer):
    """One requirement line on one day."""

    requirement_id: int
    title: str
    capability_code: str
    capability_name: str
    unit: str
    sector_code: str | None
    sector_name: str | None
    priority: int
    needed_from: date
    needed_until: date | None
    count: LineCount
    sure: LineSure | None

    @property
    def is_needed(self) -> bool:
        """True when the line's window holds the day."""
        return self.count.need is not None

    @property
    def is_met(self) -> bool:
        return self.is_needed and self.gap == 0

    @property
    def warnings(self) -> int:
        return self.count.open_conditions + self.count.slow


@dataclass(frozen=True)
class Totals:
    """A whole matrix in a few numbers. Units differ, so quantities are never added across capabilities."""

    capabilities: int = 0  # with a need that day
    capabilities_met: int = 0
    lines: int = 0
    lines_met: int = 0
    share: float | None = None  # mean share of the capabilities with a need, each weighing the same; None without any


@dataclass(frozen=True)
class Matrix:
    """Capability × level on one day as one tier sees it, worst first: by share, then by priority, no need last."""

    operation_id: int
    on: date
    tier: int
    threshold: str
    rows: tuple[CapabilityAnswer, ...]
    totals: Totals


@dataclass(frozen=True)
class Stretch:
    """Days on which nothing changes. ``last`` is the last of them, for drawing; the final stretch goes on for ever."""

    first: date
    last: date
    answer: CapabilityAnswer | LineAnswer


@dataclass(frozen=True)
class CapabilityDetail:
    """One capability over time, and its lines over time; cut also where it becomes more or less sure, if that is seen."""

    now: CapabilityAnswer
    stretches: tuple[Stretch, ...]
    lines: tuple[tuple[Stretch, ...], ...]


@dataclass(frozen=True)
class NationCell:
    """What one nation has on the ladder in one category. ``pledges`` by level or blocked; ``parts`` per capability."""

    pledges: dict[str, int] = field(default_factory=dict)
    unquantified: int = 0
    parts: tuple["NationPart", ...] = ()

    @property
    def total(self) -> int:
        """All its pledges that count in a level."""
        return sum(number for level, number in self.pledges.items() if level != BLOCKED)

    @property
    def firm_or_better(self) -> int:
        """Those of them that are firm or better."""
        return sum(self.pledges.get(level, 0) for level in counting.at_or_above(FIRM))


@dataclass(frozen=True)
class NationPart:
    """A nation's quantities of one capability, by level or blocked."""

    code: str
    name: str
    unit: str
    quantities: dict[str, Decimal]


@dataclass(frozen=True)
class NationRow:
    code: str
    name: str
    standing: str
    cells: dict[str, NationCell]  # by category; a category without pledges is missing


@dataclass(frozen=True)
class AsOf:
    """How old the numbers are.

    ``counted_until``: every change up to then is in them. ``waiting_since``: the oldest change that is not, None when
    all are. ``computed_at``: when the oldest stored answer took its form, None without any.
    """

    counted_until: datetime
    computed_at: datetime | None
    waiting_since: datetime | None
    waiting: int
    is_amber: bool
