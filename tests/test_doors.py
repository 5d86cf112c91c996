"""No address is open: a stranger is sent to the login or refused, and a person without a membership sees nothing."""

import uuid

import pytest
from django.test import Client
from django.urls import NoReverseMatch, URLPattern, get_resolver, reverse

from coalition.models import User

pytestmark = pytest.mark.django_db
OPEN = {"account_login", "account_logout", "account_reset_password_done", "account_inactive"}
# The entrance itself: allauth's own pages for those who are not in yet. They hold no data.
ENTRANCE = {
    "account_signup",
    "account_reset_password",
    "account_reset_password_from_key",
    "account_reset_password_from_key_done",
    "account_email_verification_sent",
    "account_confirm_email",
    "mfa_authenticate",
}
REFUSED = {401, 403, 404, 405}
SAMPLES = {
    "name": "commit",
    "job_id": str(uuid.UUID(int=1)),
    "uidb36": "1",
    "key": "a-b",
    "format": "json",
    "app_label": "coalition",
    "object_id": "1",
    "content_type_id": "1",
    "url": "x",
    "step": "email",
}


def address_of(name: str, pattern: URLPattern) -> str:
    """Return an address that fits the pattern. One that nobody can make would be a test that proves nothing."""
    wanted = list(pattern.pattern.regex.groupindex)
    for other in ("1", str(uuid.UUID(int=1)), "FR"):
        try:
            return reverse(name, kwargs={key: SAMPLES.get(key, other) for key in wanted})
        except NoReverseMatch:
            continue
    pytest.fail(f"No value fits {name}")


def addresses(patterns=None, prefix: str = "") -> list[tuple[str, str]]:
    """Return (name, address) for every named address, with believable values filled in."""
    found = []
    for pattern in patterns if patterns is not None else get_resolver().url_patterns:
        if isinstance(pattern, URLPattern):
            if pattern.name:
                found.append((prefix + pattern.name, address_of(prefix + pattern.name, pattern)))
        else:
            inner = f"{prefix}{pattern.namespace}:" if pattern.namespace else prefix
            found += addresses(pattern.url_patterns, inner)
    return found


def test_there_are_doors_to_try():
    assert len(addresses()) > 100


def test_a_stranger_stays_outside():
    client = Client()
    for name, address in addresses():
        if name in OPEN | ENTRANCE:
            continue
        for answer in (client.get(address), client.post(address)):
            to_login = answer.status_code == 302 and "/login/" in answer["Location"]
            assert to_login or answer.status_code in REFUSED, (name, address, answer.status_code)


def test_nobody_signs_up():
    assert "closed" in Client().get(reverse("account_signup")).content.decode().lower()
    User.objects.all().delete()
    Client().post(
        reverse("account_signup"),
        {"username": "x", "email": "x@example.org", "password1": "a-long-password-1", "password2": "a-long-password-1"},
    )
    assert User.objects.count() == 0


def test_a_person_without_a_membership_sees_their_own_account_and_nothing_else():
    client = Client()
    client.force_login(
        User.objects.create_user("nobody", "nobody@example.org"),
        backend="coalition.accounts.EqualWork",
    )
    for name, address in addresses():
        if name.startswith(("account_", "mfa_", "usersessions_")):
            continue
        for answer in (client.get(address), client.post(address)):
            assert answer.status_code in REFUSED or (name.startswith("admin:") and answer.status_code == 302), (
                name,
                address,
                answer.status_code,
            )
