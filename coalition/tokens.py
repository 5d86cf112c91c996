"""Whether a program's token lets it in, and what it may write: read, log pledges, or file reports.

Tokens are knox's: hashed at rest, expiring. Ours know a scope and when they were last used.
"""

import re
from datetime import timedelta

from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Q
from django.http import Http404
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from knox.auth import TokenAuthentication as KnoxAuthentication
from knox.crypto import hash_token
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import SAFE_METHODS, BasePermission

from coalition.access import become, can, demand
from coalition.editing import Refused
from coalition.models import ApiToken, User

STAMP_EVERY = timedelta(minutes=1)
LONGEST_DAYS = 365
MOST = 20  # living tokens of one person
# What a scope lets a program do is never more than its owner may do.
ASKS = {ApiToken.Scope.LOG_PLEDGES: "log_pledge", ApiToken.Scope.FILE_REPORTS: "file_report"}
IMPORTS = {"import_pledges": ApiToken.Scope.LOG_PLEDGES, "import_reports": ApiToken.Scope.FILE_REPORTS}
LOOKS_LIKE_A_TOKEN = re.compile(rb"[0-9A-Za-z_]{16,200}")


class TooManyTokens(Refused):
    """One person has as many living tokens as one person may have."""

    code = "too_many_tokens"


def scopes_of(user) -> list[tuple[str, str]]:
    """Return the scopes, with their labels, that a person may give a token: none writes what they may not write."""
    return [(scope, scope.label) for scope in ApiToken.Scope if scope not in ASKS or can(user, ASKS[scope])]


def issue(*, by: User, name: str, scope: str, days: int) -> tuple[ApiToken, str]:
    """Make a token of one's own and return it with its secret, which is stored nowhere and shown once.

    Raises ValidationError naming the field, and TooManyTokens.
    """
    demand(by, "see")
    errors = {}
    if not name.strip() or len(name) > 100:
        errors["name"] = "Say in up to 100 characters which program it is for."
    if scope not in dict(scopes_of(by)):
        errors["scope"] = "This is not a scope you can give."
    if not 1 <= days <= LONGEST_DAYS:
        errors["days"] = f"A token lives from 1 to {LONGEST_DAYS} days."
    if errors:
        raise ValidationError(errors)
    User.objects.select_for_update().get(pk=by.pk)  # two at once cannot both be the last one
    if living_of(by).count() >= MOST:
        raise TooManyTokens(f"You have {MOST} tokens. Revoke one that is no longer used.")
    return ApiToken.objects.create(by, expiry=timedelta(days=days), name=name.strip(), scope=scope)


def living_of(user):
    """Return a person's tokens that have not expired, the newest first."""
    return ApiToken.objects.filter(user=user, expiry__gt=timezone.now()).order_by("-created")


def revoke(key: str, *, by: User) -> ApiToken:
    """Take a token of one's own back at once; return what it was. Raises Http404 for one that is not one's own."""
    found = living_of(by).filter(token_key=key).first()
    if found is None:
        raise Http404("You have no such token.")
    found.delete()
    return found


class TokenAuthentication(KnoxAuthentication):
    """``Authorization: Token …``. The database is told who acts: the request's transaction began as nobody's."""

    def authenticate(self, request):
        found = super().authenticate(request)
        if found:
            user, token = found
            become(user)
            _stamp(token)
        return found

    def authenticate_credentials(self, token: bytes):
        """Return whose token it is, and the token: one query, on every request. Expired ones go with the housekeeping."""
        if not LOOKS_LIKE_A_TOKEN.fullmatch(token):
            raise AuthenticationFailed("Invalid token.")
        living = ApiToken.objects.filter(Q(expiry=None) | Q(expiry__gt=timezone.now()))
        found = living.select_related("user__membership").filter(digest=hash_token(token.decode())).first()
        if found is None:
            raise AuthenticationFailed("Invalid token.")
        return self.validate_user(found)


def _stamp(token: ApiToken) -> None:
    """Note that the token was used, at most once a minute; requests beside each other do not wait for one another."""
    now = timezone.now()
    if token.last_used_at and now - token.last_used_at < STAMP_EVERY:
        return
    unstamped = ApiToken.objects.select_for_update(skip_locked=True).filter(
        Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - STAMP_EVERY), pk=token.pk
    )
    ApiToken.objects.filter(pk__in=list(unstamped.values_list("pk", flat=True))).update(last_used_at=now)


class WithinScope(BasePermission):
    """A token writes only where its scope is one of the viewset's ``write_scopes``. People with a session have none.

    ``asks`` are the viewset's POST actions that only ask, with a question too long for an address.
    """

    message = "This token may not write here."

    def has_permission(self, request, view) -> bool:
        asks = request.method in SAFE_METHODS or view.action in getattr(view, "asks", ())
        if asks or not isinstance(request.auth, ApiToken):
            return True
        return request.auth.scope in view.write_scopes


def demand_scope(token: ApiToken | None, action: str) -> None:
    """Raise PermissionDenied for a token whose scope does not let it import what this action of access.RULES imports."""
    if isinstance(token, ApiToken) and token.scope != IMPORTS.get(action):
        raise PermissionDenied(WithinScope.message)


class TokenScheme(OpenApiAuthenticationExtension):
    """How the schema describes the token."""

    target_class = TokenAuthentication
    name = "token"
    priority = 1  # before spectacular's own for knox

    def get_security_definition(self, auto_schema) -> dict:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Authorization: Token …`. A token has one scope: read, log pledges, or file reports.",
        }
