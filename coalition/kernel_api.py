"""The kernel's nouns over the API: who is in, where and when, what everything hangs on, and work in the background."""

from django_filters import rest_framework as filters
from rest_framework import serializers

from coalition import conditions, nations
from coalition.api import CoalitionViewSet, Shown, TierField, TierFilter, visible
from coalition.models import Condition, Job, Nation, Operation, Sector


class NationSerializer(Shown):
    class Meta:
        model = Nation
        fields = [
            "code",
            "stanag",
            "name",
            "standing",
            "standing_source",
            "approval_route",
            "focal_point",
            "last_confirmed_at",
            "version",
            "changed_at",
        ]


class NationInput(serializers.ModelSerializer):
    reason = serializers.CharField(required=False, max_length=1000, help_text="Why; kept in the history")

    class Meta:
        model = Nation
        fields = ["name", "standing", "standing_source", "approval_route", "focal_point", "reason"]


class NationFilters(filters.FilterSet):
    standing = filters.MultipleChoiceFilter(choices=Nation.Standing.choices)
    q = filters.CharFilter(field_name="name", lookup_expr="icontains", label="Text in the name")
    updated_since = filters.IsoDateTimeFilter(field_name="changed_at", lookup_expr="gte")


class NationViewSet(CoalitionViewSet):
    """The nations of the coalition, and beside it. Their id is ISO 3166 alpha-2."""

    queryset = Nation.objects.all()
    serializer_class = NationSerializer
    filterset_class = NationFilters
    lookup_field = "code"
    lookup_value_regex = "[A-Z]{2}"
    orderings = {"code": "code", "name": "name", "changed_at": "changed_at"}
    default_ordering = "code"
    inputs = {"partial_update": NationInput}
    changes = ("partial_update",)
    write_actions = {"partial_update": "keep_nations"}

    def partial_update(self, request, *args, **kwargs):
        nation, version = self.changing()
        changes = self.input(partial=True)
        why = changes.pop("reason", "")
        return self.shown_again(nations.revise(nation.pk, changes, by=request.user, based_on=version, why=why))


class OperationSerializer(Shown):
    # With P(met), a step's certainty would give a condition's chance away.
    planning_only = (
        "half_life_days",
        "certainty_signalled",
        "certainty_offered",
        "certainty_committed",
        "certainty_ready",
        "certainty_deploying",
        "certainty_in_place",
    )

    class Meta:
        model = Operation
        fields = [
            "code",
            "name",
            "starts_on",
            "activated_on",
            "mandate_until",
            "time_zone",
            "is_current",
            "illustrative",
            "confirm_every_days",
            "half_life_days",
            "certainty_signalled",
            "certainty_offered",
            "certainty_committed",
            "certainty_ready",
            "certainty_deploying",
            "certainty_in_place",
            "version",
            "changed_at",
        ]


class OperationFilters(filters.FilterSet):
    current = filters.BooleanFilter(field_name="is_current", label="The one the pages show")
    updated_since = filters.IsoDateTimeFilter(field_name="changed_at", lookup_expr="gte")


class OperationViewSet(CoalitionViewSet):
    """The planned missions. Pledges, requirements and conditions belong to one."""

    queryset = Operation.objects.all()
    serializer_class = OperationSerializer
    filterset_class = OperationFilters
    lookup_field = "code"
    lookup_value_regex = "[-a-zA-Z0-9_]+"
    orderings = {"code": "code", "name": "name", "starts_on": "starts_on", "changed_at": "changed_at"}
    default_ordering = "code"


class SectorSerializer(Shown):
    class Meta:
        model = Sector
        fields = ["code", "name", "kind", "polygon", "illustrative", "version", "changed_at"]


class SectorFilters(filters.FilterSet):
    kind = filters.MultipleChoiceFilter(choices=Sector.Kind.choices)
    q = filters.CharFilter(field_name="name", lookup_expr="icontains", label="Text in the name")
    updated_since = filters.IsoDateTimeFilter(field_name="changed_at", lookup_expr="gte")


class SectorViewSet(CoalitionViewSet):
    """Named areas on the ground, as GeoJSON polygons in WGS 84."""

    queryset = Sector.objects.all()
    serializer_class = SectorSerializer
    filterset_class = SectorFilters
    lookup_field = "code"
    lookup_value_regex = "[-a-zA-Z0-9_]+"
    orderings = {"code": "code", "name": "name", "changed_at": "changed_at"}
    default_ordering = "code"


class ConditionSerializer(Shown):
    planning_only = ("probability",)

    operation = serializers.CharField(source="operation.code")
    nation = serializers.CharField(source="nation_id", allow_null=True)
    is_overdue = serializers.BooleanField(help_text="Still open past its due day")
    tier = TierField()

    class Meta:
        model = Condition
        fields = [
            "id",
            "operation",
            "kind",
            "title",
            "nation",
            "state",
            "probability",
            "due_on",
            "is_overdue",
            "tier",
            "note",
            "source_url",
            "illustrative",
            "version",
            "created_at",
            "changed_at",
        ]


class ConditionInput(serializers.ModelSerializer):
    operation = serializers.CharField(required=False, help_text="Code; the current one when missing")
    nation = serializers.CharField(required=False, allow_null=True, help_text="Alpha-2")
    tier = TierField(required=False)

    class Meta:
        model = Condition
        fields = [
            "operation",
            "kind",
            "title",
            "nation",
            "state",
            "probability",
            "due_on",
            "tier",
            "note",
            "source_url",
            "illustrative",
        ]
        validators = []  # the domain's sentences name the field


class ConditionChange(ConditionInput):
    operation = None
    reason = serializers.CharField(required=False, max_length=1000, help_text="Why; kept in the history")

    class Meta(ConditionInput.Meta):
        fields = [*ConditionInput.Meta.fields[1:], "reason"]


class ConditionFilters(filters.FilterSet):
    operation = filters.ModelChoiceFilter(queryset=visible(Operation), to_field_name="code")
    nation = filters.ModelMultipleChoiceFilter(queryset=visible(Nation), to_field_name="code")
    kind = filters.MultipleChoiceFilter(choices=Condition.Kind.choices)
    state = filters.MultipleChoiceFilter(choices=Condition.State.choices)
    tier = TierFilter()
    due_before = filters.DateFilter(field_name="due_on", lookup_expr="lt")
    q = filters.CharFilter(field_name="title", lookup_expr="icontains", label="Text in the title")
    updated_since = filters.IsoDateTimeFilter(field_name="changed_at", lookup_expr="gte")


class ConditionViewSet(CoalitionViewSet):
    """What pledges hang on, outside a nation's hands. The probability is shown to planners only."""

    queryset = Condition.objects.select_related("operation")
    worked_out = ("is_overdue",)
    serializer_class = ConditionSerializer
    filterset_class = ConditionFilters
    orderings = {"id": "id", "title": "title", "due_on": "due_on", "changed_at": "changed_at"}
    inputs = {"create": ConditionInput, "partial_update": ConditionChange}
    creates = ("create",)
    changes = ("partial_update",)
    write_actions = {"create": "keep_conditions", "partial_update": "keep_conditions"}

    def create(self, request, *args, **kwargs):
        draft = self.input()
        return self.created(lambda: conditions.pose(draft, by=request.user))

    def partial_update(self, request, *args, **kwargs):
        condition, version = self.changing()
        changes = self.input(partial=True)
        why = changes.pop("reason", "")
        return self.shown_again(conditions.revise(condition.pk, changes, by=request.user, based_on=version, why=why))


class JobSerializer(Shown):
    user = serializers.CharField(source="user.username", allow_null=True, default=None)
    share = serializers.FloatField(allow_null=True, help_text="The finished share, 0 to 1; null while unknown")

    class Meta:
        model = Job
        fields = [
            "id",
            "kind",
            "user",
            "state",
            "done",
            "total",
            "share",
            "attempts",
            "result",
            "error",
            "created_at",
            "started_at",
            "finished_at",
        ]


class JobFilters(filters.FilterSet):
    state = filters.MultipleChoiceFilter(choices=Job.State.choices)
    kind = filters.CharFilter()


class JobViewSet(CoalitionViewSet):
    """Long work in the background: one's own; planners see all."""

    queryset = Job.objects.select_related("user")
    versioned = False
    serializer_class = JobSerializer
    filterset_class = JobFilters
    lookup_value_regex = "[0-9a-f-]{36}"
    orderings = {"created_at": "created_at"}
    default_ordering = "-created_at"
