"""Incidents over the API: opened, merged, split, judged and verified by the same domain functions as the pages."""

from collections.abc import Iterable
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Case, F, OuterRef, When
from django.http import Http404
from django_filters import rest_framework as filters
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.response import Response

from coalition.api import CoalitionViewSet, TierField, VisibleRelatedField, tier_column, visible
from coalition.columns import Column, Columns, Kind, Point
from coalition.editing import Answer, once
from coalition.models import ApiToken
from monitoring import describing, judging, merging
from monitoring.api import name_seen, precision_seen, sector_seen, seen
from monitoring.incident_filters import IncidentFilter
from monitoring.kinds import Facility
from monitoring.kinds import Kind as What
from monitoring.models import (
    Confidence,
    Incident,
    IncidentStep,
    Party,
    PartyResponse,
    Report,
    ReportMove,
)

# --- What a row shows -----------------------------------------------------------------------


def reports_seen(actor):
    """The ids of its reports, as far as the reader may see them."""
    rows = Report.objects.filter(incident=OuterRef("pk"), tier__lte=actor.tier)
    return ArraySubquery(rows.order_by("pk").values("pk"))


def target_seen(actor):
    return Case(When(merged_into__tier__lte=actor.tier, then=F("merged_into_id")))


INCIDENTS = Columns(
    Incident,
    Column("id", hxl="#event+id"),
    "title",
    Column("kind", hxl="#event+type"),
    "facility_class",
    Column("occurred_from", hxl="#date+occurred"),
    "occurred_until",
    Column("occurred_on", hxl="#date+occurred+day"),
    "time_precision",
    Column("place_name", name_seen, kind=Kind.TEXT, nullable=True, hxl="#loc+name"),
    Column("latitude", seen("latitude"), kind=Kind.NUMBER, nullable=True, hxl="#geo+lat", example=48.4567),
    Column("longitude", seen("longitude"), kind=Kind.NUMBER, nullable=True, hxl="#geo+lon", example=35.2345),
    Column("place_precision_m", precision_seen, kind=Kind.NUMBER, nullable=True, hxl="#geo+precision"),
    Column("sector", sector_seen, kind=Kind.WORD, nullable=True, hxl="#loc+code", example="S1"),
    Column("accused", "accused__code", kind=Kind.WORD, hxl="#group+name+accused", example="ru"),
    Column("occurrence", hxl="#status+verification"),
    "occurrence_confidence",
    "occurrence_reasoning",
    "finding",
    "finding_confidence",
    "finding_reasoning",
    "attribution",
    Column("attributed_to", "attributed_to__code", kind=Kind.WORD, example="ru"),
    "attribution_confidence",
    "attribution_reasoning",
    Column("judged_by", "judged_by__username", kind=Kind.TEXT),
    "judged_at",
    Column("verified_by", "verified_by__username", kind=Kind.TEXT),
    "verified_at",
    Column("reports", reports_seen, kind=Kind.INTEGERS, about="Ids of the reports it was made of"),
    Column("merged_into", target_seen, kind=Kind.INTEGER, nullable=True, about="Id of the incident it is part of now"),
    "sensitive",
    tier_column(),
    "illustrative",
    "version",
    "created_at",
    "changed_at",
    place=Point("longitude", "latitude"),
)


# --- What is sent ---------------------------------------------------------------------------


class SeenReport(serializers.Serializer):
    """A report, and the version it was seen at."""

    id = serializers.IntegerField()
    version = serializers.IntegerField(min_value=1)


class SeenIncident(SeenReport):
    """An incident, and the version it was seen at."""


class WithReason(serializers.Serializer):
    """Why it is done."""

    reason = serializers.CharField(required=False, allow_blank=True, max_length=merging.LONGEST_REASON)


class IncidentChange(serializers.Serializer):
    """What may be changed about an incident. What is not named stays."""

    title = serializers.CharField(required=False, max_length=200)
    kind = serializers.ChoiceField(required=False, choices=What.choices)
    facility_class = serializers.ChoiceField(required=False, choices=Facility.choices, allow_blank=True)
    accused = VisibleRelatedField(Party, "code", required=False, allow_null=True, help_text="Code; null leaves it open")
    place_of = serializers.IntegerField(required=False, help_text="Id of one of its reports: take its place")
    time_of = serializers.IntegerField(required=False, help_text="Id of one of its reports: take its time")
    tier = TierField(required=False)
    illustrative = serializers.BooleanField(required=False)


class IncidentInput(IncidentChange, WithReason):
    """A new incident, made of reports. What is not said is suggested by them."""

    reports = SeenReport(many=True, allow_empty=False, max_length=merging.MOST)


class MergeInput(WithReason):
    """Either reports that stand alone, or one other incident."""

    reports = SeenReport(many=True, required=False, allow_empty=False, max_length=merging.MOST)
    incident = SeenIncident(required=False)
    tier = TierField(required=False, help_text="Keeps the incident less strict than a report of it, on purpose")

    def validate(self, given):
        if ("reports" in given) == ("incident" in given):
            raise serializers.ValidationError("Give either reports or incident.")
        if "incident" in given and "tier" in given:
            raise serializers.ValidationError({"tier": "Of two incidents the stricter tier holds."})
        return given


class SplitInput(WithReason):
    """Which reports are taken out."""

    reports = serializers.ListField(child=serializers.IntegerField(), allow_empty=False, max_length=merging.MOST)
    into_new = serializers.BooleanField(required=False, help_text="As an incident of their own; else they stand alone")


class TakeBackInput(WithReason):
    """Which step; somebody else's needs a reason."""

    step = serializers.IntegerField(help_text="Id, from steps/")


class VerifyInput(serializers.Serializer):
    """What was checked, and how."""

    reason = serializers.CharField(max_length=merging.LONGEST_REASON)


def _text() -> serializers.CharField:
    return serializers.CharField(required=False, allow_blank=True, max_length=4000)


def _word(choices) -> serializers.ChoiceField:
    return serializers.ChoiceField(required=False, allow_blank=True, choices=choices)


class JudgementInput(serializers.Serializer):
    """Answers to the three questions, each with confidence and reasoning. What is not named stays."""

    occurrence = serializers.ChoiceField(required=False, choices=judging.VERDICT_CHOICES)
    occurrence_confidence, occurrence_reasoning = _word(Confidence.choices), _text()
    finding = _word(Incident.Finding.choices)
    finding_confidence, finding_reasoning = _word(Confidence.choices), _text()
    attribution = _word(Incident.Attribution.choices)
    attributed_to = VisibleRelatedField(Party, "code", required=False, allow_null=True, help_text="Code")
    attribution_confidence, attribution_reasoning = _word(Confidence.choices), _text()


class ResponseInput(serializers.Serializer):
    """What a party said when the incident was put to it."""

    party = VisibleRelatedField(Party, "code", help_text="Code")
    stance = serializers.ChoiceField(choices=PartyResponse.Stance.choices)
    said_on = serializers.DateField(required=False, allow_null=True)
    text = _text()
    source_url = serializers.URLField(required=False, allow_blank=True, max_length=500)


class ResponseSerializer(serializers.ModelSerializer):
    party = serializers.CharField(source="party.code")
    source_url = serializers.CharField(help_text="Empty when there is none")

    class Meta:
        model = PartyResponse
        fields = ["id", "party", "stance", "said_on", "text", "source_url", "version", "created_at"]
        read_only_fields = fields


class ResponsesSerializer(serializers.Serializer):
    results = ResponseSerializer(many=True)


class StepSerializer(serializers.ModelSerializer):
    """One step of an incident."""

    who = serializers.CharField(source="user.username", default="system")
    reports = serializers.SerializerMethodField(help_text="Ids of the reports that were moved")
    undone = serializers.SerializerMethodField(help_text="It was taken back")

    class Meta:
        model = IncidentStep
        fields = ["id", "kind", "other", "who", "reason", "reports", "undone", "taken_at"]
        read_only_fields = fields

    def get_reports(self, step) -> list[int]:
        return [move.report_id for move in self.context["moves"] if move.step_id == step.pk]

    def get_undone(self, step) -> bool:
        return hasattr(step, "undone_by")


class StepsSerializer(serializers.Serializer):
    results = StepSerializer(many=True)


# --- The addresses --------------------------------------------------------------------------


class IncidentFilters(IncidentFilter):
    accused = filters.ModelChoiceFilter(queryset=visible(Party), to_field_name="code")


class IncidentViewSet(CoalitionViewSet):
    """What happened, as judged from its reports. One merged into another is still here, and names it."""

    queryset = Incident.objects.all()
    columns = INCIDENTS
    filterset_class = IncidentFilters
    orderings = {"id": "id", "occurred_from": "occurred_from", "changed_at": "changed_at"}
    default_ordering = "-occurred_from"
    worked_out = ("reports",)
    inputs = {
        "create": IncidentInput,
        "partial_update": IncidentChange,
        "merge": MergeInput,
        "split": SplitInput,
        "take_back": TakeBackInput,
        "judge": JudgementInput,
        "verify": VerifyInput,
        "respond": ResponseInput,
    }
    outputs = {
        "steps": StepsSerializer,
        "responses": ResponsesSerializer,
        "respond": {201: ResponseSerializer},
        "take_back": {200: INCIDENTS.serializer, 204: None},
    }
    creates = ("create", "respond")
    compares = ("create",)
    changes = ("partial_update", "merge", "split", "take_back", "judge", "verify")
    write_scopes = (ApiToken.Scope.FILE_REPORTS,)
    write_actions = {
        "create": "merge_reports",
        "partial_update": "judge_incident",
        "merge": "merge_reports",
        "split": "merge_reports",
        "take_back": "merge_reports",
        "judge": "judge_incident",
        "verify": "verify_incident",
        "respond": "judge_incident",
    }

    def filter_queryset(self, queryset):
        """Lists leave out what was merged into another; asked for by its id it is there."""
        if self.action != "list":
            return queryset
        found = super().filter_queryset(queryset)
        return found if "merged" in self.request.query_params else found.standing()

    def merged_into(self, keys: Iterable[Any]) -> dict[Any, Any]:
        rows = Incident.objects.visible_to(self.request.user).filter(pk__in=list(keys), merged_into__isnull=False)
        return {pk: merging.standing(pk, by=self.request.user).pk for pk in rows.values_list("pk", flat=True)}

    def create(self, request, *args, **kwargs):
        """Make an incident of one or more reports that stand alone."""
        draft = self.input()
        reports, reason = versions(draft.pop("reports")), draft.pop("reason", "")
        return self.created(lambda: merging.open_incident(reports, draft, by=request.user, reason=reason))

    def partial_update(self, request, *args, **kwargs):
        """Change what it is written down as. Another kind, place or time must be verified again."""
        incident, version = self.changing()
        return self.shown_again(
            describing.revise(incident.pk, self.input(partial=True), by=request.user, based_on=version)
        )

    @action(detail=True, methods=["post"])
    def merge(self, request, *args, **kwargs):
        """Merge reports, or another incident, into this one. The other names this one from then on."""
        incident, version = self.changing()
        given = self.input()
        how = {"by": request.user, "based_on": version, "reason": given.get("reason", "")}
        if "incident" in given:
            other = given["incident"]
            merged = merging.absorb(incident.pk, other["id"], other_based_on=other["version"], **how)
        else:
            merged = merging.add(incident.pk, versions(given["reports"]), tier=given.get("tier"), **how)
        return self.shown_again(merged)

    @action(detail=True, methods=["post"])
    def split(self, request, *args, **kwargs):
        """Take reports out. The answer is the incident they were taken from, or the new one."""
        incident, version = self.changing()
        given = self.input()
        return self.shown_again(
            merging.split(
                incident.pk,
                given["reports"],
                by=request.user,
                based_on=version,
                into_new=given.get("into_new", False),
                reason=given.get("reason", ""),
            )
        )

    @action(detail=True, methods=["post"], url_path="take-back")
    def take_back(self, request, *args, **kwargs):
        """Take one step back: every report goes where it came from. 204 when the incident is gone by it."""
        incident, version = self.changing()
        given = self.input()
        if not IncidentStep.objects.visible_to(request.user).filter(pk=given["step"], incident=incident).exists():
            raise Http404
        merging.take_back(given["step"], by=request.user, based_on=version, reason=given.get("reason", ""))
        if not self.get_queryset().filter(pk=incident.pk).exists():
            return Response(status=204)
        return self.shown_again(incident)

    @action(detail=True, methods=["post"])
    def judge(self, request, *args, **kwargs):
        """Answer whether it happened, whether it was a violation, and whose it was."""
        incident, version = self.changing()
        return self.shown_again(judging.judge(incident.pk, self.input(), by=request.user, based_on=version))

    @action(detail=True, methods=["post"])
    def verify(self, request, *args, **kwargs):
        """Confirm a judgement that somebody else wrote."""
        incident, version = self.changing()
        reason = self.input()["reason"]
        return self.shown_again(judging.verify(incident.pk, by=request.user, reason=reason, based_on=version))

    @action(detail=True, methods=["get"])
    def steps(self, request, *args, **kwargs):
        """What was done with it, newest first."""
        rows = list(
            IncidentStep.objects.visible_to(request.user)
            .filter(incident=self.get_object())
            .select_related("user", "undone_by")
            .order_by("-pk")
        )
        moves = list(ReportMove.objects.visible_to(request.user).filter(step__in=rows).order_by("report_id"))
        return Response({"results": StepSerializer(rows, many=True, context={"moves": moves}).data})

    @action(detail=True, methods=["get"])
    def responses(self, request, *args, **kwargs):
        """What the parties said about it."""
        rows = PartyResponse.objects.visible_to(request.user).filter(incident=self.get_object())
        return Response({"results": ResponseSerializer(rows.select_related("party"), many=True).data})

    @responses.mapping.post
    def respond(self, request, *args, **kwargs):
        """Write down what a party said."""
        incident, said = self.get_object(), self.input()

        def answer() -> Answer:
            return Answer(201, ResponseSerializer(judging.respond(incident.pk, said, by=request.user)).data)

        answered = once(request, answer)
        return Response(answered.body, status=answered.status, headers=answered.headers)


def versions(reports: list[dict[str, int]]) -> dict[int, int]:
    """Return {id: version} of the reports of a body."""
    return {report["id"]: report["version"] for report in reports}
