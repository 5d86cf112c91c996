"""Loading the demo: once, whole, the same every time, and never where others can come in."""

import io
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from coalition.access import SYSTEM, acting_as
from coalition.demo.people import PASSWORD, demo_people
from coalition.models import Condition, Nation, Operation, Sector, User
from pledges.models import Allocation, Capability, Caveat, Pledge, PledgeCondition, PledgeStep, Requirement
from tests.factories import a_nation, an_operation

ALL = [Nation, Operation, Sector, Condition, Capability, Requirement, Pledge, PledgeCondition, PledgeStep, Caveat]
ALL += [Allocation, User]


def content() -> dict[str, list]:
    """Every row of every table of the demo, but for what the clock and the database wrote."""
    own = {"changed_at", "changed_xid", "created_at", "password", "date_joined"}
    return {
        model.__name__: list(
            model.objects.order_by("pk").values_list(*[f.attname for f in model._meta.fields if f.name not in own])
        )
        for model in ALL
    }


@pytest.mark.django_db
def test_a_second_run_changes_nothing():
    with acting_as(SYSTEM):
        call_command("seed_demo", stdout=io.StringIO())
        assert Pledge.objects.filter(external_id="p010").update(note="Edited by a planner") == 1
        before = content()
        call_command("seed_demo", stdout=io.StringIO())
        assert content() == before


@pytest.mark.django_db
def test_nations_and_a_current_operation_that_are_there_stay_as_they_are():
    with acting_as(SYSTEM):
        a_nation("FR", standing="observer", focal_point="Room 12")
        mine = an_operation(is_current=True)
        call_command("seed_demo", stdout=io.StringIO())
        kept = Nation.objects.get(code="FR")
        assert (kept.standing, kept.focal_point) == ("observer", "Room 12")
        assert Operation.objects.get(is_current=True) == mine


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("setting", "value"), [("EMBEDDED", False), ("HTTPS", True), ("ALLOWED_HOSTS", ["readiness.example.org"])]
)
def test_a_real_deployment_is_refused(settings, setting, value):
    setattr(settings, setting, value)
    with pytest.raises(CommandError, match="The demo is not loaded here"):
        call_command("seed_demo")
    with acting_as(SYSTEM):
        assert not User.objects.exists()
        assert not Operation.objects.exists()


@pytest.mark.django_db
def test_the_people_can_log_in_and_are_told(client):
    said = io.StringIO()
    call_command("seed_demo", stdout=said)
    assert PASSWORD in said.getvalue()
    for person in demo_people():
        assert person.username in said.getvalue()
    assert client.login(username="officer-ee", password=PASSWORD)


def test_two_at_once_load_it_once(committed):
    def load(_):
        try:
            call_command("seed_demo", stdout=io.StringIO())
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as both:
        list(both.map(load, range(2)))
    with acting_as(SYSTEM):
        assert Operation.objects.count() == 1
        assert Nation.objects.count() == 35
