"""What all viewsets share: what one may see, versions as ETags, no parameter ignored, lists as pages or whole files.

A viewset reads with a flat serializer and writes by calling the domain; it holds no rule of its own.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.conf import settings
from django.db.models import Model, QuerySet
from django.http import HttpResponse, HttpResponseBase
from django_filters import rest_framework as filters
from rest_framework import serializers
from rest_framework.exceptions import NotAcceptable, ParseError, ValidationError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import JSONParser, get_encoding
from rest_framework.permissions import SAFE_METHODS
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from coalition import exports
from coalition.access import Actor, Tier, actor_of, demand
from coalition.columns import Column, Columns, word_of
from coalition.editing import Answer, etag, is_storable, once, version_asked
from coalition.paging import KeysetPagination, Order
from coalition.refusals import LengthMissing, TooLarge
from coalition.renderers import EXPORTS, Export
from coalition.rows import Rows, Stored

TIERS = [(tier.label, tier.label) for tier in Tier]


class Negotiation(DefaultContentNegotiation):
    """``?format=`` before ``Accept``; a format the list does not have is named with those it has."""

    def filter_renderers(self, renderers, format):  # noqa: A002 - DRF's name
        found = [renderer for renderer in renderers if renderer.format == format]
        if not found:
            known = ", ".join(renderer.format for renderer in renderers)
            raise ValidationError({"format": [f"Not known here: {format}. Known are {known}."]})
        return found

    def select_renderer(self, request, renderers, format_suffix=None):
        try:
            return super().select_renderer(request, renderers, format_suffix)
        except NotAcceptable:
            known = ", ".join(renderer.media_type for renderer in renderers)
            raise NotAcceptable(f"None of these is what you accept: {known}.") from None


class StrictJSONParser(JSONParser):
    """JSON that says each thing once and can be stored: no field twice, no NaN, no deeper than Python can follow."""

    def parse(self, stream, media_type=None, parser_context=None):
        encoding = get_encoding(parser_context or {})
        try:
            return json.loads(
                stream.read().decode(encoding), parse_constant=_refuse_constant, object_pairs_hook=_each_once
            )
        except RecursionError:
            raise ParseError("The JSON is nested too deeply.") from None
        except ValueError as error:
            raise ParseError(f"The body is not JSON: {error}") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON.")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValidationError({name: ["Given more than once."] for name in found if names.count(name) > 1})
    return found


class ApiViewSet(GenericViewSet):
    """What every address has: one error shape, JSON in, no parameter ignored, lists as pages or whole files.

    ``write_actions`` maps a DRF action to one of access.RULES, ``write_scopes`` are the token scopes that may write.
    ``inputs`` maps an action to the serializer of its body, ``queries`` to that of its query parameters.
    ``creates`` take an Idempotency-Key, ``changes`` demand If-Match, ``compares`` name versions in their body, ``partial``
    answer to Range, ``awaits`` are reads that are a 409 until there is something to read.
    ``dear`` maps an action to a limit of its own, a scope of settings.API_PER_MINUTE; ``largest`` to the bytes its body
    may have, where that is no JSON.
    """

    http_method_names = ["get", "head", "options", "post", "patch", "delete"]
    content_negotiation_class = Negotiation
    parser_classes = [StrictJSONParser]
    listing = ("list",)
    inputs: dict[str, type[serializers.Serializer]] = {}
    outputs: dict[str, type[serializers.Serializer]] = {}
    queries: dict[str, type[serializers.Serializer]] = {}
    creates: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    compares: tuple[str, ...] = ()
    partial: tuple[str, ...] = ()
    awaits: tuple[str, ...] = ()
    dear: dict[str, str] = {}
    largest: dict[str, int] = {}
    write_actions: dict[str, str] = {}
    write_scopes: tuple[str, ...] = ()
    versioned = False

    def get_renderers(self):
        whole = [renderer() for renderer in EXPORTS] if self.action in self.listing else []
        return [JSONRenderer(), *whole]

    def check_permissions(self, request):
        if self.action is None and request.user.is_authenticated:
            self.http_method_not_allowed(request)
        super().check_permissions(request)

    def initial(self, request, *args, **kwargs):
        if request.method not in SAFE_METHODS:
            refuse_unread(request, self.most_bytes())
        super().initial(request, *args, **kwargs)
        refuse_unknown(request, self.known_parameters())

    def finalize_response(self, request, response, *args, **kwargs):
        response = super().finalize_response(request, response, *args, **kwargs)
        response.headers["Cache-Control"] = "private, no-store"  # what was seen must not outlive the session
        return response

    def most_bytes(self) -> int:
        """Return how large the body of this action may be."""
        return self.largest.get(self.action, settings.DATA_UPLOAD_MAX_MEMORY_SIZE)

    def known_parameters(self) -> dict[str, bool]:
        """Return the query parameters this action knows; True where one may be given more than once."""
        query = self.queries.get(self.action)
        return {"format": False} | dict.fromkeys(query().fields if query else (), False)

    def query(self) -> dict[str, Any]:
        """Return the checked query parameters of an action that has a serializer for them."""
        serializer = self.queries[self.action](
            data=self.request.query_params.dict(), context=self.get_serializer_context()
        )
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data

    def input(self, **kwargs) -> dict[str, Any]:
        """Return the checked body of the request. Raises a 400 naming the fields, unknown ones included."""
        return checked(self.inputs[self.action], self.request.data, context=self.get_serializer_context(), **kwargs)

    def file(self, rows: Rows) -> HttpResponseBase:
        """Answer with a file of all rows, or with the job that will make it (``coalition.exports``)."""
        renderer, request = self.request.accepted_renderer, self.request
        if exports.is_for_a_job(request, renderer, rows):
            return exports.put_off(request, renderer)
        return exports.streamed(request, renderer, rows, name=self.file_name())

    def file_name(self) -> str:
        """Return what a file of the list is called, without date and ending."""
        return self.basename


class CoalitionViewSet(ApiViewSet):
    """Rows of one model that the user may see.

    ``columns`` say what a row shows, in every format; ``orderings`` map public names to the fields a list is ordered by.
    ``followed``: its rows are in the feed of changes, if they have versions.
    ``worked_out``: fields that change without the row, from the date or other rows; the feed of changes leaves them out.
    """

    columns: Columns
    pagination_class = KeysetPagination
    filterset_class: type[filters.FilterSet] | None = None
    orderings: dict[str, str] = {"id": "id"}
    default_ordering = "id"
    versioned = True
    followed = True
    worked_out: tuple[str, ...] = ()

    def get_queryset(self) -> QuerySet:
        return super().get_queryset().visible_to(self.request.user)

    def get_serializer_class(self):
        """Return what describes a row in the schema; rows are written by ``coalition.rows``."""
        return self.columns.serializer

    def known_parameters(self) -> dict[str, bool]:
        known = super().known_parameters()
        if self.action == "list":
            known |= dict.fromkeys(self.pagination_class.parameters, False)
            known |= {
                name: isinstance(each, filters.MultipleChoiceFilter)
                for name, each in self.filterset_class.base_filters.items()
            }
        return known

    def filter_queryset(self, queryset: QuerySet) -> QuerySet:
        """Return the rows that the filters in the address leave; without one, none of them is built."""
        if self.filterset_class.base_filters.keys().isdisjoint(self.request.query_params):
            return queryset
        return super().filter_queryset(queryset)

    def list(self, request, *args, **kwargs):
        queryset = self.filter_queryset(self.get_queryset())
        fields = asked_fields(request, self.columns, actor_of(request.user))
        if isinstance(request.accepted_renderer, Export):
            order = Order.asked(request, self) if "ordering" in request.query_params else Order("pk", falling=False)
            return self.file(self.rows(order.sort(queryset), fields))  # by key it begins at once, unsorted
        found, onwards, back = self.paginator.page(
            queryset, request, self, lambda some, limit: self.rows(some, fields).objects(limit)
        )
        page = f'{{"next":{json.dumps(onwards)},"previous":{json.dumps(back)},"results":[{",".join(found)}]}}'
        return HttpResponse(page.encode(), content_type="application/json")

    def rows(self, queryset: QuerySet, fields: tuple[str, ...] = ()) -> Stored:
        """Return rows of a queryset with what the asking user may see of them."""
        return Stored.of(queryset, self.columns, actor_of(self.request.user), fields, key=self.lookup_field)

    def retrieve(self, request, *args, **kwargs):
        return self.shown(self.get_object())

    def shown(self, thing: Model) -> Response:
        """Answer with one thing as it now stands and, where it has a version, its ETag."""
        headers = {"ETag": etag(thing)} if self.versioned else {}
        [row] = self.rows(self.get_queryset().filter(pk=thing.pk)).objects(1)
        return Response(json.loads(row.text), headers=headers)

    def shown_again(self, thing: Model) -> Response:
        """Answer with one thing, its version read again."""
        return self.shown(self.get_queryset().get(pk=thing.pk))

    def created(self, create: Callable[[], Model]) -> Response:
        """Create once, however often the request is sent under one Idempotency-Key, and answer 201 with the thing."""

        def answer() -> Answer:
            response = self.shown_again(create())
            return Answer(status=201, body={"row": response.data, "etag": response.headers["ETag"]})

        answered = once(self.request, answer)
        kept = answered.body["row"]  # the database does not keep the order of its fields
        row = {column.name: kept[column.name] for column in self.columns.seen_by(actor_of(self.request.user))}
        headers = {"ETag": answered.body["etag"], "Location": f"{self.request.path}{row[self.lookup_name()]}/"}
        return Response(row, status=answered.status, headers=headers | answered.headers)

    def merged_into(self, keys: Iterable[Any]) -> dict[Any, Any]:
        """Return, for those of the primary keys that were merged, the id each became, as the asking user may see it."""
        return {}

    def lookup_name(self) -> str:
        """Return the field of a row that stands in its address."""
        return "id" if self.lookup_field == "pk" else self.lookup_field

    def changing(self) -> tuple[Model, int]:
        """Return what is to be changed and the version the change is based on.

        In this order: what one may not see is a 404, what is not one's own to change a 403, no version a 428.
        """
        thing = self.get_object()
        demand(self.request.user, self.write_actions[self.action], thing)
        return thing, version_asked(self.request, thing)


def refuse_unread(request, most_bytes: int) -> None:
    """Refuse by its headers alone a body that is too large, or that does not say how large it is.

    Before anything else: whoever looks for a CSRF token in a form would read all of it.
    """
    if request.META.get("HTTP_TRANSFER_ENCODING"):  # it would be taken for an empty body
        raise LengthMissing
    length = request.META.get("CONTENT_LENGTH") or "0"
    if length.isdigit() and int(length) > most_bytes:
        raise TooLarge(f"The body is larger than {most_bytes:,} bytes.")


def checked(
    serializer_class: type[serializers.Serializer], data: Any, *, context: dict, **kwargs: Any
) -> dict[str, Any]:
    """Return checked input. Raises a 400 naming the fields, unknown ones included: nothing sent is ignored."""
    serializer = serializer_class(data=data, context=context, **kwargs)
    if unknown := dict(unknown_in(serializer, data)):
        raise ValidationError(unknown)
    serializer.is_valid(raise_exception=True)
    return serializer.validated_data


def unknown_in(serializer: serializers.BaseSerializer, data: Any, path: str = "") -> Iterator[tuple[str, list[str]]]:
    """Yield the dotted path of each field in the data that a serializer, or one inside it, does not have."""
    if isinstance(serializer, serializers.ListSerializer) and isinstance(data, list):
        for number, item in enumerate(data):
            yield from unknown_in(serializer.child, item, f"{path}{number}.")
    elif isinstance(serializer, serializers.Serializer) and isinstance(data, dict):
        known = ", ".join(serializer.fields) or "none"
        for name in data:
            field = serializer.fields.get(name)
            if field is None:
                yield f"{path}{name}", [f"Not known here. Known are: {known}."]
            elif isinstance(field, serializers.BaseSerializer):
                yield from unknown_in(field, data[name], f"{path}{name}.")


def asked_fields(request, columns: Columns, actor: Actor) -> tuple[str, ...]:
    """Return the names in ``?fields=``, in their order; none means all. Raises a 400 naming the known ones."""
    asked = request.query_params.get("fields")
    if asked is None:
        return ()
    names = tuple(dict.fromkeys(name.strip() for name in asked.split(",")))
    known = [column.name for column in columns.seen_by(actor)]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValidationError({"fields": [f"Not known: {', '.join(unknown)}. Known are {', '.join(known)}."]})
    return names


def refuse_unknown(request, known: dict[str, bool]) -> None:
    """Raise a 400 for parameters that would be ignored: unknown ones, and single ones given twice."""
    errors = {}
    for name, values in request.query_params.lists():
        if name not in known:
            errors[name] = [f"Not known here. Known are: {', '.join(sorted(known))}."]
        elif len(values) > 1 and not known[name]:
            errors[name] = ["Given more than once."]
    if errors:
        raise ValidationError(errors)


# --- Fields and filters -----------------------------------------------------------------------------


def tier_column(path: str = "tier") -> Column:
    """Return the column with the word of a release tier."""
    return Column("tier", word_of(path, Tier), choices=TIERS, hxl="#meta+tier")


class TierField(serializers.ChoiceField):
    """A release tier by its word."""

    def __init__(self, **kwargs):
        super().__init__(choices=TIERS, **kwargs)

    def to_representation(self, value):
        return Tier(value).label

    def to_internal_value(self, data):
        return Tier[super().to_internal_value(data).upper()]


class VisibleRelatedField(serializers.SlugRelatedField):
    """Another thing by its id or code. One that the user may not see is answered as one that is not there."""

    def __init__(self, model: type[Model], slug_field: str = "", **kwargs):
        self.model = model
        super().__init__(slug_field=slug_field or model._meta.pk.name, queryset=model.objects.all(), **kwargs)

    def get_queryset(self):
        return self.model.objects.visible_to(self.context["request"].user)

    def to_internal_value(self, data):
        if isinstance(data, bool | float | dict | list) or not is_storable(str(data)):
            self.fail("invalid")
        return super().to_internal_value(data)


def visible(model: type[Model]):
    """Return what a filter may choose from: rows of the model that the asking user may see."""

    def rows(request) -> QuerySet:
        return model.objects.visible_to(request.user) if request is not None else model.objects.none()

    return rows


class TierFilter(filters.MultipleChoiceFilter):
    """Rows of a release tier, by its word."""

    def __init__(self, **kwargs):
        super().__init__(choices=TIERS, **kwargs)

    def filter(self, qs, value):
        return qs.filter(**{f"{self.field_name}__in": [Tier[word.upper()] for word in value]}) if value else qs
