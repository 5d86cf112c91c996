"""Geocoded news events of VIINA (Violent Incident Information from News Articles), in two shapes.

Source of the codes: README of the VIINA repository (Zhukov 2022). The flat list has one row for a place, a day and a type
letter, and no id; the candidates of attacks on infrastructure have an id, the text they were told from and what a machine
made of it. Classes and sides are a machine's guesses and stay as credible as that: they cannot be judged.
"""

from coalition.access import Tier
from coalition.imports import cells
from coalition.imports.cells import Unclear
from monitoring import statements
from monitoring.importing import ReportProfile
from monitoring.kinds import Facility, Kind
from monitoring.layouts import OwnSource, called, first_address
from monitoring.understanding import Knowing, Read, Wrong, read_days

SOURCE = OwnSource("viina", "VIINA", address="https://github.com/zhukovyuri/VIINA", licence="ODbL 1.0")
KINDS = {  # C and M say who suffered, O and L nothing of what was done
    "A": Kind.ARTILLERY,
    "D": Kind.STRIKE,
    "F": Kind.SMALL_ARMS,
    "S": Kind.AIRSTRIKE,
    "V": Kind.TANK,
    "C": Kind.NOT_STATED,
    "M": Kind.NOT_STATED,
    "L": Kind.OTHER,
    "O": Kind.OTHER,
}
SETTLEMENT_M = 5_000.0  # the point is the middle of the settlement that the news named; the metres are ours
FACILITIES = {
    "FUEL_STORAGE_TERMINAL": Facility.PIPELINE,
    "PIPELINE_PUMPING": Facility.PIPELINE,
    "REFINING_PETROCHEM_GAS": Facility.OIL_REFINERY,
    "ENERGY_GRID_SUPPORT": Facility.POWER,
    "PORT_EXPORT_LOGISTICS": Facility.TRANSPORT,
}


def read_day(knowing: Knowing, day: str):
    return read_days(knowing, day, "")


def read_kind(knowing: Knowing, code: str) -> str | None:
    if code and code not in KINDS:
        raise Unclear("is no type letter of VIINA that is known here.")
    return KINDS[code].value if code else None


def read_weapon(knowing: Knowing, kind: str) -> str:
    return "UAV" if kind == "uav" else ""


def read_narrative(knowing: Knowing, kind: str, reports: str) -> str:
    """The type in words, and in how many news reports it stood; that is no count of violations."""
    number = cells.read_integer(reports)
    told = f"; in {number:,} news report{'s' if number != 1 else ''}" if number else ""
    return f"{kind[:1].upper()}{kind[1:]}{told}" if kind else ""


def settlement(knowing: Knowing) -> float:
    return SETTLEMENT_M


def read_facility(knowing: Knowing, classes: str) -> str:
    """The one class that all the words stand for; several different ones are none."""
    found = {FACILITIES.get(word, Facility.OTHER) for word in classes.split("|") if word}
    return found.pop().value if len(found) == 1 else ""


def read_accused(knowing: Knowing, by_ukraine: str, by_russia: str) -> int | None:
    """The side that the classifier says began it, where it says so of exactly one."""
    for name, text in (("a_ukr_init", by_ukraine), ("a_rus_init", by_russia)):
        if text not in ("", "0", "1"):
            raise Wrong(name, "is neither 0 nor 1.")
    if (by_ukraine, by_russia) == ("1", "0"):
        return knowing.party_named(statements.PARTY_WORDS["ukraine"])
    if (by_ukraine, by_russia) == ("0", "1"):
        return knowing.party_named(statements.PARTY_WORDS["russia"])
    return None


def read_place_name(knowing: Knowing, name: str, oblast: str) -> str:
    return ", ".join(filter(None, (name, oblast)))


class VIINAEvents(ReportProfile):
    """The flat list of events."""

    name = "viina-events"
    label = "VIINA events"
    lead = "The flat list: date, place, type letter. It has no ids, so equal rows are told apart by their number."
    dataset = "viina-events"
    tier = Tier.PUBLIC
    own_source = SOURCE
    id_field = ""
    fields = called(
        "date", "longitude", "latitude", "location", "type_code", "type", "n_reports", "urls",
        required=("date", "type_code"),
    )  # fmt: skip
    reads = {
        "when": Read(("date",), read_day),
        "kind": Read(("type_code",), read_kind),
        "weapon": Read(("type",), read_weapon),
        "point": Read(("longitude", "latitude")),
        "precision": Read((), settlement),
        "place_name": Read(("location",)),
        "narrative": Read(("type", "n_reports"), read_narrative),
        "source_url": Read(("urls",), first_address),
    }


class VIINAInfrastructure(ReportProfile):
    """Candidates of attacks on infrastructure."""

    name = "viina-infrastructure"
    label = "VIINA attacks on infrastructure"
    lead = "Candidates that a machine picked from the news; hardly any is confirmed."
    dataset = "viina-infrastructure"
    tier = Tier.PUBLIC
    own_source = SOURCE
    id_field = "event_id_1pd"
    fields = called(
        "event_id_1pd", "date", "n_reports", "event_ids_matching", "sources_matching", "source_urls", "target_classes",
        "target_terms", "attack_terms", "geonameid", "asciiname", "ADM1_NAME", "ADM2_NAME", "longitude", "latitude",
        "a_ukr_init", "a_ukr", "a_rus_init", "a_rus", "representative_text", "Stage1Triage",
        required=("event_id_1pd", "date"),
    )  # fmt: skip
    reads = {
        "external_id": Read(("event_id_1pd",)),
        "reference": Read(("event_id_1pd",)),
        "when": Read(("date",), read_day),
        "kind": Read((), lambda knowing: Kind.FACILITY_STRIKE.value),
        "facility_class": Read(("target_classes",), read_facility),
        "point": Read(("longitude", "latitude")),
        "precision": Read((), settlement),
        "place_name": Read(("asciiname", "ADM1_NAME"), read_place_name),
        "accused": Read(("a_ukr_init", "a_rus_init"), read_accused),
        "narrative": Read(("representative_text",)),
        "source_url": Read(("source_urls",), first_address),
    }
