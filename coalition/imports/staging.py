"""How does a file become rows: uploaded, read, mapped, tried, approved, committed as a whole, and undone if it must be.

Each step that takes long is a job. The batch's row says how far it has come and which job it waits for; a job asks it,
locked, inside its own transaction, before it writes. So a job that is sent twice, or whose worker died in the middle,
does its work once or not at all. What the rows are is the profile's business (``coalition.imports.profiles``).
"""

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Mapping as MappingOf
from dataclasses import asdict
from dataclasses import fields as fields_of
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow.compute as pc
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.db import connection, transaction
from django.db.models import Case, CharField, F, Q, TextField, Value, When
from django.db.models.functions import Now
from django.http import Http404

from coalition import disk, jobs, stale
from coalition.access import acting_as, can, demand
from coalition.editing import Refused, VersionStale, lock, seeing_all
from coalition.imports import cells, identity, mapping
from coalition.imports.mapping import Mapping, Problem
from coalition.imports.profiles import (
    Candidate,
    Judgement,
    NotAsTried,
    Profile,
    RowProfile,
    Session,
    SetProfile,
    SetRow,
    Worded,
    Written,
    profiles,
)
from coalition.imports.sandbox import Limits, ParsedFile, Unreadable, parse
from coalition.models import ImportBatch, ImportRow, Job, Operation
from coalition.rows import safe_cell

State = ImportBatch.State
Outcome = ImportRow.Outcome

AT_ONCE = 500  # rows written or read at a time
MOST_REFUSALS = 50  # a commit that fails lists so many rows
MOST_WORDS, LONGEST_WORD = 60, 120  # of a column whose words may be translated
WRITING = (Outcome.NEW, Outcome.CHANGED, Outcome.STANDING)
UNDOING = "undoing"  # a committed batch whose undo is under way has no state of its own
CANNOT = (Refused, ValidationError, PermissionDenied, Http404)


class WrongMoment(Refused):
    """The batch is not at the step for which this is asked."""

    code = "wrong_moment"


class BadMapping(Refused):
    """The mapping cannot be used; ``faults`` are sentences."""

    status = 422
    code = "bad_mapping"

    def __init__(self, faults: list[str]):
        super().__init__(" ".join(faults))
        self.faults = faults


# --- Where a batch stands -----------------------------------------------------------------


def profile_of(batch: ImportBatch) -> Profile:
    """Return the profile of a batch. Raise Http404 when no app has it any more."""
    try:
        return profiles()[batch.profile]
    except KeyError:
        raise Http404(f"There is no import of the kind {batch.profile} any more.") from None


def phase(batch: ImportBatch) -> str:
    """Return where the batch really stands: its state, or the step before when the job it waited for is over.

    A job that failed, was cancelled or was given up cannot write that on the batch; it is told from both rows.
    """
    job = batch.job
    if job is not None and not job.is_over:
        return UNDOING if batch.state == State.COMMITTED and job.kind == "import.undo" else batch.state
    if batch.state == State.READING:
        return State.CANCELLED if job and job.state == Job.State.CANCELLED else State.UNREADABLE
    return {State.TRYING: State.READ, State.COMMITTING: State.TRIED}.get(State(batch.state), batch.state)


def trouble(batch: ImportBatch) -> str:
    """Return why the last step did not come to its end, as sentences, or nothing."""
    job = batch.job
    if job is not None and job.state in (Job.State.FAILED, Job.State.CANCELLED):
        return batch.error or job.error
    return batch.error


WORKING = Q(job__state__in=[Job.State.WAITING, Job.State.RUNNING])
STOPPED = Q(job__state__in=[Job.State.FAILED, Job.State.CANCELLED])


def phase_column() -> Case:
    """Return ``phase`` as an expression on batches."""
    return Case(
        When(WORKING, state=State.COMMITTED, job__kind="import.undo", then=Value(UNDOING)),
        When(WORKING, then=F("state")),
        When(state=State.READING, job__state=Job.State.CANCELLED, then=Value(State.CANCELLED.value)),
        When(state=State.READING, then=Value(State.UNREADABLE.value)),
        When(state=State.TRYING, then=Value(State.READ.value)),
        When(state=State.COMMITTING, then=Value(State.TRIED.value)),
        default=F("state"),
        output_field=CharField(),
    )


def trouble_column() -> Case:
    """Return ``trouble`` as an expression on batches."""
    return Case(When(STOPPED, error="", then=F("job__error")), default=F("error"), output_field=TextField())


def _at(batch_id: int, *, by, based_on: int | None, phases: Sequence[str]) -> ImportBatch:
    """Return the batch, locked, when it stands at one of these steps."""
    seen = ImportBatch.objects.visible_to(by)
    now = seen.select_related("job").filter(pk=batch_id).first()
    # Asked before it is locked: a job at work holds the row to the end, and nobody should wait for that.
    if now is None or phase(now) in phases:
        now = lock(seen, batch_id, based_on=based_on)
        demand(by, profile_of(now).action)
    if phase(now) not in phases:
        raise WrongMoment("This import has moved on in the meantime. See where it stands now.")
    return now


def _send(batch: ImportBatch, kind: str, *, by, **arguments) -> ImportBatch:
    batch.job = jobs.start(kind, by=by, arguments={"batch": batch.pk, **arguments})
    batch.error = ""
    batch.save()
    batch.refresh_from_db()
    return batch


# --- Upload -------------------------------------------------------------------------------


def clean_name(name: str) -> str:
    """Return a file's name for showing: no folders, no control or direction characters, at most 200 characters."""
    base = re.split(r"[\\/]", unicodedata.normalize("NFC", name or ""))[-1]
    base = "".join(c for c in base if c.isprintable() and unicodedata.category(c) not in ("Cf", "Co", "Cn", "Cs"))
    base = " ".join(base.split())
    return base if len(base) <= 200 else base[:150] + "…" + base[-49:]


def upload(
    file: UploadedFile,
    *,
    profile: str,
    operation: Operation | None,
    dataset: str,
    by,
    chosen: Mapping | None = None,
) -> ImportBatch:
    """Keep a file and have it read; the same file sent twice by one person for the same purpose is one import.

    With ``chosen`` the rows are tried by that mapping as soon as they are read; where it does not fit, the batch says why.

    Raise PermissionDenied; ValidationError on ``file`` when it is empty or too large, on ``profile`` for an unknown one;
    ``disk.NoRoom``.
    """
    kind = profiles().get(profile)
    if kind is None:
        raise ValidationError({"profile": "There is no such kind of import."})
    demand(by, kind.action)
    if not file.size:
        raise ValidationError({"file": "The file is empty."})
    if file.size > kind.most_mb * 1024**2:
        raise ValidationError(
            {"file": f"The file has {file.size / 1024**2:,.0f} MB; at most {kind.most_mb:,} MB are taken. Split it."}
        )
    digest = sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    _one_at_a_time(f"{digest.hexdigest()} {dataset}")
    twins = ImportBatch.objects.filter(
        user_id=by.pk, sha256=digest.hexdigest(), profile=profile, operation=operation, dataset=dataset
    ).select_related("job")
    for twin in twins:
        if chosen is not None and twin.mapping != chosen.to_json():
            continue
        if phase(twin) in (State.READING, State.READ, State.TRYING, State.TRIED, State.COMMITTING):
            return twin
    batch = ImportBatch(
        profile=profile,
        operation=operation,
        user_id=by.pk,
        file_name=clean_name(file.name or "") or "file",
        sha256=digest.hexdigest(),
        size=file.size,
        dataset=dataset,
        state=State.READING,
        mapping=chosen.to_json() if chosen else {},
    )
    file.seek(0)
    disk.keep(batch.file, uuid4().hex, file)  # under a name of ours: theirs means nothing to the disk
    try:
        with transaction.atomic():
            batch.save()
            return _send(batch, "import.read", by=by)
    except BaseException:
        batch.file.delete(save=False)
        raise


def _one_at_a_time(key: str) -> None:
    """Make others who do the same wait until this transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"import {key}"])


# --- Reading ------------------------------------------------------------------------------


@jobs.handles("import.read")
def read(work: jobs.Work) -> dict[str, Any] | None:
    """Parse the file in a child process, and write down what it is."""
    with work.acting():
        batch = _mine(work, State.READING)
        if batch is None:
            return None
        path, profile = Path(batch.file.path), profile_of(batch)
        limits = Limits(file_mb=profile.most_mb, rows=max(Limits.rows, profile.most_rows))
    found: ParsedFile | None = None
    try:
        found = parse(path, path.with_suffix(".arrow"), limits=limits)
        if _has_no_header(found, profile):
            found = parse(path, path.with_suffix(".arrow"), limits=limits, header_row=0, names=profile.columns)
        error = _too_long(found, profile)
    except Unreadable as unreadable:
        error = str(unreadable)
    except FileNotFoundError:
        error = "The file is not there any more. Upload it again."
    summary = {} if found is None else _summary(found)
    with work.acting():
        batch = _mine(work, State.READING)
        if batch is None:
            return None
        batch.state = State.UNREADABLE if error else State.READ
        batch.error = error
        if found is not None and not error:
            batch.header, batch.summary = list(found.header), summary
        if batch.mapping and not error:  # sent with the file
            _try_at_once(batch, by=work.user)
        else:
            batch.save()
    if error:
        raise jobs.JobFailed(error)
    return {"rows": found.row_count if found else 0}


def _try_at_once(batch: ImportBatch, *, by) -> None:
    """Have the rows tried by the mapping that came with the file; where it does not fit, keep it, and say why."""
    faults = mapping.faults(Mapping.from_json(batch.mapping), batch.header, profile_of(batch).fields)
    if faults:
        batch.error = " ".join(faults)
        batch.save()
        return
    batch.state = State.TRYING
    _send(batch, "import.try", by=by)


def _mine(work: jobs.Work, *states: str) -> ImportBatch | None:
    """Return the batch, locked, if it still waits for this job; None when the work was done before."""
    batch = (
        ImportBatch.objects.filter(pk=work.arguments["batch"])
        .select_for_update(no_key=True, of=("self",))
        .select_related("operation", "user__membership")
        .first()
    )
    if batch is None:
        raise jobs.JobFailed("This import is gone, or you may not see it any more.")
    return batch if batch.state in states and batch.job_id == work.job_id else None


def _too_long(found: ParsedFile, profile: Profile) -> str:
    if found.row_count > profile.most_rows:
        noun = f"{found.row_noun}s"
        return f"The file has {found.row_count:,} {noun}; at most {profile.most_rows:,} are taken at once. Split it."
    return "" if found.row_count else "The file has a header, but no rows."


def _has_no_header(found: ParsedFile, profile: Profile) -> bool:
    """A release without a header row: as many columns as its layout has, and none of them called as there."""
    names = set(map(cells.folded, profile.columns))
    return len(found.header) == len(profile.columns) and names.isdisjoint(map(cells.folded, found.header))


def _summary(found: ParsedFile) -> dict[str, Any]:
    words: dict[str, dict[str, None] | None] = {column: {} for column in found.header}
    for batch in found.batches():
        for column in found.header:
            if (seen := words[column]) is None:
                continue
            different = pc.unique(pc.utf8_trim_whitespace(batch.column(column)))
            new = different.to_pylist() if len(different) <= 2 * MOST_WORDS else None
            if new is not None:
                seen |= dict.fromkeys(filter(None, new))
            if new is None or len(seen) > MOST_WORDS or any(len(word) > LONGEST_WORD for word in seen):
                words[column] = None
    kept = {name: value for name, value in asdict(found).items() if name not in ("table", "header")}
    return {
        **kept,
        "fingerprint": mapping.fingerprint(found.header),
        "words": {column: list(seen) for column, seen in words.items() if seen},
    }


def parsed(batch: ImportBatch) -> ParsedFile:
    """Return what the reader found, its rows still on disk."""
    names = {each.name for each in fields_of(ParsedFile)}
    facts: dict[str, Any] = {
        name: tuple(map(_tuple, value)) if isinstance(value, list) else value
        for name, value in batch.summary.items()
        if name in names
    }
    return ParsedFile(table=Path(batch.file.path).with_suffix(".arrow"), header=tuple(batch.header), **facts)


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


# --- Mapping ------------------------------------------------------------------------------


def proposed(batch: ImportBatch, *, by) -> Mapping:
    """Return the mapping to begin with: the batch's own, the last one used on such a header, else what names suggest.

    One's own last mapping goes first, then a planner's: of that only columns, dates and words that stand in this file.
    """
    if batch.mapping:
        return Mapping.from_json(batch.mapping)
    profile = profile_of(batch)
    alike = ImportBatch.objects.filter(
        profile=batch.profile, summary__fingerprint=batch.summary["fingerprint"]
    ).exclude(mapping={})
    own = alike.filter(user_id=by.pk).order_by("-pk").first()
    if own is not None:
        return _fitting(Mapping.from_json(own.mapping), batch)
    with seeing_all(by):
        others = list(alike.select_related("user__membership").order_by("-pk")[:20])
    for other in others:
        if can(other.user, "see_planning"):
            kept = _fitting(Mapping.from_json(other.mapping), batch)
            present = {word.casefold() for words in batch.summary["words"].values() for word in words}
            words = {
                field: {word: to for word, to in said.items() if word.casefold() in present}
                for field, said in kept.words.items()
            }
            return Mapping(kept.columns, {}, words, kept.date_order, kept.decimal_comma, kept.time_zone)
    suggested = mapping.suggest(batch.header, profile.fields, hxl=batch.summary.get("hxl", ()))
    zone = profile.time_zone or (batch.operation.time_zone if batch.operation else "UTC")
    return Mapping(columns=suggested.columns, time_zone=zone, date_order=profile.date_order)


def _fitting(kept: Mapping, batch: ImportBatch) -> Mapping:
    """The same header may be written in other letters: find its columns again, by their place among equal names."""
    by_name = {name.casefold(): name for name in batch.header}
    columns = {by_name[name.casefold()]: to for name, to in kept.columns.items() if name.casefold() in by_name}
    return Mapping(columns, kept.constants, kept.words, kept.date_order, kept.decimal_comma, kept.time_zone)


def words_of(batch: ImportBatch, chosen: Mapping, worded: Worded) -> list[str]:
    """Return the words of the column that is mapped to a field, as they stand in the file; empty when they are many."""
    column = next((column for column, to in chosen.columns.items() if to == worded.field), None)
    if column is None or worded.field in chosen.constants:
        constant = chosen.constants.get(worded.field, "")
        found: Iterable[str] = [constant] if constant else []
    else:
        found = batch.summary.get("words", {}).get(column, [])
    if worded.separator:
        found = [part.strip() for cell in found for part in cell.split(worded.separator)]
    return sorted({word for word in found if word}, key=str.casefold)


def arrange(batch_id: int, chosen: Mapping, *, by, based_on: int | None) -> ImportBatch:
    """Keep the mapping and have the rows tried. Raise BadMapping, WrongMoment, VersionStale, PermissionDenied, Http404."""
    batch = _at(batch_id, by=by, based_on=based_on, phases=(State.READ, State.TRIED))
    faults = mapping.faults(chosen, batch.header, profile_of(batch).fields)
    if faults:
        raise BadMapping(faults)
    batch.mapping = chosen.to_json()
    batch.state = State.TRYING
    return _send(batch, "import.try", by=by)


def try_again(batch_id: int, *, by, based_on: int | None) -> ImportBatch:
    """Try the rows anew with the mapping there is, because what they would change has changed."""
    batch = _at(batch_id, by=by, based_on=based_on, phases=(State.READ, State.TRIED))
    if not batch.mapping:
        raise WrongMoment("Nobody has said yet what its columns mean.")
    return arrange(batch.pk, Mapping.from_json(batch.mapping), by=by, based_on=None)


# --- The dry run --------------------------------------------------------------------------


@jobs.handles("import.try")
def try_out(work: jobs.Work) -> dict[str, Any] | None:
    """Judge every row and write down what it would do. Only rows of the batch itself are written."""
    with work.acting():
        batch = _mine(work, State.TRYING)
        if batch is None:
            return None
        profile = profile_of(batch)
        demand(work.user, profile.action)
        file = parsed(batch)
        if not file.table.exists():
            raise jobs.JobFailed("What was read of the file is not there any more. Upload it again.")
        ImportRow.objects.filter(batch=batch).delete()
        work.progress(0, file.row_count)
        if isinstance(profile, SetProfile):
            batch.counts = profile.try_out(batch, file, by=work.user, progress=work.progress)
        else:
            batch.counts = _try_rows(batch, file, profile, work)
        batch.state, batch.error = State.TRIED, ""
        batch.save()
        work.progress(file.row_count)  # the last moment to hear that it is no longer wanted
    return {name: count for name, count in batch.counts.items() if name != "remarks"}


def _try_rows(batch: ImportBatch, file: ParsedFile, profile: RowProfile, work: jobs.Work) -> dict[str, Any]:
    session = profile.open(batch, by=work.user)
    counts: Counter[str] = Counter()
    rows = _tried(batch, file, profile, session)
    for done, some in enumerate(_some(rows, AT_ONCE)):
        ImportRow.objects.bulk_create(some)
        counts.update(row.outcome for row in some)
        work.progress(min((done + 1) * AT_ONCE, file.row_count))
    return {**counts, "remarks": session.remarks()}


def _some(rows: Iterable[ImportRow], size: int) -> Iterator[list[ImportRow]]:
    batch: list[ImportRow] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _tried(batch: ImportBatch, file: ParsedFile, profile: Profile, session: Session) -> Iterator[ImportRow]:
    """Yield every row of the file as it was tried: first those that cannot be read or say nothing new."""
    chosen = Mapping.from_json(batch.mapping)
    given = {column: to for column, to in chosen.columns.items() if to not in chosen.constants}
    id_column = next((column for column, to in given.items() if to == profile.id_field), "")
    who = identity.identify(
        (
            row.number,
            row.cells.get(id_column, "").strip(),
            identity.content_hash({to: row.cells[column] for column, to in given.items() if column != id_column}),
        )
        for row in file.rows()
        if row.problem is None
    )
    waiting: list[tuple[ImportRow, Candidate]] = []
    for row in file.rows():
        own = row.cells.get(id_column, "").strip()[:200]
        tried = ImportRow(batch=batch, number=row.number, cells=storable(row.cells), approved=False, external_id=own)
        values, problems = mapping.apply(row, chosen, profile.fields)
        if row.number in who.conflicts:
            problems = [Problem(row.number, id_column, own, who.conflicts[row.number])]
        if problems:
            tried.external_id = "".join(c for c in own if c.isprintable())
            tried.outcome = Outcome.REJECTED
            tried.problems = [_as_json(problem) for problem in problems]
            yield tried
        elif row.number in who.repeats:
            tried.outcome = Outcome.SAME
            tried.values = {"says": f"Says exactly what {file.row_noun} {who.repeats[row.number]} says; counted once."}
            yield tried
        else:
            tried.external_id = who.keys[row.number]
            waiting.append((tried, Candidate(row.number, who.keys[row.number], values)))
    judgements = session.judge([candidate for _, candidate in waiting])
    for (tried, _), judgement in zip(waiting, judgements, strict=True):
        yield _judged(tried, judgement)


def _judged(tried: ImportRow, judgement: Judgement) -> ImportRow:
    tried.outcome = judgement.outcome
    tried.target_id = judgement.target_id
    tried.approved = judgement.approved and judgement.outcome in WRITING
    tried.problems = [_as_json(problem) for problem in judgement.problems]
    tried.values = {
        "draft": judgement.draft,
        "says": judgement.says,
        "changes": [list(change) for change in judgement.changes],
        "based_on": judgement.based_on,
    }
    if judgement.offer:
        tried.values["offer"] = {"label": judgement.offer.label, "taken": False, **judgement.offer.data}
    return tried


def _as_json(problem: Problem) -> dict[str, str]:
    return {"column": problem.column, "value": problem.value, "reason": problem.reason}


def storable(cells: MappingOf[str, str]) -> dict[str, str]:
    """The cells as JSON that PostgreSQL takes: control characters written out, and none longer than people read."""
    return {
        column: "".join(c if c.isprintable() or c in "\n\t" else f"\\u{ord(c):04x}" for c in text[:2000])
        for column, text in cells.items()
        if text
    }


# --- Approval and commit ------------------------------------------------------------------


def tick(
    batch_id: int,
    *,
    shown: Iterable[int],
    approved: Iterable[int],
    offers: Iterable[int],
    by,
    based_on: int | None,
) -> ImportBatch:
    """Approve some of the rows that were shown, and take up their offers; rows not shown stay as they were.

    All three are ids of rows; those of rejected and same rows are left out.
    """
    batch = _at(batch_id, by=by, based_on=based_on, phases=(State.TRIED,))
    wanted, taken = set(approved), set(offers)
    profile = profile_of(batch)
    if isinstance(profile, SetProfile):
        return _another_choice(batch) if profile.approve(batch, shown=set(shown), approved=wanted) else batch
    rows = list(ImportRow.objects.filter(batch=batch, pk__in=set(shown), outcome__in=WRITING))
    changed = []
    for row in rows:
        offer = row.values.get("offer")
        before = (row.approved, bool(offer and offer["taken"]))
        row.approved = row.pk in wanted
        if offer:
            offer["taken"] = row.pk in taken
        if before != (row.approved, bool(offer and offer["taken"])):
            changed.append(row)
    if changed:
        ImportRow.objects.bulk_update(changed, ["approved", "values"], batch_size=AT_ONCE)
        batch.save(update_fields=["error"])
        return _another_choice(batch)
    return batch


def _another_choice(batch: ImportBatch) -> ImportBatch:
    """Another choice is another version of the batch."""
    ImportBatch.objects.filter(pk=batch.pk).update(changed_at=Now())
    batch.refresh_from_db()
    return batch


def tick_all(batch_id: int, outcome: str, *, approved: bool, by, based_on: int | None) -> ImportBatch:
    """Approve every row of an outcome, or none."""
    batch = _at(batch_id, by=by, based_on=based_on, phases=(State.TRIED,))
    profile = profile_of(batch)
    if outcome not in WRITING:
        return batch
    if isinstance(profile, SetProfile):
        profile.approve_all(batch, outcome, approved=approved)
    else:
        ImportRow.objects.filter(batch=batch, outcome=outcome).update(approved=approved)
    return _another_choice(batch)


def approved(batch: ImportBatch) -> int:
    """Return how many rows a commit would write."""
    profile = profile_of(batch)
    return profile.approved(batch) if isinstance(profile, SetProfile) else approved_rows(batch).count()


def shown(batch: ImportBatch, outcome: str, *, by) -> Sequence[ImportRow | SetRow]:
    """Return the rows of an outcome in the file's order, to be cut into pages. Call while acting."""
    profile = profile_of(batch)
    if isinstance(profile, SetProfile):
        return profile.shown(batch, outcome, by=by)
    return ImportRow.objects.filter(batch=batch, outcome=outcome)


def approved_rows(batch: ImportBatch):
    """Return the rows that a commit would write, or wrote."""
    return ImportRow.objects.filter(batch=batch, approved=True, outcome__in=WRITING)


def commit(batch_id: int, *, by, based_on: int | None) -> ImportBatch:
    """Have the approved rows written, all or none. Raise WrongMoment, VersionStale, PermissionDenied, Http404."""
    batch = _at(batch_id, by=by, based_on=based_on, phases=(State.TRIED,))
    if not approved(batch):
        raise WrongMoment("No row is approved, so there is nothing to commit.")
    batch.state = State.COMMITTING
    return _send(batch, "import.commit", by=by)


@jobs.handles("import.commit")
def write_approved(work: jobs.Work) -> dict[str, Any] | None:
    """Write exactly what was approved in one transaction, or nothing and the list of rows that stand against it."""
    try:
        with work.acting(why=f"Import {work.arguments['batch']}"):
            batch = _mine(work, State.COMMITTING)
            if batch is None:
                return None
            demand(work.user, profile_of(batch).action)
            _one_at_a_time(f"commit {batch.operation_id} {batch.dataset}")
            profile = profile_of(batch)
            if isinstance(profile, SetProfile):
                work.progress(0, profile.approved(batch))
                batch.counts["committed"] = profile.write(batch, by=work.user, progress=work.progress)
            else:
                batch.counts["committed"] = _write_rows(batch, profile, work)
            total = sum(batch.counts["committed"].values())
            batch.state, batch.error, batch.committed_at = State.COMMITTED, "", Now()
            batch.save()
            stale.nudge()
            work.progress(total)  # the last moment to hear that it is no longer wanted
            transaction.on_commit(lambda: Path(batch.file.path).with_suffix(".arrow").unlink(missing_ok=True))
        return {"rows": total}
    except NotAsTried as found:
        _say(work, "Nothing was committed. " + " ".join(found.refusals), State.COMMITTING, State.TRIED)
        raise jobs.JobFailed("Nothing was committed: rows cannot be written as they were tried.") from found


def _write_rows(batch: ImportBatch, profile: RowProfile, work: jobs.Work) -> dict[str, int]:
    session = profile.open(batch, by=work.user)
    rows = session.in_order(approved_rows(batch))
    work.progress(0, len(rows))
    written = _written(rows, session, work)
    for row in rows:
        row.target_id, row.before = written[row.pk].target_id, written[row.pk].before
    versions = session.versions(rows)  # now that all is written: one row may have touched another's target
    for row in rows:
        row.target_version = versions[row.pk]
    ImportRow.objects.bulk_update(rows, ["target_id", "before", "target_version"], batch_size=AT_ONCE)
    return dict(Counter(row.outcome for row in rows))


def _written(rows: Sequence[ImportRow], session: Session, work: jobs.Work) -> dict[int, Written]:
    """Write all rows, many at once where the profile can; then the rest one by one, in order. Raise NotAsTried."""
    together = [row for row in rows if session.at_once(row)]
    alone = [row for row in rows if not session.at_once(row)]
    done: dict[int, Written] = {}
    for some in _some(together, AT_ONCE):
        work.progress(len(done))
        try:
            with transaction.atomic():
                done |= session.write_many(some)
        except CANNOT:
            done |= _each(some, session.write, work, begun=len(done))  # which of them cannot?
    return done | _each(alone, session.write, work, begun=len(done))


def _each(rows: Sequence[ImportRow], act, work: jobs.Work, begun: int = 0) -> dict[int, Any]:
    """Do something with each row; when one cannot, find out what else cannot, then raise NotAsTried."""
    done: dict[int, Any] = {}
    refusals: list[str] = []
    for place, row in enumerate(rows, begun):
        work.progress(place)
        try:
            with transaction.atomic():
                done[row.pk] = act(row)
        except CANNOT as refusal:
            refusals.append(f"Row {row.number}: {_sentence(refusal)}")
        if len(refusals) == MOST_REFUSALS:
            refusals.append("And more.")
            break
    if refusals:
        raise NotAsTried(refusals)
    return done


def _sentence(refusal: Exception) -> str:
    if isinstance(refusal, ValidationError):
        return " ".join(refusal.messages)
    if isinstance(refusal, VersionStale):
        return "It was changed since it was tried."
    return str(refusal) or "It is not there any more."


def _say(work: jobs.Work, sentence: str, origin: str, to: str) -> None:
    """Write on the batch why a job came to nothing, after its own transaction was taken back."""
    with work.acting():
        batch = _mine(work, origin)
        if batch is not None:
            batch.state, batch.error = to, sentence
            batch.save()


def rejected_lines(batch: ImportBatch, *, by) -> Iterator[str]:
    """Yield the rejected rows as CSV: line, column, value, reason, then the cells as they stood; formulas are disarmed.

    It opens its own ``acting_as``: the request's transaction is over when this is sent.
    """
    with acting_as(by):
        yield "\ufeff" + _line(["line", "column", "value", "reason", *batch.header])
        rows = ImportRow.objects.filter(batch=batch, outcome=Outcome.REJECTED)
        for row in rows.iterator(chunk_size=500):
            for problem in row.problems:
                cells = [row.cells.get(column, "") for column in batch.header]
                yield _line([str(row.number), problem["column"], problem["value"], problem["reason"], *cells])


def _line(cells: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow([safe_cell(cell) for cell in cells])
    return out.getvalue()


# --- Cancel and undo ----------------------------------------------------------------------


def cancel(batch_id: int, *, by) -> ImportBatch:
    """Stop what is under way, or give the import up before it is committed. Writes no row but the batch's and its job's.

    A commit that is on its way is stopped within seconds, and all it wrote is taken back; if it was done sooner than it
    heard of it, the batch is committed, and can be undone.
    """
    # Not locked while a job works: it holds the row to the end of its transaction.
    batch = ImportBatch.objects.visible_to(by).select_related("job").filter(pk=batch_id).first()
    if batch is None:
        raise Http404("There is no such import.")
    demand(by, profile_of(batch).action)
    if batch.job and not batch.job.is_over:
        jobs.cancel(batch.job.pk, by=by)
        return batch
    batch = _at(batch_id, by=by, based_on=None, phases=(State.READ, State.TRIED, State.UNREADABLE))
    batch.state, batch.error = State.CANCELLED, ""
    batch.save()
    return batch


def touched(batch: ImportBatch, *, by) -> list[tuple[ImportRow, str]] | list[tuple[SetRow, str]]:
    """Return the committed rows whose targets are not as the import left them, and why. Call while acting."""
    profile = profile_of(batch)
    if isinstance(profile, SetProfile):
        return profile.touched(batch, by=by)
    rows = list(_committed(batch))
    why = profile.open(batch, by=by).touched(rows)
    return [(row, why[row.pk]) for row in rows if row.pk in why]


def _committed(batch: ImportBatch):
    return approved_rows(batch).filter(target_version__isnull=False)


def undo(batch_id: int, *, also: Iterable[int] = (), by, based_on: int | None) -> ImportBatch:
    """Have a committed batch taken back. ``also``: ids of rows to take back although they were touched since.

    Raise WrongMoment (undone before, or never committed), VersionStale, PermissionDenied, Http404.
    """
    batch = _at(batch_id, by=by, based_on=based_on, phases=(State.COMMITTED,))
    return _send(batch, "import.undo", by=by, also=sorted(set(also)))


@jobs.handles("import.undo")
def take_back(work: jobs.Work) -> dict[str, Any] | None:
    """Delete what was new and put back what was changed, in one transaction, the last written first."""
    try:
        with work.acting(why=f"Import {work.arguments['batch']} undone"):
            batch = _mine(work, State.COMMITTED)
            if batch is None:
                return None
            demand(work.user, profile_of(batch).action)
            profile, also = profile_of(batch), set(work.arguments["also"])
            if isinstance(profile, SetProfile):
                work.progress(0, sum(batch.counts["committed"].values()))
                taken_back, left = profile.take_back(batch, also=also, by=work.user, progress=work.progress)
            else:
                taken_back, left = _put_rows_back(batch, profile, also, work)
            batch.counts |= {"taken_back": taken_back, "left": left}
            batch.state, batch.error, batch.undone_at = State.UNDONE, "", Now()
            batch.save()
            stale.nudge()
            work.progress(taken_back)
        return {"taken_back": taken_back, "left": left}
    except NotAsTried as found:
        _say(work, "Nothing was undone. " + " ".join(found.refusals), State.COMMITTED, State.COMMITTED)
        raise jobs.JobFailed("Nothing was undone: rows cannot be put back.") from found


def _put_rows_back(batch: ImportBatch, profile: RowProfile, also: set[int], work: jobs.Work) -> tuple[int, int]:
    session = profile.open(batch, by=work.user)
    rows = session.in_order(_committed(batch))[::-1]
    left = {pk for pk in session.touched(rows) if pk not in also}
    rows = [row for row in rows if row.pk not in left]
    work.progress(0, len(rows))
    together = [row for row in rows if session.at_once(row)]
    alone = [row for row in rows if not session.at_once(row)]  # they were written last
    _each(alone, session.put_back, work)
    for place, some in enumerate(_some(together, AT_ONCE)):
        work.progress(len(alone) + place * AT_ONCE)
        try:
            with transaction.atomic():
                session.put_back_many(some)
        except CANNOT:
            _each(some, session.put_back, work, begun=len(alone) + place * AT_ONCE)
    for row in rows:
        row.target_version = None
    ImportRow.objects.bulk_update(rows, ["target_version"], batch_size=AT_ONCE)
    return len(rows), len(left)
