"""What ends when, and which needs does it uncover? For planners."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from django.urls import reverse

from coalition.access import Tier
from coalition.calendars import Event
from coalition.models import Operation
from pledges import readiness
from pledges.counting import LEVELS
from pledges.models import Allocation, Pledge
from pledges.readiness import LineAnswer, Stretch

DAY = timedelta(days=1)
SAME = 1e-9  # chances that differ by less are one


@dataclass(frozen=True)
class Uncovered:
    """One line on the last day of what ends, and on the day after."""

    before: LineAnswer
    after: LineAnswer
    quantity: Decimal | None  # allocated to the line by what ends; None where the mandate ends

    @property
    def is_uncovered(self) -> bool:
        """True when less of it is covered on the day after."""
        return self.after.covered < self.before.covered

    @property
    def is_less_sure(self) -> bool:
        """True when it is met, or covered in the mean, with less on the day after, though no less is covered by count."""
        before, after = self.before.sure, self.after.sure
        if before is None or after is None or before.p_met is None or after.p_met is None:
            return False
        return after.p_met < before.p_met - SAME or (after.coverage or 0) < (before.coverage or 0) - SAME

    @property
    def is_worse(self) -> bool:
        """True when nothing takes over in full."""
        return self.is_uncovered or self.is_less_sure


@dataclass(frozen=True)
class Cliff:
    """A day after which something is no longer there. ``pledge`` is None where the operation's mandate ends."""

    last_day: date
    pledge: Pledge | None
    lines: tuple[Uncovered, ...]

    @property
    def uncovers(self) -> tuple[Uncovered, ...]:
        return tuple(line for line in self.lines if line.is_worse)


def cliffs(operation: Operation) -> list[Cliff]:
    """Return the ends still to come of what answers a line that goes on, by day. Three queries.

    A pledge that ends with its line, or with nothing allocated, is no cliff.
    """
    today = operation.today()
    lines: dict[int, tuple[Stretch, ...]] = {
        stretches[0].answer.requirement_id: stretches
        for _, stretches in readiness.lines_over_time(operation, tier=Tier.PLANNING, on=today)
    }
    pledges = (
        Pledge.objects.with_standing(today)
        .filter(operation=operation, stands_until__gte=today, stands_until__lt=date.max)
        .counted_at(Tier.PLANNING)
        .at_level(*LEVELS)
        .select_related("nation", "capability")
        .in_bulk()
    )
    ending: dict[int, list[Uncovered]] = {}
    for pledge_id, requirement_id, quantity in (
        Allocation.objects.filter(pledge__in=list(pledges))
        .order_by("requirement__priority", "pk")
        .values_list("pledge_id", "requirement_id", "quantity")
    ):
        last_day = pledges[pledge_id].stands_until
        found = _around(lines.get(requirement_id, ()), last_day, quantity)
        if found:
            ending.setdefault(pledge_id, []).append(found)
    cliffs = [Cliff(pledges[pk].stands_until, pledges[pk], tuple(found)) for pk, found in ending.items()]
    if operation.mandate_until and operation.mandate_until >= today:
        beyond = [_around(stretches, operation.mandate_until, None) for stretches in lines.values()]
        cliffs.append(Cliff(operation.mandate_until, None, tuple(found for found in beyond if found)))
    return sorted(
        cliffs, key=lambda cliff: (cliff.last_day, -len(cliff.uncovers), cliff.pledge.pk if cliff.pledge else 0)
    )


def _around(stretches: tuple[Stretch, ...], last_day: date, quantity: Decimal | None) -> Uncovered | None:
    """Return the line before and after; None where it is not needed on both days."""
    before, after = (
        next((stretch.answer for stretch in reversed(stretches) if stretch.first <= day), None)
        for day in (last_day, last_day + DAY)
    )
    if before is None or after is None or not (before.is_needed and after.is_needed):
        return None
    return Uncovered(before, after, quantity)


def events(found: list[Cliff], operation: Operation, address) -> list[Event]:
    """Return the cliffs as days of a calendar. Chances stay out of it: a calendar is soon passed on.

    ``address`` makes a path absolute.
    """
    return [
        Event(
            uid=f"{'mandate' if cliff.pledge is None else f'pledge-{cliff.pledge.pk}'}-ends.{operation.code}",
            day=cliff.last_day,
            summary=(
                f"Mandate of {operation.name} ends"
                if cliff.pledge is None
                else f"Last day: {cliff.pledge.nation.name}, {cliff.pledge.what}"
            ),
            description="\n".join(_sentence(line) for line in cliff.lines) or "No line goes on beyond it.",
            url=address(reverse("readiness:cliffs") if cliff.pledge is None else cliff.pledge.get_absolute_url()),
        )
        for cliff in found
    ]


def _sentence(line: Uncovered) -> str:
    before, after = line.before, line.after
    name = f"R{before.requirement_id} {before.capability_name}"
    if not line.is_uncovered:
        return f"{name}: {'less sure' if line.is_less_sure else 'taken over'} the day after."
    return f"{name}: covered {before.covered:,f} of {before.need:,f} {before.unit}, the day after {after.covered:,f}."
