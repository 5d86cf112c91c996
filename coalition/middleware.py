"""Every request has an id, and runs in one transaction in which the database knows who acts."""

import re
import uuid
from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import BadRequest, ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from coalition import logs, stale
from coalition.access import acting_as, can
from coalition.editing import Refused
from coalition.pages import NoOperation
from coalition.refusals import API

SAFE = {"GET", "HEAD", "OPTIONS", "TRACE"}
PAGES = {412, 428, 507}  # refusals with a page of their own


REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


class HeadersMiddleware:
    """Give every answer, whoever made it, the headers that keep it where it belongs. A view's own stay.

    Pages, JSON and exports are in no cache; what is handed out as a file can run nothing, opened where it may be.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.setdefault("Cache-Control", "private, no-store")
        response.setdefault("X-Content-Type-Options", "nosniff")
        response.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        response.setdefault("Cross-Origin-Embedder-Policy", settings.CROSS_ORIGIN_EMBEDDER_POLICY)
        if response.get("Content-Disposition", "").startswith("attachment"):
            response["Content-Security-Policy"] = settings.FILE_POLICY
        return response


class RequestIdMiddleware:
    """Give every answer an ``X-Request-ID``: the caller's own where it is harmless, else a new one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        asked = request.headers.get("X-Request-ID", "")
        request.id = asked if REQUEST_ID.fullmatch(asked) else uuid.uuid4().hex
        logs.asked.set(request.id)
        response = self.get_response(request)
        response["X-Request-ID"] = request.id
        return response


class ReadableAddressMiddleware:
    """Refuse a page's address with a NUL in it: PostgreSQL has no text that could equal it. The API names the field."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "%00" in request.META.get("QUERY_STRING", "") and not request.path.startswith(API):
            raise BadRequest("An address cannot hold a NUL.")
        return self.get_response(request)


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

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer a refusal that a page did not show itself with its status and its sentence."""
        if isinstance(exception, NoOperation) and not request.path.startswith(API):
            return render(request, "empty_start.html", {"may_plan": can(request.user, "keep_operations")}, status=404)
        if isinstance(exception, ValidationError):
            status, sentence = 400, " ".join(exception.messages)
        elif isinstance(exception, Refused):
            status, sentence = exception.status, str(exception)
        else:
            return None
        page = f"{status}.html" if status in PAGES else "409.html"
        return render(request, page, {"sentence": sentence}, status=status)
