"""Columns at a time: the quick lane and the careful reader give the same answer."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from unittest.mock import patch
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalition.models import Sector
from monitoring import places, placing
from monitoring.models import Report
from monitoring.placing import Areas
from monitoring.profiles.table import ReportTable
from monitoring.understanding import BEFORE, Knowing, Reader, originals, read_from_until

KNOWING = Knowing(
    zone=ZoneInfo("Europe/Kyiv"),
    sources={"patrol": 7},
    parties={"a": 1, "b": 2},
    now=datetime(2026, 1, 1, tzinfo=UTC),
    first_agreed_on=date(2020, 1, 1),
)


def an_area(pk, kind, west, south, east, north):
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return Sector(pk=pk, kind=kind, polygon={"type": "Polygon", "coordinates": [ring]})


AREAS = [
    an_area(1, "sector", 30, 46, 34, 50),
    an_area(2, "sector", 34, 46, 38, 50),
    an_area(3, "buffer_zone", 33, 47, 36, 49),
    an_area(4, "protected_site", 31, 46, 39, 48),
]


def understood(knowing=KNOWING, **columns):
    size = len(next(iter(columns.values())))
    texts = {"occurred_from": ["2025-03-20"] * size, "source": ["Patrol"] * size} | columns
    said = {name: pa.array(values, pa.string()) for name, values in texts.items()}
    return Reader(ReportTable.reads, knowing).understand(said)


def column(found, name):
    return found.columns[name].to_pylist()


FIRST, LAST = (datetime.fromisoformat(day) for day in ("1991-01-01", "2025-12-01"))
STAMPS = st.datetimes(FIRST, LAST).map(lambda at: f"{at:%Y-%m-%dT%H:%M}Z")
ENDS = st.one_of(st.just(""), STAMPS, st.just("2025-02-31T10:00Z"), st.just("about noon"))


@given(st.lists(st.tuples(st.one_of(STAMPS, st.just("2025-02-30T10:00Z"), st.dates().map(str)), ENDS), min_size=1))
@settings(max_examples=40)
def test_whole_columns_of_instants_are_read_as_one_by_one(rows):
    starts, ends = map(list, zip(*rows, strict=True))
    found = understood(occurred_from=starts, occurred_until=ends)
    for place, (start, end) in enumerate(rows):
        try:
            one = read_from_until(KNOWING, start, end)
        except ValueError:
            assert place in found.problems
            continue
        if place in found.problems:  # still to come
            assert one.at_from > KNOWING.now
            continue
        assert column(found, "occurred_from")[place] == one.at_from
        assert column(found, "occurred_until")[place] == one.at_until
        assert column(found, "occurred_on")[place] == one.on
        assert column(found, "time_precision")[place] == one.precision


@given(st.lists(st.floats(-90, 90, allow_nan=False).map(lambda x: round(x, 6)), min_size=1, max_size=30))
def test_degrees_are_read_as_they_stand(degrees):
    found = understood(latitude=[repr(x) for x in degrees], longitude=["30.5"] * len(degrees))
    for place, degree in enumerate(degrees):
        if place not in found.problems:
            assert column(found, "latitude")[place] == degree


@pytest.mark.parametrize(
    ("latitude", "longitude", "reason"),
    [
        ("37.75", "48.14", places.SWAPPED),
        ("NaN", "37.75", "is not a number"),
        ("inf", "37.75", "is not a number"),
        ("98", "37.75", places.OUT_OF_RANGE),
        ("48.1", "", "is empty"),
        ("48,1", "37.7", "decimal point"),
        ("north", "37.7", "is not a number"),
    ],
)
def test_a_place_that_is_none_is_refused_with_its_column_and_reason(latitude, longitude, reason):
    found = understood(latitude=["48.1", latitude], longitude=["37.7", longitude])
    assert list(found.problems) == [1]
    assert reason in found.problems[1][0][2]
    assert column(found, "longitude")[0] == 37.7


def test_a_decimal_comma_is_read_where_the_mapping_says_so():
    found = understood(replace(KNOWING, decimal_comma=True), latitude=["48,14"], longitude=["37,75"])
    assert (column(found, "latitude"), found.problems) == ([48.14], {})


def test_a_place_outside_the_theatre_is_a_warning():
    found = understood(latitude=["-33.9"], longitude=["151.2"])
    assert found.problems == {}
    assert [reason for _, _, reason in found.remarks[0]] == [places.OUTSIDE]


def test_a_place_is_as_exact_as_its_digits_unless_it_says_otherwise():
    found = understood(
        latitude=["48.1", "48.14", "48.1"], longitude=["37.7", "37.75", "37.7"], place_precision_m=["", "", "2 km"]
    )
    assert [round(x) for x in column(found, "place_precision_m")] == [5560, 556, 2000]


def test_the_future_is_refused_and_the_time_before_the_first_agreement_is_a_warning():
    found = understood(occurred_from=["2027-01-01", "2019-05-05", "2025-05-05"])
    assert list(found.problems) == [0]
    assert {place: said[0][2] for place, said in found.remarks.items()} == {1: BEFORE}


def test_unknown_is_null_and_zero_is_zero():
    found = understood(count=["N/K", "0", "", "several"], killed=["", "0", "N/K", "3"])
    assert column(found, "count_low") == [None, 0, None, None]
    assert column(found, "count_text") == ["N/K", "0", "", "several"]
    assert column(found, "killed") == [None, 0, None, 3]


def test_a_word_that_is_no_party_or_source_is_refused_with_the_way_out():
    found = understood(accused=["A", "Martians"], source=["patrol", "patrol"])
    assert list(found.problems) == [1]
    assert "choose one for this word in the mapping" in found.problems[1][0][2]


def test_a_sensitive_place_is_coarser_for_lower_tiers():
    found = understood(latitude=["48.14", "48.14"], longitude=["37.75", "37.75"], sensitive=["yes", "no"])
    exact, coalition, public = (column(found, f"{tier}longitude") for tier in ("", "coalition_", "public_"))
    assert exact[0] == exact[1] == coalition[1] == public[1] == 37.75
    assert len({exact[0], coalition[0], public[0]}) == 3


@given(
    st.lists(
        st.tuples(st.floats(22, 40), st.floats(45, 52), st.sampled_from([50.0, 9_999.0, 15_000.0]), st.booleans()),
        min_size=1,
        max_size=10,
    )
)
@settings(max_examples=20)
def test_places_by_the_column_are_placed_as_one_by_one(rows):
    columns = Areas(AREAS).placed(*(np.array(column) for column in zip(*rows, strict=True)))
    for row, (longitude, latitude, precision_m, sensitive) in enumerate(rows):
        one = Report(longitude=longitude, latitude=latitude, place_precision_m=precision_m, sensitive=sensitive)
        with patch.object(placing.Sector.objects, "order_by", return_value=AREAS):
            placing.place(one)
        for name, column in columns.items():
            value = getattr(one, name)
            written = "{" + ",".join(map(str, value)) + "}" if isinstance(value, list) else value
            assert column[row].as_py() == written, name


def test_too_vague_a_place_has_no_cell():
    found = understood(latitude=["48", "48"], longitude=["37", "37"], place_precision_m=["500", "15000"])
    assert [cell is None for cell in column(found, "cell")] == [False, True]


def test_text_that_is_too_long_is_refused():
    found = understood(narrative=["fine", "x" * 8001], external_id=["1", "2"])
    assert {place: said[0][2] for place, said in found.problems.items()} == {
        1: "It has 8,001 characters; at most 8,000 are kept."
    }


CELLS = st.text(st.characters(blacklist_categories=("Cs", "Cc")) | st.sampled_from('"\\\n\t\r'), max_size=20)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8))
def test_the_row_as_it_stood_is_json_of_its_filled_cells(rows):
    header = ['a "quoted" name', "b"]
    batch = pa.record_batch([pa.array(column, pa.string()) for column in zip(*rows, strict=True)], names=header)
    for row, text in zip(rows, originals(batch, header).to_pylist(), strict=True):
        assert json.loads(text) == {name: cell for name, cell in zip(header, row, strict=True) if cell}
