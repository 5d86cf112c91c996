"""Which place has this name? Populated places of Ukraine and its neighbours, in Latin and Cyrillic, from GeoNames.

The files and where they come from: README.md here. They are read once per process, on the first question.
"""

import csv
import difflib
import math
import re
import unicodedata
from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from monitoring.places import Point

HERE = Path(__file__).resolve().parent
LIKE = 0.45  # share of common trigrams (Dice) from which a misspelt name is offered

# Words that people add to a name and the gazetteer does not have.
KINDS_OF_PLACE = re.compile(
    r"^(?:м|с|смт|сел|г|пгт|пос|місто|село|город|city of|village of|town of)\.? +|"
    r" +(?:city|village|town|settlement)$"
)
KINDS_OF_OBLAST = re.compile(
    r"\b(?:oblast|oblast'|region|province|область|обл|autonomous|republic|republic of|of|ar|автономна|республіка|"
    r"автономная|республика|ар)\b\.?"
)


@dataclass(frozen=True)
class Place:
    """A populated place: GeoNames id, names (Cyrillic "" where unknown), country (ISO 3166 alpha-2), degrees, people.

    ``oblast`` is in English, "" abroad.
    """

    id: int
    name: str
    cyrillic: str
    others: tuple[str, ...]
    country: str
    oblast: str
    longitude: float
    latitude: float
    population: int

    @property
    def point(self) -> Point:
        """The middle of the place, as vague as a place of that many people is wide (our assumption, in metres)."""
        for people, reach_m in ((500_000, 10_000), (50_000, 6_000), (5_000, 3_000)):
            if self.population >= people:
                return Point(self.longitude, self.latitude, float(reach_m))
        return Point(self.longitude, self.latitude, 1_500.0)


def plain(name: str) -> str:
    """Return the name as it is compared: lower case, without accents, apostrophes and hyphens."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    kept = "".join(letter for letter in letters if not unicodedata.combining(letter) and letter not in "'’ʹʼ`´ьъ")
    return " ".join(re.sub(r"[\W_]+", " ", kept).split())


def _trigrams(text: str) -> set[str]:
    padded = f"  {text} "
    return {padded[at : at + 3] for at in range(len(padded) - 2)}


class _Index:
    """All names of all places, sorted for prefixes and cut into trigrams for misspellings."""

    def __init__(self) -> None:
        with (HERE / "oblasts.csv").open(encoding="utf-8") as file:
            self.oblasts = {row["code"]: row for row in csv.DictReader(file)}
        with (HERE / "places.tsv").open(encoding="utf-8", newline="") as file:
            self.places = [self._place(row) for row in csv.DictReader(file, delimiter="\t")]
        self.by_name: dict[str, list[Place]] = defaultdict(list)
        for place in self.places:
            for name in {plain(name) for name in (place.name, place.cyrillic, *place.others)} - {""}:
                self.by_name[name].append(place)
        self.names = sorted(self.by_name)

    def _place(self, row: dict[str, str]) -> Place:
        return Place(
            id=int(row["id"]),
            name=row["name"],
            cyrillic=row["cyrillic"],
            others=tuple(row["others"].split("|")) if row["others"] else (),
            country=row["country"],
            oblast=self.oblasts[row["oblast"]]["name"] if row["country"] == "UA" else "",
            longitude=float(row["longitude"]),
            latitude=float(row["latitude"]),
            population=int(row["population"]),
        )

    @cached_property
    def degrees(self) -> np.ndarray:
        """Longitude and latitude of each place, in the order of ``places``."""
        return np.array([(place.longitude, place.latitude) for place in self.places])

    @cached_property
    def trigrams(self) -> dict[str, list[int]]:
        """Trigram to the numbers of the names that have it."""
        found: dict[str, list[int]] = defaultdict(list)
        for number, name in enumerate(self.names):
            for part in _trigrams(name):
                found[part].append(number)
        return found

    def beginning_with(self, start: str) -> list[str]:
        names = []
        for at in range(bisect_left(self.names, start), len(self.names)):
            if not self.names[at].startswith(start):
                break
            names.append(self.names[at])
        return names

    def like(self, name: str) -> list[str]:
        wanted = _trigrams(name)
        shared = Counter(number for part in wanted for number in self.trigrams.get(part, ()))
        scored = [
            (2 * common / (len(wanted) + len(self.names[number]) + 1), self.names[number])
            for number, common in shared.most_common(200)
        ]
        return [each for score, each in sorted(scored, reverse=True) if score >= LIKE]


@lru_cache(maxsize=1)
def _index() -> _Index:
    return _Index()


def search(text: str, limit: int = 8) -> list[Place]:
    """Return at most ``limit`` places whose names begin with ``text``, then those spelt alike; the biggest first.

    An exact name comes before all others. Less than two letters find nothing.
    """
    wanted = plain(text[:80])
    if len(wanted) < 2:
        return []
    index = _index()
    ranked = [sorted(index.by_name.get(wanted, []), key=_biggest)]
    ranked.append(
        sorted((place for name in index.beginning_with(wanted) for place in index.by_name[name]), key=_biggest)
    )
    found = _unique(ranked, limit)
    if len(found) < limit:
        ranked.append([place for name in index.like(wanted) for place in sorted(index.by_name[name], key=_biggest)])
        found = _unique(ranked, limit)
    return found


def _biggest(place: Place) -> tuple[bool, int]:
    return place.country != "UA", -place.population


def _unique(ranked: list[list[Place]], limit: int) -> list[Place]:
    return list({place.id: place for places in ranked for place in places}.values())[:limit]


@lru_cache(maxsize=20_000)
def nearest(longitude: float, latitude: float) -> Place:
    """Return the populated place whose middle is nearest to the point."""
    index = _index()
    away = (index.degrees - (longitude, latitude)) * (math.cos(math.radians(latitude)), 1.0)
    return index.places[int(np.argmin((away**2).sum(axis=1)))]


@lru_cache(maxsize=2_000)
def oblast_of(name: str) -> str:
    """Return the English name of the oblast that "Донецька область" or "Donetska oblast" means, or ""."""
    rows = _index().oblasts.values()
    wanted = plain(KINDS_OF_OBLAST.sub(" ", name.casefold()))
    is_city = bool(re.search(r"\b(?:city|місто|м|город)\b", name.casefold()))
    if not wanted or wanted in ("kyiv city", "kiev city") or (is_city and plain("київ") in wanted):
        return "Kyiv City" if wanted else ""
    known: dict[str, str] = {}
    for row in rows:
        for column in ("name", "ukrainian", "russian"):
            known.setdefault(plain(row[column]), row["name"])
        known.setdefault(row["iso"].casefold().replace("-", " "), row["name"])
    if wanted in known:
        return known[wanted]
    close = difflib.get_close_matches(wanted, known, n=1, cutoff=0.72)
    return known[close[0]] if close else ""


def find(name: str, oblast: str | None = None) -> Place | None:
    """Return the one place of this name (any spelling the gazetteer has), in that oblast if one is named.

    None when there is no such place, when several fit and none is ten times as big as the next, or when the oblast
    is not known by that name. Misspellings are not guessed at: this is for imports.
    """
    found = candidates(name, oblast)
    if not found:
        return None
    if len(found) > 1 and found[0].population < 10 * max(1, found[1].population):
        return None
    return found[0]


@lru_cache(maxsize=20_000)
def candidates(name: str, oblast: str | None = None) -> tuple[Place, ...]:
    """Return all places of exactly this name, the biggest first: what `find` chooses from."""
    wanted = plain(KINDS_OF_PLACE.sub("", name.strip().casefold()))
    found = sorted(_index().by_name.get(wanted, []), key=_biggest)
    if oblast:
        meant = oblast_of(oblast)
        found = [place for place in found if meant and place.oblast == meant]
    return tuple(found)
