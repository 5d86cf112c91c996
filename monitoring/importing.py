"""What becomes of the rows of a file of reports? Judged, written and taken back as a set.

The dry run goes through the file twice, some ten thousand rows at a time, so memory stays flat: once to tell who is who in
it, once to understand the rows, place them, compare them with what is stored under the same ids, and copy them into the
staging table. A commit moves them from there with INSERT and UPDATE, in one transaction: a worker that dies in the middle
leaves nothing behind.

A row that says what it said last time is the same, whatever people changed here since. A row that says something else
changes the report; where people changed it here, only in what the file itself now says differently.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, ClassVar
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from django.db import IntegrityError, connection, transaction
from django.db.models import Min
from django.urls import reverse
from django.utils import timezone

from coalition.access import Tier, actor_of
from coalition.editing import is_id, seeing_all
from coalition.imports import identity, staging
from coalition.imports.cells import folded
from coalition.imports.mapping import Mapping as ColumnMapping
from coalition.imports.profiles import NotAsTried, Outcome, SetProfile, SetRow, Worded
from coalition.imports.sandbox import PROBLEM, ROW, ParsedFile
from coalition.models import ImportBatch, ImportRow, Sector
from monitoring import gazetteer, merging, places
from monitoring.kinds import Facility, Kind
from monitoring.layouts import Layout
from monitoring.models import Party, ProvisionTerm, Report, Source, StagedReport
from monitoring.placing import Areas
from monitoring.understanding import DRAFT, Knowing, Reader, Spot, Understood, as_problems, originals

CHUNK = 8_000  # rows understood at a time
SLICE = 50_000  # rows written at a time; between them it is heard whether the work is still wanted
AT_ONCE = 5_000  # rows deleted, or rejected rows written, at a time
MOST_REFUSALS = 50  # a commit that fails lists so many rows
MOST_CELLS = 5_000  # that the preview draws
MOST_TOUCHED = 500  # rows that the page of an undo lists
PLACED = (
    "cell", "sector_id", "zones", "coalition_longitude", "coalition_latitude", "coalition_cell", "coalition_sector_id",
    "coalition_zones", "public_longitude", "public_latitude", "public_sector_id", "public_zones",
)  # fmt: skip
TAKEN = (*DRAFT, *PLACED)  # columns that a staged row and a report have in common
# What a file never changes on a report that is there: it says nothing of these, or another one is nobody's news.
NOT_COMPARED = {"illustrative"}
LABELS = {
    "source_id": "Source", "accused_id": "Accused", "accuser_id": "Accuser", "occurred_from": "Occurred from",
    "occurred_until": "Occurred until", "occurred_on": "Day", "place_precision_m": "Place precision, metres",
    "source_url": "Address",
}  # fmt: skip
STORED = "id, version, content_hash, imported_version, tier"
PLACE = ("place_name", "longitude", "latitude", "place_precision_m", "sensitive")
OWN_FIELDS = {"source_id": "source", "accused_id": "accused", "accuser_id": "accuser"}  # where they have another name
A_SECOND = timedelta(seconds=1)
OF_PARTIES, OF_SOURCES = ("accused", "accuser"), ("source",)

Progress = Callable[[int], None]


class ReportProfile(Layout, SetProfile):
    """A layout as a kind of import: what all of them share."""

    action = "import_reports"
    noun = "reports"
    preview_template = "monitoring/_import_preview.html"
    preview_head_template = "monitoring/_import_preview_head.html"
    by_own_id: ClassVar[bool] = False  # rows name reports that are here, by our number for them, and make no new ones

    def worded(self, batch: ImportBatch, *, by) -> list[Worded]:
        names = {each.name for each in self.fields}
        found = [Worded(name, tuple(Kind.choices)) for name in ("kind",) if name in names]
        found += [Worded(name, tuple(Facility.choices)) for name in ("facility_class",) if name in names]
        if self.own_source is None:
            sources = tuple(Source.objects.visible_to(by).order_by("name").values_list("code", "name"))
            parties = tuple(Party.objects.visible_to(by).order_by("name").values_list("code", "name"))
            found += [Worded(name, sources) for name in OF_SOURCES]
            found += [Worded(name, parties) for name in OF_PARTIES]
        return found

    def link(self, row: "ImportRow | SetRow") -> tuple[str, str] | None:
        if not row.target_id:
            return None
        return f"V{row.target_id}", reverse("monitoring:report", args=[row.target_id])

    # --- The dry run

    def try_out(self, batch: ImportBatch, file: ParsedFile, *, by, progress: Progress) -> dict[str, Any]:
        _forget(batch)
        return Trial(self, batch, file, by=by).run(progress)

    def approve(self, batch: ImportBatch, *, shown: Collection[int], approved: Collection[int]) -> bool:
        rows = _staged(batch).filter(pk__in=shown, outcome__in=staging.WRITING)
        off = rows.exclude(pk__in=approved).filter(approved=True).update(approved=False)
        return bool(off + rows.filter(pk__in=approved, approved=False).update(approved=True))

    def approve_all(self, batch: ImportBatch, outcome: str, *, approved: bool) -> None:
        _staged(batch).filter(outcome=outcome).update(approved=approved)

    def approved(self, batch: ImportBatch) -> int:
        return _staged(batch).filter(outcome__in=staging.WRITING, approved=True).count()

    def shown(self, batch: ImportBatch, outcome: str, *, by) -> "Sequence[SetRow | ImportRow]":
        if outcome == Outcome.REJECTED:
            return ImportRow.objects.filter(batch=batch, outcome=outcome)  # type: ignore[return-value]
        if batch.state == ImportBatch.State.TRIED:
            return Shown(_staged(batch).filter(outcome=outcome), _of_staged, batch.counts.get(outcome, 0))
        if outcome == Outcome.CHANGED:
            return ImportRow.objects.filter(batch=batch, outcome=outcome)  # type: ignore[return-value]
        if outcome == Outcome.NEW:
            made = Report.objects.visible_to(by).filter(batch=batch).exclude(pk__in=_changed_here(batch)).order_by("pk")
            return Shown(made, _of_report)
        return []

    def preview(self, batch: ImportBatch) -> "Preview | None":
        return preview_of(batch)

    # --- Commit and undo

    def write(self, batch: ImportBatch, *, by, progress: Progress) -> dict[str, int]:
        if not self.approved(batch):
            raise NotAsTried(["What was tried is not there any more. Try the rows again."])
        source = self._source()
        try:
            with transaction.atomic():
                new = _insert(batch, source, by=by, progress=progress)
        except IntegrityError as error:
            raise NotAsTried(
                _taken(batch) or [f"A row cannot be written ({type(error.__cause__).__name__})."]
            ) from error
        changed = _update(batch, CORRECT if self.by_own_id else UPDATE, done=new, progress=progress)
        _forget(batch)
        counts = {Outcome.NEW.value: new, Outcome.CHANGED.value: changed}
        return {outcome: count for outcome, count in counts.items() if count}

    def take_back(self, batch: ImportBatch, *, also: Collection[int], by, progress: Progress) -> tuple[int, int]:
        restored = _restore(batch, also)
        deleted, above, torn_from = 0, 0, set()
        while ids := _ids(batch, f"NOT {TOUCHED} OR report.id = ANY(%(also)s)", also, AT_ONCE, above):
            torn_from |= _forget_reports(ids)
            deleted, above = deleted + len(ids), ids[-1]
            progress(restored + deleted)
        for ids in _in_slices(_changed_by_others(batch, also)):
            torn_from |= _forget_reports(ids)
            deleted += len(ids)
        merging.bereave(torn_from, by=by, reason=f"Import {batch.pk} was undone: reports of it are gone.")
        committed = sum(batch.counts["committed"].values())
        return restored + deleted, max(0, committed - restored - deleted)

    def touched(self, batch: ImportBatch, *, by) -> list[tuple[SetRow, str]]:
        rows = []
        for ids, why in ((_ids(batch, TOUCHED, (), MOST_TOUCHED), _why), (_changed_since(batch), _version_says)):
            reports = Report.objects.visible_to(by).filter(pk__in=ids).order_by("pk").prefetch_related("evidence")
            rows += [(_of_report(report), why(report)) for report in reports]
        later = Report.objects.visible_to(by).filter(pk__in=_changed_by_others(batch)).order_by("pk")
        return rows + [(_of_report(report), f"Import {report.batch_id} changed it since.") for report in later]

    def _source(self) -> int | None:
        """Return the id of the layout's own source, which is added when there is none yet."""
        if self.own_source is None:
            return None
        fields = {name: value for name, value in vars(self.own_source).items() if name != "code"}
        return Source.objects.get_or_create(code=self.own_source.code, defaults=fields)[0].pk


# --- What a dry run needs to know ---------------------------------------------------------


def knowing(profile: ReportProfile, chosen: ColumnMapping, *, by) -> Knowing:
    """Return what the readers of a layout need to know, for the person who imports. Call while acting."""
    named = {}
    for model in (Source, Party):
        kept = model.objects.visible_to(by).values_list("pk", "code", "name")
        named[model] = {folded(word): pk for pk, *words in kept for word in words}
    first = ProvisionTerm.objects.visible_to(by).aggregate(at=Min("begins_at"))["at"]
    zone = ZoneInfo(chosen.time_zone)
    return Knowing(
        zone=zone,
        order=chosen.date_order,
        decimal_comma=chosen.decimal_comma,
        sources=named[Source],
        parties=named[Party],
        find_place=find_place,
        tier=int(profile.tier),
        now=timezone.now(),
        first_agreed_on=first and first.astimezone(zone).date(),
        areas=Areas(Sector.objects.all()),
    )


@lru_cache(maxsize=20_000)
def find_place(name: str) -> Spot | None:
    """Return the one place of this name, as exact as a place of its size is; None when there is none, or several."""
    found = gazetteer.find(name)
    if found is None:
        return None
    return Spot(name, found.point.longitude, found.point.latitude, found.point.precision_m)


def said_in(table: pa.RecordBatch, chosen: ColumnMapping) -> dict[str, pa.Array]:
    """Return the texts of a chunk by field: columns and constants, with the words that a person translated."""
    said = {to: pc.utf8_trim_whitespace(table.column(column)) for column, to in chosen.columns.items()}
    for name, text in chosen.constants.items():
        said[name] = pa.repeat(pa.scalar(text.strip(), pa.string()), len(table))
    for name, words in chosen.words.items():
        if name in said and words:
            other = {word.strip().casefold(): to for word, to in words.items()}
            encoded = said[name].dictionary_encode()
            translated = [other.get(word.casefold(), word) for word in encoded.dictionary.to_pylist()]
            said[name] = pa.array(translated, pa.string()).take(encoded.indices)
    return said


def chunks_of(file: ParsedFile) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file, about CHUNK at a time: what the child wrote is in smaller pieces."""
    waiting: list[pa.RecordBatch] = []
    for batch in file.batches():
        waiting.append(batch)
        if sum(map(len, waiting)) >= CHUNK:
            yield _joined(waiting)
            waiting = []
    if waiting:
        yield _joined(waiting)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]


# --- The dry run --------------------------------------------------------------------------


class Trial:
    """One dry run of a file by one person."""

    def __init__(self, profile: ReportProfile, batch: ImportBatch, file: ParsedFile, *, by):
        self.profile, self.batch, self.file, self.by = profile, batch, file, by
        self.mapping = ColumnMapping.from_json(batch.mapping)
        self.knowing = knowing(profile, self.mapping, by=by)
        self.reader = Reader(profile.reads, self.knowing)
        self.columns = {to: column for column, to in self.mapping.columns.items()}
        self.named = {"source": dict(Source.objects.values_list("pk", "name"))}
        self.named["accused"] = self.named["accuser"] = dict(Party.objects.values_list("pk", "name"))
        self.counts: Counter[str] = Counter()
        self.remarks: Counter[str] = Counter()
        self.tier = actor_of(by).tier
        self.has_stored = self._has_stored()

    def run(self, progress: Progress) -> dict[str, Any]:
        """Stage the rows; return how many there are by outcome, and the remarks on the whole."""
        self.who = identity.identify_all(self._whole())
        usable = done = 0
        for chunk in chunks_of(self.file):
            usable += self._stage(chunk, usable)
            done += len(chunk)
            progress(done)
        remarks = [f"{text} ({count:,} row{'' if count == 1 else 's'})" for text, count in self.remarks.most_common(50)]
        return {**self.counts, "remarks": remarks}

    def _whole(self) -> Iterator[tuple[np.ndarray, pa.Array, pa.Array]]:
        for chunk in chunks_of(self.file):
            good = chunk.filter(pc.is_null(chunk.column(PROBLEM)))
            said = said_in(good, self.mapping)
            cells = {
                name: text
                for name, text in said.items()
                if name not in (self.profile.id_field, *self.mapping.constants)
            }
            yield good.column(ROW).to_numpy(), self._ids(said, len(good)), identity.as_content(cells)

    def _ids(self, said: Mapping[str, pa.Array], size: int) -> pa.Array:
        return said.get(self.profile.id_field, pa.repeat(pa.scalar("", pa.string()), size))

    def _has_stored(self) -> bool:
        if self.profile.by_own_id:
            return True
        with seeing_all(self.by):
            return Report.objects.filter(dataset=self.batch.dataset).exclude(external_id="").exists()

    # --- One chunk

    def _stage(self, chunk: pa.RecordBatch, start: int) -> int:
        """Stage the rows of a chunk; return how many of them could be read. ``start``: how many could before it."""
        unread = pc.is_valid(chunk.column(PROBLEM))
        if pc.any(unread).as_py():
            bad = chunk.filter(unread)
            reasons = dict(enumerate(bad.column(PROBLEM).to_pylist()))
            self._reject(bad, {row: [("", "", reason)] for row, reason in reasons.items()}, [""] * len(bad))
            chunk = chunk.filter(pc.invert(unread))
        if not len(chunk):
            return 0
        said = said_in(chunk, self.mapping)
        understood = self.reader.understand(said)
        ids = self._ids(said, len(chunk))
        problems = understood.problems
        for row in pc.indices_nonzero(pc.greater(understood.columns["tier"], self.tier)).to_pylist():
            problems.setdefault(row, []).append(("tier", "", "You may not file a report of that tier."))
        for row in range(len(chunk)) if self.who.conflicts else ():
            if start + row in self.who.conflicts:
                problems[row] = [(self.profile.id_field, ids[row].as_py()[:80], self.who.conflicts[start + row])]
        keys = self.who.keys(start, ids)
        outcome = np.full(len(chunk), Outcome.NEW.value, object)
        repeats = self.who.repeats[start : start + len(chunk)]
        outcome[repeats > 0] = Outcome.SAME.value
        for row in np.flatnonzero(repeats).tolist():
            said_before = f"It says exactly what {self.file.row_noun} {repeats[row]} says; counted once."
            understood.remarks.setdefault(row, []).append(("", "", said_before))
        target, based_on = np.zeros(len(chunk), np.int64), np.zeros(len(chunk), np.int64)
        different: dict[int, Stored] = {}
        if self.has_stored:
            found = self._stored(keys)
            for row in range(len(chunk)) if self.profile.by_own_id else ():
                if row not in problems and (row not in found or found[row].tier > self.tier):
                    unknown = "There is no report of this number that you may see."
                    problems[row] = [(self.profile.id_field, ids[row].as_py()[:80], unknown)]
            for row, stored in found.items():
                if row in problems or repeats[row]:
                    continue
                if stored.tier > self.tier:
                    reason = "This id belongs to a report that you may not change."
                    problems[row] = [(self.profile.id_field, ids[row].as_py()[:80], reason)]
                    continue
                target[row], based_on[row] = stored.pk, stored.version
                if stored.content == self.who.content(start + row) and not self.profile.by_own_id:
                    outcome[row] = Outcome.SAME.value
                else:
                    different[row] = stored
        if problems:
            self._reject(chunk, problems, ids.to_pylist())
        remarks = _as_json(chunk, understood.remarks, self.columns)
        self.remarks += Counter(
            reason for row, told in understood.remarks.items() if row not in problems for _, _, reason in told
        )
        original = originals(chunk, self.file.header)
        rows: dict[str, pa.Array] = {
            "batch_id": pa.repeat(pa.scalar(self.batch.pk), len(chunk)),
            "number": chunk.column(ROW),
            "external_id": keys,
            "content_hash": pa.array([self.who.content(start + row) for row in range(len(chunk))], pa.string()),
            "remarks": remarks,
            "original": original,
        }
        changed = self._changed(different, understood, rows, problems)
        for row in different:
            if row not in changed.rows and row not in problems:
                outcome[row] = Outcome.SAME.value  # it is worded otherwise, and comes to the same
        kept = np.ones(len(chunk), bool)
        kept[[*problems, *changed.rows]] = False
        rows |= {
            "outcome": pa.array(outcome, pa.string()),
            "approved": pa.array(outcome == Outcome.NEW.value),
            "target_id": pa.array(target, pa.int64(), mask=target == 0),
            "based_on": pa.array(based_on, pa.int64(), mask=target == 0),
            **understood.columns,
        }
        table = pa.table(rows).filter(pa.array(kept))
        _copy(table)
        self.counts += Counter(outcome[kept].tolist())
        if changed.rows:
            _copy(changed.table)
            self.counts[Outcome.CHANGED.value] += len(changed.rows)
        return len(chunk)

    def _stored(self, keys: pa.Array) -> dict[int, "Stored"]:
        """Return what is stored under these ids, by place in the chunk; also what the person may not see."""
        with seeing_all(self.by), connection.cursor() as cursor:
            if self.profile.by_own_id:
                numbers = [int(key) for key in keys.to_pylist() if is_id(key)]
                cursor.execute(f"SELECT id::text, {STORED} FROM monitoring_report WHERE id = ANY(%s)", [numbers])
            else:
                cursor.execute(
                    f"SELECT external_id, {STORED} FROM monitoring_report"
                    " WHERE dataset = %s AND external_id = ANY(%s) AND external_id <> ''",
                    [self.batch.dataset, keys.to_pylist()],
                )
            found = {key: Stored(*rest) for key, *rest in cursor.fetchall()}
        return {row: found[key] for row, key in enumerate(keys.to_pylist()) if key in found} if found else {}

    def _reject(self, chunk: pa.RecordBatch, problems: Mapping[int, Any], ids: Sequence[str]) -> None:
        rows = sorted(problems)
        cells = chunk.take(pa.array(rows)).to_pylist()
        for some in _in_slices(list(zip(rows, cells, strict=True))):
            said = []
            for row, texts in some:
                number = texts.pop(ROW)
                texts.pop(PROBLEM)
                found = as_problems(number, problems[row], self.columns)
                said.append(
                    {
                        "number": number,
                        "external_id": "".join(c for c in ids[row][:200] if c.isprintable()),
                        "cells": staging.storable(texts),
                        "problems": [{"column": p.column, "value": p.value, "reason": p.reason} for p in found],
                    }
                )
            with connection.cursor() as cursor:
                cursor.execute(REJECT, [self.batch.pk, json.dumps(said)])
            self.counts[Outcome.REJECTED.value] += len(said)

    # --- Changes

    def _changed(
        self, different: Mapping[int, "Stored"], understood: Understood, rows: Mapping[str, pa.Array], problems: Mapping
    ) -> "Changed":
        """Compare what rows say with what stands under their ids, and return those that change something, to be staged."""
        places = [row for row in different if row not in problems]
        if not places:
            return Changed([], pa.table({}))
        now = self._standing([different[row].pk for row in places])
        taken = pa.array(places)
        new = _as_rows({name: understood.columns[name].take(taken) for name in DRAFT})
        said_last = self._said_last([(row, different[row], now[different[row].pk]) for row in places])
        merged: list[dict[str, Any]] = []
        kept: list[int] = []
        told: list[list[list[str]]] = []
        for row, draft in zip(places, new, strict=True):
            before = now[different[row].pk]
            changes = {
                name: value
                for name, value in draft.items()
                if value != before[name]
                and self._says(name, value)
                and not (self.profile.by_own_id and self._comes_back(name, value, before))
                and value != said_last.get(row, {}).get(name, _NOTHING)
            }
            if changes:
                kept.append(row)
                merged.append({name: changes.get(name, before[name]) for name in DRAFT})
                told.append(
                    [
                        [_label(name), self._text(name, before[name]), self._text(name, changes[name])]
                        for name in changes
                    ]
                )
        if not kept:
            return Changed([], pa.table({}))
        columns = {name: pa.array([draft[name] for draft in merged], kind) for name, kind in DRAFT.items()}
        columns |= self.knowing.areas.placed(
            *(
                columns[name].to_numpy(zero_copy_only=False).astype(float)
                for name in ("longitude", "latitude", "place_precision_m")
            ),
            columns["sensitive"].to_numpy(zero_copy_only=False).astype(bool),
        )
        stored = [different[row] for row in kept]
        columns |= {name: array.take(pa.array(kept)) for name, array in rows.items()} | {
            "outcome": pa.repeat(pa.scalar(Outcome.CHANGED.value), len(kept)),
            "approved": pa.repeat(pa.scalar(True), len(kept)),
            "target_id": pa.array([each.pk for each in stored], pa.int64()),
            "based_on": pa.array([each.version for each in stored], pa.int64()),
            "changes": pa.array([json.dumps(changes) for changes in told], pa.string()),
        }
        return Changed(kept, pa.table(columns))

    def _says(self, name: str, value: Any) -> bool:
        """A file that does not speak of something does not change it."""
        if self.profile.by_own_id and OWN_FIELDS.get(name, name) not in self.columns:
            return False
        if name in NOT_COMPARED or (value is None and name in ("source_id", "reliability", "filed_at")):
            return False
        return name != "tier" or "tier" in self.columns or "tier" in self.mapping.constants

    def _comes_back(self, name: str, value: Any, before: Mapping[str, Any]) -> bool:
        """Return whether a value is what our own file said: as exact as a workbook is, and as the person sees the place."""
        if name in PLACE and before["sensitive"] and self.tier < Tier.PLANNING:
            return True  # they see it coarser, and their file cannot move it
        stood = before[name]
        match value, stood:
            case datetime(), datetime():
                return abs(value - stood) < A_SECOND
            case float(), float():
                return math.isclose(value, stood, rel_tol=1e-12, abs_tol=1e-9)
            case str(), str():
                return value.strip().splitlines() == stood.strip().splitlines()
        return False

    def _standing(self, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
        found = Report.objects.filter(pk__in=ids).values("pk", "original", *DRAFT)
        return {each["pk"]: each for each in found}

    def _said_last(self, rows: Sequence[tuple[int, "Stored", dict[str, Any]]]) -> dict[int, dict[str, Any]]:
        """Return what the file said last time of reports that people changed here since, read as it would be now."""
        if self.profile.by_own_id:
            return {}
        edited = [
            (row, now["original"])
            for row, stored, now in rows
            if stored.version != stored.imported_version and now["original"]
        ]
        if not edited:
            return {}
        columns = {
            name: pa.array([str(original.get(name, "")) for _, original in edited], pa.string())
            for name in self.file.header
        }
        said = said_in(pa.RecordBatch.from_pydict(columns), self.mapping)
        drafts = _as_rows(
            {name: array for name, array in self.reader.understand(said).columns.items() if name in DRAFT}
        )
        return {row: draft for (row, _), draft in zip(edited, drafts, strict=True)}

    def _text(self, name: str, value: Any) -> str:
        if value in (None, ""):
            return "none"
        if name.endswith("_id"):
            return self.named[name.removesuffix("_id")].get(value, str(value))
        if isinstance(value, datetime):
            return f"{value:%Y-%m-%d %H:%M} UTC"
        return str(value)


_NOTHING = object()


@dataclass(frozen=True)
class Stored:
    """What stands under an id: its pk and version, a hash of what the file said when it came last, and the tier."""

    pk: int
    version: int
    content_hash: UUID | None
    imported_version: int | None
    tier: int

    @property
    def content(self) -> str:
        return self.content_hash.hex if self.content_hash else ""


@dataclass(frozen=True)
class Changed:
    """Rows of a chunk that change something, and what is to be staged of them."""

    rows: list[int]
    table: pa.Table


def _as_rows(columns: Mapping[str, pa.Array]) -> list[dict[str, Any]]:
    lists = [array.to_pylist() for array in columns.values()]
    return [dict(zip(columns, values, strict=True)) for values in zip(*lists, strict=True)]


def _as_json(chunk: pa.RecordBatch, remarks: Mapping[int, Any], columns: Mapping[str, str]) -> pa.Array:
    """Return what is to be known of each row as JSON, null where there is nothing."""
    said: list[str | None] = [None] * len(chunk)
    for row, told in remarks.items():
        said[row] = json.dumps([{"column": columns.get(f, f), "value": text, "reason": why} for f, text, why in told])
    return pa.array(said, pa.string())


def _label(name: str) -> str:
    return LABELS.get(name) or str(Report._meta.get_field(name).verbose_name).capitalize()


def _in_slices(rows: Sequence) -> Iterator[Sequence]:
    for start in range(0, len(rows), AT_ONCE):
        yield rows[start : start + AT_ONCE]


# --- The staging table --------------------------------------------------------------------

REJECT = """
INSERT INTO coalition_importrow (batch_id, number, external_id, outcome, cells, "values", problems, approved)
SELECT %s, row.number, row.external_id, 'rejected', row.cells, '{}', row.problems, false
FROM jsonb_to_recordset(%s) AS row (number integer, external_id text, cells jsonb, problems jsonb)
"""


def _staged(batch: ImportBatch):
    return StagedReport.objects.filter(batch=batch)


def _forget(batch: ImportBatch) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM monitoring_stagedreport WHERE batch_id = %s", [batch.pk])


def _copy(table: pa.Table) -> None:
    """COPY rows into the staging table, which has columns of these names."""
    out = pa.BufferOutputStream()
    pyarrow.csv.write_csv(table, out, pyarrow.csv.WriteOptions(include_header=False))
    names = ", ".join(table.column_names)
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY monitoring_stagedreport ({names}) FROM STDIN (FORMAT csv)") as pipe,
    ):
        pipe.write(memoryview(out.getvalue()))


class Shown:
    """Rows that are read from the database page by page, as SetRow."""

    ordered = True  # for Paginator

    def __init__(self, rows, of: Callable[[Any], SetRow], count: int | None = None):
        self.rows, self.of = rows, of
        self.size = rows.count() if count is None else count

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, some: slice) -> list[SetRow]:
        return [self.of(row) for row in self.rows[some]]


def _of_staged(row: StagedReport) -> SetRow:
    place = (
        f"{row.latitude:.4f}, {row.longitude:.4f} ± {row.place_precision_m:,.0f} m" if row.longitude is not None else ""
    )
    return SetRow(
        pk=row.pk,
        number=row.number,
        outcome=row.outcome,
        external_id=row.external_id,
        values={
            "says": ", ".join(filter(None, (row.get_kind_display(), row.occurred_on.isoformat(), row.place_name))),
            "draft": {"shown": "; ".join(filter(None, (place, row.narrative[:200])))},
            "changes": row.changes or [],
        },
        problems=row.remarks or (),
        approved=row.approved,
        target_id=row.target_id,
    )


def _of_report(report: Report) -> SetRow:
    return SetRow(
        pk=report.pk,
        number=None,
        outcome=Outcome.NEW.value,
        external_id=report.external_id,
        values={
            "says": f"{report.get_kind_display()}, {report.occurred_on.isoformat()}, {report.place_name}".strip(", ")
        },
        target_id=report.pk,
        target_version=report.version,
    )


@dataclass(frozen=True)
class Preview:
    """Where the rows of a dry run lie that would be written: rows by cell of the map, and how many are in none.

    ``cells``: for each cell its ring (longitude and latitude in degrees) and its number of rows, the fullest first.
    """

    cells: list[dict[str, Any]]
    placed: int
    too_vague: int
    no_place: int
    box: str


def preview_of(batch: ImportBatch) -> Preview | None:
    """Return where the new and changed rows of a dry run lie, None when there is none of either."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT cell, longitude IS NULL, count(*), min(longitude), min(latitude), max(longitude), max(latitude)"
            " FROM monitoring_stagedreport WHERE batch_id = %s AND outcome IN ('new', 'changed')"
            " GROUP BY 1, 2 ORDER BY 3 DESC",
            [batch.pk],
        )
        found = cursor.fetchall()
    if not found:
        return None
    in_cells = [row for row in found if row[0] is not None]
    west, south, east, north = (
        pick(row[at] for row in in_cells) if in_cells else 0.0 for at, pick in ((3, min), (4, min), (5, max), (6, max))
    )
    return Preview(
        cells=[{"ring": places.outline(row[0]), "rows": row[2]} for row in in_cells[:MOST_CELLS]],
        placed=sum(row[2] for row in in_cells),
        too_vague=sum(row[2] for row in found if row[0] is None and not row[1]),
        no_place=sum(row[2] for row in found if row[1]),
        box=f"{south:.2f}, {west:.2f} to {north:.2f}, {east:.2f} (latitude, longitude)" if in_cells else "",
    )


# --- Commit -------------------------------------------------------------------------------

COMMITTED_COLUMNS = ("version", "dataset", "external_id", "batch_id", "filed_by_id", "status", "content_hash",
                     "imported_version", "original", *TAKEN)  # fmt: skip
DEFAULTED = {
    "source_id": "source.id",
    "reliability": "coalesce(staged.reliability, source.reliability)",
    "filed_at": "coalesce(staged.filed_at, now())",
}
INSERT = f"""
INSERT INTO monitoring_report ({", ".join(COMMITTED_COLUMNS)})
SELECT 1, %(dataset)s, staged.external_id, %(batch)s, %(user)s, 'received', staged.content_hash, 1, staged.original,
    {", ".join(DEFAULTED.get(name, f"staged.{name}") for name in TAKEN)}
FROM monitoring_stagedreport AS staged
JOIN monitoring_source AS source ON source.id = coalesce(staged.source_id, %(source)s)
WHERE staged.batch_id = %(batch)s AND staged.number > %(above)s AND staged.number <= %(upto)s
    AND staged.outcome = 'new' AND staged.approved
ORDER BY staged.number
"""
REMEMBER = """
INSERT INTO coalition_importrow (
    batch_id, number, external_id, outcome, cells, "values", problems, approved, target_id, before, target_version
)
SELECT staged.batch_id, staged.number, staged.external_id, 'changed', staged.original,
    jsonb_build_object('says', concat_ws(', ', 'V' || report.id, staged.occurred_on, nullif(staged.place_name, '')),
        'changes', staged.changes),
    coalesce(staged.remarks, '[]'), true, report.id, to_jsonb(report), report.version + 1
FROM monitoring_stagedreport AS staged
JOIN monitoring_report AS report ON report.id = staged.target_id AND report.version = staged.based_on
WHERE staged.batch_id = %(batch)s AND staged.outcome = 'changed' AND staged.approved
"""
SAYS = ", ".join(f"{name} = staged.{name}" for name in TAKEN)
AS_STAGED = """
FROM monitoring_stagedreport AS staged
WHERE staged.batch_id = %(batch)s AND staged.outcome = 'changed' AND staged.approved
    AND report.id = staged.target_id AND report.version = staged.based_on
"""
UPDATE = f"""
UPDATE monitoring_report AS report SET
    batch_id = %(batch)s, content_hash = staged.content_hash, imported_version = report.version + 1,
    original = staged.original, {SAYS} {AS_STAGED}
"""
# What comes back in our own layout is a person's change: where the report came from, and what it said there, stays.
CORRECT = f"UPDATE monitoring_report AS report SET {SAYS} {AS_STAGED}"
MOVED = """
SELECT staged.number FROM monitoring_stagedreport AS staged
LEFT JOIN monitoring_report AS report ON report.id = staged.target_id AND report.version = staged.based_on
WHERE staged.batch_id = %s AND staged.outcome = 'changed' AND staged.approved AND report.id IS NULL
ORDER BY staged.number LIMIT %s
"""

# The same rule as in filing: nobody sees a duplicate and not what it repeats. Asked when all is written.
TORN = """
SELECT staged.number, copy.id, original.id FROM monitoring_stagedreport AS staged
JOIN monitoring_report AS copy ON copy.id = staged.target_id OR copy.duplicate_of_id = staged.target_id
JOIN monitoring_report AS original ON original.id = copy.duplicate_of_id AND original.tier > copy.tier
WHERE staged.batch_id = %s AND staged.outcome = 'changed' AND staged.approved
ORDER BY staged.number LIMIT %s
"""


def _insert(batch: ImportBatch, source: int | None, *, by, progress: Progress) -> int:
    """Write the approved new rows; return how many. The database refuses an id that is stored by now (IntegrityError)."""
    written = above = 0
    asked = {"dataset": batch.dataset, "batch": batch.pk, "user": actor_of(by).user_id, "source": source}
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(number) FROM monitoring_stagedreport WHERE batch_id = %s", [batch.pk])
        last = cursor.fetchone()[0] or 0
        while above < last:
            cursor.execute(INSERT, asked | {"above": above, "upto": above + SLICE})
            written += cursor.rowcount
            above += SLICE
            progress(written)
    return written


def _taken(batch: ImportBatch) -> list[str]:
    """Return a sentence for each row whose id somebody else's import brought since it was tried."""
    with seeing_all(batch.user), connection.cursor() as cursor:
        cursor.execute(
            "SELECT staged.number FROM monitoring_stagedreport AS staged JOIN monitoring_report AS report"
            " ON report.dataset = %s AND report.external_id = staged.external_id"
            " WHERE staged.batch_id = %s AND staged.outcome = 'new' AND staged.approved"
            " ORDER BY staged.number LIMIT %s",
            [batch.dataset, batch.pk, MOST_REFUSALS],
        )
        return [
            f"Row {number}: It was imported by somebody else since it was tried." for (number,) in cursor.fetchall()
        ]


def _update(batch: ImportBatch, statement: str, *, done: int, progress: Progress) -> int:
    """Write the approved changes and what stood there before; return how many. Raises NotAsTried."""
    with connection.cursor() as cursor:
        cursor.execute(MOVED, [batch.pk, MOST_REFUSALS])
        if moved := cursor.fetchall():
            raise NotAsTried([f"Row {number}: It was changed since it was tried." for (number,) in moved])
        cursor.execute(REMEMBER, {"batch": batch.pk})
        cursor.execute(statement, {"batch": batch.pk})
        written = cursor.rowcount
        cursor.execute(TORN, [batch.pk, MOST_REFUSALS])
        if torn := cursor.fetchall():
            said = "V{1} is marked as a duplicate of V{2}, which would be of a stricter tier."
            raise NotAsTried([f"Row {row[0]}: {said.format(*row)}" for row in torn])
        progress(done + written)
        return written


# --- Undo ---------------------------------------------------------------------------------

# What a person did to a report after the import wrote it. What the machine works out anew (sectors) does not count.
TOUCHED = """(
    (report.version <> report.imported_version AND EXISTS (
        SELECT FROM monitoring_reportevent AS event WHERE event.pgh_obj_id = report.id
            AND event.version >= report.imported_version AND coalesce(event.pgh_context ->> 'name', '') <> 'system'))
    OR report.incident_id IS NOT NULL
    OR EXISTS (SELECT FROM monitoring_evidence AS evidence WHERE evidence.report_id = report.id)
    OR EXISTS (SELECT FROM monitoring_report AS copy WHERE copy.duplicate_of_id = report.id)
)"""
MADE = """
SELECT report.id FROM monitoring_report AS report
WHERE report.batch_id = %(batch)s AND report.id > %(above)s AND ({condition}) AND NOT EXISTS (
    SELECT FROM coalition_importrow AS row
    WHERE row.batch_id = %(batch)s AND row.outcome = 'changed' AND row.target_id = report.id)
ORDER BY report.id LIMIT %(limit)s
"""
BACK = (*TAKEN, "batch_id", "original", "content_hash")
RESTORE = f"""
WITH back AS (
    UPDATE monitoring_report AS report SET
        imported_version = CASE WHEN stood.version = stood.imported_version THEN report.version + 1
            ELSE stood.imported_version END,
        {", ".join(f"{name} = stood.{name}" for name in BACK)}
    FROM coalition_importrow AS row, LATERAL jsonb_populate_record(NULL::monitoring_report, row.before) AS stood
    WHERE row.batch_id = %(batch)s AND row.outcome = 'changed' AND row.target_version IS NOT NULL
        AND report.id = row.target_id AND (report.version = row.target_version OR report.id = ANY(%(also)s))
    RETURNING report.id
)
UPDATE coalition_importrow SET target_version = NULL
WHERE batch_id = %(batch)s AND outcome = 'changed' AND target_id IN (SELECT id FROM back)
"""


def _ids(batch: ImportBatch, condition: str, also: Collection[int], limit: int, above: int = 0) -> list[int]:
    """Return ids of reports that the batch made, for which an SQL condition on ``report`` holds: in order, from one on.

    Whoever goes through all of them says where they are, so that none is asked about twice.
    """
    asked = {"batch": batch.pk, "also": list(also), "limit": limit, "above": above}
    with connection.cursor() as cursor:
        cursor.execute(MADE.format(condition=condition), asked)
        return [pk for (pk,) in cursor.fetchall()]


def _forget_reports(ids: Sequence[int]) -> set[int]:
    """Delete reports, and return the ids of the incidents they were part of."""
    rows = Report.objects.filter(pk__in=ids)
    torn_from = set(rows.filter(incident__isnull=False).values_list("incident_id", flat=True))
    rows.delete()
    return torn_from


def _restore(batch: ImportBatch, also: Collection[int]) -> int:
    """Put back what stood before the batch changed it, and return how many reports that were."""
    with connection.cursor() as cursor:
        cursor.execute(RESTORE, {"batch": batch.pk, "also": list(also)})
        return cursor.rowcount


def _changed_here(batch: ImportBatch):
    return ImportRow.objects.filter(batch=batch, outcome=Outcome.CHANGED).values("target_id")


def _changed_since(batch: ImportBatch) -> list[int]:
    """Return ids of reports that the batch changed and somebody changed again."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT report.id FROM coalition_importrow AS row JOIN monitoring_report AS report ON report.id = row.target_id"
            " WHERE row.batch_id = %s AND row.outcome = 'changed' AND row.target_version <> report.version LIMIT %s",
            [batch.pk, MOST_TOUCHED],
        )
        return [pk for (pk,) in cursor.fetchall()]


def _changed_by_others(batch: ImportBatch, also: Collection[int] | None = None) -> list[int]:
    """Return ids of reports that the batch made and a later import changed; only those in ``also``, if it is given."""
    with seeing_all(batch.user):
        rows = ImportRow.objects.filter(
            batch__dataset=batch.dataset,
            outcome=Outcome.CHANGED,
            target_version__isnull=False,
            before__batch_id=batch.pk,
        ).exclude(batch=batch)
        rows = rows if also is None else rows.filter(target_id__in=also)
        return list(rows.values_list("target_id", flat=True)[: MOST_TOUCHED if also is None else None])


def _why(report: Report) -> str:
    if report.incident_id:
        return f"It was merged into incident I{report.incident_id} since."
    if report.evidence.all():
        return "Evidence was added to it since."
    if report.version != report.imported_version:
        return _version_says(report)
    return "Another report was marked as a duplicate of it since."


def _version_says(report: Report) -> str:
    return f"It was changed since: version {report.version}, committed as {report.imported_version}."
