"""What every page shares: the shell around it, and the one view that answers in two sizes."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers

from coalition.access import actor_of


def shell(request: HttpRequest) -> dict:
    """Context for every template: who acts."""
    return {"actor": actor_of(request.user)} if hasattr(request, "user") else {}


def page_or_part(request: HttpRequest, page: str, part: str, context: dict) -> HttpResponse:
    """Render ``part`` for htmx and ``page`` (which includes it) for everyone else."""
    wants_part = request.htmx and not request.htmx.history_restore_request and not request.htmx.boosted
    response = render(request, part if wants_part else page, context)
    patch_vary_headers(response, ["HX-Request"])
    return response
