"""The offline base map: the files are those of its README, and Ukraine is whole."""

import hashlib
import json
import re

import pytest
from shapely.geometry import Point, shape
from shapely.ops import unary_union

from tests.bed import ROOT

MAP = ROOT / "static" / "map"


def areas_of(name: str) -> dict[str, object]:
    features = json.loads((MAP / name).read_text(encoding="utf-8"))["features"]
    return {feature["properties"]["name"]: shape(feature["geometry"]) for feature in features}


def test_every_file_has_the_hash_that_the_readme_lists():
    readme = (MAP / "README.md").read_text(encoding="utf-8")
    written = dict(re.findall(r"^\| `([^`]+)` \|.*\| `([0-9a-f]{64})` \|$", readme, flags=re.MULTILINE))
    shipped = {path.name for path in MAP.iterdir() if path.suffix in (".geojson", ".json")}
    assert {name: hashlib.sha256((MAP / name).read_bytes()).hexdigest() for name in shipped} == written
    assert (MAP / "LICENSE").is_file()


def test_ukraine_has_its_27_units():
    assert len(areas_of("ukraine.geojson")) == 27


@pytest.mark.parametrize(
    ("place", "longitude", "latitude", "unit"),
    [
        ("Simferopol", 34.10, 44.95, "Crimea"),
        ("Kerch", 36.40, 45.35, "Crimea"),
        ("Dzhankoi", 34.39, 45.71, "Crimea"),
        ("Sevastopol", 33.60, 44.58, "Sevastopol"),
        ("Donetsk", 37.80, 48.00, "Donetsk"),
        ("Luhansk", 39.31, 48.57, "Luhansk"),
        ("Uzhhorod", 22.32, 48.63, "Zakarpattia"),
        ("Izmail", 28.85, 45.37, "Odesa"),
    ],
)
def test_each_place_lies_in_its_unit_and_in_no_other_country(place, longitude, latitude, unit):
    point = Point(longitude, latitude)
    assert [name for name, area in areas_of("ukraine.geojson").items() if area.covers(point)] == [unit]
    assert [name for name, area in areas_of("neighbours.geojson").items() if area.buffer(0).covers(point)] == []


def test_no_other_country_reaches_into_ukraine():
    ukraine = unary_union([area.buffer(0) for area in areas_of("ukraine.geojson").values()])
    for name, area in areas_of("neighbours.geojson").items():
        assert area.buffer(0).intersection(ukraine).area < 0.005, name  # rounding along the border, in square degrees


def test_labels_are_sorted_and_name_crimea_in_ukraine():
    labels = json.loads((MAP / "labels.json").read_text(encoding="utf-8"))
    people = [label[3] for label in labels]
    assert people == sorted(people, reverse=True)
    assert {label[0]: label[4] for label in labels}["Sevastopol"] == "UA"
