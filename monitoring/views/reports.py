"""The pages of reports: the list, one report with its files, and the form that files and changes it."""

from typing import Any, BinaryIO

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.crypto import get_random_string
from django.utils.dateparse import parse_date
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from coalition import editing
from coalition.access import actor_of, can
from coalition.complaints import sentences, show, two_versions
from coalition.disk import NoRoom
from coalition.history import changes_of
from coalition.pages import MOST_COUNTED, for_members, keyset_page_of, page_or_part
from coalition.renderers import EXPORTS
from monitoring import duplicates, evidence, filing, provisions
from monitoring.filters import ReportFilter
from monitoring.forms import METRES, TIMES_OF_DAY, ReportForm, initial_of
from monitoring.models import Evidence, Incident, Occurrence, Report
from monitoring.placing import seen_place
from monitoring.seeing import places_hidden_from, seen_at

SORTS = {"occurred": "occurred_from", "number": "id"}  # each has an index: there may be a million
FOLDED = ("family", "kind", "sector", "accused", "accuser", "source_class", "occurrence", "facility_class")
NOT_IN_HISTORY = {"original", "batch", "incident"}  # said elsewhere, or not everybody's


def reports_of(request: HttpRequest) -> QuerySet:
    """Return the reports the viewer may see, with their occurrence and what the pages show of them."""
    sector = seen_place(actor_of(request.user).tier).sector
    return (
        Report.objects.visible_to(request.user)
        .with_incident_for(request.user)
        .select_related("source", "accused", "accuser", sector)
    )


@require_GET
@for_members()
def report_list(request: HttpRequest) -> HttpResponse:
    """Reports in rows: filtered, sorted, paged by key, with the state in the address."""
    found = ReportFilter(request.GET, queryset=reports_of(request), request=request)
    rows = found.qs if found.is_valid() else found.queryset.none()
    page = keyset_page_of(request, rows, SORTS, "-occurred")
    context = {
        "filter": found,
        "folded": [found.form[name] for name in FOLDED],
        "export_formats": [renderer.format for renderer in EXPORTS],
        "most_counted": MOST_COUNTED,
        "page": page,
        "sort": page.sort,
        "rows": [(report, seen_at(report, request.user), Occurrence(report.occurrence)) for report in page.rows],
        "may_file": can(request.user, "file_report"),
        "zone": filing.zone_of_today(),
    }
    return page_or_part(request, "monitoring/reports.html", "monitoring/_report_table.html", context)


def _report_seen_by(request: HttpRequest, report_id: int) -> Report:
    return get_object_or_404(reports_of(request).select_related("filed_by", "batch"), pk=report_id)


@require_GET
@for_members()
def report(request: HttpRequest, report_id: int) -> HttpResponse:
    """One report: what was said, where and when, how sure that is, its files and its history."""
    thing = _report_seen_by(request, report_id)
    user = request.user
    seen = seen_at(thing, user)
    visible = Report.objects.visible_to(user)
    incident = Incident.objects.visible_to(user).filter(pk=thing.incident_id).first()
    context = {
        "report": thing,
        "seen": seen,
        "occurrence": Occurrence(thing.occurrence),
        "incident": incident,
        "coverage": provisions.coverage_of(thing, user),
        "duplicate_of": visible.filter(pk=thing.duplicate_of_id).first() if thing.duplicate_of_id else None,
        "duplicates": visible.filter(duplicate_of=thing).order_by("pk")[:50],
        "evidence": Evidence.objects.visible_to(user).filter(report=thing).select_related("added_by"),
        # What stood in the file says where it was.
        "original": None if seen.is_coarse else thing.original,
        "changes": changes_of(thing, without=NOT_IN_HISTORY | places_hidden_from(thing, user)),
        "may_edit": can(user, "edit_report"),
        "may_file": can(user, "file_report"),
        "zone": filing.zone_of_today(),
    }
    return render(request, "monitoring/report.html", context)


@require_http_methods(["GET", "POST"])
@for_members("file_report")
def report_new(request: HttpRequest) -> HttpResponse:
    """File a report. Sent twice (a double click, a bad line), it is filed once."""
    form = ReportForm(
        request.POST or None,
        request.FILES or None,
        user=request.user,
        initial={"idempotency_key": get_random_string(32), **_wanted(request)},
    )
    if request.method == "POST" and form.is_valid():
        try:
            answer = editing.once(request, lambda: _filed(request, form))
        except filing.Doubtful as doubtful:
            form.ask(doubtful)
        except (ValidationError, NoRoom) as error:
            show(form, _named(error))
        else:
            if not answer.replayed:
                messages.success(request, "The report is filed.")
            return redirect(reverse("monitoring:report-new") if "another" in request.POST else answer.location)
    return _form_page(request, form, title="File a report")


def _wanted(request: HttpRequest) -> dict[str, Any]:
    """Return what the address asks the form to begin with: a place clicked on the map, a day."""
    wanted: dict[str, Any] = {name: request.GET[name][:100] for name in ("place", "place_name") if name in request.GET}
    wanted["occurred_on"] = _day(request.GET.get("occurred_on", "")) or filing.today()
    return wanted


def _day(text: str):
    try:
        return parse_date(text)
    except ValueError:
        return None


def _filed(request: HttpRequest, form: ReportForm) -> editing.Answer:
    """The report and its files, or neither."""
    with transaction.atomic():
        made = filing.file(form.draft(), by=request.user, confirmed=form.cleaned_data["confirmed"])
        evidence.attach_all(made.pk, form.cleaned_data["files"], by=request.user)
    return editing.Answer.redirect(made.get_absolute_url())


def _named(error: Exception) -> Exception:
    """In the form, degrees are one field and the files are several."""
    names = {"longitude": "place", "latitude": "place", "file": "files", "occurred_from": "occurred_on"}
    if isinstance(error, ValidationError) and hasattr(error, "error_dict"):
        return ValidationError({names.get(name, name): told for name, told in error.message_dict.items()})
    return error


def _form_page(request: HttpRequest, form: ReportForm, status: int | None = None, **context) -> HttpResponse:
    context |= {
        "form": form,
        "parts": form.sections(),
        "metres": METRES,
        "times_of_day": TIMES_OF_DAY,
        "more_is_open": any(form.errors.get(name) for name in form.MORE) or form.report is not None,
    }
    failed = form.is_bound and form.errors
    return render(request, "monitoring/report_form.html", context, status=status or (422 if failed else 200))


@require_http_methods(["GET", "POST"])
@for_members("edit_report")
def report_edit(request: HttpRequest, report_id: int) -> HttpResponse:
    """Change a report. Somebody else's change in between is shown beside this one; nothing is overwritten unseen."""
    thing = _report_seen_by(request, report_id)
    form = ReportForm(request.POST or None, user=request.user, report=thing)
    context = {"title": f"Change V{thing.pk}", "report": thing}
    if request.method == "POST" and form.is_valid():
        try:
            filing.revise(
                thing.pk,
                form.draft(),
                by=request.user,
                based_on=editing.version_asked(request),
                confirmed=form.cleaned_data["confirmed"],
                why=form.cleaned_data["why"],
            )
        except editing.VersionStale as stale:
            context["conflict"] = two_versions(form, stale.current, now=initial_of(thing, request.user))
            return _form_page(request, form, status=412, **context)
        except filing.Doubtful as doubtful:
            form.ask(doubtful)
        except ValidationError as error:
            show(form, _named(error))
        else:
            messages.success(request, f"V{thing.pk} is saved.")
            return redirect(thing)
    return _form_page(request, form, **context)


@require_POST
@for_members("edit_report")
def report_take_back(request: HttpRequest, report_id: int) -> HttpResponse:
    """Put back what stood before the last change."""
    thing = _report_seen_by(request, report_id)
    try:
        filing.take_back(thing.pk, by=request.user, based_on=editing.version_asked(request))
    except editing.VersionStale:
        messages.error(request, "Somebody changed this report in the meantime. Look at it again before you go on.")
    except (editing.Refused, ValidationError) as error:
        messages.error(request, sentences(error))
    else:
        messages.success(request, f"The last change of V{thing.pk} is taken back.")
    return redirect(thing)


@require_GET
@for_members()
def report_alike(request: HttpRequest) -> HttpResponse:
    """A part: reports that may be of the same event as the one that is being typed."""
    typed: dict[str, Any] = request.GET.dict() | {"occurred_on": _day(request.GET.get("occurred_on", ""))}
    metres = request.GET.get("place_precision_m", "")
    typed["place_precision_m"] = float(metres) if metres.isdecimal() else None
    if editing.is_id(typed.get("source", "")):
        typed["source"] = int(typed["source"])
    sketch = filing.sketch({name: typed[name] for name in typed if name in filing.FIELDS}, by=request.user)
    found = duplicates.candidates(sketch, by=request.user, limit=5)
    return render(request, "monitoring/_alike.html", {"candidates": found, "zone": filing.zone_of_today()})


# --- Files --------------------------------------------------------------------------------


@require_POST
@for_members("file_report")
def evidence_new(request: HttpRequest, report_id: int) -> HttpResponse:
    """Add files to a report."""
    thing = _report_seen_by(request, report_id)
    files = request.FILES.getlist("files")
    try:
        evidence.attach_all(thing.pk, files, by=request.user)
    except ValidationError as error:
        messages.error(request, sentences(error))
    else:
        if files:
            messages.success(request, "The file is added." if len(files) == 1 else f"{len(files)} files are added.")
        else:
            messages.warning(request, "Choose a file first.")
    return redirect(thing)


@require_GET
@for_members()
def evidence_file(request: HttpRequest, report_id: int, evidence_id: int) -> HttpResponse:
    """A file of a report, as an attachment."""
    return attachment(*evidence.open_seen(report_id, evidence_id, by=request.user))


def attachment(kept: Evidence, content: BinaryIO) -> FileResponse:
    """Return the answer that gives a file away: saved, never shown, and never guessed at by the browser."""
    answer = FileResponse(content, as_attachment=True, filename=kept.file_name, content_type=kept.content_type)
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Cache-Control"] = "private, no-store"
    answer.headers["X-Evidence-SHA256"] = kept.sha256
    return answer
