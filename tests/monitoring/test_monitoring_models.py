"""What the database itself refuses, whoever writes; and who finds which rows without being asked politely."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, transaction

from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.models import Tombstone
from monitoring.kinds import FAMILY_OF, Kind
from monitoring.models import Incident, Report, Source
from monitoring.placing import seen_place
from tests.factories import a_member, a_party, a_report, a_source, an_incident

pytestmark = pytest.mark.django_db

NOON = datetime(2027, 3, 10, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _acting():
    with acting_as(SYSTEM):
        yield


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"count_low": 3, "count_high": 2, "count_unit": "shots"}, "report_count_in_order"),
        ({"count_low": 3, "count_unit": "shots"}, "report_count_in_order"),
        ({"count_low": 3, "count_high": 3}, "report_count_has_a_unit"),
        ({"longitude": 30.0}, "report_place_is_whole"),
        ({"longitude": 30.0, "latitude": float("nan"), "place_precision_m": 10}, "report_place_is_whole"),
        ({"longitude": 30.0, "latitude": 50.0}, "report_place_is_whole"),
        ({"longitude": 30.0, "latitude": 50.0, "place_precision_m": 20_000, "cell": 1}, "report_vague_place"),
        ({"occurred_until": NOON - timedelta(minutes=1)}, "report_ends_after_it_starts"),
        ({"killed": -1}, "report_killed_in_range"),
    ],
)
def test_a_report_that_makes_no_sense_is_refused(fields, constraint):
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        a_report(**fields)


def test_an_id_stands_once_in_a_data_set_and_reports_without_one_do_not_collide():
    a_report(dataset="osce", external_id="1")
    a_report(dataset="acled", external_id="1")
    a_report(), a_report()
    with pytest.raises(IntegrityError, match="report_external_id_once_per_dataset"), transaction.atomic():
        a_report(dataset="osce", external_id="1")


def test_who_judged_an_incident_cannot_verify_it_in_the_database_either():
    judge = a_member(Role.MONITOR)
    with pytest.raises(IntegrityError, match="incident_verifier_is_not_the_author"), transaction.atomic():
        an_incident(judged_by=judge, verified_by=judge)


def test_attribution_to_a_party_names_it_and_nothing_else_does():
    for fields in ({"attribution": "party"}, {"attribution": "joint", "attributed_to": a_party()}):
        with pytest.raises(IntegrityError, match="incident_attribut"), transaction.atomic():
            an_incident(**fields)


def test_a_source_of_a_party_says_whose_voice_it_is():
    with pytest.raises(IntegrityError, match="source_of_a_party_names_it"), transaction.atomic():
        a_source("claims", source_class=Source.Class.PARTY)


@pytest.mark.parametrize("role", [Role.OFFICER, Role.MONITOR, Role.ANALYST])
def test_without_visible_to_nothing_of_the_planning_tier_shows(role):
    secret = an_incident(tier=Tier.PLANNING)
    report = a_report(tier=Tier.PLANNING, incident=secret)
    shown = a_report()
    Report.objects.filter(pk=report.pk).update(weapon="D-30")
    with acting_as(a_member(role)):
        assert list(Report.objects.all()) == [shown]
        assert not Incident.objects.exists()
        assert not Report.pgh_event_model.objects.exists()


def test_a_raised_tier_and_a_deletion_leave_tombstones_for_those_who_could_see_it():
    raised, deleted = a_report(), a_report()
    Report.objects.filter(pk=raised.pk).update(tier=Tier.PLANNING)
    Report.objects.filter(pk=deleted.pk).delete()
    with acting_as(a_member(Role.ANALYST)):
        assert set(Tombstone.objects.values_list("kind", "object_id")) == {
            ("monitoring_report", str(raised.pk)),
            ("monitoring_report", str(deleted.pk)),
        }


def test_reports_of_an_incident_that_may_not_be_seen_stand_alone():
    hidden, open_to_all = an_incident(tier=Tier.PLANNING), an_incident()
    alone, of_hidden = a_report(), a_report(incident=hidden)
    a_report(incident=open_to_all)
    assert set(Report.objects.unmerged_for(a_member(Role.MONITOR))) == {alone, of_hidden}
    assert set(Report.objects.unmerged_for(a_member(Role.PLANNER))) == {alone}


def test_every_kind_has_a_family():
    assert set(FAMILY_OF) == set(Kind)


def test_the_columns_of_a_place_exist_for_every_tier_and_for_nothing_else():
    names = {field.name for field in Report._meta.get_fields()}
    for tier in Tier:
        assert set(vars(seen_place(tier)).values()) <= names
    with pytest.raises(KeyError):
        seen_place(0)
