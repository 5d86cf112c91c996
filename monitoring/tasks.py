"""Celery's door to the monitors' part. No rules live here."""

from celery import shared_task

from monitoring import rollups


@shared_task(name="sweep.counts")
def sweep_counts() -> None:
    """Count anew every day and cell that is marked."""
    rollups.sweep()
