"""Where is it? The only code that turns places around: degrees, DMS, MGRS, cells, range and bearing, zones.

All angles are WGS 84 degrees. Functions take longitude first; people type latitude first, and `parse` reads it so.
``precision_m`` is how far, in metres, the true place may lie from the point. Nothing here asks the database.
"""

import json
import math
import re
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import h3.api.basic_int as h3
import numpy as np
import shapely
from django.conf import settings
from mgrs import MGRS
from mgrs.core import MGRSError
from shapely.geometry import shape

CELL_RESOLUTION = 5  # H3: about 250 square kilometres, 10 km from the centre to a corner
VAGUEST_M = 10_000  # a vaguer place has no cell and no sector: it is counted as "place too vague"
EARTH_RADIUS_M = 6_371_008.8  # mean radius, IUGG; a sphere is within 0.5 % of the ellipsoid
METRES_PER_DEGREE = math.radians(EARTH_RADIUS_M)
# The grid on which the coalition tier sees a sensitive place: 0.8 km from a box's corner to its centre at 48° N.
GRID_LATITUDE, GRID_LONGITUDE = 0.01, 0.015
GRID_M = 1_005  # at the equator, where boxes are widest
CELL_M = 12_000  # no corner of a resolution 5 cell is further from its centre

LONGEST_TEXT = 100


class NotAPlace(ValueError):
    """What was typed is no place; the text is a sentence for the person who typed it."""


@dataclass(frozen=True)
class Point:
    """A place: WGS 84 degrees, and within how many metres of it the true place lies."""

    longitude: float
    latitude: float
    precision_m: float = 1.0


# --- Reading what people type -------------------------------------------------------------

HOW = "Type degrees (48.4567, 31.2345), DMS (48°27′24″N 31°14′04″E) or MGRS (36U UU 69470 68567)."
MGRS_TEXT = re.compile(r"(\d{1,2}[C-HJ-NP-X][A-HJ-NP-Z]{2})(\d*)")
TOKEN = re.compile(
    r"(?P<number>(?<![\d.])[-+]?\d+(?:\.\d+)?)|(?P<letter>[NSEW])|(?P<mark>[\s,;:/|°'\"]+|(?<=[\d°'\"])-)"
)
SPELLINGS = [
    (re.compile(pattern), plain)
    for pattern, plain in (
        (r"[−–—]", "-"),
        (r"[º˚]", "°"),
        (r"[′’‘ʼ`´]", "'"),
        (r"″|”|“|''", '"'),
        (r"\b(?:GEO|LATITUDE|LAT|LONGITUDE|LONG|LON|LNG)\b\s*[:=]?", " "),
        (r"(?:ПН|С)\s*\.?\s*Ш\.?", "N"),  # Ukrainian and Russian: northern latitude and so on
        (r"(?:ПД|Ю)\s*\.?\s*Ш\.?", "S"),
        (r"(?:СХ|В)\s*\.?\s*Д\.?", "E"),
        (r"(?:ЗХ|З)\s*\.?\s*Д\.?", "W"),
    )
]
# GEOTRANS, below the mgrs package, keeps the central meridian in a global variable and is called without the GIL.
_MGRS, _ONE_AT_A_TIME = MGRS(), threading.Lock()


def parse(text: str) -> Point:
    """Return the place that ``text`` names: decimal degrees, degrees with minutes and seconds, or MGRS.

    Without hemisphere letters the latitude comes first. The precision is what the digits allow: half a unit of the
    last one, or the side of the MGRS square. Raises NotAPlace with a sentence, also when the pair looks swapped.
    """
    if len(text) > LONGEST_TEXT:
        raise NotAPlace(f"A place has at most {LONGEST_TEXT} characters. {HOW}")
    plain = text.upper().strip()
    if not plain:
        raise NotAPlace(f"No place was given. {HOW}")
    square = MGRS_TEXT.fullmatch(re.sub(r"[\s-]", "", plain))
    if square:
        return _from_mgrs(*square.groups())
    for pattern, replacement in SPELLINGS:
        plain = pattern.sub(replacement, plain)
    if re.search(r"\b(NAN|INF|INFINITY)\b", plain):
        raise NotAPlace(f"Coordinates are finite numbers. {HOW}")
    return _from_degrees(_with_decimal_points(plain), text)


def _with_decimal_points(plain: str) -> str:
    """Turn decimal commas into points: "48,4567; 31,2345" has two of them, "48, 31" and "48.4,31.2" have none."""
    decimals = re.findall(r"(?<!\d)\d+,\d+", plain)
    if "." in plain or len(decimals) != 2:
        return plain
    return re.sub(r"(?<![\d.])(\d+),(\d+)", r"\1.\2", plain)


def _from_degrees(plain: str, typed: str) -> Point:
    numbers: list[str] = []
    letters: list[tuple[str, int]] = []  # (letter, how many numbers came before it)
    position = 0
    while position < len(plain):
        token = TOKEN.match(plain, position)
        if token is None:
            raise NotAPlace(f"“{typed.strip()}” is not read as a place. {HOW}")
        if token["number"]:
            numbers.append(token["number"])
        elif token["letter"]:
            letters.append((token["letter"], len(numbers)))
        position = token.end()
    if not letters and len(numbers) in (2, 4, 6):
        half = len(numbers) // 2
        (latitude, unit), (longitude, other) = (_angle(part, "") for part in (numbers[:half], numbers[half:]))
        check(longitude, latitude)
        return Point(longitude, latitude, _precision(unit, other))
    sides = _sides(numbers, letters)
    if sides is None:
        raise NotAPlace(f"“{typed.strip()}” is not read as a place. {HOW}")
    (latitude, unit), (longitude, other) = sides
    check(longitude, latitude, order_is_certain=True)
    return Point(longitude, latitude, _precision(unit, other))


def _sides(numbers: list[str], letters: list[tuple[str, int]]) -> tuple | None:
    """Return ((latitude, unit), (longitude, unit)) of a pair with hemisphere letters, or None when they do not fit."""
    if len(letters) != 2 or not numbers:
        return None
    (first, before_first), (second, before_second) = letters
    split = before_second if before_first == 0 else before_first
    ends_well = before_first == 0 or before_second == len(numbers)
    if not ends_well or not 0 < split < len(numbers) or (first in "NS") == (second in "NS"):
        return None
    found = {
        letter in "NS": _angle(part, letter) for letter, part in ((first, numbers[:split]), (second, numbers[split:]))
    }
    return found[True], found[False]


def _angle(parts: list[str], letter: str) -> tuple[float, float]:
    """Return (degrees, unit): signed degrees of "48", "27", "30.5", and what one of its last digit means in degrees."""
    whole, _, decimals = parts[0].lstrip("+-").partition(".")
    if letter and len(parts) == 1 and len(whole) >= 4:  # packed: 482730N, 0311500E, 4827.5N
        parts = [whole[at : at + 2] for at in range(len(whole) % 2, len(whole), 2)]
        if len(whole) % 2:
            parts[0] = whole[0] + parts[0]
        parts[-1] += f".{decimals}" if decimals else ""
    if len(parts) > 3 or any("." in part for part in parts[:-1]):
        raise NotAPlace(f"Only the last of degrees, minutes and seconds has decimals. {HOW}")
    smaller = [float(part) for part in parts[1:]]
    if any(not 0 <= part < 60 for part in smaller):
        raise NotAPlace("Minutes and seconds run from 0 to below 60.")
    if letter and parts[0].startswith("-"):
        raise NotAPlace("A coordinate has a sign or a letter for the hemisphere, not both.")
    value = sum(abs(float(part)) / 60**power for power, part in enumerate(parts))
    unit = 10.0 ** -len(parts[-1].partition(".")[2]) / 60 ** (len(parts) - 1)
    negative = parts[0].startswith("-") or letter in ("S", "W")
    return (-value if negative and value else value), unit


def _precision(*units: float) -> float:
    return max(1.0, max(units) / 2 * METRES_PER_DEGREE)


def _from_mgrs(square: str, digits: str) -> Point:
    if len(digits) % 2 or len(digits) > 10:
        raise NotAPlace("An MGRS reference has as many digits for the easting as for the northing, at most five each.")
    half = len(digits) // 2
    # GEOTRANS answers with the south-west corner; the point is the middle of the square.
    middle = "".join((part + "50000")[:5] for part in (digits[:half], digits[half:]))
    try:
        with _ONE_AT_A_TIME:
            latitude, longitude = _MGRS.toLatLon((square.zfill(5) + middle).encode())
    except MGRSError as error:
        raise NotAPlace(f"There is no MGRS square {square}{digits}.") from error
    check(longitude, latitude, order_is_certain=True)
    return Point(longitude, latitude, float(10 ** (5 - half)))


# --- Judging a pair of numbers ------------------------------------------------------------


def check(longitude: float, latitude: float, *, order_is_certain: bool = False) -> None:
    """Raise NotAPlace unless the pair is finite, in range and, as far as one can tell, not swapped.

    A pair looks swapped when it lies outside the theatre and the other way round inside it. ``order_is_certain``:
    hemisphere letters or MGRS said which is which.
    """
    if not (math.isfinite(longitude) and math.isfinite(latitude)):
        raise NotAPlace("Coordinates are finite numbers of degrees.")
    if not order_is_certain and not in_theatre(longitude, latitude) and in_theatre(latitude, longitude):
        meant = as_degrees(Point(latitude, longitude))
        raise NotAPlace(f"Latitude and longitude look swapped: did you mean {meant}?")
    if not -90 <= latitude <= 90:
        raise NotAPlace("A latitude runs from −90 to 90 degrees.")
    if not -180 <= longitude <= 180:
        raise NotAPlace("A longitude runs from −180 to 180 degrees.")


def in_theatre(longitude: float, latitude: float) -> bool:
    """Return True inside settings.THEATRE (west, south, east, north)."""
    west, south, east, north = settings.THEATRE
    return west <= longitude <= east and south <= latitude <= north


def doubt(point: Point) -> str:
    """Return a sentence that asks for confirmation when the point is outside the theatre, else ""."""
    if in_theatre(point.longitude, point.latitude):
        return ""
    return f"{as_degrees(point)} is outside the area that is watched. Confirm it if the place is right."


SWAPPED = "Latitude and longitude look swapped."
NOT_FINITE = "Coordinates are finite numbers of degrees."
OUT_OF_RANGE = "A latitude runs from −90 to 90 degrees, a longitude from −180 to 180."
OUTSIDE = "The place is outside the area that is watched."


def faults(longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
    """Return, for each pair, the sentence that refuses it, or OUTSIDE as a warning, or "" (an array of objects)."""
    west, south, east, north = settings.THEATRE
    finite = np.isfinite(longitude) & np.isfinite(latitude)
    fits = (np.abs(latitude) <= 90) & (np.abs(longitude) <= 180)
    inside = (longitude >= west) & (longitude <= east) & (latitude >= south) & (latitude <= north)
    inside_swapped = (latitude >= west) & (latitude <= east) & (longitude >= south) & (longitude <= north)
    cases = [~finite, inside, inside_swapped, ~fits]
    return np.select(cases, [NOT_FINITE, "", SWAPPED, OUT_OF_RANGE], OUTSIDE).astype(object)


# --- Writing ------------------------------------------------------------------------------


def as_degrees(point: Point) -> str:
    """Return "48.4567° N, 31.2345° E", with as many decimals as the precision deserves."""
    decimals = max(0, min(5, math.ceil(-math.log10(2 * max(point.precision_m, 0.6) / METRES_PER_DEGREE))))
    sides = ((point.latitude, "NS"), (point.longitude, "EW"))
    return ", ".join(f"{abs(value):.{decimals}f}° {letters[value < 0]}" for value, letters in sides)


def as_dms(point: Point) -> str:
    """Return "48°27′24.1″N 31°14′04.2″E": whole minutes, seconds or tenths of a second, as the precision deserves."""
    sides = ((point.latitude, "NS"), (point.longitude, "EW"))
    return " ".join(_dms(abs(value), point.precision_m) + letters[value < 0] for value, letters in sides)


def _dms(value: float, precision_m: float) -> str:
    half_minute_m = METRES_PER_DEGREE / 120
    if precision_m >= half_minute_m:
        minutes = round(value * 60)
        return f"{minutes // 60}°{minutes % 60:02d}′"
    if precision_m >= half_minute_m / 60:
        seconds = round(value * 3600)
        return f"{seconds // 3600}°{seconds // 60 % 60:02d}′{seconds % 60:02d}″"
    tenths = round(value * 36000)
    return f"{tenths // 36000}°{tenths // 600 % 60:02d}′{tenths % 600 / 10:04.1f}″"


def as_mgrs(point: Point) -> str:
    """Return "36U UU 69470 68567": the square of 1 m to 100 km whose side is at most the precision."""
    digits = 5 - min(5, max(0, math.floor(math.log10(max(point.precision_m, 1.0)) + 1e-9)))
    with _ONE_AT_A_TIME:
        written = _MGRS.toMGRS(point.latitude, point.longitude, MGRSPrecision=digits)
    square, easting = len(written) - 2 * digits - 2, len(written) - 2 * digits
    parts = (
        written[:square],
        written[square:easting],
        written[easting : easting + digits],
        written[easting + digits :],
    )
    return " ".join(part for part in parts if part)


# --- Cells, and places as the tiers see them ----------------------------------------------


def cell_of(longitude: float, latitude: float, precision_m: float = 1.0) -> int | None:
    """Return the H3 cell of resolution 5 (it fits a signed bigint), or None when the place is vaguer than 10 km."""
    return None if precision_m > VAGUEST_M else h3.latlng_to_cell(latitude, longitude, CELL_RESOLUTION)


def cells_of(longitude: np.ndarray, latitude: np.ndarray, precision_m: np.ndarray | float = 1.0) -> np.ndarray:
    """Return `cell_of` of each place as int64, 0 where there is none. A million places take half a second."""
    known = np.isfinite(longitude) & np.isfinite(latitude) & (np.asarray(precision_m) <= VAGUEST_M)
    cells = np.zeros(len(longitude), np.int64)
    pairs = zip(latitude[known].tolist(), longitude[known].tolist(), strict=True)
    cells[known] = np.fromiter((h3.latlng_to_cell(lat, lon, CELL_RESOLUTION) for lat, lon in pairs), np.int64)
    return cells


def outline(cell: int) -> list[list[float]]:
    """Return the cell's corners as a closed GeoJSON ring: [longitude, latitude] in degrees, to about 10 m."""
    corners = [[round(lon, 4), round(lat, 4)] for lat, lon in h3.cell_to_boundary(cell)]
    return [*corners, corners[0]]


def on_grid(point: Point) -> Point:
    """Return the place as the coalition sees a sensitive one: the middle of a box of about 1 km by 1 km."""
    longitude, latitude = on_grid_all(np.array([point.longitude]), np.array([point.latitude]))
    return Point(float(longitude[0]), float(latitude[0]), point.precision_m + GRID_M)


def on_grid_all(longitude: np.ndarray, latitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return longitude and latitude of `on_grid` of each place; its precision is GRID_M metres more than it was."""
    return (
        np.round((np.floor(longitude / GRID_LONGITUDE) + 0.5) * GRID_LONGITUDE, 6),
        np.round((np.floor(latitude / GRID_LATITUDE) + 0.5) * GRID_LATITUDE, 6),
    )


def in_cell(point: Point) -> Point:
    """Return the place as the public sees a sensitive one: the centre of its cell, however vague it is."""
    latitude, longitude = h3.cell_to_latlng(h3.latlng_to_cell(point.latitude, point.longitude, CELL_RESOLUTION))
    return Point(round(longitude, 6), round(latitude, 6), point.precision_m + CELL_M)


def in_cell_all(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return longitude and latitude of the centres of ``cells`` (int64); NaN for cell 0."""
    unique, which = np.unique(cells, return_inverse=True)
    centres = np.array([h3.cell_to_latlng(cell) if cell else (math.nan, math.nan) for cell in unique.tolist()])
    latitude, longitude = np.round(centres.reshape(-1, 2)[which], 6).T
    return longitude, latitude


# --- Range and bearing --------------------------------------------------------------------

COMPASS = ("N", "NNE", "NE", "ENE", "E", "ESE", "SE", "SSE", "S", "SSW", "SW", "WSW", "W", "WNW", "NW", "NNW")
RANGE = re.compile(r"(?P<low>\d+(?:[.,]\d+)?)(?:\s*(?:-|TO)\s*(?P<high>\d+(?:[.,]\d+)?))?\s*(?P<unit>KM|M)\b\.?")
ALL_ROUND = re.compile(r"ALL DIRECTIONS|ALL AROUND|VARIOUS DIRECTIONS")


@dataclass(frozen=True)
class Offset:
    """Away from a position: metres to the east and north, and within how many metres of there it was."""

    east_m: float
    north_m: float
    spread_m: float


@lru_cache(maxsize=10_000)
def offset_of(text: str) -> Offset | None:
    """Return what "3-5km E" or "3-6km N, NNE, NE and SE" says, or None when it is no range with bearings.

    The middle of all that was named, with a spread that reaches its furthest corner: a named bearing stands for the
    sector up to halfway to the next one of its kind (N ± 22.5°, NNE ± 11.25°). Source of the form: OSCE SMM annexes.
    """
    plain = re.sub(r"[−–—]", "-", text.upper())
    found = RANGE.match(plain.strip())
    if found is None:
        return None
    scale = 1000.0 if found["unit"] == "KM" else 1.0
    near, far = sorted(float((found[name] or found["low"]).replace(",", ".")) * scale for name in ("low", "high"))
    rest = plain.strip()[found.end() :]
    if ALL_ROUND.search(rest):
        return Offset(0.0, 0.0, far)
    words = re.findall(r"[A-Z]+", rest)
    bearings = [COMPASS.index(word) for word in words if word in COMPASS]
    if not bearings or not set(words) <= {*COMPASS, "AND", "TO", "OF", "THE", "FROM"}:
        return None
    if "TO" in words:  # "NE to SE": everything between, clockwise
        first, last = bearings[0], bearings[-1]
        bearings = [(first + step) % 16 for step in range((last - first) % 16 + 1)]
    middles = [_metres(22.5 * bearing, (near + far) / 2) for bearing in bearings]
    east, north = (sum(side) / len(middles) for side in zip(*middles, strict=True))
    angles = [22.5 * bearing + turn for bearing in bearings for turn in _turns(bearing)]
    corners = [_metres(angle, reach) for angle in angles for reach in (near, far)]
    spread = max(math.hypot(x - east, y - north) for x, y in corners)
    return Offset(east, north, spread)


def _turns(bearing: int) -> tuple[float, float, float]:
    half = 11.25 if bearing % 2 else 22.5
    return -half, 0.0, half


def _metres(bearing: float, distance_m: float) -> tuple[float, float]:
    return distance_m * math.sin(math.radians(bearing)), distance_m * math.cos(math.radians(bearing))


def away(position: Point, text: str) -> Point | None:
    """Return where "3-5km E" of ``position`` is, as vague as it was said, or None when the text is no such thing."""
    found = offset_of(text)
    if found is None:
        return None
    longitude, latitude = _moved(position.longitude, position.latitude, found.east_m, found.north_m)
    return Point(float(longitude), float(latitude), position.precision_m + found.spread_m)


def away_all(
    longitude: np.ndarray, latitude: np.ndarray, precision_m: np.ndarray, texts: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return longitude, latitude and precision of `away` for each position and text; NaN where the text is no offset."""
    unique, which = np.unique(np.asarray(texts, dtype=object).astype(str), return_inverse=True)
    known = [offset_of(text) or Offset(math.nan, math.nan, math.nan) for text in unique.tolist()]
    east, north, spread = (
        np.array([(each.east_m, each.north_m, each.spread_m) for each in known]).reshape(-1, 3)[which].T
    )
    moved = _moved(longitude, latitude, east, north)
    return *moved, precision_m + spread


def offset(point: Point, *, bearing: float, distance_m: float) -> Point:
    """Return the point ``distance_m`` metres from ``point`` at ``bearing`` degrees clockwise from north."""
    longitude, latitude = _moved(point.longitude, point.latitude, *_metres(bearing, distance_m))
    return Point(float(longitude), float(latitude), point.precision_m)


def _moved(longitude: Any, latitude: Any, east_m: Any, north_m: Any) -> tuple[Any, Any]:
    """Move on the tangent plane: below 50 km the error is far smaller than any range that was estimated by ear."""
    new_latitude = latitude + north_m / METRES_PER_DEGREE
    return longitude + east_m / (METRES_PER_DEGREE * np.cos(np.radians((latitude + new_latitude) / 2))), new_latitude


def distance_m(one: Point, other: Point) -> float:
    """Return the great-circle distance in metres, on a sphere."""
    return h3.great_circle_distance((one.latitude, one.longitude), (other.latitude, other.longitude), unit="m")


# --- Zones --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Zone:
    """A judged area: GeoJSON Polygon or MultiPolygon (`coalition.sectors.judge`), and whether it is a sector."""

    id: int
    polygon: dict
    is_sector: bool = True


@dataclass(frozen=True)
class Zoned:
    """Per place: the id of its sector (0 for none), and the ids of all other zones that hold it, as a tuple."""

    sector: np.ndarray
    zones: np.ndarray


def zones_of(
    longitude: np.ndarray, latitude: np.ndarray, zones: Iterable[Zone], precision_m: np.ndarray | float = 1.0
) -> Zoned:
    """Return in which zones each place lies. Places vaguer than 10 km, or NaN, lie in none.

    On a shared border the zone named first wins. A million places against 30 zones take about a second.
    """
    usable = np.isfinite(longitude) & np.isfinite(latitude) & (np.asarray(precision_m) <= VAGUEST_M)
    sector = np.zeros(len(longitude), np.int64)
    others = []
    for zone in zones:
        held = _held(longitude, latitude, usable, zone)
        if zone.is_sector:
            sector[held & (sector == 0)] = zone.id
        else:
            others.append((zone.id, held))
    return Zoned(sector, _tuples(len(longitude), others))


def _held(longitude: np.ndarray, latitude: np.ndarray, usable: np.ndarray, zone: Zone) -> np.ndarray:
    area = _area(json.dumps(zone.polygon))
    west, south, east, north = area.bounds
    near = usable & (longitude >= west) & (longitude <= east) & (latitude >= south) & (latitude <= north)
    held = np.zeros(len(longitude), bool)
    held[near] = shapely.intersects_xy(area, longitude[near], latitude[near])
    return held


@lru_cache(maxsize=500)
def _area(polygon: str) -> Any:
    area = shape(json.loads(polygon))
    shapely.prepare(area)
    return area


def _tuples(count: int, others: list[tuple[int, np.ndarray]]) -> np.ndarray:
    """Return one tuple of ids per place. Places in the same zones share the tuple, so a million cost little memory."""
    tuples = np.empty(count, object)
    if not others:
        tuples.fill(())
        return tuples
    ids = [zone_id for zone_id, _ in others]
    rows, which = np.unique(
        np.packbits(np.stack([held for _, held in others], axis=1), axis=1), axis=0, return_inverse=True
    )
    kinds = np.empty(len(rows), object)
    for at, row in enumerate(np.unpackbits(rows, axis=1, count=len(ids)).astype(bool)):
        kinds[at] = tuple(zone_id for zone_id, held in zip(ids, row, strict=True) if held)
    return kinds[which.reshape(-1)]


def inside(point: Point, polygon: dict) -> bool | None:
    """Return whether the place lies in the area, or None when its precision reaches across the edge."""
    area = _area(json.dumps(polygon))
    shrink = math.cos(math.radians(point.latitude))
    flat = shapely.transform(area, lambda pairs: (pairs - [point.longitude, point.latitude]) * [shrink, 1.0])
    edge_m = shapely.distance(flat.boundary, shapely.Point(0, 0)) * METRES_PER_DEGREE
    if edge_m < point.precision_m:
        return None
    return bool(shapely.intersects_xy(area, point.longitude, point.latitude))
