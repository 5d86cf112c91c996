"""Which reports may be of the same event? By distance, time, kind and count, each with how exactly it is known.

Only suggestions: a person merges (``monitoring.merging``). A score says how well two accounts agree and is no
probability. Who accuses whom does not count: two sides that accuse each other speak of the same event.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Case, F, FloatField, Func, Q, Value, When
from django.db.models.functions import Abs, Greatest

from coalition.access import Actor, Tier, actor_of
from monitoring import places
from monitoring.kinds import FAMILY_OF, KINDS_OF, Family, Kind
from monitoring.models import Incident, Report
from monitoring.placing import seen_place

SLACK_M = 2_000  # further apart than both precisions and this is another event
SLACK = timedelta(hours=6)  # watches are wrong, and what is heard is noted later
LONGEST = timedelta(days=3)  # an account that starts earlier says too little about when
LOOKED_AT = 300  # the nearest by rough measure are compared in full
WORTH_SHOWING = 0.25
WEIGHTS = {"place": 0.4, "time": 0.3, "kind": 0.2, "count": 0.1}
UNKNOWN = 0.5  # what a question counts for that one of the two does not answer
# A strike on a power plant may be told as artillery fire, as a strike on a facility, or as an attack on civilians.
TOLD_ALIKE = {Family.FIRE, Family.INFRASTRUCTURE, Family.CIVILIAN}


@dataclass(frozen=True)
class Candidate:
    """A report that may be of the same event. ``score`` is 0 to 1; ``reasons`` are words for people, best first.

    ``incident`` is the one it was merged into, None where there is none that the asker may see. ``distance_m`` is None
    where one of the two has no point.
    """

    report: Report
    incident: Incident | None
    score: float
    reasons: tuple[str, ...]
    distance_m: float | None


@dataclass(frozen=True)
class _Account:
    """What is compared of a report, as one person may see it."""

    point: places.Point | None
    place_name: str
    begins: datetime
    ends: datetime
    kind: str
    count: tuple[int, int, str] | None


def candidates(about: Report, *, by, limit: int = 10) -> list[Candidate]:
    """Return the reports that ``by`` may see and that may be of the same event as ``about``, best first.

    ``about`` is a report, or a draft of one that is not saved; a draft's place is the one typed. It needs a time, and a
    point or a place name: without them, or acting as nobody, the answer is empty. Duplicates, what is out of scope, and
    what is in the same incident already are left out. Ask inside ``acting_as``.
    """
    actor = actor_of(by)
    if actor.tier not in set(Tier) or about.occurred_from is None:
        return []
    account = _account(about, actor, draft=about.pk is None)
    if account.point is None and not account.place_name:
        return []
    rows = Report.objects.visible_to(by).in_scope().with_incident_for(by).filter(_time_near(account))
    rows = rows.filter(_place_near(account, actor))
    if about.pk is not None:
        rows = rows.exclude(pk=about.pk)
        itself = Report.objects.filter(pk=about.pk).with_incident_for(by)
        if merged_into := itself.values_list("seen_incident_id", flat=True).first():
            rows = rows.exclude(incident=merged_into)
    rows = rows.select_related("source", "accuser", "accused", "incident")
    found = []
    for report in rows.order_by(_roughly(account, actor), "pk")[:LOOKED_AT]:
        candidate = _compare(account, report, actor)
        if candidate.score >= WORTH_SHOWING:
            found.append(candidate)
    return sorted(found, key=lambda one: (-one.score, one.report.pk))[:limit]


# --- Which rows to look at ----------------------------------------------------------------


def _time_near(account: _Account) -> Q:
    return Q(
        occurred_from__gte=account.begins - SLACK - LONGEST,
        occurred_from__lte=account.ends + SLACK,
        occurred_until__gte=account.begins - SLACK,
    )


def _place_near(account: _Account, actor: Actor) -> Q:
    """A box that holds what both precisions allow; and accounts that give the same name and no point."""
    seen = seen_place(actor.tier)
    named = Q()
    if account.place_name:
        named = Q(place_name__iexact=account.place_name)
        if actor.tier < Tier.PLANNING:
            named &= Q(sensitive=False)
    if account.point is None:
        return named
    reach = min(account.point.precision_m, places.VAGUEST_M) + places.VAGUEST_M + SLACK_M
    north = reach / places.METRES_PER_DEGREE
    east = north / max(math.cos(math.radians(account.point.latitude)), 0.01)
    near = Q(
        **{
            f"{seen.longitude}__range": (account.point.longitude - east, account.point.longitude + east),
            f"{seen.latitude}__range": (account.point.latitude - north, account.point.latitude + north),
        }
    )
    return near | (named & Q(**{f"{seen.longitude}__isnull": True})) if account.place_name else near


def _roughly(account: _Account, actor: Actor):
    """Order by kilometres plus hours apart, plus some for another kind."""
    seen = seen_place(actor.tier)
    gap = Greatest(F("occurred_from") - Value(account.ends), Value(account.begins) - F("occurred_until"), timedelta())
    apart = Func(gap, template="extract(epoch FROM %(expressions)s)", output_field=FloatField()) / 3600.0
    if account.point is not None:
        km = places.METRES_PER_DEGREE / 1000
        east = km * math.cos(math.radians(account.point.latitude))
        apart += Case(
            When(**{f"{seen.longitude}__isnull": True}, then=Value(5.0)),
            default=Abs(F(seen.longitude) - account.point.longitude) * east
            + Abs(F(seen.latitude) - account.point.latitude) * km,
            output_field=FloatField(),
        )
    family = KINDS_OF[FAMILY_OF[Kind(account.kind)]]
    return apart + Case(
        When(kind=account.kind, then=Value(0.0)), When(kind__in=family, then=Value(1.0)), default=Value(3.0)
    )


# --- Comparing two accounts ---------------------------------------------------------------


def _account(report: Report, actor: Actor, *, draft: bool = False) -> _Account:
    coarse = report.sensitive and actor.tier < Tier.PLANNING and not draft
    seen = seen_place(Tier.PLANNING if draft else actor.tier)
    longitude, latitude = getattr(report, seen.longitude), getattr(report, seen.latitude)
    point = None
    if longitude is not None and latitude is not None:
        precision = (report.place_precision_m or 0.0) + (places.GRID_M if coarse else 0.0)
        point = places.Point(longitude, latitude, precision)
    count = None
    if report.count_low is not None and report.count_high is not None:
        count = (report.count_low, report.count_high, report.count_unit)
    return _Account(
        point=point,
        place_name="" if coarse else report.place_name.strip(),
        begins=report.occurred_from,
        ends=report.occurred_until or report.occurred_from,
        kind=report.kind or Kind.NOT_STATED,
        count=count,
    )


def _compare(account: _Account, report: Report, actor: Actor) -> Candidate:
    other = _account(report, actor)
    distance = places.distance_m(account.point, other.point) if account.point and other.point else None
    answers = {
        "place": _of_place(account, other, distance),
        "time": _of_time(account, other),
        "kind": _of_kind(account.kind, other.kind),
        "count": _of_count(account.count, other.count),
    }
    score = math.prod(max(share, 0.001) ** WEIGHTS[name] for name, (share, _) in answers.items())
    return Candidate(
        report=report,
        incident=report.incident if report.seen_incident_id else None,
        score=round(score, 3),
        reasons=tuple(words for _, words in answers.values() if words),
        distance_m=distance,
    )


def _of_place(one: _Account, other: _Account, distance: float | None) -> tuple[float, str]:
    if distance is None:
        if one.place_name and one.place_name.casefold() == other.place_name.casefold():
            return 0.7, "same place name"
        return UNKNOWN, "place not given in both"
    vague = one.point.precision_m + other.point.precision_m
    beyond = max(0.0, distance - vague)
    share = math.exp(-beyond / SLACK_M) / (1 + vague / places.VAGUEST_M)  # two vague places agree easily
    if beyond:
        return share, f"{in_metres(distance)} apart, {in_metres(beyond)} beyond both precisions"
    return share, f"{in_metres(distance)} apart, within both precisions"


def _of_time(one: _Account, other: _Account) -> tuple[float, str]:
    gap = max(one.begins - other.ends, other.begins - one.ends, timedelta())
    longer = max(one.ends - one.begins, other.ends - other.begins)
    share = math.exp(-gap / timedelta(hours=2)) / (1 + longer / timedelta(days=1))
    if gap:
        return share, f"{in_hours(gap)} apart"
    return share, "same time" if not longer else "times overlap"


def _of_kind(one: str, other: str) -> tuple[float, str]:
    if Kind.NOT_STATED in (one, other):
        return UNKNOWN, "kind not stated in both"
    if one == other:
        return 1.0, "same kind"
    families = FAMILY_OF[Kind(one)], FAMILY_OF[Kind(other)]
    told = Kind(other).label.lower()
    if families[0] == families[1]:
        return 0.7, f"same family of kinds ({told})"
    if set(families) <= TOLD_ALIKE:
        return 0.6, f"kinds that are told of one event ({told})"
    return 0.2, f"another kind ({told})"


def _of_count(one: tuple[int, int, str] | None, other: tuple[int, int, str] | None) -> tuple[float, str]:
    if one is None or other is None or one[2] != other[2]:
        return UNKNOWN, ""
    if one[0] <= other[1] and other[0] <= one[1]:
        return 1.0, "counts agree"
    low, high = sorted(((one[0] + one[1]) / 2, (other[0] + other[1]) / 2))
    return max(low / high, 0.1), f"counts differ ({in_count(one)} and {in_count(other)})"


# --- In words -----------------------------------------------------------------------------


def in_metres(distance: float) -> str:
    """Write a distance as people say it: ``350 m``, ``1.2 km``, ``38 km``."""
    if distance < 1000:
        return f"{round(distance, -1):.0f} m" if distance >= 10 else f"{distance:.0f} m"
    return f"{distance / 1000:.1f} km" if distance < 9950 else f"{distance / 1000:.0f} km"


def in_hours(gap: timedelta) -> str:
    """Write a gap in time: ``40 min``, ``2 h 10 min``, ``3 days``."""
    minutes = max(1, round(gap / timedelta(minutes=1)))
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 2 * 24 * 60:
        return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")
    return f"{round(minutes / 60 / 24)} days"


def in_count(count: tuple[int, int, str]) -> str:
    """Write a count: ``30`` or ``30–35``."""
    low, high, _ = count
    return str(low) if low == high else f"{low}–{high}"
