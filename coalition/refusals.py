"""What a refused request gets: one shape for every error of the API, whoever raised it.

``{"type", "code", "detail", "errors": {field: [sentences]}}``. Domain modules raise what they refuse
(``editing.Refused`` and Django's own exceptions) and know nothing of JSON; here an exception becomes an answer.
"""

import logging
import sys
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied, RequestDataTooBig, TooManyFieldsSent
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.db.models import ProtectedError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.template import loader
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions
from rest_framework.exceptions import APIException
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from coalition.disk import NoRoom, is_full
from coalition.editing import Refused, VersionStale, etag

API = ("/api/", "/ogc")  # below here an error is JSON, everywhere else a page
WHOLE = "non_field_errors"  # the key for what belongs to no single field
DISK_FULL = "53100"  # PostgreSQL's own disk. Source: PostgreSQL, appendix A, error codes
RETRY_AFTER_S = "5"
DATABASE_AWAY = (
    "The database does not answer at the moment. What you sent was not saved, or was saved whole: look before you "
    "repeat it. Try again in a few seconds."
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Refusal:
    """An error as it goes out. ``errors`` maps a field (dotted path) to sentences; empty when no field is to blame."""

    status: int
    code: str
    detail: str
    errors: dict[str, list[str]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        errors = {writable(name): [writable(text) for text in texts] for name, texts in self.errors.items()}
        return {"type": kind_of(self), "code": self.code, "detail": writable(self.detail), "errors": errors}


def writable(text: str) -> str:
    """Return the text with halves of surrogate pairs spelled out: JSON can carry one in, and a sentence may quote it."""
    return text.encode(errors="backslashreplace").decode()


def kind_of(refusal: Refusal) -> str:
    """Return ``validation_error`` (fields are named), ``client_error`` or ``server_error``."""
    if refusal.status >= 500:
        return "server_error"
    return "validation_error" if refusal.status == 400 and refusal.errors else "client_error"


class Conflict(APIException):
    """What was asked for does not fit the present state."""

    status_code = 409
    default_code = "conflict"
    default_detail = "This does not fit the present state."


class TooLarge(APIException):
    """The body is larger than the product takes."""

    status_code = 413
    default_code = "too_large"
    default_detail = "The body is too large."


def shortage_of(error: BaseException | None) -> Refusal | None:
    """Return the answer where the server lacks what it needs: its database (503) or room on its disk (507); else None.

    An error on the way to the database leaves it open whether what was sent was saved: the sentence says so.
    """
    if is_full(error) or (
        isinstance(error, OperationalError) and getattr(error.__cause__, "sqlstate", "") == DISK_FULL
    ):
        return Refusal(NoRoom.status, NoRoom.code, str(NoRoom()))
    if isinstance(error, OperationalError | InterfaceError):
        return Refusal(503, "database_away", DATABASE_AWAY, headers={"Retry-After": RETRY_AFTER_S})
    return None


class LengthMissing(APIException):
    """The body comes in pieces of which nobody says how many."""

    status_code = 411
    default_code = "length_required"
    default_detail = "Say with Content-Length how long the body is; bodies in chunks are not read."


class RangeNotSatisfiable(APIException):
    """The range that was asked for lies behind the end."""

    status_code = 416
    default_code = "range_not_satisfiable"

    def __init__(self, size: int):
        super().__init__(f"The file has {size:,} bytes.")
        self.headers = {"Content-Range": f"bytes */{size}"}


def refusal_of(error: Exception) -> Refusal | None:
    """Return the answer for an exception, or None when it is nobody's but a fault of ours (a 500)."""
    match error:
        case VersionStale():
            now = {"version": [f"It is now {error.current.version}."]}
            return Refusal(error.status, error.code, str(error), errors=now, headers={"ETag": etag(error.current)})
        case Refused():
            return Refusal(error.status, error.code, str(error))
        case Http404():
            error = exceptions.NotFound()  # always the same words: what is hidden and what never was look alike
        case PermissionDenied():
            error = exceptions.PermissionDenied(str(error) or None)
        case DjangoValidationError():
            return _invalid(_of_django(error))
        case RequestDataTooBig():
            error = TooLarge()
        case ProtectedError():
            error = Conflict("Other things still hang on this.", code="protected")
        case IntegrityError():
            log.warning("A write met a constraint that nothing checked before", exc_info=error)
            error = Conflict("Something that is there already stands against this.")
        case DataError():
            log.warning("The database could not hold a value that nothing checked before", exc_info=error)
            error = exceptions.ParseError("A value does not fit: too large, too long or not readable.")
    if shortage := shortage_of(error):
        log.warning("The server lacks what it needs", exc_info=error)
        return shortage
    if isinstance(error, exceptions.ValidationError):
        return _invalid(flatten(error.detail))
    if isinstance(error, APIException):
        return Refusal(error.status_code, _code(error), _sentence(error.detail), headers=_headers(error))
    return None


def flatten(detail: Any, path: str = "") -> dict[str, list[str]]:
    """Return nested DRF error details as dotted field → sentences: ``{"caveats.0.kind": ["…"]}``."""
    if isinstance(detail, dict):
        found: dict[str, list[str]] = {}
        for name, inner in detail.items():
            for key, sentences in flatten(inner, _join(path, str(name))).items():
                found.setdefault(key, []).extend(sentences)
        return found
    if isinstance(detail, list) and any(isinstance(item, dict | list) for item in detail):
        return flatten({str(number): item for number, item in enumerate(detail) if item}, path)
    sentences = [str(item) for item in detail] if isinstance(detail, list) else [str(detail)]
    return {path or WHOLE: sentences}


def _join(path: str, name: str) -> str:
    name = WHOLE if name == NON_FIELD_ERRORS else name
    if path and name == WHOLE:
        return path
    return f"{path}.{name}" if path else name


def _of_django(error: DjangoValidationError) -> dict[str, list[str]]:
    return flatten(error.message_dict) if hasattr(error, "error_dict") else {WHOLE: list(error.messages)}


def _invalid(errors: dict[str, list[str]]) -> Refusal:
    """Name the first field in the sentence: many clients show nothing else."""
    name, sentences = next(iter(errors.items()), (WHOLE, ["Not valid."]))
    detail = sentences[0] if name == WHOLE else f"{name}: {sentences[0]}"
    return Refusal(400, "invalid", detail, errors=errors)


def _code(error: APIException) -> str:
    codes = error.get_codes()
    return codes if isinstance(codes, str) else error.default_code


def _sentence(detail: Any) -> str:
    """Return the text of a plain detail; of knox's and DRF's dictionaries the first sentence."""
    return str(detail) if isinstance(detail, str) else next(iter(flatten(detail).values()))[0]


def _headers(error: APIException) -> dict[str, str]:
    headers = dict(getattr(error, "headers", {}))
    if getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = error.auth_header
    if getattr(error, "wait", None):
        headers["Retry-After"] = str(int(error.wait) + 1)
    return headers


def error_response(error: Exception, context: dict) -> Response | None:
    """DRF's exception handler. An error is JSON, whatever format was asked for."""
    refusal = refusal_of(error)
    if refusal is None:
        return None  # Django logs it and calls server_error below
    request = context.get("request")
    if request is not None:
        request.accepted_renderer, request.accepted_media_type = JSONRenderer(), JSONRenderer.media_type
    return Response(refusal.body, status=refusal.status, headers=refusal.headers)


# --- Django's own error views: JSON below /api/, the pages' templates elsewhere -------------------


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400: a suspicious request."""
    if not request.path.startswith(API):
        if isinstance(exception, TooManyFieldsSent):
            request.GET = QueryDict()  # the frame of the page reads the address again, which would raise again
        return defaults.bad_request(request, exception)
    return _plain(refusal_of(exception) or Refusal(400, "bad_request", "The request could not be understood."))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler403."""
    if not request.path.startswith(API):
        return defaults.permission_denied(request, exception)
    return _plain(refusal_of(exceptions.PermissionDenied(str(exception) or None)))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404."""
    if not request.path.startswith(API):
        return defaults.page_not_found(request, exception)
    return _plain(refusal_of(exceptions.NotFound()))


@login_not_required
@csrf_exempt
def no_such_address(request: HttpRequest, **_) -> HttpResponse:
    """Whatever stands nowhere below the API. Not redirected to the slash: a POST would silently become a GET."""
    hint = "" if request.path.endswith("/") else " Addresses end with a slash."
    return _plain(Refusal(404, "not_found", f"Not found.{hint}"))


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500. Says nothing about the fault, unless the server only lacks what it needs.

    The log has it, with the request's id.
    """
    shortage = shortage_of(sys.exc_info()[1])
    if not request.path.startswith(API):
        return _shortage_page(shortage) if shortage else defaults.server_error(request)
    return _plain(shortage or Refusal(500, "server_error", "Something went wrong on our side. Nothing was changed."))


def _shortage_page(shortage: Refusal) -> HttpResponse:
    """A page that asks nobody anything: no user, no operation, no database."""
    page = loader.render_to_string(f"{shortage.status}.html", {"sentence": shortage.detail})
    return HttpResponse(page, status=shortage.status, headers=shortage.headers)


def _plain(refusal: Refusal) -> JsonResponse:
    return JsonResponse(refusal.body, status=refusal.status, headers=refusal.headers)
