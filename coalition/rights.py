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
