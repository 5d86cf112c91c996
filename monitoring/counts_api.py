"""Counts of reports over the API, for charts and maps: stored answers only, as one tier sees them.

``GET /api/v1/reports/daily/`` gives a row per day and source class (and, with ``by``, per kind, family, sector, place,
accused, occurrence or count unit): ``day, source_class, [by,] events, reports``, with ``count_unit`` also ``low``,
``high``, ``unknown``.
``GET /api/v1/reports/hexes/`` gives a row per H3 cell of resolution 5: ``cell`` (hexadecimal), ``longitude``, ``latitude``
of its centre (WGS 84 degrees), ``events``, ``reports``, with ``boundary=true`` also ``boundary``, a GeoJSON polygon;
``format=geojson`` always has the polygons. Both answer on one page that says how old it is. Filters are those of
``reports/``, one value each but for ``kind`` and ``occurrence``; a box takes the cells that touch it, whole.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import F, Sum
from django.utils import timezone
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from coalition.access import actor_of
from coalition.api import ApiViewSet, TierField, VisibleRelatedField
from coalition.columns import columns_of
from coalition.models import Sector
from coalition.paging import OnePage
from coalition.renderers import Export
from coalition.rows import Counted, as_json
from monitoring import on_the_map, rollups, trends
from monitoring.boxes import Box
from monitoring.filters import BoxField
from monitoring.kinds import FAMILY_OF, KINDS_OF, Family, Kind
from monitoring.models import OUT, DailyCount, HexCount, Occurrence, Party, Source
from monitoring.on_the_map import Asked, Hex

LONGEST = timedelta(days=20 * 366)
MOST_ROWS = 50_000  # on a page of JSON; a file has no limit
USUAL = timedelta(days=27)
COUNTED = [choice for choice in Occurrence.choices if choice[0] not in OUT]
BY = {  # name of the parameter to the column of the rollup
    "kind": "kind",
    "family": "kind",
    "sector": "sector",
    "place": "place",  # of what lies in no sector: placed all the same, too vague, or without any place
    "accused": "accused",
    "occurrence": "occurrence",
    "count_unit": "count_unit",
}


class Several(serializers.CharField):
    """One or more words with commas between them."""

    def __init__(self, *, choices, **kwargs):
        self.known = dict(choices)
        super().__init__(**kwargs)

    def to_internal_value(self, data) -> tuple[str, ...]:
        words = tuple(word.strip() for word in super().to_internal_value(data).split(","))
        unknown = [word for word in words if word not in self.known]
        if unknown:
            raise serializers.ValidationError(f"Not known: {', '.join(unknown)}. Known are: {', '.join(self.known)}.")
        return words


class BoxParameter(serializers.CharField):
    """west,south,east,north in degrees."""

    def to_internal_value(self, data) -> Box:
        return Box(*BoxField().clean(super().to_internal_value(data)))


class CountsQuery(serializers.Serializer):
    """Which events, and as whom."""

    occurred_after = serializers.DateField(required=False, help_text="First day; 28 days before the last when missing")
    occurred_before = serializers.DateField(required=False, help_text="Last day; the newest counted when missing")
    bbox = BoxParameter(required=False, help_text="west,south,east,north: the cells that touch it, whole")
    sector = VisibleRelatedField(Sector, "code", required=False, help_text="Code of an area of kind sector")
    kind = Several(choices=Kind.choices, required=False, help_text="Kinds, separated by commas")
    family = serializers.ChoiceField(choices=Family.choices, required=False)
    accused = VisibleRelatedField(Party, "code", required=False, help_text="Code of a party")
    occurrence = Several(choices=COUNTED, required=False, help_text="Words, separated by commas")
    source_class = serializers.ChoiceField(choices=Source.Class.choices, required=False)
    tier = TierField(required=False, help_text="As this tier sees it; one's own when missing")


class DailyQuery(CountsQuery):
    by = serializers.ChoiceField(choices=list(BY), required=False, help_text="Break each day down by this")


class HexesQuery(CountsQuery):
    boundary = serializers.BooleanField(default=False, help_text="Add the outline of each cell")


class DayRow(serializers.Serializer):
    """Events and reports of a day in one source class. An event is an incident, or a report merged into none."""

    day = serializers.DateField(help_text="As the sources stated it")
    source_class = serializers.ChoiceField(
        choices=[*Source.Class.choices, ("", "None")], help_text="Empty: incidents none of whose reports the tier sees"
    )
    by = serializers.CharField(allow_null=True, required=False, help_text="The value of what was asked for in ``by``")
    events = serializers.IntegerField()
    reports = serializers.IntegerField(help_text="In scope, merged or not")
    low = serializers.IntegerField(required=False, help_text="With by=count_unit: sum of the low counts")
    high = serializers.IntegerField(required=False, help_text="With by=count_unit: sum of the high counts")
    unknown = serializers.IntegerField(required=False, help_text="With by=count_unit: reports without a number")


class HexRow(serializers.Serializer):
    """One H3 cell of resolution 5, about 250 square kilometres."""

    cell = serializers.CharField(help_text="H3 index, hexadecimal")
    longitude = serializers.FloatField(help_text="Of its centre, WGS 84 degrees")
    latitude = serializers.FloatField()
    events = serializers.IntegerField()
    reports = serializers.IntegerField()
    boundary = serializers.DictField(required=False, help_text="GeoJSON polygon")


class UnwatchedRow(serializers.Serializer):
    """A sector from which no own monitor reported on some days: few events there may mean that nobody looked."""

    sector = serializers.CharField(help_text="Code")
    days = serializers.IntegerField(help_text="On so many days")
    of_days = serializers.IntegerField(help_text="Of so many")


class UnwatchedQuery(serializers.Serializer):
    """Which days, and as whom."""

    occurred_after = CountsQuery._declared_fields["occurred_after"]
    occurred_before = CountsQuery._declared_fields["occurred_before"]
    sector = CountsQuery._declared_fields["sector"]
    tier = CountsQuery._declared_fields["tier"]


class Hexes(Counted):
    """Hexes as rows; on a map each is its polygon."""

    def features(self) -> Iterator[bytes]:
        for row in self.rows:
            properties = {column.name: row[column.name] for column in self.columns}
            yield as_json({"type": "Feature", "geometry": row["boundary"], "properties": properties}) + b"\n"


class CountsViewSet(ApiViewSet):
    """What the two have in common: days, tier, one page."""

    pagination_class = OnePage
    filter_backends = ()
    listing = ("list",)

    def asked(self, found: Mapping[str, Any], tier: int) -> Asked:
        """Return the question. Days that are missing: the last four weeks in which anything is counted."""
        last = found.get("occurred_before") or trends.newest_day(tier, date.max) or timezone.now().date()
        first = found.get("occurred_after") or last - USUAL
        if not timedelta(0) <= last - first <= LONGEST:
            raise ValidationError({"occurred_before": ["Not before the first day, and at most 20 years after it."]})
        kinds = found.get("kind") or (KINDS_OF[Family(found["family"])] if "family" in found else ())
        if "family" in found and any(FAMILY_OF[Kind(kind)] != found["family"] for kind in kinds):
            raise ValidationError({"kind": [f"Not all of the family {Family(found['family']).label}."]})
        return Asked(
            first=first,
            last=last,
            box=found.get("bbox"),
            kinds=tuple(kinds),
            accused=found["accused"].pk if "accused" in found else None,
            occurrences=found.get("occurrence", ()),
            source_class=found.get("source_class", ""),
            sector=found["sector"].pk if "sector" in found else None,
        )

    def tier(self, found: Mapping[str, Any]) -> int:
        """Return the tier asked for. A higher one than the reader's own is refused."""
        own = actor_of(self.request.user).tier
        tier = found.get("tier", own)
        if tier > own:
            raise PermissionDenied("You may not see that tier.")
        return tier

    def answered(
        self, rows: list[dict], serializer_class: type[serializers.Serializer], rows_class=Counted, **beside: int
    ):
        """Answer with a page that says how old it is, or with a file. Columns without a value in any row are left out."""
        named = serializer_class()
        for name in [name for name, field in named.fields.items() if not field.required and name not in _shown(rows)]:
            del named.fields[name]
        if isinstance(self.request.accepted_renderer, Export):
            columns = tuple(column for column in columns_of(named) if column.name != "boundary")
            return self.file(rows_class(rows, columns))
        if len(rows) > MOST_ROWS:
            raise ValidationError({"occurred_after": [f"More than {MOST_ROWS:,} rows: ask for fewer days, or a file."]})
        age = rollups.as_of()
        return Response(
            {
                "next": None,
                "previous": None,
                "results": rows,
                **beside,
                "as_of": {"counted_until": age.counted_until, "is_late": age.is_amber},
            }
        )


def _shown(rows: list[dict]) -> set[str]:
    return set(rows[0]) if rows else set()


class DailyViewSet(CountsViewSet):
    """Events and reports per day and source class. Classes are never added: one event may be told of by several."""

    queryset = DailyCount.objects.none()
    serializer_class = DayRow
    listing = ("list", "unwatched")
    queries = {"list": DailyQuery, "unwatched": UnwatchedQuery}
    outputs = {"unwatched": UnwatchedRow(many=True)}

    def list(self, request, *args, **kwargs):
        """Return a row per day, source class and, where asked, value of ``by``; days without any are left out."""
        found = self.query()
        tier = self.tier(found)
        asked, by = self.asked(found, tier), found.get("by")
        counted = trends.daily(tier, asked) if asked.box is None else on_the_map.daily_within(tier, asked)
        keys = ["day", "source_class"]
        sums = {"events": Sum("events"), "reports": Sum("reports")}
        if by:
            keys.append("value")
            counted = counted.annotate(value=F(BY[by]))
        if by == "count_unit":
            sums |= {name: Sum(name) for name in ("low", "high", "unknown")}
        rows = counted.values_list(*keys).annotate(**{f"sum_{name}": each for name, each in sums.items()})
        return self.answered(_day_rows(rows.order_by(*keys), by, list(sums)), DayRow)

    @action(detail=False)
    def unwatched(self, request, *args, **kwargs):
        """Return the sectors with days on which no own monitor reported, most days first."""
        found = self.query()
        tier = self.tier(found)
        asked = self.asked(found, tier)
        rows = [
            {"sector": each.sector.code, "days": each.days, "of_days": asked.length}
            for each in trends.unwatched(tier, asked)
        ]
        return self.answered(rows, UnwatchedRow)


def _day_rows(found, by: str | None, sums: list[str]) -> list[dict]:
    """Return dicts by column; kinds are added up to families, and ids become codes."""
    words = {
        "family": FAMILY_OF,
        "sector": dict(Sector.objects.values_list("pk", "code")) if by == "sector" else {},
        "accused": dict(Party.objects.values_list("pk", "code")) if by == "accused" else {},
    }.get(by)
    counted: dict[tuple, list[int]] = defaultdict(lambda: [0] * len(sums))
    for day, source_class, *rest in found:
        value = (words.get(rest[0]) if words is not None else rest[0],) if by else ()
        amounts = counted[day, source_class, *value]
        for at, amount in enumerate(rest[len(value) :]):
            amounts[at] += amount
    names = ["day", "source_class", *(["by"] if by else []), *sums]
    return [dict(zip(names, (*key, *amounts), strict=True)) for key, amounts in counted.items()]


class HexViewSet(CountsViewSet):
    """Events and reports per H3 cell: what the map draws far out. Places too vague for a cell are in none."""

    queryset = HexCount.objects.none()
    serializer_class = HexRow
    queries = {"list": HexesQuery}

    def list(self, request, *args, **kwargs):
        """Return a row per cell that holds anything, most events first; beside them the events that no map can show."""
        found = self.query()
        tier = self.tier(found)
        asked = self.asked(found, tier)
        file = isinstance(request.accepted_renderer, Export)
        cells = sorted(on_the_map.hexes_of(tier, asked), key=lambda each: (-each.events, each.cell))
        outlined = found["boundary"] or file
        too_vague, no_place = on_the_map.nowhere(tier, asked)
        beside = {"too_vague": too_vague, "no_place": no_place}
        return self.answered([_row(each, outlined) for each in cells], HexRow, Hexes, **beside)


def _row(each: Hex, outlined: bool) -> dict:
    middle = each.middle
    row = {
        "cell": f"{each.cell:x}",
        "longitude": round(middle.longitude, 5),
        "latitude": round(middle.latitude, 5),
        "events": each.events,
        "reports": each.reports,
    }
    if outlined:
        row["boundary"] = {"type": "Polygon", "coordinates": [each.outline]}
    return row
