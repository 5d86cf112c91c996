"""What every answer carries, whatever made it; and what no address does: take a form from elsewhere, send people away."""

import re
import subprocess
import sys
from datetime import UTC, datetime
from http.cookies import SimpleCookie
from unittest import mock

import pytest
from django.contrib import admin
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from coalition.access import SYSTEM, Role, acting_as
from coalition.admin import ReadOnlyAdmin
from coalition.models import User
from monitoring import evidence
from tests import bed
from tests.factories import PASSWORD, a_member, a_pledge, a_report, a_requirement
from tests.test_doors import addresses

pytestmark = pytest.mark.django_db

ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
NOT_FOR_PROBES = {
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def as_a(role: str, **more) -> Client:
    client = Client(raise_request_exception=False, **more)
    client.force_login(a_member(role), backend="coalition.accounts.EqualWork")
    return client


@pytest.fixture
def administrator():
    return as_a(Role.ADMINISTRATOR)


@pytest.fixture
def plan():
    with acting_as(SYSTEM):
        a_requirement()
        return a_pledge()


def policy_of(answer) -> dict[str, str]:
    directives = (part.strip().partition(" ") for part in answer["Content-Security-Policy"].split(";"))
    return {name: sources for name, _, sources in directives}


def complaints(answer) -> list[str]:
    """Return what an answer lacks."""
    wanted = ALWAYS | NOT_FOR_PROBES
    found = [f"{name}: {answer.get(name)}" for name, value in wanted.items() if answer.get(name) != value]
    policy = policy_of(answer)
    if "unsafe" in answer["Content-Security-Policy"] or "*" in answer["Content-Security-Policy"]:
        found.append("a policy with a hole")
    if policy["default-src"] != "'none'" or policy["frame-ancestors"] != "'none'":
        found.append("a policy that is open by default")
    if "sandbox" not in policy:
        found += [
            f"no {name}" for name in ("base-uri", "form-action", "object-src", "script-src") if name not in policy
        ]
    if "camera=()" not in answer.get("Permissions-Policy", ""):
        found.append("no permissions policy")
    for cookie in answer.cookies.values():
        if not cookie["httponly"] or cookie["samesite"] not in ("Lax", "Strict") or cookie["path"] != "/":
            found.append(f"cookie {cookie.OutputString()}")
    return found


def test_every_address_answers_with_all_headers_and_is_kept_by_no_cache(administrator, plan):
    wrong = []
    stranger = Client(raise_request_exception=False)
    for name, address in addresses():
        for answer in (administrator.get(address, {"next": "https://evil.example/"}), stranger.get(address)):
            found = complaints(answer)
            if "no-store" not in answer.get("Cache-Control", ""):
                found.append(f"Cache-Control: {answer.get('Cache-Control')}")
            if answer.status_code >= 500:
                found.append("fails")
            if answer.get("X-Frame-Options") != "DENY":
                found.append("may be framed")
            if leaves(answer.get("Location", "")):
                found.append(f"leads to {answer['Location']}")
            wrong += [(name, answer.status_code, *found)] if found else []
    assert wrong == []


def test_every_kind_of_answer_carries_the_headers(administrator, plan):
    with acting_as(SYSTEM):
        report = a_report(at=datetime(2027, 3, 10, 12, tzinfo=UTC))
        photo = SimpleUploadedFile("photo.txt", b"seen at noon")
        kept = evidence.attach(report.pk, photo, by=a_member(Role.MONITOR))
    analyst = as_a(Role.ANALYST)
    file = f"/monitoring/reports/{report.pk}/evidence/{kept.pk}/"
    with mock.patch("coalition.views.operations_of", side_effect=RuntimeError("broken on purpose")):
        broken = administrator.get("/")
    kinds = {
        "page": (administrator.get("/pledges/"), 200),
        "part": (administrator.get("/pledges/table/", HTTP_HX_REQUEST="true"), 200),
        "json": (administrator.get("/api/v1/pledges/"), 200),
        "export": (administrator.get("/api/v1/pledges/?format=csv"), 200),
        "evidence": (administrator.get(file), 200),
        "redirect": (Client().get("/pledges/"), 302),
        "not allowed": (administrator.put("/pledges/"), 405),
        "no such page": (administrator.get("/nowhere/"), 404),
        "no such resource": (administrator.get("/api/v1/nowhere/"), 404),
        "refused": (analyst.get("/requirements/new/"), 403),
        "broken": (broken, 500),
        "unreadable": (administrator.get("/pledges/?q=%00"), 400),
        "stranger": (Client().get("/api/v1/pledges/"), 401),
        "static": (Client().get("/static/js/shell.js"), 200),
        "picture": (Client().get("/static/icon.svg"), 200),
    }
    for kind, (answer, status) in kinds.items():
        assert (kind, answer.status_code, complaints(answer)) == (kind, status, [])
        assert ("no-store" in answer["Cache-Control"]) == (kind not in ("static", "picture")), kind
        assert "Access-Control-Allow-Origin" not in answer
    for kind in ("export", "evidence"):
        answer = kinds[kind][0]
        assert answer["Content-Disposition"].startswith("attachment"), kind
        assert "sandbox" in policy_of(answer), kind


def test_a_probe_says_nothing_that_a_browser_could_use():
    for address in ("/healthz", "/readyz"):
        answer = Client().get(address)
        assert {name: answer.get(name) for name in ALWAYS} == ALWAYS
        assert answer["Cache-Control"] == "no-store"


def test_a_nonce_is_never_the_same_and_nothing_is_allowed_inline(administrator, plan):
    pages = [administrator.get("/monitoring/") for _ in range(2)]
    nonces = [re.findall(r"'nonce-([^']+)'", page["Content-Security-Policy"]) for page in pages]
    assert nonces[0] != nonces[1] or nonces == [[], []]
    for page in pages:
        assert "unsafe" not in page["Content-Security-Policy"]


BEHIND_TLS = """
import django; django.setup()
from django.test import Client
from django.conf import settings
client = Client(HTTP_X_FORWARDED_PROTO="https", HTTP_X_FORWARDED_FOR="203.0.113.7")
answer = client.get("/accounts/login/")
policy = answer["Content-Security-Policy"]
print(answer.status_code, answer["Strict-Transport-Security"], "upgrade-insecure-requests" in policy)
print(answer.cookies.output(header=""))
print(Client().get("/accounts/login/").headers["Location"])
print(settings.SESSION_COOKIE_NAME, settings.SESSION_COOKIE_SECURE, settings.SESSION_COOKIE_HTTPONLY)
"""


def test_behind_tls_cookies_belong_to_the_host_alone_and_plain_http_is_left():
    environment = {
        "PATH": "/usr/bin:/bin",
        "DJANGO_SETTINGS_MODULE": "coalition.settings",
        "SECRET_KEY": "x" * 60,
        "HTTPS": "1",
        "ALLOWED_HOSTS": "testserver",
        "PROXIES": "1",
        "DATABASE_URL": bed.url_of(bed.migrated_template()),
        "REDIS_URL": bed.ENGINES.redis,
    }
    done = subprocess.run(
        [sys.executable, "-c", BEHIND_TLS], env=environment, cwd=bed.ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, cookie, redirected, session = done.stdout.strip().splitlines()
    assert first == "200 max-age=31536000; includeSubDomains; preload True"
    csrf = next(iter(SimpleCookie(cookie).values()))
    assert csrf.key == "__Host-csrftoken"
    assert (csrf["secure"], csrf["httponly"], csrf["path"], csrf["domain"]) == (True, True, "/", "")
    assert redirected == "https://testserver/accounts/login/"
    assert session == "__Host-sessionid True True"


def test_an_administrator_can_open_every_noun_in_the_admin(administrator):
    for model, page in admin.site._registry.items():
        for name in ("changelist", "add"):
            address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}")
            expected = 403 if name == "add" and isinstance(page, ReadOnlyAdmin) else 200
            assert administrator.get(address).status_code == expected, address
    person = User.objects.get(username__startswith="administrator")
    assert administrator.get(reverse("admin:coalition_user_change", args=[person.pk])).status_code == 200
    assert {"monitoring", "pledges", "coalition"} <= {model._meta.app_label for model in admin.site._registry}


# --- What no address does ------------------------------------------------------------------

UNSAFE = ("post", "put", "patch", "delete")


def test_no_unsafe_request_is_taken_from_another_site(plan):
    administrator = as_a(Role.ADMINISTRATOR, enforce_csrf_checks=True)
    taken = []
    for name, address in addresses():
        for method in UNSAFE if name.startswith("api:") else ("post",):
            answer = getattr(administrator, method)(address, data="{}", content_type="application/json")
            if answer.status_code == 415:  # read before it is asked whose it is: send what it would take
                answer = administrator.post(address, {"any": "thing"})
            if answer.status_code != 403:
                taken.append((name, method, answer.status_code))
    assert taken == []
    signed_in = Client(enforce_csrf_checks=True)
    member = a_member(Role.OFFICER)
    form = {"login": member.username, "password": PASSWORD}
    assert signed_in.post("/accounts/login/", form).status_code == 403


OUTSIDE = [
    "https://evil.example/",
    "//evil.example/",
    "/\\evil.example",
    "\\\\evil.example",
    "https:evil.example",
    "javascript:alert(1)",
    "///evil.example",
    "https://testserver@evil.example/",
    "http://testserver.evil.example/",
]


def leaves(location: str) -> bool:
    return bool(re.match(r"(?!http://testserver/)[a-z]+:|[/\\]{2}", location.strip(), re.IGNORECASE))


def test_no_address_sends_people_elsewhere(administrator, plan):
    sent = []
    fields = ("next", "back", "return", "redirect", "redirect_to", "url")
    for name, address in addresses():
        outside = dict.fromkeys(fields, "https://evil.example/")
        answer = administrator.post(address, outside)
        if leaves(answer.get("Location", "")):
            sent.append((name, answer["Location"]))
    member = a_member(Role.OFFICER)
    form = {"login": member.username, "password": PASSWORD}
    for outside in OUTSIDE:
        answers = [
            administrator.post("/pledges/confirm/", {"pledge": str(plan.pk), "next": outside}),
            Client().post(reverse("account_login"), {**form, "next": outside}),
        ]
        sent += [(outside, answer["Location"]) for answer in answers if leaves(answer.get("Location", ""))]
        assert [answer.status_code for answer in answers] == [302, 302]
    assert sent == []
