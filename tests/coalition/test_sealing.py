"""History cannot be bent unseen: each way of tampering, by somebody who owns the whole database, is named."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import psycopg
import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection, transaction
from django.test import Client
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from coalition import jobs, sealing
from coalition.access import SYSTEM, Role, acting_as
from coalition.models import Condition, HistorySeal, Job
from tests import bed
from tests.factories import a_condition, a_member, a_pledge

TABLE = "coalition_conditionevent"
SEALS = "coalition_historyseal"


NAME = f"sealed_{bed.NUMBER}"
WRITTEN = [TABLE, SEALS, "coalition_tombstone", "pledges_pledgeevent"]


def _superuser(database: str) -> psycopg.Connection:
    return psycopg.connect(bed.ENGINES.superuser_database.rpartition("/")[0] + "/" + database, autocommit=True)


@pytest.fixture(scope="module")
def sealed_once(django_db_setup, django_db_blocker):
    """A database of this file's: three days of history, three changes of a condition each, and one deleted pledge."""
    before = settings.DATABASES["default"]["NAME"]
    bed.copy_template(NAME)
    bed.use(NAME)
    with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patched:
        for day in range(3):
            with acting_as(SYSTEM):
                condition = Condition.objects.first() or a_condition()
                for number in range(3):
                    Condition.objects.filter(pk=condition.pk).update(note=f"{day} {number}")
                if day == 2:
                    a_pledge().delete()
            patched.setattr(sealing.timezone, "now", lambda day=day: datetime(2027, 3, 1 + day, 12, tzinfo=UTC))
            assert sealing.seal() == (3 if day < 2 else 5)
    bed.use(before)
    with _superuser(NAME) as connected:
        connected.execute("SET session_replication_role = replica")
        for table in WRITTEN:
            connected.execute(f"CREATE TABLE saved_{table} AS TABLE {table}")
        yield connected
    with _superuser("postgres") as connected:
        connected.execute(f"DROP DATABASE {NAME} WITH (FORCE)")


@pytest.fixture
def superuser(sealed_once, django_db_blocker):
    """Somebody who may do anything to the database, and whom no trigger stops. What they did is put right afterwards."""
    before = settings.DATABASES["default"]["NAME"]
    bed.use(NAME)
    with django_db_blocker.unblock():
        yield sealed_once
    bed.use(before)
    for table in WRITTEN:
        put_right(sealed_once, table)


def put_right(superuser: psycopg.Connection, table: str) -> None:
    columns = superuser.execute(f"SELECT * FROM saved_{table} LIMIT 0").description
    names = ", ".join(column.name for column in columns)
    superuser.execute(f"TRUNCATE {table}; INSERT INTO {table} ({names}) SELECT {names} FROM saved_{table}")


@pytest.fixture
def three_days(superuser):
    """The keys of the nine changes, in order."""
    return [key for (key,) in superuser.execute(f"SELECT pgh_id FROM {TABLE} ORDER BY pgh_id").fetchall()]


def checkpoint_of(day: int) -> sealing.Checkpoint:
    with acting_as(SYSTEM):
        found = sealing.newest_checkpoint(datetime(2027, 3, day, tzinfo=UTC).date())
    assert found
    return found


def fault(**options) -> sealing.Fault:
    found = sealing.verify(**options).fault
    assert found, "nothing was found"
    return found


def test_what_nobody_touched_holds(three_days):
    verdict = sealing.verify()
    assert (verdict.rows, verdict.days, verdict.unsealed, verdict.fault) == (11, 3, 0, None)
    assert verdict.head == checkpoint_of(3).head
    for day in (1, 2, 3):
        assert sealing.verify(stored=checkpoint_of(day)).fault is None


# How a table is bent: what is done to it → what is found, in which row (counted from the first), on which day of March.
BENT = {
    "a value changed": ("UPDATE {table} SET note = 'never said' WHERE pgh_id = {rows[4]}", "changed", 4, 2),
    "somebody else's name put in": (
        """UPDATE {table} SET pgh_context = '{{"name": "another"}}' WHERE pgh_id = {rows[0]}""",
        "changed",
        0,
        1,
    ),
    "a null in place of nothing": (
        "UPDATE {table} SET due_on = '2027-01-01' WHERE pgh_id = {rows[8]}",
        "changed",
        8,
        3,
    ),
    "a row taken out": ("DELETE FROM {table} WHERE pgh_id = {rows[3]}", "missing", 3, 2),
    "the newest rows taken out": ("DELETE FROM {table} WHERE pgh_id >= {rows[7]}", "missing", 7, 3),
    "a whole day taken out": ("DELETE FROM {table} WHERE pgh_id BETWEEN {rows[3]} AND {rows[5]}", "missing", 3, 2),
    "everything taken out": ("TRUNCATE {table}", "missing", 0, 1),
    "two rows exchanged": (
        """UPDATE {table} SET pgh_id = -1 WHERE pgh_id = {rows[1]};
           UPDATE {table} SET pgh_id = {rows[1]} WHERE pgh_id = {rows[2]};
           UPDATE {table} SET pgh_id = {rows[2]} WHERE pgh_id = -1""",
        "changed",
        1,
        1,
    ),
}


@pytest.mark.parametrize("how", BENT)
def test_a_bent_table_is_named_with_its_first_bad_row(superuser, three_days, how):
    statement, what, row, day = BENT[how]
    superuser.execute(statement.format(table=TABLE, rows=three_days))
    found = fault()
    assert (found.what, found.table, found.row) == (what, TABLE, three_days[row])
    assert found.day == datetime(2027, 3, day, tzinfo=UTC).date()
    with pytest.raises(CommandError, match=f"{TABLE} row {three_days[row]}, sealed on 2027-03-0{day}: {what}"):
        call_command("verify_history")


def test_a_row_put_in_between_is_named(superuser, three_days):
    columns = ", ".join(name for name, _ in sealing._columns_of(TABLE, "pgh_id")[1:])
    superuser.execute(f"INSERT INTO {TABLE} (pgh_id, {columns}) SELECT 0, {columns} FROM {TABLE} LIMIT 1")
    found = fault()
    assert (found.what, found.table, found.row) == ("inserted", TABLE, 0)


SEALS_BENT = {
    "one taken out": ("DELETE FROM {seals} WHERE number = 2", "order"),
    "the first taken out": ("DELETE FROM {seals} WHERE number = 1", "order"),
    "numbered anew": ("DELETE FROM {seals} WHERE number = 2; UPDATE {seals} SET number = 2 WHERE number = 3", "order"),
    "another day": ("UPDATE {seals} SET day = '2027-03-03' WHERE number = 2", "seal"),
    "an earlier day": ("UPDATE {seals} SET day = '2026-03-03' WHERE number = 2", "order"),
    "fewer columns": ('UPDATE {seals} SET columns = \'[["pgh_id", "integer"]]\' WHERE number = 2', "seal"),
    "its digests": ("UPDATE {seals} SET digests = substr(digests, 1, 32) WHERE number = 2", "seal"),
    "its signature": ("UPDATE {seals} SET signature = '\\x00' WHERE number = 2", "signature"),
    "its key": ("UPDATE {seals} SET key = 'unknown' WHERE number = 2", "signature"),
}


@pytest.mark.parametrize("how", SEALS_BENT)
def test_a_bent_seal_is_named(superuser, three_days, how):
    statement, what = SEALS_BENT[how]
    superuser.execute(statement.format(seals=SEALS))
    assert fault().what == what


def test_who_makes_the_chain_anew_after_a_change_cannot_sign_it(superuser, three_days):
    superuser.execute(f"UPDATE {TABLE} SET note = 'never said' WHERE pgh_id = {three_days[4]}")
    with acting_as(SYSTEM):
        bent = HistorySeal.objects.get(number=2)
        _, bent.keys, bent.digests = sealing._digests(TABLE, bent.columns, bent.after, bent.through)
        head = sealing._head_of(bent)
    superuser.execute(f"UPDATE {SEALS} SET digests = %s, head = %s WHERE number = 2", [bent.digests, head])
    found = fault()
    assert (found.what, found.day) == ("signature", bent.day)


def test_with_a_stored_checkpoint_it_is_found_that_the_newest_rows_went_with_their_seals(superuser, three_days):
    stored = sealing.read_checkpoint(checkpoint_of(3).text())
    for number in (2, 1):
        superuser.execute(f"DELETE FROM {SEALS} WHERE number > {number}")
        superuser.execute(f"DELETE FROM {TABLE} WHERE pgh_id > {three_days[3 * number - 1]}")
        superuser.execute("DELETE FROM pledges_pledgeevent")
        superuser.execute("DELETE FROM coalition_tombstone")
        assert sealing.verify().fault is None  # what is left is sound in itself
        assert fault(stored=stored).what == "checkpoint"
    superuser.execute(f"TRUNCATE {SEALS}, {TABLE}")
    assert fault(stored=stored).what == "checkpoint"


def test_with_a_stored_checkpoint_it_is_found_that_all_was_sealed_anew_with_the_stolen_key(superuser, three_days):
    stored = checkpoint_of(2)
    superuser.execute(f"TRUNCATE {SEALS}")
    superuser.execute(f"UPDATE {TABLE} SET note = 'never said' WHERE pgh_id = {three_days[4]}")
    while sealing.seal():
        pass
    for _ in range(4):  # as many seals as there were
        with acting_as(SYSTEM):
            Condition.objects.update(note="more")
        sealing.seal()
    assert sealing.verify().fault is None
    assert fault(stored=stored).what == "checkpoint"


def test_a_checkpoint_somebody_wrote_by_hand_does_not_count(three_days, settings):
    stored = checkpoint_of(2)
    assert fault(stored=replace(stored, rows=5)).what == "signature"
    settings.HISTORY_KEY = "ab" * 32
    assert fault(stored=stored).what == "signature"
    settings.HISTORY_PUBLIC_KEYS = [stored.public_key]
    assert sealing.verify(stored=stored).fault is None


@pytest.mark.parametrize("text", ["", "{}", "[]", "7", "null", "[" * 100_000, '{"format": "x"}', b"\xff\xfe", "{" * 9])
def test_a_file_that_is_no_checkpoint_is_refused_in_words(text):
    with pytest.raises(sealing.NotACheckpoint):
        sealing.read_checkpoint(text)


def test_a_checkpoint_that_lacks_a_part_is_refused(three_days):
    whole = json.loads(checkpoint_of(1).text())
    for name in whole:
        for other in (None, [], "x" * 3):
            told = {**whole, name: other}
            try:
                found = sealing.verify(stored=sealing.read_checkpoint(json.dumps(told))).fault
            except sealing.NotACheckpoint:
                continue
            assert found, name


def test_the_command_saves_a_checkpoint_and_ends_with_what_it_found(three_days, tmp_path, capsys):
    with acting_as(SYSTEM):
        Condition.objects.update(note="not sealed yet")
    call_command("verify_history", save=tmp_path / "checkpoint")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2] == "not sealed yet: 1 rows"
    assert lines[-1] == f"history verified: 11 rows, 3 days, head {checkpoint_of(3).head}"
    call_command("verify_history", checkpoint=tmp_path / "checkpoint", seal=True)
    assert capsys.readouterr().out.splitlines()[-1].startswith("history verified: 12 rows, 3 days, head ")
    for content in ("x", None):
        (tmp_path / "checkpoint").write_text(content) if content else (tmp_path / "checkpoint").unlink()
        with pytest.raises(CommandError):
            call_command("verify_history", checkpoint=tmp_path / "checkpoint")


def test_a_column_added_or_widened_later_leaves_old_seals_whole_and_is_sealed_from_then_on(superuser, three_days):
    superuser.execute(f"ALTER TABLE {TABLE} ADD COLUMN mood text DEFAULT 'calm'")
    superuser.execute(f"ALTER TABLE {TABLE} ALTER COLUMN version TYPE bigint, ALTER COLUMN title TYPE text")
    assert sealing.verify().fault is None
    with acting_as(SYSTEM):
        Condition.objects.update(note="after the upgrade")
    assert sealing.seal() == 1
    superuser.execute(f"UPDATE {TABLE} SET mood = 'angry' WHERE pgh_id > {three_days[-1]}")
    assert fault().what == "changed"
    superuser.execute(f"ALTER TABLE {TABLE} DROP COLUMN mood")
    assert fault().what == "gone"


def test_a_column_that_was_sealed_and_is_gone_is_said_to_be_gone(superuser, three_days):
    superuser.execute(f"ALTER TABLE {TABLE} RENAME COLUMN note TO remark")
    assert (fault().what, "note" in fault().sentence) == ("gone", True)
    superuser.execute(f"ALTER TABLE {TABLE} RENAME COLUMN remark TO note")


def test_rows_whose_writer_is_not_done_are_left_for_later_and_none_is_skipped(superuser, three_days):
    """A lower key may be committed after a higher one: a sealer that went by keys alone would miss it."""
    with psycopg.connect(bed.url_of(NAME, owner=True)) as slow:
        slow.execute("UPDATE coalition_condition SET note = 'slow'")
        with acting_as(SYSTEM):
            a_pledge().delete()
        assert sealing.seal(patience_s=0) == 0
    with acting_as(SYSTEM):
        assert sealing.unsealed() == 3
    assert sealing.seal() == 3
    assert sealing.verify().fault is None


def test_long_histories_are_sealed_in_stretches(superuser, three_days, monkeypatch):
    monkeypatch.setattr(sealing, "ROWS_PER_SEAL", 4)
    with acting_as(SYSTEM):
        for number in range(9):
            Condition.objects.update(note=str(number))
    assert sealing.seal() == 9
    told = []
    verdict = sealing.verify(tell=lambda done, in_all: told.append((done, in_all)))
    assert (verdict.rows, verdict.fault) == (20, None)
    assert told[-3:] == [(15, 20), (19, 20), (20, 20)]


def test_a_clock_that_was_put_back_makes_no_day_twice(three_days, monkeypatch):
    monkeypatch.setattr(sealing.timezone, "now", lambda: datetime(2026, 1, 1, tzinfo=UTC))
    with acting_as(SYSTEM):
        Condition.objects.update(note="back")
    sealing.seal()
    verdict = sealing.verify()
    assert (verdict.days, verdict.fault) == (3, None)


def test_without_a_key_nothing_is_sealed_and_that_is_said(settings):
    settings.HISTORY_KEY = "too short"
    with pytest.raises(sealing.NoKey, match="64 hexadecimal"):
        sealing.seal()
    settings.HISTORY_KEY, settings.EMBEDDED = "", False
    with pytest.raises(sealing.NoKey, match="not set"):
        sealing.seal()


@effort(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_byte_of_whatever_row_is_changed_it_is_that_row_that_is_named(superuser, three_days, data):
    row = data.draw(st.sampled_from(three_days))
    column, value = data.draw(
        st.one_of(
            st.tuples(
                st.sampled_from(["note", "title", "pgh_label"]),
                st.text(st.characters(codec="ascii"), min_size=1, max_size=9).map(lambda text: text.replace("\0", "0")),
            ),
            st.tuples(st.sampled_from(["tier", "id", "version", "changed_xid"]), st.integers(0, 30_000)),
            st.tuples(st.just("probability"), st.floats(0, 1)),
            st.tuples(
                st.sampled_from(["pgh_created_at", "changed_at"]),
                st.datetimes(timezones=st.just(UTC)),
            ),
        )
    )
    [was] = superuser.execute(f"SELECT {column} FROM {TABLE} WHERE pgh_id = %s", [row]).fetchone()
    superuser.execute(f"UPDATE {TABLE} SET {column} = %s WHERE pgh_id = %s", [value, row])
    found = sealing.verify().fault
    superuser.execute(f"UPDATE {TABLE} SET {column} = %s WHERE pgh_id = %s", [was, row])
    if was == value:
        assert found is None
    else:
        assert found
        assert (found.what, found.row) == ("changed", row)


# --- Append-only -----------------------------------------------------------------------------------

STEPS = ["pledges_pledgestep", "monitoring_reportstep", "monitoring_incidentstep", "monitoring_reportmove"]
KEPT = [*sealing.sealed_tables(), SEALS, *STEPS]


def test_the_owner_too_can_neither_change_nor_delete_history(three_days):
    with psycopg.connect(bed.url_of(NAME, owner=True), autocommit=True) as owner:
        for statement in (
            f"UPDATE {TABLE} SET note = 'x'",
            f"DELETE FROM {TABLE}",
            f"UPDATE {SEALS} SET rows = 1",
            f"DELETE FROM {SEALS}",
            *(f"TRUNCATE {table} CASCADE" for table in KEPT),
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
                owner.execute(statement)


def test_every_table_of_history_has_its_guards(superuser):
    guards = dict(
        superuser.execute(
            "SELECT tgrelid::regclass::text, array_agg(tgname::text ORDER BY tgname) FROM pg_trigger"
            " WHERE tgfoid = 'refuse_bending'::regproc AND tgenabled = 'O' GROUP BY 1"
        ).fetchall()
    )
    by_triggers = {table: ["by_hand", "kept", "kept_whole"] for table in sealing.sealed_tables()}
    assert guards == by_triggers | {table: ["kept", "kept_whole"] for table in [SEALS, *STEPS]}


@pytest.mark.django_db
def test_history_is_written_by_triggers_and_by_nobody_else():
    with acting_as(SYSTEM):
        condition = a_condition()
        for table, columns in ((TABLE, "pgh_id, pgh_obj_id"), ("coalition_tombstone", "kind, object_id")):
            with (
                pytest.raises(ProgrammingError, match="append-only"),
                transaction.atomic(),
                connection.cursor() as cursor,
            ):
                cursor.execute(f"INSERT INTO {table} ({columns}) VALUES (1, {condition.pk})")


@pytest.mark.django_db
def test_no_session_can_write_past_history_by_asking_for_it():
    """pgtrigger would let any session skip triggers by a setting."""
    with acting_as(SYSTEM), connection.cursor() as cursor:
        condition = a_condition()
        cursor.execute("SELECT array_agg(tgname) FROM pg_trigger WHERE NOT tgisinternal")
        cursor.execute("SELECT set_config('pgtrigger.ignore', %s::text, true)", [cursor.fetchone()[0]])
        Condition.objects.filter(pk=condition.pk).update(note="in silence")
        assert Condition.pgh_event_model.objects.filter(pgh_obj_id=condition.pk).count() == 1


def test_a_later_migration_that_makes_triggers_closes_that_way_again():
    """AddTrigger puts the setting back into force, on a database that is upgraded though not on a new one."""
    forgotten = []
    for app in bed.APPS:
        for path in sorted((bed.ROOT / app / "migrations").glob("0*.py")):
            text = path.read_text()
            is_later = path.name > next((bed.ROOT / app / "migrations").glob("*_sealed_history.py")).name
            if is_later and "AddTrigger(" in text and "no_trigger_is_skipped()" not in text:
                forgotten.append(path.name)
    assert forgotten == []


@pytest.mark.django_db
@pytest.mark.parametrize("role", [None, *Role.values])
def test_seals_are_seen_by_administrators_and_the_system_alone(role):
    user = a_member(role) if role else None
    nothing = dict.fromkeys(("keys", "digests", "previous", "head", "signature"), b"")
    made = {"day": "2027-03-01", "table_name": "x", "columns": [], "through": 1, "rows": 1, "total": 1, **nothing}
    with acting_as(SYSTEM):
        HistorySeal.objects.create(number=1, sealed_at=datetime.now(UTC), **made)
    with acting_as(user):
        assert HistorySeal.objects.count() == (role == Role.ADMINISTRATOR)
        assert HistorySeal.objects.visible_to(user).count() == (role == Role.ADMINISTRATOR)


def test_a_seal_costs_the_writer_nothing(three_days):
    """No lock, no trigger and no query more than the insert of the event itself: writers do not wait for each other."""
    with acting_as(SYSTEM), connection.cursor() as cursor:
        Condition.objects.update(note="writing")
        cursor.execute("SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'")
        assert cursor.fetchone() == (0,)
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND relation = %s::regclass", [SEALS]
        )
        assert cursor.fetchone() == (0,)


# --- The page --------------------------------------------------------------------------------------


def administrator() -> Client:
    client = Client()
    with acting_as(SYSTEM):
        client.force_login(a_member(Role.ADMINISTRATOR))
    return client


def test_an_administrator_has_the_history_checked_and_takes_its_checkpoints(three_days):
    client = administrator()
    page = client.get("/history/").content.decode()
    assert page.count("/history/checkpoints/2027-03-0") == 3
    file = client.get("/history/checkpoints/2027-03-02.json")
    assert 'filename="history-2027-03-02-2.json"' in file.headers["Content-Disposition"]
    assert sealing.read_checkpoint(file.content) == checkpoint_of(2)
    for body in ({}, {"checkpoint": SimpleUploadedFile("c.json", file.content)}):
        assert client.post("/history/check/", body).status_code == 302
        with acting_as(SYSTEM):
            job = Job.objects.get(kind=sealing.JOB, state=Job.State.WAITING)
        assert str(job.pk) in client.get("/history/").content.decode()
        jobs.work(job.pk)
        assert "History verified: 11 rows, 3 days" in client.get("/history/").content.decode()
    assert "against the checkpoint of 2027-03-02" in client.get("/history/").content.decode()


def test_the_page_names_what_is_bent(superuser, three_days):
    client = administrator()
    superuser.execute(f"DELETE FROM {TABLE} WHERE pgh_id = {three_days[3]}")
    client.post("/history/check/")
    with acting_as(SYSTEM):
        job = Job.objects.get(kind=sealing.JOB, state=Job.State.WAITING)
    jobs.work(job.pk)
    assert f"{TABLE} row {three_days[3]}, sealed on 2027-03-02: missing" in client.get("/history/").content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("role", [role for role in Role.values if role != Role.ADMINISTRATOR])
def test_nobody_else_gets_at_the_page(role):
    client = Client()
    client.force_login(a_member(role))
    for answer in (
        client.get("/history/"),
        client.post("/history/check/"),
        client.get("/history/checkpoints/2027-03-01.json"),
    ):
        assert answer.status_code == 403


@pytest.mark.django_db
def test_a_file_that_is_no_checkpoint_is_refused_on_the_page():
    client = administrator()
    for content in (b"x", b"{" * 20_000):
        answer = client.post("/history/check/", {"checkpoint": SimpleUploadedFile("c.json", content)})
        assert (answer.status_code, "is no checkpoint" in answer.content.decode()) == (422, True)
    for day in ("2027-03-01", "2027-02-30", "x"):
        assert client.get(f"/history/checkpoints/{day}.json").status_code == 404
    with acting_as(SYSTEM):
        assert not Job.objects.filter(kind=sealing.JOB).exists()
