"""Reports over the API: filed once, changed on a version, filtered without a leak, and read in every format."""

import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections
from django.test import Client

from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.models import ApiToken
from monitoring import placing
from monitoring.models import Evidence, Report, Source
from tests.factories import a_member, a_party, a_report, a_sector, a_source, an_incident, the_operation

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452") + bytes(60)
ADDRESS = "/api/v1/reports/"
NEW = {"source": "patrol-1", "kind": "explosion", "occurred_on": "2025-03-20", "time": "14:30"}


def the_world() -> None:
    with acting_as(SYSTEM):
        the_operation()
        a_source(reliability="B")
        a_party("ru"), a_party("ua")


@pytest.fixture
def _world(db, settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path
    the_world()


class Program:
    """A client with a token."""

    def __init__(self, role: str = Role.MONITOR, scope: str = ApiToken.Scope.FILE_REPORTS):
        self.user = a_member(role)
        _, self.token = ApiToken.objects.create(user=self.user, scope=scope)
        self.client = Client()

    def ask(self, method: str, address: str = "", body=None, **headers):
        sent = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        call = getattr(self.client, method)
        names = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
        return call(ADDRESS + address, HTTP_AUTHORIZATION=f"Token {self.token}", **sent, **names)

    def get(self, address: str = "", **headers):
        return self.ask("get", address, **headers)

    def post(self, body, address: str = "", **headers):
        return self.ask("post", address, body, **headers)

    def upload(self, address: str, content: bytes, name: str = "a.png"):
        file = SimpleUploadedFile(name, content)
        return self.client.post(ADDRESS + address, {"file": file}, HTTP_AUTHORIZATION=f"Token {self.token}")


def ids(answer) -> list[int]:
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


def at(day: int, hour: int = 12) -> datetime:
    return datetime(2025, 3, day, hour, tzinfo=UTC)


def placed(longitude: float, latitude: float, **fields) -> Report:
    with acting_as(SYSTEM):
        report = a_report(longitude=longitude, latitude=latitude, place_precision_m=50, **fields)
        placing.place(report)
        report.save()
        return report


# --- Writing ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("_world")
def test_a_program_files_a_report_and_gets_it_with_its_version():
    answer = Program().post({**NEW, "place": "48.4567, 35.2345", "count_text": "30-35", "accused": "ru"})
    assert answer.status_code == 201, answer.content
    row = answer.json()
    assert (row["source"], row["reliability"], row["accused"], row["accuser"]) == ("patrol-1", "B", "ru", None)
    assert (row["count_low"], row["count_high"], row["killed"]) == (30, 35, None)
    assert (row["occurred_from"], row["occurred_on"]) == ("2025-03-20T12:30:00Z", "2025-03-20")
    assert answer.headers["Location"] == f"{ADDRESS}{row['id']}/"
    assert answer.headers["ETag"] == f'"report-{row["id"]}-v1"'


@pytest.mark.usefixtures("_world")
@pytest.mark.parametrize("role", list(Role))
def test_who_may_file_and_with_which_token(role):
    may = role in (Role.MONITOR, Role.PLANNER, Role.ADMINISTRATOR)
    assert Program(role).post(NEW).status_code == (201 if may else 403)
    assert Program(role, ApiToken.Scope.READ).post(NEW).status_code == 403
    assert Program(role, ApiToken.Scope.LOG_PLEDGES).post(NEW).status_code == 403
    assert Program(role, ApiToken.Scope.READ).get().status_code == 200


@pytest.mark.usefixtures("_world")
def test_a_doubt_says_how_it_is_confirmed():
    program = Program()
    asked = program.post({**NEW, "place": "10.5, -66.9"})
    assert asked.status_code == 400
    assert "outside_theatre" in asked.json()["errors"]["confirmed"][0]
    assert "place" in asked.json()["errors"]
    assert program.post({**NEW, "place": "10.5, -66.9", "confirmed": ["outside_theatre"]}).status_code == 201


@pytest.mark.usefixtures("_world")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", "corroborated"),
        ("cell", 1),
        ("coalition_longitude", 3.0),
        ("source", "nobody"),
        ("source", ["patrol-1"]),
        ("occurred_on", "2025-02-30"),
        ("occurred_from", "0001-01-01T00:00:00+14:00"),
        ("longitude", "NaN"),
        ("place_precision_m", "Infinity"),
        ("count_low", -1),
        ("killed", 10**30),
        ("narrative", "a\u0000b"),
        ("weapon", "\ud800"),
        ("confirmed", "outside_theatre"),
        ("tier", "planning"),
        ("kind", "thunder"),
    ],
)
def test_bad_input_is_a_400_that_names_the_field(field, value):
    answer = Program().post({**NEW, field: value})
    assert answer.status_code == 400, answer.content
    assert answer.json()["type"] == "validation_error"
    with acting_as(SYSTEM):
        assert not Report.objects.exists()


@pytest.mark.usefixtures("_world")
def test_a_change_needs_the_version_and_a_stale_one_is_told_the_present():
    program = Program()
    made = program.post(NEW)
    address = f"{made.json()['id']}/"
    assert program.ask("patch", address, {"weapon": "D-30"}).status_code == 428
    changed = program.ask("patch", address, {"weapon": "D-30"}, if_match=made.headers["ETag"])
    assert (changed.status_code, changed.json()["weapon"]) == (200, "D-30")
    stale = program.ask("patch", address, {"weapon": "2S1"}, if_match=made.headers["ETag"])
    assert stale.status_code == 412
    assert stale.headers["ETag"] == changed.headers["ETag"]
    back = program.ask("post", f"{address}take-back/", if_match=changed.headers["ETag"])
    assert (back.status_code, back.json()["weapon"]) == (200, "")


@pytest.mark.usefixtures("_world")
def test_sent_twice_under_one_key_is_filed_once():
    program = Program()
    answers = [program.post(NEW, idempotency_key="k") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["Idempotency-Replayed"] == "true"
    assert program.post({**NEW, "weapon": "D-30"}, idempotency_key="k").status_code == 422
    with acting_as(SYSTEM):
        assert Report.objects.count() == 1


@pytest.mark.usefixtures("committed")
def test_fifty_at_once_under_one_key_are_one_report():
    the_world()
    program = Program()

    def send(_) -> tuple[int, int]:
        try:
            answer = Client().post(
                ADDRESS,
                json.dumps(NEW),
                content_type="application/json",
                HTTP_AUTHORIZATION=f"Token {program.token}",
                HTTP_IDEMPOTENCY_KEY="over-a-bad-line",
            )
            return answer.status_code, answer.json().get("id")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(send, range(50)))
    assert len(set(answers)) == 1
    assert answers[0][0] == 201
    with acting_as(SYSTEM):
        assert Report.objects.count() == 1


# --- Reading ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("_world")
def test_filters_select_what_they_say():
    with acting_as(SYSTEM):
        media = a_source("press", source_class=Source.Class.MEDIA)
        incident = an_incident(occurrence="corroborated")
        sector = a_sector("east", polygon=box(36, 48, 38, 49))
        buffer = a_sector("buffer", kind="buffer_zone", polygon=box(37, 48, 38, 49))
    east = placed(36.5, 48.5, kind="mortar", at=at(20), accused=a_party("ru"), reliability="B", credibility=2)
    zone = placed(37.5, 48.5, kind="jamming", at=at(21), source=media, reliability="E", incident=incident)
    west = placed(30.5, 50.4, at=at(22), accuser=a_party("ua"), dataset="own", external_id="7", weapon="D-30")
    program = Program()
    for query, found in {
        "": [west, zone, east],
        "ordering=occurred_from": [east, zone, west],
        "occurred_after=2025-03-21": [west, zone],
        "occurred_before=2025-03-21": [zone, east],
        "occurred_after=2025-03-21T12:00:00Z&occurred_before=2025-03-22T12:00:00Z": [zone],
        "bbox=36,48,37,49": [east],
        f"sector={sector.code}": [zone, east],
        f"sector={buffer.code}": [zone],
        "kind=mortar&kind=jamming": [zone, east],
        "family=air": [zone],
        "family=fire": [west, east],
        "accused=ru": [east],
        "accuser=ua": [west],
        "occurrence=corroborated": [zone],
        "occurrence=received": [west, east],
        "min_reliability=C": [east],
        "min_reliability=F": [west, zone, east],
        "max_credibility=3": [east],
        "source_class=media": [zone],
        "source=press": [zone],
        "dataset=own&external_id=7": [west],
        "q=d-30": [west],
        f"q=V{zone.pk}": [zone],
        "q=nothing+of+that": [],
        f"incident={incident.pk}": [zone],
    }.items():
        assert ids(program.get(f"?{query}")) == [report.pk for report in found], query


def box(west: float, south: float, east: float, north: float) -> dict:
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


@pytest.mark.usefixtures("_world")
def test_a_day_is_the_day_as_stated_in_every_zone():
    """Told as "20 March", it lies between 19 March 22:00 and 20 March 22:00 UTC, and is the 20th everywhere."""
    program = Program()
    made = program.post({**NEW, "time": ""}).json()
    assert (made["occurred_from"][:10], made["occurred_on"]) == ("2025-03-19", "2025-03-20")
    assert ids(program.get("?occurred_after=2025-03-20&occurred_before=2025-03-20")) == [made["id"]]
    assert ids(program.get("?occurred_before=2025-03-19")) == []


@pytest.mark.usefixtures("_world")
@pytest.mark.parametrize(
    "query",
    [
        "bogus=1",
        "bbox=1,2,3",
        "bbox=a,b,c,d",
        "bbox=nan,0,1,1",
        "bbox=1e400,0,1,1",
        "bbox=10,0,5,1",
        "bbox=0,5,1,4",
        "bbox=-181,0,1,1",
        "kind=thunder",
        "sector=nowhere",
        "accused=nobody",
        "occurred_after=yesterday",
        "occurred_after=0001-01-01",
        "occurred_after=2025-03-20&occurred_after=2025-03-21",
        "min_reliability=Z",
        "max_credibility=9",
        "incident=999999",
        "incident=99999999999999999999999",
        "q=a%00b",
        "format=kml",
        "ordering=narrative",
        "fields=coalition_longitude",
    ],
)
def test_a_parameter_that_is_unknown_or_cannot_be_read_is_a_400(query):
    answer = Program().get(f"?{query}")
    assert answer.status_code == 400, answer.content
    assert answer.json()["errors"]


@pytest.mark.usefixtures("_world")
def test_each_tier_gets_the_place_it_may_see_in_every_format():
    report = placed(35.86543, 48.52468, sensitive=True, place_name="Pavlohrad", at=at(20))
    monitor, planner = Program(), Program(Role.PLANNER)
    for form in ("json", "csv", "geojson", "ndjson", "hxl"):
        seen = {who: body(program.get(f"?format={form}")) for who, program in (("m", monitor), ("p", planner))}
        assert "48.52468" in seen["p"], form
        assert "Pavlohrad" in seen["p"], form
        assert "48.52468" not in seen["m"], form
        assert "Pavlohrad" not in seen["m"], form
    row = monitor.get(f"{report.pk}/").json()
    assert row["longitude"] == pytest.approx(35.86543, abs=0.02)
    assert row["place_precision_m"] > 1000
    near = "35.865,48.524,35.866,48.525"
    assert ids(monitor.get(f"?bbox={near}")) == []
    assert ids(planner.get(f"?bbox={near}")) == [report.pk]
    assert ids(monitor.get("?q=Pavlohrad")) == []


def body(answer) -> str:
    assert answer.status_code == 200
    return (b"".join(answer.streaming_content) if answer.streaming else answer.content).decode()


@pytest.mark.usefixtures("_world")
def test_a_report_one_may_not_see_is_nowhere():
    hidden = placed(35.86543, 48.52468, tier=Tier.PLANNING, at=at(20), weapon="secret-weapon")
    shown = placed(35.86543, 48.52468, duplicate_of=hidden, at=at(20))
    program = Program()
    assert ids(program.get()) == [shown.pk]
    assert program.get(f"{shown.pk}/").json()["duplicate_of"] is None
    for method, address in (
        ("get", ""),
        ("patch", ""),
        ("get", "evidence/"),
        ("get", "evidence/1/"),
        ("post", "take-back/"),
    ):
        assert program.ask(method, f"{hidden.pk}/{address}", {} if method == "patch" else None).status_code == 404
    assert "secret-weapon" not in body(program.get("?format=csv"))


@pytest.mark.usefixtures("_world")
def test_a_hidden_incident_leaves_the_report_its_own_status():
    with acting_as(SYSTEM):
        incident = an_incident(tier=Tier.PLANNING, occurrence="corroborated")
    report = placed(35, 48, incident=incident, at=at(20))
    row = Program().get(f"{report.pk}/").json()
    assert (row["incident"], row["occurrence"]) == (None, "received")
    assert ids(Program().get("?occurrence=corroborated")) == []
    assert Program().get(f"?incident={incident.pk}").status_code == 400
    seen = Program(Role.PLANNER).get(f"{report.pk}/").json()
    assert (seen["incident"], seen["occurrence"]) == (incident.pk, "corroborated")


@pytest.mark.usefixtures("_world")
def test_csv_disarms_formulas_and_hxl_has_its_tags_under_the_header():
    program = Program()
    program.post({**NEW, "weapon": "=HYPERLINK(1)"})
    [row] = csv.DictReader(io.StringIO(body(program.get("?format=csv"))))
    assert row["weapon"] == "'=HYPERLINK(1)"
    assert row["killed"] == ""
    lines = list(csv.reader(io.StringIO(body(program.get("?format=hxl")))))
    tags = dict(zip(*lines[:2], strict=True))
    assert (tags["id"], tags["kind"], tags["accused"]) == ("#event+id", "#event+type", "#group+name+accused")
    assert (tags["latitude"], tags["killed"]) == ("#geo+lat", "#affected+killed")


@pytest.mark.usefixtures("_world")
def test_geojson_has_longitude_first_and_null_where_there_is_no_place():
    program = Program()
    program.post({**NEW, "place": "48.4567, 35.2345"})
    program.post(NEW)
    features = json.loads(body(program.get("?format=geojson")))["features"]
    assert sorted((feature["geometry"] or {}).get("coordinates", []) for feature in features) == [
        [],
        [35.2345, 48.4567],
    ]


@pytest.mark.usefixtures("_world")
def test_pages_go_on_by_cursor_and_keep_their_filters():
    for minute in range(7):
        with acting_as(SYSTEM):
            a_report(at=datetime(2025, 3, 20, 12, minute, tzinfo=UTC))
    program, found, address = Program(), [], "?limit=3&kind=explosion"
    while address:
        answer = program.get(address).json()
        found += [row["id"] for row in answer["results"]]
        address = answer["next"] and "?" + answer["next"].partition("?")[2]
    assert len(found) == len(set(found)) == 7


# --- Files --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_world")
def test_a_file_goes_up_and_comes_down_as_it_was():
    program = Program()
    report = program.post(NEW).json()["id"]
    sent = program.upload(f"{report}/evidence/", PNG, "crater.png")
    assert sent.status_code == 201, sent.content
    assert (sent.json()["content_type"], sent.json()["size"]) == ("image/png", len(PNG))
    [listed] = program.get(f"{report}/evidence/").json()["results"]
    assert listed == sent.json()
    reader = Program(Role.ANALYST, ApiToken.Scope.READ)
    file = reader.get(f"{report}/evidence/{listed['id']}/", accept="image/*")
    assert b"".join(file.streaming_content) == PNG
    assert file.headers["Content-Disposition"] == 'attachment; filename="crater.png"'
    assert file.headers["X-Content-Type-Options"] == "nosniff"
    assert reader.upload(f"{report}/evidence/", PNG).status_code == 403


@pytest.mark.usefixtures("_world")
def test_a_file_that_could_run_is_a_400_and_no_file_at_all_too():
    program = Program()
    report = program.post(NEW).json()["id"]
    assert program.upload(f"{report}/evidence/", b"<svg onload=alert(1)>").status_code == 400
    assert program.post({}, f"{report}/evidence/").status_code == 415
    with acting_as(SYSTEM):
        assert not Evidence.objects.exists()


# --- Parties and sources ------------------------------------------------------------------------


@pytest.mark.usefixtures("_world")
def test_parties_and_sources_are_read_by_every_member():
    program = Program(Role.OFFICER, ApiToken.Scope.READ)
    told = {"HTTP_AUTHORIZATION": f"Token {program.token}"}
    assert [row["code"] for row in Client().get("/api/v1/parties/", **told).json()["results"]] == ["ru", "ua"]
    [source] = Client().get("/api/v1/sources/?source_class=monitors", **told).json()["results"]
    assert (source["code"], source["reliability"], source["party"]) == ("patrol-1", "B", None)
    assert Client().get("/api/v1/sources/patrol-1/", **told).status_code == 200
    assert Client().post("/api/v1/parties/", **told).status_code in (403, 405)
