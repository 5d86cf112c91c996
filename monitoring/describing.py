"""What was it, where and when, going by its reports? What an incident is first written down as, and how that changes.

A suggestion is only where to begin: people write what the incident is. Places and times are always those of one of its
reports, or what all their times have in common, so that nothing stands there that nobody said.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError

from coalition.access import Tier, acting_as, actor_of, demand
from coalition.editing import Refused, assign, check, lock, seeing_all
from monitoring import placing
from monitoring.kinds import Kind
from monitoring.models import Incident, Place, Report, TimePrecision

PLACE = tuple(field.attname for field in Place._meta.get_fields())
TIME = ("occurred_from", "occurred_until", "occurred_on", "time_precision")
WRITTEN = ("title", "kind", "facility_class", "accused", "tier", "illustrative")
SUBSTANCE = {"kind", "facility_class", "accused", "place_of", "time_of"}  # what a verifier has looked at


class NotStanding(Refused):
    """The incident was merged into another one, or is not there to be changed."""

    code = "not_standing"


def suggest(reports: Sequence[Report]) -> dict[str, Any]:
    """Return the fields of an incident as its reports suggest them; at least one report is needed.

    Kind: what most say. Accused and facility class: where all who say one say the same. Time: what all spans have in
    common, else from the first to the last. Place: of the report that knows it most exactly, in the columns of every
    tier. Tier: that of the strictest report.
    """
    kinds = Counter(report.kind for report in reports if report.kind != Kind.NOT_STATED)
    kind = min(kinds, key=lambda one: (-kinds[one], list(Kind).index(one))) if kinds else Kind.NOT_STATED
    place = most_exact_place(reports)
    suggested = {
        "kind": str(kind),
        "facility_class": _agreed(report.facility_class for report in reports) or "",
        "accused_id": _agreed(report.accused_id for report in reports),
        "tier": max(report.tier for report in reports),
        "illustrative": any(report.illustrative for report in reports),
        **place_of(place or reports[0]),
        **time_of(reports),
    }
    suggested["title"] = title_of(suggested, named=place)
    return suggested


def most_exact_place(reports: Iterable[Report]) -> Report | None:
    """Return the report that knows best where it was, the better source first among equals; None where none knows."""
    placed = [report for report in reports if report.longitude is not None]
    return min(placed, key=lambda one: (one.place_precision_m, one.reliability, one.pk), default=None)


def place_of(report: Report) -> dict[str, Any]:
    """Return where a report says it was, in the columns of every tier."""
    return {name: getattr(report, name) for name in PLACE}


def time_of(reports: Sequence[Report]) -> dict[str, Any]:
    """Return what the spans of all reports have in common, else the whole from the first to the last."""
    narrowest = min(reports, key=lambda one: (one.occurred_until - one.occurred_from, one.reliability, one.pk))
    begins = max(report.occurred_from for report in reports)
    ends = min(report.occurred_until for report in reports)
    if begins > ends:
        begins = min(report.occurred_from for report in reports)
        ends = max(report.occurred_until for report in reports)
    is_one_account = (begins, ends) == (narrowest.occurred_from, narrowest.occurred_until)
    return {
        "occurred_from": begins,
        "occurred_until": ends,
        "occurred_on": narrowest.occurred_on,
        "time_precision": narrowest.time_precision if is_one_account else TimePrecision.SPAN.value,
    }


def title_of(fields: Mapping[str, Any], *, named: Report | None = None) -> str:
    """Return a title such as “Artillery fire, Pisky”. A sensitive place is not named."""
    name = fields["place_name"] if not fields["sensitive"] else ""
    return ", ".join(part for part in (Kind(fields["kind"]).label, name) if part)[:200]


def write(incident: Incident, draft: Mapping[str, Any], reports: Sequence[Report], *, by) -> None:
    """Set what a draft says on an incident that is not saved yet, and check it.

    ``draft`` may hold the fields of ``WRITTEN`` and ``place_of``, ``time_of``: ids of reports among ``reports`` whose
    place and time are taken. Raise ValidationError naming the field; a tier above ``by``'s own is refused.
    """
    draft = dict(draft)
    by_id = {report.pk: report for report in reports}
    for name, take in (("place_of", place_of), ("time_of", lambda report: time_of([report]))):
        wanted = draft.pop(name, None)
        if wanted is None:
            continue
        if wanted not in by_id:
            raise ValidationError({name: "Take it from one of the incident's reports."})
        for field, value in take(by_id[wanted]).items():
            setattr(incident, field, value)
    assign(incident, draft, fields=WRITTEN)
    if incident.tier not in set(Tier) or incident.tier > actor_of(by).tier:
        raise ValidationError({"tier": "Choose a release tier that you may see yourself."})
    check(incident)


def revise(incident_id: int, changes: Mapping[str, Any], *, by, based_on: int | None = None) -> Incident:
    """Change what an incident is written down as, and return it. Another kind, place or time must be verified again.

    ``changes`` as the draft of ``write``. Raise Http404, PermissionDenied, NotStanding, ValidationError, VersionStale.
    """
    with acting_as(by):
        demand(by, "judge_incident")
        incident = lock(Incident.objects.visible_to(by), incident_id, based_on=based_on)
        if incident.merged_into_id is not None:
            raise NotStanding(f"I{incident.pk} was merged into another incident: change that one.")
        tier = incident.tier
        write(incident, changes, Report.objects.visible_to(by).filter(incident=incident), by=by)
        if SUBSTANCE & set(changes):
            incident.verified_by = incident.verified_at = None
        incident.save()
        if incident.tier > tier:
            raise_tier(incident.absorbed.all(), incident.tier)
        incident.refresh_from_db()
        return incident


def keep_guarded(report: Report, *, by) -> None:
    """Make the incident of a report that was changed as strict as the report, and as coarse: it may have its place.

    Called by ``monitoring.filing`` in the transaction that saves the report, which was locked after its incident
    (``merging.lock_report``). A hidden incident is guarded alike.
    """
    if report.incident_id is None:
        return
    with seeing_all(by):
        incident = Incident.objects.get(pk=report.incident_id)
        if incident.tier < report.tier:
            raise_tier([incident], report.tier)
        if report.sensitive and not incident.sensitive:
            incident.sensitive = True
            placing.place(incident)
            incident.save()


def raise_tier(incidents: Iterable[Incident], tier: int) -> dict[int, int]:
    """Raise incidents, and what was merged into them, to a tier; return the tier of each before that changed.

    What was merged into a hidden incident must not stand there as a sign of it.
    """
    before: dict[int, int] = {}
    for incident in incidents:
        if incident.tier < tier:
            before[incident.pk] = int(incident.tier)
            incident.tier = tier
            incident.save(update_fields=["tier"])
        before |= raise_tier(incident.absorbed.order_by("pk"), tier)
    return before


def _agreed(said: Iterable[Any]) -> Any:
    """Return what all who say something say, else None."""
    values = {value for value in said if value}
    return values.pop() if len(values) == 1 else None
