"""What a report and an incident show, in every format: the place, the name and the incident as far as a tier may know."""

from collections.abc import Callable

from django.db.models import BooleanField, Case, F, FloatField, Q, Value, When

from coalition.access import Actor, Tier
from coalition.api import tier_column
from coalition.columns import Column, Columns, Kind, Point
from monitoring.models import Incident, Occurrence, Report
from monitoring.placing import SEEN, seen_place
from monitoring.seeing import COARSER_BY_M

HIDDEN = ""  # a sensitive place has no name below the planning tier


def place_seen(part: str) -> Callable[[Actor], F]:
    """Return the column function of a part of a place, such as ``longitude``, as the reader's tier sees it."""
    return lambda actor: F(getattr(seen_place(actor.tier), part)) if actor.tier in SEEN else Value(None)


def name_seen(actor: Actor) -> F | Case:
    if actor.tier >= Tier.PLANNING:
        return F("place_name")
    return Case(When(sensitive=True, then=Value(HIDDEN)), default=F("place_name"))


def precision_seen(actor: Actor) -> F | Case:
    """Return within how many metres it was, with what was added for the reader's tier."""
    coarser = COARSER_BY_M.get(actor.tier, 0.0)
    if not coarser:
        return F("place_precision_m")
    coarse = F("place_precision_m") + Value(coarser)
    return Case(When(sensitive=True, then=coarse), default=F("place_precision_m"), output_field=FloatField())


def is_coarse(actor: Actor) -> Case | Value:
    if actor.tier >= Tier.PLANNING:
        return Value(False, output_field=BooleanField())
    return Case(When(sensitive=True, then=Value(True)), default=Value(False))


def sector_seen(actor: Actor) -> F:
    return F(f"{seen_place(actor.tier).sector}__code")


def incident_seen(actor: Actor) -> Case:
    """Return the id of the incident a report is merged into, if the reader may see that."""
    return Case(When(incident__tier__lte=actor.tier, then=F("incident_id")))


def occurrence_seen(actor: Actor) -> Case:
    """Return the incident's occurrence where the reader may see the incident, else the report's own status."""
    return Case(When(incident__tier__lte=actor.tier, then=F("incident__occurrence")), default=F("status"))


PLACE = (
    Column(
        "longitude", place_seen("longitude"), Kind.NUMBER, "#geo+lon", "WGS 84 degrees", nullable=True, example=37.8
    ),
    Column("latitude", place_seen("latitude"), Kind.NUMBER, "#geo+lat", "WGS 84 degrees", nullable=True, example=48.02),
    Column(
        "place_precision_m",
        precision_seen,
        Kind.NUMBER,
        "#geo+precision+m",
        "It was within so many metres of the point",
        nullable=True,
        example=100.0,
    ),
    Column("place_is_coarse", is_coarse, Kind.BOOLEAN, about="The place was moved: it is sensitive"),
    Column("sector", sector_seen, Kind.WORD, "#loc+code", "Code", nullable=True, example="S1"),
)
WHEN = (
    Column("occurred_from", hxl="#date+occurred+start"),
    Column("occurred_until", hxl="#date+occurred+end"),
    Column("occurred_on", hxl="#date+occurred"),
    Column("time_precision"),
)

REPORTS = Columns(
    Report,
    Column("id", hxl="#meta+id"),
    Column("reference", hxl="#meta+reference"),
    Column("source", "source__code", Kind.WORD, "#meta+source", "Code", example="osce-smm"),
    Column("source_class", "source__source_class", hxl="#meta+source+type"),
    Column("dataset", kind=Kind.WORD, hxl="#meta+dataset"),
    Column("external_id", hxl="#meta+id+external"),
    *WHEN,
    Column("filed_at", hxl="#date+reported"),
    Column("place_name", name_seen, Kind.TEXT, "#loc+name", "Empty where it would say too much"),
    *PLACE,
    Column("kind", hxl="#event+type"),
    Column("weapon", hxl="#event+weapon"),
    Column("count_text", hxl="#event+count+text"),
    Column("count_low", hxl="#event+count+min+num"),
    Column("count_high", hxl="#event+count+max+num"),
    Column("count_unit", hxl="#event+count+unit"),
    Column("means", hxl="#event+means"),
    Column("reliability", hxl="#meta+reliability"),
    Column("credibility", hxl="#meta+credibility+num", kind=Kind.INTEGER),
    Column("accuser", "accuser__code", Kind.WORD, "#org+accuser", "Code of the party", example="side-a"),
    Column("accused", "accused__code", Kind.WORD, "#org+accused", "Code of the party", example="side-b"),
    Column("facility_class", hxl="#infrastructure+type"),
    Column("killed", hxl="#affected+killed+num"),
    Column("injured", hxl="#affected+injured+num"),
    Column("narrative", hxl="#description"),
    Column("source_url", hxl="#meta+url"),
    Column(
        "occurrence",
        occurrence_seen,
        hxl="#status",
        choices=Occurrence.choices,
        about="Its own until it is merged, then its incident's",
    ),
    Column("incident", incident_seen, Kind.INTEGER, nullable=True, about="Id of the incident it is merged into"),
    tier_column(),
    "illustrative",
    "version",
    "created_at",
    "changed_at",
    place=Point("longitude", "latitude"),
)

INCIDENTS = Columns(
    Incident,
    Column("id", hxl="#meta+id"),
    Column("title", hxl="#event+name"),
    Column("kind", hxl="#event+type"),
    Column("facility_class", hxl="#infrastructure+type"),
    Column("accused", "accused__code", Kind.WORD, "#org+accused", "Code of the party", example="side-b"),
    *WHEN,
    Column("place_name", name_seen, Kind.TEXT, "#loc+name", "Empty where it would say too much"),
    *PLACE,
    Column("occurrence", hxl="#status"),
    "occurrence_confidence",
    Column("finding", hxl="#event+finding"),
    "finding_confidence",
    "attribution",
    Column("attributed_to", "attributed_to__code", Kind.WORD, "#org+attributed", "Code of the party", example="side-b"),
    "attribution_confidence",
    "reasoning",
    "judged_at",
    "verified_at",
    Column(
        "merged_into",
        lambda actor: Case(When(Q(merged_into__tier__lte=actor.tier), then=F("merged_into_id"))),
        Kind.INTEGER,
        nullable=True,
        about="Id of the incident that it is part of by now",
    ),
    tier_column(),
    "illustrative",
    "version",
    "created_at",
    "changed_at",
    place=Point("longitude", "latitude"),
)
