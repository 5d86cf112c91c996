"""What was agreed, and when it holds in whose view: agreements, their provisions and the parties' terms, kept by planners.

A release clause, an extension or an exception is applied by a person, by ending a term or adding one, with the reason.
Nothing here decides what was covered: every change leaves a mark, and ``monitoring.coverage`` works it out anew.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.http import Http404

from coalition.access import acting_as, because, demand
from coalition.bookkeeping import Record
from coalition.editing import Refused, assign, check, find, lock
from coalition.models import Sector
from monitoring.models import Agreement, Party, Provision, ProvisionTerm

AGREEMENT = ("code", "name", "signed_on", "text", "source_url", "tier", "illustrative")
PROVISION = ("article", "kind", "text", "act_kinds", "facility_classes", "zones", "binds")
TERM = ("begins_at", "ends_at", "reason", "source_url")
LISTS = ("act_kinds", "facility_classes", "zones", "binds")
KEPT = {Agreement: AGREEMENT, Provision: PROVISION, ProvisionTerm: TERM}


FIRST, LAST = datetime(1990, 1, 1, tzinfo=UTC), datetime(2101, 1, 1, tzinfo=UTC)  # outside is a slip of the hand
TAKEN = {"new"}  # what an agreement's address may not be


class NothingToTakeBack(Refused):
    """It was never changed."""

    code = "nothing_to_take_back"


# --- Agreements ---------------------------------------------------------------------------


def agree(draft: Mapping[str, Any], *, by) -> Agreement:
    """Write an agreement down and return it; planners only. Raise PermissionDenied, ValidationError with field names."""
    with acting_as(by):
        demand(by, "keep_agreements")
        agreement = Agreement()
        assign(agreement, draft, fields=AGREEMENT)
        return _saved(agreement)


def revise_agreement(agreement_id: int, changes: Mapping[str, Any], *, by, based_on: int | None) -> Agreement:
    """Change the named fields of an agreement. Raise Http404, PermissionDenied, VersionStale, ValidationError."""
    with acting_as(by):
        demand(by, "keep_agreements")
        agreement = lock(Agreement.objects.visible_to(by), agreement_id, based_on=based_on)
        assign(agreement, changes, fields=AGREEMENT)
        return _saved(agreement)


def delete_agreement(agreement_id: int, *, by, based_on: int | None) -> None:
    """Delete an agreement with its provisions and terms. Raise Http404, PermissionDenied, VersionStale."""
    with acting_as(by):
        demand(by, "keep_agreements")
        lock(Agreement.objects.visible_to(by), agreement_id, based_on=based_on).delete()


# --- Provisions ---------------------------------------------------------------------------


def provide(agreement_id: int, draft: Mapping[str, Any], *, by) -> Provision:
    """Add a provision and return it; planners only.

    Empty lists name nothing, which holds for all: ``act_kinds``, ``facility_classes``, ``zones`` and ``binds`` (codes of
    areas and parties). Raise Http404, PermissionDenied, ValidationError with field names.
    """
    with acting_as(by):
        demand(by, "keep_agreements")
        agreement = lock(Agreement.objects.visible_to(by), agreement_id)
        provision = Provision(agreement=agreement)
        _fill(provision, draft)
        return _saved(provision)


def revise_provision(provision_id: int, changes: Mapping[str, Any], *, by, based_on: int | None) -> Provision:
    """Change the named fields of a provision. Raise Http404, PermissionDenied, VersionStale, ValidationError."""
    with acting_as(by):
        demand(by, "keep_agreements")
        provision = lock(Provision.objects.visible_to(by), provision_id, based_on=based_on)
        _fill(provision, changes)
        return _saved(provision)


def delete_provision(provision_id: int, *, by, based_on: int | None) -> None:
    """Delete a provision with its terms. Raise Http404, PermissionDenied, VersionStale."""
    with acting_as(by):
        demand(by, "keep_agreements")
        lock(Provision.objects.visible_to(by), provision_id, based_on=based_on).delete()


def _fill(provision: Provision, changes: Mapping[str, Any]) -> None:
    changes = {name: list(value or ()) if name in LISTS else value for name, value in changes.items()}
    assign(provision, changes, fields=PROVISION)
    problems = {}
    for name, model in (("zones", Sector), ("binds", Party)):
        if name in changes:
            known = set(
                model.objects.filter(code__in=[str(code) for code in changes[name]]).values_list("code", flat=True)
            )
            unknown = [str(code)[:60] for code in changes[name] if code not in known]
            if unknown:
                problems[name] = f"There is no {model._meta.verbose_name} {', '.join(unknown)}."
    if problems:
        raise ValidationError(problems)


# --- Terms --------------------------------------------------------------------------------


def date_from(provision_id: int, draft: Mapping[str, Any], *, by) -> ProvisionTerm:
    """Add a party's own view of when a provision began and ended; planners only.

    ``party`` is a row, a code or an id. Raise Http404, PermissionDenied, ValidationError: among others when it overlaps
    another term of the same party.
    """
    with acting_as(by):
        demand(by, "keep_agreements")
        provision = lock(Provision.objects.visible_to(by), provision_id)
        draft = dict(draft)
        term = ProvisionTerm(provision=provision)
        try:
            term.party = find(draft.pop("party", None), Party.objects.visible_to(by), "code")
        except Http404 as unknown:
            raise ValidationError({"party": "There is no such party."}) from unknown
        assign(term, draft, fields=TERM)
        return _saved_term(term)


def revise_term(term_id: int, changes: Mapping[str, Any], *, by, based_on: int | None, why: str = "") -> ProvisionTerm:
    """Change the named fields of a term. Raise Http404, PermissionDenied, VersionStale, ValidationError."""
    with acting_as(by):
        demand(by, "keep_agreements")
        term = _locked_term(term_id, by=by, based_on=based_on)
        assign(term, changes, fields=TERM)
        if why:
            because(why)
        return _saved_term(term)


def end_term(term_id: int, ends_at: datetime, *, because_of: str, by, based_on: int | None) -> ProvisionTerm:
    """End a party's term at an instant: how a person applies a release clause. The reason is kept with it.

    Raise Http404, PermissionDenied, VersionStale, ValidationError.
    """
    if not because_of.strip():
        raise ValidationError({"reason": "Say why it ended then, in this party’s view."})
    changes = {"ends_at": ends_at, "reason": because_of}
    return revise_term(term_id, changes, by=by, based_on=based_on, why=because_of)


def delete_term(term_id: int, *, by, based_on: int | None) -> None:
    """Delete a term: this party dates it no longer. Raise Http404, PermissionDenied, VersionStale."""
    with acting_as(by):
        demand(by, "keep_agreements")
        _locked_term(term_id, by=by, based_on=based_on).delete()


def _locked_term(term_id: int, *, by, based_on: int | None) -> ProvisionTerm:
    """The provision first, so that two who write terms of it wait for each other."""
    provision = ProvisionTerm.objects.visible_to(by).filter(pk=term_id).values_list("provision", flat=True).first()
    lock(Provision.objects.visible_to(by), provision)
    return lock(ProvisionTerm.objects.visible_to(by), term_id, based_on=based_on)


def _saved_term(term: ProvisionTerm) -> ProvisionTerm:
    check(term)
    for name in ("begins_at", "ends_at"):
        if (instant := getattr(term, name)) and not FIRST <= instant < LAST:
            raise ValidationError({name: f"A term lies between {FIRST.year} and {LAST.year - 1}."})
    for other in ProvisionTerm.objects.filter(provision=term.provision_id, party=term.party_id).exclude(pk=term.pk):
        starts_before_end = other.ends_at is None or term.begins_at < other.ends_at
        ends_after_start = term.ends_at is None or term.ends_at > other.begins_at
        if starts_before_end and ends_after_start:
            raise ValidationError({"begins_at": "It overlaps another term of the same party. End that one first."})
    term.save()
    term.refresh_from_db()
    return term


# --- All three ------------------------------------------------------------------------------


def take_back(thing: Agreement | Provision | ProvisionTerm, *, by, based_on: int | None) -> Record:
    """Put back what stood before the last change of a row, and return it.

    Raise Http404, PermissionDenied, VersionStale, NothingToTakeBack, ValidationError where it cannot stand any more.
    """
    model = type(thing)
    with acting_as(by):
        demand(by, "keep_agreements")
        if model is ProvisionTerm:
            row = _locked_term(thing.pk, by=by, based_on=based_on)
        else:
            row = lock(model.objects.visible_to(by), thing.pk, based_on=based_on)
        for event in model.pgh_event_model.objects.filter(pgh_obj_id=row.pk).order_by("-pgh_id"):
            before = {name: getattr(event, name) for name in KEPT[model]}
            if any(getattr(row, name) != value for name, value in before.items()):
                break
        else:
            raise NothingToTakeBack("It stands as it was written: there is no change to take back.")
        because("Took back the last change")
        if model is Provision:
            _fill(row, before)
        else:
            assign(row, before, fields=KEPT[model])
        return _saved_term(row) if model is ProvisionTerm else _saved(row)


def _saved(row: Any) -> Any:
    check(row)
    if isinstance(row, Agreement) and row.code in TAKEN:
        raise ValidationError({"code": "This code is an address of its own. Choose another one."})
    row.save()
    row.refresh_from_db()
    return row
