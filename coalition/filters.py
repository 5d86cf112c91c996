"""Filters that lists of all apps share."""

from datetime import UTC, datetime

import django_filters
from django.core.exceptions import ValidationError
from django_filters.fields import IsoDateTimeField


class InstantField(IsoDateTimeField):
    """An instant, in UTC whatever offset it came with: PostgreSQL does not know every offset that ISO 8601 allows."""

    def to_python(self, value) -> datetime | None:
        try:
            found = super().to_python(value)
            return found and found.astimezone(UTC)
        except (OverflowError, ValueError):
            raise ValidationError("Enter an instant between the years 1 and 9999.") from None


class UpdatedSinceFilter(django_filters.IsoDateTimeFilter):
    """What was changed at an instant or later."""

    field_class = InstantField

    def __init__(self):
        super().__init__(field_name="changed_at", lookup_expr="gte", label="Changed since")
