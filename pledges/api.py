"""Needs and pledges over the API. Steps are POST sub-paths through the same domain functions as the pages."""

from django.db.models import Prefetch
from django_filters import rest_framework as filters
from rest_framework import serializers

from coalition.access import actor_of
from coalition.api import CoalitionViewSet, Shown, TierField, visible
from coalition.models import Condition, Nation, Operation
from pledges.filters import LEVEL_CHOICES, PledgeFilter, RequirementFilter
from pledges.models import Allocation, Capability, Pledge, Requirement


class CapabilitySerializer(Shown):
    class Meta:
        model = Capability
        fields = ["code", "name", "category", "unit", "aggregation", "description", "version", "changed_at"]


class CapabilityFilters(filters.FilterSet):
    category = filters.MultipleChoiceFilter(choices=Capability.Category.choices)
    q = filters.CharFilter(field_name="name", lookup_expr="icontains", label="Text in the name")
    updated_since = filters.IsoDateTimeFilter(field_name="changed_at", lookup_expr="gte")


class CapabilityViewSet(CoalitionViewSet):
    """The kinds of things a force needs, each counted in one unit."""

    queryset = Capability.objects.all()
    serializer_class = CapabilitySerializer
    filterset_class = CapabilityFilters
    lookup_field = "code"
    lookup_value_regex = "[-a-zA-Z0-9_]+"
    orderings = {"code": "code", "name": "name", "changed_at": "changed_at"}
    default_ordering = "code"


class RequirementSerializer(Shown):
    operation = serializers.CharField(source="operation.code")
    capability = serializers.CharField(source="capability.code")
    capability_name = serializers.CharField(source="capability.name")
    category = serializers.ChoiceField(source="capability.category", choices=Capability.Category.choices)
    unit = serializers.CharField(source="capability.unit")
    sector = serializers.CharField(source="sector.code", allow_null=True, default=None)
    tier = TierField()

    class Meta:
        model = Requirement
        fields = [
            "id",
            "operation",
            "capability",
            "capability_name",
            "category",
            "sector",
            "title",
            "quantity",
            "unit",
            "needed_from",
            "needed_until",
            "priority",
            "notice_days",
            "phase",
            "tier",
            "note",
            "illustrative",
            "version",
            "created_at",
            "changed_at",
        ]


class RequirementFilters(RequirementFilter):
    operation = filters.ModelChoiceFilter(queryset=visible(Operation), to_field_name="code")


class RequirementViewSet(CoalitionViewSet):
    """The lines of the plan: so much of a capability, in a sector or anywhere, from day to day."""

    queryset = Requirement.objects.select_related("operation", "capability", "sector")
    serializer_class = RequirementSerializer
    filterset_class = RequirementFilters
    orderings = {
        "id": "id",
        "priority": "priority",
        "capability": "capability__code",
        "quantity": "quantity",
        "needed_from": "needed_from",
        "changed_at": "changed_at",
    }


class PledgeSerializer(Shown):
    nation = serializers.CharField(source="nation_id")
    operation = serializers.CharField(source="operation.code")
    capability = serializers.CharField(source="capability.code")
    capability_name = serializers.CharField(source="capability.name")
    category = serializers.ChoiceField(source="capability.category", choices=Capability.Category.choices)
    unit = serializers.CharField(source="capability.unit")
    tier = TierField()
    level = serializers.ChoiceField(
        choices=LEVEL_CHOICES, allow_null=True, help_text="The level it counts in; null off the ladder"
    )
    stands_from = serializers.DateField(allow_null=True, help_text="The first day it can stand; null off the ladder")
    stands_until = serializers.DateField(allow_null=True, help_text="The last day; null is open-ended")
    conditions = serializers.SerializerMethodField(help_text="Ids of the conditions it hangs on")
    caveats = serializers.SerializerMethodField(help_text="National caveats, each as kind: text")
    requirement = serializers.SerializerMethodField(help_text="Id of the line it proposes to answer")
    superseded_by = serializers.SerializerMethodField(help_text="Id of the pledge that took its place")

    class Meta:
        model = Pledge
        fields = [
            "id",
            "nation",
            "operation",
            "capability",
            "capability_name",
            "category",
            "what",
            "stated_low",
            "stated_high",
            "quantity",
            "unit",
            "available_from",
            "available_until",
            "notice_days",
            "status",
            "level",
            "stands_from",
            "stands_until",
            "conditions",
            "caveats",
            "tier",
            "requirement",
            "superseded_by",
            "source",
            "source_url",
            "stated_on",
            "note",
            "dataset",
            "external_id",
            "last_confirmed_on",
            "ordered_on",
            "illustrative",
            "version",
            "created_at",
            "changed_at",
        ]

    def get_conditions(self, pledge) -> list[int]:
        return [condition.pk for condition in pledge.conditions.all()]

    def get_caveats(self, pledge) -> list[str]:
        return [f"{caveat.kind}: {caveat.text}" for caveat in pledge.caveats.all()]

    def get_requirement(self, pledge) -> int | None:
        line = pledge.requirement
        return line.pk if line and line.tier <= actor_of(self.reader).tier else None

    def get_superseded_by(self, pledge) -> int | None:
        successor, actor = pledge.superseded_by, actor_of(self.reader)
        may_see = successor and (successor.tier <= actor.tier or successor.nation_id == actor.nation)
        return successor.pk if may_see else None


class PledgeFilters(PledgeFilter):
    operation = filters.ModelChoiceFilter(queryset=visible(Operation), to_field_name="code")
    dataset = filters.CharFilter()
    external_id = filters.CharFilter()


class PledgeViewSet(CoalitionViewSet):
    """What nations say they may send."""

    queryset = Pledge.objects.select_related("operation", "capability", "requirement", "superseded_by")
    serializer_class = PledgeSerializer
    filterset_class = PledgeFilters
    orderings = {
        "id": "id",
        "nation": "nation_id",
        "capability": "capability__code",
        "quantity": "quantity",
        "available_from": "available_from",
        "last_confirmed_on": "last_confirmed_on",
        "changed_at": "changed_at",
    }

    def get_queryset(self):
        gates = Condition.objects.visible_to(self.request.user).order_by("id").only("id")
        rows = super().get_queryset().with_standing()
        return rows.prefetch_related(Prefetch("conditions", queryset=gates), "caveats")


class AllocationSerializer(Shown):
    operation = serializers.CharField(source="requirement.operation.code")
    capability = serializers.CharField(source="requirement.capability.code")
    unit = serializers.CharField(source="requirement.capability.unit")
    nation = serializers.CharField(source="pledge.nation_id")
    pledge = serializers.IntegerField(source="pledge_id")
    requirement = serializers.IntegerField(source="requirement_id")
    tier = TierField()

    class Meta:
        model = Allocation
        fields = [
            "id",
            "operation",
            "pledge",
            "nation",
            "requirement",
            "capability",
            "quantity",
            "unit",
            "tier",
            "version",
            "created_at",
            "changed_at",
        ]


class AllocationFilters(filters.FilterSet):
    operation = filters.ModelChoiceFilter(
        field_name="requirement__operation", queryset=visible(Operation), to_field_name="code"
    )
    nation = filters.ModelMultipleChoiceFilter(
        field_name="pledge__nation", queryset=visible(Nation), to_field_name="code"
    )
    capability = filters.ModelMultipleChoiceFilter(
        field_name="requirement__capability", queryset=visible(Capability), to_field_name="code"
    )
    pledge = filters.ModelMultipleChoiceFilter(queryset=visible(Pledge))
    requirement = filters.ModelMultipleChoiceFilter(queryset=visible(Requirement))
    updated_since = filters.IsoDateTimeFilter(field_name="changed_at", lookup_expr="gte")


class AllocationViewSet(CoalitionViewSet):
    """How much of which pledge answers which line."""

    queryset = Allocation.objects.select_related("pledge", "requirement__operation", "requirement__capability")
    serializer_class = AllocationSerializer
    filterset_class = AllocationFilters
    orderings = {"id": "id", "quantity": "quantity", "changed_at": "changed_at"}
