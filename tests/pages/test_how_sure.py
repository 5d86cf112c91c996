"""Planners see how sure each need is, on the pages and in their files; nobody else sees anything of it."""

import csv
import re
from datetime import date, timedelta

import pytest
from django.test import Client

from coalition.access import SYSTEM, Role, acting_as
from pledges import readiness
from pledges.models import ReadinessLine
from tests.factories import a_condition, a_member, a_pledge, a_requirement, an_allocation, an_operation

pytestmark = pytest.mark.django_db
PLANNERS = {Role.PLANNER, Role.ADMINISTRATOR}
FOR_PLANNERS = ["/readiness/gaps/", "/readiness/cliffs/", "/readiness/cliffs/calendar.ics", "/readiness/method/"]
PAGES = [
    "/",
    "/readiness/",
    "/readiness/nations/",
    "/readiness/infantry/",
    "/readiness/infantry/data.csv",
    "/requirements/",
    "/requirements/{line}/",
    "/capabilities/infantry/",
    "/nations/FR/",
    "/pledges/{pledge}/",
    "/pledges/table/",
    "/api/v1/readiness/",
    "/api/v1/readiness/?format=csv",
    "/api/v1/readiness/capabilities/",
    "/api/v1/requirements/",
    "/api/v1/pledges/",
]
OF_CHANCES = re.compile(
    r"P\(met\)|p_met|p_all|All met|57\.6|58[^\w]?%|0\.576|gap of (allocation|generation)|x10|9 in 10|pooled|how\?"
)


@pytest.fixture
def plan():
    """The two pledges of docs/method.md behind one backstop, needed from today; 10 of 20 would do."""
    with acting_as(SYSTEM):
        operation = an_operation(is_current=True, certainty_committed=0.8, starts_on=date(2026, 1, 1))
        backstop = a_condition("US backstop", operation=operation, probability=0.6)
        today = operation.today()
        line = a_requirement(10, operation=operation, needed_from=today, needed_until=today + timedelta(days=400))
        for nation in ("FR", "GB"):
            pledge = a_pledge(
                10,
                operation=operation,
                nation=nation,
                status="committed",
                conditions=(backstop,),
                last_confirmed_on=today,
                available_until=today + timedelta(days=100),
            )
            an_allocation(pledge, line)
    readiness.sweep()
    return {"pledge": pledge.pk, "line": line.pk, "today": today}


def browser_of(role, nation=None) -> Client:
    with acting_as(SYSTEM):
        user = a_member(role, nation)
    client = Client()
    client.force_login(user, backend="coalition.accounts.EqualWork")
    return client


def text_of(answer) -> str:
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return content.decode()


@pytest.mark.parametrize("role", [role for role in Role if role not in PLANNERS])
def test_below_the_planning_tier_no_page_file_or_api_says_how_sure_it_is(role, plan):
    browser = browser_of(role)
    for page in PAGES:
        answer = browser.get(page.format(**plan))
        assert answer.status_code == 200, page
        found = OF_CHANCES.search(text_of(answer))
        assert found is None, (page, found)
    for page in FOR_PLANNERS:
        assert browser.get(page).status_code == 403, page
    for page in ("/readiness/", "/readiness/infantry/", "/readiness/infantry/data.csv"):
        assert browser.get(f"{page}?tier=planning").status_code == 404


def test_below_the_planning_tier_nothing_is_stored_either(plan):
    with acting_as(SYSTEM):
        rows = list(ReadinessLine.objects.values_list("tier", "sure", "sure_starts"))
    assert {bool(sure) for tier, sure, _ in rows if tier == 3} == {True}
    assert all(not sure and not starts for tier, sure, starts in rows if tier < 3)


@pytest.mark.parametrize("role", sorted(PLANNERS))
def test_planners_see_it_in_the_matrix_on_the_lines_and_over_time(role, plan):
    browser = browser_of(role)
    matrix = text_of(browser.get(f"/readiness/?on={plan['today']}"))
    assert "All met" in matrix
    assert "58\u202f%" in matrix
    assert "a gap of generation" in matrix
    assert f"R{plan['line']}" in matrix
    assert "58\u202f%" in text_of(browser.get("/requirements/"))
    assert "9 times in 10 at least 0" in text_of(browser.get(f"/requirements/{plan['line']}/"))
    page = text_of(browser.get(f"/readiness/infantry/?on={plan['today']}"))
    assert 'class="chart__likely"' in page
    assert "58\u202f%" in page
    assert 'id="chart-data"' in page
    for address in FOR_PLANNERS:
        assert browser.get(address).status_code == 200, address


def test_a_planner_who_looks_with_the_eyes_of_a_lower_tier_sees_what_that_tier_sees(plan):
    browser = browser_of(Role.PLANNER)
    for page in ("/readiness/?tier=coalition", "/readiness/infantry/?tier=coalition"):
        assert OF_CHANCES.search(text_of(browser.get(page))) is None


def test_every_page_that_shows_a_chance_leads_to_the_method(plan):
    browser = browser_of(Role.PLANNER)
    pages = ["/readiness/", "/readiness/infantry/", "/requirements/", f"/requirements/{plan['line']}/"]
    for page in [*pages, "/readiness/gaps/", "/readiness/cliffs/"]:
        assert 'href="/readiness/method/"' in text_of(browser.get(page)), page
    method = text_of(browser.get("/readiness/method/"))
    assert "80\u202f%" in method


def test_the_chart_as_a_file_holds_the_figures_of_its_days(plan):
    answer = browser_of(Role.PLANNER).get(f"/readiness/infantry/data.csv?until={plan['today'] + timedelta(days=30)}")
    assert answer["Content-Type"].startswith("text/csv")
    [row] = csv.DictReader(text_of(answer).splitlines())
    assert row["first"] == str(plan["today"])
    assert row["last"] == str(plan["today"] + timedelta(days=30))
    assert float(row["p_all"]) == pytest.approx(0.576)
    assert float(row["pooled_x50"]) == 10
    assert row["worst_line"] == str(plan["line"])
    below = browser_of(Role.ANALYST).get("/readiness/infantry/data.csv")
    assert "p_all" not in csv.DictReader(text_of(below).splitlines()).fieldnames


def test_the_gap_paper_names_the_line_what_is_missing_and_who_could_fill_it(plan):
    with acting_as(SYSTEM):
        a_pledge(7, nation="EE", status="committed")
        a_pledge(5, "armour", nation="PL", status="offered")
    readiness.sweep()
    page = text_of(browser_of(Role.PLANNER).get("/readiness/gaps/"))
    assert f"R{plan['line']}" in page
    assert "Estonia</a> 7 free" in page
    assert "France</a> 10 to firm up" in page
    assert "Armour" in page


def test_the_cliff_list_says_what_ends_and_what_it_uncovers(plan):
    page = text_of(browser_of(Role.PLANNER).get("/readiness/cliffs/"))
    assert str(plan["today"] + timedelta(days=100)) in page
    assert "less sure" in page  # both are conditional: no count covers it, before or after
    assert "taken over" not in page


def test_the_cliffs_as_a_calendar_hold_no_chances(plan):
    answer = browser_of(Role.PLANNER).get("/readiness/cliffs/calendar.ics")
    assert answer["Content-Type"].startswith("text/calendar")
    text = text_of(answer)
    ends = plan["today"] + timedelta(days=100)
    assert f"DTSTART;VALUE=DATE:{ends:%Y%m%d}\r\n" in text
    assert "%" not in text
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))


def test_days_that_cannot_be_read_are_not_found(plan):
    browser = browser_of(Role.PLANNER)
    for query in ("from=yesterday", "until=2027-13-01", "on=x"):
        assert browser.get(f"/readiness/infantry/?{query}").status_code == 404
    assert browser.get("/readiness/infantry/?from=2031-01-01&until=2027-01-01").status_code == 200


# --- officers and their overdue pledges ----------------------------------------------------------------------


def test_an_officer_sees_their_own_overdue_pledges_first_and_confirms_with_one_click(plan):
    with acting_as(SYSTEM):
        own = a_pledge(7, nation="FR", what="Sappers", last_confirmed_on=plan["today"] - timedelta(days=200))
        a_pledge(7, nation="GB", what="Royal engineers", last_confirmed_on=plan["today"] - timedelta(days=200))
    officer = browser_of(Role.OFFICER, "FR")
    page = text_of(officer.get("/"))
    assert "Sappers" in page.split("How ready")[0]
    assert "Royal engineers" not in page
    answer = officer.post("/pledges/confirm/", {"pledge": own.pk, "next": "/"})
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert "Sappers" not in text_of(officer.get("/"))
    with acting_as(SYSTEM):
        own.refresh_from_db()
    assert own.last_confirmed_on == plan["today"]


def test_the_pages_for_planners_take_few_queries(plan, django_assert_max_num_queries):
    browser = browser_of(Role.PLANNER)
    for page in [*FOR_PLANNERS, "/readiness/infantry/data.csv"]:
        with django_assert_max_num_queries(25, info=page):
            text_of(browser.get(page))
