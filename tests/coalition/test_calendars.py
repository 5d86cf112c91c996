"""Calendars as RFC 5545 wants them."""

from datetime import UTC, date, datetime

from coalition.calendars import Event, calendar

MADE = datetime(2026, 11, 22, 15, 30, tzinfo=UTC)


def made_of(**fields) -> str:
    event = Event(**{"uid": "pledge-1-ends.demo", "day": date(2027, 12, 31), "summary": "Last day", **fields})
    return calendar("Cliffs", [event], made_at=MADE).decode()


def unfolded(text: str) -> list[str]:
    return text.replace("\r\n ", "").split("\r\n")


def test_an_event_takes_the_whole_day_and_ends_where_the_next_begins():
    lines = unfolded(made_of())
    assert lines[:2] == ["BEGIN:VCALENDAR", "VERSION:2.0"]
    assert {"DTSTART;VALUE=DATE:20271231", "DTEND;VALUE=DATE:20280101", "DTSTAMP:20261122T153000Z"} < set(lines)
    assert lines[-3:] == ["END:VEVENT", "END:VCALENDAR", ""]


def test_what_has_a_meaning_in_a_value_is_escaped():
    lines = unfolded(made_of(summary="Ends: 200; persons, \\ all", description="one\r\ntwo\x07"))
    assert "SUMMARY:Ends: 200\\; persons\\, \\\\ all" in lines
    assert "DESCRIPTION:one\\ntwo" in lines


def test_nobody_can_write_a_property_of_their_own():
    lines = unfolded(made_of(summary="x\nEND:VCALENDAR\r\nATTACH:http://elsewhere"))
    assert [line for line in lines if line.startswith(("ATTACH", "END:VCALENDAR"))] == ["END:VCALENDAR"]


def test_long_lines_are_folded_after_75_octets_and_never_inside_a_character():
    summary = "Dernier jour: Éléments de génie 工兵 " * 12
    text = made_of(summary=summary)
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    assert f"SUMMARY:{summary}" in unfolded(text)


def test_a_calendar_of_nothing_is_a_calendar():
    assert calendar("None", [], made_at=MADE).decode().endswith("X-WR-CALNAME:None\r\nEND:VCALENDAR\r\n")
