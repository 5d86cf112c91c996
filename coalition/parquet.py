"""How do lines of CSV become a Parquet file? Runs only in the child that ``renderers.ParquetExport`` starts.

This file is a program, started by its path, and imports nothing of ours: importing the package would load Django and Celery
into every child. What it holds of pyarrow, and the blocks it works on, are gone with it; the web server's memory stays flat.

Its one argument is JSON: ``columns``, a list of name and kind (``columns.Kind``), and ``place``: ``point`` where two columns
of degrees follow, ``area`` where one of GeoJSON does, or null. Standard input brings whole lines of CSV, in frames: four
bytes of length, then so many bytes. A frame of no length ends them; without it the sender died, and no file is finished.
"""

import io
import json
import struct
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import shapely

LENGTH = struct.Struct("!I")
ROW_GROUP_BYTES = 12_000_000  # of CSV
UNIT_SEPARATOR = "\x1f"  # as in rows.py, which cannot be imported here
LISTS = ("integers", "texts")
REPEATED = ("word", "text", "day", "boolean")  # few values, many times: to look for such among numbers only costs
# Decimals are doubles: that is what tools compute with.
TYPES = {
    "integer": pa.int64(),
    "decimal": pa.float64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "day": pa.date32(),
    "instant": pa.timestamp("us", tz="UTC"),
    "integers": pa.list_(pa.int64()),
    "texts": pa.list_(pa.string()),
}
PLACING = {"point": ("longitude of place", "latitude of place"), "area": ("area of place",), None: ()}
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


def main() -> None:
    """Write the file to standard output, a row group at a time."""
    told = json.loads(sys.argv[1])
    columns, place = dict(told["columns"]), told["place"]
    out = Pipe(sys.stdout.buffer)
    schema = schema_of(columns, place)
    repeated = [name for name, kind in columns.items() if kind in REPEATED]
    with pq.ParquetWriter(out, schema, compression="zstd", use_dictionary=repeated) as writer:
        for block in blocks(sys.stdin.buffer):
            writer.write_table(table_of(block, columns, place, schema))
            out.flush()
    out.flush()


class Pipe(io.RawIOBase):
    """Standard output, which cannot tell how far it is."""

    def __init__(self, out: BinaryIO):
        self._out = out
        self._size = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._size

    def write(self, piece) -> int:
        self._out.write(piece)
        self._size += len(piece)
        return len(piece)

    def flush(self) -> None:
        self._out.flush()


def blocks(source: BinaryIO) -> Iterator[bytes]:
    """Yield whole lines in blocks of about ROW_GROUP_BYTES. Ends the program where the sender did not come to the end."""
    some, size = [], 0
    while True:
        head = source.read(LENGTH.size)
        if len(head) < LENGTH.size:
            sys.exit(1)
        [length] = LENGTH.unpack(head)
        if not length:
            break
        piece = source.read(length)
        if len(piece) < length:
            sys.exit(1)
        some.append(piece)
        size += length
        if size >= ROW_GROUP_BYTES:
            yield b"".join(some)
            some, size = [], 0
    if size:
        yield b"".join(some)


def schema_of(columns: dict[str, str], place: str | None) -> pa.Schema:
    fields = [pa.field(name, TYPES.get(kind, pa.string())) for name, kind in columns.items()]
    if place is None:
        return pa.schema(fields)
    kinds = ["Point"] if place == "point" else ["Polygon", "MultiPolygon"]
    geometry = {"encoding": "WKB", "geometry_types": kinds, "crs": WGS84}
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": geometry}}
    return pa.schema([*fields, pa.field("geometry", pa.binary())], metadata={"geo": json.dumps(geo)})


def table_of(block: bytes, columns: dict[str, str], place: str | None, schema: pa.Schema) -> pa.Table:
    """Return lines of CSV as a table of this schema. Null is nothing, empty text is two quotes."""
    placing = PLACING[place]
    types: dict[str, Any] = {
        name: pa.string() if kind in LISTS else TYPES.get(kind, pa.string()) for name, kind in columns.items()
    }
    types |= dict.fromkeys(placing, pa.float64() if place == "point" else pa.string())
    read = pa_csv.read_csv(
        pa.py_buffer(block),
        read_options=pa_csv.ReadOptions(column_names=list(types), block_size=len(block) + 1),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=pa_csv.ConvertOptions(
            column_types=types, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    ).combine_chunks()
    made = {
        name: lists_of(whole(read[name]), TYPES[kind].value_type) if kind in LISTS else read[name]
        for name, kind in columns.items()
    }
    if place:
        places = [whole(read[name]) for name in placing]
        made["geometry"] = points_of(*places) if place == "point" else areas_of(*places)
    return pa.table(made, schema=schema)


def whole(column: pa.ChunkedArray) -> pa.Array:
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


if __name__ == "__main__":
    main()
