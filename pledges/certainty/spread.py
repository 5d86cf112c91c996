"""How is the sum of each course distributed on each stretch? The way is chosen by its predicted cost."""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple, cast

import numpy as np

from pledges.certainty import elimination, enumeration, sampling
from pledges.certainty.courses import Course, Piece
from pledges.certainty.memory import CELLS_OF_AN_ENTRY, Key, Memory, Remembered, keys_of
from pledges.certainty.plans import BINNED, EXACT, SAMPLED

TOLERANCE = 1e-12  # of a comparison between chances: they are sums of many roundings
PATIENCE = 3  # so many times the budget may be used when an exact answer would cost more than the budget
FINE_ERROR = 0.005  # of P(met): then the cheapest way that promises this error is taken
SHORT_CELLS = 14  # a sum with up to 2^14 subsets and worlds is listed without asking
LONGEST_SHORT = 16  # contributions of a sum that may be listed where that is cheaper, ...
MOST_SHORT_CELLS = 20  # ... if it has up to 2^20 subsets and worlds

METHODS = (EXACT, BINNED, SAMPLED)
_SHARES = (0.1, 0.5, 0.9)


@dataclass
class Columns:
    """One entry per stretch of every course. Quantities are in the course's whole numbers."""

    p_met: np.ndarray
    minimum: np.ndarray  # E[min(sum, need)]
    percentiles: np.ndarray  # (stretches, 3)
    method: np.ndarray  # place in METHODS
    error: np.ndarray
    quantity_error: np.ndarray
    mask: list[int]  # the conditions by which P(met) is split, lowest bit first
    offset: np.ndarray  # where that split begins in the tables, -1 where there is none
    serial: list[int]  # the number of the remembered entry, -1 for none
    tables: list[np.ndarray] = field(default_factory=list)
    table_size: int = 0

    def add_tables(self, slots: Sequence[int], given: np.ndarray) -> None:
        """Store P(met) of each slot in each world, shape (slots, 2^k)."""
        self.offset[slots] = self.table_size + np.arange(len(slots)) * given.shape[1]
        self.tables.append(given.ravel())
        self.table_size += given.size


@dataclass
class _Stretch:
    """What is uncertain on one stretch of a course."""

    count: int
    members: list[int]  # empty when there are more than LONGEST_SHORT
    need: int  # what is left of it
    base: int  # what comes for certain
    mask: int = 0  # the conditions in hand: shared by members, or kept

    @property
    def cells(self) -> int:
        """Return log2 of the subsets and worlds."""
        return self.count + self.mask.bit_count()

    @property
    def can_be_listed(self) -> bool:
        return self.count <= LONGEST_SHORT and self.cells <= MOST_SHORT_CELLS

    @property
    def listing_steps(self) -> float:
        return 6.0 * (1 << self.cells) + 12.0 * (1 << self.count)


def solved(courses: Sequence[Course], memory: Memory | None = None) -> Columns:
    """Return the columns of all courses; what ``memory`` has is taken from there, and what is new and exact put there."""
    size = 0
    for course in courses:
        course.slot = size
        size += len(course.firsts)
    columns = Columns(
        p_met=np.zeros(size),
        minimum=np.zeros(size),
        percentiles=np.zeros((size, 3)),
        method=np.zeros(size, dtype=np.int8),
        error=np.zeros(size),
        quantity_error=np.zeros(size),
        mask=[0] * size,
        offset=np.full(size, -1),
        serial=[-1] * size,
    )
    recalled: list[tuple[int, Remembered]] = []
    new: dict[Key, int] = {}
    batch: list[enumeration.Short] = []
    slots: list[int] = []
    bases: list[int] = []
    for course in courses:
        wanted: Sequence[int] = range(len(course.firsts))
        if memory is not None:
            keys = keys_of(course)
            kept = [cast(Remembered | None, memory.get(key)) for key in keys]
            recalled += [(course.slot + t, one) for t, one in enumerate(kept) if one is not None]
            wanted = [t for t in wanted if kept[t] is None]
            new.update((keys[t], course.slot + t) for t in wanted)
        if not wanted:
            continue
        stretches = _stretches(course)
        short = [t for t in wanted if stretches[t].can_be_listed and stretches[t].cells <= SHORT_CELLS]
        if len(short) < len(wanted):
            known = set(short)
            short += _solve_long(course, stretches, [t for t in wanted if t not in known], columns)
        for t in short:
            batch.append(_short(course, stretches[t]))
            slots.append(course.slot + t)
            bases.append(stretches[t].base)
            columns.mask[course.slot + t] = stretches[t].mask
    for places, found in enumeration.subsets(batch):
        base = np.array([bases[place] for place in places], dtype=np.int64)
        _read_subsets(columns, [slots[place] for place in places], base, found)
    if memory is not None:
        _recall(columns, recalled)
        _remember(columns, memory, new)
    return columns


def _recall(columns: Columns, recalled: list[tuple[int, Remembered]]) -> None:
    if not recalled:
        return
    slots, entries = [slot for slot, _ in recalled], [entry for _, entry in recalled]
    columns.p_met[slots] = [entry.p_met for entry in entries]
    columns.minimum[slots] = [entry.minimum for entry in entries]
    columns.percentiles[slots] = [entry.percentiles for entry in entries]
    sizes = [len(entry.given) for entry in entries]
    columns.offset[slots] = columns.table_size + np.concatenate(([0], np.cumsum(sizes[:-1], dtype=np.int64)))
    columns.tables.append(np.concatenate([entry.given for entry in entries]))
    columns.table_size += sum(sizes)
    for slot, entry in recalled:
        columns.mask[slot], columns.serial[slot] = entry.mask, entry.serial


def _remember(columns: Columns, memory: Memory, new: dict[Key, int]) -> None:
    """Keep what is exact and was split as it had to be: an unsplit answer is no good for a joint chance."""
    tables = np.concatenate(columns.tables) if columns.tables else np.zeros(0)
    fine = ((columns.method == METHODS.index(EXACT)) & (columns.offset >= 0)).tolist()
    for key, slot in new.items():
        if fine[slot]:
            begin, size = columns.offset[slot], 1 << columns.mask[slot].bit_count()
            entry = Remembered(
                memory.next_serial(),
                float(columns.p_met[slot]),
                float(columns.minimum[slot]),
                tuple(columns.percentiles[slot].tolist()),
                columns.mask[slot],
                tables[begin : begin + size].copy(),
            )
            columns.serial[slot] = entry.serial
            memory.put(key, entry, CELLS_OF_AN_ENTRY + size)


def _stretches(course: Course) -> list[_Stretch]:
    size = len(course.firsts)
    uncertain, certain = [0] * (size + 1), [0] * (size + 1)
    reaches = []
    for i, piece in enumerate(course.pieces):
        begin, end = course.reach(piece)
        if piece.chance == 1 and not piece.gate:
            certain[begin] += piece.weight
            certain[end] -= piece.weight
        else:
            uncertain[begin] += 1
            uncertain[end] -= 1
            reaches.append((i, begin, end))
    counts, bases = list(accumulate(uncertain)), list(accumulate(certain))
    found = [_Stretch(counts[t], [], max(0, course.needs[t] - bases[t]), bases[t]) for t in range(size)]
    few = [count <= LONGEST_SHORT for count in counts]
    for i, begin, end in reaches:
        for t in range(begin, end):
            if few[t]:
                found[t].members.append(i)
    for t, stretch in enumerate(found):
        seen = twice = 0
        for i in stretch.members:
            gate = course.pieces[i].gate
            twice |= seen & gate
            seen |= gate
        stretch.mask = seen & (twice | course.kept[t])
    return found


def _short(course: Course, stretch: _Stretch) -> enumeration.Short:
    """Number the conditions in hand from 0, and fold the others, which gate one member each, into its
    chance.
    """
    in_hand = elimination.bits(stretch.mask)
    weights, chances, gates = [], [], []
    for i in stretch.members:
        piece = course.pieces[i]
        chance, gate = piece.chance, 0
        if piece.gate:
            for c in elimination.bits(piece.gate & ~stretch.mask):
                chance *= course.chances[c]
            gate = sum(1 << place for place, c in enumerate(in_hand) if piece.gate >> c & 1)
        weights.append(piece.weight)
        chances.append(chance)
        gates.append(gate)
    return enumeration.Short(weights, chances, gates, [course.chances[c] for c in in_hand], stretch.need)


def _read_subsets(columns: Columns, slots: list[int], base: np.ndarray, found: enumeration.Subsets) -> None:
    order = np.argsort(-found.totals, axis=1, kind="stable")
    totals = np.take_along_axis(found.totals, order, axis=1)
    # P(sum >= x), read at the last of the subsets with that total. P(met) comes from the same additions as
    # the percentiles, so that need <= x10 and P(met) >= 0.9 cannot differ by a rounding.
    at_least = np.cumsum(np.take_along_axis(found.chances, order, axis=1), axis=1)
    rows = np.arange(len(slots))
    meeting = (totals >= found.needs[:, None]).sum(axis=1)
    columns.p_met[slots] = np.where(meeting > 0, at_least[rows, meeting - 1], 0.0)
    columns.p_met[slots] = np.where(found.needs <= 0, 1.0, columns.p_met[slots])
    for place, share in enumerate(_SHARES):
        reached = at_least >= 1 - share - TOLERANCE
        # The smallest total is reached for certain, whatever the additions were rounded to.
        first = np.where(reached.any(axis=1), np.argmax(reached, axis=1), totals.shape[1] - 1)
        columns.percentiles[slots, place] = base + totals[rows, first]
    columns.minimum[slots] = base + (found.chances * np.minimum(found.totals, found.needs[:, None])).sum(axis=1)
    columns.add_tables(slots, found.given)


def _solve_long(course: Course, stretches: list[_Stretch], where: list[int], columns: Columns) -> list[int]:
    """Work out stretches with many contributions; return those that are better listed after all.

    What is exact and within the budget is preferred, the cheapest of it. Else the cheapest of what promises
    `FINE_ERROR`, and else what promises the smallest error, within `PATIENCE` times the budget.
    """
    kept = elimination.union(course.kept[t] for t in where)
    problem, members = _gated_sum(course, where, kept)
    order = elimination.schedule(problem)
    unit = _finest_unit(problem)
    exact = order.steps(unit) if _is_possible(order, unit) else math.inf
    listed = [t for t in where if stretches[t].can_be_listed]
    listing = sum(stretches[t].listing_steps for t in listed)
    if listed and exact > min(course.budget, listing):
        if len(listed) < len(where):
            rest = sorted(set(where) - set(listed))
            better = _solve_long(course, stretches, listed, columns)
            return better + _solve_long(course, stretches, rest, columns)
        if listing <= course.budget:
            return listed
    if exact <= course.budget:
        _eliminate(_Long(course, stretches, where, problem, members, order), unit, columns)
        return []
    patience = PATIENCE * course.budget
    bins = _bins(problem, order, unit, patience)
    if kept:
        unsplit, _ = _gated_sum(course, where, 0)
        unsplit_order = elimination.schedule(unsplit)
        unsplit_exact = unsplit_order.steps(unit) if _is_possible(unsplit_order, unit) else math.inf
        # An exact line is worth more than a joint chance that need not be simulated; a binned line is not.
        if unsplit_exact <= course.budget or all(way.error > FINE_ERROR for way in bins):
            problem, order, exact = unsplit, unsplit_order, unsplit_exact
            bins = _bins(problem, order, unit, patience)
    draws = sampling.affordable_draws(len(members), len(where), 1, patience)
    ways = [
        *bins,
        _Way(_eliminate, 0.0, exact, unit),
        _Way(_simulate, sampling.error_of(draws), sampling.steps(len(members), len(where), 1, draws), draws),
    ]
    if listed:
        ways.append(_Way(None, 0.0, listing, 0))
    way = _best(ways, course.budget)
    if way.work is None:
        return listed
    way.work(_Long(course, stretches, where, problem, members, order), way.fineness, columns)
    return []


class _Long(NamedTuple):
    """Stretches of a course, given by `where`, as one problem with its schedule; `members` are its pieces."""

    course: Course
    stretches: list[_Stretch]
    where: list[int]
    problem: elimination.GatedSum
    members: list[int]
    order: elimination.Schedule


class _Way(NamedTuple):
    """How it could be worked out: with what error of P(met), at what cost; `fineness` is the bin width or the
    draws.
    """

    work: Callable[[_Long, int, Columns], None] | None  # None: by listing
    error: float
    steps: float
    fineness: int


def _best(ways: list[_Way], budget: float) -> _Way:
    """Choose by the rule that `_solve_long` states. A simulation can always be afforded: it has a fixed least
    cost.
    """
    cheapest = min((way for way in ways if way.error == 0), key=lambda way: way.steps)
    if cheapest.steps <= budget:
        return cheapest
    affordable = [way for way in ways if way.steps <= PATIENCE * budget or way.work is _simulate]
    fine = [way for way in affordable if way.error <= FINE_ERROR]
    return min(fine, key=lambda way: way.steps) if fine else min(affordable, key=lambda way: way.error)


def _bins(problem: elimination.GatedSum, order: elimination.Schedule, unit: int, patience: float) -> list[_Way]:
    """Return the ways worth a look: the widest bins that promise `FINE_ERROR`, and the narrowest affordable
    ones.
    """
    if not problem.weights or order.fixed >= patience or order.states >= elimination.MOST_CELLS:
        return []
    error_per_unit = _error_per_unit(problem)
    fine = int(FINE_ERROR / error_per_unit)
    affordable = math.ceil(
        max(
            order.sliding / (patience - order.fixed),
            order.state_weight / (elimination.MOST_CELLS - order.states),
        )
    )
    return [
        _Way(_eliminate, width * error_per_unit, order.steps(width), width)
        for width in (fine // unit * unit, -(-affordable // unit) * unit)
        if width > unit and order.steps(width) <= patience and _is_possible(order, width)
    ]


def _error_per_unit(problem: elimination.GatedSum) -> float:
    """Return about how much P(met) can be off per unit of the bins' width.

    A weight is off by a quarter of the width in the mean, half of them one way. The sums are taken to be
    spread like a normal distribution with the variance that independent contributions would have; the bound
    that is stored with the answer rests on neither.
    """
    count, variance = np.zeros(problem.stretches), np.zeros(problem.stretches)
    for i, weight in enumerate(problem.weights):
        at = slice(problem.begins[i], problem.ends[i])
        chance = problem.chances[i]
        for c in elimination.bits(problem.gates[i]):
            chance *= problem.conditions[c]
        count[at] += 1
        variance[at] += float(weight) ** 2 * chance * (1 - chance)
    return float((count / 8 / np.sqrt(2 * np.pi * np.maximum(variance, 1e-9))).max(initial=0.0))


def _gated_sum(course: Course, where: list[int], kept: int) -> tuple[elimination.GatedSum, list[int]]:
    """Return the uncertain pieces on these stretches as one problem, and which pieces they are."""
    members, begins, ends = [], [], []
    for i, piece in enumerate(course.pieces):
        begin, end = course.reach(piece)
        begin, end = bisect_left(where, begin), bisect_left(where, end)
        if begin < end and (piece.chance < 1 or piece.gate):
            members.append(i)
            begins.append(begin)
            ends.append(end)
    pieces = [course.pieces[i] for i in members]
    problem = elimination.GatedSum(
        weights=[piece.weight for piece in pieces],
        chances=[piece.chance for piece in pieces],
        gates=[piece.gate for piece in pieces],
        begins=begins,
        ends=ends,
        stretches=len(where),
        conditions=course.chances,
        kept=kept,
    )
    return problem, members


def _finest_unit(problem: elimination.GatedSum) -> int:
    """Return the largest unit that divides all weights, 1 when there are none: with it nothing is rounded."""
    return math.gcd(*problem.weights) or 1


def _is_possible(order: elimination.Schedule, unit: int) -> bool:
    return order.frontier <= elimination.WIDEST_FRONTIER and order.cells(unit) <= elimination.MOST_CELLS


def _residue(problem: elimination.GatedSum, unit: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how far a sum can lie above, and how far below, the sum of its weights rounded to the unit, per
    stretch.
    """
    above, below = np.zeros(problem.stretches), np.zeros(problem.stretches)
    for i, weight in enumerate(problem.weights):
        rest = weight - unit * elimination.in_units(weight, unit)
        (above if rest > 0 else below)[problem.begins[i] : problem.ends[i]] += abs(rest)
    return above, below


def _eliminate(long: _Long, unit: int, columns: Columns) -> None:
    course, stretches, where, problem, _, order = long
    values, axes = elimination.distribution(problem, order, unit)
    slots = [course.slot + t for t in where]
    rows = np.arange(len(where))
    needs = np.array([stretches[t].need for t in where], dtype=np.int64)
    base = np.array([stretches[t].base for t in where], dtype=np.int64)
    mixed = values[:, 0]
    if axes:
        chances = enumeration.worlds(np.array([[course.chances[c] for c in axes]]))[0]
        mixed = np.tensordot(values, chances, axes=(1, 0))
    longest = mixed.shape[1]
    at_least = np.zeros((len(where), longest + 1))
    at_least[:, :longest] = np.cumsum(mixed[:, ::-1], axis=1)[:, ::-1]

    def reached(quantity: np.ndarray) -> np.ndarray:
        """Return P(sum >= quantity), for one quantity per stretch; 1 where it is not above 0."""
        place = np.clip(np.ceil(quantity / unit), 0, longest).astype(np.int64)
        return np.where(quantity <= 0, 1.0, at_least[rows, place])

    place = np.minimum(-(-needs // unit), longest)
    columns.p_met[slots] = np.where(needs <= 0, 1.0, at_least[rows, place])
    for column, share in enumerate(_SHARES):
        largest = np.maximum((at_least >= 1 - share - TOLERANCE).sum(axis=1) - 1, 0)
        columns.percentiles[slots, column] = base + largest * unit
    # E[min(S, N)] is the sum of P(S >= x) over x = 1 ... N; P(S >= x) is a staircase with steps of one unit.
    whole = np.minimum(needs // unit, longest)
    running = np.concatenate((np.zeros((len(where), 1)), np.cumsum(at_least[:, 1:], axis=1)), axis=1)
    last_step = np.where(needs // unit < longest, (needs % unit) * at_least[rows, place], 0.0)
    columns.minimum[slots] = base + unit * running[rows, whole] + last_step
    if unit > _finest_unit(problem):
        above, below = _residue(problem, unit)
        high, low = reached(needs - above), reached(needs + below)
        columns.error[slots] = np.maximum(high - columns.p_met[slots], columns.p_met[slots] - low)
        columns.quantity_error[slots] = np.maximum(above, below)
        columns.method[slots] = METHODS.index(BINNED)
    if not problem.kept and any(course.kept[t] for t in where):
        return  # the joint chance has to do without these
    given = np.array([values[row, :, place[row] :].sum(axis=1) for row in range(len(where))])
    given[needs <= 0] = 1.0
    columns.add_tables(slots, given)
    for slot in slots:
        columns.mask[slot] = sum(1 << c for c in axes)


def _simulate(long: _Long, draws: int, columns: Columns) -> None:
    course, stretches, where, _, members, _ = long
    entries = [_entry(0, course.plain[i], course, where) for i in members]
    for row, totals in enumerate(sampling.sums(entries, course.conditions, 1, len(where), draws)):
        stretch, slot = stretches[where[row]], course.slot + where[row]
        columns.p_met[slot] = (totals[0] >= stretch.need).mean()
        columns.minimum[slot] = stretch.base + np.minimum(totals[0], stretch.need).mean()
        columns.percentiles[slot] = stretch.base + sampling.percentile(totals[0], _SHARES)
        columns.error[slot] = sampling.error_of(draws)
        columns.quantity_error[slot] = sampling.error_of(draws) * stretch.need
        columns.method[slot] = METHODS.index(SAMPLED)


def _entry(line: int, piece: Piece, course: Course, where: list[int]) -> sampling.Entry:
    begin, end = (bisect_left(where, t) for t in course.reach(piece))
    return sampling.Entry(line, piece.pledge, piece.weight, piece.chance, piece.gate, begin, end)
