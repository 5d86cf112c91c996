"""Which column of a file is which field, and what do its cells say?

A person sees ``suggest``'s mapping, corrects it, and it is kept for the next file with the same header.
``apply`` turns one row into values, or says in words what is wrong with it. Text that looks like a formula
stays text; it is disarmed where it goes out.
"""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from collections.abc import Mapping as MappingOf
from dataclasses import asdict, dataclass, field
from dataclasses import fields as fields_of
from functools import cache
from typing import Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from coalition.imports import cells
from coalition.imports.cells import DateOrder, Unclear
from coalition.imports.sandbox import Row

Kind = Literal["text", "integer", "decimal", "quantity", "day", "instant", "boolean", "choice", "country"]
SHOWN = 80  # characters of a bad value that a problem repeats


@dataclass(frozen=True)
class Field:
    """Something a row can say about the thing that is imported.

    ``synonyms`` are other names that files use for it, the likeliest first, HXL tags among them
    ("#date+start"). ``read`` replaces the reader of the kind: it takes the text and returns a value, or
    raises Unclear.
    """

    name: str
    label: str
    kind: Kind = "text"
    required: bool = False
    help: str = ""
    synonyms: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    choices: tuple[tuple[str, str], ...] = ()  # code, label
    max_length: int | None = None  # characters, of text
    low: int | None = None  # smallest number, for integer and decimal
    high: int | None = None
    read: Callable[[str], Any] | None = None


@dataclass(frozen=True)
class Mapping:
    """How a file's columns become fields. Columns that are in no mapping are left out, which is no mistake.

    ``columns``: column of the file → name of the field. ``constants``: field → the text that every row has,
    where the file has no column for it (or where its column is not to be believed). ``words``: field → the
    file's own word → the text that is read in its place ("naval" → "maritime"), whatever its case.
    """

    columns: dict[str, str] = field(default_factory=dict)
    constants: dict[str, str] = field(default_factory=dict)
    words: dict[str, dict[str, str]] = field(default_factory=dict)
    date_order: DateOrder = ""
    decimal_comma: bool = False
    time_zone: str = "UTC"  # of the source's local times, an IANA name

    def to_json(self) -> dict[str, Any]:
        """Return the mapping for a JSON field."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> "Mapping":
        """Return the mapping that was kept. Raises ValueError with a sentence for anything else."""
        if isinstance(data, str):
            data = json.loads(data)
        if not isinstance(data, dict) or not data.keys() <= {each.name for each in fields_of(cls)}:
            raise ValueError("This is not a mapping of columns.")
        mapping = cls(**data)
        flat = (mapping.columns, mapping.constants)
        nested = mapping.words if isinstance(mapping.words, dict) else {"": None}
        if not all(_is_text_to_text(each) for each in (*flat, *nested.values())):
            raise ValueError("A mapping names columns, fields and words as text.")
        if mapping.date_order not in ("", "dmy", "mdy") or not isinstance(mapping.decimal_comma, bool):
            raise ValueError("The mapping's date order is dmy or mdy, its decimal comma yes or no.")
        if not isinstance(mapping.time_zone, str) or mapping.time_zone not in _time_zones():
            raise ValueError("The mapping's time zone is not one such as Europe/Kyiv.")
        return mapping


@cache
def _time_zones() -> set[str]:
    return available_timezones()


def _is_text_to_text(thing: object) -> bool:
    return isinstance(thing, dict) and all(isinstance(k, str) and isinstance(v, str) for k, v in thing.items())


@dataclass(frozen=True)
class Problem:
    """Why a row was rejected, as a sentence. The column is empty when it is about the whole row."""

    row: int
    column: str
    value: str  # shortened, with control characters written out
    reason: str

    def __str__(self) -> str:
        where = f", column {self.column}" if self.column else ""
        return f"Row {self.row}{where}: {self.reason}"


def fingerprint(header: Sequence[str]) -> str:
    """Return what two headers have in common whose columns have the same names in the same order.

    A saved mapping is found again by it.
    """
    return hashlib.sha256("\n".join(map(cells.folded, header)).encode()).hexdigest()[:32]


def suggest(header: Sequence[str], fields: Sequence[Field], *, hxl: Sequence[str] = ()) -> Mapping:
    """Return a mapping of the columns whose names are known: by field name, label, synonym or HXL tag.

    A column gets one field and a field one column; the better match goes first, then the order of the
    fields. Names that are merely similar are left for the person.
    """
    matches = []
    for place, each in enumerate(fields):
        names = [each.name, each.label, *each.synonyms]
        for rank, name in enumerate(names):
            for index, column in enumerate(header):
                tag = hxl[index] if index < len(hxl) else ""
                if _same_name(name, column) or (name.startswith("#") and _tag(name) == _tag(tag)):
                    matches.append((min(rank, 2), place, rank, index))
    columns: dict[str, str] = {}
    for _, place, _, index in sorted(matches):
        if header[index] not in columns and fields[place].name not in columns.values():
            columns[header[index]] = fields[place].name
    return Mapping(columns={column: columns[column] for column in header if column in columns})


def _same_name(name: str, column: str) -> bool:
    if name.startswith("#"):
        return False
    without_unit = re.sub(r"[(\[].*?[)\]]", "", column)  # "Quantity (persons)"
    squeezed = cells.folded(name).replace(" ", "")
    return squeezed in {cells.folded(text).replace(" ", "") for text in (column, without_unit)} - {""}


def _tag(text: str) -> frozenset[str]:
    """Return an HXL tag and its attributes, whose order means nothing."""
    return frozenset(re.sub(r"\s", "", text.lower()).split("+"))


def faults(mapping: Mapping, header: Sequence[str], fields: Sequence[Field]) -> list[str]:
    """Return what keeps the mapping from being used on a file with this header, as sentences."""
    known = {each.name: each for each in fields}
    found = [f"The file has no column called {column!r}." for column in mapping.columns if column not in header]
    named = [*mapping.columns.values(), *mapping.constants, *mapping.words]
    found += [f"There is no field called {name!r}." for name in dict.fromkeys(named) if name not in known]
    taken = list(mapping.columns.values())
    for name in dict.fromkeys(taken):
        if taken.count(name) > 1:
            columns = " and ".join(repr(column) for column, to in mapping.columns.items() if to == name)
            found.append(f"The columns {columns} are both mapped to {_label(known, name)}.")
    for each in fields:
        if each.required and each.name not in taken and not mapping.constants.get(each.name, "").strip():
            found.append(f"{each.label} is needed: choose its column, or one value for all rows.")
    for name, text in mapping.constants.items():
        if name in known:
            try:
                _read(text, known[name], mapping)
            except Unclear as unclear:
                found.append(f"{known[name].label}: {_quoted(text)} {unclear}")
    return found


def _label(known: MappingOf[str, Field], name: str) -> str:
    return known[name].label if name in known else repr(name)


def apply(row: Row, mapping: Mapping, fields: Sequence[Field]) -> tuple[dict[str, Any], list[Problem]]:
    """Return the row's values by field name, and what is wrong with it; with a problem, the values are not
    for use.

    Every field has a value: None where the row says nothing. A constant goes before a column. By kind the
    values are: text str (empty when it says nothing), integer int, decimal Decimal, quantity
    ``cells.Quantity``, day ``cells.Day``, instant ``cells.Instant``, boolean bool, choice its code, country
    alpha-2.
    """
    if row.problem:
        return {}, [Problem(row.number, "", "", row.problem)]
    column_of = {name: column for column, name in mapping.columns.items()}
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for each in fields:
        column = "" if each.name in mapping.constants else column_of.get(each.name, "")
        text = row.cells.get(column, "") if column else mapping.constants.get(each.name, "")
        try:
            values[each.name] = _read(text, each, mapping)
        except Unclear as unclear:
            shown = column or each.label
            problems.append(Problem(row.number, shown, _shown(text), f"{_quoted(text)} {unclear}"))
    return values, problems


def _read(text: str, each: Field, mapping: Mapping) -> Any:
    cells.check(text)
    text = text.strip()
    text = _other_words(each.name, mapping).get(text.casefold(), text)
    if not text:
        if each.required:
            raise Unclear("is empty, and is needed.")
        return "" if each.kind == "text" and not each.read else None
    if each.read:
        return each.read(text)
    match each.kind:
        case "integer":
            return _within(cells.read_integer(text, decimal_comma=mapping.decimal_comma), each)
        case "decimal":
            return _within(cells.read_decimal(text, decimal_comma=mapping.decimal_comma), each)
        case "quantity":
            return cells.read_quantity(text, decimal_comma=mapping.decimal_comma)
        case "day":
            return cells.read_day(text, order=mapping.date_order)
        case "instant":
            return cells.read_instant(text, zone=ZoneInfo(mapping.time_zone), order=mapping.date_order)
        case "boolean":
            return cells.read_boolean(text)
        case "choice":
            return cells.read_choice(text, each.choices)
        case "country":
            return cells.read_country(text)
    if each.max_length and len(text) > each.max_length:
        raise Unclear(f"has {len(text):,} characters; at most {each.max_length:,} are kept.")
    return text


def _other_words(name: str, mapping: Mapping) -> dict[str, str]:
    return {word.strip().casefold(): other for word, other in mapping.words.get(name, {}).items()}


def _within(number: Any, each: Field) -> Any:
    if each.low is not None and number < each.low:
        raise Unclear(f"is below {each.low:,}.")
    if each.high is not None and number > each.high:
        raise Unclear(f"is above {each.high:,}.")
    return number


def _quoted(text: str) -> str:
    return f"“{_shown(text)}”" if text.strip() else "It"


def _shown(text: str) -> str:
    """Return the text for people: short, on one line, control characters written out."""
    short = text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in short)
