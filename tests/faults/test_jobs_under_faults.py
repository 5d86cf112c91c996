"""Long work while its workers die: done once each, or given up with a reason, and nobody waits for the poisoned ones."""

import os
import signal
import time
from collections import Counter
from contextlib import suppress

import pytest

from coalition import jobs
from coalition.access import SYSTEM, acting_as
from coalition.models import Condition, Job, User
from tests.faults.people import RECOVERED_WITHIN_S, SHORT
from tests.faults.strange_jobs import DIES, NOTE, RAISES
from tests.faults.test_parts_die import broker_of, children_of
from tests.product import eventually

pytestmark = pytest.mark.faults
JOBS, EXPORTS = (200, 5) if SHORT else (480, 20)
KILLS = 2 if SHORT else 4
UNFINISHED = [Job.State.WAITING, Job.State.RUNNING]


@pytest.fixture
def inside(product, django_db_blocker):
    """Look into the product's database, and start jobs there as one of its processes would."""
    with django_db_blocker.unblock(), product.database():
        yield


def begun(kind: str, by=SYSTEM, **arguments) -> Job:
    with acting_as(by):
        return jobs.start(kind, by=by, arguments=arguments)


def states_of(ids: list) -> Counter:
    with acting_as(SYSTEM):
        return Counter(Job.objects.filter(pk__in=ids).values_list("state", flat=True))


def all_over(ids: list) -> bool:
    states = states_of(ids)
    return not any(states[state] for state in UNFINISHED)


def kill_some_worker(product, chance) -> None:
    """Kill the worker as a whole, or the process of one job."""
    main = product.pid("worker")
    with suppress(FileNotFoundError, ProcessLookupError):  # it went by itself a moment ago
        os.kill(chance.choice([main, *children_of(main)]), signal.SIGKILL)


def test_the_worker_is_killed_at_random_under_five_hundred_jobs(product, inside, chance, cost):
    with acting_as(SYSTEM):
        planner = User.objects.get(username="planner-one")
    notes = [begun(NOTE, seconds=chance.uniform(0.01, 0.06)).pk for _ in range(JOBS)]
    exports = [begun("export", by=planner, path="/api/v1/nations/", query="format=csv").pk for _ in range(EXPORTS)]
    ids = notes + exports
    for _ in range(KILLS):
        left = sum(states_of(ids)[state] for state in UNFINISHED)
        goal = left - chance.randint(10, JOBS // (2 * KILLS))
        eventually(lambda goal=goal: sum(states_of(ids)[state] for state in UNFINISHED) <= goal, within_s=90)
        eventually(lambda: product.pid("worker"))
        kill_some_worker(product, chance)
    killed = time.monotonic()
    eventually(lambda: all_over(ids), within_s=120)
    recovered = time.monotonic() - killed
    with acting_as(SYSTEM):
        noted = Counter(Condition.objects.filter(title__startswith=f"{NOTE} ").values_list("title", flat=True))
        attempts = Counter(Job.objects.filter(pk__in=ids).values_list("attempts", flat=True))
        failed = Job.objects.filter(pk__in=ids, state=Job.State.FAILED)
        given_up = set(failed.filter(attempts=jobs.MOST_ATTEMPTS).exclude(error="").values_list("pk", flat=True))
        lost = set(failed.values_list("pk", flat=True)) - given_up
    cost(
        f"worker killed {KILLS} times under {len(ids)} jobs",
        acknowledged=len(ids),
        lost=len(lost | {pk for pk in notes if f"{NOTE} {pk}" not in noted} - given_up),
        twice=sum(times > 1 for times in noted.values()),
        longest_request_s=None,
        recovered_s=recovered,
        note=f"attempts {dict(sorted(attempts.items()))}, given up {len(given_up)}",
    )


def test_redis_is_emptied_while_jobs_wait(product, inside, chance, cost):
    ids = [begun(NOTE, seconds=chance.uniform(0.01, 0.06)).pk for _ in range(60)]
    broker_of(product).flushall()
    emptied = time.monotonic()
    eventually(lambda: all_over(ids), within_s=2 * RECOVERED_WITHIN_S)
    recovered = time.monotonic() - emptied
    done = states_of(ids)[Job.State.DONE]
    cost(
        "redis emptied while jobs wait",
        acknowledged=len(ids), lost=len(ids) - done, twice=0, longest_request_s=None, recovered_s=recovered,
    )  # fmt: skip


@pytest.mark.skipif(SHORT, reason="Three attempts take a while.")
def test_poison_is_given_up_with_a_reason_and_holds_nobody_up(product, inside, officer, cost):
    began = time.monotonic()
    poison = {kind: begun(kind).pk for kind in (DIES, RAISES)}
    honest = [begun(NOTE, seconds=0.02).pk for _ in range(20)]
    eventually(lambda: states_of(honest)[Job.State.DONE] == len(honest), within_s=RECOVERED_WITHIN_S)
    honest_after = time.monotonic() - began
    eventually(lambda: all_over(list(poison.values())), within_s=3 * RECOVERED_WITHIN_S)
    given_up = time.monotonic() - began
    with acting_as(SYSTEM):
        found = {job.kind: job for job in Job.objects.filter(pk__in=poison.values())}
    assert (found[DIES].state, found[DIES].attempts) == (Job.State.FAILED, jobs.MOST_ATTEMPTS)
    assert "died" in found[DIES].error
    assert (found[RAISES].state, found[RAISES].attempts) == (Job.State.FAILED, 1)
    assert str(found[RAISES].pk) in found[RAISES].error
    planner = type(officer)(product.address)
    assert planner.log_in("planner-one") == 302
    status, page = planner.ask("/jobs/?state=failed")
    assert status == 200
    assert found[DIES].error in page
    assert planner.ask(f"/jobs/{found[RAISES].pk}/retry/", {})[0] == 302
    eventually(lambda: states_of([found[RAISES].pk])[Job.State.FAILED] == 1, within_s=RECOVERED_WITHIN_S)
    cost(
        "two poisoned jobs",
        acknowledged=len(honest), lost=0, twice=0, longest_request_s=None, recovered_s=given_up,
        note=f"20 jobs beside them were done after {honest_after:.1f} s",
    )  # fmt: skip
