"""axe-core finds nothing to complain about on any page of ours: light and dark, wide and phone."""

import pytest
from axe_playwright_python.base import AXE_SCRIPT

from tests.browser.conftest import VIEWS

AS_PLANNER = [
    "/",
    "/pledges/",
    "/pledges/table/",
    "/pledges/table/?category=no-such-category",
    "/pledges/table/?q=nothing-fits-this",
    "/pledges/new/",
    "/pledges/{pledge}/",
    "/pledges/{pledge}/edit/",
    "/pledges/{pledge}/supersede/",
    "/pledges/{pledge}/step/withdraw/",
    "/requirements/",
    "/requirements/new/",
    "/requirements/{line}/",
    "/requirements/{line}/edit/",
    "/requirements/{line}/delete/",
    "/allocations/",
    "/capabilities/",
    "/capabilities/uav-tactical/",
    "/nations/",
    "/nations/FR/",
    "/nations/FR/edit/",
    "/conditions/",
    "/conditions/new/",
    "/conditions/{condition}/",
    "/conditions/{condition}/edit/",
    "/readiness/",
    "/readiness/nations/",
    "/readiness/uav-tactical/",
    "/readiness/gaps/",
    "/readiness/cliffs/",
    "/readiness/method/",
    "/readiness/what-if/",
    "/monitoring/triage/",
    "/monitoring/triage/?severity=critical",
    "/monitoring/incidents/",
    "/monitoring/incidents/1/",
    "/monitoring/incidents/1/judge/",
    "/monitoring/incidents/1/edit/",
    "/monitoring/incidents/1/verify/",
    "/monitoring/trends/",
    "/monitoring/reports/",
    "/monitoring/reports/?q=nothing-fits-this",
    "/monitoring/reports/new/",
    "/monitoring/reports/{report}/",
    "/monitoring/reports/{report}/edit/",
    "/imports/",
    "/imports/new/",
    "/jobs/",
    "/no-such-page/",
    "/accounts/password/change/",
    "/accounts/2fa/",
    "/accounts/sessions/",
    "/accounts/logout/",
]


COLOURS = ["color-contrast", "link-in-text-block"]  # what the other theme can break


def complaints_about(page) -> list[str]:
    """Return what axe finds on the page, in both themes and both sizes; a sentence each."""
    found = []
    page.evaluate(AXE_SCRIPT)
    for view, size in VIEWS.items():
        page.set_viewport_size(size)
        for theme, options in (("light", {}), ("dark", {"runOnly": COLOURS})):
            page.emulate_media(color_scheme=theme)
            results = page.evaluate("options => axe.run(options)", {"resultTypes": ["violations"], **options})
            for rule in results["violations"]:
                for node in rule["nodes"]:
                    found.append(f"{theme}, {view}: {rule['id']} at {node['target']}: {node['failureSummary']}")
        if page.evaluate("document.documentElement.scrollWidth") > size["width"]:
            found.append(f"{view}: the page is wider than the screen")
    return found


@pytest.mark.parametrize("address", AS_PLANNER)
def test_axe_finds_nothing(page_of, places, address):
    page = page_of("planner-one")
    page.goto(address.format(**places))
    assert complaints_about(page) == []


def test_axe_finds_nothing_at_the_door(page):
    page.goto("/accounts/login/")
    assert complaints_about(page) == []


def test_axe_finds_nothing_where_something_went_wrong(page_of):
    page = page_of("officer-fr")
    page.goto("/pledges/new/")
    page.get_by_role("button", name="Log the pledge").click()
    page.get_by_text("Nothing was saved.").wait_for()
    assert complaints_about(page) == []


def test_axe_sees_what_is_wrong(page_of):
    page = page_of("analyst")
    page.goto("/jobs/")
    page.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<input type=text>')")
    assert "label" in str(complaints_about(page))
