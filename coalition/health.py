"""Is the product alive, and are its parts? For probes, so it says names of parts and ok or not, and nothing else.

Answered by a middleware before any other: no login, no host check, no redirect, and above all no transaction, which
would make the answer about a missing database an error of its own.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache as remembered

import redis
from django.conf import settings
from django.core.cache import cache
from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone

WORKER_SEEN = "worker-seen"
WORKER_SILENT_AFTER = timedelta(seconds=20)  # beat asks every five, and every job at work says so every two
KEEP_S = 30 * 24 * 3600


class HealthMiddleware:
    """Answer ``/healthz`` (this process is alive) and ``/readyz`` (what of the rest is)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info == "/healthz":
            return HttpResponse("ok\n", content_type="text/plain", headers={"Cache-Control": "no-store"})
        if request.path_info == "/readyz":
            parts = state_of_parts()
            return JsonResponse(
                {"status": overall(parts), "parts": parts},
                status=200 if parts["database"] == parts["migrations"] == "ok" else 503,
                headers={"Cache-Control": "no-store"},
            )
        return self.get_response(request)


def overall(parts: dict[str, str]) -> str:
    """Return ``ok``, ``degraded`` (people can work; what they change is counted later) or ``unavailable``."""
    if parts["database"] != "ok" or parts["migrations"] != "ok":
        return "unavailable"
    return "ok" if set(parts.values()) == {"ok"} else "degraded"


def state_of_parts() -> dict[str, str]:
    """Return ``ok``, ``missing`` or, behind a database that does not answer, ``unknown``, for each part."""
    broker = "ok" if broker_answers() else "missing"
    try:
        connection.ensure_connection()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        worker = "missing" if worker_is_silent() else "ok"
    except DatabaseError:
        connection.close()
        return {"database": "missing", "migrations": "unknown", "broker": broker, "worker": "unknown"}
    try:
        demand_all_migrations()
        migrations = "ok"
    except LookupError:
        migrations = "missing"
    return {"database": "ok", "migrations": migrations, "broker": broker, "worker": worker}


def worker_was_here() -> None:
    """Note that a worker is at work now."""
    cache.set(WORKER_SEEN, timezone.now(), timeout=KEEP_S)


def worker_seen_at() -> datetime | None:
    """Return when a worker was last heard of, None when it is a month ago or never. One query."""
    return cache.get(WORKER_SEEN)


def worker_is_silent() -> bool:
    """Return True when no worker was heard of for a while: it, the beat or the broker is away. One query."""
    seen = worker_seen_at()
    return seen is None or timezone.now() - seen > WORKER_SILENT_AFTER


@remembered  # an error is not: once applied, they stay so for the life of this process
def demand_all_migrations() -> None:
    """Raise LookupError while a migration of this code is not in the database."""
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise LookupError("Migrations wait.")


def broker_answers() -> bool:
    """Return True if the broker answers within a second."""
    client = redis.Redis.from_url(settings.CELERY_BROKER_URL, socket_connect_timeout=1, socket_timeout=1, retry=None)
    try:
        return bool(client.ping())
    except (redis.RedisError, OSError):
        return False
    finally:
        client.close()
