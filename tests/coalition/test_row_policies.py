"""Row-level security, from the catalogue: no table is forgotten, and each is seen as its policy says and no further."""

import json
import re
import threading

import psycopg
import pytest
from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, DataError, IntegrityError, connection, connections, transaction
from django.test import Client

from coalition import access
from coalition.access import NOBODY, SYSTEM, Actor, Role, Tier, acting_as, because, become
from coalition.celery import app as celery
from coalition.models import Nation
from pledges.models import Pledge
from tests import bed
from tests.factories import a_condition, a_member, a_pledge, the_operation

NAME = f"policies_{bed.NUMBER}"
# Tables that have no row policy, and why.
OPEN = {
    **dict.fromkeys(
        [
            "coalition_nation",
            "coalition_operation",
            "coalition_sector",
            "monitoring_party",
            "monitoring_source",
            "pledges_capability",
        ],
        "shared by all members, without a tier",
    ),
    **dict.fromkeys(
        [
            "account_emailaddress",
            "account_emailconfirmation",
            "coalition_apitoken",
            "coalition_membership",
            "coalition_user",
            "django_session",
            "mfa_authenticator",
            "usersessions_usersession",
        ],
        "read to find out who acts, before anybody does; secrets are stored as hashes",
    ),
    **dict.fromkeys(
        [
            "auth_group",
            "auth_group_permissions",
            "auth_permission",
            "coalition_user_groups",
            "coalition_user_user_permissions",
            "django_admin_log",
            "django_content_type",
            "django_migrations",
        ],
        "Django's own; it holds nothing with a tier",
    ),
    **dict.fromkeys(["knox_authtoken", "pghistory_context"], "made by a package and empty: ours stand in their place"),
    "coalition_stale": "names of answers to be worked out anew, no contents",
    "coalition_cache": "rate limits and the like, by hashed keys",
    "monitoring_stagedreport": "COPY cannot write under row policies; reached through its batch, which has one",
}
# Whose rows are not seen by tier: who sees them.
OWN = {"coalition_job", "coalition_importbatch", "coalition_importrow", "coalition_idempotencykey"}
KEPT = {"coalition_webhooksubscription", "coalition_webhookdelivery", "coalition_historyseal"}
KEPT |= {"coalition_membershipevent", "coalition_invitation"}
SHARED = {f"coalition_{noun}event" for noun in ("nation", "operation", "sector")}
SHARED |= {"monitoring_partyevent", "monitoring_sourceevent", "pledges_capabilityevent"}
NATIONAL = {
    "pledges_pledge",
    "pledges_pledgecondition",
    "pledges_pledgestep",
    "pledges_caveat",
    "pledges_pledgeevent",
    "pledges_pledgeconditionevent",
    "pledges_caveatevent",
    "coalition_tombstone",
}


@pytest.fixture(scope="module")
def superuser(django_db_setup):
    """A database in which every table with a policy has three rows, one of each tier, of the United Kingdom's."""
    bed.copy_template(NAME)
    base = bed.ENGINES.superuser_database.rpartition("/")[0]
    with psycopg.connect(f"{base}/{NAME}", autocommit=True) as connected:
        connected.execute("SET session_replication_role = replica")
        for table in guarded(connected):
            for tier in Tier:
                fill(connected, table, tier)
        yield connected
    with psycopg.connect(f"{base}/postgres", autocommit=True) as connected:
        connected.execute(f"DROP DATABASE {NAME} WITH (FORCE)")


def guarded(connected) -> list[str]:
    found = connected.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relrowsecurity ORDER BY 1"
    )
    return [name for (name,) in found.fetchall()]


def fill(connected, table: str, tier: int) -> None:
    """Insert one row of a tier. Its key and all it points to are 990 + the tier, so rows hang on rows of their tier."""
    checks = connected.execute(
        "SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid = %s::regclass", [table]
    ).fetchall()
    for (name,) in checks:  # this is about who sees what, not about what makes sense
        connected.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
    columns = connected.execute(
        "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
        [table],
    ).fetchall()
    values = {name: value_of(name, kind, must, 990 + tier, tier) for name, kind, must in columns}
    values = {name: value for name, value in values.items() if value}
    names = ", ".join(f'"{name}"' for name in values)
    connected.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join(values.values())})")


def value_of(name: str, kind: str, must: bool, key: int, tier: int) -> str:
    if name.startswith("tier"):
        return str(int(tier))
    if name == "nation_id":
        return "'GB'"
    if name == "user_id":
        return "7"
    if found := re.fullmatch(r"character varying\((\d+)\)", kind):
        return f"'{str(key)[-int(found[1]) :]}'" if must else ""
    if name in ("id", "pgh_id", "pgh_obj_id", "number") or (name.endswith("_id") and must):
        if kind == "uuid":
            return f"'00000000-0000-0000-0000-000000000{key}'"
        return str(key)
    if not must:
        return ""
    if kind.endswith("[]"):
        return "'{}'"
    for words, value in {
        ("character", "text"): f"'{key}'",
        ("timestamp",): "now()",
        ("date",): f"date '2027-01-01' + {tier}",
        ("json",): "'{}'",
        ("boolean",): "false",
        ("bytea",): "''",
        ("uuid",): "gen_random_uuid()",
    }.items():
        if kind.startswith(words):
            return value
    return str(int(tier))


READERS = {
    "nobody": NOBODY,
    "system": SYSTEM,
    **{
        f"{role} of {nation}": Actor(900, "reader", role, nation, access.HIGHEST_TIER[role])
        for role in Role
        for nation in ("FR", "GB")
    },
}


def expected(table: str, reader: Actor) -> set[int]:
    """The tiers of the rows a reader finds in a table, by plain SQL."""
    everything, keeper = {1, 2, 3}, reader.role in ("administrator", "system")
    if not reader.tier:
        return set()
    if table in KEPT:
        return everything if keeper else set()
    if table in OWN:
        return everything if reader.tier >= Tier.PLANNING else set()
    if table in SHARED or (table in NATIONAL and reader.nation == "GB"):
        return everything
    return {tier for tier in everything if tier <= reader.tier}


def seen(table: str) -> set[int]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        count = cursor.fetchone()[0]
        cursor.execute(f"SELECT to_jsonb(found) FROM {table} AS found")
        rows = [row for (row,) in cursor.fetchall()]
    assert count == len(rows)
    return {int(re.search(r"99([123])\b", str(row))[1]) for row in rows}


@pytest.fixture
def filled(superuser, django_db_blocker):
    before = settings.DATABASES["default"]["NAME"]
    bed.use(NAME)
    with django_db_blocker.unblock():
        yield superuser
    bed.use(before)


def test_every_table_has_a_row_policy_or_a_reason(superuser):
    tables = superuser.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'f')"
    ).fetchall()
    assert {name for (name,) in tables} - set(guarded(superuser)) == set(OPEN)


def test_every_history_has_a_row_policy(superuser):
    histories = {model._meta.db_table for model in apps.get_models() if hasattr(model, "pgh_tracked_model")}
    assert histories <= set(guarded(superuser))


@pytest.mark.parametrize("who", READERS)
def test_plain_sql_shows_each_reader_what_the_policies_say(filled, who):
    reader = READERS[who]
    with acting_as(reader):
        found = {table: seen(table) for table in guarded(filled)}
    assert found == {table: expected(table, reader) for table in guarded(filled)}


def test_a_policy_that_is_switched_off_would_be_noticed(filled):
    """Mutation: without its own policy each table shows something to somebody who should not see it."""
    analyst = READERS["analyst of FR"]
    hidden = Actor(900, "stranger", "analyst", "FR", 0)
    unnoticed = []
    for table in guarded(filled):
        filled.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
        shown = []
        for reader in (analyst, hidden):
            with acting_as(reader):
                shown.append(seen(table) != expected(table, reader))
        filled.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        if not any(shown):
            unnoticed.append(table)
    assert unnoticed == []


def test_the_app_role_is_bound_by_policies_and_owns_nothing(superuser):
    role = settings.APP_ROLE
    rights = superuser.execute(
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication FROM pg_roles WHERE rolname = %s",
        [role],
    ).fetchone()
    assert rights == (False,) * 5
    owned = superuser.execute("SELECT relname FROM pg_class WHERE pg_get_userbyid(relowner) = %s", [role]).fetchall()
    assert owned == []
    member_of = superuser.execute(
        "SELECT granted.rolname FROM pg_auth_members AS m JOIN pg_roles AS granted ON granted.oid = m.roleid"
        " JOIN pg_roles AS member ON member.oid = m.member WHERE member.rolname = %s",
        [role],
    ).fetchall()
    assert member_of == []
    more = superuser.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        " AND has_table_privilege(%s, oid, 'TRUNCATE, REFERENCES, TRIGGER, MAINTAIN')",
        [role],
    ).fetchall()
    assert more == []
    assert superuser.execute("SELECT has_schema_privilege(%s, 'public', 'CREATE')", [role]).fetchone() == (False,)


def test_no_function_and_no_view_lends_the_owners_rights(superuser):
    """Security-definer functions and plain views would read past the policies. There are none; one that comes is listed
    here with its reason, a pinned search_path, or security_invoker.
    """
    functions = superuser.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef"
    ).fetchall()
    views = superuser.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm')"
    ).fetchall()
    assert (functions, views) == ([], [])


# --- Who acts, on connections that are kept ---------------------------------------------------------


def told() -> tuple:
    """What the connection says of who acts: (tier, nation, user, role, context), all empty where nobody does."""
    with connection.cursor() as cursor:
        names = ("app.tier", "app.nation", "app.user", "app.role", "pghistory.context_metadata")
        cursor.execute(f"SELECT {', '.join(f'''coalesce(current_setting('{name}', true), '')''' for name in names)}")
        *who, context = cursor.fetchone()
    return (*who, json.loads(context) if context else "")


NOBODY_TOLD = ("",) * 5


@pytest.fixture
def kept(committed):
    """A connection that stays open from one use to the next, and a pledge of the planning tier to be seen or not."""
    with acting_as(SYSTEM):
        the_operation()
        a_pledge(nation="GB", tier=Tier.PLANNING)
        planner = a_member(Role.PLANNER)
    connection.ensure_connection()
    pid = connection.connection.info.backend_pid
    yield planner
    assert connection.connection.info.backend_pid == pid, "the connection was replaced: this proved nothing"


def fails_in_python() -> None:
    raise ValueError


def fails_in_the_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1/0")


def fails_twice() -> None:
    for name in ("France", "France again"):
        Nation.objects.create(code="FR", stanag="FRA", name=name)


def fails_at_commit() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO coalition_membership (user_id, role) VALUES (-1, 'monitor')"  # a deferred foreign key
        )


def changes_hands() -> None:
    become(Actor(1, "token", Role.ADMINISTRATOR, "FR", Tier.PLANNING))
    raise ValueError


@pytest.mark.parametrize("ends", [lambda: None, fails_in_python, fails_in_the_database, fails_at_commit, changes_hands])
def test_a_kept_connection_forgets_who_acted_however_it_ended(kept, ends):
    try:
        with acting_as(kept, "a reason"):
            assert Pledge.objects.count() == 1
            ends()
    except (ValueError, DatabaseError):
        pass
    assert told() == NOBODY_TOLD
    assert Pledge.objects.count() == 0
    assert access._acting.get() == NOBODY


def test_what_happens_inside_leaves_the_outer_one_acting_with_its_reason_and_is_heard(kept):
    with acting_as(kept, "outside"):
        before = told()
        with acting_as(SYSTEM, "inside"):
            pass
        assert told() == before
        for fails, error in (
            (fails_in_python, ValueError),
            (fails_in_the_database, DataError),
            (fails_twice, IntegrityError),
            (changes_hands, ValueError),
        ):
            with pytest.raises(error), acting_as(SYSTEM, "inside"):
                fails()
            assert told() == before
    with acting_as(kept):
        because("later")
        before = told()
        with acting_as(SYSTEM):
            pass
        assert told() == before


def test_requests_that_end_in_any_way_leave_nobody_acting(kept):
    client = Client(raise_request_exception=False)
    client.force_login(kept)
    for address in ("/pledges/", "/pledges/999999/", "/api/v1/pledges/", "/api/v1/pledges/?ordering=x", "/admin/x/"):
        client.get(address)
        assert told() == NOBODY_TOLD, address
    client.post("/pledges/new/", {})
    assert told() == NOBODY_TOLD
    answer = client.get("/api/v1/pledges/?format=csv")
    pieces = iter(answer.streaming_content)
    next(pieces)
    answer.close()  # as when the reader goes away in the middle
    assert told() == NOBODY_TOLD
    assert Pledge.objects.count() == 0


def test_another_thread_acts_as_nobody(kept):
    found = {}

    def look() -> None:
        found["told"], found["pledges"], found["acting"] = told(), Pledge.objects.count(), access._acting.get()
        connections.close_all()

    with acting_as(kept):
        other = threading.Thread(target=look)
        other.start()
        other.join()
    assert found == {"told": NOBODY_TOLD, "pledges": 0, "acting": NOBODY}


def test_nothing_says_who_acts_beyond_its_transaction():
    """A setting of the session would outlive the transaction, and through a pool reach another one's request."""
    modules = [path for name in bed.APPS for path in (bed.ROOT / name).rglob("*.py") if "migrations" not in path.parts]
    setters = re.compile(
        r"set_config\((?:[^()]|\([^()]*\))*?,\s*(true|false)\)|\bSET (?!LOCAL\b)(?:SESSION |app\.)", re.S
    )
    found = [(path.name, match[0]) for path in modules for match in setters.finditer(path.read_text())]
    assert found
    assert [each for each in found if not each[1].rstrip(")").endswith("true")] == []


def test_every_task_acts_as_somebody(committed):
    """Each task of the beat, run for real: no statement touches a guarded table while nobody acts."""
    with psycopg.connect(bed.url_of(settings.DATABASES["default"]["NAME"], owner=True)) as owner:
        tables = re.compile("|".join(rf'"{table}"|\b{table}\b' for table in guarded(owner)))
    with acting_as(SYSTEM):
        a_condition()
        a_pledge()
    unguarded = []

    def watched(execute, sql, params, many, context):
        if tables.search(str(sql)) and access._acting.get() == NOBODY:
            unguarded.append(str(sql)[:200])
        return execute(sql, params, many, context)

    celery.loader.import_default_modules()
    names = {entry["task"] for entry in celery.conf.beat_schedule.values()}
    names |= {name for name in celery.tasks if name.startswith("sweep.")}
    assert len(names) > 9
    with connection.execute_wrapper(watched):
        for name in sorted(names):
            celery.tasks[name]()
            assert told() == NOBODY_TOLD, name
    assert unguarded == []


@pytest.mark.django_db
def test_what_is_said_to_the_database_is_put_back_with_a_savepoint():
    planner = a_member(Role.PLANNER)
    with acting_as(planner, "outside"):
        before = told()
        with pytest.raises(ValueError), transaction.atomic():  # noqa: PT011  it says nothing
            changes_hands()
        assert told() == before
