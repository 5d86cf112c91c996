"""The demo's requirements, pledges, their history and allocations, read from the files beside this module.

Public statements are real: they enter as signalled, at the public tier, with their address and no planning quantity.
All else is invented, marked illustrative, and says nothing about any nation's intentions.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

from coalition.access import Tier
from coalition.models import Condition, Operation, Sector, User
from coalition.vocabulary import rows
from pledges.ladder import LAPSE, LOG, STEPS
from pledges.models import Allocation, Capability, Caveat, Pledge, PledgeCondition, PledgeStep, Requirement

HERE = Path(__file__).parent
STATEMENTS = "demo-statements"  # the data set the public statements belong to
INVENTED = "demo-invented"
STATEMENTS_READ_ON = date(2025, 12, 1)
WRITER, VERIFIER = "planner-two", "planner-one"  # four eyes: who logs for a nation never verifies

Status = Pledge.Status
STEPS_TO = {  # which steps of ``pledges.ladder`` led to a status, after the pledge was logged as offered
    Status.SIGNALLED: (),
    Status.OFFERED: (),
    Status.COMMITTED: ("commit",),
    Status.READY: ("commit", "verify"),
    Status.DEPLOYING: ("commit", "verify", "deploy"),
    Status.IN_PLACE: ("commit", "verify", "deploy", "arrive"),
    Status.ENDED: ("commit", "verify", "deploy", "arrive", "end"),
    Status.WITHDRAWN: ("withdraw",),
    Status.LAPSED: (LAPSE,),
}


def load_plan(
    operation: Operation, sectors: dict[str, Sector], conditions: dict[str, Condition], people: dict[str, User]
) -> None:
    """Write the whole plan; the keys of sectors and conditions are the short names the files use.

    Call while acting as the system, on an operation without a plan, after the vocabulary was loaded.
    """
    capabilities = {capability.code: capability for capability in Capability.objects.all()}
    officers = {user.membership.nation_id: user for user in people.values() if user.membership.nation_id}
    requirements = _requirements(operation, capabilities, sectors)

    statements = rows(HERE / "statements.csv")
    invented = rows(HERE / "pledges.csv")
    lines = statements + invented
    drafts = [_statement(row, operation, capabilities) for row in statements]
    drafts += [_pledge(row, operation, capabilities, requirements) for row in invented]
    for draft in drafts:
        writer = people[WRITER] if draft.dataset == STATEMENTS else officers.get(draft.nation_id, people[WRITER])
        draft.created_by = writer
    made = Pledge.objects.bulk_create(drafts)
    pledges = {row["id"]: pledge for row, pledge in zip(lines, made, strict=True)}

    PledgeCondition.objects.bulk_create(
        [
            PledgeCondition(pledge=pledges[row["id"]], condition=conditions[key])
            for row in lines
            for key in row["conditions"].split()
        ]
    )
    Caveat.objects.bulk_create(
        [
            Caveat(pledge=pledges[row["id"]], kind=kind, text=text)
            for row in invented
            if row["caveat"]
            for kind, _, text in [row["caveat"].partition(": ")]
        ]
    )
    PledgeStep.objects.bulk_create(
        [
            step
            for row in lines
            for step in _history(pledges[row["id"]], row.get("reason", ""), verifier=people[VERIFIER])
        ]
    )
    Allocation.objects.bulk_create(
        [
            Allocation(
                pledge=pledges[row["pledge"]],
                requirement=requirements[row["requirement"]],
                quantity=Decimal(row["quantity"]),
            )
            for row in rows(HERE / "allocations.csv")
        ]
    )
    _supersede(lines, pledges)


# --- Inside -------------------------------------------------------------------------------


def _requirements(
    operation: Operation, capabilities: dict[str, Capability], sectors: dict[str, Sector]
) -> dict[str, Requirement]:
    lines = rows(HERE / "requirements.csv")
    made = Requirement.objects.bulk_create(
        [
            Requirement(
                operation=operation,
                capability=capabilities[row["capability"]],
                sector=sectors[row["sector"]] if row["sector"] else None,
                title=row["title"],
                quantity=Decimal(row["quantity"]),
                needed_from=date.fromisoformat(row["needed_from"]),
                needed_until=_day(row["needed_until"]),
                priority=int(row["priority"]),
                notice_days=int(row["notice_days"]) if row["notice_days"] else None,
                phase=row["phase"],
                tier=Tier[row["tier"].upper()],
                illustrative=True,
            )
            for row in lines
        ]
    )
    return {row["id"]: requirement for row, requirement in zip(lines, made, strict=True)}


def _statement(row: dict[str, str], operation: Operation, capabilities: dict[str, Capability]) -> Pledge:
    """A public statement in our own words. Its figures stay what was said: planners have not judged them yet."""
    return Pledge(
        operation=operation,
        nation_id=row["nation"],
        capability=capabilities[row["capability"]],
        what=row["what"],
        stated_low=_figure(row["stated_low"]),
        stated_high=_figure(row["stated_high"]),
        quantity=None,
        status=Status.SIGNALLED,
        tier=Tier.PUBLIC,
        source=row["source"],
        source_url=row["source_url"],
        stated_on=_day(row["stated_on"]),
        note=row["note"],
        dataset=STATEMENTS,
        external_id=row["id"],
        created_at=_at(STATEMENTS_READ_ON),
    )


def _pledge(
    row: dict[str, str],
    operation: Operation,
    capabilities: dict[str, Capability],
    requirements: dict[str, Requirement],
) -> Pledge:
    stated_on = date.fromisoformat(row["stated_on"])
    return Pledge(
        operation=operation,
        nation_id=row["nation"],
        capability=capabilities[row["capability"]],
        what=row["what"],
        stated_low=_figure(row["stated_low"]),
        stated_high=_figure(row["stated_high"]),
        quantity=_figure(row["quantity"]),
        available_from=_day(row["available_from"]),
        available_until=_day(row["available_until"]),
        notice_days=int(row["notice_days"]),
        status=row["status"],
        tier=Tier[row["tier"].upper()],
        requirement=requirements[row["requirement"]] if row["requirement"] else None,
        source="Invented for the demo",
        stated_on=stated_on,
        note=row["note"],
        dataset=INVENTED,
        external_id=row["id"],
        last_confirmed_on=_day(row["last_confirmed_on"]),
        ordered_on=_day(row["ordered_on"]),
        illustrative=True,
        created_at=_at(stated_on),
    )


def _history(pledge: Pledge, reason: str, *, verifier: User) -> Iterable[PledgeStep]:
    """Yield the steps that led to the pledge's status, from the day it was logged on."""
    entry = Status.SIGNALLED if pledge.status == Status.SIGNALLED else Status.OFFERED
    yield PledgeStep(
        pledge=pledge, user=pledge.created_by, kind=LOG, to_status=entry, moved_at=_at(pledge.created_at.date())
    )
    status = entry
    ordered_on = None
    for kind in STEPS_TO[pledge.status]:
        to = Status.LAPSED if kind == LAPSE else STEPS[kind].to
        before = {"status": status, "ordered_on": ordered_on, "last_confirmed_on": str(pledge.stated_on)}
        yield PledgeStep(
            pledge=pledge,
            user={"verify": verifier, LAPSE: None}.get(kind, pledge.created_by),
            kind=kind,
            from_status=status,
            to_status=to,
            reason="Papers seen, and the unit's state asked for by telephone." if kind == "verify" else reason,
            before=before,
            moved_at=_at(_day_of_step(pledge, kind)),
        )
        status = to
        if kind == "deploy":
            ordered_on = str(pledge.ordered_on)


def _day_of_step(pledge: Pledge, kind: str) -> date:
    """Return the day of a step: moves follow the pledge's own days, papers lie between its first word and its order."""
    until = pledge.ordered_on or pledge.last_confirmed_on
    between = (until - pledge.stated_on).days
    return {
        "commit": pledge.stated_on + timedelta(days=between // 3),
        "verify": pledge.stated_on + timedelta(days=between * 2 // 3),
        "deploy": pledge.ordered_on,
        "arrive": pledge.available_from,
        "end": pledge.available_until,
        "withdraw": pledge.last_confirmed_on,
        LAPSE: pledge.available_until and pledge.available_until + timedelta(days=1),
    }[kind]


def _supersede(lines: list[dict[str, str]], pledges: dict[str, Pledge]) -> None:
    """Point each pledge that was said again at its successor, the newest first so that chains keep their tier."""
    for row in reversed(lines):
        if row["superseded_by"]:
            Pledge.objects.filter(pk=pledges[row["id"]].pk).update(superseded_by=pledges[row["superseded_by"]])


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


def _figure(text: str) -> Decimal | None:
    return Decimal(text) if text else None


def _at(day: date) -> datetime:
    return datetime.combine(day, time(10), tzinfo=UTC)
