"""Every error of the API has one shape, whoever raised it: ``{"type", "code", "detail", "errors": {field: [..]}}``."""

import json
import re

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError
from django.http import Http404
from django.test import Client
from rest_framework import exceptions

from coalition.access import SYSTEM, Role, acting_as
from coalition.editing import KeyReused, VersionMissing, VersionStale
from coalition.refusals import flatten, refusal_of
from tests.factories import a_member, a_nation, a_pledge

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    """A planner's browser; faults of the server are answered as a visitor would see them."""
    client = Client(raise_request_exception=False)
    with acting_as(SYSTEM):
        client.force_login(a_member(Role.PLANNER))
    return client


def shape_of(response) -> dict:
    assert response.headers["Content-Type"].startswith("application/json"), response.content[:200]
    body = json.loads(response.content)
    assert set(body) == {"type", "code", "detail", "errors"}
    assert body["type"] in {"validation_error", "client_error", "server_error"}
    assert re.fullmatch(r"[a-z_]+", body["code"])
    assert body["detail"]
    assert isinstance(body["detail"], str)
    for sentences in body["errors"].values():
        assert sentences
        assert all(isinstance(sentence, str) for sentence in sentences)
    assert response.headers["X-Request-ID"]
    return body


@pytest.mark.parametrize(
    ("address", "status", "code"),
    [
        ("/api/v1/nowhere/", 404, "not_found"),
        ("/api/elsewhere", 404, "not_found"),
        ("/api/v1/nations/fr/", 404, "not_found"),
        ("/api/v1/nations/ZZ/", 404, "not_found"),
        ("/api/v1/pledges/99999999999999999999999/", 404, "not_found"),
        ("/api/v1/pledges/abc/", 404, "not_found"),
        ("/api/v1/pledges/%00/", 404, "not_found"),
        ("/api/v1/jobs/00000000-0000-0000-0000-00000000000g/", 404, "not_found"),
        ("/api/v1/pledges/?colour=red", 400, "invalid"),
        ("/api/v1/pledges/?status=lost", 400, "invalid"),
        ("/api/v1/pledges/?operation=a&operation=b", 400, "invalid"),
        ("/api/v1/pledges/?q=%00", 400, "invalid"),
        ("/api/v1/pledges/?nation=%FF%FE", 400, "invalid"),
        ("/api/v1/pledges/?condition=99999999999999999999", 400, "invalid"),
        ("/api/v1/pledges/?updated_since=yesterday", 400, "invalid"),
        ("/api/v1/pledges/?format=pdf", 400, "invalid"),
        ("/api/v1/pledges/1/?format=csv", 400, "invalid"),
        ("/api/v1/pledges/?limit=1e9", 400, "invalid"),
        ("/api/v1/pledges/?limit=1000000000", 400, "invalid"),
        ("/api/v1/pledges/?limit=0", 400, "invalid"),
        ("/api/v1/pledges/?ordering=note", 400, "invalid"),
        ("/api/v1/pledges/?cursor=abc", 400, "invalid"),
        ("/api/v1/pledges/1/?q=x", 400, "invalid"),
    ],
)
def test_a_wrong_address_or_parameter(client, address, status, code):
    response = client.get(address)
    body = shape_of(response)
    assert (response.status_code, body["code"]) == (status, code)


def test_an_unknown_parameter_is_answered_with_the_known_ones(client):
    body = shape_of(client.get("/api/v1/nations/?colour=red"))
    assert body["errors"] == {
        "colour": ["Not known here. Known are: cursor, fields, format, limit, ordering, q, standing, updated_since."]
    }
    assert body["detail"].startswith("colour: ")


def test_a_method_that_is_not_there(client):
    response = client.post("/api/v1/nations/FR/", "{}", content_type="application/json")
    assert response.status_code in (403, 405)
    shape_of(response)
    response = client.put("/api/v1/pledges/1/", "{}", content_type="application/json")
    assert (response.status_code, shape_of(response)["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize("method", ["get", "post", "patch", "delete"])
def test_an_address_without_its_slash_is_not_redirected(client, method):
    for visitor in (client, Client()):
        response = getattr(visitor, method)("/api/v1/pledges")
        assert (response.status_code, shape_of(response)["code"]) == (404, "not_found")
        assert "slash" in response.json()["detail"]


def test_a_format_nobody_speaks(client):
    response = client.get("/api/v1/nations/", headers={"accept": "image/png"})
    assert (response.status_code, shape_of(response)["code"]) == (406, "not_acceptable")


def test_an_error_is_json_where_csv_was_asked_for(client):
    response = client.get("/api/v1/pledges/?format=csv&status=lost")
    assert response.status_code == 400
    shape_of(response)
    response = client.get("/api/v1/pledges/?format=csv&ordering=note")
    assert response.status_code == 400
    shape_of(response)


def test_a_fault_of_ours_says_nothing_about_itself(client, monkeypatch):
    monkeypatch.setattr("coalition.kernel_api.NationViewSet.filter_queryset", lambda *_: 1 / 0)
    response = client.get("/api/v1/nations/", headers={"X-Request-ID": "mine-7"})
    body = shape_of(response)
    assert (response.status_code, body["type"], body["code"]) == (500, "server_error", "server_error")
    assert b"division" not in response.content
    assert response.headers["X-Request-ID"] == "mine-7"


def test_a_hostile_request_id_is_replaced(client):
    response = client.get("/api/v1/nations/", headers={"X-Request-ID": "x" * 500})
    assert re.fullmatch(r"[0-9a-f]{32}", response.headers["X-Request-ID"])


def test_a_throttled_request_says_when_to_come_back(client, monkeypatch):
    def throttled(*_):
        raise exceptions.Throttled(wait=3.2)

    monkeypatch.setattr("coalition.kernel_api.NationViewSet.filter_queryset", throttled)
    response = client.get("/api/v1/nations/")
    assert (response.status_code, shape_of(response)["code"]) == (429, "throttled")
    assert int(response.headers["Retry-After"]) >= 4


def test_a_page_outside_the_api_keeps_its_pages(client):
    assert client.get("/nowhere/").headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Http404("No Pledge matches"), 404, "not_found"),
        (PermissionDenied("You may not."), 403, "permission_denied"),
        (ValidationError("Wrong."), 400, "invalid"),
        (exceptions.ParseError(), 400, "parse_error"),
        (exceptions.UnsupportedMediaType("text/plain"), 415, "unsupported_media_type"),
        (VersionMissing("Say which."), 428, "version_missing"),
        (KeyReused("Take another."), 422, "key_reused"),
        (IntegrityError("duplicate key value violates secret"), 409, "conflict"),
    ],
)
def test_each_exception_has_its_status(error, status, code):
    refusal = refusal_of(error)
    assert (refusal.status, refusal.code) == (status, code)
    assert "secret" not in refusal.detail
    assert "Pledge" not in refusal.detail


def test_a_stale_version_is_told_the_present_one():
    with acting_as(SYSTEM):
        refusal = refusal_of(VersionStale(a_nation("FR")))
    assert (refusal.status, refusal.code) == (412, "version_stale")
    assert refusal.errors == {"version": ["It is now 1."]}
    assert "ETag" in refusal.headers


def test_a_fault_is_nobodys_refusal():
    assert refusal_of(RuntimeError("boom")) is None


def test_nested_errors_become_dotted_fields():
    detail = {"caveats": [{}, {"kind": ["No."]}], "what": ["Empty."], "non_field_errors": ["All wrong."]}
    assert flatten(detail) == {
        "caveats.1.kind": ["No."],
        "what": ["Empty."],
        "non_field_errors": ["All wrong."],
    }


def test_hidden_and_absent_look_alike(client):
    with acting_as(SYSTEM):
        hidden = a_pledge(nation="GB", tier=3).pk
        client.force_login(a_member(Role.ANALYST))
    one, other = client.get(f"/api/v1/pledges/{hidden}/"), client.get("/api/v1/pledges/987654321/")
    assert (one.status_code, one.content) == (other.status_code, other.content)
