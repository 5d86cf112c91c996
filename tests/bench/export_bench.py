"""How fast do a million reports go out, in pages and in files, against PostgreSQL itself and a plain DRF viewset?

Run it from the repository (`make bench`): `python tests/bench/export_bench.py [REPORTS]`. The reports are made up, in a
database of their own. The real web server answers by token, one worker. Beside it, in the same run: psql's \\copy of the
same SELECT, formula-like text disarmed, into nothing; and a plain DRF viewset (``plain_drf``) behind the same middleware, in
a server of its own. Rounds alternate and medians are compared. Nothing is asserted about seconds.

Memory is that of the worker that streams, looked at some times a second: its proportional share (PSS: what it shares with
its parent is divided between them), beside what "resident" counts, shared pages in full.
"""

import base64
import hashlib
import http.client
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests import bed  # before anything that imports models

if "EXPORT_BENCH_JOB" in os.environ:  # the worker, started below
    bed.use(os.environ["EXPORT_BENCH_DATABASE"])

import psycopg
from django.conf import settings
from django.core import signing
from django.db import connection

from coalition import embedded, exports, jobs
from coalition.access import SYSTEM, Role, acting_as, actor_of
from coalition.models import ApiToken
from coalition.paging import SALT
from coalition.rows import Stored, cell
from coalition.supervision import answers_within
from monitoring.api import REPORTS
from monitoring.models import Report
from tests.bench import made_up_reports
from tests.bench.figures import SHORT, figure, size
from tests.factories import a_member

ROUNDS = 1 if SHORT else 3
PAGES = 5 if SHORT else 60  # of each role at each depth
PLAIN_CSV = 1_000 if SHORT else 20_000  # rows of the sample
ROLES = (Role.ANALYST,) if SHORT else (Role.ANALYST, Role.PLANNER, Role.OFFICER)
OURS, PLAIN = "/api/v1/reports/", "/api/v1/plain/"


# --- Servers and what is asked of them --------------------------------------------------------------


class Server(NamedTuple):
    """A web server with one worker: its port, its process and its worker's."""

    port: int
    process: subprocess.Popen
    name: str

    @property
    def worker(self) -> int:
        return children_of(self.process.pid)[-1]


def processor_s(server: Server) -> float:
    """Return the seconds of processor so far: the worker's, and its database connections'."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_stat_activity WHERE application_name = %s", [server.name])
        processes = [server.worker, *(pid for (pid,) in cursor.fetchall())]
    stats = [Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split() for process in processes]
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")


def children_of(process: int) -> list[int]:
    """Return the children of all threads of a process, the youngest last."""
    found = [each.read_text().split() for each in Path(f"/proc/{process}/task").glob("*/children")]
    return sorted(int(child) for some in found for child in some)


@contextmanager
def serving(application: str, database: str):
    """Serve as the product does, on a port of its own."""
    port = embedded.free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", application, "--config=python:coalition.serving",
         "--workers=1", "--log-level=warning", f"--bind=127.0.0.1:{port}"],
        cwd=bed.ROOT, env=os.environ | {"DATABASE_URL": bed.url_of(database), "SECRET_KEY": settings.SECRET_KEY,
                                        "PGAPPNAME": application},
    )  # fmt: skip
    try:
        assert answers_within(port, 90)
        yield Server(port, process, application)
    finally:
        process.terminate()
        process.wait()


class Fetched(NamedTuple):
    """Seconds to the first byte and to the last, how many bytes there were, and their hash where it was asked for."""

    first: float
    whole: float
    size: int
    digest: str


def fetched(server: Server, token: str, address: str, *, digest: bool = False, **headers: str) -> Fetched:
    web = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    content = hashlib.sha256()
    began = time.perf_counter()
    web.request("GET", address, headers={"Authorization": f"Token {token}", **headers})
    answer = web.getresponse()
    assert answer.status in (200, 206), answer.read()[:500]
    piece = answer.read(1)
    count, first = 0, time.perf_counter() - began
    while piece:
        count += len(piece)
        if digest:
            content.update(piece)
        piece = answer.read(1 << 18)
    web.close()
    return Fetched(first, time.perf_counter() - began, count, content.hexdigest())


class Memory:
    """The most that a process held while this was open, in MB: its share (PSS), what it alone has, and what is resident."""

    def __init__(self, process: int, *, of_child: bool = False):
        self.process, self.of_child = process, of_child
        self.share = self.own = self.resident = 0.0

    def __enter__(self) -> "Memory":
        self._over = threading.Event()
        self._look()
        self._looking = threading.Thread(target=self._until_over)
        self._looking.start()
        return self

    def __exit__(self, *exception) -> None:
        self._over.set()
        self._looking.join()
        self._look()

    def _until_over(self) -> None:
        while not self._over.wait(0.2):
            self._look()

    def _look(self) -> None:
        for process in children_of(self.process) if self.of_child else [self.process]:
            try:
                lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            except OSError:  # it has just ended
                continue
            held = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines[1:]}
            self.share = max(self.share, held["Pss"])
            self.own = max(self.own, held["Private_Clean"] + held["Private_Dirty"])
            self.resident = max(self.resident, held["Rss"])


# --- Pages ------------------------------------------------------------------------------------------


def pages(ours: Server, plain: Server, tokens: dict[str, str], reports: int) -> None:
    """Tell what a page of 100 takes at the beginning, in the middle and at the end, for each role, and plain DRF beside."""
    every = []
    for place, depth in (("first", 0), ("middle", reports // 2), ("last", reports - 100 * (PAGES + 10))):
        for role, token in tokens.items():
            before = processor_s(ours), processor_s(plain)
            times, beside = page_times(ours, plain, token, depth)
            works = [
                (processor_s(each) - was) / (PAGES + 3) * 1000 for each, was in zip((ours, plain), before, strict=True)
            ]
            every += times
            figure(
                f"a page of 100, {place} pages, {role}",
                median(times) * 1000,
                "ms",
                at_most=12,
                beside=("plain DRF", median(beside) * 1000),
                note=f"median of {len(times)}, best {min(times) * 1000:.1f}; of the processor, with the database's,"
                f" {works[0]:.0f} against {works[1]:.0f}; after {max(depth, 0):,} rows, by cursor",
            )
    figure("a page of 100, all of these", median(every) * 1000, "ms", at_most=12, note=f"median of {len(every)}")


def page_times(ours: Server, plain: Server, token: str, depth: int) -> tuple[list[float], list[float]]:
    """Return the seconds of pages of 100 from so many rows on, each the next of the last: ours and the plain ones."""
    at = ours_at = f"{OURS}?limit=100"
    plain_at = f"{PLAIN}?limit=100"
    if depth > 0:
        occurred, pk = row_at(depth)
        ours_at, plain_at = our_cursor(ours, token, at, occurred, pk), plain_cursor(plain_at, occurred)
    found: tuple[list[float], list[float]] = ([], [])
    webs = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=60) for server in (ours, plain)]
    addresses = [ours_at, plain_at]
    for number in range(PAGES + 3):
        for side, server in enumerate((ours, plain)):
            began = time.perf_counter()
            webs[side].request("GET", addresses[side], headers={"Authorization": f"Token {token}"})
            answer = webs[side].getresponse()
            body = answer.read()
            took = time.perf_counter() - began
            assert answer.status == 200, body[:500]
            if number >= 3:  # the first ones warm up
                found[side].append(took)
            page = json.loads(body)
            assert len(page["results"]) == 100
            addresses[side] = page["next"].partition(f":{server.port}")[2]
    return found


def row_at(depth: int):
    """Return when the report happened, and the key of the one, after which so many rows lie behind."""
    with acting_as(SYSTEM):
        rows = Report.objects.order_by("-occurred_from", "-pk").values_list("occurred_from", "pk")
        return rows[depth]


def our_cursor(server: Server, token: str, address: str, occurred, pk: int) -> str:
    """Return the address of the page after a row: the second page's, with another place in it, signed anew."""
    web = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    web.request("GET", address, headers={"Authorization": f"Token {token}"})
    onwards = json.loads(web.getresponse().read())["next"]
    [cursor] = parse_qs(urlsplit(onwards).query)["cursor"]
    place = signing.loads(cursor, salt=SALT) | {"value": occurred.isoformat(), "pk": str(pk)}
    return f"{address}&{urlencode({'cursor': signing.dumps(place, salt=SALT)})}"


def plain_cursor(address: str, occurred) -> str:
    cursor = base64.b64encode(urlencode({"p": str(occurred)}).encode()).decode()
    return f"{address}&{urlencode({'cursor': cursor})}"


# --- Files ------------------------------------------------------------------------------------------


def bare_copy(analyst) -> str:
    """Return the SELECT that the server makes of all reports, as text."""
    actor = actor_of(analyst)
    with acting_as(actor):
        seen = Report.objects.visible_to(actor).with_incident_for(actor).order_by("pk")
        rows = Stored.of(seen, REPORTS, actor)
        sql, params = rows._query()
        cells = ", ".join(cell(column, for_people=True) for column in rows.columns)
        with connection.cursor() as cursor:
            return cursor.mogrify(f"SELECT {cells} FROM ({sql}) AS r", params)


def by_psql(statement: str, database: str) -> float:
    """Return the seconds that psql's \\copy takes into nothing; row policies hold, and rows are read as they lie."""
    words = [str(embedded._postgres_bin() / "psql"), bed.url_of(database), "-qXAt", "-v", "ON_ERROR_STOP=1"]
    for each in (
        "SELECT set_config('app.tier', '2', false)",
        "SET enable_sort = off",
        f"\\copy ({statement}) to '/dev/null' with (format csv)",
    ):
        words += ["-c", each]
    began = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def files(ours: Server, plain: Server, token: str, statement: str, database: str, reports: int) -> None:
    """Tell what files take: CSV against psql and plain DRF, the other formats, memory, and gzip."""
    bare, streams = [], []
    with Memory(ours.worker) as idle:
        fetched(ours, token, f"{OURS}?limit=1")
    with Memory(ours.worker) as held:
        for _ in range(ROUNDS):
            bare.append(by_psql(statement, database))
            streams.append(fetched(ours, token, f"{OURS}?format=csv"))
        firsts = [abandoned(ours, token, f"{OURS}?format=csv") for _ in range(10)]
    whole = median(each.whole for each in streams)
    rows_s = reports / whole
    figure(
        "CSV, share of the speed of psql's \\copy",
        median(bare) / whole,
        at_least=0.7,
        note=f"{whole:.1f} s against {median(bare):.1f} s, {streams[0].size:,} bytes over HTTP, uncompressed",
    )
    figure("CSV, first byte", median([*firsts, *(each.first for each in streams)]) * 1000, "ms", at_most=100)
    figure(
        "CSV, memory of the web worker (share)",
        held.share,
        "MB",
        at_most=100,
        note=f"of these its own {held.own:.0f}; resident, shared pages in full, {held.resident:.0f}; the most seen",
    )
    figure("CSV, what the export added to it", held.own - idle.own, "MB", note="the most it alone held, against idle")
    sample = fetched(plain, token, f"{PLAIN}?format=csv&limit={PLAIN_CSV}").whole
    figure(
        "CSV, rows a second",
        rows_s,
        "rows/s",
        beside=("plain DRF", PLAIN_CSV / sample),
        note=f"plain DRF over a sample of {PLAIN_CSV:,} rows, all in memory",
    )
    with Memory(ours.worker) as held, Memory(ours.worker, of_child=True) as child:
        took = fetched(ours, token, f"{OURS}?format=parquet")
    figure("Parquet", took.whole, "s", at_most=10, note=f"{took.size:,} bytes, zstd; first byte {took.first:.1f} s")
    figure(
        "Parquet, memory of the web worker (share)",
        held.share,
        "MB",
        at_most=100,
        note=f"the child that writes it {child.share:.0f}",
    )
    for ending in ("ndjson", "geojson"):
        with Memory(ours.worker) as held:
            took = fetched(ours, token, f"{OURS}?format={ending}")
        figure(
            ending,
            took.whole,
            "s",
            note=f"{took.size:,} bytes; first byte {took.first * 1000:.0f} ms; {held.share:.0f} MB",
        )
    with Memory(ours.worker) as held:
        took = fetched(ours, token, f"{OURS}?format=csv", **{"Accept-Encoding": "gzip"})
    figure(
        "CSV, compressed",
        took.whole,
        "s",
        beside=("uncompressed", whole),
        note=f"{took.size:,} bytes; first byte {took.first * 1000:.0f} ms; {held.share:.0f} MB",
    )


def abandoned(server: Server, token: str, address: str) -> float:
    """Return the seconds to the first byte, and leave."""
    web = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    began = time.perf_counter()
    web.request("GET", address, headers={"Authorization": f"Token {token}"})
    web.getresponse().read(1)
    took = time.perf_counter() - began
    web.close()
    return took


# --- Files that a worker makes ----------------------------------------------------------------------


def later(ours: Server, token: str, database: str, ending: str) -> None:
    """Tell what a file takes that was put off, and what fetching it takes when the line breaks half-way."""
    web = http.client.HTTPConnection("127.0.0.1", ours.port, timeout=60)
    asked = {"Authorization": f"Token {token}", "Prefer": "respond-async"}
    web.request("GET", f"{OURS}?format={ending}", headers=asked)
    answer = web.getresponse()
    job = json.loads(answer.read())["id"]
    assert answer.status == 202
    environment = {"EXPORT_BENCH_JOB": job, "EXPORT_BENCH_DATABASE": database, "PYTEST_XDIST_WORKER": "gw0"}
    done = subprocess.run(
        [sys.executable, __file__], env=os.environ | environment, check=True, stdout=subprocess.PIPE, text=True
    )
    seconds, before, after = map(float, done.stdout.split()[-3:])
    figure(f"{ending} by a worker", seconds, "s", note=f"the worker held {after:.0f} MB at most, {before:.0f} before")
    address = f"/api/v1/exports/{job}/file/"
    with Memory(ours.worker) as held:
        whole = fetched(ours, token, address, digest=True)
    half = whole.size // 2
    rest = fetched(ours, token, address, digest=True, Range=f"bytes={half}-", **{"If-Range": f'"{job}"'})
    kept = exports.folder() / f"{job}.file"
    with kept.open("rb") as file:
        file.seek(half)
        same = hashlib.file_digest(file, "sha256").hexdigest() == rest.digest and rest.size == whole.size - half
    assert same, "the rest is another one"
    kept.unlink()
    figure(
        f"{ending} by a worker, fetched",
        whole.whole,
        "s",
        note=f"{whole.size:,} bytes, {held.share:.0f} MB; from the half on by Range {rest.whole:.1f} s, the same bytes",
    )


def work() -> None:
    """Do the job and say its seconds and the worker's memory: before it, and at most."""
    before = most_held_mb()
    began = time.perf_counter()
    jobs.work(os.environ["EXPORT_BENCH_JOB"])
    took = time.perf_counter() - began
    print(took, before, most_held_mb())


def most_held_mb() -> float:
    """Return the most this process ever held resident, shared pages in full (``ru_maxrss`` begins with the parent's)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def main(reports: int) -> None:
    database = f"export_bench_{os.getpid()}"
    bed.copy_template(database)
    bed.use(database)
    try:
        with acting_as(SYSTEM):
            people = {role: a_member(role) for role in ROLES}
            tokens = {role: ApiToken.objects.create(user, scope="read")[1] for role, user in people.items()}
        owner_url = bed.url_of(database, owner=True)
        print(f"{made_up_reports.load(owner_url, reports):,} reports", flush=True)
        with psycopg.connect(owner_url, autocommit=True) as owner:
            owner.execute("VACUUM ANALYZE monitoring_report")
        statement, token = bare_copy(people[Role.ANALYST]), tokens[Role.ANALYST]
        with serving("coalition.wsgi", database) as ours:
            with serving("tests.bench.plain_drf", database) as plain:
                pages(ours, plain, tokens, reports)
                files(ours, plain, token, statement, database, reports)
            for ending in ("csv", "parquet"):
                later(ours, token, database, ending)
    finally:
        bed.use("postgres")
        bed.drop(database)


if __name__ == "__main__":
    work() if "EXPORT_BENCH_JOB" in os.environ else main(size(1_000_000, short=5_000))
