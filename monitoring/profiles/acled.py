"""Events of the Armed Conflict Location & Event Data project (ACLED), 31 columns.

Source of the layout: the columns of ACLED's own reader acledR; meaning of the precisions and event types: ACLED Codebook.
A living data set: rows change under the same id. Which actor stands first says nothing about who attacked, so nobody is
accused of anything here; the actors stay in the row as it stood.
"""

from calendar import monthrange
from datetime import UTC, datetime, timedelta

from coalition.access import Tier
from coalition.imports import cells
from coalition.imports.cells import Unclear
from monitoring import statements
from monitoring.importing import ReportProfile
from monitoring.kinds import Kind
from monitoring.layouts import OwnSource, called
from monitoring.statements import When
from monitoring.understanding import Knowing, Read, Wrong, plainly

KINDS = {
    "Armed clash": Kind.SMALL_ARMS,
    "Government regains territory": Kind.ADVANCE,
    "Non-state actor overtakes territory": Kind.ADVANCE,
    "Shelling/artillery/missile attack": Kind.STRIKE,
    "Air/drone strike": Kind.AIRSTRIKE,
    "Remote explosive/landmine/IED": Kind.MINE,
    "Suicide bomb": Kind.EXPLOSION,
    "Grenade": Kind.EXPLOSION,
    "Attack": Kind.CIVILIAN_ATTACK,
    "Sexual violence": Kind.CIVILIAN_ATTACK,
    "Abduction/forced disappearance": Kind.ABDUCTION,
}
# How far the place may be off, in metres. ACLED says 1: the place itself, 2: near it or part of a region, 3: the region;
# the metres are ours.
METRES = {"1": 5_000.0, "2": 25_000.0, "3": 100_000.0}


def read_when(knowing: Knowing, day: str, precision: str) -> When | None:
    """The day; with precision 2 within the week around it, with 3 within its month."""
    stated = cells.read_day(day, order=knowing.order)
    if stated is None:
        return None
    match precision:
        case "" | "1":
            first, last = stated.first, stated.last
        case "2":
            first, last = stated.first - timedelta(days=3), stated.first + timedelta(days=3)
        case "3":
            first = stated.first.replace(day=1)
            last = first.replace(day=monthrange(first.year, first.month)[1])
        case _:
            raise Wrong("time_precision", "is none of ACLED's time precisions 1, 2 and 3.")
    return statements.whole_days(first, last, knowing.zone, on=stated.first)


def read_kind(knowing: Knowing, sub_event: str, event: str) -> str:
    return KINDS.get(sub_event, Kind.OTHER if sub_event or event else Kind.NOT_STATED).value


def read_precision(knowing: Knowing, code: str) -> float | None:
    if code and code not in METRES:
        raise Unclear("is none of ACLED's geographic precisions 1, 2 and 3.")
    return METRES.get(code)


def read_timestamp(knowing: Knowing, seconds: str) -> datetime | None:
    """When the row was last changed, in seconds since 1970."""
    if not seconds:
        return None
    number = cells.read_integer(seconds)
    if number is None or not 0 < number < 4_102_444_800:  # the year 2100
        raise Unclear("is no timestamp in seconds.")
    return datetime.fromtimestamp(number, UTC)


def read_place_name(knowing: Knowing, location: str, admin1: str) -> str:
    return ", ".join(filter(None, (location, admin1)))


class ACLED(ReportProfile):
    """ACLED events."""

    name = "acled"
    label = "ACLED"
    lead = "Events as ACLED exports them (31 columns); nobody is accused, because the order of actors says nothing."
    dataset = "acled"
    tier = Tier.PUBLIC
    own_source = OwnSource("acled", "ACLED", address="https://acleddata.com", licence="ACLED Terms of Use")
    date_order = "dmy"
    id_field = "event_id_cnty"
    fields = called(
        "event_id_cnty", "event_date", "year", "time_precision", "disorder_type", "event_type", "sub_event_type", "actor1",
        "assoc_actor_1", "inter1", "actor2", "assoc_actor_2", "inter2", "interaction", "civilian_targeting", "iso", "region",
        "country", "admin1", "admin2", "admin3", "location", "latitude", "longitude", "geo_precision", "source",
        "source_scale", "notes", "fatalities", "tags", "timestamp",
        required=("event_id_cnty", "event_date"),
    )  # fmt: skip
    reads = {
        "external_id": Read(("event_id_cnty",)),
        "reference": Read(("event_id_cnty",)),
        "when": Read(("event_date", "time_precision"), read_when),
        "kind": Read(("sub_event_type", "event_type"), read_kind),
        "point": Read(("longitude", "latitude")),
        "precision": Read(("geo_precision",), read_precision),
        "place_name": Read(("location", "admin1"), read_place_name),
        "killed": Read(("fatalities",), plainly(statements.read_people)),
        "narrative": Read(("notes",)),
        "filed_at": Read(("timestamp",), read_timestamp),
    }
