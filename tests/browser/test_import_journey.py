"""A monitor imports a file of reports in the browser: tried first, committed as one, the same the second time, undone."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

SAMPLE = Path(__file__).parent.parent / "data" / "osce_annex_sample.csv"


def send(page) -> None:
    """Send the sample and have its rows tried with the mapping that is proposed."""
    page.goto("/imports/new/")
    page.get_by_label(re.compile("OSCE SMM annex")).check()
    page.get_by_label("File").set_input_files(SAMPLE)
    page.get_by_role("button", name="Send and read").click()
    page.get_by_role("button", name="Try the rows").click(timeout=60_000)
    expect(page.get_by_role("link", name="Rejected 2")).to_be_visible(timeout=60_000)


def test_reports_are_imported_tried_committed_and_undone(page_of):
    monitor = page_of("monitor")
    send(monitor)
    expect(monitor.get_by_role("link", name="New 7")).to_be_visible()
    expect(monitor.get_by_text("5 rows in")).to_be_visible()
    monitor.get_by_role("link", name="Rejected 2").click()
    expect(monitor.get_by_text("is a range that begins with the larger number")).to_be_visible()
    monitor.get_by_role("button", name="Commit the approved rows").click()
    expect(monitor.get_by_text("Committed: 7 new.")).to_be_visible(timeout=60_000)
    committed = monitor.url

    send(monitor)
    expect(monitor.get_by_role("link", name="Same 7")).to_be_visible()
    expect(monitor.get_by_text("This very file was committed before")).to_be_visible()

    monitor.goto(committed)
    monitor.get_by_role("link", name="Undo…").click()
    expect(monitor.get_by_text("7 rows stand as committed and will be taken back.")).to_be_visible()
    monitor.get_by_role("button", name="Undo the import").click()
    expect(monitor.get_by_text("Taken back: 7 rows")).to_be_visible(timeout=60_000)
