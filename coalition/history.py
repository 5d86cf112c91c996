"""What was changed about a thing: by whom, when, why, and from what to what.

The history tables keep each row as it stood *before* a change, so the living row ends the chain.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db.models import ForeignKey, Model

BOOKKEEPING = {"id", "version", "created_at", "changed_at", "changed_xid", "superseded_tier"}


@dataclass(frozen=True)
class FieldChange:
    """One field of one change. Values are as people read them; None where there was nothing."""

    label: str
    before: object
    after: object


@dataclass(frozen=True)
class Change:
    """One change of a row. ``who`` is a user name or "system"; ``why`` may be empty."""

    at: datetime
    who: str
    why: str
    fields: list[FieldChange]


def changes_of(thing: Model, limit: int = 100, *, without: Collection[str] = ()) -> list[Change]:
    """Return the changes of a tracked row, newest first, at most ``limit``; empty when it was never changed.

    ``without`` are fields that the reader may not see, or that say nothing; bookkeeping columns are left out too. Two
    queries at most, plus one per related table whose names are shown. A related row that the one who acts may not see,
    or that is gone, is shown as nothing, and a change between such rows not at all: its number would give it away.
    """
    model = type(thing)
    events = list(model.pgh_event_model.objects.filter(pgh_obj_id=thing.pk).order_by("-pgh_id")[:limit])
    shown = [field for field in model._meta.concrete_fields if field.name not in BOOKKEEPING | set(without)]
    names = _names_of(shown, [thing, *events])
    changes, after = [], thing
    for event in events:
        differing = [field for field in shown if getattr(event, field.attname) != getattr(after, field.attname)]
        read = [(field, _read(field, event, names), _read(field, after, names)) for field in differing]
        fields = [
            FieldChange(label=str(field.verbose_name).capitalize(), before=before, after=now)
            for field, before, now in read
            if (before, now) != (None, None)
        ]
        told = event.pgh_context or {}
        if fields:
            changes.append(
                Change(at=event.pgh_created_at, who=told.get("name", ""), why=told.get("why", ""), fields=fields)
            )
        after = event
    return changes


def _names_of(fields: list, rows: list) -> dict:
    """Return {(field name, id): text} for every related row that a change may name, one query per related table."""
    names = {}
    for field in fields:
        if isinstance(field, ForeignKey):
            ids = {getattr(row, field.attname) for row in rows} - {None}
            if len(ids) > 1 or (ids and None in {getattr(row, field.attname) for row in rows}):
                for related in field.related_model._default_manager.filter(pk__in=ids):
                    names[field.name, related.pk] = str(related)
    return names


def _read(field, row: Model, names: dict) -> object:
    value = getattr(row, field.attname)
    if value is None or value == "":
        return None
    if isinstance(field, ForeignKey):
        return names.get((field.name, value))
    if field.choices:
        return dict(field.flatchoices).get(value, value)
    return value
