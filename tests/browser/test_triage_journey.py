"""Two accusations of each other become one incident, judged by one person and verified by another."""

import re
from datetime import UTC, datetime, timedelta

from playwright.sync_api import Page, expect


def accuse(page: Page, source: str, accuser: str, accused: str, **more) -> int:
    """File an accusation over the API, as the person whose page it is; return its number."""
    token = next(cookie["value"] for cookie in page.context.cookies() if cookie["name"].endswith("csrftoken"))
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=3)
    said = {
        "source": source,
        "accuser": accuser,
        "accused": accused,
        "kind": "artillery",
        "occurred_from": at.isoformat(),
        "place": "48.1234, 37.4321",
        "place_name": "Journey’s End",
        "narrative": f"Told by {source}.",
        **more,
    }
    headers = {"X-CSRFToken": token, "Referer": page.url}
    answer = page.request.post("/api/v1/reports/", data=said, headers=headers)
    assert answer.status == 201, answer.text()
    return answer.json()["id"]


def test_two_accusations_become_one_incident_that_is_judged_and_verified(page_of):
    monitor, planner = page_of("monitor"), page_of("planner-one")
    monitor.goto("/monitoring/triage/")
    one = accuse(monitor, "demo-ua-statement", "ua", "ru", count_low=10, count_high=12, count_unit="explosions")
    other = accuse(
        monitor, "demo-ru-statement", "ru", "ua", count_low=30, count_high=35, count_unit="explosions", killed=2
    )

    monitor.goto(f"/monitoring/triage/?report={one}")
    alike = monitor.get_by_role("row").filter(has=monitor.get_by_role("checkbox", name=f"V{other}"))
    expect(alike).to_contain_text("within both precisions")
    expect(alike).to_contain_text("same kind")
    monitor.get_by_role("heading", name="Triage").click()
    monitor.keyboard.press("s")
    expect(monitor.get_by_text(f"V{one}: screened.")).to_be_visible()

    monitor.goto(f"/monitoring/triage/?report={one}")
    monitor.get_by_role("checkbox", name=f"V{other}").check()
    monitor.get_by_role("button", name="Merge with what is ticked").click()
    expect(monitor.get_by_text("2 reports merged into")).to_be_visible()
    address = monitor.url

    stories = monitor.get_by_role("region").filter(has_text="Each side’s story").first
    expect(stories.get_by_role("row", name=re.compile("^Count"))).to_contain_text("10–12 explosions")
    expect(stories.get_by_role("row", name=re.compile("^Count"))).to_contain_text("more than Ukraine")
    expect(stories.get_by_role("row", name=re.compile("^Accused"))).to_contain_text("contradicts Ukraine")

    monitor.get_by_role("link", name="Judge", exact=True).click()
    monitor.get_by_label("Did it happen?").select_option("Corroborated")
    monitor.get_by_role("button", name="Save the judgement").click()
    expect(monitor.get_by_text("Say how sure this is.").first).to_be_visible()
    occurrence = monitor.get_by_role("group", name="Occurrence")
    occurrence.get_by_label("How sure").select_option("High")
    occurrence.get_by_label("What it rests on").fill("Both sides speak of it, and a crater was seen.")
    monitor.get_by_role("button", name="Save the judgement").click()
    expect(monitor.get_by_text("Somebody else must verify it.").first).to_be_visible()
    expect(monitor.get_by_role("link", name="Verify", exact=True)).to_have_count(0)

    planner.goto(address)
    planner.get_by_role("link", name="Verify", exact=True).click()
    planner.get_by_label("What was checked").fill("Looked at the pictures of the crater")
    planner.get_by_role("button", name="Save").click()
    expect(planner.get_by_text("verified", exact=True).first).to_be_visible()
    expect(planner.get_by_text("Looked at the pictures of the crater").first).to_be_visible()
