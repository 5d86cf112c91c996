"""In which areas does it lie, now that an area has changed? Sector and zones of stored places, told anew in batches.

A changed area marks ``sector:ID``; that marks the blocks of ids with something in it before or near it now, and a block
is done like one of ``coverage``. What each tier sees of a place stays; only what follows from the areas is written, and
only where it differs.
"""

from collections.abc import Iterable

import numpy as np
from django.db import connection
from django.db.models import F, Q
from shapely.geometry import shape

from coalition import stale
from coalition.models import Sector
from monitoring import places
from monitoring.models import COVERED_TOGETHER, Incident, Report
from monitoring.placing import SEEN, SeenPlace

KIND = "places"
CHUNK_KEYS = 100
THINGS = {"reports": Report, "incidents": Incident}


def sweep() -> int:
    """Do whatever is marked, until nothing is; return how many keys were done. Opens its transactions."""
    return stale.drain(KIND, replace, chunk=CHUNK_KEYS)


def replace(keys: Iterable[str]) -> int:
    """Write sector and zones of blocks (``reports:12``) anew, and mark the blocks near changed areas (``sector:3``).

    Return the number of rows that changed. Runs in the caller's transaction, which acts as the system and holds the
    keys' locks (``stale.claim``).
    """
    changed, blocks = [], {name: [] for name in THINGS}
    for key in keys:
        name, number = key.split(":")
        (changed if name == "sector" else blocks[name]).append(int(number))
    if changed:
        stale.mark(KIND, blocks_near(changed))
    areas = [
        places.Zone(area.pk, area.polygon, area.kind == Sector.Kind.SECTOR) for area in Sector.objects.order_by("pk")
    ]
    return sum(_write(THINGS[name], numbers, areas) for name, numbers in blocks.items() if numbers)


def blocks_near(sector_ids: Iterable[int]) -> list[str]:
    """Return the keys of all blocks with a place that lies in one of these areas as stored, or in its box as it is now."""
    wanted = list(sector_ids)
    near = Q(pk__in=())
    boxes = [shape(area.polygon).bounds for area in Sector.objects.filter(pk__in=wanted)]
    for seen in SEEN.values():
        near |= Q(**{f"{seen.sector}__in": wanted}) | Q(**{f"{seen.zones}__overlap": wanted})
        for west, south, east, north in boxes:
            near |= Q(**{f"{seen.longitude}__range": (west, east), f"{seen.latitude}__range": (south, north)})
    return [
        f"{name}:{block}"
        for name, model in THINGS.items()
        for block in model.objects.filter(near).order_by().values_list(F("pk") / COVERED_TOGETHER, flat=True).distinct()
    ]


def _write(model: type[Report] | type[Incident], blocks: list[int], areas: list[places.Zone]) -> int:
    here = Q(pk__in=())
    for block in blocks:
        here |= Q(pk__range=(block * COVERED_TOGETHER, (block + 1) * COVERED_TOGETHER - 1))
    columns = [name for seen in SEEN.values() for name in _written(seen)]
    rows = list(
        model.objects.filter(here, longitude__isnull=False)
        .order_by("pk")
        .select_for_update(no_key=True, of=("self",))
        .only(
            *columns, *(name for seen in SEEN.values() for name in (seen.longitude, seen.latitude)), "place_precision_m"
        )
    )
    precision_m = np.array([row.place_precision_m for row in rows], float)
    before = {row.pk: _follows(row) for row in rows}
    for seen in SEEN.values():
        longitude = np.array([_number(getattr(row, seen.longitude)) for row in rows], float)
        latitude = np.array([_number(getattr(row, seen.latitude)) for row in rows], float)
        longitude[precision_m > places.VAGUEST_M] = np.nan
        zoned = places.zones_of(longitude, latitude, areas)
        for row, sector, zones in zip(rows, zoned.sector.tolist(), zoned.zones.tolist(), strict=True):
            setattr(row, f"{seen.sector}_id", sector or None)
            setattr(row, seen.zones, list(zones))
    differing = [(row.pk, *now) for row in rows if (now := _follows(row)) != before[row.pk]]
    _update(model, differing)
    return len(differing)


def _follows(row: Report | Incident) -> tuple[int | str | None, ...]:
    """Return sector and zones of each tier, zones as PostgreSQL writes an array."""
    found: list[int | str | None] = []
    for seen in SEEN.values():
        zones = ",".join(map(str, getattr(row, seen.zones)))
        found += [getattr(row, f"{seen.sector}_id"), f"{{{zones}}}"]
    return tuple(found)


def _update(model: type[Report] | type[Incident], rows: list[tuple]) -> None:
    """Write all rows in one statement: as CASE expressions of the ORM ten thousand would take seconds."""
    if not rows:
        return
    columns = [name for seen in SEEN.values() for name in (f"{seen.sector}_id", seen.zones)]
    casts = {name: "" if name.endswith("_id") else "::integer[]" for name in columns}
    given = ", ".join(f"%s::{'bigint' if name.endswith('_id') else 'text'}[]" for name in columns)
    table = model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} AS thing SET {', '.join(f'{name} = given.{name}{casts[name]}' for name in columns)}"
            f" FROM unnest(%s::bigint[], {given}) AS given (id, {', '.join(columns)}) WHERE thing.id = given.id",
            [list(column) for column in zip(*rows, strict=True)],
        )


def _written(seen: SeenPlace) -> tuple[str, str]:
    return seen.sector, seen.zones


def _number(value: float | None) -> float:
    return np.nan if value is None else value
