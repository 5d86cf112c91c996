"""The pages of an import: the list, the upload, and one page that shows a batch at whatever step it stands."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from coalition import editing
from coalition.access import can, demand
from coalition.imports import staging
from coalition.imports.forms import MappingForm, UploadForm
from coalition.imports.mapping import Mapping
from coalition.imports.profiles import SetProfile, profiles, profiles_of
from coalition.imports.staging import State, phase, profile_of
from coalition.models import ImportBatch, ImportRow
from coalition.pages import for_members, operation_of, page_of

Outcome = ImportRow.Outcome
WORKING = (State.READING, State.TRYING, State.COMMITTING, staging.UNDOING)
TABS = [
    (Outcome.NEW, "New"),
    (Outcome.CHANGED, "Changed"),
    (Outcome.STANDING, "Standings"),
    (Outcome.REJECTED, "Rejected"),
    (Outcome.SAME, "Same"),
]


def _batches_of(request: HttpRequest):
    return ImportBatch.objects.visible_to(request.user).select_related("job", "user", "operation")


def _batch(request: HttpRequest, batch_id: int) -> ImportBatch:
    return get_object_or_404(_batches_of(request), pk=batch_id)


@require_GET
@for_members()
def batch_list(request: HttpRequest) -> HttpResponse:
    """The person's own imports; planners see everybody's."""
    page = page_of(request, _batches_of(request).order_by("-pk"))
    labels = {name: kind.label for name, kind in profiles().items()}
    shown = [(batch, phase(batch), labels.get(batch.profile, batch.profile)) for batch in page]
    return render(
        request, "imports/list.html", {"page": page, "shown": shown, "may_import": bool(profiles_of(request.user))}
    )


@require_http_methods(["GET", "POST"])
@for_members()
def new(request: HttpRequest) -> HttpResponse:
    """Send a file."""
    kinds = profiles_of(request.user)
    if not kinds:
        raise PermissionDenied("You may not import anything.")
    form = UploadForm(request.POST or None, request.FILES or None, kinds=kinds)
    if request.method == "POST" and form.is_valid():
        kind = profiles()[form.cleaned_data["profile"]]
        try:
            batch = staging.upload(
                form.cleaned_data["file"],
                profile=kind.name,
                operation=operation_of(request),
                dataset=form.cleaned_data["dataset"] or kind.dataset,
                by=request.user,
            )
        except ValidationError as error:
            for name, complaints in error.error_dict.items():
                form.add_error(name if name in form.fields else None, complaints)
        else:
            return redirect("imports:detail", batch.pk)
    return render(request, "imports/new.html", {"form": form}, status=422 if form.errors else 200)


@require_GET
@for_members()
def detail(request: HttpRequest, batch_id: int) -> HttpResponse:
    """One import, at the step where it stands. While a job works, htmx asks for its progress."""
    batch = _batch(request, batch_id)
    now = phase(batch)
    context = _context(request, batch, now)
    if request.htmx:
        if now in WORKING:
            return render(request, "imports/_working.html", context)
        response = HttpResponse()
        response["HX-Refresh"] = "true"  # the step is over: the page as a whole looks different now
        return response
    if now == State.READ:
        context["form"] = _mapping_form(request, batch)
    return render(request, "imports/detail.html", context)


def _context(request: HttpRequest, batch: ImportBatch, now: str) -> dict[str, Any]:
    profile = profile_of(batch)
    context = {
        "batch": batch,
        "profile": profile,
        "phase": now,
        "trouble": staging.trouble(batch),
        "may_import": can(request.user, profile.action),
        "working": now in WORKING,
        "twin": _batches_of(request)
        .filter(sha256=batch.sha256, state=State.COMMITTED, dataset=batch.dataset, profile=batch.profile)
        .exclude(pk=batch.pk)
        .first(),
    }
    if now in (State.TRIED, State.COMMITTED, State.UNDONE):
        context |= _rows(request, batch, now)
    if now == State.TRIED and isinstance(profile, SetProfile):
        context["preview"] = profile.preview(batch)
    return context


def _rows(request: HttpRequest, batch: ImportBatch, now: str) -> dict[str, Any]:
    tabs = [(outcome, label, batch.counts.get(outcome.value, 0)) for outcome, label in TABS]
    tabs = [tab for tab in tabs if tab[2] or tab[0] != Outcome.STANDING]  # few kinds of rows are about standings
    asked = request.GET.get("outcome")
    outcome = asked if asked in Outcome.values else next((o.value for o, _, count in tabs if count), "new")
    page = page_of(request, staging.shown(batch, outcome, by=request.user))
    link = profile_of(batch).link
    written = now != State.TRIED
    return {
        "page": page,
        "outcome": outcome,
        "shown": [
            (
                row,
                link(row) if row.target_version or outcome in (Outcome.SAME, Outcome.CHANGED) else None,
                [row.cells[column] for column in batch.header if column in row.cells],  # JSON forgets their order
            )
            for row in page
        ],
        "tabs": [(label, f"?outcome={o.value}", o.value == outcome, count) for o, label, count in tabs],
        "may_tick": not written and outcome in staging.WRITING,
        "approved": staging.approved(batch) if not written else 0,
        "offers": any(row.values.get("offer") for row in page),
        "lines": not page.object_list or page.object_list[0].number is not None,
    }


def _mapping_form(request: HttpRequest, batch: ImportBatch, data=None) -> MappingForm:
    start = staging.proposed(batch, by=request.user)
    return MappingForm(data, batch=batch, profile=profile_of(batch), start=start, by=request.user)


@require_http_methods(["GET", "POST"])
@for_members()
def map_columns(request: HttpRequest, batch_id: int) -> HttpResponse:
    """Say what the columns mean, and have the rows tried; also after a dry run, to correct the mapping."""
    batch = _batch(request, batch_id)
    demand(request.user, profile_of(batch).action)
    now = phase(batch)
    if now not in (State.READ, State.TRIED):
        return redirect("imports:detail", batch.pk)
    form = _mapping_form(request, batch, request.POST or None)
    status = 200
    if request.method == "POST" and "look" not in request.POST:
        status = 422
        if form.is_valid():
            try:
                based_on = editing.version_asked(request)
                staging.arrange(batch.pk, form.chosen(), by=request.user, based_on=based_on)
                return redirect("imports:detail", batch.pk)
            except staging.BadMapping as bad:
                for fault in bad.faults:
                    form.add_error(None, fault)
            except ValueError as error:
                form.add_error("time_zone", str(error))
    elif request.method == "POST":
        form = _mapping_form_again(request, batch, form)
    context = _context(request, batch, State.READ) | {"form": form}
    return render(request, "imports/detail.html", context, status=status)


def _mapping_form_again(request: HttpRequest, batch: ImportBatch, form: MappingForm) -> MappingForm:
    """The form with the words of the columns now chosen, and no complaint about what is not filled in yet."""
    kept: Mapping = form.chosen() if form.is_valid() else form.start
    return MappingForm(None, batch=batch, profile=profile_of(batch), start=kept, by=request.user)


@require_POST
@for_members()
def approve(request: HttpRequest, batch_id: int) -> HttpResponse:
    """Keep the ticks of the rows that were shown; ``do`` says what else: commit, or tick all or none of an outcome."""
    batch = _batch(request, batch_id)
    based_on = editing.version_asked(request)
    outcome = request.POST.get("outcome", "")
    what = request.POST.get("do", "")
    back = f"{reverse('imports:detail', args=[batch.pk])}?outcome={outcome}&page={request.POST.get('page', '1')}"
    try:
        if what in ("all", "none"):
            staging.tick_all(batch.pk, outcome, approved=what == "all", by=request.user, based_on=based_on)
            return redirect(back)
        batch = staging.tick(
            batch.pk,
            shown=_ids(request, "shown"),
            approved=_ids(request, "approved"),
            offers=_ids(request, "offer"),
            by=request.user,
            based_on=based_on,
        )
        if what != "commit":
            messages.success(request, "The ticks are kept.")
            return redirect(back)
        staging.commit(batch.pk, by=request.user, based_on=batch.version)
    except (staging.WrongMoment, editing.VersionStale) as refusal:
        messages.error(request, _sentence(refusal))
    return redirect("imports:detail", batch.pk)


def _ids(request: HttpRequest, name: str) -> list[int]:
    return [int(value) for value in request.POST.getlist(name) if editing.is_id(value)]


def _sentence(refusal: editing.Refused) -> str:
    if isinstance(refusal, editing.VersionStale):
        return "Somebody changed this import in the meantime. Look again, then go on."
    return str(refusal)


@require_POST
@for_members()
def try_again(request: HttpRequest, batch_id: int) -> HttpResponse:
    """Judge the rows anew with the same mapping."""
    batch = _batch(request, batch_id)
    try:
        staging.try_again(batch.pk, by=request.user, based_on=editing.version_asked(request))
    except (staging.WrongMoment, editing.VersionStale) as refusal:
        messages.error(request, _sentence(refusal))
    return redirect("imports:detail", batch.pk)


@require_POST
@for_members()
def cancel(request: HttpRequest, batch_id: int) -> HttpResponse:
    """Stop what is under way, or give the import up."""
    batch = _batch(request, batch_id)
    try:
        staging.cancel(batch.pk, by=request.user)
    except staging.WrongMoment as refusal:
        messages.error(request, _sentence(refusal))
    return redirect("imports:detail", batch.pk)


@require_http_methods(["GET", "POST"])
@for_members()
def undo(request: HttpRequest, batch_id: int) -> HttpResponse:
    """Ask what to do with rows that were touched since, then take the import back."""
    batch = _batch(request, batch_id)
    demand(request.user, profile_of(batch).action)
    if phase(batch) != State.COMMITTED:
        if request.method == "POST":
            messages.error(request, "This import is not committed, or was undone before.")
        return redirect("imports:detail", batch.pk)
    if request.method == "POST":
        try:
            staging.undo(batch.pk, also=_ids(request, "also"), by=request.user, based_on=editing.version_asked(request))
        except (staging.WrongMoment, editing.VersionStale) as refusal:
            messages.error(request, _sentence(refusal))
        return redirect("imports:detail", batch.pk)
    link = profile_of(batch).link
    touched = [(row, why, link(row)) for row, why in staging.touched(batch, by=request.user)]
    written = sum(batch.counts.get("committed", {}).values())
    context = {"batch": batch, "touched": touched, "untouched": written - len(touched)}
    return render(request, "imports/undo.html", context)


@require_GET
@for_members()
def rejected(request: HttpRequest, batch_id: int) -> StreamingHttpResponse:
    """The rejected rows as CSV: line, reason, then the cells as they stood; what looks like a formula is disarmed."""
    batch = _batch(request, batch_id)
    if phase(batch) not in (State.TRIED, State.COMMITTED, State.UNDONE):
        raise Http404("There is nothing to fetch yet.")
    return StreamingHttpResponse(
        staging.rejected_lines(batch, by=request.user),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="import-{batch.pk}-rejected.csv"'},
    )
