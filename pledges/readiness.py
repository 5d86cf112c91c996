"""How ready the coalition is: stored whole by the worker, read from the store by every page and by the API.

The worker computes a key, an operation and a capability, for all three release tiers at once. Each tier's answer
is made of exactly the rows that tier sees, and is stored beside the others in ``ReadinessLine``. Readers name the tier;
row policies see to it that nobody reads a higher one than theirs.

Days: an answer begins on the day that was today when it was computed and holds for every day after it. The past is not
counted anew (``DayIsPast``): what stood there then is in the history, not in today's statuses.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from itertools import groupby
from operator import attrgetter
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Count, DateField, Expression, F, Func, IntegerField, JSONField, Min, Q, QuerySet, Value
from django.db.models.functions import Cast, Greatest
from django.utils import timezone

from coalition import stale
from coalition.access import SYSTEM, Tier, acting_as, actor_of
from coalition.models import Nation, Operation, Sector
from pledges import counting
from pledges import sure as how_sure
from pledges.chances import HORIZON
from pledges.counting import BLOCKED, FIRM, LEVELS, ZERO, CapabilityCount, LineCount
from pledges.models import Allocation, Capability, Pledge, ReadinessLine, Requirement
from pledges.sure import CapabilitySure, LineSure

KIND = "readiness"
CHUNK_KEYS = 40


class DayIsPast(ValueError):
    """Readiness is asked for a day before today."""


# --- computing and storing: the worker -------------------------------------------------------


def key_of(operation_id: int, capability_id: int) -> str:
    """Return the key that marks of this operation and capability carry."""
    return f"{operation_id}:{capability_id}"


def sweep() -> int:
    """Recompute whatever is marked, until nothing is; return how many keys were computed. Opens its transactions."""
    return stale.drain(KIND, recompute, chunk=CHUNK_KEYS)


def recompute_all(operation: Operation) -> int:
    """Compute and store every answer of an operation now, without waiting for a worker; return the number of keys."""
    with acting_as(SYSTEM):
        keys = sorted(_keys_of(operation))
    for start in range(0, len(keys), CHUNK_KEYS):
        with acting_as(SYSTEM):
            stale.lock(KIND, keys[start : start + CHUNK_KEYS])
            recompute(keys[start : start + CHUNK_KEYS])
    return len(keys)


def mark_all(operation: Operation) -> None:
    """Mark every answer of an operation as no longer true, for the worker to compute. Call while acting."""
    stale.mark(KIND, _keys_of(operation))


def mark_outdated() -> int:
    """Mark the answers that were computed for another day than today, unless they are marked; return how many."""
    with acting_as(SYSTEM):
        outdated = Q(pk__in=())
        for operation in Operation.objects.all():
            outdated |= Q(operation=operation) & ~Q(computed_for=operation.today())
        stored = ReadinessLine.objects.filter(outdated).values_list("operation_id", "capability_id").distinct()
        return stale.mark_unmarked(KIND, [key_of(*key) for key in stored])


def recompute(keys: Iterable[str]) -> int:
    """Store whole answers for these keys, and take away what has none any more; return the number of rows stored.

    Runs in the caller's transaction, which must be READ COMMITTED, act as the system and hold the keys' locks
    (``stale.claim``).
    """
    wanted = sorted({tuple(map(int, key.split(":"))) for key in keys})
    rows: list[ReadinessLine] = []
    operations = Operation.objects.in_bulk({operation_id for operation_id, _ in wanted})
    of_keys = Q(pk__in=())
    for operation_id, group in groupby(wanted, key=lambda key: key[0]):
        capability_ids = [capability_id for _, capability_id in group]
        of_keys |= Q(operation=operation_id, capability__in=capability_ids)
        if operation := operations.get(operation_id):
            rows += _answers(operation, capability_ids)
    stored = _store(rows)
    ReadinessLine.objects.filter(of_keys).exclude(pk__in=[row.pk for row in stored]).delete()
    return len(rows)


def _store(rows: list[ReadinessLine]) -> list[ReadinessLine]:
    return ReadinessLine.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["operation", "capability", "requirement", "tier"],
        update_fields=["starts", "ends_on", "answers", "nations", "sure_starts", "sure", "computed_at", "computed_for"],
        batch_size=500,
    )


def _keys_of(operation: Operation) -> set[str]:
    named: set[int] = set()
    for model in (Pledge, Requirement, ReadinessLine):
        named |= set(model.objects.filter(operation=operation).order_by().values_list("capability", flat=True))
    return {key_of(operation.pk, capability_id) for capability_id in named}


def _answers(operation: Operation, capability_ids: list[int]) -> list[ReadinessLine]:
    """Return the rows to store for capabilities of one operation; none for a tier that sees nothing of one."""
    today = operation.today()
    sure = how_sure.answered(operation, capability_ids, today=today)
    rows = []
    for capability_id, plan in load(operation, capability_ids, today=today).items():
        for tier in Tier:
            seen = plan.seen_at(tier)
            if not (seen.pledges or seen.lines):
                continue
            counts = counting.count(seen, today=today)
            common = {
                "operation_id": operation.pk,
                "capability_id": capability_id,
                "tier": tier,
                "computed_for": today,
            }
            horizon = operation.mandate_until or max(today, operation.starts_on) + HORIZON
            rows.append(
                ReadinessLine(
                    **common,
                    starts=list(counts.starts),
                    ends_on=max(horizon, counts.starts[-1]),
                    answers=[_stored(stretch) for stretch in counts.stretches],
                    nations={
                        nation: {level: _stored(cell) for level, cell in levels.items()}
                        for nation, levels in counts.nations.items()
                    },
                    **_sure_at(tier, sure.get((capability_id, None))),
                )
            )
            rows += (
                ReadinessLine(
                    **common,
                    requirement_id=line_id,
                    starts=list(line.starts),
                    ends_on=max(horizon, line.starts[-1]),
                    answers=[_stored(stretch) for stretch in line.stretches],
                    **_sure_at(tier, sure.get((capability_id, line_id))),
                )
                for line_id, line in counts.lines.items()
            )
    return rows


def _sure_at(tier: Tier, found: how_sure.Stored | None) -> dict[str, Any]:
    if tier != Tier.PLANNING or found is None:
        return {}
    return {"sure_starts": found.starts, "sure": found.stretches}


def load(operation: Operation, capability_ids: Iterable[int], *, today: date) -> dict[int, counting.Plan]:
    """Return the plan per capability, in four queries. Capabilities that do not exist are left out.

    An allocation counts where its pledge has the operation and the capability of its line; others answer nothing.
    """
    ids = list(capability_ids)
    of_these = {"operation": operation, "capability__in": ids}
    pledges: dict[int, list] = {pk: [] for pk in ids}
    for capability_id, *row in (
        Pledge.objects.with_standing(today)
        .filter(**of_these, status__in=Pledge.ON_LADDER)
        .order_by("pk")
        .values_list(
            "capability_id", "pk", "nation_id", "tier", "superseded_tier", "level", "stands_from", "stands_until",
            "quantity", "notice_days", "has_open",
        )
    ):  # fmt: skip
        pledges[capability_id].append(counting.PledgeRow(*row))
    lines: dict[int, list] = {pk: [] for pk in ids}
    for capability_id, *row in (
        Requirement.objects.filter(**of_these)
        .order_by("pk")
        .values_list(
            "capability_id", "pk", "tier", "quantity", "needed_from", "needed_until", "priority", "notice_days"
        )
    ):
        lines[capability_id].append(counting.LineRow(*row))
    allocations: dict[int, list] = {pk: [] for pk in ids}
    # Not joined with the pledges: what to answer for is told by the lines, and ``seen_at`` asks for both ends.
    line_ids = {line.id: capability_id for capability_id, found in lines.items() for line in found}
    of_lines = Allocation.objects.filter(requirement__in=line_ids).order_by("pk")
    for row in of_lines.values_list("pledge_id", "requirement_id", "quantity"):
        capability_id = line_ids[row[1]]
        allocations[capability_id].append(counting.AllocationRow(*row))
    return {
        pk: counting.Plan(
            tuple(pledges[pk]), tuple(lines[pk]), tuple(allocations[pk]), aggregation == Capability.Aggregation.ANY
        )
        for pk, aggregation in Capability.objects.filter(pk__in=ids).order_by().values_list("pk", "aggregation")
    }


# --- how an answer lies in JSON --------------------------------------------------------------


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _stored(count: Any) -> dict[str, Any]:
    """Return a dataclass of counts for JSON. What equals its default is left out: most stretches are mostly nothing."""
    nothing = _nothing(type(count))
    found = ((name, getattr(count, name)) for name in _names(type(count)))
    return {name: _plain(value) for name, value in found if value != getattr(nothing, name)}


@cache
def _nothing(kind: type) -> Any:
    return kind()


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):  # as a float it would lose cents; most are whole
        whole = int(value)
        return whole if whole == value else str(value)
    if isinstance(value, tuple):
        return [_plain(part) if part else 0 for part in value]
    return value


def _read(kind: type, stored: Mapping[str, Any] | None) -> Any:
    """Return what ``_stored`` put away."""
    stored = stored or {}
    nothing = _nothing(kind)
    values = {}
    for name in _names(kind):
        if name in stored:
            default, value = getattr(nothing, name), stored[name]
            if isinstance(default, tuple):
                value = tuple(map(Decimal, value)) if isinstance(default[0], Decimal) else tuple(value)
            elif isinstance(default, Decimal) or name == "need":
                value = Decimal(value)
            values[name] = value
    return kind(**values)


# --- reading: pages and API ------------------------------------------------------------------


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
    all are. ``computed_at``: when the oldest stored answer was made, None while there is none.
    """

    counted_until: datetime
    computed_at: datetime | None
    waiting_since: datetime | None
    waiting: int
    is_amber: bool


def matrix(
    operation: Operation,
    *,
    on: date,
    tier: int,
    threshold: str = FIRM,
    sector: Sector | int | None = None,
    category: str | None = None,
) -> Matrix:
    """Return the readiness matrix of a day, from the store alone: one query, two with a sector.

    Capabilities with neither pledge nor line at this tier are missing; with a sector, those without a line there that
    day. Raises DayIsPast for a day before today, KeyError for an unknown threshold.
    """
    counting.place_of(threshold)
    stored = _stored_on(operation, on, tier)
    if category:
        stored = stored.filter(capability__category=category)
    rows = [
        CapabilityAnswer(
            threshold,
            _read(CapabilityCount, answer),
            how_sure.capability_sure(sure),
            *capability,
        )
        for answer, sure, *capability in stored.filter(requirement=None).values_list(
            "answer",
            "how_sure",
            "capability_id",
            *(f"capability__{name}" for name in ("code", "name", "category", "unit")),
        )
    ]
    if sector is not None:
        rows = _in_sector(rows, stored.filter(requirement__sector=sector))
    rows.sort(key=_worst_first)
    return Matrix(operation.pk, on, int(tier), threshold, tuple(rows), _totals(rows))


def overall(operation: Operation, *, on: date, tier: int, threshold: str = FIRM) -> Totals:
    """Return the matrix of a day in a few numbers. Raises as ``matrix`` does."""
    return matrix(operation, on=on, tier=tier, threshold=threshold).totals


def worst_gaps(rows: Iterable[CapabilityAnswer], limit: int = 5) -> list[CapabilityAnswer]:
    """Return the first rows of a matrix that have a gap; none when every need is covered."""
    return [row for row in rows if row.gap > 0][:limit]


def requirement_lines(
    operation: Operation,
    *,
    on: date,
    tier: int,
    threshold: str = FIRM,
    capability: Capability | int | None = None,
    sector: Sector | int | None = None,
    category: str | None = None,
    only: Iterable[int] | None = None,
) -> list[LineAnswer]:
    """Return the lines of a day from the store, worst first, lines not needed that day last. One query.

    ``only``: the ids of the lines wanted, for a page of a list. Raises as ``matrix`` does.
    """
    counting.place_of(threshold)
    stored = _stored_on(operation, on, tier).exclude(requirement=None)
    if capability is not None:
        stored = stored.filter(capability=capability)
    if sector is not None:
        stored = stored.filter(requirement__sector=sector)
    if category:
        stored = stored.filter(capability__category=category)
    if only is not None:
        stored = stored.filter(requirement__in=list(only))
    lines = [
        LineAnswer(threshold, _read(LineCount, answer), how_sure.line_sure(sure), *line)
        for answer, sure, *line in stored.values_list("answer", "how_sure", *_LINE)
    ]
    return sorted(lines, key=_worst_first)


def lines_on_their_days(
    operation: Operation, lines: Iterable[Requirement], *, user, threshold: str = FIRM
) -> dict[int, LineAnswer]:
    """Return the answer of each line as the user's tier sees it, on the first day from today that it is needed.

    By requirement id; lines that are over are answered on today, lines not yet computed are missing. One query.
    """
    day = Greatest(Cast(Value(operation.today()), DateField()), F("requirement__needed_from"))
    stored = _with_answer(
        ReadinessLine.objects.filter(operation=operation, requirement__in=[line.pk for line in lines]), day
    ).filter(tier=actor_of(user).tier)
    found = (
        LineAnswer(threshold, _read(LineCount, answer), how_sure.line_sure(sure), *line)
        for answer, sure, *line in stored.values_list("answer", "how_sure", *_LINE)
    )
    return {line.requirement_id: line for line in found}


def capability_detail(
    operation: Operation, capability: Capability, *, on: date, tier: int, threshold: str = FIRM
) -> CapabilityDetail | None:
    """Return one capability on a day and over all its stretches, with its lines; None where the tier sees nothing.

    One query. Raises as ``matrix`` does.
    """
    counting.place_of(threshold)
    _refuse_the_past(operation, on)
    named = (capability.pk, capability.code, capability.name, capability.category, capability.unit)
    whole: tuple[Stretch, ...] = ()
    lines = []
    for starts, ends_on, answers, sure_starts, sure, *line in (
        ReadinessLine.objects.filter(operation=operation, capability=capability, tier=tier)
        .order_by("requirement__priority", "requirement__needed_from", "requirement_id")
        .values_list("starts", "ends_on", "answers", "sure_starts", "sure", *_LINE)
    ):
        cut = list(_cut(starts, answers, sure_starts, sure, ends_on))
        if line[0] is None:
            whole = tuple(
                Stretch(
                    first,
                    last,
                    CapabilityAnswer(
                        threshold, _read(CapabilityCount, answer), how_sure.capability_sure(found), *named
                    ),
                )
                for first, last, answer, found in cut
            )
        else:
            lines.append(
                tuple(
                    Stretch(
                        first, last, LineAnswer(threshold, _read(LineCount, answer), how_sure.line_sure(found), *line)
                    )
                    for first, last, answer, found in cut
                )
            )
    if not whole:
        return None
    now = [stretch.answer for stretch in whole if stretch.first <= on][-1]
    return CapabilityDetail(now, whole, tuple(lines))


def lines_over_time(
    operation: Operation, *, tier: int, on: date, threshold: str = FIRM
) -> list[tuple[str, tuple[Stretch, ...]]]:
    """Return every line's category and stretches as a tier sees them, by capability and line. One query.

    Raises as ``matrix`` does.
    """
    counting.place_of(threshold)
    _refuse_the_past(operation, on)
    rows = (
        ReadinessLine.objects.filter(operation=operation, tier=tier)
        .exclude(requirement=None)
        .order_by("capability__name", "requirement")
        .values_list("capability__category", "starts", "ends_on", "answers", "sure_starts", "sure", *_LINE)
    )
    return [
        (
            category,
            tuple(
                Stretch(first, last, LineAnswer(threshold, _read(LineCount, answer), how_sure.line_sure(found), *line))
                for first, last, answer, found in _cut(starts, answers, sure_starts, sure, ends_on)
            ),
        )
        for category, starts, ends_on, answers, sure_starts, sure, *line in rows
    ]


def _cut(
    starts: list[date], answers: list[dict], sure_starts: list[date], sure: list[dict], ends_on: date
) -> Iterator[tuple[date, date, dict, dict | None]]:
    """Yield first day, last day, count and how sure, cut wherever one of the two begins anew."""
    firsts = sorted({*starts, *(day for day in sure_starts if starts[0] <= day <= ends_on)})
    for first, following in zip(firsts, [*firsts[1:], None], strict=True):
        last = max(ends_on, first) if following is None else following - timedelta(days=1)
        found = bisect_right(sure_starts, first) - 1
        yield first, last, answers[bisect_right(starts, first) - 1], sure[found] if found >= 0 else None


def held(stretches: Sequence[Stretch]) -> how_sure.Held | None:
    """Return from which day the chance is high enough to the end, or when it is lost; None where the tier has none."""
    return how_sure.held([stretch.first for stretch in stretches], [stretch.answer.sure for stretch in stretches])


def gap_days(stretches: Sequence[Stretch]) -> int:
    """Return on how many days, up to the last worth drawing, a need is not covered at the threshold."""
    return sum((stretch.last - stretch.first).days + 1 for stretch in stretches if stretch.answer.gap > 0)


def nation_matrix(operation: Operation, *, tier: int) -> list[NationRow]:
    """Return per nation and category what is on the ladder, whenever it can stand, by nation's name. Two queries.

    Nations without a pledge at this tier are missing.
    """
    cells: dict[str, dict[str, NationCell]] = {}
    stored = (
        ReadinessLine.objects.filter(operation=operation, tier=tier, requirement=None)
        .order_by("capability__name")
        .values_list("nations", *(f"capability__{name}" for name in ("category", "code", "name", "unit")))
    )
    for nations, category, *capability in stored:
        for nation, levels in nations.items():
            counts = {level: _read(counting.NationCount, count) for level, count in levels.items()}
            row = cells.setdefault(nation, {})
            before = row.get(category, NationCell())
            pledges = dict(before.pledges)
            for level, count in counts.items():
                pledges[level] = pledges.get(level, 0) + count.pledges
            part = NationPart(*capability, {level: count.quantity for level, count in counts.items()})
            unquantified = before.unquantified + sum(count.unquantified for count in counts.values())
            row[category] = NationCell(pledges, unquantified, (*before.parts, part))
    found = Nation.objects.filter(pk__in=cells).order_by("name").values_list("code", "name", "standing")
    return [NationRow(*nation, cells[nation[0]]) for nation in found]


def as_of(operation: Operation) -> AsOf:
    """Return how old the stored answers of an operation are. Two queries.

    Where the day has turned since they were computed, they wait since midnight.
    """
    today = operation.today()
    stored = ReadinessLine.objects.filter(operation=operation).aggregate(
        oldest=Min("computed_at"), behind=Count("pk", filter=~Q(computed_for=today))
    )
    marks = stale.waiting(KIND, prefix=f"{operation.pk}:")
    midnight = datetime.combine(today, time(), ZoneInfo(operation.time_zone)) if stored["behind"] else None
    since = min((moment for moment in (marks.since, midnight) if moment is not None), default=None)
    return AsOf(
        counted_until=since or timezone.now(),
        computed_at=stored["oldest"],
        waiting_since=since,
        waiting=marks.keys,
        is_amber=stale.is_amber(since),
    )


_LINE = (
    "requirement_id", "requirement__title", "capability__code", "capability__name", "capability__unit",
    "requirement__sector__code", "requirement__sector__name", "requirement__priority", "requirement__needed_from",
    "requirement__needed_until",
)  # fmt: skip


def _stored_on(operation: Operation, on: date, tier: int) -> QuerySet[ReadinessLine]:
    """Return the stored rows of a tier with ``answer`` and ``how_sure``, the objects of the stretches that hold the day."""
    _refuse_the_past(operation, on)
    return _with_answer(
        ReadinessLine.objects.filter(operation=operation, tier=tier, starts__0__lte=on), Cast(Value(on), DateField())
    )


def _with_answer(stored: QuerySet[ReadinessLine], day: Expression) -> QuerySet[ReadinessLine]:
    def at(starts: str, stretches: str) -> Func:
        place = Func(day, F(starts), function="width_bucket", output_field=IntegerField()) - Value(1)
        return Func(F(stretches), place, template="(%(expressions)s)", arg_joiner=" -> ", output_field=JSONField())

    return stored.annotate(answer=at("starts", "answers"), how_sure=at("sure_starts", "sure")).order_by()


def _refuse_the_past(operation: Operation, on: date) -> None:
    if on < operation.today():
        raise DayIsPast(f"Readiness is counted from today, {operation.today():%d %b %Y}, on; {on:%d %b %Y} is past.")


def _in_sector(rows: list[CapabilityAnswer], stored: QuerySet[ReadinessLine]) -> list[CapabilityAnswer]:
    lines: dict[int, list[tuple[int, LineCount]]] = {}
    for capability_id, priority, answer in stored.values_list("capability_id", "requirement__priority", "answer"):
        line = _read(LineCount, answer)
        if line.need is not None:
            lines.setdefault(capability_id, []).append((priority, line))
    return [
        CapabilityAnswer(
            row.threshold,
            replace(counting.over_lines(lines[row.capability_id]), free=row.count.free),
            None,
            *attrgetter("capability_id", "code", "name", "category", "unit")(row),
        )
        for row in rows
        if row.capability_id in lines
    ]


def _worst_first(row: CapabilityAnswer | LineAnswer) -> tuple:
    share = row.share
    return (share is None, share or 0, row.priority or 9, -row.gap, getattr(row, "name", ""))


def _totals(rows: list[CapabilityAnswer]) -> Totals:
    shares = [row.share for row in rows if row.share is not None]
    return Totals(
        capabilities=len(shares),
        capabilities_met=sum(row.gap == 0 for row in rows if row.share is not None),
        lines=sum(row.lines for row in rows),
        lines_met=sum(row.lines_met for row in rows),
        share=sum(shares) / len(shares) if shares else None,
    )
