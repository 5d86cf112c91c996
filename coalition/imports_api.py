"""Imports over the API: sent, mapped, tried, approved, committed and undone by the same functions as the pages."""

import json
from typing import Any

from django.core.paginator import Paginator
from django.core.validators import validate_slug
from django.http import StreamingHttpResponse
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import MultiPartParser
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param

from coalition import access, tokens
from coalition.api import CoalitionViewSet, StrictJSONParser, VisibleRelatedField, visible
from coalition.columns import Column, Columns, Kind
from coalition.editing import version_asked
from coalition.exports_api import AnyFormat
from coalition.filters import UpdatedSinceFilter
from coalition.imports import mapping as mappings
from coalition.imports import staging
from coalition.imports.mapping import Mapping
from coalition.imports.profiles import SetRow, profiles, profiles_of
from coalition.imports.staging import Outcome, State
from coalition.models import ApiToken, ImportBatch, ImportRow, Operation

PAGE, LARGEST_PAGE = 100, 1000
FARTHEST = 100_000_000  # more rows than any file may have
MOST_TICKED = 1000
STATES = [*State.choices, (staging.UNDOING, "Being undone")]

# --- What a row shows -----------------------------------------------------------------------

IMPORTS = Columns(
    ImportBatch,
    "id",
    Column("profile", kind=Kind.WORD, about="What the rows are, and which reader understands them"),
    Column("operation", "operation__code", kind=Kind.WORD, example="demo"),
    Column("dataset", kind=Kind.WORD),
    "file_name",
    "size",
    Column("sha256", kind=Kind.WORD, about="Of the file, hexadecimal"),
    Column("user", "user__username", kind=Kind.TEXT),
    Column("state", staging.phase_column(), kind=Kind.WORD, choices=STATES, about="Where it stands, now"),
    Column("done", "job__done", about="Rows the present step has done"),
    Column("total", "job__total", about="Rows the present step has to do, null while unknown"),
    Column(
        "counts",
        kind=Kind.OBJECT,
        about="Rows by outcome, what was `committed`, `taken_back` and `left`, and `remarks` on the whole",
        schema={"type": "object", "additionalProperties": {}},
        example={"new": 6, "rejected": 1, "remarks": []},
    ),
    Column("error", staging.trouble_column(), kind=Kind.TEXT, about="Why the last step came to nothing"),
    "created_at",
    "committed_at",
    "undone_at",
    "version",
    "changed_at",
    name="Import",
)


class RowSerializer(serializers.Serializer):
    """One row of the file: what it would do or did, and why not."""

    id = serializers.IntegerField(help_text="To approve it, or to undo it although it was touched since")
    line = serializers.IntegerField(allow_null=True, help_text="As a spreadsheet counts; the header is 1")
    outcome = serializers.ChoiceField(choices=Outcome.choices)
    external_id = serializers.CharField()
    says = serializers.CharField()
    changes = serializers.ListField(
        child=serializers.ListField(child=serializers.CharField()), help_text="Each as what, before, after"
    )
    problems = serializers.ListField(
        child=serializers.DictField(child=serializers.CharField()),
        help_text="Each with column, value and reason; of a row that is not rejected: what to know about it",
    )
    approved = serializers.BooleanField()
    offer = serializers.CharField(allow_null=True, help_text="What may be taken along with it")
    offer_taken = serializers.BooleanField()
    target = serializers.CharField(allow_null=True, help_text="Address of the page of what it made or changes")
    cells = serializers.DictField(child=serializers.CharField(), help_text="As they stood in the file, where kept")


class RowsSerializer(serializers.Serializer):
    """A page of rows, in the file's order."""

    count = serializers.IntegerField()
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = RowSerializer(many=True)


class TouchedRowSerializer(RowSerializer):
    """A committed row that is not as the import left it."""

    why = serializers.CharField()


class TouchedSerializer(serializers.Serializer):
    results = TouchedRowSerializer(many=True)


class FieldSerializer(serializers.Serializer):
    """Something the rows can say."""

    name = serializers.CharField()
    label = serializers.CharField()
    kind = serializers.CharField()
    required = serializers.BooleanField()
    help = serializers.CharField()
    choices = serializers.ListField(child=serializers.CharField())


class MappingSerializer(serializers.Serializer):
    """What the columns mean: as it was said, or as it is proposed while nobody has."""

    header = serializers.ListField(child=serializers.CharField())
    fields_known = FieldSerializer(many=True)
    mapping = serializers.JSONField(help_text="To be sent to `map/`, corrected where it is wrong")
    faults = serializers.ListField(child=serializers.CharField(), help_text="What keeps it from being used")
    words = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()), help_text="Words of the file that may be translated"
    )


def as_row(batch: ImportBatch, row: ImportRow | SetRow) -> dict[str, Any]:
    """Return a row as RowSerializer describes it."""
    profile, offer = staging.profile_of(batch), row.values.get("offer")
    has_target = row.target_version or row.outcome in (Outcome.SAME, Outcome.CHANGED)
    link = profile.link(row) if has_target else None
    return {
        "id": row.pk,
        "line": row.number,
        "outcome": row.outcome,
        "external_id": row.external_id,
        "says": row.values.get("says", ""),
        "changes": [[str(each) for each in change] for change in row.values.get("changes", ())],
        "problems": [
            {name: str(each.get(name, "")) for name in ("column", "value", "reason")} for each in row.problems
        ],
        "approved": row.approved,
        "offer": offer["label"] if offer else None,
        "offer_taken": bool(offer and offer["taken"]),
        "target": link[1] if link else None,
        "cells": {column: row.cells[column] for column in batch.header if column in row.cells},
    }


# --- What is sent ---------------------------------------------------------------------------

MAPPING = {
    "type": "object",
    "description": "`columns`: column of the file → field; `constants`: field → text of every row; `words`: field → word "
    "of the file → what is read in its place; `date_order`: dmy, mdy or empty; `decimal_comma`; `time_zone`: of local "
    "times, such as Europe/Kyiv.",
    "properties": {
        "columns": {"type": "object", "additionalProperties": {"type": "string"}},
        "constants": {"type": "object", "additionalProperties": {"type": "string"}},
        "words": {
            "type": "object",
            "additionalProperties": {"type": "object", "additionalProperties": {"type": "string"}},
        },
        "date_order": {"type": "string", "enum": ["", "dmy", "mdy"]},
        "decimal_comma": {"type": "boolean"},
        "time_zone": {"type": "string"},
    },
    "additionalProperties": False,
}


@extend_schema_field(MAPPING)
class MappingField(serializers.Field):
    """A mapping of columns, as JSON; in a form, as its text."""

    def to_internal_value(self, data) -> Mapping:
        try:
            return Mapping.from_json(data)
        except (ValueError, TypeError, RecursionError) as wrong:
            sentence = "This is not JSON." if isinstance(wrong, json.JSONDecodeError) else str(wrong)
            raise serializers.ValidationError(sentence) from wrong

    def to_representation(self, value):
        return value


class ImportInput(serializers.Serializer):
    """A file, as a multipart form."""

    file = serializers.FileField(max_length=255, help_text="CSV, tab-separated text, .xlsx or GeoJSON")
    profile = serializers.CharField(max_length=40, help_text="What it holds: pledges, reports, osce…")
    dataset = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=60,
        validators=[validate_slug],
        help_text="Rows keep their id within it. Empty: the profile's usual one",
    )
    operation = VisibleRelatedField(Operation, "code", required=False, help_text="Code; the current one when missing")
    mapping = MappingField(required=False, help_text="Has the rows tried at once, if it fits; as JSON text")


class MapInput(serializers.Serializer):
    mapping = MappingField()


class ApproveInput(serializers.Serializer):
    """Either some rows, or every row of an outcome."""

    approved = serializers.BooleanField()
    rows = serializers.ListField(
        child=serializers.IntegerField(min_value=1), required=False, allow_empty=False, max_length=MOST_TICKED
    )
    outcome = serializers.ChoiceField(choices=Outcome.choices, required=False)
    offers = serializers.ListField(
        child=serializers.IntegerField(min_value=1),
        required=False,
        max_length=MOST_TICKED,
        help_text="Those of the rows whose offer is taken",
    )

    def validate(self, given):
        if ("rows" in given) == ("outcome" in given):
            raise serializers.ValidationError("Give either rows or outcome.")
        if given.get("outcome", Outcome.NEW) not in staging.WRITING:
            raise serializers.ValidationError({"outcome": "Rows of this outcome write nothing."})
        if "offers" in given and not set(given["offers"]) <= set(given.get("rows", ())):
            raise serializers.ValidationError({"offers": "These are not among the rows."})
        return given


class UndoInput(serializers.Serializer):
    also = serializers.ListField(
        child=serializers.IntegerField(min_value=1),
        required=False,
        max_length=MOST_TICKED,
        help_text="Ids of rows to take back although they were touched since",
    )


class NothingInput(serializers.Serializer):
    """No body is needed."""


class RowsQuery(serializers.Serializer):
    outcome = serializers.ChoiceField(choices=Outcome.choices)
    limit = serializers.IntegerField(required=False, min_value=1, max_value=LARGEST_PAGE, default=PAGE)
    offset = serializers.IntegerField(required=False, min_value=0, max_value=FARTHEST, default=0)


# --- The addresses --------------------------------------------------------------------------


class MayImport(BasePermission):
    """Members may read. Whoever may import something may ask; each step then asks for the profile's own right."""

    def has_permission(self, request, view) -> bool:
        if request.method in SAFE_METHODS:
            return access.can(request.user, "see")
        return view.action is not None and bool(profiles_of(request.user))


def kinds() -> list[tuple[str, str]]:
    """Return the kinds of imports there are, with their labels."""
    return [(name, profile.label) for name, profile in profiles().items()]


class ImportFilters(filters.FilterSet):
    state = filters.MultipleChoiceFilter(choices=STATES, field_name="stands", label="Where it stands, now")
    profile = filters.MultipleChoiceFilter(choices=kinds)
    dataset = filters.CharFilter()
    operation = filters.ModelChoiceFilter(queryset=visible(Operation), to_field_name="code")
    updated_since = UpdatedSinceFilter()


class ImportViewSet(CoalitionViewSet):
    """Files on their way in: one's own; planners see all. Each step is a job: ask again until ``state`` has moved on."""

    queryset = ImportBatch.objects.all()
    columns = IMPORTS
    followed = False
    permission_classes = [MayImport, tokens.WithinScope]
    filterset_class = ImportFilters
    lookup_value_regex = "[0-9]{1,18}"
    orderings = {"id": "id", "created_at": "created_at"}
    default_ordering = "-id"
    inputs = {
        "create": ImportInput,
        "map_columns": MapInput,
        "approve": ApproveInput,
        "undo": UndoInput,
        "commit": NothingInput,
        "try_again": NothingInput,
        "cancel": NothingInput,
    }
    queries = {"rows_of": RowsQuery}
    outputs = {
        "rows_of": RowsSerializer,
        "touched": TouchedSerializer,
        "mapping_of": MappingSerializer,
        "rejected": {(200, "text/csv"): OpenApiResponse(OpenApiTypes.BINARY, "The rejected rows with their reasons")},
    }
    creates = ("create",)
    awaits = ("mapping_of", "rows_of", "touched", "rejected")
    dear = {"create": "uploads"}
    changes = ("map_columns", "try_again", "approve", "commit", "undo")
    write_scopes = (ApiToken.Scope.LOG_PLEDGES, ApiToken.Scope.FILE_REPORTS)

    def get_queryset(self):
        return super().get_queryset().select_related("job", "operation").annotate(stands=staging.phase_column())

    def get_parsers(self):
        name = getattr(self, "action", None) or self.action_map.get(self.request.method.lower())
        return [MultiPartParser()] if name == "create" else [StrictJSONParser()]

    def get_renderers(self):
        return [AnyFormat()] if self.action == "rejected" else super().get_renderers()

    def most_bytes(self) -> int:
        """A file may have what its profile takes, and what a form has around it; staging asks the profile."""
        if self.action == "create":
            return max(kind.most_mb for kind in profiles().values()) * 1024**2 + 100_000
        return super().most_bytes()

    def mine_to_change(self) -> ImportBatch:
        """Return the import. Not there for you is a 404, not of a kind you or your token may import a 403."""
        batch = self.get_object()
        self._demand(staging.profile_of(batch).action)
        return batch

    def changing(self) -> tuple[ImportBatch, int]:
        batch = self.mine_to_change()
        return batch, version_asked(self.request, batch)

    def _demand(self, act: str) -> None:
        access.demand(self.request.user, act)
        tokens.demand_scope(self.request.auth, act)

    def create(self, request, *args, **kwargs):
        """Send a file. The same file again, while it is still on its way, answers with the import that is there."""
        given = self.input()
        kind = profiles().get(given["profile"])
        if kind is None:
            known = ", ".join(each.name for each in profiles_of(request.user))
            raise ValidationError({"profile": [f"There is no such kind of import. You may import {known}."]})
        self._demand(kind.action)
        current = Operation.objects.visible_to(request.user).filter(is_current=True)
        return self.created(
            lambda: staging.upload(
                given["file"],
                profile=kind.name,
                operation=given.get("operation") or current.first(),
                dataset=given.get("dataset") or kind.dataset,
                chosen=given.get("mapping"),
                by=request.user,
            )
        )

    @action(detail=True, methods=["get"], url_path="mapping")
    def mapping_of(self, request, *args, **kwargs):
        """What the columns mean. 409 until the file was read."""
        batch = self.get_object()
        if not batch.header:
            raise staging.WrongMoment("The file was not read yet, or could not be.")
        profile, proposed = staging.profile_of(batch), staging.proposed(batch, by=request.user)
        words = {each.field: staging.words_of(batch, proposed, each) for each in profile.worded(batch, by=request.user)}
        known = [
            {
                "name": each.name,
                "label": each.label,
                "kind": each.kind,
                "required": each.required,
                "help": each.help,
                "choices": [code for code, _ in each.choices],
            }
            for each in profile.fields
        ]
        return Response(
            {
                "header": batch.header,
                "fields_known": known,
                "mapping": proposed.to_json(),
                "faults": mappings.faults(proposed, batch.header, profile.fields),
                "words": {name: found for name, found in words.items() if found},
            }
        )

    @action(detail=True, methods=["post"], url_path="map")
    def map_columns(self, request, *args, **kwargs):
        """Say what the columns mean, and have the rows tried; also after a dry run, to correct it."""
        batch, version = self.changing()
        return self.shown_again(staging.arrange(batch.pk, self.input()["mapping"], by=request.user, based_on=version))

    @action(detail=True, methods=["post"], url_path="try")
    def try_again(self, request, *args, **kwargs):
        """Judge the rows anew with the mapping there is."""
        batch, version = self.changing()
        self.input()
        return self.shown_again(staging.try_again(batch.pk, by=request.user, based_on=version))

    @action(detail=True, methods=["get"], url_path="rows")
    def rows_of(self, request, *args, **kwargs):
        """Rows of one outcome, in the file's order: after the dry run what they would do, after the commit what they did."""
        batch, asked = self.get_object(), self.query()
        if staging.phase(batch) not in (State.TRIED, State.COMMITTING, State.COMMITTED, State.UNDONE, staging.UNDOING):
            raise staging.WrongMoment("The rows were not tried yet.")
        found = staging.shown(batch, asked["outcome"], by=request.user)
        count = Paginator(found, asked["limit"]).count
        first, limit = asked["offset"], asked["limit"]
        here = request.build_absolute_uri()
        before = replace_query_param(here, "offset", max(0, first - limit))
        return Response(
            {
                "count": count,
                "next": replace_query_param(here, "offset", first + limit) if first + limit < count else None,
                "previous": (before if first > limit else remove_query_param(here, "offset")) if first else None,
                "results": [as_row(batch, row) for row in found[first : first + limit]],
            }
        )

    @action(detail=True, methods=["post"])
    def approve(self, request, *args, **kwargs):
        """Approve some rows or all of an outcome, or take that back. A dry run leaves all of them approved."""
        batch, version = self.changing()
        given = self.input()
        how = {"by": request.user, "based_on": version}
        if "outcome" in given:
            batch = staging.tick_all(batch.pk, given["outcome"], approved=given["approved"], **how)
        else:
            wanted = given["rows"] if given["approved"] else ()
            batch = staging.tick(batch.pk, shown=given["rows"], approved=wanted, offers=given.get("offers", ()), **how)
        return self.shown_again(batch)

    @action(detail=True, methods=["post"])
    def commit(self, request, *args, **kwargs):
        """Have the approved rows written: all of them, or none."""
        batch, version = self.changing()
        self.input()
        return self.shown_again(staging.commit(batch.pk, by=request.user, based_on=version))

    @action(detail=True, methods=["post"])
    def cancel(self, request, *args, **kwargs):
        """Stop what is under way, or give the import up. Needs no ``If-Match``: the worker at it may write any moment."""
        batch = self.mine_to_change()
        self.input()
        return self.shown_again(staging.cancel(batch.pk, by=request.user))

    @action(detail=True, methods=["get"])
    def touched(self, request, *args, **kwargs):
        """What was written and is not as the import left it: an undo leaves these unless they are named."""
        batch = self.get_object()
        if staging.phase(batch) != State.COMMITTED:
            raise staging.WrongMoment("This import is not committed, or was undone before.")
        found = staging.touched(batch, by=request.user)
        return Response({"results": [as_row(batch, row) | {"why": why} for row, why in found]})

    @action(detail=True, methods=["post"])
    def undo(self, request, *args, **kwargs):
        """Take a committed import back."""
        batch, version = self.changing()
        also = self.input().get("also", ())
        return self.shown_again(staging.undo(batch.pk, also=also, by=request.user, based_on=version))

    @action(detail=True, methods=["get"])
    def rejected(self, request, *args, **kwargs):
        """The rejected rows as CSV, each with its reasons. 409 until the rows were tried."""
        batch = self.get_object()
        if staging.phase(batch) not in (State.TRIED, State.COMMITTED, State.UNDONE):
            raise staging.WrongMoment("The rows were not tried yet.")
        return StreamingHttpResponse(
            staging.rejected_lines(batch, by=request.user),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="import-{batch.pk}-rejected.csv"'},
        )
