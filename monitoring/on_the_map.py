"""What does the map show? Counts in hexes far out, single events near; always places as the viewer's tier sees them.

An event is an incident, or a report in scope that is not merged into an incident the viewer sees: the hexes count the
same events that the points are. Hexes come from the rollups alone, so their cost does not grow with what is stored.
"""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

import h3.api.basic_int as h3
from django.db import connection
from django.db.models import Case, F, Q, QuerySet, Sum, Value, When

from coalition.access import Tier, actor_of
from monitoring import places
from monitoring.boxes import MARGIN, Box, cells_in, within_box
from monitoring.models import CountedTally, HexCount, HexMonth, HexMonthSlice, Incident, Report
from monitoring.placing import seen_place
from monitoring.seeing import COARSER_BY_M

MOST_POINTS = 2_000  # more than this is hexes, and a sentence that says so
MOST_HEXES = 2_000  # more than this is drawn in bigger hexes
FEW = 200  # so few events are points at any zoom
QUICK_DAYS, QUICK_SQUARE_DEGREES = (
    31,
    0.1,
)  # single events are found at once when so few days, or so small a box, hold them
QUICK_ROWS = 100_000  # and always where so few reports are stored
NEAR = 8  # the zoom from which events are points
FAR = 5  # the zoom up to which hexes are one size bigger
WORTH_TRYING = 40_000  # a cell may hold many events of which the box shows few: below this they are asked for


@dataclass(frozen=True)
class Asked:
    """Which events: the days (both count), the box if any, and filters; an empty filter lets everything pass."""

    first: date
    last: date
    box: Box | None = None
    kinds: tuple[str, ...] = ()
    accused: int | None = None
    occurrences: tuple[str, ...] = ()
    source_class: str = ""
    sector: int | None = None

    @property
    def length(self) -> int:
        """How many days."""
        return (self.last - self.first).days + 1


@dataclass(frozen=True)
class Hex:
    """What one cell holds. ``cell`` is an H3 index of resolution 5, or 4 far out."""

    cell: int
    events: int
    reports: int

    @property
    def middle(self) -> places.Point:
        """The cell's centre, as vague as the cell is wide."""
        latitude, longitude = h3.cell_to_latlng(self.cell)
        return places.Point(longitude, latitude, places.CELL_M)

    @property
    def box(self) -> Box:
        """The smallest box around the cell."""
        longitudes, latitudes = zip(*_outline(self.cell), strict=True)
        return Box(min(longitudes), min(latitudes), max(longitudes), max(latitudes))

    @property
    def outline(self) -> list[list[float]]:
        """The corners as [longitude, latitude], the first again at the end."""
        return _outline(self.cell)


@dataclass(frozen=True)
class Dot:
    """One event at its place, as exactly as the viewer may see it."""

    noun: str  # report or incident
    id: int
    place: places.Point
    place_name: str
    kind: str
    accused_id: int | None
    occurred_from: datetime
    occurrence: str


@dataclass(frozen=True)
class Picture:
    """The answer: hexes or points (the other list is empty), and what they add up to.

    ``events`` are the points, or those of the hexes that touch the box; ``reports`` are those of the hexes (None beside
    points). ``too_vague`` and ``no_place`` are events of the same days and filters that no map can show. ``crowded``:
    there are more events in the box than points are drawn.
    """

    hexes: list[Hex] = field(default_factory=list)
    points: list[Dot] = field(default_factory=list)
    events: int = 0
    reports: int | None = None
    too_vague: int = 0
    no_place: int = 0
    crowded: bool = False


def picture(user: Any, asked: Asked, zoom: int) -> Picture:
    """Return what the map shows at this zoom (Leaflet's, 0 the world): at most MOST_POINTS points or MOST_HEXES hexes."""
    cells = hexes(user, asked)
    events = sum(each.events for each in cells)
    too_vague, no_place = nowhere(actor_of(user).tier, asked)
    worth_asking = events <= FEW or (zoom >= NEAR and events <= WORTH_TRYING)
    if worth_asking and _is_quick(asked):
        found = points(user, asked, MOST_POINTS + 1)
        if len(found) <= MOST_POINTS:
            return Picture(points=found, events=len(found), too_vague=too_vague, no_place=no_place)
    reports = sum(each.reports for each in cells)
    if zoom <= FAR or len(cells) > MOST_HEXES:
        cells = _bigger(cells)
    cells = sorted(cells, key=lambda each: (-each.events, each.cell))[:MOST_HEXES]
    return Picture(
        hexes=cells,
        events=events,
        reports=reports,
        too_vague=too_vague,
        no_place=no_place,
        crowded=zoom >= NEAR,
    )


def _is_quick(asked: Asked) -> bool:
    """Return whether single events can be found without reading a great part of all reports."""
    if asked.length <= QUICK_DAYS:
        return True
    box = asked.box
    if box is not None and (box.east - box.west) * (box.north - box.south) <= QUICK_SQUARE_DEGREES:
        return True
    with connection.cursor() as cursor:  # what the planner believes, which costs nothing
        cursor.execute("SELECT reltuples FROM pg_class WHERE oid = %s::regclass", [Report._meta.db_table])
        return cursor.fetchone()[0] <= QUICK_ROWS


# --- Hexes --------------------------------------------------------------------------------


def hexes(user: Any, asked: Asked) -> list[Hex]:
    """Return the cells of resolution 5 that touch the box and hold events or reports, as the user sees them."""
    return hexes_of(actor_of(user).tier, asked)


def hexes_of(tier: int, asked: Asked) -> list[Hex]:
    """Return the cells of resolution 5 that touch the box and hold events or reports as a tier sees them, in no order."""
    sums: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    cells = cells_in(asked.box)
    for rows in _rollups(asked, tier):
        if cells is not None:  # an index search for each; for a bigger box it is cheaper to read all
            rows = rows.filter(cell__in=cells)
        counted = (
            rows.order_by().values_list("cell").annotate(sum_events=_signed("events"), sum_reports=_signed("reports"))
        )
        for cell, events, reports in counted:
            both = sums[cell]
            both[0] += events
            both[1] += reports
    return [
        Hex(cell, max(0, events), max(0, reports))
        for cell, (events, reports) in sums.items()
        if (events > 0 or reports > 0) and (asked.box is None or _touches(cell, asked.box))
    ]


def daily_within(tier: int, asked: Asked) -> QuerySet[HexCount]:
    """Return the counts of days in the cells that touch the box of the question."""
    cells = [each.cell for each in hexes_of(tier, asked)]
    counted = HexCount.objects.seen_at(tier).filter(matching(asked), cell__in=cells)
    return counted.filter(day__range=(asked.first, asked.last)).order_by()


@dataclass(frozen=True)
class Cover:
    """Days as whole months, days besides, and days of those months that are not asked for; any of them may be empty."""

    months: tuple[date, ...]
    more: tuple[date, ...]
    less: tuple[date, ...]


def cover(first: date, last: date) -> Cover:
    """Return the days from first to last (both count) in the fewest rows to read.

    A month is taken whole, and what is not asked of it taken off again, where more than half of it is asked for.
    """
    months: list[date] = []
    more: list[date] = []
    less: list[date] = []
    month = _month_of(first)
    while month <= last:
        after = _month_of(month + timedelta(days=31))
        days = [month + timedelta(days=number) for number in range((after - month).days)]
        asked = [day for day in days if first <= day <= last]
        if 2 * len(asked) > len(days):
            months.append(month)
            less += [day for day in days if not first <= day <= last]
        else:
            more += asked
        month = after
    return Cover(tuple(months), tuple(more), tuple(less))


def _rollups(asked: Asked, tier: int) -> list[QuerySet]:
    """Return querysets that together hold the days once, each row with the ``sign`` that it counts with.

    A question about at most one dimension reads its months from HexMonthSlice, any other from HexMonth. While months
    wait to be counted anew, a day that is taken off them may be newer than they are.
    """
    taken = cover(asked.first, asked.last)
    found = []
    if taken.months:
        slices = _slices(asked)
        months = HexMonth.objects.filter(matching(asked)) if slices is None else slices
        months = months.filter(tier=tier, month__range=(taken.months[0], taken.months[-1]))
        found.append(months.annotate(sign=Value(1)))
    if taken.more or taken.less:
        days = HexCount.objects.seen_at(tier).filter(matching(asked), cell__isnull=False)
        days = days.filter(day__in=[*taken.more, *taken.less])
        found.append(days.annotate(sign=Case(When(day__in=taken.less, then=-1), default=1)))
    return found


def _signed(name: str) -> Sum:
    return Sum(F(name) * F("sign"))


def _slices(asked: Asked) -> QuerySet[HexMonthSlice] | None:
    """Return the slices that answer a question about at most one dimension, or None."""
    of = HexMonthSlice.Axis
    wanted = [
        (axis, [str(value) for value in values])
        for axis, values in (
            (of.KIND, asked.kinds),
            (of.OCCURRENCE, asked.occurrences),
            (of.SOURCE_CLASS, (asked.source_class,) if asked.source_class else ()),
            (of.ACCUSED, () if asked.accused is None else (asked.accused,)),
            (of.SECTOR, () if asked.sector is None else (asked.sector,)),
        )
        if values
    ]
    if len(wanted) > 1:
        return None
    [(axis, values)] = wanted or [(of.ALL, [""])]
    return HexMonthSlice.objects.filter(axis=axis, value__in=values)


def _month_of(day: date) -> date:
    return day.replace(day=1)


def matching(asked: Asked) -> Q:
    """Return the filters in the columns that all rollups share."""
    matching = Q()
    if asked.kinds:
        matching &= Q(kind__in=asked.kinds)
    if asked.occurrences:
        matching &= Q(occurrence__in=asked.occurrences)
    if asked.source_class:
        matching &= Q(source_class=asked.source_class)
    if asked.accused is not None:
        matching &= Q(accused=asked.accused)
    if asked.sector is not None:
        matching &= Q(sector=asked.sector)
    return matching


def nowhere(tier: int, asked: Asked) -> tuple[int, int]:
    """Return how many events of these days and filters have a place too vague for the map, and how many have none."""
    rows = HexCount.objects.seen_at(tier).filter(matching(asked), cell__isnull=True)
    rows = rows.filter(day__range=(asked.first, asked.last)).order_by()
    counted = dict(rows.values_list("place").annotate(Sum("events")))
    return counted.get(CountedTally.Placed.TOO_VAGUE, 0), counted.get(CountedTally.Placed.NO_PLACE, 0)


def _bigger(cells: list[Hex]) -> list[Hex]:
    """Return the same counts in cells one size bigger, seven in one."""
    sums: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for each in cells:
        both = sums[_parent(each.cell)]
        both[0] += each.events
        both[1] += each.reports
    return [Hex(cell, *both) for cell, both in sums.items()]


@lru_cache(maxsize=20_000)
def _parent(cell: int) -> int:
    return h3.cell_to_parent(cell, places.CELL_RESOLUTION - 1)


@lru_cache(maxsize=20_000)
def _centre(cell: int) -> tuple[float, float]:
    return h3.cell_to_latlng(cell)


@lru_cache(maxsize=20_000)
def _outline(cell: int) -> list[list[float]]:
    return places.outline(cell)


def _touches(cell: int, box: Box) -> bool:
    latitude, longitude = _centre(cell)
    return box.holds(longitude, latitude, MARGIN)


# --- Points -------------------------------------------------------------------------------


def points(user: Any, asked: Asked, limit: int) -> list[Dot]:
    """Return at most ``limit`` events with a place in the box that a cell could be told from, newest first."""
    reports = Report.objects.visible_to(user).in_scope().unmerged_for(user)
    incidents = Incident.objects.visible_to(user).filter(merged_into=None)
    if asked.occurrences:
        reports = reports.filter(status__in=asked.occurrences)
        incidents = incidents.filter(occurrence__in=asked.occurrences)
    if asked.source_class:
        reports = reports.filter(source__source_class=asked.source_class)
        seen = Report.objects.visible_to(user).filter(source__source_class=asked.source_class)
        incidents = incidents.filter(pk__in=seen.filter(incident__isnull=False).values("incident"))
    found = [
        *_dots("report", reports.annotate(occurrence=F("status")), user, asked, limit),
        *_dots("incident", incidents, user, asked, limit),
    ]
    return sorted(found, key=lambda dot: dot.occurred_from, reverse=True)[:limit]


def _dots(noun: str, rows: QuerySet, user: Any, asked: Asked, limit: int) -> list[Dot]:
    tier = actor_of(user).tier
    columns = seen_place(tier)
    rows = rows.filter(occurred_on__range=(asked.first, asked.last))
    if asked.kinds:
        rows = rows.filter(kind__in=asked.kinds)
    if asked.accused is not None:
        rows = rows.filter(accused=asked.accused)
    if asked.sector is not None:
        rows = rows.filter(**{columns.sector: asked.sector})
    if asked.box is None:
        rows = rows.filter(**{f"{columns.cell}__isnull": False})
    else:
        rows = within_box(rows, tier, asked.box, vague=False)
    named = ("id", columns.longitude, columns.latitude, "place_precision_m", "sensitive", "place_name")
    values = rows.order_by().values_list(*named, "kind", "accused_id", "occurred_from", "occurrence")[:limit]
    return [
        Dot(
            noun=noun,
            id=pk,
            place=places.Point(longitude, latitude, precision_m + (COARSER_BY_M[Tier(tier)] if sensitive else 0)),
            place_name="" if sensitive and tier < Tier.PLANNING else place_name,  # a name can be exact, too
            kind=kind,
            accused_id=accused_id,
            occurred_from=occurred_from,
            occurrence=occurrence,
        )
        for pk, longitude, latitude, precision_m, sensitive, place_name, kind, accused_id, occurred_from, occurrence
        in values
    ]  # fmt: skip


# --- Days ---------------------------------------------------------------------------------


def newest_day(user: Any) -> date | None:
    """Return the last day that has events on any map of the viewer, or None when there are none."""
    rows = HexCount.objects.seen_at(actor_of(user).tier).filter(cell__isnull=False)
    return rows.order_by("-day").values_list("day", flat=True).first()


def window(asked: Asked, on: date | None, days: int) -> Asked:
    """Return the question narrowed to ``days`` days from ``on``, within its own days; ``on`` None leaves it."""
    if on is None:
        return asked
    first = min(max(on, asked.first), asked.last)
    return replace(asked, first=first, last=min(first + timedelta(days=days - 1), asked.last))


def step_days(first: date, last: date) -> int:
    """Return how many days one step of the time slider shows: a day, a week from 3 months on, 30 days from 2 years on."""
    length = (last - first).days + 1
    return 1 if length <= 92 else 7 if length <= 730 else 30
