"""A report filed from a phone: typed, clicked on the map, and asked about where it may be a slip."""

import re

from playwright.sync_api import expect


def begin(page, kind: str = "Mortar fire") -> None:
    page.goto("/monitoring/reports/new/")
    page.get_by_label("Source", exact=True).select_option(label="Own patrols")
    page.get_by_label("What happened").select_option(label=kind)
    page.get_by_label("Day", exact=True).fill("2025-11-20")
    page.get_by_label(re.compile("^Time \\(")).fill("14:30")


def file(page) -> None:
    page.get_by_role("button", name="File the report").click()


def test_a_report_is_filed_from_a_phone_and_found_in_the_list(page_of):
    page = page_of("monitor", "phone")
    begin(page)
    page.get_by_label(re.compile("^Or MGRS")).fill("37U CP 48632 20516")
    page.get_by_label(re.compile("^How many")).fill("30-35")
    expect(page.get_by_label(re.compile("^Degrees"))).to_have_value(re.compile("48"))
    expect(page.get_by_label(re.compile("^Or DMS"))).to_have_value(re.compile("N"))
    page.get_by_label(re.compile("^Narrative")).fill("Heard from the post, filed from a phone")
    page.get_by_label(re.compile("^Files")).set_input_files(
        {"name": "note.txt", "mimeType": "text/plain", "buffer": b"Seen at dusk\n"}
    )
    file(page)
    page.wait_for_url(re.compile(r"/monitoring/reports/\d+/$"))
    expect(page.get_by_text("The report is filed.")).to_be_visible()
    expect(page.get_by_role("heading", name="Mortar fire")).to_be_visible()
    expect(page.get_by_text("201230ZNOV25").first).to_be_visible()
    with page.expect_download() as sent:
        page.get_by_role("link", name="note.txt").click()
    assert sent.value.path().read_text() == "Seen at dusk\n"
    page.goto("/monitoring/reports/?q=filed+from+a+phone")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody")).to_contain_text("30–35")


def test_a_click_on_the_small_map_fills_every_spelling(page_of):
    page = page_of("monitor")
    begin(page)
    page.locator("#point-picker-map").click(position={"x": 200, "y": 150})
    for label in ("Degrees", "Or DMS", "Or MGRS", "Within how many metres"):
        expect(page.get_by_label(re.compile(f"^{label}"))).not_to_have_value("")
    page.get_by_label(re.compile("^Degrees")).fill("")
    page.get_by_label(re.compile("^Degrees")).press("Tab")
    expect(page.get_by_label(re.compile("^Or MGRS"))).to_have_value("")


def test_what_is_probably_a_slip_is_confirmed_with_a_tick(page_of):
    page = page_of("monitor")
    begin(page)
    page.get_by_label(re.compile("^Degrees")).fill("10.5, -66.9")
    file(page)
    expect(page.get_by_role("alert")).to_contain_text("This may be a slip")
    page.get_by_label(re.compile("is outside the area")).check()
    file(page)
    expect(page.get_by_text("The report is filed.")).to_be_visible()


def test_the_same_event_is_shown_while_one_types(page_of):
    page = page_of("monitor")
    for expected in (0, 1):
        begin(page, "Airstrike")
        page.get_by_label(re.compile("^Degrees")).fill("47.1234, 34.1234")
        page.get_by_label(re.compile("^Degrees")).press("Tab")
        if expected:
            expect(page.locator("#alike")).to_contain_text("Airstrike")
        file(page)
        page.wait_for_url(re.compile(r"/monitoring/reports/\d+/$"))


def test_a_double_click_files_one_report(page_of):
    page = page_of("monitor")
    begin(page)
    page.get_by_label(re.compile("^Narrative")).fill("Clicked twice in haste")
    page.get_by_role("button", name="File the report").dblclick()
    page.wait_for_url(re.compile(r"/monitoring/reports/\d+/$"))
    page.goto("/monitoring/reports/?q=clicked+twice")
    expect(page.locator("tbody tr")).to_have_count(1)
