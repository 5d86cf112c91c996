"""Which reports tell of one incident? Put together, taken apart, and taken back: the only writer of that.

Every step notes which report came from where, so that it can be taken back exactly. An incident that somebody may not
see is not there for them: its reports stand alone, and merging one elsewhere takes it out of the hidden incident, which
those who may see that one are shown (docs/adr/0087).

Locks: incidents by rising id, then reports by rising id.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError
from django.http import Http404
from django.utils import timezone

from coalition.access import Actor, Tier, acting_as, actor_of, because, demand
from coalition.editing import Refused, compare, is_storable, lock, seeing_all
from monitoring import describing
from monitoring.describing import NotStanding, raise_tier
from monitoring.models import OUT, Incident, IncidentStep, Report, ReportMove

OPEN, ADD, ABSORB, SPLIT, TAKEN, UNDO = "open", "add", "absorb", "split", "taken", "undo"
LOST = "lost"
TAKEN_BACK = (OPEN, ADD, ABSORB, SPLIT)  # kinds of step that can be
DONE = {
    OPEN: "opened from reports",
    ADD: "reports merged in",
    ABSORB: "another incident merged in",
    SPLIT: "reports split off",
    TAKEN: "reports taken by somebody who may not see this incident",
    UNDO: "taken back",
    LOST: "reports lost with an import that was undone",
    "judge": "judged",
    "verify": "verified",
}
LONGEST_REASON = IncidentStep._meta.get_field("reason").max_length
MOST = 500  # reports in one step; more is a slip of the hand

Versions = Mapping[int, int | None]


class Regrouped(Refused):
    """The reports are not where this was based on: merged, split or marked meanwhile."""

    code = "regrouped"


@dataclass(frozen=True)
class _Ground:
    """What a step stands on, locked: incidents and reports by id. ``actor`` is who asked, not who sees all."""

    actor: Actor
    incidents: dict[int, Incident]
    reports: dict[int, Report]
    by: Any = field(default=None)

    def seen(self, incident_id: int | None) -> Incident | None:
        """Return the incident if there is one and it may be seen by who asked."""
        incident = self.incidents.get(incident_id) if incident_id else None
        return incident if incident is not None and incident.tier <= self.actor.tier else None


# --- Questions ----------------------------------------------------------------------------


def standing(incident_id: int, *, by) -> Incident:
    """Return the incident that an id stands for today: itself, or the one it was merged into, however often.

    Raise Http404 where any of them may not be seen.
    """
    seen: set[int] = set()
    while incident_id not in seen:
        seen.add(incident_id)
        incident = Incident.objects.visible_to(by).filter(pk=incident_id).first()
        if incident is None:
            break
        if incident.merged_into_id is None:
            return incident
        incident_id = incident.merged_into_id
    raise Http404("There is no such incident.")


def reports_of(incident: Incident, *, by) -> Any:
    """Return the incident's reports that ``by`` may see, oldest first."""
    rows = Report.objects.visible_to(by).filter(incident=incident)
    return rows.select_related("source__party", "accuser", "accused", "sector", "coalition_sector").order_by(
        "occurred_from", "pk"
    )


def may_be_taken_back(step: IncidentStep) -> bool:
    """Return True for a step of a kind that can be taken back and was not yet. Whether it still fits is found by trying."""
    return step.kind in TAKEN_BACK and not IncidentStep.objects.filter(undoes=step).exists()


# --- Steps --------------------------------------------------------------------------------


def open_incident(reports: Versions, draft: Mapping[str, Any] | None = None, *, by, reason: str = "") -> Incident:
    """Make a new incident of one or more reports, and return it.

    ``reports`` maps ids to the version each was seen at (None compares none); ``draft`` overrides what the reports
    suggest (``describing.write``). Raise Http404 for a report that may not be seen, PermissionDenied, Regrouped when
    one is merged or out of scope already, VersionStale, ValidationError.
    """
    with acting_as(by):
        demand(by, "merge_reports")
        reason = clean_reason(reason)
        ground = _locked(by, _some(reports))
        _demand_free(ground, reports)
        chosen = [ground.reports[pk] for pk in sorted(reports)]
        incident = Incident(**describing.suggest(chosen), regrouped_at=timezone.now())
        describing.write(incident, draft or {}, chosen, by=by)
        with seeing_all(by):
            incident.save()
            _put(ground, incident, chosen, kind=OPEN, reason=reason)
        return _fresh(incident)


def add(
    incident_id: int, reports: Versions, *, by, based_on: int | None = None, tier: int | None = None, reason: str = ""
) -> Incident:
    """Merge reports into an incident that stands, and return it. It becomes as strict as its strictest report.

    ``tier`` keeps it at another tier on purpose. What it is written down as stays; a verified judgement must be
    verified again. Raise as ``open_incident``, and NotStanding.
    """
    with acting_as(by):
        demand(by, "merge_reports")
        reason = clean_reason(reason)
        _demand_seen(by, incident_id)
        ground = _locked(by, _some(reports), [incident_id])
        incident = _standing(ground, incident_id, based_on)
        _demand_free(ground, reports)
        chosen = [ground.reports[pk] for pk in sorted(reports)]
        strictest = max([incident.tier, *(report.tier for report in chosen)]) if tier is None else tier
        if strictest not in set(Tier) or strictest > ground.actor.tier:
            raise ValidationError({"tier": "Choose a release tier that you may see yourself."})
        with seeing_all(by):
            before = _touch(incident, tier=strictest)
            _put(ground, incident, chosen, kind=ADD, reason=reason, before=before)
        return _fresh(incident)


def absorb(
    incident_id: int,
    other_id: int,
    *,
    by,
    based_on: int | None = None,
    other_based_on: int | None = None,
    reason: str = "",
) -> Incident:
    """Merge another incident, with all its reports, into this one, and return this one. The other redirects for ever.

    Both become as strict as the stricter. The other keeps its judgement for whoever takes this back. Raise Http404,
    PermissionDenied, NotStanding, VersionStale, ValidationError.
    """
    with acting_as(by):
        demand(by, "merge_reports")
        reason = clean_reason(reason)
        if incident_id == other_id:
            raise ValidationError({"other": "An incident cannot be merged into itself."})
        _demand_seen(by, incident_id, other_id)
        with seeing_all(by):
            inside = dict.fromkeys(Report.objects.filter(incident=other_id).values_list("pk", flat=True))
        ground = _locked(by, inside, [incident_id, other_id], all_visible=False)
        incident = _standing(ground, incident_id, based_on)
        other = _standing(ground, other_id, other_based_on)
        with seeing_all(by):
            before = _touch(incident, tier=max(incident.tier, other.tier))
            before["tiers"] |= raise_tier([other], incident.tier)
            step = _note(ground, incident, ABSORB, reason=reason, before=before, other=other)
            _move(step, ground.reports.values(), to=incident, tell=reason)
            other.merged_into = incident
            other.save(update_fields=["merged_into"])
        return _fresh(incident)


def split(
    incident_id: int,
    reports: Iterable[int],
    *,
    by,
    based_on: int | None = None,
    into_new: bool = False,
    draft: Mapping[str, Any] | None = None,
    reason: str = "",
) -> Incident:
    """Take reports out of an incident, to stand alone or (``into_new``) as an incident of their own.

    Return the incident they were taken from, or the new one. At least one report must stay. Raise Http404,
    PermissionDenied, NotStanding, Regrouped, VersionStale, ValidationError.
    """
    with acting_as(by):
        demand(by, "merge_reports")
        reason = clean_reason(reason)
        wanted = _some(dict.fromkeys(reports))
        _demand_seen(by, incident_id)
        ground = _locked(by, wanted, [incident_id])
        incident = _standing(ground, incident_id, based_on)
        chosen = [ground.reports[pk] for pk in sorted(wanted)]
        for report in chosen:
            if report.incident_id != incident.pk:
                raise Regrouped(f"V{report.pk} is no part of I{incident.pk}.")
        if not reports_of(incident, by=by).exclude(pk__in=wanted).exists():
            raise ValidationError({"reports": "At least one report stays. Take the merge back, or merge the incident."})
        made = None
        if into_new:
            made = Incident(**describing.suggest(chosen), regrouped_at=timezone.now())
            made.tier = max(made.tier, incident.tier)
            describing.write(made, draft or {}, chosen, by=by)
        with seeing_all(by):
            if made is not None:
                made.save()
            before = _touch(incident)
            step = _note(ground, incident, SPLIT, reason=reason, before=before, other=made)
            _move(step, chosen, to=made, tell=reason)
        return _fresh(made or incident)


def take_back(step_id: int, *, by, based_on: int | None = None, reason: str = "") -> list[int]:
    """Take back one step: every report goes back to where it came from. Return the ids of the incidents that stand now.

    ``based_on`` is the version of the step's incident. An incident that the step made is gone afterwards. Somebody
    else's step needs a reason. Raise Http404, PermissionDenied, VersionStale, ValidationError, and Regrouped, naming
    why, when a report moved on since, or the incident was judged or got further reports.
    """
    with acting_as(by):
        demand(by, "merge_reports")
        step = IncidentStep.objects.visible_to(by).filter(pk=step_id).select_related("incident", "other").first()
        if step is None:
            raise Http404("There is no such step.")
        if step.kind not in TAKEN_BACK:
            raise Regrouped("This step cannot be taken back.")
        own = step.user_id is not None and step.user_id == actor_of(by).user_id
        reason = clean_reason(reason, "" if own else "Say why somebody else's step is taken back.")
        with seeing_all(by):
            moves = list(step.moves.order_by("report_id"))
            ends = {end for move in moves for end in (move.from_incident_id, move.to_incident_id)}
            caused = list(step.caused.filter(kind=TAKEN).order_by("pk"))
        concerned = {step.incident_id, step.other_id, *ends, *(each.incident_id for each in caused)} - {None}
        ground = _locked(by, {move.report_id: None for move in moves}, concerned, all_visible=False)
        compare(ground.incidents[step.incident_id], based_on)
        with seeing_all(by):
            undone = IncidentStep.objects.filter(undoes=step).exists()
        if undone:
            raise Regrouped("This was taken back already.")
        made = step.incident_id if step.kind == OPEN else step.other_id if step.kind == SPLIT else None
        _demand_unmoved(ground, moves, made)
        with seeing_all(by):
            gone = _undo(ground, step, moves, caused, made=made, reason=reason)
        shown = Incident.objects.visible_to(by).filter(pk__in=concerned).standing()
        return [pk for pk in shown.order_by("pk").values_list("pk", flat=True) if pk != gone]


def bereave(incident_ids: Iterable[int], *, by, reason: str) -> None:
    """Write down on incidents that reports of theirs are gone for good, after these were deleted. Call while acting.

    One that was nothing but its reports is gone with the last of them, as when the merge is taken back: nobody judged it,
    no party answered to it, none was merged into it. What a person found is not undone by a file: such an incident stays,
    says that none of its reports is left, and must be verified again. Incidents that ``by`` may not see are treated alike.
    """
    actor = actor_of(by)
    because(reason)
    with seeing_all(by):
        because(reason)
        for pk in sorted(incident_ids):
            incident = lock(Incident.objects.all(), pk)
            bare = not incident.reports.exists() and incident.merged_into_id is None
            if (
                bare
                and incident.judged_by_id is None
                and not (incident.absorbed.exists() or incident.responses.exists())
            ):
                incident.delete()
                continue
            before = _touch(incident)
            IncidentStep.objects.create(
                incident=incident, user_id=actor.user_id, kind=LOST, reason=clean_reason(reason), before=before
            )


def lock_report(report_id: int, *, by, based_on: int | None = None) -> Report:
    """Return a report that ``by`` may see, locked after the incident it is in. Raise Http404, VersionStale."""
    ground = _locked(by, {report_id: None})
    compare(ground.reports[report_id], based_on)
    return ground.reports[report_id]


def take_out(report: Report, *, by, reason: str = "") -> None:
    """Take a locked report (``lock_report``) out of an incident that ``by`` may not see: it is to count nowhere.

    Raise Regrouped when the incident may be seen: then it is split off on purpose.
    """
    if report.incident_id is None:
        return
    if Incident.objects.visible_to(by).filter(pk=report.incident_id).exists():
        raise Regrouped(f"V{report.pk} is part of I{report.incident_id}. Split it off first.")
    with seeing_all(by):
        incident = lock(Incident.objects.all(), report.incident_id)
        before = _touch(incident)
        step = IncidentStep.objects.create(
            incident=incident, user_id=actor_of(by).user_id, kind=TAKEN, before=before, reason=reason
        )
        _move(step, [report], to=None)


def clean_reason(reason: str, asked: str = "") -> str:
    """Return a reason as it is stored. Raise ValidationError when one is asked for and missing, or it does not fit."""
    reason = (reason or "").strip()
    if asked and not reason:
        raise ValidationError({"reason": asked})
    if len(reason) > LONGEST_REASON:
        raise ValidationError({"reason": f"At most {LONGEST_REASON} characters."})
    if not is_storable(reason):
        raise ValidationError({"reason": "This text holds characters that cannot be stored."})
    return reason


# --- Inside: what is locked and checked ---------------------------------------------------


def _some(reports: Versions) -> dict[int, int | None]:
    if not reports:
        raise ValidationError({"reports": "Name at least one report."})
    if len(reports) > MOST:
        raise ValidationError({"reports": f"At most {MOST} reports at once."})
    return dict(reports)


def _locked(by, reports: Versions, incidents: Iterable[int] = (), *, all_visible: bool = True) -> _Ground:
    """Lock incidents, those the reports are in, and the reports. What ``by`` named must be visible to them."""
    if all_visible:
        seen = set(Report.objects.visible_to(by).filter(pk__in=list(reports)).values_list("pk", flat=True))
        if seen != set(reports):
            raise Http404("There is no such report.")
    with seeing_all(by):
        places = dict(Report.objects.filter(pk__in=list(reports)).values_list("pk", "incident_id"))
        wanted = sorted({*incidents, *places.values()} - {None})
        locked = {pk: lock(Incident.objects.all(), pk) for pk in wanted}
        rows = {pk: lock(Report.objects.all(), pk, based_on=reports[pk]) for pk in sorted(reports)}
    for pk, report in rows.items():
        if report.incident_id != places.get(pk):
            raise Regrouped("Somebody put these reports together or apart at this moment. Look again.")
    return _Ground(actor=actor_of(by), incidents=locked, reports=rows, by=by)


def _demand_seen(by, *incident_ids: int) -> None:
    wanted = set(incident_ids)
    if Incident.objects.visible_to(by).filter(pk__in=wanted).count() != len(wanted):
        raise Http404("There is no such incident.")


def _standing(ground: _Ground, incident_id: int, based_on: int | None) -> Incident:
    incident = ground.seen(incident_id)
    if incident is None:  # its tier was raised while this waited for the lock
        raise Http404("There is no such incident.")
    if incident.merged_into_id is not None:
        raise NotStanding(f"I{incident.pk} was merged into another incident.")
    compare(incident, based_on)
    return incident


def _demand_free(ground: _Ground, reports: Iterable[int]) -> None:
    """Refuse reports that are in an incident the person may see, or that count nowhere."""
    for pk in sorted(reports):
        report = ground.reports[pk]
        if report.status in OUT:
            raise Regrouped(f"V{pk} is marked as {report.get_status_display().lower()}. Undo that first.")
        incident = ground.seen(report.incident_id)
        if incident is not None:
            raise Regrouped(f"V{pk} is part of I{incident.pk} already. Split it off there, or merge the incidents.")


def _demand_unmoved(ground: _Ground, moves: Sequence[ReportMove], made: int | None) -> None:
    """Refuse to take back what others have built upon, as far as the person may see it."""
    moved = {move.report_id for move in moves}
    for move in moves:
        report = ground.reports[move.report_id]
        if report.tier > ground.actor.tier:
            continue
        here = ground.seen(report.incident_id)
        put = ground.seen(move.to_incident_id)
        if (here and here.pk) != (put and put.pk) or report.status in OUT:
            raise Regrouped(f"V{report.pk} has moved on since. Take that back first.")
        origin = ground.seen(move.from_incident_id)
        if origin is not None and origin.merged_into_id not in (None, move.to_incident_id):
            raise Regrouped(f"I{origin.pk} was merged into another incident since. Take that back first.")
    if made is None or ground.seen(made) is None:
        return
    incident = ground.incidents[made]
    if incident.merged_into_id is not None:
        raise Regrouped(f"I{made} was merged into another incident since. Take that back first.")
    if incident.judged_by_id is not None:
        raise Regrouped(f"I{made} was judged since. Split reports off, or judge it again.")
    further = reports_of(incident, by=ground.by).exclude(pk__in=moved).first()
    if further is not None:
        raise Regrouped(f"V{further.pk} was merged into I{made} since. Take that back first.")
    absorbed = Incident.objects.visible_to(ground.by).filter(merged_into=made).first()
    if absorbed is not None:
        raise Regrouped(f"I{absorbed.pk} was merged into I{made} since. Take that back first.")


# --- Inside: what is written, seeing all --------------------------------------------------


def _touch(incident: Incident, *, tier: int | None = None) -> dict[str, Any]:
    """Note on an incident that its reports change: it must be verified again. Return what an undo puts back."""
    before = {
        "tiers": {},
        "verified_by": incident.verified_by_id,
        "verified_at": incident.verified_at.isoformat() if incident.verified_at else None,
        "judged_at": incident.judged_at.isoformat() if incident.judged_at else None,
    }
    incident.regrouped_at = timezone.now()
    incident.verified_by = incident.verified_at = None
    if tier is not None and tier != incident.tier:
        before["tiers"][incident.pk] = int(incident.tier)
        raised = tier > incident.tier
        incident.tier = tier
        if raised:
            before["tiers"] |= raise_tier(incident.absorbed.order_by("pk"), tier)
    incident.save(update_fields=["regrouped_at", "verified_by", "verified_at", "tier"])
    return before


def _note(ground: _Ground, incident: Incident, kind: str, **fields) -> IncidentStep:
    return IncidentStep.objects.create(incident=incident, user_id=ground.actor.user_id, kind=kind, **fields)


def _put(
    ground: _Ground,
    incident: Incident,
    reports: Sequence[Report],
    *,
    kind: str,
    reason: str,
    before: dict | None = None,
) -> None:
    """Put reports that stand alone for the person into an incident; out of hidden ones, with a note there."""
    step = _note(ground, incident, kind, reason=reason, before=before or {})
    hidden: dict[int, list[Report]] = {}
    for report in reports:
        if report.incident_id is not None:
            hidden.setdefault(report.incident_id, []).append(report)
    for pk, taken in sorted(hidden.items()):
        left = ground.incidents[pk]
        kept = _touch(left)
        noted = _note(ground, left, TAKEN, before=kept, caused_by=step)
        _move(noted, taken, to=None)
        if not left.reports.exists():  # all it was made of is here now
            left.merged_into = incident
            left.save(update_fields=["merged_into"])
    _move(step, reports, to=incident, tell=reason)


def _move(step: IncidentStep, reports: Iterable[Report], *, to: Incident | None, tell: str = "") -> None:
    reports = list(reports)
    ReportMove.objects.bulk_create(
        ReportMove(step=step, report=report, from_incident_id=report.incident_id, to_incident=to) for report in reports
    )
    # The reason stands in each report's history, so it must not speak of what some of its readers may not see.
    if tell and to is not None and all(to.tier <= report.tier for report in reports):
        because(tell)
    for report in reports:
        report.incident = to
        report.save(update_fields=["incident"])


def _undo(
    ground: _Ground,
    step: IncidentStep,
    moves: Sequence[ReportMove],
    caused: Sequence[IncidentStep],
    *,
    made: int | None,
    reason: str,
) -> int | None:
    """Put every report back and what else the step changed. Return the id of the incident that is gone by it."""
    back: dict[int | None, list[Report]] = {}
    for move in moves:
        report = ground.reports[move.report_id]
        if report.incident_id == move.to_incident_id or report.tier <= ground.actor.tier:
            back.setdefault(move.from_incident_id, []).append(report)
    incident = ground.incidents[step.incident_id]
    noted = _note(ground, incident, UNDO, reason=reason, undoes=step, other=step.other)
    for origin, reports in sorted(back.items(), key=lambda pair: pair[0] or 0):
        _move(noted, reports, to=ground.incidents[origin] if origin else None, tell=reason)
    if step.kind == ABSORB and step.other_id:
        other = ground.incidents[step.other_id]
        other.merged_into = None
        other.save(update_fields=["merged_into"])
    for taken in caused:
        _give_back(ground, taken, noted)
    _put_back(incident, step)
    return _forget(ground.incidents[made]) if made else None


def _give_back(ground: _Ground, taken: IncidentStep, noted: IncidentStep) -> None:
    """Undo what a step did to a hidden incident, as far as the reports still stand alone."""
    left = ground.incidents[taken.incident_id]
    if left.merged_into_id == noted.incident_id:
        left.merged_into = None
        left.save(update_fields=["merged_into"])
    if left.merged_into_id is not None:
        return
    ids = list(taken.moves.values_list("report_id", flat=True))
    reports = [ground.reports[pk] for pk in ids if pk in ground.reports and ground.reports[pk].incident_id is None]
    if reports:
        again = _note(ground, left, UNDO, undoes=taken, caused_by=noted)
        _move(again, reports, to=left)
    _put_back(left, taken)


def _put_back(incident: Incident, step: IncidentStep) -> None:
    """Restore tiers and verification where nothing else was done with them since."""
    before = step.before
    fields = ["regrouped_at"]
    incident.regrouped_at = timezone.now()
    later = IncidentStep.objects.filter(incident=incident, pk__gt=step.pk).exclude(kind=UNDO)
    untouched = not later.filter(undone_by=None).exists()
    judged_at = incident.judged_at.isoformat() if incident.judged_at else None
    if untouched and before.get("verified_by") and before.get("judged_at") == judged_at:
        incident.verified_by_id, incident.verified_at = before["verified_by"], before["verified_at"]
        fields += ["verified_by", "verified_at"]
    incident.save(update_fields=fields)
    for pk, tier in before.get("tiers", {}).items():
        lowered = Incident.objects.filter(pk=pk).first()
        if lowered is None or not untouched:
            continue
        strictest = max([tier, *lowered.reports.values_list("tier", flat=True)])
        if strictest < lowered.tier:
            lowered.tier = strictest
            lowered.save(update_fields=["tier"])


def _forget(made: Incident) -> int | None:
    """Delete an incident that a step made, now that nothing is in it; return its id.

    Where reports or incidents remain that the person may not see, it stays for those who may.
    """
    made.refresh_from_db()
    remaining = list(made.reports.values_list("tier", flat=True)) + list(made.absorbed.values_list("tier", flat=True))
    if not remaining:
        pk = made.pk
        made.delete()
        return pk
    raise_tier([made], max(remaining))
    return None


def _fresh(incident: Incident) -> Incident:
    incident.refresh_from_db()
    return incident
