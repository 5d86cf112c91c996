"""Which level a pledge counts in and from which day it can stand, as the database says it."""

from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine

from coalition.access import SYSTEM, acting_as
from coalition.models import Condition, Operation
from pledges.models import Pledge
from tests.factories import a_condition, a_pledge, an_operation, the_operation

pytestmark = pytest.mark.django_db
Status, State = Pledge.Status, Condition.State
TODAY = date(2026, 11, 22)


@pytest.fixture(autouse=True)
def _acting():
    with acting_as(SYSTEM), time_machine.travel(datetime(2026, 11, 22, 10, tzinfo=UTC), tick=False):
        yield


def day(number):
    return TODAY + timedelta(days=number)


def standing(today=None, **fields):
    pledge = a_pledge(**fields)
    return Pledge.objects.with_standing(today).get(pk=pledge.pk)


OPEN, MET, WAIVED, FAILED = State.OPEN, State.MET, State.WAIVED, State.FAILED


@pytest.mark.parametrize(
    ("status", "conditions", "level"),
    [
        ("signalled", [], "signalled"),
        ("signalled", [OPEN], "signalled"),
        ("offered", [OPEN], "offered"),
        ("committed", [], "firm"),
        ("committed", [MET, WAIVED], "firm"),
        ("committed", [MET, OPEN], "conditional"),
        ("ready", [WAIVED], "ready"),
        ("ready", [OPEN], "conditional"),
        ("deploying", [OPEN], "deploying"),
        ("in_place", [OPEN], "in_place"),
        ("offered", [FAILED, MET], "blocked"),
        ("ready", [FAILED, OPEN], "blocked"),
        ("in_place", [FAILED], "blocked"),
        ("ended", [FAILED], None),
        ("withdrawn", [], None),
        ("lapsed", [OPEN], None),
    ],
)
def test_a_pledge_counts_in_exactly_one_level(status, conditions, level):
    found = standing(status=status, conditions=tuple(a_condition(state=state) for state in conditions))
    assert (found.level, found.has_open, found.has_failed) == (level, OPEN in conditions, FAILED in conditions)
    assert (found.stands_from is None) == (level is None)


def test_notice_of_sixty_days_means_day_sixty_is_the_first():
    assert standing(notice_days=60).stands_from == day(60)


def test_the_latest_of_order_decisions_and_availability_holds_a_pledge_back():
    operation = the_operation()
    conditions = (
        a_condition(due_on=day(20)),
        a_condition(due_on=day(30)),
        a_condition(),
        a_condition(state=MET, due_on=day(90)),
    )
    facts = {"status": "committed", "notice_days": 5}
    assert standing(**facts, conditions=conditions).stands_from == day(35)
    assert standing(**facts, conditions=conditions, available_from=day(50)).stands_from == day(50)
    Operation.objects.filter(pk=operation.pk).update(activated_on=day(40))
    assert standing(**facts, conditions=conditions).stands_from == day(45)
    assert standing(**facts).stands_from == day(45)


def test_days_that_are_past_hold_nothing_back():
    pledge = {"conditions": (a_condition(due_on=day(-9)),), "available_from": day(-5), "notice_days": 2}
    assert standing(**pledge).stands_from == day(2)


def test_what_deploys_stands_its_notice_after_the_order_and_tomorrow_at_the_earliest():
    facts = {"status": "deploying", "notice_days": 10}
    assert standing(**facts, ordered_on=day(-4)).stands_from == day(6)
    assert standing(**facts, ordered_on=day(-40)).stands_from == day(1)
    assert standing(**facts, ordered_on=day(-4), available_from=day(8)).stands_from == day(8)
    assert standing(**facts, ordered_on=day(-40), conditions=(a_condition(due_on=day(60)),)).stands_from == day(1)


def test_what_is_in_place_stands_in_its_window_whatever_its_notice():
    facts = {"status": "in_place", "notice_days": 30}
    assert standing(**facts, available_from=day(-3), available_until=day(9)).stands_from == day(-3)
    found = standing(**facts)
    assert (found.stands_from, found.stands_until) == (TODAY, None)


def test_today_is_each_operations_own():
    samoa, fiji = (an_operation(time_zone=zone) for zone in ("Pacific/Pago_Pago", "Pacific/Kiritimati"))
    with time_machine.travel(datetime(2026, 11, 22, 10, 30, tzinfo=UTC), tick=False):
        assert standing(operation=samoa).stands_from == date(2026, 11, 21)
        assert standing(operation=fiji).stands_from == date(2026, 11, 23)


def test_a_day_too_far_for_the_calendar_stays_readable():
    operation = an_operation(activated_on=date(9999, 12, 1))
    assert standing(operation=operation, notice_days=3650).stands_from == date.max


def test_what_stands_on_a_day_leaves_out_the_blocked_and_the_gone():
    firm = a_pledge(status="committed", notice_days=3, available_until=day(8))
    blocked = a_pledge(status="committed", conditions=(a_condition(state=FAILED),))
    a_pledge(status="withdrawn")
    rows = Pledge.objects.with_standing()
    assert [rows.standing_on(day(number)).count() for number in (2, 3, 8, 9)] == [0, 1, 1, 0]
    assert list(rows.within_window(day(3)).at_level("blocked")) == [blocked]
    assert list(rows.at_level("firm", "ready")) == list(rows.at_least("firm")) == [firm]
    assert not rows.at_least("ready").exists()
