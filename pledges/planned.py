"""What is planned of some capabilities: the rows of pledges, lines and allocations, read once for counts and for chances."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import NamedTuple

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef

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
    of_these = {"operation": operation, "capability__in": ids}
    pledges: dict[int, list[PledgeFacts]] = {pk: [] for pk in ids}
    links = PledgeCondition.objects.filter(pledge=OuterRef("pk")).order_by("condition_id").values("condition_id")
    for (
        capability_id, status, ordered_on, available_from, unconfirmed, hangs_on, *row
    ) in (
        Pledge.objects.with_standing(today, supposed)
        .filter(**of_these, status__in=Pledge.ON_LADDER)
        .annotate(
            unconfirmed=standing.days_unconfirmed(standing.today_of_operation(today)), hangs_on=ArraySubquery(links)
        )
        .order_by("pk")
        .values_list(
            "capability_id", "status", "ordered_on", "available_from", "unconfirmed", "hangs_on",
            "pk", "nation_id", "tier", "superseded_tier", "level", "stands_from", "stands_until",
            "quantity", "notice_days", "has_open",
        )
    ):  # fmt: skip
        facts = PledgeFacts(PledgeRow(*row), status, ordered_on, available_from, unconfirmed, hangs_on)
        pledges[capability_id].append(facts)
    lines: dict[int, list[LineRow]] = {pk: [] for pk in ids}
    capability_of: dict[int, int] = {}
    any_alone = set()
    for capability_id, aggregation, *row in (
        Requirement.objects.filter(**of_these)
        .order_by("pk")
        .values_list(
            "capability_id", "capability__aggregation",
            "pk", "tier", "quantity", "needed_from", "needed_until", "priority", "notice_days",
        )
    ):  # fmt: skip
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
