"""What pledges hang on, and how likely it is. Conditions are shared: one change moves many pledges."""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.http import Http404

from coalition.access import Tier, acting_as, because, demand
from coalition.editing import assign, check, find, lock
from coalition.models import Condition, Nation, Operation

PLAIN = ("kind", "title", "state", "probability", "due_on", "tier", "note", "source_url", "illustrative")


def pose(draft: Mapping[str, Any], *, by) -> Condition:
    """Add a condition and return it; planners only. Operation (missing: the current one) and nation: rows or codes.

    Raise PermissionDenied, ValidationError with field names.
    """
    with acting_as(by):
        demand(by, "keep_conditions")
        condition = Condition()
        operation = draft.get("operation") or Operation.objects.filter(is_current=True).first()
        if operation is None:
            raise ValidationError({"operation": "Say which operation: none is the current one."})
        try:
            condition.operation = find(operation, Operation.objects.visible_to(by), "code")
        except Http404 as unknown:
            raise ValidationError({"operation": "There is no such operation."}) from unknown
        _fill(condition, {name: value for name, value in draft.items() if name != "operation"}, by=by)
        condition.save(force_insert=True)
        condition.refresh_from_db()
        return condition


def revise(condition_id: int, changes: Mapping[str, Any], *, by, based_on: int | None, why: str = "") -> Condition:
    """Change the named fields of a condition and return it; planners only. ``why`` goes into its history.

    Raise Http404, PermissionDenied, VersionStale, ValidationError: among others when it would become stricter than a
    pledge that hangs on it. Its operation does not change.
    """
    with acting_as(by):
        demand(by, "keep_conditions")
        condition = lock(Condition.objects.visible_to(by), condition_id, based_on=based_on)
        _fill(condition, changes, by=by)
        too_open = condition.pledge_links.filter(pledge__tier__lt=condition.tier).count()
        if too_open:
            raise ValidationError(
                {
                    "tier": f"{too_open} pledge{'s' if too_open > 1 else ''} released further than "
                    f"{Tier(condition.tier).label} hang on it; a condition is never stricter than its pledges."
                }
            )
        if why:
            because(why)
        condition.save(update_fields=[*PLAIN, "nation"])
        condition.refresh_from_db()
        return condition


def warning(condition: Condition, state: str, *, by) -> str:
    """Return what this state would do to the pledges ``by`` may see, as a sentence; empty when it moves none."""
    links = condition.pledge_links.visible_to(by).filter(pledge__superseded_by=None)
    promised = links.filter(pledge__status__in=("committed", "ready")).count()
    standing = links.filter(pledge__status__in=("deploying", "in_place")).count()
    said = []
    if promised and state == Condition.State.FAILED:
        said.append(f"{promised} committed or ready will be blocked and count in no level.")
    elif promised and state == Condition.State.OPEN:
        said.append(f"{promised} committed or ready will count as conditional.")
    elif promised:
        said.append(f"{promised} committed or ready no longer wait for it.")
    if standing and state in (Condition.State.FAILED, Condition.State.OPEN):
        said.append(f"{standing} deploying or in place keep their level and show a warning.")
    return f"Of the pledges that hang on “{condition.title}”: {' '.join(said)}" if said else ""


def _fill(condition: Condition, changes: Mapping[str, Any], *, by) -> None:
    changes = dict(changes)
    if "nation" in changes:
        nation = changes.pop("nation")
        try:
            condition.nation = find(nation, Nation.objects.visible_to(by), "code") if nation else None
        except Http404 as unknown:
            raise ValidationError({"nation": "There is no such nation."}) from unknown
    assign(condition, changes, fields=PLAIN)
    check(condition)
