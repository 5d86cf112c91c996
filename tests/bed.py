"""The ground tests stand on: embedded engines of their own, and a database per process, used as the app role.

Importing this module starts the engines and sets Django up, so import it before anything that needs models.
With xdist the controller starts them once and the workers find them through the environment. A second run beside the
first takes the next slot (``.test/2``). PostgreSQL itself copies a migrated template: a fresh database in a moment.
"""

import atexit
import fcntl
import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import django
import psycopg
import pytest
from django.conf import settings
from django.db import connections
from psycopg import sql

from coalition import embedded

ROOT = Path(__file__).resolve().parent.parent
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")  # empty in the controller, and where there is no xdist
APPS = ("coalition", "pledges", "monitoring")
NUMBER = int(WORKER.removeprefix("gw") or -1) + 1  # 0, or 1 and up for xdist's workers


def _clean_environment() -> None:
    """Forget settings of the shell: tests give the same answer everywhere."""
    if settings.configured:
        raise pytest.UsageError("Unset DJANGO_SETTINGS_MODULE: the tests start their engines first, then set it.")
    for name in re.findall(r'env\.\w+\("([A-Z_]+)"', (ROOT / "coalition/settings.py").read_text()):
        os.environ.pop(name, None)
        os.environ.pop(f"{name}_FILE", None)
    os.environ["DJANGO_SETTINGS_MODULE"] = "coalition.settings"
    os.environ["SECRET_KEY"] = "known-to-everyone-for-tests-only"
    for scope in ("REQUESTS", "FILES", "WHAT_IF", "UPLOADS"):
        os.environ[f"API_{scope}_PER_MINUTE"] = "0"  # nobody is in so much of a hurry as a test


def _start_engines() -> Path:
    """Start volatile engines in the first slot nobody uses; return its folder. They end with this process."""
    base = Path(os.environ.get("TEST_DATA_DIR") or ROOT / ".test").resolve()
    busy = None
    for slot in range(1, 9):
        try:
            stop = embedded.start(base / str(slot), volatile=True)
        except embedded.AlreadyRunning as error:
            busy = error
            continue
        atexit.register(_stop_in, os.getpid(), stop)
        return base / str(slot)
    raise pytest.UsageError(str(busy))


def _stop_in(process: int, stop: Callable[[], None]) -> None:
    if os.getpid() == process:  # a fork of ours that ends may not stop what we still use
        stop()


if not WORKER:
    _clean_environment()
    os.environ["DATA_DIR"] = str(_start_engines())
DATA_DIR = Path(os.environ["DATA_DIR"])
ENGINES = embedded.addresses(DATA_DIR)
os.environ["REDIS_URL"] = f"{ENGINES.redis.removesuffix('/0')}/{NUMBER}"
django.setup()
settings.WHITENOISE_AUTOREFRESH = True  # static files are looked for when asked for: every client would list them all


# --- databases ------------------------------------------------------------------------------


def url_of(database: str, *, owner: bool = False) -> str:
    """Return the address of a database of the test engine, for the app role or for the owner."""
    return (ENGINES.owner_database if owner else ENGINES.database).rpartition("/")[0] + f"/{database}"


def copy_template(database: str) -> None:
    """(Re-)create a database as it is after ``migrate``: owned by the owner, open to the app role."""
    template = migrated_template()
    with _owner() as connection:
        _drop(connection, database)
        connection.execute(
            # Copying files beats writing every page to the log: these engines sync nothing to disk.
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
                sql.Identifier(database), sql.Identifier(template)
            )
        )


def drop(database: str) -> None:
    """Drop a database, whoever is still connected."""
    with _owner() as connection:
        _drop(connection, database)


def use(database: str) -> None:
    """Point Django's connection, in all threads, to a database of the test engine."""
    connections.close_all()
    connections.settings["default"]["NAME"] = database


def migrated_template() -> str:
    """Return the name of a migrated database; made once per state of the migrations, by the first who asks."""
    name = f"template_{_fingerprint()}"
    with _alone(DATA_DIR / "template.lock"), _owner() as connection:
        found = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'template\\_%'").fetchall()
        if (name,) in found:
            return name
        for (old,) in found:
            _drop(connection, old)
        connection.execute("CREATE DATABASE template_unfinished")
        manage("migrate", "--skip-checks", "--verbosity=0", DATABASE_URL=url_of("template_unfinished", owner=True))
        connection.execute(sql.SQL("ALTER DATABASE template_unfinished RENAME TO {}").format(sql.Identifier(name)))
    return name


def manage(*words: str, **environment: str) -> str:
    """Run ``manage.py`` in a process of its own and return what it said; end the run where it failed."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *words],
        env=os.environ | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.exit(f"manage.py {' '.join(words)} failed:\n{done.stdout}{done.stderr}", returncode=3)
    return done.stdout


def _owner() -> psycopg.Connection:
    return psycopg.connect(url_of("postgres", owner=True), autocommit=True)


def _drop(connection: psycopg.Connection, database: str) -> None:
    for patience in (0.1, 0.5, 2.0, 10.0, 30.0, None):
        try:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))
            return
        except psycopg.errors.InsufficientPrivilege:  # a vacuum is in it, or who has just left: not the owner's to end
            if patience is None:
                raise
            time.sleep(patience)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock file against the other processes of this run."""
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fingerprint() -> str:
    """Return a hash over what a migrated database is made of: packages, migrations, our modules they import."""
    migrations = sorted(path for app in APPS for path in (ROOT / app / "migrations").glob("*.py"))
    pattern = re.compile(rf"^(?:from|import) ((?:{'|'.join(APPS)})(?:\.\w+)*)(?: import (\w+))?", re.MULTILINE)
    modules = set()
    for path in migrations:
        for module, name in pattern.findall(path.read_text()):
            for dotted in (module, f"{module}.{name}"):
                modules.add(ROOT / (dotted.replace(".", "/") + ".py"))
    content = hashlib.sha256()
    for path in [ROOT / "requirements.txt", *migrations, *sorted(modules)]:
        if path.is_file():
            content.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return content.hexdigest()[:16]
