"""The pages of conditions: what everything hangs on, and what hangs on each."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from coalition import conditions, editing
from coalition.access import can
from coalition.complaints import show, two_versions
from coalition.history import changes_of
from coalition.models import Condition
from coalition.pages import for_members, operation_of
from pledges.forms import ConditionForm
from pledges.models import Pledge


@require_GET
@for_members()
def listing(request: HttpRequest) -> HttpResponse:
    """All conditions of the operation, the ones most pledges hang on first."""
    operation = operation_of(request)
    seen = Pledge.objects.visible_to(request.user).current_for(request.user).filter(status__in=Pledge.ON_LADDER)
    rows = Condition.objects.visible_to(request.user).filter(operation=operation).select_related("operation", "nation")
    rows = rows.annotate(hanging=Count("pledges", filter=Q(pledges__in=seen.values("pk")))).order_by(
        "-hanging", "title"
    )
    if state := request.GET.get("state"):
        rows = rows.filter(state=state)
    context = {
        "conditions": rows,
        "states": Condition.State.choices,
        "may_keep": can(request.user, "keep_conditions"),
        "may_see_chances": can(request.user, "see_planning"),
    }
    return render(request, "conditions/list.html", context)


@require_GET
@for_members()
def detail(request: HttpRequest, condition_id: int) -> HttpResponse:
    """One condition: its state, and every pledge that hangs on it."""
    condition = get_object_or_404(
        Condition.objects.visible_to(request.user).select_related("operation", "nation"), pk=condition_id
    )
    pledges = Pledge.objects.visible_to(request.user).filter(conditions=condition)
    planner = can(request.user, "see_planning")
    context = {
        "condition": condition,
        "pledges": pledges.with_standing(condition.operation.today())
        .with_superseded(request.user)
        .select_related("nation", "capability")
        .order_by("capability__name", "nation__name"),
        "changes": changes_of(condition) if planner else [],
        "may_keep": can(request.user, "keep_conditions"),
        "may_see_chances": planner,
        "today": condition.operation.today(),
    }
    return render(request, "conditions/detail.html", context)


@require_http_methods(["GET", "POST"])
@for_members("keep_conditions")
def new(request: HttpRequest) -> HttpResponse:
    """Add a condition that pledges can hang on."""
    form = ConditionForm(request.POST or None, operation=operation_of(request))
    if request.method == "POST" and form.is_valid():
        try:
            condition = conditions.pose(form.draft(), by=request.user)
        except ValidationError as error:
            show(form, error)
        else:
            messages.success(request, f"“{condition}” can now be ticked on pledges.")
            return redirect("conditions:detail", condition.pk)
    context = {"title": "Add a condition", "form": form, "cancel": reverse("conditions:list")}
    return render(request, "form.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@for_members("keep_conditions")
def edit(request: HttpRequest, condition_id: int) -> HttpResponse:
    """Change a condition: every pledge that hangs on it is counted anew."""
    condition = get_object_or_404(
        Condition.objects.visible_to(request.user).select_related("operation"), pk=condition_id
    )
    form = ConditionForm(
        request.POST or None, instance=Condition.objects.get(pk=condition.pk), operation=condition.operation
    )
    context = {
        "title": f"Change “{condition.title}”",
        "form": form,
        "cancel": reverse("conditions:detail", args=[condition.pk]),
    }
    if request.method == "POST" and form.is_valid():
        try:
            conditions.revise(condition.pk, form.draft(), by=request.user, based_on=editing.version_asked(request))
        except editing.VersionStale as stale:
            context["conflict"] = two_versions(form, stale.current)
            return render(request, "form.html", context, status=412)
        except ValidationError as error:
            show(form, error)
        else:
            messages.success(request, f"“{condition.title}” is saved; what hangs on it is being counted anew.")
            return redirect("conditions:detail", condition.pk)
    return render(request, "form.html", context, status=422 if form.errors else 200)
