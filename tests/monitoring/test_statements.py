"""What sources state: counts, times, grades, kinds. Nothing is guessed, and what is unknown is never zero."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalition.imports.cells import Unclear
from monitoring import statements
from monitoring.kinds import Kind
from monitoring.statements import Count, read_count, read_day_and_clock, read_from_until, read_when

KYIV = ZoneInfo("Europe/Kyiv")


def asked(reader, *texts, **settings):
    """What a reader answers, and the sentence with which it refuses."""
    try:
        return reader(*texts, **settings), ""
    except Unclear as unclear:
        return None, str(unclear)


A_DAY = st.dates(date(1991, 1, 1), date(2100, 12, 31))


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("71", 71, 71),
        ("30-35", 30, 35),
        ("30–35", 30, 35),
        ("about 25", 25, 25),
        ("almost 200", 200, 200),
        ("0", 0, 0),
        ("1,500", 1500, 1500),
        ("several", None, None),
        ("dozens", None, None),
        ("N/K", None, None),
        ("at least 50", None, None),
        ("up to 40", None, None),
    ],
)
def test_a_count_keeps_its_words_and_has_both_bounds_or_none(text, low, high):
    assert read_count(text) == Count(text, low, high)


def test_an_empty_cell_is_no_count():
    assert read_count("  ") == Count()


@pytest.mark.parametrize("text", ["5-3", "-4", "2.5", "100000000", "many words that are not a count", "NaN", "inf"])
def test_what_is_no_count_is_refused(text):
    with pytest.raises(Unclear):
        read_count(text)


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.sampled_from(["", "about ", "almost ", "circa "]))
def test_every_count_within_bounds_is_read(a, b, before):
    low, high = sorted((a, b))
    assert read_count(f"{before}{low}") == Count(f"{before}{low}", low, low)
    found = read_count(f"{low}-{high}")
    assert (found.low, found.high) == (low, high)


@given(st.text(max_size=70))
def test_any_text_is_a_count_or_is_refused_in_words(text):
    found, refusal = asked(read_count, text)
    if found is None:
        assert refusal.endswith(".")
    else:
        assert (found.low is None) == (found.high is None)
        assert found.low is None or 0 <= found.low <= found.high


@given(A_DAY, st.sampled_from(["Europe/Kyiv", "UTC", "America/New_York", "Asia/Tokyo"]))
def test_a_day_without_a_time_is_that_day_in_every_zone(day, zone):
    found = read_when(day.isoformat(), zone=ZoneInfo(zone))
    assert found.on == day
    assert found.precision == "day"
    assert found.at_from.astimezone(ZoneInfo(zone)).date() == found.at_until.astimezone(ZoneInfo(zone)).date() == day
    assert found.at_until - found.at_from > timedelta(hours=22)


@pytest.mark.parametrize("text", ["2024-04-05", "05 April 2024", "05/04/2024 00:00:00", "20240405", "5.4.2024"])
def test_the_spellings_of_a_day_mean_the_same(text):
    assert statements.read_day_and_clock(text, "", zone=KYIV, order="dmy").on == date(2024, 4, 5)


def test_the_month_comes_first_where_the_mapping_says_so():
    found = read_day_and_clock("1/27/2014 12:00:00 AM", "", zone=KYIV, order="mdy")
    assert (found.on, found.precision) == (date(2014, 1, 27), "day")


def test_a_clock_time_is_local():
    found = read_day_and_clock("22-Aug-17", "11:45", zone=KYIV)
    assert found.at_from == found.at_until == datetime(2017, 8, 22, 8, 45, tzinfo=UTC)
    assert (found.on, found.precision) == (date(2017, 8, 22), "exact")


@pytest.mark.parametrize("text", ["11:45-11:57", "11:45 – 11:57", "between 11:45 and 11:57", "1145-1157"])
def test_two_clock_times_are_a_span(text):
    found = read_day_and_clock("22-Aug-17", text, zone=KYIV)
    assert (found.at_from.minute, found.at_until.minute, found.precision) == (45, 57, "span")


def test_a_span_over_midnight_ends_on_the_next_day_and_belongs_to_the_first():
    found = read_day_and_clock("22-Aug-17", "22:30-02:15", zone=KYIV)
    assert found.on == date(2017, 8, 22)
    assert found.at_until - found.at_from == timedelta(hours=3, minutes=45)


def test_night_reaches_into_the_next_morning():
    found = read_day_and_clock("22-Aug-17", "night", zone=KYIV)
    assert found.precision == "part_of_day"
    assert found.at_from.astimezone(KYIV).hour == 20
    assert found.at_until.astimezone(KYIV).date() == date(2017, 8, 23)


def test_a_time_that_the_clocks_skipped_is_refused():
    with pytest.raises(Unclear, match="did not exist"):
        read_day_and_clock("30-Mar-2025", "03:30", zone=KYIV)


def test_a_time_that_came_twice_spans_both_and_says_so():
    found = read_day_and_clock("26-Oct-2025", "03:30", zone=KYIV)
    assert found.at_until - found.at_from == timedelta(hours=1)
    assert (found.precision, "came twice" in found.note) == ("span", True)


@given(A_DAY, st.times(), st.sampled_from(["Europe/Kyiv", "UTC"]))
def test_any_clock_time_is_read_in_its_zone_or_is_said_not_to_exist(day, clock, zone):
    zone = ZoneInfo(zone)
    found, refusal = asked(read_day_and_clock, day.isoformat(), f"{clock:%H:%M}", zone=zone)
    if found is None:
        assert "did not exist" in refusal
    else:
        assert found.on == day
        assert (found.at_from.astimezone(zone).hour, found.at_from.astimezone(zone).minute) == (
            clock.hour,
            clock.minute,
        )
        assert found.at_from <= found.at_until


def test_an_instant_belongs_to_the_local_day():
    found = read_when("2025-03-20T22:30Z", zone=KYIV)
    assert (found.on, found.precision) == (date(2025, 3, 21), "exact")


def test_an_end_before_the_beginning_is_refused():
    with pytest.raises(Unclear, match="ends before"):
        read_from_until("2025-03-20", "2025-03-19", zone=KYIV)


@given(st.text(max_size=40), st.text(max_size=20))
def test_any_text_is_a_time_or_is_refused_in_words(day, clock):
    found, refusal = asked(read_day_and_clock, day, clock, zone=KYIV)
    assert refusal == "" or refusal.endswith(".")
    assert found is None or found.at_from <= found.at_until


@pytest.mark.parametrize(
    ("text", "reliability", "credibility"),
    [
        ("B2", "B", 2),
        ("f-6", "F", 6),
        ("A", "A", None),
        ("3", None, 3),
        ("", None, None),
        ("usually reliable", "B", None),
    ],
)
def test_the_two_grades_are_read_apart(text, reliability, credibility):
    if reliability or not text:
        assert statements.read_reliability(text) == reliability
    if credibility or not text:
        assert statements.read_credibility(text) == credibility


def test_a_grade_that_there_is_not_is_refused():
    with pytest.raises(Unclear):
        statements.read_reliability("G1")
    with pytest.raises(Unclear):
        statements.read_credibility("7")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Undetermined explosion", Kind.EXPLOSION),
        ("Projectile, W to E", Kind.PROJECTILE),
        ("Burst", Kind.BURST),
        ("illumination flare", Kind.FLARE),
        ("Explosion assessed as outgoing mortar round", Kind.MORTAR),
        ("", Kind.NOT_STATED),
        ("a meeting", Kind.NOT_STATED),
    ],
)
def test_a_description_names_the_kind(text, kind):
    assert statements.kind_in(text) == kind


@pytest.mark.parametrize(
    ("text", "place", "far"),
    [
        ("SMM camera in Avdiivka", "Avdiivka", ""),
        ("0.5km E of Svitlodarsk", "Svitlodarsk", "0.5km E"),
        ("SMM camera at Donetsk filtration station (15km N of Donetsk)", "Donetsk", "15km N"),
        ("NE edge of Yasynuvata", "Yasynuvata", ""),
    ],
)
def test_the_position_of_a_monitor_is_a_place_and_perhaps_a_range(text, place, far):
    assert statements.place_of_position(text) == (place, far)


def test_not_known_is_no_weapon_and_nobody_killed_is_not_unknown():
    assert statements.read_weapon("N/K") == ""
    assert statements.read_people("N/K") is None
    assert statements.read_people("0") == 0
    with pytest.raises(Unclear):
        statements.read_people("2-3")
