"""Celery's door to the kernel. No rules live here."""

import logging

from billiard.exceptions import WorkerLostError
from celery import shared_task
from celery.signals import task_failure

from coalition import exports, health, housekeeping, jobs, sealing, stale, webhooks  # noqa: F401  exports registers its job
from coalition.imports import staging  # noqa: F401  it registers its jobs

log = logging.getLogger(__name__)


@shared_task(name="coalition.sweep")
def sweep() -> None:
    """Ask for a sweep of each kind that has marks: what a lost nudge left lying is taken up here."""
    stale.send_sweeps()


@shared_task(name="coalition.work", time_limit=jobs.LONGEST_S + 60, soft_time_limit=jobs.LONGEST_S)
def work(job_id: str) -> None:
    """Work on one job. The row decides whether there is anything to do: the message may come twice, or too late."""
    jobs.work(job_id)


@shared_task(name="coalition.work_off", time_limit=jobs.LONGEST_S + 60, soft_time_limit=jobs.LONGEST_S)
def work_off() -> None:
    """Do jobs whose message was lost, or stands far back in a long queue."""
    jobs.work_off()


@task_failure.connect(sender=work)
def give_back(exception=None, args=(), **_) -> None:
    """Hear from the worker's main process that the one which did a job was killed: only there is it known at once."""
    if isinstance(exception, WorkerLostError):
        jobs.give_back(args[0])


@shared_task(name="coalition.take_up_jobs")
def take_up_jobs() -> None:
    """Send again the jobs whose worker died or whose message was lost."""
    jobs.take_up()


@shared_task(name="coalition.gather_webhooks")
def gather_webhooks() -> None:
    """Write down what subscriptions are to be told of, from where each stands in the feed of changes."""
    webhooks.gather()


@shared_task(
    name="coalition.send_webhooks", time_limit=webhooks.LONGEST_RUN_S + 10, soft_time_limit=webhooks.LONGEST_RUN_S
)
def send_webhooks() -> None:
    """Send what is due. A delivery that this run dies of is sent again when its lease is over."""
    webhooks.send_due()


@shared_task(name="coalition.clean_up")
def clean_up() -> None:
    """Throw away what is kept for a while only."""
    housekeeping.clean_up()


@shared_task(name="coalition.seal_history")
def seal_history() -> None:
    """Seal what was written into the history. Without a key there is nothing to sign with: the pages say so."""
    try:
        sealing.seal()
    except sealing.NoKey as error:
        log.warning("%s", error)


@shared_task(name="coalition.report_for_duty")
def report_for_duty() -> None:
    """Note that a worker is at work; beat asks every five seconds."""
    health.worker_was_here()
