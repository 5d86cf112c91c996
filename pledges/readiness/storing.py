"""What is computed and stored: whole answers for a key, an operation and a capability, at all three release tiers at once.

Each tier's answer is made of exactly the rows that tier sees. The worker calls this; nothing here reads the store.
"""

from collections.abc import Iterable
from datetime import date
from itertools import groupby
from typing import Any

from django.db.models import Q

from coalition import stale
from coalition.access import SYSTEM, Tier, acting_as
from coalition.models import Operation
from pledges import counting
from pledges import sure as how_sure
from pledges.chances import last_day
from pledges.models import Allocation, Capability, Pledge, ReadinessLine, Requirement
from pledges.readiness.encoding import written

KIND = "readiness"
CHUNK_KEYS = 40


def key_of(operation_id: int, capability_id: int) -> str:
    """Return the key that marks of this operation and capability carry."""
    return f"{operation_id}:{capability_id}"


def sweep() -> int:
    """Recompute whatever is marked, until nothing is; return how many keys were computed. Opens its transactions."""
    return stale.drain(KIND, recompute, chunk=CHUNK_KEYS)


def recompute_all(operation: Operation) -> int:
    """Compute and store every answer of an operation now, without waiting for a worker; return the number of keys."""
    with acting_as(SYSTEM):
        keys = sorted(_keys_of(operation))
    for start in range(0, len(keys), CHUNK_KEYS):
        with acting_as(SYSTEM):
            stale.lock(KIND, keys[start : start + CHUNK_KEYS])
            recompute(keys[start : start + CHUNK_KEYS])
    return len(keys)


def mark_all(operation: Operation) -> None:
    """Mark every answer of an operation as no longer true, for the worker to compute. Call while acting."""
    stale.mark(KIND, _keys_of(operation))


def mark_outdated() -> int:
    """Mark the answers that were computed for another day than today, unless they are marked; return how many."""
    with acting_as(SYSTEM):
        outdated = Q(pk__in=())
        for operation in Operation.objects.all():
            outdated |= Q(operation=operation) & ~Q(computed_for=operation.today())
        stored = ReadinessLine.objects.filter(outdated).values_list("operation_id", "capability_id").distinct()
        return stale.mark_unmarked(KIND, [key_of(*key) for key in stored])


def recompute(keys: Iterable[str]) -> int:
    """Store whole answers for these keys, and take away what has none any more; return the number of rows stored.

    Runs in the caller's transaction, which must be READ COMMITTED, act as the system and hold the keys' locks
    (``stale.claim``).
    """
    wanted = sorted({tuple(map(int, key.split(":"))) for key in keys})
    rows: list[ReadinessLine] = []
    operations = Operation.objects.in_bulk({operation_id for operation_id, _ in wanted})
    of_keys = Q(pk__in=())
    for operation_id, group in groupby(wanted, key=lambda key: key[0]):
        capability_ids = [capability_id for _, capability_id in group]
        of_keys |= Q(operation=operation_id, capability__in=capability_ids)
        if operation := operations.get(operation_id):
            rows += _answers(operation, capability_ids)
    stored = _store(rows)
    ReadinessLine.objects.filter(of_keys).exclude(pk__in=[row.pk for row in stored]).delete()
    return len(rows)


def _store(rows: list[ReadinessLine]) -> list[ReadinessLine]:
    return ReadinessLine.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["operation", "capability", "requirement", "tier"],
        update_fields=["starts", "ends_on", "answers", "nations", "sure_starts", "sure", "computed_at", "computed_for"],
        batch_size=500,
    )


def _keys_of(operation: Operation) -> set[str]:
    named: set[int] = set()
    for model in (Pledge, Requirement, ReadinessLine):
        named |= set(model.objects.filter(operation=operation).order_by().values_list("capability", flat=True))
    return {key_of(operation.pk, capability_id) for capability_id in named}


def _answers(operation: Operation, capability_ids: list[int]) -> list[ReadinessLine]:
    """Return the rows to store for capabilities of one operation; none for a tier that sees nothing of one."""
    today = operation.today()
    sure = how_sure.answered(operation, capability_ids, today=today)
    rows = []
    for capability_id, plan in load(operation, capability_ids, today=today).items():
        for tier in Tier:
            seen = plan.seen_at(tier)
            if not (seen.pledges or seen.lines):
                continue
            counts = counting.count(seen, today=today)
            common = {
                "operation_id": operation.pk,
                "capability_id": capability_id,
                "tier": tier,
                "computed_for": today,
            }
            horizon = last_day(operation, today)
            rows.append(
                ReadinessLine(
                    **common,
                    starts=list(counts.starts),
                    ends_on=max(horizon, counts.starts[-1]),
                    answers=[written(stretch) for stretch in counts.stretches],
                    nations={
                        nation: {level: written(cell) for level, cell in levels.items()}
                        for nation, levels in counts.nations.items()
                    },
                    **_sure_at(tier, sure.get((capability_id, None))),
                )
            )
            rows += (
                ReadinessLine(
                    **common,
                    requirement_id=line_id,
                    starts=list(line.starts),
                    ends_on=max(horizon, line.starts[-1]),
                    answers=[written(stretch) for stretch in line.stretches],
                    **_sure_at(tier, sure.get((capability_id, line_id))),
                )
                for line_id, line in counts.lines.items()
            )
    return rows


def _sure_at(tier: Tier, found: how_sure.Stored | None) -> dict[str, Any]:
    if tier != Tier.PLANNING or found is None:
        return {}
    return {"sure_starts": found.starts, "sure": found.stretches}


def load(operation: Operation, capability_ids: Iterable[int], *, today: date) -> dict[int, counting.Plan]:
    """Return the plan per capability, in four queries. Capabilities that do not exist are left out.

    An allocation counts where its pledge has the operation and the capability of its line; others answer nothing.
    """
    ids = list(capability_ids)
    of_these = {"operation": operation, "capability__in": ids}
    pledges: dict[int, list] = {pk: [] for pk in ids}
    for capability_id, *row in (
        Pledge.objects.with_standing(today)
        .filter(**of_these, status__in=Pledge.ON_LADDER)
        .order_by("pk")
        .values_list(
            "capability_id", "pk", "nation_id", "tier", "superseded_tier", "level", "stands_from", "stands_until",
            "quantity", "notice_days", "has_open",
        )
    ):  # fmt: skip
        pledges[capability_id].append(counting.PledgeRow(*row))
    lines: dict[int, list] = {pk: [] for pk in ids}
    for capability_id, *row in (
        Requirement.objects.filter(**of_these)
        .order_by("pk")
        .values_list(
            "capability_id", "pk", "tier", "quantity", "needed_from", "needed_until", "priority", "notice_days"
        )
    ):
        lines[capability_id].append(counting.LineRow(*row))
    allocations: dict[int, list] = {pk: [] for pk in ids}
    # Not joined with the pledges: what to answer for is told by the lines, and ``seen_at`` asks for both ends.
    line_ids = {line.id: capability_id for capability_id, found in lines.items() for line in found}
    of_lines = Allocation.objects.filter(requirement__in=line_ids).order_by("pk")
    for row in of_lines.values_list("pledge_id", "requirement_id", "quantity"):
        capability_id = line_ids[row[1]]
        allocations[capability_id].append(counting.AllocationRow(*row))
    return {
        pk: counting.Plan(
            tuple(pledges[pk]), tuple(lines[pk]), tuple(allocations[pk]), aggregation == Capability.Aggregation.ANY
        )
        for pk, aggregation in Capability.objects.filter(pk__in=ids).order_by().values_list("pk", "aggregation")
    }
