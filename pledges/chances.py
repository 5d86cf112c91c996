"""What each pledge would bring to which need, on which days and how likely: the plan's rows as questions to ``certainty``.

The numbers are for the planning tier alone: with a step's certainty they would give a condition's chance away.
Source of the rules: docs/method.md, "First day a pledge can stand" and "Staleness".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

from coalition.access import Tier
from coalition.models import Condition, Operation
from pledges import certainty, standing
from pledges.counting import BLOCKED, STANDING
from pledges.models import Allocation, Capability, Pledge, PledgeCondition, Requirement

HORIZON = timedelta(days=730)  # how far ahead of the start day the plan is looked at while no mandate ends it


@dataclass(frozen=True)
class Supposition:
    """What is supposed instead of what is stored; empty, it supposes nothing. Nothing is ever written.

    ``states``: condition id to open, met, waived or failed. ``probabilities``: condition id to the chance while open,
    0 to 1. ``nations_out``: alpha-2 codes. ``withdrawn``: pledge ids. ``slipped``: pledge id to days later, from 0.
    ``certainties``: step of the ladder to 0 … 1.
    """

    states: Mapping[int, str] = field(default_factory=dict)
    probabilities: Mapping[int, float] = field(default_factory=dict)
    nations_out: frozenset[str] = frozenset()
    withdrawn: frozenset[int] = frozenset()
    slipped: Mapping[int, int] = field(default_factory=dict)
    certainties: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """What ``certainty`` is asked about some capabilities of one operation. Day 0 is ``today``.

    ``groups``: by capability id; ``lines``: the requirement ids of each group's lines, in their order. ``condition_ids``
    name the places of ``chances``. ``nations``: pledge id to alpha-2 code, for N-1.
    """

    today: date
    groups: dict[int, certainty.Capability]
    lines: dict[int, tuple[int, ...]]
    condition_ids: tuple[int, ...]
    chances: tuple[float, ...]
    nations: dict[int, str]

    def day(self, number: int) -> date:
        """Return the calendar day of a day number."""
        return self.today + timedelta(days=int(number))


@dataclass(frozen=True)
class _Piece:
    """A pledge on some of its days: how likely, and what it hangs on then."""

    first: int
    last: int
    chance: float
    conditions: tuple[int, ...]


def last_day(operation: Operation, today: date) -> date:
    """Return the last day the plan is looked at: the mandate's, else two years after it starts."""
    return operation.mandate_until or max(today, operation.starts_on) + HORIZON


def question(
    operation: Operation, capability_ids: Iterable[int], *, today: date, supposed: Supposition | None = None
) -> Question:
    """Return what to ask about these capabilities, over all rows of the planning tier. Six queries.

    Unquantified, blocked and superseded pledges and those off the ladder bring nothing. Lines that are over are left
    out. A capability without lines is left out.
    """
    supposed = supposed or Supposition()
    ids = list(capability_ids)
    lines = _lines(operation, ids, today)
    # What is open-ended stands as long as anything of its capability is needed.
    horizons = dict.fromkeys(ids, (last_day(operation, today) - today).days)
    for line in lines:
        if line.needed_until:
            horizons[line.capability_id] = max(horizons[line.capability_id], (line.needed_until - today).days)
    conditions = _conditions(operation, supposed)
    place = {pk: i for i, pk in enumerate(conditions)}
    pieces, weights, nations = {}, {}, {}
    of_capability: dict[int, list[int]] = {}
    capability_of_pledge: dict[int, int] = {}
    for pledge in _pledges(operation, ids, today, supposed):
        hanging = {pk: conditions[pk] for pk in pledge["hangs_on"] if pk in conditions}
        horizon = horizons[pledge["capability_id"]]
        pieces[pledge["pk"]] = _pieces_of(pledge, hanging, place, operation, today, horizon, supposed)
        weights[pledge["pk"]] = pledge["quantity"]
        nations[pledge["pk"]] = pledge["nation_id"]
        of_capability.setdefault(pledge["capability_id"], []).append(pledge["pk"])
        capability_of_pledge[pledge["pk"]] = pledge["capability_id"]
    answers: dict[int, list[tuple[int, Decimal]]] = {}
    capability_of_line = {line.pk: line.capability_id for line in lines}
    for line_id, pledge_id, quantity in _allocations(capability_of_line):
        if capability_of_pledge.get(pledge_id) == capability_of_line[line_id]:
            answers.setdefault(line_id, []).append((pledge_id, min(quantity, weights[pledge_id])))
    any_one = dict(Capability.objects.filter(pk__in=ids).values_list("pk", "aggregation"))
    plans: dict[int, list[certainty.Plan]] = {}
    line_ids: dict[int, list[int]] = {}
    for line in lines:
        first = max((line.needed_from - today).days, 0)
        last = horizons[line.capability_id] if line.needed_until is None else (line.needed_until - today).days
        plans.setdefault(line.capability_id, []).append(
            certainty.Plan(
                need=line.quantity,
                first=first,
                last=max(first, last),
                contributions=tuple(
                    contribution
                    for pledge_id, quantity in answers.get(line.pk, ())
                    for contribution in _contributions(pledge_id, quantity, pieces[pledge_id])
                ),
                any_one=any_one[line.capability_id] == Capability.Aggregation.ANY,
            )
        )
        line_ids.setdefault(line.capability_id, []).append(line.pk)
    groups = {
        pk: certainty.Capability(
            lines=tuple(plans.get(pk, ())),
            pool=tuple(
                contribution
                for pledge_id in of_capability.get(pk, ())
                for contribution in _contributions(pledge_id, weights[pledge_id], pieces[pledge_id])
            ),
        )
        for pk in ids
        if plans.get(pk)
    }
    return Question(
        today=today,
        groups=groups,
        lines={pk: tuple(line_ids[pk]) for pk in groups},
        condition_ids=tuple(conditions),
        chances=tuple(conditions[pk].chance for pk in conditions),
        nations=nations,
    )


@dataclass(frozen=True)
class _OpenCondition:
    chance: float
    due_on: date | None


def _conditions(operation: Operation, supposed: Supposition) -> dict[int, _OpenCondition]:
    """Return the conditions that are open; the others are certain and are no question."""
    rows = Condition.objects.filter(operation=operation).order_by("pk")
    return {
        pk: _OpenCondition(supposed.probabilities.get(pk, probability), due_on)
        for pk, state, probability, due_on in rows.values_list("pk", "state", "probability", "due_on")
        if supposed.states.get(pk, state) == Condition.State.OPEN
    }


def _pledges(operation: Operation, ids: list[int], today: date, supposed: Supposition) -> list[dict]:
    unconfirmed = standing.days_unconfirmed(standing.today_of_operation(today))
    rows = list(
        Pledge.objects.with_standing(today, supposed.states)
        .filter(operation=operation, capability__in=ids, status__in=Pledge.ON_LADDER, quantity__isnull=False)
        .counted_at(Tier.PLANNING)
        .exclude(level=BLOCKED)
        .exclude(nation__in=supposed.nations_out)
        .exclude(pk__in=supposed.withdrawn)
        .annotate(unconfirmed=unconfirmed)
        .order_by("pk")
        .values(
            "pk",
            "nation_id",
            "capability_id",
            "status",
            "quantity",
            "stands_from",
            "stands_until",
            "ordered_on",
            "notice_days",
            "available_from",
            "unconfirmed",
        )
    )
    links: dict[int, list[int]] = {}
    of_these = PledgeCondition.objects.filter(pledge__operation=operation, pledge__capability__in=ids)
    for pledge_id, condition_id in of_these.values_list("pledge_id", "condition_id"):
        links.setdefault(pledge_id, []).append(condition_id)
    for row in rows:
        row["hangs_on"] = sorted(links.get(row["pk"], ()))
    return rows


def _lines(operation: Operation, ids: list[int], today: date) -> list[Requirement]:
    rows = Requirement.objects.filter(operation=operation, capability__in=ids).exclude(needed_until__lt=today)
    return list(rows.order_by("pk"))


def _allocations(line_ids: Iterable[int]) -> list[tuple[int, int, Decimal]]:
    """Return line, pledge and quantity. Not joined with both ends: the lines tell enough, and a join may go wrong."""
    rows = Allocation.objects.filter(requirement__in=list(line_ids)).order_by("pk")
    return list(rows.values_list("requirement_id", "pledge_id", "quantity"))


def _pieces_of(
    pledge: dict,
    hanging: dict[int, _OpenCondition],
    place: dict[int, int],
    operation: Operation,
    today: date,
    horizon: int,
    supposed: Supposition,
) -> list[_Piece]:
    """Cut a pledge where another condition begins to bite; one piece for a pledge that does not stand yet."""
    slip = supposed.slipped.get(pledge["pk"], 0)
    first = (pledge["stands_from"] - today).days + slip
    last = horizon if pledge["stands_until"] is None else (pledge["stands_until"] - today).days
    chance = _chance_of(pledge, operation, today, supposed)
    if pledge["status"] not in STANDING:
        return [_Piece(first, last, chance, tuple(sorted(place[pk] for pk in hanging)))]
    # A condition of what stands is a condition of staying: it bites from its due day, today if it has none.
    bites = {place[pk]: max((c.due_on - today).days if c.due_on else 0, 0) for pk, c in hanging.items()}
    cuts = sorted({first, *(day for day in bites.values() if first < day <= last)})
    ends = [cut - 1 for cut in cuts[1:]] + [last]
    return [
        _Piece(begin, end, chance, tuple(sorted(i for i, day in bites.items() if day <= begin)))
        for begin, end in zip(cuts, ends, strict=True)
    ]


def _chance_of(pledge: dict, operation: Operation, today: date, supposed: Supposition) -> float:
    """Return the step's certainty times staleness, 0 to 1."""
    status = pledge["status"]
    certain = supposed.certainties.get(status, getattr(operation, f"certainty_{status}"))
    overdue = pledge["unconfirmed"] - operation.confirm_every_days
    if status == Pledge.Status.IN_PLACE:
        overdue = 0  # it is seen there; only flagged "unconfirmed since"
    elif status == Pledge.Status.DEPLOYING:
        planned = (pledge["ordered_on"] or today) + timedelta(days=pledge["notice_days"])
        planned = max(planned, pledge["available_from"] or planned)
        overdue = min(overdue, (today - planned).days)
    return certain * certainty.staleness(overdue, operation.half_life_days)


def _contributions(pledge_id: int, quantity: Decimal, pieces: list[_Piece]) -> list[certainty.Contribution]:
    return [
        certainty.Contribution(
            pledge=pledge_id,
            weight=quantity,
            chance=piece.chance,
            first=piece.first,
            last=piece.last,
            conditions=piece.conditions,
        )
        for piece in pieces
        if piece.first <= piece.last
    ]
