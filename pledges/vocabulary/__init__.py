"""What every deployment starts with: kinds of things a force needs, each in one honest unit, in twelve categories.

Loading adds what is missing and leaves what is there: a capability a planner renamed or re-described stays as it is.
"""

from pathlib import Path

from coalition.vocabulary import rows
from pledges.models import Capability

HERE = Path(__file__).parent


def capabilities() -> list[Capability]:
    """Return the shipped capabilities, unsaved."""
    return [Capability(**row) for row in rows(HERE / "capabilities.csv")]


def load_capabilities() -> int:
    """Add the shipped capabilities whose code and name are both free; return how many were added."""
    before = Capability.objects.count()
    Capability.objects.bulk_create(capabilities(), ignore_conflicts=True)
    return Capability.objects.count() - before
