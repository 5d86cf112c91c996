"""A file on its way in: read in a child, mapped, tried, committed as a whole or not at all, whatever dies on the way."""

import io
import threading
import zipfile
from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.db.models.functions import Now

from coalition import jobs
from coalition.access import SYSTEM, Role, acting_as
from coalition.editing import VersionStale
from coalition.imports import staging
from coalition.imports.mapping import Mapping
from coalition.imports.profiles import profiles
from coalition.imports.staging import State, phase
from coalition.models import ImportBatch, ImportRow, Job
from pledges.importing import PledgeSession
from pledges.models import Pledge
from tests.factories import a_capability, a_member, a_nation, the_operation

FILE = b"id,nation,capability,what,quantity\nA1,FR,infantry,A company,150\nA2,FR,infantry,A platoon,30\n"
COLUMNS = {"id": "external_id", "nation": "nation", "capability": "capability", "what": "what", "quantity": "stated"}


def a_planner():
    user = a_member(Role.PLANNER)
    with acting_as(user):
        the_operation()
        a_nation("FR")
        a_capability("infantry")
    return user


def done(batch: ImportBatch) -> ImportBatch:
    jobs.work(batch.job_id)
    return ImportBatch.objects.select_related("job").get(pk=batch.pk)


def upload(by, content: bytes = FILE, *, name: str = "pledges.csv", dataset: str = "d") -> ImportBatch:
    file = SimpleUploadedFile(name, content)
    return staging.upload(file, profile="pledges", operation=the_operation(), dataset=dataset, by=by)


def tried(by, content: bytes = FILE, columns=None, **kwargs) -> ImportBatch:
    batch = done(upload(by, content, **kwargs))
    assert phase(batch) == State.READ, batch.error
    return done(staging.arrange(batch.pk, Mapping(columns=columns or COLUMNS), by=by, based_on=batch.version))


@pytest.fixture
def planner(db):
    user = a_planner()
    with acting_as(user):
        yield user


def a_bomb() -> bytes:
    """A workbook of a few kilobytes that says it has a hundred million cells in its sheet."""
    sheet = (
        b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
        b'<row r="1"><c r="A1" t="inlineStr"><is><t>a</t></is></c></row>'
        b'<row r="1048576"><c r="XFD1048576" t="inlineStr"><is><t>b</t></is></c></row></sheetData></worksheet>'
    )
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    rels = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="xml" '
        'ContentType="application/xml"/><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/xl/workbook.xml" '
        'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
        f'Type="{rels}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{rels}"><sheets><sheet name="S" sheetId="1" r:id="r1"/>'
        "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
        f'Type="{rels}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": sheet,
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as book:
        for name, content in parts.items():
            book.writestr(name, content)
    return out.getvalue()


# --- Upload and reading -------------------------------------------------------------------


def test_a_file_is_read_by_the_job_and_then_waits_for_its_mapping(planner):
    batch = upload(planner)
    assert phase(batch) == State.READING
    batch = done(batch)
    assert (phase(batch), batch.header, batch.summary["row_count"]) == (State.READ, list(COLUMNS), 2)


def test_its_own_name_is_only_for_showing(planner):
    batch = upload(planner, name="../../etc/pass\u202ewd\n.csv")
    assert batch.file_name == "passwd.csv"
    assert "passwd" not in batch.file.name


def test_an_empty_and_a_huge_file_get_a_sentence(planner, monkeypatch):
    with pytest.raises(ValidationError, match="empty"):
        upload(planner, b"")
    monkeypatch.setattr(type(profiles()["pledges"]), "most_mb", 0)
    with pytest.raises(ValidationError, match="Split it"):
        upload(planner)


def test_the_same_file_sent_twice_is_one_import_until_it_is_over(planner):
    first = upload(planner)
    assert upload(planner).pk == first.pk
    assert upload(planner, dataset="other").pk != first.pk
    staging.cancel(first.pk, by=planner)
    assert upload(planner).pk != first.pk


@pytest.mark.parametrize("content", [a_bomb(), b"\x89PNG\r\n\x1a\n" + b"\0" * 99, b'{"type": "Topology"}'])
def test_what_is_no_table_is_refused_with_a_sentence(planner, content):
    batch = done(upload(planner, content))
    assert phase(batch) == State.UNREADABLE
    assert staging.trouble(batch).endswith(".")


@pytest.mark.parametrize("encoding", ["windows-1252", "utf-16", "utf-8-sig"])
def test_other_encodings_are_read(planner, encoding):
    text = FILE.decode().replace("A company", "Une compagnie d’été à pied")
    batch = tried(planner, text.encode(encoding))
    assert ImportRow.objects.get(batch=batch, number=2).cells["what"] == "Une compagnie d’été à pied"


def test_more_rows_than_are_taken_is_a_sentence(planner, monkeypatch):
    monkeypatch.setattr(type(profiles()["pledges"]), "most_rows", 1)
    batch = done(upload(planner))
    assert (phase(batch), "at most 1 are taken" in staging.trouble(batch)) == (State.UNREADABLE, True)


def test_who_may_not_import_may_not_upload(planner):
    with pytest.raises(PermissionDenied):
        upload(a_member(Role.ANALYST))


# --- Mapping ------------------------------------------------------------------------------


def test_a_mapping_that_lacks_what_is_needed_is_refused_in_words(planner):
    batch = done(upload(planner))
    with pytest.raises(staging.BadMapping, match="Nation is needed"):
        staging.arrange(batch.pk, Mapping(columns={"what": "what"}), by=planner, based_on=batch.version)


def test_known_column_names_are_proposed(planner):
    assert staging.proposed(done(upload(planner)), by=planner).columns == COLUMNS


def test_the_mapping_is_proposed_again_for_the_next_file_with_the_same_header(planner):
    tried(planner, columns={**COLUMNS, "quantity": "planned"})
    later = done(upload(planner, FILE + b"A3,FR,infantry,Another,10\n"))
    assert staging.proposed(later, by=planner).columns["quantity"] == "planned"


def test_an_officer_is_proposed_a_planner_s_mapping_without_the_words_of_the_planner_s_file(planner):
    batch = done(upload(planner))
    words = {"capability": {"infantry": "infantry", "only in the other file": "infantry"}}
    chosen = Mapping(columns={**COLUMNS, "quantity": "planned"}, words=words, constants={"source": "Mine"})
    staging.arrange(batch.pk, chosen, by=planner, based_on=batch.version)
    officer = a_member(Role.OFFICER, "FR")
    with acting_as(officer):
        later = done(upload(officer))
        kept = staging.proposed(later, by=officer)
    assert kept.columns["quantity"] == "planned"
    assert (kept.words, kept.constants) == ({"capability": {"infantry": "infantry"}}, {})


# --- Approval -----------------------------------------------------------------------------


def test_only_what_is_approved_is_committed(planner):
    batch = tried(planner)
    one, two = ImportRow.objects.filter(batch=batch)
    batch = staging.tick(
        batch.pk, shown=[one.pk, two.pk], approved=[two.pk], offers=[], by=planner, based_on=batch.version
    )
    done(staging.commit(batch.pk, by=planner, based_on=batch.version))
    assert [pledge.external_id for pledge in Pledge.objects.all()] == ["A2"]


def test_rows_that_were_not_shown_keep_their_ticks(planner):
    batch = tried(planner)
    one, two = ImportRow.objects.filter(batch=batch)
    staging.tick(batch.pk, shown=[one.pk], approved=[], offers=[], by=planner, based_on=batch.version)
    two.refresh_from_db()
    assert two.approved


def test_a_rejected_row_cannot_be_approved(planner):
    batch = tried(planner, FILE + b"A3,XX,infantry,Nobody's,1\n")
    bad = ImportRow.objects.get(batch=batch, outcome="rejected")
    staging.tick(batch.pk, shown=[bad.pk], approved=[bad.pk], offers=[], by=planner, based_on=batch.version)
    bad.refresh_from_db()
    assert not bad.approved


def test_a_commit_is_based_on_the_ticks_that_were_seen(planner):
    batch = tried(planner)
    seen = batch.version
    staging.tick_all(batch.pk, "new", approved=False, by=planner, based_on=seen)
    with pytest.raises(VersionStale):
        staging.commit(batch.pk, by=planner, based_on=seen)


def test_nothing_approved_is_nothing_to_commit(planner):
    batch = tried(planner)
    batch = staging.tick_all(batch.pk, "new", approved=False, by=planner, based_on=batch.version)
    with pytest.raises(staging.WrongMoment, match="nothing to commit"):
        staging.commit(batch.pk, by=planner, based_on=batch.version)


def test_one_id_with_two_stories_rejects_both_by_name(planner):
    batch = tried(planner, FILE + b"A1,FR,infantry,Another story,9\n")
    reasons = [row.problems[0]["reason"] for row in ImportRow.objects.filter(batch=batch, outcome="rejected")]
    assert len(reasons) == 2
    assert all("2, 4" in reason for reason in reasons)


def test_imports_are_seen_by_their_owner_and_by_planners(planner):
    officer, other = a_member(Role.OFFICER, "FR"), a_member(Role.OFFICER, "FR")
    with acting_as(officer):
        batch = tried(officer)
    for user, count in ((officer, 1), (other, 0), (planner, 1)):
        with acting_as(user):
            assert ImportBatch.objects.visible_to(user).count() == count
            assert ImportBatch.objects.filter(pk=batch.pk).count() == count  # the database alone says so too
            assert bool(ImportRow.objects.filter(batch=batch).count()) == bool(count)


# --- What dies, and what comes twice --------------------------------------------------------


class Died(BaseException):
    """The worker process is gone; nothing of ours runs any more."""


def test_a_worker_that_dies_in_the_middle_of_a_commit_leaves_nothing_and_the_next_does_it_once(planner, monkeypatch):
    batch = tried(planner)
    batch = staging.commit(batch.pk, by=planner, based_on=batch.version)
    write, calls = PledgeSession.write_many, []

    def dies(session, rows):
        calls.append(rows)
        if len(calls) == 2:
            raise Died
        return write(session, rows)

    monkeypatch.setattr(staging, "AT_ONCE", 1)
    monkeypatch.setattr(PledgeSession, "write_many", dies)
    with pytest.raises(Died):
        jobs.work(batch.job_id)
    monkeypatch.setattr(PledgeSession, "write_many", write)
    assert not Pledge.objects.exists()
    assert phase(ImportBatch.objects.select_related("job").get(pk=batch.pk)) == State.COMMITTING
    with acting_as(SYSTEM):
        Job.objects.filter(pk=batch.job_id).update(heartbeat_at=Now() - timedelta(minutes=5))
    batch = done(batch)
    assert (phase(batch), Pledge.objects.count(), batch.job.attempts) == (State.COMMITTED, 2, 2)


def test_a_job_that_is_given_out_again_after_its_commit_does_nothing(planner):
    batch = tried(planner)
    batch = done(staging.commit(batch.pk, by=planner, based_on=batch.version))
    with acting_as(SYSTEM):
        Job.objects.filter(pk=batch.job_id).update(state=Job.State.RUNNING, heartbeat_at=Now() - timedelta(minutes=5))
    batch = done(batch)
    assert (phase(batch), Pledge.objects.count()) == (State.COMMITTED, 2)


def test_a_commit_that_was_stopped_writes_nothing_and_can_be_committed_again(planner):
    batch = tried(planner)
    batch = staging.commit(batch.pk, by=planner, based_on=batch.version)
    old = batch.job_id
    staging.cancel(batch.pk, by=planner)
    batch = ImportBatch.objects.select_related("job").get(pk=batch.pk)
    assert phase(batch) == State.TRIED
    batch = staging.commit(batch.pk, by=planner, based_on=batch.version)
    jobs.work(old)
    assert not Pledge.objects.exists()
    assert phase(done(batch)) == State.COMMITTED


def test_a_job_that_breaks_gives_the_batch_back_to_its_last_step_with_a_sentence(planner, monkeypatch):
    batch = tried(planner)

    def breaks(*_):
        raise RuntimeError("broken")

    monkeypatch.setattr(PledgeSession, "write_many", breaks)
    batch = done(staging.commit(batch.pk, by=planner, based_on=batch.version))
    assert (phase(batch), "broke" in staging.trouble(batch)) == (State.TRIED, True)
    assert not Pledge.objects.exists()


def test_an_import_is_undone_once(planner):
    batch = tried(planner)
    batch = done(staging.commit(batch.pk, by=planner, based_on=batch.version))
    batch = done(staging.undo(batch.pk, by=planner, based_on=batch.version))
    assert phase(batch) == State.UNDONE
    with pytest.raises(staging.WrongMoment):
        staging.undo(batch.pk, by=planner, based_on=batch.version)


def test_a_commit_twice_is_refused(planner):
    batch = tried(planner)
    batch = staging.commit(batch.pk, by=planner, based_on=batch.version)
    with pytest.raises(staging.WrongMoment):
        staging.commit(batch.pk, by=planner, based_on=batch.version)


def test_a_double_click_on_upload_is_one_import(committed):
    user = a_planner_outside()
    made, barrier = [], threading.Barrier(2)

    def click():
        try:
            barrier.wait()
            with acting_as(user):
                made.append(upload(user).pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=click) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 2
    assert len(set(made)) == 1


def a_planner_outside():
    with acting_as(SYSTEM):
        return a_planner()
