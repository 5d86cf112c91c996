"""Nothing goes out, nothing inline comes in: every page, for every role; and the watch that says so is awake."""

import pytest

from tests.product import eventually

EVERYWHERE = [
    "/",
    "/pledges/",
    "/pledges/table/",
    "/requirements/",
    "/allocations/",
    "/capabilities/",
    "/nations/",
    "/conditions/",
    "/readiness/",
    "/readiness/nations/",
    "/readiness/uav-tactical/",
    "/monitoring/",
    "/jobs/",
    "/api/v1/docs/",
    "/accounts/2fa/",
]


@pytest.mark.parametrize("username", ["officer-fr", "monitor", "analyst", "planner-two"])
def test_pages_ask_nobody_else_and_keep_their_policy(page_of, places, username):
    page = page_of(username)
    for address in EVERYWHERE:
        assert page.goto(address).status == 200, address


def test_the_admin_asks_nobody_else_and_keeps_its_policy(page_of):
    page = page_of("administrator")
    for address in ("/admin/", "/admin/coalition/user/", "/admin/pledges/pledge/"):
        assert page.goto(address).status == 200, address


@pytest.mark.parametrize(
    "deed",
    [
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.hurt = 1'}))",
        "document.body.setAttribute('style', 'color: red')",
        "document.body.append(Object.assign(new Image(), {src: 'https://foreign.example/pixel.png'}))",
        "fetch('https://foreign.example/').catch(() => 0)",
        "setTimeout(() => { throw new Error('a slip') })",
    ],
)
def test_the_watch_sees_what_it_is_there_for(page_of, new_page, deed):
    page = page_of("analyst")
    page.goto("/jobs/")
    page.evaluate(f"() => {{ {deed} }}")
    eventually(lambda: page.evaluate("true") and new_page.faults, within_s=5)
    new_page.faults.clear()


def test_the_watch_sees_a_foreign_host_where_no_policy_stops_it(new_page):
    page = new_page(bypass_csp=True)
    page.goto("/accounts/login/")
    page.evaluate("() => { document.body.append(Object.assign(new Image(), {src: 'https://foreign.example/x.png'})) }")
    eventually(lambda: page.evaluate("true") and "foreign.example" in str(new_page.faults), within_s=5)
    new_page.faults.clear()
