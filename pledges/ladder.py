"""The commitment ladder: which steps a pledge may take, who takes them, and how the last one is undone.

The only writer of a pledge's status. The ladder is the table ``STEPS``; what is allowed on whose pledge is in
``coalition.access``. An open or failed condition forbids no step: it changes the level the pledge counts in, and
``warnings`` says so. Withdrawing a pledge leaves its allocations in place; they count for nothing until it is undone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from django.core.exceptions import PermissionDenied, ValidationError

from coalition.access import SYSTEM, Role, acting_as, actor_of, because, can, demand
from coalition.editing import Refused, compare, is_storable, lock
from coalition.models import Condition, Operation
from pledges import allocating
from pledges.models import Pledge, PledgeStep

Status = Pledge.Status
LONGEST_REASON = PledgeStep._meta.get_field("reason").max_length
LOG, AMEND, LAPSE, UNDO = "log", "amend", "lapse", "undo"  # kinds of PledgeStep that nobody picks from a menu
ENTRIES = (Status.OFFERED, Status.SIGNALLED)


class WrongStep(Refused):
    """The pledge cannot take this step from where it stands."""

    code = "wrong_step"


@dataclass(frozen=True)
class Step:
    """One step of the ladder. ``action`` is looked up in ``access.RULES``; ``reason`` asks for one where it is needed.

    ``confirms``: whoever takes it says that the pledge is true today. ``done`` is the step in the past, for history.
    """

    name: str
    label: str
    done: str
    origins: tuple[str, ...]
    to: str
    action: str
    reason: str = ""
    confirms: bool = False
    four_eyes: bool = False

    @property
    def needs_reason(self) -> bool:
        return bool(self.reason)

    @property
    def is_exit(self) -> bool:
        """True when the pledge leaves the ladder by it."""
        return self.to not in Pledge.ON_LADDER


STEPS: dict[str, Step] = {
    step.name: step
    for step in (
        Step("offer", "Offer", "offered", (Status.SIGNALLED,), Status.OFFERED, "offer_pledge", confirms=True),
        Step("commit", "Commit", "committed", (Status.OFFERED,), Status.COMMITTED, "commit_pledge", confirms=True),
        Step(
            "verify",
            "Verify as ready",
            "verified as ready",
            (Status.COMMITTED,),
            Status.READY,
            "verify_pledge",
            reason="Say what was checked, and with whom.",
            four_eyes=True,
        ),
        Step(
            "deploy",
            "Order to deploy",
            "ordered to deploy",
            (Status.READY,),
            Status.DEPLOYING,
            "deploy_pledge",
            confirms=True,
        ),
        Step("arrive", "In place", "arrived", (Status.DEPLOYING,), Status.IN_PLACE, "arrive_pledge", confirms=True),
        Step("end", "End", "ended", (Status.IN_PLACE,), Status.ENDED, "end_pledge"),
        Step(
            "withdraw",
            "Withdraw",
            "withdrawn",
            tuple(Pledge.ON_LADDER),
            Status.WITHDRAWN,
            "withdraw_pledge",
            reason="Say why the pledge is taken back.",
        ),
    )
}
DONE = {
    **{step.name: step.done for step in STEPS.values()},
    LOG: "logged",
    AMEND: "changed",
    LAPSE: "lapsed",
    UNDO: "undone",
}


# --- What may be done ---------------------------------------------------------------------


def next_steps(pledge: Pledge, user) -> list[Step]:
    """Return the steps this person may take now, in ladder order; empty once it has left the ladder.

    For a list of pledges prefetch ``steps``: four eyes look at who took them.
    """
    return [
        step
        for step in STEPS.values()
        if pledge.status in step.origins
        and not _superseded_for(pledge, step)
        and can(user, step.action, pledge)
        and not (step.four_eyes and actor_of(user).user_id in writers(pledge))
    ]


def writers(pledge: Pledge) -> set[int]:
    """Return the ids of those who wrote the pledge: logged it, changed its substance, or took its commit step.

    None of them may verify it. A commit that was undone does not count.
    """
    steps = list(pledge.steps.all())
    undone = {step.undoes_id for step in steps if step.undoes_id}
    wrote = {
        step.user_id for step in steps if step.kind in (LOG, AMEND) or (step.kind == "commit" and step.pk not in undone)
    }
    return (wrote | {pledge.created_by_id}) - {None}


def warnings(pledge: Pledge, user) -> list[str]:
    """Return what its conditions say against its next step; they forbid none. Only conditions the user may see."""
    said = []
    for condition in Condition.objects.visible_to(user).filter(pledge_links__pledge=pledge).order_by("title"):
        if condition.state == Condition.State.FAILED:
            said.append(f"Blocked: “{condition.title}” failed. Until that changes it counts in no level.")
        elif condition.state == Condition.State.OPEN:
            said.append(f"“{condition.title}” is still open, so it counts as conditional once it is committed.")
    return said


def last_move(pledge: Pledge) -> PledgeStep | None:
    """Return the last step that moved the pledge and was not undone, or None when it stands as it was logged."""
    steps = sorted(pledge.steps.all(), key=lambda step: step.pk, reverse=True)
    undone = {step.undoes_id for step in steps if step.undoes_id}
    for step in steps:
        if step.kind != UNDO and step.pk not in undone and step.from_status != step.to_status:
            return step if step.kind != LOG else None
    return None


def undoable(pledge: Pledge, user) -> PledgeStep | None:
    """Return the step this person could undo now, or None. Whether its allocations still fit is found out by trying."""
    step = last_move(pledge)
    if step is None or step.kind == AMEND or pledge.superseded_by_id is not None:
        return None
    return step if can(user, "undo_pledge", pledge) and _took_or_plans(step, user) else None


# --- Steps --------------------------------------------------------------------------------


def enter(pledges: Sequence[Pledge], *, by) -> None:
    """Insert new pledges at the foot of the ladder, offered or signalled, each with the first row of its history."""
    if any(pledge.status not in ENTRIES for pledge in pledges):
        raise ValidationError(
            {"status": "A pledge is logged as offered, or as signalled when it was only said in public."}
        )
    user_id = actor_of(by).user_id
    Pledge.objects.bulk_create(pledges)
    PledgeStep.objects.bulk_create(
        PledgeStep(pledge=pledge, user_id=user_id, kind=LOG, to_status=pledge.status) for pledge in pledges
    )


def take(pledge_id: int, step_name: str, *, by, reason: str = "", based_on: int | None = None) -> Pledge:
    """Move a pledge one step and return it as it then stands.

    Raise Http404 when ``by`` may not see it, PermissionDenied (also for want of four eyes), WrongStep, ValidationError
    on ``reason`` when one is missing, VersionStale. ``based_on=None`` compares no version.
    """
    step = STEPS.get(step_name)
    if step is None:
        raise WrongStep(f"There is no step of that name. The ladder knows {', '.join(STEPS)}.")
    with acting_as(by):
        pledge = lock(Pledge.objects.visible_to(by), pledge_id)
        demand(by, step.action, pledge)
        compare(pledge, based_on)
        if pledge.status not in step.origins:
            raise WrongStep(
                f"P{pledge.pk} is {pledge.get_status_display().lower()}; “{step.label}” starts from "
                f"{_either(step.origins)}."
            )
        if _superseded_for(pledge, step):
            raise WrongStep(f"P{pledge.pk} was superseded by P{pledge.superseded_by_id}: move that one.")
        if step.four_eyes and actor_of(by).user_id in writers(pledge):
            raise PermissionDenied("You wrote this pledge or committed it, so somebody else must verify it.")
        reason = _clean_reason(reason, step.reason)
        origin, before = pledge.status, _state(pledge)
        pledge.status = step.to
        today = pledge.operation.today()
        if step.to == Status.DEPLOYING:
            pledge.ordered_on = today
        if step.confirms:
            pledge.last_confirmed_on = today
        if reason:
            because(reason)
        pledge.save(update_fields=["status", "ordered_on", "last_confirmed_on"])
        _write(pledge, kind=step.name, origin=origin, by=by, reason=reason, before=before)
        pledge.refresh_from_db()
        return pledge


def undo(pledge_id: int, *, by, reason: str = "", based_on: int | None = None) -> Pledge:
    """Take back the last step: its status, order day and confirmation stand as before it. Return the pledge.

    By whoever took the step, or a planner; undoing somebody else's step needs a reason. Raise WrongStep, naming why,
    when nothing is left to undo, the pledge was superseded or changed since, or its allocations no longer fit.
    """
    with acting_as(by):
        pledge = lock(Pledge.objects.visible_to(by), pledge_id)
        demand(by, "undo_pledge", pledge)
        compare(pledge, based_on)
        step = last_move(pledge)
        if pledge.superseded_by_id is not None:
            raise WrongStep(f"P{pledge.pk} was superseded by P{pledge.superseded_by_id} since.")
        if step is None:
            raise WrongStep(f"P{pledge.pk} stands as it was logged. Withdraw it, if it should not be there.")
        if step.kind == AMEND:
            raise WrongStep(f"P{pledge.pk} was changed after it was verified, so it must be verified again.")
        if not _took_or_plans(step, by):
            raise PermissionDenied("Only whoever took the step, or a planner, may undo it.")
        own = step.user_id is not None and step.user_id == actor_of(by).user_id
        reason = _clean_reason(reason, "" if own else "Say why somebody else's step is undone.")
        origin = pledge.status
        pledge.status = step.before["status"]
        pledge.ordered_on = _day(step.before["ordered_on"])
        if step.kind in STEPS and STEPS[step.kind].confirms and not _confirmed_since(pledge, step):
            pledge.last_confirmed_on = _day(step.before["last_confirmed_on"])
        if origin not in Pledge.ON_LADDER:
            in_the_way = allocating.conflicts(pledge, by=by)
            if in_the_way:
                raise WrongStep(f"P{pledge.pk} cannot come back as it was. " + " ".join(in_the_way.values()))
        if reason:
            because(reason)
        pledge.save(update_fields=["status", "ordered_on", "last_confirmed_on"])
        _write(pledge, kind=UNDO, origin=origin, by=by, reason=reason, undoes=step)
        pledge.refresh_from_db()
        return pledge


def amended(pledge: Pledge, *, by, what: str) -> None:
    """Note that the substance of a locked pledge was changed; a ready one must be verified again, so it is committed.

    Called by ``pledges.declaring`` in the transaction that saves the change; ``what`` is a sentence for the history.
    """
    origin, before = pledge.status, _state(pledge)
    if pledge.status == Status.READY:
        pledge.status = Status.COMMITTED
        pledge.save(update_fields=["status"])
    _write(pledge, kind=AMEND, origin=origin, by=by, reason=what[:LONGEST_REASON], before=before)


def lapse(today: date | None = None, *, operation: Operation | None = None) -> list[int]:
    """Let every pledge lapse whose window ended before it was ordered to deploy; return their ids. For the daily beat.

    ``today`` is by default each operation's own day; the last day of a window still counts.
    """
    lapsed: list[int] = []
    with acting_as(SYSTEM, why="The window ended before deployment."):
        operations = Operation.objects.filter(pk=operation.pk) if operation else Operation.objects.all()
        for plan in operations.order_by("pk"):
            waiting = Pledge.objects.filter(
                operation=plan,
                status__in=(Status.SIGNALLED, Status.OFFERED, Status.COMMITTED, Status.READY),
                available_until__lt=today or plan.today(),
                superseded_by=None,
            ).order_by("pk")
            for pledge in waiting.select_for_update(no_key=True):
                origin, before = pledge.status, _state(pledge)
                pledge.status = Status.LAPSED
                pledge.save(update_fields=["status"])
                reason = f"Its window ended on {pledge.available_until}."
                _write(pledge, kind=LAPSE, origin=origin, by=SYSTEM, reason=reason, before=before)
                lapsed.append(pledge.pk)
    return lapsed


# --- Inside -------------------------------------------------------------------------------


def _superseded_for(pledge: Pledge, step: Step) -> bool:
    """A superseded pledge stands still, but where its successor is hidden it still counts, and may be taken out."""
    if pledge.superseded_by_id is None:
        return False
    still_counts_somewhere = pledge.superseded_tier is not None and pledge.superseded_tier > pledge.tier
    return not (still_counts_somewhere and step.is_exit)


def _took_or_plans(step: PledgeStep, user) -> bool:
    actor = actor_of(user)
    return actor.role in (Role.PLANNER, Role.ADMINISTRATOR) or (
        step.user_id is not None and step.user_id == actor.user_id
    )


def _confirmed_since(pledge: Pledge, step: PledgeStep) -> bool:
    """A later confirmation outlives the step's own."""
    return pledge.last_confirmed_on != pledge.operation.day_of(step.moved_at)


def _clean_reason(reason: str, asked: str) -> str:
    reason = (reason or "").strip()
    if asked and not reason:
        raise ValidationError({"reason": asked})
    if len(reason) > LONGEST_REASON:
        raise ValidationError({"reason": f"At most {LONGEST_REASON} characters."})
    if not is_storable(reason):
        raise ValidationError({"reason": "This text holds characters that cannot be stored."})
    return reason


def _state(pledge: Pledge) -> dict:
    return {
        "status": str(pledge.status),
        "ordered_on": pledge.ordered_on.isoformat() if pledge.ordered_on else None,
        "last_confirmed_on": pledge.last_confirmed_on.isoformat() if pledge.last_confirmed_on else None,
    }


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _either(statuses: tuple[str, ...]) -> str:
    return " or ".join(Status(status).label.lower() for status in statuses)


def _write(
    pledge: Pledge,
    *,
    kind: str,
    origin: str,
    by,
    reason: str = "",
    before: dict | None = None,
    undoes: PledgeStep | None = None,
) -> None:
    PledgeStep.objects.create(
        pledge=pledge,
        user_id=actor_of(by).user_id,
        kind=kind,
        from_status=origin,
        to_status=pledge.status,
        reason=reason,
        before=before or {},
        undoes=undoes,
    )
