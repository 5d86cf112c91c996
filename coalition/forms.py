"""What the forms of all apps share: days, release tiers, and a row with a version."""

from django import forms

from coalition.access import Tier
from coalition.models import Operation


class DayInput(forms.DateInput):
    """The browser's own date picker; ISO days on the wire."""

    input_type = "date"

    def __init__(self, **kwargs):
        super().__init__(format="%Y-%m-%d", **kwargs)


class TierField(forms.TypedChoiceField):
    """How far a thing may be passed on."""

    def __init__(self, **kwargs):
        choices = [(tier.value, tier.label.capitalize()) for tier in Tier]
        super().__init__(label="Release tier", choices=choices, coerce=int, initial=Tier.COALITION.value, **kwargs)


class RecordForm(forms.ModelForm):
    """A row with a version: the form carries the one its reader saw, and ``draft()`` is what the domain takes."""

    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args, operation: Operation | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self.operation = operation
        if operation:
            self.instance.operation = operation
        if self.instance.pk:
            self.fields["version"].initial = self.instance.version

    def draft(self) -> dict:
        """Return the cleaned fields of the thing itself; the operation only for a new one."""
        draft = {name: value for name, value in self.cleaned_data.items() if name != "version"}
        return draft if self.instance.pk or not self.operation else draft | {"operation": self.operation}
