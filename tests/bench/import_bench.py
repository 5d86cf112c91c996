"""How long does a million reports take from a CSV, against a bare \\copy of the same rows when they are finished?

Run it from the repository (`make bench`): `python tests/bench/import_bench.py [rows]`. The file is made up from a seed. The
import is the whole of it, as the worker does it: read in the child, tried (understood, placed, compared with what is
stored), committed. The bare copy is psql's COPY of the finished rows into the same table, with the same indexes and
constraints, emptied before, its stale marks switched off. Both in one run, in engines that sync nothing to disk. Memory is
the peak of the worker and of its child, each for itself. Processor seconds (worker, child and their connection's process of
PostgreSQL) stand beside the clock's, because they do not depend on what else the machine does. Nothing is asserted.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests import bed  # before anything that imports models

if "IMPORT_BENCH_JOB" in os.environ:  # the worker, started below
    bed.use("import_bench")

import psycopg
from django.conf import settings
from django.core.files import File
from django.core.files.uploadedfile import UploadedFile
from django.db import connection

from coalition import broker, jobs
from coalition.access import SYSTEM, acting_as
from coalition.imports import staging
from coalition.models import ImportBatch, Operation, Sector
from tests.bench import made_up_reports
from tests.bench.figures import figure, size
from tests.factories import a_member, an_operation

DATABASE = "import_bench"
MB = 1024 * 1024


def main(rows: int) -> None:
    bed.copy_template(DATABASE)
    bed.use(DATABASE)
    with tempfile.TemporaryDirectory() as folder:
        settings.MEDIA_ROOT = os.environ["IMPORT_BENCH_MEDIA"] = folder
        path = Path(folder) / "reports.csv"
        made_up_reports.write_csv(path, rows)
        print(f"{rows:,} rows, {path.stat().st_size / MB:,.0f} MB of CSV")
        seconds, (spent, worker, child) = imported(path, rows)
        again, _ = imported(path, rows, again=True)
        bare, bare_spent = bare_copy(Path(folder) / "finished.csv", rows)
    whole = sum(seconds.values())
    steps = ", ".join(f"{name} {took:.1f} s" for name, took in seconds.items())
    figure(
        "import, share of the speed of a bare \\copy",
        bare / whole,
        at_least=0.4,
        note=f"{whole:.1f} s ({steps}; {rows / whole:,.0f} rows a second) against {bare:.1f} s; two processes against one",
    )
    figure(
        "import, the same in processor time",
        bare_spent / spent,
        note=f"{spent:.1f} s against {bare_spent:.1f} s, the database's included",
    )
    figure("import, memory of the worker", worker, "MB", at_most=400, note=f"peak; its child, apart, {child:.0f}")
    figure("the same file again", sum(again.values()), "s", note="until every row is told to be the same")


def imported(path: Path, rows: int, *, again: bool = False) -> tuple[dict[str, float], tuple[float, float, float]]:
    """Import the file by way of jobs, each done by a worker process; return seconds by step; processor seconds, peak MB."""
    with acting_as(SYSTEM):
        if not again:
            made_up_reports.ensure_names()
            an_operation()
            for number in range(6):  # six made-up sectors along the line
                west = 31 + 1.5 * number
                ring = [[west, 46], [west + 1.5, 46], [west + 1.5, 51], [west, 51], [west, 46]]
                polygon = {"type": "Polygon", "coordinates": [ring]}
                Sector.objects.create(code=f"s{number}", name=f"Sector {number}", polygon=polygon)
        user = a_member("monitor", username=f"bench-{again}")
    seconds, told = {}, []
    with mock.patch.object(broker, "send"), path.open("rb") as file:
        with acting_as(user):
            sent = UploadedFile(File(file), path.name, size=path.stat().st_size)
            operation = Operation.objects.get()
            batch = staging.upload(sent, profile="reports", operation=operation, dataset="made-up", by=user)
        for step in ("read", "try", "commit"):
            seconds[step], *rest = a_worker_does(str(batch.job_id))
            told.append(rest)
            with acting_as(user):
                batch = ImportBatch.objects.select_related("job").get(pk=batch.pk)
                if staging.trouble(batch):
                    raise SystemExit(f"{step}: {staging.trouble(batch)}")
                if step == "read":
                    chosen = staging.proposed(batch, by=user)
                    batch = staging.arrange(batch.pk, chosen, by=user, based_on=None)
                elif step == "try" and again:
                    break
                elif step == "try":
                    batch = staging.commit(batch.pk, by=user, based_on=None)
    expected = {"same": rows} if again else {"new": rows}
    found = {name: count for name, count in batch.counts.items() if name in ("new", "same", "changed", "rejected")}
    if found != expected:
        raise SystemExit(f"Not as expected: {batch.counts}")
    spent, workers, children = zip(*told, strict=True)
    return seconds, (sum(spent), max(workers), max(children))


def a_worker_does(job: str) -> tuple[float, ...]:
    """Have a process of its own do a job; return seconds once it has started, processor's, peak MB, its child's."""
    done = subprocess.run(
        [sys.executable, __file__], env=os.environ | {"IMPORT_BENCH_JOB": job, "PYTEST_XDIST_WORKER": "gw-1"},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return tuple(map(float, done.stdout.split()[-4:]))


def processor_s(pid: int) -> float:
    """Return the processor time of a process so far (Linux)."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def work() -> None:
    settings.MEDIA_ROOT = os.environ["IMPORT_BENCH_MEDIA"]
    connection.ensure_connection()
    backend = connection.connection.info.backend_pid
    started, before = time.perf_counter(), time.process_time() + processor_s(backend)
    with mock.patch.object(broker, "send"):
        jobs.work(os.environ["IMPORT_BENCH_JOB"])
    took, spent = time.perf_counter() - started, time.process_time() + processor_s(backend) - before
    childs = resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = Path("/proc/self/status").read_text().splitlines()  # getrusage would begin with what our own parent held
    mine = next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    print(took, spent + childs.ru_utime + childs.ru_stime, mine, childs.ru_maxrss / 1024)


def bare_copy(path: Path, rows: int) -> tuple[float, float]:
    """Write the finished rows to a file, empty the table, COPY them back as its owner; return seconds, and processor's."""
    with psycopg.connect(bed.url_of(DATABASE, owner=True), autocommit=True) as owner:
        with path.open("wb") as file, owner.cursor().copy("COPY monitoring_report TO STDOUT (FORMAT csv)") as pipe:
            for data in pipe:
                file.write(data)
        owner.execute("ALTER TABLE monitoring_report DISABLE TRIGGER USER")
        owner.execute("TRUNCATE monitoring_report CASCADE")
        before = processor_s(owner.info.backend_pid) + time.process_time()
        started = time.perf_counter()
        with path.open("rb") as file, owner.cursor().copy("COPY monitoring_report FROM STDIN (FORMAT csv)") as pipe:
            while data := file.read(MB):
                pipe.write(data)
        took = time.perf_counter() - started
        spent = processor_s(owner.info.backend_pid) + time.process_time() - before
        found = owner.execute("SELECT count(*) FROM monitoring_report").fetchone()
    if found != (rows,):
        raise SystemExit(f"{found} rows after the bare copy")
    return took, spent


if __name__ == "__main__":
    work() if "IMPORT_BENCH_JOB" in os.environ else main(size(1_000_000, short=3_000))
