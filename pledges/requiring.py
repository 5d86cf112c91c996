"""What is needed: the plan's requirement lines, kept by planners.

A line that pledges answer cannot be changed so that they no longer fit, nor deleted: release them first. It may ask for
less than is allocated; what is over is reserve.
"""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.http import Http404

from coalition.access import acting_as, demand
from coalition.editing import Refused, assign, check, find, lock
from coalition.models import Operation, Sector
from pledges import allocating
from pledges.models import Capability, Pledge, Requirement

PLAIN = (
    "title",
    "quantity",
    "needed_from",
    "needed_until",
    "priority",
    "notice_days",
    "phase",
    "tier",
    "note",
    "illustrative",
)
LINKED = {"operation": Operation, "capability": Capability, "sector": Sector}


class StillAnswered(Refused):
    """The line has allocations, so it cannot be deleted."""

    code = "still_answered"


def require(draft: Mapping[str, Any], *, by) -> Requirement:
    """Add a line to the plan and return it; planners only.

    ``draft`` holds the model's fields; operation, capability and sector may be rows or codes. Missing: the current
    operation, and its first day. Raise PermissionDenied, ValidationError with field names.
    """
    with acting_as(by):
        demand(by, "keep_requirements")
        line = Requirement()
        _fill(line, {"operation": None, "capability": None, **draft}, by=by)
        line.save(force_insert=True)
        return _fresh(line)


def revise(requirement_id: int, changes: Mapping[str, Any], *, by, based_on: int | None) -> Requirement:
    """Change the named fields of a line and return it; planners only.

    Pledges that propose to answer it and may go further than it no longer name it. Raise Http404, PermissionDenied,
    VersionStale, ValidationError: among others when its allocations would no longer fit, which are named.
    """
    with acting_as(by):
        demand(by, "keep_requirements")
        line = lock(Requirement.objects.visible_to(by), requirement_id, based_on=based_on)
        _lock_pledges(line, by=by)
        _fill(line, changes, by=by)
        problems = allocating.misfits_of(line)
        if problems:
            raise ValidationError(problems)
        line.save(update_fields=[*PLAIN, *LINKED])
        line.proposals.exclude(operation=line.operation_id, capability=line.capability_id).update(requirement=None)
        line.proposals.filter(tier__lt=line.tier).update(requirement=None)
        return _fresh(line)


def delete(requirement_id: int, *, by, based_on: int | None) -> None:
    """Delete a line; planners only. Raise Http404, VersionStale, StillAnswered naming what answers it."""
    with acting_as(by):
        demand(by, "keep_requirements")
        line = lock(Requirement.objects.visible_to(by), requirement_id, based_on=based_on)
        answers = [
            f"P{allocation.pledge_id} ({allocating.figure(allocation.quantity)})"
            for allocation in line.allocations.order_by("pledge_id")
        ]
        if answers:
            raise StillAnswered(f"R{line.pk} is answered by {', '.join(answers)}. Release that first.")
        line.delete()


def _lock_pledges(line: Requirement, *, by) -> None:
    """Lock every pledge that answers the line, also one that came by superseding while we waited."""
    locked: set[int] = set()
    while waiting := set(line.allocations.values_list("pledge_id", flat=True)) - locked:
        for pk in sorted(waiting):
            lock(Pledge.objects.visible_to(by), pk)
        locked |= waiting


def _fill(line: Requirement, changes: Mapping[str, Any], *, by) -> None:
    problems: dict[str, list[str]] = {}
    for name, model in LINKED.items():
        if name not in changes:
            continue
        given = changes[name]
        if given in (None, "") and name == "operation":
            given = Operation.objects.filter(is_current=True).first()
        if given in (None, ""):
            setattr(line, name, None) if name == "sector" else problems.update({name: [f"Say which {name}."]})
            continue
        try:
            setattr(line, name, find(given, model.objects.visible_to(by), "code"))
        except Http404:
            shown = f" {given!r}" if isinstance(given, str | int) and len(str(given)) <= 60 else ""
            problems[name] = [f"There is no {name}{shown}."]
    if problems:
        raise ValidationError(problems)
    if line.pk is None and changes.get("needed_from") in (None, ""):
        changes = {**changes, "needed_from": line.operation.starts_on}
    assign(line, {name: value for name, value in changes.items() if name not in LINKED}, fields=PLAIN)
    check(line)


def _fresh(line: Requirement) -> Requirement:
    return Requirement.objects.select_related("operation", "capability", "sector").get(pk=line.pk)
