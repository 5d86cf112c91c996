import os
import signal
import socket
import subprocess
import sys

import pytest

from coalition import children, embedded, supervision
from coalition.supervision import Part, Supervisor
from tests.bed import DATA_DIR, NUMBER, ROOT
from tests.product import eventually, running_product


@pytest.fixture
def supervisor(tmp_path):
    supervisor = Supervisor(tmp_path / "parts.json", lambda sentence: None)
    yield supervisor
    supervisor.stop()


def a_part(folder, name, script, **more):
    log = folder / f"{name}.log"
    return Part(name, lambda: children.start(["/bin/sh", "-c", script], log=log, folder=folder), log, **more)


def test_a_part_that_dies_is_started_again_at_once(supervisor, tmp_path):
    supervisor.add([a_part(tmp_path, "sleeper", "exec sleep 60")])
    first = supervisor.parts[0].process
    first.kill()
    eventually(lambda: supervisor.look() or supervisor.parts[0].starts == 2, within_s=5)
    assert supervisor.parts[0].process.pid != first.pid


def test_a_part_that_keeps_dying_waits_longer_each_time_but_not_for_ever(tmp_path):
    part = a_part(tmp_path, "dying", "exit 3")
    waits = []
    for _ in range(10):
        part.begin()
        part.process.wait()
        waits.append(part.bury(part.process))
    assert waits[:4] == [("exit code 3", wait) for wait in (0.0, 0.5, 1.0, 2.0)]
    assert waits[-1] == ("exit code 3", supervision.LONGEST_WAIT_S)
    assert not part.may_begin


def test_a_part_that_never_comes_up_is_reported_with_its_last_words(supervisor, tmp_path, monkeypatch):
    monkeypatch.setattr(supervision, "LONGEST_WAIT_S", 0.0)
    with pytest.raises(embedded.CannotStart, match=r"(?s)dying does not start.*no such luck"):
        supervisor.add([a_part(tmp_path, "dying", "echo no such luck; exit 1")])


def test_a_part_waits_for_what_it_needs(supervisor, tmp_path):
    is_ready = []
    needed = a_part(tmp_path, "engine", "exec sleep 60", is_ready=lambda: bool(is_ready))
    needing = a_part(tmp_path, "web", "exec sleep 60", needs=("engine",))
    supervisor.parts += [needing, needed]
    supervisor.look()
    supervisor.look()
    assert (needed.starts, needing.starts) == (1, 0)
    is_ready.append(True)
    supervisor.look()
    assert needing.starts == 1


def test_parts_stop_in_the_opposite_order_and_the_stubborn_are_killed(supervisor, tmp_path):
    ended = tmp_path / "ended"
    script = "trap 'echo {0} >>" + str(ended) + "; exit' TERM; touch {0}; while :; do sleep 0.05; done"
    for name in ("first", "second"):
        supervisor.add([a_part(tmp_path, name, script.format(name), is_ready=(tmp_path / name).exists)])
    supervisor.add([a_part(tmp_path, "stubborn", "trap '' TERM; sleep 60", patience_s=0.2)])
    processes = [part.process for part in supervisor.parts]
    supervisor.stop()
    assert ended.read_text().split() == ["second", "first"]
    assert [process.poll() is not None for process in processes] == [True] * 3


def test_children_end_with_a_parent_that_is_killed(tmp_path):
    program = (
        "import sys, signal; from pathlib import Path; from coalition import children;"
        "p = children.start(['sleep', '60'], log=Path('log'), folder=Path('.'));"
        "print(p.pid, flush=True); signal.pause()"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment) as parent:
        child = int(parent.stdout.readline())
        parent.kill()
    eventually(lambda: embedded._arguments(child) == [], within_s=5)


def test_a_log_that_grows_too_large_is_set_aside_and_its_writer_goes_on(tmp_path):
    log = tmp_path / "web.log"
    with log.open("a") as writer:
        writer.write("x" * 100)
        writer.flush()
        supervision.cap_log(log, limit=50)
        writer.write("more")
    assert log.read_text() == "more"
    assert (tmp_path / "web.log.1").read_text() == "x" * 100


def test_a_taken_port_gives_a_sentence_before_anything_starts(tmp_path):
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        port = squatter.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "manage.py", "up"],
            cwd=ROOT, env=os.environ | {"PORT": str(port), "DATA_DIR": str(tmp_path / "data")},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert f"Port {port} is taken" in done.stderr
    assert not (tmp_path / "data/postgres").exists()


@pytest.mark.faults
def test_the_whole_product_heals_itself_and_stops_cleanly():
    with running_product(DATA_DIR / f"product-{NUMBER}-healing") as product:
        parts = ("web", "beat", "worker", "redis", "postgres")
        processes = [product.pid(part) for part in parts]
        for part in parts:
            product.kill(part)
        eventually(lambda: [product.starts(part) for part in parts] == [2] * 5)
        # A worker is only seen once beat has asked through Redis and the worker has written to PostgreSQL.
        eventually(lambda: product.status().get("status") == "ok", within_s=60)
        processes += [product.pid(part) for part in parts]
        assert product.stop(signal.SIGINT) == 0
        assert product.said.endswith("Stopped.\n")
        assert [pid for pid in processes if embedded._arguments(pid)] == []
