"""The rows of a list as text, made where they lie: what a page, a file and a map show of a row is written here, once.

``Stored`` rows come from a queryset: PostgreSQL writes each of them as a line (``COPY … TO STDOUT``, which heeds row
policies) and Python only passes them on. ``Counted`` rows are Python's own, for the few that are not stored as rows.
Both give the same three things: lines of CSV, objects of JSON, features of GeoJSON.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import F, Model, QuerySet
from rest_framework.utils.encoders import JSONEncoder

from coalition.access import Actor
from coalition.columns import Area, Column, Columns, Kind, Point

PREFIX = "c_"  # before a column's name inside the query: a model field may have the same name
ORDER = "order_key"
UNIT_SEPARATOR = "\x1f"
PIECE_BYTES = 64 * 1024  # a file goes out in pieces of about this size
# How many of a page's tables the planner may put in another order: the rows and what filters them come first. To try all
# orders of the tables that only give words takes longer than to read the page.
TABLES_TO_ORDER = 4

# Source: OWASP, "CSV Injection". The last four are the full-width = + - @.
FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
CONTROL_STARTS = ("\t", "\r", "\n")
A_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)
BLANKS = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    chr(code) for code in range(0x2000, 0x200B)
)
# An apostrophe that was there before is one more, so that whoever takes one away has the text as it was given.
SUSPECTS = ", ".join(str(ord(each)) for each in ("'", *FORMULA_STARTS, *BLANKS))
FORMULA_SQL = (
    "^''*(?:[" + "".join(f"\\u{ord(each):04x}" for each in BLANKS) + "]*"
    "[" + "".join(f"\\u{ord(each):04x}" for each in FORMULA_STARTS) + "]|[\\t\\r\\n])"
)
NUMBER_SQL = "^''*[+-]?[0-9]+([.][0-9]+)?$"


class Rows(Protocol):
    """Rows to write into a file. ``columns`` are those asked for, ``place`` what says where a row lies."""

    columns: tuple[Column, ...]
    place: Point | Area | None

    def csv_lines(self, *, for_people: bool) -> Iterator[bytes]:
        """Yield lines of CSV, some whole ones at a time.

        For people's spreadsheets text like a formula gets an apostrophe, and lists are joined by semicolons. For
        programs text is as it was given, lists are joined by UNIT_SEPARATOR, and the columns of ``place`` follow.
        """
        ...

    def json_lines(self) -> Iterator[bytes]:
        """Yield JSON objects with a line feed after each, some at a time."""
        ...

    def features(self) -> Iterator[bytes]:
        """Yield GeoJSON features with a line feed after each, some at a time. Source: RFC 7946."""
        ...


class Placed(NamedTuple):
    """A row as JSON text, the value it is ordered by (None without an order), and its primary key."""

    text: str
    order: Any
    pk: Any


# --- Rows of the database ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Stored:
    """Rows of a queryset, as an actor sees them. Read within ``acting_as``. ``key`` is the field that is their id."""

    queryset: QuerySet
    columns: tuple[Column, ...]
    actor: Actor
    place: Point | Area | None = None
    placed_by: tuple[Column, ...] = ()
    key: str = "pk"
    tables: tuple[str, ...] = ()
    tell: Callable[[int], None] = lambda written: None

    @classmethod
    def of(
        cls, queryset: QuerySet, columns: Columns, actor: Actor, fields: Sequence[str] = (), key: str = "pk"
    ) -> "Stored":
        """Return the rows with the columns this actor may see, or with those of them named in ``fields``."""
        seen = columns.seen_by(actor)
        asked = tuple(columns[name] for name in fields) or seen
        placed_by = tuple(columns[name] for name in columns.place.columns) if columns.place else ()
        return cls(each_once(queryset), asked, actor, columns.place, placed_by, key, columns.tables)

    def csv_lines(self, *, for_people: bool) -> Iterator[bytes]:
        columns = self.columns if for_people else (*self.columns, *self.placed_by)
        cells = [cell(column, for_people=for_people) for column in columns]
        if for_people and len(cells) == 1:
            cells = [f"coalesce({cells[0]}::text, '')"]  # an empty line would be no row
        return self._copied(f"SELECT {', '.join(cells)} FROM", "")

    def json_lines(self) -> Iterator[bytes]:
        return self._copied(f"SELECT row_to_json(o) FROM (SELECT {self._members(self.columns)} FROM", ") AS o", RAW)

    def features(self) -> Iterator[bytes]:
        return self._copied(f"SELECT {self._feature()} FROM", "", RAW)

    def objects(self, limit: int) -> list["Placed"]:
        """Return up to ``limit`` rows as JSON objects."""
        return self._fetched(f"(SELECT row_to_json(o) FROM (SELECT {self._members(self.columns)}) AS o)", limit)

    def feature_objects(self, limit: int) -> list["Placed"]:
        """Return up to ``limit`` rows as GeoJSON features."""
        return self._fetched(self._feature(), limit)

    def estimate(self) -> int:
        """Return about how many rows there are, as the planner of the database believes."""
        try:
            sql, params = self._query()
        except EmptyResultSet:
            return 0
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
            [[plan]] = cursor.fetchone()
        return (json.loads(plan) if isinstance(plan, str) else plan)["Plan"]["Plan Rows"]

    def has_more_than(self, limit: int) -> bool:
        """Return whether there are more rows than so many, looking at no more than that."""
        return self.queryset.order_by()[: limit + 1].count() > limit

    def _feature(self) -> str:
        hidden = self.place.columns if isinstance(self.place, Area) else ()
        properties = [column for column in self.columns if column.name not in hidden]
        members = self._members(properties) if properties else "NULL AS nothing"
        return (
            f"json_build_object('type', 'Feature', 'id', {quoted('key')}, 'geometry', {self._geometry()},"
            f" 'properties', (SELECT row_to_json(o) FROM (SELECT {members}) AS o))"
        )

    def _geometry(self) -> str:
        match self.place:
            case Point(longitude, latitude):
                lon, lat = quoted(longitude), quoted(latitude)
                return (
                    f"CASE WHEN {lon} IS NOT NULL AND {lat} IS NOT NULL THEN"
                    f" json_build_object('type', 'Point', 'coordinates', json_build_array({lon}, {lat})) END"
                )
            case Area(polygon):
                return f"{quoted(polygon)}::json"
        return "NULL::json"

    def _members(self, columns: Iterable[Column]) -> str:
        return ", ".join(f'{member(column)} AS "{column.name}"' for column in columns)

    def _query(self, limit: int | None = None) -> tuple[str, tuple]:
        """Return the SQL of the rows and its parameters. Raises EmptyResultSet where there can be no row."""
        wanted = {column.name: column for column in (*self.columns, *self.placed_by)}
        named = {PREFIX + name: column.expression(self.actor) for name, column in wanted.items()}
        named |= {f"{PREFIX}pk": F("pk"), f"{PREFIX}key": F(self.key)}
        have = [name for name in (ORDER,) if name in self.queryset.query.annotations]
        rows = self.queryset.select_related(None).prefetch_related(None).annotate(**named).values_list(*named, *have)
        return rows[:limit].query.sql_with_params() if limit else rows.query.sql_with_params()

    def _fetched(self, made: str, limit: int) -> list["Placed"]:
        try:
            sql, params = self._query(limit)
        except EmptyResultSet:
            return []
        order = f'"{ORDER}"' if ORDER in self.queryset.query.annotations else "NULL"
        with connection.cursor() as cursor:
            cursor.execute(
                f"SET LOCAL join_collapse_limit = {TABLES_TO_ORDER};"
                f" SELECT {made}::text, {order}, {quoted('pk')} FROM ({sql}) AS r;"
                " SET LOCAL join_collapse_limit TO DEFAULT",  # in one message: no waiting in between
                params,
            )
            cursor.nextset()
            return [Placed(*row) for row in cursor.fetchall()]

    def _copied(self, before: str, after: str, options: str = "FORMAT csv") -> Iterator[bytes]:
        try:
            sql, params = self._query()
        except EmptyResultSet:
            return
        with connection.cursor() as cursor:
            if self.queryset.query.order_by in (("pk",), ("-pk",)):
                # The rows lie in this order; to sort a million of them would only delay the first.
                cursor.execute("SET LOCAL enable_sort = off")
            statement = cursor.mogrify(f"COPY ({before} ({sql}) AS r {after}) TO STDOUT ({options})", params)
            with cursor.copy(statement) as lines:
                some, size = [], 0
                for line in lines:
                    some.append(line)
                    size += len(line)
                    if size >= PIECE_BYTES:
                        self.tell(len(some))
                        yield b"".join(some)
                        some, size = [], 0
                self.tell(len(some))
                yield b"".join(some)


# JSON has no bare control character, so with these as quote and delimiter COPY changes nothing in it.
RAW = "FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02'"


def quoted(name: str) -> str:
    return f'"{PREFIX}{name}"'


def instant(name: str) -> str:
    return f"replace(({name} AT TIME ZONE 'UTC')::text, ' ', 'T') || 'Z'"


def disarmed_sql(text: str) -> str:
    """Return the SQL of ``safe_cell``. Most text is let by at a look at its first character."""
    return (
        f"CASE WHEN ascii({text}) IN ({SUSPECTS}) AND {text} ~ '{FORMULA_SQL}' AND {text} !~ '{NUMBER_SQL}'"
        f" THEN '''' || {text} ELSE {text} END"
    )


def cell(column: Column, *, for_people: bool) -> str:
    """Return the SQL of a column as one cell of a table."""
    name = quoted(column.name)
    match column.kind:
        case Kind.TEXT:
            return disarmed_sql(name) if for_people else name
        case Kind.DECIMAL:
            return f"trim_scale({name})"
        case Kind.BOOLEAN | Kind.OBJECT:
            return f"{name}::text"
        case Kind.INSTANT:
            return instant(name)
        case Kind.INTEGERS | Kind.TEXTS if not for_people:
            return f"array_to_string({name}, chr({ord(UNIT_SEPARATOR)}))"
        case Kind.INTEGERS:
            return f"array_to_string({name}, '; ')"
        case Kind.TEXTS:
            return disarmed_sql(f"array_to_string({name}, '; ')")
    return name


def member(column: Column) -> str:
    """Return the SQL of a column as a member of a JSON object."""
    name = quoted(column.name)
    match column.kind:
        case Kind.DECIMAL:
            return f"trim_scale({name})"
        case Kind.INSTANT:
            return instant(name)
        case Kind.INTEGERS | Kind.TEXTS:
            return f"coalesce({name}, '{{}}')"
    return name


def each_once(rows: QuerySet[Model]) -> QuerySet[Model]:
    """Return the rows without DISTINCT, which would sort a million of them, where no row can come twice.

    Filters with several choices ask for DISTINCT; only a join to many rows makes it needed.
    """
    if not rows.query.distinct:
        return rows
    joins = [join.join_field for join in rows.query.alias_map.values() if getattr(join, "join_field", None)]
    if any(join.one_to_many or join.many_to_many for join in joins):
        return rows
    rows = rows.all()
    rows.query.distinct = False
    return rows


# --- Rows that Python counted -----------------------------------------------------------------------


@dataclass(frozen=True)
class Counted:
    """Rows that are no rows of a table but answers, as dicts by column. They have no place."""

    rows: Sequence[Mapping[str, Any]]
    columns: tuple[Column, ...]
    place: None = None

    def csv_lines(self, *, for_people: bool) -> Iterator[bytes]:
        joint = "; " if for_people else UNIT_SEPARATOR
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        for row in self.rows:
            cells = [flat(row[column.name], joint) for column in self.columns]
            writer.writerow([safe_cell(each) for each in cells] if for_people else cells)
        yield out.getvalue().encode()

    def json_lines(self) -> Iterator[bytes]:
        for row in self._objects():
            yield as_json(row) + b"\n"

    def features(self) -> Iterator[bytes]:
        for row in self._objects():
            yield as_json({"type": "Feature", "geometry": None, "properties": row}) + b"\n"

    def _objects(self) -> Iterator[dict[str, Any]]:
        for row in self.rows:
            yield {column.name: row[column.name] for column in self.columns}


def as_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, cls=JSONEncoder, separators=(",", ":")).encode()


def safe_cell(value: Any) -> Any:
    """Return a value that no spreadsheet runs as a formula. Numbers, and text that is one, stay as they are.

    Source: OWASP, "CSV Injection".
    """
    return f"'{value}" if isinstance(value, str) and is_like_a_formula(value.lstrip("'")) else value


def as_given(text: str) -> str:
    """Return what ``safe_cell`` was given: without the apostrophe that it put in front."""
    return text[1:] if text.startswith("'") and is_like_a_formula(text.lstrip("'")) else text


def is_like_a_formula(text: str) -> bool:
    if A_NUMBER.fullmatch(text):
        return False
    return text.startswith(CONTROL_STARTS) or text.lstrip(BLANKS).startswith(FORMULA_STARTS)


def flat(value: Any, joint: str = "; ") -> Any:
    """Return a value as one cell: lists joined, objects as JSON. Null stays null."""
    match value:
        case bool():
            return "true" if value else "false"
        case Decimal():
            return f"{value.normalize():f}"
        case list() | tuple() if all(not isinstance(item, dict | list) for item in value):
            return joint.join(str(item) for item in value)
        case dict() | list() | tuple():
            return json.dumps(value, ensure_ascii=False, default=str)
    return value
