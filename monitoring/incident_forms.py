"""The forms of triage, merging and judging. They check shapes; what is allowed is asked of the domain."""

from django import forms

from coalition.forms import DayInput, RecordForm, TierField
from monitoring import judging
from monitoring.kinds import Facility, Kind
from monitoring.models import Confidence, Incident, Party, PartyResponse, Report

NONE_YET = [("", "Not answered")]


class JudgementForm(forms.Form):
    """Occurrence, finding and attribution, each with how sure and why."""

    version = forms.IntegerField(widget=forms.HiddenInput)
    occurrence = forms.ChoiceField(choices=judging.VERDICT_CHOICES, label="Did it happen?")
    occurrence_confidence = forms.ChoiceField(
        choices=[("", "Choose"), *Confidence.choices], required=False, label="How sure"
    )
    occurrence_reasoning = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 4}), required=False, max_length=4000, label="What it rests on"
    )
    finding = forms.ChoiceField(
        choices=[*NONE_YET, *Incident.Finding.choices], required=False, label="Was it a violation?"
    )
    finding_confidence = forms.ChoiceField(
        choices=[("", "Choose"), *Confidence.choices], required=False, label="How sure"
    )
    finding_reasoning = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 4}), required=False, max_length=4000, label="What it rests on"
    )
    attribution = forms.ChoiceField(
        choices=[*NONE_YET, *Incident.Attribution.choices], required=False, label="Whose was it?"
    )
    attributed_to = forms.ModelChoiceField(
        queryset=Party.objects.order_by("name"), required=False, label="Which party", empty_label="None named"
    )
    attribution_confidence = forms.ChoiceField(
        choices=[("", "Choose"), *Confidence.choices], required=False, label="How sure"
    )
    attribution_reasoning = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 4}), required=False, max_length=4000, label="What it rests on"
    )

    def draft(self) -> dict:
        """Return the cleaned answers, as ``judging.judge`` takes them."""
        return {name: self.cleaned_data[name] for name in judging.JUDGED}


class VerifyForm(forms.Form):
    """What the verifier checked."""

    version = forms.IntegerField(widget=forms.HiddenInput)
    reason = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 3}), max_length=1000, label="What was checked, and how", strip=True
    )


class IncidentForm(RecordForm):
    """What the incident is written down as; place and time are those of one of its reports."""

    tier = TierField()
    place_of = forms.TypedChoiceField(required=False, coerce=int, empty_value=None, label="Place as in")
    time_of = forms.TypedChoiceField(required=False, coerce=int, empty_value=None, label="Time as in")

    class Meta:
        model = Incident
        fields = ["title", "kind", "facility_class", "accused", "tier"]

    def __init__(self, *args, reports: list[Report], **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["kind"].choices = Kind.choices
        self.fields["facility_class"].choices = [("", "None"), *Facility.choices]
        self.fields["accused"].empty_label = "Open"
        told = [(report.pk, f"V{report.pk}: {report.source}") for report in reports]
        for name in ("place_of", "time_of"):
            self.fields[name].choices = [("", "Leave as it is"), *told]

    def draft(self) -> dict:
        """Return the cleaned fields; a place or time left as it is is not among them."""
        draft = super().draft()
        return {name: value for name, value in draft.items() if name not in ("place_of", "time_of") or value}


class ResponseForm(forms.Form):
    """What a party said when the incident was put to it."""

    party = forms.ModelChoiceField(queryset=Party.objects.order_by("name"), empty_label="Choose")
    stance = forms.ChoiceField(choices=PartyResponse.Stance.choices)
    said_on = forms.DateField(widget=DayInput(), required=False, label="Said on")
    text = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 3}), required=False, max_length=4000, label="What it said"
    )
    source_url = forms.URLField(required=False, max_length=500, label="Address", assume_scheme="https")
