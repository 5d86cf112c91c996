"""What was agreed, and when each party says it held."""

import pghistory
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.urls import reverse

from coalition.access import Tier, seen_by
from coalition.bookkeeping import BUMP, HIDDEN, Record, marks_stale
from monitoring import kinds
from monitoring.models.places import TieredQuerySet
from monitoring.models.sources import Party


@pghistory.track()
class Agreement(Record):
    """What was agreed: a ceasefire, a pause, a truce. When it holds is each party's own view (``ProvisionTerm``)."""

    code = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=160)
    signed_on = models.DateField(null=True, blank=True, help_text="Empty: announced, never signed")
    text = models.TextField(blank=True, max_length=20_000)
    source_url = models.URLField(max_length=500, blank=True)
    tier = models.PositiveSmallIntegerField(choices=Tier, default=Tier.COALITION)
    illustrative = models.BooleanField(default=False)

    objects = TieredQuerySet.as_manager()

    class Meta(Record.Meta):
        ordering = ["-signed_on", "code"]
        triggers = [*Record.Meta.triggers, HIDDEN]

    def __str__(self):
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("monitoring:agreement", args=[self.code])


class OfAgreementQuerySet(models.QuerySet):
    def visible_to(self, user):
        """Keep the rows of visible agreements."""
        return self.filter(seen_by(user, tier=f"{self.model.AGREEMENT}__tier", nation=None))


@pghistory.track()
class Provision(Record):
    """One duty of an agreement. A dimension that it does not name (an empty list, no zone) holds for all."""

    class Kind(models.TextChoices):
        CESSATION_OF_FIRE = "cessation_of_fire", "Cessation of fire"
        NO_ADVANCE = "no_advance", "No advance"
        LINE = "line", "Line"
        DISENGAGEMENT_AREA = "disengagement_area", "Disengagement area"
        BUFFER_ZONE = "buffer_zone", "Buffer zone"
        WITHDRAWAL = "withdrawal", "Withdrawal, by calibre"
        STORAGE = "storage", "Storage"
        AIRSPACE = "airspace", "Airspace"
        MARITIME = "maritime", "Maritime"
        MORATORIUM = "moratorium", "Infrastructure moratorium"
        CIVILIAN_PROTECTION = "civilian_protection", "Protection of civilians"
        ACCESS = "access", "Access"
        MONITOR_SECURITY = "monitor_security", "Security of monitors"
        NOTIFICATION = "notification", "Notification"
        EXCEPTION = "exception", "Exception"
        RELEASE = "release", "Release or reciprocity"

    AGREEMENT = "agreement"

    agreement = models.ForeignKey(Agreement, models.CASCADE, related_name="provisions")
    article = models.CharField(max_length=40, help_text="As it is cited: 1(c)")
    kind = models.CharField(max_length=20, choices=Kind)
    text = models.TextField(max_length=4000)
    act_kinds = ArrayField(
        models.CharField(max_length=20, choices=kinds.Kind),
        default=list,
        blank=True,
        help_text="Empty: acts of any kind",
    )
    facility_classes = ArrayField(
        models.CharField(max_length=12, choices=kinds.Facility),
        default=list,
        blank=True,
        help_text="Empty: whatever was hit",
    )
    # Codes, not links: they are in the version and the history of the row, and an area that is deleted leaves its code,
    # so that the provision does not come to hold everywhere.
    zones = ArrayField(models.SlugField(max_length=40), default=list, blank=True, help_text="Empty: everywhere")
    binds = ArrayField(models.SlugField(max_length=40), default=list, blank=True, help_text="Empty: every party")

    objects = OfAgreementQuerySet.as_manager()

    class Meta(Record.Meta):
        ordering = ["agreement", "article"]
        # Its tombstone has its agreement's tier, like that of a term: triggers of migration 0009.
        triggers = [
            BUMP,
            *marks_stale(
                "coverage",
                "SELECT 'provision:' || id FROM changed_rows",
                heeds=("agreement_id", "kind", "act_kinds", "facility_classes", "zones", "binds"),
            ),
        ]
        constraints = [models.UniqueConstraint(fields=["agreement", "article"], name="provision_article_once")]

    def __str__(self):
        return f"{self.agreement}, article {self.article}"


@pghistory.track()
class ProvisionTerm(Record):
    """One party's own view of when a provision began and ended, as instants: parties dispute when a ceasefire starts."""

    AGREEMENT = "provision__agreement"

    provision = models.ForeignKey(Provision, models.CASCADE, related_name="terms")
    party = models.ForeignKey(Party, models.PROTECT, related_name="terms")
    begins_at = models.DateTimeField(help_text="From this instant on")
    ends_at = models.DateTimeField(null=True, blank=True, help_text="Until just before this instant; empty: open-ended")
    reason = models.CharField(max_length=500, blank=True, help_text="Why it began or ended then, in this party's view")
    source_url = models.URLField(max_length=500, blank=True)

    objects = OfAgreementQuerySet.as_manager()

    class Meta(Record.Meta):
        ordering = ["provision", "party", "begins_at"]
        triggers = [
            BUMP,
            *marks_stale(
                "coverage",
                "SELECT 'provision:' || provision_id FROM changed_rows",
                heeds=("provision_id", "party_id", "begins_at", "ends_at"),
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("begins_at")),
                name="term_ends_after_it_begins",
                violation_error_message="A term ends after it begins.",
            ),
            models.UniqueConstraint(fields=["provision", "party", "begins_at"], name="term_once_per_party_and_start"),
        ]

    def __str__(self):
        return f"{self.provision} as {self.party} dates it"
