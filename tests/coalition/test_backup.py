"""A backup restored is the same to the last row and rule, and a drill on one that is not the same says where."""

import json
import tarfile

import psycopg
import pytest
from django.conf import settings

from coalition import backup, fingerprint
from coalition.access import SYSTEM, acting_as
from tests import bed
from tests.factories import a_condition, a_member, a_pledge, a_report

COPY = f"restored_{bed.NUMBER}"
BROKEN = {  # what is done to the restored copy → what must be named
    "UPDATE pledges_pledge SET quantity = quantity + 1": ("tables", "pledges_pledge"),
    "DELETE FROM monitoring_report": ("tables", "monitoring_report"),
    "INSERT INTO coalition_stale (kind, key) SELECT kind, key FROM coalition_stale LIMIT 1": (
        "tables",
        "coalition_stale",
    ),
    "ALTER TABLE pledges_pledge DISABLE ROW LEVEL SECURITY": ("guarded tables", "pledges_pledge"),
    "ALTER TABLE pledges_pledge DISABLE TRIGGER USER": ("triggers", "pledges_pledge pgtrigger_bump"),
    "GRANT DELETE ON pledges_pledgeevent TO coalition_app": ("grants", "pledges_pledgeevent"),
    "REVOKE SELECT ON pledges_pledge FROM coalition_app": ("grants", "pledges_pledge"),
    "CREATE POLICY open_to_all ON pledges_pledge USING (true)": ("policies", "pledges_pledge open_to_all"),
    "CREATE OR REPLACE FUNCTION app_tier() RETURNS integer LANGUAGE sql STABLE PARALLEL SAFE AS 'SELECT 3'": (
        "functions",
        "app_tier()",
    ),
    "ALTER TABLE pledges_pledge ALTER quantity SET DEFAULT 7": (
        "columns",
        "pledges_pledge.quantity",
    ),
}


@pytest.fixture
def made(committed, tmp_path):
    """A backup of a database with a few rows, and of one file."""
    with acting_as(SYSTEM):
        a_member("planner")
        a_condition()
        pledge = a_pledge()
        a_report()
    with acting_as(SYSTEM, "a second version, for the history"):
        pledge.what = "another thing"
        pledge.save()
    media = tmp_path / "media"
    (media / "evidence").mkdir(parents=True)
    (media / "evidence" / "photo.jpg").write_bytes(b"what was seen")
    (tmp_path / "backups").mkdir()
    return backup.make(bed.url_of(settings.DATABASES["default"]["NAME"], owner=True), media, tmp_path / "backups")


@pytest.fixture
def restored(made):
    """The backup in an empty database of its own, as an open connection of the owner."""
    with psycopg.connect(bed.url_of("postgres", owner=True), autocommit=True) as owner:
        owner.execute(f"DROP DATABASE IF EXISTS {COPY}")
        owner.execute(f"CREATE DATABASE {COPY}")
    backup.restore_database(made, bed.url_of(COPY, owner=True))
    with psycopg.connect(bed.url_of(COPY, owner=True)) as connection:
        yield connection
    bed.drop(COPY)


def what_differs(made, connection) -> set[tuple[str, str]]:
    found = fingerprint.of(connection)
    return {
        (kind, sentence.partition(":")[0])
        for kind, things in made.database.items()
        for sentence in fingerprint.differences(things, found[kind])
    }


def test_what_is_restored_is_equal_and_whatever_is_bent_is_named(made, restored):
    assert made.database["tables"]["pledges_pledge"].startswith("1 rows")
    assert made.database["tables"]["pledges_pledgeevent"].startswith("1 rows"), (
        "the owner's dump is not cut by policies"
    )
    assert len(made.database["policies"]) > 20
    assert len(made.database["triggers"]) > 20
    assert what_differs(made, restored) == set()
    for name, number in fingerprint.sequences(restored).items():
        assert made.sequences_before[name] <= number <= made.sequences_after[name]
    restored.commit()
    for harm, named in BROKEN.items():
        restored.execute(harm)
        kind, name = named
        assert any(what == kind and which.startswith(name) for what, which in what_differs(made, restored)), harm
        restored.rollback()


def test_files_come_back_and_one_that_changed_is_named(made, tmp_path):
    backup.restore_files(made, tmp_path / "again")
    assert backup.hashes_of(tmp_path / "again") == made.files
    (tmp_path / "again/evidence/photo.jpg").write_bytes(b"something else")
    said = fingerprint.differences(made.files, backup.hashes_of(tmp_path / "again"))
    assert [sentence.partition(":")[0] for sentence in said] == ["evidence/photo.jpg"]


def test_a_backup_that_was_touched_is_refused(made):
    with tarfile.open(made.tar, "a") as tar:
        tar.addfile(tarfile.TarInfo("added"))
    with pytest.raises(backup.CannotBackUp, match=r"files\.tar is not the file"):
        backup.read(made.folder)
    (made.folder / "contents.json").write_text(json.dumps({"half": "a file"}))
    with pytest.raises(backup.CannotBackUp, match="no whole backup"):
        backup.read(made.folder)


def test_the_app_role_cannot_make_a_backup_with_rows_missing(committed, tmp_path):
    with pytest.raises(backup.CannotBackUp, match="does not own the tables"):
        backup.make(bed.url_of(settings.DATABASES["default"]["NAME"]), tmp_path, tmp_path)


@pytest.mark.parametrize("xid", [0, 1, 900, 2**32 - 1, 2**32, 2**40 + 7])
def test_the_epoch_begins_above_every_number_the_backup_knows(xid):
    assert backup.epoch_above(xid) * 2**32 > xid


def test_only_the_newest_whole_backups_are_kept_and_halves_are_swept_away(tmp_path):
    for day in ("20260101", "20260102", "20260103"):
        (tmp_path / day).mkdir()
        (tmp_path / day / "contents.json").touch()
    assert backup.throw_away(tmp_path, keep=2) == ["20260101"]
    assert backup.throw_away(tmp_path, keep=0) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["20260102", "20260103"]
