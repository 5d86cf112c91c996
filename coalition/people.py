"""Who is let in, as what, and who no longer is? People come by invitation: a link that works once and not for long.

The link needs no mail: who invites hands it over as they think safe. Its secret is stored as a hash only. Role and nation
are the inviter's to say; name and password are the invited person's.
"""

import hashlib
import secrets
from collections.abc import Mapping
from datetime import timedelta

from allauth.usersessions.models import UserSession
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import Http404
from django.utils import timezone

from coalition.access import SYSTEM, Actor, Role, acting_as, actor_of, demand
from coalition.editing import Refused, check
from coalition.models import Invitation, Membership, Nation, User

LONGEST_DAYS = 30
USUAL_DAYS = 7
SAID_BY_THEMSELVES = ("username", "email", "first_name", "last_name")


class NotYourself(Refused):
    """Nobody locks themselves out."""

    code = "not_yourself"


def invite(
    *, by: User | Actor, for_whom: str, role: str, nation: Nation | None = None, days: int = USUAL_DAYS
) -> tuple[Invitation, str]:
    """Make an invitation and return it with the secret of its link, which is stored nowhere.

    ``by`` may be SYSTEM: whoever runs a command on the server lets the first people in. Raises PermissionDenied,
    ValidationError with field names.
    """
    if by is not SYSTEM:
        demand(by, "invite")
    errors = {}
    if not for_whom.strip():
        errors["for_whom"] = "Say whom it is for."
    if role not in Role.values:
        errors["role"] = "There is no such role."
    if role == Role.OFFICER and nation is None:
        errors["nation"] = "A staff officer belongs to a nation."
    if not 1 <= days <= LONGEST_DAYS:
        errors["days"] = f"An invitation lasts from 1 to {LONGEST_DAYS} days."
    if errors:
        raise ValidationError(errors)
    secret = secrets.token_urlsafe(32)
    with acting_as(by):
        invitation = Invitation(
            digest=_digest(secret),
            for_whom=for_whom.strip(),
            role=role,
            nation=nation,
            invited_by_id=actor_of(by).user_id,
            expires_at=timezone.now() + timedelta(days=days),
        )
        check(invitation)
        invitation.save(force_insert=True)
        invitation.refresh_from_db()
    return invitation, secret


def open_invitations(*, by: User) -> QuerySet[Invitation]:
    """Return the invitations that still let somebody in, the newest first."""
    demand(by, "invite")
    return _open().select_related("nation", "invited_by")


def revoke(pk: int, *, by: User) -> Invitation:
    """Take an invitation back and return it. Raises Http404 for one that lets nobody in any more."""
    demand(by, "invite")
    with acting_as(by):
        invitation = _open().select_for_update(of=("self",)).filter(pk=pk).first()
        if invitation is None:
            raise Http404("There is no such open invitation.")
        invitation.revoked_at = timezone.now()
        invitation.save(update_fields=["revoked_at"])
        return invitation


def invitation_of(secret: str) -> Invitation:
    """Return the open invitation behind a link. Raises Http404: unknown, used, revoked and expired look alike."""
    with acting_as(SYSTEM):
        invitation = _open().select_related("nation").filter(digest=_digest(secret)).first()
    if invitation is None:
        raise Http404("There is no such open invitation.")
    return invitation


def accept(secret: str, *, password: str, said: Mapping[str, str]) -> User:
    """Make the account that an invitation is for, once, and return it.

    ``said`` holds username, email, first_name and last_name. Raises Http404 for a link that lets nobody in, and
    ValidationError with field names.
    """
    with acting_as(SYSTEM, why="Accepted an invitation"):
        invitation = _open().select_for_update(of=("self",)).filter(digest=_digest(secret)).first()
        if invitation is None:
            raise Http404("There is no such open invitation.")
        person = User(**{name: str(said.get(name, "")).strip() for name in SAID_BY_THEMSELVES})
        person.email = person.email.lower()
        _check(person, password)
        person.set_password(password)
        person.save(force_insert=True)
        Membership.objects.create(user=person, role=invitation.role, nation=invitation.nation)
        invitation.accepted_at, invitation.accepted_by = timezone.now(), person
        invitation.save(update_fields=["accepted_at", "accepted_by"])
        return person


def _check(person: User, password: str) -> None:
    """Raise ValidationError naming every field that cannot stand. Names that differ by case only are one name."""
    problems: dict[str, list[str]] = {}
    try:
        person.clean_fields(exclude=["password"])
    except ValidationError as error:
        problems.update(error.message_dict)
    for name in ("username", "email"):
        value = getattr(person, name)
        if value and User.objects.filter(**{f"{name}__iexact": value}).exists():
            problems.setdefault(name, ["Somebody has this one already. Choose another."])
    if "\0" in password:
        problems["password"] = ["A password cannot hold a NUL."]
    try:
        validate_password(password, person)
    except ValidationError as error:
        problems.setdefault("password", error.messages)
    if problems:
        raise ValidationError(problems)


def deactivate(pk: int, *, by: User) -> User:
    """Let a person in no more: their sessions end now, and their tokens are refused. Raises Http404, NotYourself."""
    person = _person(pk, by=by)
    if person.pk == by.pk:
        raise NotYourself("You cannot deactivate yourself. Another administrator can.")
    person.is_active = False
    person.save(update_fields=["is_active"])
    for session in UserSession.objects.filter(user=person):
        session.end()
    return person


def reactivate(pk: int, *, by: User) -> User:
    """Let a person in again, with the password they had. Raises Http404."""
    person = _person(pk, by=by)
    person.is_active = True
    person.save(update_fields=["is_active"])
    return person


def everybody(*, by: User) -> QuerySet[User]:
    """Return all accounts by name, with their memberships."""
    demand(by, "invite")
    return User.objects.select_related("membership__nation").order_by("username")


def _person(pk: int, *, by: User) -> User:
    demand(by, "administer")
    person = User.objects.select_for_update().filter(pk=pk).first()
    if person is None:
        raise Http404("There is no such person.")
    return person


def _open() -> QuerySet[Invitation]:
    return Invitation.objects.filter(accepted_at=None, revoked_at=None, expires_at__gt=timezone.now())


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()
