"""Every request runs in one transaction in which the database knows who acts."""

from collections.abc import Callable

from django.db import transaction
from django.http import HttpRequest, HttpResponse

from coalition import stale
from coalition.access import acting_as

SAFE = {"GET", "HEAD", "OPTIONS", "TRACE"}


class ActingMiddleware:
    """Open ``acting_as`` around the whole answer, templates included, and take back what a refused request wrote."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with acting_as(request.user):
            response = self.get_response(request)
            if response.status_code >= 400:
                transaction.set_rollback(True)
            elif request.method not in SAFE:
                stale.nudge()
        return response
