"""What the maps ask the server about places."""

import pytest
from django.test import Client

from coalition.access import Role
from tests.factories import a_member

pytestmark = pytest.mark.django_db


@pytest.fixture
def client():
    client = Client()
    client.force_login(a_member(Role.MONITOR), backend="coalition.accounts.EqualWork")
    return client


def test_a_place_in_one_spelling_is_answered_in_all(client):
    answer = client.get("/monitoring/places/convert/", {"text": "36U UU 69470 68567"}).json()
    assert answer["degrees"] == "48.45670° N, 31.23450° E"
    assert answer["dms"].startswith("48°27′24")
    assert answer["mgrs"] == "36U UU 69470 68567"
    assert (answer["precision_m"], answer["doubt"]) == (1, "")


def test_a_place_outside_the_theatre_is_answered_with_a_doubt(client):
    assert "Confirm" in client.get("/monitoring/places/convert/", {"text": "10.5, 10.5"}).json()["doubt"]


@pytest.mark.parametrize(("text", "sentence"), [("31.25, 48.5", "swapped"), ("", "No place"), ("here", "not read")])
def test_what_is_no_place_is_refused_with_a_sentence(client, text, sentence):
    answer = client.get("/monitoring/places/convert/", {"text": text})
    assert answer.status_code == 422
    assert sentence in answer.json()["detail"]


def test_a_name_offers_places_with_their_precision(client):
    [first, *rest] = client.get("/monitoring/places/search/", {"q": "Бахм"}).json()["results"]
    assert (first["name"], first["where"], first["precision_m"]) == ("Bakhmut", "Donetsk", 6000)
    assert len(rest) < 8
    assert client.get("/monitoring/places/search/").json() == {"results": []}
