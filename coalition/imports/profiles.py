"""What must an app say so that rows of its kind can be imported?

An app subclasses ``RowProfile`` and ``Session``, or ``SetProfile``, and is named in ``settings.IMPORT_PROFILES``;
``staging`` does the rest and knows no app. A session is opened for one dry run, one commit or one undo, inside the
transaction of whoever acts, and looks up once what all rows need. Rows that come by the million are not judged one by one:
a ``SetProfile`` does each step for all of them, columns at a time and in the database.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar

from django.conf import settings
from django.utils.module_loading import import_string

from coalition.access import can
from coalition.imports.cells import DateOrder
from coalition.imports.mapping import Field, Problem
from coalition.imports.sandbox import ParsedFile
from coalition.models import ImportBatch, ImportRow

Outcome = ImportRow.Outcome


@dataclass(frozen=True)
class Worded:
    """A field whose words in the file a person may translate: each into one of ``choices`` (text, label).

    ``separator``: a cell may hold several words, parted by it.
    """

    field: str
    choices: tuple[tuple[str, str], ...]
    separator: str = ""


@dataclass(frozen=True)
class Candidate:
    """A row whose cells could all be read: its number, its id within the data set, and its values by field name."""

    number: int
    key: str
    values: dict[str, Any]


@dataclass(frozen=True)
class Offer:
    """Something a person may take along with a row by a tick; ``data`` is the profile's own, as JSON."""

    label: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Judgement:
    """What a row would do.

    ``draft``: all that ``write`` needs, as JSON. ``says``: one line for people. ``changes``: label, before, after.
    ``problems``: why it is rejected; on a row that is not, what a person should know. ``based_on``: the target's version.
    """

    outcome: str
    says: str = ""
    draft: dict[str, Any] = field(default_factory=dict)
    changes: tuple[tuple[str, str, str], ...] = ()
    problems: tuple[Problem, ...] = ()
    target_id: int | None = None
    based_on: int | None = None
    approved: bool = True
    offer: Offer | None = None


@dataclass(frozen=True)
class Written:
    """What a row made or changed, and what stood there before (JSON), to be put back on undo."""

    target_id: int | None
    before: dict[str, Any] | None = None


class Session(ABC):
    """One go at a batch by one person, with all looked up that its rows need."""

    @abstractmethod
    def judge(self, candidates: Sequence[Candidate]) -> Iterator[Judgement]:
        """Yield what each row would do, in their order. Writes nothing."""

    @abstractmethod
    def write(self, row: ImportRow) -> Written:
        """Do what the row would do. Raise Refused, ValidationError, PermissionDenied or Http404 where it cannot be done
        any more, also when its target changed since it was judged."""

    @abstractmethod
    def versions(self, rows: Sequence[ImportRow]) -> dict[int, int]:
        """Return the version of each row's target as it is now, by the row's pk; without those that are gone."""

    @abstractmethod
    def touched(self, rows: Sequence[ImportRow]) -> dict[int, str]:
        """Return why a committed row's target is not as the import left it, by the row's pk."""

    @abstractmethod
    def put_back(self, row: ImportRow) -> None:
        """Take back what the row did, whatever came after it. Raises like ``write``."""

    def at_once(self, row: ImportRow) -> bool:
        """Return True for a row that ``write_many`` may write together with others, before those that go one by one."""
        return False

    def write_many(self, rows: Sequence[ImportRow]) -> dict[int, Written]:
        """Do what these rows would do, all or none, and return the outcome by the row's pk. Raises like ``write``."""
        return {row.pk: self.write(row) for row in rows}

    def put_back_many(self, rows: Sequence[ImportRow]) -> None:
        """Take back what ``write_many`` did. Raises like ``write``."""
        for row in rows:
            self.put_back(row)

    def in_order(self, rows: Iterable[ImportRow]) -> list[ImportRow]:
        """Return the rows in the order in which they are written; they are put back the other way round."""
        return list(rows)

    def remarks(self) -> list[str]:
        """Return what a person should know about the whole dry run, as sentences."""
        return []


class Profile(ABC):
    """One kind of rows: what they say and what becomes of them."""

    name: ClassVar[str]
    label: ClassVar[str]
    lead: ClassVar[str]  # one sentence on what becomes of the rows
    action: ClassVar[str]  # in access.RULES
    dataset: ClassVar[str]  # proposed name of the data set
    fields: ClassVar[tuple[Field, ...]]
    id_field: ClassVar[str] = "external_id"
    most_rows: ClassVar[int] = 20_000
    most_mb: ClassVar[int] = 50
    noun: ClassVar[str] = "rows"
    time_zone: ClassVar[str] = ""  # of the source's local times; empty: the operation's
    date_order: ClassVar[DateOrder] = ""
    columns: ClassVar[tuple[str, ...]] = ()  # in order, of a file that may come without a header row

    @abstractmethod
    def worded(self, batch: ImportBatch, *, by) -> list[Worded]:
        """Return the fields whose words may be translated, with the choices this person has."""

    @abstractmethod
    def link(self, row: "ImportRow | SetRow") -> tuple[str, str] | None:
        """Return what a row's target is called and its address, or None when it has none."""


class RowProfile(Profile):
    """Rows that are judged, approved and written one by one, in ``ImportRow``."""

    @abstractmethod
    def open(self, batch: ImportBatch, *, by) -> Session:
        """Return a session for the batch. Call while acting as ``by``."""


@dataclass(frozen=True)
class SetRow:
    """One row of a ``SetProfile`` for showing, by the names that ``ImportRow`` has. ``pk`` is what is sent back of it."""

    pk: int
    number: int | None
    outcome: str
    external_id: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    problems: Sequence[dict[str, str]] = ()
    approved: bool = True
    target_id: int | None = None
    target_version: int | None = None
    cells: dict[str, str] = field(default_factory=dict)


class SetProfile(Profile):
    """Rows that are judged and written as a set.

    Every method but ``shown`` and ``approved`` is called inside the transaction of whoever acts, with the batch locked.
    ``progress`` is told how many rows are done, and raises where the work is no longer wanted. What cannot be done any
    more is refused whole, with ``NotAsTried`` and one sentence for each row that stands against it.
    """

    most_rows = 2_000_000
    most_mb = 1024
    preview_template: ClassVar[str] = ""  # a part that shows what ``preview`` returns
    preview_head_template: ClassVar[str] = ""  # what the page needs in its head for it

    @abstractmethod
    def try_out(self, batch: ImportBatch, file: ParsedFile, *, by, progress: Callable[[int], None]) -> dict[str, Any]:
        """Judge every row anew; return how many there are by outcome, and ``remarks`` on the whole as sentences."""

    @abstractmethod
    def write(self, batch: ImportBatch, *, by, progress: Callable[[int], None]) -> dict[str, int]:
        """Write what is approved, and return how many rows that were by outcome."""

    @abstractmethod
    def take_back(
        self, batch: ImportBatch, *, also: Collection[int], by, progress: Callable[[int], None]
    ) -> tuple[int, int]:
        """Take back what was written, but for rows touched since that are not in ``also``; return how many, and left."""

    @abstractmethod
    def touched(self, batch: ImportBatch, *, by) -> list[tuple[SetRow, str]]:
        """Return the rows whose targets are not as the import left them, and why."""

    @abstractmethod
    def approve(self, batch: ImportBatch, *, shown: Collection[int], approved: Collection[int]) -> bool:
        """Approve some of the rows that were shown (by pk); return whether that changed anything."""

    @abstractmethod
    def approve_all(self, batch: ImportBatch, outcome: str, *, approved: bool) -> None:
        """Approve every row of an outcome, or none."""

    @abstractmethod
    def approved(self, batch: ImportBatch) -> int:
        """Return how many rows a commit would write."""

    @abstractmethod
    def shown(self, batch: ImportBatch, outcome: str, *, by) -> Sequence[SetRow | ImportRow]:
        """Return the rows of an outcome in the file's order: something with a length that can be sliced."""

    def preview(self, batch: ImportBatch) -> object | None:
        """Return what a dry run is to show above its rows, None for nothing."""
        return None


class NotAsTried(Exception):
    """Rows that were approved can no longer be written, or be put back, as it was shown."""

    def __init__(self, refusals: list[str]):
        super().__init__(" ".join(refusals))
        self.refusals = refusals


@cache
def profiles() -> dict[str, Profile]:
    """Return every kind of import by name, in the order of the settings."""
    made = [import_string(path)() for path in settings.IMPORT_PROFILES]
    return {profile.name: profile for profile in made}


def profiles_of(user) -> list[Profile]:
    """Return the kinds that this person may import, for their own nation at least."""
    return [profile for profile in profiles().values() if can(user, profile.action)]
