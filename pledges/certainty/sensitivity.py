"""What would change the answer: a condition that fails or holds, a pledge withdrawn, a nation that leaves?"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import numpy as np

from pledges.certainty.answers import LINE_BUDGET, chances_of
from pledges.certainty.courses import Course, Group, checked, group_of
from pledges.certainty.joint import joined
from pledges.certainty.plans import Capability, Contribution, demand_chance
from pledges.certainty.spread import solved

Owner = TypeVar("Owner", bound=Hashable)

# A condition less likely than this is worked out as held, too: dividing by its chance would swell errors.
RARE = 0.05


@dataclass(frozen=True, slots=True)
class Loss:
    """What is left of one capability without some contributions; its stretches are those of the full answer.

    `capability` is its place among those asked about, `p_all` the chance that all its lines are met (see
    `CapabilityAnswer`), `p_met` that of each line, by the line's place, but only of lines that lose
    something.
    """

    capability: int
    p_all: np.ndarray
    p_met: dict[int, np.ndarray]


@dataclass(frozen=True, slots=True)
class Swing:
    """What one condition does to one capability that hangs on it: the chances if it fails, and if it
    holds.
    """

    failed: Loss
    held: Loss


class _Changed(NamedTuple):
    """A capability with some courses changed, on the stretches (of the whole group) where that matters."""

    place: int
    group: Group
    lines: list[int]
    stretches: list[int]


def overridden(conditions: Sequence[float], changes: Mapping[int, float]) -> tuple[float, ...]:
    """Return the conditions' chances with some replaced: 1 for one that is met, 0 for one that failed.

    Raises ValueError for an unknown condition or a chance outside 0 to 1.
    """
    found = list(conditions)
    for c, chance in changes.items():
        if not 0 <= c < len(found):
            raise ValueError(f"condition {c} does not exist")
        demand_chance(f"chance of condition {c}", chance)
        found[c] = float(chance)
    return tuple(found)


def without(groups: Sequence[Capability], pledges: Collection[int]) -> list[Capability]:
    """Return the capabilities without these pledges, in lines and pools; pledges that are not there do no
    harm.
    """
    gone = frozenset(pledges)

    def rest(contributions: tuple[Contribution, ...]) -> tuple[Contribution, ...]:
        return tuple(piece for piece in contributions if piece.pledge not in gone)

    return [
        Capability(
            tuple(replace(plan, contributions=rest(plan.contributions)) for plan in group.lines),
            None if group.pool is None else rest(group.pool),
        )
        for group in groups
    ]


def losses(
    groups: Sequence[Capability],
    conditions: Sequence[float],
    owners: Mapping[Owner, Collection[int]],
    *,
    budget: float = LINE_BUDGET,
) -> dict[Owner, list[Loss]]:
    """Return for each owner of pledges what would be left of the capabilities without all of them (N-1).

    Capabilities whose lines lose nothing are not listed. Pools are not answered. For the other arguments and
    what is raised see `capabilities`.
    """
    prepared = _prepared(groups, conditions, budget)
    gone = {owner: frozenset(pledges) for owner, pledges in owners.items()}
    changes = {
        owner: [
            changed
            for place, group in enumerate(prepared)
            if (changed := _left_out(place, group, _of_pledges(group, pledges)))
        ]
        for owner, pledges in gone.items()
    }
    return _worked_out(prepared, changes)


def tornado(
    groups: Sequence[Capability], conditions: Sequence[float], *, budget: float = LINE_BUDGET
) -> dict[int, list[Swing]]:
    """Return for each open condition (0 < chance < 1) the capabilities that hang on it, if it fails and if it
    holds.

    Chances are linear in each condition's own chance, so the second follows from the first. For the arguments
    and what is raised see `capabilities`.
    """
    prepared = _prepared(groups, conditions, budget)
    is_open = [c for c, chance in enumerate(conditions) if 0 < chance < 1]
    changes: dict[tuple[int, bool], list[_Changed]] = {}
    for c in is_open:
        hanging = [(place, group, _of_condition(group, c)) for place, group in enumerate(prepared)]
        changes[c, False] = [
            changed for place, group, pieces in hanging if (changed := _left_out(place, group, pieces))
        ]
        if conditions[c] < RARE:
            certain = _prepared(groups, overridden(conditions, {c: 1.0}), budget)
            touched = {changed.place for changed in changes[c, False]}
            changes[c, True] = [_whole(place, certain[place]) for place in touched]
    plain = {("plain", False): [_whole(place, group) for place, group in enumerate(prepared)]}
    answers = _worked_out(prepared, {**changes, **plain})
    before = {loss.capability: loss for loss in answers["plain", False]}
    found: dict[int, list[Swing]] = {}
    for c in is_open:
        held = {loss.capability: loss for loss in answers.get((c, True), [])}
        found[c] = [
            Swing(
                failed,
                _only(held[failed.capability], failed) if held else _held(before, failed, conditions[c]),
            )
            for failed in answers[c, False]
        ]
    return found


def _prepared(groups: Sequence[Capability], conditions: Sequence[float], budget: float) -> list[Group]:
    known = checked(conditions)
    return [group_of(replace(group, pool=()), known, budget, budget) for group in groups]


def _of_pledges(group: Group, pledges: frozenset[int]) -> list[set[int]]:
    """Return the places of these pledges' pieces, per line."""
    return [{i for i, piece in enumerate(course.plain) if piece.pledge in pledges} for course in group.courses]


def _of_condition(group: Group, condition: int) -> list[set[int]]:
    """Return the places of the pieces that hang on the condition, per line."""
    return [{i for i, piece in enumerate(course.plain) if piece.gate >> condition & 1} for course in group.courses]


def _left_out(place: int, group: Group, pieces: list[set[int]]) -> _Changed | None:
    """Return the group without these pieces, cut into the same stretches; None when there are none."""
    lines = [line for line, gone in enumerate(pieces) if gone]
    if not lines:
        return None
    courses = list(group.courses)
    matters: set[tuple[int, int]] = set()
    for line in lines:
        course = courses[line]
        for i in pieces[line]:
            matters.update((line, t) for t in range(*course.reach(course.plain[i])))
        less: Course = copy(course)
        less.plain = [piece for i, piece in enumerate(course.plain) if i not in pieces[line]]
        less.pieces = [piece for i, piece in enumerate(course.pieces) if i not in pieces[line]]
        courses[line] = less
    stretches = [t for t, active in enumerate(group.active) if not matters.isdisjoint(active)]
    part = replace(
        group,
        courses=courses,
        firsts=[group.firsts[t] for t in stretches],
        lasts=[group.lasts[t] for t in stretches],
        active=[group.active[t] for t in stretches],
    )
    return _Changed(place, part, lines, stretches)


def _whole(place: int, group: Group) -> _Changed:
    return _Changed(place, group, list(range(len(group.courses))), list(range(len(group.firsts))))


def _worked_out(prepared: list[Group], changes: Mapping[Owner, list[_Changed]]) -> dict[Owner, list[Loss]]:
    """Answer the groups as they are and with each change, all at once: what does not change is worked out
    once.
    """
    courses = {id(course): course for group in prepared for course in group.courses}
    for changed in (one for some in changes.values() for one in some):
        courses.update((id(course), course) for course in changed.group.courses)
    columns = solved(list(courses.values()))
    everything = [changed.group for some in changes.values() for changed in some]
    joints = iter(joined([*prepared, *everything], columns))
    before = [chances_of(next(joints).p_all) for _ in prepared]
    found: dict[Owner, list[Loss]] = {owner: [] for owner in changes}
    for owner, some in changes.items():
        for changed in some:
            p_all = before[changed.place].copy()
            p_all[changed.stretches] = chances_of(next(joints).p_all)
            p_met = {line: chances_of(columns.p_met[changed.group.courses[line].slots()]) for line in changed.lines}
            found[owner].append(Loss(changed.place, p_all, p_met))
    return found


def _held(before: Mapping[int, Loss], failed: Loss, chance: float) -> Loss:
    """Return P(met, given the condition holds) = (P(met) - (1 - q) P(met, given it fails)) / q."""

    def solve(plain: np.ndarray, low: np.ndarray) -> np.ndarray:
        return chances_of((plain - (1 - chance) * low) / chance)

    plain = before[failed.capability]
    p_met = {line: solve(plain.p_met[line], low) for line, low in failed.p_met.items()}
    return Loss(failed.capability, solve(plain.p_all, failed.p_all), p_met)


def _only(held: Loss, failed: Loss) -> Loss:
    return replace(held, p_met={line: held.p_met[line] for line in failed.p_met})
