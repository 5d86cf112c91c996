"""Which reports wait to be looked at, worst and oldest first, and what somebody made of one: the writer of their status.

Merging changes no status: until it is merged a report's own status says how far it is established, afterwards its
incident's does (``ReportQuerySet.with_incident_for``).
"""

from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db.models import F, Q, QuerySet

from coalition.access import acting_as, actor_of, because, demand
from coalition.editing import Refused, seeing_all
from monitoring.merging import clean_reason, lock_report, take_out
from monitoring.models import OUT, SEVERITY, WAITING, Occurrence, Report, ReportStep

UNDO = "undo"
SEVERITIES = {4: "critical", 3: "high", 2: "moderate", 1: "low"}
# ``models.SEVERITY`` in words; the first that fits holds.
SEVERITY_RULE = {
    4: "anyone killed, a nuclear plant or a hydro dam hit, or monitors fired at",
    3: "anyone injured; a hospital, a school or an energy facility hit; missiles, rockets, aircraft or long-range drones;"
    " an assault or advance; an attack on civilians, an abduction, a seizure",
    2: "artillery, mortars, tanks, FPV drones, mines, strikes of unknown means; new positions; weapons where they may not"
    " be; aid or monitors held up",
    1: "everything else",
}


class WrongStep(Refused):
    """The report cannot take this step from where it stands."""

    code = "wrong_step"


@dataclass(frozen=True)
class Step:
    """One step of triage. ``reason`` asks for one where it is needed. ``key`` is its key on the keyboard."""

    name: str
    label: str
    done: str
    origins: tuple[str, ...]
    to: str
    key: str
    reason: str = ""


_IN_SCOPE = tuple(status for status in Occurrence if status not in OUT)

STEPS: dict[str, Step] = {
    step.name: step
    for step in (
        Step("screen", "Screen", "screened", (Occurrence.RECEIVED,), Occurrence.SCREENED, "s"),
        Step(
            "take-up",
            "Take up",
            "taken up for verification",
            (Occurrence.RECEIVED, Occurrence.SCREENED),
            Occurrence.UNDER_VERIFICATION,
            "v",
        ),
        Step("duplicate", "Duplicate", "marked as a duplicate", _IN_SCOPE, Occurrence.DUPLICATE, "d"),
        Step(
            "out-of-scope",
            "Out of scope",
            "marked as out of scope",
            _IN_SCOPE,
            Occurrence.OUT_OF_SCOPE,
            "o",
            reason="Say why it is out of scope.",
        ),
    )
}
DONE = {**{step.name: step.done for step in STEPS.values()}, UNDO: "undone"}


# --- The queue ----------------------------------------------------------------------------


def waits_for(by) -> Q:
    """Return the filter for what waits, as somebody sees it: one merged into an incident hidden from them does."""
    hidden_or_none = Q(incident__tier__isnull=True) | Q(incident__tier__gt=actor_of(by).tier)
    return Q(status__in=WAITING) & hidden_or_none


def queue(by) -> QuerySet:
    """Return what waits: visible reports nobody has judged, merged or put out of scope, with ``severity`` 4 to 1.

    Worst first, and among equals the one filed first. A report in an incident that ``by`` may not see waits.
    """
    rows = Report.objects.visible_to(by).filter(waits_for(by))
    return rows.annotate(severity=SEVERITY).order_by(SEVERITY.desc(), F("filed_at").asc(), F("id").asc())


def severity_of(report: Report) -> int:
    """Return how bad a stored report looks at once, 4 to 1 (``SEVERITY_RULE``)."""
    return Report.objects.filter(pk=report.pk).values_list(SEVERITY, flat=True)[0]


def next_steps(report: Report, *, by) -> list[Step]:
    """Return the steps a report may take now; none while it is merged into an incident that ``by`` may see.

    ``report`` carries ``with_incident_for``.
    """
    if report.seen_incident_id is not None:
        return []
    return [step for step in STEPS.values() if report.status in step.origins]


def undoable(report: Report) -> ReportStep | None:
    """Return the last step, when it still stands as that step left it, or None."""
    step = _last(report)
    return step if step is not None and step.to_status == report.status else None


# --- Steps --------------------------------------------------------------------------------


def take(
    report_id: int, step_name: str, *, by, of: int | None = None, reason: str = "", based_on: int | None = None
) -> Report:
    """Take one step with a report and return it as it then stands. ``of`` is the report it is a duplicate of.

    Raise Http404, PermissionDenied, WrongStep, ValidationError on ``of`` or ``reason``, VersionStale, and
    ``merging.Regrouped`` where a merged report is put out of the count.
    """
    step = STEPS.get(step_name)
    if step is None:
        raise WrongStep(f"There is no step of that name. There are {', '.join(STEPS)}.")
    with acting_as(by):
        demand(by, "screen_report")
        report = lock_report(report_id, by=by, based_on=based_on)
        reason = clean_reason(reason, step.reason)
        if report.status not in step.origins:
            raise WrongStep(f"V{report.pk} is {report.get_status_display().lower()} already.")
        original = _original(report, of, by=by) if step.to == Occurrence.DUPLICATE else None
        if step.to in OUT:
            take_out(report, by=by, reason=reason)
        before = {"status": str(report.status), "duplicate_of": report.duplicate_of_id}
        report.status, report.duplicate_of = step.to, original
        if reason:
            because(reason)
        report.save(update_fields=["status", "duplicate_of"])
        _note(report, kind=step.name, origin=before["status"], by=by, reason=reason, before=before)
        report.refresh_from_db()
        return report


def undo(report_id: int, *, by, reason: str = "", based_on: int | None = None) -> Report:
    """Take back the last step and return the report. Somebody else's step needs a reason.

    Raise Http404, PermissionDenied, WrongStep when there is none or the status changed since, ValidationError,
    VersionStale.
    """
    with acting_as(by):
        demand(by, "screen_report")
        report = lock_report(report_id, by=by, based_on=based_on)
        step = _last(report)
        if step is None:
            raise WrongStep(f"V{report.pk} stands as it was filed.")
        if step.to_status != report.status:
            raise WrongStep(f"V{report.pk} was changed otherwise since.")
        own = step.user_id is not None and step.user_id == actor_of(by).user_id
        reason = clean_reason(reason, "" if own else "Say why somebody else's step is undone.")
        origin = str(report.status)
        kept = step.before.get("duplicate_of")
        report.status = step.before["status"]
        report.duplicate_of = Report.objects.filter(pk=kept).first() if kept else None
        if reason:
            because(reason)
        report.save(update_fields=["status", "duplicate_of"])
        _note(report, kind=UNDO, origin=origin, by=by, reason=reason, undoes=step)
        report.refresh_from_db()
        return report


# --- Inside -------------------------------------------------------------------------------


def _original(report: Report, of: int | None, *, by) -> Report:
    """Return the report this one repeats. It may not be stricter, nor be told to repeat this one itself."""
    if of is None:
        raise ValidationError({"of": "Say which report it repeats."})
    original = Report.objects.visible_to(by).filter(pk=of).first()
    if original is None:
        raise ValidationError({"of": "There is no such report."})
    if original.pk == report.pk:
        raise ValidationError({"of": "A report does not repeat itself."})
    if original.tier > report.tier:
        # Else its readers would lose the event, and learn that a stricter report tells of it.
        raise ValidationError({"of": f"V{original.pk} is of a stricter tier: merge the two instead."})
    if original.status == Occurrence.OUT_OF_SCOPE:
        raise ValidationError({"of": f"V{original.pk} is out of scope itself."})
    with seeing_all(by):
        above, at = set(), original
        while at is not None and at.pk not in above:
            above.add(at.pk)
            at = at.duplicate_of
    if report.pk in above:
        raise ValidationError({"of": f"V{original.pk} is marked as a duplicate of this one."})
    return original


def _last(report: Report) -> ReportStep | None:
    """Return the last step that was not undone."""
    steps = list(ReportStep.objects.filter(report=report).order_by("-pk"))
    undone = {step.undoes_id for step in steps if step.undoes_id}
    return next((step for step in steps if step.kind != UNDO and step.pk not in undone), None)


def _note(report: Report, *, kind: str, origin: str, by, **fields) -> None:
    ReportStep.objects.create(
        report=report, user_id=actor_of(by).user_id, kind=kind, from_status=origin, to_status=report.status, **fields
    )
