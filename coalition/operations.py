"""Which missions are planned, and which one do pages show? Kept by planners; a code never changes."""

from collections.abc import Mapping
from typing import Any

from coalition.access import acting_as, demand
from coalition.editing import assign, check, lock
from coalition.models import Operation

CERTAINTIES = tuple(
    f"certainty_{step}" for step in ("signalled", "offered", "committed", "ready", "deploying", "in_place")
)
CHANGEABLE = (
    "name",
    "starts_on",
    "activated_on",
    "mandate_until",
    "time_zone",
    "is_current",
    "confirm_every_days",
    "half_life_days",
    *CERTAINTIES,
)


def begin(draft: Mapping[str, Any], *, by) -> Operation:
    """Add an operation and return it; planners only. The first one is the current one, whatever the draft says.

    Raise PermissionDenied, ValidationError with field names.
    """
    with acting_as(by):
        demand(by, "keep_operations")
        operation = Operation()
        assign(operation, draft, fields=("code", *CHANGEABLE))
        operation.is_current = operation.is_current or not Operation.objects.filter(is_current=True).exists()
        _save(operation, is_new=True)
        return operation


def revise(operation_id: int, changes: Mapping[str, Any], *, by, based_on: int | None) -> Operation:
    """Change the named fields of an operation and return it; planners only. Its pledges are counted anew.

    Raise Http404, PermissionDenied, VersionStale, ValidationError with field names.
    """
    with acting_as(by):
        demand(by, "keep_operations")
        operation = lock(Operation.objects.visible_to(by), operation_id, based_on=based_on)
        assign(operation, changes, fields=CHANGEABLE)
        _save(operation)
        return operation


def _save(operation: Operation, *, is_new: bool = False) -> None:
    """Check and store a row; of the current ones only it stays."""
    is_current, operation.is_current = operation.is_current, False
    check(operation)
    if is_current:
        Operation.objects.filter(is_current=True).exclude(pk=operation.pk).update(is_current=False)
    operation.is_current = is_current
    operation.save(force_insert=is_new)
    operation.refresh_from_db()
