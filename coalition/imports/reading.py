"""How the bytes of an unknown file become rows of text. Runs only in the child that ``sandbox.parse``
starts.

This file is a program, started by its path, and imports nothing of ours: importing the package would load
Django and Celery into every child. It limits itself before it opens the file. Cells stay text exactly as
the file has them ("007" stays "007"); what a cell means is the mapping's business.

The rows go to an Arrow file: a column ``ROW`` with the row's number as people count it, a column
``PROBLEM`` (null, or why the row cannot be used), then one column of text for each column of the file.
Standard output gets one JSON object: the summary, or ``{"refused": sentence}``.
"""

import codecs
import csv
import errno
import json
import math
import os
import re
import resource
import signal
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta
from io import StringIO
from itertools import accumulate, chain, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import python_calamine as calamine

ROW, PROBLEM = "source row", "source problem"  # the first two columns of the Arrow file
MB = 1024 * 1024
CHUNK = 1 * MB
BLOCK = 1 * MB  # of CSV read at a time; no line may be longer than this
HEAD = 256 * 1024  # bytes looked at to find delimiter and header
Block = tuple[list[int], list[pa.Array]]  # row numbers, and the cells by column
SAMPLE_ROWS, SAMPLE_CHARACTERS = 20, 200
BAD_ROWS = 100_000  # a file with more rows of the wrong width is not the table it seems to be
MAX_CELLS = 10_000_000  # of a sheet: calamine keeps the whole rectangle, about 32 bytes a cell
MAX_DEPTH = 64  # of GeoJSON; a MultiPolygon inside a collection needs 9
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}

UNREADABLE_BYTE = "\ufdd0"  # a Unicode noncharacter: stands where a byte was not UTF-8 in a mixed file
C0 = bytes(byte for byte in [*range(32), 127] if byte not in b"\t\n\r")
C1 = re.compile(rb"\xc2[\x80-\x9f]")
CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x{9f}]"


class Refused(Exception):
    """The file cannot be read; the text is a sentence for the person who sent it."""


def limit(limits: SimpleNamespace) -> None:
    """Bind this process, before it has seen a byte of the file. A lower limit already in force stays."""
    for what, most in [
        (resource.RLIMIT_AS, limits.memory_mb * MB),
        (resource.RLIMIT_CPU, limits.cpu_s),
        (resource.RLIMIT_FSIZE, limits.output_mb * MB),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ]:
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))
    # The parent ends us sooner; this is for the case that the parent itself has died.
    signal.setitimer(signal.ITIMER_REAL, limits.wall_s + 5)


# --- Which kind of file ---------------------------------------------------------------------------

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
SIGNATURES = [
    (b"%PDF", "This is a PDF document, not a table. Save the table as CSV or .xlsx."),
    (b"\x1f\x8b", "This file is compressed (gzip). Unpack it first."),
    (b"7z\xbc\xaf\x27\x1c", "This file is compressed (7-Zip). Unpack it first."),
    (b"Rar!", "This file is compressed (RAR). Unpack it first."),
    (b"PAR1", "This is a Parquet file. Save the table as CSV or .xlsx."),
    (b"\x89PNG", "This is a picture, not a table."),
    (b"\xff\xd8\xff", "This is a picture, not a table."),
    (b"{\\rtf", "This is a text document, not a table. Save the table as CSV or .xlsx."),
]
MARKUP = re.compile(r"\s*<(!doctype|html|head|body|table|\?xml|svg|kml|gpx)\b", re.IGNORECASE)


def read(path: Path, table: Path, limits: SimpleNamespace, wanted: SimpleNamespace) -> dict:
    """Write the rows of the file to ``table`` and return the summary. Raises Refused with a sentence."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        raise Refused("The file is empty.")
    if head.startswith(OLE):
        if "EncryptedPackage".encode("utf-16-le") in path.read_bytes():
            raise Refused("This workbook is protected with a password. Save it without one.")
        raise Refused("This is an old Office file (.xls or .doc). Save the table as .xlsx or CSV.")
    for signature, sentence in SIGNATURES:
        if head.startswith(signature):
            raise Refused(sentence)
    if head.startswith(b"PK"):
        return read_workbook(path, table, limits, wanted)
    encoding, sure, quotes = find_encoding(path, head, wanted.encoding)
    start = decoded_head(head, encoding)
    if MARKUP.match(start):
        raise Refused("This is a web page or XML document, not a table. Save the table as CSV or .xlsx.")
    found: dict[str, Any] = {
        "encoding": "utf-8" if encoding == "mixed" else encoding,
        "encoding_sure": sure,
        "warnings": [],
    }
    if sure == "guessed":
        found["warnings"].append(
            f"The encoding is not stated in the file; {encoding} was guessed. Look at names with accents."
        )
    if encoding == "mixed":
        found["warnings"].append(
            "Most of the file is UTF-8, some rows are not. Those rows are rejected: their text is wrong."
        )
    if start.lstrip()[:1] in ("{", "["):
        return {**found, **read_geojson(path, table, limits, encoding)}
    return read_csv(path, table, limits, wanted, encoding, start, quotes, found)


# --- Encodings ------------------------------------------------------------------------------------

BOMS = [
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
]


def bom_length(head: bytes) -> int:
    """Return the number of bytes of the byte order mark, or 0."""
    return next((len(bom) for bom, _ in BOMS if head.startswith(bom)), 0)


def find_encoding(path: Path, head: bytes, wanted: str | None) -> tuple[str, str, int]:
    """Return the encoding ("mixed": UTF-8 with other bytes in it), how sure, and the number of quotation
    marks.

    How sure: "stated" (by the person or a byte order mark), "certain" (every byte is valid UTF-8),
    "guessed".
    """
    if wanted:
        try:
            "".encode(wanted)  # refuses codecs that are not text encodings, such as zlib
            return codecs.lookup(wanted).name, "stated", 0
        except LookupError:
            raise Refused(f"There is no encoding called {wanted[:40]!r}.") from None
    for bom, name in BOMS:
        if head.startswith(bom):
            return name, "stated", 0
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if max(even, odd) > 0.2 * (len(head) / 2) and min(even, odd) < 0.02 * len(head):
        return ("utf-16-le" if odd > even else "utf-16-be"), "guessed", 0
    if head.count(0) > 0.05 * len(head):
        raise Refused("This is not a text file or a workbook, so it cannot be read as a table.")
    return utf8_or_legacy(path)


def utf8_or_legacy(path: Path) -> tuple[str, str, int]:
    """Read the whole file once: UTF-8 throughout, mostly UTF-8, or an old one-byte encoding.

    Windows-1251 (Cyrillic) against windows-1252 (Western): in Cyrillic text letters above 127 stand in
    runs, in Western text they stand alone between ASCII letters.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    quotes, valid = 0, True
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            quotes += data.count(b'"')
            if valid:
                try:
                    decoder.decode(data)
                except UnicodeDecodeError:
                    valid = False
        if valid:
            try:
                decoder.decode(b"", final=True)
            except UnicodeDecodeError:
                valid = False
        if valid:
            return "utf-8", "certain", quotes
        file.seek(0)
        good = bad = long_runs = lone = 0
        while data := file.read(CHUNK):
            text = data.decode("utf-8", "surrogateescape")
            good += len(re.findall(r"[^\x00-\x7f\udc80-\udcff]", text))
            bad += len(re.findall(r"[\udc80-\udcff]", text))
            for run in re.findall(rb"[\x80-\xff]+", data):
                long_runs += len(run) if len(run) > 2 else 0
                lone += len(run) if len(run) <= 2 else 0
    # In a one-byte encoding valid UTF-8 pairs are accidents; in a mixed file they are the rule.
    if good > bad:
        return "mixed", "guessed", quotes
    return ("windows-1251" if long_runs > lone else "windows-1252"), "guessed", quotes


def decoded_head(head: bytes, encoding: str) -> str:
    decoder = codecs.getincrementaldecoder("utf-8" if encoding == "mixed" else encoding)("replace")
    return decoder.decode(head[bom_length(head) :])


class AsUTF8:
    """A file as pyarrow wants it: UTF-8, no byte order mark; what cannot be read is UNREADABLE_BYTE."""

    def __init__(self, path: Path, encoding: str):
        self.file = path.open("rb")
        self.file.seek(bom_length(self.file.read(4)))
        self.straight = encoding == "utf-8"
        codec, errors = ("utf-8", "unreadable-byte") if encoding == "mixed" else (encoding, "strict")
        self.decoder = codecs.getincrementaldecoder(codec)(errors)
        self.rest = b""
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        if self.straight:
            return self.file.read(size)
        while len(self.rest) < size:
            data = self.file.read(CHUNK)
            self.rest += self.decoder.decode(data, final=not data).encode("utf-8", "replace")
            if not data:
                break
        out, self.rest = self.rest[:size], self.rest[size:]
        return out

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True
        self.file.close()


def mark_unreadable(error: UnicodeError) -> tuple[str, int]:
    """Decode what is not UTF-8 as a mark, and go on after it."""
    return UNREADABLE_BYTE, error.end  # type: ignore[attr-defined]


codecs.register_error("unreadable-byte", mark_unreadable)


# --- The table that comes out ---------------------------------------------------------------------


class Table:
    """Writes the Arrow file, block by block, and keeps what the summary says about the rows."""

    def __init__(self, path: Path, header: list[str], limits: SimpleNamespace, mixed: bool = False):
        self.header, self.limits, self.mixed = header, limits, mixed
        self.row_count = self.problem_count = 0
        self.sample: list[list[str]] = []
        fields = [(ROW, pa.int32()), (PROBLEM, pa.string()), *((name, pa.string()) for name in header)]
        self.schema = pa.schema(fields)
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        self.writer = pa.ipc.new_file(str(path), self.schema, options=options)

    def write(self, numbers: list[int], columns: list[pa.Array], problems: dict[int, str]) -> None:
        """Write rows: numbers, cells by column, what is wrong by row number. Empty rows are left out."""
        problems = {**self.found_in(numbers, columns), **problems}
        if self.mixed:
            columns = [pc.replace_substring(column, UNREADABLE_BYTE, "\ufffd") for column in columns]
        reasons = pa.array([problems.get(n) for n in numbers] if problems else [None] * len(numbers), pa.string())
        batch = pa.record_batch([pa.array(numbers, pa.int32()), reasons, *columns], schema=self.schema)
        filled = pc.binary_length(columns[0])
        for column in columns[1:]:
            filled = pc.add(filled, pc.binary_length(column))
        if pc.min(filled).as_py() == 0:
            batch = batch.filter(pc.greater(filled, 0))
        self.row_count += len(batch)
        self.problem_count += len(batch) - batch.column(1).null_count
        if self.row_count > self.limits.rows:
            raise Refused(f"The file has more than {self.limits.rows:,} rows. Split it.")
        if len(self.sample) < SAMPLE_ROWS:
            for row in zip(*(c.to_pylist() for c in batch.slice(0, SAMPLE_ROWS).columns), strict=True):
                self.sample.append([str(row[0]), *(cell[:SAMPLE_CHARACTERS] for cell in row[2:])])
            del self.sample[SAMPLE_ROWS:]
        if len(batch):
            self.writer.write_batch(batch)

    def found_in(self, numbers: list[int], columns: list[pa.Array]) -> dict[int, str]:
        """Return what is wrong with cells, by row number: control characters, unreadable bytes, too long."""
        problems: dict[int, str] = {}

        def mark(rows: pa.Array, reason: str) -> None:
            for n in pc.indices_nonzero(rows).to_pylist():
                problems.setdefault(numbers[n], reason)

        for name, column in zip(self.header, columns, strict=True):
            data = memoryview(column.buffers()[2] or b"").tobytes()
            # The whole block first, as bytes: nearly always clean, and twenty times as fast as cell by cell.
            if len(data.translate(None, C0)) != len(data) or C1.search(data):
                mark(pc.match_substring_regex(column, CONTROL), f"{name}: has a control character.")
            if self.mixed:
                mark(pc.match_substring(column, UNREADABLE_BYTE), f"{name}: is not UTF-8 like the rest.")
            too_long = pc.greater(pc.binary_length(column), self.limits.cell_bytes)
            if pc.any(too_long).as_py():
                mark(too_long, f"{name}: is longer than {self.limits.cell_bytes // 1024} kB.")
        return problems

    def close(self) -> dict:
        self.writer.close()
        if not self.row_count:
            raise Refused("The file has a header and no rows.")
        return {
            "header": self.header,
            "row_count": self.row_count,
            "problem_count": self.problem_count,
            "sample": self.sample,
        }

    def write_rows(self, rows: Iterable[tuple[int, list[str]]], problems: dict[int, str]) -> None:
        """Write rows of Python text, in blocks that keep memory flat."""
        rows = iter(rows)
        while block := list(islice(rows, 5_000)):
            cells = [[clean(cell) for cell in row] for _, row in block]
            columns = [pa.array(column, pa.string()) for column in zip(*cells, strict=True)]
            self.write([number for number, _ in block], columns, problems)


def clean(text: str) -> str:
    """Return the text; half a surrogate pair, which no encoding can hold, becomes NUL, and is refused."""
    return text if text.isascii() or text.isprintable() else re.sub(r"[\ud800-\udfff]", "\x00", text)


def letter(index: int) -> str:
    """Return the spreadsheet name of a column: 0 is A, 26 is AA."""
    name = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        name = chr(65 + rest) + name
    return name


def header_of(cells: list[str], limits: SimpleNamespace, warnings: list[str]) -> list[str]:
    """Return unique, non-empty column names. A second "date" becomes "date (2)"; an empty one "Column C"."""
    if len(cells) > limits.columns:
        raise Refused(f"The file has {len(cells):,} columns; at most {limits.columns} are read.")
    names: list[str] = []
    for index, cell in enumerate(cells):
        text = re.sub(r"[\s\x00-\x1f\x7f]+", " ", cell).strip(" \ufeff")[:SAMPLE_CHARACTERS]
        name = text or f"Column {letter(index)}"
        count = 2
        taken = {ROW, PROBLEM, *names}
        while name in taken:
            name = f"{text or f'Column {letter(index)}'} ({count})"
            count += 1
        if text and name != text:
            warnings.append(
                f"Two columns are called {text!r}; the one in column {letter(index)} is called {name!r} here."
            )
        names.append(name)
    empty = [letter(index) for index, cell in enumerate(cells) if not cell.strip()]
    if empty:
        warnings.append(f"The header is empty in column {', '.join(empty[:10])}.")
    if any(re.fullmatch(r"[\d.,:/+\-\sT]*\d[\d.,:/+\-\sTZ]*", cell) for cell in cells):
        warnings.append("The header row looks like data. If the file has no header, say so.")
    return names


def unnamed(width: int, wanted: SimpleNamespace) -> list[str]:
    """Return the header of a file that has none: the names that its layout gives, else empty ones."""
    return wanted.names if len(wanted.names) == width else [""] * width


def header_place(rows: list[list[str]], wanted: int | None, warnings: list[str]) -> int:
    """Return the header's row number, from 1; 0 is none. A title above the table is not the header."""
    if wanted is not None:
        if wanted > len(rows):
            raise Refused(f"The header should be in row {wanted}, but the file does not go that far.")
        if wanted and not any(rows[wanted - 1]):
            raise Refused(f"The header should be in row {wanted}, but that row is empty.")
        return wanted
    filled = [sum(1 for cell in row if cell.strip()) for row in rows[:20]]
    if not max(filled, default=0):
        raise Refused("The file begins with empty rows; no header was found.")
    place = next(n for n, count in enumerate(filled, 1) if count >= max(1, max(filled) / 2))
    if any(filled[: place - 1]):
        warnings.append(f"The header was found in row {place}; the rows above it are left out.")
    return place


def is_hxl(row: list[str]) -> bool:
    """Return True for the row of tags that HXL puts under the header. Source: HXL standard 1.1, "Tagging"."""
    filled = [cell.strip() for cell in row if cell.strip()]
    return bool(filled) and all(re.match(r"#[a-z][a-z0-9_]*", cell) for cell in filled)


# --- CSV ------------------------------------------------------------------------------------------


def first_rows(start: str, delimiter: str, whole: bool) -> list[list[str]]:
    """Return up to 50 rows from the start of a text; the last one is left out when it may be cut off."""
    csv.field_size_limit(HEAD * 2)
    rows = list(islice(csv.reader(StringIO(start, newline=""), delimiter=delimiter), 51))
    return rows[:50] if whole or len(rows) < 2 else rows[:-1]


def find_delimiter(start: str, whole: bool) -> str:
    """Return the delimiter that cuts most of the first rows into the same number (at least 2) of cells."""
    best = (0.0, 0, ",")
    for delimiter in DELIMITERS:
        widths = Counter(len(row) for row in first_rows(start, delimiter, whole) if row)
        if not widths:
            continue
        width, rows = widths.most_common(1)[0]
        if width > 1:
            best = max(best, (round(rows / widths.total(), 1), width, delimiter))
    return best[2]


class WrongWidth:
    """The rows that do not fit the header: kept as pyarrow hands them over, and put back in place.

    pyarrow calls ``keep`` ahead of the batches that it gives out.
    """

    def __init__(self, width: int, delimiter: str, limits: SimpleNamespace):
        self.width, self.delimiter, self.limits = width, delimiter, limits
        self.count = 0
        self.first: list[int] = []
        self.waiting: dict[int, list[str]] = {}  # row number -> cells
        self.numbers: set[int] = set()  # of those not yet passed by left_over

    def keep(self, row: pyarrow.csv.InvalidRow) -> str:
        if self.count >= BAD_ROWS:
            return "error"
        self.count += 1
        text = row.text[: self.limits.cell_bytes * 2]
        self.numbers.add(row.number)
        self.waiting[row.number] = next(csv.reader(StringIO(text, newline=""), delimiter=self.delimiter), [])
        self.first = self.first or [row.number]
        if len(self.first) < 3 and row.number not in self.first:
            self.first.append(row.number)
        return "skip"

    def left_over(self, last: int, count: int) -> list[int]:
        """Return the numbers of the next ``count`` good rows: those that no wrong row has, in order."""
        taken = set(self.numbers)
        numbers = list(islice((n for n in range(last + 1, sys.maxsize) if n not in taken), count))
        if numbers:
            self.numbers -= {n for n in taken if n < numbers[-1]}
        return numbers

    def put_back(self, block: Block, *, upto: float, skip: int) -> tuple[list[int], list[pa.Array], dict[int, str]]:
        """Return the block with the wrong rows up to a number among the good ones, and their problems."""
        numbers, columns = block
        problems: dict[int, str] = {}
        rows: dict[int, list[str]] = {}
        for number in [n for n in list(self.waiting) if n <= upto]:
            row = self.waiting.pop(number)
            if number <= skip or not any(row):
                continue
            if any(row[self.width :]) or len(row) < self.width:
                cells = f"{len(row)} cell{'' if len(row) == 1 else 's'}"
                problems[number] = f"The row has {cells}, the header has {self.width}."
            # Empty cells beyond the header lose nothing, so such a row is good.
            rows[number] = [clean(cell) for cell in (row + [""] * self.width)[: self.width]]
        if rows:
            added = [pa.array(column, pa.string()) for column in zip(*rows.values(), strict=True)]
            numbers = numbers + list(rows)
            order = pa.array(sorted(range(len(numbers)), key=numbers.__getitem__))
            columns = [pa.concat_arrays(pair).take(order) for pair in zip(columns, added, strict=True)]
            numbers.sort()
        return numbers, columns, problems


def read_csv(
    path: Path,
    table: Path,
    limits: SimpleNamespace,
    wanted: SimpleNamespace,
    encoding: str,
    start: str,
    quotes: int,
    found: dict,
) -> dict:
    """Stream a delimited text through pyarrow. A row of the wrong width is kept, with its problem."""
    warnings: list[str] = found["warnings"]
    if separator := re.match(r"sep=([,;|\t])\r?\n", start):  # Excel's own first line
        wanted.delimiter = separator[1]
        wanted.header_row = 2 if wanted.header_row is None else wanted.header_row
    if wanted.delimiter not in (None, *DELIMITERS):
        raise Refused(f"Columns can be divided by {', '.join(DELIMITERS.values())}, not by {wanted.delimiter[:10]!r}.")
    whole = path.stat().st_size <= HEAD
    if not whole and "\n" not in start and "\r" not in start:
        raise Refused(f"The first line is longer than {HEAD // 1024} kB, so this is not a table.")
    delimiter = wanted.delimiter or find_delimiter(start, whole)
    rows = first_rows(start, delimiter, whole)
    place = header_place(rows, wanted.header_row, warnings)
    cells = rows[place - 1] if place else unnamed(max(map(len, rows), default=0), wanted)
    if len(cells) == 1:
        warnings.append("Only one column was found. Is another character between the columns?")
    header = header_of(cells, limits, warnings if place else [])
    after = rows[place] if len(rows) > place else []
    skip = place + (1 if is_hxl(after) else 0)

    wrong = WrongWidth(len(header), delimiter, limits)
    names = [f"c{index}" for index in range(len(header))]
    out = Table(table, header, limits, mixed=encoding == "mixed")
    last = 0
    block: Block | None = None
    try:
        reader = pyarrow.csv.open_csv(
            AsUTF8(path, encoding),
            pyarrow.csv.ReadOptions(use_threads=False, block_size=BLOCK, column_names=names),
            pyarrow.csv.ParseOptions(
                delimiter=delimiter,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=wrong.keep,
            ),
            pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False, check_utf8=False
            ),
        )
        for batch in reader:
            numbers = wrong.left_over(last, len(batch))
            if not numbers:
                continue
            if block:
                out.write(*wrong.put_back(block, upto=last, skip=skip))
            last = numbers[-1]
            left_out = sum(1 for n in numbers[: skip + 1] if n <= skip)
            block = (numbers[left_out:], batch.slice(left_out).columns)
        none = [pa.array([], pa.string())] * len(header)
        numbers, columns = block or ([], none)
        ends_open = numbers and quotes % 2 and any("\n" in column[-1].as_py() for column in columns)
        open_row = {numbers[-1]: "A quotation mark is opened here and never closed."} if ends_open else {}
        numbers, columns, problems = wrong.put_back((numbers, columns), upto=math.inf, skip=skip)
        if numbers:
            out.write(numbers, columns, {**problems, **open_row})
    except UnicodeError:
        raise Refused(f"The file is not {encoding}, or is damaged. Choose another encoding.") from None
    except pa.ArrowInvalid as error:
        if "straddl" in str(error):
            raise Refused(
                f"After row {last} comes a line of more than {BLOCK // MB} MB, or an unclosed quotation mark."
            ) from None
        if wrong.count >= BAD_ROWS:
            first = ", ".join(map(str, wrong.first))
            raise Refused(f"{BAD_ROWS:,} rows do not have the header's {len(header)} cells (first: {first}).") from None
        raise Refused(f"The file could not be read as a table ({str(error)[:200]}).") from None
    return {
        "kind": "csv",
        **found,
        "delimiter": delimiter,
        "header_row": place,
        "hxl": rows[place] if is_hxl(after) else [],
        "row_noun": "row",
        **out.close(),
    }


# --- Workbooks ------------------------------------------------------------------------------------

CELL = re.compile(rb'<(?:\w{1,20}:)?c\b[^<>]*?\br="([A-Z]{1,3})([0-9]{1,7})"([^<>]*)>')


DAMAGED = (  # what zipfile and calamine raise
    calamine.CalamineError,
    zipfile.BadZipFile,
    zlib.error,
    ET.ParseError,
    EOFError,
    OSError,
    NotImplementedError,
)


def unpacked_parts(
    path: Path, limits: SimpleNamespace
) -> tuple[dict[str, tuple[int, int, list[int]]], dict[str, bytes]]:
    """Unpack the whole archive once, keeping nothing, to see its true size before a parser does.

    Returns for each sheet part its last row, its last column and the rows of its error cells; and the small
    parts that name the sheets. The sizes that an archive declares may lie, so bytes are counted as they
    come.
    """
    most, total = limits.unpacked_mb * MB, 0
    extents: dict[str, tuple[int, int, list[int]]] = {}
    small: dict[str, bytes] = {}
    too_big = f"The workbook unpacks to more than {limits.unpacked_mb} MB. Save the table as CSV."
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        names = {member.filename for member in members}
        if "xl/workbook.xml" not in names:
            if "mimetype" in names or any(name.startswith("word/") for name in names):
                raise Refused("This is an office document, but not an .xlsx workbook. Save the table as .xlsx or CSV.")
            if "xl/workbook.bin" in names:
                raise Refused("This is a binary workbook (.xlsb). Save the table as .xlsx or CSV.")
            raise Refused("This is a zip archive without a workbook in it. Unpack it and send the table.")
        if any(member.flag_bits & 1 for member in members):
            raise Refused("This workbook is protected with a password. Save it without one.")
        if len(members) > 10_000 or sum(member.file_size for member in members) > most:
            raise Refused(too_big)
        for member in members:
            is_sheet = member.filename.startswith("xl/worksheets/") and member.filename.endswith(".xml")
            is_small = member.filename in ("xl/workbook.xml", "xl/_rels/workbook.xml.rels")
            last_row = last_column = 0
            errors: list[int] = []
            tail = b""
            declared, before = member.file_size, total
            # zipfile stops at the declared size; a parser may not. So it is told to go on to the end.
            member.file_size, member.CRC = 1 << 50, None  # type: ignore[assignment]
            with archive.open(member) as part:
                while data := part.read(CHUNK):
                    total += len(data)
                    if total > most:
                        raise Refused(too_big)
                    if is_small:
                        small[member.filename] = small.get(member.filename, b"") + data
                        if len(small[member.filename]) > 4 * MB:
                            raise Refused("The workbook's list of sheets is too long.")
                    if is_sheet:
                        data = tail + data
                        cells = CELL.findall(data)
                        last_row = max([last_row, *map(int, {row for _, row, _ in cells})])
                        last_column = max([last_column, *map(column_number, {column for column, _, _ in cells})])
                        errors += [int(row) for _, row, rest in cells if b't="e"' in rest]
                        tail = data[data.rfind(b"<") :][-4096:]
            if total - before != declared:
                raise Refused("The workbook's archive is damaged: its parts are not as large as it says.")
            if is_sheet:
                extents[member.filename] = (last_row, last_column, errors)
    return extents, small


def column_number(letters: bytes) -> int:
    """Return the number of a spreadsheet column: A is 1."""
    number = 0
    for byte in letters:
        number = number * 26 + byte - 64
    return number


def part_of_sheet(name: str, small: dict[str, bytes]) -> str:
    """Return the archive member that holds a sheet. Source: ECMA-376 part 1, 18.2.19 and part 2, 9.3."""
    if any(b"<!DOCTYPE" in data or b"<!ENTITY" in data for data in small.values()):
        raise Refused("The workbook declares XML entities, which no spreadsheet program does.")
    relation = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
    strict = "{http://purl.oclc.org/ooxml/officeDocument/relationships}id"
    book = ET.fromstring(small["xl/workbook.xml"])  # noqa: S314 — no entities, see above; in the child
    links = ET.fromstring(small.get("xl/_rels/workbook.xml.rels", b"<none/>"))  # noqa: S314
    for sheet in book.iterfind(".//{*}sheet"):
        if sheet.get("name") == name:
            target = sheet.get(relation) or sheet.get(strict)
            for link in links:
                if link.get("Id") == target:
                    return "xl/" + link.get("Target", "").removeprefix("/").removeprefix("xl/")
    return ""


def read_workbook(path: Path, table: Path, limits: SimpleNamespace, wanted: SimpleNamespace) -> dict:
    """Read one sheet of an .xlsx workbook: the one asked for, else the first that is visible."""
    warnings: list[str] = []
    try:
        extents, small = unpacked_parts(path, limits)
        book = calamine.CalamineWorkbook.from_path(str(path))
        sheets = [
            (sheet.name, sheet.visible == calamine.SheetVisibleEnum.Visible)
            for sheet in book.sheets_metadata
            if sheet.typ == calamine.SheetTypeEnum.WorkSheet
        ]
        if not sheets:
            raise Refused("The workbook has no sheet with a table.")
        selected = wanted.sheet or next((name for name, visible in sheets if visible), sheets[0][0])
        if selected not in dict(sheets):
            raise Refused(f"The workbook has no sheet called {selected[:100]!r}.")
        last_row, last_column, errors = extents.get(part_of_sheet(selected, small), (0, 0, []))
        if last_row * last_column > MAX_CELLS:
            raise Refused(
                f"The sheet spans {last_row:,} rows and {last_column:,} columns, more than can be read. "
                "Delete what lies outside the table, or save it as CSV."
            )
        rows = (list(map(cell_text, row)) for row in book.get_sheet_by_name(selected).iter_rows())
        head = [row for _, row in zip(range(50), rows, strict=False)]
    except calamine.PasswordError:
        raise Refused("This workbook is protected with a password. Save it without one.") from None
    except DAMAGED as error:
        raise Refused(f"The workbook is damaged ({str(error)[:200]}).") from None
    if not head:
        raise Refused(f"The sheet {selected!r} is empty.")
    if len(sheets) > 1:
        warnings.append(f"The workbook has {len(sheets)} sheets; only {selected!r} is read.")
    place = header_place(head, wanted.header_row, warnings)
    cells = head[place - 1] if place else unnamed(len(head[0]), wanted)
    width = max(i + 1 for row in head for i, cell in enumerate(row) if cell) if any(map(any, head)) else 0
    width = width if not place else len(cells)
    while width > 1 and not any(row[width - 1] for row in head):
        width -= 1  # formatted but empty columns on the right
    header = header_of(cells[:width], limits, warnings if place else [])
    after = head[place] if len(head) > place else []
    skip = place + (1 if is_hxl(after) else 0)
    out = Table(table, header, limits)
    problems = dict.fromkeys(errors, "A cell holds a spreadsheet error such as #N/A.")

    def numbered() -> Iterator[tuple[int, list[str]]]:
        for number, row in enumerate(chain(head, rows), 1):
            if number > skip:
                if any(row[width:]):
                    problems[number] = "The row has cells to the right of the header."
                yield number, row[:width]

    out.write_rows(numbered(), problems)
    return {
        "kind": "xlsx",
        "encoding": "utf-8",
        "encoding_sure": "certain",
        "delimiter": "",
        "sheets": [name for name, _ in sheets],
        "sheet": selected,
        "header_row": place,
        "hxl": after[:width] if is_hxl(after) else [],
        "row_noun": "row",
        "warnings": warnings,
        **out.close(),
    }


def cell_text(value: object) -> str:
    """Return a workbook's cell as text: 7.0 is "7", dates and times are ISO 8601, durations are [h]:mm:ss."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        seconds = round(value.total_seconds())
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return str(value)


# --- GeoJSON --------------------------------------------------------------------------------------

STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
STEP = {"[": 1, "{": 1, "]": -1, "}": -1}


class Number:
    """A JSON number as it is written, so that 1.50 does not become 1.5."""

    __slots__ = ("text",)

    def __init__(self, text: str):
        self.text = text


def json_text(value: object) -> str:
    """Return a JSON value as a cell: text as it is, null as empty, the rest as JSON."""
    return "" if value is None else value if isinstance(value, str) else compact(value)


def compact(value: object) -> str:
    if isinstance(value, Number):
        return value.text
    if isinstance(value, list):
        return "[" + ",".join(map(compact, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k, ensure_ascii=False)}:{compact(v)}" for k, v in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def read_geojson(path: Path, table: Path, limits: SimpleNamespace, encoding: str) -> dict:
    """Read a FeatureCollection: one row a feature, one column a property, and its place. Source: RFC 7946."""
    if path.stat().st_size > limits.geojson_mb * MB:
        raise Refused(f"A GeoJSON file may have {limits.geojson_mb} MB. Send the table as CSV.")
    if encoding == "mixed":
        raise Refused("This GeoJSON file is not UTF-8 throughout, as it must be.")
    data = path.read_bytes()
    try:
        text = data[bom_length(data) :].decode(encoding)
    except UnicodeError:
        raise Refused(f"The file is not {encoding}, or is damaged.") from None
    del data
    # Before json.loads: a parser that recurses must never see more than a person would write.
    brackets = re.sub(r"[^\[\]{}]+", "", STRING.sub("", text))
    if max(accumulate(map(STEP.__getitem__, brackets)), default=0) > MAX_DEPTH:
        raise Refused(f"The file is nested more than {MAX_DEPTH} deep, which no GeoJSON file is.")
    try:
        document = json.loads(text, parse_int=Number, parse_float=Number, parse_constant=Number)
    except json.JSONDecodeError as error:
        raise Refused(f"The file is not valid JSON: line {error.lineno}, {error.msg}.") from None
    features = features_of(document)
    crs = compact(document.get("crs"))
    if document.get("crs") and not re.search(r"CRS84|4326", crs):
        raise Refused("The coordinates are not longitude and latitude (WGS 84). Export the file in EPSG:4326.")
    properties: dict[str, None] = {}
    for feature in features:
        properties.update(dict.fromkeys(feature.get("properties") or {}))
        if len(properties) > limits.columns:
            raise Refused(f"The features have more than {limits.columns} different properties.")
    has_id = any("id" in feature for feature in features)
    place = ["longitude", "latitude", "geometry"]
    warnings: list[str] = []
    header = header_of([*(["id"] if has_id else []), *place, *properties], limits, warnings)
    out = Table(table, header, limits)

    def rows() -> Iterator[tuple[int, list[str]]]:
        for number, feature in enumerate(features, 1):
            geometry = feature.get("geometry")
            longitude, latitude = point_of(geometry)
            values = feature.get("properties") or {}
            cells = [json_text(feature.get("id"))] if has_id else []
            cells += [longitude, latitude, json_text(geometry)]
            yield number, cells + [json_text(values.get(name)) for name in properties]

    out.write_rows(rows(), {})
    return {
        "kind": "geojson",
        "delimiter": "",
        "header_row": 0,
        "row_noun": "feature",
        "warnings": warnings,
        **out.close(),
    }


def features_of(document: Any) -> list[dict]:
    kind = document.get("type") if isinstance(document, dict) else None
    features = document.get("features") if kind == "FeatureCollection" else [document] if kind == "Feature" else None
    if kind == "Topology":
        raise Refused("This is TopoJSON. Export the file as GeoJSON.")
    if not isinstance(features, list):
        raise Refused("This is JSON, but not a GeoJSON FeatureCollection.")
    if not features:
        raise Refused("The file has no features.")
    for number, feature in enumerate(features, 1):
        if not isinstance(feature, dict) or not isinstance(feature.get("properties") or {}, dict):
            raise Refused(f"Feature {number} is not a GeoJSON feature.")
    return features


def point_of(geometry: object) -> tuple[str, str]:
    """Return longitude and latitude of a Point as they are written, else two empty texts."""
    if isinstance(geometry, dict) and geometry.get("type") == "Point":
        match geometry.get("coordinates"):
            case [Number(text=longitude), Number(text=latitude), *_]:
                return longitude, latitude
    return "", ""


UNKNOWN = "The file is damaged, or of a kind that is not read here."


def main(arguments: list[str]) -> None:
    path, table, options = arguments
    asked = json.loads(options, object_hook=lambda fields: SimpleNamespace(**fields))
    limit(asked.limits)
    try:
        answer = read(Path(path), Path(table), asked.limits, asked.wanted)
    except Refused as refused:
        answer = {"refused": str(refused)}
    except (MemoryError, pa.ArrowMemoryError):
        answer = {"refused": f"Reading the file needs more than {asked.limits.memory_mb} MB of memory. Split it."}
    except BaseException as error:  # a panic in a native parser is no Exception
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
        sentence = "There is not enough room to unpack the file. Split it." if full else UNKNOWN
        answer = {"refused": sentence, "detail": f"{type(error).__name__}: {error}"[:2000]}
    json.dump(answer, sys.stdout)
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
    # pyarrow may still be reading ahead in a thread; ending the interpreter under it would abort the process.
    os._exit(0)
