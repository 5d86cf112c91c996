"""Which reports: one set of filters for the pages, the API and the exports.

Places are asked for as the viewer's tier sees them, so that no filter tells more than the list does.
"""

import math
import re
from datetime import UTC, date, datetime, timedelta

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field

from coalition.access import Tier, actor_of
from coalition.editing import FIRST_DAY, LAST_DAY, is_id
from coalition.filters import UpdatedSinceFilter
from coalition.forms import DayInput
from coalition.models import Sector
from monitoring.boxes import Box, within_box
from monitoring.kinds import KINDS_OF, Facility, Family, Kind
from monitoring.models import Incident, Occurrence, Party, Report, Source
from monitoring.placing import seen_place

NO_LATER = timedelta(days=2)  # nothing begins later than so long after the day that was stated for it


class DayOrInstantField(forms.CharField):
    """A day (2025-03-20), or an instant (2025-03-20T12:00Z); one without an offset is in UTC."""

    def clean(self, value) -> date | datetime | None:
        text = super().clean(value).strip()
        if not text:
            return None
        try:
            found = parse_date(text) or parse_datetime(text.replace(" ", "+") if "T" in text else text)
        except ValueError:
            found = None
        if found is None or not FIRST_DAY.year <= found.year <= LAST_DAY.year:
            raise ValidationError("Enter a day (2025-03-20) or an instant (2025-03-20T12:00:00Z).")
        if isinstance(found, datetime):
            found = timezone.make_aware(found) if timezone.is_naive(found) else found.astimezone(UTC)
        return found


@extend_schema_field(OpenApiTypes.STR)
class DayOrInstantFilter(django_filters.Filter):
    field_class = DayOrInstantField


class BoxField(forms.CharField):
    """A bounding box: west,south,east,north in degrees. Source: RFC 7946, section 5."""

    def clean(self, value) -> tuple[float, float, float, float] | None:
        text = super().clean(value).strip()
        if not text:
            return None
        parts = text.split(",")
        plain = len(parts) == 4 and all(re.fullmatch(r"\s*[-+]?\d{1,4}(\.\d{0,20})?\s*", part) for part in parts)
        if not plain:
            raise ValidationError("Four numbers with commas between them: west,south,east,north in degrees.")
        west, south, east, north = (float(part) for part in parts)
        if not all(math.isfinite(each) for each in (west, south, east, north)):
            raise ValidationError("Degrees are finite numbers.")
        if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= 90 and -90 <= north <= 90):
            raise ValidationError("Longitudes run from -180 to 180, latitudes from -90 to 90.")
        if south > north or west > east:
            raise ValidationError("South lies below north and west of east: west,south,east,north.")
        return west, south, east, north


@extend_schema_field(OpenApiTypes.STR)
class BoxFilter(django_filters.Filter):
    field_class = BoxField


class Ticks(forms.CheckboxSelectMultiple):
    """Any number of choices, without the "All" that an empty choice is."""


def ticks(**kwargs):
    return django_filters.MultipleChoiceFilter(widget=Ticks, **kwargs)


class ReportFilter(django_filters.FilterSet):
    """Filters of reports. The queryset must carry ``with_incident_for``."""

    q = django_filters.CharFilter(method="matching", label="Search")
    occurred_after = DayOrInstantFilter(method="from_then_on", label="From")
    occurred_before = DayOrInstantFilter(method="up_to_then", label="Until")
    bbox = BoxFilter(method="in_box", label="West,south,east,north")
    sector = django_filters.ModelMultipleChoiceFilter(
        method="in_sector", queryset=Sector.objects.order_by("code"), to_field_name="code", widget=Ticks, label="Area"
    )
    kind = ticks(choices=Kind.choices, label="Kind")
    family = ticks(method="in_family", choices=Family.choices, label="Family")
    accused = django_filters.ModelMultipleChoiceFilter(
        method="of_parties",
        queryset=Party.objects.order_by("name"),
        to_field_name="code",
        widget=Ticks,
        label="Accused",
    )
    accuser = django_filters.ModelMultipleChoiceFilter(
        method="of_parties",
        queryset=Party.objects.order_by("name"),
        to_field_name="code",
        widget=Ticks,
        label="Accuser",
    )
    occurrence = ticks(choices=Occurrence.choices, label="Occurrence")
    min_reliability = django_filters.ChoiceFilter(
        method="at_least_as_reliable", choices=Source.Reliability.choices, label="Reliability, at least"
    )
    max_credibility = django_filters.ChoiceFilter(
        method="at_least_as_credible", choices=Report.Credibility.choices, label="Credibility, at least"
    )
    source_class = ticks(field_name="source__source_class", choices=Source.Class.choices, label="Source")
    source = django_filters.ModelChoiceFilter(
        queryset=Source.objects.order_by("name"), to_field_name="code", label="One source"
    )
    facility_class = ticks(choices=Facility.choices, label="Facility hit")
    incident = django_filters.ModelChoiceFilter(queryset=Incident.objects.none(), label="Incident")
    dataset = django_filters.CharFilter(label="Data set")
    external_id = django_filters.CharFilter(label="Id in the data set")
    updated_since = UpdatedSinceFilter()

    class Meta:
        model = Report
        fields: list[str] = []

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.filters["incident"].queryset = Incident.objects.visible_to(self.request.user)
        for name in ("occurred_after", "occurred_before"):
            if "T" not in self.data.get(name, ""):  # a date picker cannot show an instant
                self.filters[name].extra["widget"] = DayInput()

    @property
    def is_filtered(self) -> bool:
        """True where anything was asked for, so that an empty list is no empty shop."""
        return any(self.data.getlist(name) not in ([], [""]) for name in self.filters)

    @property
    def tier(self) -> int:
        return actor_of(self.request.user).tier

    def matching(self, rows: QuerySet, name: str, text: str) -> QuerySet:
        """Keep rows whose place, weapon, account or reference holds every word; V12 is the report of that number."""
        for word in text.split()[:8]:
            if word[:1] in "Vv" and is_id(word[1:]):
                rows = rows.filter(pk=word[1:])
                continue
            name_seen = Q(place_name__icontains=word)
            if self.tier < Tier.PLANNING:
                name_seen &= Q(sensitive=False)
            rows = rows.filter(
                name_seen
                | Q(weapon__icontains=word)
                | Q(narrative__icontains=word)
                | Q(reference__iexact=word)
                | Q(external_id__iexact=word)
            )
        return rows

    def from_then_on(self, rows: QuerySet, name: str, then: date | datetime) -> QuerySet:
        """A day is the day as stated, whole; an instant is compared with the last moment it may have happened."""
        if isinstance(then, datetime):
            return rows.filter(occurred_until__gte=then)
        return rows.filter(occurred_on__gte=then)

    def up_to_then(self, rows: QuerySet, name: str, then: date | datetime) -> QuerySet:
        """The whole of a day counts; of an instant, what began before it."""
        if isinstance(then, datetime):
            return rows.filter(occurred_from__lt=then)
        # Said twice, so that the newest-first index can begin at the right place.
        last = datetime.combine(then, datetime.min.time(), timezone.get_default_timezone()) + NO_LATER
        return rows.filter(occurred_on__lte=then, occurred_from__lt=last)

    def in_box(self, rows: QuerySet, name: str, box: tuple[float, float, float, float]) -> QuerySet:
        return within_box(rows, self.tier, Box(*box))

    def in_sector(self, rows: QuerySet, name: str, areas: list[Sector]) -> QuerySet:
        if not areas:
            return rows
        seen, wanted = seen_place(self.tier), Q()
        for area in areas:
            is_sector = area.kind == Sector.Kind.SECTOR
            wanted |= Q(**{seen.sector: area.pk}) if is_sector else Q(**{f"{seen.zones}__contains": [area.pk]})
        return rows.filter(wanted)

    def of_parties(self, rows: QuerySet, name: str, parties: list[Party]) -> QuerySet:
        return rows.filter(**{f"{name}__in": parties}) if parties else rows

    def in_family(self, rows: QuerySet, name: str, families: list[str]) -> QuerySet:
        kinds = [kind for family in families for kind in KINDS_OF[Family(family)]]
        return rows.filter(kind__in=kinds) if kinds else rows

    def at_least_as_reliable(self, rows: QuerySet, name: str, letter: str) -> QuerySet:
        """F says that it cannot be judged, so it asks for nothing."""
        return rows if letter == Source.Reliability.F else rows.filter(reliability__lte=letter)

    def at_least_as_credible(self, rows: QuerySet, name: str, number: str) -> QuerySet:
        return rows.filter(credibility__lte=int(number))
