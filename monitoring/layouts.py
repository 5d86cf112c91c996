"""What must a kind of file say of itself, so that its rows become reports?

A layout is a class of its own in ``monitoring.profiles``: its fields, which of them say what (``reads``), and what holds
for every row. ``importing`` does the rest and knows no layout by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from coalition.access import Tier
from coalition.imports.mapping import Field
from monitoring.models import Source
from monitoring.understanding import Knowing, Read


@dataclass(frozen=True)
class OwnSource:
    """The source of every row of a layout. It is added when such rows are committed for the first time."""

    code: str
    name: str
    source_class: str = Source.Class.MEDIA
    kind: str = Source.Kind.DATASET
    address: str = ""
    licence: str = ""


class Layout:
    """One kind of file with reports in it."""

    name: ClassVar[str]
    label: ClassVar[str]
    lead: ClassVar[str]
    dataset: ClassVar[str]
    fields: ClassVar[tuple[Field, ...]]
    reads: ClassVar[Mapping[str, Read]]
    own_source: ClassVar[OwnSource | None] = None  # None: each row names its own
    tier: ClassVar[int] = Tier.COALITION  # of rows that name none
    time_zone: ClassVar[str] = "Europe/Kyiv"
    date_order: ClassVar[str] = ""
    id_field: ClassVar[str] = "external_id"  # the field with the source's own id, if it has one
    columns: ClassVar[tuple[str, ...]] = ()  # in order, of a release that comes without a header row


def called(*names: str, required: tuple[str, ...] = ()) -> tuple[Field, ...]:
    """Return fields that are called as the publisher calls its columns."""
    return tuple(Field(name, name, required=name in required) for name in names)


def first_address(knowing: Knowing, text: str) -> str:
    """Return the first of the addresses in a cell (parted by bars, blanks or commas); all of them stay in the original."""
    return next(iter(text.replace("|", " ").replace(",http", " http").replace(";", " ").split()), "")
