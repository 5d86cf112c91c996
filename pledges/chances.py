"""What each pledge would bring to which need, on which days and how likely: the plan's rows as questions to ``certainty``.

The numbers are for the planning tier alone: with a step's certainty they would give a condition's chance away.
Source of the rules: docs/method.md, "First day a pledge can stand" and "Staleness".
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

from coalition.access import Tier
from coalition.models import Condition, Operation
from pledges import certainty
from pledges.counting import BLOCKED, STANDING, LineRow
from pledges.models import Pledge
from pledges.planned import Planned, PledgeFacts, planned

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
    operation: Operation,
    capability_ids: Iterable[int],
    *,
    today: date,
    supposed: Supposition | None = None,
    rows: Planned | None = None,
) -> Question:
    """Return what to ask about these capabilities, over all rows of the planning tier. ``rows``: read already.

    Unquantified, blocked and superseded pledges and those off the ladder bring nothing. Lines that are over are left
    out. A capability without lines is left out.
    """
    supposed = supposed or Supposition()
    ids = list(capability_ids)
    rows = rows or planned(operation, ids, today=today, supposed=supposed.states)
    conditions = _conditions(rows, supposed)
    place = {pk: i for i, pk in enumerate(conditions)}
    groups, line_ids, nations = {}, {}, {}
    for pk in ids:
        lines = [line for line in rows.lines[pk] if line.last is None or line.last >= today]
        # What is open-ended stands as long as anything of its capability is needed.
        horizon = (last_day(operation, today) - today).days
        horizon = max([horizon, *((line.last - today).days for line in lines if line.last)])
        pieces, weights = {}, {}
        for pledge, quantity in _that_bring(rows.pledges[pk], supposed):
            hanging = {condition: conditions[condition] for condition in pledge.hangs_on if condition in conditions}
            pieces[pledge.row.id] = _pieces_of(pledge, hanging, place, operation, today, horizon, supposed)
            weights[pledge.row.id] = quantity
            nations[pledge.row.id] = pledge.row.nation
        if not lines:
            continue
        answers: dict[int, list[certainty.Contribution]] = {line.id: [] for line in lines}
        for allocation in rows.allocations[pk]:
            if allocation.pledge_id in weights and allocation.line_id in answers:
                share = min(allocation.quantity, weights[allocation.pledge_id])
                answers[allocation.line_id] += _contributions(allocation.pledge_id, share, pieces[allocation.pledge_id])
        groups[pk] = certainty.Capability(
            lines=tuple(_plan_of(line, answers[line.id], today, horizon, pk in rows.any_alone) for line in lines),
            pool=tuple(
                contribution
                for pledge_id, weight in weights.items()
                for contribution in _contributions(pledge_id, weight, pieces[pledge_id])
            ),
        )
        line_ids[pk] = tuple(line.id for line in lines)
    return Question(
        today=today,
        groups=groups,
        lines=line_ids,
        condition_ids=tuple(conditions),
        chances=tuple(conditions[pk].chance for pk in conditions),
        nations=nations,
    )


def _plan_of(
    line: LineRow, contributions: list[certainty.Contribution], today: date, horizon: int, any_one: bool
) -> certainty.Plan:
    first = max((line.first - today).days, 0)
    last = horizon if line.last is None else (line.last - today).days
    return certainty.Plan(
        need=line.quantity, first=first, last=max(first, last), contributions=tuple(contributions), any_one=any_one
    )


@dataclass(frozen=True)
class _OpenCondition:
    chance: float
    due_on: date | None


def _conditions(rows: Planned, supposed: Supposition) -> dict[int, _OpenCondition]:
    """Return the conditions that are open; the others are certain and are no question."""
    return {
        pk: _OpenCondition(supposed.probabilities.get(pk, probability), due_on)
        for pk, state, probability, due_on in rows.conditions
        if supposed.states.get(pk, state) == Condition.State.OPEN
    }


def _that_bring(pledges: Iterable[PledgeFacts], supposed: Supposition) -> Iterator[tuple[PledgeFacts, Decimal | int]]:
    """Yield the pledges that bring something, each with its quantity."""
    for pledge in pledges:
        row = pledge.row
        if (
            row.quantity is not None
            and row.level != BLOCKED
            and row.counts_at(Tier.PLANNING)
            and row.nation not in supposed.nations_out
            and row.id not in supposed.withdrawn
        ):
            yield pledge, row.quantity


def _pieces_of(
    pledge: PledgeFacts,
    hanging: dict[int, _OpenCondition],
    place: dict[int, int],
    operation: Operation,
    today: date,
    horizon: int,
    supposed: Supposition,
) -> list[_Piece]:
    """Cut a pledge where another condition begins to bite; one piece for a pledge that does not stand yet."""
    slip = supposed.slipped.get(pledge.row.id, 0)
    first = (pledge.row.first - today).days + slip
    last = horizon if pledge.row.last is None else (pledge.row.last - today).days
    chance = _chance_of(pledge, operation, today, supposed)
    if pledge.status not in STANDING:
        return [_Piece(first, last, chance, tuple(sorted(place[pk] for pk in hanging)))]
    # A condition of what stands is a condition of staying: it bites from its due day, today if it has none.
    bites = {place[pk]: max((c.due_on - today).days if c.due_on else 0, 0) for pk, c in hanging.items()}
    cuts = sorted({first, *(day for day in bites.values() if first < day <= last)})
    ends = [cut - 1 for cut in cuts[1:]] + [last]
    return [
        _Piece(begin, end, chance, tuple(sorted(i for i, day in bites.items() if day <= begin)))
        for begin, end in zip(cuts, ends, strict=True)
    ]


def _chance_of(pledge: PledgeFacts, operation: Operation, today: date, supposed: Supposition) -> float:
    """Return the step's certainty times staleness, 0 to 1."""
    status = pledge.status
    certain = supposed.certainties.get(status, getattr(operation, f"certainty_{status}"))
    overdue = pledge.unconfirmed - operation.confirm_every_days
    if status == Pledge.Status.IN_PLACE:
        overdue = 0  # it is seen there; only flagged "unconfirmed since"
    elif status == Pledge.Status.DEPLOYING:
        planned = (pledge.ordered_on or today) + timedelta(days=pledge.row.notice_days)
        planned = max(planned, pledge.available_from or planned)
        overdue = min(overdue, (today - planned).days)
    return certain * certainty.staleness(overdue, operation.half_life_days)


def _contributions(pledge_id: int, quantity: Decimal | int, pieces: list[_Piece]) -> list[certainty.Contribution]:
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
