"""How long do suggestions, the queue and the desk's questions take with a million reports stored?

Run it from the repository (`make bench`): `python tests/bench/triage_bench.py [reports] [--explain]`. The reports are
those of ``made_up_reports``, whose worst day has ten times the mean. They lie in a database of its own and are asked for
as the app role, with row policies on. Nothing is asserted about seconds.
"""

import random
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests import bed  # before anything that imports models

# isort: split
import psycopg
from django.db import connection, connections
from django.db.models import Count

from coalition.access import Role, acting_as
from monitoring import duplicates, triage
from monitoring.incident_filters import QueueFilter
from monitoring.models import Report
from tests.bench import made_up_reports
from tests.bench.figures import SHORT, figure, size
from tests.factories import a_member


def timed(name: str, questions) -> None:
    """Ask each question and tell the median; the 95th percentile and the longest stand in the note."""
    taken = []
    for question in questions:
        start = time.perf_counter()
        question()
        taken.append((time.perf_counter() - start) * 1000)
    taken.sort()
    slow = f"p95 {taken[int(len(taken) * 0.95)]:.0f} ms, longest {taken[-1]:.0f} ms"
    figure(name, statistics.median(taken), "ms", note=f"median of {len(taken)}; {slow}")


def main(reports: int) -> None:
    bed.copy_template("triage_bench")
    bed.use("triage_bench")
    try:
        monitor = a_member(Role.MONITOR)
        start = time.perf_counter()
        with psycopg.connect(bed.url_of("triage_bench", owner=True), autocommit=True) as owner:
            # The vacuum of a superuser would keep the database from being dropped.
            owner.execute("ALTER TABLE monitoring_report SET (autovacuum_enabled = false)")
        made_up_reports.load(bed.url_of("triage_bench", owner=True), reports)
        with psycopg.connect(bed.url_of("triage_bench", owner=True), autocommit=True) as owner:
            owner.execute("ANALYZE monitoring_report")
        print(f"{reports:,} reports in {time.perf_counter() - start:.0f} s", flush=True)
        dice = random.Random(7)
        with acting_as(monitor):
            some = list(Report.objects.filter(pk__in=[dice.randint(1, reports) for _ in range(5 if SHORT else 60)]))
            days = Report.objects.values("occurred_on").annotate(count=Count("pk")).order_by("-count")
            worst = list(
                Report.objects.filter(occurred_on=days[0]["occurred_on"]).order_by("-id")[: 5 if SHORT else 20]
            )
            print(f"worst day: {days[0]['count']:,} reports", flush=True)
            timed("suggestions, any report", [lambda r=r: duplicates.candidates(r, by=monitor) for r in some])
            timed("suggestions, worst day", [lambda r=r: duplicates.candidates(r, by=monitor) for r in worst])
            timed("queue, first page", [lambda: list(triage.queue(monitor)[:25])] * 10)
            filters = ({"severity": "high"}, {"family": "fire", "status": "received"}, {"occurred_after": "2026-10-01"})
            for asked in filters:
                request = type("Request", (), {"user": monitor})()
                rows = QueueFilter(asked, queryset=triage.queue(monitor), request=request).qs
                timed(f"queue, {asked}", [lambda rows=rows: list(rows[:25])] * 3)
            if "--explain" in sys.argv:
                with connection.cursor() as cursor:
                    sql, params = triage.queue(monitor)[:25].query.sql_with_params()
                    cursor.execute(f"EXPLAIN ANALYZE {sql}", params)
                    print("\n".join(row[0] for row in cursor.fetchall()))
    finally:
        connections.close_all()
        bed.use("postgres")
        bed.drop("triage_bench")


if __name__ == "__main__":
    main(size(1_000_000, short=5_000))
