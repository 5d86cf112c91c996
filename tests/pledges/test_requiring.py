"""Requirement lines: planners keep them, and no change leaves an allocation that does not fit."""

from datetime import date

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404

from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.editing import VersionStale
from pledges import allocating, requiring
from pledges.models import Pledge, Requirement
from tests.factories import a_capability, a_member, a_pledge, a_sector, an_operation, the_operation

pytestmark = pytest.mark.django_db
JUNE, JULY = date(2027, 6, 30), date(2027, 7, 1)


@pytest.fixture
def planner():
    the_operation()
    a_capability()
    return a_member(Role.PLANNER)


def required(planner, **fields) -> Requirement:
    return requiring.require({"capability": "infantry", "quantity": 100, **fields}, by=planner)


def refusal(call, *args, **kwargs) -> dict[str, list[str]]:
    with pytest.raises(ValidationError) as refused:
        call(*args, **kwargs)
    return refused.value.message_dict


def test_a_line_needs_only_a_capability_and_a_quantity(planner):
    line = required(planner, sector=a_sector("north").code)
    assert (line.operation, line.needed_from, line.sector.code) == (the_operation(), date(2027, 3, 1), "north")


@pytest.mark.parametrize("role", [Role.OFFICER, Role.MONITOR, Role.ANALYST])
def test_only_planners_keep_lines(planner, role):
    line = required(planner)
    other = a_member(role, "FR")
    for refused in (
        lambda: required(other),
        lambda: requiring.revise(line.pk, {"quantity": 1}, by=other, based_on=line.version),
        lambda: requiring.delete(line.pk, by=other, based_on=line.version),
    ):
        with pytest.raises(PermissionDenied):
            refused()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("quantity", -1),
        ("quantity", "NaN"),
        ("quantity", None),
        ("capability", "no-such"),
        ("capability", None),
        ("operation", "no-such"),
        ("sector", "no-such"),
        ("priority", 4),
        ("needed_from", "soon"),
        ("needed_until", date(2027, 1, 1)),
        ("needed_until", date(9999, 1, 1)),
        ("notice_days", 10**6),
        ("title", "a\0"),
        ("note", "x" * 4001),
        ("tier", 0),
        ("version", 9),
    ],
)
def test_bad_input_gets_a_sentence_on_its_field(planner, field, value):
    assert field in refusal(required, planner, **{field: value})
    with acting_as(planner):
        assert not Requirement.objects.exists()


def test_a_change_needs_the_version_it_was_based_on(planner):
    line = required(planner)
    changed = requiring.revise(line.pk, {"quantity": 90}, by=planner, based_on=line.version)
    assert (changed.quantity, changed.version) == (90, 2)
    for refused in (
        lambda: requiring.revise(line.pk, {"quantity": 80}, by=planner, based_on=line.version),
        lambda: requiring.delete(line.pk, by=planner, based_on=line.version),
    ):
        with pytest.raises(VersionStale):
            refused()


def test_a_line_may_ask_for_less_than_it_has(planner):
    line = required(planner)
    with acting_as(SYSTEM):
        pledge = a_pledge(100)
    allocating.allocate(pledge.pk, line.pk, 100, by=planner)
    assert requiring.revise(line.pk, {"quantity": 10}, by=planner, based_on=None).quantity == 10


def test_a_longer_window_that_would_spend_a_pledge_twice_is_refused_and_names_it(planner):
    spring = required(planner, needed_until=JUNE)
    summer = required(planner, needed_from=JULY)
    with acting_as(SYSTEM):
        pledge = a_pledge(100)
    for line in (spring, summer):
        allocating.allocate(pledge.pk, line.pk, 100, by=planner)
    said = refusal(requiring.revise, spring.pk, {"needed_until": JULY}, by=planner, based_on=None)
    assert f"P{pledge.pk} (100)" in said["needed_until"][0]


def test_a_window_is_not_moved_away_from_its_pledges(planner):
    line = required(planner)
    with acting_as(SYSTEM):
        pledge = a_pledge(100, available_until=JUNE)
    allocating.allocate(pledge.pk, line.pk, 100, by=planner)
    said = refusal(requiring.revise, line.pk, {"needed_from": JULY}, by=planner, based_on=None)
    assert f"P{pledge.pk}" in said["needed_from"][0]


@pytest.mark.parametrize("field", ["capability", "operation"])
def test_an_answered_line_keeps_its_capability_and_operation(planner, field):
    line = required(planner)
    with acting_as(SYSTEM):
        pledge = a_pledge(100)
    allocating.allocate(pledge.pk, line.pk, 100, by=planner)
    other = a_capability("medics") if field == "capability" else an_operation()
    said = refusal(requiring.revise, line.pk, {field: other}, by=planner, based_on=None)
    assert f"P{pledge.pk}" in said[field][0]


def test_an_answered_line_is_not_deleted_and_what_answers_it_is_named(planner):
    line = required(planner)
    with acting_as(SYSTEM):
        pledge = a_pledge(100)
    allocation = allocating.allocate(pledge.pk, line.pk, 60, by=planner)
    with pytest.raises(requiring.StillAnswered, match=rf"P{pledge.pk} \(60\)"):
        requiring.delete(line.pk, by=planner, based_on=line.version)
    allocating.release(allocation.pk, by=planner, based_on=None)
    requiring.delete(line.pk, by=planner, based_on=line.version)
    with pytest.raises(Http404):
        requiring.delete(line.pk, by=planner, based_on=None)


def test_a_line_that_becomes_stricter_is_no_longer_named_by_pledges_that_go_further(planner):
    line = required(planner)
    with acting_as(SYSTEM):
        open_one = a_pledge(requirement=line)
        strict_one = a_pledge(requirement=line, tier=Tier.PLANNING)
    requiring.revise(line.pk, {"tier": Tier.PLANNING}, by=planner, based_on=None)
    with acting_as(planner):
        assert list(Pledge.objects.filter(requirement=line)) == [strict_one]
        assert Pledge.objects.get(pk=open_one.pk).requirement_id is None
