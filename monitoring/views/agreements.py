"""The pages on which agreements are read: what was agreed, by whose dates it holds, and what was reported under it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, Prefetch
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from coalition.access import actor_of, can
from coalition.editing import is_id
from coalition.history import changes_of
from coalition.models import Sector
from coalition.pages import for_members, page_of
from coalition.renderers import EXPORTS
from monitoring import coverage
from monitoring.filing import zone_of_today
from monitoring.kinds import Facility, Kind
from monitoring.models import Agreement, Coverage, Occurrence, Party, Provision, ProvisionTerm
from monitoring.placing import seen_place
from monitoring.provisions import APPLIED_BY_PEOPLE, NOBODY
from monitoring.seeing import seen_at

WIDTH = 1000  # units of a bar
OF = {
    coverage.OF_INCIDENT: "Incidents",
    "monitors": "Own monitors",
    "party": "Parties",
    "media": "Media and public",
}


@require_GET
@for_members()
def agreement_list(request: HttpRequest) -> HttpResponse:
    """Every agreement the viewer may see, with the first and the last day it holds by anybody's dates."""
    rows = Agreement.objects.visible_to(request.user).annotate(articles=Count("provisions"))
    terms: dict[int, list[ProvisionTerm]] = {}
    for term in ProvisionTerm.objects.visible_to(request.user).select_related("party", "provision"):
        terms.setdefault(term.provision.agreement_id, []).append(term)
    spans = [(row, _span(terms.get(row.pk, []))) for row in rows]
    context = {
        "agreements": sorted(spans, key=lambda each: each[1].begins, reverse=True),
        "may_keep": can(request.user, "keep_agreements"),
        "export_formats": [renderer.format for renderer in EXPORTS],
        "zone": zone_of_today(),
    }
    return render(request, "monitoring/agreements.html", context)


@dataclass(frozen=True)
class Span:
    """From the first beginning to the last end by anybody's dates; ``ends`` None is open-ended. Without terms all None."""

    begins: datetime
    ends: datetime | None
    parties: list[str]


def _span(terms: Sequence[ProvisionTerm]) -> Span:
    long_ago = datetime.min.replace(tzinfo=timezone.get_default_timezone())
    ends = [term.ends_at for term in terms]
    return Span(
        begins=min((term.begins_at for term in terms), default=long_ago),
        ends=None if None in ends else max(ends, default=None),
        parties=sorted({term.party.name for term in terms}),
    )


@dataclass(frozen=True)
class TermBar:
    """A party's term, and where its bar lies on the scale of the agreement, in units of ``WIDTH``."""

    term: ProvisionTerm
    x: int
    width: int


@dataclass(frozen=True)
class Cell:
    """One number and the address of the rows it is made of, empty for zero."""

    number: int
    href: str


@dataclass(frozen=True)
class CountRow:
    """One line of a provision's counts: who is accused, by whose dates, covered or not to be told."""

    accused: str
    dates: str
    answer: str
    cells: list[Cell]
    violations: int | None  # found by a person among the covered incidents; None where one cannot tell


@dataclass(frozen=True)
class Article:
    """A provision with all its page shows."""

    provision: Provision
    acts: list[str]
    facilities: list[str]
    zones: list[str]
    binds: list[str]
    bars: list[TermBar]
    counts: list[CountRow]
    is_for_people: bool


@require_GET
@for_members()
def agreement(request: HttpRequest, code: str) -> HttpResponse:
    """One agreement: its articles, each party's own terms side by side, and what was reported under each."""
    thing = agreement_seen_by(request, code)
    user = request.user
    parties = {party.pk: party for party in Party.objects.all()}
    terms = Prefetch("terms", ProvisionTerm.objects.select_related("party").order_by("party__name", "begins_at"))
    provisions = list(
        Provision.objects.visible_to(user).filter(agreement=thing).order_by("article").prefetch_related(terms)
    )
    age = coverage.age()
    found = coverage.counts(thing, user)
    scale = _scale([term for row in provisions for term in row.terms.all()])
    areas = _areas(provisions)
    names = {party.code: party.name for party in parties.values()}
    context = {
        "agreement": thing,
        "articles": [
            Article(
                provision=row,
                acts=[Kind(kind).label for kind in row.act_kinds],
                facilities=[Facility(kind).label for kind in row.facility_classes],
                zones=[areas.get(zone, f"{zone} (no longer there)") for zone in row.zones],
                binds=[names.get(party, f"{party} (no longer there)") for party in row.binds],
                bars=[_bar(term, *scale) for term in row.terms.all()],
                counts=_rows(thing, row, found, parties),
                is_for_people=row.kind in APPLIED_BY_PEOPLE,
            )
            for row in provisions
        ],
        "today_x": _x(timezone.now(), *scale),
        "scale": scale,
        "classes": list(OF.values()),
        "age": age,
        "may_keep": can(user, "keep_agreements"),
        "zone": zone_of_today(),
        "width": WIDTH,
    }
    return render(request, "monitoring/agreement.html", context)


@require_GET
@for_members("keep_agreements")
def history(request: HttpRequest, code: str) -> HttpResponse:
    """What was changed about an agreement, its provisions and its terms; the last change of each can be taken back."""
    thing = agreement_seen_by(request, code)
    provisions = Provision.objects.visible_to(request.user).filter(agreement=thing).order_by("article")
    terms = ProvisionTerm.objects.visible_to(request.user).filter(provision__agreement=thing)
    rows = [("agreement", thing, thing.name)]
    rows += [("provision", row, f"Article {row.article}") for row in provisions]
    rows += [
        ("term", row, f"Article {row.provision.article} as {row.party} dates it")
        for row in terms.select_related("provision", "party").order_by("provision__article", "party__name", "begins_at")
    ]
    context = {
        "agreement": thing,
        "rows": [(what, row, label, changes_of(row, without={"agreement", "provision"})) for what, row, label in rows],
        "zone": zone_of_today(),
    }
    return render(request, "monitoring/agreement_history.html", context)


def agreement_seen_by(request: HttpRequest, code: str) -> Agreement:
    """Return the agreement if the asker may see it. Raises Http404 otherwise."""
    return get_object_or_404(Agreement.objects.visible_to(request.user), code=code)


def _areas(provisions: Sequence[Provision]) -> dict[str, str]:
    codes = {code for row in provisions for code in row.zones}
    return dict(Sector.objects.filter(code__in=codes).values_list("code", "name")) if codes else {}


def _scale(terms: Sequence[ProvisionTerm]) -> tuple[datetime, datetime]:
    """Return the first and the last instant to draw: all terms, and a tenth more for open ends."""
    now = timezone.now()
    begins = min((term.begins_at for term in terms), default=now)
    last = max([term.ends_at or max(now, term.begins_at) for term in terms], default=now)
    room = max((last - begins) / 20, timedelta(hours=1))
    return begins - room, last + room


def _x(instant: datetime, first: datetime, last: datetime) -> int | None:
    """Return where an instant lies on the scale; None outside."""
    share = (instant - first) / (last - first)
    return round(share * WIDTH) if 0 <= share <= 1 else None


def _bar(term: ProvisionTerm, first: datetime, last: datetime) -> TermBar:
    x = _x(term.begins_at, first, last) or 0
    until = WIDTH if term.ends_at is None else _x(term.ends_at, first, last) or WIDTH
    return TermBar(term, x, max(until - x, 3))


def _rows(thing: Agreement, provision: Provision, found: list[coverage.Counted], parties: dict) -> list[CountRow]:
    """Return the lines of one provision: by accused, then by whose dates; what cannot be told stands below."""
    lines = []
    for row in found:
        if row.provision != provision.pk:
            continue
        accused = parties[row.accused].name if row.accused in parties else coverage.NOBODYS[row.accused]
        dates = parties[row.dates]
        about = {"provision": provision.pk, "dates": dates.code, "accused": _code_of(row.accused, parties)}
        for answer, numbers in ((Coverage.Answer.YES, row.covered), (Coverage.Answer.UNCLEAR, row.unclear)):
            if any(numbers.values()):
                cells = [_cell(thing, numbers[of], about | {"answer": answer, "of": of}) for of in OF]
                violations = row.violations if answer == Coverage.Answer.YES else None
                lines.append(CountRow(accused, dates.name, answer, cells, violations))
    order = [Coverage.Answer.YES, Coverage.Answer.UNCLEAR]
    return sorted(lines, key=lambda line: (order.index(line.answer), line.accused, line.dates))


def _code_of(accused: int | None, parties: dict) -> str:
    return parties[accused].code if accused in parties else "nobody" if accused == NOBODY else ""


def _cell(thing: Agreement, number: int, about: dict[str, Any]) -> Cell:
    href = f"{reverse('monitoring:agreement-events', args=[thing.code])}?{urlencode(about)}" if number else ""
    return Cell(number, href)


@require_GET
@for_members()
def events(request: HttpRequest, code: str) -> HttpResponse:
    """The reports or incidents that one number on an agreement's page is made of, as the viewer's tier counts them."""
    thing = agreement_seen_by(request, code)
    asked = request.GET
    provision = get_object_or_404(
        Provision.objects.visible_to(request.user).filter(agreement=thing), pk=_number(asked.get("provision", ""))
    )
    dates = get_object_or_404(Party, code=asked.get("dates", ""))
    answer, of = asked.get("answer", ""), asked.get("of", "")
    if answer not in (Coverage.Answer.YES, Coverage.Answer.UNCLEAR) or of not in OF:
        raise Http404("There is no such number.")
    accused = asked.get("accused", "")
    who = (
        {"": None, "nobody": NOBODY}[accused]
        if accused in ("", "nobody")
        else get_object_or_404(Party, code=accused).pk
    )
    rows = coverage.listed(request.user, provision, dates=dates.pk, answer=answer, of=of, accused=who)
    is_of_incidents = of == coverage.OF_INCIDENT
    rows = rows.select_related("accused", seen_place(actor_of(request.user).tier).sector)
    rows = rows if is_of_incidents else rows.with_incident_for(request.user).select_related("source")
    page = page_of(request, rows.order_by("-occurred_from", "-pk"))
    context = {
        "agreement": thing,
        "provision": provision,
        "answer": Coverage.Answer(answer),
        "dates": dates,
        "accused": Party.objects.filter(pk=who).first() or coverage.NOBODYS.get(who, ""),
        "of": OF[of],
        "is_of_incidents": is_of_incidents,
        "page": page,
        "rows": [(row, seen_at(row, request.user), Occurrence(row.occurrence)) for row in page],
        "zone": zone_of_today(),
    }
    return render(request, "monitoring/agreement_events.html", context)


def _number(text: str) -> int:
    if not is_id(text):
        raise Http404("There is no such provision.")
    return int(text)
