"""Incidents and the steps of triage over the API: versions, one shape of refusal, and nothing that is hidden."""

import json

import pytest
from rest_framework.test import APIClient

from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.models import Tombstone
from monitoring import merging
from monitoring.models import Incident, IncidentStep, Report
from tests.factories import a_member, a_party, a_report, an_incident, the_operation

pytestmark = pytest.mark.django_db

PLACE = {"longitude": 38.0, "latitude": 48.0, "coalition_longitude": 38.0, "coalition_latitude": 48.0}
HERE = PLACE | {"place_precision_m": 300.0, "place_name": "Pisky"}
WHOLE = {"occurrence": "corroborated", "occurrence_confidence": "high", "occurrence_reasoning": "Seen by two."}


def client_of(user) -> APIClient:
    client = APIClient()
    client.force_login(user)
    return client


@pytest.fixture
def monitor():
    the_operation()
    return a_member(Role.MONITOR)


@pytest.fixture
def client(monitor) -> APIClient:
    return client_of(monitor)


def some_reports(*tiers: int) -> list[Report]:
    with acting_as(SYSTEM):
        return [a_report(tier=tier, **HERE) for tier in tiers]


def seen(*reports: Report) -> list[dict]:
    return [{"id": report.pk, "version": report.version} for report in reports]


def post(client: APIClient, path: str, body: dict, tag: str | None = None, **headers):
    if tag is not None:
        headers["If-Match"] = tag
    return client.post(f"/api/v1/{path}", body, format="json", headers=headers)


def opened(client: APIClient, *reports: Report, **draft):
    answer = post(client, "incidents/", {"reports": seen(*reports), **draft})
    assert answer.status_code == 201, answer.content
    return answer


def test_an_incident_is_opened_once_however_often_it_is_sent(client):
    reports = some_reports(2, 2)
    body = {"reports": seen(*reports), "title": "Shelling", "reason": "One crater."}
    first, again = (post(client, "incidents/", body, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    row = first.json()
    assert (row["title"], row["reports"]) == ("Shelling", [report.pk for report in reports])
    assert (row["tier"], row["place_name"], row["longitude"]) == ("coalition", "Pisky", 38.0)
    assert first["ETag"] == f'"incident-{row["id"]}-v{row["version"]}"'


def test_the_second_to_merge_a_report_is_refused_with_its_present_version(client):
    [report] = some_reports(2)
    opened(client, report)
    answer = post(client, "incidents/", {"reports": seen(report)})
    assert answer.status_code == 412
    assert answer["ETag"] == f'"report-{report.pk}-v{report.version + 1}"'
    answer = post(client, "incidents/", {"reports": [{"id": report.pk, "version": report.version + 1}]})
    assert (answer.status_code, answer.json()["code"]) == (409, "regrouped")


def test_every_change_needs_the_version_it_is_based_on(client):
    one, two = some_reports(2, 2)
    made = opened(client, one)
    address = f"incidents/{made.json()['id']}/"
    for path, body in (
        ("merge/", {"reports": seen(two)}),
        ("split/", {"reports": [one.pk]}),
        ("judge/", WHOLE),
        ("verify/", {"reason": "x"}),
        ("take-back/", {"step": 1}),
    ):
        assert post(client, address + path, body).status_code == 428, path
    grown = post(client, address + "merge/", {"reports": seen(two)}, made["ETag"])
    assert grown.json()["reports"] == [one.pk, two.pk]
    assert post(client, address + "judge/", WHOLE, made["ETag"]).status_code == 412


def test_two_incidents_become_one_and_the_other_names_it(client):
    one, two = some_reports(2, 2)
    kept, gone = opened(client, one), opened(client, two)
    body = {"incident": {"id": gone.json()["id"], "version": gone.json()["version"]}}
    merged = post(client, f"incidents/{kept.json()['id']}/merge/", body, kept["ETag"])
    assert merged.json()["reports"] == [one.pk, two.pk]
    assert client.get(f"/api/v1/incidents/{gone.json()['id']}/").json()["merged_into"] == kept.json()["id"]
    listed = client.get("/api/v1/incidents/").json()["results"]
    assert [row["id"] for row in listed] == [kept.json()["id"]]
    assert client.get("/api/v1/incidents/?merged=true").json()["results"][0]["id"] == gone.json()["id"]
    steps = client.get(f"/api/v1/incidents/{kept.json()['id']}/steps/").json()["results"]
    assert [step["kind"] for step in steps] == ["absorb", "open"]
    assert steps[0]["reports"] == [two.pk]
    back = {"step": steps[0]["id"]}
    assert post(client, f"incidents/{kept.json()['id']}/take-back/", back, merged["ETag"]).json()["reports"] == [one.pk]
    assert client.get(f"/api/v1/incidents/{gone.json()['id']}/").json()["merged_into"] is None


def test_merge_takes_either_reports_or_an_incident(client):
    one, two = some_reports(2, 2)
    made = opened(client, one)
    address = f"incidents/{made.json()['id']}/merge/"
    for body in ({}, {"reports": seen(two), "incident": {"id": 1, "version": 1}}, {"reports": []}, {"other": 1}):
        assert post(client, address, body, made["ETag"]).status_code == 400


def test_a_box_keeps_the_incidents_in_it_as_the_tier_sees_their_places(client):
    with acting_as(SYSTEM):
        near = an_incident(**HERE)
        moved = an_incident(**HERE | {"sensitive": True, "coalition_longitude": 39.0})
    found = {
        box: {row["id"] for row in client.get(f"/api/v1/incidents/?bbox={box}").json()["results"]}
        for box in ("37.9,47.9,38.1,48.1", "38.9,47.9,39.1,48.1", "30,40,50,50")
    }
    assert list(found.values()) == [{near.pk}, {moved.pk}, {near.pk, moved.pk}]
    assert client.get("/api/v1/incidents/?bbox=39,48,37,49").status_code == 400


def test_taking_back_the_first_merge_leaves_nothing(client):
    [report] = some_reports(2)
    made = opened(client, report)
    address = f"/api/v1/incidents/{made.json()['id']}/"
    step = client.get(f"{address}steps/").json()["results"][0]["id"]
    gone = post(client, address.removeprefix("/api/v1/") + "take-back/", {"step": step}, made["ETag"])
    assert gone.status_code == 204
    assert client.get(address).status_code == 404
    assert client.get(f"/api/v1/reports/{report.pk}/").json()["incident"] is None


def test_a_split_answers_with_what_it_made(client):
    one, two = some_reports(2, 2)
    made = opened(client, one, two)
    body = {"reports": [two.pk], "into_new": True}
    split = post(client, f"incidents/{made.json()['id']}/split/", body, made["ETag"])
    assert split.json()["id"] != made.json()["id"]
    assert split.json()["reports"] == [two.pk]


def test_one_judges_and_another_verifies(client):
    made = opened(client, *some_reports(2))
    address = f"incidents/{made.json()['id']}/"
    hole = post(client, address + "judge/", {"occurrence": "plausible"}, made["ETag"])
    assert hole.status_code == 400
    assert set(hole.json()["errors"]) == {"occurrence_confidence", "occurrence_reasoning"}
    with acting_as(SYSTEM):
        a_party("ru")
    attributed = {
        "attribution": "party",
        "attributed_to": "ru",
        "attribution_confidence": "low",
        "attribution_reasoning": "Direction of fire.",
    }
    judged = post(client, address + "judge/", WHOLE | attributed, made["ETag"])
    assert (judged.json()["occurrence"], judged.json()["attributed_to"]) == ("corroborated", "ru")
    assert post(client, address + "verify/", {"reason": "x"}, judged["ETag"]).status_code == 403
    second = client_of(a_member(Role.MONITOR))
    verified = post(second, address + "verify/", {"reason": "Saw it."}, judged["ETag"])
    assert verified.json()["verified_by"] is not None
    assert post(second, address + "verify/", {"reason": "Saw it."}, verified["ETag"]).json()["code"] == "not_judged"


def test_what_a_party_said_is_written_and_read(client):
    with acting_as(SYSTEM):
        a_party("ru")
    made = opened(client, *some_reports(2))
    address = f"incidents/{made.json()['id']}/responses/"
    assert post(client, address, {"party": "ru", "stance": "denies", "text": "No."}).status_code == 201
    assert post(client, address, {"party": "nobody", "stance": "denies"}).status_code == 400
    assert client.get(f"/api/v1/{address}").json()["results"][0]["stance"] == "denies"


def test_a_report_goes_through_triage(client):
    one, two = some_reports(2, 2)
    screened = post(client, f"reports/{one.pk}/screen/", {}, f'"{one.version}"')
    assert screened.json()["status"] == "screened"
    assert post(client, f"reports/{one.pk}/screen/", {}, screened["ETag"]).json()["code"] == "wrong_step"
    taken = post(client, f"reports/{one.pk}/take-up/", {}, screened["ETag"])
    assert post(client, f"reports/{one.pk}/out-of-scope/", {}, taken["ETag"]).json()["errors"] == {
        "reason": ["Say why it is out of scope."]
    }
    marked = post(client, f"reports/{one.pk}/duplicate/", {"of": two.pk}, taken["ETag"])
    assert (marked.json()["status"], marked.json()["duplicate_of"]) == ("duplicate", two.pk)
    undone = post(client, f"reports/{one.pk}/undo/", {}, marked["ETag"])
    assert (undone.json()["status"], undone.json()["duplicate_of"]) == ("under_verification", None)


def test_candidates_come_with_reasons(client):
    one, two = some_reports(2, 2)
    [found] = client.get(f"/api/v1/reports/{one.pk}/candidates/").json()["results"]
    assert (found["report"], found["incident"], found["distance_m"]) == (two.pk, None, 0.0)
    assert "same kind" in found["reasons"]
    assert client.get(f"/api/v1/reports/{one.pk}/candidates/?limit=0").status_code == 400


@pytest.mark.parametrize("kind", ["csv", "geojson"])
def test_incidents_come_as_files(client, kind):
    made = opened(client, *some_reports(2), title="=1+1")
    body = b"".join(client.get(f"/api/v1/incidents/?format={kind}").streaming_content).decode()
    if kind == "csv":
        assert "'=1+1" in body
    else:
        [feature] = json.loads(body)["features"]
        assert (feature["id"], feature["geometry"]["coordinates"]) == (made.json()["id"], [38.0, 48.0])


# --- Who may do what ----------------------------------------------------------------------

YES, NO = 200, 403
TABLE = [
    # what        officer monitor analyst planner administrator
    ("screen",    NO,     YES,    NO,     YES,    YES),
    ("merge",     NO,     YES,    NO,     YES,    YES),
    ("split",     NO,     YES,    NO,     YES,    YES),
    ("judge",     NO,     YES,    NO,     YES,    YES),
    ("verify",    NO,     YES,    NO,     YES,    YES),
    ("take-back", NO,     YES,    NO,     YES,    YES),
    ("read",      YES,    YES,    YES,    YES,    YES),
]  # fmt: skip
ROLES = [Role.OFFICER, Role.MONITOR, Role.ANALYST, Role.PLANNER, Role.ADMINISTRATOR]


@pytest.mark.parametrize(
    ("what", "role", "status"), [(row[0], *pair) for row in TABLE for pair in zip(ROLES, row[1:], strict=True)]
)
def test_who_may_do_what(what, role, status):
    the_operation()
    judge = a_member(Role.MONITOR)
    one, two, three = some_reports(2, 2, 2)
    with acting_as(judge):
        incident = merging.open_incident({one.pk: None, two.pk: None}, by=judge)
        step = IncidentStep.objects.get().pk
    client = client_of(a_member(role))
    tag, path = f'"{incident.version}"', f"incidents/{incident.pk}/"
    if what == "verify":
        tag = post(client_of(judge), f"{path}judge/", WHOLE, tag)["ETag"]
    answer = {
        "read": lambda: client.get(f"/api/v1/{path}"),
        "screen": lambda: post(client, f"reports/{three.pk}/screen/", {}, f'"{three.version}"'),
        "merge": lambda: post(client, f"{path}merge/", {"reports": seen(three)}, tag),
        "split": lambda: post(client, f"{path}split/", {"reports": [two.pk]}, tag),
        "judge": lambda: post(client, f"{path}judge/", WHOLE, tag),
        "verify": lambda: post(client, f"{path}verify/", {"reason": "Saw it."}, tag),
        "take-back": lambda: post(client, f"{path}take-back/", {"step": step, "reason": "Not one event."}, tag),
    }[what]()
    assert answer.status_code in ((status, 204) if status == YES else (status,)), answer.content


# --- What one may not see -----------------------------------------------------------------


def test_a_hidden_incident_is_nowhere_in_the_api(client):
    low, other, high = some_reports(2, 2, 3)
    before = client.get(f"/api/v1/reports/{low.pk}/")
    planner = a_member(Role.PLANNER)
    with acting_as(planner):
        hidden = merging.open_incident({low.pk: None, high.pk: None}, {"title": "Intercept"}, by=planner)
        step = IncidentStep.objects.get().pk
    after = client.get(f"/api/v1/reports/{low.pk}/")
    assert (before.json(), before["ETag"]) == (after.json(), after["ETag"])
    address = f"/api/v1/incidents/{hidden.pk}/"
    absent = client.get("/api/v1/incidents/999999999/")
    for answer in (
        client.get(address),
        client.get(f"{address}steps/"),
        client.get(f"{address}responses/"),
        *(
            post(client, f"incidents/{hidden.pk}/{path}", body, '"1"')
            for path, body in (
                ("merge/", {"reports": seen(other)}),
                ("split/", {"reports": [low.pk]}),
                ("judge/", WHOLE),
                ("verify/", {"reason": "x"}),
                ("take-back/", {"step": step}),
                ("responses/", {"party": "ru", "stance": "denies"}),
            )
        ),
    ):
        assert (answer.status_code, answer.json()) == (404, absent.json())
    assert client.get("/api/v1/incidents/").json()["results"] == []
    assert client.get(f"/api/v1/reports/?incident={hidden.pk}").status_code == 400
    [found] = client.get(f"/api/v1/reports/{other.pk}/candidates/").json()["results"]
    assert (found["report"], found["incident"]) == (low.pk, None)
    made = opened(client, other)
    into_hidden = {"incident": {"id": hidden.pk, "version": 1}}
    assert post(client, f"incidents/{made.json()['id']}/merge/", into_hidden, made["ETag"]).status_code == 404
    feed = client.get("/api/v1/changes/").content.decode()
    assert "Intercept" not in feed
    with acting_as(SYSTEM):
        assert not Tombstone.objects.filter(kind="monitoring_incident", tier_before__lt=Tier.PLANNING).exists()
        assert Incident.objects.get(pk=hidden.pk).reports.count() == 2
