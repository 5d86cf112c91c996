"""How sure is it that a need is met, and that all needs of a capability are met at once?"""

import math
from collections.abc import Sequence

import numpy as np

from pledges.certainty import elimination
from pledges.certainty.courses import Course, Group, checked, course_of, group_of
from pledges.certainty.joint import Joint, joined
from pledges.certainty.memory import Memory
from pledges.certainty.plans import Capability, CapabilityAnswer, Crossing, LineAnswer, Plan
from pledges.certainty.spread import METHODS, TOLERANCE, Columns, solved

LINE_BUDGET = 2e8  # elementary steps for one need line's exact answer: about 0.2 s
POOL_BUDGET = 1e7  # the same for a capability's pooled sum, which is shown as an upper bound only


def staleness(days_overdue: float, half_life_days: float) -> float:
    """Return what is left of a certainty, 0 to 1, that is overdue for confirmation: half per half-life, 1 if
    not overdue.

    Raises ValueError when the half-life is not above 0 or a number is not one.
    """
    if not half_life_days > 0 or math.isnan(days_overdue):
        raise ValueError("staleness needs a number of days and a half-life above 0 days")
    return 2.0 ** (-max(0.0, float(days_overdue)) / float(half_life_days))


def lines(plans: Sequence[Plan], conditions: Sequence[float], *, budget: float = LINE_BUDGET) -> list[LineAnswer]:
    """Return the answer for each need line, all of them worked out together.

    `conditions` are chances: 1 for a condition met or waived, 0 for one that failed. `budget` bounds each
    line's elementary steps (see `LINE_BUDGET`); a line that would cost more is binned or sampled and says so.
    Raises ValueError for chances out of range, unknown conditions, a pledge twice on one line and day, and
    sums too large.
    """
    open_conditions = checked(conditions)
    courses = [course_of(plan, open_conditions, budget) for plan in plans]
    columns = solved(courses)
    return [_answer(course, columns) for course in courses]


def capabilities(
    groups: Sequence[Capability],
    conditions: Sequence[float],
    *,
    budget: float = LINE_BUDGET,
    pool_budget: float = POOL_BUDGET,
    memory: Memory | None = None,
) -> list[CapabilityAnswer]:
    """Return the answer for each capability with its lines, all of them worked out together.

    `pool_budget` is the budget of each pooled sum; for the other arguments and what is raised see `lines`. With
    `memory`, stretches on which the same stands as in an earlier call are not worked out again.
    Raises ValueError, too, when one pledge has different chances or conditions on one day, and when some
    lines of a capability want any one contribution and others the sum.
    """
    open_conditions = checked(conditions)
    prepared = [group_of(group, open_conditions, budget, pool_budget) for group in groups]
    columns = solved([course for group in prepared for course in (*group.courses, group.pool)], memory)
    joints = joined(prepared, columns, memory)
    return [_capability_answer(group, columns, joint) for group, joint in zip(prepared, joints, strict=True)]


def holds_from(answer: LineAnswer | CapabilityAnswer, level: float = 0.8) -> Crossing:
    """Return from which day the chance is at least `level`: the first day after which that stays so to the
    end.

    Where it does not hold at the end: the first day it holds, and the day it is lost for the first time.
    Never: (None, None).
    """
    return crossing(answer.first, answer.p_met if isinstance(answer, LineAnswer) else answer.p_all, level)


def crossing(first: np.ndarray, chances: np.ndarray, level: float) -> Crossing:
    """Return what `holds_from` does, for stretches that begin on the days `first`; empty: (None, None)."""
    holds = chances >= level - TOLERANCE
    if not holds.any():
        return Crossing(None, None)
    if holds[-1]:
        misses = np.flatnonzero(~holds)
        begin = misses[-1] + 1 if len(misses) else 0
        return Crossing(int(first[begin]), None)
    begin = int(np.argmax(holds))
    lost = begin + int(np.argmin(holds[begin:]))
    return Crossing(int(first[begin]), int(first[lost]))


def chances_of(values: np.ndarray) -> np.ndarray:
    """Take the last roundings off: what is 1 but for them is 1."""
    values = np.clip(values, 0.0, 1.0)
    return np.where(values > 1 - TOLERANCE, 1.0, values)


def _answer(course: Course, columns: Columns) -> LineAnswer:
    at = course.slots()
    expected = np.zeros(len(course.firsts))
    for piece in course.plain:
        chance = piece.chance
        for c in elimination.bits(piece.gate):
            chance *= course.conditions[c]
        begin, end = course.reach(piece)
        expected[begin:end] += piece.weight * chance
    needs = np.array(course.needs, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        coverage = np.where(needs > 0, np.minimum(columns.minimum[at] / needs, 1.0), np.nan)
    x10, x50, x90 = columns.percentiles[at].T / course.scale
    return LineAnswer(
        first=np.array(course.firsts, dtype=np.int64),
        last=np.array(course.lasts, dtype=np.int64),
        p_met=chances_of(columns.p_met[at]),
        expected=expected / course.scale,
        coverage=coverage,
        x10=x10,
        x50=x50,
        x90=x90,
        method=tuple(METHODS[m] for m in columns.method[at]),
        error=columns.error[at].copy(),
        quantity_error=columns.quantity_error[at] / course.scale,
    )


def _capability_answer(group: Group, columns: Columns, joint: Joint) -> CapabilityAnswer:
    return CapabilityAnswer(
        lines=tuple(_answer(course, columns) for course in group.courses),
        first=np.array(group.firsts, dtype=np.int64),
        last=np.array(group.lasts, dtype=np.int64),
        p_all=chances_of(joint.p_all),
        worst=joint.worst,
        method=tuple(METHODS[m] for m in joint.method),
        error=joint.error,
        pooled=_answer(group.pool, columns),
    )
