"""Is the product alive, and are its parts? For probes, so it says names of parts and ok or not, and nothing else.

Answered by a middleware before any other: no login, no host check, no redirect, and above all no transaction, which
would make the answer about a missing database an error of its own.
"""

import time
from collections.abc import Callable
from functools import cache as remembered

import redis
from django.conf import settings
from django.core.cache import cache
from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse

WORKER_SEEN = "worker-seen"
LAST_BEAT = "last-beat"  # seconds since 1970, kept for ever
WORKER_SILENT_AFTER_S = 60  # beat asks every five seconds


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
        worker = "ok" if cache.get(WORKER_SEEN) else "missing"
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
    """Note that a worker did a task just now."""
    cache.set(WORKER_SEEN, True, timeout=WORKER_SILENT_AFTER_S)
    cache.set(LAST_BEAT, time.time(), timeout=None)


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
