"""What was reported, by whom, and what was made of it. Which rows count, and when, is asked of the querysets."""

import pghistory
import pgtrigger
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GistIndex
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Case, F, Func, Q, Value, When
from django.db.models.functions import Now
from django.urls import reverse

from coalition.access import Tier, actor_of, seen_by
from coalition.bookkeeping import BUMP, GONE, HIDDEN, XID, Record, marks_stale
from coalition.models import ImportBatch, Sector, SharedQuerySet, User
from monitoring import kinds

LARGEST = 10**7  # rounds, people, aircraft; more is a slip of the hand
COVERED_TOGETHER = 100  # ids whose coverage is worked out together: one mark for so many rows of an import
VAGUEST_M = 10_000  # a place vaguer than this has no sector and no cell: it is counted as "place too vague"
HALF_THE_EARTH_M = 20_100_000  # nothing is vaguer
COUNT = {"validators": [MaxValueValidator(LARGEST)], "null": True, "blank": True}

# What a change makes stale in the counts: see ``monitoring.rollups`` for the keys. A statement that changes many rows of
# a day marks the whole day. An incident and its reports are marked by the incident's id and looked up by the worker,
# who sees all of them: the writer need not.
WHOLE_DAY_FROM = 20
COUNTS_OF_REPORTS = marks_stale(
    "counts",
    f"""
    SELECT found.key FROM (
        SELECT to_char(occurred_on, 'YYYY-MM-DD') AS day, count(*) AS changed,
            array_agg(coalesce(cell, 0)) || array_agg(coalesce(coalition_cell, 0)) AS cells,
            array_agg(incident_id) FILTER (WHERE incident_id IS NOT NULL) AS incidents
        FROM changed_rows GROUP BY occurred_on
    ) AS days
    CROSS JOIN LATERAL (
        SELECT days.day WHERE days.changed >= {WHOLE_DAY_FROM}
        UNION ALL
        SELECT days.day || ':' || cell FROM unnest(days.cells) AS cell WHERE days.changed < {WHOLE_DAY_FROM}
        UNION ALL
        SELECT 'incident:' || incident FROM unnest(days.incidents) AS incident
    ) AS found (key)
    """,
)
COUNTS_OF_INCIDENTS = marks_stale(
    "counts",
    """
    SELECT found.key FROM changed_rows CROSS JOIN LATERAL (VALUES
        (to_char(occurred_on, 'YYYY-MM-DD') || ':' || coalesce(cell, 0)),
        (to_char(occurred_on, 'YYYY-MM-DD') || ':' || coalesce(coalition_cell, 0)),
        ('incident:' || id)
    ) AS found (key)
    """,
)
COUNTS_OF_SOURCES = marks_stale("counts", "SELECT 'source:' || id FROM changed_rows")
# What a change makes stale in the answers of ``monitoring.coverage``: blocks of neighbouring ids.
SEEN_PLACE = (  # what is seen of a place by any tier; sectors, zones and cells follow from it
    "longitude",
    "latitude",
    "place_precision_m",
    "sensitive",
    "coalition_longitude",
    "coalition_latitude",
    "public_longitude",
    "public_latitude",
)
DEPENDS_ON = ("kind", "facility_class", "accused_id", "occurred_from", "occurred_until", "tier", *SEEN_PLACE)
COVERAGE_OF_REPORTS = marks_stale(
    "coverage",
    f"SELECT 'reports:' || block FROM (SELECT DISTINCT id / {COVERED_TOGETHER} AS block FROM changed_rows) AS blocks",
    heeds=DEPENDS_ON,
)
COVERAGE_OF_INCIDENTS = marks_stale(
    "coverage",
    f"SELECT 'incidents:' || block FROM (SELECT DISTINCT id / {COVERED_TOGETHER} AS block FROM changed_rows) AS blocks",
    heeds=(*DEPENDS_ON, "attribution", "attributed_to_id"),
)


class TieredQuerySet(models.QuerySet):
    """Rows of no nation, with a release tier."""

    def visible_to(self, user):
        """Keep what the user may see: up to their tier."""
        return self.filter(seen_by(user, nation=None))


class PointAt(Func):
    """The core type ``point`` of a longitude and a latitude, for boxes on a GiST index. Null where one of them is."""

    function = "point"
    output_field = models.TextField()


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


class Occurrence(models.TextChoices):
    """How far it is established that something happened. The last two stand apart: they count nowhere."""

    RECEIVED = "received", "Received"
    SCREENED = "screened", "Screened"
    UNDER_VERIFICATION = "under_verification", "Under verification"
    CORROBORATED = "corroborated", "Corroborated"
    PLAUSIBLE = "plausible", "Plausible"
    UNSUBSTANTIATED = "unsubstantiated", "Unsubstantiated"
    REFUTED = "refuted", "Refuted"
    CANNOT_VERIFY = "cannot_verify", "Cannot verify"
    DUPLICATE = "duplicate", "Duplicate"
    OUT_OF_SCOPE = "out_of_scope", "Out of scope"


OUT = (Occurrence.DUPLICATE, Occurrence.OUT_OF_SCOPE)
WAITING = (Occurrence.RECEIVED, Occurrence.SCREENED, Occurrence.UNDER_VERIFICATION)


class Confidence(models.TextChoices):
    LOW = "low", "Low"
    MODERATE = "moderate", "Moderate"
    HIGH = "high", "High"


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


class TimePrecision(models.TextChoices):
    """How exactly the time is known; ``occurred_from`` and ``occurred_until`` always hold the whole of what may be."""

    EXACT = "exact", "To the minute"
    SPAN = "span", "Between two times"
    PART_OF_DAY = "part_of_day", "Part of a day"
    DAY = "day", "On that day"
    DAYS = "days", "Within some days"


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
            models.Index(fields=["filed_at"], condition=Q(status__in=WAITING), name="report_waiting"),
            models.Index(SEVERITY.desc(), F("filed_at"), F("id"), condition=Q(status__in=WAITING), name="report_queue"),
            models.Index(fields=["incident"], condition=Q(incident__isnull=False), name="report_of_incident"),
            models.Index(fields=["duplicate_of"], condition=Q(duplicate_of__isnull=False), name="report_duplicates"),
            models.Index(fields=["batch"], condition=Q(batch__isnull=False), name="report_of_batch"),
            GistIndex(PointAt("longitude", "latitude"), name="report_point"),
            GistIndex(PointAt("coalition_longitude", "coalition_latitude"), name="report_coalition_point"),
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
            models.Index(fields=["month", "cell"]),
            models.Index(
                fields=["tier", "month"],
                include=["cell", "kind", "accused", "occurrence", "source_class", "sector", "events", "reports"],
                name="hex_month_of_months",
            ),
        ]

    def __str__(self):
        return f"{self.month:%Y-%m} {self.cell} {self.kind}: {self.events}"


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
