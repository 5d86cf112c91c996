"""Reports as our own export wrote them (csv or xlsx), on their way back: corrected in a spreadsheet, say.

Rows are known by our own number for them. What comes back as it left changes nothing, whatever data set it came from.
"""

from datetime import UTC, datetime

from coalition.imports import cells
from coalition.imports.cells import Unclear
from coalition.imports.mapping import Field
from coalition.rows import as_given
from monitoring import statements
from monitoring.importing import ReportProfile
from monitoring.kinds import CountUnit, Facility, Kind, TimePrecision
from monitoring.models import Report
from monitoring.profiles.table import TIERS, read_party, read_source, read_tier
from monitoring.statements import Count, When
from monitoring.understanding import Knowing, Read, plainly, read_filed, read_metres

TEXTS = ("reference", "place_name", "weapon", "narrative", "source_url")  # disarmed on the way out


def an_instant(knowing: Knowing, text: str) -> datetime | None:
    """An instant to the microsecond, as it was written; without an offset (in a workbook) it is UTC."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        stated = cells.read_instant(text, zone=knowing.zone, order=knowing.order)
        return stated.at_from if stated else None
    return (found if found.tzinfo else found.replace(tzinfo=knowing.zone)).astimezone(UTC)


def read_when(knowing: Knowing, first: str, last: str, on: str, precision: str) -> When | None:
    start, end = an_instant(knowing, first), an_instant(knowing, last)
    if start is None:
        return None
    end = end or start
    if end < start:
        raise Unclear("ends before it begins.")
    day = cells.read_day(on, order=knowing.order)
    known = cells.read_choice(precision, TimePrecision.choices) if precision else None
    usual = TimePrecision.EXACT if start == end else TimePrecision.SPAN
    return When(day.first if day else start.astimezone(knowing.zone).date(), start, end, known or usual.value)


def read_count(knowing: Knowing, text: str, low: str, high: str) -> Count:
    bounds = [cells.read_integer(bound, decimal_comma=knowing.decimal_comma) for bound in (low, high)]
    if (bounds[0] is None) != (bounds[1] is None):
        raise Unclear("has one bound only: give both, or neither.")
    if bounds[0] is not None and not 0 <= bounds[0] <= bounds[1] <= statements.LARGEST:
        raise Unclear(f"is not a count from 0 to {statements.LARGEST:,}, the low bound first.")
    return Count(as_given(text), *bounds)


def choice_of(choices):
    return plainly(lambda text: cells.read_choice(text, tuple(choices)) if text else None)


class OwnReports(ReportProfile):
    """Our own export, coming back."""

    name = "own-reports"
    label = "Reports exported from here"
    lead = "Our own csv or xlsx of reports, corrected: rows change the reports they came from, and make no new ones."
    dataset = "own-reports"
    by_own_id = True
    id_field = "id"
    time_zone = "UTC"
    fields = (
        Field("id", "Our number", required=True),
        Field("occurred_from", "Occurred from", required=True),
        Field("source", "Source", required=True),
        Field("occurred_until", "Occurred until"),
        Field("occurred_on", "The day as stated"),
        Field("time_precision", "Time precision", choices=tuple(TimePrecision.choices)),
        Field("filed_at", "Filed"),
        Field("kind", "What happened", choices=tuple(Kind.choices)),
        Field("reference", "Reference"),
        Field("place_name", "Place name"),
        Field("latitude", "Latitude"),
        Field("longitude", "Longitude"),
        Field("place_precision_m", "Place precision, metres"),
        Field("accused", "Accused"),
        Field("accuser", "Accuser"),
        Field("weapon", "Weapon"),
        Field("count_text", "Count as stated"),
        Field("count_low", "Count, low"),
        Field("count_high", "Count, high"),
        Field("count_unit", "What is counted", choices=tuple(CountUnit.choices)),
        Field("means", "Means of observation", choices=tuple(Report.Means.choices)),
        Field("reliability", "Reliability"),
        Field("credibility", "Credibility"),
        Field("facility_class", "Facility", choices=tuple(Facility.choices)),
        Field("killed", "Killed"),
        Field("injured", "Injured"),
        Field("narrative", "Narrative"),
        Field("source_url", "Address"),
        Field("tier", "Release tier", choices=TIERS),
        Field("sensitive", "Sensitive place"),
    )
    reads = {
        "external_id": Read(("id",)),
        "when": Read(("occurred_from", "occurred_until", "occurred_on", "time_precision"), read_when),
        "filed_at": Read(("filed_at",), read_filed),
        "kind": Read(("kind",), choice_of(Kind.choices)),
        "point": Read(("longitude", "latitude")),
        "precision": Read(("place_precision_m",), read_metres),
        "source": Read(("source",), read_source),
        "accused": Read(("accused",), read_party),
        "accuser": Read(("accuser",), read_party),
        "count": Read(("count_text", "count_low", "count_high"), read_count),
        "unit_as_kept": Read(("count_unit",), choice_of(CountUnit.choices)),
        "means": Read(("means",), choice_of(Report.Means.choices)),
        "reliability": Read(("reliability",), plainly(statements.read_reliability)),
        "credibility": Read(("credibility",), plainly(statements.read_credibility)),
        "facility_class": Read(("facility_class",), choice_of(Facility.choices)),
        "killed": Read(("killed",), plainly(cells.read_integer)),
        "injured": Read(("injured",), plainly(cells.read_integer)),
        "tier": Read(("tier",), read_tier),
        "sensitive": Read(("sensitive",), plainly(cells.read_boolean)),
        **{name: Read((name,), plainly(as_given)) for name in TEXTS},
    }
