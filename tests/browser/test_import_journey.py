"""A file of reported violations, from the monitor's disk to the list and back out again, in the browser."""

import re
from pathlib import Path

from playwright.sync_api import expect

SAMPLE = Path(__file__).resolve().parent.parent / "data/acled_sample.csv"
LISTED = "/monitoring/reports/?dataset=journey"


def amount_of(page, tab: str) -> int:
    """Return the number beside a tab of the import's page; 0 where there is no such tab."""
    link = page.get_by_role("link", name=re.compile(rf"^{tab} "))
    return int(re.sub(r"\D", "", link.inner_text())) if link.count() else 0


def send(page) -> None:
    """Upload the sample and try its rows as the profile proposes."""
    page.goto("/imports/new/")
    page.get_by_label("ACLED").check()
    page.get_by_label("File").set_input_files(SAMPLE)
    page.get_by_label("Data set").fill("journey")
    page.get_by_role("button", name="Send and read").click()
    page.get_by_role("button", name="Try the rows").click(timeout=30_000)
    expect(page.get_by_role("link", name=re.compile("^New "))).to_be_visible(timeout=30_000)


def test_a_file_is_tried_committed_found_the_same_and_taken_back(page_of):
    monitor = page_of("monitor")
    send(monitor)
    new, rejected = amount_of(monitor, "New"), amount_of(monitor, "Rejected")
    assert new >= 1
    monitor.goto(LISTED)
    expect(monitor.get_by_role("link", name=re.compile(r"^V\d+$"))).to_have_count(0)  # a dry run writes nothing

    monitor.go_back()
    monitor.get_by_role("button", name="Commit the approved rows").click()
    expect(monitor.get_by_text("Committed:")).to_be_visible(timeout=30_000)
    committed = monitor.url
    monitor.goto(LISTED)
    expect(monitor.get_by_role("link", name=re.compile(r"^V\d+$"))).to_have_count(new)

    send(monitor)
    assert (amount_of(monitor, "New"), amount_of(monitor, "Same")) == (0, new)
    assert amount_of(monitor, "Rejected") == rejected
    monitor.get_by_role("button", name="Give this import up").click()

    monitor.goto(committed)
    monitor.get_by_role("link", name="Undo…").click()
    monitor.get_by_role("button", name="Undo the import").click()
    expect(monitor.get_by_text("Taken back:")).to_be_visible(timeout=30_000)
    monitor.goto(LISTED)
    expect(monitor.get_by_role("link", name=re.compile(r"^V\d+$"))).to_have_count(0)
