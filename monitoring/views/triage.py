"""The triage desk: what waits, the report in hand, what may be the same event, and the steps."""

from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from coalition import editing
from coalition.access import can
from coalition.complaints import sentences
from coalition.pages import for_members, page_or_part
from monitoring import duplicates, merging, triage
from monitoring.filing import zone_of_today
from monitoring.incident_filters import QueueFilter
from monitoring.models import Incident, Report
from monitoring.seeing import seen_at

ROWS = 25
MOST_COUNTED = 1000  # counting a million waiting reports would take longer than reading a page of them
STALE = "Somebody changed it in the meantime. Look at it again before you go on."


class Desk(Paginator):
    """Pages of a queue that may be a million long."""

    @property
    def count(self) -> int:
        if not hasattr(self, "_count"):
            self._count = self.object_list.order_by()[: MOST_COUNTED + 1].count()
        return self._count


@require_GET
@for_members("screen_report")
def desk(request: HttpRequest) -> HttpResponse:
    """The queue, worst first, and beside it the report in hand: ``?report=``, else the first one."""
    found = QueueFilter(request.GET, queryset=triage.queue(request.user), request=request)
    rows = found.qs if found.is_valid() else found.queryset.none()
    page = Desk(rows.select_related("source"), ROWS).get_page(request.GET.get("page"))
    queue = [
        {"report": report, "severity": triage.SEVERITIES[report.severity], "seen": seen_at(report, request.user)}
        for report in page
    ]
    asked = request.GET.get("report", "")
    chosen = int(asked) if editing.is_id(asked) else queue[0]["report"].pk if queue else None
    numbers = [row["report"].pk for row in queue]
    at = numbers.index(chosen) if chosen in numbers else -1
    context = {
        "filter": found,
        "page": page,
        "queue": queue,
        "more_than_counted": page.paginator.count > MOST_COUNTED,
        "most_counted": MOST_COUNTED,
        "severity_rule": [(word, triage.SEVERITY_RULE[level]) for level, word in triage.SEVERITIES.items()],
        "zone": zone_of_today(),
        "previous": numbers[at - 1] if at > 0 else None,
        "following": numbers[at + 1] if at < len(numbers) - 1 else None,  # of one that is not listed: the first
        **(in_hand(request, chosen) if chosen else {}),
    }
    return page_or_part(request, "monitoring/triage.html", "monitoring/_triage_desk.html", context)


def in_hand(request: HttpRequest, report_id: int) -> dict:
    """Return what ``_report_in_hand.html`` shows of a report; Http404 for one that may not be seen."""
    rows = Report.objects.visible_to(request.user).with_incident_for(request.user)
    report = get_object_or_404(rows.select_related("source", "accuser", "accused", "filed_by"), pk=report_id)
    found = duplicates.candidates(report, by=request.user, limit=10)
    return {
        "report": report,
        "seen": seen_at(report, request.user),
        "severity": triage.SEVERITIES[triage.severity_of(report)],
        "incident": Incident.objects.visible_to(request.user).filter(pk=report.seen_incident_id).first(),
        "duplicate_of": Report.objects.visible_to(request.user).filter(pk=report.duplicate_of_id).first(),
        "candidates": [(candidate, seen_at(candidate.report, request.user)) for candidate in found],
        "steps": triage.next_steps(report, by=request.user),
        "undoable": triage.undoable(report),
        "is_own": (last := triage.undoable(report)) is not None and last.user_id == request.user.pk,
        "may_merge": can(request.user, "merge_reports"),
    }


def _back(request: HttpRequest) -> str:
    """Return where the desk goes on: the same filters, the next report. Only ever an address of the desk."""
    here = reverse("monitoring:triage")
    wanted = request.POST.get("next", "")
    return wanted if wanted == here or wanted.startswith(f"{here}?") else here


@require_POST
@for_members("screen_report")
def step(request: HttpRequest, report_id: int, name: str) -> HttpResponse:
    """Take one step with a report."""
    of = request.POST.get("of", "").strip().lstrip("Vv")
    try:
        triage.take(
            report_id,
            name,
            by=request.user,
            of=int(of) if editing.is_id(of) else None,
            reason=request.POST.get("reason", ""),
            based_on=editing.version_asked(request),
        )
    except editing.VersionStale:
        messages.error(request, STALE)
    except (triage.WrongStep, merging.Regrouped, ValidationError) as error:
        messages.error(request, sentences(error))
    else:
        messages.success(request, f"V{report_id}: {triage.DONE[name]}. Undo it on its page, or here: press u.")
        return redirect(_back(request))
    return redirect(f"{reverse('monitoring:triage')}?{urlencode({'report': report_id})}")


@require_POST
@for_members("screen_report")
def undo(request: HttpRequest, report_id: int) -> HttpResponse:
    """Take back the last step of a report."""
    try:
        triage.undo(
            report_id,
            by=request.user,
            reason=request.POST.get("reason", ""),
            based_on=editing.version_asked(request),
        )
    except editing.VersionStale:
        messages.error(request, STALE)
    except (triage.WrongStep, merging.Regrouped, ValidationError) as error:
        messages.error(request, sentences(error))
    else:
        messages.success(request, f"The last step of V{report_id} is taken back.")
    return redirect(f"{reverse('monitoring:triage')}?{urlencode({'report': report_id})}")


@require_POST
@for_members("merge_reports")
def merge(request: HttpRequest, report_id: int) -> HttpResponse:
    """Merge the report in hand with what was ticked: other reports, or one incident. Without a tick it stands alone."""
    ticked = {int(number) for number in request.POST.getlist("tick") if editing.is_id(number)}
    versions: dict[int, int | None] = {pk: _version(request, f"version-{pk}") for pk in {report_id, *ticked}}
    incidents = {int(number) for number in request.POST.getlist("incident") if editing.is_id(number)}
    reason = request.POST.get("reason", "")
    try:
        if not incidents:
            incident = merging.open_incident(versions, by=request.user, reason=reason)
        elif len(incidents) == 1:
            pk = incidents.pop()
            version = _version(request, f"version-i{pk}")
            incident = merging.add(pk, versions, by=request.user, based_on=version, reason=reason)
        else:
            raise ValidationError("Tick one incident. Two incidents are merged on the page of one of them.")
    except editing.VersionStale:
        messages.error(request, STALE)
    except (editing.Refused, ValidationError) as error:
        if isinstance(error, editing.VersionMissing):
            raise
        messages.error(request, sentences(error))
    else:
        count = len(versions)
        messages.success(request, f"{count} report{'s' if count > 1 else ''} merged into I{incident.pk}.")
        return redirect(incident)
    return redirect(f"{reverse('monitoring:triage')}?{urlencode({'report': report_id})}")


def _version(request: HttpRequest, name: str) -> int:
    """Return the version a ticked row was seen at. Raise VersionMissing, as for every write."""
    given = request.POST.get(name, "")
    if not editing.is_id(given):
        raise editing.VersionMissing("Say which version of each ticked row this is based on.")
    return int(given)
