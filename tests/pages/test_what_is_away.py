"""What the server lacks at the moment is said: no database 503, no room 507, no worker a line above the page."""

import errno
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import OperationalError
from django.utils import timezone

from coalition import health, views
from coalition.kernel_api import JobViewSet
from tests.factories import a_member, the_operation

AWAY = "The worker is away."


@pytest.fixture
def member(db, client):
    the_operation()
    client.force_login(a_member())
    client.raise_request_exception = False
    return client


def broken_by(error):
    def broken(*_args, **_kwargs):
        raise error

    return broken


NO_DATABASE = OperationalError("connection refused, secret")
NO_ROOM = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("error", "status", "title", "code"),
    [(NO_DATABASE, 503, "The database is away", "database_away"), (NO_ROOM, 507, "The disk is full", "no_room")],
)
def test_what_is_missing_has_a_page_and_a_code(member, monkeypatch, error, status, title, code):
    monkeypatch.setattr(views, "page_of", broken_by(error))
    answer = member.get("/jobs/")
    assert (answer.status_code, title in answer.content.decode()) == (status, True)
    assert "secret" not in answer.content.decode()
    monkeypatch.setattr(JobViewSet, "list", broken_by(error))
    answer = member.get("/api/v1/jobs/")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert ("Retry-After" in answer.headers) == (status == 503)


def test_a_silent_worker_is_said_on_every_page(member):
    cache.set(health.WORKER_SEEN, timezone.now() - 2 * health.WORKER_SILENT_AFTER)
    assert AWAY in member.get("/pledges/").content.decode()
    health.worker_was_here()
    assert AWAY not in member.get("/pledges/").content.decode()


def test_a_worker_that_was_just_heard_of_is_no_silence(db):
    cache.set(health.WORKER_SEEN, timezone.now() - health.WORKER_SILENT_AFTER + timedelta(seconds=5))
    assert not health.worker_is_silent()
