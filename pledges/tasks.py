"""Celery's door to the pledges. No rules live here."""

from celery import shared_task

from pledges import ladder, readiness


@shared_task(name="sweep.readiness")
def sweep() -> None:
    """Recompute every readiness answer that is marked."""
    readiness.sweep()


@shared_task(name="pledges.turn_day")
def turn_day() -> None:
    """Let what has run out lapse, and where the date has turned have the answers computed for the new day."""
    ladder.lapse()
    readiness.mark_outdated()
    readiness.sweep()
