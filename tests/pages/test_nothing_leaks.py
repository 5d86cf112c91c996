"""Every page, export, map, feed and job that a planner gets at, asked for by everybody else, with one of the two nets gone.

What is secret carries a word that nothing else has. The addresses are not listed by hand: a planner follows every link.
"""

import re
import sys
from html import unescape
from itertools import cycle
from urllib.parse import urljoin, urlsplit

import pytest
from django.apps import apps
from django.db import connection
from django.db.models import Q
from django.test import Client

from coalition import access
from coalition.access import SYSTEM, Role, Tier, acting_as, become
from coalition.api_urls import router
from coalition.models import Condition, ImportBatch, ImportRow, Job, WebhookSubscription
from monitoring.models import Agreement, Evidence, Incident, PartyResponse, Report
from pledges import readiness
from pledges.models import Allocation, Caveat, Pledge, PledgeStep, Requirement, SavedScenario
from tests import bed
from tests.factories import (
    a_condition,
    a_member,
    a_party,
    a_pledge,
    a_provision,
    a_report,
    a_requirement,
    a_sector,
    a_term,
    an_agreement,
    an_allocation,
    an_incident,
    the_operation,
)

pytestmark = pytest.mark.django_db
WORD = "zqsecret"
LINK = re.compile(r'\s(?:href|hx-get|action|data-url)="([^"#]*)')
LEFT_OUT = ("/static/", "/accounts/", "/admin/", "/api/v1/docs", "/api/v1/schema")
MOST_OF_A_KIND = 2  # addresses that differ in numbers, codes or what they ask for
READERS = [(Role.OFFICER, "FR"), (Role.MONITOR, None), (Role.ANALYST, None)]  # each asks a third of the addresses


@pytest.fixture
def secrets():
    """One of everything, in public and for planners alone; the British planning-tier one carries the word everywhere."""
    operation = the_operation()
    with acting_as(SYSTEM):
        planner = a_member(Role.PLANNER)
        sector = a_sector()
        for tier, text in ((Tier.PUBLIC, "plain"), (Tier.PLANNING, WORD)):
            condition = a_condition(f"{text} condition", tier=tier, note=text)
            line = a_requirement(100, sector=sector, tier=tier, title=text, note=text)
            pledge = a_pledge(
                60, nation="GB", tier=tier, status="committed", what=f"{text} offer", note=text, source=text,
                requirement=line, conditions=(condition,), last_confirmed_on="2026-01-01",
            )  # fmt: skip
            Caveat.objects.create(pledge=pledge, kind="task", text=text)
            PledgeStep.objects.create(pledge=pledge, user=planner, kind="commit", to_status="committed", reason=text)
            an_allocation(pledge, line, 30)
            SavedScenario.objects.create(operation=operation, name=f"{text} scenario", query="", tier=tier)
            agreement = an_agreement(f"{text}-pact", tier=tier, name=f"{text} pact", text=text)
            provision = a_provision("1", agreement=agreement, text=text)
            a_term(provision, reason=text)
            incident = an_incident(f"{text} incident", tier=tier)
            report = a_report(
                tier=tier, narrative=text, place_name=text, reference=f"{text}-1", incident=incident, longitude=37.5,
                latitude=48.5, place_precision_m=100, accused=a_party("ru"), sector=sector,
            )  # fmt: skip
            a_report(tier=tier, narrative=text, place_name=text, reference=f"{text}-2", accused=a_party("ru"))
            Evidence.objects.create(
                report=report, file=f"evidence/{text}.png", file_name=f"{text}.png", size=1, sha256="0" * 64,
                content_type="image/png",
            )  # fmt: skip
            PartyResponse.objects.create(incident=incident, party=a_party("ru"), stance="denied", text=text)
        for model, changes in (
            (Pledge, {"note": WORD}), (Condition, {"note": WORD}), (Requirement, {"note": WORD}),
            (Allocation, {"quantity": 20}), (Report, {"weapon": WORD}), (Incident, {"finding_reasoning": WORD}),
            (Agreement, {"text": WORD}),
        ):  # fmt: skip
            rows = model.objects.filter(tier=Tier.PLANNING)
            rows.update(**changes)
        batch = ImportBatch.objects.create(
            profile="pledges", operation=operation, user=planner, file=f"{WORD}.csv", file_name=f"{WORD}.csv", size=1,
            sha256="0" * 64, dataset=WORD, state=ImportBatch.State.UNREADABLE, error=WORD, header=[WORD],
        )  # fmt: skip
        ImportRow.objects.create(batch=batch, number=2, outcome="rejected", cells={WORD: WORD}, problems=[])
        Job.objects.create(
            kind="export", user=planner, state=Job.State.DONE, result={"label": WORD, "href": f"/{WORD}/"}, error=WORD
        )
        WebhookSubscription.objects.create(
            user=planner, name=WORD, address=f"https://{WORD}.example", kinds=["pledges"], place=[0, "", ""]
        )
    readiness.recompute_all(operation)
    return planner


def browser(user) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def content(answer) -> bytes:
    return answer.getvalue() if answer.streaming else answer.content


def kind_of(address: str) -> str:
    parts = urlsplit(address)
    return re.sub(r"\d+|[0-9a-f-]{36}|plain-pact|zqsecret-pact", "N", parts.path) + ("?" if parts.query else "")


def found_by(user) -> dict[str, bool]:
    """Return every address a person gets to from the overview, the API's lists and the maps, and whether it tells."""
    client, tells = browser(user), {}
    waiting = ["/", "/api/v1/changes/", "/ogc/", "/webhooks/", "/imports/", "/jobs/"]
    for name, _, _ in router.registry:
        waiting += [f"/api/v1/{name}/", f"/api/v1/{name}/?format=csv"]
        rows = client.get(f"/api/v1/{name}/").json().get("results", [])
        secret = [row for row in rows if WORD in str(row)]
        waiting += [
            f"/api/v1/{name}/{row.get('code') or row['id']}/" for row in secret[:1] if "code" in row or "id" in row
        ]
    for name in ("sectors", "reports", "incidents"):
        waiting.append(f"/ogc/collections/{name}/items?f=json")
    seen, kinds = set(waiting), {}
    for address in waiting:
        answer = client.get(address)
        tells[address] = WORD in content(answer).decode(errors="replace").lower()
        if answer.streaming or not answer.headers["Content-Type"].startswith("text/html"):
            continue
        for found in LINK.findall(answer.content.decode()):
            link = urljoin(address, unescape(found))
            kind = kind_of(link)
            if urlsplit(link).netloc or not link.startswith("/") or link.startswith(LEFT_OUT) or link in seen:
                continue
            if kinds.get(kind, 0) < MOST_OF_A_KIND:
                kinds[kind] = kinds.get(kind, 0) + 1
                seen.add(link)
                waiting.append(link)
    return tells


def take_querysets_away(monkeypatch) -> None:
    """Let ``visible_to`` and ``seen_by`` let everything by, wherever they are used: only the row policies are left."""
    for model in apps.get_models():
        rows = type(model._default_manager.all())
        if hasattr(rows, "visible_to"):
            monkeypatch.setattr(rows, "visible_to", lambda rows, user: rows.all())
    seen_by = access.seen_by
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in bed.APPS and getattr(module, "seen_by", None) is seen_by:
            monkeypatch.setattr(module, "seen_by", lambda user, **lookups: Q(pk__isnull=False))


def take_policies_away(monkeypatch) -> None:
    """Tell the database of everybody that they are an administrator: only the querysets are left."""

    def become_unbound(user, why=""):
        actor = become(user, why)
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('app.tier', '3', true), set_config('app.role', 'administrator', true)")
        return actor

    monkeypatch.setattr("coalition.access.become", become_unbound)


def leaks_to(people: dict[str, Client], addresses: list[str]) -> list[tuple[str, str, int]]:
    """Ask each address as one of the people in turn; return (who, address, status) where the word shows, or a fault."""
    leaks = []
    for (who, client), address in zip(cycle(people.items()), addresses, strict=False):
        answer = client.get(address)
        shown = content(answer).decode(errors="replace").lower().replace(address.lower(), "")
        if WORD in shown or answer.status_code >= 500:
            leaks.append((who, address, answer.status_code))
    return leaks


def test_nobody_reads_on_any_address_what_is_for_planners(secrets, monkeypatch, record_property):
    found = found_by(secrets)
    telling = [address for address, tells in found.items() if tells]
    record_property("addresses that tell a planner of secrets, of all tried", (len(telling), len(found)))
    assert len(telling) > 100
    people = {f"{role} {nation or ''}": browser(a_member(role, nation)) for role, nation in READERS}
    take_querysets_away(monkeypatch)
    assert leaks_to(people, telling) == []
    monkeypatch.undo()
    take_policies_away(monkeypatch)
    assert leaks_to(people, telling[::3]) == []  # tests of each list and page ask the querysets for more
    take_querysets_away(monkeypatch)
    assert len(leaks_to(people, telling[:20])) > 5  # with both gone it does show: they were what held
