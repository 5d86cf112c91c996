"""What was counted, and what is covered: stored answers, each as one tier sees it."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from coalition.access import Tier, actor_of
from coalition.models import Sector
from monitoring import kinds
from monitoring.kinds import Occurrence
from monitoring.models.agreements import Provision
from monitoring.models.incidents import Incident
from monitoring.models.reports import Report
from monitoring.models.sources import Party, Source


class CountQuerySet(models.QuerySet):
    def seen_at(self, tier: int):
        """Keep the counts of one tier: never add those of two, each holds all that its tier sees."""
        return self.filter(tier=tier)


class Tally(models.Model):
    """Counts as one tier sees them, made of exactly the rows and places that tier sees; written by ``rollups`` alone.

    An event is an incident, or a report in scope that is not merged into an incident the tier sees. A report is counted
    by its own day, place, kind, accused and source, an incident by its own. A merged report has its incident's occurrence.
    """

    kind = models.CharField(max_length=20, choices=kinds.Kind)
    accused = models.ForeignKey(
        Party, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    occurrence = models.CharField(max_length=18, choices=Occurrence)
    source_class = models.CharField(
        max_length=8, choices=Source.Class, help_text="Empty: an incident none of whose reports the tier sees"
    )
    sector = models.ForeignKey(
        Sector, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    tier = models.PositiveSmallIntegerField(choices=Tier)
    events = models.IntegerField()
    reports = models.IntegerField(help_text="Reports in scope, merged or not")

    objects = CountQuerySet.as_manager()

    class Meta:
        abstract = True


class CountedTally(Tally):
    """Counts with what the reports themselves counted, one row per unit: sums never cross units."""

    class Placed(models.TextChoices):
        PLACED = "placed", "Placed"
        TOO_VAGUE = "too_vague", "Place too vague"
        NO_PLACE = "no_place", "No place"

    place = models.CharField(max_length=9, choices=Placed)
    count_unit = models.CharField(
        max_length=11, choices=kinds.CountUnit, help_text="Empty: an incident, or a report that names no unit"
    )
    low = models.BigIntegerField(help_text="Sum of the low counts of the reports whose count is known")
    high = models.BigIntegerField(help_text="Sum of their high counts")
    unknown = models.IntegerField(help_text="Reports whose count is not known")

    class Meta:
        abstract = True


class DailyCount(CountedTally):
    """Counts per day, sector, kind, accused, occurrence, source class and tier."""

    day = models.DateField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "tier",
                    "day",
                    "kind",
                    "accused",
                    "occurrence",
                    "source_class",
                    "sector",
                    "place",
                    "count_unit",
                ],
                nulls_distinct=False,
                name="daily_count_once",
            )
        ]
        indexes = [models.Index(fields=["day"])]

    def __str__(self):
        return f"{self.day} {self.kind}: {self.events}"


class HexCount(CountedTally):
    """Counts per day and cell. Rows without a cell hold what has no place, or too vague a one: they are on no map."""

    day = models.DateField()
    cell = models.BigIntegerField(null=True, help_text="H3, resolution 5; of the place that the tier sees")

    class Meta:
        indexes = [
            models.Index(fields=["day", "cell"]),
            models.Index(
                fields=["tier", "day"],
                include=["cell", "kind", "accused", "occurrence", "source_class", "sector", "events", "reports"],
                name="hex_count_of_days",
            ),
            models.Index(
                fields=["tier", "day"],
                include=["place", "kind", "accused", "occurrence", "source_class", "sector", "events"],
                condition=Q(cell__isnull=True),
                name="hex_count_on_no_map",
            ),
        ]

    def __str__(self):
        return f"{self.day} {self.cell} {self.kind}: {self.events}"


class HexMonth(Tally):
    """``HexCount`` summed over whole months, so that a map of years need not read every day."""

    month = models.DateField(help_text="The first day of the month")
    cell = models.BigIntegerField()

    class Meta:
        indexes = [
            models.Index(fields=["cell", "month"], name="hex_month_of_cell"),
            models.Index(
                fields=["tier", "month"],
                include=["cell", "kind", "accused", "occurrence", "source_class", "sector", "events", "reports"],
                name="hex_month_of_months",
            ),
        ]

    def __str__(self):
        return f"{self.month:%Y-%m} {self.cell} {self.kind}: {self.events}"


class HexMonthSlice(models.Model):
    """``HexMonth`` summed over all its dimensions but one, or over all: what a map of years asks most reads few rows.

    A question that asks of two dimensions at once is answered by ``HexMonth``.
    """

    class Axis(models.TextChoices):
        ALL = "", "All"
        KIND = "kind", "Kind"
        ACCUSED = "accused", "Accused"
        OCCURRENCE = "occurrence", "Occurrence"
        SOURCE_CLASS = "source_class", "Source class"
        SECTOR = "sector", "Sector"

    tier = models.PositiveSmallIntegerField(choices=Tier)
    month = models.DateField(help_text="The first day of the month")
    cell = models.BigIntegerField()
    axis = models.CharField(max_length=12, choices=Axis, blank=True)
    value = models.CharField(max_length=20, blank=True, help_text="A word or an id; empty for none, and for all")
    events = models.IntegerField()
    reports = models.IntegerField()

    objects = CountQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["month", "cell"], name="hex_slice_month_and_cell"),
            models.Index(
                fields=["tier", "axis", "value", "month"],
                include=["cell", "events", "reports"],
                name="hex_slice_of_months",
            ),
        ]

    def __str__(self):
        return f"{self.month:%Y-%m} {self.cell} {self.axis}={self.value}: {self.events}"


class CoverageQuerySet(models.QuerySet):
    def visible_to(self, user):
        """Keep the answers that hold at the user's tier, on things and of agreements that they may see."""
        tier = actor_of(user).tier
        return self.filter(
            Q(report__tier__lte=tier) | Q(incident__tier__lte=tier),
            tier_from__lte=tier,
            tier_until__gte=tier,
            provision__agreement__tier__lte=tier,
        )


class Coverage(models.Model):
    """Whether a provision covers an act by one party's dates: the stored answer of ``monitoring.coverage``.

    Only where the answer of at least one party is not *no*. ``tier_from`` to ``tier_until`` are the tiers it holds for:
    one that sees a sensitive place less exactly has an answer of its own. No foreign key guards it: it goes with the
    next sweep, and readers join what it is about.
    """

    class Answer(models.TextChoices):
        YES = "yes", "Covered"
        NO = "no", "Not in force"
        UNCLEAR = "unclear", "Cannot tell"

    class When(models.TextChoices):
        WITHIN = "within", "Within the term"
        BEFORE = "before", "Before it began"
        AFTER = "after", "After it ended"
        BETWEEN = "between", "Between two terms"
        ACROSS_START = "across_start", "Across its beginning"
        ACROSS_END = "across_end", "Across its end"

    report = models.ForeignKey(
        Report, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="coverage"
    )
    incident = models.ForeignKey(
        Incident, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="coverage"
    )
    provision = models.ForeignKey(
        Provision, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="coverage"
    )
    party = models.ForeignKey(
        Party, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+", help_text="By whose dates"
    )
    tier_from = models.PositiveSmallIntegerField(choices=Tier)
    tier_until = models.PositiveSmallIntegerField(choices=Tier)
    answer = models.CharField(max_length=7, choices=Answer)
    when = models.CharField(max_length=12, choices=When)
    at = models.DateTimeField(null=True, help_text="The beginning or end of the term that decided")
    doubts = ArrayField(models.CharField(max_length=10), default=list, help_text="Dimensions of which one cannot tell")

    objects = CoverageQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "coverage"
        constraints = [
            models.CheckConstraint(
                condition=Q(report__isnull=True, incident__isnull=False)
                | Q(report__isnull=False, incident__isnull=True),
                name="coverage_is_of_one_thing",
            ),
            models.CheckConstraint(condition=Q(tier_until__gte=F("tier_from")), name="coverage_tiers_in_order"),
        ]
        indexes = [
            models.Index(fields=["report"], condition=Q(report__isnull=False), name="coverage_of_report"),
            models.Index(fields=["incident"], condition=Q(incident__isnull=False), name="coverage_of_incident"),
            models.Index(fields=["provision", "party", "answer"], name="coverage_by_provision"),
        ]

    def __str__(self):
        return f"{self.get_answer_display()} under provision {self.provision_id} by party {self.party_id}"
