"""How sure is it that needs are met? What ``certainty`` says about the plan's rows, as it is stored and as it is read.

For the planning tier alone: with a step's certainty these numbers would give a condition's chance away. Time is cut into
stretches of its own: the days on which a chance changes are not those on which a count does.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np

from coalition.models import Operation
from pledges import certainty
from pledges.certainty.plans import EXACT
from pledges.chances import Question, question
from pledges.planned import Planned

ENOUGH = 0.8  # a chance of at least this is called high: "from which day at least 80 %"

MEMORY = certainty.Memory()  # of this process: a changed pledge leaves most days as they were

Key = tuple[int, int | None]  # capability id; requirement id, None for the whole capability


# --- what is stored: the worker --------------------------------------------------------------


@dataclass(frozen=True)
class Stored:
    """The answer for one line or one whole capability, as it lies in ``ReadinessLine``.

    ``starts[0]`` is the day that was today; one JSON object per stretch, an empty one for days without a need. The last
    stretch goes on for ever.
    """

    starts: list[date]
    stretches: list[dict[str, Any]]


def answered(
    operation: Operation, capability_ids: Iterable[int], *, today: date, rows: Planned | None = None
) -> dict[Key, Stored]:
    """Return what to store for capabilities of one operation and for their lines; those without a line are missing.

    ``rows``: read already. What cannot be answered is stored with the sentence that says why: it never holds up the others.
    """
    ids = list(capability_ids)
    try:
        return _answers_to(question(operation, ids, today=today, rows=rows))
    except ValueError:
        found: dict[Key, Stored] = {}
        for pk in ids:
            found |= _answered_alone(operation, pk, today, rows)
        return found


def _answered_alone(operation: Operation, capability_id: int, today: date, rows: Planned | None) -> dict[Key, Stored]:
    try:
        asked = question(operation, [capability_id], today=today, rows=rows)
    except ValueError as error:
        return {(capability_id, None): _problem(today, error)}
    try:
        return _answers_to(asked)
    except ValueError as error:
        whole = _problem(today, error)
    found: dict[Key, Stored] = {(capability_id, None): whole}
    for plan, requirement_id in zip(asked.groups[capability_id].lines, asked.lines[capability_id], strict=True):
        try:
            line = _line(asked, certainty.lines([plan], asked.chances)[0])
        except ValueError as error:
            line = _problem(today, error)
        found[capability_id, requirement_id] = line
    return found


def _problem(today: date, error: ValueError) -> Stored:
    return Stored([today], [{"problem": str(error)}])


def _answers_to(asked: Question) -> dict[Key, Stored]:
    answers = certainty.capabilities(list(asked.groups.values()), asked.chances, memory=MEMORY)
    found: dict[Key, Stored] = {}
    for (capability_id, group), answer in zip(asked.groups.items(), answers, strict=True):
        line_ids = asked.lines[capability_id]
        for requirement_id, line in zip(line_ids, answer.lines, strict=True):
            found[capability_id, requirement_id] = _line(asked, line)
        found[capability_id, None] = _capability(asked, group, line_ids, answer)
    return found


_QUANTITIES = ("p_met", "expected", "coverage", "x10", "x50", "x90")


def _objects(answer: certainty.LineAnswer) -> list[dict[str, Any]]:
    """Return one object per stretch. What an exact answer would say of its error is left out."""
    columns = [getattr(answer, name).tolist() for name in _QUANTITIES]
    objects = [dict(zip(_QUANTITIES, values, strict=True)) for values in zip(*columns, strict=True)]
    for found, method, error, amount in zip(
        objects, answer.method, answer.error.tolist(), answer.quantity_error.tolist(), strict=True
    ):
        if found["coverage"] != found["coverage"]:  # NaN: nothing is needed, and JSON has no such number
            found["coverage"] = None
        if method != EXACT:
            found |= {"method": method, "error": error, "quantity_error": amount}
    return objects


def _line(asked: Question, answer: certainty.LineAnswer) -> Stored:
    return _laid_out(asked, answer.first.tolist(), answer.last.tolist(), _objects(answer))


def _capability(
    asked: Question, group: certainty.Capability, line_ids: Sequence[int], answer: certainty.CapabilityAnswer
) -> Stored:
    """Lay the joint chance, the pooled sum and the lines' coverage over one another: each has its own breakpoints."""
    pooled = answer.pooled
    firsts = np.union1d(answer.first, pooled.first)
    joint_at = np.searchsorted(answer.first, firsts, side="right") - 1
    pooled_at = (np.searchsorted(pooled.first, firsts, side="right") - 1).tolist()
    needed, covered = np.zeros(len(firsts)), np.zeros(len(firsts))
    for plan, line in zip(group.lines, answer.lines, strict=True):
        begin, end = np.searchsorted(firsts, [plan.first, plan.last + 1])
        at = np.searchsorted(line.first, firsts[begin:end], side="right") - 1
        needed[begin:end] += float(plan.need)
        covered[begin:end] += np.nan_to_num(line.coverage[at]) * float(plan.need)
    objects_of_pool = _objects(pooled)
    chances, worst = answer.p_all.tolist(), answer.worst.tolist()
    errors, lasts = answer.error.tolist(), answer.last.tolist()
    objects, ends = [], []
    for place, at in enumerate(joint_at.tolist()):
        coverage = float(covered[place] / needed[place]) if needed[place] else None
        found = {"p_all": chances[at], "worst": line_ids[worst[at]], "coverage": coverage}
        if answer.method[at] != EXACT:
            found |= {"method": answer.method[at], "error": errors[at]}
        objects.append(found | {"pooled": objects_of_pool[pooled_at[place]]})
        ends.append(min(lasts[at], int(firsts[place + 1]) - 1 if place + 1 < len(firsts) else lasts[at]))
    return _laid_out(asked, firsts.tolist(), ends, objects)


def _laid_out(asked: Question, firsts: list[int], lasts: list[int], objects: list[dict]) -> Stored:
    """Fill the days from today on that no stretch covers with empty objects."""
    starts, stretches, free = [], [], 0
    for first, last, found in zip(firsts, lasts, objects, strict=True):
        if first > free:
            starts.append(asked.day(free))
            stretches.append({})
        starts.append(asked.day(first))
        stretches.append(found)
        free = last + 1
    if asked.today.toordinal() + free <= date.max.toordinal():
        starts.append(asked.day(free))
        stretches.append({})
    return Stored(starts, stretches)


# --- what is read: pages and API -------------------------------------------------------------


@dataclass(frozen=True)
class LineSure:
    """How sure one need is on one day, or a pool against all needs. See ``certainty.LineAnswer`` for the numbers.

    ``p_met`` is None, and ``problem`` a sentence, where there is no answer. ``coverage`` is None where nothing is needed.
    """

    p_met: float | None = None
    expected: float | None = None
    coverage: float | None = None
    x10: float | None = None
    x50: float | None = None
    x90: float | None = None
    method: str = EXACT
    error: float = 0.0
    quantity_error: float = 0.0
    problem: str = ""

    @property
    def chance(self) -> float | None:
        return self.p_met


@dataclass(frozen=True)
class CapabilitySure:
    """How sure one capability is on one day: ``p_all`` that every line active then is met as allocated.

    ``worst``: the requirement id of its least sure line. ``coverage``: expected, Σ E[min(sum, need)] ÷ Σ need.
    ``pooled``: everything of the capability against all its needs, an upper bound "if everything could be moved".
    """

    p_all: float | None = None
    worst: int | None = None
    coverage: float | None = None
    method: str = EXACT
    error: float = 0.0
    pooled: LineSure = field(default_factory=LineSure)
    problem: str = ""

    @property
    def chance(self) -> float | None:
        return self.p_all

    @property
    def verdict(self) -> str:
        """Say what kind of gap it is, "" where the joint chance is high or there is no answer."""
        if self.p_all is None or self.p_all >= ENOUGH or self.pooled.p_met is None:
            return ""
        return "a gap of allocation" if self.pooled.p_met >= ENOUGH else "a gap of generation"


Sure = LineSure | CapabilitySure


@dataclass(frozen=True)
class Held:
    """From which day a chance is at least ``ENOUGH``: ``day``, None if never; ``lost_on`` the day it is lost, if ever."""

    day: date | None
    lost_on: date | None


def line_sure(stored: dict[str, Any] | None) -> LineSure | None:
    """Return what was stored for a line on a day; None on days it is not needed and for tiers that have no answer."""
    return LineSure(**stored) if stored else None


def capability_sure(stored: dict[str, Any] | None) -> CapabilitySure | None:
    """Return what was stored for a whole capability on a day; None as for a line."""
    if not stored:
        return None
    if "pooled" not in stored:
        return CapabilitySure(**stored)
    return CapabilitySure(**{**stored, "pooled": LineSure(**stored["pooled"])})


def held(firsts: Sequence[date], answers: Sequence[Sure | None]) -> Held | None:
    """Return from which day the chance is at least ``ENOUGH``, and when it is lost; None where there is no answer.

    One answer per stretch, with the day on which the stretch begins; days without a need are passed over.
    """
    known = [(first, answer.chance) for first, answer in zip(firsts, answers, strict=True) if answer]
    known = [(first, chance) for first, chance in known if chance is not None]
    if not known:
        return None
    days = np.array([first.toordinal() for first, _ in known])
    crossing = certainty.crossing(days, np.array([chance for _, chance in known]), ENOUGH)
    return Held(*(None if at is None else date.fromordinal(at) for at in crossing))
