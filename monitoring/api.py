"""Reports over the API: filed, changed and read through the same domain functions as the pages."""

from django.db.models import Case, CharField, F, FloatField, Func, OuterRef, Subquery, Value, When
from django.urls import reverse
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.parsers import MultiPartParser
from rest_framework.response import Response

from coalition.access import Actor, Tier
from coalition.api import CoalitionViewSet, TierField, tier_column, visible
from coalition.columns import Column, Columns, Kind, Point
from coalition.filters import UpdatedSinceFilter
from coalition.models import ApiToken
from monitoring import evidence, filing, triage, triage_api
from monitoring.filters import ReportFilter
from monitoring.kinds import CountUnit, Facility
from monitoring.kinds import Kind as What
from monitoring.models import Evidence, Occurrence, Party, Report, Source, TimePrecision
from monitoring.placing import seen_place
from monitoring.seeing import COARSER_BY_M
from monitoring.views.reports import attachment

# --- What a row shows -----------------------------------------------------------------------


def seen(name: str):
    """Return the column of the place that the reader's tier sees."""
    return lambda actor: F(getattr(seen_place(actor.tier), name))


def sector_seen(actor: Actor):
    return F(f"{seen_place(actor.tier).sector}__code")


def name_seen(actor: Actor):
    """The name of a sensitive place says where it is."""
    return F("place_name") if actor.tier >= Tier.PLANNING else Case(When(sensitive=False, then=F("place_name")))


def precision_seen(actor: Actor):
    coarser = Value(COARSER_BY_M[Tier(actor.tier)], output_field=FloatField())
    exact = F("place_precision_m")
    return exact if actor.tier >= Tier.PLANNING else Case(When(sensitive=True, then=exact + coarser), default=exact)


def duplicate_seen(actor: Actor):
    """Looked up only for the few that are duplicates: a join would read the table twice for a file of all."""
    original = Report.objects.filter(pk=OuterRef("duplicate_of_id"), tier__lte=actor.tier)
    return Case(When(duplicate_of__isnull=False, then=Subquery(original.values("pk"))))


def cell_seen(actor: Actor):
    return Func(F(seen_place(actor.tier).cell), function="to_hex", output_field=CharField())


REPORTS = Columns(
    Report,
    Column("id", hxl="#event+id"),
    "reference",
    Column("source", "source__code", kind=Kind.WORD, hxl="#meta+source", example="own-patrols"),
    Column("source_class", "source__source_class"),
    Column("dataset", kind=Kind.WORD),
    "external_id",
    Column("kind", hxl="#event+type"),
    Column("occurred_from", hxl="#date+occurred"),
    "occurred_until",
    Column("occurred_on", hxl="#date+occurred+day"),
    "time_precision",
    Column("filed_at", hxl="#date+reported"),
    Column("place_name", name_seen, kind=Kind.TEXT, nullable=True, hxl="#loc+name"),
    Column("latitude", seen("latitude"), kind=Kind.NUMBER, nullable=True, hxl="#geo+lat", example=48.4567),
    Column("longitude", seen("longitude"), kind=Kind.NUMBER, nullable=True, hxl="#geo+lon", example=35.2345),
    Column("place_precision_m", precision_seen, kind=Kind.NUMBER, nullable=True, hxl="#geo+precision"),
    Column("sector", sector_seen, kind=Kind.WORD, nullable=True, hxl="#loc+code", example="S1"),
    Column("cell", cell_seen, kind=Kind.WORD, nullable=True, about="H3 index, resolution 5", example="85111c43fffffff"),
    Column("accused", "accused__code", kind=Kind.WORD, hxl="#group+name+accused", example="ru"),
    Column("accuser", "accuser__code", kind=Kind.WORD, hxl="#group+name+accuser", example="ua"),
    Column("weapon", hxl="#cause+weapon"),
    "count_text",
    Column("count_low", hxl="#indicator+num+count"),
    Column("count_high", hxl="#indicator+num+count+max"),
    Column("count_unit", hxl="#indicator+unit"),
    "means",
    Column("reliability", hxl="#meta+reliability"),
    Column("credibility", hxl="#meta+credibility"),
    "facility_class",
    Column("killed", hxl="#affected+killed"),
    Column("injured", hxl="#affected+injured"),
    Column("narrative", hxl="#description"),
    Column("source_url", hxl="#meta+url"),
    Column("status", choices=Occurrence.choices, about="Its own; once merged, its incident's occurrence counts"),
    Column("occurrence", choices=Occurrence.choices, hxl="#status+verification"),
    Column("incident", "seen_incident_id", kind=Kind.INTEGER, nullable=True, about="Id of what it was merged into"),
    Column("duplicate_of", duplicate_seen, kind=Kind.INTEGER, nullable=True, about="Id of the report it repeats"),
    Column("sensitive", about="Below the planning tier its place is coarser and its name is kept back"),
    tier_column(),
    "illustrative",
    "version",
    "created_at",
    "changed_at",
    place=Point("longitude", "latitude"),
)
PARTIES = Columns(Party, Column("code", kind=Kind.WORD, example="ru"), "name", "note", "version", "changed_at")
SOURCES = Columns(
    Source,
    Column("code", kind=Kind.WORD, example="own-patrols"),
    "name",
    "source_class",
    "kind",
    Column("party", "party__code", kind=Kind.WORD, example="ru"),
    "reliability",
    "address",
    "licence",
    "illustrative",
    "version",
    "changed_at",
)


# --- What is sent ---------------------------------------------------------------------------


def text(longest: int, **kwargs) -> serializers.CharField:
    return serializers.CharField(required=False, allow_blank=True, max_length=longest, **kwargs)


def word(choices, **kwargs) -> serializers.ChoiceField:
    return serializers.ChoiceField(required=False, choices=choices, **kwargs)


def number(**kwargs) -> serializers.IntegerField:
    return serializers.IntegerField(required=False, allow_null=True, help_text="Null: unknown", **kwargs)


def degrees(about: str) -> serializers.FloatField:
    return serializers.FloatField(required=False, allow_null=True, help_text=about)


class ReportChange(serializers.Serializer):
    """What may be changed about a report. What is not named stays."""

    source = serializers.CharField(required=False, help_text="Code", max_length=60)
    reference = text(60)
    dataset = text(60)
    external_id = text(200)
    kind = word(What.choices)
    occurred_on = serializers.DateField(required=False, help_text="The day as stated, in the operation's time zone")
    time = text(60, help_text="Of that day: 14:30, 22:30-02:15, night. Empty: some time that day")
    zone = text(60, help_text="IANA name of the zone the time is in; the operation's when missing")
    last_on = serializers.DateField(required=False, allow_null=True, help_text="Where it is known within some days")
    occurred_from = serializers.DateTimeField(required=False, help_text="Instead of day and time: an instant")
    occurred_until = serializers.DateTimeField(required=False, help_text="The last instant; the same when missing")
    time_precision = word(TimePrecision.choices)
    place = text(100, help_text="As typed: degrees, DMS or MGRS. Or give longitude and latitude")
    longitude = degrees("WGS 84; null takes the place away")
    latitude = degrees("WGS 84")
    place_precision_m = degrees("Within how many metres; a typed place has it from its digits")
    place_name = text(300)
    sensitive = serializers.BooleanField(required=False, help_text="Coarser for lower tiers")
    weapon = text(120)
    count_text = text(60, help_text="As the source put it: 30-35, several")
    count_low, count_high = number(), number()
    count_unit = word(CountUnit.choices, allow_blank=True)
    means = word(Report.Means.choices, allow_blank=True)
    reliability = word(Source.Reliability.choices, help_text="The source's usual one when missing")
    credibility = word(Report.Credibility.choices)
    accuser = serializers.CharField(required=False, allow_null=True, help_text="Code of a party", max_length=40)
    accused = serializers.CharField(required=False, allow_null=True, help_text="Code of a party", max_length=40)
    facility_class = word(Facility.choices, allow_blank=True)
    killed, injured = number(), number()
    narrative = text(8000)
    source_url = text(2000)
    tier = TierField(required=False)
    illustrative = serializers.BooleanField(required=False)
    confirmed = serializers.ListField(
        child=serializers.CharField(max_length=40),
        required=False,
        max_length=10,
        help_text="Codes of doubts that were looked into: what is probably a slip is filed only then",
    )


class ReportInput(ReportChange):
    """A new report: who said it, and when; what is not known is left out."""

    source = serializers.CharField(help_text="Code", max_length=60)


class EvidenceInput(serializers.Serializer):
    file = serializers.FileField(help_text="Photo, film, sound, PDF, plain text or ZIP")


class EvidenceSerializer(serializers.ModelSerializer):
    address = serializers.SerializerMethodField(help_text="Where the file itself is")

    class Meta:
        model = Evidence
        fields = ["id", "file_name", "content_type", "size", "sha256", "address", "created_at"]
        read_only_fields = fields

    def get_address(self, kept) -> str:
        return reverse("api:reports-evidence-file", args=[kept.report_id, kept.pk])


class EvidenceListSerializer(serializers.Serializer):
    results = EvidenceSerializer(many=True)


# --- The addresses --------------------------------------------------------------------------


class ReportFilters(ReportFilter):
    waiting = filters.BooleanFilter(
        method="that_wait", label="On the triage desk: nobody has judged, merged or put it out of scope"
    )

    def that_wait(self, rows, name, wanted):
        waits = triage.waits_for(self.request.user)
        return rows.filter(waits) if wanted else rows.exclude(waits)


class ReportViewSet(triage_api.TriageSteps, CoalitionViewSet):
    """Accounts of violations, one by one source each. Places are shown as exactly as the reader's tier may see them."""

    queryset = Report.objects.all()
    columns = REPORTS
    filterset_class = ReportFilters
    orderings = {"id": "id", "occurred_from": "occurred_from"}
    default_ordering = "-occurred_from"
    inputs = {
        "create": ReportInput,
        "partial_update": ReportChange,
        "attach": EvidenceInput,
        **triage_api.INPUTS,
    }
    queries = triage_api.QUERIES
    outputs = {
        **triage_api.OUTPUTS,
        "evidence": EvidenceListSerializer,
        "attach": {201: EvidenceSerializer},
        "evidence_file": {(200, "application/octet-stream"): OpenApiTypes.BINARY},
    }
    creates = ("create",)
    dear = {"attach": "uploads"}
    largest = {"attach": evidence.LARGEST + 100_000}  # and what a form has around a file
    changes = ("partial_update", "take_back", *triage_api.CHANGES)
    worked_out = ("occurrence", "incident")  # its incident's, which may be judged or hidden without it
    write_scopes = (ApiToken.Scope.FILE_REPORTS,)
    write_actions = {
        "create": "file_report",
        "partial_update": "edit_report",
        "take_back": "edit_report",
        "attach": "file_report",
        **triage_api.ACTIONS,
    }

    def get_queryset(self):
        return super().get_queryset().with_incident_for(self.request.user)

    def perform_content_negotiation(self, request, force=False):
        return super().perform_content_negotiation(request, force or self.action == "evidence_file")

    def create(self, request, *args, **kwargs):
        """File a report. What is probably a slip is a 400 that says how to confirm it."""
        draft = self.input()
        confirmed = draft.pop("confirmed", ())
        return self.created(lambda: filing.file(draft, by=request.user, confirmed=confirmed))

    def partial_update(self, request, *args, **kwargs):
        report, version = self.changing()
        changes = self.input(partial=True)
        confirmed = changes.pop("confirmed", ())
        return self.shown_again(
            filing.revise(report.pk, changes, by=request.user, based_on=version, confirmed=confirmed)
        )

    @action(detail=True, methods=["post"], url_path="take-back")
    def take_back(self, request, *args, **kwargs):
        """Put back what stood before the last change."""
        report, version = self.changing()
        return self.shown_again(filing.take_back(report.pk, by=request.user, based_on=version))

    @action(detail=True, methods=["get"], parser_classes=[MultiPartParser])
    def evidence(self, request, *args, **kwargs):
        """The files that go with a report."""
        rows = Evidence.objects.visible_to(request.user).filter(report=self.get_object())
        return Response({"results": EvidenceSerializer(rows, many=True).data})

    @evidence.mapping.post
    def attach(self, request, *args, **kwargs):
        """Add a file (multipart form, field ``file``). The same content again answers with what is there."""
        report = self.get_object()
        kept = evidence.attach(report.pk, self.input()["file"], by=request.user)
        return Response(EvidenceSerializer(kept).data, status=201)

    @extend_schema(operation_id="reports_evidence_file_retrieve")
    @action(detail=True, methods=["get"], url_path=r"evidence/(?P<evidence_id>[0-9]{1,18})")
    def evidence_file(self, request, *args, evidence_id: str, **kwargs):
        """One file, as an attachment."""
        return attachment(*evidence.open_seen(self.get_object().pk, int(evidence_id), by=request.user))


class PartyFilters(filters.FilterSet):
    q = filters.CharFilter(field_name="name", lookup_expr="icontains", label="Text in the name")
    updated_since = UpdatedSinceFilter()


class PartyViewSet(CoalitionViewSet):
    """The sides of the conflict, and others whom reports name as accuser or accused."""

    queryset = Party.objects.all()
    columns = PARTIES
    filterset_class = PartyFilters
    lookup_field = "code"
    lookup_value_regex = "[-a-zA-Z0-9_]+"
    orderings = {"code": "code", "name": "name", "changed_at": "changed_at"}
    default_ordering = "code"


class SourceFilters(filters.FilterSet):
    source_class = filters.MultipleChoiceFilter(choices=Source.Class.choices)
    kind = filters.MultipleChoiceFilter(choices=Source.Kind.choices)
    party = filters.ModelChoiceFilter(queryset=visible(Party), to_field_name="code")
    q = filters.CharFilter(field_name="name", lookup_expr="icontains", label="Text in the name")
    updated_since = UpdatedSinceFilter()


class SourceViewSet(CoalitionViewSet):
    """Who reports, and how reliable they usually are."""

    queryset = Source.objects.all()
    columns = SOURCES
    filterset_class = SourceFilters
    lookup_field = "code"
    lookup_value_regex = "[-a-zA-Z0-9_]+"
    orderings = {"code": "code", "name": "name", "changed_at": "changed_at"}
    default_ordering = "code"
