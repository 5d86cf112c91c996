"""The pages of the plan: requirement lines and what is allocated to them."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from coalition import editing
from coalition.access import can
from coalition.complaints import sentences, show, two_versions
from coalition.history import changes_of
from coalition.pages import for_members, operation_of, page_of, page_or_part, sorted_by
from pledges import allocating, readiness, requiring
from pledges.filters import RequirementFilter
from pledges.forms import RequirementForm
from pledges.models import Allocation, Capability, Pledge, Requirement

SORTS = {
    "capability": "capability__name",
    "sector": "sector__code",
    "quantity": "quantity",
    "from": "needed_from",
    "until": "needed_until",
    "priority": "priority",
    "changed": "changed_at",
}
ALLOCATION_SORTS = {
    "nation": "pledge__nation__name",
    "capability": "requirement__capability__name",
    "line": "requirement_id",
    "quantity": "quantity",
    "from": "requirement__needed_from",
    "changed": "changed_at",
}


def _lines_seen_by(request: HttpRequest) -> QuerySet:
    rows = Requirement.objects.visible_to(request.user)
    return rows.select_related("capability", "sector", "operation")


@require_GET
@for_members()
def requirements(request: HttpRequest) -> HttpResponse:
    """The requirement lines of the operation, each with how much of it is covered today at firm or better."""
    operation = operation_of(request)
    found = RequirementFilter(
        request.GET, queryset=_lines_seen_by(request).filter(operation=operation), request=request
    )
    rows = found.qs if found.is_valid() else found.queryset.none()
    rows, sort = sorted_by(request, rows, SORTS, "priority")
    page = page_of(request, rows)
    context = {
        "filter": found,
        "page": page,
        "sort": sort,
        "coverage": readiness.lines_on_their_days(operation, page.object_list, user=request.user),
        "may_keep": can(request.user, "keep_requirements"),
        "today": operation.today(),
    }
    return page_or_part(request, "plan/requirements.html", "plan/_requirements.html", context)


@require_GET
@for_members()
def requirement(request: HttpRequest, requirement_id: int) -> HttpResponse:
    """One line: what it asks for, what answers it, what proposes to, and its history."""
    line = get_object_or_404(_lines_seen_by(request), pk=requirement_id)
    user = request.user
    allocations = Allocation.objects.visible_to(user).filter(requirement=line)
    pledges = Pledge.objects.visible_to(user).with_standing(line.operation.today()).select_related("nation")
    allocated = {row.pk: row for row in pledges.filter(allocations__requirement=line)}
    context = {
        "line": line,
        "allocations": [(allocation, allocated[allocation.pledge_id]) for allocation in allocations],
        "proposals": pledges.filter(requirement=line).exclude(allocations__requirement=line),
        "coverage": readiness.lines_on_their_days(line.operation, [line], user=user).get(line.pk),
        "may_keep": can(user, "keep_requirements"),
        "may_allocate": can(user, "allocate"),
        "changes": changes_of(line),
    }
    return render(request, "plan/requirement.html", context)


@require_http_methods(["GET", "POST"])
@for_members("keep_requirements")
def new_requirement(request: HttpRequest) -> HttpResponse:
    """Add a line to the plan."""
    operation = operation_of(request)
    form = RequirementForm(request.POST or None, operation=operation)
    if request.method == "POST" and form.is_valid():
        try:
            line = requiring.require(form.draft(), by=request.user)
        except ValidationError as error:
            show(form, error)
        else:
            messages.success(request, f"{line} is in the plan.")
            return redirect(line.get_absolute_url())
    return _form_page(request, form, title="Add a requirement line")


@require_http_methods(["GET", "POST"])
@for_members("keep_requirements")
def edit_requirement(request: HttpRequest, requirement_id: int) -> HttpResponse:
    """Change a line; refused where its allocations would no longer fit, or somebody changed it meanwhile."""
    line = get_object_or_404(_lines_seen_by(request), pk=requirement_id)
    form = RequirementForm(
        request.POST or None,
        instance=Requirement.objects.get(pk=line.pk),
        operation=line.operation,
        initial={"capability": line.capability},
    )
    context = {"title": f"Change R{line.pk}", "line": line}
    if request.method == "POST" and form.is_valid():
        try:
            requiring.revise(line.pk, form.draft(), by=request.user, based_on=editing.version_asked(request))
        except editing.VersionStale as stale:
            return _form_page(request, form, status=412, conflict=two_versions(form, stale.current), **context)
        except (ValidationError, editing.Refused) as error:
            show(form, error)
        else:
            messages.success(request, f"{line} is saved.")
            return redirect(line.get_absolute_url())
    return _form_page(request, form, **context)


def _form_page(request: HttpRequest, form: RequirementForm, status: int | None = None, **context) -> HttpResponse:
    names = Capability.objects.order_by("name").values("name", "unit", "category")
    context |= {"form": form, "capabilities": list(names)}
    return render(request, "plan/form.html", context, status=status or (422 if form.errors else 200))


@require_http_methods(["GET", "POST"])
@for_members("keep_requirements")
def delete_requirement(request: HttpRequest, requirement_id: int) -> HttpResponse:
    """Take a line out of the plan, after asking."""
    line = get_object_or_404(_lines_seen_by(request), pk=requirement_id)
    if request.method == "POST":
        try:
            requiring.delete(line.pk, by=request.user, based_on=editing.version_asked(request))
        except (ValidationError, editing.Refused) as error:
            messages.error(request, sentences(error))
            return redirect(line.get_absolute_url())
        messages.success(request, f"R{line.pk} is out of the plan. Its history is kept.")
        return redirect("requirements:list")
    context = {
        "title": f"Take R{line.pk} out of the plan?",
        "text": f"{line}: {line.quantity} {line.capability.unit} from {line.needed_from}. Its history is kept.",
        "action": request.path,
        "button": "Take it out",
        "cancel": line.get_absolute_url(),
        "danger": True,
        "hidden": [("version", line.version)],
    }
    return render(request, "confirm.html", context)


@require_GET
@for_members()
def allocations(request: HttpRequest) -> HttpResponse:
    """Which pledge answers which line, and with how much."""
    operation = operation_of(request)
    rows = (
        Allocation.objects.visible_to(request.user)
        .filter(requirement__operation=operation)
        .select_related("pledge__nation", "pledge__capability", "requirement__capability", "requirement__sector")
    )
    if code := request.GET.get("capability"):
        rows = rows.filter(requirement__capability__code=code)
    if nation := request.GET.get("nation"):
        rows = rows.filter(pledge__nation=nation)
    rows, sort = sorted_by(request, rows, ALLOCATION_SORTS, "-changed")
    context = {
        "page": page_of(request, rows),
        "sort": sort,
        "capabilities": Capability.objects.order_by("name").values_list("code", "name"),
        "may_allocate": can(request.user, "allocate"),
    }
    return page_or_part(request, "plan/allocations.html", "plan/_allocations.html", context)


@require_POST
@for_members("allocate")
def accept(request: HttpRequest, requirement_id: int, pledge_id: int) -> HttpResponse:
    """Accept what a pledge proposes for this line: as much as is free and still needed."""
    line = get_object_or_404(_lines_seen_by(request), pk=requirement_id)
    pledge = get_object_or_404(Pledge.objects.visible_to(request.user).filter(requirement=line), pk=pledge_id)
    try:
        allocation = allocating.accept(pledge.pk, by=request.user)
    except (ValidationError, editing.Refused) as error:
        messages.error(request, sentences(error))
    else:
        messages.success(request, f"{allocation.quantity} {line.capability.unit} of P{pledge.pk} allocated.")
    return redirect(line.get_absolute_url())


@require_POST
@for_members("allocate")
def release(request: HttpRequest, allocation_id: int) -> HttpResponse:
    """Take an allocation back; its quantity returns to the free pool."""
    allocation = get_object_or_404(
        Allocation.objects.visible_to(request.user).select_related("requirement"), pk=allocation_id
    )
    try:
        allocating.release(allocation.pk, by=request.user, based_on=editing.version_asked(request))
    except (ValidationError, editing.Refused) as error:
        messages.error(request, sentences(error))
    else:
        messages.success(request, "Taken back: it stands in the free pool again.")
    back = request.POST.get("next", "")
    return redirect(back if back.startswith("/pledges/") else allocation.requirement.get_absolute_url())
