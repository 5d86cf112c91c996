"""Places: every spelling comes back as the same place, vagueness is honest, and no tier sees closer than it may."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring import places
from monitoring.places import NotAPlace, Point, Zone, parse

PLACE = pytest.approx((31.2345, 48.4567), abs=1e-4)
anywhere_watched = st.builds(
    Point,
    st.floats(19.1, 49.9),
    st.floats(41.1, 59.9),
    st.sampled_from([1.0, 3.0, 10.0, 77.0, 100.0, 900.0, 1_000.0, 5_000.0, 10_000.0]),
)


@pytest.mark.parametrize(
    "text",
    [
        "48.4567, 31.2345",
        "48.4567 31.2345",
        "48,4567 31,2345",
        "48,4567; 31,2345",
        "48,4567, 31,2345",
        "48.4567N 31.2345E",
        "31.2345E, 48.4567N",
        "N48.4567 E31.2345",
        "48.4567°n; 31.2345°e",
        "lat: 48.4567, lon: 31.2345",
        "geo:48.4567,31.2345",
        "48,4567° пн.ш. 31,2345° сх.д.",
        "48.4567 с. ш., 31.2345 в. д.",
        "48°27′24.12″N 31°14′04.2″E",
        "48°27'24.12\" N, 31°14'4.2\" E",
        "48-27-24.12N 031-14-04.2E",
        "48 27 24.12 31 14 4.2",
        "482724.12N0311404.2E",
        "4827.402N 03114.07E",
        "36U UU 69470 68567",
        "36uuu6947068567",
    ],
)
def test_common_spellings_mean_the_same_place(text):
    point = parse(text)
    assert (point.longitude, point.latitude) == PLACE


def test_the_other_hemispheres_are_negative():
    assert parse("33.5S 70.5W") == Point(-70.5, -33.5, parse("33.5, 70.5").precision_m)
    assert parse("-33.5, -70.5") == parse("33.5S 70.5W")


@pytest.mark.parametrize(
    ("text", "precision_m"),
    [
        ("48.5, 31.5", 5_560),
        ("48.4567, 31.2345", 5.56),
        ("48.45678, 31.2", 5_560),
        ("48°27′N 31°14′E", 927),
        ("48°27′24″N 31°14′04″E", 15.4),
        ("48.4567891, 31.2345678", 1),
        ("36UUU", 100_000),
        ("36UUU66", 10_000),
        ("36UUU694685", 100),
    ],
)
def test_a_place_is_as_precise_as_its_digits(text, precision_m):
    assert parse(text).precision_m == pytest.approx(precision_m, rel=0.01)


def test_an_mgrs_square_means_its_middle():
    whole, half = parse("36UUU6968"), parse("36UUU6950068500")
    assert places.distance_m(whole, half) < 2


def test_a_swapped_pair_is_refused_and_the_meant_one_named():
    with pytest.raises(NotAPlace, match=r"swapped: did you mean 48\.5.* N, 31\.2.* E"):
        parse("31.25, 48.5")
    assert parse("31.25N 48.5E").latitude == 31.25  # letters leave no doubt


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "No place was given"),
        ("nan, 31", "finite"),
        ("48, inf", "finite"),
        ("somewhere", "not read as a place"),
        ("48.5", "not read as a place"),
        ("48.5, 31.5, 3", "not read as a place"),
        ("1e5, 31", "not read as a place"),
        ("48.5N 31.5N", "not read as a place"),
        ("48 61 0 N 31 0 0 E", "below 60"),
        ("48.5 30 N 31 0 E", "Only the last"),
        ("-48.5N 31E", "not both"),
        ("95, 95", "from −90 to 90"),
        ("48N 190E", "from −180 to 180"),
        ("36UZZ1234", "no MGRS square"),
        ("36UUU123", "as many digits"),
        ("4" * 101, "at most 100"),
    ],
)
def test_what_is_no_place_is_refused_with_a_sentence(text, sentence):
    with pytest.raises(NotAPlace, match=sentence):
        parse(text)


@given(st.text(max_size=120))
def test_any_text_is_a_place_or_a_sentence(text):
    try:
        point = parse(text)
    except NotAPlace:
        return
    assert abs(point.latitude) <= 90
    assert abs(point.longitude) <= 180


def test_a_place_outside_the_theatre_is_asked_about():
    assert "Confirm" in places.doubt(Point(2.35, 48.85))
    assert places.doubt(Point(31.2, 48.5)) == ""


@given(anywhere_watched)
def test_what_is_written_reads_back_within_its_precision(point):
    for text in (places.as_degrees(point), places.as_dms(point)):
        again = parse(text)
        assert places.distance_m(again, point) <= 1.5 * max(point.precision_m, again.precision_m)
        assert again.precision_m <= max(point.precision_m, 2)
    square = parse(places.as_mgrs(point))
    assert places.distance_m(square, point) <= square.precision_m <= point.precision_m


@given(anywhere_watched)
def test_mgrs_reads_back_as_the_same_square(point):
    written = places.as_mgrs(Point(point.longitude, point.latitude, 100))
    easting = int(written.split()[2])
    zone_edge = min(point.longitude % 6, 6 - point.longitude % 6) < 0.01 or point.latitude % 8 < 0.01
    if not zone_edge and 0 < easting < 999:  # there a square is cut, and its middle may lie next door
        assert places.as_mgrs(parse(written)) == written


def test_the_faults_of_many_pairs_are_those_of_each():
    longitude = np.array([31.2, 48.5, np.nan, 200.0, 2.35])
    latitude = np.array([48.5, 31.2, 48.0, 10.0, 48.85])
    assert places.faults(longitude, latitude).tolist() == [
        "",
        places.SWAPPED,
        places.NOT_FINITE,
        places.OUT_OF_RANGE,
        places.OUTSIDE,
    ]


# --- Cells and tiers ----------------------------------------------------------------------


def test_a_place_vaguer_than_ten_kilometres_has_no_cell():
    assert places.cell_of(31.2, 48.5, 10_000) == places.cell_of(31.2, 48.5)
    assert places.cell_of(31.2, 48.5, 10_001) is None


@given(st.lists(anywhere_watched, min_size=1, max_size=20))
def test_many_places_have_the_cells_that_each_has(points):
    longitude, latitude, precision = np.array([(p.longitude, p.latitude, p.precision_m * 2) for p in points]).T
    expected = [places.cell_of(p.longitude, p.latitude, p.precision_m * 2) or 0 for p in points]
    assert places.cells_of(longitude, latitude, precision).tolist() == expected
    assert max(expected) < 2**63


@given(anywhere_watched, st.floats(-0.003, 0.003), st.floats(-0.003, 0.003))
def test_the_coalition_sees_a_box_and_the_public_a_cell(point, east, north):
    near = Point(point.longitude + east, point.latitude + north, point.precision_m)
    for coarser, reach in ((places.on_grid, places.GRID_M), (places.in_cell, places.CELL_M)):
        seen = coarser(point)
        assert seen.precision_m == point.precision_m + reach
        assert places.distance_m(seen, point) <= reach
        assert coarser(Point(seen.longitude, seen.latitude, 1)) == Point(seen.longitude, seen.latitude, 1 + reach)
    box = (places.GRID_LONGITUDE, places.GRID_LATITUDE)
    if [math.floor(value / step) for value, step in zip((near.longitude, near.latitude), box, strict=True)] == [
        math.floor(value / step) for value, step in zip((point.longitude, point.latitude), box, strict=True)
    ]:
        assert places.on_grid(near) == places.on_grid(point)  # nothing of the exact place shines through
    assert len(str(places.on_grid(point).longitude).partition(".")[2]) <= 6


@given(st.lists(anywhere_watched, min_size=1, max_size=10))
def test_many_places_are_as_coarse_as_each(points):
    longitude, latitude = np.array([(p.longitude, p.latitude) for p in points]).T
    grid = [places.on_grid(p) for p in points]
    assert np.stack(places.on_grid_all(longitude, latitude), axis=1).tolist() == [
        [p.longitude, p.latitude] for p in grid
    ]
    centres = [places.in_cell(p) for p in points]
    cells = places.cells_of(longitude, latitude)
    assert np.stack(places.in_cell_all(cells), axis=1).tolist() == [[p.longitude, p.latitude] for p in centres]


def test_no_cell_has_no_centre():
    assert np.isnan(places.in_cell_all(np.array([0]))).all()


# --- Range and bearing --------------------------------------------------------------------

POSITION = Point(37.8, 48.0, 50.0)


def test_a_range_and_bearing_is_the_middle_with_all_of_it_within_its_precision():
    found = places.away(POSITION, "3-5km E")
    assert places.distance_m(found, places.offset(POSITION, bearing=90, distance_m=4_000)) < 5
    for distance_m in (3_000, 5_000):
        for bearing in (67.5, 112.5):
            corner = places.offset(POSITION, bearing=bearing, distance_m=distance_m)
            assert places.distance_m(found, corner) <= found.precision_m
    assert found.precision_m < 2_200


def test_several_bearings_make_one_wide_place():
    found = places.away(POSITION, "3-6km N, NNE, NE and SE")
    for bearing in (0, 22.5, 45, 135):
        for distance_m in (3_000, 6_000):
            corner = places.offset(POSITION, bearing=bearing, distance_m=distance_m)
            assert places.distance_m(found, corner) <= found.precision_m
    assert found.precision_m > 6_000


@pytest.mark.parametrize(
    ("text", "same"),
    [("500m W", "0.5km W"), ("1,5 km SW", "1.5km SW"), ("3–5 km e", "3-5km E"), ("5-3km E", "3-5km E")],
)
def test_spellings_of_an_offset(text, same):
    assert places.offset_of(text) == places.offset_of(same) is not None


@pytest.mark.parametrize("text", ["", "N/K", "near the bridge", "3-5km", "3-5 E", "3-5km of Zaitseve", "km E"])
def test_what_is_no_offset_is_none(text):
    assert places.offset_of(text) is None


def test_all_directions_is_a_disc_around_the_position():
    assert places.away(POSITION, "up to here") is None
    assert places.away(POSITION, "2km all directions") == Point(37.8, 48.0, 2_050.0)


def test_many_offsets_are_those_of_each():
    texts = ["3-5km E", "N/K", "3-6km N, NNE, NE and SE"]
    longitude, latitude, precision = places.away_all(np.full(3, 37.8), np.full(3, 48.0), np.full(3, 50.0), texts)
    for at in (0, 2):
        one = places.away(POSITION, texts[at])
        assert (longitude[at], latitude[at], precision[at]) == pytest.approx(
            (one.longitude, one.latitude, one.precision_m)
        )
    assert np.isnan([longitude[1], latitude[1], precision[1]]).all()


# --- Zones --------------------------------------------------------------------------------


def a_box(west: float, south: float, east: float, north: float) -> dict:
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


ZONES = [
    Zone(1, a_box(30, 48, 32, 50)),
    Zone(2, a_box(32, 48, 34, 50)),
    Zone(3, a_box(31, 48, 33, 49), is_sector=False),
    Zone(4, a_box(31.5, 48, 33, 49), is_sector=False),
]


def test_each_place_has_one_sector_and_any_other_zones():
    longitude = np.array([30.5, 31.2, 32.0, 35.0, 31.2, np.nan])
    latitude = np.array([49.5, 48.5, 48.5, 48.5, 48.5, 48.5])
    found = places.zones_of(longitude, latitude, ZONES, np.array([1, 1, 1, 1, 10_001, 1]))
    assert found.sector.tolist() == [1, 1, 1, 0, 0, 0]  # on the shared border the first
    assert found.zones.tolist() == [(), (3,), (3, 4), (), (), ()]


def test_without_zones_there_is_no_sector():
    found = places.zones_of(np.array([31.0]), np.array([48.0]), [])
    assert (found.sector.tolist(), found.zones.tolist()) == ([0], [()])


def test_a_place_whose_precision_crosses_the_edge_cannot_be_told():
    area = a_box(30, 48, 32, 50)
    assert places.inside(Point(31, 49, 5_000), area) is True
    assert places.inside(Point(33, 49, 5_000), area) is False
    assert places.inside(Point(31.99, 49, 5_000), area) is None
    assert places.inside(Point(32.01, 49, 5_000), area) is None
    assert places.inside(Point(32.01, 49, 500), area) is False
