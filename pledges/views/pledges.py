"""The pages of pledges: board, table, one pledge, the form, and the steps on the ladder."""

from collections.abc import Iterable

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Count, Prefetch, QuerySet, prefetch_related_objects
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.crypto import get_random_string
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from coalition import editing
from coalition.access import can, demand
from coalition.complaints import sentences, show, two_versions
from coalition.history import changes_of
from coalition.models import Condition
from coalition.pages import for_members, operation_of, page_of, page_or_part, sorted_by
from pledges import allocating, declaring, ladder
from pledges.filters import PledgeFilter
from pledges.forms import AllocationForm, CaveatFormSet, PledgeForm, StepForm, caveats_of
from pledges.models import Allocation, Capability, Caveat, Pledge, PledgeStep, Requirement

CARDS_PER_COLUMN = 25
SORTS = {
    "nation": "nation__name",
    "capability": "capability__name",
    "what": "what",
    "quantity": "quantity",
    "status": "status",
    "from": "available_from",
    "until": "available_until",
    "stands": "stands_from",
    "notice": "notice_days",
    "confirmed": "last_confirmed_on",
    "changed": "changed_at",
}


def pledges_of(request: HttpRequest) -> QuerySet:
    """Return the pledges of the page's operation that the viewer may see, with their level and days."""
    operation = operation_of(request)
    rows = Pledge.objects.visible_to(request.user).filter(operation=operation)
    rows = rows.with_standing(operation.today()).with_superseded(request.user)
    return rows.select_related("nation", "capability")


def _filtered(request: HttpRequest) -> tuple[PledgeFilter, QuerySet]:
    found = PledgeFilter(request.GET, queryset=pledges_of(request), request=request)
    rows = found.qs if found.is_valid() else found.queryset.none()
    return found, rows.distinct() if request.GET.get("condition") else rows


@require_GET
@for_members()
def board(request: HttpRequest) -> HttpResponse:
    """Pledges in columns, one for each step of the ladder."""
    found, rows = _filtered(request)
    counts = dict(rows.order_by().values_list("status").annotate(Count("pk")))
    columns = [
        {
            "status": status.value,
            "label": status.label,
            "count": counts.get(status.value, 0),
            "cards": rows.filter(status=status).order_by("-changed_at")[:CARDS_PER_COLUMN]
            if counts.get(status.value)
            else [],
        }
        for status in Pledge.ON_LADDER
    ]
    left = [(status.label, status.value, counts.get(status.value, 0)) for status in Pledge.Status]
    context = {
        "filter": found,
        "columns": columns,
        "left_ladder": [row for row in left if row[1] not in Pledge.ON_LADDER and row[2]],
        "count": sum(counts.values()),
        "may_log": can(request.user, "log_pledge"),
        "today": operation_of(request).today(),
    }
    return page_or_part(request, "pledges/board.html", "pledges/_board.html", context)


@require_GET
@for_members()
def table(request: HttpRequest) -> HttpResponse:
    """Pledges in rows: filtered, sorted, paged, with the state in the address."""
    found, rows = _filtered(request)
    rows, sort = sorted_by(request, rows, SORTS, "-changed")
    conditions = Condition.objects.visible_to(request.user)
    rows = rows.prefetch_related(Prefetch("conditions", conditions.order_by("title")))
    context = {
        "filter": found,
        "page": page_of(request, rows),
        "sort": sort,
        "may_log": can(request.user, "log_pledge"),
        "may_confirm": can(request.user, "confirm_pledge"),
        "today": operation_of(request).today(),
    }
    return page_or_part(request, "pledges/table.html", "pledges/_table.html", context)


def _pledge_seen_by(request: HttpRequest, pledge_id: int) -> Pledge:
    rows = Pledge.objects.visible_to(request.user).select_related(
        "nation", "capability", "operation", "requirement__capability", "requirement__sector", "created_by", "batch"
    )
    return get_object_or_404(rows.with_standing(), pk=pledge_id)


@require_GET
@for_members()
def detail(request: HttpRequest, pledge_id: int) -> HttpResponse:
    """One pledge: its facts, where it stands on the ladder, what it hangs on, what it answers, and its history."""
    pledge = _pledge_seen_by(request, pledge_id)
    user = request.user
    is_open = pledge.status in Pledge.ON_LADDER and pledge.superseded_by_id is None
    taken = PledgeStep.objects.visible_to(user).select_related("user").order_by("-pk")
    prefetch_related_objects([pledge], Prefetch("steps", taken))
    steps = list(pledge.steps.all())
    allocations = (
        Allocation.objects.visible_to(user)
        .filter(pledge=pledge)
        .select_related("requirement__capability", "requirement__sector")
    )
    context = {
        "pledge": pledge,
        "ladder": _ladder_of(pledge, steps),
        "next_steps": ladder.next_steps(pledge, user),
        "warnings": ladder.warnings(pledge, user),
        "undoable": ladder.undoable(pledge, user),
        "steps": steps,
        "conditions": Condition.objects.visible_to(user).filter(pledges=pledge).order_by("kind", "title"),
        "caveats": Caveat.objects.visible_to(user).filter(pledge=pledge),
        "allocations": allocations,
        "changes": changes_of(pledge),
        "successor": Pledge.objects.visible_to(user).filter(pk=pledge.superseded_by_id).first(),
        "predecessors": Pledge.objects.visible_to(user).filter(superseded_by=pledge).order_by("-pk"),
        "may_edit": can(user, "edit_pledge", pledge) and is_open,
        "may_confirm": can(user, "confirm_pledge", pledge) and is_open,
        "may_allocate": can(user, "allocate") and is_open,
        "today": pledge.operation.today(),
    }
    if context["may_allocate"] and pledge.quantity is not None:
        context["allocation_form"] = _allocation_form(request, pledge)
    return render(request, "pledges/detail.html", context)


def _ladder_of(pledge: Pledge, steps: list[PledgeStep]) -> list[dict]:
    """Return the rungs for ``_ladder.html``, with the day each was reached."""
    order = [status.value for status in (*Pledge.ON_LADDER, Pledge.Status.ENDED)]
    reached = {step.to_status: step.moved_at for step in reversed(steps)}
    here = order.index(pledge.status) if pledge.status in order else None
    rungs = []
    for place, status in enumerate(order):
        state = "later"
        if here is not None:
            state = "done" if place < here else "current" if place == here else "later"
            state = "next" if place == here + 1 else state
        elif status in reached:
            state = "done"
        day = reached.get(status)
        note = pledge.operation.day_of(day).isoformat() if day and state in ("done", "current") else ""
        rungs.append({"label": Pledge.Status(status).label, "state": state, "note": note})
    if here is None:
        rungs.append({"label": pledge.get_status_display(), "state": "exit", "note": ""})
    return rungs


def _allocation_form(request: HttpRequest, pledge: Pledge, data=None) -> AllocationForm:
    lines = (
        Requirement.objects.visible_to(request.user)
        .filter(operation=pledge.operation_id, capability=pledge.capability_id)
        .exclude(allocations__pledge=pledge)
        .select_related("capability", "sector")
    )
    return AllocationForm(data, lines=lines, initial={"requirement": pledge.requirement_id})


@require_http_methods(["GET", "POST"])
@for_members("log_pledge")
def new(request: HttpRequest) -> HttpResponse:
    """Log a pledge. Sent twice (a double click, a bad line), it is logged once."""
    operation = operation_of(request)
    form = PledgeForm(
        request.POST or None,
        user=request.user,
        operation=operation,
        initial={"idempotency_key": get_random_string(32), **_wanted(request)},
    )
    caveats = CaveatFormSet(request.POST or None, prefix="caveats")
    if request.method == "POST" and form.is_valid() and caveats.is_valid():
        draft = form.draft() | {"caveats": caveats_of(caveats)}

        def log() -> editing.Answer:
            pledge = declaring.declare(draft, by=request.user)
            return editing.Answer.redirect(pledge.get_absolute_url())

        try:
            answer = editing.once(request, log)
        except ValidationError as error:
            show(form, error)
        else:
            if not answer.replayed:
                messages.success(request, "The pledge is logged. The dashboards count it within a second or two.")
            again = reverse("pledges:new") + f"?operation={operation.code}"
            return redirect(again if "another" in request.POST else answer.location)
    return _form_page(request, form, caveats, title="Log a pledge")


def _wanted(request: HttpRequest) -> dict:
    """Return what the address asks the form to begin with: ``?capability=CODE&requirement=ID``."""
    wanted = {}
    if code := request.GET.get("capability"):
        wanted["capability"] = Capability.objects.filter(code=code).first()
    line = request.GET.get("requirement", "")
    if editing.is_id(line):
        wanted["requirement"] = Requirement.objects.visible_to(request.user).filter(pk=line).first()
        if wanted["requirement"]:
            wanted["capability"] = wanted["requirement"].capability
    return {key: value for key, value in wanted.items() if value}


def _form_page(request: HttpRequest, form: PledgeForm, caveats, status: int | None = None, **context) -> HttpResponse:
    names = Capability.objects.order_by("name").values("name", "unit", "category")
    context |= {"form": form, "caveats": caveats, "capabilities": list(names)}
    failed = form.is_bound and (form.errors or not caveats.is_valid())
    return render(request, "pledges/form.html", context, status=status or (422 if failed else 200))


@require_http_methods(["GET", "POST"])
@for_members("edit_pledge")
def edit(request: HttpRequest, pledge_id: int) -> HttpResponse:
    """Change a pledge. Somebody else's change in between is shown beside this one; nothing is overwritten unseen."""
    pledge = _pledge_seen_by(request, pledge_id)
    demand(request.user, "edit_pledge", pledge)
    now = {"conditions": list(pledge.conditions.all()), "capability": pledge.capability}
    initial = now if request.method == "GET" else {}
    form = PledgeForm(
        request.POST or None,
        instance=Pledge.objects.get(pk=pledge.pk),
        user=request.user,
        operation=pledge.operation,
        initial=initial,
    )
    caveats = _caveats_form(request, pledge)
    context = {"title": f"Change P{pledge.pk}", "pledge": pledge}
    if request.method == "POST" and form.is_valid() and caveats.is_valid():
        changes = form.draft() | {"caveats": caveats_of(caveats)}
        try:
            based_on = editing.version_asked(request)
            declaring.revise(pledge.pk, changes, by=request.user, based_on=based_on)
        except editing.VersionStale as stale:
            now = _caveats_in_words(stale.current.caveats.values_list("kind", "text"))
            yours = _caveats_in_words(caveat.values() for caveat in changes["caveats"])
            context["conflict"] = two_versions(form, stale.current, ("Caveats", now, yours))
            return _form_page(request, form, caveats, status=412, **context)
        except ValidationError as error:
            show(form, error)
        else:
            messages.success(request, f"P{pledge.pk} is saved.")
            return redirect(pledge.get_absolute_url())
    return _form_page(request, form, caveats, **context)


def _caveats_form(request: HttpRequest, pledge: Pledge):
    """Return the rows for the caveats a pledge has, and two empty ones."""
    kept = [{"kind": caveat.kind, "text": caveat.text} for caveat in pledge.caveats.all()]
    return CaveatFormSet(request.POST or None, prefix="caveats", initial=kept)


def _caveats_in_words(caveats: Iterable[tuple[str, str]]) -> str:
    return "; ".join(sorted(f"{Caveat.Kind(kind).label}: {text}" for kind, text in caveats))


@require_http_methods(["GET", "POST"])
@for_members()
def step(request: HttpRequest, pledge_id: int, name: str) -> HttpResponse:
    """Take one step on the ladder. Asked for by GET, the page asks for the reason first."""
    pledge = _pledge_seen_by(request, pledge_id)
    if name not in ladder.STEPS:
        raise Http404("There is no step of that name.")
    chosen = next((step for step in ladder.next_steps(pledge, request.user) if step.name == name), None)
    form = StepForm(request.POST or None, initial={"version": pledge.version})
    if request.method == "POST" and form.is_valid():
        try:
            ladder.take(
                pledge.pk,
                name,
                by=request.user,
                reason=form.cleaned_data["reason"],
                based_on=editing.version_asked(request),
            )
        except ladder.WrongStep as error:
            messages.error(request, str(error))
        except editing.VersionStale:
            messages.error(request, "Somebody changed this pledge in the meantime. Look at it again before you go on.")
        except ValidationError as error:
            show(form, error)
            if chosen:
                return _step_page(request, pledge, chosen, form, status=422)
            messages.error(request, sentences(error))
        else:
            messages.success(request, f"P{pledge.pk}: {ladder.STEPS[name].done}.")
        return redirect(pledge.get_absolute_url())
    if chosen is None:
        demand(request.user, ladder.STEPS[name].action, pledge)
        messages.error(request, f"A pledge that is {pledge.get_status_display().lower()} cannot take this step.")
        return redirect(pledge.get_absolute_url())
    return _step_page(request, pledge, chosen, form)


def _step_page(request: HttpRequest, pledge: Pledge, chosen, form: StepForm, status: int = 200) -> HttpResponse:
    context = {
        "pledge": pledge,
        "step": chosen,
        "form": form,
        "action": reverse("pledges:step", args=[pledge.pk, chosen.name]),
        "cancel": pledge.get_absolute_url(),
    }
    return render(request, "pledges/step.html", context, status=status)


@require_POST
@for_members()
def undo(request: HttpRequest, pledge_id: int) -> HttpResponse:
    """Take back the last step."""
    pledge = _pledge_seen_by(request, pledge_id)
    try:
        ladder.undo(
            pledge.pk,
            by=request.user,
            reason=request.POST.get("reason", ""),
            based_on=editing.version_asked(request),
        )
    except ladder.WrongStep as error:
        messages.error(request, str(error))
    except ValidationError as error:
        messages.error(request, sentences(error))
    except editing.VersionStale:
        messages.error(request, "Somebody changed this pledge in the meantime. Look at it again before you go on.")
    else:
        messages.success(request, f"The last step of P{pledge.pk} is taken back.")
    return redirect(pledge.get_absolute_url())


@require_POST
@for_members("confirm_pledge")
def confirm(request: HttpRequest) -> HttpResponse:
    """Say that pledges are still true: one, or all that were ticked."""
    wanted = [int(number) for number in request.POST.getlist("pledge") if editing.is_id(number)]
    confirmed = declaring.confirm(wanted, by=request.user)
    if confirmed.done:
        many = len(confirmed.done) > 1
        messages.success(request, f"{len(confirmed.done)} confirmed as still true." if many else "Confirmed as true.")
    for sentence in list(confirmed.skipped.values())[:5]:
        messages.warning(request, sentence)
    if len(confirmed.skipped) > 5:
        messages.warning(request, f"And {len(confirmed.skipped) - 5} more were left as they are.")
    if not wanted:
        messages.warning(request, "Tick the pledges that are still true first.")
    back = request.POST.get("next", "")
    return redirect(back if back == reverse("overview") or back.startswith("/pledges/") else "pledges:table")


@require_http_methods(["GET", "POST"])
@for_members("supersede_pledge")
def supersede(request: HttpRequest, pledge_id: int) -> HttpResponse:
    """Log a pledge in the place of another: a later statement on the same thing."""
    pledge = _pledge_seen_by(request, pledge_id)
    demand(request.user, "supersede_pledge", pledge)
    initial = {
        **{name: getattr(pledge, name) for name in PledgeForm.Meta.fields if name != "conditions"},
        "conditions": list(pledge.conditions.all()),
        "version": pledge.version,
    }
    form = PledgeForm(request.POST or None, user=request.user, operation=pledge.operation, initial=initial)
    caveats = _caveats_form(request, pledge)
    if request.method == "POST" and form.is_valid() and caveats.is_valid():
        draft = form.draft() | {"caveats": caveats_of(caveats)}
        try:
            result = declaring.supersede(pledge.pk, draft, by=request.user, based_on=editing.version_asked(request))
        except editing.VersionStale:
            form.add_error(None, f"P{pledge.pk} was changed in the meantime. Open it again before you replace it.")
        except ValidationError as error:
            show(form, error)
        else:
            messages.success(request, f"P{result.pledge.pk} now stands in the place of P{pledge.pk}.")
            for lost in result.moved.fell_off:
                messages.warning(request, f"{lost.requirement} lost {lost.quantity}: it does not fit the new pledge.")
            return redirect(result.pledge.get_absolute_url())
    return _form_page(request, form, caveats, title=f"Replace P{pledge.pk}", replaces=pledge)


@require_POST
@for_members("allocate")
def allocate(request: HttpRequest, pledge_id: int) -> HttpResponse:
    """Give a part of this pledge to a requirement line."""
    pledge = _pledge_seen_by(request, pledge_id)
    form = _allocation_form(request, pledge, request.POST)
    if form.is_valid():
        line = form.cleaned_data["requirement"]
        try:
            allocating.allocate(pledge.pk, line.pk, form.cleaned_data["quantity"], by=request.user)
        except (editing.Refused, ValidationError) as error:
            messages.error(request, sentences(error))
        else:
            messages.success(request, f"Allocated to {line}.")
            for warning in allocating.warnings(pledge, line):
                messages.warning(request, warning)
    else:
        messages.error(request, " ".join(message for errors in form.errors.values() for message in errors))
    return redirect(pledge.get_absolute_url())
