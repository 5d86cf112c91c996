"""What is planned of some capabilities: the rows of pledges, lines and allocations, read once for counts and for chances."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

from django.contrib.postgres.expressions import ArraySubquery
from django.db import connection
from django.db.models import OuterRef, QuerySet

from coalition.models import Condition, Operation
from pledges import counting, standing
from pledges.counting import AllocationRow, LineRow, PledgeRow
from pledges.models import Allocation, Capability, Pledge, PledgeCondition, Requirement


class PledgeFacts(NamedTuple):
    """A pledge on the ladder: its row for the counts, and what its chance is made of. ``unconfirmed`` is in days."""

    row: PledgeRow
    status: str
    ordered_on: date | None
    available_from: date | None
    unconfirmed: int
    hangs_on: list[int]  # ids of conditions in any state, lowest first


class ConditionRow(NamedTuple):
    """A condition of the operation, as it is stored."""

    id: int
    state: str
    probability: float
    due_on: date | None


@dataclass(frozen=True)
class Planned:
    """The rows by capability id, each list by its own id. An allocation lies with the capability of its line."""

    pledges: dict[int, list[PledgeFacts]]
    lines: dict[int, list[LineRow]]
    allocations: dict[int, list[AllocationRow]]
    any_alone: frozenset[int]  # capabilities of which one pledge alone must reach the need
    conditions: tuple[ConditionRow, ...]

    def counted(self, capability_id: int) -> counting.Plan:
        """Return what there is to count of one capability."""
        return counting.Plan(
            tuple(facts.row for facts in self.pledges[capability_id]),
            tuple(self.lines[capability_id]),
            tuple(self.allocations[capability_id]),
            capability_id in self.any_alone,
        )


def planned(
    operation: Operation,
    capability_ids: Iterable[int],
    *,
    today: date,
    supposed: Mapping[int, str] = MappingProxyType({}),
) -> Planned:
    """Return the rows of these capabilities that the database shows to who is acting. Four queries.

    An allocation counts where its pledge has the operation and the capability of its line; others answer nothing.
    ``supposed``: states of conditions, by id, in which the pledges stand as they would; what is stored is returned.
    """
    ids = list(capability_ids)
    asked = {_OPERATION: operation.pk, _CAPABILITIES: ids, _TODAY: today}
    pledges: dict[int, list[PledgeFacts]] = {pk: [] for pk in ids}
    statement = _statement(_pledges(supposed)) if supposed else _pledges_as_stored()
    for capability_id, status, ordered_on, available_from, unconfirmed, hangs_on, *row in _fetched(statement, asked):
        facts = PledgeFacts(PledgeRow(*row), status, ordered_on, available_from, unconfirmed, hangs_on)
        pledges[capability_id].append(facts)
    lines: dict[int, list[LineRow]] = {pk: [] for pk in ids}
    capability_of: dict[int, int] = {}
    any_alone = set()
    for capability_id, aggregation, *row in _fetched(_lines(), asked):
        lines[capability_id].append(LineRow(*row))
        capability_of[row[0]] = capability_id
        if aggregation == Capability.Aggregation.ANY:
            any_alone.add(capability_id)
    allocations: dict[int, list[AllocationRow]] = {pk: [] for pk in ids}
    # Not joined with the pledges: what to answer for is told by the lines, and ``seen_at`` asks for both ends.
    of_lines = Allocation.objects.filter(requirement__in=capability_of).order_by("pk")
    for row in of_lines.values_list("pledge_id", "requirement_id", "quantity"):
        allocations[capability_of[row[1]]].append(AllocationRow(*row))
    conditions = Condition.objects.filter(operation=operation).order_by("pk")
    return Planned(
        pledges,
        lines,
        allocations,
        frozenset(any_alone),
        tuple(ConditionRow(*row) for row in conditions.values_list("pk", "state", "probability", "due_on")),
    )


# Django takes longer to write these two statements than the database to answer them, so they are written once. The marks
# stand where a call puts its own operation, capabilities and day.
_OPERATION, _CAPABILITIES, _TODAY = -(1 << 62), -(1 << 62) + 1, date(1, 1, 2)


class _Statement(NamedTuple):
    sql: str
    parameters: tuple


def _statement(rows: QuerySet) -> _Statement:
    sql, parameters = rows.filter(operation=_OPERATION, capability__in=[_CAPABILITIES]).query.sql_with_params()
    return _Statement(sql.replace('"capability_id" IN (%s)', '"capability_id" = ANY(%s)'), parameters)


def _fetched(statement: _Statement, asked: Mapping[object, object]) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(statement.sql, [asked.get(parameter, parameter) for parameter in statement.parameters])
        return cursor.fetchall()


@cache
def _pledges_as_stored() -> _Statement:
    return _statement(_pledges({}))


def _pledges(supposed: Mapping[int, str]) -> QuerySet:
    links = PledgeCondition.objects.filter(pledge=OuterRef("pk")).order_by("condition_id").values("condition_id")
    return (
        Pledge.objects.with_standing(_TODAY, supposed)
        .filter(status__in=Pledge.ON_LADDER)
        .annotate(
            unconfirmed=standing.days_unconfirmed(standing.today_of_operation(_TODAY)), hangs_on=ArraySubquery(links)
        )
        .order_by("pk")
        .values_list(
            "capability_id", "status", "ordered_on", "available_from", "unconfirmed", "hangs_on",
            "pk", "nation_id", "tier", "superseded_tier", "level", "stands_from", "stands_until",
            "quantity", "notice_days", "has_open",
        )
    )  # fmt: skip


@cache
def _lines() -> _Statement:
    return _statement(
        Requirement.objects.order_by("pk").values_list(
            "capability_id", "capability__aggregation",
            "pk", "tier", "quantity", "needed_from", "needed_until", "priority", "notice_days",
        )
    )  # fmt: skip
