"""How fast is `pledges.certainty` on a plan of 500 lines and 2,000 pledges over 24 months, and how does plain simulation
compare?

Run it from the repository: `python tests/bench/certainty_bench.py`. The plan is made up, from a fixed seed.
It asserts nothing; it prints seconds, and the naive simulation beside them in the same run. Seconds in
brackets are those of the processor, of the slower process: they tell what the clock would have said on a
machine with nothing else to do.
"""

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from pledges import certainty
from pledges.certainty import Capability, Contribution, Plan
from tests.bench.figures import SHORT, figure

NATIONS, CAPABILITIES, LINES, PLEDGES, DAYS, CONDITIONS = 35, 60, 500, 2000, 730, 8
DRAWS = 200_000
ROUNDS = 1 if SHORT else 3
CERTAINTY_BY_STEP = (0.15, 0.40, 0.85, 0.95, 0.98, 1.0)
STEP_SHARES = (0.1, 0.25, 0.35, 0.15, 0.05, 0.1)


@dataclass(frozen=True)
class Coalition:
    """A made-up plan: capabilities with lines, the chances of the open conditions, and whose each pledge
    is.
    """

    groups: tuple[Capability, ...]
    conditions: tuple[float, ...]
    pledges_of: dict[str, frozenset[int]]


def a_coalition(*, round_quantities: bool, seed: int = 7) -> Coalition:
    """Return the plan. Quantities go up to 5,000, in steps of 50 when they are round.

    A pledge stands for 3 to 24 months, hangs on no, one or two of the conditions, and answers one line or,
    one time in four, two lines of its capability. Capabilities differ in size. Most lines run through the
    whole two years.
    """
    rng = np.random.default_rng(seed)
    sizes = rng.dirichlet(np.full(CAPABILITIES, 4.0))
    capability_of_line = np.concatenate(
        (np.arange(CAPABILITIES), rng.choice(CAPABILITIES, LINES - CAPABILITIES, p=sizes))
    )
    lines_of = [np.flatnonzero(capability_of_line == c) for c in range(CAPABILITIES)]
    by_line: list[list[Contribution]] = [[] for _ in range(LINES)]
    pool: list[list[Contribution]] = [[] for _ in range(CAPABILITIES)]
    owned: dict[str, set[int]] = {f"N{n:02}": set() for n in range(NATIONS)}
    for pledge in range(PLEDGES):
        line = int(rng.integers(LINES))
        c = int(capability_of_line[line])
        weight = 50 * int(rng.integers(1, 101)) if round_quantities else int(rng.integers(1, 5001))
        chance = float(rng.choice(CERTAINTY_BY_STEP, p=STEP_SHARES)) * 2.0 ** (-rng.integers(0, 60) / 90)
        first = int(rng.integers(-60, 540))
        last = min(DAYS - 1, first + int(rng.integers(90, 731)))
        gates = tuple(int(g) for g in rng.choice(CONDITIONS, rng.choice(3, p=(0.4, 0.4, 0.2)), replace=False))
        whole = Contribution(pledge, weight, chance, first, last, gates)
        owned[f"N{int(rng.integers(NATIONS)):02}"].add(pledge)
        pool[c].append(whole)
        if rng.random() < 0.25 and len(lines_of[c]) > 1:
            other = int(rng.choice(lines_of[c][lines_of[c] != line]))
            part = weight // 2 // 50 * 50 if round_quantities else weight // 2
            by_line[line].append(replace(whole, weight=weight - part))
            by_line[other].append(replace(whole, weight=part))
        else:
            by_line[line].append(whole)
    plans = []
    for pieces in by_line:
        through = rng.random() < 0.6
        first = 0 if through else int(rng.integers(0, 400))
        last = DAYS - 1 if through else min(DAYS - 1, first + int(rng.integers(90, 400)))
        standing = sum(p.weight * p.chance for p in pieces) * 0.5
        need = max(50, round(standing * rng.uniform(0.4, 1.3) / 50) * 50)
        plans.append(Plan(need, first, last, tuple(pieces)))
    groups = tuple(Capability(tuple(plans[n] for n in lines_of[c]), tuple(pool[c])) for c in range(CAPABILITIES))
    conditions = tuple(float(q) for q in rng.uniform(0.3, 0.95, CONDITIONS))
    return Coalition(groups, conditions, {nation: frozenset(own) for nation, own in owned.items()})


class Taken(NamedTuple):
    """Seconds by the clock, and of the processor."""

    clock: float
    processor: float

    def __str__(self) -> str:
        return f"{self.clock:.2f} s ({self.processor:.2f})"


def timed(work: Callable, *given: object) -> Taken:
    """Do the work once in this process."""
    clock, processor = time.perf_counter(), time.process_time()
    work(*given)
    return Taken(time.perf_counter() - clock, time.process_time() - processor)


def on_two(pool: ProcessPoolExecutor, work: Callable, *given: list, times: int = ROUNDS) -> Taken:
    """Do two shares of the work at once, some times, and return the best."""
    found = []
    for _ in range(times):
        clock = time.perf_counter()
        shares = list(pool.map(timed, [work] * 2, *given))
        found.append(Taken(time.perf_counter() - clock, max(share.processor for share in shares)))
    return min(found)


def _nothing(_: int) -> None:
    """Let a process start and import before the clock runs."""


def halves(groups: tuple[Capability, ...]) -> list[tuple[Capability, ...]]:
    """Cut the capabilities into two parts of about equal work."""
    ordered = sorted(groups, key=lambda group: -sum(len(plan.contributions) for plan in group.lines))
    return [tuple(ordered[::2]), tuple(ordered[1::2])]


def with_one_pledge_changed(coalition: Coalition, count: int = 200) -> Iterator[Taken]:
    """Yield what it takes to answer a pledge's capability anew, for some pledges."""
    rng = np.random.default_rng(1)
    homes = [(c, piece.pledge) for c, group in enumerate(coalition.groups) for piece in group.pool]
    for at in rng.choice(len(homes), count, replace=False):
        group, pledge = coalition.groups[homes[at][0]], homes[at][1]
        lines = tuple(
            replace(
                plan,
                contributions=tuple(
                    replace(p, chance=p.chance * 0.9) if p.pledge == pledge else p for p in plan.contributions
                ),
            )
            for plan in group.lines
        )
        pool = tuple(replace(p, chance=p.chance * 0.9) if p.pledge == pledge else p for p in group.pool)
        yield timed(certainty.capabilities, [Capability(lines, pool)], coalition.conditions)


def naive_simulation(coalition: Coalition, answers: list) -> tuple[float, float]:
    """Draw every pledge and condition `DRAWS` times; return the seconds and the largest difference to
    P(met).
    """
    rng = np.random.default_rng(3)
    begin = time.perf_counter()
    worlds = rng.random((CONDITIONS, DRAWS)) < np.array(coalition.conditions)[:, None]
    furthest = 0.0
    for group, answer in zip(coalition.groups, answers, strict=True):
        for plan, line in zip(group.lines, answer.lines, strict=True):
            coming = []
            for piece in plan.contributions:
                comes = rng.random(DRAWS) < piece.chance
                for c in piece.conditions:
                    comes &= worlds[c]
                coming.append(comes)
            for t, day in enumerate(line.first):
                total = np.zeros(DRAWS)
                for piece, comes in zip(plan.contributions, coming, strict=True):
                    if piece.first <= day <= piece.last:
                        total += piece.weight * comes
                furthest = max(furthest, abs((total >= plan.need).mean() - line.p_met[t]))
    return time.perf_counter() - begin, furthest


def report(kind: str, coalition: Coalition, pool: ProcessPoolExecutor, *, simulate: bool) -> None:
    answers = certainty.capabilities(coalition.groups, coalition.conditions)
    stretches = sum(len(line.first) for answer in answers for line in answer.lines)
    print(f"\n{kind}: {LINES} lines in {stretches} stretches")
    for name, parts in (
        ("lines", [line for answer in answers for line in answer.lines]),
        ("joint", answers),
        ("pooled", [answer.pooled for answer in answers]),
    ):
        methods = [method for part in parts for method in part.method]
        count = {method: methods.count(method) for method in dict.fromkeys(methods)}
        worst = max(float(part.error.max(initial=0)) for part in parts)
        print(f"  {name:8} {count}, largest bound {worst:.2g}")
    groups, conditions = coalition.groups, coalition.conditions
    parts, same, twice = halves(groups), [conditions] * 2, [groups] * 2
    plans = [plan for group in groups for plan in group.lines]
    alone = min(timed(certainty.capabilities, groups, conditions) for _ in range(ROUNDS))
    only = min(timed(certainty.lines, plans, conditions) for _ in range(ROUNDS))
    two = on_two(pool, certainty.capabilities, parts, same)
    figure(f"computing the whole plan, {kind}", two.clock, "s", at_most=1, note=f"two processes, {two}; on one {alone}")
    figure(f"computing the lines alone, {kind}", only.clock, "s", note=f"one process, {only}")
    one = list(with_one_pledge_changed(coalition, 20 if SHORT else 200))
    clock, processor = (np.quantile(taken, (0.5, 0.95, 1.0)) * 1000 for taken in zip(*one, strict=True))
    note = f"p50 {clock[0]:.0f}, slowest {clock[2]:.0f}; of the processor p95 {processor[1]:.0f}; computing only"
    figure(f"one pledge changed, p95, {kind}", clock[1], "ms", at_most=50, note=note)
    nations = list(coalition.pledges_of)
    owners = [{n: coalition.pledges_of[n] for n in nations[at::2]} for at in (0, 1)]
    took = on_two(pool, certainty.losses, twice, same, owners)
    figure(f"N-1 for {NATIONS} nations, {kind}", took.clock, "s", at_most=3, note=f"two processes, {took}")
    took = on_two(pool, certainty.tornado, parts, same)
    figure(f"tornado of {CONDITIONS} conditions, {kind}", took.clock, "s", note=f"two processes, {took}")
    if simulate:
        took, furthest = naive_simulation(coalition, answers)
        figure(
            f"computing the lines alone, against simulating them, {kind}",
            only.clock,
            "s",
            beside=(f"{DRAWS:,} draws", took),
            note=f"the draws are off by up to {furthest:.1e}",
        )


def main() -> None:
    """Print the figures for round quantities and for arbitrary whole numbers."""
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(_nothing, range(4)))
        for kind, is_round in (("round quantities", True), ("whole numbers to 5,000", False)):
            if is_round or not SHORT:
                report(
                    kind, a_coalition(round_quantities=is_round), pool, simulate=not (SHORT or "--quick" in sys.argv)
                )


if __name__ == "__main__":
    main()
