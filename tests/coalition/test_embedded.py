import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import redis

from coalition import embedded
from tests.product import eventually

START_AND_WAIT = """
import sys, signal
from pathlib import Path
from coalition import embedded
stop = embedded.start(Path(sys.argv[1]), volatile=True)
print("up", flush=True)
signal.pause()
"""


def asked(address: str, question: str):
    with psycopg.connect(address, autocommit=True) as connection:
        return connection.execute(question).fetchone()[0]


def test_asking_for_addresses_makes_nothing(tmp_path):
    nowhere = tmp_path / "data"
    assert ":9/" in embedded.addresses(nowhere).database
    assert not nowhere.exists()


def test_the_key_is_made_once_and_only_its_owner_can_read_it(tmp_path):
    key = embedded.secret_key(tmp_path / "data")
    assert len(key) >= 50
    assert embedded.secret_key(tmp_path / "data") == key
    assert stat.S_IMODE((tmp_path / "data/secret-key").stat().st_mode) == 0o600


def test_the_app_role_owns_nothing_and_the_owner_is_no_superuser(tmp_path):
    with embedded.running(tmp_path / "data", volatile=True) as addresses:
        for address in (addresses.database, addresses.owner_database):
            assert asked(address, "SELECT NOT (rolsuper OR rolbypassrls) FROM pg_roles WHERE rolname = current_user")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            asked(addresses.database, "CREATE TABLE mine ()")
        with psycopg.connect(addresses.owner_database) as connection:
            for extension in ("btree_gist", "pg_trgm", "unaccent", "citext"):
                connection.execute(f"CREATE EXTENSION {extension}")


def test_both_engines_ask_for_their_password(tmp_path):
    with embedded.running(tmp_path / "data", volatile=True) as addresses:
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(addresses.database, password="guessed")
        stranger = redis.Redis(port=int(addresses.redis.rpartition(":")[2].split("/")[0]), retry=None)
        with pytest.raises(redis.AuthenticationError):
            stranger.ping()


def test_passwords_are_in_private_files_and_in_nobodys_arguments(tmp_path):
    data = tmp_path / "data"
    with embedded.running(data, volatile=True) as addresses:
        assert stat.S_IMODE((data / "engines.json").stat().st_mode) == 0o600
        password = addresses.redis.split(":")[2].split("@")[0]
        pids = [embedded._pid_in(data / "redis/redis.pid"), embedded._pid_in(data / "postgres/18/postmaster.pid")]
        for pid in pids:
            assert password not in "".join(embedded._arguments(pid))


def test_what_was_written_outlives_a_stop_and_a_taken_port(tmp_path):
    data = tmp_path / "data with spaces"
    with embedded.running(data) as addresses:
        with psycopg.connect(addresses.owner_database) as connection:
            connection.execute("CREATE TABLE note AS SELECT 7 AS number")
        redis.Redis.from_url(addresses.redis).set("nudge", "7")
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", int(addresses.database.rpartition(":")[2].split("/")[0])))
        squatter.listen()
        with embedded.running(data) as moved:
            assert moved.database != addresses.database
            assert asked(moved.owner_database, "SELECT number FROM note") == 7
            assert redis.Redis.from_url(moved.redis).get("nudge") == b"7"


def test_a_second_start_in_one_folder_gets_a_sentence(tmp_path):
    with (
        embedded.running(tmp_path / "data", volatile=True),
        pytest.raises(embedded.AlreadyRunning, match=f"already running .*process {os.getpid()}"),
    ):
        embedded.start(tmp_path / "data", volatile=True)


def test_engines_of_a_killed_starter_do_not_block_the_next_start(tmp_path):
    data = tmp_path / "data"
    command = [sys.executable, "-c", START_AND_WAIT, str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout.readline() == "up\n"
        orphan = embedded._pid_in(data / "postgres/18/postmaster.pid")
        starter.send_signal(signal.SIGKILL)
        starter.wait()
    with embedded.running(data, volatile=True) as addresses:
        assert asked(addresses.database, "SELECT 1") == 1
    assert embedded._arguments(orphan) == []


def test_a_killed_postgresql_comes_back_with_what_it_had_promised(tmp_path):
    data = tmp_path / "data"
    stop = embedded.start(data)
    with psycopg.connect(embedded.addresses(data).owner_database) as connection:
        connection.execute("CREATE TABLE note AS SELECT 7 AS number")
    os.kill(embedded._pid_in(data / "postgres/18/postmaster.pid"), signal.SIGKILL)
    stop()
    with embedded.running(data) as addresses:
        assert asked(addresses.owner_database, "SELECT number FROM note") == 7


def test_a_first_start_that_was_interrupted_is_begun_anew(tmp_path):
    data = tmp_path / "data"
    with embedded.Engines(data, volatile=True) as engines:
        engines.cluster.rename(engines.cluster.with_name("18.new"))
        (engines.cluster.with_name("18.new") / "PG_VERSION").unlink()
    with embedded.running(data, volatile=True) as addresses:
        assert asked(addresses.database, "SELECT 1") == 1


def test_lost_passwords_give_a_sentence_not_a_new_database(tmp_path):
    data = tmp_path / "data"
    with embedded.Engines(data, volatile=True):
        pass
    (data / "engines.json").unlink()
    with pytest.raises(embedded.CannotStart, match=r"engines\.json is missing"):
        embedded.start(data, volatile=True)


def test_an_engine_that_cannot_start_quotes_its_log(tmp_path):
    data = tmp_path / "data"
    with embedded.Engines(data, volatile=True) as engines:
        (engines.cluster / "postgresql.conf").write_text("nonsense = yes please\n")
    with pytest.raises(embedded.CannotStart, match=r"(?s)postgres does not start.*near token"):
        embedded.start(data, volatile=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has this trouble")
def test_root_runs_them_without_its_rights_and_leaves_foreign_modes_alone(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with embedded.running(closed / "data", volatile=True):
        pid = embedded._pid_in(closed / "data/postgres/18/postmaster.pid")
        as_root = "Uid:\t0\t" in Path(f"/proc/{pid}/status").read_text()
        here = Path("/proc/self/ns/user").readlink()
        assert not as_root or Path(f"/proc/{pid}/ns/user").readlink() != here
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_a_process_that_only_has_the_number_of_an_old_engine_is_left_alone(tmp_path):
    data = tmp_path / "data"
    with embedded.Engines(data, volatile=True) as engines:
        (engines.redis_dir / "redis.pid").write_text("%d\n")
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        (data / "redis/redis.pid").write_text(f"{bystander.pid}\n")
        with embedded.running(data, volatile=True):
            assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_afree_port_is_free_and_a_taken_one_is_not():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not embedded.is_free(port)
    eventually(lambda: embedded.is_free(port), within_s=5)
