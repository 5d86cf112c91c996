"""Every page of ours opens for every role, costs a bounded number of queries, and shows nobody what they may not see."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from coalition.access import SYSTEM, Role, Tier, acting_as
from pledges import readiness
from tests.factories import (
    a_condition,
    a_member,
    a_nation,
    a_pledge,
    a_requirement,
    a_sector,
    an_allocation,
    the_operation,
)

pytestmark = pytest.mark.django_db
MOST_QUERIES = 25
PAGES = [
    "/",
    "/pledges/",
    "/pledges/table/",
    "/pledges/table/?level=firm&on=2027-03-01&counted=coalition&overdue=true&q=Pledge",
    "/pledges/{pledge}/",
    "/requirements/",
    "/requirements/{line}/",
    "/allocations/",
    "/capabilities/",
    "/capabilities/infantry/",
    "/nations/",
    "/nations/FR/",
    "/conditions/",
    "/conditions/{condition}/",
    "/readiness/",
    "/readiness/?threshold=offered&category=troops&sector=north",
    "/readiness/nations/",
    "/readiness/infantry/",
    "/readiness/age/",
    "/monitoring/trends/",
    "/monitoring/trends/?source_class=party&family=fire",
    "/jobs/",
]
TO_WRITE = {
    "/pledges/new/": {Role.OFFICER, Role.PLANNER, Role.ADMINISTRATOR},
    "/pledges/{pledge}/edit/": {Role.OFFICER, Role.PLANNER, Role.ADMINISTRATOR},
    "/pledges/{pledge}/supersede/": {Role.OFFICER, Role.PLANNER, Role.ADMINISTRATOR},
    "/requirements/new/": {Role.PLANNER, Role.ADMINISTRATOR},
    "/requirements/{line}/edit/": {Role.PLANNER, Role.ADMINISTRATOR},
    "/requirements/{line}/delete/": {Role.PLANNER, Role.ADMINISTRATOR},
    "/nations/FR/edit/": {Role.PLANNER, Role.ADMINISTRATOR},
    "/conditions/new/": {Role.PLANNER, Role.ADMINISTRATOR},
    "/conditions/{condition}/edit/": {Role.PLANNER, Role.ADMINISTRATOR},
}


@pytest.fixture
def plan():
    """A plan with rows of every kind, counted. Return what the addresses are filled with."""
    with acting_as(SYSTEM):
        condition = a_condition("US backstop")
        line = a_requirement(100, sector=a_sector("north"))
        for number in range(12):
            nation = ["FR", "GB", "EE", "PL"][number % 4]
            status = ["signalled", "offered", "committed", "ready", "deploying", "in_place"][number % 6]
            pledge = a_pledge(10 + number, nation=nation, status=status, conditions=(condition,) * (number % 2))
            an_allocation(pledge, line, 5)
        pledge = a_pledge(20, nation="FR", status="committed", conditions=(condition,))
        an_allocation(pledge, line, 10)
    readiness.sweep()
    return {"pledge": pledge.pk, "line": line.pk, "condition": condition.pk}


def browser_of(role: str, nation: str | None = None) -> Client:
    with acting_as(SYSTEM):
        user = a_member(role, nation)
    client = Client()
    client.force_login(user, backend="coalition.accounts.EqualWork")
    return client


@pytest.mark.parametrize("role", list(Role))
def test_every_page_opens_with_few_queries(role, plan, django_assert_max_num_queries):
    browser = browser_of(role)
    for page in PAGES:
        with django_assert_max_num_queries(MOST_QUERIES, info=page):
            answer = browser.get(page.format(**plan))
        assert answer.status_code == 200, page


def test_the_number_of_queries_does_not_grow_with_the_rows(plan):
    browser = browser_of(Role.PLANNER)

    def queries_of(page: str) -> int:
        with CaptureQueriesContext(connection) as counted:
            assert browser.get(page.format(**plan)).status_code == 200
        return len(counted)

    before = {page: queries_of(page) for page in PAGES}
    with acting_as(SYSTEM):
        condition = a_condition("A parliament")
        for number in range(40):
            line = a_requirement(50 + number, sector=a_sector("north"))
            an_allocation(a_pledge(10, nation="GB", status="committed", conditions=(condition,)), line)
    readiness.sweep()
    grown = {page: (before[page], after) for page in PAGES if (after := queries_of(page)) > before[page] + 2}
    assert grown == {}


@pytest.mark.parametrize("role", list(Role))
def test_forms_open_for_those_who_may_use_them(role, plan):
    browser = browser_of(role)
    for page, roles in TO_WRITE.items():
        assert browser.get(page.format(**plan)).status_code == (200 if role in roles else 403), page


def test_a_pledge_one_may_not_see_is_not_found_on_any_page(plan):
    with acting_as(SYSTEM):
        hidden = a_pledge(999_999, nation="FR", tier=Tier.PLANNING, what="Secret battalion", status="committed")
        a_nation("GB")
    readiness.sweep()
    browser = browser_of(Role.OFFICER, "GB")
    for address in ("", "edit/", "supersede/", "step/commit/"):
        assert browser.get(f"/pledges/{hidden.pk}/{address}").status_code == 404
    for page in PAGES:
        text = browser.get(page.format(**plan)).content.decode()
        assert "Secret battalion" not in text, page
        assert "999" not in text.replace("#999", ""), page


def test_an_officer_sees_their_own_stricter_pledges_apart(plan):
    with acting_as(SYSTEM):
        a_pledge(999_999, nation="FR", tier=Tier.PLANNING, what="Own battalion", status="committed")
    readiness.sweep()
    page = browser_of(Role.OFFICER, "FR").get("/readiness/").content.decode()
    assert "stricter than the" in page
    assert "999" not in page


def test_chances_of_conditions_are_shown_to_planners_only(plan):
    for role, shown in ((Role.OFFICER, False), (Role.ANALYST, False), (Role.PLANNER, True)):
        page = browser_of(role).get("/conditions/").content.decode()
        assert ("Chance while open" in page) == shown


def test_every_number_of_the_matrix_opens_exactly_its_rows(plan):
    browser = browser_of(Role.PLANNER)
    operation = the_operation()
    page = browser.get("/readiness/?on=2027-03-01&tier=coalition")
    for item in page.context["rows"]:
        for cell in item["levels"]:
            rows = browser.get(cell["href"]).context["page"].object_list
            assert sum(pledge.quantity or 0 for pledge in rows) == cell["quantity"], (operation, cell)


def test_a_dashboard_that_asks_is_told_to_load_again_only_when_all_is_counted(plan):
    browser = browser_of(Role.PLANNER)
    asked = {"headers": {"HX-Request": "true"}}
    with acting_as(SYSTEM):
        a_pledge(10, nation="GB")
    page = browser.get("/readiness/").content.decode()
    assert 'hx-get="/readiness/age/"' in page
    assert "HX-Refresh" not in browser.get("/readiness/age/", **asked)
    readiness.sweep()
    assert browser.get("/readiness/age/", **asked)["HX-Refresh"] == "true"
    assert 'hx-get="/readiness/age/"' not in browser.get("/readiness/").content.decode()


def test_the_nations_page_says_how_many_are_firm(plan):
    rows = browser_of(Role.PLANNER).get("/readiness/nations/").context["rows"]
    cells = {row["nation"].code: dict(row["cells"])["troops"] for row in rows}
    assert cells["FR"].firm_or_better == sum(
        number for level, number in cells["FR"].pledges.items() if level in ("firm", "ready", "deploying", "in_place")
    )
    assert sum(cell.firm_or_better for cell in cells.values()) > 0


def test_the_pages_of_the_planning_tier_and_of_imports_cost_few_queries_too(plan, django_assert_max_num_queries):
    browser = browser_of(Role.PLANNER)
    for page in (
        "/imports/",
        "/imports/new/",
        "/readiness/gaps/",
        "/readiness/cliffs/",
        "/readiness/method/",
        "/readiness/suggest/",
        "/readiness/what-if/",
        "/readiness/what-if/effects/",
    ):
        with django_assert_max_num_queries(MOST_QUERIES, info=page):
            assert browser.get(page).status_code == 200, page
