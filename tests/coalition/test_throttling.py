"""Who asks too often waits; nobody else does, and without Redis nobody at all."""

from datetime import UTC, datetime, timedelta

import pytest
import redis
import time_machine
from django.test import Client

from coalition import embedded, throttling
from coalition.access import SYSTEM, Role, acting_as
from coalition.models import ApiToken, Condition
from tests.factories import a_member, the_operation

pytestmark = pytest.mark.django_db

MINUTE = datetime(2027, 3, 1, 12, 0, tzinfo=UTC)
NATIONS, WHAT_IF = "/api/v1/nations/", "/api/v1/readiness/what-if/"


@pytest.fixture
def limits(settings):
    """Limits that a test can reach, counted anew, at fifteen seconds past the minute."""
    settings.API_PER_MINUTE = {"requests": 3, "files": 1, "what-if": 1, "uploads": 1}
    for key in throttling._client.scan_iter("asked:*"):
        throttling._client.delete(key)
    with time_machine.travel(MINUTE + timedelta(seconds=15), tick=False) as clock:
        yield clock


def a_person(role: Role = Role.PLANNER) -> Client:
    with acting_as(SYSTEM):
        client = Client()
        client.force_login(a_member(role))
    return client


def statuses(client: Client, address: str, times: int) -> list[int]:
    return [client.get(address).status_code for _ in range(times)]


def test_who_asks_too_often_is_told_how_long_to_wait(limits):
    client = a_person()
    assert statuses(client, NATIONS, 3) == [200] * 3
    answer = client.get(NATIONS)
    body = answer.json()
    assert (answer.status_code, body["type"], body["code"], body["errors"]) == (429, "client_error", "throttled", {})
    assert 45 <= int(answer.headers["Retry-After"]) <= 46
    assert answer.headers["X-Request-ID"]


def test_after_the_wait_one_is_let_in(limits):
    client = a_person()
    assert statuses(client, NATIONS, 4)[-1] == 429
    limits.shift(int(client.get(NATIONS).headers["Retry-After"]))
    assert client.get(NATIONS).status_code == 200


def test_a_program_does_not_shut_out_its_owner_nor_anybody_else(limits):
    with acting_as(SYSTEM):
        owner = a_member(Role.ANALYST)
        secrets = [ApiToken.objects.create(owner)[1] for _ in range(2)]
    programs = [Client(headers={"Authorization": f"Token {secret}"}) for secret in secrets]
    browser = Client()
    browser.force_login(owner)
    assert statuses(programs[0], NATIONS, 4) == [200, 200, 200, 429]
    assert [each.get(NATIONS).status_code for each in (programs[1], browser, a_person())] == [200] * 3


def test_what_is_dear_has_a_limit_of_its_own(limits, settings):
    settings.API_PER_MINUTE |= {"requests": 0}
    client = a_person()
    assert statuses(client, f"{NATIONS}?format=csv", 2) == [200, 429]
    with acting_as(SYSTEM):
        the_operation()
    asked = [client.post(WHAT_IF, {}, content_type="application/json").status_code for _ in range(2)]
    assert (asked[0] != 429, asked[1]) == (True, 429)
    assert client.get(NATIONS).status_code == 200


def test_a_limit_of_nothing_is_none(limits, settings):
    settings.API_PER_MINUTE = dict.fromkeys(settings.API_PER_MINUTE, 0)
    assert set(statuses(a_person(), f"{NATIONS}?format=csv", 5)) == {200}


def test_what_was_refused_wrote_nothing(limits):
    client = a_person()
    with acting_as(SYSTEM):
        the_operation()
    statuses(client, NATIONS, 3)
    body = {"kind": "backstop", "title": "One too many"}
    assert client.post("/api/v1/conditions/", body, content_type="application/json").status_code == 429
    with acting_as(SYSTEM):
        assert not Condition.objects.exists()


def test_strangers_are_turned_away_before_they_are_counted(limits):
    assert set(statuses(Client(), NATIONS, 5)) == {401}


def test_maps_are_counted_too(limits):
    client = a_person()
    assert statuses(client, "/ogc/collections", 4) == [200, 200, 200, 429]


def test_without_redis_nobody_is_refused_and_only_one_tries(limits, monkeypatch):
    asked = []

    class Away(redis.Redis):
        def pipeline(self, *args, **kwargs):
            asked.append(True)
            return super().pipeline(*args, **kwargs)

    nowhere = Away(host="127.0.0.1", port=embedded.free_port(), retry=None, socket_connect_timeout=0.2)
    monkeypatch.setattr(throttling, "_client", nowhere)
    monkeypatch.setattr(throttling, "_silent_until", 0.0)
    assert set(statuses(a_person(), NATIONS, 6)) == {200}
    assert len(asked) == 1
