"""What does a cell say? Readers from text to numbers, days, instants, countries, choices.

A reader returns None for a cell that says nothing, and raises ``Unclear`` with a reason where a cell could
be read in two ways: nothing is guessed. Reasons complete the sentence "Row 7, column date: ...".
"""

import re
import unicodedata
from calendar import monthrange
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import cache
from typing import Literal
from zoneinfo import ZoneInfo

from django.utils import translation
from django_countries.base import CountriesBase
from django_countries.data import ALT_CODES, COUNTRIES

CELL_BYTES = 64 * 1024
LARGEST = Decimal(10) ** 15  # above it, a number in a table of forces or events is a mistake
YEARS = range(1900, 2201)

Precision = Literal["second", "minute", "day", "month", "year"]
DateOrder = Literal["", "dmy", "mdy"]  # how the file writes 03/04/2025; empty: not stated


class Unclear(ValueError):
    """The cell cannot be read; the text is the reason, for people."""


@dataclass(frozen=True)
class Day:
    """A calendar day, month or year as stated: its first and last day (both count)."""

    first: date
    last: date
    precision: Literal["day", "month", "year"]


@dataclass(frozen=True)
class Instant:
    """A span of time in UTC, from ``at_from`` (included) to ``at_until`` (excluded; equal when exact)."""

    at_from: datetime
    at_until: datetime
    precision: Precision
    note: str = ""  # what people should know: a local time that came twice


@dataclass(frozen=True)
class Quantity:
    """A number as people state it: low and high bound, None where there is none, and the words themselves.

    "200" is 200 to 200; "up to 10,000" has no low bound; "several" has neither. "about 25" is 25 to 25 and
    ``approximate``: no bounds were stated, so none are made up.
    """

    low: Decimal | None
    high: Decimal | None
    approximate: bool
    text: str


# --- Text -------------------------------------------------------------------------------

FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def check(text: str) -> None:
    """Raise Unclear for what no cell may hold: control characters, more than 64 kB."""
    if found := FORBIDDEN.search(text):
        raise Unclear(f"has a control character (U+{ord(found[0]):04X}).")
    if len(text) > CELL_BYTES // 4 and len(text.encode()) > CELL_BYTES:
        raise Unclear(f"is longer than {CELL_BYTES // 1024} kB.")


def folded(text: str) -> str:
    """Return the text for comparing names: no case, accents, punctuation or doubled spaces."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return re.sub(r"[\W_]+", " ", plain).strip()


# --- Numbers ----------------------------------------------------------------------------

SPACES = "\u00a0\u202f\u2009 '\u2019"
NUMBER = {
    # Thousands stand in threes or not at all: "1,5" is not read as 15.
    False: re.compile(rf"[+-]?(\d+|\d{{1,3}}([,{SPACES}])\d{{3}}(\2\d{{3}})*)(\.\d+)?(e[+-]?\d{{1,2}})?", re.I | re.A),
    True: re.compile(rf"[+-]?(\d+|\d{{1,3}}([.{SPACES}])\d{{3}}(\2\d{{3}})*)(,\d+)?(e[+-]?\d{{1,2}})?", re.I | re.A),
}
NOTHING = {"", "-", "–", "—", "n/a", "na", "n/k", "nk", "none", "null", "unknown", "not stated", "?", "..."}


def read_decimal(text: str, *, decimal_comma: bool = False) -> Decimal | None:
    """Return the number, or None for an empty cell. Raises Unclear, also for NaN and infinity."""
    text = text.strip().replace("\u2212", "-")
    if not text:
        return None
    if len(text) > 60 or not NUMBER[decimal_comma].fullmatch(text):
        if len(text) <= 60 and NUMBER[not decimal_comma].fullmatch(text):
            is_what = "comma" if decimal_comma else "point"
            raise Unclear(f"is not a number with a decimal {is_what}. Say in the mapping which one it has.")
        raise Unclear("is not a number.")
    mark, thousands = (",", ".") if decimal_comma else (".", ",")
    plain = re.sub(rf"[{re.escape(thousands)}{SPACES}]", "", text).replace(mark, ".")
    number = Decimal(plain)
    if abs(number) >= LARGEST:
        raise Unclear("is too large.")
    return number


def read_integer(text: str, *, decimal_comma: bool = False) -> int | None:
    """Return the whole number, or None for an empty cell; "7.0" is 7. Raises Unclear."""
    number = read_decimal(text, decimal_comma=decimal_comma)
    if number is not None and number != number.to_integral_value():
        raise Unclear("is not a whole number.")
    return None if number is None else int(number)


VAGUE = re.compile(
    r"((a )?few|several|some|many|various|multiple|numerous|dozens|scores|hundreds|thousands)( of)?",
    re.I,
)
ABOUT = r"(?:about|around|approximately|approx\.?|circa|ca\.?|c\.|roughly|some|~|≈)\s*"
BELOW = r"(?:up to|almost|nearly|at most|max\.?|maximum|less than|fewer than|under|below|not more than|≤|<=?)\s*"
ABOVE = r"(?:at least|min\.?|minimum|more than|over|above|from|no less than|not less than|≥|>=?)\s*"


def read_quantity(text: str, *, decimal_comma: bool = False) -> Quantity | None:
    """Return what a count says, or None for an empty cell. Raises Unclear for what is no count, and for
    below 0.

    "100-200", "30–35", "about 25", "almost 200" (none lower known), "up to 10,000", "at least 50", "50+",
    "several". Words for not knowing ("N/K", "unknown") are a count without bounds, which is not the same as
    an empty cell.
    """
    words = " ".join(text.split())
    if not words:
        return None
    if len(words) > 60:
        raise Unclear("is not a count.")
    if words.casefold() in NOTHING or VAGUE.fullmatch(words):
        return Quantity(None, None, True, words)

    def number(part: str) -> Decimal:
        value = read_decimal(part, decimal_comma=decimal_comma)
        if value is None or value < 0:
            raise Unclear("is not a count." if value is None else "is below 0.")
        return value

    if found := re.fullmatch(rf"({ABOUT})?(\d.*?)\s*(?:-|–|—|‒|\bto\b|\bor\b|\.\.\.?)\s*(\d.*)", words, re.I):
        low, high = number(found[2]), number(found[3])
        if low > high:
            raise Unclear("is a range that begins with the larger number.")
        return Quantity(low, high, bool(found[1]), words)
    if found := re.fullmatch(rf"{ABOUT}(\d.*)", words, re.I):
        value = number(found[1])
        return Quantity(value, value, True, words)
    if found := re.fullmatch(rf"{BELOW}(\d.*)", words, re.I):
        return Quantity(None, number(found[1]), False, words)
    if found := re.fullmatch(rf"{ABOVE}(\d.*)|(\d.*?)\s*(?:\+|or more|and more)", words, re.I):
        return Quantity(number(found[1] or found[2]), None, False, words)
    value = number(words)
    return Quantity(value, value, False, words)


# --- Days and instants ------------------------------------------------------------------

MONTH_NAMES = {
    1: "january jan janvier janv січня січень января",
    2: "february feb février fevrier févr лютого лютий февраля",
    3: "march mar mars березня березень марта",
    4: "april apr avril avr квітня квітень апреля",
    5: "may mai травня травень мая",
    6: "june jun juin червня червень июня",
    7: "july jul juillet juil липня липень июля",
    8: "august aug août aout серпня серпень августа",
    9: "september sep sept septembre вересня вересень сентября",
    10: "october oct octobre жовтня жовтень октября",
    11: "november nov novembre листопада листопад ноября",
    12: "december dec décembre decembre déc грудня грудень декабря",
}
MONTHS = {name: number for number, names in MONTH_NAMES.items() for name in names.split()}
TIME = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d{1,9})?)?\s*(?P<half>[AaPp]\.?[Mm]\.?)?"
    r"\s*(?P<offset>Z|UTC|[+-]\d{2}:?\d{2})?"
)
YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})", re.A)
YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})", re.A)
DAY_NAME_YEAR = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?[\s\-.]+([^\W\d_]+)\.?[\s\-,]+(\d{4}|\d{2})", re.I)
NAME_DAY_YEAR = re.compile(r"([^\W\d_]+)\.? (\d{1,2})(?:st|nd|rd|th)?,? (\d{4})", re.I)
NAME_YEAR = re.compile(r"([^\W\d_]+)\.?[\s\-]+(\d{4})", re.I)
YEAR_MONTH = re.compile(r"(\d{4})[-/](\d{1,2})", re.A)
MONTH_YEAR = re.compile(r"(\d{1,2})[-/.](\d{4})", re.A)
DATE_TIME_GROUP = re.compile(r"(\d{2})(\d{2})(\d{2})([A-Z]) ?([A-Z]{3}) ?(\d{2})", re.A)


def read_day(text: str, *, order: DateOrder = "") -> Day | None:
    """Return the day, month or year that a cell states, or None for an empty one. Raises Unclear.

    A clock time after the day is allowed and left out. 03/04/2025 is refused unless ``order`` says whether
    the day or the month comes first; with dots the day comes first, as everywhere that dots are used. Years
    have four digits, but for "22-Aug-17".
    """
    words = " ".join(text.split())
    if not words:
        return None
    day, clock = _day_and_time(words, order)
    if clock:
        _clock_time(clock)
    return day


def _day_and_time(words: str, order: DateOrder) -> tuple[Day, re.Match | None]:
    if len(words) > 60:
        raise Unclear("is not a date.")
    clock = re.search(rf"(?:(?<=\d)T|,? ){TIME}$", words, re.A)
    return _day(words[: clock.start()] if clock else words, order), clock


def _day(words: str, order: DateOrder) -> Day:
    if found := YEAR_FIRST.fullmatch(words):
        return _one_day(int(found[1]), int(found[3]), int(found[4]))
    if re.fullmatch(r"(19|20|21)\d{6}", words, re.A):
        return _one_day(int(words[:4]), int(words[4:6]), int(words[6:]))
    if found := YEAR_LAST.fullmatch(words):
        return _day_or_month_first(int(found[1]), int(found[3]), int(found[4]), order, dots=found[2] == ".")
    if (found := DAY_NAME_YEAR.fullmatch(words)) and (month := MONTHS.get(found[2].casefold())):
        year = int(found[3]) + (2000 if len(found[3]) == 2 else 0)
        return _one_day(year, month, int(found[1]))
    if (found := NAME_DAY_YEAR.fullmatch(words)) and (month := MONTHS.get(found[1].casefold())):
        return _one_day(int(found[3]), month, int(found[2]))
    if found := YEAR_MONTH.fullmatch(words):
        return _one_month(int(found[1]), int(found[2]))
    if found := MONTH_YEAR.fullmatch(words):
        return _one_month(int(found[2]), int(found[1]))
    if (found := NAME_YEAR.fullmatch(words)) and (month := MONTHS.get(found[1].casefold())):
        return _one_month(int(found[2]), month)
    if re.fullmatch(r"\d{4}", words, re.A) and int(words) in YEARS:
        return Day(date(int(words), 1, 1), date(int(words), 12, 31), "year")
    if re.fullmatch(r"\d{1,2}[-/.]\d{1,2}[-/.]\d{2}", words, re.A):
        raise Unclear("has a year of two digits. Write it with four.")
    if re.fullmatch(r"\d{4,6}(\.\d+)?", words, re.A):
        raise Unclear("is a bare number, not a date. Format the column as a date in the spreadsheet.")
    raise Unclear("is not a date that is understood here, such as 2025-04-30.")


def _day_or_month_first(a: int, b: int, year: int, order: DateOrder, *, dots: bool) -> Day:
    order = order or ("dmy" if dots else "")
    if not order:
        if a <= 12 and b <= 12 and a != b:
            raise Unclear("can be read with the day or the month first. Say in the mapping which it is.")
        order = "mdy" if b > 12 else "dmy"
    day, month = (a, b) if order == "dmy" else (b, a)
    if month > 12 >= day:
        first = "day" if order == "dmy" else "month"
        raise Unclear(f"does not fit the mapping, which says that the {first} comes first.")
    return _one_day(year, month, day)


def _one_day(year: int, month: int, day: int) -> Day:
    if year not in YEARS:
        raise Unclear(f"has a year outside {YEARS.start} to {YEARS.stop - 1}.")
    try:
        exact = date(year, month, day)
    except ValueError:
        raise Unclear("is a day that does not exist.") from None
    return Day(exact, exact, "day")


def _one_month(year: int, month: int) -> Day:
    first = _one_day(year, month, 1).first
    return Day(first, first.replace(day=monthrange(year, month)[1]), "month")


def read_instant(text: str, *, zone: ZoneInfo, order: DateOrder = "") -> Instant | None:
    """Return when something was, in UTC, or None for an empty cell. Raises Unclear.

    ``zone`` is the source's; an offset or a Z in the cell goes before it. A day without a time is the whole
    local day. A date-time group (221530ZNOV26) is understood in zone Z. A local time that a clock change
    skipped is refused; one that came twice becomes the span of both, with a note.
    """
    words = " ".join(text.split())
    if not words:
        return None
    if group := DATE_TIME_GROUP.fullmatch(words):
        return _date_time_group(group)
    day, clock = _day_and_time(words, order)
    if clock is None:
        start, end = (datetime.combine(d, time(), zone) for d in (day.first, day.last + timedelta(days=1)))
        return Instant(start.astimezone(UTC), end.astimezone(UTC), day.precision)
    if day.precision != "day":
        raise Unclear("has a time of day but no day.")
    local = datetime.combine(day.first, _clock_time(clock))
    precision: Precision = "second" if clock["second"] else "minute"
    if offset := clock["offset"]:
        at = local.replace(tzinfo=_offset(offset)).astimezone(UTC)
        return Instant(at, at, precision)
    early, late = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if early.astimezone(zone).replace(tzinfo=None) != local:
        raise Unclear(f"is a time that did not exist in {zone.key}: the clocks were put forward.")
    if early != late:
        return Instant(early, late, precision, f"This time came twice in {zone.key}: the clocks were put back.")
    return Instant(early, early, precision)


def _clock_time(clock: re.Match) -> time:
    hour, minute, second = int(clock["hour"]), int(clock["minute"]), int(clock["second"] or 0)
    if half := (clock["half"] or "").replace(".", "").upper():
        if not 1 <= hour <= 12:
            raise Unclear(f"has a time of day that does not exist ({hour} {half}).")
        hour = hour % 12 + (12 if half == "PM" else 0)
    try:
        return time(hour, minute, second)
    except ValueError:
        raise Unclear("has a time of day that does not exist.") from None


def _offset(text: str) -> timezone:
    if text in ("Z", "UTC"):
        return UTC
    hours, minutes = int(text[1:3]), int(text[-2:])
    if hours > 14 or minutes > 59:
        raise Unclear("has an offset from UTC that does not exist.")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


def _date_time_group(group: re.Match) -> Instant:
    """Source: STANAG 2014 / ACP 121: day, hour, minute, zone letter, month, year."""
    month = MONTHS.get(group[5].casefold())
    if group[4] != "Z" or not month:
        raise Unclear("is a date-time group that is not understood here, such as 221530ZNOV26.")
    day = _one_day(2000 + int(group[6]), month, int(group[1]))
    try:
        at = datetime.combine(day.first, time(int(group[2]), int(group[3]), tzinfo=UTC))
    except ValueError:
        raise Unclear("has a time of day that does not exist.") from None
    return Instant(at, at, "minute")


# --- Yes and no, choices, countries -------------------------------------------------------

YES = {"yes", "y", "true", "t", "1", "x", "oui", "vrai", "так", "да"}
NO = {"no", "n", "false", "f", "0", "non", "faux", "ні", "нет"}


def read_boolean(text: str) -> bool | None:
    """Return True or False, or None for an empty cell. Raises Unclear."""
    word = text.strip().casefold()
    if not word:
        return None
    if word not in YES | NO:
        raise Unclear("is neither yes nor no.")
    return word in YES


def read_choice(text: str, choices: Iterable[tuple[str, str]]) -> str | None:
    """Return the code that the text names by code or label, or None for an empty cell. Raises Unclear."""
    if not text.strip():
        return None
    choices = list(choices)
    for code, _ in choices:  # a code goes before the label of another choice
        if text.strip() == code:
            return code
    word = folded(text)
    found = {code for code, label in choices if word and word in (folded(code), folded(label))}
    if len(found) == 1:
        return found.pop()
    if found:
        raise Unclear(f"can mean {' or '.join(sorted(found))}.")
    known = ", ".join(label for _, label in choices[:8])
    raise Unclear(f"is not one of: {known}{', …' if len(choices) > 8 else ''}.")


OTHER_NAMES = {
    "CZ": ["Czech Rep."],
    "GB": ["UK", "U.K.", "Great Britain", "Britain"],
    "GR": ["EL", "Hellas"],  # EL is the code that EU institutions use
    "KR": ["Republic of Korea", "ROK"],
    "MD": ["Republic of Moldova"],
    "NL": ["The Netherlands", "Holland"],
    "RU": ["Russian Federation"],
    "SK": ["Slovak Republic"],
    "TR": ["Turkiye"],
    "US": ["USA", "U.S.", "U.S.A.", "United States"],
}


def read_country(text: str) -> str | None:
    """Return the ISO 3166 alpha-2 code, or None for an empty cell. Raises Unclear.

    Understood: alpha-2, alpha-3, the ISO name in English, common and former names ("Czech Republic",
    "Türkiye").
    """
    if not text.strip():
        return None
    code = _country_names().get(folded(text))
    if code is None:
        raise Unclear("is not a country that is known here. Use its ISO 3166 code, such as EE.")
    return code


@cache
def _country_names() -> dict[str, str]:
    """Return alpha-2 codes by folded name. Names that two countries share are left out."""
    found: dict[str, set[str]] = {}
    with translation.override(None):  # names in English, whatever the person's language
        for code, name in COUNTRIES.items():
            names = [code, ALT_CODES[code][0], str(name), *OTHER_NAMES.get(code, [])]
            names += [str(CountriesBase.COMMON_NAMES.get(code, ""))]
            names += map(str, CountriesBase.OLD_NAMES.get(code, []))
            names += [re.sub(r" \(.*\)", "", each) for each in names]  # "Iran (Islamic Republic of)"
            for each in filter(None, map(folded, names)):
                found.setdefault(each, set()).add(code)
    return {name: codes.pop() for name, codes in found.items() if len(codes) == 1}
