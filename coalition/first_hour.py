"""What is still to do before the coalition can be seen ready? Read off the rows, so nothing has to be ticked.

Kernel part: the people and the operation. ``coalition.views`` puts the apps' own steps between them.
"""

from dataclasses import dataclass

from coalition.access import Role
from coalition.models import Condition, Membership, Nation, Operation, Sector


@dataclass(frozen=True)
class Step:
    """One step. ``found`` says in words what is there; ``needed`` is False for what may wait."""

    title: str
    text: str
    done: bool
    found: str = ""
    href: str = ""
    action: str = ""
    needed: bool = True
    is_next: bool = False


def number_of(rows, one: str, many: str = "") -> str:
    """Return how many rows there are, in words: ``3 nations``."""
    count = rows.count()
    return f"{count} {one if count == 1 else many or one + 's'}"


def has_planner_and_officer() -> bool:
    """True once somebody besides the first administrator can plan, and somebody can speak for a nation."""
    roles = set(Membership.objects.filter(user__is_active=True).values_list("role", flat=True))
    return Role.OFFICER in roles and bool({Role.PLANNER, Role.ADMINISTRATOR} & roles)


def counted(operation: Operation | None) -> dict[str, str]:
    """Return what the kernel holds, in words, by noun."""
    conditions = Condition.objects.filter(operation=operation) if operation else Condition.objects.none()
    return {
        "nations": number_of(Nation.objects, "nation"),
        "sectors": number_of(Sector.objects, "sector"),
        "conditions": number_of(conditions, "condition"),
        "people": number_of(Membership.objects.filter(user__is_active=True), "person", "people"),
    }
