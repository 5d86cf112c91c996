"""The pages of nations: who is in, how far, and what each has said."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from coalition import editing, nations
from coalition.access import can
from coalition.complaints import show, two_versions
from coalition.history import changes_of
from coalition.models import Condition, Nation
from coalition.pages import for_members, operation_of
from pledges.forms import NationForm
from pledges.models import Pledge


@require_GET
@for_members()
def listing(request: HttpRequest) -> HttpResponse:
    """All nations by standing, each with how many of its pledges the viewer sees at which status."""
    operation = operation_of(request)
    rows = Nation.objects.visible_to(request.user).order_by("name")
    if standing := request.GET.get("standing"):
        rows = rows.filter(standing=standing)
    if text := request.GET.get("q", "").strip():
        rows = rows.filter(Q(name__icontains=text) | Q(code__iexact=text) | Q(stanag__iexact=text))
    seen = Pledge.objects.visible_to(request.user).filter(operation=operation).current_for(request.user)
    counts: dict[str, dict[str, int]] = {}
    for nation, status, number in seen.order_by().values_list("nation", "status").annotate(Count("pk")):
        counts.setdefault(nation, {})[status] = number
    context = {
        "nations": [(nation, counts.get(nation.pk, {})) for nation in rows],
        "statuses": [(status.value, status.label) for status in Pledge.ON_LADDER],
        "standings": Nation.Standing.choices,
    }
    return render(request, "nations/list.html", context)


@require_GET
@for_members()
def detail(request: HttpRequest, code: str) -> HttpResponse:
    """One nation: its standing, how it decides, and its pledges."""
    operation = operation_of(request)
    nation = get_object_or_404(Nation.objects.visible_to(request.user), pk=code)
    pledges = Pledge.objects.visible_to(request.user).filter(operation=operation, nation=nation)
    pledges = (
        pledges.with_standing(operation.today()).with_superseded(request.user).select_related("nation", "capability")
    )
    pledges = pledges.order_by("capability__category", "capability__name", "available_from")
    context = {
        "nation": nation,
        "pledges": pledges,
        "overdue": Pledge.objects.visible_to(request.user)
        .filter(operation=operation, nation=nation)
        .overdue_for_confirmation(request.user)
        .count(),
        "conditions": Condition.objects.visible_to(request.user).filter(operation=operation, nation=nation),
        "changes": changes_of(nation),
        "may_keep": can(request.user, "keep_nations"),
        "may_log": can(request.user, "log_pledge", Pledge(nation=nation)),
        "today": operation.today(),
    }
    return render(request, "nations/detail.html", context)


@require_http_methods(["GET", "POST"])
@for_members("keep_nations")
def edit(request: HttpRequest, code: str) -> HttpResponse:
    """Change what is known of a nation."""
    nation = get_object_or_404(Nation.objects.visible_to(request.user), pk=code)
    form = NationForm(request.POST or None, instance=Nation.objects.get(pk=code))
    context = {"title": f"Change {nation}", "form": form, "cancel": reverse("nations:detail", args=[nation.pk])}
    if request.method == "POST" and form.is_valid():
        try:
            nations.revise(nation.pk, form.draft(), by=request.user, based_on=editing.version_asked(request))
        except editing.VersionStale as stale:
            context["conflict"] = two_versions(form, stale.current)
            return render(request, "form.html", context, status=412)
        except ValidationError as error:
            show(form, error)
        else:
            messages.success(request, f"{nation} is saved.")
            return redirect("nations:detail", nation.pk)
    return render(request, "form.html", context, status=422 if form.errors else 200)
