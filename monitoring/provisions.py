"""Which provision was in force there and then, by whose dates? The rule, and its reasons in words.

An act falls under a provision when every dimension fits that the provision names: kind of act, facility class, zone,
who is bound. Then each party's own terms answer: yes, no, or cannot tell. A *violation* is only ever a person's
finding; what an exception or a release clause does is a person's doing as well, by ending a term.

Times are aware instants. An act lies within a term when the whole span in which it may have happened does.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import shapely
from django.db.models import Prefetch
from shapely.geometry import shape

from coalition.access import Tier, actor_of
from coalition.models import Sector
from monitoring.filing import zone_of_today
from monitoring.kinds import Facility, Kind
from monitoring.models import Agreement, Coverage, Incident, Party, Place, Provision, ProvisionTerm
from monitoring.places import METRES_PER_DEGREE
from monitoring.placing import seen_place
from monitoring.seeing import COARSER_BY_M

Answer, When = Coverage.Answer, Coverage.When
APPLIED_BY_PEOPLE = (Provision.Kind.EXCEPTION, Provision.Kind.RELEASE)  # they forbid no act
NOBODY = -1  # accused: somebody who is no party
NO_LONGER_THERE = -2  # bound: a party that is gone


class Dimension(StrEnum):
    """What a provision may name. The order is the order of reasons."""

    ACT = "act"
    FACILITY = "facility"
    ZONE = "zone"
    BOUND = "bound"


@dataclass(frozen=True)
class Act:
    """What is said to have happened, as one tier sees its place.

    ``accused``: id of a party, None when not stated, NOBODY for a third party. Degrees are None without a place;
    ``precision_m`` is how far the true place may lie from the point.
    """

    kind: str
    facility_class: str
    accused: int | None
    occurred_from: datetime
    occurred_until: datetime
    longitude: float | None = None
    latitude: float | None = None
    precision_m: float = 0.0


@dataclass(frozen=True)
class Term:
    """One party's view: in force from ``begins_at`` until just before ``ends_at`` (None: open-ended)."""

    party: int
    begins_at: datetime
    ends_at: datetime | None


@dataclass(frozen=True)
class Duty:
    """A provision as the rule reads it. Empty sets and no area name nothing, which holds for all."""

    id: int
    agreement: int
    article: str
    tier: int
    act_kinds: frozenset[str]
    facility_classes: frozenset[str]
    area: Any  # shapely geometry, or None
    binds: frozenset[int]
    terms: tuple[Term, ...]

    def within_terms(self, begins: datetime, ends: datetime) -> bool:
        """Return True where the span touches a term of any party."""
        return any(ends >= term.begins_at and (term.ends_at is None or begins < term.ends_at) for term in self.terms)


@dataclass(frozen=True)
class Fit:
    """Which dimensions the act certainly misses, and of which one cannot tell. Neither: it falls under the provision."""

    misses: tuple[Dimension, ...] = ()
    doubts: tuple[Dimension, ...] = ()


@dataclass(frozen=True)
class PartyAnswer:
    """Whether the provision covers the act by one party's dates, and why.

    ``at``: the beginning or end of the term that decided, None where the act is within a term.
    """

    party: int
    answer: str
    when: str
    at: datetime | None
    doubts: tuple[Dimension, ...]


# --- The rule -----------------------------------------------------------------------------


def fit(act: Act, duty: Duty, in_area: bool | None = None) -> Fit:
    """Return how the act fits what the provision names. ``in_area`` is asked of ``in_areas``; unused without an area."""
    found = {
        Dimension.ACT: _named(act.kind, duty.act_kinds, unknown=Kind.NOT_STATED),
        Dimension.FACILITY: _named(act.facility_class, duty.facility_classes, unknown=""),
        Dimension.ZONE: True if duty.area is None else in_area,
        Dimension.BOUND: _named(act.accused, duty.binds, unknown=None),
    }
    return Fit(
        misses=tuple(name for name, fits in found.items() if fits is False),
        doubts=tuple(name for name, fits in found.items() if fits is None),
    )


def _named(value: Any, named: frozenset, *, unknown: Any) -> bool | None:
    if not named:
        return True
    return None if value == unknown else value in named


def answers(act: Act, duty: Duty, fits: Fit) -> list[PartyAnswer]:
    """Return an answer per party with a term, by party id. The act must miss nothing that the provision names."""
    found = []
    for party, terms in groupby(sorted(duty.terms, key=lambda term: (term.party, term.begins_at)), lambda t: t.party):
        when, at = placed_in_time(act.occurred_from, act.occurred_until, list(terms))
        if when in (When.BEFORE, When.AFTER, When.BETWEEN):
            answer = Answer.NO
        else:
            answer = Answer.UNCLEAR if fits.doubts or when != When.WITHIN else Answer.YES
        found.append(PartyAnswer(party, answer, when, at, fits.doubts))
    return found


def placed_in_time(begins: datetime, ends: datetime, terms: Sequence[Term]) -> tuple[str, datetime | None]:
    """Return where the span lies among one party's terms (ordered by beginning, at least one), and the instant it missed."""
    for term in terms:
        if ends < term.begins_at or (term.ends_at is not None and begins >= term.ends_at):
            continue
        if begins < term.begins_at:
            return When.ACROSS_START, term.begins_at
        if term.ends_at is not None and ends >= term.ends_at:
            return When.ACROSS_END, term.ends_at
        return When.WITHIN, None
    if ends < terms[0].begins_at:
        return When.BEFORE, terms[0].begins_at
    ended = [term.ends_at for term in terms if term.ends_at is not None]
    if len(ended) == len(terms) and begins >= max(ended):
        return When.AFTER, max(ended)
    return When.BETWEEN, next(term.begins_at for term in terms if term.begins_at > ends)


def is_worth_storing(found: Sequence[PartyAnswer]) -> bool:
    """Return True where the act is, or may be, covered by anybody's dates."""
    return any(each.answer != Answer.NO for each in found)


# --- Places -------------------------------------------------------------------------------


def in_areas(longitude: np.ndarray, latitude: np.ndarray, precision_m: np.ndarray, area: Any) -> list[bool | None]:
    """Return for each place whether it lies in the area; None where it cannot be told.

    That is without a place (NaN), and where the true place may lie across the area's edge.
    """
    held = shapely.intersects_xy(area, longitude, latitude)
    known = np.isfinite(longitude) & np.isfinite(latitude)
    # A degree of longitude shrinks to the poles. In a band of a tenth of a degree by less than 0.2 %.
    bands = np.round(np.where(known, latitude, 0.0), 1)
    unclear = ~known
    for band in np.unique(bands[known]).tolist():
        here = np.flatnonzero(known & (bands == band))
        shrink = math.cos(math.radians(band))
        points = shapely.points(longitude[here] * shrink, latitude[here])
        unclear[here] = shapely.dwithin(_edge(area, shrink), points, precision_m[here] / METRES_PER_DEGREE)
    return [None if doubt else bool(inside) for inside, doubt in zip(held, unclear, strict=True)]


@lru_cache(maxsize=2000)
def _edge(area: Any, shrink: float) -> Any:
    """Return the area's edge on a plane where a degree is as long in both directions."""
    edge = shapely.transform(shapely.boundary(area), lambda pairs: pairs * [shrink, 1.0])
    shapely.prepare(edge)
    return edge


@lru_cache(maxsize=500)
def _area(polygons: tuple[str, ...]) -> Any:
    area = shapely.union_all([shape(json.loads(polygon)) for polygon in polygons])
    shapely.prepare(area)
    return area


def precision_seen(place: Place, tier: int) -> float:
    """Return within how many metres the tier knows the place; 0 without one."""
    return (place.place_precision_m or 0.0) + (COARSER_BY_M[Tier(tier)] if place.sensitive else 0.0)


# --- From rows to what the rule reads ------------------------------------------------------


def act_of(thing: Any, tier: int) -> Act:
    """Return a report or an incident as a tier sees it. Of an incident the judged attribution goes before the accusation."""
    seen = seen_place(tier)
    return Act(
        kind=thing.kind,
        facility_class=thing.facility_class,
        accused=accused_of(thing),
        occurred_from=thing.occurred_from,
        occurred_until=thing.occurred_until,
        longitude=getattr(thing, seen.longitude),
        latitude=getattr(thing, seen.latitude),
        precision_m=precision_seen(thing, tier),
    )


def accused_of(thing: Any) -> int | None:
    """Return the id of the party an act is laid to, None when not stated, NOBODY for a third party."""
    if isinstance(thing, Incident):
        if thing.attribution == Incident.Attribution.PARTY:
            return thing.attributed_to_id
        if thing.attribution == Incident.Attribution.THIRD_PARTY:
            return NOBODY
    return thing.accused_id


def duties(provisions: Iterable[Provision]) -> list[Duty]:
    """Return what the rule reads of provisions that forbid something and have a term; two queries more at most.

    A zone or a party whose code is not there any more covers nothing; it does not come to mean everywhere or everybody.
    """
    rows = [row for row in provisions if row.kind not in APPLIED_BY_PEOPLE]
    zones = {code for row in rows for code in row.zones}
    polygons = dict(Sector.objects.filter(code__in=zones).values_list("code", "polygon")) if zones else {}
    bound = {code for row in rows for code in row.binds}
    parties = dict(Party.objects.filter(code__in=bound).values_list("code", "pk")) if bound else {}
    found = []
    for row in rows:
        terms = tuple(Term(term.party_id, term.begins_at, term.ends_at) for term in row.terms.all())
        if terms:
            found.append(
                Duty(
                    id=row.pk,
                    agreement=row.agreement_id,
                    article=row.article,
                    tier=row.agreement.tier,
                    act_kinds=frozenset(row.act_kinds),
                    facility_classes=frozenset(row.facility_classes),
                    area=_area(tuple(json.dumps(polygons[code]) for code in sorted(row.zones) if code in polygons))
                    if row.zones
                    else None,
                    binds=frozenset(parties.get(code, NO_LONGER_THERE) for code in row.binds),
                    terms=terms,
                )
            )
    return found


def with_all(provisions):
    """Return the queryset of provisions with everything ``duties`` reads."""
    terms = ProvisionTerm.objects.select_related("party").order_by("begins_at", "pk")
    return provisions.select_related("agreement").prefetch_related(Prefetch("terms", queryset=terms))


# --- In words -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    """One answer as people read it: ``answer`` of Coverage.Answer, and a sentence without its full stop."""

    answer: str
    sentence: str

    @property
    def label(self) -> str:
        """The answer in two words."""
        return Answer(self.answer).label.lower()


@dataclass(frozen=True)
class Clause:
    """One provision that the act falls under, or may: its answers in words, parties with the same one together."""

    provision: Provision
    said: list[Said]

    @property
    def sentence(self) -> str:
        """All answers in one line: "covered by article 1(c) under Russia’s dates; before entry into force under …"."""
        return "; ".join(each.sentence for each in self.said)


@dataclass(frozen=True)
class AgreementCoverage:
    """What one agreement says of an act. Without clauses ``missed`` says why none of its provisions covers it."""

    agreement: Agreement
    clauses: list[Clause]
    missed: str


def coverage_of(thing: Any, user) -> list[AgreementCoverage]:
    """Return what each agreement says of a report or an incident, as the user sees its place; worked out on the spot.

    Only agreements that the user may see, and only those with a provision in force at the time by anybody's dates;
    empty when there was none. Six queries, whatever there is.
    """
    tier = actor_of(user).tier
    if tier == 0:
        return []
    act = act_of(thing, tier)
    rows = list(with_all(Provision.objects.visible_to(user)).order_by("agreement__code", "article", "pk"))
    by_id = {duty.id: duty for duty in duties(rows)}
    parties = dict(Party.objects.values_list("pk", "name"))
    zone = zone_of_today()
    found = []
    for agreement, provisions in groupby(rows, key=lambda row: row.agreement):
        clauses, misses, in_force = [], [], False
        for row in provisions:
            duty = by_id.get(row.pk)
            if duty is None or not duty.within_terms(act.occurred_from, act.occurred_until):
                continue
            in_force = True
            fits = fit_here(act, duty)
            if fits.misses:
                misses.append(fits.misses)
            else:
                said = in_words(answers(act, duty, fits), article=row.article, parties=parties, zone=zone)
                clauses.append(Clause(row, said))
        if in_force:
            found.append(AgreementCoverage(agreement, clauses, "" if clauses else _missed(misses, act, parties)))
    return found


def fit_here(act: Act, duty: Duty) -> Fit:
    """Return ``fit`` of one act, its place included."""
    if duty.area is None:
        return fit(act, duty)
    place = [
        np.array([math.nan if value is None else value], float)
        for value in (act.longitude, act.latitude, act.precision_m)
    ]
    return fit(act, duty, in_areas(*place, duty.area)[0])


def in_words(found: Sequence[PartyAnswer], *, article: str, parties: Mapping[int, str], zone: ZoneInfo) -> list[Said]:
    """Return the answers as sentences, covered first; parties with the same answer share one. Days are days in ``zone``."""
    order = [Answer.YES, Answer.UNCLEAR, Answer.NO]
    groups: dict[tuple, list[str]] = {}
    for each in sorted(found, key=lambda each: (order.index(each.answer), parties[each.party])):
        groups.setdefault((each.answer, each.when, each.at, each.doubts), []).append(parties[each.party])
    return [
        Said(key[0], _sentence(*key, article=article, whose=whose(names), zone=zone)) for key, names in groups.items()
    ]


def _sentence(
    answer: str, when: str, at: datetime | None, doubts: Sequence[str], *, article: str, whose: str, zone: ZoneInfo
) -> str:
    day = as_day(at, zone) if at else ""
    if answer == Answer.YES:
        return f"covered by article {article} under {whose} dates"
    if when == When.BEFORE:
        return f"before entry into force of article {article} under {whose} dates ({day})"
    if when == When.AFTER:
        return f"after the end of article {article} under {whose} dates ({day})"
    if when == When.BETWEEN:
        return f"between two terms of article {article} under {whose} dates (next from {day})"
    reasons = [DOUBT[Dimension(doubt)] for doubt in doubts]
    if when == When.ACROSS_START:
        reasons.append(f"it may have happened before entry into force ({day})")
    if when == When.ACROSS_END:
        reasons.append(f"it may have happened after the end ({day})")
    return f"cannot tell whether article {article} covers it under {whose} dates: {_listed(reasons)}"


DOUBT = {
    Dimension.ACT: "the kind of act is not stated",
    Dimension.FACILITY: "what was hit is not stated",
    Dimension.ZONE: "the place is not known well enough to say on which side of the zone’s edge it lies",
    Dimension.BOUND: "who is accused is not stated",
}


def _missed(misses: Sequence[tuple[Dimension, ...]], act: Act, parties: Mapping[int, str]) -> str:
    """Return why no provision that was in force covers the act, by what each of them misses."""
    missed = [name for name in Dimension if any(name in each for each in misses)]
    hit = Facility(act.facility_class).label.lower() if act.facility_class in Facility.values else "what was hit"
    said = {
        Dimension.ACT: f"{Kind(act.kind).label.lower()} is not a kind of act that it names",
        Dimension.FACILITY: f"{hit} is not a facility that it names",
        Dimension.ZONE: "the place lies outside its zones",
        Dimension.BOUND: f"it does not bind {parties.get(act.accused, 'who is accused')}",
    }
    every = [name for name in missed if all(name in each for each in misses)]
    return _listed([said[name] for name in every or missed])


def whose(names: Sequence[str]) -> str:
    """Return "Russia’s", "Russia’s and Ukraine’s"."""
    return _listed([f"{name}’" if name.endswith("s") else f"{name}’s" for name in names])


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def as_day(at: datetime, zone: ZoneInfo) -> str:
    """Return "25 March 2025", with the time of day where it is not midnight in the zone."""
    local = at.astimezone(zone)
    day = f"{local.day} {local:%B %Y}"
    return day if (local.hour, local.minute) == (0, 0) else f"{day}, {local:%H:%M}"
