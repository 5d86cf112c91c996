"""Did it happen, was it a violation, whose was it? Three questions, each with how sure and why; a second person verifies.

No machine answers any of them. Which provision covers what happened is asked of ``monitoring.provisions``; that it was
a violation is only ever said here.
"""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404
from django.utils import timezone

from coalition.access import acting_as, actor_of, because, demand
from coalition.editing import Refused, assign, check, lock
from monitoring.describing import NotStanding
from monitoring.merging import clean_reason
from monitoring.models import OUT, WAITING, Incident, IncidentStep, Occurrence, PartyResponse

JUDGE, VERIFY = "judge", "verify"
QUESTIONS = ("occurrence", "finding", "attribution")
JUDGED = (
    "occurrence",
    "occurrence_confidence",
    "occurrence_reasoning",
    "finding",
    "finding_confidence",
    "finding_reasoning",
    "attribution",
    "attributed_to",
    "attribution_confidence",
    "attribution_reasoning",
)
# What an incident can be judged to be; received and screened are where reports stand.
VERDICTS = [status for status in Occurrence if status not in (*OUT, Occurrence.RECEIVED, Occurrence.SCREENED)]
VERDICT_CHOICES = [(status.value, status.label) for status in VERDICTS]
NOT_ESTABLISHED = (Occurrence.REFUTED, Occurrence.UNSUBSTANTIATED, Occurrence.CANNOT_VERIFY)
SAID_OF = (Incident.Finding.VIOLATION, Incident.Finding.PERMITTED)  # findings on something that happened
SAID = ("party", "stance", "said_on", "text", "source_url")


class NotJudged(Refused):
    """There is no judgement yet that could be verified, or it is verified already."""

    code = "not_judged"


def judge(incident_id: int, judgement: Mapping[str, Any], *, by, based_on: int | None = None) -> Incident:
    """Answer the three questions on an incident and return it. What was verified must be verified again.

    ``judgement`` holds fields of ``JUDGED``; the rest stays. An answer needs its confidence and its reasoning; a
    question left empty has neither. Raise Http404, PermissionDenied, NotStanding, ValidationError, VersionStale.
    """
    with acting_as(by):
        demand(by, "judge_incident")
        incident = _lock(incident_id, by, based_on)
        before = {name: _plain(getattr(incident, name)) for name in JUDGED}
        assign(incident, judgement, fields=JUDGED)
        _demand_whole(incident)
        check(incident)
        if {name: _plain(getattr(incident, name)) for name in JUDGED} == before and incident.judged_at:
            raise ValidationError("Nothing was changed, so it stays as it was judged.")
        incident.judged_by_id = actor_of(by).user_id
        incident.judged_at = timezone.now()
        incident.verified_by = incident.verified_at = None
        incident.save()
        _note(incident, JUDGE, by, before=before)
        incident.refresh_from_db()
        return incident


def verify(incident_id: int, *, by, reason: str = "", based_on: int | None = None) -> Incident:
    """Confirm a judgement that somebody else wrote, and return the incident.

    Raise Http404, PermissionDenied (also for whoever judged it), NotStanding, NotJudged, ValidationError, VersionStale.
    """
    with acting_as(by):
        demand(by, "verify_incident")
        incident = _lock(incident_id, by, based_on)
        reason = clean_reason(reason, "Say what was checked, and how.")
        if incident.judged_at is None or incident.occurrence in WAITING:
            raise NotJudged(f"I{incident.pk} is not judged yet.")
        if incident.verified_at is not None:
            raise NotJudged(f"I{incident.pk} is verified already.")
        if not may_verify(incident, by):
            raise PermissionDenied("You judged this incident, so somebody else must verify it.")
        because(reason)
        incident.verified_by_id = actor_of(by).user_id
        incident.verified_at = timezone.now()
        incident.save(update_fields=["verified_by", "verified_at"])
        _note(incident, VERIFY, by, reason=reason)
        incident.refresh_from_db()
        return incident


def may_verify(incident: Incident, user) -> bool:
    """Return True for a person other than the one who judged it. Whether their role may is asked of ``access``."""
    user_id = actor_of(user).user_id
    return user_id is not None and user_id != incident.judged_by_id


def respond(incident_id: int, said: Mapping[str, Any], *, by) -> PartyResponse:
    """Write down what a party said when the incident was put to it (fields of ``SAID``), and return it.

    Raise Http404, PermissionDenied, NotStanding, ValidationError.
    """
    with acting_as(by):
        demand(by, "judge_incident")
        response = PartyResponse(incident=_lock(incident_id, by, None))
        assign(response, said, fields=SAID)
        check(response)
        response.save()
        response.refresh_from_db()
        return response


def forget_response(response_id: int, *, by, based_on: int | None = None) -> None:
    """Delete a response that was written down by mistake. Raise Http404, PermissionDenied, VersionStale."""
    with acting_as(by):
        demand(by, "judge_incident")
        lock(PartyResponse.objects.visible_to(by), response_id, based_on=based_on).delete()


# --- Inside -------------------------------------------------------------------------------


def _lock(incident_id: int, by, based_on: int | None) -> Incident:
    incident = lock(Incident.objects.visible_to(by), incident_id, based_on=based_on)
    if incident.merged_into_id is not None:
        target = Incident.objects.visible_to(by).filter(pk=incident.merged_into_id).first()
        if target is None:
            raise Http404("There is no such incident.")
        raise NotStanding(f"I{incident.pk} was merged into I{target.pk}.")
    return incident


def _demand_whole(incident: Incident) -> None:
    problems: dict[str, str] = {}
    if incident.occurrence not in VERDICTS:
        problems["occurrence"] = "Choose how far it is established."
    for question in QUESTIONS:
        answered = bool(getattr(incident, question))
        if question == "occurrence":
            answered = incident.occurrence not in WAITING
        confidence, reasoning = f"{question}_confidence", f"{question}_reasoning"
        if answered and not getattr(incident, confidence):
            problems[confidence] = "Say how sure this is."
        if answered and not getattr(incident, reasoning):
            problems[reasoning] = "Say what it rests on."
        if not answered and getattr(incident, confidence):
            problems[confidence] = "There is no answer this could be the confidence of."
    if incident.finding in SAID_OF and incident.occurrence in NOT_ESTABLISHED:
        said = incident.get_occurrence_display().lower()
        problems["finding"] = f"What is judged as {said} can be neither a violation nor a permitted act."
    if incident.attribution == Incident.Attribution.PARTY and incident.attributed_to_id is None:
        problems["attributed_to"] = "Say to which party it is attributed."
    if incident.attribution != Incident.Attribution.PARTY and incident.attributed_to_id is not None:
        problems["attributed_to"] = "Name the party only where it is attributed to a party."
    if problems:
        raise ValidationError(problems)


def _plain(value: Any) -> Any:
    return getattr(value, "pk", value)


def _note(incident: Incident, kind: str, by, **fields) -> None:
    IncidentStep.objects.create(incident=incident, user_id=actor_of(by).user_id, kind=kind, **fields)
