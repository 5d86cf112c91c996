"""What is needed and what is offered. Which rows count, and when, is asked of the querysets in sentences."""

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType

import pghistory
import pgtrigger
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.urls import reverse

from coalition.access import Tier, actor_of, seen_by
from coalition.bookkeeping import BUMP, HIDDEN, XID, Record, marks_stale
from coalition.models import (
    Condition,
    ImportBatch,
    Nation,
    Operation,
    Sector,
    SharedQuerySet,
    User,
    VisibleQuerySet,
)
from pledges import standing
from pledges.counting import LEVELS, at_or_above

LARGEST = 10**12  # in any unit; more is a slip of the hand
QUANTITY = {
    "max_digits": 15,
    "decimal_places": 2,
    "validators": [MinValueValidator(0), MaxValueValidator(LARGEST)],
}

NEEDS_READINESS = marks_stale("readiness", "SELECT operation_id || ':' || capability_id FROM changed_rows")


def tier_of_allocations(end: str) -> pgtrigger.Trigger:
    """Return the trigger that renews the tier of the allocations at one end when that end's tier changes."""
    return pgtrigger.Trigger(
        name="tier_of_allocations",
        when=pgtrigger.After,
        operation=pgtrigger.UpdateOf("tier"),
        func=f"UPDATE pledges_allocation SET tier = NEW.tier WHERE {end} = NEW.id; RETURN NULL;",
    )


# An allocation is seen by who sees both of its ends; a nation, which sees all its own pledges, by the line's tier alone.
_ALLOCATION_LEFT = f"""
INSERT INTO coalition_tombstone (kind, object_id, tier_before, nation_id, left_at, changed_xid)
SELECT 'pledges_allocation', {{allocation}}.id, greatest(pledge.tier, {{line_tier}}),
    CASE WHEN {{line_tier}} < {Tier.PLANNING:d} THEN pledge.nation_id END, now(), {XID}
FROM {{sources}};
RETURN NULL;
"""
ALLOCATION_GONE = pgtrigger.Trigger(
    name="gone",
    when=pgtrigger.After,
    operation=pgtrigger.Delete,
    func=_ALLOCATION_LEFT.format(
        allocation="OLD",
        line_tier="line.tier",
        sources="pledges_pledge AS pledge, pledges_requirement AS line"
        " WHERE pledge.id = OLD.pledge_id AND line.id = OLD.requirement_id",
    ),
)
ALLOCATIONS_HIDDEN = pgtrigger.Trigger(
    name="allocations_hidden",
    when=pgtrigger.After,
    operation=pgtrigger.UpdateOf("tier"),
    condition=pgtrigger.Condition("NEW.tier > OLD.tier"),
    func=_ALLOCATION_LEFT.format(
        allocation="allocation",
        line_tier="OLD.tier",
        sources="pledges_allocation AS allocation JOIN pledges_pledge AS pledge ON pledge.id = allocation.pledge_id"
        " WHERE allocation.requirement_id = NEW.id",
    ),
)


@pghistory.track()
class Capability(Record):
    """A kind of thing a force needs, counted in one honest unit."""

    class Category(models.TextChoices):
        TROOPS = "troops", "Troops"
        LOGISTICS = "logistics", "Logistics"
        SURVEILLANCE = "surveillance", "Surveillance"
        ENGINEERING = "engineering", "Engineering"
        MEDICAL = "medical", "Medical"
        AIR_DEFENCE = "air_defence", "Air defence"
        AIR = "air", "Air"
        MARITIME = "maritime", "Maritime"
        DEMINING = "demining", "Demining"
        COMMAND = "command", "Command and communications"
        TRAINING = "training", "Training"
        FINANCE = "finance", "Finance"

    class Aggregation(models.TextChoices):
        SUM = "sum", "Quantities add up"
        ANY = "any", "One pledge alone must reach the need"

    code = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=120, unique=True)
    category = models.CharField(max_length=13, choices=Category)
    unit = models.CharField(max_length=40, help_text="One unit, as it is counted: persons, beds, tonnes a day")
    aggregation = models.CharField(max_length=3, choices=Aggregation, default=Aggregation.SUM)
    description = models.CharField(max_length=500, blank=True)

    objects = SharedQuerySet.as_manager()

    class Meta(Record.Meta):
        verbose_name_plural = "capabilities"
        ordering = ["category", "name"]

    def __str__(self):
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("capabilities:detail", args=[self.code])


@pghistory.track()
class Requirement(Record):
    """One line of the plan: so much of a capability, in a sector or anywhere, from day to day."""

    class Priority(models.IntegerChoices):
        FIRST = 1, "1 essential"
        SECOND = 2, "2 important"
        THIRD = 3, "3 useful"

    operation = models.ForeignKey(Operation, models.PROTECT, related_name="requirements")
    capability = models.ForeignKey(Capability, models.PROTECT, related_name="requirements")
    sector = models.ForeignKey(Sector, models.PROTECT, null=True, blank=True, related_name="requirements")
    title = models.CharField(max_length=200, blank=True, help_text="What sets this line apart from its neighbours")
    quantity = models.DecimalField(**QUANTITY)
    needed_from = models.DateField()
    needed_until = models.DateField(null=True, blank=True, help_text="Last day; empty means open-ended")
    priority = models.PositiveSmallIntegerField(choices=Priority, default=Priority.SECOND)
    notice_days = models.PositiveSmallIntegerField(
        "notice to move, days",
        null=True,
        blank=True,
        help_text="The longest notice that still serves; empty: any",
    )
    phase = models.CharField(max_length=60, blank=True)
    tier = models.PositiveSmallIntegerField(choices=Tier, default=Tier.COALITION)
    note = models.TextField(blank=True, max_length=4000)
    illustrative = models.BooleanField(default=False)

    objects = VisibleQuerySet.as_manager()

    class Meta(Record.Meta):
        ordering = ["priority", "needed_from", "id"]
        triggers = [
            *Record.Meta.triggers,
            HIDDEN,
            *NEEDS_READINESS,
            ALLOCATIONS_HIDDEN,
            tier_of_allocations("requirement_id"),
            pgtrigger.Trigger(
                # Who may see the line is told, in the feed, that the pledge proposes to answer it, and who may not is not.
                name="tier_of_proposals",
                when=pgtrigger.After,
                operation=pgtrigger.UpdateOf("tier"),
                condition=pgtrigger.Condition("OLD.tier IS DISTINCT FROM NEW.tier"),
                func="""
                    UPDATE pledges_pledge SET changed_at = clock_timestamp() WHERE requirement_id = NEW.id;
                    RETURN NULL;
                """,
            ),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(quantity__range=(0, LARGEST)), name="requirement_quantity_in_range"),
            models.CheckConstraint(
                condition=Q(needed_until__isnull=True) | Q(needed_until__gte=F("needed_from")),
                name="requirement_ends_after_it_starts",
                violation_error_message="The last day cannot come before the first.",
            ),
        ]
        indexes = [models.Index(fields=["operation", "capability"])]

    def __str__(self):
        place = self.sector.code if self.sector else "anywhere"
        return f"R{self.pk} {self.capability} · {self.title or place}"

    def get_absolute_url(self) -> str:
        return reverse("requirements:detail", args=[self.pk])


def superseded_for(user) -> Q:
    """Return the filter for pledges with a successor that the user may see; a hidden one must not be given away.

    Successors are of the same nation, so a nation sees all of its own.
    """
    actor = actor_of(user)
    seen = Q(superseded_tier__lte=actor.tier)
    if actor.nation:
        seen |= Q(superseded_tier__isnull=False, nation=actor.nation)
    return Q(seen, superseded_tier__isnull=False)


class PledgeQuerySet(models.QuerySet):
    def visible_to(self, user):
        """Keep what the user may see: up to their tier, and all of their own nation."""
        return self.filter(seen_by(user))

    def current_for(self, user):
        """Keep what nothing that the user may see has superseded."""
        return self.exclude(superseded_for(user))

    def with_superseded(self, user):
        """Annotate ``is_superseded``: whether something that the user may see stands in its place."""
        return self.annotate(is_superseded=models.Case(models.When(superseded_for(user), then=True), default=False))

    def counted_at(self, tier: int):
        """Keep what stands in the aggregates of a tier: seen by it, and not superseded by anything it sees."""
        return self.filter(Q(superseded_tier__isnull=True) | Q(superseded_tier__gt=tier), tier__lte=tier)

    def with_standing(self, today: date | None = None, supposed: Mapping[int, str] = MappingProxyType({})):
        """Annotate what a pledge counts as, and when; ``today`` is each operation's own unless given.

        ``supposed``: states of conditions, by id, to take in place of the stored ones (what if).

        ``level``: one of ``counting.LEVELS``, ``"blocked"``, or None off the ladder. ``stands_from``: the first day it
        can stand; None off the ladder. ``stands_until``: the last day; None open-ended. ``has_open``, ``has_failed``:
        whether a condition of it is. Combine with ``counted_at`` to get what a tier's sums are made of.
        """
        now = standing.today_of_operation(today)
        return self.annotate(
            has_open=standing.hangs_on(Condition.State.OPEN, supposed),
            has_failed=standing.hangs_on(Condition.State.FAILED, supposed),
        ).annotate(
            level=standing.level(),
            stands_from=standing.stands_from(now, supposed),
            stands_until=standing.stands_until(),
        )

    def overdue_for_confirmation(self, user, today: date | None = None):
        """Keep what, as the user sees it, still stands and was not confirmed for longer than its operation asks for."""
        unconfirmed = standing.days_unconfirmed(standing.today_of_operation(today))
        return self.current_for(user).filter(status__in=Pledge.ON_LADDER, operation__confirm_every_days__lt=unconfirmed)

    def within_window(self, day: date):
        """Keep pledges whose days hold this one, blocked ones too. Needs ``with_standing``."""
        return self.filter(Q(stands_until__isnull=True) | Q(stands_until__gte=day), stands_from__lte=day)

    def standing_on(self, day: date):
        """Keep what counts in some level on a day. Needs ``with_standing``."""
        return self.within_window(day).filter(level__in=LEVELS)

    def at_level(self, *levels: str):
        """Keep what counts in exactly these levels; ``"blocked"`` is one too. Needs ``with_standing``."""
        return self.filter(level__in=levels)

    def at_least(self, threshold: str):
        """Keep what counts in this level or a better one. Needs ``with_standing``; KeyError for an unknown level."""
        return self.filter(level__in=at_or_above(threshold))


@pghistory.track()
class Pledge(Record):
    """What one nation says it may send. Its status is written by ``pledges.ladder`` alone."""

    class Status(models.TextChoices):
        SIGNALLED = "signalled", "Signalled"
        OFFERED = "offered", "Offered"
        COMMITTED = "committed", "Committed"
        READY = "ready", "Ready"
        DEPLOYING = "deploying", "Deploying"
        IN_PLACE = "in_place", "In place"
        ENDED = "ended", "Ended"
        WITHDRAWN = "withdrawn", "Withdrawn"
        LAPSED = "lapsed", "Lapsed"

    ON_LADDER = [
        Status.SIGNALLED,
        Status.OFFERED,
        Status.COMMITTED,
        Status.READY,
        Status.DEPLOYING,
        Status.IN_PLACE,
    ]

    nation = models.ForeignKey(Nation, models.PROTECT, related_name="pledges")
    operation = models.ForeignKey(Operation, models.PROTECT, related_name="pledges")
    capability = models.ForeignKey(Capability, models.PROTECT, related_name="pledges")
    what = models.CharField("what it is", max_length=300)
    stated_low = models.DecimalField(null=True, blank=True, **QUANTITY)
    stated_high = models.DecimalField(null=True, blank=True, **QUANTITY)
    quantity = models.DecimalField(
        "planning quantity",
        null=True,
        blank=True,
        help_text="What planners may count on; empty is in no sum and is shown as unquantified",
        **QUANTITY,
    )
    available_from = models.DateField(null=True, blank=True, help_text="Empty: as soon as it can move")
    available_until = models.DateField(null=True, blank=True, help_text="Last day; empty means open-ended")
    notice_days = models.PositiveSmallIntegerField(
        "notice to move, days", default=0, validators=[MaxValueValidator(3650)]
    )
    status = models.CharField(max_length=9, choices=Status, default=Status.OFFERED, editable=False)
    conditions = models.ManyToManyField(Condition, through="PledgeCondition", related_name="pledges", blank=True)
    tier = models.PositiveSmallIntegerField("release tier", choices=Tier, default=Tier.COALITION)
    requirement = models.ForeignKey(
        Requirement, models.SET_NULL, null=True, blank=True, related_name="proposals", verbose_name="answers"
    )
    source = models.CharField(max_length=300, blank=True, help_text="Who said it, and where")
    source_url = models.URLField(max_length=500, blank=True)
    stated_on = models.DateField(null=True, blank=True, help_text="The day it was said")
    note = models.TextField(blank=True, max_length=4000)
    dataset = models.SlugField(max_length=60, blank=True)
    external_id = models.CharField(max_length=200, blank=True)
    batch = models.ForeignKey(ImportBatch, models.SET_NULL, null=True, blank=True, related_name="pledges")
    last_confirmed_on = models.DateField(null=True, blank=True)
    ordered_on = models.DateField(null=True, blank=True, editable=False, help_text="The day it was ordered to deploy")
    superseded_by = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, editable=False, related_name="supersedes"
    )
    superseded_tier = models.PositiveSmallIntegerField(
        null=True, editable=False, help_text="The lowest tier that sees a successor; kept by a trigger"
    )
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, editable=False, related_name="+")
    illustrative = models.BooleanField(default=False)

    objects = PledgeQuerySet.as_manager()

    class Meta(Record.Meta):
        ordering = ["-changed_at", "-id"]
        triggers = [
            *Record.Meta.triggers,
            HIDDEN,
            *NEEDS_READINESS,
            pgtrigger.Trigger(
                # A successor that a tier may not see leaves the old pledge counting there, along the whole chain.
                name="a_superseded_tier",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert | pgtrigger.Update,
                func="""
                    SELECT least(successor.tier, coalesce(successor.superseded_tier, successor.tier))
                    INTO NEW.superseded_tier FROM pledges_pledge AS successor WHERE successor.id = NEW.superseded_by_id;
                    IF NEW.superseded_by_id IS NULL THEN NEW.superseded_tier := NULL; END IF;
                    RETURN NEW;
                """,
            ),
            pgtrigger.Trigger(
                name="superseded_tier_onwards",
                when=pgtrigger.After,
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition(
                    "OLD.tier IS DISTINCT FROM NEW.tier OR OLD.superseded_tier IS DISTINCT FROM NEW.superseded_tier"
                ),
                func="""
                    UPDATE pledges_pledge SET superseded_tier = NULL WHERE superseded_by_id = NEW.id;
                    RETURN NULL;
                """,
            ),
            tier_of_allocations("pledge_id"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(available_until__isnull=True)
                | Q(available_from__isnull=True)
                | Q(available_until__gte=F("available_from")),
                name="pledge_ends_after_it_starts",
                violation_error_message="The last day cannot come before the first.",
            ),
            models.CheckConstraint(
                condition=Q(stated_low__isnull=True)
                | Q(stated_high__isnull=True)
                | Q(stated_high__gte=F("stated_low")),
                name="pledge_stated_range_in_order",
                violation_error_message="The stated high figure cannot be below the low one.",
            ),
            *(
                models.CheckConstraint(
                    condition=Q(**{f"{name}__isnull": True}) | Q(**{f"{name}__range": (0, LARGEST)}),
                    name=f"pledge_{name}_in_range",
                )
                for name in ("stated_low", "stated_high", "quantity")
            ),
            models.CheckConstraint(condition=~Q(superseded_by=F("id")), name="pledge_does_not_supersede_itself"),
            models.UniqueConstraint(
                fields=["operation", "dataset", "external_id"],
                condition=~Q(external_id=""),
                name="pledge_external_id_once_per_dataset",
            ),
        ]
        indexes = [
            models.Index(fields=["operation", "capability"]),
            models.Index(fields=["operation", "nation"]),
            GinIndex(fields=["what"], name="pledge_what_trigrams", opclasses=["gin_trgm_ops"]),
        ]

    def __str__(self):
        return f"P{self.pk} {self.nation_id}: {self.what}"

    def get_absolute_url(self) -> str:
        return reverse("pledges:detail", args=[self.pk])


class OfPledgeQuerySet(models.QuerySet):
    """Rows that hang on a pledge are seen by whoever sees it."""

    def visible_to(self, user):
        """Keep the rows of visible pledges."""
        return self.filter(seen_by(user, tier="pledge__tier", nation="pledge__nation"))


@pghistory.track()
class PledgeCondition(models.Model):
    """That a pledge hangs on a condition."""

    pledge = models.ForeignKey(Pledge, models.CASCADE, related_name="condition_links")
    condition = models.ForeignKey(Condition, models.PROTECT, related_name="pledge_links")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = OfPledgeQuerySet.as_manager()

    class Meta:
        triggers = [
            *marks_stale(
                "readiness",
                "SELECT pledge.operation_id || ':' || pledge.capability_id FROM changed_rows"
                " JOIN pledges_pledge AS pledge ON pledge.id = changed_rows.pledge_id",
            ),
            pgtrigger.Trigger(
                # Another set of conditions is another version of the pledge.
                name="bump_pledge",
                when=pgtrigger.After,
                operation=pgtrigger.Insert | pgtrigger.Delete,
                func="""
                    UPDATE pledges_pledge SET changed_at = clock_timestamp()
                    WHERE id = coalesce(NEW.pledge_id, OLD.pledge_id);
                    RETURN NULL;
                """,
            ),
        ]
        constraints = [models.UniqueConstraint(fields=["pledge", "condition"], name="pledge_condition_once")]

    def __str__(self):
        return f"{self.pledge_id} hangs on {self.condition_id}"


class PledgeStep(models.Model):
    """One step of a pledge: who moved it, from where to where, when and why. Never changed afterwards."""

    # The app role may not delete steps: the database takes them along when an import is undone (migration 0007).
    pledge = models.ForeignKey(Pledge, models.DO_NOTHING, related_name="steps")
    user = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", help_text="Empty: the system")
    kind = models.CharField(max_length=12, help_text="The step's name in ``pledges.ladder``")
    from_status = models.CharField(max_length=9, choices=Pledge.Status, blank=True)
    to_status = models.CharField(max_length=9, choices=Pledge.Status)
    reason = models.CharField(max_length=1000, blank=True)
    before = models.JSONField(default=dict, blank=True, help_text="What an undo must put back")
    undoes = models.OneToOneField("self", models.PROTECT, null=True, blank=True, related_name="undone_by")
    moved_at = models.DateTimeField(db_default=Now())

    objects = OfPledgeQuerySet.as_manager()

    class Meta:
        ordering = ["id"]

    def __str__(self):
        return f"{self.pledge_id}: {self.from_status} to {self.to_status}"


@pghistory.track()
class Caveat(Record):
    """A national caveat: what this nation will not have its forces do, or only on terms."""

    class Kind(models.TextChoices):
        GEOGRAPHIC = "geographic", "Where it may go"
        TASK = "task", "What it may do"
        FORCE = "force", "Use of force"
        COMMAND = "command", "Under whose command"
        DURATION = "duration", "For how long"
        SUPPORT = "support", "What it must be given"
        OTHER = "other", "Other"

    pledge = models.ForeignKey(Pledge, models.CASCADE, related_name="caveats")
    kind = models.CharField(max_length=10, choices=Kind)
    text = models.CharField(max_length=500)

    objects = OfPledgeQuerySet.as_manager()

    class Meta(Record.Meta):
        ordering = ["id"]
        triggers = [BUMP]  # no tombstone: it has no tier of its own, so one would tell everybody of a hidden pledge

    def __str__(self):
        return self.text


class AllocationQuerySet(models.QuerySet):
    def visible_to(self, user):
        """Keep those whose two ends the user may both see."""
        return self.filter(
            seen_by(user, tier="pledge__tier", nation="pledge__nation"),
            seen_by(user, tier="requirement__tier", nation=None),
        )


@pghistory.track()
class Allocation(Record):
    """So much of a pledge answers this requirement line. Made or accepted by planners (``pledges.allocating``)."""

    pledge = models.ForeignKey(Pledge, models.CASCADE, related_name="allocations")
    requirement = models.ForeignKey(Requirement, models.CASCADE, related_name="allocations")
    quantity = models.DecimalField(**QUANTITY)
    tier = models.PositiveSmallIntegerField(
        choices=Tier,
        editable=False,
        default=Tier.PLANNING,
        help_text="The stricter of its two ends; kept by a trigger",
    )

    objects = AllocationQuerySet.as_manager()

    class Meta(Record.Meta):
        ordering = ["id"]
        triggers = [
            BUMP,
            ALLOCATION_GONE,
            HIDDEN,
            *marks_stale(
                "readiness",
                "SELECT requirement.operation_id || ':' || requirement.capability_id FROM changed_rows"
                " JOIN pledges_requirement AS requirement ON requirement.id = changed_rows.requirement_id",
            ),
            pgtrigger.Trigger(
                name="a_stricter_tier",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert | pgtrigger.Update,
                func="""
                    SELECT greatest(pledge.tier, requirement.tier) INTO NEW.tier
                    FROM pledges_pledge AS pledge, pledges_requirement AS requirement
                    WHERE pledge.id = NEW.pledge_id AND requirement.id = NEW.requirement_id;
                    RETURN NEW;
                """,
            ),
        ]
        constraints = [
            models.UniqueConstraint(fields=["pledge", "requirement"], name="allocation_once_per_pledge_and_line"),
            models.CheckConstraint(
                condition=Q(quantity__gt=0, quantity__lte=LARGEST),
                name="allocation_quantity_positive",
                violation_error_message="Allocate more than nothing.",
            ),
        ]

    def __str__(self):
        return f"{self.quantity} of P{self.pledge_id} to R{self.requirement_id}"


class ReadinessLineQuerySet(models.QuerySet):
    def visible_to(self, user):
        """Keep the stored answers up to the user's tier."""
        return self.filter(seen_by(user, nation=None))


class ReadinessLine(models.Model):
    """The stored answer for one need (or a whole capability, ``requirement`` empty) as one release tier sees it.

    Time is cut into stretches on which nothing changes: stretch ``i`` begins on ``starts[i]`` and ends the day before
    ``starts[i + 1]``; the last one goes on for ever. ``starts[0]`` is the day that was today: the past is not counted
    anew. One JSON object per stretch, so that the database picks a day's without reading the others. How sure it is has
    stretches of its own, and is stored for the planning tier alone. Written by ``pledges.readiness`` only.
    """

    operation = models.ForeignKey(Operation, models.CASCADE, related_name="+")
    capability = models.ForeignKey(Capability, models.CASCADE, related_name="+")
    requirement = models.ForeignKey(Requirement, models.CASCADE, null=True, related_name="+")
    tier = models.PositiveSmallIntegerField(choices=Tier)
    starts = ArrayField(models.DateField())
    ends_on = models.DateField(help_text="The last day worth drawing; the answer holds beyond it")
    answers = models.JSONField(help_text="One object per stretch: the measures of ``pledges.counting``")
    nations = models.JSONField(default=dict, help_text="On a whole capability: nation, level, what is on the ladder")
    sure_starts = ArrayField(models.DateField(), default=list, help_text="As ``starts``; empty below the planning tier")
    sure = models.JSONField(default=list, help_text="One object per stretch: see ``pledges.sure``; {} without a need")
    digest = models.CharField(
        max_length=32, blank=True, help_text="Of all that is stored here, so that what is equal is not written again"
    )
    computed_at = models.DateTimeField(db_default=Now(), help_text="When it took this form")
    computed_for = models.DateField(help_text="The day that was today")

    objects = ReadinessLineQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["operation", "capability", "requirement", "tier"],
                name="readiness_line_one_answer",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=Q(tier=Tier.PLANNING) | Q(sure=[], sure_starts=[]),
                name="readiness_line_sure_for_planners_only",
            ),
        ]
        indexes = [models.Index(fields=["operation", "tier"])]

    def __str__(self):
        return f"{self.capability_id} {self.requirement_id or 'all'} {self.get_tier_display()}"


class SavedScenario(Record):
    """A what-if with a name. What it supposes is the query string of its address; nothing of it is in the plan."""

    operation = models.ForeignKey(Operation, models.CASCADE, related_name="scenarios")
    name = models.CharField(max_length=120)
    query = models.TextField(max_length=8000, help_text="What ``pledges.what_if.Scenario.query`` wrote")
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, editable=False, related_name="+")
    tier = models.PositiveSmallIntegerField(
        choices=Tier, default=Tier.PLANNING, editable=False, help_text="A scenario speaks of chances"
    )

    objects = VisibleQuerySet.as_manager()

    class Meta(Record.Meta):
        ordering = ["name", "id"]
        constraints = [models.UniqueConstraint(fields=["operation", "name"], name="scenario_name_unique")]

    def __str__(self):
        return self.name

    def get_absolute_url(self) -> str:
        return f"{reverse('what_if:page')}?{self.query}"
