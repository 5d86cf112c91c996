"""What a monitoring system reads at ``/metrics``: is work done, how old is what waits, what failed, how long answers take.

Closed unless an operator opens it: to networks that ask directly, or to who knows a token. Everybody else gets what any
unknown address gets. Numbers here count work, never what people wrote: no nation, no pledge, no report can be read off.

Requests are counted in shared files by every process of the web server (``PROMETHEUS_MULTIPROC_DIR``, set in
``coalition.serving``). All else is asked of the database when somebody looks, so it is the same behind any web server.

Source: Prometheus, "Metric and label naming"; prometheus_client, "Multiprocess Mode".
"""

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any

import redis
from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, connection
from django.db.models import Count, Min, Q
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from coalition import health, jobs, stale
from coalition.access import SYSTEM, acting_as
from coalition.celery import app
from coalition.models import Job, Stale, WebhookDelivery

HERE = CollectorRegistry()  # what this process counted
REQUESTS = Counter("coalition_requests", "Requests answered.", ["view", "method", "status"], registry=HERE)
SECONDS = Histogram(
    "coalition_request_seconds",
    "Seconds until an answer began; a streamed file goes on after that.",
    ["view", "method"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
    registry=HERE,
)
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
UNMATCHED = "none"  # an address that leads to no view: strangers choose those, so they get no label of their own


class MetricsMiddleware:
    """Answer ``/metrics`` to who may read it; count and time everything else."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info == "/metrics" and request.method == "GET" and may_read(request):
            return HttpResponse(text(), content_type=CONTENT_TYPE_PLAIN_0_0_4, headers={"Cache-Control": "no-store"})
        began = time.perf_counter()
        response = self.get_response(request)
        view = request.resolver_match.view_name if request.resolver_match else UNMATCHED
        method = request.method if request.method in METHODS else "other"
        SECONDS.labels(view, method).observe(time.perf_counter() - began)
        REQUESTS.labels(view, method, response.status_code).inc()
        return response


def may_read(request: HttpRequest) -> bool:
    """Return True for who sends the token, and for a network that is let in and asks directly, not through the proxy."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if settings.METRICS_TOKEN and scheme.lower() == "bearer":
        return secrets.compare_digest(token.encode(), settings.METRICS_TOKEN.encode())
    if "X-Forwarded-For" in request.headers:  # behind the proxy everybody has the proxy's address
        return False
    try:
        address = ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return False
    return any(address in network for network in settings.METRICS_NETWORKS)


def text() -> bytes:
    """Return all metrics in Prometheus' text format."""
    state = CollectorRegistry()
    state.register(State())
    counted = HERE
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        counted = CollectorRegistry()
        MultiProcessCollector(counted)
    return generate_latest(state) + generate_latest(counted)


class State(Collector):
    """What the database, the broker and the disk say now. A part that does not answer leaves its metrics out."""

    def describe(self) -> list:
        """Say nothing beforehand: registering may not ask the database."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        app.loader.import_default_modules()  # which kinds of work there are is known to who imported the tasks
        parts = health.state_of_parts()
        yield gauge(
            "coalition_part_up", "1 if the part is there, as /readyz says.", ["part"],
            {(name,): state == "ok" for name, state in parts.items()},
        )  # fmt: skip
        yield from _disk()
        if parts["broker"] == "ok":
            yield from _broker()
        if parts["database"] != "ok" or parts["migrations"] != "ok":
            return
        try:
            with acting_as(SYSTEM):
                families = [*_jobs(), *_stale(), *_webhooks(), *_last_seen(), *_connections()]
        except DatabaseError:  # it went away while we asked
            connection.close()
            return
        yield from families


def gauge(name: str, said: str, labels: list[str], values: Mapping[tuple, float]) -> GaugeMetricFamily:
    """Return a gauge with one sample for each tuple of label values."""
    family = GaugeMetricFamily(name, said, labels=labels)
    for key, value in values.items():
        family.add_metric([str(part) for part in key], float(value))
    return family


def _disk() -> Iterator[GaugeMetricFamily]:
    disk = shutil.disk_usage(settings.DATA_DIR)
    yield gauge("coalition_disk_free_bytes", "Free where uploads and exports lie.", [], {(): disk.free})
    yield gauge("coalition_disk_size_bytes", "Size of that disk.", [], {(): disk.total})


def _broker() -> Iterator[GaugeMetricFamily]:
    client = redis.Redis.from_url(settings.CELERY_BROKER_URL, socket_connect_timeout=1, socket_timeout=1, retry=None)
    try:
        length = sum(client.llen(queue.name) for queue in settings.CELERY_TASK_QUEUES)
    except (redis.RedisError, OSError):
        return
    finally:
        client.close()
    yield gauge("coalition_broker_messages", "Messages no worker has taken yet.", [], {(): length})


def _jobs() -> Iterator[GaugeMetricFamily]:
    kinds: dict[str, Mapping[str, Any]] = {kind: {} for kind in jobs.kinds()}
    unfinished = Q(state__in=[Job.State.WAITING, Job.State.RUNNING])
    lately = Q(state=Job.State.FAILED, finished_at__gte=Now() - jobs.LATELY)
    found = Job.objects.filter(unfinished | lately).order_by().values("kind").annotate(
        waiting=Count("pk", filter=Q(state=Job.State.WAITING)),
        running=Count("pk", filter=Q(state=Job.State.RUNNING)),
        failed=Count("pk", filter=Q(state=Job.State.FAILED)),
        since=Min("created_at", filter=Q(state=Job.State.WAITING)),
    )  # fmt: skip
    kinds |= {row["kind"]: row for row in found}
    for name, said in (
        ("waiting", "Jobs no worker has begun."),
        ("running", "Jobs in work: imports and exports in progress among them."),
        ("failed", "Jobs given up within the last hour, with the reason on their page."),
    ):
        counts = {(kind,): row.get(name, 0) for kind, row in kinds.items()}
        yield gauge(f"coalition_jobs_{name}", said, ["kind"], counts)
    ages = {(kind,): _age(row.get("since")) for kind, row in kinds.items()}
    yield gauge("coalition_job_oldest_waiting_seconds", "Age of the oldest job not begun; 0 for none.", ["kind"], ages)


def _stale() -> Iterator[GaugeMetricFamily]:
    found = dict.fromkeys(stale.kinds(), (0, None))
    rows = Stale.objects.order_by().values_list("kind").annotate(Count("key", distinct=True), Min("marked_at"))
    found |= {kind: (keys, since) for kind, keys, since in rows}
    keys = {(kind,): keys for kind, (keys, _) in found.items()}
    ages = {(kind,): _age(since) for kind, (_, since) in found.items()}
    yield gauge("coalition_stale_keys", "Stored answers that wait to be recomputed.", ["kind"], keys)
    yield gauge("coalition_stale_oldest_seconds", "How long the oldest of them waits; 0 for none.", ["kind"], ages)


def _webhooks() -> Iterator[GaugeMetricFamily]:
    rows = dict(WebhookDelivery.objects.order_by().values_list("state").annotate(Count("pk")))
    counts = {(state,): rows.get(state, 0) for state in (WebhookDelivery.State.WAITING, WebhookDelivery.State.DEAD)}
    yield gauge("coalition_webhook_deliveries", "Messages to webhooks: waiting, or given up.", ["state"], counts)


def _last_seen() -> Iterator[GaugeMetricFamily]:
    seen = health.worker_seen_at()
    beat = seen.timestamp() if seen else 0
    yield gauge(
        "coalition_last_beat_timestamp_seconds",
        "When a worker last did what the beat asks for every five seconds; 0 for never.", [], {(): beat},
    )  # fmt: skip
    swept = {(kind,): cache.get(stale.swept_key(kind), 0) for kind in stale.kinds()}
    yield gauge(
        "coalition_last_sweep_timestamp_seconds",
        "When a sweep of this kind last came to its end; it does not run while nothing is stale.", ["kind"], swept,
    )  # fmt: skip


def _connections() -> Iterator[GaugeMetricFamily]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(state, 'of others'), count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() GROUP BY 1"
        )
        states = {(state,): number for state, number in cursor.fetchall()}
        cursor.execute("SELECT current_setting('max_connections')::int, pg_database_size(current_database())")
        most, size = cursor.fetchone()
    yield gauge("coalition_database_connections", "Connections to this database, by what they do.", ["state"], states)
    yield gauge("coalition_database_connections_max", "Connections the server takes at most.", [], {(): most})
    yield gauge("coalition_database_size_bytes", "Size of the database on its disk.", [], {(): size})


def _age(since) -> float:
    return max(0.0, time.time() - since.timestamp()) if since else 0.0
