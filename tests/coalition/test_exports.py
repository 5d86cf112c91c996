"""A list is the same in every format, whoever asks; long ones become jobs whose file is its owner's alone."""

import csv
import gzip
import io
import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import python_calamine
import shapely
from django.test import Client

from coalition import exports, jobs, renderers
from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.models import Job
from tests.factories import a_condition, a_member, a_pledge, a_sector

pytestmark = pytest.mark.django_db

LISTS = ["nations", "operations", "sectors", "conditions", "capabilities", "requirements", "pledges", "allocations"]


def browser(role: Role = Role.PLANNER, nation: str | None = None) -> Client:
    client = Client()
    with acting_as(SYSTEM):
        client.force_login(a_member(role, nation))
    return client


def file(client: Client, address: str, **headers) -> bytes:
    answer = client.get(address, headers=headers)
    assert answer.status_code == 200, answer.content
    return answer.getvalue()


@pytest.fixture
def pledges():
    with acting_as(SYSTEM):
        gate = a_condition()
        a_pledge(12.5, what="=1+1", conditions=(gate,), note='two\nlines, and "quotes"')
        a_pledge(None, what="é – ＝1", source="", tier=Tier.PLANNING)
        a_pledge(7, what="-7", nation="GB")


def in_each_format(client: Client, address: str) -> dict[str, list[dict]]:
    """Return the rows of each format as dicts of text, lists and nulls made alike."""
    rows = {"json": client.get(address).json()["results"]}
    rows["ndjson"] = [json.loads(line) for line in file(client, f"{address}&format=ndjson").splitlines()]
    features = json.loads(file(client, f"{address}&format=geojson"))
    rows["geojson"] = [feature["properties"] for feature in features["features"]]
    rows["parquet"] = pq.read_table(pa.BufferReader(file(client, f"{address}&format=parquet"))).to_pylist()
    return rows


def test_numbers_and_text_are_the_same_in_every_format(pledges):
    client = browser()
    rows = in_each_format(client, "/api/v1/pledges/?ordering=id")
    assert len(rows["json"]) == 3
    assert rows["json"] == rows["ndjson"] == rows["geojson"]
    for page, table in zip(rows["json"], rows["parquet"], strict=True):
        assert set(page) == set(table)
        for name, value in page.items():
            there = table[name]
            if hasattr(there, "isoformat"):
                there = there.isoformat().replace("+00:00", "Z")
            if name.endswith("_at"):
                assert pd.Timestamp(value) == pd.Timestamp(there)
            else:
                assert (name, there) == (name, value)
    table = list(csv.DictReader(io.StringIO(file(client, "/api/v1/pledges/?ordering=id&format=csv").decode())))
    assert [row["quantity"] for row in table] == ["12.5", "", "7"]
    assert [row["conditions"] for row in table] == [str(rows["json"][0]["conditions"][0]), "", ""]


def test_text_like_a_formula_is_disarmed_for_people_and_left_alone_for_programs(pledges):
    client = browser()
    armed, disarmed = ["=1+1", "é – ＝1", "-7"], ["'=1+1", "é – ＝1", "-7"]
    address = "/api/v1/pledges/?ordering=id&fields=what"
    for ending in ("csv", "hxl"):
        lines = list(csv.DictReader(io.StringIO(file(client, f"{address}&format={ending}").decode())))
        assert [line["what"] for line in lines][-3:] == disarmed
    book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(file(client, f"{address}&format=xlsx")))
    assert book.get_sheet_by_index(0).to_python() == [["what"], *([text] for text in disarmed)]
    for rows in in_each_format(client, address).values():
        assert [row["what"] for row in rows] == armed


def test_a_workbook_holds_numbers_days_and_no_formula(pledges):
    content = file(
        browser(), "/api/v1/pledges/?ordering=id&format=xlsx&fields=id,quantity,created_at,illustrative,what"
    )
    rows = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(content)).get_sheet_by_index(0).to_python()
    assert rows[0] == ["id", "quantity", "created_at", "illustrative", "what"]
    assert rows[1][1] == 12.5
    assert rows[2][1] == ""
    assert rows[1][2].year >= 2025
    assert rows[1][3] is False


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("ending", ["csv", "ndjson", "geojson", "xlsx", "parquet", "hxl"])
def test_every_list_has_every_format_even_when_it_is_empty(name, ending):
    answer = browser().get(f"/api/v1/{name}/?format={ending}&updated_since=2100-01-01T00:00Z")
    assert answer.status_code == 200
    assert f"{name}-" in answer.headers["Content-Disposition"]
    content = answer.getvalue()
    match ending:
        case "csv" | "hxl":
            assert content.decode().startswith(("id,", "code,"))
        case "geojson":
            assert json.loads(content) == {"type": "FeatureCollection", "features": []}
        case "parquet":
            assert pq.read_table(pa.BufferReader(content)).num_rows == 0
        case "ndjson":
            assert content == b""


@pytest.mark.parametrize("field", ["available_from", "quantity", "note", "last_confirmed_on"])
def test_one_column_without_values_is_a_file_too(field):
    with acting_as(SYSTEM):
        a_pledge(None, available_from=None)
        a_pledge(12, available_from=None)
    client = browser()
    page = client.get(f"/api/v1/pledges/?fields={field}&ordering=id").json()["results"]
    table = pq.read_table(pa.BufferReader(file(client, f"/api/v1/pledges/?fields={field}&format=parquet&ordering=id")))
    assert table.to_pylist() == page


def test_a_file_whose_rows_break_off_is_never_finished():
    def rows():
        yield b"1,2\n"
        raise ConnectionError("the database is gone")

    told = {"columns": [("id", "integer"), ("version", "integer")], "place": None}
    made = []
    with pytest.raises(ConnectionError):
        made.extend(renderers.by_child(renderers.PARQUET, told, rows()))
    with pytest.raises(pa.ArrowInvalid):
        pq.read_table(pa.BufferReader(b"".join(made)))


def test_a_file_whose_writer_dies_breaks_off_and_says_so(tmp_path):
    (tmp_path / "dies.py").write_text("import sys; sys.stdin.buffer.read(10); sys.exit(3)")
    with pytest.raises(ChildProcessError, match=r"dies\.py ended with 3"):
        list(renderers.by_child(tmp_path / "dies.py", {}, iter([b"1,2\n"] * 100_000)))


def test_a_file_is_written_in_row_groups_that_together_are_all_rows():
    told = {"columns": [("id", "integer"), ("what", "text")], "place": None}
    lines = [f'{number},"{"x" * 1000}"\n'.encode() for number in range(30_000)]
    made = b"".join(renderers.by_child(renderers.PARQUET, told, lines))
    read = pq.ParquetFile(pa.BufferReader(made))
    assert read.num_row_groups > 1
    assert read.read()["id"].to_pylist() == list(range(30_000))


def test_hxl_tags_are_well_formed():
    for name in LISTS:
        tags = file(browser(), f"/api/v1/{name}/?format=hxl").decode().splitlines()[1].split(",")
        for tag in tags:
            assert pd.Series([tag]).str.fullmatch(r"#[a-z][a-z0-9_]*(\+[a-z][a-z0-9_]*)*").all(), tag


def test_sectors_are_areas_in_geojson_and_in_geoparquet():
    with acting_as(SYSTEM):
        sector = a_sector()
    client = browser()
    [feature] = json.loads(file(client, f"/api/v1/sectors/?format=geojson&q={sector.name}"))["features"]
    assert feature["id"] == sector.code
    assert feature["geometry"] == sector.polygon
    assert "polygon" not in feature["properties"]
    table = pq.read_table(pa.BufferReader(file(client, f"/api/v1/sectors/?format=parquet&q={sector.name}")))
    assert json.loads(table.schema.metadata[b"geo"])["version"] == "1.1.0"
    [shape] = shapely.from_wkb(table["geometry"].to_pylist())
    assert shape.equals(shapely.geometry.shape(sector.polygon))


def test_fields_are_chosen_in_their_order_and_unknown_ones_are_named(pledges):
    client = browser(Role.ANALYST)
    assert client.get("/api/v1/pledges/?fields=what,id").json()["results"][0].keys() == {"what", "id"}
    assert file(client, "/api/v1/pledges/?fields=what,id&format=csv").decode().splitlines()[0] == "what,id"
    answer = client.get("/api/v1/conditions/?fields=title,probability,colour")
    assert answer.status_code == 400
    assert "probability, colour" in answer.json()["errors"]["fields"][0]
    assert "probability" not in answer.json()["errors"]["fields"][0].partition("Known are")[2]


def test_a_file_is_compressed_where_that_is_taken(pledges):
    client = browser()
    answer = client.get("/api/v1/pledges/?format=csv", headers={"Accept-Encoding": "br, gzip;q=0.8"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(answer.getvalue()) == file(client, "/api/v1/pledges/?format=csv")
    refused = client.get("/api/v1/pledges/?format=csv", headers={"Accept-Encoding": "gzip;q=0"})
    assert "Content-Encoding" not in refused.headers
    packed = client.get("/api/v1/pledges/?format=parquet", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in packed.headers


def test_an_unknown_format_is_answered_with_the_known_ones():
    answer = browser().get("/api/v1/pledges/?format=pdf")
    assert answer.status_code == 400
    assert "json, csv, ndjson, geojson, xlsx, parquet, hxl" in answer.json()["errors"]["format"][0]


# --- Later ------------------------------------------------------------------------------------------


def put_off(client: Client, address: str = "/api/v1/pledges/?ordering=id&format=csv") -> str:
    answer = client.get(address, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202, answer.content
    assert answer.headers["Preference-Applied"] == "respond-async"
    return answer.headers["Location"]


def test_a_file_asked_for_later_is_the_same_file(pledges):
    client = browser(Role.ANALYST)
    where = put_off(client)
    assert client.get(where).json()["state"] == "waiting"
    assert client.get(f"{where}file/").status_code == 404
    assert jobs.work(client.get(where).json()["id"])
    made = client.get(where).json()
    assert (made["state"], made["done"], made["total"]) == ("done", 2, 2)
    answer = client.get(made["file"])
    assert answer.headers["Content-Type"].startswith("text/csv")
    content = answer.getvalue()
    assert content == file(client, "/api/v1/pledges/?ordering=id&format=csv")
    assert int(answer.headers["Content-Length"]) == len(content)


def test_a_download_can_be_resumed(pledges):
    client = browser()
    where = put_off(client)
    jobs.work(where.split("/")[-2])
    whole = client.get(f"{where}file/")
    content, tag = whole.getvalue(), whole.headers["ETag"]
    rest = client.get(f"{where}file/", headers={"Range": "bytes=10-", "If-Range": tag})
    assert rest.status_code == 206
    assert rest.headers["Content-Range"] == f"bytes 10-{len(content) - 1}/{len(content)}"
    assert content[:10] + rest.getvalue() == content
    assert client.get(f"{where}file/", headers={"Range": "bytes=-5"}).getvalue() == content[-5:]
    assert client.get(f"{where}file/", headers={"Range": f"bytes={len(content)}-"}).status_code == 416
    assert client.get(f"{where}file/", headers={"Range": "bytes=10-", "If-Range": '"other"'}).status_code == 200


def test_a_worker_that_lost_its_job_leaves_the_file_of_the_next_one(pledges):
    job_id = put_off(browser(Role.ANALYST)).split("/")[-2]
    jobs.work(job_id)
    whole = exports.path_of(job_id).read_bytes()
    with acting_as(SYSTEM):
        job = Job.objects.select_related("user__membership").get(pk=job_id)
    late = jobs.Work(job.pk, job.kind, 0, job.user, job.arguments, is_lost=True)
    with pytest.raises(jobs.JobLost):
        exports.make(late)
    assert exports.path_of(job_id).read_bytes() == whole
    assert len(list(exports.folder().glob(f"{job_id}*"))) == 1


def test_a_file_is_its_owners_alone(pledges):
    client = browser(Role.ANALYST)
    where = put_off(client)
    jobs.work(where.split("/")[-2])
    for other in (browser(Role.ADMINISTRATOR), browser(Role.ANALYST)):
        assert other.get(where).status_code == 404
        assert other.get(f"{where}file/").status_code == 404
        assert other.get("/api/v1/exports/").json()["results"] == []
    assert Client().get(f"{where}file/").status_code == 401


def test_a_file_is_not_given_out_after_a_row_of_it_was_hidden(pledges):
    with acting_as(SYSTEM):
        shown, own = a_pledge(1, nation="GB"), a_pledge(1, nation="FR")
    analyst, planner, officer = browser(Role.ANALYST), browser(Role.PLANNER), browser(Role.OFFICER, "GB")
    wheres = {client: put_off(client) for client in (analyst, planner, officer)}
    for where in wheres.values():
        jobs.work(where.split("/")[-2])
    with acting_as(SYSTEM):
        shown.tier = Tier.PLANNING
        shown.save()
    seen = {client: client.get(f"{where}file/").status_code for client, where in wheres.items()}
    assert seen == {analyst: 404, planner: 200, officer: 200}
    with acting_as(SYSTEM):
        own.delete()
    assert officer.get(f"{wheres[officer]}file/").status_code == 404


def test_a_file_is_not_given_out_when_its_owner_has_another_role_by_now(pledges):
    client = browser(Role.PLANNER)
    where = put_off(client)
    jobs.work(where.split("/")[-2])
    assert client.get(f"{where}file/").status_code == 200
    with acting_as(SYSTEM):
        job = Job.objects.get(pk=where.split("/")[-2])
        job.user.membership.role = Role.ANALYST
        job.user.membership.save()
    assert client.get(f"{where}file/").status_code == 404


def test_the_same_list_asked_for_twice_is_one_job_and_there_is_an_end_to_them():
    client = browser()
    assert put_off(client) == put_off(client)
    for number in range(exports.MOST_WAITING - 1):
        put_off(client, f"/api/v1/pledges/?format=csv&q={number}")
    refused = client.get("/api/v1/pledges/?format=csv&q=more", headers={"Prefer": "respond-async"})
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_exports")


def test_a_list_that_is_too_long_becomes_a_job_and_a_browser_is_sent_to_its_page(pledges, monkeypatch):
    monkeypatch.setattr("coalition.renderers.XLSXExport.at_once", 2)
    client = browser()
    assert client.get("/api/v1/pledges/?format=xlsx").status_code == 202
    answer = client.get("/api/v1/pledges/?format=xlsx", headers={"Accept": "text/html,*/*"})
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/jobs/")
    assert client.get("/api/v1/pledges/?format=xlsx&q=lines").status_code == 200


def test_files_are_thrown_away_after_a_day(pledges):
    client = browser()
    where = put_off(client)
    job_id = where.split("/")[-2]
    jobs.work(job_id)
    [path] = exports.folder().glob(f"{job_id}*")
    with acting_as(SYSTEM):
        exports.throw_away()
        assert path.exists()
        job = Job.objects.get(pk=job_id)
        job.finished_at -= exports.KEEP * 2
        job.save()
    assert client.get(f"{where}file/").status_code == 404
    with acting_as(SYSTEM):
        exports.throw_away()
    assert not path.exists()
