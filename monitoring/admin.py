"""Monitors' nouns in the admin. What is judged is judged where the rules are asked, so it is read-only here."""

from django.contrib import admin

from coalition.admin import ForAdministrators, ReadOnlyAdmin, RecordAdmin
from monitoring.models import (
    Agreement,
    Evidence,
    Incident,
    Party,
    PartyResponse,
    Provision,
    ProvisionTerm,
    Report,
    Source,
)


@admin.register(Party)
class PartyAdmin(RecordAdmin):
    list_display = ("code", "name")
    search_fields = ("code", "name")


@admin.register(Source)
class SourceAdmin(RecordAdmin):
    list_display = ("code", "name", "source_class", "kind", "reliability")
    list_filter = ("source_class", "kind")
    search_fields = ("code", "name")


class ProvisionInline(ForAdministrators, admin.TabularInline):
    model = Provision
    fields = ("article", "kind", "text")
    extra = 0


@admin.register(Agreement)
class AgreementAdmin(RecordAdmin):
    list_display = ("code", "name", "signed_on", "tier")
    list_filter = ("tier",)
    inlines = (ProvisionInline,)


class TermInline(ForAdministrators, admin.TabularInline):
    model = ProvisionTerm
    extra = 0


@admin.register(Provision)
class ProvisionAdmin(RecordAdmin):
    list_display = ("article", "agreement", "kind")
    list_filter = ("agreement", "kind")
    inlines = (TermInline,)


@admin.register(Report)
class ReportAdmin(ReadOnlyAdmin):
    """Reports are filed and placed where the rules are asked (``monitoring.filing``)."""

    list_display = ("__str__", "occurred_on", "source", "status", "tier")
    list_select_related = ("source",)
    list_filter = ("status", "tier")
    search_fields = ("external_id", "place_name")
    show_full_result_count = False


@admin.register(Evidence)
class EvidenceAdmin(ReadOnlyAdmin):
    list_display = ("file_name", "report", "content_type", "size")


@admin.register(Incident)
class IncidentAdmin(ReadOnlyAdmin):
    """Incidents are made, judged and taken back by ``monitoring.triage``."""

    list_display = ("__str__", "occurred_on", "occurrence", "finding", "tier")
    list_filter = ("occurrence", "finding", "tier")


@admin.register(PartyResponse)
class PartyResponseAdmin(RecordAdmin):
    list_display = ("incident", "party", "stance", "said_on")
    raw_id_fields = ("incident",)
