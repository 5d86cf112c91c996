"""What does sealed history cost who writes, and how long do sealing and verifying take with a million rows of it?

Run it from the repository: `python tests/bench/history_bench.py [rows]`. The rows are events of made-up reports, put in
past the triggers. Nothing is asserted about seconds.
"""

import resource
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests import bed  # before anything that imports models

# isort: split
import psycopg
from django.db import connections

from coalition import sealing
from coalition.access import SYSTEM, acting_as
from coalition.models import Condition
from tests.bench import made_up_reports
from tests.factories import a_condition

NAME = "history_bench"
WRITES, ROUNDS = 300, 7
OF_EVENT = ("pgh_id", "pgh_created_at", "pgh_label", "pgh_context", "pgh_context_id", "pgh_obj_id")


def superuser(database: str) -> psycopg.Connection:
    return psycopg.connect(bed.ENGINES.superuser_database.rpartition("/")[0] + f"/{database}", autocommit=True)


def fill(rows: int) -> None:
    """Put in an event for each of ``rows`` made-up reports."""
    with superuser(NAME) as connected:
        connected.execute("ALTER TABLE monitoring_report SET (autovacuum_enabled = false)")
        connected.execute("ALTER TABLE monitoring_reportevent SET (autovacuum_enabled = false)")
        made_up_reports.load(bed.url_of(NAME, owner=True), rows)
        connected.execute("SET session_replication_role = replica")
        columns = connected.execute("SELECT * FROM monitoring_reportevent LIMIT 0").description
        shared = ", ".join(f'"{column.name}"' for column in columns if column.name not in OF_EVENT)
        connected.execute(
            f"INSERT INTO monitoring_reportevent (pgh_created_at, pgh_label, pgh_context, pgh_obj_id, {shared})"
            f""" SELECT now(), 'update_update', '{{"name": "bench", "role": "monitor"}}', id, {shared}"""
            " FROM monitoring_report ORDER BY id"
        )


def timed(name: str, work, rows: int):
    started, cpu = time.perf_counter(), time.process_time()
    result = work()
    took = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(
        f"{name}: {rows / took:,.0f} rows/s ({took:.1f} s; {time.process_time() - cpu:.1f} s here, peak {peak} MB)",
        flush=True,
    )
    return result


def a_write() -> float:
    """Return the milliseconds of one change of a row with a history."""
    started = time.perf_counter()
    for number in range(WRITES):
        Condition.objects.update(note=str(number))
    return (time.perf_counter() - started) * 1000 / WRITES


def cost_of_guards() -> None:
    """Change a row with the guards of history on and off, in turns, inside one run."""
    table = "coalition_conditionevent"
    taken: dict[str, list[float]] = {"ENABLE": [], "DISABLE": []}
    with acting_as(SYSTEM):
        a_condition()
    with superuser(NAME) as connected:
        for _ in range(ROUNDS):
            for how, times in taken.items():
                for guard in ("by_hand", "kept", "kept_whole"):
                    connected.execute(f"ALTER TABLE {table} {how} TRIGGER {guard}")
                with acting_as(SYSTEM):
                    times.append(a_write())
    on, off = (statistics.median(times) for times in taken.values())
    print(f"one change: {on:.3f} ms with the guards of history, {off:.3f} ms without, ratio {on / off:.3f}", flush=True)


def main(rows: int) -> None:
    bed.copy_template(NAME)
    bed.use(NAME)
    try:
        fill(rows)
        cost_of_guards()
        sealed = timed("sealing", sealing.seal, rows)
        verdict = timed("verifying", sealing.verify, sealed)
        print(verdict.sentence)
    finally:
        connections.close_all()
        bed.use("postgres")
        with superuser("postgres") as connected:  # a vacuum of a superuser's may be under way there
            connected.execute(f"DROP DATABASE {NAME} WITH (FORCE)")


if __name__ == "__main__":
    main(int(next((word for word in sys.argv[1:] if word.isdigit()), 1_000_000)))
