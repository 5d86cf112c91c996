"""What every deployment starts with: the nations. Shipped as a file beside this module.

Loading adds what is missing and leaves what is there, so nothing that people changed is overwritten.
"""

import csv
from pathlib import Path

from coalition.models import Nation

HERE = Path(__file__).parent


def rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a shipped CSV file (UTF-8, one header line) as text; an empty cell is an empty string."""
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def nations() -> list[Nation]:
    """Return the shipped nations, unsaved: codes, name and what kind of consent national law asks for.

    An empty approval route means that we do not know it. The standing is not shipped: it is considering.
    """
    return [Nation(**row) for row in rows(HERE / "nations.csv")]


def load_nations() -> int:
    """Add the shipped nations that are missing; return how many were added."""
    before = Nation.objects.count()
    Nation.objects.bulk_create(nations(), ignore_conflicts=True)
    return Nation.objects.count() - before
