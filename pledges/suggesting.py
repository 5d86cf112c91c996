"""Which allocations would close the most, and why these? A proposal to read, and to accept line by line.

Looking writes nothing. What is proposed was worked out by ``pledges.filling``; here stand the rules of who may be
proposed at all, the reasons in words, and what a person has to decide: caveats on where a force may go are read by
people, never by the machine.
"""

import hashlib
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet

from coalition.access import Tier, acting_as, actor_of, demand
from coalition.editing import Refused
from coalition.models import Operation
from pledges import allocating, counting, filling, readiness
from pledges.allocating import figure
from pledges.chances import last_day
from pledges.counting import BLOCKED, FIRM, ZERO, LineRow, Plan, PledgeRow
from pledges.models import Allocation, Capability, Caveat, Pledge, Requirement

BUDGET_S = 8.0  # for everything one page asks; what is not answered by then is said so
MOST_NAMED = 4  # pledges in one sentence
MOST_PICKS = 500  # accepted in one go


@dataclass(frozen=True)
class Answer:
    """So much of this pledge for this line, and why. ``seen``: what it is based on, to be given back on accepting."""

    pledge: Pledge
    line: Requirement
    quantity: Decimal
    free: Decimal  # of the pledge, in the line's window, before any of this is accepted
    reasons: tuple[str, ...]
    seen: str

    @property
    def typed(self) -> str:
        """The quantity as a person would type it."""
        text = f"{self.quantity:.2f}"
        return text.removesuffix(".00")


@dataclass(frozen=True)
class ByHand:
    """A pledge that fits but whose caveats a person must read first. Never proposed."""

    pledge: Pledge
    free: Decimal
    caveats: tuple[str, ...]


@dataclass(frozen=True)
class Covered:
    """How much of quantity × days is covered from today to the proposal's last day."""

    quantity_days: Decimal = ZERO
    needed: Decimal = ZERO

    @property
    def share(self) -> float | None:
        """0 to 1; None when nothing is needed."""
        return float(self.quantity_days / self.needed) if self.needed else None


@dataclass(frozen=True)
class LineProposal:
    """One line: what would answer it, what stays open and why."""

    line: Requirement
    answers: tuple[Answer, ...]
    before: Covered
    after: Covered
    gaps: tuple[filling.Gap, ...]  # what stays open; empty when nothing does
    why_open: tuple[str, ...]
    by_hand: tuple[ByHand, ...]

    @property
    def is_open(self) -> bool:
        return bool(self.gaps)


@dataclass(frozen=True)
class CapabilityProposal:
    """The lines of one capability that lack something, in the order they are filled. ``is_best``: proven."""

    capability: Capability
    lines: tuple[LineProposal, ...]
    full: int  # lines that lack nothing
    before: Covered
    after: Covered
    is_best: bool

    @property
    def proposes(self) -> bool:
        return any(line.answers for line in self.lines)


@dataclass(frozen=True)
class Proposal:
    """What could be allocated. Capabilities whose lines lack nothing are missing, those without time are ``unasked``."""

    operation: Operation
    threshold: str
    today: date
    until: date  # the last day that was counted
    capabilities: tuple[CapabilityProposal, ...] = ()
    unasked: tuple[Capability, ...] = ()

    @property
    def lines(self) -> list[LineProposal]:
        return [line for capability in self.capabilities for line in capability.lines]

    @property
    def answers(self) -> list[Answer]:
        """Everything proposed."""
        return [answer for line in self.lines for answer in line.answers]

    @property
    def proposing(self) -> list[CapabilityProposal]:
        """The capabilities with something to accept, the most pressing first."""
        some = [capability for capability in self.capabilities if capability.proposes]
        return sorted(some, key=lambda some: min(line.line.priority for line in some.lines if line.answers))

    @property
    def at_a_loss(self) -> list[LineProposal]:
        """The lines of the other capabilities: they lack something and nothing can be proposed; most pressing first."""
        lines = [line for some in self.capabilities if not some.proposes for line in some.lines]
        return sorted(lines, key=lambda line: (line.line.priority, line.line.needed_from, line.line.pk))

    @property
    def still_open(self) -> list[LineProposal]:
        """The lines that lack something when everything is accepted."""
        return [line for line in self.lines if line.is_open]


@dataclass(frozen=True)
class Pick:
    """One ticked answer as it came back from the page."""

    pledge_id: int
    line_id: int
    quantity: Any
    seen: str


@dataclass(frozen=True)
class Refusal:
    pick: Pick
    sentence: str


@dataclass(frozen=True)
class Accepted:
    """What was allocated, and what was not with the reason."""

    done: tuple[Allocation, ...] = ()
    refused: tuple[Refusal, ...] = ()


# --- The proposal ---------------------------------------------------------------------------


def suggest(
    operation: Operation,
    *,
    by,
    capabilities: Iterable[Capability] | None = None,
    threshold: str = FIRM,
    today: date | None = None,
    seconds: float = BUDGET_S,
) -> Proposal:
    """Return what could be allocated so that the lines are covered best, by priority, then by earlier need.

    Only pledges at the threshold or better, with a planning quantity, not blocked, not superseded, whose notice is not
    longer than the line asks for and which carry no geographic caveat. Existing allocations stay. ``capabilities``: None
    for all. Writes nothing. Raise PermissionDenied unless ``by`` may allocate, KeyError for an unknown threshold.
    """
    demand(by, "allocate")
    counting.place_of(threshold)
    deadline = time.monotonic() + seconds
    today = today or operation.today()
    until = last_day(operation, today)
    with acting_as(by):
        found = Capability.objects.filter(requirements__operation=operation).distinct().order_by("name")
        if capabilities is not None:
            found = found.filter(pk__in=[capability.pk for capability in capabilities])
        asked = list(found)
        tier = actor_of(by).tier
        plans = {
            pk: plan.seen_at(tier)
            for pk, plan in readiness.load(operation, [capability.pk for capability in asked], today=today).items()
        }
        end = max((filling.horizon(plan, today=today, until=until) for plan in plans.values()), default=until)
        known = _Known(operation, by, asked)
        answered, unasked = [], []
        for place, capability in enumerate(asked):
            plan = plans[capability.pk]
            left = deadline - time.monotonic()
            if left <= 0:
                unasked.append(capability)
                continue
            # A hard capability may take thrice its part of what is left, so that the others get their turn.
            share = left * min(3 / (len(asked) - place), 1)
            proposal = _of_capability(capability, plan, known, threshold, today, end, share)
            if proposal:
                answered.append(proposal)
    return Proposal(operation, threshold, today, end, tuple(answered), tuple(unasked))


class _Known:
    """The rows behind the numbers, loaded once for all capabilities asked about. Four queries."""

    def __init__(self, operation: Operation, by, capabilities: Sequence[Capability]):
        of_these = {"operation": operation, "capability__in": [capability.pk for capability in capabilities]}
        self.pledges: dict[int, Pledge] = (
            Pledge.objects.visible_to(by)
            .filter(**of_these, status__in=Pledge.ON_LADDER, superseded_by=None)
            .select_related("nation", "capability")
            .in_bulk()
        )
        self.lines: dict[int, Requirement] = (
            Requirement.objects.visible_to(by).filter(**of_these).select_related("capability", "sector").in_bulk()
        )
        self.caveats: dict[int, list[Caveat]] = {}
        for caveat in Caveat.objects.filter(pledge__in=self.pledges).order_by("pk"):
            self.caveats.setdefault(caveat.pledge_id, []).append(caveat)
        self.versions = _versions_of(Allocation.objects.filter(requirement__in=self.lines))

    def needs_a_person(self, pledge_id: int) -> bool:
        return any(caveat.kind == Caveat.Kind.GEOGRAPHIC for caveat in self.caveats.get(pledge_id, ()))

    def cost(self, pledge: PledgeRow, line: LineRow) -> int:
        """Choose between equally good fillings: first what the line's own tier sees, then what its nation meant for
        it, then the better level."""
        meant_for = self.pledges[pledge.id].requirement_id
        return (
            10
            + 100 * (pledge.tier > line.tier)
            + (0 if meant_for == line.id else 12 if meant_for else 6)
            + (len(counting.LEVELS) - 1 - counting.place_of(pledge.level))
        )


def _of_capability(
    capability: Capability, plan: Plan, known: _Known, threshold: str, today: date, end: date, seconds: float
) -> CapabilityProposal | None:
    """Return the proposal for one capability, None when its lines lack nothing."""
    plan = Plan(
        tuple(pledge for pledge in plan.pledges if pledge.id in known.pledges),
        plan.lines,
        tuple(row for row in plan.allocations if row.pledge_id in known.pledges),
        plan.any_alone,
    )
    found = filling.fill(
        plan,
        threshold=threshold,
        today=today,
        end=end,
        barred=lambda pledge, line: is_slow(pledge, line) or known.needs_a_person(pledge.id),
        cost=known.cost,
        seconds=seconds,
    )
    report = _Report(capability, plan, filling.filled(plan, found.quantities), found, known, threshold, today, end)
    lines = sorted(plan.lines, key=lambda line: (line.priority, line.first, line.id))
    wanting = [line for line in lines if any(gap.lacking for gap in report.gaps(line, plan))]
    if not wanting:
        return None
    active = sum(bool(report.gaps(line, plan)) for line in lines)
    return CapabilityProposal(
        capability,
        tuple(report.of_line(line) for line in wanting),
        active - len(wanting),
        report.covered(lines, plan),
        report.covered(lines, report.after),
        found.is_best,
    )


def is_slow(pledge: PledgeRow, line: LineRow) -> bool:
    """Return whether the pledge needs a longer notice to move than the line asks for: it bars automatic suggestion."""
    return line.notice_days is not None and pledge.notice_days > line.notice_days


class _Report:
    """Puts a filling into words: reasons for what is proposed, reasons for what stays open."""

    def __init__(
        self,
        capability: Capability,
        plan: Plan,
        after: Plan,
        found: filling.Filling,
        known: _Known,
        threshold: str,
        today: date,
        end: date,
    ):
        self.capability, self.plan, self.after, self.known = capability, plan, after, known
        self.threshold, self.today, self.end = threshold, today, end
        self.quantities = found.quantities
        self.pledges = {pledge.id: pledge for pledge in plan.pledges}
        self.levels = set(counting.at_or_above(threshold))
        lines = {line.id: line for line in plan.lines}
        self.taken_before = _taken(plan, lines)
        self.taken_after = _taken(after, lines)
        self.present = {(row.pledge_id, row.line_id) for row in plan.allocations}

    def gaps(self, line: LineRow, plan: Plan) -> list[filling.Gap]:
        """Return the line's stretches with what each lacks in a plan, 0 included."""
        answers = [
            (self.pledges[row.pledge_id], row.quantity)
            for row in plan.allocations
            if row.line_id == line.id and self.pledges[row.pledge_id].level in self.levels
        ]
        return filling.gaps_of(
            line, answers, today=self.today, end=self.end, any_alone=self.capability.aggregation == "any"
        )

    def covered(self, lines: Iterable[LineRow], plan: Plan) -> Covered:
        covered, needed = ZERO, ZERO
        for line in lines:
            for gap in self.gaps(line, plan):
                needed += line.quantity * gap.days
                covered += (line.quantity - gap.lacking) * gap.days
        return Covered(covered, needed)

    def of_line(self, line: LineRow) -> LineProposal:
        gaps = tuple(_joined(self.gaps(line, self.after)))
        given = [pair for pair in self.quantities if pair[1] == line.id]
        answers = [self._answer(self.pledges[pledge_id], line) for pledge_id, _ in given]
        answers.sort(key=lambda answer: (self.pledges[answer.pledge.pk].first, -answer.quantity, answer.pledge.pk))
        return LineProposal(
            self.known.lines[line.id],
            tuple(answers),
            self.covered([line], self.plan),
            self.covered([line], self.after),
            gaps,
            tuple(self._why_open(line, gaps)) if gaps else (),
            tuple(self._by_hand(line, gaps)) if gaps else (),
        )

    def _answer(self, pledge: PledgeRow, line: LineRow) -> Answer:
        thing = self.known.pledges[pledge.id]
        return Answer(
            thing,
            self.known.lines[line.id],
            self.quantities[pledge.id, line.id],
            filling.free_of(pledge, line, self.taken_before.get(pledge.id, ())),
            tuple(self._reasons(pledge, line, thing)),
            based_on(thing, self.known.lines[line.id], self.known.versions.get(line.id, ())),
        )

    def _reasons(self, pledge: PledgeRow, line: LineRow, thing: Pledge) -> Iterable[str]:
        unit = self.capability.unit
        first, last = filling.shared_days(pledge, line, today=self.today)
        needed_from = max(line.first, self.today)
        if first <= needed_from and last >= (line.last or date.max):
            yield f"Stands on every day it is needed, from {needed_from}{_until(line.last)}."
        else:
            yield (
                f"Covers {first}{_until(None if last == date.max else last)}"
                f" of {needed_from}{_until(line.last)}; on the other days it does not stand."
            )
        free = filling.free_of(pledge, line, self.taken_before.get(pledge.id, ()))
        quantity = self.quantities[pledge.id, line.id]
        others = [
            f"R{other}" for other_pledge, other in self.quantities if other_pledge == pledge.id and other != line.id
        ]
        if self.capability.aggregation == Capability.Aggregation.ANY:
            yield f"Alone it reaches the {figure(line.quantity)} {unit} needed."
        elif quantity == free:
            yield f"All that is free of it in the line's days: {figure(free)} of {figure(pledge.quantity)} {unit}."
        else:
            yield f"{figure(quantity)} of {figure(free)} {unit} free in the line's days; that closes the gap it can reach."
        if others:
            yield f"It is also proposed for {', '.join(sorted(others))}."
        if line.notice_days is not None:
            yield f"Notice to move {pledge.notice_days} days; the line asks for {line.notice_days} at most."
        if thing.requirement_id == line.id:
            yield "Its nation means it for this line."
        elif thing.requirement_id:
            yield f"Its nation means it for R{thing.requirement_id}; here it closes more."
        if pledge.tier > line.tier:
            yield (
                f"It is for the {Tier(pledge.tier).label} tier, so the allocation is too:"
                f" whoever sees less goes on seeing the line open."
            )
        if pledge.level == "conditional" or pledge.has_open:
            yield "A condition it hangs on is still open."
        for caveat in self.known.caveats.get(pledge.id, ()):
            yield f"Caveat, {caveat.get_kind_display().lower()}: “{caveat.text}”"

    def _why_open(self, line: LineRow, gaps: Sequence[filling.Gap]) -> Iterable[str]:
        """Return why nothing more is proposed, one sentence per kind of obstacle; never empty."""
        groups = self._obstacles(line, gaps)
        below = f"below {self.threshold.replace('_', ' ')}"
        yield from _said(
            groups,
            {
                "slow": f"a longer notice to move than the {line.notice_days} days the line asks for",
                "caveat": "a caveat on where it may go, for a person to read",
                "present": "already on this line with more to give: change that allocation",
                "taken": "bound to other lines in this line's days",
                "small": f"not enough free to reach {figure(line.quantity)} {self.capability.unit} alone",
                "below": f"{below} today",
                "blocked": "blocked by a failed condition",
                "unquantified": "without a planning quantity",
            },
        )
        if groups.get("apart"):
            yield f"{_number(groups['apart'])} not stand on any of the open days."
        if not any(groups.values()):
            yield "No other pledge of this capability stands on the open days."

    def _obstacles(self, line: LineRow, gaps: Sequence[filling.Gap]) -> dict[str, list[int]]:
        groups: dict[str, list[int]] = {}
        for pledge in self.plan.pledges:
            pair = (pledge.id, line.id)
            if pair in self.quantities:
                continue
            days = filling.shared_days(pledge, line, today=self.today)
            if days is None or not any(gap.first <= days[1] and days[0] <= gap.last for gap in gaps):
                if pledge.level in self.levels and pledge.quantity and pair not in self.present:
                    groups.setdefault("apart", []).append(pledge.id)
                continue
            groups.setdefault(self._obstacle(pledge, line), []).append(pledge.id)
        groups.pop("", None)
        return groups

    def _obstacle(self, pledge: PledgeRow, line: LineRow) -> str:
        free = filling.free_of(pledge, line, self.taken_after.get(pledge.id, ()))
        if pledge.level == BLOCKED:
            return "blocked"
        if pledge.quantity is None:
            return "unquantified"
        if (pledge.id, line.id) in self.present:
            return "present" if free and pledge.level in self.levels else ""
        if pledge.level not in self.levels:
            return "below"
        if not free:
            return "taken" if pledge.quantity else ""
        if is_slow(pledge, line):
            return "slow"
        if self.known.needs_a_person(pledge.id):
            return "caveat"
        if self.capability.aggregation == Capability.Aggregation.ANY and free < line.quantity:
            return "small"
        return ""

    def _by_hand(self, line: LineRow, gaps: Sequence[filling.Gap]) -> Iterable[ByHand]:
        for pledge_id in self._obstacles(line, gaps).get("caveat", ()):
            pledge = self.pledges[pledge_id]
            yield ByHand(
                self.known.pledges[pledge_id],
                filling.free_of(pledge, line, self.taken_after.get(pledge_id, ())),
                tuple(caveat.text for caveat in self.known.caveats[pledge_id] if caveat.kind == Caveat.Kind.GEOGRAPHIC),
            )


def _joined(gaps: Iterable[filling.Gap]) -> list[filling.Gap]:
    """Return the gaps that lack something, neighbours that lack the same as one."""
    found: list[filling.Gap] = []
    for gap in gaps:
        if found and found[-1].lacking == gap.lacking and found[-1].last + timedelta(days=1) == gap.first:
            found[-1] = replace(found[-1], last=gap.last)
        elif gap.lacking:
            found.append(gap)
    return found


def _taken(plan: Plan, lines: dict[int, LineRow]) -> dict[int, list[tuple[LineRow, Decimal]]]:
    taken: dict[int, list[tuple[LineRow, Decimal]]] = {}
    for row in plan.allocations:
        taken.setdefault(row.pledge_id, []).append((lines[row.line_id], row.quantity))
    return taken


def _until(day: date | None) -> str:
    return f" to {day}" if day else " on"


def _number(ids: Collection[int]) -> str:
    return "One pledge does" if len(ids) == 1 else f"{len(ids)} pledges do"


def _said(groups: dict[str, list[int]], words: dict[str, str]) -> Iterable[str]:
    for name, text in words.items():
        ids = groups.get(name)
        if ids:
            named = ", ".join(f"P{pk}" for pk in ids[:MOST_NAMED])
            more = f" and {len(ids) - MOST_NAMED} more" if len(ids) > MOST_NAMED else ""
            yield f"{text[0].upper()}{text[1:]}: {named}{more}."


# --- Accepting ------------------------------------------------------------------------------


def accept(picks: Iterable[Pick], *, by) -> Accepted:
    """Allocate the picked answers one by one: what is refused is named with its reason, the others are done.

    A pick is refused when its pledge, its line or what answers the line changed since the proposal was made, beside all
    that ``allocating.allocate`` refuses; so the same picks sent twice allocate once. Raise PermissionDenied;
    ValidationError when there are more than MOST_PICKS.
    """
    demand(by, "allocate")
    wanted = sorted(picks, key=lambda pick: (pick.line_id, pick.pledge_id))
    if len(wanted) > MOST_PICKS:
        raise ValidationError(f"At most {MOST_PICKS} allocations are accepted in one go; these are {len(wanted)}.")
    done: list[Allocation] = []
    refused: list[Refusal] = []
    with acting_as(by):
        lines = _locked(Requirement.objects.visible_to(by), [pick.line_id for pick in wanted])
        pledges = _locked(Pledge.objects.visible_to(by), [pick.pledge_id for pick in wanted])
        versions = _versions_of(Allocation.objects.filter(requirement__in=lines))
        blocked = set(
            Pledge.objects.filter(pk__in=pledges).with_standing().at_level(BLOCKED).values_list("pk", flat=True)
        )
        for pick in wanted:
            pledge, line = pledges.get(pick.pledge_id), lines.get(pick.line_id)
            if pledge is None or line is None:
                refused.append(Refusal(pick, "There is no such pledge or line any more."))
            elif pick.seen != based_on(pledge, line, versions.get(line.pk, ())):
                refused.append(
                    Refusal(
                        pick, f"P{pledge.pk} for R{line.pk}: one of them changed since this was proposed. Look again."
                    )
                )
            elif pledge.pk in blocked:
                refused.append(Refusal(pick, f"P{pledge.pk} is blocked by a failed condition now."))
            else:
                try:
                    done.append(allocating.allocate(pledge.pk, line.pk, pick.quantity, by=by))
                except ValidationError as error:
                    refused.append(Refusal(pick, f"P{pledge.pk} for R{line.pk}: {' '.join(error.messages)}"))
                except Refused as error:
                    refused.append(Refusal(pick, str(error)))
    return Accepted(tuple(done), tuple(refused))


def based_on(pledge: Pledge, line: Requirement, answers: Iterable[tuple[int, int]]) -> str:
    """Return the mark of what an answer rests on: the pledge, the line, and what answers the line (id, version)."""
    said = f"{pledge.pk}.{pledge.version}/{line.pk}.{line.version}/{sorted(answers)}"
    return hashlib.sha256(said.encode()).hexdigest()[:20]


def _versions_of(allocations: QuerySet[Allocation]) -> dict[int, list[tuple[int, int]]]:
    versions: dict[int, list[tuple[int, int]]] = {}
    for line_id, *allocation in allocations.values_list("requirement_id", "pk", "version"):
        versions.setdefault(line_id, []).append(tuple(allocation))
    return versions


def _locked(queryset: QuerySet, ids: Collection[int]) -> dict[int, Any]:
    """Lock rows in the order of ``editing.lock``; those that are not there are left out."""
    rows = queryset.filter(pk__in=set(ids)).order_by("pk").select_for_update(no_key=True, of=("self",))
    return {row.pk: row for row in rows}
