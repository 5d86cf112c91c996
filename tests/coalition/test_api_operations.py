"""What holds for every operation of the description, each of them: nobody has to remember to test a new one.

The tables of who sees and who writes what are in test_api.py. A new operation fails here until it is in one of them, and
has a body below where it needs one.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml
from django.conf import settings
from django.core.files.base import ContentFile
from django.test import Client

from coalition.access import SYSTEM, Role, Tier, acting_as
from coalition.api_urls import router
from coalition.models import ImportBatch
from monitoring import evidence
from tests.coalition.test_api import ANSWERS, READERS, TABLE, WRITES, reader
from tests.coalition.test_api import operations as writes_of_router
from tests.factories import (
    a_capability,
    a_member,
    a_nation,
    a_party,
    a_pledge,
    a_provision,
    a_report,
    a_requirement,
    a_source,
    an_agreement,
    an_allocation,
    an_import,
    an_incident,
    the_operation,
)

pytestmark = pytest.mark.django_db
JSON = "application/json"
# Reading below a thing: who sees the thing, sees this. The file of an export is its owner's alone: test_exports.py.
BELOW = {
    "/api/v1/reports/{id}/candidates/",
    "/api/v1/reports/{id}/evidence/",
    "/api/v1/reports/{id}/evidence/{evidence_id}/",
    "/api/v1/incidents/{id}/responses/",
    "/api/v1/incidents/{id}/steps/",
    "/api/v1/exports/{id}/file/",
    "/api/v1/agreements/{code}/counts/",
    "/api/v1/imports/{id}/mapping/",
    "/api/v1/imports/{id}/rows/",
    "/api/v1/imports/{id}/touched/",
    "/api/v1/imports/{id}/rejected/",
}
NEEDS = {"/api/v1/imports/{id}/rows/": "?outcome=new"}
# Lists of answers, not of rows; what each tier sees of them is tested beside the numbers.
ANSWERED = {
    "/api/v1/changes/",
    "/api/v1/readiness/capabilities/",
    "/api/v1/readiness/cliffs/",
    "/api/v1/readiness/gaps/",
    "/api/v1/readiness/nations/",
    "/api/v1/reports/daily/unwatched/",
}
ASKS = {("POST", "/api/v1/readiness/what-if/")}


@cache
def described() -> dict[tuple[str, str], dict]:
    """Return every operation of the committed description by method and address; test_schema.py keeps it current."""
    paths = yaml.safe_load((Path(settings.BASE_DIR) / "docs/openapi.yaml").read_text())["paths"]
    return {(method.upper(), path): each for path, methods in paths.items() for method, each in methods.items()}


def taking(header: str) -> list[tuple[str, str]]:
    """Return the operations that take a header."""
    return [key for key, each in described().items() if header in [one["name"] for one in each.get("parameters", [])]]


def resource_of(path: str) -> str:
    """Return the name of the resource that an address belongs to."""
    names = sorted((name for name, _, _ in router.registry), key=len, reverse=True)
    return next(name for name in names if path.startswith(f"/api/v1/{name}/"))


def at(path: str, pk, evidence_id: int = 1) -> str:
    return path.replace("{evidence_id}", str(evidence_id)).format(id=pk, code=pk)


def test_every_operation_is_in_the_matrix():
    lists = {("GET", f"/api/v1/{name}/") for name in [*TABLE, *ANSWERS]}
    lists |= {("GET", path) for path in ANSWERED}
    things = {("GET", path) for _, path in described() if re.fullmatch(r"/api/v1/[a-z]+/\{(id|code)\}/", path)}
    writes = {(method.upper(), path.replace("{pk}", "{id}")) for method, path in writes_of_router().values()}
    found = {(method, path.replace("{code}", "{id}")) for method, path in described()}
    known = lists | things | {("GET", path) for path in BELOW} | writes | ASKS
    assert found == {(method, path.replace("{code}", "{id}")) for method, path in known}
    assert set(writes_of_router()) == set(WRITES)
    assert {resource_of(path) for _, path in things} == set(TABLE)


# --- Seeing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", READERS)
def test_what_is_below_a_thing_is_there_for_whoever_sees_the_thing(who):
    paths = [path for method, path in described() if method == "GET" and "{" in path]
    with acting_as(SYSTEM):
        rows = {
            (name, own, tier): TABLE[name][0](tier, own)
            for name in {resource_of(path) for path in paths}
            for own in (True, False)
            for tier in Tier
        }
        files = {
            pk: evidence.attach(pk, ContentFile(b"What was seen.", name="note.txt"), by=a_member(Role.PLANNER)).pk
            for (name, _, _), pk in rows.items()
            if name == "reports"
        }
    client = reader(who)
    for path in paths:
        name = resource_of(path)
        for own in (True, False):
            seen = TABLE[name][1](who, own)
            for tier in Tier:
                pk = rows[name, own, tier]
                status = client.get(at(path, pk, files.get(pk, 1)) + NEEDS.get(path, "")).status_code
                may = (200, 409) if name == "imports" else (200,)  # 409: there, and nothing to read yet
                assert status in (may if tier in seen else (404,)), (path, own, tier, status)


# --- Changing ---------------------------------------------------------------------------------------


@pytest.fixture
def world() -> dict[str, int]:
    """What the bodies below name."""
    with acting_as(SYSTEM):
        the_operation(), a_nation("FR"), a_capability(), a_party("ru"), a_party("ua"), a_source()
        an_agreement("pause")
        report = a_report()
        return {
            "pledge": a_pledge(100).pk,
            "requirement": a_requirement(50).pk,
            "report": report.pk,
            "other": a_report().pk,
            "provision": a_provision("9").pk,
        }


def new(resource: str, world: dict[str, int], label: str) -> dict:
    """Return the body of a create."""
    return {
        "conditions": {"kind": "backstop", "title": label},
        "requirements": {"capability": "infantry", "title": label, "quantity": 10},
        "pledges": {"nation": "FR", "capability": "infantry", "what": label},
        "allocations": {"pledge": world["pledge"], "requirement": world["requirement"], "quantity": 1 + len(label)},
        "reports": {"source": "patrol-1", "occurred_on": "2025-03-20", "narrative": label},
        "incidents": {"reports": [{"id": world["report"], "version": 1}], "title": label},
        "incidents/responses": {"party": "ru", "stance": "denies", "text": label},
        "agreements": {"code": f"pact-{label.lower()}", "name": label},
        "provisions": {"agreement": "pause", "article": label, "kind": "no_advance", "text": label},
        "terms": {"provision": world["provision"], "party": "ua", "begins_at": "2025-03-18T00:00:00Z", "reason": label},
    }[resource]


def body_of(method: str, path: str, world: dict[str, int]) -> dict:
    """Return what a change needs besides its version, for the operations that need something."""
    step = f"{resource_of(path)}/{path.rstrip('/').rpartition('/')[2]}"
    return {
        "pledges/supersede": {"successor": world["pledge"]},
        "allocations/{id}": {"quantity": 1} if method == "PATCH" else {},
        "reports/duplicate": {"of": world["other"]},
        "reports/out-of-scope": {"reason": "Elsewhere"},
        "incidents/merge": {"reports": [{"id": world["report"], "version": 1}]},
        "incidents/split": {"reports": [world["report"]]},
        "incidents/take-back": {"step": world.get("step", 1)},
        "incidents/verify": {"reason": "Looked into it"},
        "imports/map": {"mapping": {"columns": {}}},
        "imports/approve": {"approved": True, "outcome": "new"},
    }.get(step, {})


def sent_as_file(client: Client, address: str, label: str, **headers):
    """Send an import; its creates are multipart forms."""
    file = ContentFile(f"id,what\n1,{label}\n".encode(), name="pledges.csv")
    return client.post(address, {"file": file, "profile": "pledges"}, headers=headers)


def create(client: Client, address: str, world: dict[str, int], label: str, **headers):
    """Create one more of what an address holds."""
    name = re.sub(r"/\d+", "", address.removeprefix("/api/v1/")).strip("/")
    if name == "imports":
        return sent_as_file(client, address, label, **headers)
    return send(client, "POST", address, new(name, world, label), **headers)


def send(client: Client, method: str, address: str, body: dict, **headers):
    return client.generic(method, address, json.dumps(body), content_type=JSON, headers=headers)


def changing() -> Iterator[tuple[str, str]]:
    yield from taking("If-Match")


@pytest.mark.parametrize(("method", "path"), list(changing()))
def test_a_change_without_its_version_is_428_and_with_a_stale_one_412(method, path, world):
    name = resource_of(path)
    with acting_as(SYSTEM):
        pk = TABLE[name][0](Tier.PUBLIC, True)
        if name == "imports" and not path.endswith("/undo/"):
            pk = an_import(state=ImportBatch.State.TRIED).pk  # each step has its moment, and is a 409 at another
    planner = reader("planner")
    if path.endswith("/{id}/take-back/") and name == "incidents":
        made = send(planner, "POST", "/api/v1/incidents/", new("incidents", world, "New")).json()
        pk = made["id"]
        world["step"] = planner.get(f"/api/v1/incidents/{pk}/steps/").json()["results"][0]["id"]
    body = body_of(method, path, world)
    address = at(path, pk)
    before = planner.get(f"/api/v1/{name}/{pk}/")
    missing = send(planner, method, address, body)
    stale = send(planner, method, address, body, **{"If-Match": '"999"'})
    other = send(planner, method, address, body, **{"If-Match": before.headers["ETag"].replace("-v", "0-v")})
    assert (missing.status_code, missing.json()["code"]) == (428, "version_missing")
    assert (stale.status_code, stale.json()["code"]) == (412, "version_stale"), stale.content
    assert stale.headers["ETag"] == before.headers["ETag"]
    assert other.status_code == 412, other.content
    assert planner.get(f"/api/v1/{name}/{pk}/").json() == before.json()


# --- Creating ---------------------------------------------------------------------------------------


def creating() -> list[str]:
    return [path for method, path in taking("Idempotency-Key") if method == "POST"]


@pytest.mark.parametrize("path", creating())
def test_a_create_under_one_key_is_done_once_and_another_body_under_it_is_422(path, world):
    with acting_as(SYSTEM):
        address = at(path, an_incident().pk)
    planner = reader("planner")

    def number() -> int:
        return len(planner.get(address).json()["results"])

    before = number()
    key = {"Idempotency-Key": "one"}
    first, again = create(planner, address, world, "New", **key), create(planner, address, world, "New", **key)
    other = create(planner, address, world, "Another", **key)
    assert (first.status_code, again.status_code) == (201, 201), first.content
    assert first.json() == again.json()
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")
    assert number() == before + 1


# --- Every answer -----------------------------------------------------------------------------------


def test_every_answer_has_the_id_of_its_request_and_is_kept_by_no_cache(world):
    with acting_as(SYSTEM):
        rows = {name: make(Tier.PUBLIC, True) for name, (make, _) in TABLE.items()}
        an_allocation(a_pledge(10), a_requirement(10))
    clients = {"planner": reader("planner"), "analyst": reader("analyst"), "nobody": Client()}
    for method, path in described():
        address = at(path, rows[resource_of(path)]) if "{" in path else path
        for who, client in clients.items():
            answer = send(client, method, address, {}, **{"X-Request-ID": f"{who}-7"})
            assert answer.headers["X-Request-ID"] == f"{who}-7", (method, path)
            assert "no-store" in answer.headers["Cache-Control"], (method, path, who)
            assert str(answer.status_code) in described()[method, path]["responses"], (method, path, who)
