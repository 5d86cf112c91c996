"""The map as people use it: find what happened in a sector last week, go to a place, walk through the days, pick a point."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_axe import complaints_about
from tests.product import eventually


def said(page: Page) -> str:
    return page.locator("#map-said").inner_text()


def is_drawn(page: Page) -> None:
    """Wait until the base map, the names and the answer to the present view are there."""
    expect(page.locator("path.land--ukraine")).to_have_count(27)
    expect(page.locator(".place-name").first).to_be_visible()
    expect(page.locator("#map-picture")).not_to_have_attribute("aria-busy", "true")


def test_everything_within_a_sector_last_week_is_found_and_one_opened(page_of):
    page = page_of("monitor")
    page.goto("/monitoring/")
    is_drawn(page)
    rows = page.locator("#map-picture tbody tr[data-mark]")
    for code in page.locator("[name=sector] option").evaluate_all("all => all.map(each => each.value)")[1:]:
        page.get_by_label("Sector", exact=True).select_option(code)
        page.wait_for_url(re.compile(f"sector={code}"))
        is_drawn(page)
        if rows.count():
            break
    assert int(re.sub(r"\D", "", said(page).split("event")[0])) >= rows.count()
    first = rows.first.get_by_role("link").first
    kind = first.inner_text()
    first.click()
    page.wait_for_url(re.compile(r"/monitoring/(reports|incidents)/\d+/$"))
    expect(page.locator("#main")).to_contain_text(kind)


def test_the_map_goes_to_a_name_a_grid_reference_or_degrees(page_of):
    page = page_of("analyst")
    page.goto("/monitoring/")
    is_drawn(page)
    search, answer = page.get_by_label("Go to"), page.locator("#map-search-answer")
    search.fill("bakhm")
    page.locator(".suggestions [role=option]").first.click()
    expect(answer).to_contain_text("Bakhmut")
    for typed in ("36U UU 69470 68567", "48.4567, 31.2345"):
        search.fill(typed)
        search.press("Enter")
        expect(answer).to_contain_text("36U UU 69")
        page.wait_for_url(re.compile(r"bbox=31\.\d+%2C48\.\d+"))
    search.fill("31.2345, 48.4567")
    search.press("Enter")
    expect(answer).to_contain_text("swapped")
    is_drawn(page)
    page.get_by_role("application").hover()
    expect(page.locator(".map-cursor")).to_contain_text(re.compile(r"° N, .*° E  3[567]U"))


def test_the_view_is_kept_in_the_address_and_the_keyboard_moves_it(page_of):
    page = page_of("monitor")
    page.goto("/monitoring/?bbox=31.0,47.5,34.0,50.5&zoom=7")
    is_drawn(page)
    page.get_by_role("application").focus()
    page.keyboard.press("+")
    page.wait_for_url(re.compile("zoom=8"))
    page.reload()
    is_drawn(page)
    assert "zoom=8" in page.url


def test_the_days_play_one_after_the_other(page_of):
    page = page_of("monitor")
    page.goto("/monitoring/")
    is_drawn(page)
    before = said(page)
    page.get_by_role("button", name="Play").click()
    page.wait_for_url(re.compile(r"on=\d{4}-\d\d-\d\d"))
    first = page.url
    expect(page).not_to_have_url(first)
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="All days").click()
    eventually(lambda: "on=" not in page.url and said(page) == before)


def test_a_point_is_picked_on_the_map_and_shown_in_every_spelling(page_of):
    page = page_of("monitor", "phone")
    page.goto("/monitoring/reports/new/")
    degrees, dms, mgrs = (page.locator(f"[data-place={name}]") for name in ("degrees", "dms", "mgrs"))
    mgrs.fill("36UUU6947068567")
    mgrs.press("Tab")
    expect(degrees).to_have_value(re.compile(r"^48\.456"))
    expect(dms).to_have_value(re.compile("^48°27′24"))
    before = degrees.input_value()
    page.get_by_role("application").click(position={"x": 60, "y": 60})
    expect(degrees).not_to_have_value(before)
    expect(page.locator("[data-place=message]")).to_contain_text("Within")
    degrees.fill("31.2345, 48.4567")
    degrees.press("Tab")
    expect(page.locator("[data-place=message]")).to_contain_text("swapped")


@pytest.mark.parametrize(
    "address", ["/monitoring/", "/monitoring/?bbox=31.0,47.5,34.0,50.5&zoom=9", "/monitoring/?occurred_after=x"]
)
def test_axe_finds_nothing_on_the_map(page_of, address):
    page = page_of("planner-one")
    page.goto(address)
    expect(page.locator("path.land--ukraine")).to_have_count(27)
    assert complaints_about(page) == []
