"""How many events, reports and rounds were there, per day, cell and kind? Stored whole by the worker, per release tier.

An **event** is an incident, or a report in scope that is not merged. Each tier counts exactly the rows it sees, by the
place columns it sees: an incident it may not see is invisible, so the reports of it that it does see count as unmerged.
``HexCount`` is counted from the rows; ``DailyCount`` and ``HexMonth`` are sums of it, ``HexMonthSlice`` of ``HexMonth``.

Keys of marks: ``2026-03-20`` for a whole day, ``2026-03-20:608...`` for one cell of it (0: what has no cell), and
``incident:7`` or ``source:3`` for the rows that hang on one, which are looked up here. Who has counted days marks
``month:2026-03``, or one cell of it: a month is added up once, after all of its days.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db import connection
from django.utils import timezone

from coalition import stale
from coalition.access import Tier
from monitoring.models import OUT, CountedTally, HexCount, Incident, Report, Source
from monitoring.placing import seen_place

KIND = "counts"
CHUNK_KEYS = 30  # a whole day may be ten thousand reports
NO_CELL = 0  # in keys, for what has no cell

DIMENSIONS = "kind, accused_id, occurrence, source_class, sector_id"
COUNTED = f"{DIMENSIONS}, place, count_unit"
SUMS = "sum(events), sum(reports)"
COUNTED_SUMS = f"{SUMS}, sum(low), sum(high), sum(unknown)"


@dataclass(frozen=True)
class Dirty:
    """What a worker counts anew: whole days and cells of other days, whole months and cells of other months.

    Months are named by their first day.
    """

    days: frozenset[date]
    cells: frozenset[tuple[date, int]]
    months: frozenset[date]
    squares: frozenset[tuple[date, int]]

    @property
    def all_days(self) -> list[date]:
        return sorted(self.days | {day for day, _ in self.cells})

    @property
    def all_months(self) -> list[date]:
        return sorted(self.months | {month for month, _ in self.squares})

    @property
    def next_keys(self) -> set[str]:
        """The keys of the sums that no longer hold once these days are counted."""
        whole = {_first(day) for day in self.days}
        cells = {(_first(day), cell) for day, cell in self.cells if cell != NO_CELL}
        return {f"month:{month:%Y-%m}" for month in whole} | {
            f"month:{month:%Y-%m}:{cell}" for month, cell in cells if month not in whole
        }


@dataclass(frozen=True)
class AsOf:
    """How old the counts are: every change up to ``counted_until`` is in them."""

    counted_until: datetime
    waiting: int  # distinct keys
    is_amber: bool


def sweep() -> int:
    """Count anew whatever is marked, until nothing is; return how many keys were counted. Opens its transactions."""
    return stale.drain(KIND, recompute, chunk=CHUNK_KEYS)


def mark_all() -> int:
    """Mark every day that has reports, incidents or counts; return how many. Call while acting as the system."""
    days: set[date] = set()
    for model, name in ((Report, "occurred_on"), (Incident, "occurred_on"), (HexCount, "day")):
        days |= set(model.objects.order_by().values_list(name, flat=True).distinct())
    stale.mark(KIND, [f"{day:%Y-%m-%d}" for day in days])
    return len(days)


def as_of() -> AsOf:
    """Return how old the counts are. One query."""
    marks = stale.waiting(KIND)
    return AsOf(counted_until=marks.since or timezone.now(), waiting=marks.keys, is_amber=stale.is_amber(marks.since))


def recompute(keys: Iterable[str]) -> None:
    """Store whole answers for these keys, and take away what has none any more.

    Runs in the caller's transaction, which must be READ COMMITTED, act as the system and hold the keys' locks
    (``stale.claim``).
    """
    dirty = dirty_of(keys)
    # One worker at a time per day and month, whichever cells it counts. Names of their own: who waits here holds keys
    # that nobody waits for who has come this far.
    stale.lock(KIND, [*(f"within {day}" for day in dirty.all_days), *(f"within {m:%Y-%m}" for m in dirty.all_months)])
    _count_days(dirty.days)
    _count_cells(dirty.cells)
    _sum_days(dirty.all_days)
    _sum_months(dirty.months)
    _sum_squares(dirty.squares)
    stale.mark(KIND, dirty.next_keys)


def dirty_of(keys: Iterable[str]) -> Dirty:
    """Return what marks stand for. Those of an incident or a source stand for the reports that hang on it now."""
    days: set[date] = set()
    cells: set[tuple[date, int]] = set()
    months: set[date] = set()
    squares: set[tuple[date, int]] = set()
    named: dict[str, list[int]] = {"incident": [], "source": []}
    for key in keys:
        head, _, tail = key.partition(":")
        if head in named:
            named[head].append(int(tail))
        elif head == "month":
            month, _, cell = tail.partition(":")
            first = date.fromisoformat(f"{month}-01")
            squares.add((first, int(cell))) if cell else months.add(first)
        elif tail:
            cells.add((date.fromisoformat(head), int(tail)))
        else:
            days.add(date.fromisoformat(head))
    if named["source"]:
        of_sources = Report.objects.filter(source__in=named["source"]).order_by()
        days |= set(of_sources.values_list("occurred_on", flat=True).distinct())
        days |= set(
            of_sources.filter(incident__isnull=False).values_list("incident__occurred_on", flat=True).distinct()
        )
    if named["incident"]:
        for rows in (
            Report.objects.filter(incident__in=named["incident"]),
            Incident.objects.filter(pk__in=named["incident"]),
        ):
            for day, *seen in rows.order_by().values_list("occurred_on", "cell", "coalition_cell"):
                cells |= {(day, cell or NO_CELL) for cell in seen}
    return Dirty(
        days=frozenset(days),
        cells=frozenset(pair for pair in cells if pair[0] not in days),
        months=frozenset(months),
        squares=frozenset(pair for pair in squares if pair[0] not in months),
    )


def _first(day: date) -> date:
    return day.replace(day=1)


def _next(month: date) -> date:
    return _first(month + timedelta(days=31))


# --- from rows to counts, in SQL -------------------------------------------------------------


def _seen_by_tiers(row: str) -> str:
    """Return a join that repeats each row for every tier that sees it, with the place as that tier sees it."""

    def as_seen(tier: Tier) -> str:
        columns = seen_place(tier)
        cell, sector, longitude = (
            f"{row}.{name}" for name in (columns.cell, f"{columns.sector}_id", columns.longitude)
        )
        return f"({int(tier)}, {cell}, {sector}, {longitude})"

    rows = ", ".join(as_seen(tier) for tier in Tier)
    return f"JOIN LATERAL (VALUES {rows}) AS seen (tier, cell, sector_id, longitude) ON {row}.tier <= seen.tier"


PLACE = f"""CASE WHEN seen.cell IS NOT NULL THEN '{CountedTally.Placed.PLACED}'
    WHEN seen.longitude IS NOT NULL THEN '{CountedTally.Placed.TOO_VAGUE}' ELSE '{CountedTally.Placed.NO_PLACE}' END"""

# Own monitors before all others; then the best Admiralty code, then the oldest report.
STRONGEST = f"""(
    SELECT source.source_class FROM monitoring_report AS report JOIN monitoring_source AS source
        ON source.id = report.source_id
    WHERE report.incident_id = incident.id AND report.tier <= seen.tier
    ORDER BY source.source_class <> '{Source.Class.MONITORS}', report.reliability, report.credibility, report.id LIMIT 1
)"""

# Of reports and incidents named in ``touched``. Only those cells are kept that ``wanted`` names.
COUNT = f"""
INSERT INTO monitoring_hexcount (tier, day, cell, {COUNTED}, events, reports, low, high, unknown)
WITH {{touched}}
SELECT tier, day, cell, {COUNTED}, {COUNTED_SUMS} FROM (
    SELECT seen.tier, report.occurred_on AS day, seen.cell, report.kind, report.accused_id,
        coalesce(incident.occurrence, report.status) AS occurrence, source.source_class, seen.sector_id,
        {PLACE} AS place, report.count_unit,
        (incident.id IS NULL)::integer AS events, 1 AS reports,
        coalesce(report.count_low, 0)::bigint AS low, coalesce(report.count_high, 0)::bigint AS high,
        (report.count_low IS NULL)::integer AS unknown
    FROM touched_reports JOIN monitoring_report AS report USING (id)
    JOIN monitoring_source AS source ON source.id = report.source_id
    {_seen_by_tiers("report")}
    LEFT JOIN monitoring_incident AS incident
        ON incident.id = report.incident_id AND incident.tier <= seen.tier AND incident.merged_into_id IS NULL
    WHERE report.status NOT IN ('{OUT[0]}', '{OUT[1]}')
    UNION ALL
    SELECT seen.tier, incident.occurred_on, seen.cell, incident.kind, incident.accused_id,
        incident.occurrence, coalesce({STRONGEST}, ''), seen.sector_id, {PLACE}, '', 1, 0, 0, 0, 0
    FROM touched_incidents JOIN monitoring_incident AS incident USING (id)
    {_seen_by_tiers("incident")}
    WHERE incident.merged_into_id IS NULL
) AS rows
{{kept}}
GROUP BY tier, day, cell, {COUNTED}
"""

OF_DAYS = """
touched_reports AS (SELECT id FROM monitoring_report WHERE occurred_on = ANY(%(days)s)),
touched_incidents AS (SELECT id FROM monitoring_incident WHERE occurred_on = ANY(%(days)s))
"""


def _touched(noun: str) -> str:
    """Return a CTE of the rows that any tier sees in a wanted cell, each branch on an index."""
    rows = f"SELECT thing.id FROM wanted JOIN monitoring_{noun} AS thing ON thing.occurred_on = wanted.day"
    return f"""touched_{noun}s AS (
        {rows} AND thing.cell = wanted.cell
        UNION {rows} AND thing.coalition_cell = wanted.cell AND thing.coalition_cell IS DISTINCT FROM thing.cell
        UNION {rows} AND wanted.cell = {NO_CELL} AND thing.cell IS NULL
        UNION {rows} AND wanted.cell = {NO_CELL} AND thing.coalition_cell IS NULL
            AND thing.coalition_cell IS DISTINCT FROM thing.cell
    )"""


WANTED = "wanted AS (SELECT * FROM unnest(%(days)s::date[], %(cells)s::bigint[]) AS wanted (day, cell))"
OF_CELLS = f"{WANTED}, {_touched('report')}, {_touched('incident')}"
KEPT = f"WHERE (day, coalesce(cell, {NO_CELL})) IN (SELECT day, cell FROM wanted)"


def _count_days(days: Iterable[date]) -> None:
    if days:
        with connection.cursor() as cursor:
            asked = {"days": sorted(days)}
            cursor.execute("DELETE FROM monitoring_hexcount WHERE day = ANY(%(days)s)", asked)
            cursor.execute(COUNT.format(touched=OF_DAYS, kept=""), asked)


def _count_cells(cells: Iterable[tuple[date, int]]) -> None:
    if cells:
        pairs = sorted(cells)
        asked = {"days": [day for day, _ in pairs], "cells": [cell for _, cell in pairs]}
        with connection.cursor() as cursor:
            for same in (
                f"counted.cell = nullif(wanted.cell, {NO_CELL})",
                f"wanted.cell = {NO_CELL} AND counted.cell IS NULL",
            ):
                cursor.execute(
                    f"WITH {WANTED} DELETE FROM monitoring_hexcount AS counted USING wanted"
                    f" WHERE counted.day = wanted.day AND {same}",
                    asked,
                )
            cursor.execute(COUNT.format(touched=OF_CELLS, kept=KEPT), asked)


def _sum_days(days: list[date]) -> None:
    if days:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM monitoring_dailycount WHERE day = ANY(%s)", [days])
            cursor.execute(
                f"INSERT INTO monitoring_dailycount (tier, day, {COUNTED}, events, reports, low, high, unknown)"
                f" SELECT tier, day, {COUNTED}, {COUNTED_SUMS} FROM monitoring_hexcount WHERE day = ANY(%s)"
                f" GROUP BY tier, day, {COUNTED}",
                [days],
            )


# Tiers are named, though all are meant, where an index begins with them.
MONTHS = f"""
INSERT INTO monitoring_hexmonth (tier, month, cell, {DIMENSIONS}, events, reports)
SELECT tier, %(month)s::date, cell, {DIMENSIONS}, {SUMS} FROM monitoring_hexcount
WHERE tier = ANY(%(tiers)s) AND day >= %(month)s AND day < %(until)s AND cell IS NOT NULL
GROUP BY tier, cell, {DIMENSIONS}
"""
SQUARES = f"""
INSERT INTO monitoring_hexmonth (tier, month, cell, {DIMENSIONS}, events, reports)
WITH {{wanted}} SELECT tier, month, counted.cell, {DIMENSIONS}, {SUMS}
FROM wanted JOIN monitoring_hexcount AS counted ON counted.cell = wanted.cell
    AND counted.day >= wanted.month AND counted.day < wanted.until
GROUP BY tier, month, counted.cell, {DIMENSIONS}
"""
SLICES = """
INSERT INTO monitoring_hexmonthslice (tier, month, cell, axis, value, events, reports)
SELECT tier, month, cell,
    CASE grouping(kind, accused_id, occurrence, source_class, sector_id)
        WHEN 15 THEN 'kind' WHEN 23 THEN 'accused' WHEN 27 THEN 'occurrence' WHEN 29 THEN 'source_class'
        WHEN 30 THEN 'sector' ELSE '' END,
    coalesce(kind, accused_id::text, occurrence, source_class, sector_id::text, ''), sum(events), sum(reports)
FROM monitoring_hexmonth AS counted {of}
GROUP BY tier, month, cell, GROUPING SETS ((), (kind), (accused_id), (occurrence), (source_class), (sector_id))
"""


def _sum_months(months: Iterable[date]) -> None:
    with connection.cursor() as cursor:
        for month in sorted(months):
            asked = {"month": month, "until": _next(month), "tiers": [int(tier) for tier in Tier]}
            for table in ("hexmonth", "hexmonthslice"):
                cursor.execute(
                    f"DELETE FROM monitoring_{table} WHERE tier = ANY(%(tiers)s) AND month = %(month)s", asked
                )
            cursor.execute(MONTHS, asked)
            cursor.execute(SLICES.format(of="WHERE tier = ANY(%(tiers)s) AND month = %(month)s"), asked)


def _sum_squares(squares: Iterable[tuple[date, int]]) -> None:
    if not squares:
        return
    pairs = sorted(squares)
    months = [month for month, _ in pairs]
    asked = {"months": months, "until": [_next(month) for month in months], "cells": [cell for _, cell in pairs]}
    wanted = (  # the end is given as a day: worked out in SQL, it would be none, and the index could not stop there
        "wanted AS (SELECT * FROM unnest(%(months)s::date[], %(until)s::date[], %(cells)s::bigint[])"
        " AS wanted (month, until, cell))"
    )
    with connection.cursor() as cursor:
        for table in ("hexmonth", "hexmonthslice"):
            cursor.execute(
                f"WITH {wanted} DELETE FROM monitoring_{table} AS counted USING wanted"
                " WHERE counted.month = wanted.month AND counted.cell = wanted.cell",
                asked,
            )
        cursor.execute(SQUARES.format(wanted=wanted), asked)
        cursor.execute(
            SLICES.format(of=f"WHERE (month, cell) IN (WITH {wanted} SELECT month, cell FROM wanted)"), asked
        )
