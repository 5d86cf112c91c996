"""Celery's door to the pledges. No rules live here."""

from celery import shared_task

from pledges import readiness


@shared_task(name="sweep.readiness")
def sweep() -> None:
    """Recompute every readiness answer that is marked."""
    readiness.sweep()


@shared_task(name="pledges.turn_day")
def turn_day() -> None:
    """Where the date has turned in an operation, have its answers computed for the new day."""
    readiness.mark_outdated()
    readiness.sweep()
