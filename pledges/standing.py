"""Which level a pledge counts in, and on which days it can stand: the one place where it is said, as SQL expressions.

``PledgeQuerySet.with_standing`` annotates them, the worker counts with them, and the pages filter by them, so that a
number and the list behind it cannot differ.
"""

from collections.abc import Mapping
from datetime import date

from django.db.models import (
    Case,
    CharField,
    DateField,
    DateTimeField,
    Exists,
    Expression,
    F,
    Func,
    IntegerField,
    Max,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Cast, Coalesce, Greatest, Least
from django.utils import timezone

from coalition.models import Condition
from pledges.counting import BLOCKED

WAITING = ("signalled", "offered", "committed", "ready")  # on the ladder and not yet ordered to move
CONDITIONAL = ("committed", "ready")


def today_of_operation(today: date | None) -> Expression:
    """Return the given day, or the calendar day it now is in each pledge's operation."""
    if today is not None:
        return Cast(Value(today), DateField())
    now = Cast(Value(timezone.now()), DateTimeField())
    return Cast(Func(F("operation__time_zone"), now, function="timezone"), DateField())


def conditions_in(state: str, supposed: Mapping[int, str]) -> QuerySet[Condition]:
    """Return the pledge's conditions in this state; ``supposed`` (id to state) goes before what is stored."""
    there = Q(state=state) & ~Q(pk__in=list(supposed))
    there |= Q(pk__in=[pk for pk, other in supposed.items() if other == state])
    return Condition.objects.filter(there, pledges=OuterRef("pk"))


def hangs_on(state: str, supposed: Mapping[int, str]) -> Exists:
    """Return whether one of the pledge's conditions is in this state."""
    return Exists(conditions_in(state, supposed))


def level() -> Case:
    """Return the level a pledge counts in, BLOCKED, or NULL off the ladder. Needs ``has_open``, ``has_failed``."""
    return Case(
        When(~Q(status__in=(*WAITING, "deploying", "in_place")), then=Value(None)),
        When(has_failed=True, then=Value(BLOCKED)),
        When(Q(status__in=CONDITIONAL, has_open=True), then=Value("conditional")),
        When(status="committed", then=Value("firm")),
        default=F("status"),
        output_field=CharField(),
    )


def stands_from(today: Expression, supposed: Mapping[int, str]) -> Case:
    """Return the first day a pledge can stand, NULL off the ladder. Source: docs/method.md.

    Without an order the first day slides with today; what is in place without a first day stands today.
    """
    due = Subquery(
        conditions_in(Condition.State.OPEN, supposed)
        .order_by()
        .values("pledges")
        .annotate(last=Max("due_on"))
        .values("last")
    )
    # Greatest ignores NULL on PostgreSQL: a day that is not known does not hold a pledge back.
    may_move = Greatest(today, F("operation__activated_on"), due, output_field=DateField())
    return Case(
        When(
            status__in=WAITING,
            then=_readable(Greatest(F("available_from"), _days_after(may_move, F("notice_days")))),
        ),
        When(
            status="deploying",
            then=_readable(
                Greatest(
                    F("available_from"),
                    _days_after(F("ordered_on"), F("notice_days")),
                    _days_after(today, Value(1)),
                )
            ),
        ),
        When(status="in_place", then=Coalesce(F("available_from"), today)),
        output_field=DateField(),
    )


def stands_until() -> Case:
    """Return the last day of the window, NULL open-ended or off the ladder."""
    return Case(
        When(status__in=(*WAITING, "deploying", "in_place"), then=F("available_until")), output_field=DateField()
    )


def days_unconfirmed(today: Expression) -> Func:
    """Return the days since a pledge was last said to be true: confirmed, else stated, else logged."""
    said = Coalesce(F("last_confirmed_on"), F("stated_on"), Cast(F("created_at"), DateField()))
    return Func(today, said, template="(%(expressions)s)", arg_joiner=" - ", output_field=IntegerField())


def _days_after(day: Expression, days: Expression) -> Func:
    return Func(day, days, template="(%(expressions)s)", arg_joiner=" + ", output_field=DateField())


def _readable(day: Expression) -> Expression:
    """Keep a day within what Python can read: a long notice after a day far off may go past the year 9999."""
    return Least(day, Cast(Value(date.max), DateField()), output_field=DateField())
