"""Formats: every list answers as a page of JSON or, whole, as a file, with no code of its own.

A new format is one more subclass of ``Export`` in ``EXPORTS``: it is given ``coalition.rows`` and yields bytes.
"""

import csv
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import shapely
import xlsxwriter
from rest_framework.renderers import BaseRenderer, JSONRenderer

from coalition.columns import Column, Kind, Point
from coalition.rows import PIECE_BYTES, UNIT_SEPARATOR, Rows

ROW_GROUP_BYTES = 3_000_000  # of CSV, for each row group of a Parquet file
ROWS_OF_A_SHEET = 1_048_575  # Excel's, without the header
LONGEST_CELL = 32_767  # Excel's, in characters
WGS84 = {
    "$schema": "https://proj.org/schemas/v0.7/projjson.schema.json",
    "type": "GeographicCRS",
    "name": "WGS 84 (CRS84)",
    "datum_ensemble": {
        "name": "World Geodetic System 1984 ensemble",
        "members": [{"name": "World Geodetic System 1984 (Transit)"}, {"name": "World Geodetic System 1984 (G2296)"}],
        "ellipsoid": {"name": "WGS 84", "semi_major_axis": 6378137, "inverse_flattening": 298.257223563},
        "accuracy": "2.0",
    },
    "coordinate_system": {
        "subtype": "ellipsoidal",
        "axis": [
            {"name": "Geodetic longitude", "abbreviation": "Lon", "direction": "east", "unit": "degree"},
            {"name": "Geodetic latitude", "abbreviation": "Lat", "direction": "north", "unit": "degree"},
        ],
    },
    "id": {"authority": "OGC", "code": "CRS84"},
}


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
        out = _Pipe()
        schema = schema_of(rows)
        with pq.ParquetWriter(out, schema, compression="zstd") as writer:
            yield out.taken()
            for block in blocks(rows.csv_lines(for_people=False)):
                writer.write_table(table_of(block, rows, schema))
                yield out.taken()
        yield out.taken()


class _Pipe(io.RawIOBase):
    """Something to write to, from which what was written is taken."""

    def __init__(self):
        self._pieces: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._size

    def write(self, piece) -> int:
        self._pieces.append(bytes(piece))
        self._size += len(piece)
        return len(piece)

    def taken(self) -> bytes:
        taken, self._pieces = b"".join(self._pieces), []
        return taken


def blocks(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Yield whole lines in blocks of about ROW_GROUP_BYTES."""
    some, size = [], 0
    for piece in lines:
        some.append(piece)
        size += len(piece)
        if size >= ROW_GROUP_BYTES:
            yield b"".join(some)
            some, size = [], 0
    if size:
        yield b"".join(some)


def arrow_type(column: Column) -> pa.DataType:
    """Return the type of a column in Parquet. Decimals are doubles there: that is what tools compute with."""
    match column.kind:
        case Kind.INTEGER:
            return pa.int64()
        case Kind.DECIMAL | Kind.NUMBER:
            return pa.float64()
        case Kind.BOOLEAN:
            return pa.bool_()
        case Kind.DAY:
            return pa.date32()
        case Kind.INSTANT:
            return pa.timestamp("us", tz="UTC")
        case Kind.INTEGERS:
            return pa.list_(pa.int64())
        case Kind.TEXTS:
            return pa.list_(pa.string())
    return pa.string()


def schema_of(rows: Rows) -> pa.Schema:
    fields = [pa.field(column.name, arrow_type(column)) for column in rows.columns]
    if rows.place is None:
        return pa.schema(fields)
    kinds = ["Point"] if isinstance(rows.place, Point) else ["Polygon", "MultiPolygon"]
    geometry = {"encoding": "WKB", "geometry_types": kinds, "crs": WGS84}
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": geometry}}
    return pa.schema([*fields, pa.field("geometry", pa.binary())], metadata={"geo": json.dumps(geo)})


def table_of(block: bytes, rows: Rows, schema: pa.Schema) -> pa.Table:
    """Return lines of CSV for programs as a table of this schema."""
    listed = {column.name for column in rows.columns if column.kind in (Kind.INTEGERS, Kind.TEXTS)}
    placing = [f"place_{number}" for number in range(len(rows.place.columns))] if rows.place else []
    types = {column.name: pa.string() if column.name in listed else arrow_type(column) for column in rows.columns}
    types |= dict.fromkeys(placing, pa.float64() if isinstance(rows.place, Point) else pa.string())
    read = pa_csv.read_csv(
        pa.py_buffer(block),
        read_options=pa_csv.ReadOptions(column_names=list(types), block_size=len(block) + 1),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=pa_csv.ConvertOptions(
            column_types=types, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    ).combine_chunks()
    made = {
        name: lists_of(_whole(read[name]), schema.field(name).type.value_type) if name in listed else read[name]
        for name in types
        if name not in placing
    }
    if rows.place:
        places = [_whole(read[name]) for name in placing]
        made["geometry"] = points_of(*places) if isinstance(rows.place, Point) else areas_of(*places)
    return pa.table(made, schema=schema)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def lists_of(joined: pa.Array, item: pa.DataType) -> pa.Array:
    """Return joined text as lists; empty text and null are empty lists."""
    parts = pc.split_pattern(pc.fill_null(joined, ""), UNIT_SEPARATOR)
    is_empty = np.asarray(pc.equal(pc.fill_null(joined, ""), ""))
    lengths = np.asarray(pc.list_value_length(parts))
    values = parts.flatten().filter(pa.array(np.repeat(~is_empty, lengths)))
    offsets = np.concatenate(([0], np.cumsum(np.where(is_empty, 0, lengths)))).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values.cast(item))


def points_of(longitudes: pa.Array, latitudes: pa.Array) -> pa.Array:
    """Return points as well-known binary, null where either is. Source: OGC 06-103r4, 8.2."""
    x, y = (each.to_numpy(zero_copy_only=False) for each in (longitudes, latitudes))
    points = np.empty(len(x), dtype=[("order", "u1"), ("type", "<u4"), ("x", "<f8"), ("y", "<f8")])
    points["order"], points["type"], points["x"], points["y"] = 1, 1, x, y
    offsets = np.arange(len(x) + 1, dtype=np.int32) * points.itemsize
    there = np.packbits(~(np.isnan(x) | np.isnan(y)), bitorder="little")
    return pa.Array.from_buffers(
        pa.binary(), len(x), [pa.py_buffer(there), pa.py_buffer(offsets), pa.py_buffer(points.tobytes())]
    )


def areas_of(polygons: pa.Array) -> pa.Array:
    """Return GeoJSON polygons as well-known binary."""
    return pa.array(shapely.to_wkb(shapely.from_geojson(np.asarray(polygons, dtype=object))), pa.binary())


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
