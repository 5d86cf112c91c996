"""A whole list as a file: streamed at once, or made by a worker and kept for a day.

Lists of more rows than their format is quick with (``Export.at_once``), and requests with ``Prefer: respond-async``
(RFC 7240), become a job. The worker asks the same address as the same person, so a file holds exactly what that person
may see when it is made. A file is its owner's alone, and is asked about again when it is fetched: see ``held``.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Q
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict, StreamingHttpResponse
from django.urls import resolve, reverse
from django.utils import timezone
from django.utils.cache import patch_vary_headers

from coalition import jobs
from coalition.access import Tier, acting_as, actor_of
from coalition.editing import Refused
from coalition.models import Job, Tombstone
from coalition.renderers import Export
from coalition.rows import Rows, Stored

KIND = "export"
KEEP = timedelta(days=1)
MOST_WAITING = 5  # unfinished files of one person
COUNT_UP_TO = 100_000  # rows; above it the planner's estimate is good enough, and counting would take too long


class TooMany(Refused):
    """The person has as many unfinished exports as are allowed."""

    status = 409
    code = "too_many_exports"


@dataclass(frozen=True)
class Held:
    """A file that is ready: where it lies, its media type and name, bytes, and a tag of its content."""

    path: Path
    media_type: str
    name: str
    size: int
    tag: str


# --- At once ----------------------------------------------------------------------------------------


def streamed(request, renderer: Export, rows: Rows, *, name: str) -> StreamingHttpResponse:
    """Answer with a file. The request's transaction is over when it is written, so it is written in its own."""
    actor = actor_of(request.user)
    work: jobs.Work | None = getattr(request, "work", None)
    if work and isinstance(rows, Stored):
        work.total = rows.estimate()
        rows = replace(rows, tell=lambda written: work.progress(work.done + written))

    def pieces() -> Iterator[bytes]:
        with acting_as(actor):
            yield from renderer.write(rows)

    ending = getattr(renderer, "file_ending", renderer.format)
    headers = {"Content-Disposition": f'attachment; filename="{name}-{timezone.now():%Y%m%dT%H%MZ}.{ending}"'}
    content_type = f"{renderer.media_type}; charset={renderer.charset}" if renderer.charset else renderer.media_type
    content = pieces()
    if not renderer.is_packed and not work and takes_gzip(request):
        content, headers["Content-Encoding"] = gzipped(content), "gzip"
    response = StreamingHttpResponse(content, content_type=content_type, headers=headers)
    if not renderer.is_packed:
        patch_vary_headers(response, ["Accept-Encoding"])
    response.tables = rows.tables if isinstance(rows, Stored) else []
    return response


def takes_gzip(request: HttpRequest) -> bool:
    """Return whether the answer may be compressed with gzip. Source: RFC 9110, 12.5.3."""
    for part in request.headers.get("Accept-Encoding", "").split(","):
        coding, _, weight = part.partition(";")
        if coding.strip().lower() == "gzip":
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def gzipped(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the pieces as one gzip stream; the first goes out at once."""
    packer = zlib.compressobj(level=1, wbits=31)
    first = True
    for piece in pieces:
        packed = packer.compress(piece)
        if first:
            packed, first = packed + packer.flush(zlib.Z_SYNC_FLUSH), False
        if packed:
            yield packed
    yield packer.flush()


# --- Later ------------------------------------------------------------------------------------------


def is_for_a_job(request, renderer: Export, rows: Rows) -> bool:
    """Return whether the file is made by a worker: it was asked for, or the list is too long to be waited for."""
    if hasattr(request, "work") or not isinstance(rows, Stored):
        return False
    if "respond-async" in [each.strip().lower() for each in request.headers.get("Prefer", "").split(",")]:
        return True
    if renderer.at_once <= COUNT_UP_TO:
        return rows.has_more_than(renderer.at_once)
    return rows.estimate() > renderer.at_once


def put_off(request, renderer: Export) -> HttpResponse:
    """Answer 202 with the job that makes the file; a browser is sent to the job's page.

    The same list asked for again while its job is unfinished is that job. Raises TooMany.
    """
    query = request.GET.copy()
    query["format"] = renderer.format
    arguments = {"path": request.path, "query": query.urlencode()}
    unfinished = Job.objects.filter(
        kind=KIND, user_id=request.user.pk, state__in=[Job.State.WAITING, Job.State.RUNNING]
    )
    job = unfinished.filter(arguments=arguments).first()
    if job is None:
        if unfinished.count() >= MOST_WAITING:
            raise TooMany(f"{MOST_WAITING} of your exports are not finished yet. Wait for one, or cancel one.")
        job = jobs.start(KIND, by=request.user, arguments=arguments)
    if "text/html" in request.headers.get("Accept", ""):
        return HttpResponse(status=303, headers={"Location": reverse("jobs:detail", args=[job.pk])})
    return JsonResponse(
        {"id": str(job.pk), "state": job.state, "detail": "The file is being made. Ask at Location how far it is."},
        status=202,
        headers={
            "Location": reverse("api:exports-detail", args=[job.pk]),
            "Preference-Applied": "respond-async",
            "Retry-After": "1",
        },
    )


@jobs.handles(KIND)
def make(work: jobs.Work) -> dict[str, Any]:
    """Write the file of a job; return what there is to know about it."""
    folder().mkdir(parents=True, exist_ok=True)
    request = HttpRequest()
    request.method, request.path, request.user = "GET", work.arguments["path"], work.user
    request.META = {"SERVER_NAME": "localhost", "SERVER_PORT": "80", "QUERY_STRING": work.arguments["query"]}
    request.GET = QueryDict(work.arguments["query"])
    request.work = work
    match = resolve(request.path)
    with work.acting() as actor:
        oldest = _oldest_unfinished()
        response = match.func(request, *match.args, **match.kwargs)
    if response.status_code != 200:
        raise jobs.JobFailed("The list cannot be read any more as it was asked for.")
    path = path_of(work.job_id)
    unfinished = path.with_suffix(f".{work.number}")  # of this attempt: one that was given up may still be writing
    try:
        with unfinished.open("wb") as file:
            for piece in response.streaming_content:
                file.write(piece)
        work.progress(work.done)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    work.total = work.done
    name = response.headers["Content-Disposition"].partition('filename="')[2].rstrip('"')
    return {
        "label": f"Download {name}",
        "href": reverse("api:exports-file", args=[work.job_id]),
        "name": name,
        "media_type": response.headers["Content-Type"],
        "size": path.stat().st_size,
        "rows": work.done,
        "seen_as": [actor.role, actor.nation, int(actor.tier)],
        "tables": response.tables,
        "oldest_unfinished": oldest,
    }


def held(job: Job, *, user) -> Held | None:
    """Return the file of a job if the user may still see all of it, else None.

    It is not given out after a day, nor when the owner's role, nation or tier is another one by now, nor when a row of
    its tables was hidden from them or deleted since it was begun. Then it must be made again.
    """
    made, actor = job.result or {}, actor_of(user)
    path = path_of(job.pk)
    if job.user_id != actor.user_id or job.state != Job.State.DONE or not path.is_file():
        return None
    if job.finished_at < timezone.now() - KEEP or made["seen_as"] != [actor.role, actor.nation, int(actor.tier)]:
        return None
    if actor.tier < Tier.PLANNING:
        lost = Tombstone.objects.filter(
            kind__in=made["tables"], changed_xid__gte=made["oldest_unfinished"], tier_before__lte=actor.tier
        )
        if actor.nation:
            lost = lost.filter(Q(nation_id=None) | ~Q(nation_id=actor.nation))
        if lost.exists():
            return None
    return Held(path, made["media_type"], made["name"], path.stat().st_size, f'"{job.pk}"')


def throw_away() -> int:
    """Remove files that are older than a day or belong to no job; return how many. Call while acting as the system."""
    young = set(
        Job.objects.filter(Q(finished_at=None) | Q(finished_at__gte=Now() - KEEP), kind=KIND).values_list(
            "pk", flat=True
        )
    )
    old = [path for path in folder().glob("*") if path.stem not in {str(pk) for pk in young}]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def folder() -> Path:
    return Path(settings.MEDIA_ROOT) / "exports"


def path_of(job_id) -> Path:
    return folder() / f"{job_id}.file"


def _oldest_unfinished() -> int:
    """Return the id below which every transaction is over: what is hidden later has this one or a greater."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        return cursor.fetchone()[0]
