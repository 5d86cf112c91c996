"""Formats: every list answers as a page of JSON or, whole, as a file, with no code of its own.

A new format is one more subclass of ``Export`` in ``EXPORTS``: it is given ``coalition.rows`` and yields bytes.
"""

import contextlib
import csv
import io
import json
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any, BinaryIO

import xlsxwriter
from rest_framework.renderers import BaseRenderer, JSONRenderer

from coalition.columns import Area, Column, Kind, Point
from coalition.rows import PIECE_BYTES, Rows

PARQUET = Path(__file__).with_name("parquet.py")
ROWS_OF_A_SHEET = 1_048_575  # Excel's, without the header
LONGEST_CELL = 32_767  # Excel's, in characters


class Export(BaseRenderer):
    """Write a whole list as a stream of bytes. Errors stay JSON (``coalition.refusals``).

    Lists of more than ``at_once`` rows become a job. ``is_packed`` formats are compressed as they stand.
    """

    charset: str | None = "utf-8"
    at_once = 5_000_000
    is_packed = False

    def write(self, rows: Rows) -> Iterator[bytes]:
        """Yield the file piece by piece; the first piece needs no row where the format allows it."""
        raise NotImplementedError

    def render(self, data, accepted_media_type=None, renderer_context=None):
        """Lists never come here, they are streamed; what does is a plain answer."""
        return JSONRenderer().render(data)


def header(columns: tuple[Column, ...], *more: list[str]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([[column.name for column in columns], *more])
    return out.getvalue().encode()


class CSVExport(Export):
    """Comma-separated, UTF-8, a header first; null is nothing, empty text is two quotes. Source: RFC 4180, with LF."""

    media_type = "text/csv"
    format = "csv"

    def write(self, rows):
        yield header(rows.columns)
        yield from rows.csv_lines(for_people=True)


class HXLExport(Export):
    """CSV with a second header of HXL tags. Source: hxlstandard.org, 1.1."""

    media_type = "text/csv"
    format = "hxl"
    file_ending = "hxl.csv"

    def write(self, rows):
        yield header(rows.columns, [tag_of(column) for column in rows.columns])
        yield from rows.csv_lines(for_people=True)


HXL_OF_KIND = {
    Kind.INTEGER: "#value+num",
    Kind.DECIMAL: "#value+num",
    Kind.NUMBER: "#value+num",
    Kind.DAY: "#date",
    Kind.INSTANT: "#date",
}


def tag_of(column: Column) -> str:
    """Return the column's HXL tag; one that declares none gets a plain one, with its name as attribute."""
    if column.hxl:
        return column.hxl
    return f"{HXL_OF_KIND.get(column.kind, '#meta')}+{column.name.replace('_', '').lower()}"


class NDJSONExport(Export):
    """One JSON object on each line, text as it was given."""

    media_type = "application/x-ndjson"
    format = "ndjson"

    def write(self, rows):
        yield b""
        yield from rows.json_lines()


class GeoJSONExport(Export):
    """One FeatureCollection; rows without a place have a null geometry. Source: RFC 7946."""

    media_type = "application/geo+json"
    format = "geojson"

    def write(self, rows):
        yield b'{"type":"FeatureCollection","features":[\n'
        yield from between(rows.features())
        yield b"]}\n"


def between(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Yield lines with a comma between them. A line of JSON holds no bare line feed."""
    held = b""
    for piece in lines:
        if piece:
            yield held + piece[:-1].replace(b"\n", b",\n")
            held = b",\n"
    yield b"\n"


# --- Formats with types -----------------------------------------------------------------------------


class ParquetExport(Export):
    """Parquet with types, zstd; GeoParquet 1.1 where rows have a place. Text as it was given."""

    media_type = "application/vnd.apache.parquet"
    format = "parquet"
    charset = None
    is_packed = True

    def write(self, rows):
        columns = [(column.name, column.kind) for column in rows.columns]
        place = {Point: "point", Area: "area"}.get(type(rows.place))
        yield from by_child(PARQUET, {"columns": columns, "place": place}, rows.csv_lines(for_people=False))


def by_child(program: Path, told: dict[str, Any], pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Send pieces to a program of ours and yield what it makes of them, as it comes. Raises ChildProcessError.

    The child works on another core while the next piece is fetched, and its memory is gone with it. A thread takes what it
    writes, else both might wait for the other; the pieces themselves come from this thread, whose transaction they are.
    """
    command = [sys.executable, "-I", str(program), json.dumps(told)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={})
    made: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    taking = threading.Thread(target=_take, args=(child.stdout, made), daemon=True)
    taking.start()
    try:
        for piece in pieces:
            if piece:
                child.stdin.write(len(piece).to_bytes(4, "big") + piece)
            while not made.empty():
                yield made.get()
        child.stdin.write(bytes(4))  # the end; a child that is left before it finishes no file
        child.stdin.close()
        while ready := made.get():
            yield ready
        child.wait()
    except BrokenPipeError:
        pass  # it died; its exit code says so
    finally:
        child.kill()  # one that has ended is left alone
        child.wait()
        taking.join()
        child.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()
    if child.returncode:
        raise ChildProcessError(f"{program.name} ended with {child.returncode}")


def _take(out: BinaryIO, made: queue.SimpleQueue[bytes]) -> None:
    """Put all that comes into the queue; nothing is the end."""
    while piece := out.read1(PIECE_BYTES):
        made.put(piece)
    made.put(b"")


class XLSXExport(Export):
    """A workbook, with types; no cell is a formula or a link. More than a sheet holds goes on the next."""

    media_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    format = "xlsx"
    charset = None
    at_once = 50_000
    is_packed = True

    def write(self, rows):
        with tempfile.TemporaryFile() as file:
            book = xlsxwriter.Workbook(
                file, {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
            )
            bold = book.add_format({"bold": True})
            formats = {
                Kind.DAY: book.add_format({"num_format": "yyyy-mm-dd"}),
                Kind.INSTANT: book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}),
            }
            cells = [(cell_of(column), formats.get(column.kind)) for column in rows.columns]
            sheet, number = None, ROWS_OF_A_SHEET
            for piece in rows.csv_lines(for_people=True):
                for line in csv.reader(io.StringIO(piece.decode(), newline="")):
                    if number == ROWS_OF_A_SHEET:
                        sheet, number = new_sheet(book, rows, bold), 0
                    number += 1
                    for place, (text, (read, look)) in enumerate(zip(line, cells, strict=True)):
                        if text:
                            sheet.write(number, place, read(text), look)
            if sheet is None:
                new_sheet(book, rows, bold)
            book.close()
            file.seek(0)
            while piece := file.read(PIECE_BYTES):
                yield piece


def new_sheet(book: xlsxwriter.Workbook, rows: Rows, bold) -> xlsxwriter.worksheet.Worksheet:
    sheet = book.add_worksheet()
    sheet.freeze_panes(1, 0)
    sheet.write_row(0, 0, [column.name for column in rows.columns], bold)
    return sheet


def cell_of(column: Column) -> Callable[[str], Any]:
    """Return what reads a cell's text as a value that a workbook knows. Instants are UTC, days before 1900 are text."""
    match column.kind:
        case Kind.INTEGER | Kind.DECIMAL | Kind.NUMBER:
            return float
        case Kind.BOOLEAN:
            return lambda text: text == "true"
        case Kind.DAY:
            return lambda text: date.fromisoformat(text) if text >= "1900" else text
        case Kind.INSTANT:
            return lambda text: datetime.fromisoformat(text).replace(tzinfo=None) if text >= "1900" else text
    return lambda text: text[:LONGEST_CELL]


EXPORTS: list[type[Export]] = [
    CSVExport,
    NDJSONExport,
    GeoJSONExport,
    XLSXExport,
    ParquetExport,
    HXLExport,
]
