"""Agreements, provisions and terms over the API, through the same domain functions as the pages."""

from typing import Any

from django.contrib.postgres.aggregates import JSONBAgg
from django.db.models import Func, JSONField, OuterRef, Subquery, TextField, Value
from django.db.models.functions import Coalesce, JSONObject
from django_filters import rest_framework as filters
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.response import Response

from coalition.api import CoalitionViewSet, TierField, TierFilter, tier_column, visible
from coalition.columns import Column, Columns, Kind
from coalition.filters import UpdatedSinceFilter
from monitoring import agreeing, coverage, provisions
from monitoring.kinds import Facility
from monitoring.kinds import Kind as Act
from monitoring.models import Agreement, Party, Provision, ProvisionTerm

# --- What a row shows -----------------------------------------------------------------------


def _instant(field: str) -> Func:
    """An instant as every other one of the API is written."""
    template = "to_char(%(expressions)s AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
    return Func(field, template=template, output_field=TextField())


TERMS_OF_PROVISION = Coalesce(
    Subquery(
        ProvisionTerm.objects.filter(provision=OuterRef("pk"))
        .order_by()
        .values("provision")
        .annotate(
            all_of_them=JSONBAgg(
                JSONObject(
                    id="pk",
                    party="party__code",
                    begins_at=_instant("begins_at"),
                    ends_at=_instant("ends_at"),
                    reason="reason",
                    source_url="source_url",
                    version="version",
                ),
                order_by=["party__code", "begins_at"],
            )
        )
        .values("all_of_them")
    ),
    Value([], output_field=JSONField()),
)
TERM_SCHEMA = {
    "type": "array",
    "description": "Each party's own view of when it holds: party, begins_at, ends_at (null: open-ended), reason",
    "items": {"type": "object"},
}
AGREEMENTS = Columns(
    Agreement,
    Column("code", kind=Kind.WORD, example="energy-2025"),
    "name",
    "signed_on",
    "text",
    "source_url",
    tier_column(),
    "illustrative",
    "version",
    "created_at",
    "changed_at",
)
PROVISIONS = Columns(
    Provision,
    "id",
    Column("agreement", "agreement__code", kind=Kind.WORD, example="energy-2025"),
    Column("article", example="1(c)"),
    "kind",
    "text",
    Column("act_kinds", kind=Kind.TEXTS),
    Column("facility_classes", kind=Kind.TEXTS),
    Column("zones", kind=Kind.TEXTS, about="Codes of areas. Empty: everywhere"),
    Column("binds", kind=Kind.TEXTS, about="Codes of parties. Empty: every party"),
    Column("terms", TERMS_OF_PROVISION, kind=Kind.OBJECT, schema=TERM_SCHEMA, example=[]),
    "version",
    "created_at",
    "changed_at",
)
TERMS = Columns(
    ProvisionTerm,
    "id",
    Column("provision", "provision_id", kind=Kind.INTEGER),
    Column("agreement", "provision__agreement__code", kind=Kind.WORD, example="energy-2025"),
    Column("article", "provision__article", example="1(c)"),
    Column("party", "party__code", kind=Kind.WORD, example="ru"),
    Column("begins_at", hxl="#date+start"),
    Column("ends_at", hxl="#date+end"),
    "reason",
    "source_url",
    "version",
    "created_at",
    "changed_at",
)


# --- What is sent ---------------------------------------------------------------------------


class AgreementInput(serializers.ModelSerializer):
    tier = TierField(required=False)

    class Meta:
        model = Agreement
        fields = ["code", "name", "signed_on", "text", "source_url", "tier", "illustrative"]
        validators = []  # the domain's sentences name the field
        extra_kwargs = {"code": {"validators": []}}


def codes(about: str) -> serializers.ListField:
    return serializers.ListField(
        child=serializers.CharField(max_length=40), required=False, max_length=200, help_text=about
    )


class ProvisionChange(serializers.ModelSerializer):
    """What may be changed about a provision. A list replaces the whole list; an empty one names nothing: all."""

    act_kinds = serializers.ListField(child=serializers.ChoiceField(Act.choices), required=False, max_length=60)
    facility_classes = serializers.ListField(
        child=serializers.ChoiceField(Facility.choices), required=False, max_length=20
    )
    zones = codes("Codes of areas; empty: everywhere")
    binds = codes("Codes of parties; empty: every party")

    class Meta:
        model = Provision
        fields = ["article", "kind", "text", "act_kinds", "facility_classes", "zones", "binds"]
        validators = []


class ProvisionInput(ProvisionChange):
    agreement = serializers.CharField(max_length=40, help_text="Code")

    class Meta(ProvisionChange.Meta):
        fields = ["agreement", *ProvisionChange.Meta.fields]


class TermChange(serializers.ModelSerializer):
    class Meta:
        model = ProvisionTerm
        fields = ["begins_at", "ends_at", "reason", "source_url"]
        validators = []


class TermInput(TermChange):
    provision = serializers.IntegerField(help_text="Id")
    party = serializers.CharField(max_length=40, help_text="Code")

    class Meta(TermChange.Meta):
        fields = ["provision", "party", *TermChange.Meta.fields]


# --- The addresses --------------------------------------------------------------------------

WRITES = dict.fromkeys(("create", "partial_update", "destroy"), "keep_agreements")


class AgreementFilters(filters.FilterSet):
    tier = TierFilter()
    q = filters.CharFilter(field_name="name", lookup_expr="icontains", label="Text in the name")
    updated_since = UpdatedSinceFilter()


class CountSerializer(serializers.Serializer):
    """Events under one provision, laid to one party, by one party's dates. Classes of sources are never added."""

    provision = serializers.IntegerField(help_text="Id")
    article = serializers.CharField()
    dates = serializers.CharField(help_text="Code of the party whose dates these are")
    accused = serializers.CharField(allow_null=True, help_text="Code of the party; null: not stated, or a third party")
    third_party = serializers.BooleanField(help_text="Laid to a third party, which has no code")
    answer = serializers.ChoiceField(choices=[("yes", "Covered"), ("unclear", "Cannot tell")])
    of = serializers.ChoiceField(
        choices=[(name, name) for name in coverage.CLASSES], help_text="Class of the source, or incident"
    )
    events = serializers.IntegerField()
    violations = serializers.IntegerField(
        allow_null=True, help_text="Of covered incidents: those that a person found to be one"
    )


class CountsSerializer(serializers.Serializer):
    results = CountSerializer(many=True)


def count_rows(found: list[coverage.Counted]) -> list[dict[str, Any]]:
    """Return the counts of an agreement, without zeros, as CountSerializer describes them."""
    articles = dict(Provision.objects.filter(pk__in={each.provision for each in found}).values_list("pk", "article"))
    codes = dict(Party.objects.values_list("pk", "code"))
    rows = []
    for each in found:
        for answer, numbers in (("yes", each.covered), ("unclear", each.unclear)):
            for of, events in numbers.items():
                if not events:
                    continue
                judged = answer == "yes" and of == coverage.OF_INCIDENT
                rows.append(
                    {
                        "provision": each.provision,
                        "article": articles[each.provision],
                        "dates": codes[each.dates],
                        "accused": codes.get(each.accused),
                        "third_party": each.accused == provisions.NOBODY,
                        "answer": answer,
                        "of": of,
                        "events": events,
                        "violations": each.violations if judged else None,
                    }
                )
    return rows


class AgreementViewSet(CoalitionViewSet):
    """What was agreed. When it holds is each party's own view: see the terms of its provisions."""

    queryset = Agreement.objects.all()
    columns = AGREEMENTS
    filterset_class = AgreementFilters
    lookup_field = "code"
    lookup_value_regex = "[-a-zA-Z0-9_]+"
    orderings = {"code": "code", "name": "name", "changed_at": "changed_at"}
    default_ordering = "code"
    inputs = {"create": AgreementInput, "partial_update": AgreementInput}
    outputs = {"counts": CountsSerializer}
    creates = ("create",)
    changes = ("partial_update", "destroy")
    write_actions = WRITES

    def create(self, request, *args, **kwargs):
        draft = self.input()
        return self.created(lambda: agreeing.agree(draft, by=request.user))

    def partial_update(self, request, *args, **kwargs):
        thing, version = self.changing()
        changes = self.input(partial=True)
        return self.shown_again(agreeing.revise_agreement(thing.pk, changes, by=request.user, based_on=version))

    @action(detail=True, methods=["get"])
    def counts(self, request, *args, **kwargs):
        """What was reported under it: events by provision, by who is accused and by whose dates."""
        return Response({"results": count_rows(coverage.counts(self.get_object(), request.user))})

    def destroy(self, request, *args, **kwargs):
        """Delete an agreement with its provisions and terms."""
        thing, version = self.changing()
        agreeing.delete_agreement(thing.pk, by=request.user, based_on=version)
        return Response(status=204)


class ProvisionFilters(filters.FilterSet):
    agreement = filters.ModelChoiceFilter(queryset=visible(Agreement), to_field_name="code")
    kind = filters.MultipleChoiceFilter(choices=Provision.Kind.choices)
    updated_since = UpdatedSinceFilter()


class ProvisionViewSet(CoalitionViewSet):
    """The duties of agreements, each with every party's own terms. What one does not name holds for all."""

    queryset = Provision.objects.all()
    columns = PROVISIONS
    worked_out = ("agreement", "terms")
    filterset_class = ProvisionFilters
    orderings = {"id": "id", "article": "article", "changed_at": "changed_at"}
    inputs = {"create": ProvisionInput, "partial_update": ProvisionChange}
    creates = ("create",)
    changes = ("partial_update", "destroy")
    write_actions = WRITES

    def create(self, request, *args, **kwargs):
        draft = self.input()
        agreement = _found(Agreement.objects.visible_to(request.user).filter(code=draft.pop("agreement")), "agreement")
        return self.created(lambda: agreeing.provide(agreement.pk, draft, by=request.user))

    def partial_update(self, request, *args, **kwargs):
        thing, version = self.changing()
        changes = self.input(partial=True)
        return self.shown_again(agreeing.revise_provision(thing.pk, changes, by=request.user, based_on=version))

    def destroy(self, request, *args, **kwargs):
        """Delete a provision with its terms."""
        thing, version = self.changing()
        agreeing.delete_provision(thing.pk, by=request.user, based_on=version)
        return Response(status=204)


class TermFilters(filters.FilterSet):
    agreement = filters.ModelChoiceFilter(
        field_name="provision__agreement", queryset=visible(Agreement), to_field_name="code"
    )
    provision = filters.ModelChoiceFilter(queryset=visible(Provision))
    party = filters.ModelChoiceFilter(queryset=visible(Party), to_field_name="code")
    updated_since = UpdatedSinceFilter()


class TermViewSet(CoalitionViewSet):
    """Each party's own view of when a provision began and ended. A release clause is applied by ending a term."""

    queryset = ProvisionTerm.objects.all()
    columns = TERMS
    worked_out = ("agreement", "article", "party")
    filterset_class = TermFilters
    orderings = {"id": "id", "begins_at": "begins_at", "changed_at": "changed_at"}
    inputs = {"create": TermInput, "partial_update": TermChange}
    creates = ("create",)
    changes = ("partial_update", "destroy")
    write_actions = WRITES

    def create(self, request, *args, **kwargs):
        draft = self.input()
        provision = _found(Provision.objects.visible_to(request.user).filter(pk=draft.pop("provision")), "provision")
        return self.created(lambda: agreeing.date_from(provision.pk, draft, by=request.user))

    def partial_update(self, request, *args, **kwargs):
        thing, version = self.changing()
        changes = self.input(partial=True)
        return self.shown_again(agreeing.revise_term(thing.pk, changes, by=request.user, based_on=version))

    def destroy(self, request, *args, **kwargs):
        """Delete a term: this party dates the provision no longer."""
        thing, version = self.changing()
        agreeing.delete_term(thing.pk, by=request.user, based_on=version)
        return Response(status=204)


def _found(rows, name: str):
    """Return the row. Raises a 400 that names the field, also where the user may not see it."""
    found = rows.first()
    if found is None:
        raise serializers.ValidationError({name: [f"There is no such {name}."]})
    return found
