"""Geolocated open-source events of the Centre for Information Resilience, "Eyes on Russia", as its table of 2022.

Source of the layout: the published table itself. Ids repeat, some dates and countries are slips, and the column of violence
levels has words in it; a row that cannot be told is rejected and said to be, nothing is mended.
"""

import re
from datetime import date

from coalition.access import Tier
from coalition.imports import cells
from coalition.imports.mapping import Field
from monitoring import statements
from monitoring.importing import ReportProfile
from monitoring.kinds import Kind
from monitoring.layouts import OwnSource, first_address
from monitoring.statements import When
from monitoring.understanding import Knowing, Read

GROUPS = (  # the beginning of the event group; groups that say who was there name nothing that happened
    ("Civilian Infrastructure Damage", Kind.STRIKE),
    ("Military Infrastructure Damage", Kind.STRIKE),
    ("Bombing or Explosion", Kind.EXPLOSION),
    ("Ground Battle", Kind.ASSAULT),
    ("Detentions or Arrests", Kind.ABDUCTION),
    ("Civilian Casualty", Kind.NOT_STATED),
    ("Munitions", Kind.NOT_STATED),
)
GEOLOCATED_M = 200.0  # found on imagery, house by house; the metres are ours


def read_when(knowing: Knowing, day: str, title: str) -> When | None:
    """The day; where the title begins with another one, both are told."""
    stated = cells.read_day(day, order=knowing.order)
    if stated is None:
        return None
    when = statements.whole_days(stated.first, stated.last, knowing.zone)
    if found := re.match(r"(\d{2})/(\d{2})/(\d{4})\b", title):
        try:
            in_title = date(int(found[3]), int(found[2]), int(found[1]))
        except ValueError:
            return when
        if in_title != stated.first:
            note = f"The title says {in_title.isoformat()}; the date column is taken."
            return When(when.on, when.at_from, when.at_until, when.precision, note)
    return when


def read_kind(knowing: Knowing, group: str) -> str:
    return next((kind for start, kind in GROUPS if group.startswith(start)), Kind.OTHER).value


def read_weapon(knowing: Knowing, text: str) -> str:
    """As stated; a whole inventory is cut, and stays in the row as it stood."""
    words = " ".join(text.split())
    return words if len(words) <= 120 else f"{words[:119]}…"


def read_place_name(knowing: Knowing, town: str, district: str, province: str, country: str) -> str:
    return ", ".join(dict.fromkeys(filter(None, (town, district, province, country))))[:300]


def read_narrative(knowing: Knowing, title: str, description: str) -> str:
    return title if description in title else f"{title}\n{description}".strip()


def read_facility(knowing: Knowing, group: str, title: str) -> str:
    return statements.facility_in(title) if group.startswith("Civilian Infrastructure") else ""


def geolocated(knowing: Knowing) -> float:
    return GEOLOCATED_M


class EyesOnRussia(ReportProfile):
    """The table of 2022."""

    name = "eyes-on-russia"
    label = "Eyes on Russia (CIR)"
    lead = "Geolocated open-source events; rows that share an id and differ are all rejected."
    dataset = "eyes-on-russia"
    tier = Tier.PUBLIC
    own_source = OwnSource(
        "eyes-on-russia", "Centre for Information Resilience, Eyes on Russia", address="https://eyesonrussia.org"
    )
    date_order = "dmy"
    id_field = "entry"
    fields = (
        Field("entry", "entry"),
        Field("date", "date", required=True),
        Field("event_group", "event_group"),
        Field("title", "title"),
        Field("description", "brief description"),
        Field("latitude", "lat"),
        Field("longitude", "lon"),
        Field("country", "country"),
        Field("province", "province"),
        Field("district", "district"),
        Field("town", "town/city"),
        Field("weapon", "arms/munition"),
        Field("link", "link"),
        Field("geolocation", "geolocation"),
    )
    reads = {
        "external_id": Read(("entry",)),
        "reference": Read(("entry",)),
        "when": Read(("date", "title"), read_when),
        "kind": Read(("event_group",), read_kind),
        "point": Read(("longitude", "latitude")),
        "precision": Read((), geolocated),
        "place_name": Read(("town", "district", "province", "country"), read_place_name),
        "weapon": Read(("weapon",), read_weapon),
        "facility_class": Read(("event_group", "title"), read_facility),
        "narrative": Read(("title", "description"), read_narrative),
        "source_url": Read(("link",), first_address),
    }
