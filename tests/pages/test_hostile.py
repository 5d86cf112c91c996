"""Hostile input: whatever is sent to a page or to the API, the answer is a refusal in words, never a fault of ours."""

import json
from html import escape

import pytest
from django.test import Client

from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.models import Nation
from pledges import declaring
from pledges.models import Allocation, Pledge, Requirement
from tests.factories import (
    a_condition,
    a_member,
    a_pledge,
    a_requirement,
    a_sector,
    an_allocation,
    the_operation,
)

pytestmark = pytest.mark.django_db

NUMBERS = ["-1", "1" * 14, "1e400", "NaN", "1,000", "²", "9" * 5000, "a\0b"]
SOME_NUMBERS = ["-1", "NaN", "²"]
IDS = ["-1", "1.5", "²", str(2**63), "\0"]
DAYS = ["0001-01-01", "9999-12-31", "10000-01-01", "2027-02-30", "\0"]
TEXTS = ["a\0b", "x" * 5000]
ODD = ["-1", "²", "1.5", "%00", "9" * 20, "10000-01-01", "1:nan"]
SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


def browser(user) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


@pytest.fixture
def plan():
    """A small plan: a pledge that answers a line and hangs on a condition, all of it for the coalition."""
    with acting_as(SYSTEM):
        operation = the_operation()
        condition = a_condition("Backstop")
        pledge = a_pledge(100, conditions=(condition,))
        line = a_requirement(60, sector=a_sector())
        return {
            "operation": operation,
            "condition": condition,
            "pledge": pledge,
            "line": line,
            "allocation": an_allocation(pledge, line, 50),
        }


@pytest.fixture
def planner(plan):
    return browser(a_member(Role.PLANNER))


def rows() -> list:
    with acting_as(SYSTEM):
        return [list(model.objects.order_by("pk").values()) for model in (Pledge, Requirement, Allocation)]


PLEDGE: dict[str, str] = {
    "nation": "FR",
    "capability": "infantry",
    "what": "A battalion",
    "quantity": "200",
    "notice_days": "0",
    "status": "offered",
    "tier": "2",
    "version": "1",
    "caveats-TOTAL_FORMS": "1",
    "caveats-INITIAL_FORMS": "0",
}
LINE = {
    "capability": "infantry",
    "quantity": "5",
    "needed_from": "2027-03-01",
    "priority": "1",
    "tier": "2",
    "version": "1",
}
CONDITION = {"kind": "backstop", "title": "T", "state": "open", "probability": "0.5", "tier": "2", "version": "1"}
FORMS = {
    "/pledges/new/": (
        PLEDGE,
        {
            "quantity": NUMBERS,
            **dict.fromkeys(("stated_low", "stated_high", "notice_days"), SOME_NUMBERS),
            **dict.fromkeys(("conditions", "requirement", "nation", "tier", "status"), IDS),
            **dict.fromkeys(("available_until", "available_from", "stated_on"), DAYS),
            **dict.fromkeys(("what", "source", "note", "source_url", "capability", "caveats-0-text"), TEXTS),
            "caveats-TOTAL_FORMS": ["evil", "99999999999"],
        },
    ),
    "/pledges/{pledge.pk}/edit/": (PLEDGE, {"quantity": NUMBERS, "conditions": IDS, "version": IDS, "what": TEXTS}),
    "/pledges/{pledge.pk}/supersede/": (PLEDGE, {"version": IDS, "quantity": ["-1"], "what": TEXTS}),
    "/requirements/new/": (
        LINE,
        {"quantity": NUMBERS, "sector": IDS, "needed_until": DAYS, "notice_days": ["-1"], "title": TEXTS},
    ),
    "/requirements/{line.pk}/edit/": (LINE, {"quantity": NUMBERS, "version": IDS}),
    "/conditions/new/": (CONDITION, {"probability": ["1.1", "-0.1", *NUMBERS], "due_on": DAYS, "title": TEXTS}),
    "/conditions/{condition.pk}/edit/": (CONDITION, {"probability": ["2"], "version": IDS}),
    "/nations/FR/edit/": ({"standing": "framework", "version": "1"}, {"standing": IDS, "focal_point": TEXTS}),
}


def test_no_form_takes_what_makes_no_sense(planner, plan):
    before = rows()
    for address, (sound, hostile) in FORMS.items():
        for field, values in hostile.items():
            for value in values:
                answer = planner.post(address.format(**plan), {**sound, field: value})
                assert 400 <= answer.status_code < 500, (address, field, value[:40], answer.status_code)
    assert rows() == before


@pytest.mark.parametrize(
    ("address", "data"),
    [
        ("/pledges/confirm/", {"pledge": ["²", "9" * 19, "9" * 5000, "\0", "-1"], "next": "https://evil.example/"}),
        ("/pledges/{pledge.pk}/undo/", {"version": "1", "reason": "a\0b"}),
        ("/pledges/{pledge.pk}/undo/", {"version": "9" * 30}),
        ("/pledges/{pledge.pk}/step/commit/", {"version": "²"}),
        ("/pledges/{pledge.pk}/step/verify/", {"version": "1", "reason": "x" * 5000}),
        ("/pledges/{pledge.pk}/allocate/", {"requirement": "²", "quantity": "NaN"}),
        ("/pledges/{pledge.pk}/allocate/", {"requirement": "{line.pk}", "quantity": "1e400"}),
        ("/allocations/{allocation.pk}/release/", {"version": "1.5", "next": "//evil.example/"}),
        ("/requirements/{line.pk}/delete/", {"version": "\0"}),
        ("/readiness/what-if/save/", {"query": "operation=%00", "name": "x"}),
        ("/readiness/what-if/save/", {"query": "operation={operation.code}", "name": "a\0b"}),
        ("/readiness/what-if/save/", {"query": "operation={operation.code}&condition=²:met", "name": "x"}),
    ],
)
def test_no_button_fails_on_what_no_browser_sends(planner, plan, address, data):
    before = rows()
    filled = {name: value.format(**plan) if isinstance(value, str) else value for name, value in data.items()}
    answer = planner.post(address.format(**plan), filled)
    assert answer.status_code < 500
    assert "evil.example" not in answer.headers.get("Location", "")
    assert rows() == before


PAGES = {
    "/": ["on", "tier", "threshold", "sector", "operation"],
    "/pledges/": ["q", "nation", "capability", "condition", "requirement", "operation"],
    "/pledges/table/": ["page", "sort", "on", "counted", "level", "updated_since", "condition", "q"],
    "/pledges/new/": ["capability", "requirement"],
    "/requirements/": ["q", "sector", "priority", "on", "up_to", "sort"],
    "/allocations/": ["capability", "nation", "sort", "page"],
    "/capabilities/": ["category", "q"],
    "/nations/": ["standing", "q"],
    "/conditions/": ["state"],
    "/readiness/": ["on", "tier", "sector", "category", "threshold"],
    "/readiness/infantry/": ["on", "from", "until"],
    "/readiness/age/": ["operation"],
    "/readiness/what-if/": ["on", "condition", "probability", "out", "withdraw", "slip", "certainty"],
    "/readiness/what-if/effects/": ["on", "condition", "slip"],
    "/readiness/what-if/compare/": ["a", "b"],
    "/imports/": ["page"],
    "/jobs/": ["page"],
}


@pytest.mark.parametrize("page", PAGES)
def test_no_address_makes_a_page_fail(planner, page):
    for name in PAGES[page]:
        for value in ODD:
            answer = planner.get(f"{page}?{name}={value}")
            assert answer.status_code in (200, 400, 404), (page, name, value, answer.status_code)


WHOLE = [None, [], "text", 1, {"unknown": 1}]
API_VALUES = [-1, 10**13, True, [], {"a": 1}, "a\0b", "\ud800", 2**64, "²", [2**64], "NaN"]
API_WRITES = {
    "/api/v1/pledges/": (
        {"nation": "FR", "capability": "infantry", "what": "x", "quantity": 5},
        [
            "nation",
            "capability",
            "quantity",
            "tier",
            "status",
            "conditions",
            "requirement",
            "caveats",
            "available_from",
        ],
    ),
    "/api/v1/requirements/": (
        {"capability": "infantry", "quantity": 5},
        ["capability", "sector", "quantity", "needed_from", "priority", "tier"],
    ),
    "/api/v1/conditions/": (
        {"kind": "backstop", "title": "T", "state": "open", "probability": 0.5},
        ["kind", "nation", "probability", "due_on", "tier"],
    ),
    "/api/v1/allocations/": (
        {"pledge": 999_999, "requirement": 999_999, "quantity": 1},
        ["pledge", "requirement", "quantity"],
    ),
    "/api/v1/readiness/what-if/": (
        {},
        ["on", "conditions", "probabilities", "nations_out", "withdrawn", "slipped", "certainties"],
    ),
}


@pytest.mark.parametrize("address", API_WRITES)
def test_the_api_names_the_field_of_what_makes_no_sense(planner, address):
    before = rows()
    sound, fields = API_WRITES[address]
    bodies = [(field, {**sound, field: value}) for field in fields for value in API_VALUES]
    for field, body in [*bodies, *(("", whole) for whole in WHOLE)]:
        answer = planner.post(address, json.dumps(body), content_type="application/json")
        said = answer.content.decode()
        if answer.status_code in (200, 201):  # an empty list or text is sound for some
            assert not field or body[field] in ([], {}, True, 10**13, -1, "²"), (address, body)
            before = rows()
            continue
        assert answer.status_code in (400, 404, 409), (address, field, str(body)[:80], answer.status_code)
        assert set(json.loads(said)) == {"type", "code", "detail", "errors"}
        if field and answer.status_code == 400:
            assert field in said, (address, field, str(body)[:80], said)
    assert rows() == before


@pytest.mark.parametrize("name", ["operation", "capability", "sector"])
def test_the_api_names_the_parameter_that_holds_a_nul(planner, name):
    answer = planner.get(f"/api/v1/readiness/?{name}=%00")
    assert answer.status_code == 400
    assert name in answer.json()["errors"]


def test_ten_thousand_changes_are_no_scenario(planner, plan):
    many = {str(number): "met" for number in range(10_000)}
    sent = planner.post("/api/v1/readiness/what-if/", json.dumps({"conditions": many}), content_type="application/json")
    assert sent.status_code == 400
    address = "&".join(f"withdraw={number}" for number in range(10_000))
    assert planner.get(f"/readiness/what-if/?{address}").status_code == 400


def test_scripts_are_shown_as_text_wherever_they_stand(plan, planner):
    with acting_as(SYSTEM):
        condition = a_condition(f"C {SCRIPT}", note=SCRIPT)
        pledge = a_pledge(5, what=f"W {SCRIPT}", note=SCRIPT, source=SCRIPT, conditions=(condition,))
        line = a_requirement(5, title=f"T {SCRIPT}", note=SCRIPT)
        an_allocation(pledge, line, 5)
        Nation.objects.filter(pk="FR").update(focal_point=SCRIPT, approval_route=SCRIPT)
    pages = ["/pledges/", "/pledges/table/", f"/pledges/{pledge.pk}/", "/requirements/", f"/requirements/{line.pk}/"]
    pages += ["/conditions/", f"/conditions/{condition.pk}/", "/nations/FR/", "/allocations/", "/readiness/infantry/"]
    pages += [f"/pledges/{pledge.pk}/edit/", f"/requirements/{line.pk}/edit/", "/", f"/pledges/table/?q={SCRIPT}"]
    for page in pages:
        shown = planner.get(page).content.decode()
        assert "<script>alert" not in shown, page
        assert "<img src=x" not in shown, page
    assert escape(SCRIPT, quote=True) in planner.get(f"/pledges/{pledge.pk}/").content.decode()


@pytest.mark.parametrize(
    ("address", "fields"),
    [("/conditions/{condition.pk}/edit/", CONDITION), ("/nations/FR/edit/", {"standing": "framework"})],
)
def test_a_stale_form_is_a_412_on_every_page(planner, plan, address, fields):
    assert planner.post(address.format(**plan), fields | {"version": "7"}).status_code == 412


# --- What one may not see is given away by nothing --------------------------------------------------------------


def shown_to_analyst(pledge: Pledge) -> dict[str, str]:
    """What an analyst reads where the pledge could stand."""
    client = browser(a_member(Role.ANALYST))
    pages = ["/pledges/", "/pledges/table/?superseded=false", f"/pledges/{pledge.pk}/", "/nations/", "/nations/FR/"]
    pages += ["/conditions/", "/capabilities/", "/capabilities/infantry/", "/pledges/table/?overdue=true"]
    return {page: client.get(page).content.decode() for page in pages}


def test_a_hidden_successor_leaves_no_trace(plan):
    pledge, planner = plan["pledge"], a_member(Role.PLANNER)
    with acting_as(SYSTEM):
        Pledge.objects.filter(pk=pledge.pk).update(last_confirmed_on="2020-01-01")
        pledge.refresh_from_db()
    draft = {"what": "Hidden one", "quantity": 100, "tier": Tier.PLANNING}
    successor = declaring.supersede(pledge.pk, draft, by=planner, based_on=pledge.version).pledge
    shown = shown_to_analyst(pledge)
    for page, text in shown.items():
        assert '<span class="tag">superseded</span>' not in text, page
        assert f"P{successor.pk}" not in text, page
        assert "Hidden one" not in text, page
    for page in ("/pledges/table/?superseded=false", "/pledges/table/?overdue=true", "/capabilities/infantry/"):
        assert pledge.what in shown[page], page
    assert "Superseded by" not in shown[f"/pledges/{pledge.pk}/"]
    assert 'status=offered&amp;superseded=false">1</a>' in shown["/nations/"]


def test_the_history_does_not_number_a_hidden_line(plan):
    with acting_as(SYSTEM):
        hidden = a_requirement(7, title="Hidden line", tier=Tier.PLANNING)
        Pledge.objects.filter(pk=plan["pledge"].pk).update(requirement=hidden)
        Pledge.objects.filter(pk=plan["pledge"].pk).update(requirement=None)
        Pledge.objects.filter(pk=plan["pledge"].pk).update(note="A note")
    text = browser(a_member(Role.ANALYST)).get(f"/pledges/{plan['pledge'].pk}/").content.decode()
    assert "A note" in text
    assert "<td>Answers</td>" not in text
    assert "Hidden line" not in text
