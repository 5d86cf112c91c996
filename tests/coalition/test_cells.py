"""What a cell says is read; what it could say in two ways is refused."""

from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.utils import translation
from hypothesis import given, settings
from hypothesis import strategies as st

from coalition.imports.cells import (
    Day,
    Quantity,
    Unclear,
    check,
    read_boolean,
    read_choice,
    read_country,
    read_day,
    read_decimal,
    read_instant,
    read_integer,
    read_quantity,
)

KYIV = ZoneInfo("Europe/Kyiv")


@pytest.mark.parametrize(
    ("text", "decimal_comma", "number"),
    [
        ("1,234.5", False, "1234.5"),
        ("1.234,5", True, "1234.5"),
        ("1 234", False, "1234"),
        ("1\u202f234\u202f567", True, "1234567"),
        ("1'234", False, "1234"),
        ("1,500", False, "1500"),
        ("1,500", True, "1.5"),
        ("−7", False, "-7"),
        ("1e-05", False, "0.00001"),
        ("", False, None),
    ],
)
def test_numbers_are_read_as_the_mapping_says(text, decimal_comma, number):
    assert read_decimal(text, decimal_comma=decimal_comma) == (number and Decimal(number))


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "inf",
        "-Infinity",
        "1,5",
        "12,34",
        "1,2345",
        "1 2",
        "1.2.3",
        "ten",
        "0x10",
        "٣",
        "1e99",
        "9" * 16,
        "9" * 99,
    ],
)
def test_what_is_no_plain_number_is_refused(text):
    with pytest.raises(Unclear):
        read_decimal(text)


def test_the_wrong_decimal_sign_is_explained():
    with pytest.raises(Unclear, match="Say in the mapping"):
        read_decimal("1,5")


def test_whole_numbers_may_be_written_as_spreadsheets_do():
    assert (read_integer("7.0"), read_integer("10,000"), read_integer("")) == (7, 10_000, None)
    with pytest.raises(Unclear, match="not a whole number"):
        read_integer("7.5")


@given(st.integers(-(10**14), 10**14))
@settings(max_examples=50, deadline=None)
def test_an_integer_is_read_however_its_thousands_are_marked(number):
    assert read_integer(str(number)) == read_integer(f"{number:,}") == number
    assert read_integer(f"{number:,}".replace(",", "."), decimal_comma=True) == number


@pytest.mark.parametrize(
    ("text", "low", "high", "approximate"),
    [
        ("200", 200, 200, False),
        ("100-200", 100, 200, False),
        ("30–35", 30, 35, False),
        ("1,000 to 1,500", 1000, 1500, False),
        ("about 25", 25, 25, True),
        ("~ 20-30", 20, 30, True),
        ("almost 200", None, 200, False),
        ("up to 10,000", None, 10_000, False),
        ("at least 50", 50, None, False),
        ("50+", 50, None, False),
        ("several", None, None, True),
        ("N/K", None, None, True),
        ("0", 0, 0, False),
    ],
)
def test_counts_keep_the_bounds_that_were_stated_and_no_others(text, low, high, approximate):
    assert read_quantity(text) == Quantity(low, high, approximate, text)


def test_an_empty_count_is_not_a_vague_one():
    assert read_quantity(" ") is None


@pytest.mark.parametrize("text", ["200-100", "-5", "a company", "7 of 9", "1,5", "1" * 70, "5-"])
def test_what_is_no_count_is_refused(text):
    with pytest.raises(Unclear):
        read_quantity(text)


@pytest.mark.parametrize(
    "text",
    [
        "2025-04-05",
        "2025/4/5",
        "05.04.2025",
        "20250405",
        "05 April 2024".replace("2024", "2025"),
        "5-Apr-25",
        "April 5, 2025",
        "5 квітня 2025",
        "5 avril 2025",
        "2025-04-05T00:00:00",
        "2025-04-05 12:00:00 AM",
    ],
)
def test_usual_ways_to_write_a_day_are_understood(text):
    assert read_day(text) == Day(date(2025, 4, 5), date(2025, 4, 5), "day")


@pytest.mark.parametrize(("order", "day"), [("dmy", date(2025, 4, 3)), ("mdy", date(2025, 3, 4))])
def test_an_ambiguous_day_needs_the_mapping_to_say_its_order(order, day):
    assert read_day("03/04/2025", order=order).first == day
    with pytest.raises(Unclear, match="day or the month first"):
        read_day("03/04/2025")


def test_a_day_that_can_only_be_read_one_way_is_read():
    assert read_day("14/08/2020 00:00:00").first == date(2020, 8, 14)
    assert read_day("1/27/2014 12:00:00 AM").first == date(2014, 1, 27)
    assert read_day("04/04/2025").first == date(2025, 4, 4)
    with pytest.raises(Unclear, match="says that the month comes first"):
        read_day("27/01/2014", order="mdy")


@pytest.mark.parametrize(
    ("text", "first", "last", "precision"),
    [
        ("2024-02", date(2024, 2, 1), date(2024, 2, 29), "month"),
        ("08/2025", date(2025, 8, 1), date(2025, 8, 31), "month"),
        ("August 2025", date(2025, 8, 1), date(2025, 8, 31), "month"),
        ("2025", date(2025, 1, 1), date(2025, 12, 31), "year"),
    ],
)
def test_a_month_or_year_keeps_its_precision(text, first, last, precision):
    assert read_day(text) == Day(first, last, precision)


@pytest.mark.parametrize(
    "text",
    ["2025-02-30", "20251301", "30.04.25", "45777", "soon", "0001-01-01", "2025-04-05 25:00", "x" * 99],
)
def test_what_is_no_day_is_refused(text):
    with pytest.raises(Unclear):
        read_day(text)


@given(st.dates(date(1900, 1, 1), date(2199, 12, 31)), st.sampled_from(["dmy", "mdy"]))
@settings(max_examples=50, deadline=None)
def test_every_day_survives_being_written(day, order):
    slashed = "%d/%m/%Y" if order == "dmy" else "%m/%d/%Y"
    for form in ("%Y-%m-%d", "%Y%m%d", "%d %B %Y", slashed):
        assert read_day(day.strftime(form), order=order).first == day


def test_local_times_become_utc_and_an_offset_goes_first():
    at = datetime(2025, 4, 30, 8, 45, tzinfo=UTC)
    for text in ("2025-04-30 11:45", "30.04.2025 11:45 AM", "2025-04-30T09:45:00+01:00", "300845ZAPR25"):
        instant = read_instant(text, zone=KYIV)
        assert (instant.at_from, instant.at_until) == (at, at)


def test_a_day_without_a_time_is_the_whole_local_day():
    instant = read_instant("2025-03-30", zone=KYIV)
    assert instant.precision == "day"
    assert instant.at_from == datetime(2025, 3, 29, 22, tzinfo=UTC)
    assert instant.at_until == datetime(2025, 3, 30, 21, tzinfo=UTC)  # a day of 23 hours


def test_a_time_that_the_clocks_skipped_is_refused_and_one_that_came_twice_is_a_span():
    with pytest.raises(Unclear, match="did not exist in Europe/Kyiv"):
        read_instant("2025-03-30 03:30", zone=KYIV)
    twice = read_instant("2025-10-26 03:30", zone=KYIV)
    assert (twice.at_until - twice.at_from).total_seconds() == 3600
    assert "came twice" in twice.note


@pytest.mark.parametrize("text", ["2025-04-30 24:30", "2025-04-30 13:00 PM", "2025-08 10:00", "2025-04-30T09:45+99:00"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(Unclear):
        read_instant(text, zone=KYIV)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("ee", "EE"),
        ("EST", "EE"),
        ("Estonia", "EE"),
        ("Czech Republic", "CZ"),
        ("Czechia", "CZ"),
        ("Türkiye", "TR"),
        ("Turkey", "TR"),
        ("UK", "GB"),
        ("United Kingdom", "GB"),
        ("United States", "US"),
        ("Cote d'Ivoire", "CI"),
        ("Moldova", "MD"),
        ("", None),
    ],
)
def test_countries_have_many_names(text, code):
    assert read_country(text) == code


def test_country_names_are_english_whatever_the_person_reads():
    with translation.override("fr"):
        assert read_country("Germany") == "DE"


def test_an_unknown_country_is_refused():
    with pytest.raises(Unclear, match="not a country"):
        read_country("Ruritania")


def test_a_choice_is_its_code_or_its_label():
    choices = [("air_defence", "Air defence"), ("air", "Air"), ("a", "Both"), ("b", "both")]
    assert read_choice(" AIR DEFENCE ", choices) == "air_defence"
    assert read_choice("air-defence", choices) == "air_defence"
    assert read_choice("b", choices) == "b"
    assert read_choice("", choices) is None
    with pytest.raises(Unclear, match="can mean a or b"):
        read_choice("BOTH", choices)
    with pytest.raises(Unclear, match="not one of: Air defence, Air"):
        read_choice("naval", choices)


def test_yes_and_no():
    assert [read_boolean(text) for text in ("Yes", "TRUE", "1", "ні", "0", "")] == [
        True,
        True,
        True,
        False,
        False,
        None,
    ]
    with pytest.raises(Unclear):
        read_boolean("maybe")


@pytest.mark.parametrize("text", ["a\x00b", "\x1b[31m", "\x7f", "\x85", "\ud800", "x" * 70_000, "я" * 40_000])
def test_no_cell_may_hold_control_characters_or_be_enormous(text):
    with pytest.raises(Unclear):
        check(text)


def test_lines_and_tabs_are_text():
    check("two\r\nlines\tand a tab")


READERS = [
    read_decimal,
    read_integer,
    read_quantity,
    read_day,
    lambda text: read_instant(text, zone=KYIV),
    read_boolean,
    read_country,
    lambda text: read_choice(text, [("a", "A")]),
]
SNIPPETS = st.sampled_from(
    ["2025", "-", "/", ".", ":", "12", " ", "T", "AM", "+", "May", "to", "about ", "٣", "e9", "Z"]
)


@pytest.mark.parametrize("read", READERS)
@given(text=st.text(max_size=30) | st.lists(SNIPPETS, max_size=8).map("".join))
@settings(max_examples=40, deadline=None)
def test_a_reader_answers_or_says_why_not(read, text):
    try:
        read(text)
    except Unclear as unclear:
        assert str(unclear).endswith(".")  # noqa: PT017 — either outcome is good
