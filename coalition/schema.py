"""How the API describes itself: OpenAPI 3.1 with every error it gives, and a page to read it offline."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

from coalition.access import demand
from coalition.renderers import GeoJSONExport

JSON = "application/json"
FEATURES = {
    "type": "object",
    "description": "GeoJSON (RFC 7946); the properties of a feature are the fields of a row.",
    "required": ["type", "features"],
    "properties": {
        "type": {"type": "string", "enum": ["FeatureCollection"]},
        "features": {"type": "array", "items": {"type": "object"}},
    },
}
TYPES = [
    ("validation_error", "Fields or parameters are named"),
    ("client_error", "The request is at fault"),
    ("server_error", "We are at fault"),
]
WHY = {
    "400": "Not understood, or not valid: `errors` names the fields or parameters.",
    "401": "No valid session or token.",
    "403": "You may see this, and not do that.",
    "404": "Not there, or not for you to see: the address, or what the body names.",
    "406": "None of the formats there are is one you accept.",
    "409": "It does not fit the present state.",
    "411": "The body does not say how long it is.",
    "412": "Somebody changed it since the version in `If-Match`, or one in the body. `ETag` has the present one.",
    "413": "The body is too large.",
    "414": "The address is too long.",
    "415": "The body is of a media type that is not read here.",
    "416": "The range lies behind the end of the file.",
    "422": "This idempotency key came before with another body.",
    "428": "`If-Match` is missing.",
    "429": "Too many requests in a minute. `Retry-After` says how many seconds to wait.",
    "431": "The headers are too long.",
}


class ErrorSerializer(serializers.Serializer):
    """Every error has this shape."""

    type = serializers.ChoiceField(choices=TYPES)
    code = serializers.CharField(help_text="A stable word for programs")
    detail = serializers.CharField(help_text="A sentence for people")
    errors = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()),
        help_text="Sentences per field or parameter; empty when none is to blame",
    )


class PutOffSerializer(serializers.Serializer):
    """A file that a worker makes."""

    id = serializers.UUIDField()
    state = serializers.CharField()
    detail = serializers.CharField()


class Schema(AutoSchema):
    """What spectacular cannot see in our viewsets: inputs, versions, idempotency, errors, whole files."""

    @property
    def action(self) -> str:
        return getattr(self.view, "action", None) or ""

    def _is_list_view(self, serializer=None) -> bool:
        if serializer is PutOffSerializer or isinstance(serializer, PutOffSerializer):
            return False
        return self.action in getattr(self.view, "listing", ("list",))

    def get_request_serializer(self):
        return getattr(self.view, "inputs", {}).get(self.action)

    def get_override_parameters(self):
        parameters = []
        if self.action in getattr(self.view, "changes", ()):
            parameters.append(
                OpenApiParameter(
                    "If-Match",
                    str,
                    OpenApiParameter.HEADER,
                    required=True,
                    description="The `ETag` of the version the change is based on.",
                )
            )
        if self.action in getattr(self.view, "creates", ()):
            parameters.append(
                OpenApiParameter(
                    "Idempotency-Key",
                    {"type": "string", "minLength": 1, "maxLength": 200},
                    OpenApiParameter.HEADER,
                    description="Sent twice with the same body, it creates once and answers the same.",
                )
            )
        if self.method == "GET" and self._is_list_view():
            about = "`respond-async`: a worker makes the file; the answer is 202 and says where to ask for it."
            parameters.append(
                OpenApiParameter("Prefer", {"type": "string"}, OpenApiParameter.HEADER, description=about)
            )
        query = getattr(self.view, "queries", {}).get(self.action)
        return [*parameters, query] if query else parameters

    def get_response_serializers(self):
        return getattr(self.view, "outputs", {}).get(self.action) or super().get_response_serializers()

    def refusals(self) -> list[str]:
        """Return the statuses this operation may refuse with."""
        codes = {"400", "401", "403", "406", "414", "429", "431"}
        if self.view.detail:
            codes.add("404")
        if self.method != "GET":
            codes |= {"404", "409", "411", "413", "415"}
        elif self._is_list_view() or self.action in self.view.awaits:
            codes.add("409")
        if self.action in self.view.changes:
            codes |= {"412", "428"}
        if self.action in self.view.compares:
            codes.add("412")
        if self.action in self.view.creates:
            codes.add("422")
        if self.action in self.view.partial:
            codes.add("416")
        return sorted(codes)

    def _get_response_bodies(self, direction="response"):
        bodies = super()._get_response_bodies(direction)
        if self.method == "GET" and self._is_list_view():
            bodies["202"] = self._get_response_for_code(PutOffSerializer, "202", media_types=[JSON])
            bodies["202"]["description"] = "A worker makes the file; `Location` says how far it is."
        if hasattr(self.view, "creates"):
            for code in self.refusals():
                error = self._get_response_for_code(ErrorSerializer, code, media_types=[JSON])
                bodies[code] = error | {"description": WHY[code]}
        return bodies

    def _get_response_for_code(self, serializer, status_code, media_types=None, direction="response"):
        answer = super()._get_response_for_code(serializer, status_code, media_types, direction)
        for media_type, content in answer.get("content", {}).items():
            if media_type != JSON:  # a file with all rows
                content["schema"] = FEATURES if media_type == GeoJSONExport.media_type else {"type": "string"}
        return answer

    def _get_response_headers_for_code(self, status_code, direction="response"):
        headers = super()._get_response_headers_for_code(status_code, direction)
        if status_code == "429":
            headers["Retry-After"] = {"schema": {"type": "integer"}, "description": "Seconds to wait."}
        headers["X-Request-ID"] = {"schema": {"type": "string"}, "description": "To be named when asking about it."}
        has_version = getattr(self.view, "versioned", False) and (self.view.detail or self.method == "POST")
        if has_version and status_code in ("200", "201", "412"):
            headers["ETag"] = {"schema": {"type": "string"}, "description": "The version, to be sent as `If-Match`."}
        return headers

    def _map_basic_serializer(self, serializer, direction):
        schema = super()._map_basic_serializer(serializer, direction)
        if direction == "request" and "properties" in schema:
            schema["additionalProperties"] = False
        absent = set(getattr(serializer, "planning_only", ()))
        if absent and "required" in schema:
            schema["required"] = [name for name in schema["required"] if name not in absent]
        return schema


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """The page that shows the document with Swagger UI from our own files."""
    demand(request.user, "see")
    return render(request, "api_docs.html")
