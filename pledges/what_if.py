"""What if: a condition met or failed, a nation out, a pledge slipped or withdrawn. Computed beside the plan, never written.

For the planning tier alone. A scenario is its address: ``Scenario`` reads it and writes it.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils.http import urlencode

from coalition.editing import is_id
from coalition.models import Condition, Nation, Operation
from pledges import certainty
from pledges.chances import Question, Supposition, last_day, question
from pledges.models import Pledge, Requirement

LONGEST_SLIP = 3650  # days
MOST_CHANGES = 500
STATES = tuple(Condition.State.values)
STEPS = tuple(status.value for status in Pledge.ON_LADDER)


@dataclass(frozen=True)
class Scenario:
    """A supposition about one operation, looked at on one day."""

    operation: Operation
    on: date
    supposed: Supposition

    @property
    def is_empty(self) -> bool:
        return self.supposed == Supposition()

    def query(self) -> str:
        """Return the scenario as the query string of its address; reading it again gives the same scenario."""
        supposed = self.supposed
        pairs = [("operation", self.operation.code), ("on", self.on.isoformat())]
        pairs += [("condition", f"{pk}:{state}") for pk, state in sorted(supposed.states.items())]
        pairs += [("probability", f"{pk}:{chance:g}") for pk, chance in sorted(supposed.probabilities.items())]
        pairs += [("out", code) for code in sorted(supposed.nations_out)]
        pairs += [("withdraw", pk) for pk in sorted(supposed.withdrawn)]
        pairs += [("slip", f"{pk}:{days}") for pk, days in sorted(supposed.slipped.items())]
        pairs += [("certainty", f"{step}:{chance:g}") for step, chance in sorted(supposed.certainties.items())]
        return urlencode(pairs)


@dataclass(frozen=True)
class LineChange:
    """One requirement line on the scenario's day, as planned and as supposed.

    ``before``, ``after``: the chance that it is met. ``covered_before``, ``covered_after``: the expected share of the
    need that comes, 0 to 1; it moves also where a line is out of reach either way. None where nothing is needed.
    """

    requirement: Requirement
    before: float
    after: float
    covered_before: float | None
    covered_after: float | None

    @property
    def difference(self) -> float:
        return self.after - self.before

    @property
    def covered_difference(self) -> float:
        return (self.covered_after or 0) - (self.covered_before or 0)


@dataclass(frozen=True)
class Effect:
    """What one condition or nation does to the expected number of lines met on the day.

    ``low``: if it fails or leaves; ``high``: if it holds (a nation: as now). ``hardest``: the line that loses most.
    """

    key: int | str
    low: float
    high: float
    hardest: int | None
    hardest_loss: float

    @property
    def swing(self) -> float:
        return self.high - self.low

    @property
    def hardest_change(self) -> float:
        return -self.hardest_loss


@dataclass(frozen=True)
class Comparison:
    """A scenario beside the plan as it is. The lines active on the day, the most harmed first."""

    scenario: Scenario
    lines: tuple[LineChange, ...]

    @property
    def expected_before(self) -> float:
        """Expected number of lines met, as planned."""
        return sum(line.before for line in self.lines)

    @property
    def expected_after(self) -> float:
        return sum(line.after for line in self.lines)

    @property
    def difference(self) -> float:
        return self.expected_after - self.expected_before

    @property
    def coverage_before(self) -> float | None:
        """Mean expected coverage of the lines, each weighing the same; None without any."""
        return _mean([line.covered_before for line in self.lines])

    @property
    def coverage_after(self) -> float | None:
        return _mean([line.covered_after for line in self.lines])

    @property
    def coverage_difference(self) -> float:
        return (self.coverage_after or 0) - (self.coverage_before or 0)


def read(operation: Operation, asked: QueryDict, *, user) -> Scenario:
    """Return the scenario an address asks for. Raise ValidationError naming every part that cannot be understood."""
    problems: dict[str, list[str]] = {}

    def given(name: str) -> list[str]:
        return [text.strip() for text in asked.getlist(name) if text.strip()]  # a field left empty supposes nothing

    def pairs(name: str) -> list[tuple[str, str]]:
        found = []
        for text in given(name):
            left, colon, right = text.partition(":")
            if not colon:
                problems.setdefault(name, []).append(f"“{text[:40]}” is not written as id:value.")
            elif right != "":
                found.append((left, right))
        return found

    return of(
        operation,
        {
            "on": asked.get("on") or None,
            "conditions": dict(pairs("condition")),
            "probabilities": dict(pairs("probability")),
            "nations_out": given("out"),
            "withdrawn": given("withdraw"),
            "slipped": dict(pairs("slip")),
            "certainties": dict(pairs("certainty")),
        },
        user=user,
        problems=problems,
    )


def of(operation: Operation, asked: Mapping, *, user, problems: dict[str, list[str]] | None = None) -> Scenario:
    """Return the scenario of plain values, as the API and a stored scenario hold them.

    ``conditions`` id → state, ``probabilities`` id → 0 … 1, ``nations_out`` and ``withdrawn`` lists, ``slipped`` id →
    days, ``certainties`` step → 0 … 1, ``on`` a day. Raise ValidationError naming every part that is unknown, out of
    range or not visible.
    """
    problems = problems if problems is not None else {}
    today = operation.today()

    def complain(name: str, text: str) -> None:
        problems.setdefault(name, []).append(text)

    if sum(len(value) for value in asked.values() if isinstance(value, list | dict)) > MOST_CHANGES:
        raise ValidationError({"scenario": [f"A scenario changes at most {MOST_CHANGES} things."]})
    seen = {
        str(pk) for pk in Condition.objects.visible_to(user).filter(operation=operation).values_list("pk", flat=True)
    }
    states = _known("conditions", asked, seen, complain)
    for pk, state in list(states.items()):
        if state not in STATES:
            complain("conditions", f"Condition {pk}: “{str(state)[:40]}” is none of {', '.join(STATES)}.")
            del states[pk]
    probabilities = _shares("probabilities", _known("probabilities", asked, seen, complain), complain)
    nations = set(Nation.objects.filter(pk__in=asked.get("nations_out") or []).values_list("pk", flat=True))
    for code in set(asked.get("nations_out") or []) - nations:
        complain("nations_out", f"There is no nation “{str(code)[:10]}”.")
    wanted = {str(pk) for pk in asked.get("withdrawn") or []} | {str(pk) for pk in asked.get("slipped") or {}}
    numbers = [pk for pk in wanted if is_id(pk)]
    pledges = Pledge.objects.visible_to(user).filter(operation=operation, pk__in=numbers)
    known = {str(pk) for pk in pledges.values_list("pk", flat=True)}
    slipped = {}
    for pk, days in _known("slipped", asked, known, complain).items():
        try:
            slipped[pk] = int(days)
        except (TypeError, ValueError):
            complain("slipped", f"P{pk}: “{str(days)[:20]}” is no number of days.")
            continue
        if not 0 <= slipped[pk] <= LONGEST_SLIP:
            complain("slipped", f"P{pk}: from 0 to {LONGEST_SLIP} days.")
    for pk in {str(pk) for pk in asked.get("withdrawn") or []} - known:
        complain("withdrawn", f"There is no pledge “{pk[:20]}” here.")
    certainties = {}
    for step, chance in (asked.get("certainties") or {}).items():
        if step not in STEPS:
            complain("certainties", f"“{str(step)[:40]}” is no step of the ladder.")
        else:
            certainties[step] = chance
    certainties = _shares("certainties", certainties, complain)
    on = _day(asked.get("on"), operation, today, complain)
    if problems:
        raise ValidationError(problems)
    return Scenario(
        operation=operation,
        on=on,
        supposed=Supposition(
            states=states,
            probabilities=probabilities,
            nations_out=frozenset(nations),
            withdrawn=frozenset(int(pk) for pk in asked.get("withdrawn") or []),
            slipped=slipped,
            certainties=certainties,
        ),
    )


def _mean(shares: list[float | None]) -> float | None:
    known = [share for share in shares if share is not None]
    return sum(known) / len(known) if known else None


def _known(name: str, asked: Mapping, seen: set[str], complain) -> dict[int, object]:
    found = {}
    for pk, value in (asked.get(name) or {}).items():
        if str(pk) in seen:
            found[int(pk)] = value
        else:
            complain(name, f"There is no “{str(pk)[:20]}” here.")
    return found


def _shares(name: str, values: Mapping, complain) -> dict:
    shares = {}
    for key, value in values.items():
        try:
            share = float(value)
        except (TypeError, ValueError):
            share = math.nan
        if 0 <= share <= 1:
            shares[key] = share
        else:
            complain(name, f"{key}: a chance is a number from 0 to 1, not “{str(value)[:20]}”.")
    return shares


def _day(asked, operation: Operation, today: date, complain) -> date:
    if asked in (None, ""):
        return max(operation.starts_on, today)
    try:
        day = asked if isinstance(asked, date) else date.fromisoformat(str(asked))
    except ValueError:
        complain("on", f"“{str(asked)[:20]}” is no day; write 2027-03-01.")
        return today
    if not today <= day <= last_day(operation, today):
        complain("on", f"Choose a day from {today} to {last_day(operation, today)}.")
    return day


def compare(scenario: Scenario) -> Comparison:
    """Return the scenario beside the plan as it is, on the scenario's day. That day is worked out twice."""
    operation = scenario.operation
    today = operation.today()
    ids = _capabilities_of(operation)
    number = (scenario.on - today).days
    before = _of_day(question(operation, ids, today=today), number)
    plain = supposed = _answers(before)
    if not scenario.is_empty:
        supposed = _answers(_of_day(question(operation, ids, today=today, supposed=scenario.supposed), number))
    lines: dict[int, list[float | None]] = {}
    for capability_id, answer in plain.items():
        other = supposed[capability_id]
        for place, requirement_id in enumerate(before.lines[capability_id]):
            now, then = answer.lines[place], other.lines[place]
            chance = _at(now.first, now.last, now.p_met, number)
            if chance is not None:
                lines[requirement_id] = [
                    chance,
                    _at(then.first, then.last, then.p_met, number),
                    _at(now.first, now.last, now.coverage, number),
                    _at(then.first, then.last, then.coverage, number),
                ]
    rows = Requirement.objects.filter(pk__in=lines).select_related("capability", "sector")
    changes = [LineChange(row, *lines[row.pk]) for row in rows]
    return Comparison(
        scenario=scenario,
        lines=tuple(
            sorted(
                changes,
                key=lambda line: (round(line.difference, 6), line.covered_difference, line.after, line.requirement.pk),
            )
        ),
    )


def conditions_by_effect(scenario: Scenario) -> list[Effect]:
    """Return the open conditions by how far they move the expected number of lines met on the day (the tornado)."""
    asked, number = _asked(scenario)
    answers = _answers(asked)
    base = _base(asked, answers, number)
    effects = []
    swings = certainty.tornado(list(asked.groups.values()), asked.chances)
    for place, found in swings.items():
        low = high = sum(base.values())
        hardest: dict[int, float] = {}
        for swing in found:
            for requirement_id, chance in _lines_of(asked, answers, swing.failed, number):
                low += chance - base[requirement_id]
                hardest[requirement_id] = base[requirement_id] - chance
            for requirement_id, chance in _lines_of(asked, answers, swing.held, number):
                high += chance - base[requirement_id]
        effects.append(_effect(asked.condition_ids[place], low, high, hardest))
    return sorted(effects, key=lambda effect: -effect.swing)


def nations_by_loss(scenario: Scenario) -> list[Effect]:
    """Return every nation by how many expected lines its leaving would cost on the day (N-1)."""
    asked, number = _asked(scenario)
    answers = _answers(asked)
    base = _base(asked, answers, number)
    owners: dict[str, set[int]] = {}
    for pledge_id, nation in asked.nations.items():
        owners.setdefault(nation, set()).add(pledge_id)
    effects = []
    for nation, losses in certainty.losses(list(asked.groups.values()), asked.chances, owners).items():
        total = sum(base.values())
        low, hardest = total, {}
        for loss in losses:
            for requirement_id, chance in _lines_of(asked, answers, loss, number):
                low += chance - base[requirement_id]
                hardest[requirement_id] = base[requirement_id] - chance
        effects.append(_effect(nation, low, total, hardest))
    return sorted(effects, key=lambda effect: (-effect.swing, str(effect.key)))


def _effect(key: int | str, low: float, high: float, hardest: dict[int, float]) -> Effect:
    worst = max(hardest, key=lambda pk: hardest[pk], default=None)
    lost = hardest.get(worst, 0.0) if worst is not None else 0.0
    return Effect(key, low, high, worst if lost > 0 else None, lost)


def _asked(scenario: Scenario) -> tuple[Question, int]:
    today = scenario.operation.today()
    ids = _capabilities_of(scenario.operation)
    number = (scenario.on - today).days
    return _of_day(question(scenario.operation, ids, today=today, supposed=scenario.supposed), number), number


def _of_day(asked: Question, number: int) -> Question:
    """Return the question about this day alone, and about lines alone: a day's answer hangs on no other day."""
    groups, lines = {}, {}
    for pk, group in asked.groups.items():
        active = [
            (requirement_id, plan)
            for requirement_id, plan in zip(asked.lines[pk], group.lines, strict=True)
            if plan.first <= number <= plan.last
        ]
        if active:
            lines[pk] = tuple(requirement_id for requirement_id, _ in active)
            groups[pk] = certainty.Capability(tuple(_plan_of_day(plan, number) for _, plan in active), pool=())
    return replace(asked, groups=groups, lines=lines)


def _plan_of_day(plan: certainty.Plan, number: int) -> certainty.Plan:
    standing = tuple(piece for piece in plan.contributions if piece.first <= number <= piece.last)
    return replace(plan, first=number, last=number, contributions=standing)


Answers = dict[int, certainty.CapabilityAnswer]


def _base(asked: Question, answers: Answers, number: int) -> dict[int, float]:
    """Return P(met) of every line active on the day, by requirement id."""
    base = {}
    for capability_id, answer in answers.items():
        for place, requirement_id in enumerate(asked.lines[capability_id]):
            line = answer.lines[place]
            chance = _at(line.first, line.last, line.p_met, number)
            if chance is not None:
                base[requirement_id] = chance
    return base


def _lines_of(asked: Question, answers: Answers, loss: certainty.Loss, number: int) -> Iterator[tuple[int, float]]:
    """Yield (requirement id, P(met)) of the lines that lose something and are active on the day."""
    capability_id = list(asked.groups)[loss.capability]
    for place, chances in loss.p_met.items():
        line = answers[capability_id].lines[place]
        chance = _at(line.first, line.last, chances, number)
        if chance is not None:
            yield asked.lines[capability_id][place], chance


def _answers(asked: Question) -> Answers:
    found = certainty.capabilities(list(asked.groups.values()), asked.chances)
    return dict(zip(asked.groups, found, strict=True))


def _at(first: np.ndarray, last: np.ndarray, values: np.ndarray, number: int) -> float | None:
    """Return the value of the stretch that holds a day, or None outside all of them."""
    place = int(np.searchsorted(first, number, side="right")) - 1
    if place < 0 or number > last[place] or math.isnan(values[place]):
        return None
    return float(values[place])


def _capabilities_of(operation: Operation) -> list[int]:
    lines = Requirement.objects.filter(operation=operation).order_by()
    return sorted(set(lines.values_list("capability", flat=True)))
