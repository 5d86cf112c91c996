"""Who may do what, and who is acting: one table, asked by the pages, the API, the admin and the tasks.

A role can do what its row lists, on things of its own nation, unless the entry ends in ``:any``. What a person may
*see* is a queryset's job (``visible_to``); row-level security in the database is the second net below it, told by
``acting_as``.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from django.core.exceptions import PermissionDenied
from django.db import connection, transaction
from django.db.models import IntegerChoices, Model, Q, TextChoices
from rest_framework.permissions import SAFE_METHODS, BasePermission


class Tier(IntegerChoices):
    """How far a thing may be passed on; a higher tier is stricter."""

    PUBLIC = 1, "public"
    COALITION = 2, "coalition"
    PLANNING = 3, "planning"


class Role(TextChoices):
    OFFICER = "officer", "Staff officer"
    MONITOR = "monitor", "Monitor"
    ANALYST = "analyst", "Analyst"
    PLANNER = "planner", "Planner"
    ADMINISTRATOR = "administrator", "Administrator"


SEE = {"see:any"}
LOG = SEE | {
    "log_pledge",
    "edit_pledge",
    "confirm_pledge",
    "offer_pledge",
    "commit_pledge",
    "deploy_pledge",
    "arrive_pledge",
    "end_pledge",
    "withdraw_pledge",
    "undo_pledge",
    "supersede_pledge",
    "import_pledges",
}
MONITOR = SEE | {
    "file_report:any",
    "edit_report:any",
    "import_reports:any",
    "screen_report:any",
    "merge_reports:any",
    "judge_incident:any",
    "verify_incident:any",
}
PLAN = (
    MONITOR
    | {f"{action}:any" for action in LOG - SEE}
    | {
        "see_planning:any",
        "verify_pledge:any",
        "allocate:any",
        "keep_requirements:any",
        "keep_capabilities:any",
        "keep_conditions:any",
        "keep_nations:any",
        "keep_operations:any",
        "keep_sectors:any",
        "keep_sources:any",
        "keep_agreements:any",
        "keep_webhooks:any",
    }
)
RULES: dict[str, set[str]] = {
    Role.OFFICER: LOG,
    Role.MONITOR: MONITOR,
    Role.ANALYST: SEE,
    Role.PLANNER: PLAN,
    Role.ADMINISTRATOR: PLAN | {"administer:any", "invite:any"},
}
HIGHEST_TIER = {
    Role.OFFICER: Tier.COALITION,
    Role.MONITOR: Tier.COALITION,
    Role.ANALYST: Tier.COALITION,
    Role.PLANNER: Tier.PLANNING,
    Role.ADMINISTRATOR: Tier.PLANNING,
}


@dataclass(frozen=True)
class Actor:
    """Who is acting. ``tier`` 0 sees nothing; ``nation`` is an alpha-2 code or empty."""

    user_id: int | None
    name: str
    role: str
    nation: str
    tier: int


NOBODY = Actor(user_id=None, name="", role="", nation="", tier=0)
SYSTEM = Actor(user_id=None, name="system", role="system", nation="", tier=Tier.PLANNING)

_acting: ContextVar[Actor] = ContextVar("acting", default=NOBODY)
_why: ContextVar[str] = ContextVar("why", default="")


def actor_of(user) -> Actor:
    """Return who a user acts as. Strangers, the inactive and people without a membership are nobody.

    Who was made on the server with ``createsuperuser`` is an administrator: somebody must let the first people in.
    """
    if isinstance(user, Actor):
        return user
    if user is None or not user.is_active:
        return NOBODY
    membership = getattr(user, "membership", None)
    if membership is None and not user.is_superuser:
        return NOBODY
    role = membership.role if membership else Role.ADMINISTRATOR
    return Actor(
        user_id=user.pk,
        name=user.get_username(),
        role=role,
        nation=(membership.nation_id or "") if membership else "",
        tier=HIGHEST_TIER[role],
    )


def can(user, action: str, thing: Model | None = None) -> bool:
    """Return True if the user may do the action, on this thing (with a ``nation_id``) when one is given."""
    actor = actor_of(user)
    rules = RULES.get(actor.role, set())
    if f"{action}:any" in rules:
        return True
    return action in rules and (thing is None or getattr(thing, "nation_id", None) == actor.nation)


def demand(user, action: str, thing: Model | None = None) -> None:
    """Raise PermissionDenied (a 403 in pages and API) unless the user may do the action."""
    if not can(user, action, thing):
        raise PermissionDenied(f"You may not {action.replace('_', ' ')}.")


def seen_by(user, *, tier: str = "tier", nation: str | None = "nation") -> Q:
    """Return the filter for rows with a tier: up to the user's highest, and all of their own nation.

    ``tier`` and ``nation`` are lookups from the filtered model; ``nation=None`` where rows belong to no nation.
    """
    actor = actor_of(user)
    seen = Q(**{f"{tier}__lte": actor.tier})
    if nation and actor.nation:
        seen |= Q(**{nation: actor.nation})
    return seen


@contextmanager
def acting_as(user, why: str = "") -> Iterator[Actor]:
    """Open a transaction in which the database knows who acts, and why: row policies and history read it there.

    May be nested: the inner one puts the outer one back. Without it policies show nothing and refuse every write.
    """
    actor = actor_of(user)
    before, reason_before = _acting.get(), _why.get()
    nested = connection.in_atomic_block
    try:
        with transaction.atomic():
            become(actor, why)
            yield actor
            if nested and not connection.needs_rollback:  # a rollback puts the outer one back by itself
                become(before, reason_before)
    finally:
        _acting.set(before)
        _why.set(reason_before)


def become(user, why: str = "") -> Actor:
    """Tell the open transaction who acts from here on: for the API, which learns of a token's owner only inside."""
    actor = actor_of(user)
    _acting.set(actor)
    _why.set(why)
    told = {"user": actor.user_id, "name": actor.name, "role": actor.role, "nation": actor.nation}
    if why:
        told["why"] = why
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('app.tier', %s, true), set_config('app.nation', %s, true),"
            " set_config('app.user', %s, true), set_config('app.role', %s, true),"
            " set_config('pghistory.context_metadata', %s, true)",
            [str(int(actor.tier)), actor.nation, str(actor.user_id or ""), actor.role, json.dumps(told)],
        )
    return actor


def because(why: str) -> None:
    """Add the reason to the history of what is written from here to the end of the transaction."""
    _why.set(why)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('pghistory.context_metadata', (coalesce(nullif("
            "current_setting('pghistory.context_metadata', true), ''), '{}')::jsonb"
            " || jsonb_build_object('why', %s::text))::text, true)",
            [why],
        )


class MayTouch(BasePermission):
    """Members may read. A write is refused unless the viewset names its action and the role allows it."""

    def has_permission(self, request, view) -> bool:
        if request.method in SAFE_METHODS:
            return can(request.user, "see")
        action = getattr(view, "write_actions", {}).get(getattr(view, "action", None))
        return action is not None and can(request.user, action)
