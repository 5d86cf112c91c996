"""Exports are renderers: every list answers as a page of JSON or, whole, as a file, with no code of its own.

A new format is one more subclass of ``Export`` in ``EXPORTS``: it is given the rows one by one and yields bytes.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Any

from rest_framework.renderers import BaseRenderer, JSONRenderer

CHUNK = 500  # rows written at a time
FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # the last four: full width = + - @
CONTROL_STARTS = ("\t", "\r", "\n")
A_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


@dataclass(frozen=True)
class Table:
    """What is exported: a name for the file, and its columns in order. Rows are dicts with these keys."""

    name: str
    columns: tuple[str, ...]


class Export(BaseRenderer):
    """Write a whole list as a stream of bytes. Errors stay JSON (``coalition.refusals``)."""

    charset = "utf-8"

    def write(self, rows: Iterable[dict[str, Any]], table: Table) -> Iterator[bytes]:
        """Yield the file piece by piece; the first piece needs no row, so that the answer begins at once."""
        raise NotImplementedError

    def render(self, data, accepted_media_type=None, renderer_context=None):
        """Lists never come here, they are streamed; what does is a plain answer."""
        return JSONRenderer().render(data)


def safe_cell(value: Any) -> Any:
    """Return a value that no spreadsheet runs as a formula. Numbers, and text that is one, stay as they are.

    Source: OWASP, "CSV Injection".
    """
    if not isinstance(value, str) or A_NUMBER.fullmatch(value):
        return value
    if value.startswith(CONTROL_STARTS) or value.lstrip().startswith(FORMULA_STARTS):
        return f"'{value}"
    return value


def flat(value: Any) -> Any:
    """Return a value as one cell: lists joined by semicolons, objects as JSON, nothing for null."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Decimal():
            return f"{value.normalize():f}"
        case list() | tuple() if all(not isinstance(item, dict | list) for item in value):
            return "; ".join(str(item) for item in value)
        case dict() | list() | tuple():
            return json.dumps(value, ensure_ascii=False, default=str)
    return value


class CSVExport(Export):
    """Comma-separated, UTF-8, CRLF, a header first. Source: RFC 4180."""

    media_type = "text/csv"
    format = "csv"

    def write(self, rows, table):
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(table.columns)
        yield out.getvalue().encode()
        rows = iter(rows)
        while some := list(islice(rows, CHUNK)):
            out.seek(0)
            out.truncate()
            writer.writerows([safe_cell(flat(row[name])) for name in table.columns] for row in some)
            yield out.getvalue().encode()


EXPORTS: list[type[Export]] = [CSVExport]
