"""What every page shares: the shell around it, the operation it is about, and the view that answers in two sizes."""

from collections.abc import Callable, Sequence
from functools import wraps

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers

from coalition.access import actor_of, demand
from coalition.models import Operation

ROWS_PER_PAGE = 50


def operations_of(request: HttpRequest) -> list[Operation]:
    """Return the operations the viewer may switch to, the current one first. Asked once per request."""
    if not hasattr(request, "_operations"):
        request._operations = list(Operation.objects.visible_to(request.user))
    return request._operations


def operation_of(request: HttpRequest) -> Operation:
    """Return the operation a page is about: ``?operation=`` (its code), else the current one, else the newest.

    Raises Http404 for an unknown one, or when there is none yet.
    """
    operations = operations_of(request)
    asked = request.GET.get("operation")
    if asked:
        operations = [operation for operation in operations if operation.code == asked]
    if not operations:
        raise Http404("There is no such operation." if asked else "There is no operation yet.")
    return operations[0]


def shell(request: HttpRequest) -> dict:
    """Context for every template: who acts, and the operation in the bar."""
    if not getattr(request, "user", None) or not request.user.is_authenticated:
        return {}
    operations = operations_of(request)
    asked = request.GET.get("operation")
    chosen = [operation for operation in operations if operation.code == asked] or operations
    return {
        "actor": actor_of(request.user),
        "membership": getattr(request.user, "membership", None),
        "operations": operations,
        "operation": chosen[0] if chosen else None,
        "illustrative_data": bool(chosen and chosen[0].illustrative),
    }


def for_members(action: str = "see") -> Callable:
    """Open a page to those whose role may do the action at all; a thing's own nation is asked of the thing later."""

    def decorate(view: Callable) -> Callable:
        @wraps(view)
        def guarded(request: HttpRequest, *args, **kwargs) -> HttpResponse:
            demand(request.user, action)
            return view(request, *args, **kwargs)

        return guarded

    return decorate


def page_of(request: HttpRequest, rows: QuerySet | Sequence, per_page: int = ROWS_PER_PAGE) -> Page:
    """Return the page of rows that ``?page=`` asks for; a number that does not exist gives the nearest."""
    return Paginator(rows, per_page).get_page(request.GET.get("page"))


def sorted_by(request: HttpRequest, rows: QuerySet, keys: dict[str, str], default: str) -> tuple[QuerySet, str]:
    """Order rows by ``?sort=`` (a key, or ``-key``); return them with the sort in force. Unknown keys fall back."""
    sort = request.GET.get("sort", default)
    if sort.removeprefix("-") not in keys:
        sort = default
    lookup = keys[sort.removeprefix("-")]
    return rows.order_by(f"-{lookup}" if sort.startswith("-") else lookup, "-pk"), sort


def page_or_part(request: HttpRequest, page: str, part: str, context: dict) -> HttpResponse:
    """Render ``part`` for htmx and ``page`` (which includes it) for everyone else."""
    wants_part = request.htmx and not request.htmx.history_restore_request and not request.htmx.boosted
    response = render(request, part if wants_part else page, context)
    patch_vary_headers(response, ["HX-Request"])
    return response
