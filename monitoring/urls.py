"""Which page answers where, below /monitoring/. One list per part of the work."""

from django.urls import include, path

from monitoring.views import map as map_views
from monitoring.views import places, reports, trends

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
triage_urls = []
agreement_urls = []
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
