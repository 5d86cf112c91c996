"""Is it in this box? Small boxes name their cells, so that an index answers, for pages, filters and maps alike.

Row policies let only operators that leak nothing use an index. Comparing numbers leaks nothing; core ``point <@ box`` is
not known to be so, and a GiST index on points is never used by the app role (docs/adr/0097).
"""

import math
from dataclasses import dataclass

import h3.api.basic_int as h3
from django.db.models import Q, QuerySet

from monitoring import places
from monitoring.placing import seen_place

MOST_NAMED = 300  # cells that a query names one by one
MARGIN = 0.12  # degrees of latitude: a cell reaches no further from its centre
CELL_SQUARE_DEGREES = 0.0204  # of latitude: 253 square kilometres


@dataclass(frozen=True)
class Box:
    """West, south, east, north in WGS 84 degrees, borders included."""

    west: float
    south: float
    east: float
    north: float

    def holds(self, longitude: float, latitude: float, margin: float = 0.0) -> bool:
        """Return True when the point lies in the box, widened by ``margin`` degrees of latitude on each side."""
        wider = margin / max(0.1, math.cos(math.radians(latitude)))
        return (
            self.west - wider <= longitude <= self.east + wider
            and self.south - margin <= latitude <= self.north + margin
        )


def cells_in(box: Box | None) -> list[int] | None:
    """Return the cells that may touch the box, or None when they are too many to name."""
    if box is None:
        return None
    wider = MARGIN / max(0.1, math.cos(math.radians(max(abs(box.south), abs(box.north)) + MARGIN)))
    west, east = max(-180.0, box.west - wider), min(180.0, box.east + wider)
    south, north = max(-90.0, box.south - MARGIN), min(90.0, box.north + MARGIN)
    shrink = math.cos(math.radians((south + north) / 2))
    if (east - west) * (north - south) * shrink > MOST_NAMED * CELL_SQUARE_DEGREES:
        return None
    corners = [(south, west), (south, east), (north, east), (north, west)]
    return h3.h3shape_to_cells(h3.LatLngPoly(corners), places.CELL_RESOLUTION)


def within_box(rows: QuerySet, tier: int, box: Box, *, vague: bool = True) -> QuerySet:
    """Keep reports or incidents whose place, as a tier sees it, lies in the box; ``vague``: also those without a cell."""
    seen = seen_place(tier)
    inside = Q(
        **{
            f"{seen.longitude}__range": (box.west, box.east),
            f"{seen.latitude}__range": (box.south, box.north),
        }
    )
    cells = cells_in(box)
    if cells is not None:
        named = Q(**{f"{seen.cell}__in": cells})
        inside &= named | Q(**{f"{seen.cell}__isnull": True}) if vague else named  # a vague place has no cell
    elif not vague:
        inside &= Q(**{f"{seen.cell}__isnull": False})
    return rows.filter(inside)
