"""The map collections follow the standard and show what a person may see, and nothing else."""

import json
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test import Client
from drf_spectacular.validation import validate_schema

from coalition import ogc
from coalition.access import SYSTEM, Role, acting_as
from coalition.api_urls import COLLECTIONS
from tests.factories import a_member, a_sector

pytestmark = pytest.mark.django_db
SQUARE = {"type": "Polygon", "coordinates": [[[36, 48], [37, 48], [37, 49], [36, 49], [36, 48]]]}
NAMES = [collection.name for collection in COLLECTIONS]


@pytest.fixture
def client() -> Client:
    client = Client(raise_request_exception=False)
    with acting_as(SYSTEM):
        client.force_login(a_member(Role.ANALYST))
    return client


def ids(client: Client, address: str) -> list[str]:
    """Return the ids of all pages of features."""
    found = []
    while address:
        answer = client.get(address)
        assert answer.status_code == 200, answer.content
        assert answer.headers["Content-Type"] == "application/geo+json"
        body = answer.json()
        assert body["numberReturned"] == len(body["features"])
        found += [feature["id"] for feature in body["features"]]
        address = next((link["href"] for link in body["links"] if link["rel"] == "next"), None)
    return found


def links(body: dict) -> dict[str, str]:
    return {link["rel"]: link["href"] for link in body["links"]}


def test_everything_is_found_from_the_landing_page(client):
    landing = client.get("/ogc/").json()
    assert {"self", "alternate", "service-desc", "service-doc", "conformance", "data"} <= links(landing).keys()
    for rel in ("service-desc", "service-doc", "conformance", "data"):
        assert client.get(links(landing)[rel]).status_code == 200
    assert set(client.get(links(landing)["conformance"]).json()["conformsTo"]) == set(ogc.CONFORMS_TO)
    collections = client.get(links(landing)["data"]).json()["collections"]
    assert [each["id"] for each in collections] == NAMES
    for each in collections:
        assert client.get(links(each)["self"]).json()["id"] == each["id"]


def test_its_description_is_valid_openapi_30(client):
    answer = client.get("/ogc/api")
    assert answer.headers["Content-Type"].startswith("application/vnd.oai.openapi+json")
    body = answer.json()
    validate_schema(body)
    assert body["openapi"].startswith("3.0")
    for name in NAMES:
        assert f"/collections/{name}/items" in body["paths"]


def test_every_feature_comes_once_over_all_pages(client):
    with acting_as(SYSTEM):
        made = {a_sector(code=f"X{number}", polygon=SQUARE, kind="buffer_zone").code for number in range(7)}
    found = ids(client, "/ogc/collections/sectors/items?limit=2")
    assert len(found) == len(set(found))
    assert made <= set(found)


def test_a_box_keeps_what_touches_it(client):
    with acting_as(SYSTEM):
        code = a_sector(code="X1", polygon=SQUARE, kind="buffer_zone").code
    assert code in ids(client, "/ogc/collections/sectors/items?bbox=36.5,48.5,40,50")
    assert code in ids(client, "/ogc/collections/sectors/items?bbox=36.5,48.5,0,40,50,100")
    assert code not in ids(client, "/ogc/collections/sectors/items?bbox=10,10,20,20")


def test_one_feature_is_as_in_the_list(client):
    with acting_as(SYSTEM):
        code = a_sector(code="X1", polygon=SQUARE, kind="buffer_zone").code
    one = client.get(f"/ogc/collections/sectors/items/{code}").json()
    [listed] = client.get("/ogc/collections/sectors/items?q=X1&fields=code,name,kind").json()["features"] or [None]
    assert one["geometry"] == SQUARE
    assert listed["properties"].items() <= one["properties"].items()
    assert client.get("/ogc/collections/sectors/items/nowhere").status_code == 404


def test_every_page_has_its_html(client):
    with acting_as(SYSTEM):
        a_sector(code="X1", polygon=SQUARE, kind="buffer_zone")
    for address in ("", "conformance", "api", "collections", "collections/sectors", "collections/sectors/items"):
        page = client.get(f"/ogc/{address}", headers={"Accept": "text/html,*/*"})
        assert (address, page.status_code) == (address, 200)
        assert page.headers["Content-Type"].startswith("text/html")
        assert b"<h1>" in page.content
        assert client.get(f"/ogc/{address}?f=html").headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("colour=red", "colour"),
        ("limit=0", "limit"),
        ("limit=1e9", "limit"),
        ("limit=-1", "limit"),
        ("bbox=1,2,3", "bbox"),
        ("bbox=170,0,-170,10", "bbox"),
        ("bbox=nan,0,1,1", "bbox"),
        ("bbox=0,0,999,1", "bbox"),
        ("datetime=yesterday", "datetime"),
        ("datetime=2025-02-30", "datetime"),
        ("datetime=2026-01-02/2026-01-01", "datetime"),
        ("cursor=made-up", "cursor"),
        ("fields=colour", "fields"),
        ("f=pdf", "f"),
        ("kind=%00", "kind"),
        ("q=%FF%FE", None),
    ],
)
def test_bad_input_is_named_in_the_one_error_shape(client, query, name):
    answer = client.get(f"/ogc/collections/sectors/items?{query}")
    if name is None:
        assert answer.status_code in (200, 400)
        return
    assert answer.status_code == 400, answer.content
    assert name in answer.json()["errors"]
    assert set(answer.json()) == {"type", "code", "detail", "errors"}


def test_a_limit_that_is_too_high_is_the_highest_there_is(client):
    assert client.get("/ogc/collections/sectors/items?limit=1000000000").status_code == 200


def test_a_cursor_belongs_to_its_query(client):
    with acting_as(SYSTEM):
        for number in range(3):
            a_sector(code=f"X{number}", polygon=SQUARE, kind="buffer_zone")
    onwards = links(client.get("/ogc/collections/sectors/items?limit=1").json())["next"]
    assert client.get(f"{onwards}&kind=sector").status_code == 400


def test_an_interval_is_read_at_both_ends():
    day = datetime(2026, 1, 2, tzinfo=UTC)
    assert ogc.instant_of("2026-01-02") == day
    assert ogc.instant_of("2026-01-02", is_end=True).hour == 23
    assert ogc.instant_of("..") is None
    assert ogc.instant_of("2026-01-02T03:00:00+03:00") == day


def test_strangers_stay_outside():
    for name in ("", "collections", "collections/sectors/items", "api"):
        answer = Client().get(f"/ogc/{name}")
        assert (name, answer.status_code) == (name, 401)
        assert set(answer.json()) == {"type", "code", "detail", "errors"}


def test_what_is_nowhere_is_not_found(client):
    for name in ("collections/nowhere", "collections/nowhere/items", "elsewhere"):
        assert client.get(f"/ogc/{name}").status_code == 404
    assert client.post("/ogc/collections").status_code == 405


def test_a_page_of_features_costs_the_same_whatever_their_number(client, django_assert_max_num_queries):
    with acting_as(SYSTEM):
        for number in range(20):
            a_sector(code=f"X{number}", polygon=SQUARE, kind="buffer_zone")
    with django_assert_max_num_queries(15, connection=connection):
        assert json.loads(client.get("/ogc/collections/sectors/items").content)["numberReturned"] >= 20
