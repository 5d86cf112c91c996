"""How instants, days, shares and quantities read on a page."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from coalition.templatetags.bars import level_bar
from coalition.templatetags.formatting import (
    age,
    days_from,
    dtg,
    iso,
    local,
    percent,
    quantity,
    quantity_range,
    utc,
    words,
)

AFTERNOON = datetime(2026, 11, 22, 15, 30, tzinfo=UTC)
THIN = "\u202f"


def test_an_instant_is_written_in_utc_whatever_zone_it_came_in():
    in_kyiv = AFTERNOON.astimezone(timezone(timedelta(hours=2)))
    assert utc(in_kyiv) == utc(AFTERNOON) == "2026-11-22 15:30 UTC"
    assert dtg(in_kyiv) == "221530ZNOV26"
    assert iso(in_kyiv) == "2026-11-22T15:30:00Z"


def test_a_date_time_group_pads_day_and_hour():
    assert dtg(datetime(2027, 3, 4, 5, 6, tzinfo=UTC)) == "040506ZMAR27"


def test_local_time_follows_the_clock_change_of_the_operations_zone():
    assert local(AFTERNOON, "Europe/Kyiv") == "2026-11-22 17:30 EET"
    assert local(datetime(2026, 7, 1, 12, 0, tzinfo=UTC), "Europe/Kyiv") == "2026-07-01 15:00 EEST"


def test_no_instant_is_written_as_nothing():
    assert utc(None) == dtg(None) == local(None) == iso(None) == ""


def test_a_naive_instant_is_refused_rather_than_guessed():
    with pytest.raises(ValueError, match="needs a time zone"):
        utc(datetime(2026, 11, 22, 15, 30))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("passed", "text"),
    [
        (timedelta(0), "now"),
        (timedelta(seconds=40), "40 s ago"),
        (timedelta(seconds=59.9), "59 s ago"),
        (timedelta(minutes=3, seconds=59), "3 min ago"),
        (timedelta(hours=5), "5 h ago"),
        (timedelta(hours=47), "47 h ago"),
        (timedelta(days=12), "12 d ago"),
        (timedelta(minutes=-3), "in 3 min"),
    ],
)
def test_an_age_is_in_the_largest_whole_unit(passed, text):
    assert age(AFTERNOON - passed, AFTERNOON) == text


def test_what_never_happened_has_no_age():
    assert age(None) == "never"


@pytest.mark.parametrize(
    ("days", "text"),
    [(0, "today"), (1, "in 1 day"), (12, "in 12 days"), (-1, "1 day ago"), (-30, "30 days ago")],
)
def test_a_day_is_told_from_today(days, text):
    today = date(2026, 11, 22)
    assert days_from(today + timedelta(days=days), today) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, "n/a"),
        (0, "0 %"),
        (0.0004, "<0.1 %"),
        (0.004, "0.4 %"),
        (0.5, "50 %"),
        (Decimal("0.845"), "85 %"),
        (0.9899, "99 %"),
        (0.997, "99.7 %"),
        (0.9996, ">99.9 %"),
        (1, "100 %"),
        (1.12, "112 %"),
    ],
)
def test_only_the_whole_reads_as_a_hundred_percent(share, text):
    assert percent(share) == text.replace(" ", THIN)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "unquantified"),
        (0, "0"),
        (1200, "1 200"),
        (Decimal("12500.50"), "12 500.5"),
        (Decimal("1E+6"), "1 000 000"),
        (-30, "\u221230"),
        (1 / 3, "0.33"),
        (-0.0001, "0"),
    ],
)
def test_a_quantity_is_grouped_and_carries_no_idle_zeros(amount, text):
    assert quantity(amount) == text.replace(" ", THIN)


def test_a_quantity_keeps_its_unit_on_the_same_line():
    assert quantity(1200, "persons") == f"1{THIN}200{THIN}persons"
    assert quantity(None, "persons") == "unquantified"


def test_a_name_that_a_template_does_not_know_is_neither_a_number_nor_unquantified():
    assert quantity("") == percent("") == ""


def test_a_stated_range_keeps_its_honesty():
    assert quantity_range(None, None) == "unquantified"
    assert quantity_range(200, None) == "at least 200"
    assert quantity_range(None, 300, "persons") == f"up to 300{THIN}persons"
    assert quantity_range(200, 300) == "200–300"
    assert quantity_range(250, Decimal("250.0")) == "250"


def test_stored_words_read_as_words():
    assert words("in_place") == "In place"
    assert words(None) == ""


def test_a_level_bar_leaves_room_for_the_gap_and_marks_the_need():
    bar = level_bar({"signalled": 0, "firm": 250, "in_place": 250}, need=1000)
    assert [(part["level"], part["x"], part["width"]) for part in bar["parts"]] == [
        ("firm", 0, 250),
        ("in_place", 250, 250),
    ]
    assert bar["need_x"] == 997
    assert bar["text"] == f"Firm 250, In place 250; need 1{THIN}000"


def test_a_level_bar_shows_a_surplus_beyond_the_need():
    bar = level_bar([("ready", Decimal(300))], need=Decimal(150))
    assert bar["parts"][0]["width"] == 1000
    assert bar["need_x"] == 500


def test_the_smallest_part_of_a_level_bar_is_still_seen():
    bar = level_bar([("firm", 1), ("ready", 1_000_000)])
    assert bar["parts"][0]["width"] == 2


def test_an_empty_level_bar_says_so():
    assert level_bar({"firm": None}, need=5)["text"] == "nothing pledged; need 5"
    assert level_bar({})["parts"] == []
