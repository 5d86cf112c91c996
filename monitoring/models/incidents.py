"""What happened, as judged; every step of it is kept."""

import pghistory
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.urls import reverse

from coalition.access import Tier, seen_by
from coalition.bookkeeping import BUMP, HIDDEN, Record
from coalition.models import User
from monitoring import kinds
from monitoring.kinds import OUT, Confidence, Occurrence, TimePrecision
from monitoring.models.marks import COUNTS_OF_INCIDENTS, COVERAGE_OF_INCIDENTS
from monitoring.models.places import Place, TieredQuerySet, place_constraints, time_constraints
from monitoring.models.sources import Party


class IncidentQuerySet(TieredQuerySet):
    def standing(self):
        """Keep those that were not merged into another."""
        return self.filter(merged_into__isnull=True)

    def with_report_counts_for(self, user):
        """Add ``report_count``: how many of its reports the user may see."""
        return self.annotate(
            report_count=models.Count("reports", filter=seen_by(user, tier="reports__tier", nation=None))
        )


@pghistory.track()
class Incident(Place, Record):
    """What happened, as judged from its reports. Occurrence, finding and attribution are three questions."""

    class Finding(models.TextChoices):
        VIOLATION = "violation", "Violation"
        PERMITTED = "permitted", "Permitted act"
        NONE = "none", "None"
        INCONCLUSIVE = "inconclusive", "Inconclusive"

    class Attribution(models.TextChoices):
        PARTY = "party", "A party"
        JOINT = "joint", "Joint"
        THIRD_PARTY = "third_party", "Third party"
        UNATTRIBUTED = "unattributed", "Unattributed"

    title = models.CharField(max_length=200)
    kind = models.CharField(max_length=20, choices=kinds.Kind)
    facility_class = models.CharField(max_length=12, choices=kinds.Facility, blank=True)
    accused = models.ForeignKey(Party, models.PROTECT, null=True, blank=True, related_name="+")
    occurred_from = models.DateTimeField()
    occurred_until = models.DateTimeField()
    occurred_on = models.DateField()
    time_precision = models.CharField(max_length=11, choices=TimePrecision, default=TimePrecision.EXACT)
    occurrence = models.CharField(max_length=18, choices=Occurrence, default=Occurrence.UNDER_VERIFICATION)
    occurrence_confidence = models.CharField(max_length=8, choices=Confidence, blank=True)
    finding = models.CharField(max_length=12, choices=Finding, blank=True, help_text="Only ever a person's")
    finding_confidence = models.CharField(max_length=8, choices=Confidence, blank=True)
    attribution = models.CharField(max_length=12, choices=Attribution, blank=True)
    attributed_to = models.ForeignKey(Party, models.PROTECT, null=True, blank=True, related_name="+")
    attribution_confidence = models.CharField(max_length=8, choices=Confidence, blank=True)
    occurrence_reasoning = models.TextField("reasoning on occurrence", blank=True, max_length=4000)
    finding_reasoning = models.TextField("reasoning on finding", blank=True, max_length=4000)
    attribution_reasoning = models.TextField("reasoning on attribution", blank=True, max_length=4000)
    judged_by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, editable=False, related_name="+")
    judged_at = models.DateTimeField(null=True, editable=False)
    verified_by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, editable=False, related_name="+")
    verified_at = models.DateTimeField(null=True, editable=False)
    merged_into = models.ForeignKey("self", models.PROTECT, null=True, editable=False, related_name="absorbed")
    regrouped_at = models.DateTimeField(null=True, editable=False, help_text="When reports last came or went")
    tier = models.PositiveSmallIntegerField("release tier", choices=Tier, default=Tier.COALITION)
    illustrative = models.BooleanField(default=False)

    objects = IncidentQuerySet.as_manager()

    class Meta(Record.Meta):
        ordering = ["-occurred_from", "-id"]
        triggers = [*Record.Meta.triggers, HIDDEN, *COUNTS_OF_INCIDENTS, *COVERAGE_OF_INCIDENTS]
        constraints = [
            *place_constraints("incident"),
            *time_constraints("incident"),
            models.CheckConstraint(condition=~Q(occurrence__in=OUT), name="incident_is_in_scope"),
            models.CheckConstraint(
                condition=Q(attributed_to__isnull=True) | Q(attribution="party"),
                name="incident_attributed_to_a_party_only",
                violation_error_message="Name the party only where it is attributed to a party.",
            ),
            models.CheckConstraint(
                condition=~Q(attribution="party") | Q(attributed_to__isnull=False),
                name="incident_attribution_names_the_party",
                violation_error_message="Say to which party it is attributed.",
            ),
            models.CheckConstraint(
                condition=Q(verified_by__isnull=True) | ~Q(verified_by=F("judged_by")),
                name="incident_verifier_is_not_the_author",
                violation_error_message="Who judged it cannot verify it.",
            ),
            models.CheckConstraint(condition=~Q(merged_into=F("id")), name="incident_not_merged_into_itself"),
        ]
        indexes = [models.Index(fields=["occurred_on", "cell"])]

    def __str__(self):
        return f"I{self.pk} {self.title}"

    def get_absolute_url(self) -> str:
        return reverse("monitoring:incident", args=[self.pk])


class OfIncidentQuerySet(models.QuerySet):
    def visible_to(self, user):
        """Keep the rows of visible incidents."""
        return self.filter(seen_by(user, tier="incident__tier", nation=None))


@pghistory.track()
class PartyResponse(Record):
    """What a party said about an incident when it was put to it."""

    class Stance(models.TextChoices):
        ADMITS = "admits", "Admits"
        JUSTIFIES = "justifies", "Admits and justifies"
        DENIES = "denies", "Denies"
        BLAMES_OTHER = "blames_other", "Blames the other side"
        SILENT = "silent", "Gave no answer"

    incident = models.ForeignKey(Incident, models.CASCADE, related_name="responses")
    party = models.ForeignKey(Party, models.PROTECT, related_name="+")
    stance = models.CharField(max_length=12, choices=Stance)
    said_on = models.DateField(null=True, blank=True)
    text = models.TextField(blank=True, max_length=4000)
    source_url = models.URLField(max_length=500, blank=True)

    objects = OfIncidentQuerySet.as_manager()

    class Meta(Record.Meta):
        ordering = ["party", "said_on", "id"]
        triggers = [BUMP]

    def __str__(self):
        return f"{self.party}: {self.get_stance_display()}"


class IncidentStepQuerySet(models.QuerySet):
    def visible_to(self, user):
        """Keep steps of visible incidents; one that names another incident only where that is visible too."""
        other = Q(other__isnull=True) | seen_by(user, tier="other__tier", nation=None)
        return self.filter(seen_by(user, tier="incident__tier", nation=None), other)


class IncidentStep(models.Model):
    """What was done with an incident: merged, split, judged, verified, taken back. Never changed afterwards."""

    # As with reports, the database takes the steps along when a merge that made an incident is taken back.
    incident = models.ForeignKey(Incident, models.DO_NOTHING, related_name="steps")
    other = models.ForeignKey(
        Incident, models.DO_NOTHING, null=True, related_name="+", help_text="The one absorbed, or split off"
    )
    user = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", help_text="Empty: the system")
    kind = models.CharField(
        max_length=8, help_text="The step's name in ``monitoring.merging`` or ``monitoring.judging``"
    )
    reason = models.CharField(max_length=1000, blank=True)
    before = models.JSONField(default=dict, blank=True, help_text="What an undo must put back")
    undoes = models.OneToOneField("self", models.DO_NOTHING, null=True, blank=True, related_name="undone_by")
    caused_by = models.ForeignKey("self", models.DO_NOTHING, null=True, blank=True, related_name="caused")
    taken_at = models.DateTimeField(db_default=Now())

    objects = IncidentStepQuerySet.as_manager()

    class Meta:
        ordering = ["id"]

    def __str__(self):
        return f"I{self.incident_id}: {self.kind}"
