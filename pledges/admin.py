"""Pledges' nouns in the admin. A status is moved by the ladder, so it is read-only here too."""

from django.contrib import admin

from coalition.admin import ForAdministrators, ReadOnlyAdmin, RecordAdmin
from pledges.models import (
    Allocation,
    Capability,
    Caveat,
    Pledge,
    PledgeCondition,
    PledgeStep,
    ReadinessLine,
    Requirement,
)


class CaveatInline(ForAdministrators, admin.TabularInline):
    model = Caveat
    extra = 0


class ConditionInline(ForAdministrators, admin.TabularInline):
    model = PledgeCondition
    extra = 0


@admin.register(Capability)
class CapabilityAdmin(RecordAdmin):
    list_display = ("code", "name", "category", "unit", "aggregation")
    list_filter = ("category", "aggregation")
    search_fields = ("code", "name")


@admin.register(Requirement)
class RequirementAdmin(RecordAdmin):
    list_display = ("__str__", "operation", "quantity", "needed_from", "needed_until", "priority", "tier")
    list_filter = ("operation", "priority", "tier")
    list_select_related = ("operation", "capability", "sector")


@admin.register(Pledge)
class PledgeAdmin(RecordAdmin):
    list_display = ("__str__", "capability", "quantity", "status", "tier")
    list_filter = ("operation", "status", "tier", "nation")
    list_select_related = ("capability", "nation")
    search_fields = ("what", "external_id")
    readonly_fields = (*RecordAdmin.readonly_fields, "status", "ordered_on", "superseded_by", "created_by")
    raw_id_fields = ("requirement", "batch")
    inlines = (ConditionInline, CaveatInline)


@admin.register(Allocation)
class AllocationAdmin(ReadOnlyAdmin):
    """Allocations are made where the rules are asked (``pledges.allocating``)."""

    list_display = ("pledge", "requirement", "quantity", "tier")
    list_select_related = ("pledge", "requirement__capability", "requirement__sector")


@admin.register(PledgeStep)
class PledgeStepAdmin(ReadOnlyAdmin):
    list_display = ("pledge", "kind", "from_status", "to_status", "user", "moved_at")


@admin.register(ReadinessLine)
class ReadinessLineAdmin(ReadOnlyAdmin):
    list_display = ("operation", "capability", "requirement", "tier", "computed_at")
