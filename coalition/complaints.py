"""How a domain module's complaint reaches the form that caused it, and what the form shows when somebody was quicker."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.choices import flatten_choices

from coalition.bookkeeping import Record
from coalition.history import changes_of
from coalition.templatetags.formatting import quantity


def sentences(error: Exception) -> str:
    """Return a complaint as one line for people."""
    return " ".join(error.messages) if isinstance(error, ValidationError) else str(error)


def show(form: forms.BaseForm, error: Exception) -> None:
    """Put each complaint beside the field it names, or on top where it names none."""
    if isinstance(error, ValidationError) and hasattr(error, "error_dict"):
        for name, complaints in error.error_dict.items():
            form.add_error(name if name in form.fields else None, complaints)
    else:
        form.add_error(None, error if isinstance(error, ValidationError) else str(error))


def two_versions(
    form: forms.BaseForm, current: Record, *more: tuple[str, str, str], now: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the context of ``_two_versions.html``: the row as it stands beside what the valid form wanted.

    ``more`` are (label, now, yours) of what the form itself does not hold; ``now`` has the values that stand, where the
    fields of the form are not those of the row, and leaves out what is nobody's value. From here on the form is based on the
    current version: sent again as it is shown, it takes its place.
    """
    pairs = [
        (
            form[name].label,
            _in_words(field, getattr(current, name) if now is None else now[name]),
            _in_words(field, form.cleaned_data.get(name)),
        )
        for name, field in form.fields.items()
        if not field.widget.is_hidden and (now is None or name in now)
    ]
    form.data = form.data.copy()
    form.data["version"] = current.version
    last = changes_of(current, limit=1)
    return {
        "rows": [
            {"label": label, "now": stands or None, "yours": yours or None, "differs": stands != yours}
            for label, stands, yours in (*pairs, *more)
        ],
        "changed_by": last[0].who if last else "",
        "changed_at": current.changed_at,
    }


def _in_words(field: forms.Field, value: Any) -> str:
    """Return the value of a field as its page writes it; nothing is an empty text."""
    if value is None:
        return ""
    if isinstance(field, forms.ModelMultipleChoiceField):
        rows: Iterable = value.all() if hasattr(value, "all") else value
        return ", ".join(sorted(field.label_from_instance(row) for row in rows))
    if isinstance(field, forms.MultipleChoiceField):
        words = dict(flatten_choices(field.choices))
        return ", ".join(str(words.get(one, one)) for one in value)
    if isinstance(field, forms.ChoiceField) and not isinstance(field, forms.ModelChoiceField):
        return str(dict(flatten_choices(field.choices)).get(value, value))
    return quantity(value) if isinstance(value, Decimal) else str(value)
