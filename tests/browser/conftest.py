"""A real Chromium against the real product. A page that asks a foreign host, breaks its CSP or its script fails."""

import os
import shutil
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.person import log_in

# Playwright runs an event loop in this thread, and Django would refuse to look into a database beside one.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
QUIET = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--metrics-recording-only",
    "--no-first-run",
    "--no-pings",
]
VIEWS = {"wide": {"width": 1440, "height": 900}, "phone": {"width": 390, "height": 844}}


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("browser")


@pytest.fixture(scope="session")
def browser():
    """One Chromium for the run: the one in $CHROMIUM, else on the path, else Playwright's own."""
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
        found = found or (own if Path(own).exists() else None)
        if found is None:
            sentence = f"No Chromium: set CHROMIUM, or install one of {', '.join(NAMES)}."
            if os.environ.get("CI") == "true":
                pytest.fail(sentence)
            pytest.skip(sentence)
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        chromium = playwright.chromium.launch(executable_path=found, args=QUIET + sandbox)
        yield chromium
        chromium.close()


@contextmanager
def watched_pages(browser: Browser, home_address: str):
    """Give a function that opens a page with cookies of its own: ``open_page("phone", color_scheme="dark")``.

    A page that the site itself opens beside it is watched too.

    At the end every request to a foreign host, every broken content policy and every error in a script that any of
    these pages saw fails the test; ``open_page.faults`` holds them.
    """
    contexts, faults = [], []
    home = urlsplit(home_address).netloc

    def stay_home(route):
        address = urlsplit(route.request.url)
        if address.scheme in ("http", "https") and address.netloc != home:
            faults.append(f"asked a foreign host: {route.request.url}")
            route.abort()
        else:
            route.continue_()

    def listen(message):
        if "Content Security Policy" in message.text or "Content-Security-Policy" in message.text:
            faults.append(f"broke its policy: {message.text}")

    def open_page(view: str = "wide", **more):
        context = browser.new_context(
            base_url=home_address, viewport=VIEWS[view], locale="en-GB", timezone_id="UTC",
            reduced_motion="reduce", **more,
        )  # fmt: skip
        contexts.append(context)
        context.route("**/*", stay_home)
        context.on("console", listen)
        context.on("weberror", lambda error: faults.append(f"error in a script: {error.error}"))
        context.set_default_timeout(10_000)
        return context.new_page()

    open_page.faults = faults
    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture
def new_page(browser: Browser, live_product):
    """Return a function that opens a watched page: see ``watched_pages``."""
    with watched_pages(browser, live_product.address) as open_page:
        yield open_page


@pytest.fixture(scope="session")
def places(browser, live_product, _cookies_of):
    """What the addresses of pages are filled with: a pledge, a line, a condition and a report of the demo, by their ids."""
    context = browser.new_context(base_url=live_product.address, storage_state=_cookies_of("planner-one"))
    page = context.new_page()

    def first(listing: str, thing: str) -> str:
        page.goto(listing)
        address = page.locator(f"tbody a[href^='/{thing}/']").first.get_attribute("href")
        return address.strip("/").split("/")[-1]

    found = {
        "pledge": first("/pledges/table/?status=ready&superseded=false", "pledges"),
        "line": first("/requirements/", "requirements"),
        "condition": first("/conditions/", "conditions"),
        "report": first("/monitoring/reports/", "monitoring/reports"),
    }
    context.close()
    return found


@pytest.fixture
def page(new_page):
    """A wide, light page of a stranger."""
    return new_page()


@pytest.fixture(scope="session")
def _cookies_of(browser: Browser, live_product):
    """Return a function that logs a demo person in once and gives their cookies."""

    @cache
    def cookies_of(username: str) -> dict:
        context = browser.new_context(base_url=live_product.address)
        page = context.new_page()
        log_in(page, username)
        expect(page).to_have_url(f"{live_product.address}/")
        cookies = context.storage_state()
        context.close()
        return cookies

    return cookies_of


@pytest.fixture
def page_of(new_page, _cookies_of):
    """Return a function that opens a page of a demo person who is logged in: ``page_of("officer-fr", "phone")``.

    All pages of a person share a session, so a test that logs out must log in by itself.
    """
    return lambda username, view="wide", **more: new_page(view, storage_state=_cookies_of(username), **more)
