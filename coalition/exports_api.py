"""Files that a worker makes: how far they are, and the download, which can be resumed."""

import re
from collections.abc import Iterator
from pathlib import Path

from django.db.models.fields.json import KeyTextTransform
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.decorators import action
from rest_framework.renderers import BaseRenderer

from coalition import exports
from coalition.access import actor_of
from coalition.api import CoalitionViewSet
from coalition.columns import Column, Columns, Kind
from coalition.models import Job
from coalition.refusals import RangeNotSatisfiable

PIECE_BYTES = 256 * 1024
ONE_RANGE = re.compile(r"bytes=(?P<first>[0-9]{0,18})-(?P<last>[0-9]{0,18})", re.ASCII)

EXPORTS = Columns(
    Job,
    "id",
    "state",
    Column("done", about="Rows written"),
    Column("total", about="Rows in all, as the database estimates until it is done"),
    Column("path", KeyTextTransform("path", "arguments"), kind=Kind.WORD, about="The list", example="/api/v1/pledges/"),
    Column(
        "query",
        KeyTextTransform("query", "arguments"),
        kind=Kind.WORD,
        about="Its query",
        example="nation=FR&format=csv",
    ),
    Column(
        "file",
        KeyTextTransform("href", "result"),
        kind=Kind.WORD,
        nullable=True,
        about="Where the file is, once it is done",
    ),
    "error",
    "created_at",
    "finished_at",
    name="ExportJob",
)


class ExportFilters(filters.FilterSet):
    state = filters.MultipleChoiceFilter(choices=Job.State.choices)


class AnyFormat(BaseRenderer):
    """The file has its own format, whatever is accepted."""

    media_type = "*/*"
    format = "file"
    charset = None

    def render(self, data, accepted_media_type=None, renderer_context=None):
        return data


class ExportViewSet(CoalitionViewSet):
    """Files that were put off: one's own only. They are kept for a day."""

    queryset = Job.objects.filter(kind=exports.KIND)
    columns = EXPORTS
    versioned = False
    partial = ("file_of",)
    filterset_class = ExportFilters
    lookup_value_regex = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    orderings = {"created_at": "created_at"}
    default_ordering = "-created_at"

    def get_queryset(self):
        return super().get_queryset().filter(user_id=actor_of(self.request.user).user_id)

    def get_renderers(self):
        return [AnyFormat()] if self.action == "file_of" else super().get_renderers()

    @extend_schema(
        parameters=[OpenApiParameter("Range", str, OpenApiParameter.HEADER, description="Such as `bytes=1000-`.")],
        responses={
            (200, "*/*"): OpenApiResponse(OpenApiTypes.BINARY, "The whole file"),
            (206, "*/*"): OpenApiResponse(OpenApiTypes.BINARY, "The part asked for"),
        },
    )
    @action(detail=True, url_path="file", url_name="file")
    def file_of(self, request, *args, **kwargs):
        """Download the file, or with ``Range`` the rest of it. 404 when it is over, or not for you to see any more."""
        held = exports.held(self.get_object(), user=request.user)
        if held is None:
            raise Http404
        return ranged(request, held)


def ranged(request, held: exports.Held) -> HttpResponse:
    """Answer with the file, or with the one range asked for. Source: RFC 9110, 14."""
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": held.tag,
        "Content-Disposition": f'attachment; filename="{held.name}"',
    }
    first, last, status = 0, held.size - 1, 200
    asked = ONE_RANGE.fullmatch(request.headers.get("Range", "").strip())
    if asked and (asked["first"] or asked["last"]) and request.headers.get("If-Range", held.tag) == held.tag:
        if asked["first"]:
            first, last = int(asked["first"]), min(int(asked["last"] or last), last)
        else:
            first = max(held.size - int(asked["last"]), 0)
        if first > last:
            raise RangeNotSatisfiable(held.size)
        status, headers["Content-Range"] = 206, f"bytes {first}-{last}/{held.size}"
    headers["Content-Length"] = str(last - first + 1)
    return StreamingHttpResponse(
        pieces_of(held.path, first, last), status=status, content_type=held.media_type, headers=headers
    )


def pieces_of(path: Path, first: int, last: int) -> Iterator[bytes]:
    """Yield the bytes of a file from the first to the last, both included."""
    with path.open("rb") as file:
        file.seek(first)
        left = last - first + 1
        while left > 0 and (piece := file.read(min(PIECE_BYTES, left))):
            left -= len(piece)
            yield piece
