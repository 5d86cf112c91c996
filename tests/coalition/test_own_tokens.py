"""Tokens are made, shown once and revoked by their owner; they do what their scope says and never more than the owner."""

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404
from django.test import Client
from django.utils import timezone

from coalition import housekeeping, tokens
from coalition.access import SYSTEM, Role, acting_as
from coalition.models import ApiToken
from tests.factories import a_member

pytestmark = pytest.mark.django_db

PAGE = "/accounts/tokens/"


@pytest.fixture
def analyst():
    with acting_as(SYSTEM):
        return a_member(Role.ANALYST)


def logged_in(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def asks_with(secret: str, client: Client | None = None):
    return (client or Client()).get("/api/v1/nations/", headers={"Authorization": f"Token {secret}"})


def test_a_token_made_in_the_browser_is_shown_once_and_lets_a_program_in(analyst):
    client = logged_in(analyst)
    answer = client.post(PAGE, {"name": "Notebook", "scope": "read", "days": 30})
    secret = answer.context["secret"]
    assert secret in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert asks_with(secret).status_code == 200
    page = client.get(PAGE)
    assert "Notebook" in page.text
    assert secret not in page.text
    assert not ApiToken.objects.filter(digest=secret).exists()


def test_a_revoked_token_is_refused_at_once(analyst):
    client = logged_in(analyst)
    token, secret = tokens.issue(by=analyst, name="Old", scope="read", days=1)
    assert asks_with(secret).status_code == 200
    assert client.post(f"{PAGE}{token.token_key}/revoke/").status_code == 302
    assert asks_with(secret).status_code == 401
    assert "You have no token." in client.get(PAGE).text


def test_expired_tokens_are_refused_and_go_with_the_housekeeping(analyst):
    old, secret = tokens.issue(by=analyst, name="Old", scope="read", days=1)
    young, _ = tokens.issue(by=analyst, name="Young", scope="read", days=1)
    ApiToken.objects.filter(pk=old.pk).update(expiry=timezone.now() - timedelta(seconds=1))
    assert asks_with(secret).status_code == 401
    housekeeping.clean_up()
    assert list(ApiToken.objects.filter(user=analyst)) == [young]


def test_nobody_sees_or_revokes_the_token_of_another(analyst):
    token, secret = tokens.issue(by=analyst, name="Mine alone", scope="read", days=1)
    with acting_as(SYSTEM):
        other = a_member(Role.ADMINISTRATOR)
    client = logged_in(other)
    assert "Mine alone" not in client.get(PAGE).text
    assert client.post(f"{PAGE}{token.token_key}/revoke/").status_code == 404
    with pytest.raises(Http404):
        tokens.revoke(token.token_key, by=other)
    assert asks_with(secret).status_code == 200


@pytest.mark.parametrize(
    ("role", "scopes"),
    [
        (Role.ANALYST, {"read"}),
        (Role.OFFICER, {"read", "log_pledges"}),
        (Role.MONITOR, {"read", "file_reports"}),
        (Role.PLANNER, {"read", "log_pledges", "file_reports"}),
    ],
)
def test_a_scope_is_offered_only_to_who_may_do_what_it_says(role, scopes):
    with acting_as(SYSTEM):
        user = a_member(role)
    assert {scope for scope, _ in tokens.scopes_of(user)} == scopes
    for scope in set(ApiToken.Scope) - scopes:
        with pytest.raises(ValidationError, match="not a scope you can give"):
            tokens.issue(by=user, name="More", scope=scope, days=1)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"scope": "everything"}, "scope"),
        ({"days": 0}, "days"),
        ({"days": 366}, "days"),
        ({"days": "soon"}, "days"),
    ],
)
def test_a_token_that_cannot_be_made_is_refused_naming_the_field(analyst, fields, named):
    answer = logged_in(analyst).post(PAGE, {"name": "Notebook", "scope": "read", "days": 30} | fields)
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [named]
    assert not ApiToken.objects.exists()


def test_one_person_has_no_more_tokens_than_can_be_overseen_and_expired_ones_make_room(analyst):
    made = [tokens.issue(by=analyst, name=str(number), scope="read", days=1)[0] for number in range(tokens.MOST)]
    with pytest.raises(tokens.TooManyTokens, match="Revoke one"):
        tokens.issue(by=analyst, name="One more", scope="read", days=1)
    ApiToken.objects.filter(pk=made[0].pk).update(expiry=timezone.now() - timedelta(seconds=1))
    assert tokens.issue(by=analyst, name="One more", scope="read", days=1)


def test_who_is_no_longer_a_member_makes_no_token(analyst):
    analyst.membership.delete()
    analyst.refresh_from_db()
    with pytest.raises(PermissionDenied):
        tokens.issue(by=analyst, name="Notebook", scope="read", days=1)
