"""Which incidents, and which waiting reports: filters for the pages, the API and the exports."""

import django_filters
from django.db.models import Q, QuerySet

from coalition.access import Tier, actor_of
from coalition.editing import is_id
from coalition.filters import UpdatedSinceFilter
from coalition.models import Sector
from monitoring.boxes import Box, within_box
from monitoring.filters import BoxFilter, DayOrInstantFilter, ticks
from monitoring.kinds import KINDS_OF, Family, Kind
from monitoring.models import OUT, Incident, Occurrence, Party, Report, Source
from monitoring.placing import seen_place
from monitoring.triage import SEVERITIES

STATES = [("open", "Not judged yet"), ("judged", "Judged, not verified"), ("verified", "Verified")]


class IncidentFilter(django_filters.FilterSet):
    """Filters of incidents. Those merged into another are left out unless ``merged`` asks for them."""

    q = django_filters.CharFilter(method="matching", label="Search")
    occurred_after = DayOrInstantFilter(method="from_then_on", label="From")
    occurred_before = DayOrInstantFilter(method="up_to_then", label="Until")
    bbox = BoxFilter(method="in_box", label="West,south,east,north")
    sector = django_filters.ModelChoiceFilter(
        method="in_sector", queryset=Sector.objects.order_by("code"), to_field_name="code", label="Sector"
    )
    kind = ticks(choices=Kind.choices, label="Kind")
    family = django_filters.ChoiceFilter(method="in_family", choices=Family.choices, label="Family")
    accused = django_filters.ModelChoiceFilter(
        queryset=Party.objects.order_by("name"), to_field_name="code", label="Accused"
    )
    state = django_filters.ChoiceFilter(method="in_state", choices=STATES, label="State")
    occurrence = ticks(choices=[each for each in Occurrence.choices if each[0] not in OUT], label="Occurrence")
    finding = django_filters.ChoiceFilter(choices=Incident.Finding.choices, label="Finding")
    attribution = django_filters.ChoiceFilter(choices=Incident.Attribution.choices, label="Attribution")
    attributed_to = django_filters.ModelChoiceFilter(
        queryset=Party.objects.order_by("name"), to_field_name="code", label="Attributed to"
    )
    merged = django_filters.BooleanFilter(method="merged_away", label="Merged into another")
    updated_since = UpdatedSinceFilter()

    class Meta:
        model = Incident
        fields: list[str] = []

    def filter_queryset(self, queryset: QuerySet) -> QuerySet:
        found = super().filter_queryset(queryset)
        return found if self.form.cleaned_data.get("merged") is not None else found.filter(merged_into__isnull=True)

    @property
    def tier(self) -> int:
        return actor_of(self.request.user).tier

    def matching(self, rows: QuerySet, name: str, text: str) -> QuerySet:
        """Keep rows whose title or place holds every word; I12 is the incident of that number."""
        for word in text.split()[:8]:
            if word[:1] in "Ii" and is_id(word[1:]):
                rows = rows.filter(pk=word[1:])
                continue
            named = Q(place_name__icontains=word)
            rows = rows.filter(
                Q(title__icontains=word) | (named if self.tier >= Tier.PLANNING else named & Q(sensitive=False))
            )
        return rows

    def from_then_on(self, rows: QuerySet, name: str, then) -> QuerySet:
        """A day is the day as stated; an instant is compared with the last moment it may have happened."""
        return rows.filter(occurred_until__gte=then) if hasattr(then, "hour") else rows.filter(occurred_on__gte=then)

    def up_to_then(self, rows: QuerySet, name: str, then) -> QuerySet:
        """The whole of a day counts; of an instant, what began before it."""
        return rows.filter(occurred_from__lt=then) if hasattr(then, "hour") else rows.filter(occurred_on__lte=then)

    def in_box(self, rows: QuerySet, name: str, box: tuple[float, float, float, float]) -> QuerySet:
        return within_box(rows, self.tier, Box(*box))

    def in_sector(self, rows: QuerySet, name: str, area: Sector) -> QuerySet:
        seen = seen_place(self.tier)
        is_sector = area.kind == Sector.Kind.SECTOR
        return rows.filter(**({seen.sector: area.pk} if is_sector else {f"{seen.zones}__contains": [area.pk]}))

    def in_family(self, rows: QuerySet, name: str, family: str) -> QuerySet:
        return rows.filter(kind__in=KINDS_OF[Family(family)])

    def in_state(self, rows: QuerySet, name: str, state: str) -> QuerySet:
        if state == "verified":
            return rows.filter(verified_at__isnull=False)
        return rows.filter(judged_at__isnull=state == "open", verified_at__isnull=True)

    def merged_away(self, rows: QuerySet, name: str, wanted: bool) -> QuerySet:
        return rows.filter(merged_into__isnull=not wanted)


class QueueFilter(django_filters.FilterSet):
    """Filters of the queue. The queryset must carry ``severity`` (``triage.queue``)."""

    severity = django_filters.ChoiceFilter(
        method="at_least_as_bad",
        choices=[(word, f"{word.capitalize()} or worse") for level, word in SEVERITIES.items() if level > 1],
        label="Severity",
    )
    status = django_filters.ChoiceFilter(
        choices=[each for each in Occurrence.choices if each[0] in ("received", "screened", "under_verification")],
        label="Status",
    )
    family = django_filters.ChoiceFilter(method="in_family", choices=Family.choices, label="Family")
    source_class = django_filters.ChoiceFilter(
        field_name="source__source_class", choices=Source.Class.choices, label="Source"
    )
    accused = django_filters.ModelChoiceFilter(
        queryset=Party.objects.order_by("name"), to_field_name="code", label="Accused"
    )
    occurred_after = DayOrInstantFilter(method="from_then_on", label="From")
    occurred_before = DayOrInstantFilter(method="up_to_then", label="Until")

    class Meta:
        model = Report
        fields: list[str] = []

    from_then_on = IncidentFilter.from_then_on
    up_to_then = IncidentFilter.up_to_then
    in_family = IncidentFilter.in_family

    def at_least_as_bad(self, rows: QuerySet, name: str, word: str) -> QuerySet:
        least = next(level for level, each in SEVERITIES.items() if each == word)
        return rows.filter(severity__gte=least)
