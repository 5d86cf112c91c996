"""What a person does in the browser, by the words they read on the page."""

import re

from playwright.sync_api import Locator, Page

PASSWORD = "demo-on-this-machine-only"


def log_in(page: Page, username: str, password: str = PASSWORD) -> None:
    """Fill the login form and send it."""
    page.goto("/accounts/login/")
    page.get_by_label("Login", exact=True).fill(username)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()


def fill_pledge(page: Page, capability: str, what: str, quantity: int) -> None:
    """Type a new pledge into the form; leave the rest as it is proposed."""
    page.goto("/pledges/new/")
    page.get_by_label("Capability", exact=True).fill(capability)
    page.get_by_label("What it is").fill(what)
    page.get_by_label(re.compile("^Quantity")).fill(str(quantity))
    page.get_by_label(re.compile("^Available until")).fill("2028-12-31")


def log_pledge(page: Page, capability: str, what: str, quantity: int) -> str:
    """Log a pledge through the form; return the address of its page."""
    fill_pledge(page, capability, what, quantity)
    page.get_by_role("button", name="Log the pledge").click()
    page.wait_for_url(re.compile(r"/pledges/\d+/$"))
    return page.url


def number_in(page: Page, capability: str, column: str) -> int:
    """Return what the readiness matrix on the page shows for a capability in a column, spaces and all read as digits."""
    return int(re.sub(r"\D", "", cell(page, capability, column).inner_text()) or 0)


def cell(page: Page, capability: str, column: str) -> Locator:
    """Return a cell of the readiness matrix, found by its row's and its column's words."""
    headers = page.locator(".data--matrix thead th").all_inner_texts()
    row = page.locator(".data--matrix tbody tr", has=page.get_by_role("link", name=capability, exact=True))
    return row.locator("th, td").nth(headers.index(column))
