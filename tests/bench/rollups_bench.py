"""What do the counts cost with a million reports: the first count, one report more, and what pages and API ask?

Run it from the repository (`make bench`): `python tests/bench/rollups_bench.py [REPORTS]`. The reports are made up, from a
fixed seed, and lie in a database of its own, in engines that sync nothing to disk, as for tests. Nothing is asserted
about seconds. In brackets, and as "work": seconds of processor, of this process and of the database for it, as the mean.
"""

import os
import sys
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import psycopg

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests import bed  # before anything that imports models

# isort: split
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from coalition.access import SYSTEM, Role, acting_as
from coalition.models import Stale
from monitoring import rollups
from monitoring.models import DailyCount, HexCount, HexMonth, HexMonthSlice, Incident, Report
from tests.bench import made_up_reports
from tests.bench.figures import SHORT, figure, size
from tests.factories import a_member, an_operation

REPORTS = 1_000_000
FIRST, LAST = date(2025, 11, 1), date(2026, 10, 31)
TODAY = datetime(2026, 11, 1, 10, tzinfo=UTC)  # the day after the last that has reports


@contextmanager
def a_database(name: str = "bench_rollups"):
    bed.copy_template(name)
    bed.use(name)
    try:
        yield bed.url_of(name, owner=True)
    finally:
        bed.use("postgres")
        bed.drop(name)


@dataclass(frozen=True)
class Taken:
    """Seconds by the clock, and seconds of processor: this process and the database's for it."""

    clock: float
    work: float


def _processor() -> float:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend = cursor.fetchone()[0]
    ticks = Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()[11:13]
    return time.process_time() + sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def _taken(work) -> Taken:
    before, clock = _processor(), time.perf_counter()
    work()
    return Taken(time.perf_counter() - clock, _processor() - before)


def _told(name: str, taken: Taken) -> None:
    figure(name, taken.clock, "s", note=f"work {taken.work:.1f} s")


def _spread(name: str, found: list[Taken], *, work_at_most: float | None = None, at_most: float | None = None) -> None:
    """Tell the median by the clock or, where that is the figure, the mean work, in ms."""
    median, slow = (np.quantile([taken.clock for taken in found], at) * 1000 for at in (0.5, 0.95))
    work = sum(taken.work for taken in found) / len(found) * 1000
    if work_at_most:
        note = f"mean of {len(found)}; by the clock median {median:.0f}, p95 {slow:.0f}"
        figure(f"{name}, work", work, "ms", at_most=work_at_most, note=note)
    else:
        figure(name, median, "ms", at_most=at_most, note=f"median of {len(found)}, p95 {slow:.0f}; work {work:.0f} ms")


def first_count() -> None:
    """Print the marks of the load, and how long all of it is counted."""
    with acting_as(SYSTEM):
        print(f"  marks left by the load: {Stale.objects.filter(kind=rollups.KIND).count()}")
    _told("all counted for the first time", _taken(rollups.sweep))
    with acting_as(SYSTEM):
        for model in (HexCount, HexMonth, HexMonthSlice, DailyCount):
            print(f"    {model.__name__}: {model.objects.count()} rows")


def one_more(count: int = 3 if SHORT else 20) -> None:
    """Print what one change costs until the counts are true again: on any day, on the worst day, and for a merger."""
    rng = np.random.default_rng(5)
    with acting_as(SYSTEM):
        ids = list(Report.objects.order_by("pk").values_list("pk", flat=True)[:200_000])
        worst = max(
            (FIRST + timedelta(days=n) for n in range((LAST - FIRST).days)),
            key=lambda day: Report.objects.filter(occurred_on=day).count(),
        )
        of_worst = list(Report.objects.filter(occurred_on=worst).values_list("pk", flat=True))
        print(f"  the worst day has {len(of_worst)} reports")
    for name, among in (("any day", ids), ("the worst day", of_worst)):
        saved, counted = [], []
        for pk in rng.choice(among, count):

            def again(pk=pk):
                with acting_as(SYSTEM):
                    report = Report.objects.get(pk=pk)
                    report.pk, report.external_id, report._state.adding = None, "", True
                    report.save()

            saved.append(_taken(again))
            counted.append(_taken(rollups.sweep))
        _spread(f"one report more, {name}: saved", saved)
        _spread(f"one report more, {name}: counted", counted, work_at_most=100)
    merged = []
    for at in rng.integers(0, len(of_worst) - 1, 10):
        with acting_as(SYSTEM):
            first = Report.objects.get(pk=of_worst[at])
            incident = Incident.objects.create(
                title="One event",
                kind=first.kind,
                **{name: getattr(first, name) for name in ("occurred_from", "occurred_until", "occurred_on")},
            )
            Report.objects.filter(pk__in=of_worst[at : at + 2], status="received").update(incident=incident)
        merged.append(_taken(rollups.sweep))
    _spread("two reports merged, the worst day: counted", merged)


def asked(count: int = 4 if SHORT else 15) -> None:
    """Tell what the API and trends take to answer, over HTTP as far as Django has it: no network, no web server."""
    with acting_as(SYSTEM):
        an_operation(code="bench", starts_on=LAST)
        planner = a_member(Role.PLANNER)
    client = Client(headers={"host": "localhost"})
    client.force_login(planner)
    days = f"occurred_after={FIRST}&occurred_before={LAST}"
    uneven = f"occurred_after={FIRST + timedelta(days=13)}&occurred_before={LAST - timedelta(days=13)}"
    for name, address in {
        "hexes, all days": f"/api/v1/reports/hexes/?{days}",
        "hexes, days that begin and end within months": f"/api/v1/reports/hexes/?{uneven}",
        "hexes, the same, of one kind": f"/api/v1/reports/hexes/?{uneven}&kind=explosion",
        "hexes, the same, in a box": f"/api/v1/reports/hexes/?{uneven}&bbox=37,47,39,49",
        "hexes, last week": f"/api/v1/reports/hexes/?occurred_after={LAST - timedelta(days=6)}&occurred_before={LAST}",
        "days, all": f"/api/v1/reports/daily/?{days}",
        "days of four weeks, by kind": "/api/v1/reports/daily/?by=kind",
        "trends, four weeks": f"/monitoring/trends/?occurred_after={LAST - timedelta(days=27)}&occurred_before={LAST}",
    }.items():
        found = []
        for _ in range(count):
            with CaptureQueriesContext(connection) if not found else nullcontext() as queries:
                found.append(_taken(lambda address=address: client.get(address)))
            if len(found) == 1:
                many = len(queries)
        _spread(f"{name} ({many} queries)", found[1:], at_most=50 if name.startswith("hexes") else None)


def main() -> None:
    """Print all of it."""
    reports = size(REPORTS, short=5_000)
    with a_database() as owner_url:
        print(f"\ncounts of {reports} reports")
        _told(f"{reports:,} reports loaded, marks included", _taken(lambda: made_up_reports.load(owner_url, reports)))
        first_count()
        with psycopg.connect(owner_url, autocommit=True) as owner:
            owner.execute("VACUUM (ANALYZE)")  # as autovacuum would have by then: without statistics plans are guesses
        one_more()
        with time_machine.travel(TODAY):
            asked()


if __name__ == "__main__":
    main()
