"""Where the demo plays: operation, nations as they spoke in public, areas on the map, and what pledges hang on.

The operation, the areas and every figure are invented and marked illustrative. A nation's standing is what was said in
public in 2025, with its address; nations without a quoted statement keep the default, considering, and no source.
"""

import json
from datetime import date
from pathlib import Path

from shapely.geometry import shape

from coalition.access import Tier
from coalition.models import Condition, Nation, Operation, Sector
from coalition.vocabulary import nations, rows

HERE = Path(__file__).parent
OPERATION = "demo"  # its code: where it stands, the demo has been loaded


def load_nations() -> None:
    """Add the nations that are missing, with what they said in public; leave those that are there."""
    said = {row["nation"]: row for row in rows(HERE / "standings.csv")}
    missing = nations()
    for nation in missing:
        if statement := said.get(nation.code):
            nation.standing = statement["standing"]
            nation.standing_source = _source(statement)
    Nation.objects.bulk_create(missing, ignore_conflicts=True)


def _source(statement: dict[str, str]) -> str:
    """Return what was said, when and where, or nothing for a nation that needs no statement (the host)."""
    if not statement["source_url"]:
        return ""
    return f"{statement['said']} ({statement['said_on']}): {statement['source_url']}"


def load_operation() -> Operation:
    """Make the invented operation; it is the current one unless there is a current one already."""
    return Operation.objects.create(
        code=OPERATION,
        name="Multinational Force Ukraine (demo)",
        starts_on=date(2027, 3, 1),
        activated_on=date(2027, 2, 1),
        mandate_until=date(2029, 2, 28),
        is_current=not Operation.objects.filter(is_current=True).exists(),
        illustrative=True,
        confirm_every_days=60,
        half_life_days=120,
    )


def load_sectors() -> dict[str, Sector]:
    """Make the invented areas; return them by the short name the data files use. Raises ValueError on a bad shape."""
    areas = json.loads((HERE / "sectors.json").read_text(encoding="utf-8"))
    for area in areas:
        if not shape(area["polygon"]).is_valid:
            raise ValueError(f"The shape of {area['name']} crosses itself.")
    made = Sector.objects.bulk_create(
        [Sector(**{**area, "code": f"demo-{area['code']}"}, illustrative=True) for area in areas]
    )
    return {area["code"]: sector for area, sector in zip(areas, made, strict=True)}


def load_conditions(operation: Operation) -> dict[str, Condition]:
    """Make what pledges hang on; return it by the short name the data files use. Chances and due days are invented."""
    lines = rows(HERE / "conditions.csv")
    made = Condition.objects.bulk_create(
        [
            Condition(
                operation=operation,
                kind=row["kind"],
                title=row["title"],
                nation_id=row["nation"] or None,
                state=row["state"],
                probability=float(row["probability"]),
                due_on=date.fromisoformat(row["due_on"]),
                tier=Tier[row["tier"].upper()],
                note=f"{row['note']} Its chance and due day are invented.".strip(),
                illustrative=True,
            )
            for row in lines
        ]
    )
    return {row["key"]: condition for row, condition in zip(lines, made, strict=True)}
