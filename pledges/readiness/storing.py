"""What is computed and stored: whole answers for a key, an operation and a capability, at all three release tiers at once.

Each tier's answer is made of exactly the rows that tier sees. The worker calls this; nothing here reads the store.
"""

import hashlib
from collections.abc import Iterable
from datetime import date
from itertools import groupby
from operator import attrgetter
from typing import Any

import orjson
from django.db.models import Q

from coalition import stale
from coalition.access import SYSTEM, Tier, acting_as
from coalition.models import Operation
from pledges import counting
from pledges import sure as how_sure
from pledges.chances import last_day
from pledges.models import Pledge, ReadinessLine, Requirement
from pledges.planned import planned
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
            recompute(keys[start : start + CHUNK_KEYS], anew=True)
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


def recompute(keys: Iterable[str], *, anew: bool = False) -> int:
    """Bring the stored answers of these keys to what they are now; return how many there are.

    What is stored already is not written again, unless ``anew``; what has no answer any more is taken away. Runs in the
    caller's transaction, which must be READ COMMITTED, act as the system and hold the keys' locks (``stale.claim``).
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
    stored = {
        tuple(place): (pk, digest)
        for pk, digest, *place in ReadinessLine.objects.filter(of_keys).values_list("pk", "digest", *_PLACE)
    }
    _store([row for row in rows if anew or stored.get(_place_of(row), (None, ""))[1] != row.digest])
    gone = stored.keys() - {_place_of(row) for row in rows}
    if gone:
        ReadinessLine.objects.filter(pk__in=[stored[place][0] for place in gone]).delete()
    return len(rows)


_PLACE = ("operation_id", "capability_id", "requirement_id", "tier")
_place_of = attrgetter(*_PLACE)


def _store(rows: list[ReadinessLine]) -> None:
    ReadinessLine.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["operation", "capability", "requirement", "tier"],
        update_fields=[*_STORED, "digest", "computed_at"],
        batch_size=500,
    )


_STORED = ("starts", "ends_on", "answers", "nations", "sure_starts", "sure", "computed_for")


def _digested(row: ReadinessLine) -> ReadinessLine:
    told = orjson.dumps([getattr(row, name) for name in _STORED])
    row.digest = hashlib.blake2b(told, digest_size=16).hexdigest()
    return row


def _keys_of(operation: Operation) -> set[str]:
    named: set[int] = set()
    for model in (Pledge, Requirement, ReadinessLine):
        named |= set(model.objects.filter(operation=operation).order_by().values_list("capability", flat=True))
    return {key_of(operation.pk, capability_id) for capability_id in named}


def _answers(operation: Operation, capability_ids: list[int]) -> list[ReadinessLine]:
    """Return the rows to store for capabilities of one operation; none for a tier that sees nothing of one."""
    today = operation.today()
    loaded = planned(operation, capability_ids, today=today)
    sure = how_sure.answered(operation, capability_ids, today=today, rows=loaded)
    rows = []
    for capability_id in capability_ids:
        plan = loaded.counted(capability_id).with_whole_numbers()
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
    return [_digested(row) for row in rows]


def _sure_at(tier: Tier, found: how_sure.Stored | None) -> dict[str, Any]:
    if tier != Tier.PLANNING or found is None:
        return {}
    return {"sure_starts": found.starts, "sure": found.stretches}


def load(operation: Operation, capability_ids: Iterable[int], *, today: date) -> dict[int, counting.Plan]:
    """Return the plan per capability; an empty one where there is neither pledge nor line. See ``planned``."""
    ids = list(capability_ids)
    rows = planned(operation, ids, today=today)
    return {pk: rows.counted(pk) for pk in ids}
