"""A planner's task from end to end: the worst need, what it hangs on, the backstop switched off, the link passed on."""

import re

from playwright.sync_api import expect


def test_a_planner_finds_the_worst_need_supposes_no_backstop_and_shares_what_that_does(page_of):
    planner = page_of("planner-one")
    planner.goto("/readiness/")
    worst = planner.locator("#matrix tbody tr").first
    name = worst.get_by_role("rowheader").get_by_role("link").inner_text()
    worst.get_by_role("rowheader").get_by_role("link").click()
    expect(planner.get_by_role("heading", level=1)).to_have_text(name)
    expect(planner.get_by_role("link", name="How these chances are worked out")).to_be_visible()

    planner.goto("/conditions/")
    planner.get_by_role("link", name="US backstop").click()
    expect(planner.get_by_role("table", name="What hangs on this")).to_be_visible()
    hanging = planner.get_by_role("table", name="What hangs on this").locator("tbody tr").count()
    assert hanging > 0

    planner.get_by_role("link", name="What if", exact=True).click()
    expect(planner.get_by_text("Difference").first).to_be_visible()
    planner.get_by_label("Looked at on").fill("2027-06-15")
    planner.get_by_label(re.compile("^US backstop")).select_option(label="failed")
    planner.get_by_role("button", name="See what it does").click()
    expect(planner.get_by_label(re.compile("^US backstop"))).to_have_value(re.compile(":failed$"))
    figures = planner.locator(".figure__value").all_inner_texts()
    assert float(figures[1]) <= float(figures[0])
    expect(planner.locator(".figure__note").filter(has_text=re.compile("^\u2212.*pts"))).to_be_visible()
    expect(planner.locator("#main tr.row--warn, #main tr.row--bad").first).to_be_visible()

    ranked = planner.get_by_role("table", name=re.compile("^Conditions, by what hangs"))
    expect(ranked).to_be_visible()
    expect(ranked.get_by_role("link", name="US backstop")).to_have_count(0)  # it is decided in this scenario

    planner.get_by_label("Name").fill("Without the backstop")
    planner.get_by_role("button", name="Save the scenario").click()
    expect(planner.get_by_role("status").first).to_contain_text("is saved")
    shared = planner.url

    other = page_of("planner-two")
    other.goto(shared)
    assert other.locator(".figure__value").all_inner_texts() == figures
    expect(other.get_by_role("link", name="Without the backstop")).to_be_visible()

    officer = page_of("officer-fr")
    assert officer.goto(shared).status == 403
