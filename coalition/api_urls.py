"""Composition: what stands under /api/v1/."""

from django.urls import include, path, re_path
from rest_framework.routers import DefaultRouter

from coalition import exports_api, imports_api, kernel_api, ogc
from coalition.api import CoalitionViewSet
from coalition.changes import ChangesViewSet
from coalition.description import DescribedOnce
from coalition.refusals import no_such_address
from coalition.schema import docs
from monitoring import agreements_api, counts_api, incidents_api
from monitoring import api as monitoring_api
from pledges import api as pledges_api
from pledges import readiness_api

router = DefaultRouter()
router.include_format_suffixes = False
router.register("nations", kernel_api.NationViewSet, basename="nations")
router.register("operations", kernel_api.OperationViewSet, basename="operations")
router.register("sectors", kernel_api.SectorViewSet, basename="sectors")
router.register("conditions", kernel_api.ConditionViewSet, basename="conditions")
router.register("jobs", kernel_api.JobViewSet, basename="jobs")
router.register("exports", exports_api.ExportViewSet, basename="exports")
router.register("imports", imports_api.ImportViewSet, basename="imports")
router.register("capabilities", pledges_api.CapabilityViewSet, basename="capabilities")
router.register("requirements", pledges_api.RequirementViewSet, basename="requirements")
router.register("pledges", pledges_api.PledgeViewSet, basename="pledges")
router.register("allocations", pledges_api.AllocationViewSet, basename="allocations")
router.register("readiness", readiness_api.ReadinessViewSet, basename="readiness")
router.register("reports/daily", counts_api.DailyViewSet, basename="reports-daily")
router.register("reports/hexes", counts_api.HexViewSet, basename="reports-hexes")
router.register("reports", monitoring_api.ReportViewSet, basename="reports")
router.register("incidents", incidents_api.IncidentViewSet, basename="incidents")
router.register("parties", monitoring_api.PartyViewSet, basename="parties")
router.register("sources", monitoring_api.SourceViewSet, basename="sources")
router.register("agreements", agreements_api.AgreementViewSet, basename="agreements")
router.register("provisions", agreements_api.ProvisionViewSet, basename="provisions")
router.register("terms", agreements_api.TermViewSet, basename="terms")

CHANGING = {
    name: viewset
    for name, viewset, _ in router.registry
    if issubclass(viewset, CoalitionViewSet) and viewset.versioned and viewset.followed
}

COLLECTIONS = [
    ogc.Collection("sectors", "Areas", kernel_api.SectorViewSet),
    ogc.Collection("reports", "Reports", monitoring_api.ReportViewSet, times=("occurred_from", "occurred_until")),
    ogc.Collection("incidents", "Incidents", incidents_api.IncidentViewSet, times=("occurred_from", "occurred_until")),
]

app_name = "api"
urlpatterns = [
    path("changes/", ChangesViewSet.as_view({"get": "list"}, resources=CHANGING), name="changes"),
    path("schema/", DescribedOnce.as_view(), name="schema"),
    path("docs/", docs, name="docs"),
    path("", include(router.urls)),
    re_path("", no_such_address),
]
