"""The kernel's nouns: who is in, where and when, what everything hangs on, and the long work done for people."""

import uuid
from datetime import date, datetime
from zoneinfo import ZoneInfo, available_timezones

import pghistory
from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone
from knox.models import AbstractAuthToken

from coalition.access import Role, Tier, actor_of, can, seen_by
from coalition.bookkeeping import BUMP, HIDDEN, CurrentXid, Record

SHARE = [MinValueValidator(0), MaxValueValidator(1)]


class VisibleQuerySet(models.QuerySet):
    """Rows of a model with a tier of its own that belong to no nation."""

    def visible_to(self, user):
        """Keep what the user may see."""
        return self.filter(seen_by(user, nation=None))


class SharedQuerySet(models.QuerySet):
    """Rows that every member may see, and nobody else."""

    def visible_to(self, user):
        """Keep all for members, nothing for strangers."""
        return self.all() if can(user, "see") else self.none()


class OwnQuerySet(models.QuerySet):
    """Rows that belong to the person who made them."""

    def visible_to(self, user):
        """Keep the user's own; planners and administrators see all."""
        return self.all() if can(user, "see_planning") else self.filter(user=actor_of(user).user_id)


class KeptQuerySet(models.QuerySet):
    """Rows that are the business of who made them, and of administrators."""

    def visible_to(self, user):
        """Keep the user's own; administrators see all."""
        return self.all() if can(user, "administer") else self.filter(user=actor_of(user).user_id)


class AdministratorsQuerySet(models.QuerySet):
    """Rows that are the business of administrators alone."""

    def visible_to(self, user):
        """Keep all for administrators, nothing for anybody else."""
        return self.all() if can(user, "administer") else self.none()


def is_time_zone(name: str) -> None:
    """Raise ValidationError unless the name is in the IANA time zone database."""
    if name not in available_timezones():
        raise ValidationError("%(name)s is not a time zone such as Europe/Kyiv.", params={"name": name})


class User(AbstractUser):
    """A person. What they may do is in their membership."""

    email = models.EmailField("e-mail address", unique=True)

    def __str__(self):
        return self.get_full_name() or self.username


@pghistory.track()
class Nation(Record):
    """A nation of the coalition, or beside it. Two letters are its id everywhere."""

    class Standing(models.TextChoices):
        FRAMEWORK = "framework", "Framework nation"
        PARTICIPANT = "participant", "Participant"
        CONSIDERING = "considering", "Considering"
        OBSERVER = "observer", "Observer"
        DECLINED = "declined", "Declined"
        HOST = "host", "Host nation"

    code = models.CharField(
        "ISO 3166 alpha-2", max_length=2, primary_key=True, validators=[RegexValidator(r"^[A-Z]{2}$")]
    )
    stanag = models.CharField("STANAG 1059", max_length=3, unique=True, validators=[RegexValidator(r"^[A-Z]{3}$")])
    name = models.CharField(max_length=100, unique=True)
    standing = models.CharField(max_length=12, choices=Standing, default=Standing.CONSIDERING)
    standing_source = models.CharField(
        max_length=500, blank=True, help_text="Where the standing was said, with its address"
    )
    approval_route = models.CharField(
        max_length=500, blank=True, help_text="Who must agree at home before forces go, and in which order"
    )
    focal_point = models.CharField(max_length=200, blank=True, help_text="Whom to call about this nation's pledges")
    last_confirmed_at = models.DateTimeField(null=True, blank=True)

    objects = SharedQuerySet.as_manager()

    class Meta(Record.Meta):
        ordering = ["name"]
        constraints = [models.CheckConstraint(condition=Q(code__regex="^[A-Z]{2}$"), name="nation_code_alpha2")]

    def __str__(self):
        return self.name


@pghistory.track()
class Membership(models.Model):
    """What one person may do, and for which nation."""

    user = models.OneToOneField(User, models.CASCADE, related_name="membership")
    nation = models.ForeignKey(Nation, models.PROTECT, null=True, blank=True, related_name="memberships")
    role = models.CharField(max_length=13, choices=Role)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(role=Role.OFFICER) | Q(nation__isnull=False),
                name="membership_officer_has_nation",
                violation_error_message="A staff officer belongs to a nation.",
            )
        ]

    def __str__(self):
        return f"{self.user}: {self.get_role_display()}"


class Invitation(models.Model):
    """A link with which one person makes their own account. What they may then do was fixed by who invited them."""

    digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the secret in the link, as hex")
    for_whom = models.CharField(max_length=120)
    role = models.CharField(max_length=13, choices=Role)
    nation = models.ForeignKey(Nation, models.PROTECT, null=True, blank=True, related_name="+")
    invited_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    accepted_at = models.DateTimeField(null=True, blank=True)
    accepted_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(role=Role.OFFICER) | Q(nation__isnull=False),
                name="invitation_officer_has_nation",
                violation_error_message="A staff officer belongs to a nation.",
            )
        ]

    def __str__(self):
        return f"{self.for_whom}: {self.get_role_display()}"


@pghistory.track()
class Operation(Record):
    """A planned mission. Pledges, requirements and conditions belong to one; its days are days in its time zone."""

    code = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=120)
    starts_on = models.DateField(help_text="The first day of the plan")
    activated_on = models.DateField(
        null=True,
        blank=True,
        help_text="The day the order was given, or is expected; empty while there is none",
    )
    mandate_until = models.DateField(null=True, blank=True, help_text="Last day; empty means open-ended")
    time_zone = models.CharField(max_length=60, default="Europe/Kyiv", validators=[is_time_zone])
    is_current = models.BooleanField(default=False, help_text="Pages show this one unless another is asked for")
    illustrative = models.BooleanField(default=False)
    confirm_every_days = models.PositiveSmallIntegerField(
        default=30,
        validators=[MinValueValidator(1)],
        help_text="A pledge not confirmed for longer is overdue",
    )
    half_life_days = models.PositiveSmallIntegerField(
        default=90,
        validators=[MinValueValidator(1)],
        help_text="Certainty halves for every so many days overdue",
    )
    certainty_signalled = models.FloatField(default=0.15, validators=SHARE)
    certainty_offered = models.FloatField(default=0.40, validators=SHARE)
    certainty_committed = models.FloatField(default=0.85, validators=SHARE)
    certainty_ready = models.FloatField(default=0.95, validators=SHARE)
    certainty_deploying = models.FloatField(default=0.98, validators=SHARE)
    certainty_in_place = models.FloatField(default=1.0, validators=SHARE)

    objects = SharedQuerySet.as_manager()

    class Meta(Record.Meta):
        ordering = ["-is_current", "-starts_on", "id"]
        constraints = [
            models.UniqueConstraint(fields=["is_current"], condition=Q(is_current=True), name="operation_one_current"),
            models.CheckConstraint(
                condition=Q(mandate_until__isnull=True) | Q(mandate_until__gte=F("starts_on")),
                name="operation_mandate_ends_after_start",
                violation_error_message="The mandate cannot end before the operation starts.",
            ),
            *(
                models.CheckConstraint(
                    condition=Q(**{f"certainty_{step}__range": (0, 1)}), name=f"operation_certainty_{step}"
                )
                for step in ("signalled", "offered", "committed", "ready", "deploying", "in_place")
            ),
        ]

    def __str__(self):
        return self.name

    def today(self) -> date:
        """Return the calendar day it now is in the operation's time zone."""
        return timezone.now().astimezone(ZoneInfo(self.time_zone)).date()

    def day_of(self, instant: datetime) -> date:
        """Return the calendar day of an instant in the operation's time zone."""
        return instant.astimezone(ZoneInfo(self.time_zone)).date()


@pghistory.track()
class Sector(Record):
    """A named area on the ground. Areas of kind sector do not overlap (judged by Shapely when written)."""

    class Kind(models.TextChoices):
        SECTOR = "sector", "Sector"
        BUFFER_ZONE = "buffer_zone", "Buffer zone"
        DISENGAGEMENT_AREA = "disengagement_area", "Disengagement area"
        WITHDRAWAL_LINE = "withdrawal_line", "Withdrawal line"
        PROTECTED_SITE = "protected_site", "Protected site"

    code = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=20, choices=Kind, default=Kind.SECTOR)
    polygon = models.JSONField(help_text="GeoJSON Polygon or MultiPolygon, WGS 84, longitude first (RFC 7946)")
    illustrative = models.BooleanField(default=False)

    objects = SharedQuerySet.as_manager()

    class Meta(Record.Meta):
        ordering = ["code"]

    def __str__(self):
        return f"{self.code} {self.name}"


@pghistory.track()
class Condition(Record):
    """Something outside a nation's hands that many pledges hang on. One shared object, so that they fall together."""

    class Kind(models.TextChoices):
        BACKSTOP = "backstop", "US backstop"
        PARLIAMENT = "parliament", "Parliament"
        GOVERNMENT = "government", "Government decision"
        MANDATE = "mandate", "Mandate"
        CEASEFIRE = "ceasefire", "Ceasefire in force"
        HOST_AGREEMENT = "host_agreement", "Host agreement"
        COMMAND_ROLE = "command_role", "Command role"
        PARTNER = "partner", "Partner"
        ENABLER = "enabler", "Enabler"
        RULES_OF_ENGAGEMENT = "rules_of_engagement", "Rules of engagement"
        FUNDING = "funding", "Funding"
        EQUIPMENT_RELEASE = "equipment_release", "Equipment release"
        END_OF_MISSION = "end_of_mission", "End of another mission"
        SECURITY_LEVEL = "security_level", "Security level"

    class State(models.TextChoices):
        OPEN = "open", "Open"
        MET = "met", "Met"
        WAIVED = "waived", "Waived"
        FAILED = "failed", "Failed"

    operation = models.ForeignKey(Operation, models.PROTECT, related_name="conditions")
    kind = models.CharField(max_length=20, choices=Kind)
    title = models.CharField(max_length=200)
    nation = models.ForeignKey(
        Nation,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="conditions",
        help_text="Whose parliament or government; empty when shared by all",
    )
    state = models.CharField(max_length=6, choices=State, default=State.OPEN)
    probability = models.FloatField(
        "probability while open", default=0.5, validators=SHARE, help_text="0 to 1; planning tier only"
    )
    due_on = models.DateField("due on", null=True, blank=True, help_text="The day it should be decided")
    tier = models.PositiveSmallIntegerField(choices=Tier, default=Tier.COALITION)
    note = models.TextField(blank=True, max_length=4000)
    source_url = models.URLField(max_length=500, blank=True)
    illustrative = models.BooleanField(default=False)

    objects = VisibleQuerySet.as_manager()

    class Meta(Record.Meta):
        ordering = ["kind", "title", "id"]
        triggers = [*Record.Meta.triggers, HIDDEN]
        constraints = [
            models.UniqueConstraint(fields=["operation", "title"], name="condition_title_unique"),
            models.CheckConstraint(condition=Q(probability__range=(0, 1)), name="condition_probability_is_share"),
        ]

    def __str__(self):
        return self.title

    @property
    def is_overdue(self) -> bool:
        """True when it is still open past its due day; its probability stays what was entered."""
        return self.state == self.State.OPEN and self.due_on is not None and self.due_on < self.operation.today()


class Job(models.Model):
    """Long work done for somebody. This row is the truth about it; Celery only carries its id."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=40)
    user = models.ForeignKey(User, models.CASCADE, null=True, blank=True, related_name="jobs")
    state = models.CharField(max_length=9, choices=State, default=State.WAITING)
    done = models.BigIntegerField(default=0, help_text="Units of work finished")
    total = models.BigIntegerField(null=True, blank=True, help_text="Units of work in all; empty while unknown")
    attempts = models.PositiveSmallIntegerField(default=0)
    arguments = models.JSONField(default=dict, blank=True)
    result = models.JSONField(null=True, blank=True)
    error = models.TextField(blank=True)
    idempotency_key = models.CharField(max_length=100, null=True, blank=True, unique=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = OwnQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["state", "created_at"])]

    def __str__(self):
        return f"{self.kind} {self.id}"

    @property
    def is_over(self) -> bool:
        return self.state in (self.State.DONE, self.State.FAILED, self.State.CANCELLED)

    @property
    def share(self) -> float | None:
        """The finished share, 0 to 1, or None while the total is unknown."""
        return min(self.done / self.total, 1) if self.total else None


class Stale(models.Model):
    """A mark: the stored answer for this key no longer holds. Insert-only; see ``coalition.stale``."""

    kind = models.CharField(max_length=30)
    key = models.CharField(max_length=200)
    marked_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["kind", "id"])]

    def __str__(self):
        return f"{self.kind} {self.key}"


class Tombstone(models.Model):
    """A thing that was deleted, or that fewer people may see than before. The feed tells it to those who could."""

    kind = models.CharField(max_length=60, help_text="The table it stood in")
    object_id = models.CharField(max_length=60)
    tier_before = models.PositiveSmallIntegerField(choices=Tier)
    nation_id = models.CharField(max_length=2, null=True, blank=True)
    left_at = models.DateTimeField(db_default=Now())
    changed_xid = models.BigIntegerField(db_default=CurrentXid(), db_index=True)

    def __str__(self):
        return f"{self.kind} {self.object_id}"


class ImportBatch(Record):
    """One uploaded file on its way in: parsed, mapped, tried, committed as a whole, and undone if it must be."""

    class State(models.TextChoices):
        UPLOADED = "uploaded", "Uploaded"
        READING = "reading", "Being read"
        UNREADABLE = "unreadable", "Could not be read"
        READ = "read", "Read, to be mapped"
        TRYING = "trying", "Being tried"
        TRIED = "tried", "Tried, to be approved"
        COMMITTING = "committing", "Being committed"
        COMMITTED = "committed", "Committed"
        UNDONE = "undone", "Undone"
        CANCELLED = "cancelled", "Cancelled"

    profile = models.CharField(max_length=40, help_text="What the rows are, and which reader understands them")
    operation = models.ForeignKey(Operation, models.PROTECT, null=True, blank=True, related_name="batches")
    user = models.ForeignKey(User, models.PROTECT, related_name="batches")
    file = models.FileField(upload_to="imports/%Y/%m/")
    file_name = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64)
    size = models.BigIntegerField(help_text="Bytes")
    dataset = models.SlugField(max_length=60, help_text="Rows keep their id within this data set")
    state = models.CharField(max_length=10, choices=State, default=State.UPLOADED)
    header = models.JSONField(default=list, blank=True)
    summary = models.JSONField(default=dict, blank=True, help_text="What the reader found in the file")
    mapping = models.JSONField(default=dict, blank=True)
    counts = models.JSONField(default=dict, blank=True, help_text="Rows new, changed, same, rejected, and so on")
    error = models.TextField(blank=True)
    job = models.ForeignKey(Job, models.SET_NULL, null=True, blank=True, related_name="batches")
    committed_at = models.DateTimeField(null=True, blank=True)
    undone_at = models.DateTimeField(null=True, blank=True)

    objects = OwnQuerySet.as_manager()

    class Meta(Record.Meta):
        ordering = ["-created_at", "-id"]
        triggers = [BUMP]  # no tombstone: batches are their owner's business, and tombstones go by tier

    def __str__(self):
        return self.file_name


class ImportRow(models.Model):
    """One row of a batch as it was tried: what it would do, and why not if it would not."""

    class Outcome(models.TextChoices):
        NEW = "new", "New"
        CHANGED = "changed", "Changed"
        SAME = "same", "Same"
        REJECTED = "rejected", "Rejected"
        STANDING = "standing", "A nation's standing"

    batch = models.ForeignKey(ImportBatch, models.CASCADE, related_name="rows")
    number = models.PositiveIntegerField(help_text="Line in the file, as a spreadsheet counts: the header is 1")
    external_id = models.CharField(max_length=200, blank=True)
    outcome = models.CharField(max_length=8, choices=Outcome)
    cells = models.JSONField(help_text="The row as it stood in the file")
    values = models.JSONField(default=dict, blank=True, help_text="What was understood")
    problems = models.JSONField(default=list, blank=True, help_text="Column, value and reason for each problem")
    approved = models.BooleanField(default=True, help_text="Taken along when the batch is committed")
    target_id = models.BigIntegerField(null=True, blank=True, help_text="The row it made, changed or would change")
    before = models.JSONField(null=True, blank=True, help_text="What stood there before, to put back on undo")
    target_version = models.PositiveIntegerField(null=True, blank=True, help_text="Its version after the commit")

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["batch", "number"], name="import_row_once_per_line")]
        indexes = [models.Index(fields=["batch", "outcome", "number"])]

    def __str__(self):
        return f"{self.batch} line {self.number}"


class IdempotencyKey(models.Model):
    """The answer to a create that may be sent twice over a bad line."""

    user = models.ForeignKey(User, models.CASCADE, related_name="+")
    key = models.CharField(max_length=200)
    request_hash = models.CharField(max_length=64, help_text="SHA-256 of method, path and body")
    status = models.PositiveSmallIntegerField(null=True)
    answer = models.JSONField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="idempotency_key_once_per_user")]

    def __str__(self):
        return self.key


class ApiToken(AbstractAuthToken):
    """A token for programs: hashed at rest, expiring, limited to a scope."""

    class Scope(models.TextChoices):
        READ = "read", "Read"
        LOG_PLEDGES = "log_pledges", "Log pledges"
        FILE_REPORTS = "file_reports", "File reports"

    name = models.CharField(max_length=100, blank=True)
    scope = models.CharField(max_length=12, choices=Scope, default=Scope.READ)
    last_used_at = models.DateTimeField(null=True, blank=True)


class WebhookSubscription(models.Model):
    """Where somebody wants to be told that things changed, and of what. The secret is worked out, not stored."""

    class State(models.TextChoices):
        ACTIVE = "active", "Active"
        PAUSED = "paused", "Paused"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="webhooks")
    name = models.CharField(max_length=100)
    address = models.CharField(max_length=500, help_text="An https address on a network the operator lists")
    kinds = models.JSONField(help_text="Resources of the feed of changes, sorted")
    tier = models.PositiveSmallIntegerField(
        choices=Tier, default=Tier.COALITION, help_text="Tells of nothing above this tier, nor above its owner's"
    )
    state = models.CharField(max_length=6, choices=State, default=State.ACTIVE)
    paused_because = models.CharField(max_length=200, blank=True)
    place = models.JSONField(help_text="The last place of the feed that was read: transaction, kind, key")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = KeptQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "id"]

    def __str__(self):
        return self.name


class WebhookDelivery(models.Model):
    """One message to a subscription's address, and what became of it. Its id stays the same however often it is sent."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        DELIVERED = "delivered", "Delivered"
        DEAD = "dead", "Given up"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    subscription = models.ForeignKey(WebhookSubscription, models.CASCADE, related_name="deliveries")
    payload = models.JSONField()
    state = models.CharField(max_length=9, choices=State, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(db_default=Now(), help_text="Not sent before; while it is being sent, not again")
    status = models.PositiveSmallIntegerField(null=True, blank=True, help_text="Of the last answer, if there was one")
    error = models.CharField(max_length=300, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True, help_text="When it was last sent")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-created_at", "id"]
        indexes = [
            models.Index(fields=["state", "next_at"]),
            models.Index(fields=["subscription", "-created_at"]),
        ]

    def __str__(self):
        return f"msg_{self.id.hex}"

    @property
    def changes(self) -> int:
        """How many changes it tells of; a test tells of none."""
        return len(self.payload["data"].get("changes", ()))


class HistorySeal(models.Model):
    """A closed stretch of one history table: a digest of each row, chained to the seal before it, and signed."""

    number = models.BigIntegerField(primary_key=True, help_text="1 and up, without gaps")
    day = models.DateField(db_index=True, help_text="The day it was sealed, in UTC")
    table_name = models.CharField(max_length=63)
    columns = models.JSONField(help_text="Name and type of each column the digests are of, the key first")
    after = models.BigIntegerField(null=True, help_text="The stretch begins behind this key; empty: at the very first")
    through = models.BigIntegerField(help_text="And ends with this one")
    rows = models.PositiveIntegerField()
    total = models.BigIntegerField(help_text="Rows of all tables sealed so far, these included")
    keys = models.BinaryField(help_text="The rows' keys, eight bytes each")
    digests = models.BinaryField(help_text="Their SHA-256, 32 bytes each")
    previous = models.BinaryField(max_length=32, help_text="The head before")
    head = models.BinaryField(max_length=32, help_text="SHA-256 of all of the above")
    sealed_at = models.DateTimeField()
    key = models.CharField(max_length=64, help_text="The public key of who signed it, in hexadecimal")
    signature = models.BinaryField(max_length=64, help_text="Ed25519, of the checkpoint")

    objects = AdministratorsQuerySet.as_manager()

    class Meta:
        ordering = ["number"]
        indexes = [models.Index(fields=["table_name", "-number"])]

    def __str__(self):
        return f"Seal {self.number} of {self.day}"
