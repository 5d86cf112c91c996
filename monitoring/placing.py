"""Where is this, for whom? Which columns of ``models.Place`` hold a place as exactly as a tier may see it."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from coalition.access import Tier
from coalition.models import Sector
from monitoring import places
from monitoring.models import Place
from monitoring.places import VAGUEST_M


@dataclass(frozen=True)
class SeenPlace:
    """Names of the columns of ``models.Place`` that a tier sees; queries and answers use these alone."""

    longitude: str
    latitude: str
    cell: str
    sector: str
    zones: str


SEEN: dict[int, SeenPlace] = {
    Tier.PLANNING: SeenPlace("longitude", "latitude", "cell", "sector", "zones"),
    Tier.COALITION: SeenPlace(
        "coalition_longitude", "coalition_latitude", "coalition_cell", "coalition_sector", "coalition_zones"
    ),
    # The centre of a cell lies in that cell.
    Tier.PUBLIC: SeenPlace("public_longitude", "public_latitude", "cell", "public_sector", "public_zones"),
}


def seen_place(tier: int) -> SeenPlace:
    """Return the columns that a tier sees. KeyError for anything but a tier: nobody is given the exact place by chance."""
    return SEEN[tier]


class Areas:
    """The sectors and other areas there are, ready to be asked for many places at once."""

    def __init__(self, sectors: Iterable[Sector] = ()):
        ordered = sorted(sectors, key=lambda sector: sector.pk)
        self.zones = [places.Zone(sector.pk, sector.polygon, sector.kind == Sector.Kind.SECTOR) for sector in ordered]

    def at(self, longitude: np.ndarray, latitude: np.ndarray) -> tuple[pa.Array, pa.Array]:
        """Return the sector (null: none) and the other areas ("{3,7}", as PostgreSQL writes an array) of each place.

        NaN is nowhere. On the edge of two sectors it is the one that was made first.
        """
        zoned = places.zones_of(longitude, latitude, self.zones)
        written: dict[tuple[int, ...], str] = {}
        zones = [written.setdefault(ids, "{" + ",".join(map(str, ids)) + "}") for ids in zoned.zones.tolist()]
        return pa.array(zoned.sector, pa.int64(), mask=zoned.sector == 0), pa.array(zones, pa.string())

    def placed(
        self, longitude: np.ndarray, latitude: np.ndarray, precision_m: np.ndarray, sensitive: np.ndarray
    ) -> dict[str, pa.Array]:
        """Return the columns of ``models.Place`` that follow from these: degrees (NaN: no place), metres, True or False."""
        exact = np.where(precision_m <= VAGUEST_M, longitude, np.nan)  # NaN as well where it is too vague to be placed
        cells = places.cells_of(exact, latitude, precision_m)
        sector, zones = self.at(exact, latitude)
        found = {"cell": pa.array(cells, pa.int64(), mask=cells == 0), "sector_id": sector, "zones": zones}
        for tier in ("coalition", "public"):
            found |= {f"{tier}_longitude": _or_null(longitude), f"{tier}_latitude": _or_null(latitude)}
            found |= {f"{tier}_cell": found["cell"]} if tier == "coalition" else {}
            found |= {f"{tier}_sector_id": sector, f"{tier}_zones": zones}
        moved = np.flatnonzero(sensitive & ~np.isnan(longitude))
        if len(moved):
            known, vagueness = (longitude[moved], latitude[moved]), precision_m[moved]
            on_grid = places.on_grid_all(*known)
            in_cell = places.in_cell_all(places.cells_of(*known))
            of_grid = places.cells_of(*on_grid, vagueness)
            coarse: dict[str, pa.Array] = {"coalition_cell": pa.array(of_grid, pa.int64(), mask=of_grid == 0)}
            for tier, (east, north) in (("coalition", on_grid), ("public", in_cell)):
                sector, zones = self.at(np.where(vagueness <= VAGUEST_M, east, np.nan), north)
                coarse |= {f"{tier}_longitude": _or_null(east), f"{tier}_latitude": _or_null(north)}
                coarse |= {f"{tier}_sector_id": sector, f"{tier}_zones": zones}
            mask = np.zeros(len(longitude), bool)
            mask[moved] = True
            found |= {name: pc.replace_with_mask(found[name], pa.array(mask), new) for name, new in coarse.items()}
        return found


def _or_null(numbers: np.ndarray) -> pa.Array:
    return pa.array(numbers, pa.float64(), from_pandas=True)


def place(thing: Place) -> None:
    """Work out all columns of ``models.Place`` of an unsaved or changed row that follow from its exact place."""
    exact = None
    if thing.longitude is not None:
        exact = places.Point(thing.longitude, thing.latitude, thing.place_precision_m)
    moved = exact is not None and thing.sensitive
    for tier, at in (
        (Tier.PLANNING, exact),
        (Tier.COALITION, places.on_grid(exact) if moved else exact),
        (Tier.PUBLIC, places.in_cell(exact) if moved else exact),
    ):
        columns = SEEN[tier]
        placed = exact is not None and exact.precision_m <= VAGUEST_M
        sector, zones = _areas_at(at) if placed else (None, [])
        setattr(thing, columns.longitude, at and at.longitude)
        setattr(thing, columns.latitude, at and at.latitude)
        setattr(thing, f"{columns.sector}_id", sector)
        setattr(thing, columns.zones, zones)
        if tier != Tier.PUBLIC:  # who shares the cell of the exact place
            setattr(thing, columns.cell, places.cell_of(at.longitude, at.latitude) if placed else None)


def _areas_at(point: places.Point) -> tuple[int | None, list[int]]:
    areas = [
        places.Zone(sector.pk, sector.polygon, sector.kind == Sector.Kind.SECTOR)
        for sector in Sector.objects.order_by("pk")
    ]
    found = places.zones_of(np.array([point.longitude]), np.array([point.latitude]), areas)
    return int(found.sector[0]) or None, list(found.zones[0])
