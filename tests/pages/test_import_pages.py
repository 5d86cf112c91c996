"""The pages of an import, from the file to the undo, as a person with or without JavaScript goes through them."""

from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from coalition import jobs
from coalition.access import SYSTEM, Role, acting_as
from coalition.models import ImportBatch, ImportRow, Nation
from pledges.models import Pledge
from tests.factories import a_capability, a_member, a_nation, the_operation

pytestmark = pytest.mark.django_db
SAMPLE = (Path(__file__).parent.parent / "data" / "public_statements_sample.csv").read_bytes()
MOST_QUERIES = 25


@pytest.fixture
def planner():
    with acting_as(SYSTEM):
        user = a_member(Role.PLANNER)
        the_operation()
        for code in ("FR", "GB", "EE", "PL", "UA", "CA"):
            a_nation(code, standing=Nation.Standing.PARTICIPANT)
        for code in ("infantry", "mine-hunters", "instructors"):
            a_capability(code, unit="vessels" if code == "mine-hunters" else "persons")
    return user


def client_of(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def the_batch() -> ImportBatch:
    with acting_as(SYSTEM):
        return ImportBatch.objects.select_related("job").latest("pk")


def worked() -> ImportBatch:
    """The newest batch after a worker did its job."""
    jobs.work(the_batch().job_id)
    return the_batch()


def send(client: Client, content: bytes = SAMPLE, profile: str = "public-statements"):
    file = SimpleUploadedFile("said.csv", content)
    return client.post("/imports/new/", {"profile": profile, "file": file})


def mapping_of(response) -> dict[str, str]:
    """What the mapping form holds, as a browser would send it back."""
    form = response.context["form"]
    held = {bound.html_name: bound.value() for bound in form}
    return {name: value for name, value in held.items() if value} | {"version": the_batch().version}


def mapped(client: Client) -> ImportBatch:
    send(client)
    batch = worked()
    address = f"/imports/{batch.pk}/"
    fields = mapping_of(client.get(address))
    for name, word in (("troops", "infantry"), ("naval", "mine-hunters"), ("training", "instructors")):
        labels = {bound.label: bound.html_name for bound in client.get(address).context["form"]}
        fields[labels[name]] = word
    assert client.post(f"{address}map/", fields).status_code == 302
    return worked()


def committed(client: Client) -> ImportBatch:
    batch = mapped(client)
    answer = approve(client, batch, "new", do="commit")
    assert answer.status_code == 302
    return worked()


def approve(client: Client, batch: ImportBatch, outcome: str, **fields):
    page = client.get(f"/imports/{batch.pk}/?outcome={outcome}")
    rows = [row for row, *_ in page.context["shown"]]
    ticked = [row.pk for row in rows if row.approved]
    data = {"version": batch.version, "outcome": outcome, "shown": [row.pk for row in rows], "approved": ticked}
    return client.post(f"/imports/{batch.pk}/approve/", data | fields)


def pledges() -> int:
    with acting_as(SYSTEM):
        return Pledge.objects.count()


def test_a_file_goes_all_the_way_from_upload_to_undo(planner):
    client = client_of(planner)
    batch = committed(client)
    address = f"/imports/{batch.pk}/"
    assert pledges() == 6
    page = client.get(address).content.decode()
    assert "Committed: 6 new" in page
    assert 'href="/pledges/' in page
    assert "Undo this import?" in client.get(f"{address}undo/").content.decode()
    client.post(f"{address}undo/", {"version": batch.version})
    worked()
    assert pledges() == 0
    assert "Taken back: 6 rows" in client.get(address).content.decode()
    again = client.post(f"{address}undo/", {"version": the_batch().version}, follow=True)
    assert "undone before" in again.content.decode()


def test_while_a_job_works_the_page_asks_again_and_is_loaded_anew_when_it_is_over(planner):
    client = client_of(planner)
    send(client)
    address = f"/imports/{the_batch().pk}/"
    page = client.get(address).content.decode()
    assert "hx-get" in page
    assert "Look again</a></p></noscript>" in page
    assert "The file is being read" in client.get(address, headers={"HX-Request": "true"}).content.decode()
    worked()
    assert client.get(address, headers={"HX-Request": "true"})["HX-Refresh"] == "true"


def test_an_unfinished_mapping_comes_back_with_sentences(planner):
    client = client_of(planner)
    send(client)
    batch = worked()
    answer = client.post(f"/imports/{batch.pk}/map/", {"time_zone": "Europe/Kyiv", "version": batch.version})
    assert answer.status_code == 422
    assert "Nation is needed" in answer.content.decode()
    answer = client.post(f"/imports/{batch.pk}/map/", {"time_zone": "Mars/Base", "version": batch.version})
    assert (answer.status_code, "time zone" in answer.content.decode()) == (422, True)


def test_the_words_of_another_column_can_be_asked_for_without_javascript(planner):
    client = client_of(planner)
    send(client)
    batch = worked()
    fields = mapping_of(client.get(f"/imports/{batch.pk}/"))
    moved = {name: value for name, value in fields.items() if value != "capability"}
    moved[next(name for name, value in fields.items() if value == "status")] = "capability"
    answer = client.post(f"/imports/{batch.pk}/map/", moved | {"look": "1"})
    labels = [str(bound.label) for bound in answer.context["form"] if bound.html_name.startswith("word-capability")]
    assert "declined (troops)" in labels
    assert the_batch().state == ImportBatch.State.READ


def test_rejected_rows_come_as_a_file_with_their_reasons_and_no_formula(planner):
    client = client_of(planner)
    batch = mapped(client)
    answer = client.get(f"/imports/{batch.pk}/rejected.csv")
    text = b"".join(answer.streaming_content).decode("utf-8-sig")
    lines = text.splitlines()
    assert lines[0].startswith("line,column,value,reason,country,iso2")
    assert len(lines) == 6
    assert "\"'=HYPERLINK(" in text


def test_ticks_are_kept_and_a_stale_page_is_told_so(planner):
    client = client_of(planner)
    batch = mapped(client)
    approve(client, batch, "new", do="keep", approved=[])
    with acting_as(SYSTEM):
        assert not ImportRow.objects.filter(batch=batch, approved=True).exists()
    answer = approve(client, batch, "new", do="commit")  # with the version from before
    assert answer.status_code == 302
    assert "Somebody changed this import" in client.get(answer["Location"]).content.decode()
    assert pledges() == 0


def test_a_write_that_names_no_version_is_428(planner):
    client = client_of(planner)
    batch = mapped(client)
    assert client.post(f"/imports/{batch.pk}/approve/", {"do": "commit"}).status_code == 428
    assert pledges() == 0


def test_nobody_opens_another_s_import_but_planners(planner):
    with acting_as(SYSTEM):
        a_nation("FR")
        officer, other, analyst = a_member(nation="FR"), a_member(nation="FR"), a_member(Role.ANALYST)
    send(client_of(officer))
    batch = worked()
    names = ["", "map/", "undo/", "rejected.csv"]
    for user in (other, analyst):
        assert {client_of(user).get(f"/imports/{batch.pk}/{name}").status_code for name in names} == {404}
        for name in ("map", "approve", "try", "cancel", "undo"):
            answer = client_of(user).post(f"/imports/{batch.pk}/{name}/", {"version": 1})
            assert answer.status_code == 404
    assert client_of(planner).get(f"/imports/{batch.pk}/").status_code == 200
    assert client_of(analyst).get("/imports/new/").status_code == 403


def test_the_stored_file_has_no_address(planner):
    client = client_of(planner)
    send(client)
    batch = the_batch()
    assert client.get(f"/{batch.file.name}").status_code == 404
    assert client.get(f"/media/{batch.file.name}").status_code == 404


def test_a_cancelled_import_is_over(planner):
    client = client_of(planner)
    batch = mapped(client)
    client.post(f"/imports/{batch.pk}/cancel/")
    assert "given up" in client.get(f"/imports/{batch.pk}/").content.decode()
    assert (
        client.post(f"/imports/{batch.pk}/approve/", {"do": "commit", "version": the_batch().version}).status_code
        == 302
    )
    assert pledges() == 0


@pytest.mark.parametrize("step", ["list", "read", "tried", "undo"])
def test_an_import_page_costs_a_bounded_number_of_queries(planner, step):
    client = client_of(planner)
    if step == "read":
        send(client)
        batch = worked()
    else:
        batch = committed(client) if step in ("list", "undo") else mapped(client)
    address = {"list": "/imports/", "undo": f"/imports/{batch.pk}/undo/"}.get(step, f"/imports/{batch.pk}/")
    client.get(address)
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address).status_code == 200
    assert len(queries) <= MOST_QUERIES
