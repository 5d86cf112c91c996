"""How fast do a million reports go out, against what PostgreSQL itself can do?

Run it from the repository (`make bench`): `python tests/bench/export_bench.py [REPORTS]`. The reports are made up, in a
database of their own. The real web server answers an analyst by token; beside it, in the same run, the same columns of the
same rows, with formula-like text disarmed, go through a bare COPY into nothing, as `psql \\copy … to '/dev/null'` does.
Rounds alternate, and medians are compared. Nothing is asserted about seconds.
"""

import http.client
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests import bed  # before anything that imports models

if __name__ == "__main__":  # else the imports below would be sorted above the line that sets Django up
    DATABASE = f"export_bench_{os.getpid()}"

import psycopg
from django.db import connection

from coalition import embedded
from coalition.access import SYSTEM, acting_as, actor_of
from coalition.models import ApiToken
from coalition.rows import Stored, cell
from coalition.supervision import answers_within
from monitoring.api import REPORTS
from monitoring.models import Report
from tests.bench import made_up_reports
from tests.factories import a_member

ROUNDS = 3
PAGES = 40
COPY_INTO_NOTHING = """
import sys, psycopg
with psycopg.connect(sys.argv[1]) as connection, connection.cursor() as cursor:
    cursor.execute("SELECT set_config('app.tier', '2', true)")
    cursor.execute("SET LOCAL enable_sort = off")
    with cursor.copy(sys.stdin.read()) as lines, open("/dev/null", "wb") as nothing:
        for line in lines:
            nothing.write(line)
"""


def bare_copy(analyst) -> str:
    """Return the COPY that the server makes of all reports, as text."""
    actor = actor_of(analyst)
    with acting_as(actor):
        seen = Report.objects.visible_to(actor).with_incident_for(actor).order_by("pk")
        rows = Stored.of(seen, REPORTS, actor)
        sql, params = rows._query()
        cells = ", ".join(cell(column, for_people=True) for column in rows.columns)
        with connection.cursor() as cursor:
            return cursor.mogrify(f"COPY (SELECT {cells} FROM ({sql}) AS r) TO STDOUT (FORMAT csv)", params)


def fetched(port: int, token: str, address: str) -> tuple[float, float, int]:
    """Return the seconds to the first byte and to the last, and how many bytes there were."""
    web = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    began = time.perf_counter()
    web.request("GET", address, headers={"Authorization": f"Token {token}"})
    answer = web.getresponse()
    assert answer.status == 200, answer.read()[:500]
    size, first = len(answer.read(1)), time.perf_counter() - began
    while piece := answer.read(1 << 20):
        size += len(piece)
    return first, time.perf_counter() - began, size


def page_times(port: int, token: str, depth: int) -> list[float]:
    """Return the seconds of pages of 100, each the next of the last, from about a depth on."""
    web = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    address, times = "/api/v1/reports/?limit=1000", []
    for number in range(depth // 1000 + PAGES):
        if number == depth // 1000:
            address = address.replace("limit=1000", "limit=100")
        began = time.perf_counter()
        web.request("GET", address, headers={"Authorization": f"Token {token}"})
        body = web.getresponse().read()
        if number >= depth // 1000:
            times.append(time.perf_counter() - began)
        onwards = json.loads(body)["next"]
        if onwards is None:
            break
        address = onwards.partition(f":{port}")[2]
    return times


def memory_mb(process: int) -> dict[int, int]:
    """Return the most that each worker of the server ever held, in MB, by process."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return {
        int(child): int(line.split()[1]) // 1024
        for child in children
        for line in Path(f"/proc/{child}/status").read_text().splitlines()
        if line.startswith("VmHWM")
    }


def main() -> None:
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    name = DATABASE
    bed.copy_template(name)
    bed.use(name)
    with acting_as(SYSTEM):
        analyst = a_member("analyst")
        token = ApiToken.objects.create(analyst, scope="read")[1]
    print(f"{made_up_reports.load(bed.url_of(name, owner=True), wanted):,} reports")
    with psycopg.connect(bed.url_of(name, owner=True), autocommit=True) as owner:
        owner.execute("VACUUM ANALYZE monitoring_report")
    statement = bare_copy(analyst)
    port = embedded.free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "coalition.wsgi", "--config=python:coalition.serving",
         "--workers=1", f"--bind=127.0.0.1:{port}"],
        cwd=bed.ROOT, env=os.environ | {"DATABASE_URL": bed.url_of(name), "SECRET_KEY": "bench"},
    )  # fmt: skip
    try:
        assert answers_within(port, 60)
        fetched(port, token, "/api/v1/reports/?limit=1")
        idle = max(memory_mb(server.pid).values())
        bare, csv_times, firsts = [], [], []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            words = [sys.executable, "-c", COPY_INTO_NOTHING, bed.url_of(name)]
            subprocess.run(words, input=statement, text=True, check=True)
            bare.append(time.perf_counter() - began)
            first, whole, size = fetched(port, token, "/api/v1/reports/?format=csv")
            csv_times.append(whole)
            firsts.append(first)
        print(f"csv: {size:,} bytes in {median(csv_times):.1f} s, first byte after {median(firsts) * 1000:.0f} ms")
        print(f"     {median(bare) / median(csv_times):.2f} of a bare COPY ({median(bare):.1f} s)")
        print(f"     the server held {max(memory_mb(server.pid).values())} MB at most, {idle} MB before")
        for ending in ("ndjson", "geojson", "parquet"):
            first, whole, size = fetched(port, token, f"/api/v1/reports/?format={ending}")
            held = max(memory_mb(server.pid).values())
            share = f"{whole / median(csv_times):.2f} of csv's time, first byte after {first * 1000:.0f} ms"
            print(f"{ending}: {size:,} bytes in {whole:.1f} s, {share}; {held} MB held at most")
        for depth in (0, wanted // 10):
            times = page_times(port, token, depth)
            print(
                f"page of 100 after {depth:,} rows: median {median(times) * 1000:.1f} ms, best {min(times) * 1000:.1f} ms"
            )
    finally:
        server.terminate()
        server.wait()
        bed.use("postgres")


if __name__ == "__main__":
    main()
