"""The gazetteer: names in both alphabets, none guessed for imports, and the file is the one its README names."""

import hashlib
import re

import pytest

from monitoring import gazetteer
from monitoring.gazetteer import HERE, find, oblast_of, search


def names(text: str, limit: int = 8) -> list[str]:
    return [place.name for place in search(text, limit)]


@pytest.mark.parametrize("text", ["bakhm", "Бахм", "Bahmut", "Artemivs'k", "  BAKHMUT "])
def test_a_place_is_found_by_the_beginning_of_any_of_its_names(text):
    assert names(text)[0] == "Bakhmut"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("Avdeivka", "Avdiyivka"),
        ("Ocheretino", "Ocheretyne"),
        ("Zaporizhzha", "Zaporizhzhya"),
        ("Часив Яр", "Chasiv Yar"),
    ],
)
def test_a_misspelt_name_offers_what_is_spelt_alike(text, meant):
    assert meant in names(text)


def test_the_biggest_comes_first_and_ukraine_before_its_neighbours():
    assert names("Kyi")[0] == "Kyiv"
    assert [(place.name, place.country) for place in search("Donetsk")][:2] == [("Donetsk", "UA"), ("Donetsk", "RU")]


@pytest.mark.parametrize("text", ["", "a", "?!", "qqqqzzzz", "\x00"])
def test_what_is_no_name_finds_nothing(text):
    assert search(text) == []


def test_crimea_and_sevastopol_are_in_ukraine():
    for name, oblast in (("Simferopol", "Crimea"), ("Sevastopol", "Sevastopol"), ("Kerch", "Crimea")):
        assert (find(name).country, find(name).oblast) == ("UA", oblast)


def test_an_import_is_told_only_what_is_certain():
    assert find("Bakhmut").oblast == "Donetsk"
    assert find("м. Бахмут", "Донецька область").name == "Bakhmut"
    assert find("Yalta", "Donetska oblast").oblast == "Donetsk"
    assert find("Yalta").oblast == "Crimea"  # more than ten times as big as the other
    assert find("Ivanivka") is None  # there are many
    assert find("Bakhmutt") is None  # a guess is for people, not for imports
    assert find("Bakhmut", "Lviv") is None
    assert find("Bakhmut", "Mordor") is None


@pytest.mark.parametrize(
    ("text", "oblast"),
    [
        ("Донецька область", "Donetsk"),
        ("Donetska oblast", "Donetsk"),
        ("Kyiv", "Kyiv"),
        ("м. Київ", "Kyiv City"),
        ("Kyiv City", "Kyiv City"),
        ("Autonomous Republic of Crimea", "Crimea"),
        ("АР Крим", "Crimea"),
        ("Харьковская обл.", "Kharkiv"),
        ("Zaporizhzhya", "Zaporizhzhia"),
        ("Chernihivska", "Chernihiv"),
        ("Chernivetska", "Chernivtsi"),
        ("UA-14", "Donetsk"),
        ("Odessa", "Odesa"),
        ("Mars", ""),
        ("", ""),
    ],
)
def test_spellings_of_an_oblast(text, oblast):
    assert oblast_of(text) == oblast


def test_a_bigger_place_is_a_vaguer_one():
    assert find("Kharkiv").point.precision_m > find("Avdiivka", "Donetsk").point.precision_m >= 1_500


def test_the_nearest_place_to_a_point_is_named():
    assert gazetteer.nearest(38.01, 48.60).name == "Bakhmut"
    assert gazetteer.nearest(33.53, 44.60).oblast == "Sevastopol"


def test_every_place_of_ukraine_lies_in_its_box_and_has_an_oblast():
    for place in gazetteer._index().places:
        if place.country == "UA":
            assert place.oblast
            assert 22 <= place.longitude <= 40.3, place
            assert 44.3 <= place.latitude <= 52.4, place


def test_the_file_is_the_one_that_the_readme_names():
    readme = (HERE / "README.md").read_text(encoding="utf-8")
    [digest] = re.findall(r"^\| `places\.tsv` \| `([0-9a-f]{64})` \|$", readme, flags=re.MULTILINE)
    assert hashlib.sha256((HERE / "places.tsv").read_bytes()).hexdigest() == digest
    assert "CC BY 4.0" in readme
    assert "Permission is hereby granted" in (HERE / "LICENSE").read_text(encoding="utf-8")
