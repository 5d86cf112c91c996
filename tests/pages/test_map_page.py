"""The map page: for every role, with its filters in the address, and the same data as a table."""

import json
import re
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from coalition.access import SYSTEM, Role, Tier, acting_as
from monitoring import placing, rollups
from tests.factories import a_member, a_party, a_report, a_sector, the_operation

pytestmark = pytest.mark.django_db
MOST_QUERIES = 25
WEEK = "occurred_after=2027-03-08&occurred_before=2027-03-14"
NEAR = f"{WEEK}&bbox=37,48,39,49&zoom=9"


def browser(role: str = Role.MONITOR) -> Client:
    client = Client()
    client.force_login(a_member(role), backend="coalition.accounts.EqualWork")
    return client


@pytest.fixture(autouse=True)
def world():
    with acting_as(SYSTEM):
        the_operation()
        ring = [[37.5, 48.2], [38.5, 48.2], [38.5, 48.9], [37.5, 48.9], [37.5, 48.2]]
        a_sector("north", polygon={"type": "Polygon", "coordinates": [ring]})
        known = {"longitude": 38.01234, "latitude": 48.61234, "place_precision_m": 100.0}
        for name, more in (
            ("Square", {}),
            ("Cellar", {"sensitive": True}),
            ("Bunker", {"tier": Tier.PLANNING}),
        ):
            at = datetime(2027, 3, 10, 12, tzinfo=UTC)
            report = a_report(at=at, place_name=name, accused=a_party("ru"), **known, **more)
            placing.place(report)
            report.save()
        rollups.mark_all()
        rollups.sweep()


def drawing_of(answer) -> dict:
    return json.loads(re.search(r'<script id="map-drawing"[^>]*>(.*?)</script>', answer.content.decode())[1])


def text_of(answer) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", answer.content.decode()))


@pytest.mark.parametrize("role", Role.values)
def test_the_map_opens_for_every_role_with_few_queries(role):
    client = browser(role)
    for address in ("/monitoring/", f"/monitoring/?{WEEK}", f"/monitoring/?{NEAR}"):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert client.get(address).status_code == 200
        assert len(queries) <= MOST_QUERIES


def test_near_the_table_and_the_drawing_hold_the_same_events():
    answer = browser().get(f"/monitoring/?{NEAR}")
    drawn = drawing_of(answer)
    assert (len(drawn["points"]), drawn["hexes"]) == (2, [])
    assert answer.content.decode().count("<tr data-mark=") == 2
    assert "Square" in text_of(answer)


def test_nobody_below_planning_reads_a_sensitive_place_or_a_planning_report():
    seen, planning = (browser(role).get(f"/monitoring/?{NEAR}") for role in (Role.ANALYST, Role.PLANNER))
    for word in ("Cellar", "Bunker"):
        assert word not in seen.content.decode()
        assert word in planning.content.decode()
    exact = [38.01234, 48.61234]
    assert [point[2:4] for point in drawing_of(seen)["points"]].count(exact) == 1
    assert [point[2:4] for point in drawing_of(planning)["points"]].count(exact) == 3


def test_a_script_gets_only_what_changes():
    answer = browser().get(f"/monitoring/?{NEAR}", headers={"HX-Request": "true"})
    assert "<html" not in answer.content.decode()
    assert 'id="map-picture"' in answer.content.decode()
    assert "HX-Request" in answer["Vary"]


def test_the_slider_shows_one_day_of_the_week():
    client = browser()
    assert "2 events" in text_of(client.get(f"/monitoring/?{WEEK}&on=2027-03-10"))
    assert "0 events" in text_of(client.get(f"/monitoring/?{WEEK}&on=2027-03-11"))


@pytest.mark.parametrize(
    ("query", "events"),
    [
        ("sector=north", 2),
        ("kind=explosion", 2),
        ("family=fire", 2),
        ("family=ground", 0),
        ("accused=ru", 2),
        ("source_class=media", 0),
        ("occurrence=received", 2),
    ],
)
def test_filters_stand_in_the_address(query, events):
    assert f"{events} events" in text_of(browser().get(f"/monitoring/?{WEEK}&{query}"))


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("occurred_after=2027-03-14&occurred_before=2027-03-08", "not before the first"),
        ("occurred_after=yesterday", "Enter a valid date"),
        ("occurred_after=0001-01-01", "Days lie between"),
        ("bbox=1,2,3", "Four numbers"),
        ("bbox=nan,48,39,49", "Four numbers"),
        ("bbox=39,48,37,49", "west of east"),
        ("zoom=99", "less than or equal to 20"),
        ("kind=explosion&family=ground", "not of the family"),
        ("accused=nobody", "Select a valid choice"),
        ("on=never", "Enter a valid date"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_sentence(query, sentence):
    answer = browser().get(f"/monitoring/?{query}")
    assert answer.status_code == 200
    assert sentence in text_of(answer)
    assert "map-drawing" not in answer.content.decode()


def test_without_events_the_newest_days_are_offered():
    answer = browser().get("/monitoring/?occurred_after=2027-05-01&occurred_before=2027-05-07")
    assert "occurred_after=2027-03-04&amp;occurred_before=2027-03-10" in answer.content.decode()


def test_areas_are_answered_as_geojson():
    answer = browser().get("/monitoring/map/zones.geojson").json()
    assert [(feature["id"], feature["geometry"]["type"]) for feature in answer["features"]] == [("north", "Polygon")]
