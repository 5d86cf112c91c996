"""What must be recomputed: marks are inserted by the writing transaction, claimed and deleted by a worker.

One mark per change and key, never unique per key: a mark deleted by key would lose a write that comes while the worker
computes. The marks themselves are inserted by triggers (``coalition.bookkeeping``), so no writer can forget one. Marks
of a kind are swept by the task ``sweep.KIND`` of the app that owns it: the kernel knows no more than its name.
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from celery.exceptions import SoftTimeLimitExceeded
from django.core.cache import cache
from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models import Count, Min
from django.utils import timezone

from coalition import broker
from coalition.access import SYSTEM, acting_as
from coalition.celery import app
from coalition.models import Stale

AMBER_AFTER = timedelta(seconds=60)
SHARED_FROM = 30  # so many marks are work for two
ATTEMPTS = 3  # a row deleted under the worker, or a deadlock, is over the next time

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Claim:
    """The marks one worker has taken: their ids, and the distinct keys in sorted order."""

    ids: list[int]
    keys: list[str]


@dataclass(frozen=True)
class Waiting:
    """How many distinct keys wait to be recomputed, and since when the oldest mark does (aware UTC; None for none)."""

    keys: int
    since: datetime | None


def mark(kind: str, keys: Iterable[str]) -> None:
    """Insert one mark per distinct key, for changes no trigger sees (the date turns, a full recompute is asked for)."""
    Stale.objects.bulk_create([Stale(kind=kind, key=key) for key in sorted(set(keys))])


def mark_unmarked(kind: str, keys: Iterable[str]) -> int:
    """Mark those of the keys that no mark waits for; return how many. For what is asked again and again by the beat."""
    wanted = set(keys)
    waiting = Stale.objects.filter(kind=kind, key__in=wanted).values_list("key", flat=True)
    missing = wanted.difference(waiting)
    mark(kind, missing)
    return len(missing)


def claim(kind: str, limit: int = 500, *, without: Iterable[str] = ()) -> Claim:
    """Lock the keys of up to ``limit`` unclaimed marks, oldest first, and take all unclaimed marks of these keys.

    Call inside the READ COMMITTED transaction that computes and stores the answers; end with ``settle``. Marks that
    another worker holds are skipped. Waiting for the keys' locks orders two workers on the same key; only what is read
    after them is sure to hold what the marks stand for.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT key FROM coalition_stale WHERE kind = %s AND key <> ALL(%s)"
            " ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED",
            [kind, list(without), limit],
        )
        keys = sorted({key for (key,) in cursor.fetchall()})
        if not keys:
            return Claim(ids=[], keys=[])
        lock(kind, keys)
        cursor.execute(
            "SELECT id FROM coalition_stale WHERE kind = %s AND key = ANY(%s) FOR UPDATE SKIP LOCKED", [kind, keys]
        )
        return Claim(ids=[pk for (pk,) in cursor.fetchall()], keys=keys)


def lock(kind: str, keys: Iterable[str]) -> None:
    """Wait until no other transaction computes these keys, and hold them to the end of this one.

    All in one call, in one order everywhere, so that two workers cannot wait for each other.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(number) FROM (SELECT DISTINCT hashtextextended(key, 0) AS number"
            " FROM unnest(%s::text[]) AS key ORDER BY number) AS numbers",
            [[f"{kind}:{key}" for key in keys]],
        )


def settle(claimed: Claim) -> None:
    """Delete exactly the claimed marks: one that came meanwhile stays for the next round."""
    Stale.objects.filter(pk__in=claimed.ids).delete()


def drain(kind: str, recompute: Callable[[list[str]], object], *, chunk: int = 500) -> int:
    """Claim, recompute and settle, a chunk of marks per transaction, until none is left; return the number of keys.

    Acts as the system. A key whose answer cannot be computed keeps its marks and is logged; the others are not held up.
    """
    done, failures = 0, 0
    poisoned: list[str] = []
    while True:
        claimed = Claim(ids=[], keys=[])
        try:
            with acting_as(SYSTEM):
                claimed = claim(kind, chunk, without=poisoned)
                if not claimed.keys:
                    cache.set(swept_key(kind), time.time(), timeout=None)
                    return done
                recompute(claimed.keys)
                settle(claimed)
            done += len(claimed.keys)
            failures = 0
        except (IntegrityError, OperationalError):
            failures += 1
            if failures >= ATTEMPTS and not _one_by_one(kind, claimed, poisoned):
                raise
            chunk = 1 if failures >= ATTEMPTS else chunk
        except SoftTimeLimitExceeded:
            raise  # the marks stay, and the next sweep goes on
        except Exception:
            if not _one_by_one(kind, claimed, poisoned):
                raise
            chunk = 1


def _one_by_one(kind: str, claimed: Claim, poisoned: list[str]) -> bool:
    """After a failure: name the key when it was one alone; return False when nothing had been claimed."""
    if len(claimed.keys) == 1:
        log.exception("%s %s cannot be computed; its marks stay.", kind, claimed.keys[0])
        poisoned += claimed.keys
    return bool(claimed.keys)


def waiting(kind: str, *, prefix: str = "") -> Waiting:
    """Return what waits to be recomputed among the keys that begin with the prefix. One query."""
    found = Stale.objects.filter(kind=kind, key__startswith=prefix).aggregate(
        keys=Count("key", distinct=True), since=Min("marked_at")
    )
    return Waiting(**found)


def kinds() -> list[str]:
    """Return the kinds of answers there are, in order: each has its task ``sweep.KIND``."""
    return sorted(name.removeprefix("sweep.") for name in app.tasks if name.startswith("sweep."))


def swept_key(kind: str) -> str:
    """Return the cache's key of when a sweep of this kind last came to its end, in seconds since 1970."""
    return f"swept-{kind}"


def is_amber(since: datetime | None) -> bool:
    """Return True when marks have waited so long that a dashboard must say so."""
    return since is not None and timezone.now() - since > AMBER_AFTER


def nudge() -> None:
    """After commit, ask workers to sweep now. Beat sweeps anyway: a broker that is away costs nothing but seconds."""
    transaction.on_commit(send_sweeps)


def send_sweeps() -> None:
    """Send ``sweep.KIND`` for each kind that has marks, twice where two workers should share them; else nothing."""
    for kind, marks in Stale.objects.order_by("kind").values_list("kind").annotate(Count("pk")):
        for _ in range(2 if marks >= SHARED_FROM else 1):
            broker.send(f"sweep.{kind}", expires_s=60)
