"""Which pledge answers which requirement line, and with how much of it?

On no day do a pledge's allocations to lines whose windows hold that day exceed its planning quantity: the same 200
people may serve one line until June and another from July. Checked with the pledge's row locked, so that of two
planners one waits and sees what the other took.

Allocations of a pledge that left the ladder stay where they are and count for nothing: pages show them as fallen away,
and undoing the withdrawal brings them back.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError

from coalition.access import acting_as, demand
from coalition.editing import Refused, lock, seeing_all
from coalition.models import Condition
from pledges.models import Allocation, Capability, Pledge, Requirement


class OverAllocated(Refused):
    """More would be allocated than the pledge holds. ``free`` is what is left, ``on`` the first day it is too much."""

    code = "over_allocated"

    def __init__(self, sentence: str, *, free: Decimal, on: date):
        super().__init__(sentence)
        self.free = free
        self.on = on


@dataclass(frozen=True)
class Use:
    """A quantity taken from the first to the last day, both counted; open ends are ``date.min`` and ``date.max``."""

    first: date
    last: date
    quantity: Decimal


@dataclass(frozen=True)
class FellOff:
    """What a line lost because a successor cannot carry it."""

    requirement: Requirement
    quantity: Decimal


@dataclass(frozen=True)
class Moved:
    """What became of a superseded pledge's allocations: those on the successor now, and what fell off."""

    allocations: list[Allocation]
    fell_off: list[FellOff]


# --- Pure counting ------------------------------------------------------------------------


def stretches(uses: Iterable[Use], first: date, last: date) -> list[tuple[date, Decimal]]:
    """Return (first day, sum of what is taken) for each stretch without change, from ``first`` to ``last``."""
    uses = list(uses)
    days = {first}
    days |= {use.first for use in uses if first < use.first <= last}
    days |= {use.last + timedelta(days=1) for use in uses if first <= use.last < last}
    return [
        (day, sum((use.quantity for use in uses if use.first <= day <= use.last), Decimal(0))) for day in sorted(days)
    ]


def figure(quantity: Decimal) -> str:
    """Return a quantity for a sentence: thousands apart, no empty decimals."""
    text = f"{quantity:,.2f}"
    return text.removesuffix(".00")


def line_window(line: Requirement) -> tuple[date, date]:
    """Return the first and last day of a requirement line."""
    return line.needed_from, line.needed_until or date.max


def pledge_window(pledge: Pledge) -> tuple[date, date]:
    """Return the first and last day a pledge is available; notice to move is not asked here."""
    return pledge.available_from or date.min, pledge.available_until or date.max


def overlap(one: tuple[date, date], other: tuple[date, date]) -> tuple[date, date] | None:
    """Return the days two windows share, or None."""
    first, last = max(one[0], other[0]), min(one[1], other[1])
    return (first, last) if first <= last else None


# --- Answers ------------------------------------------------------------------------------


def free_quantity(
    pledge: Pledge, first: date | None = None, last: date | None = None, *, besides: Allocation | None = None
) -> Decimal:
    """Return what is left of a pledge on its fullest day from ``first`` to ``last`` (open when empty), never below 0.

    Zero for an unquantified pledge. ``besides`` leaves one allocation out. Ask it while acting as a planner: it counts
    the allocations that the one who acts may see.
    """
    if pledge.quantity is None:
        return Decimal(0)
    uses = _uses_of(pledge, besides=besides)
    fullest = max(taken for _, taken in stretches(uses, first or date.min, last or date.max))
    return max(pledge.quantity - fullest, Decimal(0))


def open_need(line: Requirement, first: date | None = None, last: date | None = None) -> Decimal:
    """Return what a line lacks on its emptiest day from ``first`` to ``last``, never below 0; as planners see it.

    Pledges that left the ladder or were superseded answer nothing, and a pledge answers only while it is available.
    """
    window = overlap(line_window(line), (first or date.min, last or date.max))
    if window is None:
        return Decimal(0)
    answered = Allocation.objects.filter(
        requirement=line, pledge__status__in=Pledge.ON_LADDER, pledge__superseded_by=None
    ).select_related("pledge")
    uses = [Use(*pledge_window(allocation.pledge), allocation.quantity) for allocation in answered]
    emptiest = min(taken for _, taken in stretches(uses, *window))
    return max(line.quantity - emptiest, Decimal(0))


def warnings(pledge: Pledge, line: Requirement) -> list[str]:
    """Return what a planner should know before allocating; none of it forbids. Empty when there is nothing to say."""
    said = []
    if line.notice_days is not None and pledge.notice_days > line.notice_days:
        said.append(
            f"P{pledge.pk} needs {pledge.notice_days} days' notice to move; the line asks for {line.notice_days}."
        )
    starts, ends = overlap(line_window(line), pledge_window(pledge)) or line_window(line)
    if starts > line.needed_from:
        said.append(f"P{pledge.pk} is available from {starts}, after the line's first day.")
    if ends < line_window(line)[1]:
        said.append(f"P{pledge.pk} is available until {ends}, before the line's last day.")
    for condition in pledge.conditions.filter(state=Condition.State.FAILED):
        said.append(f"P{pledge.pk} is blocked: “{condition.title}” failed.")
    if line.capability.aggregation == Capability.Aggregation.ANY and (pledge.quantity or 0) < line.quantity:
        said.append(f"One pledge alone must reach {figure(line.quantity)} here; P{pledge.pk} does not.")
    return said


def conflicts(pledge: Pledge, *, by) -> dict[str, str]:
    """Return why a pledge as it now stands in memory could not carry its allocations: field name to sentence.

    Empty when it can. Lines that ``by`` may not see count, but are not named. The pledge's row must be locked.
    """
    named = set(
        Requirement.objects.visible_to(by).filter(allocations__pledge_id=pledge.pk).values_list("pk", flat=True)
    )
    with seeing_all(by):
        allocations = list(_allocations_of(pledge))
    if not allocations:
        return {}

    def names(some: Iterable[Allocation]) -> str:
        lines = [
            f"R{a.requirement_id} ({figure(a.quantity)} {a.requirement.capability.unit})"
            for a in some
            if a.requirement_id in named
        ]
        return ", ".join(lines) or "planners' lines"

    said: dict[str, str] = {}
    line = allocations[0].requirement
    if pledge.capability_id != line.capability_id:
        said["capability"] = f"It is allocated to {names(allocations)}. Release that first, or log a new pledge."
    if pledge.operation_id != line.operation_id:
        said["operation"] = f"It is allocated to {names(allocations)}. Release that first, or log a new pledge."
    apart = [a for a in allocations if overlap(line_window(a.requirement), pledge_window(pledge)) is None]
    if apart:
        field = "available_until" if pledge.available_until else "available_from"
        said[field] = f"These days would leave {names(apart)} without it. Release that first."
    if pledge.quantity is None:
        said["quantity"] = f"It is allocated to {names(allocations)}, so it needs a quantity. Release that first."
    else:
        day = _first_day_over(pledge.quantity, [_use(a) for a in allocations])
        if day is not None:
            then = [a for a in allocations if _use(a).first <= day <= _use(a).last]
            said["quantity"] = f"More than {figure(pledge.quantity)} is allocated from {day}: {names(then)}."
    return said


# --- Changes ------------------------------------------------------------------------------


def allocate(pledge_id: int, requirement_id: int, quantity: Any, *, by) -> Allocation:
    """Let so much of a pledge answer a requirement line; planners only. Ask ``warnings`` for what to show beside it.

    Raise ValidationError with field names when the two do not fit, OverAllocated when less than that is free.
    """
    with acting_as(by):
        demand(by, "allocate")
        line = lock(Requirement.objects.visible_to(by), requirement_id)
        pledge = lock(Pledge.objects.visible_to(by), pledge_id)
        if Allocation.objects.filter(pledge=pledge, requirement=line).exists():
            raise ValidationError({"requirement": f"P{pledge.pk} already answers R{line.pk}: change that allocation."})
        return _allocate(pledge, line, _clean_quantity(quantity))


def accept(pledge_id: int, *, by, based_on: int | None = None) -> Allocation:
    """Accept the line a pledge proposes to answer, with as much as is free and needed on the days they share.

    Raise ValidationError when it names no line, nothing is free or nothing is needed; VersionStale.
    """
    with acting_as(by):
        demand(by, "allocate")
        proposed = Pledge.objects.visible_to(by).filter(pk=pledge_id).values_list("requirement_id", flat=True).first()
        line = lock(Requirement.objects.visible_to(by), proposed) if proposed else None
        pledge = lock(Pledge.objects.visible_to(by), pledge_id, based_on=based_on)
        if line is None or pledge.requirement_id != line.pk:
            raise ValidationError({"pledge": f"P{pledge.pk} does not name a requirement line."})
        if Allocation.objects.filter(pledge=pledge, requirement=line).exists():
            raise ValidationError({"pledge": f"P{pledge.pk} already answers R{line.pk}: change that allocation."})
        _refuse_misfit(pledge, line)
        quantity = free_quantity(pledge, *line_window(line))
        if line.capability.aggregation == Capability.Aggregation.SUM:
            quantity = min(quantity, open_need(line, *pledge_window(pledge)))
        if quantity <= 0:
            raise ValidationError({"quantity": f"Nothing of P{pledge.pk} is free, or R{line.pk} lacks nothing."})
        return _allocate(pledge, line, quantity)


def reallocate(allocation_id: int, quantity: Any, *, by, based_on: int | None) -> Allocation:
    """Change how much of the pledge the line gets. Raise as ``allocate``, and VersionStale."""
    with acting_as(by):
        demand(by, "allocate")
        allocation = _locked(allocation_id, by=by, based_on=based_on)
        allocation.quantity = _clean_quantity(quantity)
        _refuse_misfit(allocation.pledge, allocation.requirement)
        _refuse_too_much(allocation.pledge, allocation.requirement, allocation.quantity, besides=allocation)
        allocation.save(update_fields=["quantity"])
        return _fresh(allocation)


def release(allocation_id: int, *, by, based_on: int | None) -> None:
    """Take a pledge off a line; planners only. Raise VersionStale."""
    with acting_as(by):
        demand(by, "allocate")
        _locked(allocation_id, by=by, based_on=based_on).delete()


def move(old: Pledge, new: Pledge, *, by) -> Moved:
    """Give a superseded pledge's allocations to its successor, first priority first, up to what it can carry.

    Where the successor is stricter than the old pledge they are copied: the old pledge goes on counting, with its
    allocations, wherever the successor may not be seen. Both rows must be locked. What ``by`` may not see is moved too
    and left out of the answer.
    """
    moved: list[Allocation] = []
    fell_off: list[FellOff] = []
    with seeing_all(by):
        for allocation in list(_allocations_of(old)):
            line, wanted = allocation.requirement, allocation.quantity
            carried = Decimal(0)
            if _misfit(new, line) is None:
                carried = min(wanted, free_quantity(new, *line_window(line)))
            present = Allocation.objects.filter(pledge=new, requirement=line).first()
            stays = new.tier > old.tier
            if carried > 0 and present:
                present.quantity += carried
                present.save(update_fields=["quantity"])
            elif carried > 0 and stays:
                present = Allocation.objects.create(pledge=new, requirement=line, quantity=carried)
            elif carried > 0:
                allocation.pledge, allocation.quantity = new, carried
                allocation.save(update_fields=["pledge", "quantity"])
                present, stays = allocation, True
            if not stays:
                allocation.delete()
            if carried > 0:
                moved.append(_fresh(present))
            if carried < wanted:
                fell_off.append(FellOff(line, wanted - carried))
    seen = set(Requirement.objects.visible_to(by).values_list("pk", flat=True))
    return Moved(
        allocations=[allocation for allocation in moved if allocation.requirement_id in seen],
        fell_off=[lost for lost in fell_off if lost.requirement.pk in seen],
    )


def misfits_of(line: Requirement) -> dict[str, str]:
    """Return why a line as it stands in memory does not fit its allocations: field to sentence; empty when it does.

    Its row and the rows of its pledges must be locked, and the one who acts must see all of them. Pledges that left the
    ladder hold no line back.
    """
    allocations = list(line.allocations.filter(pledge__status__in=Pledge.ON_LADDER).select_related("pledge"))
    said: dict[str, list[str]] = {}
    for allocation in allocations:
        pledge = allocation.pledge
        name = f"P{pledge.pk} ({figure(allocation.quantity)})"
        if pledge.capability_id != line.capability_id:
            said.setdefault("capability", []).append(name)
        if pledge.operation_id != line.operation_id:
            said.setdefault("operation", []).append(name)
        uses = [_use(other) for other in _allocations_of(pledge) if other.pk != allocation.pk]
        uses.append(Use(*line_window(line), allocation.quantity))
        over = pledge.quantity is None or _first_day_over(pledge.quantity, uses) is not None
        if over or overlap(line_window(line), pledge_window(pledge)) is None:
            said.setdefault("needed_until" if line.needed_until else "needed_from", []).append(name)
    why = {
        "capability": "It is answered by {}. Release that first.",
        "operation": "It is answered by {}. Release that first.",
    }
    return {
        field: why.get(field, "On these days {} would be spent twice, or not be there. Release that first.").format(
            ", ".join(names)
        )
        for field, names in said.items()
    }


# --- Inside -------------------------------------------------------------------------------


def _allocations_of(pledge: Pledge):
    return (
        Allocation.objects.filter(pledge_id=pledge.pk)
        .select_related("requirement__capability", "requirement__sector")
        .order_by("requirement__priority", "requirement__needed_from", "pk")
    )


def _use(allocation: Allocation) -> Use:
    return Use(*line_window(allocation.requirement), allocation.quantity)


def _uses_of(pledge: Pledge, *, besides: Allocation | None = None) -> list[Use]:
    return [
        _use(allocation) for allocation in _allocations_of(pledge) if besides is None or allocation.pk != besides.pk
    ]


def _first_day_over(quantity: Decimal, uses: list[Use]) -> date | None:
    if not uses:
        return None
    first = min(use.first for use in uses)
    return next((day for day, taken in stretches(uses, first, date.max) if taken > quantity), None)


def _locked(allocation_id: int, *, by, based_on: int | None) -> Allocation:
    """The allocation with its pledge locked before it; its ends are read after the lock."""
    visible = Allocation.objects.visible_to(by)
    pledge_id = visible.filter(pk=allocation_id).values_list("pledge_id", flat=True).first()
    if pledge_id is not None:
        lock(Pledge.objects.visible_to(by), pledge_id)
    return lock(visible, allocation_id, based_on=based_on)


def _clean_quantity(quantity: Any) -> Decimal:
    if isinstance(quantity, float):
        quantity = Decimal(repr(quantity))
    try:
        quantity = Allocation._meta.get_field("quantity").clean(quantity, None)
    except ValidationError as error:
        raise ValidationError({"quantity": error.messages}) from error
    if quantity <= 0:
        raise ValidationError({"quantity": "Allocate more than nothing."})
    return quantity


def _misfit(pledge: Pledge, line: Requirement) -> tuple[str, str] | None:
    """Field and sentence why this pledge can never answer this line, or None."""
    if pledge.status not in Pledge.ON_LADDER:
        return "pledge", f"P{pledge.pk} has left the ladder: {pledge.get_status_display().lower()}."
    if pledge.superseded_by_id is not None:
        return "pledge", f"P{pledge.pk} was superseded by P{pledge.superseded_by_id}: allocate that one."
    if pledge.quantity is None:
        return "pledge", f"P{pledge.pk} has no planning quantity, so nothing of it can be allocated."
    if pledge.operation_id != line.operation_id:
        return "requirement", f"R{line.pk} belongs to another operation."
    if pledge.capability_id != line.capability_id:
        return "requirement", f"R{line.pk} asks for another capability."
    if overlap(pledge_window(pledge), line_window(line)) is None:
        return "requirement", f"P{pledge.pk} is not available on any day of R{line.pk}."
    return None


def _refuse_misfit(pledge: Pledge, line: Requirement) -> None:
    misfit = _misfit(pledge, line)
    if misfit:
        raise ValidationError({misfit[0]: misfit[1]})


def _refuse_too_much(
    pledge: Pledge, line: Requirement, quantity: Decimal, *, besides: Allocation | None = None
) -> None:
    others = [other for other in _allocations_of(pledge) if besides is None or other.pk != besides.pk]
    first, last = line_window(line)
    for day, taken in stretches([_use(other) for other in others], first, last):
        if taken + quantity > pledge.quantity:
            free = free_quantity(pledge, first, last, besides=besides)
            holders = ", ".join(f"R{other.requirement_id} ({figure(other.quantity)})" for other in others)
            raise OverAllocated(
                f"Only {figure(free)} of P{pledge.pk}'s {figure(pledge.quantity)} is free for R{line.pk} on {day}"
                + (f"; allocated: {holders}." if holders else "."),
                free=free,
                on=day,
            )


def _allocate(pledge: Pledge, line: Requirement, quantity: Decimal) -> Allocation:
    _refuse_misfit(pledge, line)
    _refuse_too_much(pledge, line, quantity)
    allocation = Allocation.objects.create(
        pledge=pledge, requirement=line, quantity=quantity, tier=max(pledge.tier, line.tier)
    )
    return _fresh(allocation)


def _fresh(allocation: Allocation) -> Allocation:
    """The allocation as the database now has it, with both ends."""
    return Allocation.objects.select_related("pledge", "requirement").get(pk=allocation.pk)
