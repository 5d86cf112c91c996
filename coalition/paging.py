"""Pages that stay true while others write: a cursor says after which row to go on, not how many rows to skip.

A page costs the same at any depth. Rows are ordered by one field and the primary key; nulls come last either way.
"""

import hashlib
from collections.abc import Callable

from django.core import signing
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import BooleanField, F, Func, Model, Q, QuerySet, Value
from django.utils.encoding import force_str
from rest_framework.exceptions import ValidationError as Refused
from rest_framework.pagination import BasePagination
from rest_framework.utils.urls import remove_query_param, replace_query_param

from coalition.rows import ORDER, Placed

SIZE, LARGEST = 100, 1000
SALT = "coalition.paging"


class KeysetPagination(BasePagination):
    """Pages with ``next``, ``previous`` and ``results``. The view's ``orderings`` maps public names to fields.

    A cursor is signed and belongs to one query: filters, order and address.
    """

    parameters = ("cursor", "limit", "ordering", "fields")
    largest = LARGEST

    def page(
        self, queryset: QuerySet, request, view, read: Callable[[QuerySet, int], list[Placed]]
    ) -> tuple[list[str], str | None, str | None]:
        """Return the rows of the page the request asks for, as ``read`` gives them, and the links on and back."""
        self.request = request
        self.order = Order.asked(request, view)
        size = self.size(request)
        cursor = self._read(request.query_params.get("cursor"))
        backwards = bool(cursor and cursor["back"])
        rows = self.order.sort(queryset, backwards=backwards)
        if cursor:
            rows = rows.filter(self.order.beyond(queryset.model, cursor["value"], cursor["pk"], backwards))
        found = read(rows.annotate(**{ORDER: F(self.order.path)}), size + 1)
        more, found = len(found) > size, found[:size]
        if backwards:
            found.reverse()
        has_next = bool(backwards or more)
        has_previous = more if backwards else bool(cursor)
        onwards = self._link(found[-1], back=False) if found and has_next else None
        back = self._link(found[0], back=True) if found and has_previous else None
        return [row.text for row in found], onwards, back

    def size(self, request) -> int:
        """Return how many rows the page may have. Raises a 400."""
        asked = request.query_params.get("limit", str(SIZE))
        if not (asked.isascii() and asked.isdigit() and 1 <= int(asked[:9]) <= self.largest):
            raise Refused({"limit": [f"A whole number from 1 to {self.largest}."]})
        return int(asked)

    def _link(self, row: Placed, *, back: bool) -> str:
        value = row.order
        value = None if value is None else (value.isoformat() if hasattr(value, "isoformat") else force_str(value))
        place = {"value": value, "pk": force_str(row.pk), "back": back, "query": self._query()}
        return replace_query_param(self.request.build_absolute_uri(), "cursor", signing.dumps(place, salt=SALT))

    def _read(self, cursor: str | None) -> dict | None:
        if not cursor:
            return None
        try:
            place = signing.loads(cursor, salt=SALT)
        except signing.BadSignature:
            raise Refused({"cursor": ["This cursor is not one of ours, or it was changed."]}) from None
        if place["query"] != self._query():
            raise Refused({"cursor": ["This cursor belongs to another query. Start without one."]})
        return place

    def _query(self) -> str:
        """Return what the query asks for, apart from the place in it and the size of the pages."""
        address = self.request.build_absolute_uri()
        for name in ("cursor", "limit"):
            address = remove_query_param(address, name)
        return hashlib.sha256(address.encode(errors="replace")).hexdigest()[:16]

    def get_paginated_response_schema(self, schema: dict) -> dict:
        link = {"type": ["string", "null"], "format": "uri"}
        onwards = link | {"example": "http://127.0.0.1:8000/api/v1/nations/?cursor=eyJ2YWx1ZSI6"}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": onwards, "previous": link | {"example": None}, "results": some_fields(schema)},
        }

    def get_schema_operation_parameters(self, view) -> list[dict]:
        orders = [sign + name for name in view.orderings for sign in ("", "-")]
        return [
            _parameter("cursor", {"type": "string"}, "Where to go on: taken from `next` or `previous`."),
            _parameter(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": LARGEST, "default": SIZE},
                "Rows on a page.",
            ),
            _parameter(
                "ordering",
                {"type": "string", "enum": orders, "default": view.default_ordering},
                "The order of the rows; a minus turns it round. Nulls come last.",
            ),
            fields_parameter(view),
        ]


class OnePage(BasePagination):
    """A list that always fits on one page, and says how old it is."""

    def get_paginated_response_schema(self, schema: dict) -> dict:
        age = {
            "type": "object",
            "required": ["counted_until", "is_late"],
            "properties": {
                "counted_until": {
                    "type": "string",
                    "format": "date-time",
                    "description": "Every change up to then is in the numbers.",
                },
                "is_late": {"type": "boolean", "description": "A change has waited for longer than a minute."},
            },
        }
        nothing = {"type": "null"}
        return {
            "type": "object",
            "required": ["next", "previous", "results", "as_of"],
            "properties": {"next": nothing, "previous": nothing, "results": schema, "as_of": age},
        }


class Order:
    """One field and the primary key, both rising or both falling."""

    def __init__(self, path: str, *, falling: bool):
        self.path, self.falling = path, falling

    @classmethod
    def asked(cls, request, view) -> "Order":
        """Return the order the request asks for, else the view's. Raises a 400 naming the known ones."""
        name = request.query_params.get("ordering") or view.default_ordering
        falling, name = name.startswith("-"), name.removeprefix("-")
        if name not in view.orderings:
            raise Refused({"ordering": [f"Not known: {name}. Known are {', '.join(view.orderings)}; - turns round."]})
        return cls(view.orderings[name], falling=falling)

    def sort(self, queryset: QuerySet, *, backwards: bool = False) -> QuerySet:
        """Return the rows in this order, or in exactly the reverse of it."""
        falling = self.falling != backwards
        key = "-pk" if falling else "pk"
        if self._is_key(queryset.model):
            return queryset.order_by(key)
        nulls = {"nulls_first": True} if backwards else {"nulls_last": True}
        field = F(self.path)
        if not self._is_nullable(queryset.model):
            nulls = {}  # or the index could not be used
        return queryset.order_by(field.desc(**nulls) if falling else field.asc(**nulls), key)

    def beyond(self, model: type[Model], value: str | None, pk: str, backwards: bool) -> Q:
        """Return the filter for what comes after (or, backwards, before) this value and key."""
        falling = self.falling != backwards
        on = "lt" if falling else "gt"
        try:
            key = Q(**{f"pk__{on}": model._meta.pk.to_python(pk)})
            if self._is_key(model):
                return key
            if value is None:  # inside the nulls, which stand last: before them come all values
                nulls = Q(**{f"{self.path}__isnull": True}) & key
                return nulls | Q(**{f"{self.path}__isnull": False}) if backwards else nulls
            at = _field(model, self.path).to_python(value)
        except ValidationError:
            raise Refused({"cursor": ["This cursor is not one of ours."]}) from None
        if not self._is_nullable(model):
            return self._row_beyond(model, at, pk, "<" if falling else ">")
        # The outer bound lets PostgreSQL begin at the right place of the index.
        after = Q(**{f"{self.path}__{on}e": at}) & (Q(**{f"{self.path}__{on}": at}) | Q(**{self.path: at}) & key)
        if not backwards:
            after |= Q(**{f"{self.path}__isnull": True})
        return after

    def _row_beyond(self, model: type[Model], at, pk: str, sign: str) -> Q:
        """Return ``(value, key) < (at, pk)`` as one comparison of rows.

        The same said with AND and OR is taken for much rarer than it is near the end of a list: all that is left would be
        read and sorted for each page.
        """
        key = model._meta.pk
        row = Func(F(self.path), F("pk"), function="ROW")
        place = Func(
            Value(at, output_field=_field(model, self.path)), Value(key.to_python(pk), output_field=key), function="ROW"
        )
        return Q(Func(row, place, template="%(expressions)s", arg_joiner=f" {sign} ", output_field=BooleanField()))

    def _is_key(self, model: type[Model]) -> bool:
        return self.path in ("pk", model._meta.pk.name)

    def _is_nullable(self, model: type[Model]) -> bool:
        return any(field.null for field in _fields(model, self.path))


def _fields(model: type[Model], path: str) -> list:
    """Return the model fields a lookup path goes through; annotations are none."""
    fields = []
    for name in path.split("__"):
        field = model._meta.get_field(name)
        fields.append(field)
        model = field.related_model
    return fields


def _field(model: type[Model], path: str):
    try:
        field = _fields(model, path)[-1]
    except FieldDoesNotExist as error:
        raise ValueError(f"{path} is not a field to order by") from error
    return field.target_field if field.is_relation else field


def fields_parameter(view) -> dict:
    """Return what the schema says about ``fields``."""
    names = [column.name for column in view.columns]
    schema = {"type": "array", "items": {"type": "string", "enum": names}}
    about = "Only these fields, in this order, separated by commas."
    return _parameter("fields", schema, about) | {"explode": False, "style": "form"}


def some_fields(rows: dict) -> dict:
    """Return the schema of a list whose rows may have only the fields asked for."""
    part = {"type": "object", "description": "With `fields`: only those."}
    if not isinstance(rows, dict):  # spectacular looks where an example goes
        return rows
    return rows | {"items": {"anyOf": [rows["items"], part]}}


def _parameter(name: str, schema: dict, description: str) -> dict:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}
