"""A plain DRF viewset over the same reports: what the export's bench measures ours against. A WSGI door for gunicorn.

What the documentation of Django REST framework leads to: a ModelSerializer, select_related, a CursorPagination, and for
CSV a renderer over the serialized rows. The same middleware, token and ``visible_to`` stand before it as before ours.
"""

import csv
import io

from coalition.wsgi import application  # before anything that imports models

# isort: split
from django.conf import settings
from django.urls import include, path
from rest_framework import serializers
from rest_framework.pagination import CursorPagination
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.routers import SimpleRouter
from rest_framework.viewsets import ReadOnlyModelViewSet

from coalition.access import Tier
from monitoring.api import REPORTS
from monitoring.models import Report

__all__ = ["application", "urlpatterns"]


class ReportSerializer(serializers.ModelSerializer):
    source = serializers.SlugRelatedField("code", read_only=True)
    source_class = serializers.CharField(source="source.source_class", read_only=True)
    accused = serializers.SlugRelatedField("code", read_only=True)
    accuser = serializers.SlugRelatedField("code", read_only=True)
    sector = serializers.CharField(source="coalition_sector.code", read_only=True, default=None)
    cell = serializers.IntegerField(source="coalition_cell", read_only=True)
    occurrence = serializers.SerializerMethodField()
    tier = serializers.SerializerMethodField()

    class Meta:
        model = Report
        fields = tuple(column.name for column in REPORTS)

    def get_occurrence(self, report) -> str:
        return report.incident.occurrence if report.incident else report.status

    def get_tier(self, report) -> str:
        return Tier(report.tier).label


class Pages(CursorPagination):
    ordering = ("-occurred_from", "-id")
    page_size = 100
    page_size_query_param = "limit"
    max_page_size = 1_000_000


class CSVRenderer(BaseRenderer):
    media_type, format = "text/csv", "csv"

    def render(self, data, accepted_media_type=None, renderer_context=None):
        out = io.StringIO()
        writer = csv.DictWriter(out, ReportSerializer.Meta.fields)
        writer.writeheader()
        writer.writerows(data["results"])
        return out.getvalue().encode()


class ReportViewSet(ReadOnlyModelViewSet):
    queryset = Report.objects.select_related("source", "accused", "accuser", "incident", "coalition_sector")
    serializer_class = ReportSerializer
    pagination_class = Pages
    renderer_classes = [JSONRenderer, CSVRenderer]
    filter_backends = []

    def get_queryset(self):
        return super().get_queryset().visible_to(self.request.user)


router = SimpleRouter()
router.register("plain", ReportViewSet, basename="plain")
urlpatterns = [path("api/v1/", include(router.urls)), path("", include("coalition.urls"))]
settings.ROOT_URLCONF = __name__
