"""Areas are judged when they are written: valid polygons in degrees, and sectors that do not overlap."""

import math

import pytest
from django.core.exceptions import ValidationError

from coalition import sectors
from coalition.access import SYSTEM, acting_as
from coalition.models import Sector

pytestmark = pytest.mark.django_db


def box(west, south, east, north) -> dict:
    return {
        "type": "Polygon",
        "coordinates": [[[west, south], [east, south], [east, north], [west, north], [west, south]]],
    }


@pytest.fixture(autouse=True)
def acting(db):
    with acting_as(SYSTEM):
        yield


def test_a_plain_box_is_an_area():
    sectors.judge(box(30, 50, 31, 51), kind="sector")


@pytest.mark.parametrize(
    "polygon",
    [
        None,
        [],
        {"type": "Point", "coordinates": [30, 50]},
        {"type": "Polygon"},
        {"type": "Polygon", "coordinates": []},
        {"type": "Polygon", "coordinates": [[[30, 50], [31, 50], [30, 50]]]},
        {"type": "Polygon", "coordinates": [[[30, 50], [31, "x"], [31, 51], [30, 51], [30, 50]]]},
        {"type": "Polygon", "coordinates": [[[30, 50], [31, 51], [31, 50], [30, 51], [30, 50]]]},
        box(float("nan"), 50, 31, 51),
        box(float("inf"), 50, 31, 51),
        box(30, 50, 31, 151),
    ],
    ids=["none", "list", "point", "bare", "empty", "short", "text", "bow tie", "nan", "infinite", "off the globe"],
)
def test_what_is_no_area_is_refused(polygon):
    with pytest.raises(ValidationError) as refused:
        sectors.judge(polygon, kind="buffer_zone")
    assert list(refused.value.message_dict) == ["polygon"]


def test_deep_nesting_is_refused_before_it_is_read():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValidationError):
        sectors.judge({"type": "Polygon", "coordinates": deep}, kind="sector")
    while deep:  # taken apart by hand: freeing it in one go would recurse
        deep = deep[0]


def test_sectors_do_not_overlap_but_may_touch():
    north = Sector.objects.create(code="north", name="North", polygon=box(30, 50, 31, 51))
    sectors.judge(box(31, 50, 32, 51), kind="sector")
    sectors.judge(box(30.5, 50, 31.5, 51), kind="buffer_zone")
    sectors.judge(box(30.5, 50, 31.5, 51), kind="sector", besides=north.pk)
    with pytest.raises(ValidationError, match="overlaps north North"):
        sectors.judge(box(30.5, 50, 31.5, 51), kind="sector")


def test_an_area_of_a_hundred_thousand_points_is_refused_with_the_limit():
    angles = [2 * math.pi * number / 100_000 for number in range(100_000)]
    ring = [[30 + math.cos(angle), 50 + math.sin(angle)] for angle in angles]
    with pytest.raises(ValidationError, match="from 4 to 20,000 points"):
        sectors.judge({"type": "Polygon", "coordinates": [[*ring, ring[0]]]}, kind="buffer_zone")


def test_an_area_that_crosses_itself_is_refused_and_told_where():
    bow_tie = {"type": "Polygon", "coordinates": [[[30, 50], [31, 51], [31, 50], [30, 51], [30, 50]]]}
    with pytest.raises(ValidationError, match=r"Self-intersection\[30\.5 50\.5\]"):
        sectors.judge(bow_tie, kind="protected_site")
