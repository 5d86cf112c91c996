"""The forms of pledges, requirements and allocations: they read and explain input; the domain modules judge it."""

from django import forms
from django.forms import formset_factory

from coalition.access import Role, actor_of, can
from coalition.forms import DayInput, RecordForm, TierField
from coalition.models import Condition, Nation, Operation, Sector
from pledges.models import Capability, Caveat, Pledge, Requirement


class CapabilityField(forms.CharField):
    """A capability, typed: its name or code, with the browser's suggestions from a list beside it."""

    default_error_messages = {"unknown": "There is no capability “%(text)s”. %(hint)s"}

    def __init__(self, **kwargs):
        widget = forms.TextInput(attrs={"list": "capability-names", "autocomplete": "off", "spellcheck": "false"})
        super().__init__(widget=widget, max_length=120, **kwargs)

    def prepare_value(self, value):
        if isinstance(value, Capability):
            return value.name
        if isinstance(value, int):
            return Capability.objects.filter(pk=value).values_list("name", flat=True).first()
        return value

    def clean(self, value) -> Capability | None:
        text = super().clean(value).strip()
        if not text:
            return None
        found = Capability.objects.filter(name__iexact=text).first() or Capability.objects.filter(code=text).first()
        if found is None:
            near = Capability.objects.filter(name__icontains=text).order_by("name").values_list("name", flat=True)[:4]
            hint = f"Did you mean {' or '.join(near)}?" if near else "Choose one from the list."
            params = {"text": text[:80], "hint": hint}
            raise forms.ValidationError(self.error_messages["unknown"], code="unknown", params=params)
        return found


class ConditionsField(forms.ModelMultipleChoiceField):
    """Conditions as ticks, each with its state."""

    widget = forms.CheckboxSelectMultiple

    def label_from_instance(self, condition: Condition) -> str:
        state = "" if condition.state == Condition.State.OPEN else f" ({condition.get_state_display().lower()})"
        return f"{condition.title}{state}"


class PledgeForm(RecordForm):
    """A pledge, as an officer logs it in under a minute."""

    SIGNALLED, OFFERED = Pledge.Status.SIGNALLED, Pledge.Status.OFFERED

    idempotency_key = forms.CharField(required=False, max_length=100, widget=forms.HiddenInput)
    capability = CapabilityField(help_text="Start typing: “engineer”, “UAV”, “beds”")
    status = forms.ChoiceField(
        label="Said as",
        choices=[(OFFERED, "Offered by the nation"), (SIGNALLED, "Signalled in public only")],
        initial=OFFERED,
        widget=forms.RadioSelect,
    )
    conditions = ConditionsField(queryset=Condition.objects.none(), required=False, label="Hangs on")
    tier = TierField(help_text="Who may see it. Your own nation always does.")
    source_url = forms.URLField(label="Address of the source", max_length=500, required=False, assume_scheme="https")

    field_order = ["nation", "capability", "what", "quantity", "available_from", "available_until", "notice_days"]

    class Meta:
        model = Pledge
        fields = [
            "nation",
            "capability",
            "what",
            "quantity",
            "available_from",
            "available_until",
            "notice_days",
            "conditions",
            "tier",
            "requirement",
            "stated_low",
            "stated_high",
            "source",
            "source_url",
            "stated_on",
            "note",
        ]
        widgets = {
            "available_from": DayInput(),
            "available_until": DayInput(),
            "stated_on": DayInput(),
            "quantity": forms.NumberInput(attrs={"min": 0, "step": "any", "inputmode": "decimal"}),
            "stated_low": forms.NumberInput(attrs={"min": 0, "step": "any", "inputmode": "decimal"}),
            "stated_high": forms.NumberInput(attrs={"min": 0, "step": "any", "inputmode": "decimal"}),
            "note": forms.Textarea(attrs={"rows": 3}),
            "what": forms.TextInput(attrs={"placeholder": "Light infantry battalion with its vehicles"}),
        }
        labels = {"quantity": "Quantity", "requirement": "Answers the line"}
        help_texts = {"quantity": "What planners may count on. Leave empty if it is not known yet."}

    def __init__(self, *args, user, operation: Operation, **kwargs):
        super().__init__(*args, operation=operation, **kwargs)
        actor = actor_of(user)
        if actor.role == Role.OFFICER:
            self.fields["nation"].queryset = Nation.objects.filter(pk=actor.nation)
            self.fields["nation"].initial = actor.nation
            self.fields["nation"].empty_label = None
        else:
            self.fields["nation"].queryset = Nation.objects.order_by("name")
            self.fields["nation"].empty_label = "Choose a nation"
        conditions = Condition.objects.visible_to(user).filter(operation=operation)
        self.fields["conditions"].queryset = conditions.order_by("kind", "title")
        lines = Requirement.objects.visible_to(user).filter(operation=operation)
        self.fields["requirement"].queryset = lines.select_related("capability", "sector").order_by(
            "capability__name", "priority", "pk"
        )
        self.fields["requirement"].empty_label = "No line in particular"
        self.fields["requirement"].widget.attrs["data-follows"] = "capability"
        if self.instance.pk:
            del self.fields["status"]
            self.fields["nation"].disabled = not can(user, "keep_requirements")
        else:
            self.fields["available_from"].initial = max(operation.starts_on, operation.today())

    def draft(self) -> dict:
        """Return what ``declaring`` takes: nation and operation only for a new pledge."""
        not_taken = {"idempotency_key", "nation"} if self.instance.pk else {"idempotency_key"}
        return {name: value for name, value in super().draft().items() if name not in not_taken}


class CaveatForm(forms.Form):
    """One national caveat; an empty row is no caveat."""

    kind = forms.ChoiceField(choices=[("", "No caveat"), *Caveat.Kind.choices], required=False, label="Caveat")
    text = forms.CharField(max_length=500, required=False, label="In words")

    def clean(self) -> dict:
        data = super().clean()
        if data.get("text") and not data.get("kind"):
            self.add_error("kind", "Say what kind of caveat this is.")
        if data.get("kind") and not data.get("text"):
            self.add_error("text", "Say the caveat in words.")
        return data


CaveatFormSet = formset_factory(CaveatForm, extra=2, max_num=20, absolute_max=20)


def caveats_of(formset) -> list[dict[str, str]]:
    """Return the caveats of a valid formset as ``declaring`` takes them, empty rows left out."""
    return [
        {"kind": form.cleaned_data["kind"], "text": form.cleaned_data["text"]}
        for form in formset
        if form.cleaned_data and form.cleaned_data.get("text")
    ]


class StepForm(forms.Form):
    """A step on the ladder: the version it is based on, and why."""

    version = forms.IntegerField(required=False, widget=forms.HiddenInput)
    reason = forms.CharField(max_length=1000, required=False, widget=forms.Textarea(attrs={"rows": 2}), label="Reason")


class RequirementForm(RecordForm):
    """A requirement line, as planners keep it."""

    capability = CapabilityField(help_text="Start typing: “engineer”, “UAV”, “beds”")
    tier = TierField()

    class Meta:
        model = Requirement
        fields = [
            "capability",
            "title",
            "sector",
            "quantity",
            "needed_from",
            "needed_until",
            "priority",
            "notice_days",
            "phase",
            "tier",
            "note",
        ]
        widgets = {
            "needed_from": DayInput(),
            "needed_until": DayInput(),
            "quantity": forms.NumberInput(attrs={"min": 0, "step": "any", "inputmode": "decimal"}),
            "note": forms.Textarea(attrs={"rows": 3}),
        }

    def __init__(self, *args, operation: Operation, **kwargs):
        super().__init__(*args, operation=operation, **kwargs)
        self.fields["sector"].queryset = Sector.objects.order_by("code")
        self.fields["sector"].empty_label = "Anywhere"
        if not self.instance.pk:
            self.fields["needed_from"].initial = operation.starts_on


class AllocationForm(forms.Form):
    """So much of this pledge to that line."""

    requirement = forms.ModelChoiceField(queryset=Requirement.objects.none(), empty_label=None, label="Line")
    quantity = forms.DecimalField(min_value=0, max_digits=15, decimal_places=2)

    def __init__(self, *args, lines, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["requirement"].queryset = lines


class ConditionForm(RecordForm):
    """A condition, as planners keep it."""

    tier = TierField()
    source_url = forms.URLField(label="Address of the source", max_length=500, required=False, assume_scheme="https")

    class Meta:
        model = Condition
        fields = ["kind", "title", "nation", "state", "probability", "due_on", "tier", "note", "source_url"]
        widgets = {"due_on": DayInput(), "note": forms.Textarea(attrs={"rows": 3})}

    def __init__(self, *args, operation: Operation, **kwargs):
        super().__init__(*args, operation=operation, **kwargs)
        self.fields["nation"].empty_label = "Shared by all"


class NationForm(RecordForm):
    """What is known of a nation."""

    class Meta:
        model = Nation
        fields = ["standing", "standing_source", "approval_route", "focal_point"]
        widgets = {"approval_route": forms.Textarea(attrs={"rows": 2})}
