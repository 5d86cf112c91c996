"""Operations: kept by planners, one of them current, and what only a planner may do."""

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.test import Client

from coalition import editing, operations
from coalition.access import SYSTEM, Role, acting_as
from coalition.models import Operation
from tests.factories import a_member, an_operation

pytestmark = pytest.mark.django_db
DRAFT = {"code": "first", "name": "First", "starts_on": "2027-06-01"}


def test_the_first_operation_is_the_current_one_and_a_new_current_one_takes_its_place():
    planner = a_member(Role.PLANNER)
    first = operations.begin(DRAFT, by=planner)
    assert first.is_current
    second = operations.begin({**DRAFT, "code": "second", "is_current": True}, by=planner)
    with acting_as(SYSTEM):
        assert [operation.code for operation in Operation.objects.filter(is_current=True)] == ["second"]
    third = operations.begin({**DRAFT, "code": "third"}, by=planner)
    assert (second.is_current, third.is_current) == (True, False)


def test_a_change_is_based_on_a_version_and_leaves_the_code():
    planner = a_member(Role.PLANNER)
    first = operations.begin(DRAFT, by=planner)
    changed = operations.revise(first.pk, {"name": "Renamed"}, by=planner, based_on=first.version)
    assert (changed.name, changed.code, changed.version) == ("Renamed", "first", first.version + 1)
    with pytest.raises(editing.VersionStale):
        operations.revise(first.pk, {"name": "Again"}, by=planner, based_on=first.version)
    with pytest.raises(ValidationError):
        operations.revise(first.pk, {"code": "other"}, by=planner, based_on=changed.version)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("code", "first"),
        ("time_zone", "Mars/Base"),
        ("mandate_until", "2027-01-01"),
        ("certainty_ready", 2),
        ("name", ""),
    ],
)
def test_what_cannot_be_planned_is_refused_by_its_field(field, value):
    with acting_as(SYSTEM):
        an_operation(code="first")
    with pytest.raises(ValidationError):
        operations.begin({**DRAFT, "code": "second", field: value}, by=a_member(Role.PLANNER))


def test_only_planners_keep_operations_and_see_what_is_to_be_set_up():
    for role in (Role.OFFICER, Role.MONITOR, Role.ANALYST):
        user = a_member(role)
        with pytest.raises(PermissionDenied):
            operations.begin(DRAFT, by=user)
        client = Client()
        client.force_login(user)
        assert client.get("/setup/").status_code == client.get("/operations/new/").status_code == 403
        assert "A planner has to create one first" in client.get("/").content.decode()


def test_a_page_without_an_operation_says_so_and_leads_on():
    client = Client()
    client.force_login(a_member(Role.PLANNER))
    answer = client.get("/pledges/")
    assert answer.status_code == 404
    assert 'href="/setup/"' in answer.content.decode()
    assert client.get("/")["Location"] == "/setup/"
    assert client.post("/setup/vocabulary/")["Location"] == "/setup/"
    steps = client.get("/setup/").context["steps"]
    assert [step.title for step in steps if step.done] == ["Nations and capabilities"]
    assert next(step.title for step in steps if step.is_next) == "The operation"
