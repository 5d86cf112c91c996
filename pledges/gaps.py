"""Which needs are not sure to be met, how much is missing, from when, and which nations could fill them? For planners."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from coalition.access import Tier
from coalition.models import Operation
from pledges import readiness
from pledges.counting import FIRM, LEVELS, ZERO, at_or_above
from pledges.models import Allocation, Pledge
from pledges.readiness import LineAnswer, Stretch
from pledges.sure import ENOUGH, Held


@dataclass(frozen=True)
class Offer:
    """What one nation has that could help with a line on its day.

    ``free``: of the same capability, standing, allocated to no line of that day. ``to_firm_up``: allocated to this line
    and not firm yet. ``related``: names of other capabilities of the category of which it has something free.
    """

    code: str
    name: str
    free: Decimal = ZERO
    to_firm_up: Decimal = ZERO
    related: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gap:
    """A line that is met with less than ``ENOUGH`` on ``day``: the day asked for, or the line's first if that is later.

    ``since``: the first day of the run of days below it; ``held``: from which day it is sure enough, if ever.
    """

    line: LineAnswer
    category: str
    day: date
    since: date
    held: Held | None
    days: int  # on so many days it is not sure enough, from today on
    could_fill: tuple[Offer, ...]
    related: tuple[Offer, ...]

    @property
    def missing(self) -> Decimal:
        """Not covered by firm pledges or better."""
        return self.line.gap


def paper(operation: Operation, *, on: date) -> list[Gap]:
    """Return the lines that are not sure enough on a day, the least sure first. Four queries.

    Raises ``readiness.DayIsPast`` for a day before today.
    """
    found = []
    for category, stretches in readiness.lines_over_time(operation, tier=Tier.PLANNING, on=on):
        needed = [stretch for stretch in stretches if stretch.answer.is_needed and stretch.last >= on]
        if not needed:
            continue
        chances = [(stretch, stretch.answer.sure.p_met if stretch.answer.sure else None) for stretch in needed]
        stretch, chance = chances[0]
        if chance is None or chance >= ENOUGH:
            continue
        found.append((category, max(on, stretch.first), stretch.answer, stretches))
    found.sort(key=lambda row: (row[2].sure.p_met, row[2].priority, row[2].sure.coverage))
    pool = _Pool(operation, {category for category, *_ in found})
    return [
        Gap(
            line=line,
            category=category,
            day=day,
            since=_since(stretches, day),
            held=readiness.held(stretches),
            days=_days_below(stretches),
            could_fill=pool.could_fill(line, day),
            related=pool.related(line, category, day),
        )
        for category, day, line, stretches in found
    ]


def _is_below(stretch: Stretch) -> bool:
    sure = stretch.answer.sure
    return sure is not None and sure.p_met is not None and sure.p_met < ENOUGH


def _since(stretches: Iterable[Stretch], day: date) -> date:
    since = day
    for stretch in reversed([stretch for stretch in stretches if stretch.first <= day]):
        if not _is_below(stretch):
            break
        since = stretch.first
    return since


def _days_below(stretches: Iterable[Stretch]) -> int:
    return sum((stretch.last - stretch.first).days + 1 for stretch in stretches if _is_below(stretch))


class _Pool:
    """Every quantified pledge that counts in a level in some categories, and the lines it is allocated to."""

    def __init__(self, operation: Operation, categories: set[str]):
        self.pledges = list(
            Pledge.objects.with_standing(operation.today())
            .filter(operation=operation, capability__category__in=categories, quantity__isnull=False)
            .counted_at(Tier.PLANNING)
            .at_level(*LEVELS)
            .order_by("nation__name", "pk")
            .values(
                "pk",
                "nation_id",
                "nation__name",
                "capability__code",
                "capability__name",
                "capability__category",
                "quantity",
                "level",
                "stands_from",
                "stands_until",
            )
        )
        self.allocations: dict[int, list[tuple]] = {}
        rows = Allocation.objects.filter(pledge__in=[row["pk"] for row in self.pledges]).values_list(
            "pledge_id", "requirement_id", "requirement__needed_from", "requirement__needed_until", "quantity"
        )
        for pledge_id, *row in rows:
            self.allocations.setdefault(pledge_id, []).append(row)

    def _standing(self, day: date) -> list[dict]:
        return [
            row
            for row in self.pledges
            if row["stands_from"] <= day and (row["stands_until"] is None or row["stands_until"] >= day)
        ]

    def _free(self, pledge: dict, day: date) -> Decimal:
        taken = sum(
            quantity
            for _, begin, end, quantity in self.allocations.get(pledge["pk"], ())
            if begin <= day and (end is None or end >= day)
        )
        return max(pledge["quantity"] - taken, ZERO)

    def could_fill(self, line: LineAnswer, day: date) -> tuple[Offer, ...]:
        firm = at_or_above(FIRM)
        found: dict[str, list] = {}
        for pledge in self._standing(day):
            if pledge["capability__code"] != line.capability_code:
                continue
            row = found.setdefault(pledge["nation_id"], [pledge["nation__name"], ZERO, ZERO])
            row[1] += self._free(pledge, day)
            if pledge["level"] not in firm:
                row[2] += sum(
                    quantity
                    for requirement_id, *_, quantity in self.allocations.get(pledge["pk"], ())
                    if requirement_id == line.requirement_id
                )
        offers = [Offer(code, name, free, soft) for code, (name, free, soft) in found.items() if free or soft]
        return tuple(sorted(offers, key=lambda offer: -(offer.free + offer.to_firm_up)))

    def related(self, line: LineAnswer, category: str, day: date) -> tuple[Offer, ...]:
        found: dict[str, tuple[str, set[str]]] = {}
        for pledge in self._standing(day):
            other = pledge["capability__category"] == category and pledge["capability__code"] != line.capability_code
            if other and self._free(pledge, day):
                found.setdefault(pledge["nation_id"], (pledge["nation__name"], set()))[1].add(
                    pledge["capability__name"]
                )
        return tuple(Offer(code, name, related=tuple(sorted(names))) for code, (name, names) in found.items())
