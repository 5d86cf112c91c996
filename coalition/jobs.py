"""Long work done for somebody: it survives its worker, shows its progress, and is done once.

The ``Job`` row is the truth; Celery only carries its id. A worker counts its attempt and commits that before it begins.
While it works, a thread beside it writes a heartbeat and the progress through its own connection, so both are seen
although the work itself stands in one long transaction. A job whose heart has stopped, or that lost its database on the
way, is given to another worker, three times at most; then it has failed, with its reason, until somebody has it tried
again. A handler may so be called again after it had committed: it asks its own rows first.

A handler is a function of a ``Work`` that returns a JSON object, registered where the app's tasks are imported::

    @jobs.handles("import.commit")
    def commit(work: jobs.Work) -> dict: ...
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from celery.exceptions import SoftTimeLimitExceeded
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.db.models import F, Q, QuerySet, TextField, Value
from django.db.models.functions import Concat, Now

from coalition import broker, health
from coalition.access import SYSTEM, Actor, acting_as, actor_of
from coalition.disk import NoRoom, is_full
from coalition.editing import Refused
from coalition.models import Job, User

MOST_ATTEMPTS = 3
BEAT_S = 2.0
LOST_AFTER = timedelta(seconds=12)  # without a heartbeat
MESSAGE_S = 30  # how long a message waits for a worker
LOST_AT_ONCE = 50
HANDS = 2  # workers that look for jobs whose message was lost, or waits in a long queue
LOOK_S = 4.0  # no such job is begun later: a worker then does what else waits, such as the dashboards
LONGEST_S = 3600
LATELY = timedelta(hours=1)  # failures within it are shown to who watches the machine

State = Job.State
Handler = Callable[["Work"], dict[str, Any] | None]

log = logging.getLogger(__name__)
_handlers: dict[str, Handler] = {}


class NotFailed(Refused):
    """Only a job that failed can be tried again."""

    code = "not_failed"


class KeyUsed(ValueError):
    """The idempotency key was used before for something else."""


class JobFailed(Exception):
    """The work cannot be done; the text is a sentence for the person who asked for it."""


class JobLost(Exception):
    """The job was cancelled, or given to another worker: stop, and write nothing more."""


@dataclass
class Work:
    """One attempt at a job, as its handler sees it. ``user`` is who asked for it, None for the system."""

    job_id: UUID
    kind: str
    number: int
    user: User | None
    arguments: dict[str, Any]
    done: int = 0
    total: int | None = None
    is_lost: bool = False  # set by the heartbeat

    def progress(self, done: int, total: int | None = None) -> None:
        """Say how far the work is, as often as you like; raises JobLost when it is no longer wanted."""
        self.done, self.total = done, self.total if total is None else total
        if self.is_lost:
            raise JobLost

    @contextmanager
    def acting(self, why: str = "") -> Iterator[Actor]:
        """Open ``acting_as`` for whoever asked for the job: the work may see and do what they may."""
        with acting_as(self.user or SYSTEM, why) as actor:
            yield actor


def handles(kind: str) -> Callable[[Handler], Handler]:
    """Register the handler of a kind of job."""

    def register(handler: Handler) -> Handler:
        _handlers[kind] = handler
        return handler

    return register


def kinds() -> list[str]:
    """Return the kinds that this process knows how to do, in order; all of them where the tasks are imported."""
    return sorted(_handlers)


def start(kind: str, *, by, arguments: dict[str, Any] | None = None, idempotency_key: str | None = None) -> Job:
    """Write the job down and, after commit, have a worker take it up. Call while acting as ``by``.

    The same key from the same person gives the job that is there already. Raises KeyUsed when that one is of another
    kind or has other arguments.
    """
    arguments = arguments or {}
    actor = actor_of(by)
    key = idempotency_key and f"{actor.user_id}:{idempotency_key}"
    job, is_new = (
        Job.objects.get_or_create(
            idempotency_key=key, defaults={"kind": kind, "user_id": actor.user_id, "arguments": arguments}
        )
        if key
        else (Job.objects.create(kind=kind, user_id=actor.user_id, arguments=arguments), True)
    )
    if (job.kind, job.arguments) != (kind, arguments):
        raise KeyUsed("This idempotency key was used before, for something else.")
    if is_new:
        transaction.on_commit(lambda: _send(job.pk))
    return job


def cancel(job_id: UUID | str, *, by) -> bool:
    """Stop a job that the user may see; return False when it was over. Call while acting. Raises Job.DoesNotExist."""
    job = Job.objects.visible_to(by).get(pk=job_id)
    return bool(
        Job.objects.filter(pk=job.pk, state__in=[State.WAITING, State.RUNNING]).update(
            state=State.CANCELLED, finished_at=Now(), error="Cancelled."
        )
    )


def retry(job_id: UUID | str, *, by) -> None:
    """Try a failed job again, with all its attempts. Call while acting. Raises Job.DoesNotExist and NotFailed."""
    job = Job.objects.visible_to(by).get(pk=job_id)
    again = Job.objects.filter(pk=job.pk, state=State.FAILED).update(
        state=State.WAITING, attempts=0, done=0, error="", started_at=None, heartbeat_at=None, finished_at=None
    )
    if not again:
        raise NotFailed("Only a job that failed can be tried again.")
    transaction.on_commit(lambda: _send(job.pk))


def work(job_id: UUID | str) -> bool:
    """Do the job now, in this process; return False when there was nothing to do. Raises nothing of the handler's."""
    attempt = _begin(job_id)
    if attempt is None:
        return False
    with _heartbeat(attempt):
        outcome = _outcome(attempt)
    if outcome is not None:
        _write(attempt, **outcome)
    return True


def give_back(job_id: UUID | str) -> None:
    """Let another worker have the job at once: whose it was is known to be dead. Leaves no connection behind."""
    with acting_as(SYSTEM):
        Job.objects.filter(pk=job_id, state=State.RUNNING).update(heartbeat_at=Now() - LOST_AFTER)
    connection.close()


def take_up() -> int:
    """Give up what was tried often enough, and send for what lost its worker or waits; return how many jobs those are.

    Why the last attempt ended stays with what is given up; where nobody could write that, its worker died. What waits
    is not sent one by one: a long queue would grow by its own length at every beat.
    """
    with acting_as(SYSTEM):
        given_up = Job.objects.filter(_LOST, attempts__gte=MOST_ATTEMPTS)
        given_up.filter(error="").update(error="Its worker died.")
        enough = Value(f" It was begun {MOST_ATTEMPTS} times. Nothing more is tried by itself.")
        why = Concat("error", enough, output_field=TextField())
        given_up.update(state=State.FAILED, finished_at=Now(), error=why)
        lost = list(Job.objects.filter(_LOST).order_by("created_at").values_list("pk", flat=True)[:LOST_AT_ONCE])
        waiting = _waiting_long().count()
    for pk in lost:
        _send(pk)
    for _ in range(min(waiting, HANDS)):
        broker.send("coalition.work_off", expires_s=LOOK_S)
    return len(lost) + waiting


def work_off(*, budget_s: float = LOOK_S) -> int:
    """Do what has waited longest, one after the other, beginning none after ``budget_s``; return how many were done."""
    done = 0
    until = time.monotonic() + budget_s
    while time.monotonic() < until:
        with acting_as(SYSTEM):
            pk = _waiting_long().order_by("created_at").values_list("pk", flat=True).first()
        if pk is None:
            break
        done += work(pk)  # False where another was quicker
    return done


def _waiting_long() -> QuerySet[Job]:
    return Job.objects.filter(state=State.WAITING, created_at__lt=Now() - LOST_AFTER)


_LOST = Q(state=State.RUNNING, heartbeat_at__lt=Now() - LOST_AFTER)


def _send(job_id: UUID) -> bool:
    return broker.send("coalition.work", str(job_id), expires_s=MESSAGE_S)


def _begin(job_id: UUID | str) -> Work | None:
    """Count the attempt and commit it; None when the job is over, or in another worker's hands."""
    free = Q(state=State.WAITING) | _LOST
    with acting_as(SYSTEM):
        taken = Job.objects.filter(free, pk=job_id, attempts__lt=MOST_ATTEMPTS).update(
            state=State.RUNNING, attempts=F("attempts") + 1, started_at=Now(), heartbeat_at=Now(), done=0, error=""
        )
        if not taken:
            return None
        job = Job.objects.select_related("user__membership").get(pk=job_id)
    return Work(job.pk, job.kind, job.attempts, job.user, job.arguments)


def _outcome(attempt: Work) -> dict[str, Any] | None:
    """Call the handler; return what to write on the job, None when it is no longer ours."""
    handler = _handlers.get(attempt.kind)
    if handler is None:
        return _failed(f"No worker knows how to do {attempt.kind}.")
    try:
        result = handler(attempt)
    except JobLost:
        return None
    except JobFailed as error:
        return _failed(str(error))
    except SoftTimeLimitExceeded:
        return _failed(f"It took longer than {LONGEST_S // 60} minutes and was stopped.")
    except (OperationalError, InterfaceError):  # left as one whose heart has stopped
        log.warning("Job %s (%s) lost its database.", attempt.job_id, attempt.kind, exc_info=True)
        return {"error": "The database did not answer, or ended it.", "heartbeat_at": Now() - LOST_AFTER}
    except Exception as error:
        log.exception("Job %s (%s) failed.", attempt.job_id, attempt.kind)
        return _failed(str(NoRoom()) if is_full(error) else f"Something broke. The log has it under {attempt.job_id}.")
    now = {"finished_at": Now(), "heartbeat_at": Now()}
    return {"state": State.DONE, "result": result, "done": attempt.done, "total": attempt.total, **now}


def _failed(why: str) -> dict[str, Any]:
    return {"state": State.FAILED, "error": why, "finished_at": Now(), "heartbeat_at": Now()}


def _write(attempt: Work, **values) -> bool:
    """Write on the job as long as this attempt holds it; return whether it does."""
    with acting_as(SYSTEM):
        mine = Job.objects.filter(pk=attempt.job_id, state=State.RUNNING, attempts=attempt.number)
        return bool(mine.update(**values))


@contextmanager
def _heartbeat(attempt: Work) -> Iterator[None]:
    over = threading.Event()
    pulse = threading.Thread(target=_beat, args=(attempt, over), name=f"job-{attempt.job_id}", daemon=True)
    pulse.start()
    try:
        yield
    finally:
        over.set()
        pulse.join()


def _beat(attempt: Work, over: threading.Event) -> None:
    try:
        while not over.wait(BEAT_S) and not attempt.is_lost:
            try:
                health.worker_was_here()
                attempt.is_lost = not _write(attempt, heartbeat_at=Now(), done=attempt.done, total=attempt.total)
            except DatabaseError:  # it may be back at the next beat
                log.warning("The heartbeat of job %s was not written.", attempt.job_id, exc_info=True)
                connection.close()
    finally:
        connection.close()
