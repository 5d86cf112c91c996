"""Bad input to the API: always a 4xx in the one error shape that names what is wrong, never a fault of ours."""

import json
import tracemalloc

import pytest
from django.conf import settings
from django.test import Client

from coalition.access import SYSTEM, Role, acting_as
from coalition.api_urls import router
from coalition.models import ApiToken
from tests.factories import a_capability, a_member, a_nation, a_party, a_pledge, a_requirement, a_source, the_operation

pytestmark = pytest.mark.django_db

PLEDGES, REPORTS, WHAT_IF = "/api/v1/pledges/", "/api/v1/reports/", "/api/v1/readiness/what-if/"
JSON = "application/json"
LISTS = [f"/api/v1/{name}/" for name, _, _ in router.registry]


@pytest.fixture
def planner() -> Client:
    with acting_as(SYSTEM):
        the_operation(), a_nation("FR"), a_capability()
        client = Client(raise_request_exception=False)
        client.force_login(a_member(Role.PLANNER))
    return client


def refused(answer) -> dict:
    """Return the body of a refusal, which has the one shape."""
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.content[:300])
    assert answer.headers["Content-Type"] == JSON
    body = answer.json()
    assert set(body) == {"type", "code", "detail", "errors"}
    assert answer.headers["X-Request-ID"]
    return body


def post(client: Client, address: str, body: bytes | str | dict, content_type: str = JSON, **headers):
    data = json.dumps(body) if isinstance(body, dict) else body
    return client.generic("POST", address, data, content_type=content_type, headers=headers)


# --- Addresses --------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", [*LISTS, "/api/v1/changes/", "/ogc/collections/reports/items", "/ogc/"])
def test_what_a_list_does_not_know_is_named_with_what_it_knows(planner, address):
    body = refused(planner.get(f"{address}?colour=red"))
    assert "Known are: " in body["errors"]["colour"][0]


@pytest.mark.parametrize("address", [PLEDGES, REPORTS, "/api/v1/sectors/", "/ogc/collections/reports/items"])
def test_fields_that_are_not_there_are_named_with_those_that_are(planner, address):
    [sentence] = refused(planner.get(f"{address}?fields=version,colour"))["errors"]["fields"]
    assert sentence.startswith("Not known: colour. Known are ")
    assert "version" in sentence


LONG = "x" * 100_000
ODD = {
    "limit": ["1e9", "1000000000", "-1", "0", "²", "1.5", "9" * 5000, "NaN", "%00", "", " 5"],
    "cursor": ["abc", "%00", "a:b:c", "%ED%A0%80", "9" * 5000, LONG],
    "ordering": ["note", "--id", "%00", "id,id", LONG],
    "fields": ["", ",", "id,,id", "%00", LONG],
    "format": ["pdf", "%00", "CSV", LONG],
}
BOXES = ["170,-10,-170,10", "NaN,0,1,1", "inf,0,1,1", "0,10,1,-10", "1,2,3", "1,2,3,4,5", "-181,0,1,1", "0,-91,1,1",
         "1e999,0,1,1", "a,b,c,d", "%00", ",,,", LONG]  # fmt: skip
INSTANTS = ["yesterday", "2027-02-30T00:00:00Z", "0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00", "%00"]


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in ODD.items() for value in values])
def test_a_list_refuses_what_it_cannot_read(planner, name, value):
    assert refused(planner.get(f"{PLEDGES}?{name}={value}"))["errors"].keys() == {name}


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("address", [REPORTS, "/api/v1/reports/hexes/", "/ogc/collections/sectors/items"])
def test_a_box_that_is_none_is_refused(planner, address, box):
    assert "bbox" in refused(planner.get(f"{address}?bbox={box}"))["errors"]


@pytest.mark.parametrize("value", INSTANTS)
@pytest.mark.parametrize("name", ["updated_since", "occurred_after"])
def test_an_instant_that_is_none_is_refused(planner, name, value):
    assert name in refused(planner.get(f"{REPORTS}?{name}={value}"))["errors"]


@pytest.mark.parametrize("offset", ["-18:52", "%2B15:59", "Z", ""])
def test_an_instant_may_come_with_any_offset(planner, offset):
    assert planner.get(f"{PLEDGES}?updated_since=2027-03-01T12:00:00{offset}").status_code == 200


def test_a_cursor_goes_on_only_with_its_own_query_and_unchanged(planner):
    with acting_as(SYSTEM):
        a_pledge(), a_pledge()
    link = planner.get(f"{PLEDGES}?limit=1").json()["next"]
    cursor = link.partition("cursor=")[2].partition("&")[0]
    for address in (
        link.replace(cursor, cursor[:-3]),
        f"{link}&tier=public",
        f"{link}&ordering=-id",
        link.replace(PLEDGES, "/api/v1/requirements/"),
        link.replace("cursor=", "cursor=x"),
    ):
        assert "cursor" in refused(planner.get(address))["errors"], address
    assert planner.get(link).status_code == 200
    feed = planner.get("/api/v1/changes/?limit=1").json()["next"]
    cursor = feed.partition("cursor=")[2].partition("&")[0]
    assert "cursor" in refused(planner.get(feed.replace(cursor, cursor[:-3])))["errors"]


@pytest.mark.parametrize("address", LISTS)
def test_bytes_that_are_no_text_are_refused_in_any_address(planner, address):
    for query in ("%FF%FE=1", "format=%ED%A0%80", "fields=%FF"):
        refused(planner.get(f"{address}?{query}"))
    refused(planner.get(f"{address}%FF/"))
    refused(planner.get(f"{address}%00/"))


# --- Who asks ---------------------------------------------------------------------------------------


def test_a_token_that_was_changed_opens_nothing():
    with acting_as(SYSTEM):
        _, secret = ApiToken.objects.create(a_member(Role.PLANNER))
    other = "0" if secret[-1] != "0" else "1"
    for value in (
        f"Token {secret[:-1]}{other}",
        f"Token {secret}{other}",
        f"Token {secret} {secret}",
        f"Token {secret[:-1]}\0",
        "Token \xff\xfe",
        f"Token {LONG}",
        "Token",
    ):
        assert refused(Client().get(PLEDGES, HTTP_AUTHORIZATION=value))
    assert Client().get(PLEDGES, HTTP_AUTHORIZATION=f"Token {secret}").status_code == 200


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("Accept", "\xff\xfe", 406),
        ("Accept", "x" * 9000, 406),
        ("Accept", "image/png", 406),
        ("X-Request-ID", "\xff" * 20, 200),
        ("Prefer", "\xff\0", 200),
        ("Accept-Encoding", "\xff;q=x", 200),
    ],
)
def test_headers_that_make_no_sense(planner, header, value, status):
    answer = planner.get(PLEDGES, headers={header: value})
    assert answer.status_code == status
    if status >= 400:
        refused(answer)


@pytest.mark.parametrize("key", ["", " ", "x" * 201, "a\0b"])
def test_an_idempotency_key_that_is_none(planner, key):
    body = {"nation": "FR", "capability": "infantry", "what": "Men"}
    answer = post(planner, PLEDGES, body, **{"Idempotency-Key": key})
    assert (answer.status_code, refused(answer)["code"]) == (400, "key_malformed")


# --- Bodies -----------------------------------------------------------------------------------------

HUGE = settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1
NEW = b'{"nation": "FR", "capability": "infantry", "what": "Men"'
TWICE = {"what": ["Given more than once."]}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "required"),
        (b"{", "not JSON"),
        (b"nonsense", "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (NEW + b', "note": "\xff\xfe"}', "not JSON"),
        (NEW + b', "quantity": NaN}', "NaN"),
        (NEW + b', "quantity": -Infinity}', "Infinity"),
        (NEW + b', "quantity": 1e400}', "quantity"),
        (NEW + b', "quantity": ' + b"9" * 5000 + b"}", "not JSON"),
        (NEW + b', "quantity": ' + b"9" * 400 + b"}", "quantity"),
        (NEW + b', "notice_days": ' + b"9" * 30 + b"}", "notice_days"),
        (NEW + b', "requirement": ' + b"9" * 30 + b"}", "requirement"),
        (NEW + b', "note": "a\\u0000b"}', "note"),
        (NEW + b', "note": "\\ud800"}', "note"),
        (NEW + b', "what": "Women"}', "Given more than once"),
        (NEW + b', "caveats": [{"kind": "time", "kind": "time"}]}', "Given more than once"),
        (NEW + b', "colour": "red"}', "colour"),
        (NEW + b', "caveats": [{"kind": "time", "text": "x", "colour": "red"}]}', "caveats.0.colour"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"[]", "dictionary"),
        (b"null", "No data"),
        (b'"text"', "dictionary"),
        (b"3", "dictionary"),
    ],
)
def test_a_body_that_cannot_be_read_or_is_not_known_is_refused(planner, body, says):
    answer = post(planner, PLEDGES, body)
    said = refused(answer)
    assert answer.status_code == 400
    assert says in json.dumps(said), said


@pytest.mark.parametrize("body", ["[" * 500 + "]" * 500, '{"a": ' * 500 + "1" + "}" * 500])
def test_deep_json_that_can_be_read_is_still_no_pledge(planner, body):
    refused(post(planner, PLEDGES, body))


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "x",
        "\xff",
    ],
)
def test_a_body_of_another_media_type_is_415(planner, content_type):
    answer = post(planner, PLEDGES, "what=Men", content_type)
    assert (answer.status_code, refused(answer)["code"]) == (415, "unsupported_media_type")


def test_a_body_is_never_unpacked_by_its_charset(planner):
    for charset in ("bz2_codec", "zlib_codec", "rot13"):
        refused(post(planner, PLEDGES, NEW + b"}", f"{JSON}; charset={charset}"))
    for charset in ("nonsense", "\xff"):  # JSON is UTF-8 whatever is said about it
        assert post(planner, PLEDGES, NEW + b"}", f"{JSON}; charset={charset}").status_code == 201


def test_a_file_is_not_taken_as_json_nor_json_as_a_file(planner):
    with acting_as(SYSTEM):
        source = a_source()
    pk = post(planner, REPORTS, {"source": source.code, "occurred_on": "2025-03-20"}).json()["id"]
    address = f"{REPORTS}{pk}/evidence/"
    assert post(planner, address, {"file": "x"}).status_code == 415
    for body in (b"", b"--x\r\n", b"--x\r\nContent-Disposition: form-data; name=file\r\n\r\nabc\r\n--x--"):
        refused(post(planner, address, body, "multipart/form-data; boundary=x"))
    for content_type in ("multipart/form-data", "multipart/form-data; boundary=\xff", "multipart/form-data; boundary="):
        refused(post(planner, address, b"--x--", content_type))


class Untouched:
    """A body that nobody may read."""

    def read(self, *_):
        raise AssertionError("The body was read.")

    readline = read


@pytest.mark.parametrize("content_type", [JSON, "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
@pytest.mark.parametrize("address", [PLEDGES, WHAT_IF, "/api/v1/nations/FR/"])
def test_a_body_that_is_too_large_is_refused_by_its_size_alone(planner, address, content_type):
    planner.handler.enforce_csrf_checks = True  # it is the look for a token that would read a form
    method = "PATCH" if address.endswith("FR/") else "POST"
    for size in (HUGE, 50_000_000, 10**18):
        answer = planner.generic(
            method, address, b"", content_type, **{"CONTENT_LENGTH": str(size), "wsgi.input": Untouched()}
        )
        assert (answer.status_code, refused(answer)["code"]) == (413, "too_large")


def test_a_body_that_is_too_large_takes_no_memory(planner):
    body = b'{"note": "' + b"x" * 50_000_000 + b'"}'
    tracemalloc.start()
    try:
        refused(post(planner, PLEDGES, b"{}"))
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        answer = planner.generic("POST", PLEDGES, body, JSON)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert answer.status_code == 413
    assert peak < len(body) + 5_000_000  # the test's own client copies it once


def test_a_body_in_chunks_is_not_taken_for_an_empty_one(planner):
    answer = planner.generic("PATCH", "/api/v1/nations/FR/", b"", JSON, HTTP_TRANSFER_ENCODING="chunked")
    assert (answer.status_code, refused(answer)["code"]) == (411, "length_required")


@pytest.mark.parametrize(
    ("address", "body"),
    [
        (WHAT_IF, {"conditions": {"x": "met"}}),
        (WHAT_IF, {"conditions": {"9" * 30: "met"}}),
        (WHAT_IF, {"probabilities": {"1": 1e308}}),
        (WHAT_IF, {"withdrawn": [10**30]}),
        (WHAT_IF, {"slipped": {"\0": 1}}),
        (WHAT_IF, {"nations_out": ["\0\0"]}),
        (WHAT_IF, {"certainties": {"lost": 1}}),
        (WHAT_IF, {"on": "10000-01-01"}),
        ("/api/v1/allocations/", {"pledge": 10**30, "requirement": 1, "quantity": 1}),
        ("/api/v1/allocations/", {"pledge": 1, "requirement": 1, "quantity": "NaN"}),
        ("/api/v1/incidents/", {"reports": [{"id": 10**30, "version": 1}]}),
        ("/api/v1/incidents/", {"reports": [{"id": 1, "version": 10**30}]}),
        ("/api/v1/incidents/", {"reports": [{"id": 1, "version": 1, "colour": "red"}]}),
        ("/api/v1/incidents/", {"reports": [1]}),
        (REPORTS, {"source": "\0"}),
        (REPORTS, {"source": "x", "occurred_from": "0001-01-01T00:00:00+14:00"}),
        (REPORTS, {"source": "x", "longitude": 1e308, "latitude": 0}),
        ("/api/v1/provisions/", {"agreement": "\0", "article": "1"}),
        ("/api/v1/terms/", {"provision": 10**30}),
    ],
)
def test_bodies_that_name_what_cannot_be(planner, address, body):
    with acting_as(SYSTEM):
        a_requirement(), a_party("ua")
    refused(post(planner, address, body))
