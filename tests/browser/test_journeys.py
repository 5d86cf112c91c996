"""What people come for, as they do it: by the words on the page, through the real worker."""

import re
import statistics
import time

import pytest
from playwright.sync_api import expect

from tests.browser.person import PASSWORD, cell, fill_pledge, log_in, log_pledge, number_in
from tests.product import eventually

START_DAY = "/readiness/"


def until_shown(page, capability: str, column: str, amount: int) -> None:
    """Wait for the matrix to show this number; the page loads itself again while the worker counts, or we do."""

    def shown() -> bool:
        page.goto(START_DAY)
        return number_in(page, capability, column) == amount

    eventually(shown, within_s=15)


def test_a_pledge_goes_from_the_officers_form_to_the_planners_dashboard(page_of):
    officer, planner = page_of("officer-fr"), page_of("planner-one")
    planner.goto(START_DAY)
    before = {column: number_in(planner, "Signals", column) for column in ("Offered", "Firm", "Ready", "Covered")}

    address = log_pledge(officer, "Signals", "Signal company for the network", 2)
    expect(officer.get_by_text("The pledge is logged.")).to_be_visible()
    until_shown(planner, "Signals", "Offered", before["Offered"] + 2)

    officer.get_by_role("button", name="Commit").click()
    expect(officer.get_by_text("Counts today as Firm")).to_be_visible()
    until_shown(planner, "Signals", "Firm", before["Firm"] + 2)
    expect(officer.get_by_role("link", name="Verify as ready")).to_have_count(0)

    planner.goto(address)
    planner.get_by_role("link", name="Verify as ready").click()
    planner.get_by_role("button", name="Verify as ready").click()
    expect(planner.get_by_role("alert")).to_contain_text("Say what was checked")
    planner.get_by_label("Reason").fill("Inspected on site with the brigade staff")
    planner.get_by_role("button", name="Verify as ready").click()
    expect(planner.get_by_text("Counts today as Ready")).to_be_visible()
    expect(planner.get_by_text("Inspected on site with the brigade staff").first).to_be_visible()

    planner.get_by_label("Quantity").fill("2")
    planner.get_by_role("button", name="Allocate", exact=True).click()
    expect(planner.get_by_text("Allocated to").first).to_be_visible()
    until_shown(planner, "Signals", "Covered", before["Covered"] + 2)
    assert number_in(planner, "Signals", "Ready") == before["Ready"] + 2
    assert number_in(planner, "Signals", "Firm") == before["Firm"]

    cell(planner, "Signals", "Ready").get_by_role("link").click()
    expect(planner.get_by_role("link", name="Signal company for the network")).to_be_visible()


def test_a_saved_pledge_is_on_the_dashboard_in_about_a_second(page_of, record_property):
    page = page_of("officer-gb")
    waits = []
    counted = re.compile(r'capability=military-police&amp;level=offered">(\S+)</a>')

    def offered() -> int:
        found = counted.search(page.request.get(START_DAY).text())
        return int(re.sub(r"\D", "", found[1])) if found else 0

    amount = offered()
    fill_pledge(page, "Military police", "Patrol section", 3)
    fields = page.locator("form.panel").evaluate("form => Object.fromEntries(new FormData(form))")
    for number in range(50):
        fields["idempotency_key"] = f"one-of-fifty-{number}"
        answer = page.request.post("/pledges/new/", form=fields, max_redirects=0)
        saved = time.monotonic()
        assert answer.status == 302, answer.text()
        amount += 3
        eventually(lambda expected=amount: offered() == expected, within_s=10)
        waits.append(time.monotonic() - saved)
    longest, p95 = max(waits), statistics.quantiles(waits, n=20)[-1]
    record_property(
        "pledge saved → dashboard right, 50 times",
        f"median {statistics.median(waits):.2f} s, p95 {p95:.2f} s, longest {longest:.2f} s",
    )


def test_two_who_edit_the_same_pledge_see_both_versions_side_by_side(page_of):
    first, second = page_of("officer-ee"), page_of("planner-one")
    address = log_pledge(first, "Light infantry", "Company for the border", 120)
    first.goto(f"{address}edit/")
    second.goto(f"{address}edit/")
    first.get_by_label(re.compile("^Quantity")).fill("140")
    first.get_by_role("button", name="Save", exact=True).click()
    expect(first.get_by_text("is saved.")).to_be_visible()

    second.get_by_label("What it is").fill("Company for the northern border")
    second.get_by_label(re.compile("^Quantity")).fill("150")
    second.get_by_role("button", name="Save", exact=True).click()
    expect(second.get_by_role("heading", name="Two versions")).to_be_visible()
    quantity = second.locator("table.conflict tr", has=second.get_by_role("rowheader", name="Quantity"))
    expect(quantity).to_contain_text("140")
    expect(quantity).to_contain_text("150")
    expect(quantity).to_have_class("differs")
    second.get_by_role("button", name="Save mine in its place").click()
    expect(second.get_by_role("heading", name="Company for the northern border")).to_be_visible()
    expect(second.locator("dl.facts")).to_contain_text("150 persons")


def test_a_double_click_logs_one_pledge(page_of):
    page = page_of("officer-pl")
    fill_pledge(page, "Ambulances", "Ambulance column clicked twice", 6)
    page.get_by_role("button", name="Log the pledge").dblclick()
    page.wait_for_url(re.compile(r"/pledges/\d+/$"))
    page.goto("/pledges/table/?q=clicked+twice")
    expect(page.locator("tbody tr")).to_have_count(1)


def test_the_last_step_can_be_undone(page_of):
    page = page_of("officer-de")
    log_pledge(page, "Ambulances", "Ambulances offered in haste", 4)
    page.get_by_role("button", name="Commit").click()
    expect(page.get_by_text("Counts today as Firm")).to_be_visible()
    page.get_by_role("button", name=re.compile("^Undo")).click()
    expect(page.get_by_text("is taken back")).to_be_visible()
    expect(page.get_by_text("Counts today as Offered")).to_be_visible()


def test_pledges_are_confirmed_in_bulk_and_one_by_one(page_of):
    page = page_of("officer-de")
    page.goto("/pledges/table/?overdue=true&nation=DE")
    rows = page.locator("tbody tr")
    before = rows.count()
    assert before >= 3
    rows.nth(0).get_by_role("checkbox").check()
    rows.nth(1).get_by_role("checkbox").check()
    page.get_by_role("button", name="Confirm the ticked as still true").click()
    expect(page.get_by_text("2 confirmed as still true.")).to_be_visible()
    expect(page).to_have_url(re.compile("overdue=true"))
    expect(rows).to_have_count(before - 2)
    rows.nth(0).locator("th a").click()
    page.get_by_role("button", name="Still true").click()
    expect(page.get_by_text("Confirmed as true.")).to_be_visible()


def test_a_pledge_is_replaced_by_a_later_one(page_of):
    page = page_of("officer-fr")
    old = log_pledge(page, "Ambulances", "Ambulances, first statement", 5)
    page.get_by_role("link", name="Replace").click()
    expect(page.get_by_label("What it is")).to_have_value("Ambulances, first statement")
    page.get_by_label("What it is").fill("Ambulances, later statement")
    page.get_by_label(re.compile("^Quantity")).fill("8")
    page.get_by_role("button", name=re.compile("^Replace P")).click()
    expect(page.get_by_role("heading", name="Ambulances, later statement")).to_be_visible()
    page.get_by_role("link", name="Ambulances, first statement").click()
    expect(page).to_have_url(old)
    expect(page.get_by_text("It no longer counts.")).to_be_visible()


def test_the_keyboard_is_enough(page_of):
    page = page_of("officer-fr")
    page.goto("/pledges/table/")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_role("textbox", name="Search")).to_be_focused()
    page.keyboard.type("?")
    expect(page.get_by_role("textbox", name="Search")).to_have_value("?")
    page.keyboard.press("Tab")
    focused = page.evaluate(
        "() => { const s = getComputedStyle(document.activeElement); return [s.outlineStyle, s.outlineWidth] }"
    )
    assert focused == ["solid", "2px"]
    page.locator("main").focus()
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Keyboard")).to_be_hidden()
    page.keyboard.press("g")
    page.keyboard.press("r")
    page.wait_for_url("**/readiness/")


def test_everything_needed_works_without_javascript(page_of):
    page = page_of("officer-ee", java_script_enabled=False)
    log_pledge(page, "Ambulances", "Ambulances logged in plain HTML", 7)
    page.get_by_role("button", name="Commit").click()
    expect(page.get_by_text("Counts today as Firm")).to_be_visible()
    page.get_by_role("link", name="Withdraw").click()
    page.get_by_label("Reason").fill("Only a drill")
    page.get_by_role("button", name="Withdraw").click()
    expect(page.get_by_text("withdrawn").first).to_be_visible()
    page.goto("/pledges/table/")
    page.get_by_label("Search").fill("plain HTML")
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.goto("/readiness/")
    page.get_by_label("Category").select_option("medical")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("link", name="Ambulances", exact=True)).to_be_visible()


@pytest.mark.parametrize("address", ["/pledges/table/", "/readiness/"])
def test_filters_stay_in_the_address_through_reload_and_back(page_of, address):
    page = page_of("analyst")
    page.goto(address)
    rows = page.locator("tbody tr")
    everything = rows.count()
    page.get_by_label("Category").select_option("medical")
    page.wait_for_url("**category=medical**")
    expect(rows.filter(has_text="Light infantry")).to_have_count(0)
    filtered = rows.count()
    assert 0 < filtered < everything
    page.reload()
    expect(page.get_by_label("Category")).to_have_value("medical")
    expect(rows).to_have_count(filtered)
    page.go_back()
    expect(page).to_have_url(re.compile(f"{address}$"))
    expect(rows).to_have_count(everything)


def test_a_link_is_shared_with_another_planner(page_of):
    one, two = page_of("planner-one"), page_of("planner-two")
    one.goto("/readiness/")
    one.get_by_label("Category").select_option("troops")
    one.wait_for_url("**category=troops**")
    one.get_by_label("Covers from level").select_option("offered")
    one.wait_for_url("**threshold=offered**")
    two.goto(one.url)
    expect(two.get_by_label("Covers from level")).to_have_value("offered")
    assert two.locator("#matrix").inner_text() == one.locator("#matrix").inner_text()


def test_a_wrong_password_is_said_and_tells_nothing(page):
    for username in ("officer-fr", "nobody-of-that-name"):
        log_in(page, username, "not-the-password")
        expect(page.get_by_role("alert")).to_contain_text("not correct")
        expect(page).to_have_url(re.compile("/accounts/login/"))


def test_people_log_out_and_are_out(new_page):
    page = new_page()
    log_in(page, "monitor")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.locator("details.user summary").click()
    page.get_by_role("button", name="Sign out").click()
    page.goto("/pledges/")
    expect(page).to_have_url(re.compile("/accounts/login/"))


def test_pages_of_the_account_open_under_the_strict_policy(new_page):
    page = new_page()
    log_in(page, "analyst", PASSWORD)
    page.wait_for_url("**/")
    page.goto("/accounts/password/change/")
    expect(page.get_by_role("heading", name="Change password")).to_be_visible()
    page.goto("/accounts/2fa/totp/activate/")
    if page.get_by_label("Password").count():  # asked again after some minutes
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button").last.click()
    expect(page.locator("img.qr, svg").last).to_be_visible()
    expect(page.get_by_label("Authenticator code")).to_be_visible()
    page.goto("/accounts/sessions/")
    expect(page.get_by_role("heading", name="Active sessions")).to_be_visible()


def test_half_a_name_of_a_capability_is_answered_with_those_that_fit(page_of):
    page = page_of("officer-fr")
    fill_pledge(page, "infantry", "A battalion", 600)
    page.get_by_role("button", name="Log the pledge").click()
    expect(page.get_by_role("alert")).to_contain_text("Did you mean Infantry companies or Light infantry")
    expect(page.get_by_label("What it is")).to_have_value("A battalion")


def test_only_what_one_can_act_on_waits_for_one(page_of):
    planner, monitor = page_of("planner-one"), page_of("monitor")
    for page, waits in ((planner, True), (monitor, False)):
        page.goto("/")
        expect(page.get_by_role("heading", name="Waiting for you")).to_have_count(int(waits))
