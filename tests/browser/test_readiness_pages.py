"""The readiness pages as a planner uses them: the chart by pointer, keyboard and on paper; a proposal accepted."""

import re
from datetime import date, timedelta

from playwright.sync_api import expect

A_DAY = re.compile(r"^(\d{4}-\d{2}-\d{2}): ")


def a_chart(page):
    """Open the worst capability that has a chart; return its drawing."""
    page.goto("/readiness/")
    page.locator("#matrix tbody tr").first.get_by_role("rowheader").get_by_role("link").click()
    chart = page.locator("svg[data-chart]")
    expect(chart).to_be_visible()
    expect(chart).to_have_attribute("tabindex", "0")  # its script has begun
    return chart


def day_told(page) -> date:
    told = page.locator("#chart-day")
    expect(told).to_have_text(A_DAY)
    return date.fromisoformat(A_DAY.match(told.inner_text())[1])


def test_pointing_at_the_chart_tells_what_stands_that_day(page_of):
    page = page_of("planner-one")
    box = a_chart(page).bounding_box()
    days = []
    for part in (0.25, 0.75):
        page.mouse.move(box["x"] + box["width"] * part, box["y"] + box["height"] / 2)
        days.append(day_told(page))
    assert days[0] < days[1]
    expect(page.locator("#chart-day")).to_have_text(re.compile("need .*covered|covered .*need"))
    expect(page.locator("#chart-day")).to_have_text(re.compile("all lines met|nothing is needed|need 0"))


def test_the_keyboard_walks_over_the_chart_and_opens_a_day(page_of):
    page = page_of("planner-one")
    chart = a_chart(page)
    chart.focus()
    begin = day_told(page)
    page.keyboard.press("ArrowRight")
    assert day_told(page) == begin + timedelta(days=1)
    page.keyboard.press("PageDown")
    assert day_told(page) == begin + timedelta(days=31)
    page.keyboard.press("Home")
    assert day_told(page) <= begin
    page.keyboard.press("End")
    last = day_told(page)
    assert last > begin
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(f"on={last}"))
    expect(page.get_by_role("heading", name=f"Requirement lines on {last}")).to_be_visible()


def test_the_chart_prints_with_its_legend_and_without_the_shell(page_of, tmp_path):
    page = page_of("planner-one", color_scheme="dark")
    chart = a_chart(page)
    page.emulate_media(media="print")
    expect(chart).to_be_visible()
    expect(page.locator(".level").first).to_be_visible()
    for gone in (".nav", "form.filters", ".bar__menu"):
        expect(page.locator(gone).first).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert chart.bounding_box()["width"] <= page.viewport_size["width"]
    assert len(page.pdf(path=tmp_path / "chart.pdf")) > 10_000


def test_a_planner_accepts_one_of_the_proposed_allocations(page_of):
    page = page_of("planner-one")
    page.goto("/readiness/suggest/?threshold=offered")
    ticks = page.get_by_role("checkbox", name=re.compile(r"^Accept P\d+ for R\d+"))
    assert ticks.count() > 1
    chosen = ticks.first.get_attribute("value")
    for tick in ticks.all()[1:]:
        tick.uncheck()
    pledge, line = chosen.split("-")
    page.get_by_label(re.compile(rf"^Quantity of P{pledge} for R{line},")).fill("1")
    page.get_by_role("button", name=re.compile("^(Accept|Allocate)")).first.click()
    expect(page.get_by_role("status").filter(has_text="Allocated:")).to_contain_text(f"1 of P{pledge} for R{line}.")

    page.goto(f"/requirements/{line}/")
    expect(page.get_by_role("link", name=re.compile(rf"^P{pledge}\b")).first).to_be_visible()

    page.goto(f"/pledges/{pledge}/")
    row = page.locator("tr", has=page.get_by_role("link", name=re.compile(rf"^R{line}\b")))
    row.get_by_role("button", name=re.compile("Take back")).first.click()
    expect(page.get_by_role("status").first).to_be_visible()


def test_an_officer_is_shown_no_proposal(page_of):
    assert page_of("officer-fr").goto("/readiness/suggest/").status == 403
