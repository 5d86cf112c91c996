"""Where was it, as this person may see it? The one way for pages to show the place of a report or an incident."""

from dataclasses import dataclass

from coalition.access import Tier, actor_of
from coalition.models import Sector
from monitoring import places
from monitoring.models import Place
from monitoring.placing import seen_place

COARSER_BY_M = {Tier.PLANNING: 0.0, Tier.COALITION: float(places.GRID_M), Tier.PUBLIC: float(places.CELL_M)}


@dataclass(frozen=True)
class SeenAt:
    """A place as one tier sees it. ``is_coarse``: it was moved, and its name is kept back, because it is sensitive."""

    point: places.Point | None
    name: str
    sector: Sector | None
    is_coarse: bool

    @property
    def degrees(self) -> str:
        """``48.4567° N, 35.2345° E``, or nothing."""
        return places.as_degrees(self.point) if self.point else ""

    @property
    def dms(self) -> str:
        """``48°27′24″N 35°14′04″E``, or nothing."""
        return places.as_dms(self.point) if self.point else ""

    @property
    def mgrs(self) -> str:
        """``36U XU 6523 6937``, or nothing near the poles, where the grid has another form."""
        if self.point is None or not -80 <= self.point.latitude <= 84:
            return ""
        return places.as_mgrs(self.point)

    @property
    def within(self) -> str:
        """How exact it is: ``±50 m``, ``±2 km``."""
        if self.point is None:
            return ""
        metres = self.point.precision_m
        return f"±{metres:,.0f} m".replace(",", "\u202f") if metres < 2000 else f"±{metres / 1000:.0f} km"


def seen_at(thing: Place, user) -> SeenAt:
    """Return where a thing was, as far as the user may know. KeyError for who may see nothing."""
    tier = Tier(actor_of(user).tier)
    columns = seen_place(tier)
    longitude, latitude = getattr(thing, columns.longitude), getattr(thing, columns.latitude)
    is_coarse = thing.sensitive and tier < Tier.PLANNING
    point = None
    if longitude is not None:
        point = places.Point(longitude, latitude, thing.place_precision_m + (COARSER_BY_M[tier] if is_coarse else 0))
    return SeenAt(
        point=point,
        name="" if is_coarse else thing.place_name,
        sector=getattr(thing, columns.sector),
        is_coarse=is_coarse,
    )


def places_hidden_from(thing: Place, user) -> set[str]:
    """Return the fields of a thing's history that would tell this user more of its place than they may know."""
    tier = actor_of(user).tier
    worked_out = {
        field.name
        for field in Place._meta.get_fields()
        if field.name not in ("place_name", "longitude", "latitude", "place_precision_m", "sensitive")
    }
    if tier >= Tier.PLANNING:
        return worked_out - {"sector"}
    if thing.sensitive:  # what stood before it was marked is no less sensitive
        return worked_out | {"place_name", "longitude", "latitude"}
    seen = seen_place(tier)
    return (worked_out | {"place_name", "longitude", "latitude"}) - {seen.longitude, seen.latitude, seen.sector}
