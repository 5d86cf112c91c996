"""Where things were, for whom: the columns that reports and incidents share, and what must hold of them."""

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from coalition.access import seen_by
from coalition.models import Sector
from monitoring.places import VAGUEST_M

HALF_THE_EARTH_M = 20_100_000  # nothing is vaguer


class TieredQuerySet(models.QuerySet):
    """Rows of no nation, with a release tier."""

    def visible_to(self, user):
        """Keep what the user may see: up to their tier."""
        return self.filter(seen_by(user, nation=None))


class Place(models.Model):
    """Where something was, as exactly as each tier may see it. All but the exact place are worked out by ``placing``.

    A sensitive place is moved to a 1 km grid for the coalition and to the centre of its cell for the public; else all
    tiers see the same. Boxes, sorting, zones, hexes and exports use the columns of the viewer's tier. A place vaguer than
    ``VAGUEST_M`` has no cell, no sector and no zones. Sectors and zones are worked out anew when a sector changes, so
    no foreign key guards them.
    """

    place_name = models.CharField(max_length=300, blank=True)
    longitude = models.FloatField(null=True, blank=True, help_text="WGS 84 degrees")
    latitude = models.FloatField(null=True, blank=True, help_text="WGS 84 degrees")
    place_precision_m = models.FloatField(
        "place precision, metres",
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(HALF_THE_EARTH_M)],
        help_text="It was within so many metres of the point",
    )
    sensitive = models.BooleanField("sensitive place", default=False, help_text="Coarser for lower release tiers")
    cell = models.BigIntegerField(null=True, editable=False, help_text="H3, resolution 5; of planning and public tier")
    sector = models.ForeignKey(
        Sector, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, editable=False, related_name="+"
    )
    zones = ArrayField(models.IntegerField(), default=list, editable=False, help_text="Other areas: ids of sectors")
    coalition_longitude = models.FloatField(null=True, editable=False)
    coalition_latitude = models.FloatField(null=True, editable=False)
    coalition_cell = models.BigIntegerField(null=True, editable=False)
    coalition_sector = models.ForeignKey(
        Sector, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, editable=False, related_name="+"
    )
    coalition_zones = ArrayField(models.IntegerField(), default=list, editable=False)
    public_longitude = models.FloatField(null=True, editable=False)
    public_latitude = models.FloatField(null=True, editable=False)
    public_sector = models.ForeignKey(
        Sector, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, editable=False, related_name="+"
    )
    public_zones = ArrayField(models.IntegerField(), default=list, editable=False)

    class Meta:
        abstract = True

    @property
    def too_vague(self) -> bool:
        """True where there is a place, but none that a sector or cell could be told from."""
        return self.longitude is not None and self.cell is None


def place_constraints(noun: str) -> list[models.CheckConstraint]:
    """Return what must hold of the columns of ``Place``."""
    return [
        models.CheckConstraint(
            condition=Q(longitude__isnull=True, latitude__isnull=True, place_precision_m__isnull=True)
            | Q(
                longitude__isnull=False,  # said, because null passes every check
                latitude__isnull=False,
                place_precision_m__isnull=False,
                longitude__range=(-180, 180),
                latitude__range=(-90, 90),
                place_precision_m__range=(0, HALF_THE_EARTH_M),
            ),
            name=f"{noun}_place_is_whole",
            violation_error_message="A place is a longitude, a latitude and how exact they are.",
        ),
        models.CheckConstraint(
            condition=Q(longitude__isnull=False, place_precision_m__lte=VAGUEST_M)
            | Q(cell__isnull=True, sector__isnull=True, coalition_cell__isnull=True, coalition_sector__isnull=True),
            name=f"{noun}_vague_place_has_no_cell",
        ),
    ]


def time_constraints(noun: str) -> list[models.CheckConstraint]:
    """Return what must hold of when it happened."""
    return [
        models.CheckConstraint(
            condition=Q(occurred_until__gte=F("occurred_from")),
            name=f"{noun}_ends_after_it_starts",
            violation_error_message="It cannot have ended before it began.",
        )
    ]
