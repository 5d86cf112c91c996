"""Migration operations for what the app role may do: grants, append-only history, row-level policies.

Policies are the second net under ``visible_to``. They read who acts from the open transaction (``access.acting_as``);
outside one the settings are empty and nothing is shown. The owner, who migrates, is not bound by them.
"""

from django.conf import settings
from django.db import migrations

FUNCTIONS = """
CREATE FUNCTION app_tier() RETURNS integer LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT coalesce(nullif(current_setting('app.tier', true), ''), '0')::integer $$;
CREATE FUNCTION app_nation() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('app.nation', true), '') $$;
CREATE FUNCTION app_user() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('app.user', true), '')::bigint $$;
"""
DROP_FUNCTIONS = "DROP FUNCTION app_tier(); DROP FUNCTION app_nation(); DROP FUNCTION app_user();"

TIER = "tier <= (SELECT app_tier())"
TIER_OR_NATION = f"({TIER} OR nation_id = (SELECT app_nation()))"
OWN = "(user_id = (SELECT app_user()) OR (SELECT app_tier()) >= 3)"
SOMEBODY = "(SELECT app_tier()) > 0"


def open_to_app() -> migrations.RunSQL:
    """Let the app role read and write rows of every table there is and will be; it owns none of them."""
    role = settings.APP_ROLE
    return migrations.RunSQL(
        f"""
        GRANT USAGE ON SCHEMA public TO {role};
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role};
        GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {role};
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {role};
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {role};
        """,
        migrations.RunSQL.noop,
    )


def append_only(*tables: str) -> migrations.RunSQL:
    """Take UPDATE, DELETE and TRUNCATE on these tables from the app role."""
    role, names = settings.APP_ROLE, ", ".join(tables)
    return migrations.RunSQL(
        f"REVOKE UPDATE, DELETE, TRUNCATE ON {names} FROM {role};",
        f"GRANT UPDATE, DELETE ON {names} TO {role};",
    )


def rows_seen_if(table: str, condition: str, *, written_if: str = "") -> migrations.RunSQL:
    """Show and accept only rows of a table for which an SQL condition holds.

    ``written_if`` replaces the condition for inserts, where what is written need not be seen (history, tombstones).
    """
    if written_if:
        policies = (
            f"CREATE POLICY seen ON {table} FOR SELECT USING ({condition});"
            f"CREATE POLICY written ON {table} FOR INSERT WITH CHECK ({written_if});"
        )
        drops = f"DROP POLICY seen ON {table}; DROP POLICY written ON {table};"
    else:
        policies = f"CREATE POLICY seen ON {table} USING ({condition});"
        drops = f"DROP POLICY seen ON {table};"
    return migrations.RunSQL(
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; {policies}",
        f"{drops} ALTER TABLE {table} DISABLE ROW LEVEL SECURITY;",
    )


# --- History that cannot be bent -----------------------------------------------------------

REFUSE = """
CREATE FUNCTION refuse_bending() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
"""
DROP_REFUSE = "DROP FUNCTION refuse_bending();"
KEEPERS = "(SELECT app_role()) IN ('administrator', 'system')"
# pgtrigger lets any session name triggers to be skipped: `SET pgtrigger.ignore`. Ours are for everybody.
SKIP_NOTHING = """
CREATE OR REPLACE FUNCTION _pgtrigger_should_ignore(trigger_name name) RETURNS boolean LANGUAGE plpgsql
AS $$ BEGIN RETURN false; END $$;
"""


def no_trigger_is_skipped() -> migrations.RunSQL:
    """Let no session switch triggers off by a setting. Repeat it after AddTrigger, which puts the switch back."""
    return migrations.RunSQL(SKIP_NOTHING, migrations.RunSQL.noop)


def kept_for_good(*tables: str, goes_with_its_thing: bool = False) -> migrations.RunSQL:
    """Refuse UPDATE, DELETE and TRUNCATE to everybody, the owner included.

    ``goes_with_its_thing``: what the database itself does when the row at the other end of a foreign key goes is let by.
    """
    when = "WHEN (pg_trigger_depth() = 0)" if goes_with_its_thing else ""
    return migrations.RunSQL(
        "".join(
            f"CREATE TRIGGER kept BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW {when}"
            " EXECUTE FUNCTION refuse_bending();"
            f"CREATE TRIGGER kept_whole BEFORE TRUNCATE ON {table} FOR EACH STATEMENT"
            " EXECUTE FUNCTION refuse_bending();"
            for table in tables
        ),
        "".join(f"DROP TRIGGER kept ON {table}; DROP TRIGGER kept_whole ON {table};" for table in tables),
    )


def written_by_triggers(*tables: str) -> migrations.RunSQL:
    """Refuse an INSERT that comes from no trigger: history is what happened, and nobody writes it by hand."""
    return migrations.RunSQL(
        "".join(
            f"CREATE TRIGGER by_hand BEFORE INSERT ON {table} FOR EACH ROW WHEN (pg_trigger_depth() = 0)"
            " EXECUTE FUNCTION refuse_bending();"
            for table in tables
        ),
        "".join(f"DROP TRIGGER by_hand ON {table};" for table in tables),
    )


def read_whole_by_the_system(*tables: str) -> migrations.RunSQL:
    """Show every row of these tables to the system identity, also where the thing they tell of is gone: it seals them."""
    return migrations.RunSQL(
        "".join(
            f"CREATE POLICY sealed ON {table} FOR SELECT USING ((SELECT app_role()) = 'system');" for table in tables
        ),
        "".join(f"DROP POLICY sealed ON {table};" for table in tables),
    )


def history_of(*tables: str) -> list[migrations.RunSQL]:
    """Return what makes these history tables ones that cannot be bent and can be sealed."""
    return [kept_for_good(*tables), written_by_triggers(*tables), read_whole_by_the_system(*tables)]
