"""What must be recomputed: marks are inserted by the writing transaction, claimed and deleted by a worker.

One mark per change and key, never unique per key: a mark deleted by key would lose a write that comes while the worker
computes. The marks themselves are inserted by triggers (``coalition.bookkeeping``), so no writer can forget one.
"""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection, transaction
from django.utils import timezone

from coalition.celery import app
from coalition.models import Stale

AMBER_AFTER = timedelta(seconds=60)
SILENCE_AFTER_FAILURE_S = 5.0

log = logging.getLogger(__name__)
_broker_silent_until = 0.0


@dataclass(frozen=True)
class Claim:
    """The marks one worker has taken: their ids, and the distinct keys in sorted order."""

    ids: list[int]
    keys: list[str]


def mark(kind: str, keys: Iterable[str]) -> None:
    """Insert one mark per distinct key, for changes no trigger sees (the date turns, a full recompute is asked for)."""
    Stale.objects.bulk_create([Stale(kind=kind, key=key) for key in sorted(set(keys))])


def claim(kind: str, limit: int = 500) -> Claim:
    """Lock up to ``limit`` unclaimed marks, oldest first, then each key's advisory lock in sorted order.

    Call inside the transaction that computes and stores the answers; end with ``settle``. Marks that another worker
    holds are skipped; waiting for a key's lock orders two workers on the same key.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, key FROM coalition_stale WHERE kind = %s ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED",
            [kind, limit],
        )
        rows = cursor.fetchall()
        keys = sorted({key for _, key in rows})
        for key in keys:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{kind}:{key}"])
    return Claim(ids=[pk for pk, _ in rows], keys=keys)


def settle(claimed: Claim) -> None:
    """Delete exactly the claimed marks: one that came meanwhile stays for the next round."""
    Stale.objects.filter(pk__in=claimed.ids).delete()


def waiting_since(kind: str):
    """Return when the oldest open mark was made (aware UTC), or None when everything is computed."""
    oldest = Stale.objects.filter(kind=kind).order_by("id").first()
    return oldest.marked_at if oldest else None


def is_amber(since) -> bool:
    """Return True when marks have waited so long that a dashboard must say so."""
    return since is not None and timezone.now() - since > AMBER_AFTER


def nudge() -> None:
    """After commit, ask a worker to sweep now. Beat sweeps anyway: a broker that is away costs seconds, no answers."""
    transaction.on_commit(_send)


def _send() -> None:
    global _broker_silent_until
    if time.monotonic() < _broker_silent_until or not Stale.objects.exists():
        return
    try:
        app.send_task("coalition.sweep", retry=False)
    except Exception:  # whatever the broker's client raises, the write is committed and the answer must go out
        _broker_silent_until = time.monotonic() + SILENCE_AFTER_FAILURE_S
        log.warning("The broker did not take a nudge; beat will sweep.", exc_info=True)
