"""What pages and API read: the stored answers of one release tier, as sentences about days, capabilities and lines.

Nothing here computes an answer. Readers name the tier; row policies see to it that nobody reads a higher one than theirs.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from operator import attrgetter
from zoneinfo import ZoneInfo

from django.db.models import Count, DateField, Expression, F, Func, IntegerField, JSONField, Min, Q, QuerySet, Value
from django.db.models.functions import Cast, Greatest
from django.utils import timezone

from coalition import stale
from coalition.access import actor_of
from coalition.models import Nation, Operation, Sector
from pledges import counting
from pledges import sure as how_sure
from pledges.counting import FIRM, CapabilityCount, LineCount
from pledges.models import Capability, ReadinessLine, Requirement
from pledges.readiness.answers import (
    AsOf,
    CapabilityAnswer,
    CapabilityDetail,
    LineAnswer,
    Matrix,
    NationCell,
    NationPart,
    NationRow,
    Stretch,
    Totals,
)
from pledges.readiness.encoding import read
from pledges.readiness.storing import KIND


class DayIsPast(ValueError):
    """Readiness is asked for a day before today."""


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
            read(CapabilityCount, answer),
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
        LineAnswer(threshold, read(LineCount, answer), how_sure.line_sure(sure), *line)
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
        LineAnswer(threshold, read(LineCount, answer), how_sure.line_sure(sure), *line)
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
                    CapabilityAnswer(threshold, read(CapabilityCount, answer), how_sure.capability_sure(found), *named),
                )
                for first, last, answer, found in cut
            )
        else:
            lines.append(
                tuple(
                    Stretch(
                        first, last, LineAnswer(threshold, read(LineCount, answer), how_sure.line_sure(found), *line)
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
                Stretch(first, last, LineAnswer(threshold, read(LineCount, answer), how_sure.line_sure(found), *line))
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
            counts = {level: read(counting.NationCount, count) for level, count in levels.items()}
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
        line = read(LineCount, answer)
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
