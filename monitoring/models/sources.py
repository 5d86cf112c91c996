"""Who says it, and about whom."""

import pghistory
from django.db import models
from django.db.models import Q

from coalition.bookkeeping import Record
from coalition.models import SharedQuerySet
from monitoring.models.marks import COUNTS_OF_SOURCES


@pghistory.track()
class Party(Record):
    """A side of the conflict, or another body that reports name as accuser or accused."""

    code = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=120, unique=True)
    note = models.CharField(max_length=500, blank=True)

    objects = SharedQuerySet.as_manager()

    class Meta(Record.Meta):
        verbose_name_plural = "parties"
        ordering = ["name"]

    def __str__(self):
        return self.name


@pghistory.track()
class Source(Record):
    """Who reported. Its usual reliability is where a new report of it starts; each report carries its own."""

    class Class(models.TextChoices):
        MONITORS = "monitors", "Own monitors"
        PARTY = "party", "Party to the conflict"
        MEDIA = "media", "Media and public"

    class Kind(models.TextChoices):
        PATROL = "patrol", "Patrol"
        CAMERA = "camera", "Camera"
        UAV = "uav", "UAV"
        ACOUSTIC = "acoustic", "Acoustic sensor"
        RADAR = "radar", "Radar"
        SATELLITE = "satellite", "Satellite"
        STATEMENT = "statement", "Statement"
        PRESS = "press", "Press"
        DATASET = "dataset", "Data set"
        WITNESS = "witness", "Witness"
        OTHER = "other", "Other"

    class Reliability(models.TextChoices):
        """The first half of the Admiralty code: how good the source is, whatever it says this time."""

        A = "A", "A completely reliable"
        B = "B", "B usually reliable"
        C = "C", "C fairly reliable"
        D = "D", "D not usually reliable"
        E = "E", "E unreliable"
        F = "F", "F cannot be judged"

    code = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=160, unique=True)
    source_class = models.CharField("class", max_length=8, choices=Class)
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.OTHER)
    party = models.ForeignKey(
        Party, models.PROTECT, null=True, blank=True, related_name="sources", help_text="Whose voice it is"
    )
    reliability = models.CharField("usual reliability", max_length=1, choices=Reliability, default=Reliability.F)
    address = models.URLField(max_length=500, blank=True)
    licence = models.CharField(max_length=120, blank=True, help_text="Terms under which its data are used")
    illustrative = models.BooleanField(default=False)

    objects = SharedQuerySet.as_manager()

    class Meta(Record.Meta):
        ordering = ["source_class", "name"]
        triggers = [*Record.Meta.triggers, *COUNTS_OF_SOURCES]
        constraints = [
            models.CheckConstraint(
                condition=~Q(source_class="party") | Q(party__isnull=False),
                name="source_of_a_party_names_it",
                violation_error_message="Say which party this source speaks for.",
            )
        ]

    def __str__(self):
        return self.name
