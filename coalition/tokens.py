"""Whether a program's token lets it in, and what it may write: read, log pledges, or file reports.

Tokens are knox's: hashed at rest, expiring. Ours know a scope and when they were last used.
"""

import re
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from knox.auth import TokenAuthentication as KnoxAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import SAFE_METHODS, BasePermission

from coalition.access import become
from coalition.models import ApiToken

STAMP_EVERY = timedelta(minutes=1)
LOOKS_LIKE_A_TOKEN = re.compile(rb"[0-9A-Za-z_]{16,200}")


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
        if not LOOKS_LIKE_A_TOKEN.fullmatch(token):
            raise AuthenticationFailed("Invalid token.")
        return super().authenticate_credentials(token)


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
    """A token writes only where the viewset's ``write_scope`` is its own. People with a session have no scope.

    ``asks`` are the viewset's POST actions that only ask, with a question too long for an address.
    """

    message = "This token may not write here."

    def has_permission(self, request, view) -> bool:
        asks = request.method in SAFE_METHODS or view.action in getattr(view, "asks", ())
        if asks or not isinstance(request.auth, ApiToken):
            return True
        return request.auth.scope == getattr(view, "write_scope", None)


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
