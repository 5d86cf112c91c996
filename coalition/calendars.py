"""Days as a calendar that other programs subscribe to. Source of the format: RFC 5545, sections 3.1, 3.3.11 and 3.6.1."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

LONGEST_LINE = 75  # octets, without the line break
PRODUCT = "-//Coalition readiness//EN"


@dataclass(frozen=True)
class Event:
    """One whole day. ``uid`` stays the same when the day moves, so that a calendar moves its entry."""

    uid: str
    day: date
    summary: str
    description: str = ""
    url: str = ""


def calendar(name: str, events: Iterable[Event], *, made_at: datetime) -> bytes:
    """Return the calendar as a file, ``text/calendar`` in UTF-8. ``made_at`` is in UTC."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", f"PRODID:{PRODUCT}", "CALSCALE:GREGORIAN", f"X-WR-CALNAME:{_text(name)}"]
    for event in events:
        lines += [
            "BEGIN:VEVENT",
            f"UID:{_text(event.uid)}",
            f"DTSTAMP:{made_at:%Y%m%dT%H%M%SZ}",
            f"DTSTART;VALUE=DATE:{_day(event.day)}",
            f"DTEND;VALUE=DATE:{_day(event.day + timedelta(days=1))}",  # the day after: the end does not count
            f"SUMMARY:{_text(event.summary)}",
            "TRANSP:TRANSPARENT",
        ]
        if event.description:
            lines.append(f"DESCRIPTION:{_text(event.description)}")
        if event.url:
            lines.append(f"URL:{event.url}")
        lines.append("END:VEVENT")
    lines.append("END:VCALENDAR")
    return b"".join(_folded(line) for line in lines)


def _day(day: date) -> str:
    return f"{day.year:04}{day:%m%d}"  # %Y does not pad the years before 1000 everywhere


def _text(value: str) -> str:
    """Escape what has a meaning in a value; control characters other than a new line are left out."""
    value = value.replace("\r\n", "\n").replace("\r", "\n")
    value = "".join(char for char in value if char == "\n" or char.isprintable())
    for char in "\\;,":
        value = value.replace(char, f"\\{char}")
    return value.replace("\n", "\\n")


def _folded(line: str) -> bytes:
    """Break a line after at most 75 octets, never inside a character; what follows begins with a space."""
    pieces, piece, room = [], b"", LONGEST_LINE
    for char in line:
        octets = char.encode()
        if len(piece) + len(octets) > room:
            pieces.append(piece)
            piece, room = b"", LONGEST_LINE - 1
        piece += octets
    return b"\r\n ".join([*pieces, piece]) + b"\r\n"
