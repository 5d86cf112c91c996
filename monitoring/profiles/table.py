"""Reports in our own CSV, or in any table (CSV, .xlsx, GeoJSON) whose columns a person maps.

Source of the layout: our own export of reports has these names as its header; the tags are those of the HXL standard 1.1
for the same columns. The mapping of a foreign header is kept and found again by that header.
"""

from coalition.access import Tier
from coalition.imports import cells
from coalition.imports.cells import Unclear
from coalition.imports.mapping import Field
from monitoring import places, statements
from monitoring.importing import ReportProfile
from monitoring.kinds import CountUnit, Facility
from monitoring.models import Report
from monitoring.understanding import (
    Knowing,
    Read,
    Spot,
    Wrong,
    plainly,
    read_count,
    read_filed,
    read_from_until,
    read_metres,
)

TIERS = tuple((str(int(tier)), tier.label) for tier in Tier)


def read_place(knowing: Knowing, stated: str, name: str) -> Spot | None:
    """A place written in one cell (degrees, DMS or MGRS), else the one place of that name."""
    if stated:
        try:
            point = places.parse(stated)
        except places.NotAPlace as wrong:
            raise Wrong("coordinates", str(wrong)) from wrong
        doubt = "" if places.in_theatre(point.longitude, point.latitude) else places.OUTSIDE
        return Spot(name, point.longitude, point.latitude, point.precision_m, doubt)
    if not name:
        return None
    return knowing.find_place(name) or Spot(
        name, note=f"No one place called “{name[:80]}” is known here, so the report has no place on the map."
    )


def read_source(knowing: Knowing, text: str) -> int:
    found = knowing.source(text)
    if found is None:
        raise Unclear("is empty, and is needed.")
    return found


def read_party(knowing: Knowing, text: str) -> int | None:
    return knowing.party(text)


def read_tier(knowing: Knowing, text: str) -> int | None:
    found = cells.read_choice(text, TIERS)
    return None if found is None else int(found)


class ReportTable(ReportProfile):
    """A table of reports."""

    name = "reports"
    label = "Reports"
    lead = "Our own CSV, or any table of reports whose columns you map: CSV, .xlsx, GeoJSON."
    dataset = "reports"
    fields = (
        Field("external_id", "Id", synonyms=("id", "event id", "event_id", "fid", "#event+id")),
        Field("occurred_from", "Occurred", required=True, synonyms=(
            "occurred", "occurred_at", "date", "event date", "datetime", "timestamp", "when", "#date+occurred"),
            help="A day, a local time, or an instant: 2025-03-20, 2025-03-20 11:45, 2025-03-20T09:45Z"),
        Field("occurred_until", "Occurred until", synonyms=("until", "end", "date_end", "end date")),
        Field("filed_at", "Reported", synonyms=("reported", "date reported", "filed", "#date+reported")),
        Field("kind", "What happened", synonyms=("type", "event type", "event_type", "category", "#event+type")),
        Field("latitude", "Latitude", synonyms=("lat", "y", "#geo+lat")),
        Field("longitude", "Longitude", synonyms=("lon", "lng", "long", "x", "#geo+lon")),
        Field("place_precision_m", "Place precision, metres",
              synonyms=("place_precision", "precision", "accuracy", "#geo+precision")),
        Field("coordinates", "Place in one cell", synonyms=("mgrs", "coords", "lat_lon", "latlon", "grid", "position")),
        Field("place_name", "Place name", synonyms=("place", "location", "settlement", "city", "town", "#loc+name")),
        Field("source", "Source", required=True, synonyms=("source_name", "reported by", "#meta+source")),
        Field("accused", "Accused", synonyms=("accused party", "perpetrator", "#group+name+accused")),
        Field("accuser", "Accuser", synonyms=("accusing party", "#group+name+accuser")),
        Field("weapon", "Weapon", synonyms=("cause", "munition", "arms", "#cause+weapon")),
        Field("count", "Count", synonyms=("count_text", "number", "no.", "quantity", "#indicator+num+count"),
              help="As stated: 71, 30-35, about 25, almost 200, several, N/K"),
        Field("count_unit", "What is counted", synonyms=("unit",), choices=tuple(CountUnit.choices)),
        Field("means", "Means of observation", synonyms=("observation", "observed"), choices=tuple(Report.Means.choices)),
        Field("reliability", "Reliability", synonyms=("admiralty", "source reliability", "#meta+reliability"),
              help="A to F, or both grades as B2"),
        Field("credibility", "Credibility", synonyms=("information credibility",), help="1 to 6, or both grades as B2"),
        Field("facility_class", "Facility", synonyms=("facility", "target", "target class"),
              choices=tuple(Facility.choices)),
        Field("killed", "Killed", synonyms=("fatalities", "dead", "deaths", "#affected+killed")),
        Field("injured", "Injured", synonyms=("wounded", "#affected+injured")),
        Field("narrative", "Narrative", synonyms=("description", "notes", "text", "summary", "#description")),
        Field("source_url", "Address", synonyms=("url", "link", "source url", "#meta+url")),
        Field("reference", "Reference", synonyms=("ref", "their number")),
        Field("tier", "Release tier", synonyms=("release tier",), choices=TIERS),
        Field("sensitive", "Sensitive place", synonyms=("sensitive place",)),
    )  # fmt: skip
    reads = {
        "external_id": Read(("external_id",)),
        "when": Read(("occurred_from", "occurred_until"), read_from_until),
        "filed_at": Read(("filed_at",), read_filed),
        "kind": Read(("kind",), plainly(statements.read_kind)),
        "point": Read(("longitude", "latitude")),
        "place": Read(("coordinates", "place_name"), read_place),
        "precision": Read(("place_precision_m",), read_metres),
        "place_name": Read(("place_name",)),
        "source": Read(("source",), read_source),
        "accused": Read(("accused",), read_party),
        "accuser": Read(("accuser",), read_party),
        "weapon": Read(("weapon",), plainly(statements.read_weapon)),
        "count": Read(("count",), read_count),
        "count_unit": Read(("count_unit",), plainly(lambda text: cells.read_choice(text, CountUnit.choices))),
        "means": Read(("means",), plainly(statements.read_means)),
        "reliability": Read(("reliability",), plainly(statements.read_reliability)),
        "credibility": Read(("credibility",), plainly(statements.read_credibility)),
        "facility_class": Read(("facility_class",), plainly(statements.read_facility)),
        "killed": Read(("killed",), plainly(statements.read_people)),
        "injured": Read(("injured",), plainly(statements.read_people)),
        "narrative": Read(("narrative",)),
        "source_url": Read(("source_url",)),
        "reference": Read(("reference",)),
        "tier": Read(("tier",), read_tier),
        "sensitive": Read(("sensitive",), plainly(cells.read_boolean)),
    }
