"""Incidents: the list, and one with each side's story side by side, its judgement, and what was merged into it."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from coalition import editing
from coalition.access import actor_of, can
from coalition.complaints import sentences, show, two_versions
from coalition.history import changes_of
from coalition.pages import for_members, page_of, page_or_part, sorted_by
from monitoring import describing, judging, merging, provisions, stories
from monitoring.filing import zone_of_today
from monitoring.incident_filters import IncidentFilter
from monitoring.incident_forms import IncidentForm, JudgementForm, ResponseForm, VerifyForm
from monitoring.models import Incident, IncidentStep, Occurrence, PartyResponse, ReportMove
from monitoring.placing import seen_place
from monitoring.seeing import places_hidden_from, seen_at

SORTS = {
    "number": "id",
    "occurred": "occurred_from",
    "kind": "kind",
    "occurrence": "occurrence",
    "finding": "finding",
    "changed": "changed_at",
}
NOT_IN_HISTORY = {"regrouped_at", "judged_at", "verified_at"}  # said by the step itself
STALE = "Somebody changed this incident in the meantime. Look at it again before you go on."


@require_GET
@for_members()
def incident_list(request: HttpRequest) -> HttpResponse:
    """Incidents in rows: filtered, sorted, paged, with the state in the address."""
    shown = Incident.objects.visible_to(request.user).with_report_counts_for(request.user)
    found = IncidentFilter(request.GET, queryset=shown, request=request)
    rows = found.qs if found.is_valid() else shown.none()
    sector = seen_place(actor_of(request.user).tier).sector
    rows, sort = sorted_by(request, rows.select_related("accused", "attributed_to", sector), SORTS, "-occurred")
    page = page_of(request, rows)
    context = {
        "filter": found,
        "page": page,
        "sort": sort,
        "rows": [(incident, seen_at(incident, request.user), Occurrence(incident.occurrence)) for incident in page],
        "zone": zone_of_today(),
    }
    return page_or_part(request, "monitoring/incidents.html", "monitoring/_incident_table.html", context)


def _incident_seen_by(request: HttpRequest, incident_id: int) -> Incident:
    rows = Incident.objects.visible_to(request.user).select_related(
        "accused", "attributed_to", "judged_by", "verified_by", "sector", "coalition_sector"
    )
    return get_object_or_404(rows, pk=incident_id)


@require_GET
@for_members()
def incident(request: HttpRequest, incident_id: int) -> HttpResponse:
    """One incident. One that was merged leads to the incident it is part of, for ever."""
    thing = _incident_seen_by(request, incident_id)
    if thing.merged_into_id is not None:
        target = merging.standing(thing.pk, by=request.user)
        messages.info(request, f"I{thing.pk} was merged into I{target.pk}.")
        return redirect(target)
    return render(request, "monitoring/incident.html", _context(request, thing))


def _context(request: HttpRequest, thing: Incident, response_form: ResponseForm | None = None) -> dict:
    user = request.user
    reports = list(merging.reports_of(thing, by=user).with_incident_for(user))
    told = stories.stories(reports, by=user)
    steps = list(
        IncidentStep.objects.visible_to(user)
        .filter(incident=thing)
        .select_related("user", "other", "undone_by", "undoes")
        .order_by("-pk")
    )
    moves: dict[int, list[int]] = {}
    for step_id, report_id in (
        ReportMove.objects.visible_to(user).filter(step__in=steps).values_list("step_id", "report_id")
    ):
        moves.setdefault(step_id, []).append(report_id)
    may_merge, may_judge = can(user, "merge_reports"), can(user, "judge_incident")
    return {
        "incident": thing,
        "occurrence": Occurrence(thing.occurrence),
        "seen": seen_at(thing, user),
        "reports": [(report, seen_at(report, user)) for report in reports],
        "stories": told,
        "questions": stories.compare(told),
        "steps": [
            {
                "step": step,
                "done": merging.DONE.get(step.kind, step.kind),
                "reports": moves.get(step.pk, []),
                "may_take_back": may_merge and step.kind in merging.TAKEN_BACK and not hasattr(step, "undone_by"),
                "is_own": step.user_id == user.pk,
            }
            for step in steps
        ],
        "absorbed": Incident.objects.visible_to(user).filter(merged_into=thing).order_by("pk"),
        "responses": PartyResponse.objects.visible_to(user).filter(incident=thing).select_related("party"),
        "response_form": response_form or (ResponseForm() if may_judge else None),
        "coverage": provisions.coverage_of(thing, user),
        "changes": changes_of(thing, without=NOT_IN_HISTORY | places_hidden_from(thing, user)),
        "may_merge": may_merge,
        "may_judge": may_judge,
        "may_verify": can(user, "verify_incident") and judging.may_verify(thing, user),
        "is_judged": thing.judged_at is not None and thing.occurrence not in judging.WAITING,
        "regrouped_since": bool(thing.judged_at and thing.regrouped_at and thing.regrouped_at > thing.judged_at),
        "zone": zone_of_today(),
    }


# --- Writing ------------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
@for_members("judge_incident")
def judge(request: HttpRequest, incident_id: int) -> HttpResponse:
    """Answer the three questions."""
    thing = _incident_seen_by(request, incident_id)
    now = {name: getattr(thing, name) for name in judging.JUDGED}
    form = JudgementForm(request.POST or None, initial={**now, "version": thing.version})
    context: dict = {}
    status = 200
    if request.method == "POST":
        based_on = editing.version_asked(request)
        if form.is_valid():
            try:
                judging.judge(thing.pk, form.draft(), by=request.user, based_on=based_on)
            except editing.VersionStale as stale:
                context["conflict"] = two_versions(form, stale.current)
                status = 412
            except (editing.Refused, ValidationError) as error:
                show(form, error)
            else:
                messages.success(request, f"I{thing.pk} is judged. Somebody else must verify it.")
                return redirect(thing)
    status = 422 if status == 200 and form.is_bound and form.errors else status
    context |= {"form": form, **_context(request, thing)}
    return render(request, "monitoring/judge.html", context, status=status)


@require_http_methods(["GET", "POST"])
@for_members("verify_incident")
def verify(request: HttpRequest, incident_id: int) -> HttpResponse:
    """Verify what somebody else judged."""
    thing = _incident_seen_by(request, incident_id)
    form = VerifyForm(request.POST or None, initial={"version": thing.version})
    if request.method == "POST":
        based_on = editing.version_asked(request)
        if form.is_valid():
            try:
                judging.verify(thing.pk, by=request.user, reason=form.cleaned_data["reason"], based_on=based_on)
            except editing.VersionStale:
                messages.error(request, STALE)
                return redirect(thing)
            except (editing.Refused, ValidationError) as error:
                show(form, error)
            else:
                messages.success(request, f"I{thing.pk} is verified.")
                return redirect(thing)
    status = 422 if form.is_bound and form.errors else 200
    context = {"title": f"Verify I{thing.pk}", "form": form, "cancel": thing.get_absolute_url()}
    return render(request, "form.html", context, status=status)


@require_http_methods(["GET", "POST"])
@for_members("judge_incident")
def edit(request: HttpRequest, incident_id: int) -> HttpResponse:
    """Change what the incident is written down as."""
    thing = _incident_seen_by(request, incident_id)
    reports = list(merging.reports_of(thing, by=request.user))
    instance = Incident.objects.get(pk=thing.pk)
    form = IncidentForm(request.POST or None, instance=instance, reports=reports)
    context = {"title": f"Change I{thing.pk}", "form": form, "cancel": thing.get_absolute_url()}
    status = 200
    if request.method == "POST":
        based_on = editing.version_asked(request)
        if form.is_valid():
            try:
                describing.revise(thing.pk, form.draft(), by=request.user, based_on=based_on)
            except editing.VersionStale as stale:
                now = {name: getattr(stale.current, name) for name in IncidentForm.Meta.fields}
                context["conflict"] = two_versions(form, stale.current, now=now)
                status = 412
            except (editing.Refused, ValidationError) as error:
                show(form, error)
            else:
                messages.success(request, f"I{thing.pk} is saved.")
                return redirect(thing)
    status = 422 if status == 200 and form.is_bound and form.errors else status
    return render(request, "form.html", context, status=status)


@require_POST
@for_members("merge_reports")
def merge(request: HttpRequest, incident_id: int) -> HttpResponse:
    """Merge another incident into this one."""
    thing = _incident_seen_by(request, incident_id)
    number = request.POST.get("other", "").strip().lstrip("Ii")
    try:
        if not editing.is_id(number):
            raise ValidationError("Say which incident: its number, such as I12.")
        try:
            merging.absorb(
                thing.pk,
                int(number),
                by=request.user,
                based_on=editing.version_asked(request),
                reason=request.POST.get("reason", ""),
            )
        except Http404:
            raise ValidationError(f"There is no incident I{number}.") from None
    except editing.VersionStale:
        messages.error(request, STALE)
    except (describing.NotStanding, merging.Regrouped, ValidationError) as error:
        messages.error(request, sentences(error))
    else:
        messages.success(request, f"I{number} is part of I{thing.pk} now, and leads here.")
    return redirect(thing)


@require_POST
@for_members("merge_reports")
def split(request: HttpRequest, incident_id: int) -> HttpResponse:
    """Take the ticked reports out, to stand alone or as an incident of their own."""
    thing = _incident_seen_by(request, incident_id)
    ticked = [int(number) for number in request.POST.getlist("tick") if editing.is_id(number)]
    into_new = "into_new" in request.POST
    try:
        result = merging.split(
            thing.pk,
            ticked,
            by=request.user,
            based_on=editing.version_asked(request),
            into_new=into_new,
            reason=request.POST.get("reason", ""),
        )
    except editing.VersionStale:
        messages.error(request, STALE)
    except (describing.NotStanding, merging.Regrouped, ValidationError) as error:
        messages.error(request, sentences(error))
    else:
        where = f"are I{result.pk} now" if into_new else "stand alone again"
        messages.success(request, f"{len(ticked)} report{'s' if len(ticked) > 1 else ''} taken out: they {where}.")
        return redirect(result)
    return redirect(thing)


@require_POST
@for_members("merge_reports")
def take_back(request: HttpRequest, incident_id: int, step_id: int) -> HttpResponse:
    """Take back one step of the incident."""
    thing = _incident_seen_by(request, incident_id)
    step = get_object_or_404(IncidentStep.objects.visible_to(request.user), pk=step_id, incident=thing)
    try:
        standing = merging.take_back(
            step.pk,
            by=request.user,
            based_on=editing.version_asked(request),
            reason=request.POST.get("reason", ""),
        )
    except editing.VersionStale:
        messages.error(request, STALE)
    except (editing.Refused, ValidationError) as error:
        if isinstance(error, editing.VersionMissing):
            raise
        messages.error(request, sentences(error))
    else:
        messages.success(request, "Taken back: every report is where it was before.")
        if thing.pk not in standing:
            return redirect(reverse("monitoring:triage"))
    return redirect(thing)


@require_POST
@for_members("judge_incident")
def respond(request: HttpRequest, incident_id: int) -> HttpResponse:
    """Write down what a party said about it."""
    thing = _incident_seen_by(request, incident_id)
    form = ResponseForm(request.POST)
    if form.is_valid():
        try:
            judging.respond(thing.pk, form.cleaned_data, by=request.user)
        except (editing.Refused, ValidationError) as error:
            show(form, error)
        else:
            messages.success(request, "The response is written down.")
            return redirect(thing)
    return render(request, "monitoring/incident.html", _context(request, thing, form), status=422)


@require_POST
@for_members("judge_incident")
def forget_response(request: HttpRequest, incident_id: int, response_id: int) -> HttpResponse:
    """Delete a response that was written down by mistake."""
    thing = _incident_seen_by(request, incident_id)
    response = get_object_or_404(PartyResponse.objects.visible_to(request.user), pk=response_id, incident=thing)
    try:
        judging.forget_response(response.pk, by=request.user, based_on=editing.version_asked(request))
    except editing.VersionStale:
        messages.error(request, STALE)
    else:
        messages.success(request, "The response is deleted.")
    return redirect(thing)
