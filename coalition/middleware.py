"""Every request has an id, and runs in one transaction in which the database knows who acts."""

import re
import uuid
from collections.abc import Callable

from django.db import transaction
from django.http import HttpRequest, HttpResponse

from coalition import stale
from coalition.access import acting_as

SAFE = {"GET", "HEAD", "OPTIONS", "TRACE"}


REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


class RequestIdMiddleware:
    """Give every answer an ``X-Request-ID``: the caller's own where it is harmless, else a new one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        asked = request.headers.get("X-Request-ID", "")
        request.id = asked if REQUEST_ID.fullmatch(asked) else uuid.uuid4().hex
        response = self.get_response(request)
        response["X-Request-ID"] = request.id
        return response


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
