"""How a domain module's complaint reaches the form that caused it."""

from django.core.exceptions import ValidationError
from django.forms import BaseForm


def sentences(error: Exception) -> str:
    """Return a complaint as one line for people."""
    return " ".join(error.messages) if isinstance(error, ValidationError) else str(error)


def show(form: BaseForm, error: Exception) -> None:
    """Put each complaint beside the field it names, or on top where it names none."""
    if isinstance(error, ValidationError) and hasattr(error, "error_dict"):
        for name, complaints in error.error_dict.items():
            form.add_error(name if name in form.fields else None, complaints)
    else:
        form.add_error(None, error if isinstance(error, ValidationError) else str(error))
