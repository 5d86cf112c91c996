"""Needs and pledges over the API. Steps are POST sub-paths through the same domain functions as the pages."""

from collections.abc import Callable, Sequence
from functools import partial

from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch
from django_filters import rest_framework as filters
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from coalition.access import actor_of
from coalition.api import ApiViewSet, CoalitionViewSet, Shown, TierField, VisibleRelatedField, visible
from coalition.editing import compare
from coalition.models import ApiToken, Condition, Nation, Operation, Sector
from coalition.paging import OnePage
from coalition.refusals import Conflict
from coalition.renderers import Export, Table
from pledges import allocating, declaring, ladder, readiness, requiring, what_if
from pledges.counting import FIRM, LEVELS
from pledges.filters import LEVEL_CHOICES, PledgeFilter, RequirementFilter
from pledges.models import Allocation, Capability, Caveat, Pledge, ReadinessLine, Requirement
from pledges.readiness import CapabilityAnswer


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


# --- Readiness --------------------------------------------------------------------------------------


class ReadinessQuery(serializers.Serializer):
    """Which answers, and as whom. Days before today are not answered: the past is not counted anew."""

    operation = VisibleRelatedField(Operation, "code", required=False, help_text="Code; the current one when missing")
    on = serializers.DateField(
        required=False, help_text="The day; the start day when missing, today once that has come"
    )
    capability = VisibleRelatedField(Capability, "code", required=False, help_text="Code")
    sector = VisibleRelatedField(Sector, "code", required=False, help_text="Code")
    category = serializers.ChoiceField(choices=Capability.Category.choices, required=False)
    tier = TierField(required=False, help_text="As this tier sees it; one's own when missing")
    threshold = serializers.ChoiceField(
        choices=LEVEL_CHOICES[:-1], default=FIRM, help_text="This level or a better one covers a need"
    )


class QuantityField(serializers.DecimalField):
    """A quantity in the capability's unit."""

    def __init__(self, **kwargs):
        super().__init__(max_digits=None, decimal_places=2, **kwargs)


class AtLevelField(QuantityField):
    """The quantity of an answer at one level: standing for a capability, allocated for a line."""

    def __init__(self, level: str, **kwargs):
        self.level = level
        super().__init__(**kwargs)

    def get_attribute(self, answer):
        return (answer.levels if isinstance(answer, CapabilityAnswer) else answer.allocated)[self.level]


class AnswerSerializer(serializers.Serializer):
    """What lines and capabilities have in common, for one day, as one tier sees it."""

    at_level = "Standing, counted as {}"

    need = QuantityField(allow_null=True, help_text="Null on a day the line is not needed")
    covered = QuantityField(help_text="The sum over lines of the lesser of allocated and need")
    gap = QuantityField()
    share = serializers.FloatField(allow_null=True, help_text="Covered share, 0 to 1; null where nothing is needed")
    reserve = QuantityField(help_text="Allocated beyond the need; it closes no other gap")
    warnings = serializers.IntegerField()

    def get_fields(self):
        """Return what names the row first, then the answer, then the levels."""
        fields, common = super().get_fields(), AnswerSerializer._declared_fields
        names = {name: field for name, field in fields.items() if name not in common}
        levels = {
            f"at_{level}": AtLevelField(level, help_text=self.at_level.format(level.replace("_", " ")))
            for level in LEVELS
        }
        return names | {name: fields[name] for name in common} | levels


class LineAnswerSerializer(AnswerSerializer):
    """One requirement line on one day."""

    at_level = "Allocated and standing, counted as {}"

    requirement = serializers.IntegerField(source="requirement_id")
    title = serializers.CharField()
    capability = serializers.CharField(source="capability_code")
    capability_name = serializers.CharField()
    unit = serializers.CharField()
    sector = serializers.CharField(source="sector_code", allow_null=True)
    priority = serializers.IntegerField()
    needed_from = serializers.DateField()
    needed_until = serializers.DateField(allow_null=True)
    is_met = serializers.BooleanField()


class CapabilityAnswerSerializer(AnswerSerializer):
    """One capability on one day: a row of the readiness matrix."""

    capability = serializers.CharField(source="code")
    capability_name = serializers.CharField(source="name")
    category = serializers.ChoiceField(choices=Capability.Category.choices)
    unit = serializers.CharField()
    standing = QuantityField(help_text="Standing at the threshold or better, allocated or not")
    free = QuantityField(help_text="The part of it that is allocated to no line of that day")
    blocked = QuantityField(help_text="Would stand had no condition failed")
    blocked_pledges = serializers.IntegerField()
    unquantified = serializers.SerializerMethodField(help_text="Pledges that stand without a planning quantity")
    lines = serializers.IntegerField(help_text="Lines that are needed that day")
    lines_met = serializers.IntegerField()

    def get_unquantified(self, answer) -> int:
        return sum(answer.unquantified.values())


class WhatIfInput(serializers.Serializer):
    """What to suppose in place of the plan. What is left out stays as it is."""

    operation = VisibleRelatedField(Operation, "code", required=False, help_text="Code; the current one when missing")
    on = serializers.DateField(required=False, help_text="The day looked at; the start day when missing")
    conditions = serializers.DictField(
        child=serializers.ChoiceField(choices=Condition.State.choices), required=False, help_text="Id to state"
    )
    probabilities = serializers.DictField(
        child=serializers.FloatField(min_value=0, max_value=1), required=False, help_text="Id to chance while open"
    )
    nations_out = serializers.ListField(child=serializers.CharField(max_length=2), required=False, help_text="Alpha-2")
    withdrawn = serializers.ListField(child=serializers.IntegerField(min_value=1), required=False, help_text="Ids")
    slipped = serializers.DictField(
        child=serializers.IntegerField(min_value=0, max_value=what_if.LONGEST_SLIP),
        required=False,
        help_text="Pledge id to days later",
    )
    certainties = serializers.DictField(
        child=serializers.FloatField(min_value=0, max_value=1), required=False, help_text="Step to certainty"
    )
    effects = serializers.BooleanField(default=False, help_text="Rank conditions and nations too")


class LineChangeSerializer(serializers.Serializer):
    """One line on the day: the chance that it is met, as planned and as supposed."""

    requirement = serializers.IntegerField(source="requirement.pk")
    capability = serializers.CharField(source="requirement.capability.code")
    sector = serializers.CharField(source="requirement.sector.code", allow_null=True, default=None)
    before = serializers.FloatField()
    after = serializers.FloatField()
    difference = serializers.FloatField()
    covered_before = serializers.FloatField(allow_null=True, help_text="Expected share of the need, as planned")
    covered_after = serializers.FloatField(allow_null=True, help_text="The same, as supposed")


class ConditionEffectSerializer(serializers.Serializer):
    """Expected lines met if the condition fails, and if it holds."""

    condition = serializers.IntegerField(source="key")
    failed = serializers.FloatField(source="low")
    held = serializers.FloatField(source="high")
    hardest_hit = serializers.IntegerField(source="hardest", allow_null=True, help_text="Requirement line")


class NationEffectSerializer(serializers.Serializer):
    """Expected lines met without the nation, and what would be lost."""

    nation = serializers.CharField(source="key")
    without = serializers.FloatField(source="low")
    loss = serializers.FloatField(source="swing")
    hardest_hit = serializers.IntegerField(source="hardest", allow_null=True, help_text="Requirement line")


class ComparisonSerializer(serializers.Serializer):
    """A scenario beside the plan. Nothing of it is written."""

    on = serializers.DateField(source="scenario.on")
    address = serializers.CharField(source="scenario.query", help_text="The scenario as a query string of the page")
    expected_before = serializers.FloatField(help_text="Expected number of lines met, as planned")
    expected_after = serializers.FloatField(help_text="The same, as supposed")
    lines = LineChangeSerializer(many=True)
    conditions = ConditionEffectSerializer(many=True, required=False, help_text="With effects")
    nations = NationEffectSerializer(many=True, required=False, help_text="With effects")


class ReadinessViewSet(ApiViewSet):
    """How ready the coalition is on a day: the stored answers that the dashboards show. Worst first."""

    asks = ("what_if",)
    inputs = {"what_if": WhatIfInput}
    write_actions = {"what_if": "see_planning"}

    listing = ("list", "capabilities")
    queries = {"list": ReadinessQuery, "capabilities": ReadinessQuery}
    serializer_class = LineAnswerSerializer
    outputs = {"capabilities": CapabilityAnswerSerializer, "what_if": ComparisonSerializer}
    pagination_class = OnePage
    filter_backends = ()
    queryset = ReadinessLine.objects.none()

    def list(self, request, *args, **kwargs):
        """Return one row per requirement line."""
        asked = self.asked()
        only = {name: asked.get(name) for name in ("capability", "sector", "category")}
        return self.answered(asked, lambda **day: readiness.requirement_lines(**day, **only), LineAnswerSerializer)

    @action(detail=False)
    def capabilities(self, request, *args, **kwargs):
        """Return one row per capability: the readiness matrix."""
        asked = self.asked()
        code = asked["capability"].code if "capability" in asked else None

        def rows(**day) -> list[CapabilityAnswer]:
            matrix = readiness.matrix(**day, sector=asked.get("sector"), category=asked.get("category"))
            return [row for row in matrix.rows if code in (None, row.code)]

        return self.answered(asked, rows, CapabilityAnswerSerializer)

    @action(detail=False, methods=["post"], url_path="what-if")
    def what_if(self, request, *args, **kwargs):
        """Suppose something else and see what it does to each line. For the planning tier; nothing is written."""
        given = dict(self.input())
        operation = given.pop("operation", None) or self.current_operation()
        effects = given.pop("effects")
        scenario = what_if.of(operation, given, user=request.user)
        data = ComparisonSerializer(what_if.compare(scenario)).data
        if effects:
            data["conditions"] = ConditionEffectSerializer(what_if.conditions_by_effect(scenario), many=True).data
            data["nations"] = NationEffectSerializer(what_if.nations_by_loss(scenario), many=True).data
        return Response(data)

    def current_operation(self) -> Operation:
        """Return the current operation. Raises a 400 when there is none."""
        operation = Operation.objects.filter(is_current=True).first()
        if operation is None:
            raise ValidationError({"operation": ["Say which operation: none is the current one."]})
        return operation

    def asked(self) -> dict:
        """Return the checked query, with what is missing filled in."""
        asked, own = dict(self.query()), actor_of(self.request.user).tier
        operation = asked["operation"] = asked.get("operation") or self.current_operation()
        if asked.setdefault("tier", own) > own:
            raise PermissionDenied("You may not see that tier.")
        asked.setdefault("on", max(operation.starts_on, operation.today()))
        return asked

    def answered(self, asked: dict, find: Callable[..., Sequence], serializer_class) -> Response:
        """Answer with a page that says how old it is, or with a file."""
        day = {name: asked[name] for name in ("operation", "on", "tier", "threshold")}
        operation = day.pop("operation")
        try:
            rows = find(operation=operation, **day)
        except readiness.DayIsPast as error:
            raise ValidationError({"on": [str(error)]}) from error
        serializer = serializer_class(rows, many=True, context=self.get_serializer_context())
        if isinstance(self.request.accepted_renderer, Export):
            table = Table(name=f"readiness-{asked['on']}", columns=tuple(serializer.child.fields))
            return self.streamed(table, serializer.data)
        return Response({"next": None, "previous": None, "results": serializer.data, "as_of": self.as_of(operation)})

    def as_of(self, operation: Operation) -> dict:
        age = readiness.as_of(operation)
        return {"counted_until": age.counted_until, "is_late": age.is_amber}
