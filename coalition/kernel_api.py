"""The kernel's nouns over the API: who is in, where and when, what everything hangs on, and work in the background."""

from django.db.models import Case, DateField, DateTimeField, F, FloatField, Func, Value, When
from django.db.models.functions import Cast, Least
from django.utils import timezone
from django_filters import rest_framework as filters
from rest_framework import serializers

from coalition import conditions, nations
from coalition.api import CoalitionViewSet, TierField, TierFilter, tier_column, visible
from coalition.columns import Area, Column, Columns, Kind
from coalition.filters import UpdatedSinceFilter
from coalition.models import Condition, Job, Nation, Operation, Sector

NATIONS = Columns(
    Nation,
    Column("code", kind=Kind.WORD, hxl="#country+code+v_iso2", about="ISO 3166 alpha-2", example="FR"),
    Column("stanag", kind=Kind.WORD, hxl="#country+code+v_stanag1059", about="STANAG 1059", example="FRA"),
    Column("name", hxl="#country+name", example="France"),
    Column("standing", hxl="#status"),
    "standing_source",
    "approval_route",
    "focal_point",
    "last_confirmed_at",
    "version",
    "changed_at",
)


class NationInput(serializers.ModelSerializer):
    reason = serializers.CharField(required=False, max_length=1000, help_text="Why; kept in the history")

    class Meta:
        model = Nation
        fields = ["name", "standing", "standing_source", "approval_route", "focal_point", "reason"]


class NationFilters(filters.FilterSet):
    standing = filters.MultipleChoiceFilter(choices=Nation.Standing.choices)
    q = filters.CharFilter(field_name="name", lookup_expr="icontains", label="Text in the name")
    updated_since = UpdatedSinceFilter()


class NationViewSet(CoalitionViewSet):
    """The nations of the coalition, and beside it. Their id is ISO 3166 alpha-2."""

    queryset = Nation.objects.all()
    columns = NATIONS
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


# With P(met), a step's certainty would give a condition's chance away.
OPERATIONS = Columns(
    Operation,
    Column("code", kind=Kind.WORD, hxl="#activity+code", example="demo"),
    Column("name", hxl="#activity+name"),
    "starts_on",
    "activated_on",
    "mandate_until",
    Column("time_zone", kind=Kind.WORD, example="Europe/Kyiv"),
    "is_current",
    "illustrative",
    "confirm_every_days",
    Column("half_life_days", planning_only=True),
    *(
        Column(f"certainty_{step}", planning_only=True)
        for step in ("signalled", "offered", "committed", "ready", "deploying", "in_place")
    ),
    "version",
    "changed_at",
)


class OperationFilters(filters.FilterSet):
    current = filters.BooleanFilter(field_name="is_current", label="The one the pages show")
    updated_since = UpdatedSinceFilter()


class OperationViewSet(CoalitionViewSet):
    """The planned missions. Pledges, requirements and conditions belong to one."""

    queryset = Operation.objects.all()
    columns = OPERATIONS
    filterset_class = OperationFilters
    lookup_field = "code"
    lookup_value_regex = "[-a-zA-Z0-9_]+"
    orderings = {"code": "code", "name": "name", "starts_on": "starts_on", "changed_at": "changed_at"}
    default_ordering = "code"


POLYGON = {
    "type": "object",
    "description": "GeoJSON Polygon or MultiPolygon, WGS 84, longitude first (RFC 7946)",
    "required": ["type", "coordinates"],
    "properties": {
        "type": {"type": "string", "enum": ["Polygon", "MultiPolygon"]},
        "coordinates": {"type": "array", "items": {}},
    },
}
SQUARE = {"type": "Polygon", "coordinates": [[[36, 48], [37, 48], [37, 49], [36, 49], [36, 48]]]}
SECTORS = Columns(
    Sector,
    Column("code", kind=Kind.WORD, hxl="#loc+code", example="S1"),
    Column("name", hxl="#loc+name"),
    Column("kind", hxl="#loc+type"),
    Column("polygon", hxl="#geo+bounds", schema=POLYGON, example=SQUARE),
    "illustrative",
    "version",
    "changed_at",
    place=Area("polygon"),
)


class SectorFilters(filters.FilterSet):
    kind = filters.MultipleChoiceFilter(choices=Sector.Kind.choices)
    q = filters.CharFilter(field_name="name", lookup_expr="icontains", label="Text in the name")
    updated_since = UpdatedSinceFilter()


class SectorViewSet(CoalitionViewSet):
    """Named areas on the ground, as GeoJSON polygons in WGS 84."""

    queryset = Sector.objects.all()
    columns = SECTORS
    filterset_class = SectorFilters
    lookup_field = "code"
    lookup_value_regex = "[-a-zA-Z0-9_]+"
    orderings = {"code": "code", "name": "name", "changed_at": "changed_at"}
    default_ordering = "code"


def today_of_operation() -> Cast:
    """Return the calendar day it now is in each condition's operation."""
    now = Cast(Value(timezone.now()), DateTimeField())
    return Cast(Func(F("operation__time_zone"), now, function="timezone"), DateField())


CONDITIONS = Columns(
    Condition,
    Column("id", hxl="#meta+id"),
    Column("operation", "operation__code", kind=Kind.WORD, hxl="#activity+code", example="demo"),
    Column("kind", hxl="#cause+type"),
    Column("title", hxl="#cause+name"),
    Column("nation", "nation_id", kind=Kind.WORD, hxl="#country+code+v_iso2", nullable=True, example="FR"),
    Column("state", hxl="#status"),
    Column("probability", planning_only=True),
    Column("due_on", hxl="#date+due"),
    Column(
        "is_overdue",
        lambda actor: Case(
            When(state=Condition.State.OPEN, due_on__lt=today_of_operation(), then=Value(True)), default=Value(False)
        ),
        kind=Kind.BOOLEAN,
        about="Still open past its due day",
    ),
    tier_column(),
    "note",
    "source_url",
    "illustrative",
    "version",
    "created_at",
    "changed_at",
)


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
    updated_since = UpdatedSinceFilter()


class ConditionViewSet(CoalitionViewSet):
    """What pledges hang on, outside a nation's hands. The probability is shown to planners only."""

    queryset = Condition.objects.all()
    columns = CONDITIONS
    worked_out = ("is_overdue",)
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


JOBS = Columns(
    Job,
    "id",
    Column("kind", kind=Kind.WORD),
    Column("user", "user__username", kind=Kind.WORD),
    "state",
    "done",
    "total",
    Column(
        "share",
        Case(When(total__gt=0, then=Least(Cast("done", FloatField()) / F("total"), 1.0))),
        kind=Kind.NUMBER,
        nullable=True,
        about="The finished share, 0 to 1; null while unknown",
    ),
    "attempts",
    Column("result", schema={"description": "What came of it, by its kind"}),
    "error",
    "created_at",
    "started_at",
    "finished_at",
)


class JobFilters(filters.FilterSet):
    state = filters.MultipleChoiceFilter(choices=Job.State.choices)
    kind = filters.CharFilter()


class JobViewSet(CoalitionViewSet):
    """Long work in the background: one's own; planners see all."""

    queryset = Job.objects.all()
    versioned = False
    columns = JOBS
    filterset_class = JobFilters
    lookup_value_regex = "[0-9a-f-]{36}"
    orderings = {"created_at": "created_at"}
    default_ordering = "-created_at"
