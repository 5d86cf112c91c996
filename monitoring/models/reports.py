"""What was reported, by one source at a time; its files, its steps, and what waits to be imported."""

import pghistory
import pgtrigger
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Now
from django.urls import reverse

from coalition.access import Tier, actor_of, seen_by
from coalition.bookkeeping import BUMP, GONE, HIDDEN, XID, Record
from coalition.models import ImportBatch, User
from monitoring import kinds
from monitoring.kinds import OUT, WAITING, Occurrence, TimePrecision
from monitoring.models.incidents import Incident, IncidentStep
from monitoring.models.marks import COUNTS_OF_REPORTS, COVERAGE_OF_REPORTS
from monitoring.models.places import Place, TieredQuerySet, place_constraints, time_constraints
from monitoring.models.sources import Party, Source

LARGEST = 10**7  # rounds, people, aircraft; more is a slip of the hand
COUNT = {"validators": [MaxValueValidator(LARGEST)], "null": True, "blank": True}

# What a report counts as at once, before anybody looked closer; ``monitoring.triage`` says it in words.
SEVERITY = Case(
    When(
        Q(killed__gt=0) | Q(facility_class__in=["nuclear", "hydro_dam"]) | Q(kind="fire_at_monitors"),
        then=Value(4),
    ),
    When(
        Q(injured__gt=0)
        | Q(facility_class__in=["hospital", "school", "power", "pipeline", "oil_refinery"])
        | Q(kind__in=["missile", "airstrike", "mlrs", "long_range_drone", "assault", "advance"])
        | Q(kind__in=["facility_strike", "civilian_attack", "abduction", "seizure"]),
        then=Value(3),
    ),
    When(
        Q(kind__in=["artillery", "mortar", "tank", "fpv_drone", "strike", "mine", "minelaying", "new_position"])
        | Q(kind__in=["within_line", "outside_storage", "aid_blocked", "denial", "monitor_jamming"]),
        then=Value(2),
    ),
    default=Value(1),
    output_field=models.IntegerField(),
)


# A merge into an incident that not everybody who sees the report may see must not show: not by a version either.
BUMP_UNLESS_HIDDEN = pgtrigger.Trigger(
    name="bump",
    when=pgtrigger.Before,
    operation=pgtrigger.Update,
    condition=pgtrigger.Condition("OLD.* IS DISTINCT FROM NEW.*"),
    declare=[("as_it_was", "monitoring_report")],
    func=f"""
as_it_was := NEW;
as_it_was.incident_id := OLD.incident_id;
IF as_it_was IS NOT DISTINCT FROM OLD
    AND NOT EXISTS (
        SELECT FROM monitoring_incident AS seen
        WHERE seen.id IN (OLD.incident_id, NEW.incident_id) AND seen.tier <= NEW.tier
    )
THEN
    RETURN NEW;
END IF;
NEW.version := OLD.version + 1; NEW.changed_at := now(); NEW.changed_xid := {XID}; RETURN NEW;
""",
)


class ReportQuerySet(TieredQuerySet):
    def in_scope(self):
        """Keep what counts: no duplicates, nothing out of scope."""
        return self.exclude(status__in=OUT)

    def unmerged_for(self, user):
        """Keep reports that stand alone as the user sees it: an incident they may not see is invisible."""
        # No tier can be read where there is no incident, and where the row policy hides it.
        return self.filter(Q(incident__tier__isnull=True) | Q(incident__tier__gt=actor_of(user).tier))

    def with_incident_for(self, user):
        """Add ``seen_incident_id``, null unless the user may see the incident, and ``occurrence``.

        The occurrence is the report's own status until it is merged, then its incident's; a hidden incident is none.
        """
        seen = Q(incident__tier__lte=actor_of(user).tier)
        return self.annotate(
            seen_incident_id=Case(When(seen, then=F("incident_id"))),
            occurrence=Case(When(seen, then=F("incident__occurrence")), default=F("status")),
        )


@pghistory.track()
class Report(Place, Record):
    """One account by one source. What it counts ("30-35 explosions") is another number than how many reports there are."""

    class Means(models.TextChoices):
        SAW = "saw", "Saw"
        HEARD = "heard", "Heard"
        SAW_AND_HEARD = "saw_and_heard", "Saw and heard"
        RECORDED = "recorded", "Recorded"
        TOLD = "told", "Was told"

    class Credibility(models.IntegerChoices):
        """The second half of the Admiralty code: how likely what was said is, whoever said it."""

        CONFIRMED = 1, "1 confirmed by other sources"
        PROBABLY_TRUE = 2, "2 probably true"
        POSSIBLY_TRUE = 3, "3 possibly true"
        DOUBTFUL = 4, "4 doubtful"
        IMPROBABLE = 5, "5 improbable"
        CANNOT_BE_JUDGED = 6, "6 cannot be judged"

    reference = models.CharField(max_length=60, blank=True, help_text="The source's own number for it")
    source = models.ForeignKey(Source, models.PROTECT, db_index=False, related_name="reports")
    dataset = models.SlugField(max_length=60, blank=True, db_index=False)
    external_id = models.CharField(max_length=200, blank=True)
    batch = models.ForeignKey(
        ImportBatch, models.SET_NULL, null=True, blank=True, db_index=False, editable=False, related_name="reports"
    )

    occurred_from = models.DateTimeField("occurred from")
    occurred_until = models.DateTimeField("occurred until", help_text="The last instant it may have happened")
    occurred_on = models.DateField("the day as stated")
    time_precision = models.CharField(max_length=11, choices=TimePrecision, default=TimePrecision.EXACT)
    filed_at = models.DateTimeField(db_default=Now())
    filed_by = models.ForeignKey(
        User, models.SET_NULL, null=True, blank=True, db_index=False, editable=False, related_name="+"
    )

    kind = models.CharField(max_length=20, choices=kinds.Kind, default=kinds.Kind.NOT_STATED)
    weapon = models.CharField(max_length=120, blank=True)
    count_text = models.CharField(max_length=60, blank=True, help_text="As the source put it")
    count_low = models.IntegerField(**COUNT, help_text="Empty: unknown, which is not zero")
    count_high = models.IntegerField(**COUNT)
    count_unit = models.CharField(max_length=11, choices=kinds.CountUnit, blank=True)
    means = models.CharField("means of observation", max_length=13, choices=Means, blank=True)
    reliability = models.CharField(max_length=1, choices=Source.Reliability, default=Source.Reliability.F)
    credibility = models.PositiveSmallIntegerField(choices=Credibility, default=Credibility.CANNOT_BE_JUDGED)
    accuser = models.ForeignKey(Party, models.PROTECT, null=True, blank=True, db_index=False, related_name="+")
    accused = models.ForeignKey(Party, models.PROTECT, null=True, blank=True, db_index=False, related_name="+")
    facility_class = models.CharField(max_length=12, choices=kinds.Facility, blank=True)
    killed = models.IntegerField(**COUNT, help_text="Empty: unknown")
    injured = models.IntegerField(**COUNT, help_text="Empty: unknown")
    narrative = models.TextField(blank=True, max_length=8000)
    source_url = models.CharField("address", max_length=2000, blank=True)
    original = models.JSONField(null=True, blank=True, editable=False, help_text="The row as it stood in the file")
    content_hash = models.UUIDField(null=True, editable=False, help_text="Of what the file said when it came last")
    imported_version = models.PositiveIntegerField(null=True, editable=False, help_text="As the last import left it")

    status = models.CharField(max_length=18, choices=Occurrence, default=Occurrence.RECEIVED, editable=False)
    incident = models.ForeignKey(
        Incident, models.SET_NULL, null=True, blank=True, db_index=False, editable=False, related_name="reports"
    )
    duplicate_of = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, db_index=False, editable=False, related_name="duplicates"
    )
    tier = models.PositiveSmallIntegerField("release tier", choices=Tier, default=Tier.COALITION)
    illustrative = models.BooleanField(default=False)

    objects = ReportQuerySet.as_manager()

    class Meta(Record.Meta):
        ordering = ["-occurred_from", "-id"]
        triggers = [BUMP_UNLESS_HIDDEN, GONE, HIDDEN, *COUNTS_OF_REPORTS, *COVERAGE_OF_REPORTS]
        constraints = [
            *place_constraints("report"),
            *time_constraints("report"),
            models.CheckConstraint(
                condition=Q(count_low__isnull=True, count_high__isnull=True)
                | Q(
                    count_low__isnull=False,
                    count_high__isnull=False,
                    count_low__gte=0,
                    count_high__gte=F("count_low"),
                    count_high__lte=LARGEST,
                ),
                name="report_count_in_order",
                violation_error_message="The high count cannot be below the low one.",
            ),
            models.CheckConstraint(
                condition=Q(count_low__isnull=True) | ~Q(count_unit=""),
                name="report_count_has_a_unit",
                violation_error_message="Say what was counted.",
            ),
            *(
                models.CheckConstraint(
                    condition=Q(**{f"{name}__isnull": True}) | Q(**{f"{name}__range": (0, LARGEST)}),
                    name=f"report_{name}_in_range",
                )
                for name in ("killed", "injured")
            ),
            models.CheckConstraint(condition=~Q(duplicate_of=F("id")), name="report_no_duplicate_of_itself"),
            models.CheckConstraint(
                condition=Q(incident__isnull=True) | ~Q(status__in=OUT), name="report_merged_is_in_scope"
            ),
            models.UniqueConstraint(
                fields=["dataset", "external_id"],
                condition=~Q(external_id=""),
                name="report_external_id_once_per_dataset",
            ),
        ]
        indexes = [
            models.Index(F("occurred_from").desc(), F("id").desc(), name="report_newest_first"),
            models.Index(fields=["occurred_on", "cell"], name="report_day_and_cell"),
            models.Index(fields=["sector", "occurred_on"], name="report_sector_and_day"),
            models.Index(fields=["coalition_sector", "occurred_on"], name="report_coalition_sector_day"),
            models.Index(fields=["filed_at"], condition=Q(status__in=WAITING), name="report_waiting"),
            models.Index(SEVERITY.desc(), F("filed_at"), F("id"), condition=Q(status__in=WAITING), name="report_queue"),
            models.Index(fields=["incident"], condition=Q(incident__isnull=False), name="report_of_incident"),
            models.Index(fields=["duplicate_of"], condition=Q(duplicate_of__isnull=False), name="report_duplicates"),
            models.Index(fields=["batch"], condition=Q(batch__isnull=False), name="report_of_batch"),
            models.Index(fields=["cell", "occurred_on"], name="report_cell_and_day"),
            models.Index(fields=["coalition_cell", "occurred_on"], name="report_coalition_cell_and_day"),
        ]

    def __str__(self):
        return f"V{self.pk} {self.get_kind_display()}"

    def get_absolute_url(self) -> str:
        return reverse("monitoring:report", args=[self.pk])


class StagedReport(models.Model):
    """A row of a file on its way to become a report: tried, not yet committed (``importing``).

    The table has the columns of Report that a file fills, besides these, and is not logged: after a crash of the database
    it is empty, and the file is tried again. It is under no row policy, so that rows can be copied into it; nobody asks it
    but through a batch that they may see.
    """

    batch = models.ForeignKey(ImportBatch, models.DO_NOTHING, db_constraint=False, related_name="+")
    number = models.IntegerField(help_text="Line in the file")
    outcome = models.CharField(max_length=8)
    approved = models.BooleanField()
    external_id = models.CharField(max_length=200)
    content_hash = models.UUIDField()
    target_id = models.BigIntegerField(null=True)
    based_on = models.IntegerField(null=True)
    remarks = models.JSONField(null=True)
    changes = models.JSONField(null=True)
    kind = models.CharField(max_length=20, choices=kinds.Kind)
    occurred_on = models.DateField()
    place_name = models.CharField(max_length=300)
    longitude = models.FloatField(null=True)
    latitude = models.FloatField(null=True)
    place_precision_m = models.FloatField(null=True)
    narrative = models.TextField()

    class Meta:
        managed = False
        ordering = ["number"]

    def __str__(self):
        return f"{self.batch_id} line {self.number}"


class OfReportQuerySet(models.QuerySet):
    def visible_to(self, user):
        """Keep the rows of visible reports."""
        return self.filter(seen_by(user, tier="report__tier", nation=None))


@pghistory.track()
class Evidence(Record):
    """A file that goes with a report. Its type is what its content says; it is served as an attachment only."""

    report = models.ForeignKey(Report, models.CASCADE, related_name="evidence")
    file = models.FileField(upload_to="evidence/%Y/%m/")
    file_name = models.CharField(max_length=200)
    content_type = models.CharField(max_length=100)
    size = models.BigIntegerField(help_text="Bytes")
    sha256 = models.CharField(max_length=64)
    added_by = models.ForeignKey(User, models.SET_NULL, null=True, editable=False, related_name="+")

    objects = OfReportQuerySet.as_manager()

    class Meta(Record.Meta):
        verbose_name_plural = "evidence"
        ordering = ["id"]
        triggers = [BUMP]
        constraints = [models.UniqueConstraint(fields=["report", "sha256"], name="evidence_once_per_report")]

    def __str__(self):
        return self.file_name


class ReportStep(models.Model):
    """One step of a report through triage: who screened it, from where to where, when and why. Never changed afterwards."""

    # The app role may not delete steps: the database takes them along when an import is undone.
    report = models.ForeignKey(Report, models.DO_NOTHING, related_name="steps")
    user = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", help_text="Empty: the system")
    kind = models.CharField(max_length=18, help_text="The step's name in ``monitoring.triage``")
    from_status = models.CharField(max_length=18, choices=Occurrence)
    to_status = models.CharField(max_length=18, choices=Occurrence)
    reason = models.CharField(max_length=1000, blank=True)
    before = models.JSONField(default=dict, blank=True, help_text="What an undo must put back")
    undoes = models.OneToOneField("self", models.DO_NOTHING, null=True, blank=True, related_name="undone_by")
    moved_at = models.DateTimeField(db_default=Now())

    objects = OfReportQuerySet.as_manager()

    class Meta:
        ordering = ["id"]

    def __str__(self):
        return f"V{self.report_id}: {self.from_status} to {self.to_status}"


class ReportMoveQuerySet(models.QuerySet):
    def visible_to(self, user):
        """Keep moves of visible reports between visible incidents."""
        ends = [
            Q(**{f"{end}__isnull": True}) | seen_by(user, tier=f"{end}__tier", nation=None)
            for end in ("from_incident", "to_incident")
        ]
        return self.filter(seen_by(user, tier="report__tier", nation=None), *ends)


class ReportMove(models.Model):
    """Which report came from where and went where in a step: what taking it back needs."""

    step = models.ForeignKey(IncidentStep, models.DO_NOTHING, related_name="moves")
    report = models.ForeignKey(Report, models.DO_NOTHING, related_name="moves")
    from_incident = models.ForeignKey(Incident, models.DO_NOTHING, null=True, related_name="+")
    to_incident = models.ForeignKey(Incident, models.DO_NOTHING, null=True, related_name="+")

    objects = ReportMoveQuerySet.as_manager()

    class Meta:
        ordering = ["step", "report"]
        constraints = [models.UniqueConstraint(fields=["step", "report"], name="move_once_per_step_and_report")]

    def __str__(self):
        return f"V{self.report_id} in step {self.step_id}"
