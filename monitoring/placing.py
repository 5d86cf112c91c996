"""Where is this, for whom? Which columns of ``models.Place`` hold a place as exactly as a tier may see it."""

from dataclasses import dataclass

from coalition.access import Tier


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
