"""The whole product as people start it (`manage.py up`), for tests that drive or break it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import dj_database_url
from django.db import connections

from coalition import embedded
from coalition.supervision import answers
from tests.bed import ROOT


def eventually(claim: Callable[[], object], *, within_s: float = 30.0) -> None:
    """Return as soon as the claim holds; fail if it does not in time."""
    deadline = time.monotonic() + within_s
    while not claim():
        assert time.monotonic() < deadline, "It did not come true in time."
        time.sleep(0.05)


class Product:
    """A running copy with engines of its own, safe after a power cut like a real one."""

    def __init__(self, data_dir: Path, *, demo: bool, inside: Sequence[str] = (), **environment: str):
        """``inside``: the words of a command that runs the words that follow; ``environment``: more of it."""
        self.data_dir = data_dir
        self.port = embedded.free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        ours = {"DATA_DIR": str(data_dir), "PORT": str(self.port), "DEMO": str(int(demo))}
        self._environment = (
            {name: value for name, value in os.environ.items() if name != "REDIS_URL"} | ours | environment
        )
        self._output = (data_dir / "up.log").open("w+")
        self.process = subprocess.Popen(
            [*inside, sys.executable, "manage.py", "up"],
            cwd=ROOT, env=self._environment, stdout=self._output, stderr=subprocess.STDOUT,
        )  # fmt: skip

    @property
    def said(self) -> str:
        """What it printed so far."""
        return (self.data_dir / "up.log").read_text()

    def wait_until_up(self) -> None:
        eventually(lambda: self.process.poll() is not None or "Ready: " in self.said, within_s=600)
        assert self.process.poll() is None, self.said

    def status(self) -> dict:
        """Return ``/readyz`` as it is now; empty while the web server is away."""
        try:
            with urllib.request.urlopen(f"{self.address}/readyz", timeout=5) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)
        except OSError:
            return {}

    def is_alive(self) -> bool:
        return answers(self.port)

    def pid(self, part: str) -> int:
        """Return the process id of a part: postgres, redis, worker, beat or web."""
        return json.loads((self.data_dir / "parts.json").read_text())[part]["pid"]

    def starts(self, part: str) -> int:
        """Return how often a part was started."""
        return json.loads((self.data_dir / "parts.json").read_text())[part]["starts"]

    def kill(self, part: str) -> None:
        """Kill a part as a crash would."""
        os.kill(self.pid(part), signal.SIGKILL)

    def manage(self, *words: str) -> str:
        """Run ``manage.py`` on this copy, as the app role; return what it said."""
        command = [sys.executable, "manage.py", *words]
        return subprocess.run(
            command, cwd=ROOT, env=self._environment, check=True, capture_output=True, text=True
        ).stdout

    @contextmanager
    def database(self) -> Iterator[None]:
        """Let the test's own Django look into this copy's database, as the app role."""
        before = dict(connections.settings["default"])
        connections.close_all()
        connections.settings["default"].update(dj_database_url.parse(embedded.addresses(self.data_dir).database))
        try:
            yield
        finally:
            connections.close_all()
            connections.settings["default"].update(before)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop it and return its exit code."""
        self.process.send_signal(how)
        code = self.process.wait(60)
        self._output.close()
        return code


@contextmanager
def running_product(data_dir: Path, *, demo: bool = False, **more) -> Iterator[Product]:
    """Run a fresh copy in this folder for the length of the block; ``more`` as ``Product`` takes it."""
    if not os.environ.get("REUSE"):
        shutil.rmtree(data_dir, ignore_errors=True)
    data_dir.mkdir(parents=True, mode=0o711, exist_ok=True)
    product = Product(data_dir, demo=demo, **more)
    try:
        product.wait_until_up()
        yield product
    finally:
        if product.process.poll() is None:
            product.stop()
