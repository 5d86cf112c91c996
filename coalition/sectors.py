"""May this area be a sector? A polygon is judged once, when it is written, by Shapely; nothing geometric is asked later.

Source of the format: RFC 7946 (GeoJSON): Polygon or MultiPolygon, WGS 84 degrees, longitude first.
"""

import math
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import ValidationError
from shapely.errors import ShapelyError
from shapely.geometry import shape
from shapely.validation import explain_validity

from coalition.models import Sector

DEEPEST = 6  # a MultiPolygon nests five deep; deeper input crashes parsers
MOST_POINTS = 20_000
SHARED_EDGE = 1e-9  # square degrees: neighbours that touch do not overlap


def judge(polygon: Any, *, kind: str, besides: int | None = None) -> None:
    """Raise ValidationError on ``polygon`` unless it is a valid area that, as a sector, overlaps no other sector.

    ``besides``: the id of the sector that is being changed.
    """

    def refuse(sentence: str) -> None:
        raise ValidationError({"polygon": sentence})

    if not isinstance(polygon, dict) or polygon.get("type") not in ("Polygon", "MultiPolygon"):
        refuse("An area is a GeoJSON Polygon or MultiPolygon.")
    points = 0
    for depth, value in _walk(polygon.get("coordinates")):
        if depth > DEEPEST:
            refuse("The coordinates are nested too deeply for a polygon.")
        if not isinstance(value, list):
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                refuse("Every coordinate is a finite number of degrees.")
            points += 1
    if not 8 <= points <= 2 * MOST_POINTS:
        refuse(f"An area has from 4 to {MOST_POINTS:,} points.")
    try:
        area = shape({"type": polygon["type"], "coordinates": polygon["coordinates"]})
    except (ShapelyError, ValueError, TypeError, IndexError):
        refuse("These coordinates do not make a polygon.")
    if area.is_empty or not area.is_valid:
        refuse(f"This polygon is not valid: {explain_validity(area)}.")
    west, south, east, north = area.bounds
    if west < -180 or east > 180 or south < -90 or north > 90:
        refuse("Longitude comes first: from −180 to 180, then latitude from −90 to 90.")
    if kind != Sector.Kind.SECTOR:
        return
    for other in Sector.objects.filter(kind=Sector.Kind.SECTOR).exclude(pk=besides):
        if area.intersection(shape(other.polygon)).area > SHARED_EDGE:
            refuse(f"It overlaps {other}. Sectors do not overlap.")


def _walk(value: Any, depth: int = 0) -> Iterator[tuple[int, Any]]:
    """Yield (depth, value) for every value below, without recursion, and no deeper than is worth looking."""
    waiting = [(depth, value)]
    while waiting:
        depth, value = waiting.pop()
        yield depth, value
        if isinstance(value, list) and depth <= DEEPEST:
            waiting += [(depth + 1, part) for part in value]
