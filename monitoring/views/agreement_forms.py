"""The forms of agreements, provisions and terms: they read and explain input; ``monitoring.agreeing`` judges it."""

from django import forms

from coalition.forms import DayInput, RecordForm, TierField
from coalition.models import Sector
from monitoring.kinds import KINDS_OF, Facility
from monitoring.models import Agreement, Party, Provision, ProvisionTerm

KINDS = [(family.label, [(kind.value, kind.label) for kind in kinds]) for family, kinds in KINDS_OF.items()]


class InstantInput(forms.DateTimeInput):
    """The browser's own picker of day and time, in the time zone the page names."""

    input_type = "datetime-local"

    def __init__(self):
        super().__init__(format="%Y-%m-%dT%H:%M")


class Address(forms.URLField):
    """A web address that may be missing."""

    def __init__(self):
        super().__init__(label="Address of the source", max_length=500, required=False, assume_scheme="https")


class AgreementForm(RecordForm):
    """What was agreed, in our own words."""

    tier = TierField()
    source_url = Address()

    class Meta:
        model = Agreement
        fields = ["name", "code", "signed_on", "text", "source_url", "tier", "illustrative"]
        widgets = {"signed_on": DayInput(), "text": forms.Textarea(attrs={"rows": 5})}
        help_texts = {"code": "Stands in the address: energy-2025"}


class ProvisionForm(RecordForm):
    """One duty, and what it names. What is left empty holds for all."""

    act_kinds = forms.MultipleChoiceField(
        choices=KINDS, required=False, label="Acts", help_text="None: acts of any kind"
    )
    facility_classes = forms.MultipleChoiceField(
        choices=Facility.choices, required=False, label="Facilities", help_text="None: whatever was hit"
    )
    zones = forms.MultipleChoiceField(required=False, help_text="None: everywhere")
    binds = forms.MultipleChoiceField(
        required=False, label="Binds", help_text="None: every party", widget=forms.CheckboxSelectMultiple
    )

    class Meta:
        model = Provision
        fields = ["article", "kind", "text", "act_kinds", "facility_classes", "zones", "binds"]
        widgets = {"text": forms.Textarea(attrs={"rows": 3})}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        areas = [
            (area.code, f"{area.code} {area.name}") for area in Sector.objects.only("code", "name").order_by("code")
        ]
        self.fields["zones"].choices = _with_those_gone(areas, self.instance.zones)
        parties = list(Party.objects.order_by("name").values_list("code", "name"))
        self.fields["binds"].choices = _with_those_gone(parties, self.instance.binds)


def _with_those_gone(choices: list, chosen: list[str]) -> list:
    known = {code for code, _ in choices}
    return choices + [(code, f"{code} (no longer there)") for code in chosen if code not in known]


class TermForm(RecordForm):
    """When a provision began and ended, as one party sees it."""

    source_url = Address()

    class Meta:
        model = ProvisionTerm
        fields = ["party", "begins_at", "ends_at", "reason", "source_url"]
        widgets = {"begins_at": InstantInput(), "ends_at": InstantInput(), "reason": forms.Textarea(attrs={"rows": 2})}

    def __init__(self, *args, zone: str, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["party"].empty_label = "Choose a party"
        self.fields["begins_at"].help_text = f"From this instant on; {zone}"
        self.fields["ends_at"].help_text = f"Until just before this instant; {zone}. Empty: open-ended"
        if self.instance.pk:
            del self.fields["party"]


class EndForm(forms.Form):
    """End one party's term: how a person applies a release clause."""

    version = forms.IntegerField(required=False, widget=forms.HiddenInput)
    ends_at = forms.DateTimeField(label="Ended at", widget=InstantInput())
    reason = forms.CharField(label="Because", max_length=500, widget=forms.Textarea(attrs={"rows": 3}))

    def __init__(self, *args, zone: str, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields[
            "ends_at"
        ].help_text = f"From this instant on it is no longer in force, as this party sees it; {zone}"
        self.fields["reason"].help_text = "Which clause is applied, and on what occasion. It is kept in the history."
