"""Needs and pledges over the API. Steps are POST sub-paths through the same domain functions as the pages."""

from collections.abc import Callable
from functools import partial

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Case, F, OuterRef, Value, When
from django.db.models.functions import Concat
from django_filters import rest_framework as filters
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.response import Response

from coalition.access import Actor, seen_by
from coalition.api import CoalitionViewSet, TierField, tier_column, visible
from coalition.columns import Column, Columns, Kind
from coalition.editing import compare
from coalition.filters import UpdatedSinceFilter
from coalition.models import ApiToken, Condition, Nation, Operation
from coalition.refusals import Conflict
from pledges import allocating, declaring, ladder, requiring
from pledges.filters import LEVEL_CHOICES, PledgeFilter, RequirementFilter
from pledges.models import Allocation, Capability, Caveat, Pledge, Requirement

CAPABILITIES = Columns(
    Capability,
    Column("code", kind=Kind.WORD, hxl="#capacity+code", example="infantry"),
    Column("name", hxl="#capacity+name"),
    Column("category", hxl="#capacity+type"),
    Column("unit", hxl="#indicator+unit", example="persons"),
    "aggregation",
    "description",
    "version",
    "changed_at",
)
OF_CAPABILITY = (
    Column("capability", "capability__code", kind=Kind.WORD, hxl="#capacity+code", example="infantry"),
    Column("capability_name", "capability__name", hxl="#capacity+name"),
    Column("category", "capability__category", hxl="#capacity+type"),
)
OPERATION = Column("operation", "operation__code", kind=Kind.WORD, hxl="#activity+code", example="demo")
NATION = Column("nation", "nation_id", kind=Kind.WORD, hxl="#country+code+v_iso2", example="FR")
UNIT = Column("unit", "capability__unit", hxl="#indicator+unit", example="persons")


class CapabilityFilters(filters.FilterSet):
    category = filters.MultipleChoiceFilter(choices=Capability.Category.choices)
    q = filters.CharFilter(field_name="name", lookup_expr="icontains", label="Text in the name")
    updated_since = UpdatedSinceFilter()


class CapabilityViewSet(CoalitionViewSet):
    """The kinds of things a force needs, each counted in one unit."""

    queryset = Capability.objects.all()
    columns = CAPABILITIES
    filterset_class = CapabilityFilters
    lookup_field = "code"
    lookup_value_regex = "[-a-zA-Z0-9_]+"
    orderings = {"code": "code", "name": "name", "changed_at": "changed_at"}
    default_ordering = "code"


REQUIREMENTS = Columns(
    Requirement,
    Column("id", hxl="#meta+id"),
    OPERATION,
    *OF_CAPABILITY,
    Column("sector", "sector__code", kind=Kind.WORD, hxl="#loc+code", example="S1"),
    "title",
    Column("quantity", hxl="#capacity+required+num"),
    UNIT,
    Column("needed_from", hxl="#date+start"),
    Column("needed_until", hxl="#date+end"),
    Column("priority", hxl="#indicator+priority"),
    "notice_days",
    "phase",
    tier_column(),
    "note",
    "illustrative",
    "version",
    "created_at",
    "changed_at",
)


class RequirementInput(serializers.ModelSerializer):
    operation = serializers.CharField(required=False, help_text="Code; the current one when missing")
    capability = serializers.CharField(help_text="Code")
    sector = serializers.CharField(required=False, allow_null=True, help_text="Code; empty is anywhere")
    needed_from = serializers.DateField(required=False, help_text="The operation's first day when missing")
    tier = TierField(required=False)

    class Meta:
        model = Requirement
        fields = [
            "operation",
            "capability",
            "sector",
            "title",
            "quantity",
            "needed_from",
            "needed_until",
            "priority",
            "notice_days",
            "phase",
            "tier",
            "note",
            "illustrative",
        ]


class RequirementFilters(RequirementFilter):
    operation = filters.ModelChoiceFilter(queryset=visible(Operation), to_field_name="code")


class RequirementViewSet(CoalitionViewSet):
    """The lines of the plan: so much of a capability, in a sector or anywhere, from day to day."""

    queryset = Requirement.objects.all()
    columns = REQUIREMENTS
    worked_out = ("capability_name", "category", "unit")
    filterset_class = RequirementFilters
    orderings = {
        "id": "id",
        "priority": "priority",
        "capability": "capability__code",
        "quantity": "quantity",
        "needed_from": "needed_from",
        "changed_at": "changed_at",
    }
    inputs = {"create": RequirementInput, "partial_update": RequirementInput}
    creates = ("create",)
    changes = ("partial_update", "destroy")
    write_actions = dict.fromkeys(("create", "partial_update", "destroy"), "keep_requirements")

    def create(self, request, *args, **kwargs):
        draft = self.input()
        return self.created(lambda: requiring.require(draft, by=request.user))

    def partial_update(self, request, *args, **kwargs):
        line, version = self.changing()
        changes = self.input(partial=True)
        return self.shown_again(requiring.revise(line.pk, changes, by=request.user, based_on=version))

    def destroy(self, request, *args, **kwargs):
        """Delete a line that nothing answers."""
        line, version = self.changing()
        requiring.delete(line.pk, by=request.user, based_on=version)
        return Response(status=204)


def gates_seen(actor: Actor) -> ArraySubquery:
    """Return the ids of the conditions of a pledge that the actor may see."""
    gates = Condition.objects.visible_to(actor).filter(pledges=OuterRef("pk"))
    return ArraySubquery(gates.order_by("pk").values("pk"))


def caveats(actor: Actor) -> ArraySubquery:
    """Return the caveats of a pledge, each as kind: text."""
    texts = Caveat.objects.filter(pledge=OuterRef("pk")).order_by("pk")
    return ArraySubquery(texts.values_list(Concat("kind", Value(": "), "text")))


def line_seen(actor: Actor) -> Case:
    """Return the id of the line a pledge proposes to answer, if the actor may see that."""
    return Case(When(seen_by(actor, tier="requirement__tier", nation=None), then=F("requirement_id")))


def successor_seen(actor: Actor) -> Case:
    """Return the id of the pledge that took its place, if the actor may see that."""
    seen = seen_by(actor, tier="superseded_by__tier", nation="superseded_by__nation")
    return Case(When(seen, then=F("superseded_by_id")))


PLEDGES = Columns(
    Pledge,
    Column("id", hxl="#meta+id"),
    NATION,
    OPERATION,
    *OF_CAPABILITY,
    Column("what", hxl="#description"),
    Column("stated_low", hxl="#capacity+stated+min+num"),
    Column("stated_high", hxl="#capacity+stated+max+num"),
    Column("quantity", hxl="#capacity+planned+num"),
    UNIT,
    Column("available_from", hxl="#date+start"),
    Column("available_until", hxl="#date+end"),
    "notice_days",
    Column("status", hxl="#status"),
    Column("level", choices=LEVEL_CHOICES, nullable=True, about="The level it counts in; null off the ladder"),
    Column("stands_from", kind=Kind.DAY, nullable=True, about="The first day it can stand; null off the ladder"),
    Column("stands_until", kind=Kind.DAY, nullable=True, about="The last day; null is open-ended"),
    Column("conditions", gates_seen, kind=Kind.INTEGERS, about="Ids of the conditions it hangs on"),
    Column("caveats", caveats, kind=Kind.TEXTS, about="National caveats, each as kind: text"),
    tier_column(),
    Column("requirement", line_seen, kind=Kind.INTEGER, nullable=True, about="Id of the line it proposes to answer"),
    Column(
        "superseded_by",
        successor_seen,
        kind=Kind.INTEGER,
        nullable=True,
        about="Id of the pledge that took its place",
    ),
    Column("source", hxl="#meta+source"),
    Column("source_url", hxl="#meta+url"),
    "stated_on",
    "note",
    Column("dataset", kind=Kind.WORD),
    "external_id",
    "last_confirmed_on",
    "ordered_on",
    "illustrative",
    "version",
    "created_at",
    "changed_at",
)


class CaveatInput(serializers.ModelSerializer):
    class Meta:
        model = Caveat
        fields = ["kind", "text"]


class PledgeChange(serializers.ModelSerializer):
    """What may be changed about a pledge. Conditions and caveats replace the whole set."""

    operation = serializers.CharField(required=False, help_text="Code")
    capability = serializers.CharField(required=False, help_text="Code")
    what = serializers.CharField(required=False, max_length=300)
    requirement = serializers.IntegerField(required=False, allow_null=True, help_text="Id of the line it answers")
    conditions = serializers.ListField(
        child=serializers.IntegerField(), required=False, max_length=200, help_text="Ids of what it hangs on"
    )
    caveats = CaveatInput(many=True, required=False)
    tier = TierField(required=False)

    class Meta:
        model = Pledge
        fields = [
            "operation",
            "capability",
            "what",
            "stated_low",
            "stated_high",
            "quantity",
            "available_from",
            "available_until",
            "notice_days",
            "conditions",
            "caveats",
            "tier",
            "requirement",
            "source",
            "source_url",
            "stated_on",
            "note",
            "dataset",
            "external_id",
            "illustrative",
        ]
        validators = []  # the domain's sentences name the field


class PledgeInput(PledgeChange):
    """A new pledge."""

    operation = serializers.CharField(required=False, help_text="Code; the current one when missing")
    capability = serializers.CharField(help_text="Code")
    what = serializers.CharField(max_length=300, help_text="What it is")
    nation = serializers.CharField(required=False, help_text="Alpha-2; one's own nation when missing")
    status = serializers.ChoiceField(
        required=False,
        choices=[(status.value, status.label) for status in ladder.ENTRIES],
        help_text="Offered by the nation (when missing), or only signalled in public",
    )

    class Meta(PledgeChange.Meta):
        fields = ["nation", "status", *PledgeChange.Meta.fields]


class StepInput(serializers.Serializer):
    """Why the step is taken. To verify, to withdraw and to undo somebody else's step a reason is needed."""

    reason = serializers.CharField(required=False, max_length=ladder.LONGEST_REASON)


class SupersedeInput(serializers.Serializer):
    """Exactly one of the two: the id of a pledge that stands already, or what differs in a new one."""

    successor = serializers.IntegerField(required=False)
    changes = PledgeChange(required=False)

    def validate(self, given):
        if len(given) != 1:
            raise serializers.ValidationError("Give either successor or changes.")
        return given


class NothingInput(serializers.Serializer):
    """No field."""


class FellOffSerializer(serializers.Serializer):
    requirement = serializers.IntegerField(source="requirement.pk")
    quantity = serializers.DecimalField(max_digits=15, decimal_places=2)


class SupersededSerializer(serializers.Serializer):
    """The successor, the allocations it now has, and what it could not carry."""

    pledge = PLEDGES.serializer()
    allocations = serializers.ListField(child=serializers.IntegerField(), help_text="Ids")
    fell_off = FellOffSerializer(many=True)


def take(step: str, pledge_id: int, **how) -> Pledge:
    """Take a step of the ladder, named first."""
    return ladder.take(pledge_id, step, **how)


def step_action(name: str, about: str, move: Callable[..., Pledge]):
    """Return the POST sub-path of a step of the ladder."""

    def take_step(self, request, *args, **kwargs):
        pledge, version = self.changing()
        reason = self.input().get("reason", "")
        return self.shown_again(move(pledge.pk, by=request.user, reason=reason, based_on=version))

    take_step.__name__, take_step.__doc__ = name, about
    return action(detail=True, methods=["post"], url_path=name, url_name=name)(take_step)


class PledgeFilters(PledgeFilter):
    operation = filters.ModelChoiceFilter(queryset=visible(Operation), to_field_name="code")
    dataset = filters.CharFilter()
    external_id = filters.CharFilter()


class PledgeViewSet(CoalitionViewSet):
    """What nations say they may send."""

    queryset = Pledge.objects.all()
    columns = PLEDGES
    worked_out = ("capability_name", "category", "unit", "level", "stands_from", "stands_until")
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
    inputs = {
        "create": PledgeInput,
        "partial_update": PledgeChange,
        "confirm": NothingInput,
        "supersede": SupersedeInput,
        "undo": StepInput,
        **dict.fromkeys(ladder.STEPS, StepInput),
    }
    outputs = {"supersede": SupersededSerializer}
    creates = ("create",)
    changes = ("partial_update", "confirm", "supersede", "undo", *ladder.STEPS)
    write_scopes = (ApiToken.Scope.LOG_PLEDGES,)
    write_actions = {
        "create": "log_pledge",
        "partial_update": "edit_pledge",
        "confirm": "confirm_pledge",
        "supersede": "supersede_pledge",
        "undo": "undo_pledge",
        **{name: step.action for name, step in ladder.STEPS.items()},
    }

    def get_queryset(self):
        return super().get_queryset().with_standing()

    def create(self, request, *args, **kwargs):
        """Log a pledge: an officer for their own nation, a planner for any."""
        draft = self.input()
        return self.created(lambda: declaring.declare(draft, by=request.user))

    def partial_update(self, request, *args, **kwargs):
        """Change a pledge. One that is ready must be verified again when its substance changes."""
        pledge, version = self.changing()
        changes = self.input(partial=True)
        return self.shown_again(declaring.revise(pledge.pk, changes, by=request.user, based_on=version))

    @action(detail=True, methods=["post"])
    def confirm(self, request, *args, **kwargs):
        """Say that the pledge is still true today."""
        pledge, version = self.changing()
        self.input()
        compare(pledge, version)
        confirmed = declaring.confirm([pledge.pk], by=request.user, based_on={pledge.pk: version})
        for sentence in confirmed.skipped.values():
            raise Conflict(sentence)
        return self.shown_again(pledge)

    @action(detail=True, methods=["post"])
    def supersede(self, request, *args, **kwargs):
        """Replace the pledge by another, or by a new one that differs in some fields."""
        pledge, version = self.changing()
        given = self.input()
        new = given.get("successor", given.get("changes"))
        superseded = declaring.supersede(pledge.pk, new, by=request.user, based_on=version)
        shown = self.shown_again(superseded.pledge)
        fell_off = FellOffSerializer(superseded.moved.fell_off, many=True).data
        allocations = [allocation.pk for allocation in superseded.moved.allocations]
        shown.data = {"pledge": shown.data, "allocations": allocations, "fell_off": fell_off}
        return shown

    offer = step_action("offer", "The nation itself offers what was signalled.", partial(take, "offer"))
    commit = step_action("commit", "The nation commits what it offered.", partial(take, "commit"))
    verify = step_action("verify", "A planner who did not write it verifies it as ready.", partial(take, "verify"))
    deploy = step_action("deploy", "It is ordered to deploy.", partial(take, "deploy"))
    arrive = step_action("arrive", "It is in place.", partial(take, "arrive"))
    end = step_action("end", "It has ended.", partial(take, "end"))
    withdraw = step_action("withdraw", "The nation takes it back.", partial(take, "withdraw"))
    undo = step_action("undo", "Take the last step back.", ladder.undo)


ALLOCATIONS = Columns(
    Allocation,
    Column("id", hxl="#meta+id"),
    Column("operation", "requirement__operation__code", kind=Kind.WORD, hxl="#activity+code", example="demo"),
    Column("pledge", "pledge_id"),
    Column("nation", "pledge__nation_id", kind=Kind.WORD, hxl="#country+code+v_iso2", example="FR"),
    Column("requirement", "requirement_id"),
    Column("capability", "requirement__capability__code", kind=Kind.WORD, hxl="#capacity+code", example="infantry"),
    Column("quantity", hxl="#capacity+allocated+num"),
    Column("unit", "requirement__capability__unit", hxl="#indicator+unit", example="persons"),
    tier_column(),
    "version",
    "created_at",
    "changed_at",
)


class AllocationInput(serializers.Serializer):
    pledge = serializers.IntegerField()
    requirement = serializers.IntegerField()
    quantity = serializers.DecimalField(max_digits=15, decimal_places=2)


class AllocationChange(serializers.Serializer):
    quantity = serializers.DecimalField(max_digits=15, decimal_places=2)


class AllocationFilters(filters.FilterSet):
    operation = filters.ModelChoiceFilter(
        field_name="requirement__operation", queryset=visible(Operation), to_field_name="code"
    )
    nation = filters.ModelMultipleChoiceFilter(
        field_name="pledge__nation", queryset=visible(Nation), to_field_name="code"
    )
    capability = filters.ModelChoiceFilter(
        field_name="requirement__capability", queryset=visible(Capability), to_field_name="code"
    )
    pledge = filters.ModelMultipleChoiceFilter(queryset=visible(Pledge))
    requirement = filters.ModelMultipleChoiceFilter(queryset=visible(Requirement))
    updated_since = UpdatedSinceFilter()


class AllocationViewSet(CoalitionViewSet):
    """How much of which pledge answers which line."""

    queryset = Allocation.objects.all()
    columns = ALLOCATIONS
    worked_out = ("unit",)
    filterset_class = AllocationFilters
    orderings = {"id": "id", "quantity": "quantity", "changed_at": "changed_at"}
    inputs = {"create": AllocationInput, "partial_update": AllocationChange}
    creates = ("create",)
    changes = ("partial_update", "destroy")
    write_actions = dict.fromkeys(("create", "partial_update", "destroy"), "allocate")

    def create(self, request, *args, **kwargs):
        """Let so much of a pledge answer a line; never more than is free on any day."""
        given = self.input()
        return self.created(
            lambda: allocating.allocate(given["pledge"], given["requirement"], given["quantity"], by=request.user)
        )

    def partial_update(self, request, *args, **kwargs):
        allocation, version = self.changing()
        quantity = self.input()["quantity"]
        return self.shown_again(allocating.reallocate(allocation.pk, quantity, by=request.user, based_on=version))

    def destroy(self, request, *args, **kwargs):
        """Take the pledge off the line."""
        allocation, version = self.changing()
        allocating.release(allocation.pk, by=request.user, based_on=version)
        return Response(status=204)
