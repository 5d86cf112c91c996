"""How likely is it that all lines of a capability that are active on a day are met at once, as allocated?"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import mul
from typing import NamedTuple

import numpy as np

from pledges.certainty import elimination, enumeration, sampling
from pledges.certainty.courses import Group
from pledges.certainty.memory import CELLS_OF_AN_ENTRY, Memory
from pledges.certainty.plans import EXACT, SAMPLED
from pledges.certainty.spread import METHODS, PATIENCE, Columns

WIDEST_JOINT = 8  # conditions whose worlds are listed for a joint chance; above, they are eliminated
MOST_JOINT_CELLS = 1 << 20  # of a product of lines while they are
LONGEST_RUN = 16  # stretches that are multiplied side by side


@dataclass
class Joint:
    """One entry per stretch of a group."""

    p_all: np.ndarray
    worst: np.ndarray
    method: np.ndarray
    error: np.ndarray


def joined(groups: Sequence[Group], columns: Columns, memory: Memory | None = None) -> list[Joint]:
    """Return the joint chances. Given the conditions lines are independent: their split chances are
    multiplied.

    The same remembered entries together have the same joint chance: it is looked up in ``memory``, and put there.
    """
    tables = _Tables(np.concatenate((np.ones(1), *columns.tables)), columns.offset + 1, columns.mask)
    p_met, method, error = columns.p_met.tolist(), columns.method.tolist(), columns.error.tolist()
    is_split = (columns.offset >= 0).tolist()
    joints = []
    for group in groups:
        size = len(group.firsts)
        joint = Joint(np.ones(size), np.zeros(size, int), np.zeros(size, np.int8), np.zeros(size))
        joints.append(joint)
        to_simulate, to_multiply = [], []
        unknown: dict[int, tuple] = {}
        for t, active in enumerate(group.active):
            slots = [group.courses[line].slot + stretch for line, stretch in active]
            joint.worst[t] = min(active, key=lambda at: p_met[group.courses[at[0]].slot + at[1]])[0]
            serials = sorted(columns.serial[slot] for slot in slots)
            if memory is not None and serials[0] >= 0:
                key = ("all of", *serials)  # a word first: keys of stretches are numbers, too
                if (found := memory.get(key)) is not None:
                    joint.p_all[t] = found
                    continue
                unknown[t] = key
            if all(is_split[slot] for slot in slots):
                joint.method[t] = max(method[slot] for slot in slots)
                joint.error[t] = min(1.0, 2 * sum(error[slot] for slot in slots))
                to_multiply.append((t, slots))
            else:
                to_simulate.append(t)
        for run in _runs(to_multiply, tables):
            to_simulate += _multiply(group, run, tables, joint)
        if to_simulate:
            _simulate_joint(group, sorted(to_simulate), joint)
        for t, key in unknown.items():
            if memory is not None and joint.method[t] == METHODS.index(EXACT):
                memory.put(key, float(joint.p_all[t]), CELLS_OF_AN_ENTRY)
    return joints


class _Tables(NamedTuple):
    """P(met) of all slots, split by their own conditions; `values[0]` is 1, for a line that is not active."""

    values: np.ndarray
    offset: np.ndarray
    mask: list[int]

    def split_by(self, slots: Sequence[int | None], conditions: int) -> np.ndarray:
        """Return P(met) of each slot (None: a line not active) in each world of these conditions, (slots,
        2^k).
        """
        known = elimination.bits(conditions)
        strides = np.zeros((len(slots), len(known)))
        begins = np.zeros(len(slots), dtype=np.int64)
        for row, slot in enumerate(slots):
            if slot is not None:
                begins[row] = self.offset[slot]
                # Bit j of a slot's own world number is the j-th of its own conditions.
                own = 1.0
                for place, c in enumerate(known):
                    if self.mask[slot] >> c & 1:
                        strides[row, place] = own
                        own *= 2
        holds = np.arange(1 << len(known))[None, :] >> np.arange(len(known))[:, None] & 1
        own_world = (strides @ holds.astype(np.float64)).astype(np.int64)
        return self.values[own_world + begins[:, None]]


_Run = list[tuple[int, list[int]]]  # stretches of a group that are multiplied side by side, with their slots


def _runs(stretches: _Run, tables: _Tables) -> list[_Run]:
    """Cut stretches into runs which hang on about the same conditions, so that one numpy call serves them
    all.
    """
    runs: list[_Run] = []
    together = most = 0
    for t, slots in stretches:
        mask = elimination.union(tables.mask[slot] for slot in slots)
        if not runs or len(runs[-1]) == LONGEST_RUN or (together | mask).bit_count() > most:
            runs.append([])
            together, most = 0, max(WIDEST_JOINT, mask.bit_count() + 2)
        together |= mask
        runs[-1].append((t, slots))
    return runs


def _multiply(group: Group, run: _Run, tables: _Tables, joint: Joint) -> list[int]:
    """Store the joint chances of the run's stretches; return those that hang together on too many
    conditions.
    """
    by_line: dict[int, list[int | None]] = {}
    for place, (t, slots) in enumerate(run):
        for (line, _), slot in zip(group.active[t], slots, strict=True):
            by_line.setdefault(line, [None] * len(run))[place] = slot
    factors = []
    for of_line in by_line.values():
        mask = elimination.union(tables.mask[slot] for slot in of_line if slot is not None)
        if len(run) > 1 and len(run) << mask.bit_count() > MOST_JOINT_CELLS:
            return [t for one in run for t in _multiply(group, [one], tables, joint)]
        factors.append((mask, tables.split_by(of_line, mask)))
    chances = group.courses[0].chances
    everything = elimination.union(mask for mask, _ in factors)
    if everything.bit_count() <= WIDEST_JOINT:
        product = reduce(mul, (_spread(table, mask, everything) for mask, table in factors))
        worlds = enumeration.worlds(np.array([[chances[c] for c in elimination.bits(everything)]]))
        together = product.reshape(len(run), -1) @ worlds[0]
    else:
        together = _eliminated(factors, chances)
    if together is not None:
        joint.p_all[[t for t, _ in run]] = together
        return []
    if len(run) == 1:
        return [run[0][0]]
    return [t for one in run for t in _multiply(group, [one], tables, joint)]


def _spread(table: np.ndarray, mask: int, over: int) -> np.ndarray:
    """Give a table (stretches, 2^k) one axis per condition in `over`, highest first, as its numbering has
    it.
    """
    return table.reshape(len(table), *(2 if mask >> c & 1 else 1 for c in reversed(elimination.bits(over))))


def _eliminated(factors: list[tuple[int, np.ndarray]], chances: Sequence[float]) -> np.ndarray | None:
    """Return the chance that all hold, per stretch, eliminating one condition after the other; None when too
    wide.

    A factor is a mask of conditions and the chance in each of their worlds, shape (stretches, 2^k).
    """
    while True:
        reach: dict[int, int] = {}
        for mask, _ in factors:
            for c in elimination.bits(mask):
                reach[c] = reach.get(c, 0) | mask
        if not reach:
            return reduce(mul, (table[:, 0] for _, table in factors))
        c = min(reach, key=lambda c: reach[c].bit_count())
        in_hand = reach[c]
        stretches = len(factors[0][1])
        if stretches << in_hand.bit_count() > MOST_JOINT_CELLS:
            return None
        product = reduce(mul, (_spread(table, mask, in_hand) for mask, table in factors if mask >> c & 1))
        below = 1 << (in_hand & ((1 << c) - 1)).bit_count()
        split = product.reshape(stretches, -1, 2, below)
        rest = split[:, :, 0] + chances[c] * (split[:, :, 1] - split[:, :, 0])
        factors = [(mask, table) for mask, table in factors if not mask >> c & 1]
        factors.append((in_hand & ~(1 << c), rest.reshape(stretches, -1)))


def _simulate_joint(group: Group, where: list[int], joint: Joint) -> None:
    entries = []
    for line, course in enumerate(group.courses):
        for piece in course.plain:
            begin = bisect_left(where, bisect_left(group.firsts, piece.first))
            end = bisect_left(where, bisect_right(group.lasts, piece.last))
            if begin < end:
                entries.append(sampling.Entry(line, piece.pledge, piece.weight, piece.chance, piece.gate, begin, end))
    count = len(group.courses)
    draws = sampling.affordable_draws(len(entries), len(where), count, PATIENCE * group.budget)
    conditions = group.courses[0].conditions
    for t, totals in zip(where, sampling.sums(entries, conditions, count, len(where), draws), strict=True):
        met = np.ones(draws, dtype=bool)
        for line, stretch in group.active[t]:
            met &= totals[line] >= group.courses[line].needs[stretch]
        joint.p_all[t] = met.mean()
        joint.error[t] = sampling.error_of(draws)
        joint.method[t] = METHODS.index(SAMPLED)
