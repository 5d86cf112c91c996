"""The triage desk and the pages of incidents: what they show to whom, what they write, and what a stale write gets."""

import re
from datetime import UTC, datetime

import pytest
from django.test import Client
from django.urls import reverse

from coalition.access import SYSTEM, Role, Tier, acting_as
from monitoring import judging, merging, triage
from monitoring.models import Incident, IncidentStep, PartyResponse, Report
from tests.factories import a_member, a_party, a_report, a_source, the_operation

pytestmark = pytest.mark.django_db

NOON = datetime(2027, 3, 10, 12, tzinfo=UTC)
PLACE = {"longitude": 38.0, "latitude": 48.0, "coalition_longitude": 38.0, "coalition_latitude": 48.0}
HERE = PLACE | {"place_precision_m": 300.0, "place_name": "Pisky"}


def browser(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def monitor():
    the_operation()
    return a_member(Role.MONITOR)


@pytest.fixture
def client(monitor) -> Client:
    return browser(monitor)


@pytest.fixture
def two_sides() -> tuple[Report, Report]:
    """Two accusations of each other over one event."""
    with acting_as(SYSTEM):
        ru, ua = a_party("ru"), a_party("ua")
        told = [
            a_report("artillery", accuser=ua, accused=ru, count_low=10, count_high=12, count_unit="explosions", **HERE),
            a_report("mortar", accuser=ru, accused=ua, killed=2, source=a_source("tass"), **HERE),
        ]
    return tuple(told)


def incident_of(*reports: Report, by=None, **draft) -> Incident:
    by = by or a_member(Role.PLANNER)
    with acting_as(by):
        incident = merging.open_incident({report.pk: None for report in reports}, draft, by=by)
        incident.refresh_from_db()
        return incident


def now(thing):
    with acting_as(SYSTEM):
        return type(thing).objects.get(pk=thing.pk)


def text_of(answer) -> str:
    return re.sub(r"\s+", " ", answer.content.decode())


def said(answer) -> str:
    return " ".join(str(message) for message in answer.context["messages"])


# --- The desk -----------------------------------------------------------------------------


def test_the_desk_shows_the_worst_first_with_what_may_be_the_same_event(client, two_sides):
    artillery, deadly = two_sides
    page = client.get("/monitoring/triage/")
    assert [row["report"] for row in page.context["queue"]] == [deadly, artillery]
    assert page.context["report"] == deadly
    assert f"V{artillery.pk} Artillery fire" in text_of(page)
    assert "within both precisions" in text_of(page)


def test_filters_of_the_queue_stand_in_the_address_and_bad_ones_say_so(client, two_sides):
    page = client.get("/monitoring/triage/?severity=critical")
    assert [row["report"] for row in page.context["queue"]] == [two_sides[1]]
    assert client.get("/monitoring/triage/?status=screened").context["queue"] == []
    assert "These filters cannot be read" in text_of(client.get("/monitoring/triage/?severity=awful"))
    assert client.get("/monitoring/triage/?report=999999").status_code == 404


def test_htmx_gets_the_desk_alone(client, two_sides):
    part = client.get(f"/monitoring/triage/?report={two_sides[0].pk}", headers={"HX-Request": "true"})
    assert "<html" not in text_of(part)
    assert part.context["report"] == two_sides[0]


def test_the_desk_costs_as_many_queries_for_many_reports_as_for_few(client, two_sides, django_assert_max_num_queries):
    with acting_as(SYSTEM):
        for _ in range(20):
            a_report(**HERE)
    with django_assert_max_num_queries(25):
        client.get("/monitoring/triage/")


def test_a_step_goes_on_to_the_next_report_and_is_undone(client, two_sides):
    report = two_sides[0]
    back = "/monitoring/triage/?severity=high"
    address = f"/monitoring/triage/{report.pk}/step/screen/"
    answer = client.post(address, {"version": report.version, "next": back})
    assert (answer.status_code, answer["Location"]) == (302, back)
    assert now(report).status == "screened"
    client.post(f"/monitoring/triage/{report.pk}/undo/", {"version": now(report).version})
    assert now(report).status == "received"


def test_a_step_never_leads_out_of_the_desk(client, two_sides):
    address = f"/monitoring/triage/{two_sides[0].pk}/step/screen/"
    answer = client.post(address, {"version": two_sides[0].version, "next": "//evil.example/monitoring/triage/"})
    assert answer["Location"] == "/monitoring/triage/"


def test_a_duplicate_is_marked_by_number_or_by_the_candidate_and_nonsense_gets_a_sentence(client, two_sides):
    one, two = two_sides
    address = f"/monitoring/triage/{one.pk}/step/duplicate/"
    for of, sentence in (("", "which report"), ("V99999", "no such report"), ("x", "which report")):
        answer = client.post(address, {"version": one.version, "of": of}, follow=True)
        assert sentence in said(answer)
    client.post(address, {"version": one.version, "of": f"V{two.pk}"})
    assert now(one).duplicate_of_id == two.pk


def test_what_was_out_of_scope_needs_a_reason(client, two_sides):
    address = f"/monitoring/triage/{two_sides[0].pk}/step/out-of-scope/"
    answer = client.post(address, {"version": two_sides[0].version}, follow=True)
    assert "Say why" in said(answer)
    assert now(two_sides[0]).status == "received"


@pytest.mark.parametrize("path", ["step/screen/", "undo/", "merge/"])
def test_a_write_without_a_version_is_428(client, two_sides, path):
    with acting_as(SYSTEM):
        triage.take(two_sides[0].pk, "take-up", by=a_member(Role.MONITOR))
    answer = client.post(f"/monitoring/triage/{two_sides[0].pk}/{path}", {"reason": "x"})
    assert answer.status_code == 428


def test_a_stale_step_is_not_taken(client, two_sides):
    report = two_sides[0]
    with acting_as(SYSTEM):
        triage.take(report.pk, "take-up", by=a_member(Role.MONITOR))
    answer = client.post(
        f"/monitoring/triage/{report.pk}/step/out-of-scope/", {"version": "1", "reason": "x"}, follow=True
    )
    assert "in the meantime" in said(answer)
    assert now(report).status == "under_verification"


def test_merging_by_ticking_opens_an_incident_or_grows_one(client, two_sides):
    one, two = two_sides
    ticked = {f"version-{one.pk}": one.version, f"version-{two.pk}": two.version, "tick": two.pk}
    answer = client.post(f"/monitoring/triage/{one.pk}/merge/", ticked)
    incident = now(one).incident_id
    assert answer["Location"] == f"/monitoring/incidents/{incident}/"
    assert now(two).incident_id == incident
    with acting_as(SYSTEM):
        third = a_report(**HERE)
        standing = Incident.objects.get()
    into = {f"version-{third.pk}": 1, "incident": standing.pk, f"version-i{standing.pk}": standing.version}
    assert f"I{standing.pk} " in text_of(client.get(f"/monitoring/triage/?report={third.pk}"))
    client.post(f"/monitoring/triage/{third.pk}/merge/", into)
    assert now(third).incident_id == standing.pk


def test_the_second_of_two_who_merge_the_same_report_is_told(client, two_sides):
    one, two = two_sides
    ticked = {f"version-{one.pk}": one.version, f"version-{two.pk}": two.version, "tick": two.pk}
    incident_of(two)
    answer = client.post(f"/monitoring/triage/{one.pk}/merge/", ticked, follow=True)
    assert "in the meantime" in said(answer)
    assert now(one).incident_id is None


@pytest.mark.parametrize(("role", "status"), [(Role.OFFICER, 403), (Role.ANALYST, 403), (Role.PLANNER, 200)])
def test_the_desk_is_for_those_who_screen(two_sides, role, status):
    the_operation()
    assert browser(a_member(role)).get("/monitoring/triage/").status_code == status


# --- Incidents ----------------------------------------------------------------------------


def test_both_stories_stand_side_by_side_with_the_differences_marked(client, two_sides):
    with acting_as(SYSTEM):
        ru, ua = a_party("ru"), a_party("ua")
        far = HERE | {"longitude": 38.1, "coalition_longitude": 38.1, "place_precision_m": 100.0}
        one = a_report(
            "artillery", accuser=ua, accused=ru, count_low=1, count_high=2, count_unit="shots", killed=0, **HERE
        )
        two = a_report(
            "mortar",
            at=NOON.replace(hour=14),
            accuser=ru,
            accused=ua,
            source=a_source("tass"),
            count_low=5,
            count_high=5,
            count_unit="shots",
            killed=3,
            **far,
        )
        patrol = a_report("artillery", at=NOON.replace(minute=8), **HERE)
    incident = incident_of(one, two, patrol)
    page = client.get(f"/monitoring/incidents/{incident.pk}/")
    assert [story.voice for story in page.context["stories"]] == ["Russian Federation", "Ukraine", "Own monitors"]
    rows = {question.label: question for question in page.context["questions"]}
    russian, _, own = rows["Time"].answers
    assert russian.notes == ("2 h after Ukraine", "1 h 52 min after Own monitors")
    assert own.notes == ("1 h 52 min before Russian Federation",), "eight minutes are no difference"
    assert rows["Place"].answers[0].notes[0] == "7.4 km from Ukraine"
    assert rows["Kind"].is_disputed
    assert rows["Count"].answers[0].notes == ("more than Ukraine",)
    assert rows["Count"].answers[2].notes == ()
    assert rows["Killed"].answers[1].lines == ("0",)
    assert rows["Killed"].is_disputed
    assert rows["Accused"].answers[1].lines == ("Russian Federation",)
    assert "<mark>2 h after Ukraine</mark>" in text_of(page)


def test_stories_that_agree_within_what_they_know_are_not_marked(client, two_sides):
    incident = incident_of(*two_sides)
    questions = {row.label: row for row in client.get(f"/monitoring/incidents/{incident.pk}/").context["questions"]}
    assert not questions["Time"].is_disputed
    assert not questions["Place"].is_disputed
    assert not questions["Count"].is_disputed, "silence contradicts nobody"


def test_an_incident_is_judged_by_one_and_verified_by_another(client, monitor, two_sides):
    incident = incident_of(*two_sides)
    address = f"/monitoring/incidents/{incident.pk}"
    whole = {
        "version": incident.version,
        "occurrence": "corroborated",
        "occurrence_confidence": "high",
        "occurrence_reasoning": "Both sides and a crater.",
    }
    hole = client.post(f"{address}/judge/", whole | {"finding": "violation"})
    assert hole.status_code == 422
    assert "Say how sure this is." in text_of(hole)
    assert client.post(f"{address}/judge/", whole).status_code == 302
    judged = now(incident)
    assert (judged.occurrence, judged.judged_by) == ("corroborated", monitor)
    assert "Somebody else must verify it" in text_of(client.get(f"{address}/"))
    own = client.post(f"{address}/verify/", {"version": judged.version, "reason": "x"})
    assert own.status_code == 403
    second = browser(a_member(Role.MONITOR))
    assert second.post(f"{address}/verify/", {"version": judged.version, "reason": ""}).status_code == 422
    assert second.post(f"{address}/verify/", {"version": judged.version, "reason": "Saw it."}).status_code == 302
    assert now(incident).verified_by is not None


def test_a_stale_judgement_shows_both_versions_and_saves_neither(client, two_sides):
    incident = incident_of(*two_sides)
    with acting_as(SYSTEM):
        answers = {"occurrence": "plausible", "occurrence_confidence": "low", "occurrence_reasoning": "Hearsay."}
        judging.judge(incident.pk, answers, by=a_member(Role.MONITOR))
    mine = {
        "version": incident.version,
        "occurrence": "refuted",
        "occurrence_confidence": "high",
        "occurrence_reasoning": "Nothing there.",
    }
    address = f"/monitoring/incidents/{incident.pk}/judge/"
    stale = client.post(address, mine)
    assert stale.status_code == 412
    assert "Hearsay." in text_of(stale)
    assert "Nothing there." in text_of(stale)
    assert now(incident).occurrence == "plausible"
    assert client.post(address, {"occurrence": "refuted"}).status_code == 428


def test_a_merged_incident_leads_to_the_one_it_is_part_of(client, two_sides):
    kept, gone = incident_of(two_sides[0]), incident_of(two_sides[1])
    client.post(f"/monitoring/incidents/{kept.pk}/merge/", {"version": kept.version, "other": f"I{gone.pk}"})
    answer = client.get(f"/monitoring/incidents/{gone.pk}/", follow=True)
    assert answer.redirect_chain == [(f"/monitoring/incidents/{kept.pk}/", 302)]
    assert f"I{gone.pk} was merged into I{kept.pk}" in said(answer)
    rows = client.get("/monitoring/incidents/").context["rows"]
    assert [incident for incident, *_ in rows] == [kept]


def test_reports_are_taken_out_and_a_step_is_taken_back_on_the_page(client, monitor, two_sides):
    incident = incident_of(*two_sides, by=monitor)
    address = f"/monitoring/incidents/{incident.pk}"
    client.post(f"{address}/split/", {"version": incident.version, "tick": two_sides[0].pk})
    assert now(two_sides[0]).incident_id is None
    with acting_as(SYSTEM):
        step = IncidentStep.objects.get(incident=incident, kind="split")
    assert client.post(f"{address}/take-back/{step.pk}/", {}).status_code == 428
    client.post(f"{address}/take-back/{step.pk}/", {"version": now(incident).version})
    assert now(two_sides[0]).incident_id == incident.pk
    with acting_as(SYSTEM):
        opened = IncidentStep.objects.get(incident=incident, kind="open")
    answer = client.post(f"{address}/take-back/{opened.pk}/", {"version": now(incident).version})
    assert answer["Location"] == reverse("monitoring:triage")
    assert client.get(f"{address}/").status_code == 404


def test_an_incident_is_written_down_otherwise(client, two_sides):
    incident = incident_of(*two_sides)
    address = f"/monitoring/incidents/{incident.pk}/edit/"
    assert client.get(address).status_code == 200
    draft = {"title": "Shelling of Pisky", "kind": "mortar", "tier": "2", "facility_class": "", "accused": ""}
    assert client.post(address, draft).status_code == 428
    client.post(address, draft | {"version": incident.version, "place_of": two_sides[1].pk})
    assert (now(incident).title, now(incident).kind) == ("Shelling of Pisky", "mortar")
    stale = client.post(address, draft | {"version": incident.version, "title": "Mine"})
    assert stale.status_code == 412


def test_what_a_party_answered_is_written_down_and_deleted(client, two_sides):
    incident = incident_of(*two_sides)
    with acting_as(SYSTEM):
        party = a_party("ru")
    address = f"/monitoring/incidents/{incident.pk}/responses/"
    assert client.post(address, {"party": "", "stance": "denies"}).status_code == 422
    client.post(address, {"party": party.pk, "stance": "denies", "text": "Not us."})
    assert "Not us." in text_of(client.get(f"/monitoring/incidents/{incident.pk}/"))
    with acting_as(SYSTEM):
        response = PartyResponse.objects.get()
    client.post(f"{address}{response.pk}/delete/", {"version": response.version})
    with acting_as(SYSTEM):
        assert not PartyResponse.objects.exists()


def test_filters_of_the_list_stand_in_the_address(client, two_sides):
    incident = incident_of(*two_sides)
    for query, found in (
        ("q=Pisky", 1),
        (f"q=I{incident.pk}", 1),
        ("q=elsewhere", 0),
        ("family=fire", 1),
        ("state=open", 1),
        ("state=verified", 0),
        ("occurred_after=2027-03-11", 0),
        ("occurred_before=2027-03-10", 1),
    ):
        assert len(client.get(f"/monitoring/incidents/?{query}").context["rows"]) == found, query


def test_whoever_may_only_look_sees_no_button_and_is_refused(two_sides):
    the_operation()
    incident = incident_of(*two_sides)
    analyst = browser(a_member(Role.ANALYST))
    page = analyst.get(f"/monitoring/incidents/{incident.pk}/")
    assert page.status_code == 200
    for word in ("Take the ticked out", "Judge", "Write down a response", "Take back"):
        assert f">{word}<" not in text_of(page)
    for path in ("judge/", "verify/", "edit/"):
        assert analyst.get(f"/monitoring/incidents/{incident.pk}/{path}").status_code == 403
    for path in ("merge/", "split/", "responses/", "take-back/1/"):
        assert analyst.post(f"/monitoring/incidents/{incident.pk}/{path}", {"version": 1}).status_code == 403


# --- What one may not see -----------------------------------------------------------------


def test_a_hidden_incident_shows_on_no_page(client, two_sides):
    with acting_as(SYSTEM):
        strict = a_report("artillery", tier=Tier.PLANNING, **HERE)
    hidden = incident_of(two_sides[0], strict, title="Intercept says so")
    paths = ("", "edit/", "judge/", "verify/")
    gets = [client.get(f"/monitoring/incidents/{hidden.pk}/{path}") for path in paths]
    posts = [
        client.post(f"/monitoring/incidents/{hidden.pk}/{path}", {"version": 1, "other": "1"})
        for path in (*paths[1:], "merge/", "split/", "responses/", "take-back/1/")
    ]
    assert {answer.status_code for answer in (*gets, *posts)} == {404}
    shown = [
        client.get("/monitoring/triage/"),
        client.get(f"/monitoring/triage/?report={two_sides[0].pk}"),
        client.get(f"/monitoring/triage/?report={two_sides[1].pk}"),
        client.get("/monitoring/incidents/"),
        client.get(f"/monitoring/reports/{two_sides[0].pk}/"),
        client.get("/monitoring/reports/"),
    ]
    for page in shown:
        words = text_of(page)
        assert "Intercept" not in words
        assert f"I{hidden.pk} " not in words
        assert f"/incidents/{hidden.pk}/" not in words
        assert f"V{strict.pk} " not in words
    other = incident_of(two_sides[1])
    answer = client.post(
        f"/monitoring/incidents/{other.pk}/merge/", {"version": other.version, "other": hidden.pk}, follow=True
    )
    assert f"There is no incident I{hidden.pk}." in said(answer)


def test_an_incident_shows_only_the_reports_its_reader_may_see(client, two_sides):
    with acting_as(SYSTEM):
        strict = a_report("artillery", tier=Tier.PLANNING, narrative="From an intercept.", **HERE)
    incident = incident_of(*two_sides, strict, tier=2)
    page = client.get(f"/monitoring/incidents/{incident.pk}/")
    assert "From an intercept." not in text_of(page)
    assert f"V{strict.pk}" not in text_of(page)
    assert len(page.context["reports"]) == 2
    [(shown, *_)] = client.get("/monitoring/incidents/").context["rows"]
    assert shown.report_count == 2
