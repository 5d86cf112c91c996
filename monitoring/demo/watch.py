"""The demo's agreements, protected sites and some 300 reports, written into a database that has the demo's areas.

The energy pause and the Easter truce of 2025 are real and told in our own words. Every report is invented, by a
seeded generator, and marked illustrative; only the two counts of the Easter truce are what the parties said. Half of
the acts are laid to each side. What plays now is told relative to the day of loading, along the demo's own line.

Sites are squares around the middle of a town that has a well-known plant (not the plant's own outline). Coordinates
are those of GeoNames (CC BY 4.0), as in ``monitoring.gazetteer``.
"""

import json
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from django.utils import timezone
from shapely.geometry import Point, shape

from coalition.access import Tier
from coalition.models import Sector, User
from coalition.vocabulary import rows
from monitoring.kinds import KINDS_OF, CountUnit, Family, Kind
from monitoring.models import (
    Agreement,
    Confidence,
    Incident,
    Occurrence,
    Party,
    PartyResponse,
    Place,
    Provision,
    ProvisionTerm,
    Report,
    Source,
    TimePrecision,
)
from monitoring.placing import Areas

HERE = Path(__file__).parent
KYIV, MOSCOW = ZoneInfo("Europe/Kyiv"), ZoneInfo("Europe/Moscow")
SEED = 2025
PARTIES = {"ru": "Russian Federation", "ua": "Ukraine"}
HALF_A_SITE = 0.02  # degrees: squares of about 4 km by 3 km
MOMENT = timedelta(microseconds=1)

STRIKES = [Kind.FACILITY_STRIKE, Kind.MISSILE, Kind.LONG_RANGE_DRONE, Kind.AIRSTRIKE, Kind.STRIKE]
ACTS = {
    "strikes": STRIKES,
    "hostilities": [*KINDS_OF[Family.FIRE], *KINDS_OF[Family.GROUND], Kind.FACILITY_STRIKE],
    "presence": [*KINDS_OF[Family.GROUND], *KINDS_OF[Family.WEAPONS]],
    "monitors": list(KINDS_OF[Family.MONITORS]),
}
WEAPONS = {
    Kind.MORTAR: "120 mm mortar",
    Kind.ARTILLERY: "152 mm howitzer",
    Kind.MLRS: "Multiple-launch rocket system",
    Kind.TANK: "Main battle tank",
    Kind.SMALL_ARMS: "Heavy machine gun",
    Kind.FPV_DRONE: "FPV drone",
    Kind.LONG_RANGE_DRONE: "Long-range drone",
    Kind.MISSILE: "Cruise missile",
}
UNITS = {Kind.EXPLOSION: CountUnit.EXPLOSIONS, Kind.SHOT: CountUnit.SHOTS, Kind.BURST: CountUnit.BURSTS}
NOW_KINDS = [
    *[Kind.EXPLOSION] * 8,
    *[Kind.BURST, Kind.SHOT, Kind.SMALL_ARMS, Kind.MORTAR, Kind.ARTILLERY, Kind.FPV_DRONE] * 3,
    *[Kind.MLRS, Kind.TANK, Kind.ASSAULT, Kind.NEW_POSITION, Kind.MINELAYING, Kind.WITHIN_LINE, Kind.OVERFLIGHT],
    *[Kind.JAMMING, Kind.DENIAL, Kind.DELAY, Kind.FIRE_AT_MONITORS, Kind.MONITOR_JAMMING, Kind.NOT_STATED],
]
OWN = ("demo-patrol-north", "demo-patrol-south", "demo-camera", "demo-uav", "demo-acoustic")
SAID_BY = {"ru": "demo-ru-statement", "ua": "demo-ua-statement"}


@dataclass
class World:
    """What reports refer to."""

    parties: dict[str, Party]
    sources: dict[str, Source]
    users: Mapping[str, User]
    dice: random.Random = field(default_factory=lambda: random.Random(SEED))  # noqa: S311 - a story, not a secret

    def other(self, party: str) -> str:
        """Return who accuses this party."""
        return "ua" if party == "ru" else "ru"


def load_watch(users: Mapping[str, User]) -> None:
    """Write it all. Call while acting as the system, once, after the demo's areas were made."""
    parties = {code: Party.objects.get_or_create(code=code, defaults={"name": PARTIES[code]})[0] for code in PARTIES}
    world = World(parties, _sources(parties), users)
    sites = _sites()
    _agreements(parties, [site.code for site in sites])
    now = timezone.now()
    moratorium = list(_pause_of_2025(world))
    truce = list(_easter_of_2025(world))
    lately, pairs = _lately(world, now)
    reports = moratorium + truce + lately
    _place(reports)
    Report.objects.bulk_create(reports)
    _incidents(world, pairs, now)


def _sources(parties: dict[str, Party]) -> dict[str, Source]:
    made = Source.objects.bulk_create(
        [
            Source(**{**row, "party": parties.get(row["party"])}, illustrative=True, licence="Invented for the demo")
            for row in rows(HERE / "sources.csv")
        ]
    )
    return {source.code: source for source in made}


def _sites() -> list[Sector]:
    return Sector.objects.bulk_create(
        [
            Sector(
                code=f"demo-site-{row['code']}",
                name=f"{row['name']} (illustrative square)",
                kind=Sector.Kind.PROTECTED_SITE,
                polygon=_square(float(row["longitude"]), float(row["latitude"])),
                illustrative=True,
            )
            for row in rows(HERE / "sites.csv")
        ]
    )


def _square(longitude: float, latitude: float) -> dict[str, Any]:
    west, east = round(longitude - HALF_A_SITE, 5), round(longitude + HALF_A_SITE, 5)
    south, north = round(latitude - HALF_A_SITE, 5), round(latitude + HALF_A_SITE, 5)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


# --- What was agreed ----------------------------------------------------------------------


def _agreements(parties: dict[str, Party], sites: list[str]) -> None:
    for told in json.loads((HERE / "agreements.json").read_text(encoding="utf-8")):
        provisions, terms = told.pop("provisions"), told.pop("terms")
        agreement = Agreement.objects.create(**{**told, "tier": Tier[told["tier"].upper()]})
        made = Provision.objects.bulk_create(
            [
                Provision(
                    agreement=agreement,
                    article=one["article"],
                    kind=one["kind"],
                    text=one["text"],
                    act_kinds=[str(kind) for kind in ACTS.get(one.get("act_kinds"), [])],
                    facility_classes=one.get("facility_classes", []),
                    zones=sites if one.get("zones") == "sites" else one.get("zones", []),
                )
                for one in provisions
            ]
        )
        ProvisionTerm.objects.bulk_create(
            [
                ProvisionTerm(
                    provision=provision,
                    party=parties[term["party"]],
                    begins_at=_instant(term.get("begins"), term.get("days_ago"), agreement.code),
                    ends_at=_instant(term["ends"], None, agreement.code) if "ends" in term else None,
                    reason=term["reason"],
                    source_url=term["source_url"],
                )
                for provision in made
                for term in terms
            ]
        )


def _instant(local: str | None, days_ago: int | None, code: str) -> datetime:
    """Return an instant: the truce was announced in Moscow's time, other days are Kyiv's."""
    if days_ago is not None:
        return _midnight(timezone.now() - timedelta(days=days_ago))
    return datetime.fromisoformat(local).replace(tzinfo=MOSCOW if code == "easter-2025" else KYIV)


def _midnight(instant: datetime) -> datetime:
    return instant.astimezone(KYIV).replace(hour=0, minute=0, second=0, microsecond=0)


# --- What was reported --------------------------------------------------------------------


def _report(world: World, source: str, at: datetime, **fields: Any) -> Report:
    """Return an unsaved report at an instant, which fields may widen. What is not given is not stated."""
    made = world.sources[source]
    accused = fields.pop("accused", None)
    return Report(
        source=made,
        reference=f"D{world.dice.randrange(10_000, 99_999)}",
        dataset="demo",
        external_id=f"demo-{world.dice.getrandbits(48):012x}",
        accuser=made.party,
        accused=world.parties.get(accused),
        reliability=made.reliability,
        illustrative=True,
        **{
            "occurred_from": at,
            "occurred_until": at,
            "occurred_on": at.astimezone(KYIV).date(),
            "filed_at": at + timedelta(minutes=world.dice.randrange(15, 600)),
            "credibility": world.dice.choice([2, 3, 3, 4, 6]),
            "narrative": "Invented for the demo.",
            **fields,
        },
    )


def _all_day(at: datetime) -> dict[str, Any]:
    """Return the fields of a report that names only the day."""
    begins = _midnight(at)
    ends = _midnight(begins + timedelta(hours=36)) - MOMENT
    return {"occurred_from": begins, "occurred_until": ends, "time_precision": TimePrecision.DAY}


def _near(world: World, longitude: float, latitude: float, within_m: float) -> dict[str, float]:
    turn, away = world.dice.uniform(0, 2 * math.pi), within_m * math.sqrt(world.dice.random())
    north, east = away * math.cos(turn) / 111_195, away * math.sin(turn) / 111_195
    return {
        "longitude": round(longitude + east / math.cos(math.radians(latitude)), 5),
        "latitude": round(latitude + north, 5),
    }


def _pause_of_2025(world: World) -> Iterator[Report]:
    dice = world.dice
    towns = rows(HERE / "towns.csv")
    classes = ["power"] * 5 + ["pipeline", "oil_refinery", "hydro_dam", "housing", "housing", "transport", ""]
    # Three that a reader can follow: a substation, a house on the same day, and one of which only the day is known.
    kharkiv = {"place_name": "Kharkiv", **_near(world, 36.25475, 49.98177, 4000), "place_precision_m": 1000}
    told = {"kind": Kind.FACILITY_STRIKE, "accused": "ru", **kharkiv}
    noon = datetime(2025, 3, 20, 12, 10, tzinfo=KYIV)
    yield _report(world, "demo-ua-statement", noon, facility_class="power", narrative="A substation. Invented.", **told)
    yield _report(world, "demo-agency", noon, facility_class="housing", narrative="A house. Invented.", **told)
    yield _report(world, "demo-witness", noon, facility_class="power", **{**told, **_all_day(noon)})
    for _ in range(87):
        town = dice.choice(towns)
        at = datetime(2025, 3, 14, tzinfo=UTC) + timedelta(minutes=dice.randrange(45 * 24 * 60))
        source = dice.choice([SAID_BY[world.other(town["accused"])]] * 3 + ["demo-agency", "demo-witness"])
        precision = dice.choice([500, 2000, 5000])
        vague = {"occurred_until": at + timedelta(hours=dice.choice([2, 8])), "time_precision": TimePrecision.SPAN}
        timing = dice.choice([{}, {}, vague, _all_day(at)])
        kind = dice.choice([Kind.FACILITY_STRIKE, Kind.FACILITY_STRIKE, Kind.MISSILE, Kind.LONG_RANGE_DRONE])
        yield _report(
            world,
            source,
            at,
            **{
                "kind": kind,
                "weapon": WEAPONS.get(kind, ""),
                "facility_class": dice.choice(classes),
                "accused": town["accused"] if dice.random() < 0.93 else None,
                "place_name": town["place"],
                **_near(world, float(town["longitude"]), float(town["latitude"]), 15_000),
                "place_precision_m": precision,
                "killed": dice.choice([None, 0, 0, 1]),
                "injured": dice.choice([None, 0, 2, 5]),
                **timing,
            },
        )


def _easter_of_2025(world: World) -> Iterator[Report]:
    dice = world.dice
    ended = datetime(2025, 4, 21, 9, tzinfo=KYIV)
    span = {
        "occurred_from": datetime(2025, 4, 19, 18, tzinfo=MOSCOW),
        "occurred_until": datetime(2025, 4, 21, tzinfo=MOSCOW) - MOMENT,
        "occurred_on": ended.date() - timedelta(days=2),
        "time_precision": TimePrecision.DAYS,
        "filed_at": ended,
    }
    for accused, count in (("ru", 2935), ("ua", 4900)):
        said = f"{PARTIES[world.other(accused)]} counted so many violations of the Easter truce, as said afterwards."
        report = _report(world, SAID_BY[world.other(accused)], ended, kind=Kind.OTHER, accused=accused, **span)
        report.count_text, report.count_low, report.count_high = f"{count:,}", count, count
        report.count_unit, report.narrative, report.illustrative = CountUnit.VIOLATIONS, said, False
        yield report
    towns = rows(HERE / "towns.csv")
    for _ in range(28):
        town = dice.choice(towns)
        at = datetime(2025, 4, 19, 8, tzinfo=UTC) + timedelta(minutes=dice.randrange(44 * 60))
        kind = dice.choice([Kind.ARTILLERY, Kind.MORTAR, Kind.FPV_DRONE, Kind.SMALL_ARMS, Kind.ASSAULT])
        yield _report(
            world,
            dice.choice([SAID_BY[world.other(town["accused"])], "demo-agency"]),
            at,
            kind=kind,
            weapon=WEAPONS.get(kind, ""),
            accused=town["accused"],
            place_name=town["place"],
            place_precision_m=3000,
            **_near(world, float(town["longitude"]), float(town["latitude"]), 20_000),
        )


def _lately(world: World, now: datetime) -> tuple[list[Report], list[list[Report]]]:
    """Return the reports of the last four weeks along the demo's line, and those that tell of the same event."""
    dice = world.dice
    areas = [
        shape(area.polygon) for area in Sector.objects.filter(code__startswith="demo-").exclude(kind="protected_site")
    ]
    found: list[Report] = []
    same: list[list[Report]] = []
    for number in range(150):
        at = now - timedelta(minutes=20 + int(28 * 24 * 60 * dice.random() ** 1.4))
        place = _somewhere(world, areas)
        kind, accused = dice.choice(NOW_KINDS), dice.choice(["ru", "ua"])
        count = dice.choice([None, None, 1, 2, 3, 5, 8, 13, 30])
        act = {
            "kind": kind,
            "weapon": WEAPONS.get(kind, ""),
            "accused": accused if dice.random() < 0.8 else None,
            "place_precision_m": dice.choice([50, 200, 1000, 3000, 3000, 15_000 if number % 9 == 0 else 500]),
            "sensitive": number % 14 == 0,
            "tier": Tier.PLANNING if number % 18 == 5 else Tier.PUBLIC if number % 11 == 0 else Tier.COALITION,
            "status": dice.choice([Occurrence.RECEIVED, Occurrence.RECEIVED, Occurrence.SCREENED]),
            "means": dice.choice(["saw", "heard", "recorded", ""]),
            **place,
        }
        if count is not None:
            high = count + dice.choice([0, 0, count // 3])
            text = str(count) if high == count else f"{count}-{high}"
            unit = UNITS.get(kind, CountUnit.OTHER)
            act |= {"count_text": text, "count_low": count, "count_high": high, "count_unit": unit}
        if number % 10 == 3:
            act |= _all_day(min(at, now - timedelta(days=1, hours=2)))
            act["occurred_on"] = act["occurred_from"].astimezone(KYIV).date()
        first = _report(world, dice.choice(OWN), at, **{"filed_at": min(now, at + timedelta(minutes=15)), **act})
        found.append(first)
        if number % 6 == 0:
            same.append(_told_again(world, first, accused, now))
            found += same[-1][1:]
    return found, same


def _told_again(world: World, first: Report, accused: str, now: datetime) -> list[Report]:
    """Return the report with what others say of the same event: the other side blames who the first one did not."""
    dice = world.dice
    told = [first]
    for source, blamed in ((SAID_BY["ua"], "ru"), (SAID_BY["ru"], "ua"), ("demo-agency", accused))[
        : dice.choice([1, 2, 3])
    ]:
        at = min(first.occurred_from + timedelta(minutes=dice.randrange(-12, 13)), now - timedelta(minutes=2))
        told.append(
            _report(
                world,
                source,
                at,
                kind=dice.choice([first.kind, first.kind, Kind.EXPLOSION]),
                accused=blamed,
                place_precision_m=dice.choice([1000, 3000]),
                filed_at=min(now, at + timedelta(hours=2)),
                place_name=first.place_name,
                tier=Tier.COALITION,
                **_near(world, first.longitude, first.latitude, 900),
            )
        )
    return told


def _somewhere(world: World, areas: list) -> dict[str, Any]:
    """Return a place in one of the areas, towards their eastern edge, where the line is."""
    area = world.dice.choice(areas)
    west, south, east, north = area.bounds
    while True:
        longitude = west + (east - west) * world.dice.random() ** 0.5
        latitude = world.dice.uniform(south, north)
        if area.contains(Point(longitude, latitude)):
            return {"longitude": round(longitude, 5), "latitude": round(latitude, 5)}


def _place(things: list[Report]) -> None:
    """Work out what each tier sees of the places."""
    numbers = {
        name: np.array([np.nan if getattr(thing, name) is None else getattr(thing, name) for thing in things], float)
        for name in ("longitude", "latitude", "place_precision_m")
    }
    sensitive = np.array([thing.sensitive for thing in things], bool)
    columns = Areas(Sector.objects.all()).placed(*numbers.values(), sensitive)
    for name, column in columns.items():
        for thing, value in zip(things, column.to_pylist(), strict=True):
            if name.endswith("zones"):
                value = [int(number) for number in value.strip("{}").split(",") if number]
            setattr(thing, name, value)


# --- What was made of it ------------------------------------------------------------------

JUDGED = (
    # occurrence, finding, attribution; each with how sure that is
    (Occurrence.CORROBORATED, "high", Incident.Finding.VIOLATION, "moderate", Incident.Attribution.PARTY, "moderate"),
    (Occurrence.CORROBORATED, "high", Incident.Finding.VIOLATION, "high", Incident.Attribution.UNATTRIBUTED, "low"),
    (Occurrence.PLAUSIBLE, "moderate", Incident.Finding.INCONCLUSIVE, "low", "", ""),
    (Occurrence.UNSUBSTANTIATED, "moderate", Incident.Finding.NONE, "moderate", "", ""),
    (Occurrence.REFUTED, "high", Incident.Finding.NONE, "high", "", ""),
    (Occurrence.CANNOT_VERIFY, "low", "", "", "", ""),
    (Occurrence.UNDER_VERIFICATION, "", "", "", "", ""),
    (Occurrence.UNDER_VERIFICATION, "", "", "", "", ""),
)
PLACE = [column.attname for column in Place._meta.get_fields()]


def _incidents(world: World, pairs: list[list[Report]], now: datetime) -> None:
    """Merge some events into incidents, of which some are judged by one person and verified by another."""
    judge, verifier = world.users["monitor"], world.users["planner-one"]
    for number, (verdict, told) in enumerate(zip(JUDGED, pairs[1::2], strict=False)):
        occurrence, how_sure, finding, finding_sure, attribution, attribution_sure = verdict
        first = told[0]
        accused = next((report.accused for report in told if report.accused), world.parties["ru"])
        by_party = attribution == Incident.Attribution.PARTY
        is_judged = bool(how_sure)
        incident = Incident.objects.create(
            title=f"{first.get_kind_display()} {first.occurred_on}",
            kind=first.kind,
            accused=accused,
            occurred_from=first.occurred_from,
            occurred_until=first.occurred_until,
            occurred_on=first.occurred_on,
            time_precision=first.time_precision,
            occurrence=occurrence,
            occurrence_confidence=how_sure and Confidence(how_sure),
            finding=finding,
            finding_confidence=finding_sure,
            attribution=attribution,
            attributed_to=accused if by_party else None,
            attribution_confidence=attribution_sure,
            judged_by=judge if is_judged else None,
            judged_at=now - timedelta(hours=3 + number) if is_judged else None,
            verified_by=verifier if is_judged and number < 3 else None,
            verified_at=now - timedelta(hours=1) if is_judged and number < 3 else None,
            tier=max(report.tier for report in told),
            illustrative=True,
            **{name: getattr(first, name) for name in PLACE},
        )
        Report.objects.filter(pk__in=[report.pk for report in told]).update(
            incident=incident, status=Occurrence.SCREENED
        )
        if is_judged:
            PartyResponse.objects.create(
                incident=incident,
                party=accused,
                stance=[PartyResponse.Stance.DENIES, PartyResponse.Stance.BLAMES_OTHER, PartyResponse.Stance.SILENT][
                    number % 3
                ],
                said_on=first.occurred_on + timedelta(days=1),
                text="Invented for the demo.",
            )
