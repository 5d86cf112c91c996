"""What a row of a resource is made of, said once: pages of JSON, files, maps and the description of the API follow it.

A list resource declares its columns, in the order a table shows them::

    REPORTS = Columns(
        Report,
        "id",                                                  # a field of the model: kind and words are the field's
        Column("sector", "sector__code", hxl="#adm+sector"),   # a path of the ORM, null where the way ends
        Column("tier", word_of("tier", Tier), choices=TIERS),  # an expression
        Column("longitude", place_seen("longitude"), kind=Kind.NUMBER),  # a function of who reads, of an expression
        place=Point("longitude", "latitude"),
    )

Values come out of the database as text (``coalition.rows``), so that a number is the same in every format.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models import Case, CharField, Expression, F, IntegerChoices, Model, Value, When
from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from coalition.access import Actor, Tier

Source = str | Expression | F | Callable[[Actor], Any]


class Kind(StrEnum):
    """What a column's values are, and so how they are written in each format."""

    TEXT = "text"  # typed in by people: disarmed where a spreadsheet might run it
    WORD = "word"  # from a vocabulary or made by us: harmless
    INTEGER = "integer"
    DECIMAL = "decimal"  # exact, without trailing zeros
    NUMBER = "number"  # double precision
    BOOLEAN = "boolean"
    DAY = "day"  # ISO 8601
    INSTANT = "instant"  # ISO 8601, UTC, six decimals, Z
    TEXTS = "texts"  # in a table: joined by semicolons
    INTEGERS = "integers"
    OBJECT = "object"  # JSON; in a table its text


@dataclass(frozen=True)
class Column:
    """One column. ``source``: a path of the ORM, an expression, or a function that gives one for who reads.

    ``kind``, ``choices``, ``about`` and ``nullable`` are the model field's where it is not said otherwise; ``hxl`` is
    its tag, such as ``#date+occurred``. Columns ``planning_only`` are absent below that tier.
    """

    name: str
    source: Source = ""
    kind: Kind | None = None
    hxl: str = ""
    about: str = ""
    choices: tuple[tuple[Any, str], ...] | list | None = None
    nullable: bool | None = None
    may_be_blank: bool = False
    planning_only: bool = False
    example: Any = None
    schema: dict[str, Any] | None = field(default=None, hash=False)

    def expression(self, actor: Actor) -> Any:
        """Return what the database is asked for when this actor reads."""
        source = self.source(actor) if callable(self.source) else self.source
        return F(source) if isinstance(source, str) else source


@dataclass(frozen=True)
class Point:
    """A place in two columns: degrees, WGS 84."""

    longitude: str
    latitude: str

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.longitude, self.latitude)


@dataclass(frozen=True)
class Area:
    """A place in one column: a GeoJSON polygon, WGS 84. It is no property of a feature, but its geometry."""

    polygon: str

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.polygon,)


class Columns:
    """The columns of one resource, in order. ``place`` names those that say where a row lies."""

    def __init__(self, model: type[Model], *columns: str | Column, place: Point | Area | None = None, name: str = ""):
        self.model, self.place = model, place
        self.all = tuple(completed(model, Column(each) if isinstance(each, str) else each) for each in columns)
        self._by_name = {column.name: column for column in self.all}
        paths = [column.source for column in self.all if isinstance(column.source, str)]
        self.tables = tuple(sorted({model._meta.db_table}.union(*(_tables_on(model, path) for path in paths))))
        self.serializer = described(name or model.__name__, self.all)

    def __iter__(self):
        return iter(self.all)

    def __getitem__(self, name: str) -> Column:
        return self._by_name[name]

    def seen_by(self, actor: Actor) -> tuple[Column, ...]:
        """Return the columns there are for this actor."""
        return tuple(column for column in self.all if actor.tier >= Tier.PLANNING or not column.planning_only)


def described(name: str, columns: Iterable[Column]) -> type[serializers.Serializer]:
    """Return a serializer with a field and an example for each column. It describes; nothing is written with it."""
    columns = tuple(columns)
    members: dict[str, Any] = {column.name: field_of(column) for column in columns}
    members["planning_only"] = tuple(column.name for column in columns if column.planning_only)
    example = OpenApiExample(name, value={column.name: example_of(column) for column in columns}, response_only=True)
    return extend_schema_serializer(examples=[example])(type(f"{name}Serializer", (serializers.Serializer,), members))


# --- What a model field says of a column ------------------------------------------------------------

KINDS: dict[type[models.Field], Kind] = {
    models.BooleanField: Kind.BOOLEAN,
    models.DateTimeField: Kind.INSTANT,
    models.DateField: Kind.DAY,
    models.DecimalField: Kind.DECIMAL,
    models.FloatField: Kind.NUMBER,
    models.IntegerField: Kind.INTEGER,
    models.UUIDField: Kind.WORD,
    models.JSONField: Kind.OBJECT,
    models.CharField: Kind.TEXT,
    models.TextField: Kind.TEXT,
}
EXAMPLES = {
    Kind.TEXT: "Text",
    Kind.WORD: "word",
    Kind.INTEGER: 1,
    Kind.DECIMAL: 650.5,
    Kind.NUMBER: 0.5,
    Kind.BOOLEAN: False,
    Kind.DAY: "2026-11-22",
    Kind.INSTANT: "2026-11-22T15:30:00.000000Z",
    Kind.TEXTS: ["Text"],
    Kind.INTEGERS: [1, 2],
    Kind.OBJECT: {},
}


def completed(model: type[Model], column: Column) -> Column:
    """Return the column with what the model field at its path says. Raises TypeError when nothing says its kind."""
    source = column.source or column.name
    found = _field_at(model, source) if isinstance(source, str) else None
    if found is None:
        if column.kind is None and not column.choices:
            raise TypeError(f"{model.__name__}: say which kind of column {column.name} is.")
        return replace(column, source=source, kind=column.kind or Kind.WORD, nullable=bool(column.nullable))
    last, nullable = found
    choices = column.choices or last.choices
    target = last.target_field if last.is_relation else last
    kind = column.kind or (Kind.WORD if choices and isinstance(target, models.CharField) else _kind_of(target))
    return replace(
        column,
        source=source,
        kind=kind,
        choices=tuple(choices) if choices else None,
        about=column.about or str(last.help_text or ""),
        nullable=nullable if column.nullable is None else column.nullable,
        may_be_blank=last.blank,
    )


def _field_at(model: type[Model], path: str) -> tuple[models.Field, bool] | None:
    """Return the last field of a path and whether its value may be null; None for an annotation."""
    nullable, last = False, None
    for name in path.split("__"):
        try:
            last = model._meta.get_field(name)
        except (AttributeError, FieldDoesNotExist):  # an annotation, or something within a field
            return None
        nullable = nullable or last.null
        model = last.related_model
    return last, nullable


def _tables_on(model: type[Model], path: str) -> set[str]:
    """Return the tables that a path leads into."""
    tables = set()
    for name in path.split("__")[:-1]:
        model = model._meta.get_field(name).related_model
        tables.add(model._meta.db_table)
    return tables


def _kind_of(target: models.Field) -> Kind:
    if isinstance(target, ArrayField):
        return Kind.INTEGERS if isinstance(target.base_field, models.IntegerField) else Kind.TEXTS
    return next(kind for base, kind in KINDS.items() if isinstance(target, base))


# --- What a column says to the schema ---------------------------------------------------------------


def field_of(column: Column) -> serializers.Field:
    """Return the serializer field that describes the column."""
    about: dict[str, Any] = {"allow_null": bool(column.nullable), "help_text": column.about, "read_only": True}
    if column.schema is not None:
        made = serializers.JSONField(**about)
        return extend_schema_field(column.schema)(made)
    if column.choices:
        blank = column.may_be_blank and column.kind is Kind.WORD
        return serializers.ChoiceField(choices=list(column.choices), allow_blank=blank, **about)
    match column.kind:
        case Kind.INTEGER:
            return serializers.IntegerField(**about)
        case Kind.DECIMAL:
            return serializers.DecimalField(max_digits=None, decimal_places=2, **about)
        case Kind.NUMBER:
            return serializers.FloatField(**about)
        case Kind.BOOLEAN:
            return serializers.BooleanField(**about)
        case Kind.DAY:
            return serializers.DateField(**about)
        case Kind.INSTANT:
            return serializers.DateTimeField(**about)
        case Kind.TEXTS:
            return serializers.ListField(child=serializers.CharField(), **about)
        case Kind.INTEGERS:
            return serializers.ListField(child=serializers.IntegerField(), **about)
        case Kind.OBJECT:
            return serializers.JSONField(**about)
    return serializers.CharField(**about)


def columns_of(serializer: serializers.Serializer) -> tuple[Column, ...]:
    """Return the columns of rows that a serializer made, for answers that are counted and not stored."""
    kinds = [
        (serializers.IntegerField, Kind.INTEGER),
        (serializers.DecimalField, Kind.DECIMAL),
        (serializers.FloatField, Kind.NUMBER),
        (serializers.BooleanField, Kind.BOOLEAN),
        (serializers.DateField, Kind.DAY),
        (serializers.ChoiceField, Kind.WORD),
    ]
    return tuple(
        Column(name, name, next((kind for base, kind in kinds if isinstance(field, base)), Kind.TEXT))
        for name, field in serializer.fields.items()
    )


def example_of(column: Column) -> Any:
    """Return a value such as the column may hold."""
    if column.example is not None:
        return column.example
    if column.choices:
        return column.choices[0][0]
    return EXAMPLES[column.kind]


# --- Expressions that many columns need -------------------------------------------------------------


def word_of(path: str, choices: type[IntegerChoices]) -> Case:
    """Return the word for a number at a path, such as ``coalition`` for a tier."""
    return Case(
        *(When(**{path: choice.value}, then=Value(choice.label)) for choice in choices), output_field=CharField()
    )
