"""Which quantities of which pledges fill the lines of one capability best? A small integer program, without the database.

Lines are filled in order: priority first, then the earlier need. Each class of that order gets all it can before the
next is looked at, so a third priority never takes from a first. What is maximised is quantity times days covered.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from itertools import groupby

import highspy
import numpy as np

from pledges.counting import BLOCKED, ZERO, AllocationRow, LineRow, Plan, PledgeRow, at_or_above

MOST_PAIRS = 20_000  # pairs of pledge and line in one program; beyond it each line keeps those that fit it best
MOST_PAIRS_WITH_CHARGE = 100  # up to here the number of allocations is made small too, not only what they take
LARGEST_WHOLE = 1_000_000  # units the solver tells apart reliably; its integers are floats with a tolerance of 1e-6
TIDYING_S = 0.2  # for choosing among equally good fillings
_DAY = timedelta(days=1)

Pair = tuple[int, int]  # pledge id, line id


@dataclass(frozen=True)
class Filling:
    """What to allocate, per pledge and line. ``is_best``: proven, on every pair; else the best found in time."""

    quantities: dict[Pair, Decimal] = field(default_factory=dict)
    is_best: bool = True


@dataclass(frozen=True, slots=True)
class Gap:
    """Days of a line without change, both counted, and what it lacks on each of them."""

    first: date
    last: date
    lacking: Decimal

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1


def horizon(plan: Plan, *, today: date, until: date) -> date:
    """Return the last day to count: ``until``, or later where something still changes later."""
    days = [until, today]
    for row in (*plan.pledges, *plan.lines):
        days += [min(day, date.max - _DAY) + _DAY for day in (row.first, row.last) if day is not None]
    return max(days)


def shared_days(pledge: PledgeRow, line: LineRow, *, today: date) -> tuple[date, date] | None:
    """Return the first and last day from today on which the pledge stands and the line is needed, or None."""
    first = max(pledge.first, line.first, today)
    last = min(pledge.last or date.max, line.last or date.max)
    return (first, last) if first <= last else None


def free_of(pledge: PledgeRow, line: LineRow, taken: Iterable[tuple[LineRow, Decimal]]) -> Decimal:
    """Return what is free of a pledge on its fullest day of the line's whole window, never below 0.

    ``taken``: the lines it answers, with how much. Notice and standing are not asked: an allocation binds the pledge
    for the line's whole window, as ``allocating.allocate`` checks it.
    """
    if pledge.quantity is None:
        return ZERO
    others = [(other, quantity) for other, quantity in taken if _meet(other, line)]
    days = {line.first, *(other.first for other, _ in others if other.first > line.first)}
    fullest = max(sum((quantity for other, quantity in others if _holds(other, day)), ZERO) for day in days)
    return max(pledge.quantity - fullest, ZERO)


def gaps_of(
    line: LineRow, answers: Iterable[tuple[PledgeRow, Decimal]], *, today: date, end: date, any_alone: bool
) -> list[Gap]:
    """Return the line's stretches from today to ``end`` with what each lacks, 0 included; empty when it is over.

    ``answers``: the pledges that count at the threshold, with what they give.
    """
    first, last = max(line.first, today), min(line.last or end, end)
    if first > last:
        return []
    standing = [
        (max(pledge.first, first), min(pledge.last or last, last), min(quantity, pledge.quantity))
        for pledge, quantity in answers
        if pledge.quantity is not None
    ]
    standing = [(begins, ends, quantity) for begins, ends, quantity in standing if begins <= ends]
    starts = sorted({first, *(row[0] for row in standing), *(row[1] + _DAY for row in standing if row[1] < last)})
    lasts = [day - _DAY for day in starts[1:]] + [last]
    found = []
    for begins, ends in zip(starts, lasts, strict=True):
        there = [quantity for since, till, quantity in standing if since <= begins <= till]
        if any_alone:
            lacking = ZERO if max(there, default=ZERO) >= line.quantity else line.quantity
        else:
            lacking = max(line.quantity - sum(there, ZERO), ZERO)
        found.append(Gap(begins, ends, lacking))
    return found


def fill(
    plan: Plan,
    *,
    threshold: str,
    today: date,
    end: date,
    barred: Callable[[PledgeRow, LineRow], bool] = lambda pledge, line: False,
    cost: Callable[[PledgeRow, LineRow], int] = lambda pledge, line: 1,
    seconds: float = 5.0,
) -> Filling:
    """Return what to add to the plan's allocations so that its lines are covered best at the threshold.

    Existing allocations stay. No pledge is bound beyond its planning quantity on any day of the lines' windows. A pair
    already allocated, ``barred``, without a day in common or with nothing free is left out. ``cost`` (1 and more)
    chooses among equally good fillings: the cheapest, in few pieces. Whole quantities stay whole.
    """
    deadline = time.monotonic() + seconds
    program = _Program(plan, threshold, today, end, barred, cost)
    if not program.pairs:
        return Filling()
    values, is_best = program.solve(deadline)
    return Filling(program.quantities(values), is_best and program.is_whole)


def _meet(one: LineRow, other: LineRow) -> bool:
    return one.first <= (other.last or date.max) and other.first <= (one.last or date.max)


def _holds(line: LineRow, day: date) -> bool:
    return line.first <= day <= (line.last or date.max)


@dataclass(slots=True)
class _Pair:
    pledge: PledgeRow
    line: LineRow
    first: date
    last: date
    most: Decimal  # of the pledge, for the line
    cost: int


class _Program:
    """The integer program. Columns: one per pair (units taken), then per stretch of a line what stands and what counts.

    What stands on a stretch is what stood on the one before, plus what begins, less what has ended: so the matrix stays
    sparse however many pledges there are.
    """

    def __init__(
        self,
        plan: Plan,
        threshold: str,
        today: date,
        end: date,
        barred: Callable[[PledgeRow, LineRow], bool],
        cost: Callable[[PledgeRow, LineRow], int],
    ):
        self.any_alone = plan.any_alone
        self.today, self.end = today, end
        self.barred, self.cost = barred, cost
        levels = set(at_or_above(threshold)) - {BLOCKED}
        self.lines = {line.id: line for line in plan.lines}
        pledges = {pledge.id: pledge for pledge in plan.pledges}
        self.taken: dict[int, list[tuple[LineRow, Decimal]]] = {}
        answers: dict[int, list[tuple[PledgeRow, Decimal]]] = {}
        for row in plan.allocations:
            self.taken.setdefault(row.pledge_id, []).append((self.lines[row.line_id], row.quantity))
            if pledges[row.pledge_id].level in levels:
                answers.setdefault(row.line_id, []).append((pledges[row.pledge_id], row.quantity))
        self.gaps: dict[int, list[Gap]] = {}
        for line in plan.lines:
            gaps = gaps_of(line, answers.get(line.id, ()), today=today, end=end, any_alone=plan.any_alone)
            if any(gap.lacking for gap in gaps):
                self.gaps[line.id] = gaps
        present = {(row.pledge_id, row.line_id) for row in plan.allocations}
        usable = [pledge for pledge in plan.pledges if pledge.level in levels and pledge.quantity]
        self.pairs: list[_Pair] = []
        self.is_whole = True  # no pair was left out for the size of the program
        each = max(MOST_PAIRS // max(len(self.gaps), 1), 1)
        for line_id in self.gaps:
            line = self.lines[line_id]
            found = [
                pair for pledge in usable if (pledge.id, line_id) not in present and (pair := self._pair(pledge, line))
            ]
            if len(found) > each:
                self.is_whole = False
                found.sort(key=lambda pair: (pair.cost, -pair.most * ((pair.last - pair.first).days + 1)))
                del found[each:]
            self.pairs += found
        self.step = self._step(plan)
        self.is_integer = self.any_alone or self._largest(plan) <= LARGEST_WHOLE * self.step

    def _pair(self, pledge: PledgeRow, line: LineRow) -> _Pair | None:
        days = shared_days(pledge, line, today=self.today)
        if days is None or days[0] > self.end or self.barred(pledge, line):
            return None
        most = free_of(pledge, line, self.taken.get(pledge.id, ()))
        lacking = max(
            (gap.lacking for gap in self.gaps[line.id] if gap.first <= days[1] and days[0] <= gap.last), default=ZERO
        )
        most = ZERO if self.any_alone and most < line.quantity else min(most, lacking)
        if most <= 0:
            return None
        return _Pair(pledge, line, days[0], min(days[1], self.end), most, self.cost(pledge, line))

    @staticmethod
    def _largest(plan: Plan) -> Decimal:
        return max((row.quantity or ZERO for row in (*plan.pledges, *plan.lines)), default=ZERO)

    def _step(self, plan: Plan) -> Decimal:
        """Return the unit to propose in: 1 where all is whole, else 0.01; for sums of money what divides them all."""
        figures = [row.quantity for row in (*plan.pledges, *plan.lines, *plan.allocations) if row.quantity]
        step = Decimal(1) if all(figure == int(figure) for figure in figures) else Decimal("0.01")
        if self._largest(plan) > LARGEST_WHOLE * step:
            common = math.gcd(*(int(figure / step) for figure in figures)) * step
            if self._largest(plan) <= LARGEST_WHOLE * common:
                return common
        return step

    # --- building ---------------------------------------------------------------------------

    def _unit(self, quantity: Decimal) -> float:
        return float(quantity / self.scale)

    def _build(self, *, is_integer: bool) -> highspy.Highs:
        # Beyond what integers can tell apart the program is continuous, in ten-thousandths of the largest figure.
        self.scale = self.step if self.is_integer else max(pair.most for pair in self.pairs) / 10_000
        self.upper: list[float] = [1.0 if self.any_alone else self._unit(pair.most) for pair in self.pairs]
        self.rows: list[tuple[float, float, list[int], list[float]]] = []
        self.counted: dict[int, list[tuple[int, float]]] = {}  # line → columns that count, with their weight
        pairs_of_line: dict[int, list[int]] = {}
        pairs_of_pledge: dict[int, list[int]] = {}
        for place, pair in enumerate(self.pairs):
            pairs_of_line.setdefault(pair.line.id, []).append(place)
            pairs_of_pledge.setdefault(pair.pledge.id, []).append(place)
        for line_id, places in pairs_of_line.items():
            self._add_line(line_id, places)
        for places in pairs_of_pledge.values():
            self._add_pledge(places)

        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = len(self.upper), len(self.rows)
        lp.col_cost_ = np.zeros(len(self.upper))
        lp.col_lower_ = np.zeros(len(self.upper))
        lp.col_upper_ = np.array(self.upper)
        lp.row_lower_ = np.array([row[0] for row in self.rows])
        lp.row_upper_ = np.array([row[1] for row in self.rows])
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_ = np.cumsum([0, *(len(row[2]) for row in self.rows)])
        lp.a_matrix_.index_ = np.array([column for row in self.rows for column in row[2]], dtype=np.int32)
        lp.a_matrix_.value_ = np.array([value for row in self.rows for value in row[3]], dtype=float)
        if is_integer:
            whole, real = highspy.HighsVarType.kInteger, highspy.HighsVarType.kContinuous
            lp.integrality_ = [whole] * len(self.pairs) + [real] * (len(self.upper) - len(self.pairs))
        solver = highspy.Highs()
        for name, value in {
            "output_flag": False,
            "threads": 1,
            "random_seed": 0,
            "mip_rel_gap": 0.0,
            "mip_abs_gap": 0.5,  # in quantity-days, which are whole here
        }.items():
            solver.setOptionValue(name, value)
        solver.passModel(lp)
        return solver

    def _add_line(self, line_id: int, places: list[int]) -> None:
        """Add what stands and what counts, per stretch of the line cut by the windows of its pairs."""
        gaps = self.gaps[line_id]
        days = {gap.first for gap in gaps}
        begins: dict[date, list[int]] = {}
        ends: dict[date, list[int]] = {}
        for place in places:
            pair = self.pairs[place]
            begins.setdefault(pair.first, []).append(place)
            days.add(pair.first)
            if pair.last < gaps[-1].last:
                ends.setdefault(pair.last + _DAY, []).append(place)
                days.add(pair.last + _DAY)
        starts = sorted(days)
        counted = self.counted.setdefault(line_id, [])
        before, at = None, 0
        for i, day in enumerate(starts):
            following = starts[i + 1] if i + 1 < len(starts) else gaps[-1].last + _DAY
            while gaps[at].last < day:
                at += 1
            standing = self._column(math.inf)
            columns, values = [standing], [1.0]
            if before is not None:
                columns, values = [*columns, before], [*values, -1.0]
            for place in begins.get(day, ()):
                columns, values = [*columns, place], [*values, -1.0]
            for place in ends.get(day, ()):
                columns, values = [*columns, place], [*values, 1.0]
            self.rows.append((0.0, 0.0, columns, values))
            before = standing
            if gaps[at].lacking:
                counts = self._column(1.0 if self.any_alone else self._unit(gaps[at].lacking))
                self.rows.append((-math.inf, 0.0, [counts, standing], [1.0, -1.0]))
                weight = float((following - day).days)
                if self.any_alone:
                    weight *= float(self.lines[line_id].quantity / self.step)
                counted.append((counts, weight))

    def _add_pledge(self, places: list[int]) -> None:
        """Add that on no day more is bound than is left. Sums of windows are fullest on a day when one begins."""
        pledge = self.pairs[places[0]].pledge
        taken = self.taken.get(pledge.id, [])
        if len(places) == 1:
            return  # its upper bound says it
        days = {self.pairs[place].line.first for place in places} | {line.first for line, _ in taken}
        said = set()
        for day in sorted(days):
            there = tuple(place for place in places if _holds(self.pairs[place].line, day))
            left = pledge.quantity - sum((quantity for line, quantity in taken if _holds(line, day)), ZERO)
            if len(there) > 1 and (there, left) not in said:
                said.add((there, left))
                weights = [self._unit(self.pairs[place].line.quantity) if self.any_alone else 1.0 for place in there]
                self.rows.append((-math.inf, self._unit(max(left, ZERO)), list(there), weights))

    def _column(self, upper: float) -> int:
        self.upper.append(upper)
        return len(self.upper) - 1

    # --- solving ----------------------------------------------------------------------------

    def solve(self, deadline: float) -> tuple[np.ndarray, bool]:
        """Return the units per pair, and whether they are proven best. Zeros when there was no time for anything.

        The relaxation comes first: it is many times faster, and where its answer is whole it is the answer.
        """
        solver = self._build(is_integer=False)
        values, is_proven = self._solve(solver, deadline, is_integer=False)
        if not self.is_integer:
            return values, is_proven
        if is_proven and np.allclose(values, np.rint(values), rtol=0, atol=1e-5):
            return np.rint(self._in_fewer_pieces(solver, np.rint(values), deadline)), True
        solver = self._build(is_integer=True)
        whole, is_proven = self._solve(solver, deadline, is_integer=True)
        if is_proven:
            return np.rint(self._in_fewer_pieces(solver, np.rint(whole), deadline)), True
        return np.floor(values + 1e-5), False

    def _solve(self, solver: highspy.Highs, deadline: float, *, is_integer: bool) -> tuple[np.ndarray, bool]:
        best = np.zeros(len(self.pairs))
        order = sorted(self.counted, key=lambda line_id: (self.lines[line_id].priority, self.lines[line_id].first))
        for _, group in groupby(order, key=lambda line_id: (self.lines[line_id].priority, self.lines[line_id].first)):
            terms = [term for line_id in group for term in self.counted[line_id]]
            found = self._run(solver, terms, deadline, maximise=True)
            if found is None:
                return best, False
            values, reached, is_proven = found
            best = values[: len(self.pairs)]
            if not is_proven:
                return best, False
            full = sum(self.upper[column] * weight for column, weight in terms)
            slack = 0.5 if is_integer else 1e-6 + 1e-11 * full
            if reached >= full - slack:
                for column, _ in terms:
                    solver.changeColBounds(column, self.upper[column], self.upper[column])
            else:
                _add_row(solver, reached - slack, highspy.kHighsInf, terms)
        # Of all equally good fillings a cheap one that takes no more than it needs.
        terms = [(place, float(pair.cost)) for place, pair in enumerate(self.pairs)]
        found = self._run(solver, terms, deadline, maximise=False)
        return (found[0][: len(self.pairs)] if found else best), True

    def _in_fewer_pieces(self, solver: highspy.Highs, best: np.ndarray, deadline: float) -> np.ndarray:
        """Return an equally good filling in the fewest and cheapest pieces that little time finds.

        The solver holds what each class has reached, so no coverage is given away.
        """
        now = time.monotonic()
        deadline = min(deadline, now + TIDYING_S, now + (deadline - now) / 4)
        if self.any_alone or len(self.pairs) > MOST_PAIRS_WITH_CHARGE or now >= deadline:
            return best
        known = highspy.HighsSolution()
        known.col_value = [*solver.getSolution().col_value, *(float(value > 0) for value in best)]
        first = solver.getNumCol()
        for place in range(len(self.pairs)):  # taken at all, or not
            solver.changeColIntegrality(place, highspy.HighsVarType.kInteger)
            solver.addCol(0.0, 0.0, 1.0, 0, np.array([], dtype=np.int32), np.array([]))
            solver.changeColIntegrality(first + place, highspy.HighsVarType.kInteger)
            _add_row(solver, -highspy.kHighsInf, 0.0, [(place, 1.0), (first + place, -self.upper[place])])
        solver.setSolution(known)
        terms = [(first + place, float(pair.cost)) for place, pair in enumerate(self.pairs)]
        found = self._run(solver, terms, deadline, maximise=False)
        if found is None:
            return best
        best = np.rint(found[0][: len(self.pairs)])
        for place in range(len(self.pairs)):
            if found[0][first + place] < 0.5:
                solver.changeColBounds(place, 0.0, 0.0)
        terms = [(place, float(pair.cost)) for place, pair in enumerate(self.pairs)]
        found = self._run(solver, terms, time.monotonic() + TIDYING_S, maximise=False)
        return found[0][: len(self.pairs)] if found else best

    @staticmethod
    def _run(
        solver: highspy.Highs, terms: list[tuple[int, float]], deadline: float, *, maximise: bool
    ) -> tuple[np.ndarray, float, bool] | None:
        """Return values, objective and whether it is proven; None when nothing was found in the time left."""
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        number = solver.getNumCol()
        costs = np.zeros(number)
        for column, weight in terms:
            costs[column] = weight
        solver.changeColsCost(number, np.arange(number, dtype=np.int32), costs)
        solver.changeObjectiveSense(highspy.ObjSense.kMaximize if maximise else highspy.ObjSense.kMinimize)
        # The solver's own clock runs on over its runs.
        solver.setOptionValue("time_limit", solver.getRunTime() + left)
        solver.run()
        is_proven = solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
        if not is_proven and solver.getInfo().primal_solution_status != 2:  # 2: a feasible one is there
            return None
        return np.array(solver.getSolution().col_value), solver.getInfo().objective_function_value, is_proven

    def quantities(self, values: np.ndarray) -> dict[Pair, Decimal]:
        """Return exact quantities: to the step, and never beyond what is free, whatever the solver's tolerance."""
        given: dict[Pair, Decimal] = {}
        bound: dict[int, list[tuple[LineRow, Decimal]]] = {}
        for pair, value in zip(self.pairs, values, strict=True):
            if self.any_alone:
                wanted = pair.line.quantity if value > 0.5 else ZERO
            else:
                units = Decimal(float(value)) * self.scale / self.step
                wanted = Decimal(round(units)) * self.step
            if wanted <= 0:
                continue
            taken = bound.setdefault(pair.pledge.id, list(self.taken.get(pair.pledge.id, ())))
            quantity = min(wanted, pair.most, free_of(pair.pledge, pair.line, taken))
            if quantity <= 0 or (self.any_alone and quantity < wanted):
                continue
            taken.append((pair.line, quantity))
            given[pair.pledge.id, pair.line.id] = quantity
        return given


def _add_row(solver: highspy.Highs, lower: float, upper: float, terms: list[tuple[int, float]]) -> None:
    columns, values = zip(*terms, strict=True)
    solver.addRow(lower, upper, len(terms), np.array(columns, dtype=np.int32), np.array(values))


def filled(plan: Plan, quantities: Mapping[Pair, Decimal]) -> Plan:
    """Return the plan with these quantities allocated as well."""
    added = tuple(AllocationRow(*pair, quantity) for pair, quantity in quantities.items())
    return Plan(plan.pledges, plan.lines, plan.allocations + added, plan.any_alone)
