"""A backup: the database, the uploaded files, and what both hold, so that a restore can be proved.

A backup is a folder named by its time::

    database.dump   pg_dump's own format, of one snapshot
    files.tar       the media folder: evidence, imported files, exports
    contents.json   the fingerprint of that snapshot, the SHA-256 of every file, and of the two above

The dump and the fingerprint come from the same snapshot, so they agree although people go on working. Files are packed
after it: what a row of the snapshot names was there before. Secrets are not in a backup, and belong beside none.
"""

import hashlib
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree

import psycopg
from psycopg.conninfo import conninfo_to_dict

from coalition import embedded, fingerprint

UNFINISHED = ".unfinished"
_VARIABLE = {"dbname": "PGDATABASE"}  # libpq's names, where they are not PG and the keyword


class CannotBackUp(Exception):
    """No backup was made, or this one cannot be used; the text is a sentence for the person at the terminal."""


@dataclass(frozen=True)
class Backup:
    """A whole backup on disk, and what ``contents.json`` says of it."""

    folder: Path
    database: fingerprint.Fingerprint
    sequences_before: dict[str, int]
    sequences_after: dict[str, int]
    files: dict[str, str]  # path below the media folder → SHA-256
    xid: int  # the number of a transaction begun for the backup
    hashes: dict[str, str]  # of database.dump and files.tar

    @property
    def dump(self) -> Path:
        return self.folder / "database.dump"

    @property
    def tar(self) -> Path:
        return self.folder / "files.tar"


def make(url: str, media: Path, into: Path) -> Backup:
    """Make a backup of the database, asked as the owner of its tables, and of the files, in a new folder in ``into``.

    Raises CannotBackUp. What an interrupted one left is removed by the next.
    """
    for leftover in into.glob(f"*{UNFINISHED}"):
        rmtree(leftover)
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    unfinished = into / f"{name}{UNFINISHED}"
    unfinished.mkdir(mode=0o700)
    dump, tar = unfinished / "database.dump", unfinished / "files.tar"
    with psycopg.connect(url, autocommit=True) as connection:
        _demand_owner(connection)
        (xid,) = connection.execute("SELECT pg_current_xact_id()::text::bigint").fetchone() or (0,)
        before = fingerprint.sequences(connection)
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        (snapshot,) = connection.execute("SELECT pg_export_snapshot()").fetchone() or ("",)
        run("pg_dump", url, "--format=custom", f"--snapshot={snapshot}", f"--file={dump}")
        after = fingerprint.sequences(connection)
        database = fingerprint.of(connection)
        connection.execute("COMMIT")
    files = _pack(media, tar)
    contents = {
        "made_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "xid": xid,
        "hashes": {path.name: sha256_of(path) for path in (dump, tar)},
        "sequences_before": before,
        "sequences_after": after,
        "database": database,
        "files": files,
    }
    embedded.write_private(unfinished / "contents.json", json.dumps(contents, indent=1, ensure_ascii=False))
    whole = into / name
    unfinished.rename(whole)
    return read(whole)


def read(folder: Path) -> Backup:
    """Read what a backup says of itself. Raises CannotBackUp where it is not whole, or a file is not what it was."""
    try:
        said = json.loads((folder / "contents.json").read_text())
        for name, expected in said["hashes"].items():
            if sha256_of(folder / name) != expected:
                raise CannotBackUp(f"{folder / name} is not the file that was written: its SHA-256 differs.")
        said.pop("made_at")
        return Backup(folder, **said)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CannotBackUp(f"{folder} holds no whole backup: {error}") from error


def throw_away(into: Path, keep: int) -> list[str]:
    """Remove all but the newest ``keep`` whole backups; return the names of those removed."""
    whole = sorted(path.parent for path in into.glob("*/contents.json"))
    gone = whole[:-keep] if keep else []
    for folder in gone:
        rmtree(folder)
    return [folder.name for folder in gone]


def epoch_above(xid: int) -> int:
    """Return the epoch in which every transaction has a higher number than this one. Source: PostgreSQL, pg_resetwal."""
    return (xid >> 32) + 1


def restore_database(backup: Backup, url: str) -> None:
    """Load the dump into an empty database, as its owner. Raises CannotBackUp with what pg_restore said."""
    run("pg_restore", url, "--exit-on-error", "--single-transaction", "--dbname=", str(backup.dump))


def restore_files(backup: Backup, media: Path) -> None:
    """Unpack the files below the media folder."""
    media.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tarfile.open(backup.tar) as tar:
        tar.extractall(media, filter="data")


def hashes_of(media: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below the media folder, by its path."""
    return {str(path.relative_to(media)): sha256_of(path) for path in _files(media)}


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def run(program: str, url: str, *options: str) -> None:
    """Run one of PostgreSQL's programs on a database; the address goes by the environment, because arguments show in ps.

    Raises CannotBackUp with what it said.
    """
    where = {
        _VARIABLE.get(key, f"PG{key.upper()}"): str(value) for key, value in conninfo_to_dict(url).items() if value
    }
    where["PGPASSFILE"] = os.devnull
    words = [f"--dbname={where['PGDATABASE']}" if word == "--dbname=" else word for word in options]
    done = subprocess.run(
        [str(embedded.program(program)), "--no-password", *words],
        env=os.environ | where,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CannotBackUp(f"{program} failed: {done.stderr.strip()}")


def _demand_owner(connection: psycopg.Connection) -> None:
    others = connection.execute(
        "SELECT 1 FROM pg_tables WHERE schemaname = 'public' AND NOT pg_has_role(tableowner, 'USAGE') LIMIT 1"
    ).fetchone()
    if others:
        raise CannotBackUp(
            "This role does not own the tables, so row-level security would hide rows from the backup. Give "
            "DATABASE_URL the owner's address, as for `migrate`."
        )


def _pack(media: Path, tar: Path) -> dict[str, str]:
    """Pack the files into a tar; return the SHA-256 of each. One that goes away meanwhile is left out."""
    packed = {}
    with tarfile.open(tar, "w") as archive:
        for path in _files(media):
            name = str(path.relative_to(media))
            try:
                packed[name] = sha256_of(path)
                archive.add(path, name, recursive=False)
            except FileNotFoundError:
                packed.pop(name, None)
    return packed


def _files(media: Path) -> Iterator[Path]:
    return (path for path in sorted(media.rglob("*")) if path.is_file())
