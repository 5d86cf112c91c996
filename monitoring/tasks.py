"""Celery's door to the monitors' work. No rules live here."""

from celery import shared_task

from monitoring import coverage, replacing, rollups


@shared_task(name="sweep.counts")
def sweep_counts() -> None:
    """Count anew every day and cell that is marked."""
    rollups.sweep()


@shared_task(name="sweep.coverage")
def sweep_coverage() -> None:
    """Work out what is covered by which provision, wherever that is marked."""
    coverage.sweep()


@shared_task(name="sweep.places")
def sweep_places() -> None:
    """Tell anew in which areas reports and incidents lie, wherever an area changed."""
    replacing.sweep()
