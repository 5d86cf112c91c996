"""Who gets in, and who stays in: guessing, enumeration, fixation, passwords that change, people who leave, invitations."""

import re
from datetime import timedelta
from unittest import mock

import pytest
from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.core import mail
from django.core.cache import cache
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404
from django.test import Client
from django.utils import timezone

from coalition import broker, people
from coalition.access import SYSTEM, Role, acting_as
from coalition.editing import Refused
from coalition.models import ApiToken, Invitation, User
from tests.factories import PASSWORD, a_member, a_nation

pytestmark = pytest.mark.django_db
NEW = "another-long-sentence"


def log_in(username: str, password: str = PASSWORD, client: Client | None = None, **more):
    return (client or Client()).post("/accounts/login/", {"login": username, "password": password}, **more)


def words(answer) -> str:
    """The text of a page without what differs each time."""
    text = re.sub(
        r'name="csrfmiddlewaretoken" value="[^"]+"|<time.*?</time>|x-csrftoken[^}]+', "", answer.content.decode()
    )
    return re.sub(r"<footer.*?</footer>|value=\"[^\"]*\"", "", text, flags=re.DOTALL)


# --- Guessing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"HTTP_X_REQUESTED_WITH": "XMLHttpRequest"}, {"HTTP_ACCEPT": "application/json"}])
def test_after_five_wrong_passwords_the_right_one_has_to_wait(more):
    member = a_member()
    for number in range(5):
        assert log_in(member.username, "wrong", REMOTE_ADDR=f"203.0.113.{number}", **more).status_code == 200
    answer = log_in(member.username, REMOTE_ADDR="203.0.113.99")
    assert answer.status_code != 302
    assert "Too many failed login attempts" in answer.content.decode()
    assert log_in(a_member().username).status_code == 302  # others are not held up


def test_one_address_cannot_try_many_names():
    for number in range(10):
        log_in(f"nobody-{number}", "wrong", REMOTE_ADDR="203.0.113.7")
    assert log_in(a_member().username, REMOTE_ADDR="203.0.113.7").status_code != 302
    assert log_in(a_member().username, REMOTE_ADDR="203.0.113.8").status_code == 302


def test_the_address_that_counts_is_not_one_that_the_caller_writes():
    for number in range(10):
        log_in(f"nobody-{number}", "wrong", HTTP_X_FORWARDED_FOR=f"198.51.100.{number}")
    assert log_in(a_member().username, HTTP_X_FORWARDED_FOR="198.51.100.200").status_code != 302


def test_behind_a_proxy_people_are_told_apart_by_what_the_proxy_writes():
    with mock.patch.object(settings, "ALLAUTH_TRUSTED_PROXY_COUNT", 1):
        for number in range(10):
            log_in(f"nobody-{number}", "wrong", HTTP_X_FORWARDED_FOR=f"198.51.100.{number}, 203.0.113.7")
        assert log_in(a_member().username, HTTP_X_FORWARDED_FOR="1.1.1.1, 203.0.113.7").status_code != 302
        assert log_in(a_member().username, HTTP_X_FORWARDED_FOR="1.1.1.1, 203.0.113.8").status_code == 302


def test_the_count_is_not_pushed_out_by_other_keys_and_needs_no_broker():
    member = a_member()
    with mock.patch.object(broker, "nudge", side_effect=OSError) if hasattr(broker, "nudge") else mock.MagicMock():
        for number in range(5):
            log_in(member.username, "wrong", REMOTE_ADDR=f"203.0.113.{number}")
        for number in range(400):
            cache.set(f"other-{number}", 1)
        assert log_in(member.username, REMOTE_ADDR="203.0.113.99").status_code != 302


def test_the_log_says_who_came_in_and_who_did_not(caplog):
    member = a_member()
    log_in(f"x\nLet in: {member.username}", "wrong-secret", REMOTE_ADDR="203.0.113.7")
    log_in(member.username, REMOTE_ADDR="203.0.113.8")
    said = [record.getMessage() for record in caplog.records if record.name == "coalition.entrance"]
    assert said == [
        f"Not let in: 'x\\nLet in: {member.username}' from 203.0.113.7",
        f"Let in: {member.username!r} from 203.0.113.8",
    ]
    assert "wrong-secret" not in caplog.text


# --- Who has an account? -------------------------------------------------------------------------


def test_a_wrong_name_and_a_wrong_password_are_told_in_the_same_words_after_the_same_work():
    member, gone = a_member(), a_member(is_active=False)
    hashed = []
    encode = Argon2PasswordHasher.encode
    verify = Argon2PasswordHasher.verify

    def count(real, name):
        return lambda self, *given: hashed.append(name) or real(self, *given)

    def answers(*names: str) -> set[tuple[str, int]]:
        found = set()
        for username in names:
            with (
                mock.patch.object(Argon2PasswordHasher, "encode", count(encode, "encode")),
                mock.patch.object(Argon2PasswordHasher, "verify", count(verify, "verify")),
            ):
                hashed.clear()
                found.add((words(log_in(username, "wrong")), len(hashed)))
        return found

    [(_, work)] = answers(member.username, "nobody-of-this-name", gone.username)
    assert work == 1
    told = answers(member.email, "nobody@example.org", gone.email)
    assert len({text for text, _ in told}) == 1
    assert {work for _, work in told} == {1}


def test_a_reset_is_answered_the_same_for_an_address_with_an_account_and_one_without():
    member = a_member()
    answers = [Client().post("/accounts/password/reset/", {"email": email}) for email in (member.email, "x@y.example")]
    assert [(answer.status_code, answer["Location"]) for answer in answers] == [
        (302, "/accounts/password/reset/done/")
    ] * 2
    assert len(mail.outbox) == 2  # the same work for both


def test_a_mail_host_that_is_away_makes_no_difference_to_see():
    member = a_member()
    with mock.patch("django.core.mail.message.EmailMessage.send", side_effect=ConnectionRefusedError):
        for email in (member.email, "x@y.example"):
            assert Client().post("/accounts/password/reset/", {"email": email}).status_code == 302


def test_the_link_of_a_reset_works_once_and_ends_all_sessions():
    member = a_member()
    elsewhere, client = Client(), Client()
    log_in(member.username, client=elsewhere)
    client.post("/accounts/password/reset/", {"email": member.email})
    link = re.search(r"http://testserver(/accounts/password/reset/key/\S+)", mail.outbox[0].body)[1]
    form = client.get(link, follow=True)
    address = form.redirect_chain[-1][0]
    assert client.post(address, {"password1": NEW, "password2": NEW}).status_code == 302
    assert elsewhere.get("/pledges/").status_code == 302
    assert log_in(member.username, NEW).status_code == 302
    again = Client().get(link, follow=True).content.decode()
    assert "Bad Token" in again or "invalid" in again.lower()


# --- Sessions -----------------------------------------------------------------------------------


def test_a_session_from_before_the_login_is_not_the_one_after():
    member, client = a_member(), Client()
    client.cookies["sessionid"] = "planted-by-somebody-else-0000000"
    client.get("/accounts/login/")
    log_in(member.username, client=client)
    first = client.cookies["sessionid"].value
    assert first != "planted-by-somebody-else-0000000"
    thief = Client()
    thief.cookies["sessionid"] = "planted-by-somebody-else-0000000"
    assert thief.get("/pledges/").status_code == 302
    client.post("/accounts/logout/")
    thief.cookies["sessionid"] = first
    assert thief.get("/pledges/").status_code == 302


def test_a_changed_password_ends_every_session():
    member, here, elsewhere = a_member(), Client(), Client()
    log_in(member.username, client=here)
    log_in(member.username, client=elsewhere)
    changed = here.post("/accounts/password/change/", {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW})
    assert changed.status_code == 302
    assert here.get("/accounts/sessions/").status_code == elsewhere.get("/accounts/sessions/").status_code == 302
    assert log_in(member.username).status_code != 302
    assert log_in(member.username, NEW).status_code == 302


def test_who_is_deactivated_is_out_at_once_and_stays_out_when_let_in_again():
    administrator, member, client = a_member(Role.ADMINISTRATOR), a_member(Role.ANALYST), Client()
    _, token = ApiToken.objects.create(member)
    program = {"HTTP_AUTHORIZATION": f"Token {token}"}
    log_in(member.username, client=client)
    assert client.get("/accounts/sessions/").status_code == 200
    assert Client().get("/api/v1/nations/", **program).status_code == 200
    with acting_as(administrator):
        people.deactivate(member.pk, by=administrator)
    assert client.get("/accounts/sessions/").status_code == 302
    assert Client().get("/api/v1/nations/", **program).status_code == 401
    assert log_in(member.username)["Location"].startswith("/accounts/inactive/")
    with acting_as(administrator):
        people.reactivate(member.pk, by=administrator)
    assert client.get("/accounts/sessions/").status_code == 302
    assert log_in(member.username).status_code == 302


def test_nobody_locks_themselves_out_and_only_administrators_lock_anybody():
    administrator, planner = a_member(Role.ADMINISTRATOR), a_member(Role.PLANNER)
    with pytest.raises(Refused), acting_as(administrator):
        people.deactivate(administrator.pk, by=administrator)
    with pytest.raises(PermissionDenied), acting_as(planner):
        people.deactivate(administrator.pk, by=planner)


# --- Invitations --------------------------------------------------------------------------------


def an_invitation(role: str = Role.ANALYST, nation: str = "", **more) -> tuple[Invitation, str]:
    with acting_as(SYSTEM):
        return people.invite(
            by=SYSTEM, for_whom="Somebody", role=role, nation=a_nation(nation) if nation else None, **more
        )


def said(username: str = "newcomer", **more) -> dict[str, str]:
    return {"username": username, "email": f"{username}@example.org", "password": NEW, "again": NEW, **more}


def test_a_link_makes_one_account_with_the_role_and_nation_of_the_inviter():
    _, secret = an_invitation(Role.OFFICER, "FR")
    link = f"/accounts/invitation/{secret}/"
    assert Client().get(link).status_code == 200
    answer = Client().post(link, said(role="administrator", nation="GB", is_superuser="1", is_staff="1"))
    assert answer["Location"] == "/accounts/login/"
    person = User.objects.get(username="newcomer")
    assert (person.membership.role, person.membership.nation_id) == ("officer", "FR")
    assert not person.is_superuser
    assert not person.is_staff
    assert log_in("newcomer", NEW).status_code == 302
    assert Client().get(link).status_code == Client().post(link, said("second")).status_code == 404


def test_expired_revoked_and_unknown_links_look_alike():
    administrator = a_member(Role.ADMINISTRATOR)
    expired, old = an_invitation()
    revoked, taken_back = an_invitation()
    with acting_as(SYSTEM):
        Invitation.objects.filter(pk=expired.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    people.revoke(revoked.pk, by=administrator)
    pages = [Client().get(f"/accounts/invitation/{secret}/") for secret in (old, taken_back, "never-made", "ü")]
    assert {page.status_code for page in pages} == {404}
    assert len({words(page) for page in pages}) == 1
    for secret in (old, taken_back):
        with pytest.raises(Http404):
            people.accept(secret, password=NEW, said=said())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", "taken"), ("username", "TAKEN"), ("username", ""), ("username", "a b"), ("username", "x\0y"),
        ("email", "Taken@example.org"), ("email", "no-address"), ("email", ""),
        ("password", "short"), ("password", "newcomer-newcomer"), ("password", "123456789012"), ("again", "not the same"),
    ],
)  # fmt: skip
def test_what_cannot_be_an_account_is_said_beside_its_field_and_uses_nothing_up(field, value):
    User.objects.create(username="taken", email="taken@example.org")
    _, secret = an_invitation()
    given = said() | {field: value} | ({"again": value} if field == "password" else {})
    answer = Client().post(f"/accounts/invitation/{secret}/", given)
    assert answer.status_code == 422
    assert f'id="id_{field}_error"' in answer.content.decode()
    assert Client().get(f"/accounts/invitation/{secret}/").status_code == 200
    assert not User.objects.filter(membership__isnull=False, username__startswith="newcomer").exists()


def test_the_secret_is_stored_nowhere_and_the_table_is_closed_to_all_but_administrators():
    _, secret = an_invitation()
    with acting_as(SYSTEM):
        [row] = Invitation.objects.values()
    assert secret not in str(row)
    for role, seen in ((Role.PLANNER, 0), (Role.OFFICER, 0), (Role.ADMINISTRATOR, 1)):
        with acting_as(a_member(role)):
            assert Invitation.objects.count() == seen, role


def test_only_administrators_invite_and_an_officer_needs_a_nation():
    with pytest.raises(PermissionDenied):
        people.invite(by=a_member(Role.PLANNER), for_whom="x", role=Role.ANALYST)
    with pytest.raises(ValidationError) as refused:
        an_invitation(Role.OFFICER)
    assert "nation" in refused.value.message_dict
    for days in (0, 31):
        with pytest.raises(ValidationError):
            an_invitation(days=days)
    assert EmailAddress.objects.count() == 0
