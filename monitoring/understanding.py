"""What do the rows of a file say, as reports? Worked out column by column, some ten thousand rows at a time.

A layout names, for each thing a report holds, the fields it stands in and the reader that understands their text
(``Read``). A reader is asked once for each different text, not once for each row; what differs in nearly every row
(coordinates, instants, long text) has a lane of its own that reads whole columns and leaves to the reader what it is
not sure of. Both lanes give the same answer.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from coalition.access import Tier
from coalition.imports import cells
from coalition.imports.cells import DateOrder, Unclear, folded
from coalition.imports.mapping import Problem
from monitoring import places, statements
from monitoring.kinds import Kind
from monitoring.models import HALF_THE_EARTH_M, Report, TimePrecision
from monitoring.placing import Areas
from monitoring.statements import When

INSTANT = pa.timestamp("us", "UTC")
MOST_REMEMBERED = 20_000  # different texts of one reader
SHOWN = 80  # characters of a bad value that a problem repeats
EPOCH = date(1970, 1, 1)
END_OF_TIME = datetime.max.replace(tzinfo=UTC)

# What a report takes from a file, in the order of the staging table: column of Report and its Arrow type.
DRAFT: dict[str, pa.DataType] = {
    "reference": pa.string(),
    "source_id": pa.int64(),  # null: the layout's own source
    "occurred_from": INSTANT,
    "occurred_until": INSTANT,
    "occurred_on": pa.date32(),
    "time_precision": pa.string(),
    "filed_at": INSTANT,  # null: now
    "kind": pa.string(),
    "weapon": pa.string(),
    "count_text": pa.string(),
    "count_low": pa.int32(),
    "count_high": pa.int32(),
    "count_unit": pa.string(),
    "means": pa.string(),
    "reliability": pa.string(),  # null: the source's usual one
    "credibility": pa.int16(),
    "accuser_id": pa.int64(),
    "accused_id": pa.int64(),
    "facility_class": pa.string(),
    "killed": pa.int32(),
    "injured": pa.int32(),
    "narrative": pa.string(),
    "source_url": pa.string(),
    "tier": pa.int16(),
    "illustrative": pa.bool_(),
    "place_name": pa.string(),
    "longitude": pa.float64(),
    "latitude": pa.float64(),
    "place_precision_m": pa.float64(),
    "sensitive": pa.bool_(),
}
LONGEST = {
    name: Report._meta.get_field(name).max_length
    for name in ("reference", "weapon", "narrative", "source_url", "place_name")
} | {"external_id": 200}


class Wrong(Unclear):
    """A reader that looks at several fields says which of them it cannot understand."""

    def __init__(self, field: str, reason: str):
        super().__init__(reason)
        self.field = field


@dataclass(frozen=True)
class Spot:
    """A place as a reader of a layout found it: name, degrees or None, and how exact in metres."""

    name: str = ""
    longitude: float | None = None
    latitude: float | None = None
    precision_m: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Read:
    """One thing that a report holds: the fields of the layout it stands in, and the reader of their text.

    The reader gets ``Knowing``, then the text of each field, outer blanks taken off. Without a reader the first field's
    text is kept as it stands.
    """

    fields: tuple[str, ...]
    reader: Callable[..., Any] | None = None


@dataclass(frozen=True)
class Knowing:
    """What readers need to know: how the file writes, and what is kept here under which words (all keys folded)."""

    zone: ZoneInfo
    order: DateOrder = ""
    decimal_comma: bool = False
    sources: Mapping[str, int] = field(default_factory=dict)
    parties: Mapping[str, int] = field(default_factory=dict)
    find_place: Callable[[str], Spot | None] = lambda name: None
    tier: int = Tier.COALITION  # of a row that names none
    illustrative: bool = False
    now: datetime = END_OF_TIME
    first_agreed_on: date | None = None  # when the first agreement that is kept here began
    areas: Areas = field(default_factory=Areas)

    def party(self, text: str) -> int | None:
        """Return the party a cell names; None when it is empty. Raises Unclear."""
        if text.casefold() in statements.NOT_KNOWN:
            return None
        return self._among(text, self.parties, "party")

    def party_named(self, names: Iterable[str]) -> int | None:
        """Return the party that is kept under one of these names, None when there is none."""
        return next((self.parties[folded(name)] for name in names if folded(name) in self.parties), None)

    def source(self, text: str) -> int | None:
        """Return the source a cell names; None when it is empty. Raises Unclear."""
        return self._among(text, self.sources, "source") if text else None

    def _among(self, text: str, known: Mapping[str, int], noun: str) -> int:
        found = known.get(folded(text))
        if found is None:
            raise Unclear(f"is no {noun} that is kept here: choose one for this word in the mapping.")
        return found


@dataclass
class Understood:
    """What a chunk of rows says: the columns of DRAFT and the columns of its places, by name, and two more.

    ``external_id``: text, empty where the row has none. ``problems``: why a row is rejected, by its place in the chunk;
    ``remarks``: what a person should know about a row that is not.
    """

    columns: dict[str, pa.Array]
    external_id: pa.Array
    problems: dict[int, list[tuple[str, str, str]]]  # field, text, reason
    remarks: dict[int, list[tuple[str, str, str]]]


# --- Different texts, once each -----------------------------------------------------------


@dataclass
class Answers:
    """What a reader says to the rows of a chunk: ``values`` of the different texts, ``which`` of them each row has."""

    values: list[Any]
    which: np.ndarray

    def column(self, kind: pa.DataType, of: Callable[[Any], Any] = lambda value: value) -> pa.Array:
        """Return one value for each row; ``of`` picks it from an answer, None where there is none."""
        picked = pa.array([None if value is None else of(value) for value in self.values], kind)
        return picked.take(pa.array(self.which))

    def rows_where(self, holds: Callable[[Any], bool]) -> list[tuple[int, Any]]:
        """Return place in the chunk and answer of each row whose answer is such."""
        wanted = np.array([value is not None and bool(holds(value)) for value in self.values], bool)
        places_ = np.flatnonzero(wanted[self.which]) if len(self.values) else []
        return [(int(place), self.values[self.which[place]]) for place in places_]


def combined(arrays: Sequence[pa.Array]) -> tuple[list[tuple[str, ...]], np.ndarray]:
    """Return the different combinations of texts in these columns, and which of them each row has."""
    which = np.zeros(len(arrays[0]), np.int64)
    parts: list[tuple[list[str], np.ndarray]] = []
    for array in arrays:
        encoded = array.dictionary_encode()
        words, indices = encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False)
        parts.append((words, indices))
        which = which * max(1, len(words)) + indices
    if len(parts) == 1:
        return [(word,) for word in parts[0][0]], which
    _, first, which = np.unique(which, return_index=True, return_inverse=True)
    return [tuple(words[indices[at]] for words, indices in parts) for at in first.tolist()], which


class Reader:
    """Understands the rows of one file, chunk by chunk, by a layout's reads."""

    def __init__(self, reads: Mapping[str, Read], knowing: Knowing):
        self.reads, self.knowing = reads, knowing
        self.remembered: dict[str, dict[tuple[str, ...], Any]] = {target: {} for target in reads}
        self.empty: pa.Array = pa.array([], pa.string())

    def understand(self, said: Mapping[str, pa.Array]) -> Understood:
        """Return what rows say, given their texts by field of the layout; a field that is not there is empty."""
        chunk = _Chunk(self, {name: pc.utf8_trim_whitespace(array) for name, array in said.items()})
        return chunk.understood()


class _Chunk:
    """One chunk while it is being understood."""

    def __init__(self, reader: Reader, said: Mapping[str, pa.Array]):
        self.reader, self.said, self.knowing = reader, said, reader.knowing
        self.size = len(next(iter(said.values())))
        self.problems: dict[int, list[tuple[str, str, str]]] = {}
        self.remarks: dict[int, list[tuple[str, str, str]]] = {}
        self.columns: dict[str, pa.Array] = {}

    # --- Fields

    def texts(self, name: str) -> pa.Array:
        """Return the texts of a field, empty ones where the file has no such column."""
        if name in self.said:
            return self.said[name]
        return pa.repeat(pa.scalar("", pa.string()), self.size)

    def has(self, target: str) -> bool:
        read = self.reader.reads.get(target)
        return read is not None and (not read.fields or any(name in self.said for name in read.fields))

    def refuse(self, row: int, name: str, reason: str) -> None:
        text = self.texts(name)[row].as_py() if name else ""
        self.problems.setdefault(row, []).append((name, text[:SHOWN], reason))

    def remark(self, row: int, name: str, reason: str) -> None:
        text = self.texts(name)[row].as_py() if name else ""
        self.remarks.setdefault(row, []).append((name, text[:SHOWN], reason))

    def ask(self, target: str, rows: np.ndarray | None = None) -> Answers:
        """Have a target's reader read every different text; a row it cannot read is refused, and answered by None.

        ``rows``: the places in the chunk to read; the answers are for those alone.
        """
        if not self.has(target):
            return Answers([None], np.zeros(self.size if rows is None else len(rows), np.int64))
        read = self.reader.reads[target]
        if not read.fields and read.reader:  # the same for every row
            return Answers([read.reader(self.knowing)], np.zeros(self.size if rows is None else len(rows), np.int64))
        arrays = [self.texts(name) for name in read.fields]
        if rows is not None:
            arrays = [array.take(pa.array(rows)) for array in arrays]
        texts, which = combined(arrays)
        memory = self.reader.remembered[target]
        if len(memory) > MOST_REMEMBERED:
            memory.clear()
        values: list[Any] = []
        wrong: dict[int, Unclear] = {}
        for place, words in enumerate(texts):
            if words not in memory:
                try:
                    memory[words] = read.reader(self.knowing, *words) if read.reader else words[0] or None
                except Unclear as unclear:
                    memory[words] = unclear.with_traceback(None)  # which would keep this chunk alive
            found = memory[words]
            if isinstance(found, Unclear):
                wrong[place] = found
                found = None
            values.append(found)
        if wrong:
            for at in np.flatnonzero(np.isin(which, list(wrong))).tolist():
                unclear = wrong[int(which[at])]
                row = at if rows is None else int(rows[at])
                name = unclear.field if isinstance(unclear, Wrong) else self._blamed(read, row)
                self.refuse(row, name, self._sentence(name, row, str(unclear)))
        return Answers(values, which)

    def _blamed(self, read: Read, row: int) -> str:
        named = [name for name in read.fields if name in self.said]
        filled = [name for name in named if self.texts(name)[row].as_py()]
        return (filled or named or [""])[0]

    def _sentence(self, name: str, row: int, reason: str) -> str:
        if not reason[:1].islower():
            return reason
        text = self.texts(name)[row].as_py() if name else ""
        return f"“{text[:SHOWN]}” {reason}" if text else f"It {reason}"

    # --- The whole

    def understood(self) -> Understood:
        when = self._when()
        kind = self.ask("kind").column(pa.string())
        self.columns["kind"] = pc.fill_null(kind, Kind.NOT_STATED.value)
        self._count()
        self._source()
        self._place()
        for name in ("reference", "weapon", "narrative", "source_url"):
            self.columns[name] = self._text(name)
        for name in ("means", "facility_class"):
            self.columns[name] = pc.fill_null(self.ask(name).column(pa.string()), "")
        for name in ("accuser", "accused"):
            self.columns[f"{name}_id"] = self.ask(name).column(pa.int64())
        for name in ("killed", "injured"):
            self.columns[name] = self.ask(name).column(pa.int32())
        credibility = self.ask("credibility").column(pa.int16())
        self.columns["credibility"] = pc.fill_null(credibility, Report.Credibility.CANNOT_BE_JUDGED)
        self.columns["tier"] = pc.fill_null(self.ask("tier").column(pa.int16()), int(self.knowing.tier))
        self.columns["illustrative"] = pa.repeat(pa.scalar(self.knowing.illustrative), self.size)
        self.columns |= when
        external_id = self._text("external_id")
        columns = {name: self.columns[name].cast(kind) for name, kind in DRAFT.items()} | self._placed()
        return Understood(columns, external_id, self.problems, self.remarks)

    def _text(self, target: str) -> pa.Array:
        """Return text as it stands, or as the target's reader puts it; too long is refused."""
        read = self.reader.reads.get(target)
        if read is None or not self.has(target):
            return pa.repeat(pa.scalar("", pa.string()), self.size)
        asked = read.reader is not None
        text = pc.fill_null(self.ask(target).column(pa.string()), "") if asked else self.texts(read.fields[0])
        most = LONGEST[target]
        too_long = pc.greater(pc.utf8_length(text), most)
        if pc.any(too_long).as_py():
            for row in pc.indices_nonzero(too_long).to_pylist():
                length = len(text[row].as_py())
                self.refuse(row, read.fields[0], f"It has {length:,} characters; at most {most:,} are kept.")
            text = pc.if_else(too_long, "", text)
        return text

    def _count(self) -> None:
        count = self.ask("count")
        self.columns["count_text"] = pc.fill_null(count.column(pa.string(), lambda c: c.text), "")
        self.columns["count_low"] = count.column(pa.int32(), lambda c: c.low)
        self.columns["count_high"] = count.column(pa.int32(), lambda c: c.high)
        if self.has("unit_as_kept"):
            self.columns["count_unit"] = pc.fill_null(self.ask("unit_as_kept").column(pa.string()), "")
            return
        named = self.ask("count_unit").column(pa.string())
        kinds = self.columns["kind"].dictionary_encode()
        of_kind = pa.array([statements.unit_of(kind) for kind in kinds.dictionary.to_pylist()], pa.string())
        unit = pc.coalesce(named, of_kind.take(kinds.indices))
        self.columns["count_unit"] = pc.if_else(pc.equal(self.columns["count_text"], ""), "", unit)

    def _source(self) -> None:
        self.columns["source_id"] = self.ask("source").column(pa.int64())
        self.columns["reliability"] = self.ask("reliability").column(pa.string())

    # --- Times

    def _when(self) -> dict[str, pa.Array]:
        """Return the columns of when it happened; a row without a time is refused."""
        read = self.reader.reads["when"]
        start, until, on, precision = self._instants(read)
        slow = np.flatnonzero(np.isnat(start))
        if len(slow):
            answers = self.ask("when", slow)
            start[slow] = _instants(answers, lambda when: when.at_from)
            until[slow] = _instants(answers, lambda when: when.at_until)
            days = [None if w is None else (w.on - EPOCH).days for w in answers.values]
            on[slow] = np.array([0 if day is None else day for day in days], np.int32)[answers.which]
            said = np.array(["" if w is None else w.precision for w in answers.values], dtype=object)
            precision[slow] = said[answers.which]
            for place, when in answers.rows_where(lambda when: bool(when.note)):
                self.remark(int(slow[place]), read.fields[0], when.note)
            empty = np.array([w is None for w in answers.values], bool)[answers.which]
            for row in slow[empty].tolist():
                if row not in self.problems:
                    self.refuse(row, read.fields[0], "It does not say when.")
        self._check_days(read, start, on)
        filed = self.ask("filed_at").column(INSTANT)
        late = pc.fill_null(pc.greater(filed, pa.scalar(self.knowing.now, INSTANT)), False)
        for row in pc.indices_nonzero(late).to_pylist():
            self.refuse(row, self.reader.reads["filed_at"].fields[0], "It would be filed at a time still to come.")
        return {
            "occurred_from": pa.array(start, INSTANT),
            "occurred_until": pa.array(until, INSTANT),
            "occurred_on": pa.array(on, pa.date32()),
            "time_precision": pa.array(precision, pa.string()),
            "filed_at": filed,
        }

    def _instants(self, read: Read) -> tuple[np.ndarray, ...]:
        """Read what is plainly an instant in UTC (2025-03-20T09:45Z), or two, as whole columns; the rest is NaT."""
        start, until = (np.full(self.size, "NaT", "datetime64[us]") for _ in range(2))
        on, precision = np.zeros(self.size, np.int32), np.full(self.size, TimePrecision.EXACT.value, object)
        if read.reader not in (read_when, read_from_until):
            return start, until, on, precision
        start = _plain_instants(self.texts(read.fields[0]))
        until = start.copy()
        for name in read.fields[1:]:
            text = self.texts(name)
            stated = ~pc.equal(text, "").to_numpy(zero_copy_only=False)
            if stated.any():
                until[stated] = _plain_instants(text)[stated]
        plain = ~np.isnat(start) & ~np.isnat(until) & (until >= start)
        start[~plain] = until[~plain] = np.datetime64("NaT")
        on[plain] = _local_days(start[plain], self.knowing.zone)
        precision[plain & (until > start)] = TimePrecision.SPAN.value
        return start, until, on, precision

    def _check_days(self, read: Read, start: np.ndarray, on: np.ndarray) -> None:
        now = np.datetime64(self.knowing.now.astimezone(UTC).replace(tzinfo=None), "us")
        for row in np.flatnonzero(start > now).tolist():
            day = (EPOCH + timedelta(days=int(on[row]))).isoformat()
            self.refuse(row, read.fields[0], f"{day} is still to come, so it cannot have been reported.")
        if self.knowing.first_agreed_on is not None:
            first = (self.knowing.first_agreed_on - EPOCH).days
            for row in np.flatnonzero(~np.isnat(start) & (on < first)).tolist():
                self.remark(row, read.fields[0], BEFORE)

    # --- Places

    def _place(self) -> None:
        """Set the columns of the place as stated."""
        nothing = np.full(self.size, np.nan)
        longitude, latitude, precision = nothing, nothing.copy(), nothing.copy()
        named = pa.repeat(pa.scalar("", pa.string()), self.size)
        if self.has("point"):
            longitude, latitude, precision = self._point()
        if self.has("place"):
            unknown = np.flatnonzero(np.isnan(longitude))
            answers = self.ask("place", unknown)
            for array, of in (
                (longitude, lambda spot: spot.longitude),
                (latitude, lambda spot: spot.latitude),
                (precision, lambda spot: spot.precision_m),
            ):
                array[unknown] = answers.column(pa.float64(), of).to_numpy(zero_copy_only=False)
            names = np.full(self.size, "", object)
            names[unknown] = (
                answers.column(pa.string(), lambda spot: spot.name).fill_null("").to_numpy(zero_copy_only=False)
            )
            named = pa.array(names, pa.string())
            for place, spot in answers.rows_where(lambda spot: bool(spot.note)):
                self.remark(int(unknown[place]), self.reader.reads["place"].fields[0], spot.note)
        own = self._text("place_name")
        self.columns["place_name"] = pc.if_else(pc.equal(own, ""), named, own)
        exactly = self.ask("precision").column(pa.float64()).to_numpy(zero_copy_only=False)
        precision = np.where(np.isnan(exactly), precision, exactly)
        bad = np.flatnonzero((precision < 0) | (precision > HALF_THE_EARTH_M))
        for row in bad.tolist():
            self.refuse(row, self.reader.reads["precision"].fields[0], "It is no precision in metres.")
        precision[np.isnan(longitude)] = np.nan
        sensitive = pc.fill_null(self.ask("sensitive").column(pa.bool_()), False)
        self.columns |= {
            "longitude": _or_null(longitude),
            "latitude": _or_null(latitude),
            "place_precision_m": _or_null(precision),
            "sensitive": sensitive,
        }

    def _point(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return longitude, latitude, precision by the digits; both are stated, or neither is."""
        names = self.reader.reads["point"].fields[:2]
        degrees, digits, empty = [], [], []
        for name in names:
            numbers, count, nothing = self._degrees(name)
            degrees.append(numbers)
            digits.append(count)
            empty.append(nothing)
        for row in np.flatnonzero(empty[0] != empty[1]).tolist():
            missing, other = names if empty[0][row] else names[::-1]
            if row not in self.problems:
                self.refuse(row, missing, f"It is empty, although {other} is stated.")
        known = ~np.isnan(degrees[0]) & ~np.isnan(degrees[1])
        longitude, latitude = (np.where(known, each, np.nan) for each in degrees)
        faults = places.faults(longitude[known], latitude[known])
        rows = np.flatnonzero(known)
        for at in np.flatnonzero(faults != "").tolist():
            row = int(rows[at])
            if faults[at] == places.OUTSIDE:
                self.remark(row, names[0], places.OUTSIDE)
            else:
                self.refuse(row, names[0], faults[at])
                longitude[row] = latitude[row] = np.nan
        half_a_digit = np.maximum(1.0, 0.5 * 10.0 ** -np.minimum(*digits).astype(float) * places.METRES_PER_DEGREE)
        return longitude, latitude, half_a_digit

    def _degrees(self, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the numbers of a column of degrees (NaN: none), their decimals, and where the cell is empty."""
        text = self.texts(name)
        empty = pc.equal(text, "")
        plain = pc.match_substring_regex(text, r"^[+-]?\d{1,3}(\.\d{1,20})?$")
        numbers = pc.if_else(plain, text, None).cast(pa.float64()).to_numpy(zero_copy_only=False).copy()
        dot = pc.find_substring(text, ".").to_numpy(zero_copy_only=False)
        length = pc.utf8_length(text).to_numpy(zero_copy_only=False)
        decimals = np.where(dot < 0, 0, length - dot - 1)
        for row in pc.indices_nonzero(pc.and_not(pc.invert(empty), plain)).to_pylist():
            cell = text[row].as_py()
            try:
                number = cells.read_decimal(cell, decimal_comma=self.knowing.decimal_comma)
                if number is None:
                    raise Unclear("is not a number.")
                numbers[row], decimals[row] = float(number), max(0, -int(number.as_tuple().exponent))
            except Unclear as unclear:
                self.refuse(row, name, self._sentence(name, row, str(unclear)))
        return numbers, decimals, empty.to_numpy(zero_copy_only=False)

    def _placed(self) -> dict[str, pa.Array]:
        """Return what follows from the place for each tier: cells, sectors, zones, coarser points."""
        numbers = [
            self.columns[name].to_numpy(zero_copy_only=False).astype(float)
            for name in ("longitude", "latitude", "place_precision_m")
        ]
        sensitive = self.columns["sensitive"].to_numpy(zero_copy_only=False).astype(bool)
        return self.knowing.areas.placed(*numbers, sensitive)


BEFORE = "It is before the first agreement that is kept here began."


def _or_null(numbers: np.ndarray) -> pa.Array:
    return pa.array(numbers, pa.float64(), from_pandas=True)


def _instants(answers: Answers, of: Callable[[When], datetime]) -> np.ndarray:
    """Return instants as datetime64 in UTC, NaT where there is no answer."""
    values = [None if when is None else of(when).astimezone(UTC).replace(tzinfo=None) for when in answers.values]
    return np.array(values, "datetime64[us]")[answers.which]


PLAIN_INSTANT = r"^(19|20|21)\d{2}-\d{2}-\d{2}[T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?(Z|\+00:00)$"


def _plain_instants(text: pa.Array) -> np.ndarray:
    """Return the instants of texts that plainly are one in UTC, NaT for the others."""
    plain = pc.match_substring_regex(text, PLAIN_INSTANT)
    local = pc.replace_substring_regex(pc.if_else(plain, text, None), r"(Z|\+00:00)$", "")
    try:
        found = local.cast(pa.timestamp("us"))
    except pa.ArrowInvalid:  # a day that does not exist: the reader says so
        return np.full(len(text), "NaT", "datetime64[us]")
    return found.to_numpy(zero_copy_only=False).astype("datetime64[us]").copy()


def _local_days(instants: np.ndarray, zone: ZoneInfo) -> np.ndarray:
    """Return the local day of each instant as days since 1970. Zones change at whole hours."""
    hours, which = np.unique(instants.astype("datetime64[h]").astype(np.int64), return_inverse=True)
    offsets = []
    for hour in hours.tolist():
        offset = datetime.fromtimestamp(hour * 3600, zone).utcoffset() or timedelta()
        offsets.append(int(offset.total_seconds()))
    local = instants.astype("datetime64[s]").astype(np.int64) + np.array(offsets, np.int64)[which]
    return (local // 86_400).astype(np.int32)


# --- Readers that several layouts share ---------------------------------------------------


def read_when(knowing: Knowing, text: str) -> When | None:
    return statements.read_when(text, zone=knowing.zone, order=knowing.order)


def read_from_until(knowing: Knowing, first: str, last: str) -> When | None:
    return statements.read_from_until(first, last, zone=knowing.zone, order=knowing.order)


def read_days(knowing: Knowing, first: str, last: str) -> When | None:
    """Days only; a clock time in the cell (UCDP's midnight) says nothing."""
    start, end = (cells.read_day(text, order=knowing.order) for text in (first, last))
    if start is None:
        return None
    return statements.whole_days(start.first, (end or start).last, knowing.zone)


def read_filed(knowing: Knowing, text: str) -> datetime | None:
    found = cells.read_instant(text, zone=knowing.zone, order=knowing.order)
    return None if found is None else found.at_from


def read_count(knowing: Knowing, text: str) -> statements.Count:
    return statements.read_count(text, decimal_comma=knowing.decimal_comma)


def read_metres(knowing: Knowing, text: str) -> float | None:
    """Return metres ("500", "500 m", "2 km"), None for an empty cell."""
    words = text.casefold()
    if words in statements.NOT_KNOWN:
        return None
    scale = 1000 if re.search(r"\d\s*km$", words) else 1
    number = cells.read_decimal(re.sub(r"\s*k?m$", "", words), decimal_comma=knowing.decimal_comma)
    if number is None or number < 0:
        raise Unclear("is no distance in metres.")
    if float(number) * scale > HALF_THE_EARTH_M:
        raise Unclear("is longer than half the earth.")
    return float(number) * scale


def plainly(reader: Callable[[str], Any]) -> Callable[..., Any]:
    """Return a reader of ``statements`` as a reader of a layout."""

    def read(knowing: Knowing, text: str) -> Any:
        return reader(text)

    return read


# --- The row as it stood ------------------------------------------------------------------


def originals(batch: pa.RecordBatch, header: Sequence[str]) -> pa.Array:
    """Return each row as a JSON object of its filled cells, by the file's own column names."""
    parts = []
    for name in header:
        text = batch.column(name)
        plain = text
        data = memoryview(text.buffers()[2] or b"").tobytes()
        for character, written in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
            if character.encode() in data:
                plain = pc.replace_substring(plain, character, written)
        key = json.dumps(name, ensure_ascii=False)
        cell = pc.binary_join_element_wise(f',{key}:"', plain, '"', "")
        parts.append(pc.if_else(pc.equal(text, ""), "", cell))
    joined = pc.binary_join_element_wise(*parts, "")
    return pc.binary_join_element_wise("{", pc.utf8_slice_codeunits(joined, 1), "}", "")


def as_problems(number: int, found: Iterable[tuple[str, str, str]], columns: Mapping[str, str]) -> list[Problem]:
    """Return problems of a row with the file's own names for the fields."""
    return [Problem(number, columns.get(name, name), _printable(text), reason) for name, text, reason in found]


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def tally(remarks: Mapping[int, Iterable[tuple[str, str, str]]]) -> Counter[str]:
    """Count rows by what is to be known about them."""
    return Counter(reason for said in remarks.values() for reason in {reason for _, _, reason in said})


def is_number(value: float) -> bool:
    return not math.isnan(value)
