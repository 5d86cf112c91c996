"""Triage over the API: the steps of a report, and what may be the same event. Part of ``reports/``."""

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.response import Response

from monitoring import duplicates, triage
from monitoring.merging import LONGEST_REASON


class ReasonInput(serializers.Serializer):
    """Why. Needed to put a report out of scope, and to undo somebody else's step."""

    reason = serializers.CharField(required=False, allow_blank=True, max_length=LONGEST_REASON)


class DuplicateInput(ReasonInput):
    """Which report it repeats."""

    of = serializers.IntegerField(help_text="Id of the report it repeats")


class CandidateSerializer(serializers.Serializer):
    """A report that may be of the same event."""

    report = serializers.IntegerField(source="report.pk", help_text="Id")
    incident = serializers.IntegerField(source="incident.pk", default=None, allow_null=True, help_text="What it is in")
    score = serializers.FloatField(help_text="0 to 1: how well the two accounts agree; no probability")
    reasons = serializers.ListField(child=serializers.CharField(), help_text="In words")
    distance_m = serializers.FloatField(allow_null=True, help_text="Metres; null where one has no point")


class CandidatesSerializer(serializers.Serializer):
    results = CandidateSerializer(many=True)


class CandidatesQuery(serializers.Serializer):
    limit = serializers.IntegerField(required=False, default=10, min_value=1, max_value=50)


INPUTS = {
    "screen": ReasonInput,
    "take_up": ReasonInput,
    "duplicate": DuplicateInput,
    "out_of_scope": ReasonInput,
    "undo": ReasonInput,
}
ACTIONS = dict.fromkeys(INPUTS, "screen_report")
CHANGES = tuple(INPUTS)
OUTPUTS = {"candidates": CandidatesSerializer}
QUERIES = {"candidates": CandidatesQuery}


class TriageSteps:
    """The steps of triage for a viewset of reports; it names INPUTS, ACTIONS, CHANGES, OUTPUTS, QUERIES as its own."""

    def _step(self, name: str) -> Response:
        report, version = self.changing()
        given = self.input()
        return self.shown_again(
            triage.take(
                report.pk,
                name,
                by=self.request.user,
                of=given.get("of"),
                reason=given.get("reason", ""),
                based_on=version,
            )
        )

    @action(detail=True, methods=["post"])
    def screen(self, request, *args, **kwargs):
        """It is a report to look into."""
        return self._step("screen")

    @action(detail=True, methods=["post"], url_path="take-up")
    def take_up(self, request, *args, **kwargs):
        """Somebody verifies it."""
        return self._step("take-up")

    @action(detail=True, methods=["post"])
    def duplicate(self, request, *args, **kwargs):
        """It is the same account as another report: it counts nowhere."""
        return self._step("duplicate")

    @action(detail=True, methods=["post"], url_path="out-of-scope")
    def out_of_scope(self, request, *args, **kwargs):
        """It is no report of a violation: it counts nowhere."""
        return self._step("out-of-scope")

    @action(detail=True, methods=["post"])
    def undo(self, request, *args, **kwargs):
        """Take the last step of triage back."""
        report, version = self.changing()
        reason = self.input().get("reason", "")
        return self.shown_again(triage.undo(report.pk, by=request.user, reason=reason, based_on=version))

    @action(detail=True, methods=["get"])
    def candidates(self, request, *args, **kwargs):
        """Reports that may be of the same event, best first."""
        found = duplicates.candidates(self.get_object(), by=request.user, limit=self.query()["limit"])
        return Response({"results": CandidateSerializer(found, many=True).data})
