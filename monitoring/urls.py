"""Which page answers where, below /monitoring/. One list per part of the work."""

from django.urls import include, path

from monitoring.views import agreements, places, reports

map_urls = []
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
triage_urls = []
agreement_urls = [
    path("agreements/", agreements.agreement_list, name="agreements"),
    path("agreements/new/", agreements.agreement_new, name="agreement-new"),
    path("agreements/<slug:code>/", agreements.agreement, name="agreement"),
    path("agreements/<slug:code>/edit/", agreements.agreement_edit, name="agreement-edit"),
    path("agreements/<slug:code>/events/", agreements.events, name="agreement-events"),
    path("agreements/<slug:code>/history/", agreements.history, name="agreement-history"),
    path("agreements/<slug:code>/provisions/new/", agreements.provision_new, name="provision-new"),
    path(
        "agreements/<slug:code>/provisions/<int:provision_id>/edit/", agreements.provision_edit, name="provision-edit"
    ),
    path("agreements/<slug:code>/provisions/<int:provision_id>/terms/new/", agreements.term_new, name="term-new"),
    path("agreements/<slug:code>/terms/<int:term_id>/edit/", agreements.term_edit, name="term-edit"),
    path("agreements/<slug:code>/terms/<int:term_id>/end/", agreements.term_end, name="term-end"),
    path("agreements/<slug:code>/<slug:what>/<int:thing_id>/delete/", agreements.delete, name="agreement-delete"),
    path(
        "agreements/<slug:code>/<slug:what>/<int:thing_id>/take-back/", agreements.take_back, name="agreement-take-back"
    ),
]
trend_urls = []

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
