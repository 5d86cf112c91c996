"""What a nation says about its pledge: logging it, changing it, confirming it, and replacing it by a new one.

Whoever writes, the same rules hold: forms, API and imports all hand a mapping of fields to these functions and get
ValidationError back with the names of the fields. Status is not among them: see ``pledges.ladder``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, models, transaction
from django.http import Http404
from django.utils import timezone

from coalition.access import Tier, acting_as, actor_of, because, can, demand
from coalition.editing import Refused, assign, check, compare, find, is_storable, lock, seeing_all
from coalition.models import Condition, Nation, Operation
from pledges import allocating, ladder
from pledges.models import Capability, Caveat, Pledge, PledgeCondition, Requirement

PLAIN = (
    "what",
    "stated_low",
    "stated_high",
    "quantity",
    "available_from",
    "available_until",
    "notice_days",
    "tier",
    "source",
    "source_url",
    "stated_on",
    "note",
    "dataset",
    "external_id",
    "illustrative",
)
LINKED = ("operation", "capability", "requirement")
MANY = ("conditions", "caveats")
CHANGEABLE = (*PLAIN, *LINKED, *MANY, "batch")
DECLARED = (*CHANGEABLE, "nation", "status")
# Who writes one of these may not verify the pledge, and a verified pledge must be verified again.
SUBSTANCE = (
    "operation",
    "capability",
    "what",
    "stated_low",
    "stated_high",
    "quantity",
    "available_from",
    "available_until",
    "notice_days",
    "conditions",
    "caveats",
)
INHERITED = (*[name for name in PLAIN if name not in ("source", "source_url", "stated_on", "dataset", "external_id")],)


class Closed(Refused):
    """The pledge has left the ladder or was superseded, so it is history."""

    code = "closed"


@dataclass(frozen=True)
class Confirmed:
    """Which pledges were confirmed, and why others were not: id to sentence. What is not there is "no such pledge"."""

    done: list[int] = field(default_factory=list)
    skipped: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Superseded:
    """The successor, and what became of the old pledge's allocations, as far as the one who asked may see them."""

    pledge: Pledge
    moved: allocating.Moved


def declare(draft: Mapping[str, Any], *, by) -> Pledge:
    """Log a new pledge and return it. An officer logs for their own nation only.

    ``draft`` holds the model's fields. Nation, operation and capability may be rows or codes (nation: alpha-2);
    requirement and conditions rows or ids; ``caveats`` a list of ``{"kind", "text"}``; ``status`` "offered" (the nation
    says it; the default) or "signalled" (it was said in public). Missing: operation is the current one, nation the
    officer's own, and with a planning quantity alone the stated one is the same.
    Raise PermissionDenied, ValidationError with field names.
    """
    with acting_as(by):
        demand(by, "log_pledge")
        return _declare(draft, by=by)


def declare_many(drafts: Sequence[Mapping[str, Any]], *, by) -> list[Pledge]:
    """Log many new pledges by the rules of ``declare``, all or none, in a few queries; return them with their ids.

    Drafts as for ``declare``, without caveats. Raise what ``declare`` raises, for the first draft that is wrong.
    """
    with acting_as(by):
        demand(by, "log_pledge")
        pledges, hanging = [], []
        found: dict[Any, dict[str, Any]] = {}  # hundreds of rows name the same few nations, capabilities, conditions
        for draft in drafts:
            named = {
                name: draft.get(name) for name in ("nation", "operation", "capability", "requirement", "conditions")
            }
            named["nation"] = named["nation"] or actor_of(by).nation
            key = tuple(tuple(value) if isinstance(value, list) else value for value in named.values())
            if key not in found:
                found[key] = _resolve(named, by=by)
            links = {**found[key], "batch": draft.get("batch")}
            pledges.append(_drafted(draft, links, hidden=[], by=by))
            hanging.append(links["conditions"])
        with _clash_is_a_sentence():
            ladder.enter(pledges, by=by)
        PledgeCondition.objects.bulk_create(
            PledgeCondition(pledge=pledge, condition=condition)
            for pledge, conditions in zip(pledges, hanging, strict=True)
            for condition in conditions
        )
        return pledges


def revise(pledge_id: int, changes: Mapping[str, Any], *, by, based_on: int | None) -> Pledge:
    """Change the named fields of a pledge and return it; fields as for ``declare``, without nation and status.

    ``conditions`` and ``caveats`` replace the whole set; what ``by`` may not see (conditions, the line it answers)
    stays. A changed substance sends a ready pledge back to committed. Raise Http404, PermissionDenied, VersionStale,
    Closed, ValidationError: among others when it would no longer carry its allocations, which are named.
    """
    with acting_as(by):
        pledge = lock(Pledge.objects.visible_to(by), pledge_id)
        demand(by, "edit_pledge", pledge)
        compare(pledge, based_on)
        _refuse_closed(pledge)
        unknown = sorted(set(changes) - set(CHANGEABLE))
        if unknown:
            raise ValidationError(dict.fromkeys(unknown, "This is not changed here."))
        before = _content(pledge)
        links = _resolve(changes, by=by, pledge=pledge)
        _fill(pledge, changes, links, hidden=_conditions_hidden(pledge, by=by), by=by)
        problems = allocating.conflicts(pledge, by=by)
        if problems:
            raise ValidationError(problems)
        if actor_of(by).nation == pledge.nation_id:
            pledge.last_confirmed_on = pledge.operation.today()
        _save(pledge)
        _set_conditions(pledge, links, by=by)
        caveats_changed = _set_caveats(pledge, links)
        after = _content(pledge)
        changed = [name for name in SUBSTANCE if before[name] != after[name]]
        if changed:
            ladder.amended(pledge, by=by, what=_account(changed))
        if caveats_changed:  # another set of caveats is another version of the pledge
            Pledge.objects.filter(pk=pledge.pk).update(changed_at=timezone.now())
        return _fresh(pledge)


def confirm(pledge_ids: Iterable[int], *, by, based_on: Mapping[int, int] | None = None) -> Confirmed:
    """Say that pledges are still true today; skip the ones ``by`` may not confirm, that are history, or that changed.

    ``based_on``: pledge id to the version the person was shown; ids not in it are not compared.
    """
    based_on = based_on or {}
    result = Confirmed()
    with acting_as(by, why="Confirmed as still true"):
        wanted = sorted(set(pledge_ids))
        possible = [pk for pk in wanted if 0 < pk < 2**63]
        visible = Pledge.objects.visible_to(by).filter(pk__in=possible)
        # Superseded ones are looked at, not locked: a changed successor writes to them, out of the order of ids.
        found = {pledge.pk: pledge for pledge in visible.exclude(superseded_by=None)}
        locked = visible.filter(superseded_by=None).order_by("pk").select_for_update(no_key=True, of=("self",))
        found |= {pledge.pk: pledge for pledge in locked}
        days = {
            plan.pk: plan.today() for plan in Operation.objects.filter(pk__in={p.operation_id for p in found.values()})
        }
        for pk in wanted:
            pledge = found.get(pk)
            if pledge is None:
                result.skipped[pk] = "There is no such pledge."
            elif not can(by, "confirm_pledge", pledge):
                result.skipped[pk] = f"P{pk}: you may not confirm it."
            elif _closed_because(pledge):
                result.skipped[pk] = _closed_because(pledge)
            elif based_on.get(pk, pledge.version) != pledge.version:
                result.skipped[pk] = f"P{pk} was changed since you saw it. Look again, then confirm."
            else:
                result.done.append(pk)
        for operation_id, today in days.items():
            confirmed = [pk for pk in result.done if found[pk].operation_id == operation_id]
            Pledge.objects.filter(pk__in=confirmed).update(last_confirmed_on=today)
    return result


def supersede(old_id: int, new: Mapping[str, Any] | int, *, by, based_on: int | None) -> Superseded:
    """Replace a pledge by a successor of the same nation and operation, and give it the allocations it can carry.

    ``new`` is the id of a pledge that stands already, or a draft as for ``declare``; what a draft leaves out (but not
    source, day and data set) is as in the old pledge. The successor climbs the ladder by itself. A successor with a
    stricter tier leaves the old pledge counting wherever it may not be seen.
    Raise Http404, PermissionDenied, VersionStale, Closed, ValidationError.
    """
    with acting_as(by):
        visible = Pledge.objects.visible_to(by)
        if isinstance(new, Mapping):
            old, successor = lock(visible, old_id), None
        else:
            rows = {pk: lock(visible, pk) for pk in sorted({old_id, new})}
            old, successor = rows[old_id], rows[new]
        demand(by, "supersede_pledge", old)
        compare(old, based_on)
        _refuse_closed(old)
        if successor is None:
            successor = _declare(_as_successor(old, new, by=by), by=by, hidden=_conditions_hidden(old, by=by))
        demand(by, "supersede_pledge", successor)
        _refuse_successor(old, successor)
        because(f"Superseded by P{successor.pk}")
        old.superseded_by = successor
        old.save(update_fields=["superseded_by"])
        old.refresh_from_db()
        moved = allocating.move(old, successor, by=by)
        return Superseded(pledge=_fresh(successor), moved=moved)


# --- Inside -------------------------------------------------------------------------------


def _closed_because(pledge: Pledge) -> str:
    if pledge.superseded_by_id is not None:
        return f"P{pledge.pk} was superseded by P{pledge.superseded_by_id}: change that one."
    if pledge.status not in Pledge.ON_LADDER:
        return f"P{pledge.pk} is {pledge.get_status_display().lower()}, so it is history and stays as it is."
    return ""


def _refuse_closed(pledge: Pledge) -> None:
    reason = _closed_because(pledge)
    if reason:
        raise Closed(reason)


def _declare(draft: Mapping[str, Any], *, by, hidden: list[Condition] | None = None) -> Pledge:
    """``hidden``: conditions of the pledge it succeeds that the person may not see; they stay."""
    hidden = hidden or []
    links = _resolve({"operation": None, "capability": None, "nation": actor_of(by).nation, **draft}, by=by)
    pledge = _drafted(draft, links, hidden=hidden, by=by)
    with _clash_is_a_sentence():
        ladder.enter([pledge], by=by)
    _set_conditions(pledge, {"conditions": [*links.get("conditions", []), *hidden]}, by=by)
    _set_caveats(pledge, links)
    return _fresh(pledge)


def _drafted(draft: Mapping[str, Any], links: Mapping[str, Any], *, hidden: list[Condition], by) -> Pledge:
    """The pledge of a draft, checked and with the status it enters with, but not saved."""
    unknown = sorted(set(draft) - set(DECLARED))
    if unknown:
        raise ValidationError(dict.fromkeys(unknown, "There is no such field."))
    pledge = Pledge(nation=links["nation"], created_by_id=actor_of(by).user_id)
    if not can(by, "log_pledge", pledge):
        raise PermissionDenied("You may log pledges of your own nation only.")
    plain = {name: value for name, value in draft.items() if name in CHANGEABLE}
    if not {"stated_low", "stated_high"} & set(draft):
        plain |= {"stated_low": draft.get("quantity"), "stated_high": draft.get("quantity")}
    pledge.status = draft.get("status") or Pledge.Status.OFFERED
    if pledge.status not in ladder.ENTRIES:
        raise ValidationError({"status": "A pledge is logged as offered, or as signalled when it was said in public."})
    _fill(pledge, plain, links, hidden=hidden, by=by)
    today = pledge.operation.today()
    pledge.last_confirmed_on = (pledge.stated_on or today) if pledge.status == Pledge.Status.SIGNALLED else today
    return pledge


def _resolve(values: Mapping[str, Any], *, by, pledge: Pledge | None = None) -> dict[str, Any]:
    """Rows for what was given as rows, codes or ids. Only what the person may see exists."""
    problems: dict[str, list[str]] = {}
    links: dict[str, Any] = {}

    def link(name: str, queryset: models.QuerySet, code: str) -> None:
        given = values[name]
        try:
            links[name] = find(given, queryset, code)
        except Http404:
            shown = f" {given!r}" if isinstance(given, str | int) and len(str(given)) <= 60 else ""
            problems[name] = [f"There is no {name}{shown}."]

    if "nation" in values:
        if values["nation"]:
            link("nation", Nation.objects.visible_to(by), "code")
        else:
            problems["nation"] = ["Say whose pledge it is."]
    if "operation" in values:
        if values["operation"] in (None, "") and pledge is None:
            links["operation"] = Operation.objects.filter(is_current=True).first()
            if links["operation"] is None:
                problems["operation"] = ["Say which operation: none is the current one."]
        else:
            link("operation", Operation.objects.visible_to(by), "code")
    if "capability" in values:
        if values["capability"] in (None, ""):
            problems["capability"] = ["Say which capability."]
        else:
            link("capability", Capability.objects.visible_to(by), "code")
    if "requirement" in values:
        links["requirement"] = None
        if values["requirement"] not in (None, ""):
            link("requirement", Requirement.objects.visible_to(by), "pk")
    if "batch" in values:
        links["batch"] = values["batch"]
    if "conditions" in values:
        try:
            links["conditions"] = _conditions(values["conditions"] or [], by=by)
        except (Http404, TypeError, ValueError):
            problems["conditions"] = ["One of the conditions is not known."]
    if "caveats" in values:
        try:
            links["caveats"] = _caveats(values["caveats"] or [])
        except ValidationError as error:
            problems["caveats"] = error.messages
    if problems:
        raise ValidationError(problems)
    return links


def _conditions(given: Iterable[Any], *, by) -> list[Condition]:
    """The conditions, each locked so that it cannot become stricter while a pledge is tied to it."""
    ids = [each.pk if isinstance(each, Condition) else each for each in given]
    if not all(str(pk).isascii() and str(pk).isdigit() for pk in ids):
        raise Http404
    visible = Condition.objects.visible_to(by)
    return [lock(visible, pk) for pk in sorted({int(pk) for pk in ids})]


def _caveats(given: Iterable[Any]) -> list[tuple[str, str]]:
    caveats = []
    for each in given:
        if not isinstance(each, Mapping) or set(each) - {"kind", "text"}:
            raise ValidationError("A caveat has a kind and a text.")
        caveat = Caveat(kind=each.get("kind") or Caveat.Kind.OTHER)
        assign(caveat, {"text": each.get("text")}, fields=["text"])
        try:
            caveat.clean_fields(exclude=["pledge"])
        except ValidationError as error:
            raise ValidationError([f"Caveat: {message}" for message in error.messages]) from error
        if not is_storable(caveat.text):
            raise ValidationError("A caveat holds characters that cannot be stored.")
        if (caveat.kind, caveat.text) not in caveats:
            caveats.append((caveat.kind, caveat.text))
    if len(caveats) > 50:
        raise ValidationError("At most 50 caveats.")
    return caveats


def _fill(pledge: Pledge, changes: Mapping[str, Any], links: Mapping[str, Any], *, hidden: list[Condition], by) -> None:
    """Set and check everything but the sets; the rules between fields are here. ``hidden``: conditions that stay."""
    assign(pledge, {name: value for name, value in changes.items() if name in PLAIN}, fields=PLAIN)
    line, line_is_hidden = _line(pledge, by=by)
    if "requirement" in links and not (line_is_hidden and links["requirement"] is None):
        line, line_is_hidden = links["requirement"], False
    for name in ("operation", "capability", "batch"):
        if name in links:
            setattr(pledge, name, links[name])
    pledge.requirement = line
    check(pledge, unique=False)
    problems: dict[str, list[str]] = {}
    if pledge.stated_low is not None and pledge.stated_high is not None and pledge.stated_high < pledge.stated_low:
        problems["stated_high"] = ["The stated high figure cannot be below the low one."]
    if pledge.stated_on and pledge.stated_on > pledge.operation.today():
        problems["stated_on"] = ["It cannot have been said after today."]
    if pledge.external_id and not pledge.dataset:
        problems["dataset"] = ["An id needs the data set it belongs to."]
    if line is not None:
        name = "The line it answers" if line_is_hidden else f"R{line.pk}"
        if line.operation_id != pledge.operation_id or line.capability_id != pledge.capability_id:
            problems["requirement"] = [f"{name} asks for another capability, or belongs to another operation."]
        elif line.tier > pledge.tier:
            problems["requirement"] = [
                f"{name} is for {line.get_tier_display()}; a pledge released further would give it away."
            ]
    conditions = links["conditions"] if "conditions" in links else _conditions_seen(pledge, by=by)
    said = _misfits(pledge, conditions, hidden)
    if said:
        problems["conditions"] = said
    if problems:
        raise ValidationError(problems)


def _line(pledge: Pledge, *, by) -> tuple[Requirement | None, bool]:
    """The line a stored pledge answers, and whether it is one that the person may not see."""
    if pledge.requirement_id is None:
        return None, False
    with seeing_all(by):
        line = Requirement.objects.get(pk=pledge.requirement_id)
    return line, line.tier > actor_of(by).tier


def _conditions_seen(pledge: Pledge, *, by) -> list[Condition]:
    return list(Condition.objects.visible_to(by).filter(pledges=pledge)) if pledge.pk else []


def _conditions_hidden(pledge: Pledge, *, by) -> list[Condition]:
    """The conditions a pledge hangs on that the person may not see: no change of theirs takes one away."""
    with seeing_all(by):
        return list(pledge.conditions.filter(tier__gt=actor_of(by).tier))


def _misfits(pledge: Pledge, seen: list[Condition], hidden: list[Condition]) -> list[str]:
    named = [(condition, f"“{condition.title}”") for condition in seen]
    said = []
    for condition, name in [*named, *((condition, "A condition you may not see") for condition in hidden)]:
        if condition.operation_id != pledge.operation_id:
            said.append(f"{name} belongs to another operation.")
        elif condition.tier > pledge.tier:
            said.append(
                f"{name} is for {Tier(condition.tier).label}, so a pledge that hangs on it cannot be released further "
                f"({Tier(pledge.tier).label})."
            )
    return said


def _save(pledge: Pledge) -> None:
    with _clash_is_a_sentence():
        # Status and what the database keeps are not ours to write.
        pledge.save(update_fields=[*PLAIN, *LINKED, "batch", "last_confirmed_on"])


@contextmanager
def _clash_is_a_sentence() -> Iterator[None]:
    """Turn a clash of external ids into a field's error; the other row may be one that the writer may not see."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as clash:
        if "external_id" not in str(clash):
            raise
        raise ValidationError({"external_id": "This id cannot be used in this data set."}) from clash


def _set_conditions(pledge: Pledge, links: Mapping[str, Any], *, by) -> None:
    if "conditions" not in links:
        return
    wanted = {condition.pk for condition in links["conditions"]}
    visible = Condition.objects.visible_to(by)
    present = set(
        PledgeCondition.objects.filter(pledge=pledge, condition__in=visible).values_list("condition_id", flat=True)
    )
    if present - wanted:
        PledgeCondition.objects.filter(pledge=pledge, condition_id__in=present - wanted).delete()
    PledgeCondition.objects.bulk_create(
        PledgeCondition(pledge=pledge, condition_id=pk) for pk in sorted(wanted - present)
    )


def _set_caveats(pledge: Pledge, links: Mapping[str, Any]) -> bool:
    if "caveats" not in links:
        return False
    wanted = links["caveats"]
    present = {(caveat.kind, caveat.text): caveat for caveat in pledge.caveats.all()}
    gone = [caveat.pk for key, caveat in present.items() if key not in wanted]
    if gone:
        Caveat.objects.filter(pk__in=gone).delete()
    new = [Caveat(pledge=pledge, kind=kind, text=text) for kind, text in wanted if (kind, text) not in present]
    Caveat.objects.bulk_create(new)
    return bool(gone or new)


def _content(pledge: Pledge) -> dict[str, Any]:
    """The substance as it stands in the database and in memory, for comparing."""
    content = {
        name: getattr(pledge, f"{name}_id" if name in LINKED else name) for name in SUBSTANCE if name not in MANY
    }
    content["conditions"] = sorted(pledge.condition_links.values_list("condition_id", flat=True))
    content["caveats"] = sorted(Caveat.objects.filter(pledge=pledge).values_list("kind", "text"))
    return content


def _account(changed: list[str]) -> str:
    """Name what was changed, without figures: those are in the history, under the tier they had then."""
    labels = [name if name in MANY else str(Pledge._meta.get_field(name).verbose_name) for name in changed]
    return f"Changed: {', '.join(labels)}"


def _as_successor(old: Pledge, new: Mapping[str, Any], *, by) -> dict[str, Any]:
    draft: dict[str, Any] = {name: getattr(old, name) for name in INHERITED}
    draft |= {"nation": old.nation, "operation": old.operation, "capability": old.capability, **new}
    if "requirement" not in new and old.requirement_id and draft["capability"] in (old.capability, old.capability.code):
        draft["requirement"] = Requirement.objects.visible_to(by).filter(pk=old.requirement_id).first()
    if "quantity" in new and not {"stated_low", "stated_high"} & set(new):
        draft |= {"stated_low": new["quantity"], "stated_high": new["quantity"]}
    if "conditions" not in new:
        draft["conditions"] = list(Condition.objects.visible_to(by).filter(pledges=old))
    if "caveats" not in new:
        draft["caveats"] = [{"kind": caveat.kind, "text": caveat.text} for caveat in old.caveats.all()]
    return draft


def _refuse_successor(old: Pledge, new: Pledge) -> None:
    under_way = (Pledge.Status.DEPLOYING, Pledge.Status.IN_PLACE)
    if new.pk == old.pk:
        raise ValidationError({"superseded_by": "A pledge does not supersede itself."})
    if new.nation_id != old.nation_id:
        raise ValidationError({"superseded_by": "The successor must be of the same nation."})
    if new.operation_id != old.operation_id:
        raise ValidationError({"superseded_by": "The successor must belong to the same operation."})
    _refuse_closed(new)
    if old.status in under_way and new.status not in under_way:
        raise ValidationError(
            {"superseded_by": f"P{old.pk} is {old.get_status_display().lower()}: change it, or end it."}
        )


def _fresh(pledge: Pledge) -> Pledge:
    """The pledge as the database now has it, version and feed columns included."""
    return Pledge.objects.select_related("nation", "operation", "capability", "requirement").get(pk=pledge.pk)
