"""Marks: none is lost, whoever writes and computes at the same time; nobody waits for a broker that is away."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import IntegrityError, OperationalError, connection, connections

from coalition import broker, stale
from coalition.access import SYSTEM, acting_as
from coalition.models import Stale
from pledges import readiness
from pledges.models import Pledge
from tests.factories import a_pledge, a_requirement, an_allocation, the_operation

KIND = "test"


@pytest.fixture
def sent(monkeypatch):
    """Collect what would be sent to the broker."""
    tasks = []
    monkeypatch.setattr(broker.app, "send_task", lambda name, **_: tasks.append(name))
    monkeypatch.setattr(broker, "_silent_until", 0.0)
    return tasks


def in_threads(*jobs):
    """Run the functions at the same time, each with a connection of its own; raise what one of them raises."""

    def run(job):
        try:
            return job()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [done.result(timeout=60) for done in [pool.submit(run, job) for job in jobs]]


# --- claiming -----------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_mark_that_comes_while_the_worker_computes_stays():
    def recompute(keys):
        computed.append(keys)
        if len(computed) == 1:
            stale.mark(KIND, ["a"])

    computed = []
    stale.mark(KIND, ["a", "b"])
    assert stale.drain(KIND, recompute) == 3
    assert computed == [["a", "b"], ["a"]]


@pytest.mark.django_db
def test_many_marks_of_one_key_are_one_computation():
    for _ in range(30):
        stale.mark(KIND, ["a"])
    computed = []
    assert stale.drain(KIND, computed.append, chunk=10) == 1
    assert (computed, Stale.objects.count()) == ([["a"]], 0)


@pytest.mark.django_db
def test_kinds_do_not_take_each_others_marks():
    stale.mark(KIND, ["a"])
    stale.mark("other", ["a"])
    stale.drain(KIND, lambda keys: None)
    assert list(Stale.objects.values_list("kind", flat=True)) == ["other"]


@pytest.mark.django_db
@pytest.mark.parametrize("error", [ZeroDivisionError, IntegrityError])
def test_a_key_that_cannot_be_computed_does_not_hold_up_the_others(error):
    def recompute(keys):
        if "bad" in keys:
            raise error
        computed.extend(keys)

    computed = []
    stale.mark(KIND, ["a", "bad", "c"])
    assert stale.drain(KIND, recompute) == 2
    assert sorted(computed) == ["a", "c"]
    assert list(Stale.objects.values_list("key", flat=True)) == ["bad"]


@pytest.mark.django_db
def test_what_is_asked_again_and_again_is_marked_once():
    assert (stale.mark_unmarked(KIND, ["a", "b"]), stale.mark_unmarked(KIND, ["a", "b", "c"])) == (2, 1)
    assert stale.waiting(KIND, prefix="a").keys == 1
    assert stale.waiting("nothing") == stale.Waiting(keys=0, since=None)


@pytest.mark.django_db
def test_what_fails_once_is_tried_again():
    def recompute(keys):
        tries.append(keys)
        if len(tries) == 1:
            raise OperationalError("deadlock detected")

    tries = []
    stale.mark(KIND, ["a", "b"])
    assert (stale.drain(KIND, recompute), tries) == (2, [["a", "b"]] * 2)


# --- nudging -------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_nudge_names_the_kinds_that_have_marks(sent, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        stale.mark(KIND, ["a", "b"])
        stale.mark("other", ["a"])
        stale.nudge()
    assert sent == ["sweep.other", f"sweep.{KIND}"]


@pytest.mark.django_db
def test_nothing_is_sent_when_nothing_waits(sent, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        stale.nudge()
    assert sent == []


@pytest.mark.django_db
def test_after_a_refusal_the_broker_is_left_alone_for_a_while(monkeypatch):
    asked = []

    def refuse(name, **_):
        asked.append(name)
        raise ConnectionError

    monkeypatch.setattr(broker.app, "send_task", refuse)
    monkeypatch.setattr(broker, "_silent_until", 0.0)
    assert [broker.send("one"), broker.send("two")] == [False, False]
    assert asked == ["one"]


# --- writers and workers at the same time ------------------------------------------------------------


def test_two_writers_and_two_workers_on_one_line_end_equal_to_a_recount(committed):
    with acting_as(SYSTEM):
        operation = the_operation()
        line = a_requirement(10_000, needed_from=operation.today())
        pledges = [a_pledge(1, status=Pledge.Status.COMMITTED) for _ in range(2)]
        for pledge in pledges:
            an_allocation(pledge, line, 5_000)
    writing = threading.Semaphore(0)

    def write(pledge, rounds=40):
        for number in range(1, rounds + 1):
            with acting_as(SYSTEM):
                Pledge.objects.filter(pk=pledge.pk).update(quantity=number)
                if number % 5 == 0:
                    a_pledge(1, status=Pledge.Status.COMMITTED, what="One more")
            writing.release()

    def sweep(rounds=40):
        for _ in range(rounds):
            writing.acquire(timeout=30)
            readiness.sweep()

    in_threads(lambda: write(pledges[0]), lambda: write(pledges[1]), sweep, sweep)
    readiness.sweep()
    with acting_as(SYSTEM):
        assert not Stale.objects.exists()
        [row] = readiness.matrix(operation, on=operation.today(), tier=3).rows
        assert row.levels["firm"] == sum(Pledge.objects.values_list("quantity", flat=True)) == 40 + 40 + 16
        assert (row.covered, row.free) == (80, 16)


def test_a_write_that_commits_after_the_worker_has_read_is_computed_by_the_next(committed):
    with acting_as(SYSTEM):
        pledge = a_pledge(1, status=Pledge.Status.COMMITTED)
    readiness.sweep()
    read, written = threading.Event(), threading.Event()

    def write():
        read.wait(30)
        with acting_as(SYSTEM):
            Pledge.objects.filter(pk=pledge.pk).update(quantity=7)
        written.set()

    def slow_worker():
        with acting_as(SYSTEM):
            claimed = stale.claim(readiness.KIND)
            readiness.recompute(claimed.keys)
            read.set()
            written.wait(30)
            stale.settle(claimed)

    with acting_as(SYSTEM):
        Pledge.objects.filter(pk=pledge.pk).update(quantity=5)
    in_threads(write, slow_worker)
    operation = pledge.operation
    assert stored_firm(operation) == 5
    assert readiness.sweep() == 1
    assert stored_firm(operation) == 7


def stored_firm(operation):
    with acting_as(SYSTEM):
        [row] = readiness.matrix(operation, on=operation.today(), tier=3).rows
        return row.levels["firm"]


def test_a_worker_waits_for_another_that_computes_the_same_key_and_then_sees_what_it_saw(committed):
    with acting_as(SYSTEM):
        pledge = a_pledge(1, status=Pledge.Status.COMMITTED)
    claimed, order = threading.Event(), []

    def first():
        with acting_as(SYSTEM):
            taken = stale.claim(readiness.KIND)
            claimed.set()
            end = time.monotonic() + 20
            with connection.cursor() as cursor:  # hold the key until the second waits for it
                waits = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                while time.monotonic() < end and not cursor.execute(waits).fetchone():
                    pass
            readiness.recompute(taken.keys)
            stale.settle(taken)
            order.append("first")

    def second():
        claimed.wait(30)
        with acting_as(SYSTEM):
            Pledge.objects.filter(pk=pledge.pk).update(quantity=9)
        readiness.sweep()
        order.append("second")

    in_threads(first, second)
    assert (order, stored_firm(pledge.operation)) == (["first", "second"], 9)


@pytest.mark.django_db
@pytest.mark.parametrize(("marks", "sweeps"), [(0, 0), (1, 1), (29, 1), (30, 2)])
def test_much_to_recompute_is_shared_by_two_workers(marks, sweeps, monkeypatch):
    sent = []
    monkeypatch.setattr(stale.broker, "send", lambda task, **_: sent.append(task))
    with acting_as(SYSTEM):
        stale.mark("readiness", [f"1:{number}" for number in range(marks)])
        stale.send_sweeps()
    assert sent == ["sweep.readiness"] * sweeps
