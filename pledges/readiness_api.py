"""Readiness and what if over the API: the stored answers that the dashboards show, and questions to the same functions."""

from collections.abc import Callable, Sequence
from typing import Any

from django.core.exceptions import PermissionDenied
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from coalition.access import Tier, actor_of, demand
from coalition.api import ApiViewSet, TierField, VisibleRelatedField
from coalition.columns import columns_of
from coalition.models import Condition, Nation, Operation, Sector
from coalition.paging import OnePage
from coalition.renderers import Export
from coalition.rows import Counted
from pledges import cliffs, gaps, readiness, what_if
from pledges.cliffs import Cliff
from pledges.counting import BLOCKED, FIRM, LEVELS
from pledges.filters import LEVEL_CHOICES
from pledges.models import Capability, ReadinessLine
from pledges.readiness import CapabilityAnswer, NationCell, NationRow


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


class SureFieldsMixin:
    """Leave the fields that ``sure`` names out of every answer that is not of the planning tier: not even their names."""

    sure: tuple[str, ...] = ()

    def get_fields(self):
        fields = super().get_fields()
        sees_sure = self.context.get("tier", Tier.PLANNING) == Tier.PLANNING
        return fields if sees_sure else {name: field for name, field in fields.items() if name not in self.sure}


def of_sure(field: type[serializers.Field], source: str, about: str, **how) -> serializers.Field:
    """Return a field for the planning tier alone, null where there is no answer."""
    about = f"Planning tier only. {about}"
    return field(source=f"sure.{source}", allow_null=True, required=False, help_text=about, **how)


class LineAnswerSerializer(SureFieldsMixin, AnswerSerializer):
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
    p_met = of_sure(serializers.FloatField, "p_met", "Chance that what is allocated reaches the need, 0 to 1")
    expected = of_sure(serializers.FloatField, "expected", "Expected quantity")
    expected_coverage = of_sure(serializers.FloatField, "coverage", "Expected covered share, 0 to 1")
    x10 = of_sure(serializers.FloatField, "x10", "Quantity that is reached 9 times in 10")
    x50 = of_sure(serializers.FloatField, "x50", "Quantity that is reached 5 times in 10")
    x90 = of_sure(serializers.FloatField, "x90", "Quantity that is reached 1 time in 10")
    method = of_sure(serializers.CharField, "method", "exact, binned or sampled")
    error = of_sure(serializers.FloatField, "error", "How far p_met can be off; 0 when exact")
    quantity_error = of_sure(serializers.FloatField, "quantity_error", "How far the quantities can be off")
    problem = of_sure(serializers.CharField, "problem", "Why there is no answer; empty when there is one")

    sure = (
        "p_met", "expected", "expected_coverage", "x10", "x50", "x90", "method", "error", "quantity_error", "problem",
    )  # fmt: skip


class CapabilityAnswerSerializer(SureFieldsMixin, AnswerSerializer):
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
    p_all = of_sure(
        serializers.FloatField, "p_all", "Chance that every line of that day is met as allocated; null in a sector"
    )
    worst_line = of_sure(serializers.IntegerField, "worst", "Id of the least sure line")
    expected_coverage = of_sure(serializers.FloatField, "coverage", "Expected covered share, 0 to 1")
    method = of_sure(serializers.CharField, "method", "exact, binned or sampled")
    error = of_sure(serializers.FloatField, "error", "How far p_all can be off; 0 when exact")
    verdict = of_sure(serializers.CharField, "verdict", "A gap of allocation or of generation; empty when it is sure")
    problem = of_sure(serializers.CharField, "problem", "Why there is no answer; empty when there is one")
    pooled_p_met = of_sure(
        serializers.FloatField, "pooled.p_met", "Upper bound: the chance if all that is pledged could be moved"
    )
    pooled_expected = of_sure(serializers.FloatField, "pooled.expected", "Expected quantity of all that is pledged")
    pooled_x10 = of_sure(serializers.FloatField, "pooled.x10", "Quantity that all reaches 9 times in 10")
    pooled_x50 = of_sure(serializers.FloatField, "pooled.x50", "Quantity that all reaches 5 times in 10")
    pooled_x90 = of_sure(serializers.FloatField, "pooled.x90", "Quantity that all reaches 1 time in 10")
    pooled_method = of_sure(serializers.CharField, "pooled.method", "exact, binned or sampled")
    pooled_error = of_sure(serializers.FloatField, "pooled.error", "How far pooled_p_met can be off; 0 when exact")
    pooled_quantity_error = of_sure(
        serializers.FloatField, "pooled.quantity_error", "How far the pooled quantities can be off"
    )

    sure = (
        "p_all", "worst_line", "expected_coverage", "method", "error", "verdict", "problem", "pooled_p_met",
        "pooled_expected", "pooled_x10", "pooled_x50", "pooled_x90", "pooled_method", "pooled_error",
        "pooled_quantity_error",
    )  # fmt: skip

    def get_unquantified(self, answer) -> int:
        return sum(answer.unquantified.values())


class NationShareSerializer(serializers.Serializer):
    """What one nation has on the ladder in one category, whenever it can stand: numbers of pledges, since units differ."""

    nation = serializers.CharField(help_text="Alpha-2")
    nation_name = serializers.CharField()
    standing = serializers.ChoiceField(choices=Nation.Standing.choices)
    category = serializers.ChoiceField(choices=Capability.Category.choices)
    pledges = serializers.IntegerField(help_text="All that count in a level")
    firm_or_better = serializers.IntegerField(help_text="Those of them that are firm or better")
    blocked = serializers.IntegerField(help_text="Would count had no condition failed")
    unquantified = serializers.IntegerField(help_text="Without a planning quantity")

    def get_fields(self):
        about = "Pledges that count as {}"
        levels = {
            f"at_{level}": serializers.IntegerField(help_text=about.format(level.replace("_", " "))) for level in LEVELS
        }
        return super().get_fields() | levels


def nation_row(row: NationRow, category: str, cell: NationCell) -> dict[str, Any]:
    """Return one cell of the matrix of nations as NationShareSerializer describes it."""
    return {
        "nation": row.code,
        "nation_name": row.name,
        "standing": row.standing,
        "category": category,
        "pledges": cell.total,
        "firm_or_better": cell.firm_or_better,
        "blocked": cell.pledges.get(BLOCKED, 0),
        "unquantified": cell.unquantified,
        **{f"at_{level}": cell.pledges.get(level, 0) for level in LEVELS},
    }


class OfferSerializer(serializers.Serializer):
    """What one nation has that could help."""

    nation = serializers.CharField(source="code", help_text="Alpha-2")
    free = QuantityField(help_text="Of the same capability, standing, allocated to no line of that day")
    to_firm_up = QuantityField(help_text="Allocated to this line and not firm yet")
    related = serializers.ListField(
        child=serializers.CharField(), help_text="Other capabilities of the category of which it has something free"
    )


class GapSerializer(serializers.Serializer):
    """A line that is not sure enough to be met, on the day asked for or on its first day if that is later."""

    requirement = serializers.IntegerField(source="line.requirement_id")
    capability = serializers.CharField(source="line.capability_code")
    capability_name = serializers.CharField(source="line.capability_name")
    category = serializers.CharField()
    unit = serializers.CharField(source="line.unit")
    sector = serializers.CharField(source="line.sector_code", allow_null=True)
    priority = serializers.IntegerField(source="line.priority")
    day = serializers.DateField(help_text="The day that the numbers are about")
    need = QuantityField(source="line.need")
    missing = QuantityField(help_text="Not covered by firm pledges or better")
    p_met = serializers.FloatField(source="line.sure.p_met", help_text="Chance that it is met, 0 to 1")
    expected_coverage = serializers.FloatField(source="line.sure.coverage", allow_null=True)
    x10 = serializers.FloatField(
        source="line.sure.x10", allow_null=True, help_text="Quantity that is reached 9 times in 10"
    )
    method = serializers.CharField(source="line.sure.method", help_text="exact, binned or sampled")
    error = serializers.FloatField(source="line.sure.error", help_text="How far p_met can be off; 0 when exact")
    since = serializers.DateField(help_text="First day of the run of days on which it is not sure enough")
    days = serializers.IntegerField(help_text="Days on which it is not sure enough, from today on")
    sure_from = serializers.DateField(
        source="held.day", allow_null=True, default=None, help_text="From this day it is sure enough; null: never"
    )
    lost_on = serializers.DateField(
        source="held.lost_on", allow_null=True, default=None, help_text="The day that is lost again, if ever"
    )
    could_fill = OfferSerializer(many=True)
    related = OfferSerializer(many=True)


class CliffSerializer(serializers.Serializer):
    """A line that goes on beyond the last day of a pledge that answers it, or of the mandate (``pledge`` is null)."""

    last_day = serializers.DateField()
    pledge = serializers.IntegerField(allow_null=True)
    nation = serializers.CharField(allow_null=True, help_text="Alpha-2")
    requirement = serializers.IntegerField(allow_null=True, help_text="Null: no line goes on beyond the mandate")
    capability = serializers.CharField(allow_null=True)
    unit = serializers.CharField(allow_null=True)
    allocated = QuantityField(allow_null=True, help_text="To the line, by what ends")
    need = QuantityField(allow_null=True)
    covered = QuantityField(allow_null=True, help_text="By firm pledges or better, that day")
    covered_after = QuantityField(allow_null=True, help_text="The day after")
    p_met = serializers.FloatField(allow_null=True, help_text="Chance that the line is met, that day")
    p_met_after = serializers.FloatField(allow_null=True)
    expected_coverage = serializers.FloatField(allow_null=True)
    expected_coverage_after = serializers.FloatField(allow_null=True)
    is_uncovered = serializers.BooleanField(help_text="Less of it is covered the day after")
    is_less_sure = serializers.BooleanField(help_text="No less is covered by count, but it is met with less")


def cliff_rows(found: Cliff) -> list[dict[str, Any]]:
    """Return a row per line of a cliff as CliffSerializer describes it; one without a line where there is none."""
    ends = {
        "last_day": found.last_day,
        "pledge": found.pledge.pk if found.pledge else None,
        "nation": found.pledge.nation_id if found.pledge else None,
    }
    nothing = dict.fromkeys(CliffSerializer().fields) | {"is_uncovered": False, "is_less_sure": False}
    return [
        {
            **ends,
            "requirement": line.before.requirement_id,
            "capability": line.before.capability_code,
            "unit": line.before.unit,
            "allocated": line.quantity,
            "need": line.before.need,
            "covered": line.before.covered,
            "covered_after": line.after.covered,
            "p_met": line.before.sure and line.before.sure.p_met,
            "p_met_after": line.after.sure and line.after.sure.p_met,
            "expected_coverage": line.before.sure and line.before.sure.coverage,
            "expected_coverage_after": line.after.sure and line.after.sure.coverage,
            "is_uncovered": line.is_uncovered,
            "is_less_sure": line.is_less_sure,
        }
        for line in found.lines
    ] or [nothing | ends]


class NationsQuery(serializers.Serializer):
    """Which operation, and as whom."""

    operation = VisibleRelatedField(Operation, "code", required=False, help_text="Code; the current one when missing")
    tier = TierField(required=False, help_text="As this tier sees it; one's own when missing")


class GapsQuery(serializers.Serializer):
    """Which operation, and for gaps which day."""

    operation = VisibleRelatedField(Operation, "code", required=False, help_text="Code; the current one when missing")
    on = serializers.DateField(
        required=False, help_text="The day; the start day when missing, today once that has come"
    )


class CliffsQuery(serializers.Serializer):
    """Which operation."""

    operation = VisibleRelatedField(Operation, "code", required=False, help_text="Code; the current one when missing")


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
    dear = {"what_if": "what-if"}
    inputs = {"what_if": WhatIfInput}
    write_actions = {"what_if": "see_planning"}

    listing = ("list", "capabilities", "nations", "gaps", "cliffs")
    queries = {
        "list": ReadinessQuery,
        "capabilities": ReadinessQuery,
        "nations": NationsQuery,
        "gaps": GapsQuery,
        "cliffs": CliffsQuery,
    }
    serializer_class = LineAnswerSerializer
    outputs = {
        "capabilities": CapabilityAnswerSerializer,
        "nations": NationShareSerializer(many=True),
        "gaps": GapSerializer(many=True),
        "cliffs": CliffSerializer(many=True),
        "what_if": ComparisonSerializer,
    }
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

    @action(detail=False)
    def nations(self, request, *args, **kwargs):
        """Return one row per nation and category: numbers of pledges on the ladder, whenever they can stand."""
        asked = self.asked()
        rows = readiness.nation_matrix(asked["operation"], tier=asked["tier"])
        cells = [nation_row(row, category, cell) for row in rows for category, cell in sorted(row.cells.items())]
        return self.page(asked, NationShareSerializer(cells, many=True))

    @action(detail=False)
    def gaps(self, request, *args, **kwargs):
        """Return the lines that are not sure enough to be met, the least sure first. For the planning tier."""
        demand(request.user, "see_planning")
        asked = self.asked()
        try:
            found = gaps.paper(asked["operation"], on=asked["on"])
        except readiness.DayIsPast as error:
            raise ValidationError({"on": [str(error)]}) from error
        return self.page(asked, GapSerializer(found, many=True))

    @action(detail=False)
    def cliffs(self, request, *args, **kwargs):
        """Return what ends while its line goes on, by day; a row per line. For the planning tier."""
        demand(request.user, "see_planning")
        asked = self.asked()
        rows = [row for cliff in cliffs.cliffs(asked["operation"]) for row in cliff_rows(cliff)]
        return self.page(asked, CliffSerializer(rows, many=True))

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
        context = self.get_serializer_context() | {"tier": asked["tier"]}
        return self.page(asked, serializer_class(rows, many=True, context=context))

    def page(self, asked: dict, serializer: serializers.ListSerializer) -> Response:
        """Answer with one page, or with a file."""
        operation = asked["operation"]
        if isinstance(self.request.accepted_renderer, Export):
            return self.file(Counted(serializer.data, columns_of(serializer.child)))
        return Response({"next": None, "previous": None, "results": serializer.data, "as_of": self.as_of(operation)})

    def as_of(self, operation: Operation) -> dict:
        age = readiness.as_of(operation)
        return {"counted_until": age.counted_until, "is_late": age.is_amber}
