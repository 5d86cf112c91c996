"""How is a file from outside opened without trusting it? In a child process that can only do so much harm.

The child (``reading.py``) has a minimal environment and limits on memory, time, file size and open files. A
parser that crashes, hangs or swells takes the child with it; the caller gets ``Unreadable`` with a sentence
for the person who sent the file. This module starts the child and reads its answer; it never parses the
file itself.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

log = logging.getLogger(__name__)

CHILD = Path(__file__).with_name("reading.py")
ROW, PROBLEM = "source row", "source problem"  # as in reading.py, which cannot be imported here
ANSWER_BYTES = 8 * 1024 * 1024


class Unreadable(Exception):
    """The file cannot be read as a table. The text is one or two sentences that say why and what to do."""


@dataclass(frozen=True)
class Limits:
    """What one file may cost. Memory is address space, of which Python and pyarrow alone take 350 MB."""

    file_mb: int = 1024
    memory_mb: int = 1536
    cpu_s: int = 120
    wall_s: int = 180
    output_mb: int = 4096
    rows: int = 2_000_000
    columns: int = 300
    cell_bytes: int = 64 * 1024
    unpacked_mb: int = 1024  # of a workbook
    geojson_mb: int = 128


@dataclass(frozen=True)
class Row:
    """One row: its number as people count it, its cells by column name, and why it cannot be used."""

    number: int
    cells: dict[str, str]
    problem: str | None


@dataclass(frozen=True)
class ParsedFile:
    """A file that was read: where its rows lie, and what a person needs to see before mapping its columns.

    ``table`` is an Arrow file with the columns ROW (int32, the header counts as row 1; in GeoJSON the place
    of the feature, from 1), PROBLEM (null when the row can be used), then the columns of ``header`` in
    order, all text, never null. Empty rows are left out of it and still counted in the numbers.
    """

    table: Path
    kind: str  # csv, xlsx or geojson
    encoding: str
    encoding_sure: str  # stated, certain or guessed
    delimiter: str  # empty when not CSV
    header: tuple[str, ...]  # unique, none empty
    header_row: int  # 0 when the file has none
    row_count: int
    problem_count: int  # of those rows
    row_noun: str  # "row", or "feature" in GeoJSON
    sample: tuple[tuple[str, ...], ...]  # the first rows, cut to 200 characters a cell, the row number first
    sheets: tuple[str, ...] = ()
    sheet: str = ""
    hxl: tuple[str, ...] = ()  # the HXL tag under each column, empty when the file has no tag row
    warnings: tuple[str, ...] = field(default=())

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows in the file's order, some thousands at a time; memory stays flat."""
        with pa.OSFile(str(self.table)) as file, pa.ipc.open_file(file) as reader:
            for index in range(reader.num_record_batches):
                yield reader.get_batch(index)

    def rows(self) -> Iterator[Row]:
        """Yield the rows one by one, in the file's order."""
        for batch in self.batches():
            numbers, problems, *columns = (column.to_pylist() for column in batch.columns)
            for number, problem, *cells in zip(numbers, problems, *columns, strict=True):
                yield Row(number, dict(zip(self.header, cells, strict=True)), problem)


def parse(
    path: Path,
    table: Path,
    *,
    limits: Limits | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    sheet: str | None = None,
    header_row: int | None = None,
    names: Sequence[str] = (),
) -> ParsedFile:
    """Read the CSV, .xlsx or GeoJSON file at ``path`` and write its rows to ``table``.

    What the file is, is told from its content; its name means nothing. ``encoding``, ``delimiter``,
    ``sheet`` and ``header_row`` (0: the file has no header, its columns are called ``names``, or "Column A" and so on)
    state what would else be found out. Raises Unreadable; then nothing is left at ``table``.
    """
    limits = limits or Limits()
    if (size := path.stat().st_size) > limits.file_mb * 1024 * 1024:
        raise Unreadable(f"The file has {size / 1024**2:,.0f} MB; at most {limits.file_mb:,} MB are read. Split it.")
    wanted: dict[str, Any] = {"encoding": encoding, "delimiter": delimiter, "sheet": sheet, "header_row": header_row}
    wanted["names"] = list(names)
    try:
        answer = _answer_of_child(path, table, limits, wanted)
        if "refused" in answer:
            log.info("File refused: %s %s", answer["refused"], answer.get("detail", ""))
            raise Unreadable(answer["refused"])
        facts: dict[str, Any] = {name: _frozen(value) for name, value in answer.items()}
        return ParsedFile(table=table, **facts)
    except BaseException:
        table.unlink(missing_ok=True)
        raise


def _answer_of_child(path: Path, table: Path, limits: Limits, wanted: dict) -> dict:
    options = json.dumps({"limits": asdict(limits), "wanted": wanted})
    # -I: no current directory, no user site, no PYTHON* variables.
    command = [sys.executable, "-I", str(CHILD), str(path.resolve()), str(table.resolve()), options]
    # Its answer goes to a file and not a pipe: the file-size limit holds there, and nothing fills our memory.
    with tempfile.TemporaryFile() as answer:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=answer,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            start_new_session=True,
        )
        try:
            code = child.wait(limits.wall_s)
        except subprocess.TimeoutExpired:
            code = -signal.SIGALRM
        finally:
            _end(child)
        if code != 0:
            log.warning("The reader of an uploaded file ended with code %s", code)
            raise Unreadable(_sentence_for(code, limits))
        answer.seek(0)
        text = answer.read(ANSWER_BYTES + 1)
    try:
        if len(text) > ANSWER_BYTES:
            raise ValueError("the answer is too long")
        return json.loads(text)
    except ValueError as error:
        raise Unreadable("The file could not be read.") from error


def _end(child: subprocess.Popen) -> None:
    """End the child with whatever it started, also when we are interrupted while we wait."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _environment() -> dict[str, str]:
    """Return all that the child sees: no secrets, one thread for number libraries, malloc for Arrow."""
    one_thread = dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"], "1")
    kept = {name: os.environ[name] for name in ["LD_LIBRARY_PATH", "SYSTEMROOT"] if name in os.environ}
    # A pool with its own arenas would take address space far beyond what is used, and the limit is on that.
    return {
        **kept,
        **one_thread,
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "MALLOC_ARENA_MAX": "2",
        "LANG": "C.UTF-8",
    }


def _sentence_for(code: int, limits: Limits) -> str:
    """Return what to tell people when the child ended by itself or by a signal (a negative code)."""
    if code in (-signal.SIGXCPU, -signal.SIGALRM):
        return f"Reading the file took longer than {limits.cpu_s} seconds, so it was stopped. Split it."
    if code < 0:
        return (
            f"The file broke the program that reads it, or needed more than {limits.memory_mb} MB of memory. "
            "It is damaged, far too big, or made to do harm."
        )
    return "The file could not be read."


def _frozen(value: object) -> object:
    """Return lists as tuples, all the way down."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
