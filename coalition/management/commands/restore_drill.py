"""Prove that a backup can be restored: into an empty cluster of its own, compared with what it was taken from, started.

``make restore-drill`` backs up what runs here (or a demo, where nothing was ever started) and restores that.
"""

import http.cookiejar
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from psycopg import sql

from coalition import backup, embedded, fingerprint
from coalition.management.commands.up import stopped_by_signals
from coalition.supervision import Supervisor, product_parts

PASSED_ON = {
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "PYTHONPATH",
    "VIRTUAL_ENV",
}  # nothing else: a drill sends nothing
USER = "restore-drill"


class Command(BaseCommand):
    help = "Restore a backup into an empty cluster, prove that everything is equal, start the product on it."
    requires_system_checks = []
    requires_migrations_checks = False

    def add_arguments(self, parser):
        parser.add_argument("folder", type=Path, nargs="?", help="one backup, made by back_up; else one is made now")
        parser.add_argument(
            "--work", type=Path, help="an existing folder with room for a second copy; else the system's"
        )

    def handle(self, *, folder: Path | None, work: Path | None, **options):
        with stopped_by_signals(), tempfile.TemporaryDirectory(prefix="coalition-drill-", dir=work) as name:
            place = Path(name).resolve()
            place.chmod(0o711)  # the engines may run as somebody else
            try:
                with embedded_source(place, self.tell) if folder is None else given(folder) as (source, origin, key):
                    self.tell(f"Backup: {source.folder}, of {origin}")
                    failed = Drill(source, place / "restored", self.tell, history_key=key).run()
            except (backup.CannotBackUp, embedded.CannotStart, OSError) as error:
                raise CommandError(str(error)) from error
        if failed:
            raise CommandError(f"The restore drill failed: {', '.join(failed)}.")
        self.tell("The restore drill passed: everything is equal, and the product runs on it.")

    def tell(self, sentence: str) -> None:
        self.stdout.write(sentence)
        self.stdout.flush()


@contextmanager
def given(folder: Path) -> Iterator[tuple[backup.Backup, str, str]]:
    yield backup.read(folder.resolve()), "an earlier time", _history_key(Path(settings.DATA_DIR))


@contextmanager
def embedded_source(place: Path, tell: Callable[[str], None]) -> Iterator[tuple[backup.Backup, str, str]]:
    """Back up the configured database; without one, this folder's own, started where it is down; without that, a demo."""
    (place / "backups").mkdir(mode=0o700)
    if settings.DATABASE_URL:
        yield (
            backup.make(settings.DATABASE_URL, Path(settings.MEDIA_ROOT), place / "backups"),
            "DATABASE_URL",
            settings.HISTORY_KEY,
        )
        return
    data_dir, origin = Path(settings.DATA_DIR), f"{settings.DATA_DIR}"
    if not (data_dir / "engines.json").exists():
        tell("Nothing was ever started here, so the drill is done with a demo …")
        data_dir, origin = place / "demo", "a demo"
    stop = None
    try:
        stop = embedded.start(data_dir)
    except embedded.AlreadyRunning:
        pass  # it is running: the better, a drill disturbs nobody
    try:
        where = embedded.addresses(data_dir)
        if origin == "a demo":
            manage(data_dir, "migrate", "--verbosity=0", DATABASE_URL=where.owner_database)
            manage(data_dir, "seed_demo")
        yield backup.make(where.owner_database, data_dir / "media", place / "backups"), origin, _history_key(data_dir)
    finally:
        if stop:
            stop()


def _history_key(data_dir: Path) -> str:
    """Return what history was signed with there; empty where only public keys are known."""
    return settings.HISTORY_KEY or (embedded.history_key(data_dir) if settings.EMBEDDED else "")


class Drill:
    """One restore, step by step; ``run`` returns the names of what failed."""

    def __init__(self, source: backup.Backup, data_dir: Path, tell: Callable[[str], None], *, history_key: str):
        self.source, self.data_dir, self.tell = source, data_dir, tell
        self.keys = {"HISTORY_KEY": history_key, "HISTORY_PUBLIC_KEYS": ",".join(settings.HISTORY_PUBLIC_KEYS)}
        self.failed: list[str] = []

    def run(self) -> list[str]:
        self._restore()
        with embedded.running(self.data_dir) as addresses:
            self._compare(addresses.owner_database)
            self._verify_history()
        self._start_the_product()
        return self.failed

    def _restore(self) -> None:
        began = time.monotonic()
        backup.restore_files(self.source, self.data_dir / "media")
        with embedded.running(self.data_dir) as addresses:
            backup.restore_database(self.source, addresses.owner_database)
        with embedded.Engines(self.data_dir) as engines:
            engines.set_epoch(backup.epoch_above(self.source.xid))
        self.tell(f"Restored into an empty cluster in {time.monotonic() - began:.1f} s.\n")

    def _compare(self, owner: str) -> None:
        with psycopg.connect(owner, autocommit=True) as connection:
            restored = fingerprint.of(connection)
            numbers = fingerprint.sequences(connection)
            (xid,) = connection.execute("SELECT pg_current_xact_id()::text::bigint").fetchone() or (0,)
        self.tell(f"{'what':<22}{'compared':>9}{'differ':>8}")
        for table, what in self.source.database["tables"].items():
            rows = int(what.split()[0])
            self._line(f"  {table}", rows, fingerprint.differences({table: what}, {
                name: found for name, found in restored["tables"].items() if name == table}), quiet=rows == 0)  # fmt: skip
        for kind, things in self.source.database.items():
            self._line(kind, len(things), fingerprint.differences(things, restored.get(kind, {})))
        self._line("sequences", len(numbers), self._lost_numbers(numbers))
        self._line("files", len(self.source.files), fingerprint.differences(
            self.source.files, backup.hashes_of(self.data_dir / "media")))  # fmt: skip
        self._line("evidence", *self._evidence(owner))
        late = [] if xid > self.source.xid else [f"transactions begin at {xid}, and the backup's was {self.source.xid}"]
        self._line("transaction numbers", 1, late)

    def _lost_numbers(self, numbers: dict[str, int]) -> list[str]:
        """A sequence stands still for no snapshot: it must lie between what it was before the dump and after it."""
        said = []
        for name in self.source.sequences_before.keys() | numbers.keys():
            low, high = self.source.sequences_before.get(name, -1), self.source.sequences_after.get(name, -1)
            if not low <= numbers.get(name, -2) <= high:
                said.append(f"{name}: was {low} to {high}, is {numbers.get(name, 'not there')}")
        return said

    def _evidence(self, owner: str) -> tuple[int, list[str]]:
        """Each piece of evidence the database names must be there, with the content it had when it was taken."""
        with psycopg.connect(owner) as connection:
            rows = connection.execute(
                sql.SQL("SELECT file, sha256 FROM {}").format(sql.Identifier("monitoring_evidence"))
            ).fetchall()
        there = backup.hashes_of(self.data_dir / "media")
        return len(rows), fingerprint.differences(dict(rows), {name: there[name] for name, _ in rows if name in there})

    def _verify_history(self) -> None:
        done = subprocess.run(
            [sys.executable, "manage.py", "verify_history"],
            cwd=settings.BASE_DIR,
            env=environment(self.data_dir) | self.keys,
            capture_output=True,
            text=True,
            check=False,
        )
        words = (done.stdout.strip() or done.stderr.strip()).splitlines()[-1:]
        self._line("history", 1, words if done.returncode else [])
        if not done.returncode:
            self.tell(f"    {' '.join(words)}")

    def _start_the_product(self) -> None:
        port, password = embedded.free_port(), secrets.token_urlsafe(20)
        supervisor = Supervisor(self.data_dir / "parts.json", self.tell)
        with embedded.running(self.data_dir):
            manage(
                self.data_dir, "createsuperuser", "--noinput", f"--username={USER}", "--email=drill@localhost.invalid",
                DJANGO_SUPERUSER_PASSWORD=password,
            )  # fmt: skip
            try:
                supervisor.add(
                    [
                        _without_engines(part)
                        for part in product_parts(
                            self.data_dir, settings.BASE_DIR, port, environment=environment(self.data_dir)
                        )
                    ]
                )
                address = f"http://127.0.0.1:{port}"
                self._line("starts: /readyz", 1, _not_ready(address))
                self._line("login and first pages", 3, _first_pages(address, password))
            finally:
                supervisor.stop()

    def _line(self, what: str, compared: int, differ: list[str], *, quiet: bool = False) -> None:
        if differ:
            self.failed.append(what.strip())
        if differ or not quiet:
            self.tell(f"{what:<42}{compared:>9}{len(differ):>8}")
        for sentence in differ[:10]:
            self.tell(f"    {sentence}")


def environment(data_dir: Path) -> dict[str, str]:
    """Return what a restored copy may know: its own folder, and nothing of ours. It so sends no webhook, to nobody."""
    kept = {name: value for name, value in os.environ.items() if name in PASSED_ON}
    return kept | {"DATA_DIR": str(data_dir), "DJANGO_SETTINGS_MODULE": "coalition.settings"}


def manage(data_dir: Path, *words: str, **more: str) -> None:
    """Run another command on that folder's engines. Raises CommandError with what it said."""
    ours: Mapping[str, str] = environment(data_dir) | more
    if "DATABASE_URL" in more:
        ours = {**ours, "SECRET_KEY": secrets.token_urlsafe(50)}
    done = subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=settings.BASE_DIR, env=ours, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise CommandError(f"manage.py {words[0]} failed:\n{done.stdout}{done.stderr}")


def _without_engines(part):
    part.needs = ()  # they are up, and held by the drill
    return part


def _not_ready(address: str) -> list[str]:
    """Return what /readyz complains of after up to a minute; nothing when all is well."""
    deadline, said = time.monotonic() + 60, "no answer"
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/readyz", timeout=5) as answer:  # noqa: S310 - loopback
                parts = json.load(answer)["parts"]
            if set(parts.values()) == {"ok"}:
                return []
            said = str(parts)
        except OSError as error:
            said = str(error)
        time.sleep(0.2)
    return [said]


def _first_pages(address: str, password: str) -> list[str]:
    """Log in, open the overview and the feed of changes; return what went wrong."""
    cookies = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(cookies))
    wrong = []
    try:
        opener.open(f"{address}/accounts/login/", timeout=30).read()
        token = next(cookie.value for cookie in cookies if cookie.name == "csrftoken")
        form = {"login": USER, "password": password, "csrfmiddlewaretoken": token or ""}
        with opener.open(f"{address}/accounts/login/", urllib.parse.urlencode(form).encode(), timeout=30) as answer:
            if answer.geturl() != f"{address}/":
                wrong.append(f"the login led to {answer.geturl()}")
        for path in ("/jobs/", "/api/v1/changes/"):
            with opener.open(f"{address}{path}", timeout=30) as answer:
                answer.read()
    except OSError as error:
        wrong.append(str(error))
    return wrong
