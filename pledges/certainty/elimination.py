"""How is a sum of uncertain contributions distributed, stretch by stretch, when conditions are shared?

Exact, in numpy. Conditions are eliminated one after the other; the worlds (every condition open or shut) are
never listed. What costs is the *frontier*, the conditions that are in hand at one time, not their number.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf

import numpy as np

WIDEST_FRONTIER = 12  # conditions in hand at once: 2^12 states beside each other
MOST_CELLS = 1 << 23  # of one state: 64 MB of floats
CACHED_CELLS = 1 << 14  # one numpy call works on about this many, so that they stay in the processor's cache


@dataclass(frozen=True)
class GatedSum:
    """Contributions that add up over consecutive stretches, numbered from 0.

    Contribution i adds `weights[i]` (a positive whole number) on the stretches `begins[i]` <= t < `ends[i]`,
    with chance `chances[i]` (0 to 1) provided that every condition whose bit is set in `gates[i]` holds.
    Condition c holds with chance `conditions[c]`, strictly between 0 and 1; conditions are independent of
    each other, and contributions are independent once the conditions are known. `kept` marks the conditions
    that the answer shall be split by.
    """

    weights: Sequence[int]
    chances: Sequence[float]
    gates: Sequence[int]
    begins: Sequence[int]
    ends: Sequence[int]
    stretches: int
    conditions: Sequence[float]
    kept: int = 0


@dataclass(frozen=True)
class Block:
    """The contributions that are added together, and the condition that is eliminated with them (None: no
    condition).

    `axes` are the conditions in hand while the block is worked on, `cuts` the stretches' boundaries as known
    by then.
    """

    condition: int | None
    members: tuple[int, ...]
    axes: tuple[int, ...]
    cuts: tuple[int, ...]


@dataclass(frozen=True)
class Schedule:
    """In which order a `GatedSum` is worked out, and what that costs, known before any of it is done.

    Work is `fixed + sliding / unit` elementary steps, and the largest state `states + state_weight / unit`
    cells, when weights are divided by `unit`. About 1e9 steps are done in a second.
    """

    blocks: tuple[Block, ...]
    chances: tuple[float, ...]  # with the conditions that gate one contribution only folded in
    gates: tuple[int, ...]
    frontier: int
    fixed: float
    sliding: float
    states: float
    state_weight: float

    def steps(self, unit: int) -> float:
        """Return the predicted number of elementary steps with weights divided by `unit`."""
        return self.fixed + self.sliding / unit

    def cells(self, unit: int) -> float:
        """Return the predicted number of cells of the largest state with weights divided by `unit`."""
        return self.states + self.state_weight / unit


@dataclass(frozen=True)
class _State:
    values: np.ndarray  # [stretch, 2, 2, ... one axis per condition in hand, sum]
    axes: tuple[int, ...]
    cuts: tuple[int, ...]
    reach: np.ndarray  # [stretch], the largest sum that can occur


@lru_cache(maxsize=1 << 14)  # a plan has few different masks, and asks for them over and over
def bits(mask: int) -> tuple[int, ...]:
    """Return the numbers of the bits that are set, lowest first."""
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return tuple(found)


def union(masks: Iterable[int]) -> int:
    """Return the mask of all bits that are set in any of the masks, 0 when there are none."""
    whole = 0
    for mask in masks:
        whole |= mask
    return whole


def in_units(weight: int, unit: int) -> int:
    """Return a weight as a whole number of units, half rounded up."""
    return (2 * weight + unit) // (2 * unit)


def schedule(problem: GatedSum) -> Schedule:
    """Return the order of work with its cost. Greedy: next is the condition that leaves the smallest
    frontier.

    Nothing is computed yet, so the caller can refuse what is too wide or too dear. What is wider than
    `WIDEST_FRONTIER` has no blocks and infinite costs.
    """
    chances, gates = _folded(problem)
    members: dict[int, list[int]] = {}
    for i, gate in enumerate(gates):
        members.setdefault(gate, []).append(i)
    # For each condition that is to go: the different gates that still wait for it.
    waiting: dict[int, set[int]] = {}
    for gate in members:
        for c in bits(gate & ~problem.kept):
            waiting.setdefault(c, set()).add(gate)
    opened = 0
    blocks: list[tuple[int | None, list[int], int]] = []
    while waiting:
        reach = {c: union(group) for c, group in waiting.items()}
        best = min(waiting, key=lambda c: (((opened | reach[c]) & ~(1 << c)).bit_count(), len(waiting[c]), c))
        taken = waiting.pop(best)
        during = opened | reach[best] | 1 << best
        opened = during & ~(1 << best)
        for group in waiting.values():
            group -= taken
        blocks.append((best, [i for gate in sorted(taken) for i in members.pop(gate)], during))
    for gate in sorted(members, key=lambda gate: (gate.bit_count(), gate)):
        opened |= gate
        blocks.append((None, members[gate], opened))
    frontier = max((mask.bit_count() for _, _, mask in blocks), default=0)
    if frontier > WIDEST_FRONTIER:
        return Schedule((), tuple(chances), tuple(gates), frontier, inf, inf, inf, inf)
    return _costed(problem, chances, gates, blocks, frontier)


def distribution(problem: GatedSum, plan: Schedule, unit: int = 1) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return how the sum is distributed on each stretch, split by the kept conditions.

    The array has the shape (stretches, 2^k, sums): x counts in `unit` (weights are rounded to it, see
    `in_units`), and the second axis counts through the states of the k kept conditions that matter, which are
    returned beside it, lowest first; bit j of that number says whether the j-th of them holds. Each entry is
    a distribution *given* that state.
    """
    state = _State(np.ones((1, 1)), (), (0, problem.stretches), np.zeros(1, dtype=np.int64))
    for block in plan.blocks:
        state = _worked(problem, plan, block, state, unit)
    return _unfolded(problem, state)


def _folded(problem: GatedSum) -> tuple[list[float], list[int]]:
    """A condition that gates one contribution only, and need not be kept, is part of that one's chance."""
    seen = twice = 0
    for gate in problem.gates:
        twice |= seen & gate
        seen |= gate
    shared = twice | problem.kept
    chances, gates = list(problem.chances), list(problem.gates)
    for i, gate in enumerate(gates):
        for c in bits(gate & ~shared):
            chances[i] *= problem.conditions[c]
        gates[i] = gate & shared
    return chances, gates


def _costed(problem: GatedSum, chances: list[float], gates: list[int], blocks: list, frontier: int) -> Schedule:
    """Walk through the blocks as `_worked` will, but only add up what it will touch."""
    cuts: set[int] = {0, problem.stretches}
    reach = np.zeros(problem.stretches, dtype=np.float64)
    done = []
    fixed = sliding = states = state_weight = 0.0
    for condition, members, mask in blocks:
        # Small weights first: while the reach is small, there is little to shift.
        members = sorted(members, key=lambda i: (problem.weights[i], i))
        for i in members:
            cuts.update((problem.begins[i], problem.ends[i]))
        boundaries = tuple(sorted(cuts))
        side_by_side = 1 << mask.bit_count()
        for i in members:
            begin, end = problem.begins[i], problem.ends[i]
            inside = reach[begin:end]
            rows = bisect_left(boundaries, end) - bisect_left(boundaries, begin)
            apart = (gates[i] | (0 if condition is None else 1 << condition)).bit_count()
            touched = rows * side_by_side / (1 << apart)
            fixed += 3 * touched
            sliding += 3 * touched * float(inside.max())
            inside += problem.weights[i]
        all_cells = (len(boundaries) - 1) * side_by_side
        longest = float(reach.max()) if problem.stretches else 0.0
        fixed += 3 * all_cells
        sliding += 3 * all_cells * longest
        states = max(states, all_cells)
        state_weight = max(state_weight, all_cells * longest)
        done.append(Block(condition, tuple(members), bits(mask), boundaries))
    fixed += problem.stretches
    sliding += problem.stretches * (float(reach.max()) if problem.stretches else 0.0)
    return Schedule(tuple(done), tuple(chances), tuple(gates), frontier, fixed, sliding, states, state_weight)


def _worked(problem: GatedSum, plan: Schedule, block: Block, before: _State, unit: int) -> _State:
    """Return the state after one block: off = V if the condition fails, on = V if it holds, with its
    members.
    """
    weights = {i: in_units(problem.weights[i], unit) for i in block.members}
    rows = {i: (bisect_left(block.cuts, problem.begins[i]), bisect_left(block.cuts, problem.ends[i])) for i in weights}
    # Which of the old stretches each of the new, finer ones was part of.
    origin = np.searchsorted(before.cuts, block.cuts[:-1], side="right") - 1
    reach = before.reach[origin]
    final = reach.copy()
    for i, weight in weights.items():
        final[slice(*rows[i])] += weight
    length = int(final.max(initial=0)) + 1
    known = before.values.shape[-1]

    axes = tuple(c for c in block.axes if c != block.condition)
    old = before.values
    for place, c in enumerate(block.axes):
        if c not in before.axes:
            old = np.expand_dims(old, place + 1)
    values = np.zeros((len(origin), *(2,) * len(axes), length))
    if block.condition is None:
        values[..., :known] = old[origin]
        off = None
    else:
        chance = problem.conditions[block.condition]
        place = block.axes.index(block.condition) + 1
        off = np.take(old, 0, axis=place)[origin] * (1 - chance)
        # A condition that was not in hand yet has one state for both: nothing has depended on it so far.
        values[..., :known] = np.take(old, old.shape[place] - 1, axis=place)[origin] * chance
    spare = np.empty(max(CACHED_CELLS, 1 << len(axes)))
    for i, weight in weights.items():
        begin, end = rows[i]
        holds = tuple(1 if plan.gates[i] >> c & 1 else slice(None) for c in axes)
        top = int(reach[begin:end].max(initial=0)) + 1
        _add(values[(slice(begin, end), *holds)], plan.chances[i], weight, top, spare)
        reach[begin:end] += weight
    if off is not None:
        values[..., :known] += off
    return _State(values, axes, block.cuts, reach)


def _add(values: np.ndarray, chance: float, weight: int, top: int, spare: np.ndarray) -> None:
    """Let a contribution come with `chance`: shift that part of P(sum = x), x < top, by its weight, in place.

    `spare` is room for CACHED_CELLS numbers, or one for each state if there are more. Long sums are cut as
    well, from the top down: what was shifted lands above the cut, where the work is done.
    """
    if weight == 0 or not len(values):
        return
    states = values[0, ..., 0].size
    length = max(1, min(top, CACHED_CELLS // states))
    at_once = max(1, CACHED_CELLS // (states * length))
    for begin in range(0, len(values), at_once):
        part = values[begin : begin + at_once]
        for high in range(top, 0, -length):
            low = max(0, high - length)
            staying = part[..., low:high]
            coming = spare[: staying.size].reshape(staying.shape)
            np.multiply(staying, chance, out=coming)
            staying -= coming
            part[..., low + weight : high + weight] += coming


def _unfolded(problem: GatedSum, state: _State) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return the last state with one row per stretch and the kept conditions' states in one axis, lowest bit
    first.
    """
    count = len(state.axes)
    order = (0, *range(count, 0, -1), count + 1)
    values = state.values.transpose(order).reshape(len(state.cuts) - 1, 1 << count, -1)
    if len(values) != problem.stretches:
        values = values[np.searchsorted(state.cuts, np.arange(problem.stretches), side="right") - 1]
    return values, state.axes
