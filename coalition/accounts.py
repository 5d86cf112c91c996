"""How people get in: by invitation only. Administrators make accounts; nobody signs up."""

import logging

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest

log = logging.getLogger(__name__)


class InvitedOnly(DefaultAccountAdapter):
    """allauth's adapter with the sign-up closed, pages only, and mail that may fail."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def is_ajax(self, request: HttpRequest) -> bool:
        """Never: answered as JSON a wrong password is a 400, which takes back what it wrote, the count of tries too."""
        return False

    def send_mail(self, template_prefix: str, email: str, context: dict) -> None:
        """Send, or log that it failed: an answer that differs would say which addresses have an account."""
        try:
            super().send_mail(template_prefix, email, context)
        except OSError:
            log.exception("Mail could not be sent.")
