"""Is the history still what was written? Closed stretches of it are sealed, and checked against their seals.

A seal holds a SHA-256 for each row of a stretch of one history table, is chained to the seal before it, belongs to the day
(UTC) it was made on, and is signed with a key that does not lie in the database. Rows are sealed minutes after they were
written, by a worker: a write pays nothing for it. What was not sealed yet is said to be so.

A *checkpoint* is the signed statement of one seal: how many rows there were, and the head of the chain. Kept elsewhere, it
proves later that the newest rows, or days, or seals were not taken away together.
"""

import hashlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date, datetime
from functools import cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.apps import apps
from django.conf import settings
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from coalition import embedded, jobs
from coalition.access import SYSTEM, acting_as
from coalition.models import HistorySeal, Tombstone

FORMAT = "coalition history checkpoint 1"
JOB = "history.verify"
ROWS_PER_SEAL = 5_000
PATIENCE_S = 5.0  # for writers that were at it when the sealing began
_LOCK = 0x5EA1  # an advisory lock: one sealer at a time
_LOOK_EVERY_S = 0.05
_TYPE = re.compile(r"[a-z][a-z0-9 ]*(\[\])?")


class NoKey(Exception):
    """Nothing can be signed here: ``HISTORY_KEY`` is not set, or is no key."""


class NotACheckpoint(ValueError):
    """The file is no checkpoint of a history; the text says why."""


@dataclass(frozen=True)
class Checkpoint:
    """What a seal says in one line, signed. ``rows`` of all tables up to it; ``head`` and keys in hexadecimal."""

    number: int
    day: date
    rows: int
    head: str
    sealed_at: datetime
    public_key: str
    signature: str

    def text(self) -> str:
        """Return the file to store elsewhere."""
        return (
            json.dumps({**self._stated(), "public_key": self.public_key, "signature": self.signature}, indent=2) + "\n"
        )

    def signed(self) -> bytes:
        """Return the bytes that are signed: JSON with sorted keys, without spaces."""
        return _canonical(self._stated())

    def _stated(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "number": self.number,
            "day": self.day.isoformat(),
            "rows": self.rows,
            "head": self.head,
            "sealed_at": self.sealed_at.isoformat(),
        }


@dataclass(frozen=True)
class Fault:
    """The first thing that is wrong. ``what``: changed, missing, inserted, order, seal, signature, checkpoint, gone."""

    what: str
    sentence: str
    table: str = ""
    row: int | None = None
    day: date | None = None


@dataclass(frozen=True)
class Verdict:
    """What checking found: sealed rows that hold, on how many days, the last head, and rows not sealed yet."""

    rows: int
    days: int
    head: str
    unsealed: int
    fault: Fault | None

    @property
    def sentence(self) -> str:
        if self.fault:
            return f"history is bent: {self.fault.sentence}"
        return f"history verified: {self.rows} rows, {self.days} days, head {self.head or 'none'}"


# --- Keys --------------------------------------------------------------------------------------------


def public_key() -> str:
    """Return the public half of the key that signs here, in hexadecimal. Raises NoKey."""
    return _public(_private_key())


def _private_key() -> Ed25519PrivateKey:
    seed = settings.HISTORY_KEY or (embedded.history_key(settings.DATA_DIR) if settings.EMBEDDED else "")
    if not seed:
        raise NoKey("HISTORY_KEY is not set, so history is not sealed here.")
    try:
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed.strip()))
    except ValueError as error:
        raise NoKey("HISTORY_KEY is not 64 hexadecimal digits.") from error


def _public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


def _known_keys() -> set[str]:
    """Return the public keys whose signatures count here."""
    keys = {key.strip().lower() for key in settings.HISTORY_PUBLIC_KEYS}
    try:
        keys.add(public_key())
    except NoKey:
        pass
    return keys


@cache
def _opened(public: str) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))


def _holds(checkpoint: Checkpoint) -> bool:
    try:
        _opened(checkpoint.public_key).verify(bytes.fromhex(checkpoint.signature), checkpoint.signed())
    except (InvalidSignature, ValueError):
        return False
    return True


# --- Sealing -----------------------------------------------------------------------------------------


def sealed_tables() -> dict[str, str]:
    """Return {history table: its key column}: one for each noun with a history, and what left the feed."""
    histories = [model for model in apps.get_models() if hasattr(model, "pgh_tracked_model")]
    return {model._meta.db_table: model._meta.pk.column for model in sorted([*histories, Tombstone], key=_table)}


def seal(*, patience_s: float = PATIENCE_S) -> int:
    """Seal what was written and whose writers are over; return how many rows. Opens its own transactions.

    A key is drawn while its row is written, so a lower one may be committed later. Therefore: look how far each table
    reaches, wait until every transaction that was open then is over, and seal up to there. Where a writer takes longer
    than ``patience_s``, nothing is sealed this time. Raises NoKey.
    """
    key = _private_key()
    reached, horizon = _reach()
    until = time.monotonic() + patience_s
    while not _all_over_below(horizon):
        if time.monotonic() > until:
            return 0
        time.sleep(_LOOK_EVERY_S)
    sealed = 0
    for table, (key_column, last) in reached.items():
        while rows := _seal_next(table, key_column, last, key):
            sealed += rows
    return sealed


def _reach() -> tuple[dict[str, tuple[str, int]], int]:
    """Return {table: (key column, its greatest key)} and the id that the next transaction takes, in one look."""
    quote = connection.ops.quote_name
    tables = sealed_tables()
    greatest = [f"(SELECT max({quote(key)}) FROM {quote(table)})" for table, key in tables.items()]
    with acting_as(SYSTEM), connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint, {', '.join(greatest)}")
        horizon, *found = cursor.fetchone()
    pairs = zip(tables.items(), found, strict=True)
    return {table: (key, last) for (table, key), last in pairs if last is not None}, horizon


def _all_over_below(horizon: int) -> bool:
    with acting_as(SYSTEM), connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        return cursor.fetchone()[0] >= horizon


def _seal_next(table: str, key_column: str, last: int, key: Ed25519PrivateKey) -> int:
    """Seal the next rows of a table, up to the key ``last``; return how many, 0 also where another one is sealing."""
    with acting_as(SYSTEM), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        if not cursor.fetchone()[0]:
            return 0
        newest = HistorySeal.objects.defer("keys", "digests").order_by("number").last()
        before = HistorySeal.objects.filter(table_name=table).order_by("-number")
        after = before.values_list("through", flat=True).first()
        columns = _columns_of(table, key_column)
        rows, keys, digests = _digests(table, columns, after, last, at_most=ROWS_PER_SEAL)
        if not rows:
            return 0
        now = timezone.now()
        made = HistorySeal(
            number=newest.number + 1 if newest else 1,
            day=max(now.date(), newest.day) if newest else now.date(),  # a clock put back makes no day twice
            table_name=table,
            columns=columns,
            after=after,
            through=_unpacked(keys)[-1],
            rows=rows,
            total=(newest.total if newest else 0) + rows,
            keys=keys,
            digests=digests,
            signature=b"",
            previous=bytes(newest.head) if newest else bytes(32),
            sealed_at=now,
        )
        made.head = _head_of(made)
        made.key = _public(key)
        made.signature = key.sign(_checkpoint(made).signed())
        made.save(force_insert=True)
    return rows


def _columns_of(table: str, key_column: str) -> list[list[str]]:
    """Return [[name, type], …] of a table as it is now, the key first; empty where there is no such table."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = to_regclass(%s)"
            " AND attnum > 0 AND NOT attisdropped ORDER BY attname <> %s, attnum",
            [connection.ops.quote_name(table), key_column],
        )
        return [list(row) for row in cursor.fetchall()]


def _digests(
    table: str, columns: list[list[str]], after: int | None, through: int, *, at_most: int | None = None
) -> tuple[int, bytes, bytes]:
    """Return how many rows lie behind ``after`` up to ``through``, their keys (8 bytes each) and SHA-256 (32 each).

    A row's bytes are PostgreSQL's binary form of the named columns, cast to the types they had when they were sealed: it
    does not depend on settings, and a column added later, or made wider, changes nothing.
    """
    quote = connection.ops.quote_name
    key = quote(columns[0][0])
    values = ", ".join(f"kept.{quote(name)}::{kind}" for name, kind in columns)
    behind = f"kept.{key} > %s AND" if after is not None else ""
    limit = f"ORDER BY kept.{key} LIMIT {int(at_most)}" if at_most else ""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('client_encoding', 'UTF8', true)")
        cursor.execute(
            "SELECT count(*), string_agg(key, ''::bytea ORDER BY number), string_agg(digest, ''::bytea ORDER BY number)"
            f" FROM (SELECT kept.{key} AS number, int8send(kept.{key}::bigint) AS key,"
            f" sha256(record_send(ROW({values}))) AS digest FROM {quote(table)} AS kept"
            f" WHERE {behind} kept.{key} <= %s {limit}) AS digested",
            [after, through] if after is not None else [through],
        )
        rows, keys, digests = cursor.fetchone()
    return rows, bytes(keys or b""), bytes(digests or b"")


def _head_of(made: HistorySeal) -> bytes:
    header = {
        "number": made.number,
        "day": made.day.isoformat(),
        "table": made.table_name,
        "columns": made.columns,
        "after": made.after,
        "through": made.through,
        "rows": made.rows,
        "total": made.total,
        "previous": bytes(made.previous).hex(),
        "sealed_at": made.sealed_at.isoformat(),
    }
    return hashlib.sha256(_canonical(header) + b"\n" + bytes(made.keys) + bytes(made.digests)).digest()


def _checkpoint(made: HistorySeal) -> Checkpoint:
    signature = bytes(made.signature).hex()
    return Checkpoint(made.number, made.day, made.total, bytes(made.head).hex(), made.sealed_at, made.key, signature)


def _canonical(thing: dict[str, Any]) -> bytes:
    return json.dumps(thing, sort_keys=True, separators=(",", ":")).encode()


def _unpacked(keys: bytes) -> list[int]:
    return [int.from_bytes(keys[at : at + 8], signed=True) for at in range(0, len(keys), 8)]


def _by_key(keys: bytes, digests: bytes) -> dict[int, bytes]:
    return {key: digests[32 * at : 32 * at + 32] for at, key in enumerate(_unpacked(keys))}


def _table(model) -> str:
    return model._meta.db_table


# --- Checkpoints -------------------------------------------------------------------------------------


def newest_checkpoint(day: date | None = None) -> Checkpoint | None:
    """Return the last checkpoint, of a day when one is given; None where nothing was sealed. Call while acting."""
    seals = HistorySeal.objects.defer("keys", "digests").order_by("number")
    made = (seals.filter(day=day) if day else seals).last()
    return _checkpoint(made) if made else None


def read_checkpoint(text: str | bytes) -> Checkpoint:
    """Return the checkpoint a file holds. Raises NotACheckpoint with a sentence; the signature is not looked at."""
    try:
        told = json.loads(text)
        if told.pop("format") != FORMAT:
            raise NotACheckpoint("This is no checkpoint of a history, or of another version.")
        return Checkpoint(
            int(told["number"]),
            date.fromisoformat(told["day"]),
            int(told["rows"]),
            str(told["head"]),
            datetime.fromisoformat(told["sealed_at"]),
            str(told["public_key"]),
            str(told["signature"]),
        )
    except NotACheckpoint:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise NotACheckpoint("This file is no checkpoint of a history.") from error


# --- Checking ----------------------------------------------------------------------------------------


class _Found(Exception):
    """Carries the first fault out of the checking."""

    def __init__(self, what: str, sentence: str, **where):
        self.fault = Fault(what, sentence, **where)


class _Checking:
    """One walk along the chain, seal by seal: only one seal's stretch is in memory."""

    def __init__(self, stored: Checkpoint | None):
        self.stored = stored
        self.keys = _known_keys()
        self.number, self.total, self.head = 0, 0, bytes(32)
        self.days: set[date] = set()
        self.through: dict[str, int] = {}
        self._columns: dict[str, dict[str, str]] = {}

    def step(self, made: HistorySeal) -> None:
        self._chain(made)
        self._signature(made)
        self._rows(made)
        self.number, self.total, self.head = made.number, made.total, bytes(made.head)
        self.days.add(made.day)
        self.through[made.table_name] = made.through
        if self.stored and self.stored.number == made.number and self.stored.head != self.head.hex():
            raise _Found(
                "checkpoint",
                f"the stored checkpoint of {self.stored.day} does not match: seal {made.number} has another head now,"
                " so what was sealed up to it was written anew",
                day=made.day,
            )

    def _chain(self, made: HistorySeal) -> None:
        where = {"table": made.table_name, "day": made.day}
        if made.number != self.number + 1:
            raise _Found("order", f"seal {self.number + 1} of {made.day} or before is missing", **where)
        if bytes(made.previous) != self.head or (self.days and made.day < max(self.days)):
            raise _Found("order", f"seal {made.number} of {made.day} does not follow seal {self.number}", **where)
        if (made.after, made.total) != (self.through.get(made.table_name), self.total + made.rows):
            raise _Found("order", f"seal {made.number} of {made.day} does not begin where the last ended", **where)
        if _head_of(made) != bytes(made.head):
            raise _Found("seal", f"seal {made.number} of {made.day} ({made.table_name}) was changed", **where)

    def _signature(self, made: HistorySeal) -> None:
        where = {"table": made.table_name, "day": made.day}
        if made.key not in self.keys:
            raise _Found(
                "signature",
                f"seal {made.number} of {made.day} is signed with a key ({made.key[:16]}…) that is not known here;"
                " HISTORY_KEY signs, HISTORY_PUBLIC_KEYS names others",
                **where,
            )
        if not _holds(_checkpoint(made)):
            raise _Found("signature", f"the signature of seal {made.number} of {made.day} is wrong", **where)

    def _rows(self, made: HistorySeal) -> None:
        where = {"table": made.table_name, "day": made.day}
        there = self._columns.get(made.table_name)
        if there is None:
            there = self._columns[made.table_name] = dict(_columns_of(made.table_name, made.columns[0][0]))
        for name, kind in made.columns:
            if name not in there or not _TYPE.fullmatch(kind):
                raise _Found("gone", f"the column {name} of {made.table_name} is gone, which was sealed", **where)
        rows, keys, digests = _digests(made.table_name, made.columns, made.after, made.through)
        if (rows, keys, digests) == (made.rows, bytes(made.keys), bytes(made.digests)):
            return
        was, now = _by_key(bytes(made.keys), bytes(made.digests)), _by_key(keys, digests)
        row = min(key for key in was.keys() | now.keys() if was.get(key) != now.get(key))
        what = "missing" if row not in now else "inserted" if row not in was else "changed"
        sentence = f"{made.table_name} row {row}, sealed on {made.day}: {what}"
        raise _Found(what, sentence, row=row, **where)

    def end(self) -> None:
        if self.stored and self.stored.number > self.number:
            raise _Found(
                "checkpoint",
                f"the stored checkpoint of {self.stored.day} knows {self.stored.rows} rows in {self.stored.number} seals,"
                f" and here are {self.total} in {self.number}: the newest were taken away",
                day=self.stored.day,
            )

    def start(self) -> None:
        if self.stored:
            known = self.stored.public_key in self.keys
            if not known or not _holds(self.stored):
                why = "its signature is wrong" if known else "it was signed with a key that is not known here"
                raise _Found("signature", f"the stored checkpoint of {self.stored.day} does not count: {why}")


def verify(*, stored: Checkpoint | None = None, tell: Callable[[int, int], None] | None = None) -> Verdict:
    """Walk along the whole history and say whether it is what was sealed, or the first thing that is wrong.

    ``stored`` is a checkpoint that was kept elsewhere; ``tell`` is told rows done and rows in all. Memory stays flat.
    Opens its own transaction.
    """
    fault = None
    with acting_as(SYSTEM):
        in_all = HistorySeal.objects.order_by("-number").values_list("total", flat=True).first() or 0
        checking = _Checking(stored)
        try:
            checking.start()
            for made in HistorySeal.objects.order_by("number").iterator(chunk_size=10):
                checking.step(made)
                if tell:
                    tell(checking.total, in_all)
            checking.end()
        except _Found as found:
            fault = found.fault
        not_yet = unsealed() if fault else _unsealed(checking.through)
    head = checking.head.hex() if checking.number else ""
    return Verdict(checking.total, len(checking.days), head, not_yet, fault)


def unsealed() -> int:
    """Return how many rows of history were written and not sealed yet. Call while acting as the system."""
    newest = HistorySeal.objects.order_by("table_name", "-number").distinct("table_name")
    return _unsealed(dict(newest.values_list("table_name", "through")))


def _unsealed(through: dict[str, int]) -> int:
    quote = connection.ops.quote_name
    counts = " + ".join(
        f"(SELECT count(*) FROM {quote(table)}"
        + (f" WHERE {quote(key)} > {int(through[table])})" if table in through else ")")
        for table, key in sealed_tables().items()
    )
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {counts}")
        return cursor.fetchone()[0]


@jobs.handles(JOB)
def check(work: jobs.Work) -> dict[str, Any]:
    """Seal what can be sealed, then verify all of it, for an administrator who pressed the button."""
    stored, warning = work.arguments.get("checkpoint"), ""
    try:
        seal()
    except NoKey as error:
        warning = str(error)
    verdict = verify(stored=read_checkpoint(stored) if stored else None, tell=work.progress)
    return {
        "label": "See what was found",
        "href": reverse("history:page"),
        "sentence": verdict.sentence,
        "warning": warning,
        "fault": asdict(verdict.fault) | {"day": str(verdict.fault.day or "")} if verdict.fault else None,
        "rows": verdict.rows,
        "days": verdict.days,
        "head": verdict.head,
        "unsealed": verdict.unsealed,
        "against": read_checkpoint(stored).day.isoformat() if stored else "",
    }
