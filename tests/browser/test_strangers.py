import re

from playwright.sync_api import expect


def test_a_stranger_is_asked_to_log_in(page):
    page.goto("/accounts/password/change/")
    expect(page).to_have_url(re.compile("/accounts/login/"))
    expect(page.get_by_label("Password")).to_be_visible()
