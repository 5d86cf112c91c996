"""How people get in: by invitation only. Administrators make accounts; nobody signs up."""

import logging

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.auth_backends import AuthenticationBackend
from django.http import HttpRequest, HttpResponse

log = logging.getLogger(__name__)
entrance = logging.getLogger("coalition.entrance")  # who came in, and who did not: always kept


class InvitedOnly(DefaultAccountAdapter):
    """allauth's adapter with the sign-up closed, pages only, and mail that may fail."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def is_ajax(self, request: HttpRequest) -> bool:
        """Never: answered as JSON a wrong password is a 400, which takes back what it wrote, the count of tries too."""
        return False

    def authentication_failed(self, request: HttpRequest, **credentials) -> None:
        super().authentication_failed(request, **credentials)
        name = credentials.get("username") or credentials.get("email")
        entrance.warning("Not let in: %r from %s", name, self.get_client_ip(request))

    def post_login(self, request: HttpRequest, user, **more) -> HttpResponse:
        entrance.info("Let in: %r from %s", user.get_username(), self.get_client_ip(request))
        return super().post_login(request, user, **more)

    def send_mail(self, template_prefix: str, email: str, context: dict) -> None:
        """Send, or log that it failed: an answer that differs would say which addresses have an account."""
        try:
            super().send_mail(template_prefix, email, context)
        except OSError:
            log.exception("Mail could not be sent.")


class EqualWork(AuthenticationBackend):
    """allauth's backend, hashing once per person. By e-mail it would hash twice: the wait would say who has an account."""

    def authenticate(self, request: HttpRequest | None, **credentials):
        self._asked: set[int] = set()
        return super().authenticate(request, **credentials)

    def _check_password(self, user, password: str):
        if user is None or user.pk in self._asked:
            return None
        self._asked.add(user.pk)
        return super()._check_password(user, password)
