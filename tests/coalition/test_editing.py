"""Versions and repeated creates: what a write must say, and what it gets when it does not."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, connections, transaction
from django.http import Http404
from django.test import Client, RequestFactory
from rest_framework.parsers import JSONParser
from rest_framework.request import Request

from coalition import conditions, editing, nations
from coalition.access import SYSTEM, Role, acting_as
from coalition.editing import Answer, KeyMalformed, KeyReused, VersionMissing, VersionStale, once, version_asked
from coalition.models import ApiToken, Condition, IdempotencyKey, Nation
from pledges.models import Pledge
from tests.factories import a_capability, a_condition, a_member, a_nation, a_pledge, an_operation, the_operation

ask = RequestFactory()


# --- Versions -----------------------------------------------------------------------------


@pytest.mark.parametrize("header", ['"pledge-12-v3"', '"nation-FR-v3"', '"3"', ' "3" '])
def test_the_version_is_read_from_a_strong_tag(header):
    assert version_asked(ask.patch("/", headers={"If-Match": header})) == 3


@pytest.mark.parametrize(
    "header",
    [
        "*",
        'W/"3"',
        'W/"pledge-12-v3"',
        '"3", "4"',
        "3",
        '"0"',
        '"-1"',
        '"v3"',
        '"pledge-12"',
        '""',
        '"٣"',
        '"9999999999"',
    ],
)
def test_anything_but_one_strong_tag_names_no_version(header):
    with pytest.raises(VersionMissing) as refused:
        version_asked(ask.patch("/", headers={"If-Match": header}))
    assert refused.value.status == 428


def test_a_form_says_its_version_in_a_field():
    assert version_asked(ask.post("/", {"version": "7"})) == 7


@pytest.mark.parametrize("data", [{}, {"version": ""}, {"version": "x"}, {"version": "0"}, {"version": "٣"}])
def test_a_form_without_a_version_is_refused(data):
    with pytest.raises(VersionMissing):
        version_asked(ask.post("/", data))


@pytest.mark.django_db
def test_the_tag_of_another_row_does_not_match():
    with acting_as(SYSTEM):
        pledge, other = a_pledge(), a_pledge()
    assert version_asked(ask.patch("/", headers={"If-Match": editing.etag(pledge)}), pledge) == 1
    with pytest.raises(VersionStale):
        version_asked(ask.patch("/", headers={"If-Match": editing.etag(other)}), pledge)


@pytest.mark.django_db
def test_a_locked_row_is_compared_after_the_lock_and_a_stale_writer_gets_the_row():
    nation = a_nation("FR")
    with transaction.atomic():
        assert editing.lock(Nation.objects.all(), "FR", based_on=1) == nation
    Nation.objects.update(focal_point="Paris")
    with transaction.atomic(), pytest.raises(VersionStale) as refused:
        editing.lock(Nation.objects.all(), "FR", based_on=1)
    assert (refused.value.status, refused.value.current.focal_point, refused.value.based_on) == (412, "Paris", 1)


@pytest.mark.django_db
@pytest.mark.parametrize("pk", [999, "x", 10**30, None, [1]])
def test_a_row_that_does_not_exist_is_not_found(pk):
    with acting_as(SYSTEM), pytest.raises(Http404):
        editing.lock(Condition.objects.all(), pk)


# --- Creates sent twice -------------------------------------------------------------------


class Counter:
    """A create that counts how often it ran."""

    def __init__(self, answer: Answer):
        self.answer = answer
        self.ran = 0

    def __call__(self) -> Answer:
        self.ran += 1
        return self.answer


@pytest.fixture
def officer(db):
    return a_member(Role.OFFICER, "FR")


def form(user, key="k", path="/pledges/new/", **data):
    request = ask.post(path, {"idempotency_key": key, **data})
    request.user = user
    return request


def body(user, content, key="k"):
    headers = {"Idempotency-Key": key}
    request = Request(
        ask.post("/api/v1/pledges/", json.dumps(content), content_type="application/json", headers=headers),
        parsers=[JSONParser()],
    )
    request.user = user
    return request


def test_a_form_sent_twice_creates_once_and_leads_to_the_same_page(officer):
    create = Counter(Answer.redirect("/pledges/1/"))
    with acting_as(officer):
        first = once(form(officer, what="A", csrfmiddlewaretoken="x"), create)
        second = once(form(officer, what="A", csrfmiddlewaretoken="y"), create)
    assert create.ran == 1
    assert (first.location, second.location) == ("/pledges/1/", "/pledges/1/")
    assert (first.replayed, second.replayed) == (False, True)


def test_the_api_gets_the_same_status_and_body_however_the_keys_are_ordered(officer):
    create = Counter(Answer(201, {"id": 1, "quantity": 2}))
    with acting_as(officer):
        first = once(body(officer, {"a": 1, "b": 2}), create)
        second = once(body(officer, {"b": 2, "a": 1}), create)
    assert create.ran == 1
    assert (second.status, second.body) == (first.status, first.body) == (201, {"id": 1, "quantity": 2})


def test_the_same_key_with_other_content_is_refused(officer):
    create = Counter(Answer(201, {}))
    with acting_as(officer):
        once(body(officer, {"a": 1}), create)
        for other in (body(officer, {"a": 2}), form(officer, path="/elsewhere/")):
            with pytest.raises(KeyReused) as refused:
                once(other, create)
    assert (refused.value.status, create.ran) == (422, 1)


def test_without_a_key_everything_runs(officer):
    create = Counter(Answer(201, {}))
    request = ask.post("/", {"a": 1})
    request.user = officer
    with acting_as(officer):
        once(request, create)
        once(request, create)
        assert (create.ran, IdempotencyKey.objects.count()) == (2, 0)


def test_a_create_that_failed_leaves_no_key_so_it_may_be_sent_again(officer):
    def fails():
        raise ValidationError("No")

    create = Counter(Answer(201, {}))
    with acting_as(officer):
        with pytest.raises(ValidationError):
            once(form(officer, what=""), fails)
        once(form(officer, what="A"), create)
    assert create.ran == 1


def test_two_people_may_choose_the_same_key(officer):
    create = Counter(Answer(201, {}))
    for user in (officer, a_member(Role.OFFICER, "FR")):
        with acting_as(user):
            once(form(user), create)
    assert create.ran == 2


@pytest.mark.parametrize("key", [" ", "x" * 201])
def test_a_malformed_key_is_refused(officer, key):
    with acting_as(officer), pytest.raises(KeyMalformed):
        once(body(officer, {}, key=key), Counter(Answer(201, {})))


def test_a_double_click_waits_for_its_twin_and_gets_its_answer(committed):
    officer = a_member(Role.OFFICER, "FR")
    running, may_finish = threading.Event(), threading.Event()
    create = Counter(Answer.redirect("/pledges/1/"))
    answers: list = [None, None]

    def slow():
        running.set()
        may_finish.wait(30)
        return create()

    def send(place, action):
        try:
            with acting_as(officer):
                answers[place] = once(form(officer), action)
        finally:
            connection.close()

    first = threading.Thread(target=send, args=(0, slow))
    first.start()
    assert running.wait(30)
    second = threading.Thread(target=send, args=(1, create))
    second.start()
    second.join(0.2)
    assert second.is_alive()  # it waits on the unique index
    may_finish.set()
    first.join(30)
    second.join(30)
    assert create.ran == 1
    assert [answer.location for answer in answers] == ["/pledges/1/"] * 2
    assert sorted(answer.replayed for answer in answers) == [False, True]


# --- Conditions and nations ---------------------------------------------------------------


@pytest.fixture
def planner(db):
    the_operation()
    return a_member(Role.PLANNER)


def test_a_planner_poses_a_condition_and_changes_what_became_of_it(planner):
    condition = conditions.pose({"kind": "mandate", "title": "A mandate", "probability": 0.4}, by=planner)
    assert (condition.operation, condition.state) == (the_operation(), "open")
    changed = conditions.revise(condition.pk, {"state": "met"}, by=planner, based_on=1, why="Voted")
    assert (changed.state, changed.version) == ("met", 2)
    with pytest.raises(VersionStale):
        conditions.revise(condition.pk, {"state": "failed"}, by=planner, based_on=1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "weather"),
        ("title", ""),
        ("title", "x" * 201),
        ("state", "perhaps"),
        ("probability", 1.1),
        ("probability", -0.1),
        ("probability", float("nan")),
        ("probability", "likely"),
        ("due_on", "soon"),
        ("tier", 9),
        ("operation", "no-such"),
        ("nation", "XX"),
        ("source_url", "javascript:alert(1)"),
    ],
)
def test_an_impossible_condition_is_refused_on_its_field(planner, field, value):
    with pytest.raises(ValidationError) as refused:
        conditions.pose({"kind": "mandate", "title": "A mandate", field: value}, by=planner)
    assert field in refused.value.message_dict


def test_a_title_is_given_once_per_operation(planner):
    conditions.pose({"kind": "mandate", "title": "A mandate"}, by=planner)
    with pytest.raises(ValidationError):
        conditions.pose({"kind": "mandate", "title": "A mandate"}, by=planner)
    assert conditions.pose({"kind": "mandate", "title": "A mandate", "operation": an_operation()}, by=planner)


def test_a_condition_does_not_become_stricter_than_its_pledges_and_says_how_many(planner):
    with acting_as(SYSTEM):
        condition = a_condition("Backstop")
        for _ in range(3):
            a_pledge(conditions=(condition,), tier=2)
    with pytest.raises(ValidationError) as refused:
        conditions.revise(condition.pk, {"tier": 3}, by=planner, based_on=None)
    assert refused.value.message_dict["tier"][0].startswith("3 pledges")
    assert conditions.revise(condition.pk, {"tier": 2}, by=planner, based_on=None).tier == 2


def test_what_a_state_would_move_is_said_before_it_is_set(planner):
    with acting_as(SYSTEM):
        condition = a_condition("Backstop")
        for status in ("offered", "committed", "ready", "in_place"):
            a_pledge(conditions=(condition,), status=status)
    with acting_as(planner):
        said = conditions.warning(condition, "failed", by=planner)
        assert conditions.warning(a_condition("Nothing hangs here"), "failed", by=planner) == ""
    assert "2 committed or ready will be blocked" in said
    assert "1 deploying or in place" in said


def test_a_nations_standing_is_changed_on_its_version_and_confirmed_by_it(planner):
    a_nation("FR")
    nation = nations.revise("FR", {"standing": "participant"}, by=planner, based_on=1, why="Said in Paris")
    assert nation.standing == "participant"
    assert nation.last_confirmed_at is not None
    with pytest.raises(VersionStale):
        nations.revise("FR", {"standing": "declined"}, by=planner, based_on=1)
    with pytest.raises(ValidationError):
        nations.revise("FR", {"standing": "perhaps"}, by=planner, based_on=None)
    with pytest.raises(ValidationError):
        nations.revise("FR", {"code": "XX"}, by=planner, based_on=None)


def test_fifty_creates_at_once_under_one_key_are_one_pledge(committed):
    with acting_as(SYSTEM):
        the_operation(), a_nation("FR"), a_capability()
        officer = a_member(Role.OFFICER, "FR")
        _, secret = ApiToken.objects.create(officer, scope=ApiToken.Scope.LOG_PLEDGES)
    headers = {"Authorization": f"Token {secret}", "Idempotency-Key": "over-a-bad-line"}
    body = {"capability": "infantry", "what": "Men"}

    def one(_) -> tuple[int, bytes]:
        try:
            answer = Client().post("/api/v1/pledges/", body, content_type="application/json", headers=headers)
            return answer.status_code, answer.content
        finally:
            connections.close_all()

    with ThreadPoolExecutor(10) as pool:
        answers = set(pool.map(one, range(50)))
    assert {status for status, _ in answers} == {201}
    assert len(answers) == 1
    with acting_as(SYSTEM):
        assert Pledge.objects.count() == 1
