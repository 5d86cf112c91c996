"""Needs and pledges over the API. Steps are POST sub-paths through the same domain functions as the pages."""

from collections.abc import Callable
from functools import partial

from django.db.models import Prefetch
from django_filters import rest_framework as filters
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.response import Response

from coalition.access import actor_of
from coalition.api import CoalitionViewSet, Shown, TierField, visible
from coalition.editing import compare
from coalition.models import ApiToken, Condition, Nation, Operation
from coalition.refusals import Conflict
from pledges import allocating, declaring, ladder, requiring
from pledges.filters import LEVEL_CHOICES, PledgeFilter, RequirementFilter
from pledges.models import Allocation, Capability, Caveat, Pledge, Requirement


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

    queryset = Requirement.objects.select_related("operation", "capability", "sector")
    worked_out = ("capability_name", "category", "unit")
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

    pledge = PledgeSerializer()
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

    queryset = Pledge.objects.select_related("operation", "capability", "requirement", "superseded_by")
    worked_out = ("capability_name", "category", "unit", "level", "stands_from", "stands_until")
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
    write_scope = ApiToken.Scope.LOG_PLEDGES
    write_actions = {
        "create": "log_pledge",
        "partial_update": "edit_pledge",
        "confirm": "confirm_pledge",
        "supersede": "supersede_pledge",
        "undo": "undo_pledge",
        **{name: step.action for name, step in ladder.STEPS.items()},
    }

    def get_queryset(self):
        gates = Condition.objects.visible_to(self.request.user).order_by("id").only("id")
        rows = super().get_queryset().with_standing()
        return rows.prefetch_related(Prefetch("conditions", queryset=gates), "caveats")

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
    updated_since = filters.IsoDateTimeFilter(field_name="changed_at", lookup_expr="gte")


class AllocationViewSet(CoalitionViewSet):
    """How much of which pledge answers which line."""

    queryset = Allocation.objects.select_related("pledge", "requirement__operation", "requirement__capability")
    worked_out = ("unit",)
    serializer_class = AllocationSerializer
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
