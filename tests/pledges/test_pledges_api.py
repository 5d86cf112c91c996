"""Pledges, lines, allocations and readiness over the API: what goes in, what comes out, and what is refused."""

import threading
from datetime import date, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.models import IdempotencyKey
from pledges import allocating, declaring, readiness
from pledges.models import Allocation, Pledge
from tests.factories import a_capability, a_condition, a_member, a_nation, a_pledge, a_requirement, the_operation

PLEDGES = "/api/v1/pledges/"


@pytest.fixture
def rows(db):
    """A quiet operation with a capability, acting as the system, which the fixtures of people build on."""
    with acting_as(SYSTEM):
        the_operation(), a_capability("infantry"), a_nation("FR"), a_nation("GB")


def logged_in(role: str, nation: str | None = None) -> Client:
    with acting_as(SYSTEM):
        user = a_member(role, nation)
    client = Client()
    client.force_login(user)
    client.user = user
    return client


@pytest.fixture
def officer(rows) -> Client:
    return logged_in(Role.OFFICER, "FR")


@pytest.fixture
def planner(rows) -> Client:
    return logged_in(Role.PLANNER)


@pytest.fixture
def analyst(rows) -> Client:
    return logged_in(Role.ANALYST)


def send(client: Client, method: str, address: str, body=None, *, etag: str = "", key: str | None = None):
    headers = {"If-Match": etag} if etag else {}
    if key is not None:
        headers["Idempotency-Key"] = key
    return getattr(client, method)(address, body or {}, content_type="application/json", headers=headers)


def a_draft(**fields) -> dict:
    return {"capability": "infantry", "what": "One battalion", "quantity": 600, **fields}


def logged(client: Client, **fields):
    answer = send(client, "post", PLEDGES, a_draft(**fields))
    assert answer.status_code == 201, answer.json()
    return answer


# --- Logging ----------------------------------------------------------------------------------------


def test_an_officer_logs_a_pledge_of_their_own_nation(officer):
    with acting_as(SYSTEM):
        gate = a_condition()
    answer = logged(officer, conditions=[gate.pk], caveats=[{"kind": "task", "text": "Not in contact"}], tier="public")
    row = answer.json()
    assert (row["nation"], row["status"], row["level"], row["quantity"]) == ("FR", "offered", "offered", 600.0)
    assert (row["conditions"], row["caveats"], row["tier"]) == ([gate.pk], ["task: Not in contact"], "public")
    assert answer.headers["Location"] == f"{PLEDGES}{row['id']}/"
    again = officer.get(answer.headers["Location"])
    assert again.json() == row
    assert again.headers["ETag"] == answer.headers["ETag"]


def test_an_officer_logs_nothing_for_another_nation(officer):
    answer = send(officer, "post", PLEDGES, a_draft(nation="GB"))
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"what": ""}, "what"),
        ({"what": "x" * 301}, "what"),
        ({"what": "a\x00b"}, "what"),
        ({"what": "\ud800"}, "what"),
        ({"capability": "wizards"}, "capability"),
        ({"nation": "ZZ"}, "nation"),
        ({"quantity": -1}, "quantity"),
        ({"quantity": 1e300}, "quantity"),
        ({"quantity": "lots"}, "quantity"),
        ({"quantity": 10**13}, "quantity"),
        ({"stated_low": 9, "stated_high": 3}, "stated_high"),
        ({"available_from": "2027-05-01", "available_until": "2027-04-01"}, "available_until"),
        ({"available_from": "2027-02-30"}, "available_from"),
        ({"notice_days": 10**9}, "notice_days"),
        ({"tier": "secret"}, "tier"),
        ({"status": "ready"}, "status"),
        ({"conditions": [10**18]}, "conditions"),
        ({"conditions": [10**30]}, "conditions"),
        ({"conditions": ["x"]}, "conditions.0"),
        ({"requirement": 10**30}, "requirement"),
        ({"caveats": [{"kind": "magic", "text": "x"}]}, "caveats.0.kind"),
        ({"source_url": "javascript:alert(1)"}, "source_url"),
        ({"colour": "red"}, "colour"),
        ({"version": 7}, "version"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_written(officer, fields, named):
    answer = send(officer, "post", PLEDGES, a_draft(**fields))
    assert answer.status_code == 400, answer.json()
    assert named in answer.json()["errors"]
    with acting_as(SYSTEM):
        assert not Pledge.objects.exists()


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b'{"what": NaN}', "application/json", 400),
        (b"\xff\xfe\x00", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"[]", "application/json", 400),
        (b"null", "application/json", 400),
        (b'"text"', "application/json", 400),
        (b'{"what": "' + b"x" * 5_000_000 + b'"}', "application/json", 413),
        (b"what=x", "application/x-www-form-urlencoded", 415),
        (b"<x/>", "text/xml", 415),
    ],
)
def test_a_body_that_is_not_ours_is_refused(officer, body, content_type, status):
    answer = officer.post(PLEDGES, body, content_type=content_type)
    assert answer.status_code == status
    assert set(answer.json()) == {"type", "code", "detail", "errors"}


def test_another_tiers_condition_is_not_there(officer):
    with acting_as(SYSTEM):
        hidden = a_condition(tier=Tier.PLANNING)
    one = send(officer, "post", PLEDGES, a_draft(conditions=[hidden.pk])).json()
    two = send(officer, "post", PLEDGES, a_draft(conditions=[hidden.pk + 999])).json()
    assert one == two


# --- Changing ---------------------------------------------------------------------------------------


def test_a_change_needs_the_version_it_is_based_on(officer):
    answer = logged(officer)
    address, etag = answer.headers["Location"], answer.headers["ETag"]
    assert send(officer, "patch", address, {"what": "Two"}).status_code == 428
    changed = send(officer, "patch", address, {"what": "Two"}, etag=etag)
    assert (changed.status_code, changed.json()["what"]) == (200, "Two")
    assert changed.headers["ETag"] != etag
    stale = send(officer, "patch", address, {"what": "Three"}, etag=etag)
    assert (stale.status_code, stale.json()["code"]) == (412, "version_stale")
    assert stale.headers["ETag"] == changed.headers["ETag"]
    assert stale.json()["errors"] == {"version": [f"It is now {changed.json()['version']}."]}
    assert officer.get(address).json()["what"] == "Two"


def test_a_change_leaves_what_it_does_not_name(officer):
    answer = logged(officer, notice_days=30, note="As agreed")
    changed = send(officer, "patch", answer.headers["Location"], {"quantity": 500}, etag=answer.headers["ETag"]).json()
    assert (changed["quantity"], changed["notice_days"], changed["note"]) == (500.0, 30, "As agreed")


def test_the_status_is_not_patched(officer):
    answer = logged(officer)
    refused = send(officer, "patch", answer.headers["Location"], {"status": "ready"}, etag=answer.headers["ETag"])
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["status"])


def test_seen_but_not_yours_is_403_and_not_seen_is_404(officer):
    with acting_as(SYSTEM):
        theirs, hidden = a_pledge(nation="GB"), a_pledge(nation="GB", tier=Tier.PLANNING)
    for tail, method in (("", "patch"), ("withdraw/", "post"), ("supersede/", "post"), ("confirm/", "post")):
        assert send(officer, method, f"{PLEDGES}{theirs.pk}/{tail}", etag='"1"').status_code == 403
        assert send(officer, method, f"{PLEDGES}{hidden.pk}/{tail}", etag='"1"').status_code == 404


# --- The ladder -------------------------------------------------------------------------------------


def step(client: Client, pk: int, name: str, **body):
    etag = client.get(f"{PLEDGES}{pk}/").headers["ETag"]
    return send(client, "post", f"{PLEDGES}{pk}/{name}/", body, etag=etag)


def test_a_pledge_climbs_the_whole_ladder(officer, planner):
    pk = logged(officer, status="signalled").json()["id"]
    for client, name, body, status in (
        (officer, "offer", {}, "offered"),
        (officer, "commit", {}, "committed"),
        (planner, "verify", {"reason": "Seen at the staff talks"}, "ready"),
        (officer, "deploy", {}, "deploying"),
        (officer, "arrive", {}, "in_place"),
        (officer, "end", {}, "ended"),
    ):
        answer = step(client, pk, name, **body)
        assert (answer.status_code, answer.json()["status"]) == (200, status), answer.json()
    assert step(officer, pk, "undo").json()["status"] == "in_place"
    assert step(officer, pk, "withdraw", reason="The mission is over").json()["status"] == "withdrawn"


def test_a_step_from_the_wrong_place_is_a_conflict(officer):
    pk = logged(officer).json()["id"]
    answer = step(officer, pk, "arrive")
    assert (answer.status_code, answer.json()["code"]) == (409, "wrong_step")
    assert "offered" in answer.json()["detail"]


def test_a_step_needs_its_reason_and_its_version(officer):
    answer = logged(officer)
    address = f"{answer.headers['Location']}withdraw/"
    assert send(officer, "post", address).status_code == 428
    refused = send(officer, "post", address, etag=answer.headers["ETag"])
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["reason"])
    assert send(officer, "post", address, {"reason": "No"}, etag='"pledge-1-v99"').status_code == 412
    assert officer.get(answer.headers["Location"]).json()["status"] == "offered"


def test_confirming_moves_the_day(officer):
    pk = logged(officer).json()["id"]
    with acting_as(SYSTEM):
        Pledge.objects.filter(pk=pk).update(last_confirmed_on=date(2026, 1, 1))
    answer = step(officer, pk, "confirm")
    assert answer.status_code == 200
    assert answer.json()["last_confirmed_on"] > "2026-01-01"


def test_superseding_answers_with_the_successor_and_what_fell_off(officer, planner):
    pk = logged(officer, quantity=100).json()["id"]
    with acting_as(SYSTEM):
        line = a_requirement(100)
    with acting_as(planner.user):
        allocating.allocate(pk, line.pk, 100, by=planner.user)
    answer = step(officer, pk, "supersede", changes={"quantity": 60})
    assert answer.status_code == 200, answer.json()
    body = answer.json()
    assert (body["pledge"]["quantity"], body["fell_off"]) == (60.0, [{"requirement": line.pk, "quantity": 40.0}])
    assert len(body["allocations"]) == 1
    assert answer.headers["ETag"] == officer.get(f"{PLEDGES}{body['pledge']['id']}/").headers["ETag"]
    assert officer.get(f"{PLEDGES}{pk}/").json()["superseded_by"] == body["pledge"]["id"]
    assert step(officer, pk, "supersede").status_code == 400


# --- The same create, sent twice ---------------------------------------------------------------------


def test_a_create_sent_twice_is_one_pledge_and_one_answer(officer):
    one = send(officer, "post", PLEDGES, a_draft(), key="k1")
    two = send(officer, "post", PLEDGES, a_draft(), key="k1")
    assert (one.status_code, one.json(), one.headers["ETag"], one.headers["Location"]) == (
        201,
        two.json(),
        two.headers["ETag"],
        two.headers["Location"],
    )
    assert "Idempotency-Replayed" not in one.headers
    assert two.headers["Idempotency-Replayed"] == "true"
    with acting_as(SYSTEM):
        assert Pledge.objects.count() == 1


def test_a_key_with_another_body_is_refused(officer):
    send(officer, "post", PLEDGES, a_draft(), key="k1")
    answer = send(officer, "post", PLEDGES, a_draft(quantity=1), key="k1")
    assert (answer.status_code, answer.json()["code"]) == (422, "key_reused")


def test_a_failed_create_leaves_no_key(officer):
    assert send(officer, "post", PLEDGES, a_draft(capability="wizards"), key="k1").status_code == 400
    with acting_as(SYSTEM):
        assert not IdempotencyKey.objects.exists()
    assert send(officer, "post", PLEDGES, a_draft(), key="k1").status_code == 201


@pytest.mark.parametrize("key", ["", " ", "x" * 201])
def test_a_key_that_is_none_is_refused(officer, key):
    assert send(officer, "post", PLEDGES, a_draft(), key=key).status_code == 400


def test_twins_sent_at_the_same_moment_are_one_pledge(committed):
    with acting_as(SYSTEM):
        the_operation(), a_capability("infantry")
    officer = logged_in(Role.OFFICER, "FR")
    answers, start = [], threading.Barrier(6)

    def sender():
        client = Client()
        client.cookies = officer.cookies
        start.wait()
        answers.append(send(client, "post", PLEDGES, a_draft(), key="once"))
        connection.close()

    threads = [threading.Thread(target=sender) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [201] * 6
    assert len({answer.content for answer in answers}) == 1
    with acting_as(SYSTEM):
        assert Pledge.objects.count() == 1


# --- Lines and allocations ---------------------------------------------------------------------------


def test_a_planner_keeps_a_line(planner, officer):
    draft = {"capability": "infantry", "quantity": 500, "priority": 1, "title": "Line of contact", "tier": "planning"}
    answer = send(planner, "post", "/api/v1/requirements/", draft, key="line")
    assert answer.status_code == 201, answer.json()
    address = answer.headers["Location"]
    assert (answer.json()["needed_from"], answer.json()["tier"]) == ("2027-03-01", "planning")
    assert officer.get(address).status_code == 404
    changed = send(planner, "patch", address, {"quantity": 400, "tier": "coalition"}, etag=answer.headers["ETag"])
    assert (changed.status_code, changed.json()["quantity"]) == (200, 400.0)
    assert officer.get(address).status_code == 200
    assert send(planner, "delete", address).status_code == 428
    assert send(planner, "delete", address, etag=answer.headers["ETag"]).status_code == 412
    assert send(planner, "delete", address, etag=changed.headers["ETag"]).status_code == 204
    assert planner.get(address).status_code == 404


def test_more_than_is_free_is_not_allocated(planner):
    with acting_as(SYSTEM):
        pledge, line, other = a_pledge(100), a_requirement(80), a_requirement(80)
    one = send(planner, "post", "/api/v1/allocations/", {"pledge": pledge.pk, "requirement": line.pk, "quantity": 80})
    assert one.status_code == 201, one.json()
    two = send(planner, "post", "/api/v1/allocations/", {"pledge": pledge.pk, "requirement": other.pk, "quantity": 80})
    assert (two.status_code, two.json()["code"]) == (409, "over_allocated")
    address = one.headers["Location"]
    less = send(planner, "patch", address, {"quantity": 20}, etag=one.headers["ETag"])
    assert (less.status_code, less.json()["quantity"]) == (200, 20.0)
    assert send(planner, "delete", address, etag=less.headers["ETag"]).status_code == 204
    with acting_as(SYSTEM):
        assert not Allocation.objects.exists()


def test_a_planner_poses_and_decides_a_condition(planner, officer):
    draft = {"kind": "mandate", "title": "A mandate", "probability": 0.25, "tier": "public"}
    answer = send(planner, "post", "/api/v1/conditions/", draft)
    assert (answer.status_code, answer.json()["probability"]) == (201, 0.25)
    address = answer.headers["Location"]
    assert "probability" not in officer.get(address).json()
    met = send(planner, "patch", address, {"state": "met", "reason": "Voted"}, etag=answer.headers["ETag"])
    assert (met.status_code, met.json()["state"]) == (200, "met")
    assert send(planner, "patch", address, {"probability": 2}, etag=met.headers["ETag"]).status_code == 400


def test_a_planner_keeps_a_nations_standing(planner):
    etag = planner.get("/api/v1/nations/GB/").headers["ETag"]
    answer = send(planner, "patch", "/api/v1/nations/GB/", {"standing": "framework", "reason": "Said so"}, etag=etag)
    assert (answer.status_code, answer.json()["standing"]) == (200, "framework")
    assert send(planner, "patch", "/api/v1/nations/GB/", {"code": "XX"}, etag=answer.headers["ETag"]).status_code == 400


# --- Filters ----------------------------------------------------------------------------------------


def found(client: Client, query: str) -> list[int]:
    answer = client.get(f"{PLEDGES}?{query}")
    assert answer.status_code == 200, answer.json()
    return [row["id"] for row in answer.json()["results"]]


def test_filters_find_what_they_say(planner):
    with acting_as(SYSTEM):
        gate = a_condition()
        french = a_pledge(what="Bridge company", conditions=(gate,), status="committed")
        british = a_pledge(nation="GB", capability=a_capability("drones", category="surveillance"), tier=Tier.PLANNING)
        later = (timezone.now() + timedelta(days=1)).isoformat().replace("+00:00", "Z")
    assert found(planner, "nation=FR") == [french.pk]
    assert found(planner, "nation=FR&nation=GB") == [french.pk, british.pk]
    assert found(planner, "capability=drones") == [british.pk]
    assert found(planner, "category=surveillance") == [british.pk]
    assert found(planner, "q=bridge") == [french.pk]
    assert found(planner, f"condition={gate.pk}") == [french.pk]
    assert found(planner, "status=committed") == [french.pk]
    assert found(planner, "level=conditional") == [french.pk]
    assert found(planner, "tier=planning") == [british.pk]
    assert found(planner, f"updated_since={later}") == []


def test_a_hidden_successor_is_not_given_away(analyst, planner):
    with acting_as(SYSTEM):
        old, new = a_pledge(), a_pledge(tier=Tier.PLANNING)
        Pledge.objects.filter(pk=old.pk).update(superseded_by=new)
    assert found(analyst, "superseded=true") == []
    assert found(analyst, "superseded=false") == [old.pk]
    assert found(planner, "superseded=true") == [old.pk]


# --- Readiness --------------------------------------------------------------------------------------


@pytest.fixture
def plan(rows, planner):
    """A need of 100, answered by 40 that all may see and 30 that only planners may, all committed; it is counted."""
    with acting_as(SYSTEM):
        line = a_requirement(100, needed_from=timezone.now().date())
        for quantity, tier in ((40, Tier.COALITION), (30, Tier.PLANNING)):
            pledge = a_pledge(quantity, tier=tier, status="committed")
            allocating.allocate(pledge.pk, line.pk, quantity, by=planner.user)
    readiness.sweep()
    return line


def test_readiness_is_what_the_readers_tier_sees(plan, planner, analyst):
    on = (timezone.now() + timedelta(days=2)).date()
    for client, query, covered in (
        (planner, "", 70.0),
        (planner, "&tier=coalition", 40.0),
        (planner, "&tier=public", 0.0),
        (analyst, "", 40.0),
        (analyst, "&tier=coalition", 40.0),
    ):
        page = client.get(f"/api/v1/readiness/?on={on}{query}").json()
        for row in page["results"]:
            assert (row["requirement"], row["need"], row["covered"]) == (plan.pk, 100.0, covered)
            assert (row["gap"], row["share"]) == (100.0 - covered, covered / 100)
        assert page["results"] or covered == 0.0
        [row] = client.get(f"/api/v1/readiness/capabilities/?on={on}{query}").json()["results"] or [{"covered": 0.0}]
        assert row["covered"] == covered
        assert page["as_of"]["is_late"] is False
    refused = analyst.get("/api/v1/readiness/?tier=planning")
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")


def test_readiness_says_the_same_as_the_dashboards(plan, planner):
    on = (timezone.now() + timedelta(days=2)).date()
    with acting_as(planner.user):
        [shown] = readiness.matrix(plan.operation, on=on, tier=Tier.PLANNING, threshold="offered").rows
    [row] = planner.get(f"/api/v1/readiness/capabilities/?on={on}&threshold=offered").json()["results"]
    assert (row["need"], row["covered"], row["gap"], row["share"], row["free"]) == (
        shown.need,
        shown.covered,
        shown.gap,
        shown.share,
        shown.free,
    )
    assert row["at_firm"] == shown.levels["firm"] == 70
    csv = planner.get(f"/api/v1/readiness/capabilities/?on={on}&format=csv").getvalue().decode().splitlines()
    assert csv[0].split(",") == list(row)
    assert csv[1].startswith("infantry,")


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("on=2020-01-01", "on"),
        ("on=soon", "on"),
        ("operation=none", "operation"),
        ("capability=wizards", "capability"),
        ("sector=nowhere", "sector"),
        ("threshold=blocked", "threshold"),
        ("tier=secret", "tier"),
        ("colour=red", "colour"),
    ],
)
def test_a_wrong_question_about_readiness_is_named(plan, planner, query, named):
    for address in ("/api/v1/readiness/", "/api/v1/readiness/capabilities/"):
        answer = planner.get(f"{address}?{query}")
        assert (answer.status_code, list(answer.json()["errors"])) == (400, [named])


def test_a_pledge_changed_over_the_api_marks_its_answers_stale(plan, planner):
    with acting_as(SYSTEM):
        assert readiness.as_of(plan.operation).waiting == 0
    logged(planner, nation="GB", quantity=5)
    with acting_as(SYSTEM):
        assert readiness.as_of(plan.operation).waiting == 1


def test_a_domain_function_and_the_api_agree(officer):
    with acting_as(officer.user):
        pledge = declaring.declare({"capability": "infantry", "what": "By hand", "quantity": 7}, by=officer.user)
    row = officer.get(f"{PLEDGES}{pledge.pk}/").json()
    assert (row["what"], row["quantity"], row["version"]) == ("By hand", 7.0, pledge.version)
