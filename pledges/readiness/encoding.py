"""How a count lies in JSON in the store, and how it is read from there again."""

from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from functools import cache
from typing import Any


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def written(count: Any) -> dict[str, Any]:
    """Return a dataclass of counts for JSON. What equals its default is left out: most stretches are mostly nothing."""
    found = {}
    for name, nothing in _defaults(type(count)):
        value = getattr(count, name)
        if isinstance(value, tuple):
            if any(value):
                found[name] = [part if type(part) is int else _plain(part) for part in value]
        elif value is not None and (value or nothing is None):
            found[name] = _plain(value)
    return found


@cache
def _defaults(kind: type) -> tuple[tuple[str, Any], ...]:
    """Return the fields with what stands there while nothing is counted: None or zeros."""
    return tuple((name, getattr(_nothing(kind), name)) for name in _names(kind))


@cache
def _nothing(kind: type) -> Any:
    return kind()


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):  # as a float it would lose cents; most are whole
        whole = int(value)
        return whole if whole == value else str(value)
    return value


def read(kind: type, stored: Mapping[str, Any] | None) -> Any:
    """Return what ``written`` put away."""
    stored = stored or {}
    nothing = _nothing(kind)
    values = {}
    for name in _names(kind):
        if name in stored:
            default, value = getattr(nothing, name), stored[name]
            if isinstance(default, tuple):
                value = tuple(map(Decimal, value)) if isinstance(default[0], Decimal) else tuple(value)
            elif isinstance(default, Decimal) or name == "need":
                value = Decimal(value)
            values[name] = value
    return kind(**values)
