"""Which rows of a list: one set of filters for the pages, the API and the exports.

A number on a dashboard links to these filters, so they must select exactly the rows the number was made of:
``counted``, ``on``, ``level`` and ``at_least`` ask the same queryset that the stored answers are computed from.
"""

import django_filters
from django import forms
from django.db.models import Q, QuerySet

from coalition.access import Tier
from coalition.editing import is_id
from coalition.filters import UpdatedSinceFilter
from coalition.models import Condition, Nation, Sector
from pledges.counting import BLOCKED, LEVELS
from pledges.models import Capability, Pledge, Requirement, superseded_for

TIERS = [(tier.label, tier.label.capitalize()) for tier in Tier]
LEVEL_CHOICES = [(level, level.replace("_", " ").capitalize()) for level in (*LEVELS, BLOCKED)]


class EitherSelect(forms.NullBooleanSelect):
    """Yes, no, or either."""

    def __init__(self, attrs=None):
        super().__init__(attrs)
        self.choices = [("unknown", "Either"), *self.choices[1:]]


class YesNoFilter(django_filters.BooleanFilter):
    """A filter for what holds, or does not, or either."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, widget=EitherSelect, **kwargs)


def tier_named(name: str) -> Tier:
    """Return the tier of a label such as ``coalition``."""
    return next(tier for tier in Tier if tier.label == name)


class PledgeFilter(django_filters.FilterSet):
    """Filters of pledges. The queryset must carry ``with_standing``."""

    q = django_filters.CharFilter(method="matching", label="Search")
    nation = django_filters.ModelMultipleChoiceFilter(queryset=Nation.objects.order_by("name"), label="Nation")
    category = django_filters.ChoiceFilter(
        field_name="capability__category", choices=Capability.Category, label="Category"
    )
    capability = django_filters.ModelChoiceFilter(
        queryset=Capability.objects.order_by("name"), to_field_name="code", label="Capability"
    )
    status = django_filters.MultipleChoiceFilter(choices=Pledge.Status, label="Status")
    level = django_filters.ChoiceFilter(method="at_level", choices=LEVEL_CHOICES, label="Level")
    at_least = django_filters.ChoiceFilter(method="at_level_or_better", choices=LEVEL_CHOICES[:-1], label="At least")
    on = django_filters.DateFilter(method="standing_on", label="Stands on")
    counted = django_filters.ChoiceFilter(method="counted_at", choices=TIERS, label="Counted at tier")
    condition = django_filters.ModelChoiceFilter(
        field_name="conditions", queryset=Condition.objects.order_by("title"), label="Hangs on"
    )
    requirement = django_filters.ModelChoiceFilter(
        method="allocated_to", queryset=Requirement.objects.all(), label="Allocated to"
    )
    tier = django_filters.ChoiceFilter(method="of_tier", choices=TIERS, label="Release tier")
    overdue = YesNoFilter(method="overdue_for_confirmation", label="Overdue for confirmation")
    unquantified = YesNoFilter(field_name="quantity", lookup_expr="isnull", label="Unquantified")
    illustrative = YesNoFilter(label="Illustrative")
    on_ladder = YesNoFilter(method="still_on_ladder", label="On the ladder")
    superseded = YesNoFilter(method="replaced", label="Superseded")
    updated_since = UpdatedSinceFilter()

    class Meta:
        model = Pledge
        fields: list[str] = []

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.filters["condition"].queryset = Condition.objects.visible_to(self.request.user).order_by("title")
        self.filters["requirement"].queryset = Requirement.objects.visible_to(self.request.user)

    def matching(self, rows: QuerySet, name: str, text: str) -> QuerySet:
        """Keep rows whose text, nation, capability, source or id holds every word."""
        for word in text.split():
            if word[:1] in "Pp" and is_id(word[1:]):
                rows = rows.filter(pk=word[1:])
                continue
            rows = rows.filter(
                Q(what__icontains=word)
                | Q(nation__name__icontains=word)
                | Q(nation__stanag__iexact=word)
                | Q(capability__name__icontains=word)
                | Q(source__icontains=word)
                | Q(external_id__iexact=word)
            )
        return rows

    def at_level(self, rows: QuerySet, name: str, level: str) -> QuerySet:
        return rows.filter(level=level)

    def at_level_or_better(self, rows: QuerySet, name: str, level: str) -> QuerySet:
        return rows.at_least(level)

    def standing_on(self, rows: QuerySet, name: str, day) -> QuerySet:
        return rows.within_window(day) if self.data.get("level") == BLOCKED else rows.standing_on(day)

    def still_on_ladder(self, rows: QuerySet, name: str, wanted: bool) -> QuerySet:
        return rows.filter(status__in=Pledge.ON_LADDER) if wanted else rows.exclude(status__in=Pledge.ON_LADDER)

    def counted_at(self, rows: QuerySet, name: str, tier: str) -> QuerySet:
        return rows.counted_at(tier_named(tier))

    def replaced(self, rows: QuerySet, name: str, wanted: bool) -> QuerySet:
        """A successor that one may not see is no successor: else the filter would give it away."""
        user = self.request.user
        return rows.filter(superseded_for(user)) if wanted else rows.current_for(user)

    def of_tier(self, rows: QuerySet, name: str, tier: str) -> QuerySet:
        return rows.filter(tier=tier_named(tier))

    def allocated_to(self, rows: QuerySet, name: str, requirement: Requirement) -> QuerySet:
        return rows.filter(allocations__requirement=requirement)

    def overdue_for_confirmation(self, rows: QuerySet, name: str, wanted: bool) -> QuerySet:
        overdue = rows.overdue_for_confirmation(self.request.user)
        return overdue if wanted else rows.exclude(pk__in=overdue.values("pk"))


class RequirementFilter(django_filters.FilterSet):
    """Filters of requirement lines."""

    q = django_filters.CharFilter(method="matching", label="Search")
    category = django_filters.ChoiceFilter(
        field_name="capability__category", choices=Capability.Category, label="Category"
    )
    capability = django_filters.ModelChoiceFilter(
        queryset=Capability.objects.order_by("name"), to_field_name="code", label="Capability"
    )
    sector = django_filters.ModelChoiceFilter(
        queryset=Sector.objects.order_by("code"), to_field_name="code", label="Sector"
    )
    priority = django_filters.MultipleChoiceFilter(choices=Requirement.Priority, label="Priority")
    phase = django_filters.CharFilter(lookup_expr="iexact", label="Phase")
    on = django_filters.DateFilter(method="active_on", label="Active on")
    tier = django_filters.ChoiceFilter(method="of_tier", choices=TIERS, label="Release tier")
    up_to = django_filters.ChoiceFilter(method="up_to_tier", choices=TIERS, label="Seen at tier")
    updated_since = UpdatedSinceFilter()

    class Meta:
        model = Requirement
        fields: list[str] = []

    def matching(self, rows: QuerySet, name: str, text: str) -> QuerySet:
        """Keep rows whose title, capability, sector or phase holds every word."""
        for word in text.split():
            rows = rows.filter(
                Q(title__icontains=word)
                | Q(capability__name__icontains=word)
                | Q(sector__name__icontains=word)
                | Q(phase__icontains=word)
            )
        return rows

    def active_on(self, rows: QuerySet, name: str, day) -> QuerySet:
        return rows.filter(Q(needed_until__isnull=True) | Q(needed_until__gte=day), needed_from__lte=day)

    def of_tier(self, rows: QuerySet, name: str, tier: str) -> QuerySet:
        return rows.filter(tier=tier_named(tier))

    def up_to_tier(self, rows: QuerySet, name: str, tier: str) -> QuerySet:
        return rows.filter(tier__lte=tier_named(tier))
