"""What do the counts cost with a million reports: the first count, one report more, and what pages and API ask?

Run it from the repository (`make bench`): `python tests/bench/rollups_bench.py [REPORTS]`. The reports are made up, from a
fixed seed, and lie in a database of its own, in engines that sync nothing to disk, as for tests. Nothing is asserted
about seconds; seconds in brackets are this process's own, without the database's.
"""

import sys
import time
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from coalition.access import SYSTEM, acting_as
from coalition.models import Stale
from monitoring import rollups
from monitoring.models import DailyCount, HexCount, HexMonth, Incident, Report
from tests import bed  # before anything that imports models
from tests.bench import made_up_reports

REPORTS = 1_000_000
FIRST, LAST = date(2025, 11, 1), date(2026, 10, 31)


@contextmanager
def a_database(name: str = "bench_rollups"):
    bed.copy_template(name)
    bed.use(name)
    try:
        yield bed.url_of(name, owner=True)
    finally:
        bed.use("postgres")
        bed.drop(name)


def _taken(work) -> tuple[float, float]:
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


def _said(taken: tuple[float, float]) -> str:
    return f"{taken[0] * 1000:.0f} ms ({taken[1] * 1000:.0f})"


def _spread(name: str, found: list[tuple[float, float]]) -> None:
    median, slow = (np.quantile([taken[0] for taken in found], at) * 1000 for at in (0.5, 0.95))
    print(f"  {name}: median {median:.0f} ms, p95 {slow:.0f} ms")


def first_count() -> None:
    """Print the marks of the load, and how long all of it is counted."""
    with acting_as(SYSTEM):
        print(f"  marks left by the load: {Stale.objects.filter(kind=rollups.KIND).count()}")
    print(f"  counted first: {_said(_taken(rollups.sweep))}")
    with acting_as(SYSTEM):
        for model in (HexCount, HexMonth, DailyCount):
            print(f"    {model.__name__}: {model.objects.count()} rows")


def one_more(count: int = 40) -> None:
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
            report = Report.objects.get

            def again(pk=pk):
                with acting_as(SYSTEM):
                    report = Report.objects.get(pk=pk)
                    report.pk, report.external_id, report._state.adding = None, "", True
                    report.save()

            saved.append(_taken(again))
            counted.append(_taken(rollups.sweep))
        _spread(f"one report more, {name}: saved", saved)
        _spread(f"one report more, {name}: counted", counted)
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


def main() -> None:
    """Print all of it."""
    reports = int(sys.argv[1]) if len(sys.argv) > 1 else REPORTS
    with a_database() as owner_url:
        print(f"\ncounts of {reports} reports")
        print(f"  loaded, marks included: {_said(_taken(lambda: made_up_reports.load(owner_url, reports)))}")
        first_count()
        one_more()


if __name__ == "__main__":
    main()
