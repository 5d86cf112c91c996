"""The first hour with nothing there: from the link that the start prints to the first line that is met."""

import re

import pytest
from playwright.sync_api import expect

from tests import bed
from tests.browser.conftest import watched_pages
from tests.browser.person import log_in, log_pledge
from tests.browser.test_axe import complaints_about
from tests.product import eventually, running_product

SECRET = "a-long-sentence-of-my-own"
LINK = re.compile(r"/accounts/invitation/[\w-]+/")


@pytest.fixture(scope="module")
def empty_product():
    """The real thing as it is before anybody was there."""
    with running_product(bed.DATA_DIR / f"empty-{bed.NUMBER}") as product:
        yield product


@pytest.fixture
def open_page(browser, empty_product):
    with watched_pages(browser, empty_product.address) as pages:
        yield pages


def accept(page, link: str, username: str) -> None:
    """Make one's own account behind an invitation's link, and sign in with it."""
    page.goto(link)
    page.get_by_label("User name").fill(username)
    page.get_by_label("E-mail address").fill(f"{username}@example.org")
    page.get_by_label("Password", exact=True).fill(SECRET)
    page.get_by_label("Password again").fill(SECRET)
    page.get_by_role("button", name="Make my account").click()
    page.wait_for_url(re.compile("/accounts/login/"))
    log_in(page, username, SECRET)
    page.wait_for_url(re.compile("/(setup/)?$"))


def invite(page, for_whom: str, role: str, nation: str = "") -> str:
    """Invite somebody; return the link that the page shows once."""
    page.goto("/people/")
    page.get_by_label("For whom").fill(for_whom)
    page.get_by_label("Role").select_option(label=role)
    if nation:
        page.get_by_label("Nation").select_option(label=nation)
    page.get_by_role("button", name="Make the link").click()
    link = page.get_by_role("status").locator("pre").inner_text()
    page.goto("/people/")
    assert link not in page.content()
    return link


def is_next(page) -> str:
    page.goto("/setup/")
    return page.locator("li.is-next h2").inner_text() if page.locator("li.is-next").count() else ""


def test_from_nothing_to_the_first_line_that_is_met(open_page, empty_product):
    link = LINK.search(empty_product.said)[0]
    administrator, planner, officer = open_page(), open_page(), open_page()

    administrator.goto(link)
    assert complaints_about(administrator) == []
    accept(administrator, link, "first")
    expect(administrator).to_have_url(f"{empty_product.address}/setup/")
    expect(administrator.locator("li.is-next")).to_contain_text("Nations and capabilities")
    assert complaints_about(administrator) == []
    assert open_page().goto(link).status == 404  # it works once

    administrator.goto("/pledges/")
    expect(administrator.get_by_text("There is no operation yet.")).to_be_visible()
    assert complaints_about(administrator) == []
    administrator.get_by_role("link", name="Set up").last.click()
    administrator.get_by_role("button", name="Load the shipped lists").click()
    expect(administrator.get_by_text(re.compile(r"Added \d+ nations and \d+ capabilities"))).to_be_visible()

    administrator.get_by_role("link", name="Create an operation").click()
    administrator.get_by_role("button", name="Save").click()
    expect(administrator.get_by_text("This field is required").first).to_be_visible()
    assert complaints_about(administrator) == []
    administrator.get_by_label("Name", exact=True).fill("Assurance force")
    administrator.get_by_label("Code").fill("assurance")
    administrator.get_by_label("Starts on").fill("2027-06-01")
    administrator.get_by_role("button", name="Save").click()
    expect(administrator.locator("li.is-next")).to_contain_text("People")

    accept(planner, invite(administrator, "Our planner", "Planner"), "planner")
    assert complaints_about(administrator) == []
    accept(officer, invite(administrator, "Officer of France", "Staff officer", "France"), "officer")

    assert is_next(planner) == "4. Requirements"
    planner.get_by_role("link", name="Add a requirement line").click()
    planner.get_by_label("Capability", exact=True).fill("Signals")
    planner.get_by_label("Quantity").fill("2")
    planner.get_by_role("button", name="Save").click()
    expect(planner.get_by_role("heading", level=1)).to_contain_text("Signals")
    assert is_next(planner) == "6. The first pledge"

    address = log_pledge(officer, "Signals", "Two signal companies", 2)
    officer.get_by_role("button", name="Commit").click()
    expect(officer.get_by_text("Counts today as")).to_be_visible()
    assert is_next(planner) == "7. Readiness"
    planner.goto(address)
    planner.get_by_label("Quantity").fill("2")
    planner.get_by_role("button", name="Allocate", exact=True).click()
    expect(planner.get_by_text("Allocated to").first).to_be_visible()
    assert is_next(planner) == ""

    def met() -> bool:
        planner.goto("/")
        return "1" in planner.locator(".figure", has_text="Lines met, start day").inner_text()

    eventually(met, within_s=15)
    for page in (administrator, planner):
        page.goto("/operations/")
        assert complaints_about(page) == []

    administrator.goto("/people/")
    administrator.get_by_role("button", name="Deactivate officer").click()
    expect(administrator.get_by_text("officer is deactivated")).to_be_visible()
    officer.goto("/pledges/")
    expect(officer).to_have_url(re.compile("/accounts/login/"))


def test_an_invited_person_cannot_choose_what_they_become(open_page, empty_product):
    link = empty_product.manage("invite", "analyst", "--for", "A curious one").strip()
    page = open_page()
    page.goto(link)
    page.locator("form.form").evaluate(
        """form => form.insertAdjacentHTML("beforeend", '<input name="role" value="administrator">')"""
    )
    accept_as = {"User name": "curious", "E-mail address": "curious@example.org", "Password again": SECRET}
    for label, value in accept_as.items():
        page.get_by_label(label).fill(value)
    page.get_by_label("Password", exact=True).fill(SECRET)
    page.get_by_role("button", name="Make my account").click()
    log_in(page, "curious", SECRET)
    assert page.goto("/people/").status == 403
    assert page.goto("/setup/").status == 403
