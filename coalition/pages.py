"""What every page shares: the shell around it, the operation it is about, and the view that answers in two sizes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from types import SimpleNamespace

from django.conf import settings
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.utils.functional import SimpleLazyObject
from rest_framework.exceptions import ValidationError as Refused

from coalition import health
from coalition.access import actor_of, demand
from coalition.models import Operation
from coalition.paging import KeysetPagination
from coalition.rows import ORDER, Placed

ROWS_PER_PAGE = 50
MOST_COUNTED = 10_000  # a page that opens at once does not count a million rows


class NoOperation(Http404):
    """Nothing is planned yet, so most pages have nothing to be about."""


def operations_of(request: HttpRequest) -> list[Operation]:
    """Return the operations the viewer may switch to, the current one first. Asked once per request."""
    if not hasattr(request, "_operations"):
        request._operations = list(Operation.objects.visible_to(request.user))
    return request._operations


def operation_of(request: HttpRequest) -> Operation:
    """Return the operation a page is about: ``?operation=`` (its code), else the current one, else the newest.

    Raises Http404 for an unknown one, NoOperation when there is none yet.
    """
    operations = operations_of(request)
    asked = request.GET.get("operation")
    if asked:
        operations = [operation for operation in operations if operation.code == asked]
    if not operations and not asked:
        raise NoOperation("There is no operation yet.")
    if not operations:
        raise Http404("There is no such operation.")
    return operations[0]


def shell(request: HttpRequest) -> dict:
    """Context for every template: whether mail goes out, who acts, the operation in the bar, whether a worker is there."""
    if not getattr(request, "user", None) or not request.user.is_authenticated:
        return {"sends_mail": bool(settings.EMAIL_HOST)}
    operations = operations_of(request)
    asked = request.GET.get("operation")
    chosen = [operation for operation in operations if operation.code == asked] or operations
    return {
        "sends_mail": bool(settings.EMAIL_HOST),
        "actor": actor_of(request.user),
        "membership": getattr(request.user, "membership", None),
        "operations": operations,
        "operation": chosen[0] if chosen else None,
        "worker_is_silent": SimpleLazyObject(health.worker_is_silent),  # a part of a page does not ask
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


@dataclass(frozen=True)
class KeysetPage:
    """A page of a list too long to be counted. ``next`` and ``previous`` are addresses, empty at the ends.

    ``count`` says how many rows there are, None where there are more than ``MOST_COUNTED`` or nobody counted.
    """

    rows: list
    sort: str
    next: str
    previous: str
    count: int | None


class _Asked:
    """A page's request as ``KeysetPagination`` reads one."""

    def __init__(self, request: HttpRequest, sort: str, cursor: str):
        self.build_absolute_uri = request.get_full_path
        self.query_params = {"ordering": sort, "limit": str(ROWS_PER_PAGE), "cursor": cursor}


def keyset_page_of(request: HttpRequest, rows: QuerySet, orderings: dict[str, str], default: str) -> KeysetPage:
    """Return the page of rows that ``?sort=`` and ``?cursor=`` ask for: it costs the same at any depth of the list.

    ``orderings`` maps the keys of ``?sort=`` to fields that have an index. A cursor of another query gives the first page.
    """
    sort = request.GET.get("sort", default)
    if sort.removeprefix("-") not in orderings:
        sort = default
    view = SimpleNamespace(orderings=orderings, default_ordering=default)
    cursor = request.GET.get("cursor", "")

    def read(some: QuerySet, limit: int) -> list[Placed]:
        return [Placed(row, getattr(row, ORDER), row.pk) for row in some[:limit]]

    try:
        found, following, previous = KeysetPagination().page(rows, _Asked(request, sort, cursor), view, read)
    except Refused:
        cursor = ""
        found, following, previous = KeysetPagination().page(rows, _Asked(request, sort, cursor), view, read)
    count = len(found)
    if following or cursor:
        count = rows.order_by()[: MOST_COUNTED + 1].count()
    return KeysetPage(
        rows=found,
        sort=sort,
        next=following or "",
        previous=previous or "",
        count=count if count <= MOST_COUNTED else None,
    )


def page_or_part(request: HttpRequest, page: str, part: str, context: dict) -> HttpResponse:
    """Render ``part`` for htmx and ``page`` (which includes it) for everyone else."""
    wants_part = request.htmx and not request.htmx.history_restore_request and not request.htmx.boosted
    response = render(request, part if wants_part else page, context)
    patch_vary_headers(response, ["HX-Request"])
    return response
