"""Which page answers where, below /monitoring/. One list per part of the work."""

from django.urls import include, path

from monitoring.views import agreement_keeping, agreements, incidents, places, reports, trends, triage
from monitoring.views import map as map_views

map_urls = [
    path("", map_views.page, name="map"),
    path("map/zones.geojson", map_views.zones, name="map_zones"),
]
place_urls = [
    path("places/convert/", places.convert, name="place_convert"),
    path("places/search/", places.search, name="place_search"),
]
report_urls = [
    path("reports/", reports.report_list, name="reports"),
    path("reports/new/", reports.report_new, name="report-new"),
    path("reports/alike/", reports.report_alike, name="report-alike"),
    path("reports/<int:report_id>/", reports.report, name="report"),
    path("reports/<int:report_id>/edit/", reports.report_edit, name="report-edit"),
    path("reports/<int:report_id>/take-back/", reports.report_take_back, name="report-take-back"),
    path("reports/<int:report_id>/evidence/", reports.evidence_new, name="evidence-new"),
    path("reports/<int:report_id>/evidence/<int:evidence_id>/", reports.evidence_file, name="evidence"),
]
triage_urls = [
    path("triage/", triage.desk, name="triage"),
    path("triage/<int:report_id>/step/<slug:name>/", triage.step, name="triage-step"),
    path("triage/<int:report_id>/undo/", triage.undo, name="triage-undo"),
    path("triage/<int:report_id>/merge/", triage.merge, name="triage-merge"),
    path("incidents/", incidents.incident_list, name="incidents"),
    path("incidents/<int:incident_id>/", incidents.incident, name="incident"),
    path("incidents/<int:incident_id>/edit/", incidents.edit, name="incident-edit"),
    path("incidents/<int:incident_id>/judge/", incidents.judge, name="incident-judge"),
    path("incidents/<int:incident_id>/verify/", incidents.verify, name="incident-verify"),
    path("incidents/<int:incident_id>/merge/", incidents.merge, name="incident-merge"),
    path("incidents/<int:incident_id>/split/", incidents.split, name="incident-split"),
    path("incidents/<int:incident_id>/take-back/<int:step_id>/", incidents.take_back, name="incident-take-back"),
    path("incidents/<int:incident_id>/responses/", incidents.respond, name="incident-respond"),
    path(
        "incidents/<int:incident_id>/responses/<int:response_id>/delete/",
        incidents.forget_response,
        name="incident-forget-response",
    ),
]
agreement_urls = [
    path("agreements/", agreements.agreement_list, name="agreements"),
    path("agreements/new/", agreement_keeping.agreement_new, name="agreement-new"),
    path("agreements/<slug:code>/", agreements.agreement, name="agreement"),
    path("agreements/<slug:code>/edit/", agreement_keeping.agreement_edit, name="agreement-edit"),
    path("agreements/<slug:code>/events/", agreements.events, name="agreement-events"),
    path("agreements/<slug:code>/history/", agreements.history, name="agreement-history"),
    path("agreements/<slug:code>/provisions/new/", agreement_keeping.provision_new, name="provision-new"),
    path(
        "agreements/<slug:code>/provisions/<int:provision_id>/edit/",
        agreement_keeping.provision_edit,
        name="provision-edit",
    ),
    path(
        "agreements/<slug:code>/provisions/<int:provision_id>/terms/new/", agreement_keeping.term_new, name="term-new"
    ),
    path("agreements/<slug:code>/terms/<int:term_id>/edit/", agreement_keeping.term_edit, name="term-edit"),
    path("agreements/<slug:code>/terms/<int:term_id>/end/", agreement_keeping.term_end, name="term-end"),
    path(
        "agreements/<slug:code>/<slug:what>/<int:thing_id>/delete/", agreement_keeping.delete, name="agreement-delete"
    ),
    path(
        "agreements/<slug:code>/<slug:what>/<int:thing_id>/take-back/",
        agreement_keeping.take_back,
        name="agreement-take-back",
    ),
]
trend_urls = [
    path("trends/", trends.page, name="trends"),
    path("trends/age/", trends.age, name="trends_age"),
]

urlpatterns = [
    path(
        "monitoring/",
        include(
            (
                [*map_urls, *place_urls, *report_urls, *triage_urls, *agreement_urls, *trend_urls],
                "monitoring",
            )
        ),
    ),
]
