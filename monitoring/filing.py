"""What a source says happened: filing a report, changing it, and taking the last change back.

Forms, API and shell hand a mapping of fields to these functions and get ValidationError back with their names. What is
known stays as it was said: an unknown count, time or place is empty, never zero and never guessed. The status is not
changed here: see ``monitoring.triage``.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.http import Http404
from django.utils import timezone

from coalition.access import Tier, acting_as, actor_of, because, demand
from coalition.editing import FIRST_DAY, LAST_DAY, Refused, assign, check, find, is_storable
from coalition.imports.cells import Unclear
from coalition.models import Operation
from monitoring import gazetteer, places, placing
from monitoring.describing import keep_guarded
from monitoring.merging import lock_report
from monitoring.models import HALF_THE_EARTH_M, Party, ProvisionTerm, Report, Source, TimePrecision
from monitoring.statements import PARTS, When, read_count, read_day_and_clock, unit_of, whole_days

PLAIN = (
    "reference",
    "dataset",
    "external_id",
    "kind",
    "weapon",
    "count_text",
    "count_low",
    "count_high",
    "count_unit",
    "means",
    "reliability",
    "credibility",
    "facility_class",
    "killed",
    "injured",
    "narrative",
    "source_url",
    "place_name",
    "sensitive",
    "tier",
    "illustrative",
)
LINKED = ("source", "accuser", "accused")
# When: instants, or a day with a time of day in a zone. Where: what somebody typed, or degrees.
INSTANTS = ("occurred_from", "occurred_until", "time_precision")
STATED = ("occurred_on", "last_on", "time", "zone")
PLACE = ("place", "longitude", "latitude", "place_precision_m")
FIELDS = (*PLAIN, *LINKED, *INSTANTS, *STATED, *PLACE)
COUNTS = ("count_low", "count_high", "killed", "injured")

CLOCK_SKEW = timedelta(minutes=5)  # so far may the clock of who files be ahead
FAR_FROM_NAME_M = 50_000  # further from every place of that name, and one of the two is probably wrong


class NothingToTakeBack(Refused):
    """What was filed was never changed, or nobody may see what stood before."""

    code = "nothing_to_take_back"


@dataclass(frozen=True)
class Doubt:
    """Something that is probably a slip, yet may be true. ``code`` is what confirms it, ``field`` what it is about."""

    code: str
    field: str
    sentence: str


class Doubtful(ValidationError):
    """The report is filed only once its ``doubts`` are confirmed, by their codes."""

    def __init__(self, doubts: list[Doubt]):
        problems: dict[str, list[str]] = {}
        for doubt in doubts:
            problems.setdefault(doubt.field, []).append(doubt.sentence)
        problems["confirmed"] = [f"If it is right as it stands, confirm: {', '.join(doubt.code for doubt in doubts)}."]
        super().__init__(problems)
        self.doubts = doubts


# --- Filing and changing ------------------------------------------------------------------


def file(draft: Mapping[str, Any], *, by, confirmed: Collection[str] = ()) -> Report:
    """File a new report and return it.

    ``draft`` holds the model's plain fields; ``source``, ``accuser`` and ``accused`` as rows, codes or ids; and

    - when: ``occurred_on`` (a day) with ``time`` as in ``statements.read_day_and_clock`` ("14:30", "22:30-02:15",
      "night", empty for some time that day) and ``zone`` (IANA; the operation's when missing), or ``last_on`` where
      it is known only within some days. Or ``occurred_from`` and ``occurred_until`` as aware instants.
    - where: ``place`` (degrees, DMS or MGRS, as typed), or ``longitude`` and ``latitude``; with
      ``place_precision_m``, which a typed place has by itself. A name alone is no point.

    Missing: reliability is the source's usual one, credibility "cannot be judged", the accuser the party that speaks,
    the bounds of a count what its text says, and its unit what the kind suggests. Raise PermissionDenied,
    ValidationError, and Doubtful unless the codes of what is doubted are in ``confirmed``.
    """
    with acting_as(by):
        demand(by, "file_report")
        report = Report(filed_by_id=actor_of(by).user_id)
        doubts = _fill(report, draft, by=by)
        _ask(doubts, confirmed)
        return _saved(report)


def revise(
    report_id: int,
    changes: Mapping[str, Any],
    *,
    by,
    based_on: int | None,
    confirmed: Collection[str] = (),
    why: str = "",
) -> Report:
    """Change the named fields of a report, given as for ``file``, and return it. What is not named stays.

    Who sees a place only coarsely changes it by naming another one. Raise Http404, PermissionDenied, VersionStale,
    ValidationError, Doubtful.
    """
    with acting_as(by):
        report = lock_report(report_id, by=by, based_on=based_on)
        demand(by, "edit_report")
        _ask(_fill(report, changes, by=by), confirmed)
        if why:
            because(why)
        saved = _saved(report)
        keep_guarded(saved, by=by)
        return saved


KEPT = (*PLAIN, "source_id", "accuser_id", "accused_id", "occurred_on", *INSTANTS, "longitude", "latitude")
KEPT = (*KEPT, "place_precision_m")


def take_back(report_id: int, *, by, based_on: int | None) -> Report:
    """Put back what stood before the last change of what was filed, and return the report.

    Triage is not taken back here. Raise Http404, PermissionDenied, VersionStale, NothingToTakeBack.
    """
    with acting_as(by):
        report = lock_report(report_id, by=by, based_on=based_on)
        demand(by, "edit_report")
        for event in Report.pgh_event_model.objects.filter(pgh_obj_id=report.pk).order_by("-pgh_id"):
            before = {name: getattr(event, name) for name in KEPT}
            if any(getattr(report, name) != value for name, value in before.items()):
                break
        else:
            raise NothingToTakeBack("It stands as it was filed: there is no change to take back.")
        if not may_lift(report, by) and report.sensitive and not before["sensitive"]:
            raise NothingToTakeBack("That change made the place sensitive. Only planners take that back.")
        for name, value in before.items():
            setattr(report, name, value)
        _check(report)
        _demand_seen_with_its_repeats(report)
        because("Took back the last change")
        saved = _saved(report)
        keep_guarded(saved, by=by)
        return saved


def sketch(draft: Mapping[str, Any], *, by) -> Report:
    """Return an unsaved report of what can be understood so far, for suggestions while somebody types. Never raises."""
    report = Report()
    for names in ([*STATED, *INSTANTS], PLACE, ("source",), ("kind",), ("place_name",), ("count_text",)):
        part = {name: draft[name] for name in names if draft.get(name) not in (None, "")}
        try:
            _fill_parts(report, part, by=by)
        except ValidationError:
            continue
    return report


def may_lift(report: Report, by) -> bool:
    """Return True for who sees the exact place anyhow, and so may say that it is not sensitive."""
    return actor_of(by).tier >= Tier.PLANNING


def zone_of_today() -> ZoneInfo:
    """Return the time zone in which days are counted: the current operation's."""
    name = Operation.objects.filter(is_current=True).values_list("time_zone", flat=True).first()
    return ZoneInfo(name or Operation._meta.get_field("time_zone").default)


def today() -> date:
    """Return the day it now is in that zone."""
    return timezone.now().astimezone(zone_of_today()).date()


# --- Inside -------------------------------------------------------------------------------


def _saved(report: Report) -> Report:
    report.save()
    report.refresh_from_db()
    return report


def _check(report: Report) -> None:
    placing.place(report)
    check(report)


def _demand_seen_with_its_repeats(report: Report) -> None:
    """Refuse a tier at which somebody would see a duplicate and not what it repeats: the event would be lost to them."""
    if report.pk is None:
        return
    further = Report.objects.filter(duplicate_of=report.pk, tier__lt=report.tier).order_by("pk").first()
    if further is not None:
        sentence = f"V{further.pk} is marked as a duplicate of it and is of a less strict tier: change that first."
        raise ValidationError({"tier": sentence})
    original = Report.objects.filter(pk=report.duplicate_of_id, tier__gt=report.tier).first()
    if original is not None:
        raise ValidationError({"tier": f"V{original.pk}, which it repeats, is of a stricter tier: change that first."})


def _ask(doubts: list[Doubt], confirmed: Collection[str]) -> None:
    open_ones = [doubt for doubt in doubts if doubt.code not in confirmed]
    if open_ones:
        raise Doubtful(open_ones)


def _fill(report: Report, changes: Mapping[str, Any], *, by) -> list[Doubt]:
    """Set what a draft or a change says, check it, and return what is doubtful about it."""
    unknown = sorted(set(changes) - set(FIELDS))
    if unknown:
        raise ValidationError(dict.fromkeys(unknown, "There is no such field, or it is not changed here."))
    was_sensitive = report.sensitive
    note = _fill_parts(report, changes, by=by)
    problems = _problems(report, changes, by=by)
    if was_sensitive and not report.sensitive and not may_lift(report, by):
        problems["sensitive"] = "Only planners, who see the exact place, may say that it is not sensitive."
    if problems:
        raise ValidationError(problems)
    _check(report)
    if "tier" in changes:
        _demand_seen_with_its_repeats(report)
    return [*_doubts_of_time(report, changes, note, by=by), *_doubts_of_place(report, changes)]


def _fill_parts(report: Report, changes: Mapping[str, Any], *, by) -> str:
    """Set the fields. Return a note on the time, or nothing. Raise ValidationError for what cannot be read at all."""
    problems: dict[str, Any] = {}
    note = ""
    plain = {name: changes[name] for name in PLAIN if name in changes}
    for name in ("reliability", "credibility", "kind", "tier", "sensitive", "illustrative"):
        if plain.get(name) in (None, ""):
            plain.pop(name, None)  # not said: the default, or what stands
    assign(report, plain, fields=PLAIN)
    for part in (_links, _place):
        try:
            part(report, changes, by=by)
        except ValidationError as error:
            problems |= error.message_dict
    if {*INSTANTS, *STATED} & set(changes) or report.occurred_from is None:
        try:
            note = _when(report, changes)
        except ValidationError as error:
            problems |= error.message_dict
    if problems:
        raise ValidationError(problems)
    if report.pk is None:
        _defaults(report, changes)
    _count(report, changes)
    return note


def _links(report: Report, changes: Mapping[str, Any], *, by) -> None:
    for name, model in (("source", Source), ("accuser", Party), ("accused", Party)):
        if name not in changes:
            continue
        given = changes[name]
        if given in (None, ""):
            setattr(report, name, None)
            continue
        try:
            setattr(report, name, find(given, model.objects.visible_to(by), "code"))
        except Http404:
            shown = f" {given!r}" if isinstance(given, str | int) and len(str(given)) <= 60 else ""
            raise ValidationError({name: f"There is no {model._meta.verbose_name}{shown}."}) from None
    if report.source_id is None and "source" in changes:
        raise ValidationError({"source": "Say who reported it."})


def _defaults(report: Report, changes: Mapping[str, Any]) -> None:
    if report.source_id is None:
        return
    if changes.get("reliability") in (None, ""):
        report.reliability = report.source.reliability
    if report.accuser_id is None and report.source.party_id not in (None, report.accused_id):
        report.accuser = report.source.party


def _count(report: Report, changes: Mapping[str, Any]) -> None:
    """Read the bounds from the words where they are not given; words that name none leave them unknown."""
    said = {name for name in ("count_low", "count_high") if changes.get(name) not in (None, "")}
    if "count_text" in changes and not said and is_storable(report.count_text):
        try:
            read = read_count(report.count_text)
        except Unclear:
            read = None
        both = read is not None and read.low is not None and read.high is not None
        report.count_low, report.count_high = (read.low, read.high) if both else (None, None)
    elif said == {"count_low"}:
        report.count_high = report.count_low
    if report.count_low is not None and not report.count_unit and isinstance(report.kind, str):
        try:
            report.count_unit = unit_of(report.kind)
        except ValueError:
            return  # no such kind: told by the check


# --- When ---------------------------------------------------------------------------------


def _when(report: Report, changes: Mapping[str, Any]) -> str:
    zone = zone_of_today()
    by_instants = changes.get("occurred_from") not in (None, "")
    if by_instants and changes.get("time") not in (None, ""):
        raise ValidationError({"time": "Give instants, or a day with a time of day, not both."})
    try:
        when = _by_instants(report, changes, zone) if by_instants else _as_said(report, changes, zone)
    except Unclear as unclear:
        raise ValidationError({"time": f"The time {unclear}"}) from None
    except (OverflowError, ValueError):
        raise ValidationError({"occurred_on": "There is no such time."}) from None
    report.occurred_on, report.time_precision = when.on, when.precision
    report.occurred_from, report.occurred_until = when.at_from, when.at_until
    return when.note


def _by_instants(report: Report, changes: Mapping[str, Any], zone: ZoneInfo) -> When:
    first = changes["occurred_from"]
    last = changes.get("occurred_until") or first
    for name, at in (("occurred_from", first), ("occurred_until", last)):
        if not isinstance(at, datetime) or timezone.is_naive(at):
            raise ValidationError({name: "An instant has a date, a time and an offset from UTC."})
        if not FIRST_DAY.year <= at.year <= LAST_DAY.year:
            raise ValidationError({name: f"Days lie between {FIRST_DAY} and {LAST_DAY}."})
    if last < first:
        raise ValidationError({"occurred_until": "It cannot have ended before it began."})
    day = changes.get("occurred_on") or first.astimezone(zone).date()
    # Sources count days in zones of their own: one day more or less is no contradiction.
    if not first.astimezone(zone).date() - timedelta(1) <= day <= last.astimezone(zone).date() + timedelta(1):
        raise ValidationError({"occurred_on": "The day does not fit the times."})
    fits = TimePrecision.EXACT if first == last else TimePrecision.SPAN
    precision = changes.get("time_precision") or fits
    if precision == TimePrecision.EXACT and first != last:
        raise ValidationError({"time_precision": "A time known to the minute begins and ends at once."})
    return When(day, first, last, precision)


def _as_said(report: Report, changes: Mapping[str, Any], zone: ZoneInfo) -> When:
    said = as_stated(report, zone) if report.occurred_from else {"occurred_on": None, "last_on": None, "time": ""}
    if said["time"] is None and "time" not in changes:
        raise ValidationError({"time": "Say the time again: as it stands, it cannot be moved to another day."})
    said |= {name: changes[name] for name in STATED if name in changes}
    day, last = said["occurred_on"], said["last_on"] or None
    for name, given in (("occurred_on", day), ("last_on", last)):
        if given is not None and (type(given) is not date or not FIRST_DAY <= given <= LAST_DAY):
            raise ValidationError({name: f"Days lie between {FIRST_DAY} and {LAST_DAY}."})
    if day is None:
        raise ValidationError({"occurred_on": "Say on which day it was."})
    try:
        told_in = ZoneInfo(said.get("zone") or zone.key)
    except (KeyError, ValueError, OSError):
        raise ValidationError({"zone": "There is no such time zone."}) from None
    words = said["time"] or ""
    if not isinstance(words, str) or len(words) > 60:
        raise ValidationError({"time": "A time of day, such as 14:30, 22:30-02:15 or night."})
    if last is not None and last != day:
        if words:
            raise ValidationError({"last_on": "A time of day goes with one day. Leave one of the two empty."})
        if last < day:
            raise ValidationError({"last_on": "The last day cannot come before the first."})
        return whole_days(day, last, told_in)
    when = read_day_and_clock(day.isoformat(), words, zone=told_in)
    if when.precision in (TimePrecision.EXACT, TimePrecision.SPAN):
        # Told in UTC, half past eleven at night is the next day where it happened.
        when = When(when.at_from.astimezone(zone).date(), when.at_from, when.at_until, when.precision, when.note)
    return when


def as_stated(report: Report, zone: ZoneInfo) -> dict[str, Any]:
    """Return the time of a report as people say it: ``occurred_on``, ``last_on`` (or None), ``time``.

    The time is None where no words of a day's time give back these instants: with seconds, or over several days.
    """
    day, span = report.occurred_on, (report.occurred_from, report.occurred_until)
    if report.time_precision == TimePrecision.DAYS:
        return {"occurred_on": day, "last_on": report.occurred_until.astimezone(zone).date(), "time": ""}
    first, last = (at.astimezone(zone) for at in span)
    words = ["", *PARTS, f"{first:%H:%M}", f"{first:%H:%M}-{last:%H:%M}"]
    for said in words:
        try:
            when = read_day_and_clock(day.isoformat(), said, zone=zone)
        except Unclear:
            continue
        if (when.at_from, when.at_until, when.precision) == (*span, report.time_precision):
            return {"occurred_on": day, "last_on": None, "time": said}
    return {"occurred_on": day, "last_on": None, "time": None}


# --- Where --------------------------------------------------------------------------------


def _place(report: Report, changes: Mapping[str, Any], *, by) -> None:
    typed = changes.get("place")
    degrees = [changes.get(name) for name in ("longitude", "latitude")]
    given_m = changes.get("place_precision_m")
    if given_m in (None, ""):
        given_m = None
    elif isinstance(given_m, bool) or not isinstance(given_m, int | float) or not 0 <= given_m <= HALF_THE_EARTH_M:
        raise ValidationError({"place_precision_m": "Metres, from 0 up."})
    if typed not in (None, ""):
        if not isinstance(typed, str) or degrees != [None, None]:
            raise ValidationError({"place": "Give a place as text, or as longitude and latitude."})
        try:
            point = places.parse(typed)
        except places.NotAPlace as error:
            raise ValidationError({"place": str(error)}) from None
        report.longitude, report.latitude = point.longitude, point.latitude
        report.place_precision_m = point.precision_m if given_m is None else max(given_m, 0.0)
    elif degrees != [None, None]:
        if None in degrees or not all(isinstance(each, int | float) for each in degrees):
            raise ValidationError({"longitude": "A point is a longitude and a latitude."})
        try:
            places.check(*degrees)
        except places.NotAPlace as error:
            raise ValidationError({"longitude": str(error)}) from None
        if given_m is None and report.place_precision_m is None:
            raise ValidationError({"place_precision_m": "Say within how many metres of the point it was."})
        report.longitude, report.latitude = (float(each) for each in degrees)
        report.place_precision_m = report.place_precision_m if given_m is None else float(given_m)
    elif {"place", "longitude", "latitude"} & set(changes):
        report.longitude = report.latitude = report.place_precision_m = None
    elif given_m is not None:
        if report.longitude is None:
            raise ValidationError({"place_precision_m": "How exact a point is says nothing without the point."})
        report.place_precision_m = float(given_m)


# --- What is refused, and what is doubted ----------------------------------------------------


def _problems(report: Report, changes: Mapping[str, Any], *, by) -> dict[str, str]:
    problems = {
        name: "A count is not negative."
        for name in COUNTS
        if isinstance(getattr(report, name), int) and getattr(report, name) < 0
    }
    if report.source_id is None:
        problems["source"] = "Say who reported it."
    if (report.count_low is None) != (report.count_high is None):
        problems["count_low"] = "Say both bounds, or neither: what is not known is not zero."
    elif all(isinstance(getattr(report, name), int) for name in COUNTS[:2]) and report.count_high < report.count_low:
        problems["count_high"] = "The high count cannot be below the low one."
    if isinstance(report.tier, int) and report.tier > max(actor_of(by).tier, Tier.PUBLIC):
        problems["tier"] = "Nobody files above their own tier: they could not see it any more."
    if report.dataset and not report.external_id and "dataset" in changes:
        problems["external_id"] = "In a data set, a report has an id."
    if report.external_id and not report.dataset:
        problems["dataset"] = "An outside id belongs to a data set: name it."
    if changes.get("source_url") and not report.source_url.startswith(("http://", "https://")):
        problems["source_url"] = "An address begins with https:// or http://."
    if {*INSTANTS, *STATED} & set(changes):
        latest = timezone.now() + CLOCK_SKEW
        exact = report.time_precision in (TimePrecision.EXACT, TimePrecision.SPAN)
        if report.occurred_from > latest or (exact and report.occurred_until > latest):
            name = "occurred_from" if changes.get("occurred_from") else "occurred_on"
            problems[name] = "This lies in the future. Is the day right, and the time zone?"
    return problems


def _doubts_of_time(report: Report, changes: Mapping[str, Any], note: str, *, by) -> list[Doubt]:
    if not {*INSTANTS, *STATED} & set(changes):
        return []
    doubts = []
    if note:
        sentence = f"{note} Write it in UTC, or confirm it: both moments are then kept."
        doubts.append(Doubt("clock_change", "time", sentence))
    terms = ProvisionTerm.objects.visible_to(by).order_by("begins_at")
    begins_at = terms.values_list("begins_at", flat=True).first()
    if begins_at is not None and report.occurred_until < begins_at:
        sentence = f"Every agreement we know began later, the first on {begins_at:%Y-%m-%d} (UTC). Is the day right?"
        doubts.append(Doubt("before_agreements", "occurred_on", sentence))
    return doubts


def _doubts_of_place(report: Report, changes: Mapping[str, Any]) -> list[Doubt]:
    if report.longitude is None or not {*PLACE, "place_name"} & set(changes):
        return []
    doubts = []
    field = "longitude" if changes.get("longitude") is not None else "place"
    point = places.Point(report.longitude, report.latitude, report.place_precision_m)
    if outside := places.doubt(point):
        doubts.append(Doubt("outside_theatre", field, outside))
    named = gazetteer.candidates(report.place_name) if report.place_name else ()
    if named:
        far, nearest = min(((places.distance_m(point, place.point), place) for place in named), key=lambda one: one[0])
        if far > FAR_FROM_NAME_M + point.precision_m:
            where = f"{nearest.name}, {nearest.oblast or nearest.country}"
            sentence = f"The point is {far / 1000:.0f} km from {where}. Is it the right point, and the right name?"
            doubts.append(Doubt("far_from_name", field, sentence))
    return doubts
