"""The ceasefire-violation annex of the daily reports of the OSCE Special Monitoring Mission to Ukraine.

Source of the layout: general knowledge of the published reports, not confirmed from a file: SMM position, event location,
means, number, observation, description, weapon, date and time. The mission gave no coordinates: the place is the position,
with the range and bearing at which something was seen or heard, and only as exact as those. It gave no ids either.
"""

from coalition.access import Tier
from coalition.imports.cells import Unclear
from coalition.imports.mapping import Field
from monitoring import places, statements
from monitoring.importing import ReportProfile
from monitoring.layouts import OwnSource
from monitoring.models import Report, Source
from monitoring.statements import When
from monitoring.understanding import Knowing, Read, Spot, Wrong, plainly, read_count


def read_when(knowing: Knowing, both: str, day: str, clock: str) -> When | None:
    """One column with date and time ("22-Aug-17, 11:45-11:57"), or one for each."""
    if day:
        return _clocked(knowing, "date", "time", day, clock)
    day, _, clock = both.partition(",")
    if not clock and " " in day:
        day, _, clock = day.partition(" ")
    return _clocked(knowing, "date_time", "date_time", day, clock)


def _clocked(knowing: Knowing, day_field: str, clock_field: str, day: str, clock: str) -> When | None:
    try:
        return statements.read_day_and_clock(day, clock, zone=knowing.zone, order=knowing.order)
    except Unclear as unclear:
        name = clock_field if "time" in str(unclear) else day_field
        raise Wrong(name, str(unclear)) from unclear


def read_place(knowing: Knowing, location: str, position: str) -> Spot | None:
    """Where it happened: range and bearing from the position or from a named place, else a place by its name."""
    if not location:
        return None
    stated = location[:150]
    if places.offset_of(location):
        named, far = statements.place_of_position(position)
        whole = f"{stated} of {named[:140]}" if named else stated
        return _away(_position(knowing, named, far), location, whole, named)
    named, far = statements.place_of_position(location)
    return _away(_position(knowing, named, ""), far, stated, named)


def _position(knowing: Knowing, named: str, far: str) -> places.Point | None:
    found = knowing.find_place(named) if named else None
    if found is None or found.longitude is None or found.latitude is None:
        return None
    point = places.Point(found.longitude, found.latitude, found.precision_m or 1.0)
    return places.away(point, far) if far else point


def _away(point: places.Point | None, far: str, stated: str, named: str) -> Spot:
    if point is None:
        note = f"No one place called “{named[:80]}” is known here, so the report has no place on the map."
        return Spot(stated, note=note)
    point = (places.away(point, far) or point) if far else point
    return Spot(stated, round(point.longitude, 5), round(point.latitude, 5), float(round(point.precision_m)))


def read_means(knowing: Knowing, observation: str, means: str) -> str | None:
    """How: by the observation (heard, saw, recorded), else by what it was made with (camera, UAV)."""
    try:
        return statements.read_means(observation) or statements.read_means(means)
    except Unclear:
        return Report.Means.RECORDED.value if "camera" in means.casefold() or "uav" in means.casefold() else None


def read_narrative(knowing: Knowing, observation: str, description: str, means: str, position: str) -> str:
    said = ": ".join(filter(None, (observation, description)))
    return "; ".join(filter(None, (said, means, position and f"position: {position}")))


class OSCEAnnex(ReportProfile):
    """Rows of the annex: each one a count of something seen or heard from one position."""

    name = "osce-annex"
    label = "OSCE SMM annex"
    lead = "Ceasefire violations as the mission listed them: position, range and bearing, count."
    dataset = "osce-smm"
    tier = Tier.PUBLIC
    own_source = OwnSource(
        "osce-smm", "OSCE Special Monitoring Mission to Ukraine", Source.Class.MONITORS, Source.Kind.PATROL,
        address="https://www.osce.org/special-monitoring-mission-to-ukraine-closed",
    )  # fmt: skip
    date_order = "dmy"
    id_field = ""
    fields = (
        Field("position", "SMM position", synonyms=("position", "smm position (camera)", "source of info")),
        Field("location", "Event location", synonyms=("location", "event location (from smm position)")),
        Field("means", "Means", synonyms=("means of observation",)),
        Field("count", "No.", synonyms=("no", "number", "count")),
        Field("observation", "Observation"),
        Field("description", "Description", required=True),
        Field("weapon", "Weapon"),
        Field("date_time", "Date, time", synonyms=("date/time", "date and time", "datetime")),
        Field("date", "Date"),
        Field("time", "Time"),
    )
    reads = {
        "when": Read(("date_time", "date", "time"), read_when),
        "place": Read(("location", "position"), read_place),
        "count": Read(("count",), read_count),
        "kind": Read(("description",), plainly(statements.kind_in)),
        "means": Read(("observation", "means"), read_means),
        "weapon": Read(("weapon",), plainly(statements.read_weapon)),
        "narrative": Read(("observation", "description", "means", "position"), read_narrative),
    }
