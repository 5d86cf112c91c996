"""Is it getting worse? Events per day, week, kind, accused and area, against the days before; from the rollups alone.

Days are calendar days as the sources stated them, in the operation's time zone. Many reports name no hour, so there is no
"last 24 hours": the last whole day stands beside the day before it. An event counts in one source class, that of the
strongest report of it; what is counted for one class is never added to that of another.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta

from django.db.models import Count, Max, Q, QuerySet, Sum

from coalition.models import Sector
from monitoring.kinds import FAMILY_OF, CountUnit, Kind
from monitoring.models import CountedTally, DailyCount, Occurrence, Party, Source
from monitoring.on_the_map import Asked, matching

DAY = timedelta(days=1)
WEEK = timedelta(days=7)
NO_REPORT_SEEN = ""  # the class of an incident none of whose reports the tier sees
CLASSES: dict[str, str] = {**dict(Source.Class.choices), NO_REPORT_SEEN: "Incidents without a report you may see"}


@dataclass(frozen=True)
class Compared:
    """Events and reports of a period beside the events of as many days before it."""

    events: int = 0
    before: int = 0
    reports: int = 0

    @property
    def change(self) -> int:
        return self.events - self.before

    @property
    def in_words(self) -> str:
        """``12 more now``, ``3 fewer now``, ``as many now``."""
        if not self.change:
            return "as many now"
        return f"{abs(self.change):,} {'more' if self.change > 0 else 'fewer'} now".replace(",", "\u202f")

    @property
    def against(self) -> str:
        """``12 more than 30``, ``3 fewer than 30``, ``as many as``."""
        if not self.change:
            return "as many as"
        word = "more" if self.change > 0 else "fewer"
        return f"{abs(self.change):,} {word} than {self.before:,}".replace(",", "\u202f")

    @property
    def signed(self) -> str:
        """``+12``, ``−3`` or ``0``."""
        sign = "+" if self.change > 0 else "\u2212" if self.change else ""
        return f"{sign}{abs(self.change):,}".replace(",", "\u202f")


@dataclass(frozen=True)
class ClassTrend:
    """One source class over a period. ``seven_days`` are the events of the last seven days, oldest first."""

    source_class: str
    compared: Compared
    seven_days: tuple[int, ...]

    @property
    def label(self) -> str:
        return CLASSES[self.source_class]

    @property
    def seven_day_mean(self) -> float:
        """Mean events a day over the last seven days of the period."""
        return sum(self.seven_days) / len(self.seven_days)


@dataclass(frozen=True)
class DayCount:
    """One day of one source class. ``mean_before``: mean events a day over the seven days before it."""

    day: date
    events: int
    reports: int
    mean_before: float


@dataclass(frozen=True)
class GroupCount:
    """One kind, family, accused, area or occurrence in a period. ``value`` is what a filter takes, None where none can."""

    value: str | None
    label: str
    compared: Compared


@dataclass(frozen=True)
class UnitCount:
    """What the reports themselves counted, in one unit. ``low`` and ``high`` add up those that gave a number."""

    label: str
    low: int
    high: int
    unknown: int  # reports that gave none


@dataclass(frozen=True)
class Unwatched:
    """A sector without any report by own monitors on some days: few events there may mean that nobody watched."""

    sector: Sector
    days: int


# --- what was asked --------------------------------------------------------------------------


def before(asked: Asked) -> Asked:
    """Return the same question about as many days just before."""
    length = asked.last - asked.first + DAY
    return replace(asked, first=asked.first - length, last=asked.first - DAY)


def _within(asked: Asked) -> Q:
    return Q(day__range=(asked.first, asked.last))


def daily(tier: int, asked: Asked) -> QuerySet[DailyCount]:
    """Return the daily counts of one tier that the question lets pass. A box is asked of hexes, not of days."""
    return DailyCount.objects.seen_at(tier).filter(matching(asked), _within(asked)).order_by()


def _both(tier: int, asked: Asked) -> QuerySet[DailyCount]:
    return daily(tier, replace(asked, first=before(asked).first))


def _compared(asked: Asked) -> dict[str, Sum]:
    now = _within(asked)
    return {
        "events_now": Sum("events", filter=now, default=0),
        "events_before": Sum("events", filter=~now, default=0),
        "reports_now": Sum("reports", filter=now, default=0),
    }


def newest_day(tier: int, until: date) -> date | None:
    """Return the last day up to ``until`` on which this tier counts anything, or None."""
    return DailyCount.objects.seen_at(tier).filter(day__lte=until).aggregate(newest=Max("day"))["newest"]


# --- answers ---------------------------------------------------------------------------------


def by_class(tier: int, asked: Asked) -> list[ClassTrend]:
    """Return one trend per source class, always all three; incidents without a visible report only where there are some.

    One query over the period and as many days before, or the last seven days where that is more.
    """
    first = min(before(asked).first, asked.last - WEEK + DAY)
    counted = daily(tier, replace(asked, first=first)).values_list("day", "source_class")
    of_day: dict[str, dict[date, tuple[int, int]]] = defaultdict(dict)
    for day, source_class, events, reports in counted.annotate(Sum("events"), Sum("reports")):
        of_day[source_class][day] = (events, reports)
    earlier = before(asked)
    trends = []
    for source_class in CLASSES:
        days = of_day[source_class]
        now = [pair for day, pair in days.items() if asked.first <= day <= asked.last]
        then = [events for day, (events, _) in days.items() if earlier.first <= day <= earlier.last]
        seven = tuple(days.get(asked.last - n * DAY, (0, 0))[0] for n in reversed(range(7)))
        if source_class or any(now) or any(then):
            compared = Compared(sum(events for events, _ in now), sum(then), sum(reports for _, reports in now))
            trends.append(ClassTrend(source_class, compared, seven))
    return trends


def by_day(tier: int, asked: Asked) -> list[DayCount]:
    """Return every day of the period, oldest first, also those without events. One query."""
    counted = daily(tier, replace(asked, first=asked.first - WEEK)).values_list("day")
    found = {day: (events, reports) for day, events, reports in counted.annotate(Sum("events"), Sum("reports"))}
    days = []
    for number in range((asked.last - asked.first).days + 1):
        day = asked.first + number * DAY
        events, reports = found.get(day, (0, 0))
        week_before = sum(found.get(day - back * DAY, (0, 0))[0] for back in range(1, 8))
        days.append(DayCount(day, events, reports, week_before / 7))
    return days


def by_kind(tier: int, asked: Asked) -> list[GroupCount]:
    """Return the kinds that occur, most events first. One query."""
    return _grouped(tier, asked, "kind", lambda kind: (kind, Kind(kind).label))


def by_family(kinds: Iterable[GroupCount]) -> list[GroupCount]:
    """Return the families of what ``by_kind`` gave, most events first. No query."""
    sums: dict = defaultdict(lambda: [0, 0, 0])
    for group in kinds:
        compared, family = group.compared, FAMILY_OF[Kind(group.value)]
        for at, amount in enumerate((compared.events, compared.before, compared.reports)):
            sums[family][at] += amount
    return _most_first(GroupCount(family.value, family.label, Compared(*found)) for family, found in sums.items())


def by_accused(tier: int, asked: Asked) -> list[GroupCount]:
    """Return whom the events are laid to, most events first; nobody is one of them. Two queries."""
    parties = {party.pk: (party.code, party.name) for party in Party.objects.all()}
    return _grouped(tier, asked, "accused", lambda pk: parties.get(pk, (None, "Nobody named")))


def by_occurrence(tier: int, asked: Asked) -> list[GroupCount]:
    """Return how far the events are established, most events first. One query."""
    return _grouped(tier, asked, "occurrence", lambda word: (word, Occurrence(word).label))


def by_sector(tier: int, asked: Asked) -> list[GroupCount]:
    """Return where the events were, most events first: sectors, and apart what lies in none. Two queries."""
    sectors = {sector.pk: (sector.code, sector.name) for sector in Sector.objects.all()}
    nowhere = {
        CountedTally.Placed.PLACED: (None, "Outside all sectors"),
        CountedTally.Placed.TOO_VAGUE: (None, "Place too vague"),
        CountedTally.Placed.NO_PLACE: (None, "No place"),
    }
    return _grouped(tier, asked, ("sector", "place"), lambda pk, place: sectors.get(pk) or nowhere[place])


def by_unit(tier: int, asked: Asked) -> list[UnitCount]:
    """Return what the reports counted, per unit; two accounts of one event are both in it. One query."""
    counted = daily(tier, asked).filter(reports__gt=0).values_list("count_unit")
    sums = counted.annotate(Sum("low"), Sum("high"), Sum("unknown"))
    labels = {**dict(CountUnit.choices), "": "No unit named"}
    order = list(labels)
    found = sorted(sums, key=lambda row: order.index(row[0]))
    return [UnitCount(labels[unit], low, high, unknown) for unit, low, high, unknown in found]


def unwatched(tier: int, asked: Asked) -> list[Unwatched]:
    """Return the sectors with days on which no own monitor reported, most days first; other filters are not asked.

    Two queries. Only areas of kind sector: nobody is posted to watch a line or a plant.
    """
    reported = DailyCount.objects.seen_at(tier).filter(
        _within(asked), source_class=Source.Class.MONITORS, reports__gt=0, sector__isnull=False
    )
    days = dict(reported.order_by().values_list("sector").annotate(Count("day", distinct=True)))
    sectors = Sector.objects.filter(kind=Sector.Kind.SECTOR).order_by("code")
    if asked.sector is not None:
        sectors = sectors.filter(pk=asked.sector)
    length = (asked.last - asked.first).days + 1
    found = [Unwatched(sector, length - days.get(sector.pk, 0)) for sector in sectors]
    return sorted((each for each in found if each.days), key=lambda each: -each.days)


def _grouped(tier: int, asked: Asked, by: str | tuple[str, ...], named) -> list[GroupCount]:
    keys = (by,) if isinstance(by, str) else by
    rows = _both(tier, asked).values_list(*keys).annotate(**_compared(asked))
    return _most_first(
        GroupCount(*named(*row[: len(keys)]), Compared(*row[len(keys) :])) for row in rows if any(row[len(keys) :])
    )


def _most_first(groups: Iterable[GroupCount]) -> list[GroupCount]:
    return sorted(groups, key=lambda group: (-group.compared.events, -group.compared.before, group.label))


# --- weeks as small multiples ----------------------------------------------------------------

BAR, GAP, HEIGHT = 10, 2, 48  # units of the drawing


@dataclass(frozen=True)
class Bar:
    """The events of one of seven days, drawn: ``x``, ``y`` and ``height`` in units of the drawing."""

    events: int
    x: int
    y: float
    height: float


@dataclass(frozen=True)
class Week:
    """Monday to Sunday, as far as the period reaches. All weeks share one scale, so that they may be compared."""

    days: tuple[DayCount, ...]
    bars: tuple[Bar, ...]
    events: int
    mean_y: float  # height of the mean of this week's days
    width: int = 7 * (BAR + GAP) - GAP
    height: int = HEIGHT

    @property
    def days_and_bars(self) -> list[tuple[DayCount, Bar]]:
        return list(zip(self.days, self.bars, strict=True))

    @property
    def first(self) -> date:
        """The first day of it that lies in the period."""
        return self.days[0].day

    @property
    def last(self) -> date:
        return self.days[-1].day


def weeks(days: list[DayCount]) -> list[Week]:
    """Return the weeks that the days fall into, oldest first. Empty for no days."""
    most = max((day.events for day in days), default=0) or 1
    grouped: dict[date, list[DayCount]] = defaultdict(list)
    for day in days:
        grouped[day.day - day.day.weekday() * DAY].append(day)
    return [_week(grouped[monday], most) for monday in sorted(grouped)]


def _week(days: list[DayCount], most: int) -> Week:
    bars = tuple(_bar(day.day.weekday(), day.events, most) for day in days)
    events = sum(day.events for day in days)
    return Week(tuple(days), bars, events, round(HEIGHT - events / len(days) / most * HEIGHT, 1))


def _bar(place: int, events: int, most: int) -> Bar:
    height = round(events / most * HEIGHT, 1)
    return Bar(events, place * (BAR + GAP), round(HEIGHT - height, 1), height)


def seven_bars(trend: ClassTrend) -> list[Bar]:
    """Return the last seven days of a class as bars, on a scale of its own: classes are not compared with each other."""
    most = max(trend.seven_days) or 1
    return [_bar(number, events, most) for number, events in enumerate(trend.seven_days)]
