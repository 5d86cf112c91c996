"""The pages of capabilities: what can be pledged, in which unit, and who pledges it."""

from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from coalition.access import can
from coalition.pages import for_members, operation_of
from pledges.models import Capability, Pledge, Requirement


@require_GET
@for_members()
def listing(request: HttpRequest) -> HttpResponse:
    """All capabilities by category, each with how many pledges and lines of the operation the viewer sees."""
    operation = operation_of(request)
    user = request.user
    rows = Capability.objects.visible_to(user).order_by("category", "name")
    if category := request.GET.get("category"):
        rows = rows.filter(category=category)
    if text := request.GET.get("q", "").strip():
        rows = rows.filter(Q(name__icontains=text) | Q(code__icontains=text) | Q(description__icontains=text))
    pledges = Pledge.objects.visible_to(user).current_for(user)
    pledges = pledges.filter(operation=operation, status__in=Pledge.ON_LADDER)
    lines = Requirement.objects.visible_to(user).filter(operation=operation)
    pledged = dict(pledges.order_by().values_list("capability").annotate(Count("pk")))
    needed = dict(lines.order_by().values_list("capability").annotate(Count("pk")))
    context = {
        "capabilities": [(row, pledged.get(row.pk, 0), needed.get(row.pk, 0)) for row in rows],
        "categories": Capability.Category.choices,
    }
    return render(request, "capabilities/list.html", context)


@require_GET
@for_members()
def detail(request: HttpRequest, code: str) -> HttpResponse:
    """One capability: its lines and its pledges in this operation."""
    operation = operation_of(request)
    user = request.user
    capability = get_object_or_404(Capability.objects.visible_to(user), code=code)
    pledges = Pledge.objects.visible_to(user).filter(operation=operation, capability=capability)
    lines = Requirement.objects.visible_to(user).filter(operation=operation, capability=capability)
    context = {
        "capability": capability,
        "pledges": pledges.with_standing(operation.today())
        .with_superseded(user)
        .select_related("nation", "capability")
        .order_by("nation__name", "available_from"),
        "lines": lines.select_related("sector", "capability").order_by("priority", "needed_from"),
        "may_log": can(user, "log_pledge"),
        "today": operation.today(),
    }
    return render(request, "capabilities/detail.html", context)
