"""The pages of agreements: what was agreed, by whose dates it holds, what was reported under it, and how it is kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Count, Prefetch
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from coalition import editing
from coalition.access import actor_of, can
from coalition.complaints import sentences, show, two_versions
from coalition.editing import is_id
from coalition.history import changes_of
from coalition.models import Sector
from coalition.pages import for_members, page_of
from coalition.renderers import EXPORTS
from monitoring import agreeing, coverage
from monitoring.filing import zone_of_today
from monitoring.kinds import Facility, Kind
from monitoring.models import Agreement, Coverage, Occurrence, Party, Provision, ProvisionTerm
from monitoring.placing import seen_place
from monitoring.provisions import APPLIED_BY_PEOPLE, NOBODY
from monitoring.seeing import seen_at
from monitoring.views.agreement_forms import AgreementForm, EndForm, ProvisionForm, TermForm

WIDTH = 1000  # units of a bar
OF = {
    coverage.OF_INCIDENT: "Incidents",
    "monitors": "Own monitors",
    "party": "Parties",
    "media": "Media and public",
}


# --- reading ----------------------------------------------------------------------------------


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
    thing = _agreement_seen_by(request, code)
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
    thing = _agreement_seen_by(request, code)
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


def _agreement_seen_by(request: HttpRequest, code: str) -> Agreement:
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
    thing = _agreement_seen_by(request, code)
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


# --- writing ----------------------------------------------------------------------------------


def _form_page(
    request: HttpRequest, form: forms.BaseForm, save: Callable[[], Any], *, title: str, back: str, said: str
) -> HttpResponse:
    """Show the form; once it is right, save and go back. A stale version shows both, a wrong field its sentence."""
    context = {"title": title, "form": form, "cancel": back}
    if request.method == "POST" and form.is_valid():
        try:
            save()
        except editing.VersionStale as stale:
            now = None if isinstance(form, forms.ModelForm) else {"ends_at": stale.current.ends_at}
            context["conflict"] = two_versions(form, stale.current, now=now)
            return render(request, "form.html", context, status=412)
        except ValidationError as error:
            show(form, error)
        else:
            messages.success(request, said)
            return redirect(back)
    return render(request, "form.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@for_members("keep_agreements")
def agreement_new(request: HttpRequest) -> HttpResponse:
    """Write an agreement down."""
    form = AgreementForm(request.POST or None)
    context = {"title": "Add an agreement", "form": form, "cancel": reverse("monitoring:agreements")}
    if request.method == "POST" and form.is_valid():
        try:
            made = agreeing.agree(form.draft(), by=request.user)
        except ValidationError as error:
            show(form, error)
        else:
            messages.success(request, f"“{made}” is there. Add its provisions.")
            return redirect(made.get_absolute_url())
    return render(request, "form.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@for_members("keep_agreements")
def agreement_edit(request: HttpRequest, code: str) -> HttpResponse:
    """Change an agreement."""
    thing = _agreement_seen_by(request, code)
    form = AgreementForm(request.POST or None, instance=Agreement.objects.get(pk=thing.pk))
    moved = form.is_bound and form.is_valid()  # the page goes where its code goes
    back = reverse("monitoring:agreement", args=[form.cleaned_data["code"] if moved else code])

    def save():
        agreeing.revise_agreement(thing.pk, form.draft(), by=request.user, based_on=editing.version_asked(request))

    return _form_page(request, form, save, title=f"Change “{thing}”", back=back, said=f"“{thing}” is saved.")


@require_http_methods(["GET", "POST"])
@for_members("keep_agreements")
def provision_new(request: HttpRequest, code: str) -> HttpResponse:
    """Add a provision to an agreement."""
    thing = _agreement_seen_by(request, code)
    form = ProvisionForm(request.POST or None, instance=Provision(agreement=thing))
    return _form_page(
        request,
        form,
        lambda: agreeing.provide(thing.pk, form.draft(), by=request.user),
        title=f"Add a provision to “{thing}”",
        back=thing.get_absolute_url(),
        said="The provision is there. Say from when each party dates it.",
    )


@require_http_methods(["GET", "POST"])
@for_members("keep_agreements")
def provision_edit(request: HttpRequest, code: str, provision_id: int) -> HttpResponse:
    """Change a provision; what it covers is worked out anew."""
    row = _provision_seen_by(request, code, provision_id)
    form = ProvisionForm(request.POST or None, instance=Provision.objects.get(pk=row.pk))

    def save():
        agreeing.revise_provision(row.pk, form.draft(), by=request.user, based_on=editing.version_asked(request))

    title = f"Change article {row.article} of “{row.agreement}”"
    said = f"Article {row.article} is saved; what it covers is being worked out anew."
    return _form_page(request, form, save, title=title, back=row.agreement.get_absolute_url(), said=said)


@require_http_methods(["GET", "POST"])
@for_members("keep_agreements")
def term_new(request: HttpRequest, code: str, provision_id: int) -> HttpResponse:
    """Add a party's own view of when a provision began and ended."""
    row = _provision_seen_by(request, code, provision_id)
    with timezone.override(zone_of_today()):
        form = TermForm(request.POST or None, instance=ProvisionTerm(provision=row), zone=str(zone_of_today()))
        return _form_page(
            request,
            form,
            lambda: agreeing.date_from(row.pk, form.draft(), by=request.user),
            title=f"Say when article {row.article} holds, as a party dates it",
            back=row.agreement.get_absolute_url(),
            said=f"Article {row.article} has a term; what it covers is being worked out anew.",
        )


@require_http_methods(["GET", "POST"])
@for_members("keep_agreements")
def term_edit(request: HttpRequest, code: str, term_id: int) -> HttpResponse:
    """Change a party's term."""
    term = _term_seen_by(request, code, term_id)
    with timezone.override(zone_of_today()):
        instance = ProvisionTerm.objects.get(pk=term.pk)
        form = TermForm(request.POST or None, instance=instance, zone=str(zone_of_today()))

        def save():
            agreeing.revise_term(term.pk, form.draft(), by=request.user, based_on=editing.version_asked(request))

        return _form_page(
            request,
            form,
            save,
            title=f"Change the term of article {term.provision.article} as {term.party} dates it",
            back=term.provision.agreement.get_absolute_url(),
            said="The term is saved; what is covered is being worked out anew.",
        )


@require_http_methods(["GET", "POST"])
@for_members("keep_agreements")
def term_end(request: HttpRequest, code: str, term_id: int) -> HttpResponse:
    """End a party's term at an instant, with the reason: how a person applies a release clause."""
    term = _term_seen_by(request, code, term_id)
    with timezone.override(zone_of_today()):
        initial = {"version": term.version, "ends_at": term.ends_at}
        form = EndForm(request.POST or None, initial=initial, zone=str(zone_of_today()))

        def save():
            agreeing.end_term(
                term.pk,
                form.cleaned_data["ends_at"],
                because_of=form.cleaned_data["reason"],
                by=request.user,
                based_on=editing.version_asked(request),
            )

        return _form_page(
            request,
            form,
            save,
            title=f"End the term of article {term.provision.article} as {term.party} dates it",
            back=term.provision.agreement.get_absolute_url(),
            said="The term is ended, with your reason; what is covered is being worked out anew.",
        )


@require_http_methods(["GET", "POST"])
@for_members("keep_agreements")
def delete(request: HttpRequest, code: str, what: str, thing_id: int) -> HttpResponse:
    """Delete an agreement, a provision or a term, after asking."""
    thing, owner = _thing_seen_by(request, code, what, thing_id)
    gone = reverse("monitoring:agreements") if what == "agreement" else owner.get_absolute_url()
    if request.method == "POST":
        remove = {
            "agreement": agreeing.delete_agreement,
            "provision": agreeing.delete_provision,
            "term": agreeing.delete_term,
        }[what]
        try:
            remove(thing.pk, by=request.user, based_on=editing.version_asked(request))
        except editing.Refused as error:
            messages.error(request, sentences(error))
            return redirect(owner.get_absolute_url())
        messages.success(request, f"{thing} is deleted. Its history is kept.")
        return redirect(gone)
    below = {"agreement": "Its provisions and terms go with it.", "provision": "Its terms go with it.", "term": ""}[
        what
    ]
    context = {
        "title": f"Delete {thing}?",
        "text": f"{below} Nothing that was reported is touched, but it is counted under it no more.".strip(),
        "action": request.path,
        "button": "Delete",
        "cancel": owner.get_absolute_url(),
        "danger": True,
        "hidden": [("version", thing.version)],
    }
    return render(request, "confirm.html", context)


@require_POST
@for_members("keep_agreements")
def take_back(request: HttpRequest, code: str, what: str, thing_id: int) -> HttpResponse:
    """Take the last change of an agreement, a provision or a term back."""
    thing, owner = _thing_seen_by(request, code, what, thing_id)
    try:
        kept = agreeing.take_back(thing, by=request.user, based_on=editing.version_asked(request))
    except (ValidationError, editing.Refused) as error:
        if getattr(error, "status", 409) == 428:
            raise
        messages.error(request, sentences(error))
    else:
        messages.success(request, "The last change is taken back.")
        owner = kept if what == "agreement" else owner
    return redirect(owner.get_absolute_url())


def _provision_seen_by(request: HttpRequest, code: str, provision_id: int) -> Provision:
    rows = Provision.objects.visible_to(request.user).select_related("agreement")
    return get_object_or_404(rows, pk=provision_id, agreement__code=code)


def _term_seen_by(request: HttpRequest, code: str, term_id: int) -> ProvisionTerm:
    rows = ProvisionTerm.objects.visible_to(request.user).select_related("provision__agreement", "party")
    return get_object_or_404(rows, pk=term_id, provision__agreement__code=code)


def _thing_seen_by(request: HttpRequest, code: str, what: str, thing_id: int) -> tuple[Any, Agreement]:
    """Return the row, and the agreement it belongs to."""
    if what == "provision":
        row = _provision_seen_by(request, code, thing_id)
        return row, row.agreement
    if what == "term":
        term = _term_seen_by(request, code, thing_id)
        return term, term.provision.agreement
    if what != "agreement":
        raise Http404("There is no such thing.")
    thing = _agreement_seen_by(request, code)
    if thing.pk != thing_id:
        raise Http404("There is no such agreement.")
    return thing, thing
