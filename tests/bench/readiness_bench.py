"""How long from a change to stored answers, for 500 lines and 2,000 pledges over 24 months?

Run it from the repository (`make bench`): `python tests/bench/readiness_bench.py`. The plan is made up, from a fixed
seed, and lies in a database of its own, in engines that sync nothing to disk, as for tests. The full recompute runs in
one process and in two, as two workers would share it. Nothing is asserted about seconds; seconds in brackets are the
processor's, of the slower process.
"""

import gc
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests import bed  # before anything that imports models

if "READINESS_BENCH_DATABASE" in os.environ:  # a second worker, started below
    bed.use(os.environ["READINESS_BENCH_DATABASE"])

from django.test import Client

from coalition import stale
from coalition.access import SYSTEM, Role, acting_as
from coalition.models import Condition, Operation
from pledges import certainty, chances, counting, readiness, sure
from pledges.models import Allocation, Capability, Pledge, PledgeCondition, ReadinessLine, Requirement
from pledges.planned import planned
from pledges.readiness import storing
from tests.bench.certainty_bench import CAPABILITIES, a_coalition
from tests.bench.figures import SHORT, figure
from tests.factories import a_member, a_nation

STATUSES = ("signalled", "offered", "committed", "ready", "deploying", "in_place")


def a_plan() -> Operation:
    """Write the made-up coalition of ``certainty_bench`` as rows: 35 nations, 60 capabilities, 500 lines, 2,000 pledges."""
    rng = np.random.default_rng(11)
    coalition = a_coalition(round_quantities=True)
    with acting_as(SYSTEM):
        operation = Operation.objects.create(code="bench", name="Bench", starts_on=date(2026, 1, 1), is_current=True)
        today = operation.today()
        codes = [f"{'XYZQ'[n // 26]}{chr(65 + n % 26)}" for n in range(len(coalition.pledges_of))]
        owner = {
            pledge: a_nation(code, stanag=f"Q{code}")
            for code, pledges in zip(codes, coalition.pledges_of.values(), strict=True)
            for pledge in pledges
        }
        conditions = [
            Condition.objects.create(
                operation=operation, kind="backstop", title=f"Condition {c}", tier=1, probability=q
            )
            for c, q in enumerate(coalition.conditions)
        ]
        for number, group in enumerate(coalition.groups):
            capability = Capability.objects.create(
                code=f"c{number}", name=f"Capability {number}", category="troops", unit="persons"
            )
            pledges = {
                piece.pledge: Pledge(
                    operation=operation,
                    capability=capability,
                    nation=owner[piece.pledge],
                    what=f"Pledge {piece.pledge}",
                    quantity=Decimal(piece.weight),
                    status=str(rng.choice(STATUSES, p=(0.1, 0.25, 0.35, 0.15, 0.05, 0.1))),
                    available_from=today + timedelta(days=piece.first),
                    available_until=today + timedelta(days=piece.last),
                    notice_days=int(rng.integers(0, 60)),
                    tier=int(rng.choice([1, 2, 2, 3])),
                    last_confirmed_on=today - timedelta(days=int(rng.integers(0, 90))),
                )
                for piece in group.pool
            }
            Pledge.objects.bulk_create(pledges.values())
            PledgeCondition.objects.bulk_create(
                PledgeCondition(pledge=pledges[piece.pledge], condition=conditions[c])
                for piece in group.pool
                for c in piece.conditions
            )
            for plan in group.lines:
                line = Requirement.objects.create(
                    operation=operation,
                    capability=capability,
                    quantity=plan.need,
                    needed_from=today + timedelta(days=plan.first),
                    needed_until=today + timedelta(days=plan.last),
                    tier=int(rng.choice([2, 2, 2, 3])),
                )
                Allocation.objects.bulk_create(
                    Allocation(pledge=pledges[piece.pledge], requirement=line, quantity=Decimal(piece.weight))
                    for piece in plan.contributions
                    if piece.weight
                )
    readiness.sweep()
    return operation


@contextmanager
def a_database(name: str = "bench_readiness"):
    bed.copy_template(name)
    bed.use(name)
    try:
        yield name
    finally:
        bed.use("postgres")
        bed.drop(name)


def _taken(work) -> tuple[float, float]:
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


def _told(name: str, taken: tuple[float, float], *, at_most: float | None = None, note: str = "") -> None:
    clock, processor = taken
    figure(name, clock, "s", at_most=at_most, note=f"{note}; of the processor {processor:.2f}".removeprefix("; "))


def fresh(work):
    """Do it with nothing remembered."""
    sure.MEMORY.forget()
    return work()


def parts(operation: Operation) -> None:
    """Print what a full recompute is made of, in one process."""
    ids = list(Capability.objects.order_by("pk").values_list("pk", flat=True))
    today = operation.today()
    with acting_as(SYSTEM):
        asked = chances.question(operation, ids, today=today)
        rows = planned(operation, ids, today=today)
        seen = [rows.counted(pk).seen_at(tier) for pk in ids for tier in (1, 2, 3)]
        groups = list(asked.groups.values())
        steps = {
            "load": lambda: planned(operation, ids, today=today),
            "count, three tiers": lambda: [counting.count(plan, today=today) for plan in seen],
            "put the question": lambda: chances.question(operation, ids, today=today, rows=rows),
            "chances": lambda: certainty.capabilities(groups, asked.chances),
            "chances with question and laying out": lambda: fresh(
                lambda: sure.answered(operation, ids, today=today, rows=rows)
            ),
        }
        for name, work in steps.items():
            _told(
                f"full recompute, of it: {name}",
                min(_taken(work) for _ in range(1 if SHORT else 2)),
                note="one process",
            )
        answers = storing._answers(operation, ids)
        took = _taken(lambda: storing._store(answers))
        _told("full recompute, of it: store", took, at_most=1, note=f"one process, {len(answers)} rows")


def full(operation: Operation, database: str) -> None:
    """Print a full recompute by marks, in one process and shared by two: nothing remembered, every row written."""

    def marked() -> None:
        sure.MEMORY.forget()
        with acting_as(SYSTEM):
            ReadinessLine.objects.update(digest="")
            readiness.mark_all(operation)

    marked()
    _told("full recompute", _taken(readiness.sweep), note="one process")
    marked()
    other = subprocess.Popen(
        [sys.executable, __file__, "--sweep"],
        env=os.environ | {"READINESS_BENCH_DATABASE": database, "PYTEST_XDIST_WORKER": "gw0"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    other.stdout.readline()  # it has imported and connected
    clock = time.perf_counter()
    other.stdin.write("\n")
    other.stdin.flush()
    mine = _taken(readiness.sweep)
    told = other.stdout.readline().split()
    other.wait()
    whole = time.perf_counter() - clock
    note = f"two processes, marks to stored rows; of the processor, the slower one {max(mine[1], float(told[1])):.2f}"
    figure("full recompute: loaded, computed, stored", whole, "s", at_most=2, note=note)


CHANGES = {
    "notice": lambda rng, pledge: {"notice_days": int(rng.integers(0, 90))},
    "quantity": lambda rng, pledge: {"quantity": int(rng.integers(1, 100)) * 50},
    "status": lambda rng, pledge: {"status": str(rng.choice([s for s in STATUSES if s != pledge["status"]]))},
    "window": lambda rng, pledge: {
        "available_from": pledge["available_from"] + timedelta(days=int(rng.integers(-30, 30)))
    },
}


def _any_quantity(rng, pledge) -> dict:
    """Return what takes the plan's common step of 50 away, so that sums are longer."""
    return {"quantity": int(rng.integers(1, 5000))}


def one_pledge(operation: Operation, count: int = 16 if SHORT else 200) -> None:
    """Print what it takes from one changed pledge to its stored answers, in a worker that has computed before or not."""
    rng = np.random.default_rng(5)
    with acting_as(SYSTEM):
        pledges = list(
            Pledge.objects.filter(operation=operation)
            .order_by("pk")
            .values("pk", "quantity", "status", "available_from")
        )
        readiness.mark_all(operation)
    readiness.sweep()
    gc.collect()
    gc.freeze()  # as a worker does once it has started: what the bench holds is no garbage to look through
    for state, warm, changes in (
        ("worker at work", True, CHANGES),
        ("worker just started", False, CHANGES),
        ("worker at work", True, {"quantity that is not round": _any_quantity}),
    ):
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in changes}
        for number, at in enumerate(rng.choice(len(pledges), count, replace=False)):
            name = list(changes)[number % len(changes)]
            with acting_as(SYSTEM):
                Pledge.objects.filter(pk=pledges[at]["pk"]).update(**changes[name](rng, pledges[at]))
            if not warm:
                sure.MEMORY.forget()
            found[name].append(_taken(readiness.sweep))
        if len(changes) > 1:
            found = {"any": [one for some in found.values() for one in some], **found}
        for name, taken in found.items():
            clock, processor = (np.quantile(times, (0.5, 0.95)) * 1000 for times in zip(*taken, strict=True))
            note = (
                f"p50 {clock[0]:.0f}; of the processor {processor[0]:.0f} and {processor[1]:.0f}; {len(taken)} changes"
            )
            is_the_figure = name == "any" and warm
            what = f"one pledge changed ({name}), {state}, p95"
            figure(what, clock[1], "ms", at_most=50 if is_the_figure else None, note=note)


def reads(operation: Operation) -> None:
    """Print what a planner's pages ask of the store."""
    with acting_as(SYSTEM):
        capability = Capability.objects.get(code="c0")
        today = operation.today()
        for name, work in {
            "matrix": lambda: readiness.matrix(operation, on=today, tier=3),
            "lines of a day": lambda: readiness.requirement_lines(operation, on=today, tier=3),
            "one capability over time": lambda: readiness.capability_detail(operation, capability, on=today, tier=3),
            "all lines over time": lambda: readiness.lines_over_time(operation, on=today, tier=3),
        }.items():
            clock, processor = min(_taken(work) for _ in range(5))
            figure(f"read {name}", clock * 1000, "ms", note=f"best of 5; of the processor {processor * 1000:.0f}")


def what_ifs(operation: Operation) -> None:
    """Print what a planner's scenario takes, N-1 over all nations and days, and the pages, on the whole plan."""
    with acting_as(SYSTEM):
        planner = a_member(Role.PLANNER)
        today = operation.today()
        ids = list(Capability.objects.order_by("pk").values_list("pk", flat=True))
        asked = chances.question(operation, ids, today=today)
        owners: dict[str, set[int]] = {}
        for pledge_id, nation in asked.nations.items():
            owners.setdefault(nation, set()).add(pledge_id)
        groups = list(asked.groups.values())
    browser = Client(SERVER_NAME="127.0.0.1")
    browser.force_login(planner, backend="coalition.accounts.EqualWork")
    condition = asked.condition_ids[0]
    day = today + timedelta(days=200)
    pages = {
        "page, one condition failed": f"/readiness/what-if/?on={day}&condition={condition}:failed",
        "page of effects (N-1 and tornado on the day)": f"/readiness/what-if/effects/?on={day}",
    }
    all_days = {
        f"N-1 over {len(owners)} nations, all days": lambda: certainty.losses(groups, asked.chances, owners),
        "tornado, all days": lambda: certainty.tornado(groups, asked.chances),
    }
    for name, work in all_days.items() if not SHORT else ():
        _told(f"what if, {name}", _taken(work), at_most=3 if name.startswith("N-1") else None, note="one process")
    for name, address in pages.items():
        found = []
        for _ in range(1 if SHORT else 5):
            found.append(_taken(lambda address=address: _answered(browser, address)))
        _told(f"what if, {name}", min(found), note=f"best of 5, slowest {max(found)[0]:.2f} s")


def _answered(browser: Client, address: str) -> None:
    answer = browser.get(address)
    assert answer.status_code == 200, answer.content


def main() -> None:
    """Print how long a full and a small recompute take, as the worker reaches them from and to the database."""
    with a_database() as database:
        operation = a_plan()
        with acting_as(SYSTEM):
            sizes = [(len(row.starts), len(row.sure_starts)) for row in ReadinessLine.objects.filter(tier=3)]
        print(f"\nreadiness, {CAPABILITIES} capabilities: {len(sizes)} answers for planners,", end=" ")
        print(f"{sum(a for a, _ in sizes)} stretches of counts, {sum(b for _, b in sizes)} of chances")
        parts(operation)
        full(operation, database)
        one_pledge(operation)
        reads(operation)
        what_ifs(operation)


def _sweep_when_told() -> None:
    with acting_as(SYSTEM):
        stale.waiting(readiness.KIND)
    print("ready", flush=True)
    sys.stdin.readline()
    taken = _taken(readiness.sweep)
    print(*taken, flush=True)


if __name__ == "__main__":
    _sweep_when_told() if "--sweep" in sys.argv else main()
