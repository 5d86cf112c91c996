"""Long work: done once, given up after three attempts, seen by its owner, and never lost with its worker."""

import errno
import threading
import time
from datetime import timedelta

import pytest
from django.db import OperationalError, connections, transaction
from django.utils import timezone

from coalition import broker, housekeeping, jobs
from coalition.access import SYSTEM, Role, acting_as
from coalition.models import IdempotencyKey, Job
from tests.factories import a_member, a_nation

State = Job.State


@pytest.fixture(autouse=True)
def _database(request):
    """Roll back after each test, except where it commits for real."""
    if "committed" not in request.fixturenames:
        request.getfixturevalue("db")


@pytest.fixture(autouse=True)
def sent(monkeypatch):
    """Collect the ids that would be sent to the broker."""
    ids = []
    monkeypatch.setattr(broker.app, "send_task", lambda name, args, **_: ids.append(args[0] if args else name))
    monkeypatch.setattr(broker, "_silent_until", 0.0)
    monkeypatch.setattr(jobs, "_handlers", {})
    return ids


def the_job(pk):
    with acting_as(SYSTEM):
        return Job.objects.get(pk=pk)


def a_job(kind="count", **fields):
    with acting_as(SYSTEM):
        return Job.objects.create(kind=kind, **fields)


LONG_AGO = timezone.now() - timedelta(hours=1)


def test_a_job_is_written_down_first_and_sent_after_commit(sent, django_capture_on_commit_callbacks):
    user = a_member()
    with django_capture_on_commit_callbacks(execute=True), acting_as(user):
        job = jobs.start("count", by=user, arguments={"to": 3})
        assert sent == []
    assert sent == [str(job.pk)]
    assert (the_job(job.pk).state, the_job(job.pk).user) == (State.WAITING, user)


def test_the_same_key_starts_one_job_and_another_request_with_it_is_refused():
    user, other = a_member(), a_member()
    with acting_as(user):
        first = jobs.start("count", by=user, arguments={"to": 3}, idempotency_key="k")
        assert jobs.start("count", by=user, arguments={"to": 3}, idempotency_key="k") == first
        with pytest.raises(jobs.KeyUsed, match="something else"):
            jobs.start("count", by=user, arguments={"to": 4}, idempotency_key="k")
    with acting_as(other):
        assert jobs.start("count", by=other, arguments={"to": 3}, idempotency_key="k") != first


def test_a_handler_works_for_whoever_asked_and_its_result_is_kept():
    user = a_member()

    @jobs.handles("count")
    def count(work):
        with work.acting() as actor:
            work.progress(2, 4)
            work.progress(4)
            return {"by": actor.name, "to": work.arguments["to"]}

    job = a_job(user=user, arguments={"to": 4})
    assert jobs.work(job.pk)
    done = the_job(job.pk)
    assert (done.state, done.result, done.share) == (State.DONE, {"by": user.username, "to": 4}, 1)
    assert done.finished_at is not None


def test_a_finished_job_is_not_done_again():
    calls = []
    jobs.handles("count")(calls.append)
    job = a_job()
    assert (jobs.work(job.pk), jobs.work(job.pk), len(calls)) == (True, False, 1)


def test_an_attempt_is_counted_before_the_work_begins():
    seen = []
    jobs.handles("count")(lambda work: seen.append(the_job(work.job_id).attempts))
    jobs.work(a_job().pk)
    assert seen == [1]


def test_a_job_in_a_living_workers_hands_is_left_alone():
    job = a_job(state=State.RUNNING, attempts=1, heartbeat_at=timezone.now())
    assert not jobs.work(job.pk)
    assert jobs.take_up() == 0


def test_a_job_whose_worker_died_is_sent_and_done_again(sent):
    jobs.handles("count")(lambda work: {"attempt": work.number})
    job = a_job(state=State.RUNNING, attempts=1, heartbeat_at=LONG_AGO)
    assert (jobs.take_up(), sent) == (1, [str(job.pk)])
    assert jobs.work(job.pk)
    assert the_job(job.pk).result == {"attempt": 2}


def test_after_three_dead_workers_nothing_more_is_tried(sent):
    job = a_job(state=State.RUNNING, attempts=3, heartbeat_at=LONG_AGO)
    assert not jobs.work(job.pk)
    assert (jobs.take_up(), sent) == (0, [])
    assert (the_job(job.pk).state, "3 times" in the_job(job.pk).error) == (State.FAILED, True)


def test_a_job_whose_message_was_lost_is_looked_for_and_done(sent):
    calls = []
    jobs.handles("count")(calls.append)
    lost, fresh = a_job(), a_job()
    with acting_as(SYSTEM):
        Job.objects.filter(pk=lost.pk).update(created_at=LONG_AGO)
    assert (jobs.take_up(), sent) == (1, ["coalition.work_off"])
    assert (jobs.work_off(), len(calls)) == (1, 1)
    assert (the_job(lost.pk).state, the_job(fresh.pk).state) == (State.DONE, State.WAITING)


def test_a_refusal_is_told_in_its_own_words_and_a_fault_is_not():
    def refuse(work):
        raise jobs.JobFailed("Row 7 has no date.")

    def break_(work):
        raise ZeroDivisionError("secret")

    for kind, handler in (("refuse", refuse), ("break", break_)):
        jobs.handles(kind)(handler)
    errors = []
    for kind in ("refuse", "break", "unknown"):
        job = a_job(kind)
        jobs.work(job.pk)
        assert the_job(job.pk).state == State.FAILED
        errors.append(the_job(job.pk).error)
    assert errors[0] == "Row 7 has no date."
    assert "secret" not in errors[1]
    assert "unknown" in errors[2]


def test_a_job_that_lost_its_database_is_tried_again_and_then_given_up_with_the_reason(sent):
    @jobs.handles("count")
    def count(work):
        raise OperationalError("secret")

    job = a_job()
    for attempt in (1, 2, 3):
        assert jobs.work(job.pk)
        assert (the_job(job.pk).state, the_job(job.pk).attempts) == (State.RUNNING, attempt)
    assert jobs.take_up() == 0
    assert the_job(job.pk).state == State.FAILED
    assert the_job(job.pk).error.startswith("The database did not answer")


def test_a_full_disk_is_told(sent):
    @jobs.handles("count")
    def count(work):
        raise OSError(errno.ENOSPC, "No space left on device")

    job = a_job()
    jobs.work(job.pk)
    assert "disk is full" in the_job(job.pk).error


def test_a_failed_job_is_tried_again_by_its_owner_or_a_planner_and_by_nobody_else(
    client, sent, django_capture_on_commit_callbacks
):
    owner, colleague = a_member(), a_member()
    job = a_job(user=owner, state=State.FAILED, attempts=3, error="Its worker died.")
    client.force_login(colleague)
    assert client.post(f"/jobs/{job.pk}/retry/").status_code == 404
    client.force_login(a_member(Role.PLANNER))
    assert "Its worker died." in client.get("/jobs/?state=failed").content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        assert client.post(f"/jobs/{job.pk}/retry/").status_code == 302
    assert (sent, the_job(job.pk).state, the_job(job.pk).attempts) == ([str(job.pk)], State.WAITING, 0)
    assert client.post(f"/jobs/{job.pk}/retry/").status_code == 409


def test_a_long_queue_is_not_sent_again_as_a_whole(sent):
    for _ in range(5):
        a_job()
    with acting_as(SYSTEM):
        Job.objects.update(created_at=LONG_AGO)
    assert (jobs.take_up(), len(sent)) == (5, jobs.HANDS)


def test_a_job_is_seen_and_stopped_by_its_owner_and_by_planners_only():
    owner, colleague, planner = a_member(), a_member(), a_member(Role.PLANNER)
    job = a_job(user=owner)
    with acting_as(colleague), pytest.raises(Job.DoesNotExist):
        jobs.cancel(job.pk, by=colleague)
    for user in (owner, planner):
        with acting_as(user):
            assert Job.objects.visible_to(user).get() == job
    with acting_as(owner):
        assert (jobs.cancel(job.pk, by=owner), jobs.cancel(job.pk, by=owner)) == (True, False)
    assert not jobs.work(job.pk)


def test_a_cancelled_job_stays_cancelled_when_its_handler_ends():
    @jobs.handles("count")
    def count(work):
        with acting_as(SYSTEM):
            jobs.cancel(work.job_id, by=SYSTEM)
        return {"done": True}

    job = a_job()
    jobs.work(job.pk)
    assert (the_job(job.pk).state, the_job(job.pk).result) == (State.CANCELLED, None)


def test_old_jobs_and_answers_are_thrown_away_and_young_ones_kept():
    user = a_member()
    old, young, waiting = a_job(state=State.DONE), a_job(state=State.DONE), a_job()
    with acting_as(SYSTEM):
        Job.objects.filter(pk=old.pk).update(finished_at=timezone.now() - timedelta(days=100))
        Job.objects.filter(pk=young.pk).update(finished_at=timezone.now())
        IdempotencyKey.objects.create(user=user, key="old", request_hash="x", created_at=LONG_AGO - timedelta(days=3))
        IdempotencyKey.objects.create(user=user, key="young", request_hash="x")
    housekeeping.clean_up()
    with acting_as(SYSTEM):
        assert set(Job.objects.all()) == {young, waiting}
        assert [answer.key for answer in IdempotencyKey.objects.all()] == ["young"]


# --- with real commits, and the heartbeat beside the work ------------------------------------------------


@pytest.fixture
def quick_heart(monkeypatch):
    monkeypatch.setattr(jobs, "BEAT_S", 0.02)


def patiently():
    """Go round until something else ends it; a fault must not hang the run."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        yield


def in_a_thread(function):
    """Run the function with a connection of its own and return what it returns."""
    found = []

    def run():
        try:
            found.append(function())
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    return found[0]


def test_progress_is_seen_while_the_work_stands_in_one_long_transaction(committed, quick_heart):
    @jobs.handles("load")
    def load(work):
        with work.acting():
            a_nation("FR")
            work.progress(40, 100)
            seen = (in_a_thread(lambda: the_job(work.job_id).done) for _ in patiently())
            return {"seen": 40 in seen}

    job = a_job("load")
    jobs.work(job.pk)
    assert the_job(job.pk).result == {"seen": True}


def test_a_job_given_to_another_worker_is_taken_from_the_first(committed, quick_heart):
    @jobs.handles("load")
    def load(work):
        def given_away():
            with acting_as(SYSTEM):
                Job.objects.filter(pk=work.job_id).update(attempts=2)

        in_a_thread(given_away)
        for _ in patiently():
            work.progress(1)

    job = a_job("load")
    assert jobs.work(job.pk)
    assert (the_job(job.pk).state, the_job(job.pk).attempts) == (State.RUNNING, 2)


def test_two_workers_that_get_the_same_message_do_the_job_once(committed):
    calls, both = [], threading.Barrier(2)
    jobs.handles("load")(calls.append)
    job = a_job("load")

    def worker():
        both.wait(30)
        try:
            return jobs.work(job.pk)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=worker) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (len(calls), transaction.get_connection().in_atomic_block) == (1, False)
