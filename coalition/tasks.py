"""Celery's door to the kernel. No rules live here."""

from celery import shared_task

from coalition import health


@shared_task
def report_for_duty() -> None:
    """Note that a worker is at work; beat asks every five seconds."""
    health.worker_was_here()
