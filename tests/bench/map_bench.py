"""What do the map, its hexes, the overview and the readiness page cost with a million reports stored?

Run it from the repository (`make bench`): `python tests/bench/map_bench.py [REPORTS]`; `SHORT=1` takes few reports and few
requests, `KEEP=1` leaves the databases for the next run. The reports are made up and lie in the 22 months before today. The
real web server answers, one worker, over one connection, with the whole plan of ``readiness_bench`` beside them. Beside the
clock stands the work, in seconds of processor: of the web server, and of PostgreSQL for it. The overview and the readiness
page are asked in turns of a second server whose database has 10,000 reports. Nothing is asserted about seconds.
"""

import http.client
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests import bed  # before anything that imports models

# isort: split
import psycopg
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from psycopg import sql

from coalition import embedded
from coalition.access import SYSTEM, Role, acting_as
from coalition.models import ApiToken, User
from coalition.supervision import answers_within
from monitoring import rollups
from tests.bench import made_up_reports
from tests.bench.figures import SHORT, figure, size
from tests.bench.readiness_bench import a_plan
from tests.factories import a_member, an_operation

FEW = 1_000 if SHORT else 10_000
ASKED = 2 if SHORT else 20  # times each
MONTHS_22 = 669  # days
COUNTED = (
    "monitoring_report",
    "monitoring_hexcount",
    "monitoring_hexmonth",
    "monitoring_hexmonthslice",
    "monitoring_dailycount",
)

TODAY = datetime.now(UTC).date()
YESTERDAY = TODAY - timedelta(days=1)
ODD = YESTERDAY - timedelta(days=11)  # periods that end within a month are dearer
PERIODS = {
    "a week": (YESTERDAY - timedelta(days=6), YESTERDAY),
    "90 days": (ODD - timedelta(days=89), ODD),
    "22 months": (ODD - timedelta(days=650), ODD),
}
PLACES = {
    "whole theatre": "zoom=6",
    "an oblast": "zoom=7&bbox=36.5,47.2,39,49.2",
    "near": "zoom=11&bbox=37.5,47.8,37.9,48.1",
}
FILTERS = {
    "all": "",
    "one kind": "kind=explosion",
    "one family": "family=fire",
    "accused": "accused=made-up-a",
    "family and accused": "family=fire&accused=made-up-a",
}
if SHORT:
    FILTERS = {name: FILTERS[name] for name in ("all", "family and accused")}


# --- databases ------------------------------------------------------------------------------


@contextmanager
def databases(reports: int) -> Iterator[tuple[str, str]]:
    """Yield the names of two databases, with so many reports and with FEW; made, or those that the last run kept."""
    names = []
    base = "map_bench_base"
    for many in (reports, FEW):
        name, state = f"map_bench_{many}", f"{bed.migrated_template()} {TODAY} {many}"
        names.append(name)
        if not _is(name, state):
            began = time.perf_counter()
            if not _is(base, bed.migrated_template()):
                _make_base(base)
            _copy(base, name)
            _fill(name, many)
            _remember(name, state)
            print(f"  {name} made in {time.perf_counter() - began:.0f} s", flush=True)
    try:
        yield names[0], names[1]
    finally:
        bed.use("postgres")
        if not os.environ.get("KEEP"):
            for name in (base, *names):
                bed.drop(name)


def _make_base(name: str) -> None:
    """Make a database with people, sources and, in the long form, the big plan; without reports."""
    bed.copy_template(name)
    bed.use(name)
    an_operation(code="bench", starts_on=TODAY, is_current=True) if SHORT else a_plan()
    with acting_as(SYSTEM):
        a_member(Role.MONITOR, username="bench-monitor")
        a_member(Role.PLANNER, username="bench-planner")
        made_up_reports.ensure_names()
    connections.close_all()
    bed.use("postgres")
    _remember(name, bed.migrated_template())


def _fill(name: str, many: int) -> None:
    bed.use(name)
    url = bed.url_of(name, owner=True)
    made_up_reports.load(url, many, days=MONTHS_22, until=np.datetime64(TODAY))
    rollups.sweep()
    connections.close_all()
    with psycopg.connect(url, autocommit=True) as owner:
        for table in COUNTED:
            owner.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(table)))


def _owner() -> psycopg.Connection:
    return psycopg.connect(bed.url_of("postgres", owner=True), autocommit=True)


def _is(name: str, state: str) -> bool:
    with _owner() as owner:
        found = owner.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", [name]
        ).fetchone()
    return found is not None and found[0] == state


def _remember(name: str, state: str) -> None:
    with _owner() as owner:
        owner.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(state)))


def _copy(base: str, name: str) -> None:
    bed.drop(name)
    with _owner() as owner:
        owner.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(base)))


# --- the server, and what it works ----------------------------------------------------------


@dataclass(frozen=True)
class Taken:
    """Seconds by the clock of each request; seconds of processor of all of them; bytes of the last."""

    clock: list[float]
    web: float
    database: float
    size: int

    def of_clock(self, share: float) -> float:
        """Return a quantile of the times by the clock, in ms."""
        return float(np.quantile(self.clock, share)) * 1000

    @property
    def work(self) -> float:
        """Mean work of a request, in ms."""
        return (self.web + self.database) / len(self.clock) * 1000

    def __str__(self) -> str:
        web, database = (seconds / len(self.clock) * 1000 for seconds in (self.web, self.database))
        clock = f"p50 {self.of_clock(0.5):.0f} ms, p95 {self.of_clock(0.95):.0f} ms"
        return f"{clock}; work {web:.0f} + {database:.0f} ms; {self.size:,} bytes"


class Server:
    """The real web server on a database, and the people who ask it."""

    def __init__(self, database: str):
        self.database, self.port = database, embedded.free_port()
        bed.use(database)
        self.headers = {}
        with acting_as(SYSTEM):
            for name in ("bench-monitor", "bench-planner"):
                user = User.objects.get(username=name)
                self.headers[name] = {"Authorization": f"Token {ApiToken.objects.create(user, scope='read')[1]}"}
        for name in ("bench-monitor", "bench-planner"):
            browser = Client()
            browser.force_login(User.objects.get(username=name))
            self.headers[f"{name} by browser"] = {"Cookie": browser.cookies.output(header="", sep=";").strip()}
        connections.close_all()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "coalition.wsgi", "--config=python:coalition.serving",
             "--workers=1", "--threads=1", "--log-level=warning", f"--bind=127.0.0.1:{self.port}"],
            cwd=bed.ROOT, env=os.environ | {"DATABASE_URL": bed.url_of(database)},
        )  # fmt: skip
        assert answers_within(self.port, 60)
        self.web = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def stop(self) -> None:
        self.web.close()
        self.process.terminate()
        self.process.wait()

    def answered(self, address: str, who: str) -> bytes:
        self.web.request("GET", address, headers=self.headers[who] | {"Host": f"127.0.0.1:{self.port}"})
        answer = self.web.getresponse()
        body = answer.read()
        assert answer.status == 200, (answer.status, address, body[:500])
        return body

    def worked(self) -> tuple[float, float]:
        """Return the seconds of processor that the web server and PostgreSQL have worked for it so far."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        with _owner() as owner:
            asked = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND usename <> current_user"
            backends = [pid for (pid,) in owner.execute(asked, [self.database])]
        return sum(map(_seconds, children)), sum(map(_seconds, backends))

    def taken(self, address: str, who: str) -> Taken:
        self.web.close()  # the server hangs up on who is silent for long; the next request connects anew
        for _ in range(2):
            body = self.answered(address, who)
        before, clock = self.worked(), []
        for _ in range(ASKED):
            began = time.perf_counter()
            self.answered(address, who)
            clock.append(time.perf_counter() - began)
        after = self.worked()
        return Taken(clock, after[0] - before[0], after[1] - before[1], len(body))


def _seconds(process: int | str) -> float:
    """Return the processor time of a process. Source: Linux, Documentation/scheduler/sched-stats: nanoseconds first."""
    tasks = Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


# --- what is asked --------------------------------------------------------------------------


MOST_MS = {"map": 100, "hexes": 50}


def maps(server: Server) -> None:
    """Tell what each map takes, as a page and as the API's hexes, and figure the dearest of each."""
    found: dict[str, list[tuple[Taken, str]]] = {name: [] for name in MOST_MS}
    filters = [*FILTERS.items()][: 1 if SHORT else None]
    for (period, (first, last)), (place, where), (name, which) in itertools.product(
        PERIODS.items(), PLACES.items(), filters
    ):
        days = f"occurred_after={first}&occurred_before={last}"
        box = "&".join(part for part in where.split("&") if part.startswith("bbox"))
        said = f"{period}, {place}, {name}"
        for what, address, who in (
            ("map", f"/monitoring/?{days}&{where}&{which}", "bench-monitor by browser"),
            ("hexes", "/api/v1/reports/hexes/?" + "&".join(filter(None, (days, box, which))), "bench-monitor"),
        ):
            taken = server.taken(address, who)
            found[what].append((taken, said))
            print(f"  {what}, {said}: {taken}", flush=True)
    for what, asked in found.items():
        at_most = MOST_MS[what]
        slowest, said = max(asked, key=lambda each: each[0].of_clock(0.5))
        figure(
            f"{what}, any box, dates and filters, slowest median",
            slowest.of_clock(0.5),
            "ms",
            at_most=at_most,
            note=said,
        )
        dearest, said = max(asked, key=lambda each: each[0].work)
        figure(f"{what}, the most work for one", dearest.work, "ms", note=f"{said}; web server and PostgreSQL")


def dashboards(many: Server, few: Server) -> None:
    """Figure what overview and readiness page take, with all reports stored against few, asked in turns."""
    for name, address in (("overview", "/"), ("readiness", "/readiness/"), ("trends", "/monitoring/trends/")):
        who = "bench-planner by browser"
        rounds = [[server.taken(address, who) for server in (many, few)] for _ in range(1 if SHORT else 3)]
        of_many, of_few = (
            Taken(
                [second for each in those for second in each.clock],
                sum(each.web for each in those),
                sum(each.database for each in those),
                those[0].size,
            )
            for those in zip(*rounds, strict=True)
        )
        is_target = name != "trends"
        beside = (f"with {FEW:,} reports", of_few.of_clock(0.95))
        slow = of_many.of_clock(0.95)
        figure(
            f"{name} over HTTP, p95", slow, "ms", at_most=40 if is_target else None, beside=beside, note=str(of_many)
        )
        beside = (f"with {FEW:,} reports", of_few.work)
        most = 1.5 * of_few.work if is_target else None
        figure(
            f"{name} over HTTP, work", of_many.work, "ms", at_most=most, beside=beside, note="web server and PostgreSQL"
        )
        figure(f"{name}, queries", queries(many.database, address), at_most=25 if is_target else None)


def queries(database: str, address: str) -> int:
    """Return how many queries a page takes, sessions included."""
    bed.use(database)
    browser = Client(headers={"host": "localhost"})
    browser.force_login(User.objects.get(username="bench-planner"))
    browser.get(address)
    with CaptureQueriesContext(connection) as found:
        assert browser.get(address).status_code == 200
    connections.close_all()
    return len(found)


def main() -> None:
    """Print all of it."""
    reports = size(1_000_000, short=5_000)
    print(f"\nmaps and dashboards with {reports:,} reports of 22 months")
    with databases(reports) as (big, small):
        many, few = Server(big), Server(small)
        try:
            maps(many)
            dashboards(many, few)
        finally:
            many.stop()
            few.stop()


if __name__ == "__main__":
    main()
