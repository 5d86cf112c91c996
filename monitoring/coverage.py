"""What is covered by which provision, by whose dates: stored by the worker, counted for the pages.

The worker takes rows in blocks of neighbouring ids, one mark for a block. A changed report costs one block; a changed
provision, term or zone marks the blocks of what it covers, covered before, or may cover now, and they are worked out in
chunks like any other. Every block gets whole answers: what was stored of it goes, what holds now is written.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from django.db.models import Case, Count, F, IntegerField, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from coalition import stale
from coalition.access import Tier, actor_of
from monitoring import provisions
from monitoring.models import (
    COVERED_TOGETHER,
    DEPENDS_ON,
    OUT,
    Agreement,
    Coverage,
    Incident,
    Occurrence,
    Provision,
    Report,
    Source,
)
from monitoring.places import METRES_PER_DEGREE
from monitoring.provisions import Act, Duty

KIND = "coverage"
CHUNK_KEYS = 50  # blocks worked out in one transaction
THINGS = {"reports": (Report, "report_id"), "incidents": (Incident, "incident_id")}
COARSEST_DEGREES = 0.5  # no tier sees a sensitive place further from where it is, its precision included
JUDGED = ("attribution", "attributed_to_id")

# --- computing and storing: the worker -------------------------------------------------------


def sweep() -> int:
    """Work out whatever is marked, until nothing is; return how many keys were done. Opens its transactions."""
    return stale.drain(KIND, recompute, chunk=CHUNK_KEYS)


def recompute(keys: Iterable[str]) -> int:
    """Store whole answers for blocks (``reports:12``), and mark the blocks of provisions (``provision:3``).

    Return the number of rows stored. Runs in the caller's transaction, which must be READ COMMITTED, act as the system
    and hold the keys' locks (``stale.claim``).
    """
    numbers: dict[str, list[int]] = {"provision": [], **{name: [] for name in THINGS}}
    for key in keys:
        name, number = key.split(":")
        numbers[name].append(int(number))
    found = provisions.duties(provisions.with_all(Provision.objects.all()))
    if numbers["provision"]:
        stale.mark(KIND, blocks_of(numbers["provision"], found))
    return sum(_store(name, numbers[name], found) for name in THINGS if numbers[name])


def blocks_of(provision_ids: Iterable[int], found: Iterable[Duty]) -> list[str]:
    """Return the keys of all blocks with something these provisions cover now as stored, or may cover by ``found``."""
    wanted = set(provision_ids)
    touched = [duty for duty in found if duty.id in wanted]
    keys = []
    for name, (model, column) in THINGS.items():
        stored = Coverage.objects.filter(provision__in=wanted, **{f"{column}__isnull": False})
        blocks = set(stored.order_by().values_list(F(column) / COVERED_TOGETHER, flat=True).distinct())
        if touched:
            near = model.objects.filter(_any_of(model, touched))
            blocks |= set(near.order_by().values_list(F("pk") / COVERED_TOGETHER, flat=True).distinct())
        keys += [f"{name}:{block}" for block in sorted(blocks)]
    return keys


def _store(name: str, blocks: list[int], found: list[Duty]) -> int:
    model, column = THINGS[name]
    here = _in_blocks("pk", blocks)
    Coverage.objects.filter(_in_blocks(column, blocks)).delete()
    if not found:
        return 0
    fields = DEPENDS_ON + (JUDGED if model is Incident else ())
    things = list(model.objects.filter(here & _any_of(model, found)).order_by("pk").only(*fields))
    rows = Coverage.objects.bulk_create(_answers(things, column, found), batch_size=2000)
    return len(rows)


def _in_blocks(column: str, blocks: Iterable[int]) -> Q:
    """Return the filter for ids in these blocks, neighbouring blocks as one range."""
    ranges: list[list[int]] = []
    for block in sorted(blocks):
        if ranges and ranges[-1][1] == block * COVERED_TOGETHER - 1:
            ranges[-1][1] += COVERED_TOGETHER
        else:
            ranges.append([block * COVERED_TOGETHER, (block + 1) * COVERED_TOGETHER - 1])
    wanted = Q(pk__in=())
    for one in ranges:
        wanted |= Q(**{f"{column}__gte": one[0], f"{column}__lte": one[1]})
    return wanted


def _any_of(model: type[Report] | type[Incident], found: Iterable[Duty]) -> Q:
    """Return a filter in SQL that lets through all that may be covered, and not much more."""
    wanted = Q(pk__in=())
    for duty in found:
        wanted |= _may_cover(model, duty)
    return wanted


def _may_cover(model: type[Report] | type[Incident], duty: Duty) -> Q:
    in_time = Q(pk__in=())
    for term in duty.terms:
        span = Q(occurred_until__gte=term.begins_at)
        in_time |= span & Q(occurred_from__lt=term.ends_at) if term.ends_at else span
    wanted = in_time
    if duty.act_kinds:
        wanted &= Q(kind__in=[*sorted(duty.act_kinds), "not_stated"])
    if duty.facility_classes:
        wanted &= Q(facility_class__in=[*sorted(duty.facility_classes), ""])
    if duty.binds and model is Report:  # an incident's attribution goes before who is accused
        wanted &= Q(accused__isnull=True) | Q(accused__in=sorted(duty.binds))
    if duty.area is not None:
        west, south, east, north = duty.area.bounds
        latitude = min(89.0, max(abs(south), abs(north)) + COARSEST_DEGREES)
        high = F("place_precision_m") / Value(METRES_PER_DEGREE) + Value(COARSEST_DEGREES)
        wide = F("place_precision_m") / Value(METRES_PER_DEGREE * math.cos(math.radians(latitude)))
        wide += Value(COARSEST_DEGREES)
        wanted &= Q(longitude__isnull=True) | Q(
            longitude__gte=Value(west) - wide,
            longitude__lte=Value(east) + wide,
            latitude__gte=Value(south) - high,
            latitude__lte=Value(north) + high,
        )
    return wanted


def _answers(things: list, column: str, found: list[Duty]) -> list[Coverage]:
    rows = []
    for tier in Tier:
        # A place that is not sensitive looks alike to all: the answer of the highest tier holds for the others.
        seen = [thing for thing in things if thing.tier <= tier and (tier == Tier.PLANNING or thing.sensitive)]
        acts = [provisions.act_of(thing, tier) for thing in seen]
        places = _places(acts)
        for duty in found:
            if duty.tier > tier:
                continue
            inside = provisions.in_areas(*places, duty.area) if duty.area is not None and acts else [None] * len(acts)
            for thing, act, in_area in zip(seen, acts, inside, strict=True):
                if not duty.within_terms(act.occurred_from, act.occurred_until):
                    continue
                fits = provisions.fit(act, duty, in_area)
                if fits.misses:
                    continue
                answers = provisions.answers(act, duty, fits)
                if provisions.is_worth_storing(answers):
                    tiers = (tier, tier) if thing.sensitive else (max(thing.tier, duty.tier), Tier.PLANNING)
                    rows += (_row(column, thing.pk, duty.id, tiers, answer) for answer in answers)
    return rows


def _places(acts: list[Act]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return longitudes, latitudes (NaN for none) and precisions in metres."""
    return (
        np.array([np.nan if act.longitude is None else act.longitude for act in acts], float),
        np.array([np.nan if act.latitude is None else act.latitude for act in acts], float),
        np.array([act.precision_m for act in acts], float),
    )


def _row(column: str, pk: int, provision: int, tiers: tuple[int, int], answer: provisions.PartyAnswer) -> Coverage:
    return Coverage(
        **{column: pk},
        provision_id=provision,
        party_id=answer.party,
        tier_from=tiers[0],
        tier_until=tiers[1],
        answer=answer.answer,
        when=answer.when,
        at=answer.at,
        doubts=[str(doubt) for doubt in answer.doubts],
    )


# --- counting: pages and API -------------------------------------------------------------------

OF_INCIDENT = "incidents"  # in place of a source class: what was judged stands apart from what was said
CLASSES = (OF_INCIDENT, *Source.Class.values)
NOBODYS = {None: "not stated", provisions.NOBODY: "a third party"}


def events(user, provision: Provision | None = None) -> tuple[QuerySet, QuerySet]:
    """Return the stored answers of what counts once for the user: of reports that stand alone, and of incidents.

    Left out: duplicates, what is out of scope, what was refuted, and reports of an incident that the user sees. Both
    have ``accused_id`` (NOBODY for a third party).
    """
    tier = actor_of(user).tier
    rows = Coverage.objects.visible_to(user)
    if provision is not None:
        rows = rows.filter(provision=provision)
    # No tier can be read where there is no incident, and where the row policy hides it.
    alone = Q(report__incident__tier__isnull=True) | Q(report__incident__tier__gt=tier)
    reports = (
        rows.filter(alone, report__isnull=False)
        .exclude(report__status__in=[*OUT, Occurrence.REFUTED])
        .annotate(accused_id=F("report__accused_id"), of=F("report__source__source_class"))
    )
    incidents = (
        rows.filter(incident__isnull=False, incident__merged_into__isnull=True)
        .exclude(incident__occurrence=Occurrence.REFUTED)
        .annotate(
            accused_id=Case(
                When(incident__attribution=Incident.Attribution.PARTY, then=F("incident__attributed_to_id")),
                When(incident__attribution=Incident.Attribution.THIRD_PARTY, then=Value(provisions.NOBODY)),
                default=F("incident__accused_id"),
                output_field=IntegerField(),
            ),
            of=Value(OF_INCIDENT),
        )
    )
    return reports, incidents


@dataclass(frozen=True)
class Age:
    """How old the stored answers are: all changes up to ``as_of`` are in them; so many marks wait; amber after a minute."""

    as_of: datetime
    waiting: int
    is_amber: bool


def age() -> Age:
    """Return how old the stored answers are. One query."""
    waiting = stale.waiting(KIND)
    return Age(waiting.since or timezone.now(), waiting.keys, stale.is_amber(waiting.since))


@dataclass
class Counted:
    """Events under one provision, laid to one party, by one party's dates. ``of`` is a source class or OF_INCIDENT.

    Numbers of different classes are never added: the same event may stand in several.
    """

    provision: int
    dates: int
    accused: int | None
    covered: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CLASSES, 0))
    unclear: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CLASSES, 0))
    violations: int = 0  # covered incidents that a person found to be one


def counts(agreement: Agreement, user) -> list[Counted]:
    """Return the counts of an agreement at the user's tier, by provision, dates and accused; empty without events.

    Two queries, over exactly the rows that the user sees.
    """
    found: dict[tuple, Counted] = {}
    reports, incidents = events(user)
    of_agreement = {"provision__agreement": agreement, "answer__in": [Coverage.Answer.YES, Coverage.Answer.UNCLEAR]}
    by = ("provision_id", "party_id", "accused_id", "answer", "of")
    said = reports.filter(**of_agreement).order_by().values(*by).annotate(found=Value(""), events=Count("pk"))
    judged = (
        incidents.filter(**of_agreement)
        .order_by()
        .values(*by)
        .annotate(found=Coalesce("incident__finding", Value("")), events=Count("pk"))
    )
    for row in [*said, *judged]:
        key = (row["provision_id"], row["party_id"], row["accused_id"])
        counted = found.setdefault(key, Counted(*key))
        if row["answer"] == Coverage.Answer.YES:
            counted.covered[row["of"]] += row["events"]
            counted.violations += row["events"] if row["found"] == Incident.Finding.VIOLATION else 0
        else:
            counted.unclear[row["of"]] += row["events"]
    return list(found.values())


def listed(user, provision: Provision, *, dates: int, answer: str, of: str, accused: int | None) -> QuerySet:
    """Return the reports, or the incidents where ``of`` is OF_INCIDENT, that one number of ``counts`` is made of."""
    reports, incidents = events(user, provision)
    rows = incidents if of == OF_INCIDENT else reports.filter(of=of)
    rows = rows.filter(party=dates, answer=answer)
    rows = rows.filter(accused_id__isnull=True) if accused is None else rows.filter(accused_id=accused)
    if of == OF_INCIDENT:
        return Incident.objects.visible_to(user).filter(pk__in=rows.values("incident_id"))
    return Report.objects.visible_to(user).filter(pk__in=rows.values("report_id"))
