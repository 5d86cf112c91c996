"""Agreements in the browser and over the API: who may keep them, by whose dates, and what was reported under them."""

import json
import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.utils.html import strip_tags

from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.models import Stale, Tombstone
from monitoring import coverage
from monitoring.models import Agreement, Provision, ProvisionTerm
from tests.factories import (
    a_member,
    a_party,
    a_provision,
    a_report,
    a_term,
    an_agreement,
    an_incident,
)

pytestmark = pytest.mark.django_db
KYIV = ZoneInfo("Europe/Kyiv")
MARCH_18, MARCH_25 = datetime(2025, 3, 18, tzinfo=KYIV), datetime(2025, 3, 25, tzinfo=KYIV)
NOON = datetime(2025, 3, 20, 12, tzinfo=KYIV)
KEEPERS = {Role.PLANNER, Role.ADMINISTRATOR}
AGREEMENTS = "/monitoring/agreements/"


def sweep() -> None:
    keys = set(Stale.objects.filter(kind="coverage").values_list("key", flat=True))
    Stale.objects.filter(kind="coverage").delete()
    coverage.recompute(sorted(keys))
    if Stale.objects.filter(kind="coverage").exists():
        sweep()


@pytest.fixture
def power():
    """Article 1(c) of the moratorium, as Russia and Ukraine date it, and three reports of 20 March."""
    with acting_as(SYSTEM):
        agreement = an_agreement("moratorium", name="Energy moratorium")
        article = a_provision(
            "1(c)", agreement=agreement, act_kinds=["facility_strike"], facility_classes=["power"], kind="moratorium"
        )
        a_term(article, "ru", MARCH_18, ends_at=MARCH_18 + timedelta(days=30))
        a_term(article, "ua", MARCH_25, ends_at=MARCH_25 + timedelta(days=30))
        told = {"accused": a_party("ru"), "occurred_on": NOON.date()}
        a_report("facility_strike", NOON, facility_class="power", **told)
        a_report("facility_strike", NOON, facility_class="power", tier=Tier.PLANNING, **told)
        a_report("facility_strike", NOON, facility_class="housing", **told)
        sweep()
    return article


def logged_in(role: str = Role.PLANNER) -> Client:
    with acting_as(SYSTEM):
        person = a_member(role)
    client = Client()
    client.force_login(person, backend="coalition.accounts.EqualWork")
    return client


def text_of(response) -> str:
    return " ".join(strip_tags(response.content.decode()).split())


# --- reading ----------------------------------------------------------------------------------


def test_the_list_says_what_to_do_while_it_is_empty():
    assert "Write one down" in text_of(logged_in().get(AGREEMENTS))
    told = text_of(logged_in(Role.MONITOR).get(AGREEMENTS))
    assert "Planners write them down" in told


def test_each_partys_dates_stand_side_by_side_and_every_number_opens_its_rows(power):
    client = logged_in(Role.MONITOR)
    page = client.get(f"{AGREEMENTS}moratorium/")
    told = text_of(page)
    assert "2025-03-18 00:00 EET" in told
    assert "2025-03-25 00:00 EET" in told
    links = re.findall(r'href="([^"]*/events/[^"]*)"[^>]*>(\d+)<', page.content.decode())
    assert links
    for href, number in links:
        rows = client.get(href.replace("&amp;", "&"))
        assert rows.status_code == 200
        assert f"{number} event" in text_of(rows)


def test_a_planning_tier_report_is_in_no_number_of_the_coalition(power):
    def numbers(role):
        page = logged_in(role).get(f"{AGREEMENTS}moratorium/").content.decode()
        return [int(number) for number in re.findall(r"/events/[^>]*>(\d+)<", page)]

    assert numbers(Role.MONITOR) == [1]
    assert numbers(Role.PLANNER) == [2]


def test_the_pages_of_reports_and_incidents_say_by_whose_dates_they_are_covered(power):
    with acting_as(SYSTEM):
        strike = {"accused": a_party("ru"), "occurred_on": NOON.date()}
        substation = a_report("facility_strike", NOON, facility_class="power", **strike)
        house = a_report("facility_strike", NOON, facility_class="housing", **strike)
        incident = an_incident("Strike", NOON, kind="facility_strike", facility_class="power")
    client = logged_in(Role.MONITOR)
    told = text_of(client.get(f"/monitoring/reports/{substation.pk}/"))
    assert "Covered by article 1(c) under Russian Federation’s dates." in told
    assert "Before entry into force of article 1(c) under Ukraine’s dates (25 March 2025)." in told
    assert "Housing is not a facility that it names." in text_of(client.get(f"/monitoring/reports/{house.pk}/"))
    assert "Covered by article 1(c)" in text_of(client.get(f"/monitoring/incidents/{incident.pk}/"))


def test_a_hidden_agreement_is_not_there(power):
    with acting_as(SYSTEM):
        Agreement.objects.update(tier=Tier.PLANNING)
        term = ProvisionTerm.objects.first()
    client = logged_in(Role.MONITOR)
    assert "Energy moratorium" not in text_of(client.get(AGREEMENTS))
    for address in ("", "events/", "history/", f"terms/{term.pk}/end/"):
        assert client.get(f"{AGREEMENTS}moratorium/{address}").status_code in (403, 404)
    assert client.get("/api/v1/agreements/moratorium/").status_code == 404
    assert client.get("/api/v1/provisions/").json()["results"] == []
    assert client.get("/api/v1/terms/").json()["results"] == []


def test_a_number_that_cannot_be_is_not_found(power):
    client = logged_in()
    good = {"provision": power.pk, "dates": "ru", "accused": "ru", "answer": "yes", "of": "monitors"}
    assert client.get(f"{AGREEMENTS}moratorium/events/", good).status_code == 200
    for wrong in ({"provision": "x"}, {"dates": "nobody"}, {"accused": "zz"}, {"answer": "no"}, {"of": "all"}):
        assert client.get(f"{AGREEMENTS}moratorium/events/", good | wrong).status_code == 404


def test_the_page_of_an_agreement_costs_as_many_queries_with_many_articles(power, django_assert_max_num_queries):
    with acting_as(SYSTEM):
        for number in range(8):
            row = a_provision(f"2({number})", agreement=power.agreement, facility_classes=["power"])
            a_term(row, "ru", MARCH_18)
        sweep()
    client = logged_in()
    client.get(AGREEMENTS)
    with django_assert_max_num_queries(25):
        assert client.get(f"{AGREEMENTS}moratorium/").status_code == 200
    with django_assert_max_num_queries(25):
        assert client.get(AGREEMENTS).status_code == 200


# --- who may ------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [Role.OFFICER, Role.MONITOR, Role.ANALYST, Role.PLANNER, Role.ADMINISTRATOR])
def test_everybody_reads_and_planners_keep(power, role):
    client = logged_in(role)
    may = role in KEEPERS
    base = f"{AGREEMENTS}moratorium/"
    with acting_as(SYSTEM):
        term = ProvisionTerm.objects.first()
    assert client.get(AGREEMENTS).status_code == 200
    assert client.get(base).status_code == 200
    for address in (
        f"{AGREEMENTS}new/",
        f"{base}edit/",
        f"{base}history/",
        f"{base}provisions/new/",
        f"{base}provisions/{power.pk}/edit/",
        f"{base}provisions/{power.pk}/terms/new/",
        f"{base}terms/{term.pk}/edit/",
        f"{base}terms/{term.pk}/end/",
        f"{base}term/{term.pk}/delete/",
    ):
        assert client.get(address).status_code == (200 if may else 403), address
    answer = client.post(f"{base}provision/{power.pk}/delete/", {"version": 1})
    assert answer.status_code == (302 if may else 403)
    sent = json.dumps({"code": "truce", "name": "Truce"})
    answer = client.post("/api/v1/agreements/", sent, content_type="application/json")
    assert answer.status_code == (201 if may else 403)


# --- writing ------------------------------------------------------------------------------------


def test_an_agreement_is_written_down_with_an_article_and_a_term_in_local_time():
    client = logged_in()
    with acting_as(SYSTEM):
        a_party("ru")
        ru = a_party("ru").pk
    sent = {"name": "Truce", "code": "truce", "tier": 2, "text": "No fire."}
    assert client.post(f"{AGREEMENTS}new/", sent)["Location"] == f"{AGREEMENTS}truce/"
    sent = {"article": "1", "kind": "cessation_of_fire", "text": "No fire.", "act_kinds": ["shot"], "binds": ["ru"]}
    assert client.post(f"{AGREEMENTS}truce/provisions/new/", sent).status_code == 302
    with acting_as(SYSTEM):
        article = Provision.objects.get()
    assert (article.act_kinds, article.binds, article.zones) == (["shot"], ["ru"], [])
    address = f"{AGREEMENTS}truce/provisions/{article.pk}/terms/new/"
    assert client.post(address, {"party": ru, "begins_at": "2025-03-18T00:00"}).status_code == 302
    with acting_as(SYSTEM):
        assert ProvisionTerm.objects.get().begins_at == datetime(2025, 3, 17, 22, tzinfo=UTC)
    overlapping = client.post(address, {"party": ru, "begins_at": "2025-04-01T00:00"})
    assert overlapping.status_code == 422
    assert "overlaps another term" in text_of(overlapping)


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ({"begins_at": "0001-01-01T00:00"}, "between 1990 and 2100"),
        ({"begins_at": "2025-03-30T03:30"}, "2025-03-30"),  # that half hour was skipped
        ({"begins_at": "2025-05-01T00:00", "ends_at": "2025-04-01T00:00"}, "A term ends after it begins."),
        ({"begins_at": "soon"}, "Enter a valid date/time."),
    ],
)
def test_a_term_that_cannot_be_is_refused_with_a_sentence(power, sent, sentence):
    with acting_as(SYSTEM):
        ru = a_party("ru").pk
        ProvisionTerm.objects.all().delete()
    answer = logged_in().post(f"{AGREEMENTS}moratorium/provisions/{power.pk}/terms/new/", {"party": ru, **sent})
    assert answer.status_code == 422
    assert sentence in text_of(answer)


def test_a_release_clause_is_applied_by_ending_a_term_with_the_reason(power):
    client = logged_in()
    with acting_as(SYSTEM):
        term = ProvisionTerm.objects.get(party__code="ua")
    address = f"{AGREEMENTS}moratorium/terms/{term.pk}/end/"
    assert client.post(address, {"version": 1, "ends_at": "2025-04-01T12:00"}).status_code == 422
    sent = {"version": 1, "ends_at": "2025-04-01T12:00", "reason": "Article 3, after the strike of 31 March"}
    assert client.post(address, sent).status_code == 302
    with acting_as(SYSTEM):
        term.refresh_from_db()
        assert term.ends_at == datetime(2025, 4, 1, 9, tzinfo=UTC)
        assert Stale.objects.filter(kind="coverage", key=f"provision:{power.pk}").exists()
    assert "Article 3, after the strike" in text_of(client.get(f"{AGREEMENTS}moratorium/history/"))
    assert client.post(f"{AGREEMENTS}moratorium/term/{term.pk}/take-back/", {"version": 2}).status_code == 302
    with acting_as(SYSTEM):
        term.refresh_from_db()
        assert (term.ends_at, term.reason) == (MARCH_25 + timedelta(days=30), "")


@pytest.mark.parametrize("what", ["agreement", "provision", "term", "end"])
def test_a_write_needs_the_version_it_was_based_on(power, what):
    client = logged_in()
    with acting_as(SYSTEM):
        term = ProvisionTerm.objects.filter(party__code="ru").get()
    base = f"{AGREEMENTS}moratorium/"
    address, sent = {
        "agreement": (f"{base}edit/", {"name": "New", "code": "moratorium", "tier": 2}),
        "provision": (f"{base}provisions/{power.pk}/edit/", {"article": "1", "kind": "moratorium", "text": "New"}),
        "term": (f"{base}terms/{term.pk}/edit/", {"begins_at": "2025-03-18T00:00", "ends_at": "2025-04-01T00:00"}),
        "end": (f"{base}terms/{term.pk}/end/", {"ends_at": "2025-04-01T00:00", "reason": "Article 3"}),
    }[what]
    assert client.post(address, sent).status_code == 428
    stale = client.post(address, {**sent, "version": 7})
    assert stale.status_code == 412
    assert "Two versions" in text_of(stale)
    assert client.post(address, {**sent, "version": 1}).status_code == 302
    assert client.post(address, {**sent, "version": 1}).status_code == 412


def test_what_is_deleted_is_counted_no_more(power):
    client = logged_in()
    assert (
        client.post(f"{AGREEMENTS}moratorium/agreement/{power.agreement_id}/delete/", {"version": 1}).status_code == 302
    )
    with acting_as(SYSTEM):
        sweep()
        assert not Provision.objects.exists()
    assert client.get(f"{AGREEMENTS}moratorium/").status_code == 404


# --- API ----------------------------------------------------------------------------------------


def test_provisions_are_read_with_their_terms_as_json_and_as_csv(power):
    client = logged_in(Role.ANALYST)
    [row] = client.get("/api/v1/provisions/?agreement=moratorium").json()["results"]
    assert (row["article"], row["facility_classes"]) == ("1(c)", ["power"])
    assert [(term["party"], term["begins_at"]) for term in row["terms"]] == [
        ("ru", "2025-03-17T22:00:00.000000Z"),
        ("ua", "2025-03-24T22:00:00.000000Z"),
    ]
    csv = b"".join(client.get("/api/v1/terms/?format=csv")).decode()
    assert csv.splitlines()[1].split(",")[2:5] == ["moratorium", "1(c)", "ru"]
    assert "1(c)" in b"".join(client.get("/api/v1/provisions/?format=csv")).decode()


def test_the_api_keeps_agreements_like_the_pages_do(power):
    client = logged_in()

    def send(method, address, body, **headers):
        return getattr(client, method)(
            f"/api/v1/{address}", json.dumps(body), content_type="application/json", headers=headers
        )

    made = send("post", "provisions/", {"agreement": "moratorium", "article": "9", "kind": "access", "text": "Let in."})
    assert made.status_code == 201
    provision = f"provisions/{made.json()['id']}/"
    assert send("patch", provision, {"zones": ["nowhere"]}, **{"If-Match": made["ETag"]}).status_code == 400
    assert send("patch", provision, {"act_kinds": ["denial"]}).status_code == 428
    assert send("patch", provision, {"act_kinds": ["denial"]}, **{"If-Match": made["ETag"]}).status_code == 200
    assert send("patch", provision, {"act_kinds": []}, **{"If-Match": made["ETag"]}).status_code == 412
    term = {"provision": made.json()["id"], "party": "ru", "begins_at": "2025-03-18T00:00:00Z"}
    dated = send("post", "terms/", term)
    assert dated.status_code == 201
    assert send("post", "terms/", term).status_code == 400
    assert send("post", "terms/", {**term, "provision": 10**9}).status_code == 400
    assert send("delete", f"terms/{dated.json()['id']}/", {}, **{"If-Match": dated["ETag"]}).status_code == 204
    twice = send("patch", "agreements/moratorium/", {"code": "new"}, **{"If-Match": '"1"'})
    assert twice.status_code == 400
    assert "code" in twice.json()["errors"]


def test_the_feed_hears_of_provisions_that_leave_and_come_with_their_agreement(power):
    with acting_as(SYSTEM):
        other = a_provision("2", agreement=power.agreement)
        a_term(other, "ru", MARCH_18)
        other.delete()
        stones = Tombstone.objects.filter(kind__startswith="monitoring_provision")
        assert sorted(stones.values_list("kind", "tier_before")) == [
            ("monitoring_provision", Tier.COALITION),
            ("monitoring_provisionterm", Tier.COALITION),
        ]
        Agreement.objects.update(tier=Tier.PLANNING)
        assert stones.count() == 2 + 3
        before = Provision.objects.get(pk=power.pk).version
        Agreement.objects.update(tier=Tier.COALITION)
        assert stones.count() == 2 + 3
        assert Provision.objects.get(pk=power.pk).version == before + 1
