"""Imports over the API: from the file to the undo, by the rights of who sends it and the scope of their token."""

import json
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from coalition import jobs
from coalition.access import SYSTEM, Role, acting_as
from coalition.imports.mapping import Mapping
from coalition.models import ApiToken, ImportBatch
from coalition.tokens import issue
from monitoring.models import Report
from pledges.models import Pledge
from tests.factories import a_capability, a_member, a_nation, a_source, the_operation

pytestmark = pytest.mark.django_db
URL = "/api/v1/imports/"
SAMPLE = (Path(__file__).parent.parent / "data" / "public_statements_sample.csv").read_bytes()
WORDS = {"capability": {"troops": "infantry", "naval": "mine-hunters", "training": "instructors"}}
REPORTS = "external_id,occurred_from,kind,source\n1,2025-03-20,explosion,own-patrols\n2,2025-03-21,burst,own-patrols\n"


@pytest.fixture
def planner(monkeypatch):
    monkeypatch.setattr(jobs, "BEAT_S", 3600.0)  # the heart beats on another connection, which sees nothing of a test's
    with acting_as(SYSTEM):
        the_operation()
        for code in ("FR", "GB", "EE", "PL", "UA", "CA"):
            a_nation(code)
        for code in ("infantry", "mine-hunters", "instructors"):
            a_capability(code, unit="vessels" if code == "mine-hunters" else "persons")
        a_source("own-patrols")
        return a_member(Role.PLANNER)


def client_of(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def send(client: Client, content: bytes = SAMPLE, profile: str = "public-statements", headers=None, **fields):
    file = SimpleUploadedFile("said.csv", content)
    return client.post(URL, {"profile": profile, "file": file, **fields}, headers=headers)


def worked(client: Client, answer) -> tuple[str, dict, str]:
    """Do the job an import waits for; return its address, what it is now, and its ETag."""
    assert answer.status_code in (200, 201), answer.content
    address = f"{URL}{answer.json()['id']}/"
    with acting_as(SYSTEM):
        batch = ImportBatch.objects.get(pk=answer.json()["id"])
    jobs.work(batch.job_id)
    now = client.get(address)
    return address, now.json(), now["ETag"]


def step(client: Client, address: str, what: str, tag: str, **body):
    return client.post(f"{address}{what}/", body, content_type="application/json", headers={"If-Match": tag})


def tried(client: Client) -> tuple[str, dict, str]:
    address, now, tag = worked(client, send(client))
    assert now["state"] == "read"
    proposed = client.get(f"{address}mapping/").json()
    assert "troops" in proposed["words"]["capability"]
    return worked(client, step(client, address, "map", tag, mapping=proposed["mapping"] | {"words": WORDS}))


def test_a_file_goes_all_the_way_from_upload_to_undo(planner):
    client = client_of(planner)
    address, now, tag = tried(client)
    assert (now["state"], now["counts"]["new"]) == ("tried", 6)
    rows = client.get(f"{address}rows/?outcome=new&limit=4").json()
    assert (rows["count"], len(rows["results"]), rows["previous"]) == (6, 4, None)
    rest = client.get(rows["next"]).json()
    lines = [row["line"] for row in rows["results"] + rest["results"]]
    assert (lines, rest["next"]) == (sorted(set(lines)), None)
    [first, *_] = rows["results"]
    off = step(client, address, "approve", tag, rows=[first["id"]], approved=False)
    assert off.status_code == 200
    address, now, tag = worked(client, step(client, address, "commit", off["ETag"]))
    assert (now["state"], now["counts"]["committed"]) == ("committed", {"new": 5})
    with acting_as(SYSTEM):
        assert Pledge.objects.count() == 5
    assert client.get(f"{address}touched/").json() == {"results": []}
    target = client.get(f"{address}rows/?outcome=new").json()["results"][-1]["target"]
    assert client.get(target).status_code == 200
    address, now, tag = worked(client, step(client, address, "undo", tag))
    assert (now["state"], now["counts"]["taken_back"], now["counts"]["left"]) == ("undone", 5, 0)
    with acting_as(SYSTEM):
        assert not Pledge.objects.exists()
    assert step(client, address, "undo", tag).status_code == 409


def test_a_mapping_that_comes_with_the_file_has_the_rows_tried_at_once(planner):
    client = client_of(planner)
    same = {name: name for name in ("external_id", "occurred_from", "kind", "source")}
    mapping = json.dumps(Mapping(columns=same, time_zone="Europe/Kyiv").to_json())
    address, now, _ = worked(client, send(client, REPORTS.encode(), "reports", mapping=mapping))
    assert now["state"] == "trying"
    with acting_as(SYSTEM):
        jobs.work(ImportBatch.objects.get().job_id)
    now = client.get(address)
    assert now.json()["counts"]["new"] == 2
    worked(client, step(client, address, "commit", now["ETag"]))
    with acting_as(SYSTEM):
        assert Report.objects.count() == 2
    assert client.get(f"{address}rows/?outcome=new").json()["count"] == 2


def test_a_mapping_that_does_not_fit_its_file_is_refused_in_words_and_kept_to_be_corrected(planner):
    client = client_of(planner)
    wrong = json.dumps(Mapping(columns={"when": "occurred_from"}).to_json())
    address, now, tag = worked(client, send(client, REPORTS.encode(), "reports", mapping=wrong))
    assert (now["state"], "no column called 'when'" in now["error"]) == ("read", True)
    assert client.get(f"{address}mapping/").json()["faults"]
    again = step(client, address, "map", tag, mapping=json.loads(wrong))
    assert (again.status_code, again.json()["code"]) == (422, "bad_mapping")
    for bad in ("{", "[]", '{"columns": 1}', '{"time_zone": "Mars/Base"}', "[" * 100_000):
        answer = send(client, REPORTS.encode(), "reports", mapping=bad)
        assert (answer.status_code, list(answer.json()["errors"])) == (400, ["mapping"])


def test_the_same_key_sends_a_file_once_and_never_for_another_file_of_the_same_size(planner):
    client, key = client_of(planner), {"Idempotency-Key": "once"}
    first = send(client, REPORTS.encode(), "reports", key)
    again = send(client, REPORTS.encode(), "reports", key)
    assert (again.status_code, again.json()["id"], again["Idempotency-Replayed"]) == (201, first.json()["id"], "true")
    other = send(client, REPORTS.replace("burst", "flare").encode(), "reports", key)
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")


def test_each_step_names_the_version_it_is_based_on_and_the_moment_must_be_right(planner):
    client = client_of(planner)
    address, _, tag = tried(client)
    assert client.post(f"{address}commit/", {}, content_type="application/json").status_code == 428
    assert step(client, address, "commit", '"99"').status_code == 412
    assert step(client, address, "undo", tag).status_code == 409
    assert client.get(f"{address}touched/").status_code == 409
    assert client.get(f"{address}rows/").json()["errors"].keys() == {"outcome"}
    for bad in ("limit=0", "limit=1e9", "limit=1000000000", "offset=-1", "offset=x", "outcome=%00", "page=2"):
        assert client.get(f"{address}rows/?outcome=new&{bad}").status_code == 400
    assert client.get(f"{address}rows/?outcome=new&offset=1000").json()["results"] == []
    assert step(client, address, "approve", tag, outcome="rejected", approved=True).status_code == 400
    assert step(client, address, "approve", tag, approved=True).status_code == 400
    none = step(client, address, "approve", tag, outcome="new", approved=False)
    refused = step(client, address, "commit", none["ETag"])
    assert (refused.status_code, "nothing to commit" in refused.json()["detail"]) == (409, True)
    gone = client.post(f"{address}cancel/", {}, content_type="application/json")
    assert (gone.status_code, gone.json()["state"]) == (200, "cancelled")


def test_rejected_rows_come_as_rows_and_as_a_file(planner):
    client = client_of(planner)
    content = (REPORTS + "3,someday,=1+1,own-patrols\n").encode()
    same = {name: name for name in ("external_id", "occurred_from", "kind", "source")}
    address, _, _ = worked(
        client, send(client, content, "reports", mapping=json.dumps(Mapping(columns=same).to_json()))
    )
    assert client.get(f"{address}rejected/").status_code == 409
    with acting_as(SYSTEM):
        jobs.work(ImportBatch.objects.get().job_id)
    [row] = client.get(f"{address}rows/?outcome=rejected").json()["results"]
    assert (row["line"], row["problems"][0]["column"]) == (4, "occurred_from")
    file = client.get(f"{address}rejected/").getvalue().decode("utf-8-sig")
    assert file.startswith("line,column,value,reason,external_id")
    assert "'=1+1" in file


def test_one_imports_only_what_one_may_import(planner):
    with acting_as(SYSTEM):
        monitor, officer, analyst = a_member(Role.MONITOR), a_member(Role.OFFICER), a_member(Role.ANALYST)
    assert send(client_of(monitor)).status_code == 403
    assert send(client_of(officer), REPORTS.encode(), "reports").status_code == 403
    assert send(client_of(analyst), REPORTS.encode(), "reports").status_code == 403
    own = send(client_of(monitor), REPORTS.encode(), "reports")
    assert own.status_code == 201
    address = f"{URL}{own.json()['id']}/"
    for who in (officer, analyst):
        assert client_of(who).get(address).status_code == 404
        for what in ("rows/?outcome=new", "mapping/", "touched/", "rejected/"):
            assert client_of(who).get(f"{address}{what}").status_code == 404
    assert client_of(planner).get(address).status_code == 200
    assert [row["id"] for row in client_of(monitor).get(f"{URL}?state=reading").json()["results"]] == [own.json()["id"]]
    assert client_of(monitor).get(f"{URL}?state=tried").json()["results"] == []
    unknown = send(client_of(monitor), REPORTS.encode(), "nothing")
    assert unknown.json()["errors"].keys() == {"profile"}


@pytest.mark.parametrize(
    ("scope", "profile", "status"),
    [
        (ApiToken.Scope.LOG_PLEDGES, "public-statements", 201),
        (ApiToken.Scope.LOG_PLEDGES, "reports", 403),
        (ApiToken.Scope.FILE_REPORTS, "reports", 201),
        (ApiToken.Scope.FILE_REPORTS, "public-statements", 403),
        (ApiToken.Scope.READ, "reports", 403),
    ],
)
def test_a_token_imports_within_its_scope(planner, scope, profile, status):
    with acting_as(planner):
        _, secret = issue(by=planner, name="program", scope=scope, days=1)
    answer = send(Client(headers={"Authorization": f"Token {secret}"}), REPORTS.encode(), profile)
    assert answer.status_code == status
