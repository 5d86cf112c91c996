"""What does a source state about a report: how many, when, where from a position, how sure, of what kind?

Readers from text to values, without a database. They stand on ``coalition.imports.cells`` and speak its language: None
(or a value of nothing) for a cell that says nothing, ``Unclear`` with a reason where nothing may be guessed. What a
source does not know is never zero.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from coalition.imports import cells
from coalition.imports.cells import DateOrder, Unclear, folded
from monitoring.kinds import CountUnit, Facility, Kind
from monitoring.models import LARGEST, Report, Source, TimePrecision

MOMENT = timedelta(microseconds=1)  # the last instant of a day is so much before midnight
MOST_SPAN = timedelta(days=1)  # of clock times; a longer one is written with two dates
LONGEST_COUNT_TEXT = 60
NEARLY = re.compile(r"^(almost|nearly|close to|just (under|over))\s+", re.I)
NOT_KNOWN = {*cells.NOTHING, "n/k.", "not known", "undetermined", "unidentified", "unspecified", "other/unknown"}


# --- How many -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Count:
    """A count as stated: its words, and both bounds or neither. What is not known is None, never 0."""

    text: str = ""
    low: int | None = None
    high: int | None = None


def read_count(text: str, *, decimal_comma: bool = False) -> Count:
    """Return what a count says; an empty one for an empty cell. Raises Unclear.

    "30-35" has both bounds; "about 25" and "almost 200" are 25 and 200, in their own words. "At least 50" and "up to 40"
    leave one end open, so no sum can take them in: they have no bounds, like "several" and "N/K", and keep their words.
    """
    words = " ".join(text.split())
    if not words:
        return Count()
    if len(words) > LONGEST_COUNT_TEXT:
        raise Unclear("is not a count.")
    if words.casefold() in NOT_KNOWN:
        return Count(words)
    found = cells.read_quantity(NEARLY.sub("about ", words), decimal_comma=decimal_comma)
    if found is None:
        return Count()
    bounds = [found.low, found.high]
    for bound in bounds:
        if bound is not None and bound != bound.to_integral_value():
            raise Unclear("is not a whole number.")
        if bound is not None and bound > LARGEST:
            raise Unclear(f"is above {LARGEST:,}.")
    low, high = bounds
    if low is None or high is None:
        return Count(words)
    return Count(words, int(low), int(high))


def read_people(text: str) -> int | None:
    """Return a number of people, or None where it is not stated ("N/K", "several"). Raises Unclear.

    A range is refused: killed and injured are one number each.
    """
    if text.strip().casefold() in NOT_KNOWN:
        return None
    count = read_count(text)
    if count.low != count.high:
        raise Unclear("is a range; one number is kept here. Leave the column out, or leave it to the narrative.")
    return count.low


UNIT_OF = {
    Kind.EXPLOSION: CountUnit.EXPLOSIONS,
    Kind.BURST: CountUnit.BURSTS,
    Kind.SHOT: CountUnit.SHOTS,
    Kind.SMALL_ARMS: CountUnit.SHOTS,
    Kind.PROJECTILE: CountUnit.PROJECTILES,
    Kind.FPV_DRONE: CountUnit.DRONES,
    Kind.LONG_RANGE_DRONE: CountUnit.DRONES,
    Kind.WITHIN_LINE: CountUnit.WEAPONS,
    Kind.OUTSIDE_STORAGE: CountUnit.WEAPONS,
    Kind.STRIKE: CountUnit.STRIKES,
    Kind.AIRSTRIKE: CountUnit.STRIKES,
    Kind.MISSILE: CountUnit.STRIKES,
    Kind.FACILITY_STRIKE: CountUnit.STRIKES,
}


def unit_of(kind: str) -> str:
    """Return what a count counts where the source names only what happened."""
    return UNIT_OF.get(Kind(kind), CountUnit.OTHER).value


# --- When ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class When:
    """The day as stated, and the first and last instant (UTC) at which it may have happened; equal when exact."""

    on: date
    at_from: datetime
    at_until: datetime
    precision: str  # of models.TimePrecision
    note: str = ""


# How people divide a day; the hours are ours, no source defines them. (from hour, until hour; above 24: the next day)
PARTS = {
    "night": (20, 30),
    "overnight": (20, 30),
    "early morning": (0, 6),
    "morning": (6, 12),
    "midday": (11, 14),
    "noon": (11, 14),
    "daytime": (6, 20),
    "day": (6, 20),
    "afternoon": (12, 18),
    "evening": (18, 24),
    "late evening": (20, 24),
    "midnight": (23, 25),
}
CLOCK = r"(\d{1,2})[:.h](\d{2})(?::\d{2})?"
ONE_TIME = re.compile(rf"(?:at |about |around |approx\.? |approximately |circa |ca\. ?|~ ?)?{CLOCK}", re.I)
TWO_TIMES = re.compile(rf"(?:between |from )?{CLOCK}\s*(?:-|–|—|to|and|until|till)\s*{CLOCK}", re.I)
FOUR_DIGITS = re.compile(r"(\d{2})(\d{2})(?:\s*[-–]\s*(\d{2})(\d{2}))?(?: ?h(?:rs|ours)?)?", re.I)


def whole_days(first: date, last: date, zone: ZoneInfo, *, on: date | None = None) -> When:
    """Return the time of something that happened on some day from ``first`` to ``last`` (both count)."""
    if last < first:
        raise Unclear("ends before it begins.")
    start = datetime.combine(first, time(), zone).astimezone(UTC)
    end = datetime.combine(last + timedelta(days=1), time(), zone).astimezone(UTC) - MOMENT
    precision = TimePrecision.DAY if first == last else TimePrecision.DAYS
    return When(on or first, start, end, precision.value)


def read_day_and_clock(day: str, clock: str, *, zone: ZoneInfo, order: DateOrder = "") -> When | None:
    """Return when something was, by a cell with the day and one with the time of day; None when there is no day.

    The time is "11:45", "11:45-11:57", "22:30-02:15" (over midnight), "night" (see PARTS), or nothing or "N/K" for the
    whole day. ``on`` is the day as the cell states it. Raises Unclear, also for a time that a clock change skipped; one
    that came twice spans both, with a note.
    """
    stated = cells.read_day(day, order=order)
    if stated is None:
        return None
    words = " ".join(clock.split()).strip(" .,;").casefold()
    if words in NOT_KNOWN:
        return whole_days(stated.first, stated.last, zone)
    if stated.precision != "day":
        raise Unclear("has a time of day but no day.")
    if hours := PARTS.get(re.sub(r"^(in |at |during )?(the )?", "", words)):
        midnight = datetime.combine(stated.first, time(), zone)
        start, end = (_plus_hours(midnight, hour, zone) for hour in hours)
        return When(stated.first, start, end - MOMENT, TimePrecision.PART_OF_DAY.value)
    if found := TWO_TIMES.fullmatch(words) or FOUR_DIGITS.fullmatch(words):
        hours_and_minutes = [int(group) for group in found.groups() if group is not None]
    elif found := ONE_TIME.fullmatch(words):
        hours_and_minutes = [int(group) for group in found.groups()]
    else:
        raise Unclear("is not a time of day that is understood here, such as 11:45, 11:45-11:57 or night.")
    return _between(stated.first, hours_and_minutes, zone)


def _plus_hours(midnight: datetime, hours: int, zone: ZoneInfo) -> datetime:
    """Return an hour of the clock of that day, in UTC; an hour that the clocks skipped is the one after."""
    wall = midnight.replace(tzinfo=None) + timedelta(hours=hours)
    return wall.replace(tzinfo=zone).astimezone(UTC)


def _between(day: date, hours_and_minutes: list[int], zone: ZoneInfo) -> When:
    start, note = _instant(day, *hours_and_minutes[:2], zone=zone)
    if len(hours_and_minutes) == 2:
        precision = TimePrecision.SPAN if note else TimePrecision.EXACT
        return When(day, start[0], start[1], precision.value, note)
    over_midnight = hours_and_minutes[2:] < hours_and_minutes[:2]
    end, later_note = _instant(day + timedelta(days=over_midnight), *hours_and_minutes[2:], zone=zone)
    if end[1] < start[0]:
        raise Unclear("ends before it begins.")
    same = start[0] == end[1]
    return When(day, start[0], end[1], (TimePrecision.EXACT if same else TimePrecision.SPAN).value, note or later_note)


def _instant(day: date, hour: int, minute: int, *, zone: ZoneInfo) -> tuple[tuple[datetime, datetime], str]:
    """Return the first and last instant that a local time can mean, and what people should know about it."""
    if (hour, minute) == (24, 0):
        day, hour = day + timedelta(days=1), 0
    found = cells.read_instant(f"{day.isoformat()} {hour:02}:{minute:02}", zone=zone)
    if found is None:
        raise Unclear("is not a time.")
    return (found.at_from, found.at_until), found.note


def read_when(text: str, *, zone: ZoneInfo, order: DateOrder = "") -> When | None:
    """Return when something was, by one cell: a day, a month, a local time, an instant with offset; None when empty.

    ``on`` is the day as the cell has it, and for an instant with an offset the day in ``zone``. Raises Unclear.
    """
    words = " ".join(text.split())
    if not words:
        return None
    if "," in words:  # "22-Aug-17, 11:45-11:57"
        day, _, clock = words.rpartition(",")
        if not re.fullmatch(r"\s*\d{4}.*", clock):  # "Aug 22, 2017"
            return read_day_and_clock(day, clock, zone=zone, order=order)
    instant = cells.read_instant(words, zone=zone, order=order)
    if instant is None:
        return None
    if instant.precision in ("day", "month", "year"):
        stated = cells.read_day(words, order=order)
        if stated is None:
            return None
        return whole_days(stated.first, stated.last, zone)
    exact = instant.at_from == instant.at_until
    on = instant.at_from.astimezone(zone).date()
    precision = TimePrecision.EXACT if exact else TimePrecision.SPAN
    return When(on, instant.at_from, instant.at_until, precision.value, instant.note)


def read_from_until(first: str, last: str, *, zone: ZoneInfo, order: DateOrder = "") -> When | None:
    """Return when something was, by a cell with its beginning and one with its end; the end may be empty."""
    start = read_when(first, zone=zone, order=order)
    end = read_when(last, zone=zone, order=order)
    if start is None or end is None:
        if end is not None:
            raise Unclear("has an end but no beginning.")
        return start
    if end.at_until < start.at_from:
        raise Unclear("ends before it begins.")
    if (start.at_from, start.at_until) == (end.at_from, end.at_until):
        return start
    by_day = {start.precision, end.precision} <= {TimePrecision.DAY, TimePrecision.DAYS}
    precision = TimePrecision.DAYS if by_day else TimePrecision.SPAN
    return When(start.on, start.at_from, end.at_until, precision.value, start.note or end.note)


# --- Where, from a position ---------------------------------------------------------------

SIDES = ("northern", "eastern", "southern", "western")
WHO_WATCHES = re.compile(
    r"^(the )?(smm |monitors'? )?(camera|patrol|position|mini-uav|mid-range uav|long-range uav|uav|observation post)s?\b",
    re.I,
)


def place_of_position(text: str) -> tuple[str, str]:
    """Return the name of the place a monitor stood at or a camera hangs in, and how far off it ("0.5km E") or "".

    "SMM camera in Avdiivka", "0.5km E of Svitlodarsk", "Donetsk railway station (6km NW of Donetsk city centre)": the
    last is 6 km north-west of "Donetsk city centre".
    """
    words = " ".join(text.split()).strip(" .")
    words = re.sub(r"^\s*(in|at|near|of|on|,|:|-)\s+", "", WHO_WATCHES.sub("", words), flags=re.I).strip()
    outside, _, inside = words.partition("(")
    for part in (outside, inside.rstrip(") ")):
        found = re.fullmatch(
            r"\s*((?:about |approx\.? )?\d.*?)\s+(?:of|from)\s+(.+?)\s*", re.split(r"[,;]", part)[0], re.I
        )
        if found:
            return found[2], found[1]
    edge = rf"^(?:the )?(?:[NESW]{{1,3}}|{'|'.join(SIDES)})\s+(?:edge|outskirts|part)\s+of\s+"
    return re.sub(edge, "", outside.strip(), flags=re.I), ""


# --- How sure -----------------------------------------------------------------------------

RELIABILITIES = tuple(Source.Reliability.choices)
CREDIBILITIES = tuple((str(code), label) for code, label in Report.Credibility.choices)


def read_reliability(text: str) -> str | None:
    """Return A to F ("B", "b2", "B usually reliable", "usually reliable"), or None for an empty cell. Raises Unclear."""
    return _graded(text, RELIABILITIES, r"([A-Fa-f])(?:\s*[-/]?\s*[1-6])?")


def read_credibility(text: str) -> int | None:
    """Return 1 to 6 ("2", "B2", "probably true"), or None for an empty cell. Raises Unclear."""
    found = _graded(text, CREDIBILITIES, r"(?:[A-Fa-f]\s*[-/]?\s*)?([1-6])")
    return None if found is None else int(found)


def _graded(text: str, choices: Iterable[tuple[str, str]], code: str) -> str | None:
    words = " ".join(text.split())
    if words.casefold() in NOT_KNOWN:
        return None
    if found := re.fullmatch(code, words):
        return found[1].upper()
    named = {folded(label.split(" ", 1)[1]): grade for grade, label in choices}
    named |= {folded(label): grade for grade, label in choices}
    if folded(words) in named:
        return named[folded(words)]
    raise Unclear("is no grade of the Admiralty code, such as B2.")


# --- Of what kind -------------------------------------------------------------------------

# Words in what sources write, the more telling first: the first that is found decides.
KIND_WORDS: tuple[tuple[str, Kind], ...] = (
    (r"muzzle flash", Kind.MUZZLE_FLASH),
    (r"flare|illumination", Kind.FLARE),
    (r"projectiles?\b", Kind.PROJECTILE),
    (r"\bfpv\b", Kind.FPV_DRONE),
    (r"\bburst", Kind.BURST),
    (r"\bshots?\b", Kind.SHOT),
    (r"small[- ]arms|hmg|machine[- ]gun|\bagl\b|firefight|sniper|rifle", Kind.SMALL_ARMS),
    (r"mlrs|\bgrad\b|smerch|uragan|himars|multiple[- ]launch|bm[- ]?(?:21|27|30)", Kind.MLRS),
    (r"mortar", Kind.MORTAR),
    (r"artillery|howitzer|shelling", Kind.ARTILLERY),
    (r"\btanks?\b", Kind.TANK),
    (r"missile|iskander|kalibr|tochka|kinzhal", Kind.MISSILE),
    (r"shahed|geran|long[- ]range drone|loitering", Kind.LONG_RANGE_DRONE),
    (r"air ?strike|air raid|guided bomb|\bkab\b", Kind.AIRSTRIKE),
    (r"landmine|\bmines?\b|booby|\bied\b|\buxo\b", Kind.MINE),
    (r"explosions?|detonation|undetermined|outgoing|incoming|impact", Kind.EXPLOSION),
    (r"assault|offensive", Kind.ASSAULT),
    (r"advance", Kind.ADVANCE),
    (r"jamming", Kind.JAMMING),
    (r"overflight", Kind.OVERFLIGHT),
    (r"\bstrike|attack", Kind.STRIKE),
)
KIND_PATTERNS = tuple((re.compile(words, re.I), kind) for words, kind in KIND_WORDS)


def kind_in(text: str) -> str:
    """Return the kind that the words of a description name, "not_stated" when they name none."""
    return next((kind.value for pattern, kind in KIND_PATTERNS if pattern.search(text)), Kind.NOT_STATED.value)


def read_kind(text: str) -> str | None:
    """Return the kind by code or label of ours, or by the words of a description; None when empty. Raises Unclear."""
    words = " ".join(text.split())
    if not words:
        return None
    if folded(words) in NOT_KNOWN:
        return Kind.NOT_STATED.value
    try:
        return cells.read_choice(words, Kind.choices)
    except Unclear:
        found = kind_in(words)
    if found == Kind.NOT_STATED:
        raise Unclear("is no kind that is known: say in the mapping what it means.")
    return found


FACILITY_WORDS: tuple[tuple[str, Facility], ...] = (
    (r"refiner|petrochem|\bнпз\b|нефтеперераб|нафтоперероб", Facility.OIL_REFINERY),
    (r"nuclear|\bnpp\b|\bаэс\b|\bаес\b", Facility.NUCLEAR),
    (r"\bdam\b|hydro|\bгэс\b|\bгес\b", Facility.HYDRO_DAM),
    (
        r"pipeline|pumping|fuel|\boil\b|\bgas\b|нафтобаз|нефтебаз|трубопров|газопров|нафтопров|нефтепров",
        Facility.PIPELINE,
    ),
    (
        r"power|energy|substation|thermal|electric|\bгрэс\b|тэц|\bтец\b|\bтес\b|підстанц|подстанц|енерг|энерг",
        Facility.POWER,
    ),
    (r"hospital|clinic|medical", Facility.HOSPITAL),
    (r"school|university|kindergarten", Facility.SCHOOL),
    (r"residential|housing|apartment|\bhouses?\b|\bhome\b", Facility.HOUSING),
    (r"railway|\bport\b|bridge|airport|station|road|transport", Facility.TRANSPORT),
)
FACILITY_PATTERNS = tuple((re.compile(words, re.I), facility) for words, facility in FACILITY_WORDS)


def facility_in(text: str) -> str:
    """Return the facility class that words name, empty when they name none or several."""
    found = {facility.value for pattern, facility in FACILITY_PATTERNS if pattern.search(text)}
    return found.pop() if len(found) == 1 else ""


def read_facility(text: str) -> str | None:
    """Return the facility class by code, label or words, None for an empty cell. Raises Unclear."""
    words = " ".join(text.split())
    if words.casefold() in NOT_KNOWN:
        return None
    try:
        return cells.read_choice(words, Facility.choices)
    except Unclear:
        if found := facility_in(words):
            return found
        raise


MEANS_WORDS = (
    (r"saw and heard|heard and saw", Report.Means.SAW_AND_HEARD),
    (r"\bsaw\b|\bseen\b|observed|spotted", Report.Means.SAW),
    (r"heard", Report.Means.HEARD),
    (r"record|camera|\buav\b|satellite|imagery|video|photo", Report.Means.RECORDED),
    (r"told|said|report|statement", Report.Means.TOLD),
)


def read_means(text: str) -> str | None:
    """Return how it was observed ("heard", "saw", "recorded by SMM camera"), None for an empty cell. Raises Unclear."""
    words = " ".join(text.split())
    if words.casefold() in NOT_KNOWN:
        return None
    try:
        return cells.read_choice(words, Report.Means.choices)
    except Unclear:
        for pattern, means in MEANS_WORDS:
            if re.search(pattern, words, re.I):
                return means.value
        raise


def read_weapon(text: str) -> str:
    """Return the weapon as stated, empty for "N/K": unknown is not a weapon. Raises Unclear above 120 characters."""
    words = " ".join(text.split())
    if words.casefold() in NOT_KNOWN:
        return ""
    if len(words) > 120:
        raise Unclear("is longer than the 120 characters that a weapon may have.")
    return words


# How sources name the sides. Keys are folded; a value is the code or name of a party kept here, as people may have it.
PARTY_WORDS: Mapping[str, tuple[str, ...]] = {
    "russia": ("ru", "rus", "russia", "russian federation"),
    "ukraine": ("ua", "ukr", "ukraine"),
}
_PARTY_PATTERNS = tuple(
    (re.compile(pattern, re.I), names)
    for pattern, names in (
        (r"\brussia|\bru\b|\brus\b|\bрф\b|росі|росси", PARTY_WORDS["russia"]),
        (r"\bukrain|\bua\b|\bukr\b|\bзсу\b|\bвсу\b|україн|украин", PARTY_WORDS["ukraine"]),
    )
)


def parties_in(text: str) -> tuple[str, ...]:
    """Return by which codes or names the one side that a text names may be kept; empty when it names none or both."""
    found = [names for pattern, names in _PARTY_PATTERNS if pattern.search(text)]
    return found[0] if len(found) == 1 else ()
