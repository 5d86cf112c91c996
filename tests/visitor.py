"""A person who asks the real product over HTTP, with cookies of their own."""

import time
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar

from coalition.demo.people import PASSWORD


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args):
        return None


class Visitor:
    """``waits`` holds the seconds each answered request took."""

    def __init__(self, address: str):
        self.address = address
        self.cookies = CookieJar()
        self.waits: list[float] = []
        self._opener = urllib.request.build_opener(
            _NoRedirect, urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self.cookies)
        )

    def ask(self, path: str, form: dict | None = None) -> tuple[int, str]:
        """GET, or POST a form; return status and text. Raises OSError or HTTPException where nobody answers."""
        body = None
        if form is not None:
            token = next(cookie.value for cookie in self.cookies if cookie.name == "csrftoken")
            body = urllib.parse.urlencode({**form, "csrfmiddlewaretoken": token}).encode()
        began = time.monotonic()
        try:
            with self._opener.open(f"{self.address}{path}", body, timeout=30) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        self.waits.append(time.monotonic() - began)
        return status, text

    def log_in(self, username: str, password: str = PASSWORD) -> int:
        """Log in, as a demo person unless told otherwise; 302 is success."""
        self.ask("/accounts/login/")
        return self.ask("/accounts/login/", {"login": username, "password": password})[0]
