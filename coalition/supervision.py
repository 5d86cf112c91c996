"""What keeps the parts of the product up on one machine: starts them in order, starts again what dies, stops them.

One thread looks at everything a few times a second. A part that dies is started again at once; if it keeps dying, after
waits that double up to half a minute. A part waits for those it needs before it starts, not when it is up: web and
worker outlive a database that comes back.
"""

import http.client
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

from coalition import children, embedded

LOOK_EVERY_S = 0.2
LONGEST_WAIT_S = 30.0
CALM_AFTER_S = 30.0  # a part that was up this long has not "kept dying"
LOG_BYTES = 5_000_000  # per part, and as much again in the one older file that is kept
SIGNAL_NAMES = {-number: number.name for number in signal.Signals}


@dataclass
class Part:
    """One process to keep up."""

    name: str
    start: Callable[[], Popen]
    log: Path
    is_ready: Callable[[], bool] = lambda: True
    stop_signal: signal.Signals = signal.SIGTERM
    patience_s: float = 3.0  # then it is killed
    needs: tuple[str, ...] = ()
    process: Popen | None = field(default=None, init=False)
    starts: int = field(default=0, init=False)
    _deaths_in_a_row: int = field(default=0, init=False)
    _started_at: float = field(default=0.0, init=False)
    _not_before: float = field(default=0.0, init=False)

    @property
    def is_up(self) -> bool:
        return self.process is not None and self.process.poll() is None and self.is_ready()

    def begin(self) -> None:
        """Start the process; remember when."""
        cap_log(self.log)
        self.process = self.start()
        self.starts += 1
        self._started_at = time.monotonic()

    def bury(self, process: Popen) -> tuple[str, float]:
        """Forget the dead process; return what it died of and the seconds until it may start again."""
        self.process = None
        children.kill_group(process)
        if time.monotonic() - self._started_at > CALM_AFTER_S:
            self._deaths_in_a_row = 0
        self._deaths_in_a_row += 1
        wait = 0.0 if self._deaths_in_a_row == 1 else min(LONGEST_WAIT_S, 0.5 * 2 ** (self._deaths_in_a_row - 2))
        self._not_before = time.monotonic() + wait
        return SIGNAL_NAMES.get(process.returncode, f"exit code {process.returncode}"), wait

    @property
    def may_begin(self) -> bool:
        return self.process is None and time.monotonic() >= self._not_before


class Supervisor:
    """Keeps parts up. ``tell`` gets sentences for people; ``status_file`` gets each part's process id, as JSON."""

    def __init__(self, status_file: Path, tell: Callable[[str], None]):
        self.parts: list[Part] = []
        self._status_file = status_file
        self._tell = tell
        self._logs_seen_at = 0.0

    def add(self, parts: Iterable[Part], *, within_s: float = 60.0) -> None:
        """Start these parts and return when all of them are ready.

        Raises CannotStart with the log's last words if one is not ready in time, or dies five times first.
        """
        added = list(parts)
        self.parts += added
        deadline = time.monotonic() + within_s
        while late := [part for part in added if not part.is_up]:
            self.look()
            for part in late:
                if time.monotonic() > deadline or part._deaths_in_a_row >= 5:
                    words = embedded.last_lines(part.log)
                    raise embedded.CannotStart(f"{part.name} does not start. Its last words, in {part.log}:\n{words}")
            time.sleep(0.05)

    def run(self) -> None:
        """Keep all parts up until a signal's handler raises."""
        while True:
            self.look()
            time.sleep(LOOK_EVERY_S)

    def look(self) -> None:
        """Start what is down and may start, once."""
        changed = False
        for part in self.parts:
            if part.process is not None and part.process.poll() is not None:
                cause, wait = part.bury(part.process)
                again = f"in {wait:g} s" if wait else "now"
                self._tell(f"{part.name} ended ({cause}) and is started again {again}. Its log: {part.log}")
                changed = True
            if part.may_begin and self._has_what_it_needs(part):
                part.begin()
                changed = True
        if changed:
            self._write_status()
        if time.monotonic() - self._logs_seen_at > 10:
            self._logs_seen_at = time.monotonic()
            for part in self.parts:
                cap_log(part.log)

    def stop(self) -> None:
        """Stop all parts, last started first; each gets its patience, then is killed."""
        for part in reversed(self.parts):
            if part.process is not None:
                children.stop(part.process, part.stop_signal, patience_s=part.patience_s)
                part.process = None
        self._status_file.unlink(missing_ok=True)

    def _has_what_it_needs(self, part: Part) -> bool:
        return all(other.is_up for other in self.parts if other.name in part.needs)

    def _write_status(self) -> None:
        status = {
            part.name: {"pid": part.process.pid if part.process else None, "starts": part.starts} for part in self.parts
        }
        unfinished = self._status_file.with_suffix(".new")
        unfinished.write_text(json.dumps(status, indent=2))
        unfinished.replace(self._status_file)


def engine_parts(engines: embedded.Engines) -> list[Part]:
    """Return PostgreSQL and Redis as parts."""
    return [
        Part(engine.name, engine.start, engine.log, engine.is_ready, engine.stop_signal, patience_s=8.0)
        for engine in engines.engines()
    ]


def product_parts(
    data_dir: Path, base_dir: Path, port: int, *, environment: Mapping[str, str] | None = None
) -> list[Part]:
    """Return worker, beat and web in the order they start; they stop the other way round.

    They get our own environment unless they are given another.
    """
    logs = data_dir / "logs"
    environment = {**(environment or os.environ), "DATA_DIR": str(data_dir), "PYTHONUNBUFFERED": "1"}
    celery = ["-m", "celery", "-A", "coalition"]

    def part(name: str, *words: str, dies_by: signal.Signals = signal.SIGTERM, **more) -> Part:
        def start() -> Popen:
            command = [sys.executable, *words]
            return children.start(
                command, log=logs / f"{name}.log", folder=base_dir, environment=environment, dies_by=dies_by
            )

        return Part(name, start, logs / f"{name}.log", needs=("postgres", "redis"), **more)

    return [
        part("worker", *celery, "worker", "--concurrency=2", "--without-gossip", "--without-mingle",
             f"--hostname=worker-{port}@%h", "--loglevel=INFO", dies_by=signal.SIGKILL),
        part("beat", *celery, "beat", f"--schedule={data_dir / 'beat-schedule'}", "--pidfile=", "--loglevel=INFO",
             patience_s=2.0),
        part("web", "-m", "gunicorn", "coalition.wsgi", "--config=python:coalition.serving", f"--bind=127.0.0.1:{port}",
             is_ready=lambda: answers(port), patience_s=4.0),
    ]  # fmt: skip


def answers(port: int) -> bool:
    """Return True if the web server on this loopback port says it is alive."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def answers_within(port: int, seconds: float) -> bool:
    """Return True as soon as the web server answers, False if it does not in time."""
    deadline = time.monotonic() + seconds
    while not answers(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_EVERY_S)
    return True


def cap_log(log: Path, limit: int = LOG_BYTES) -> None:
    """Copy a log that has grown too large to ``….1`` and empty it. Its writers append, so they go on at the start."""
    try:
        if log.stat().st_size > limit:
            shutil.copyfile(log, log.with_name(log.name + ".1"))
            os.truncate(log, 0)
    except FileNotFoundError:
        pass
