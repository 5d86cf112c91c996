"""What a database holds, said so that two can be compared: every row, and every rule that guards the rows.

Rows are compared by their number and by the sum of a 64-bit hash of each row as text, whatever order they lie in. A sum,
because equal rows would cancel each other out of an exclusive or. It finds what a restore loses or bends; it is no seal
against somebody who means harm: that is the history's own chain.
"""

import re

import psycopg
from psycopg import sql

Fingerprint = dict[str, dict[str, str]]  # kind of thing → its name → what it is

OURS = "n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'"
NOT_OF_AN_EXTENSION = "NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = {} AND d.deptype = 'e')"
_TABLES = f"""
    SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {OURS} AND c.relkind IN ('r', 'm') AND c.relpersistence <> 't' ORDER BY 1
"""


def _rights(rights: str, kind: str, owner: str) -> str:
    """Return SQL for who may do what. Rights that were never changed are stored as nothing: the defaults stand in."""
    return f"""
        (SELECT string_agg(CASE grantee WHEN 0 THEN 'everybody' ELSE grantee::regrole::text END || ' ' || privilege_type
           || CASE WHEN is_grantable THEN '*' ELSE '' END, ', ' ORDER BY grantee::regrole::text, privilege_type)
         FROM aclexplode(coalesce({rights}, acldefault({kind}, {owner}))))
    """


_RELATION_RIGHTS = _rights("c.relacl", """(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END)::"char" """, "c.relowner")
_SCHEMA_RIGHTS = _rights("n.nspacl", """'n'::"char" """, "n.nspowner")
_FUNCTION_RIGHTS = _rights("p.proacl", """'f'::"char" """, "p.proowner")
_RULES = {
    "columns": f"""
        SELECT c.oid::regclass || '.' || a.attname, concat_ws(' ', format_type(a.atttypid, a.atttypmod),
          CASE WHEN a.attnotnull THEN 'not null' END, a.attgenerated, a.attidentity, pg_get_expr(d.adbin, d.adrelid),
          a.attacl::text)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE {OURS} AND c.relkind IN ('r', 'p', 'm', 'v') AND a.attnum > 0 AND NOT a.attisdropped
    """,
    "constraints": f"""
        SELECT c.conrelid::regclass || ' ' || c.conname, pg_get_constraintdef(c.oid)
        FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace WHERE {OURS}
    """,
    "indexes": f"""
        SELECT c.oid::regclass::text, pg_get_indexdef(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {OURS} AND c.relkind IN ('i', 'I')
    """,
    "policies": f"""
        SELECT c.oid::regclass || ' ' || p.polname, concat_ws(' ', p.polcmd, p.polpermissive, p.polroles::regrole[]::text,
          pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
        FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {OURS}
    """,
    "guarded tables": f"""
        SELECT c.oid::regclass::text, concat_ws(' ', c.relrowsecurity, c.relforcerowsecurity, c.relowner::regrole)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {OURS} AND c.relkind IN ('r', 'p', 'm', 'v')
    """,
    "grants": f"""
        SELECT c.oid::regclass::text, {_RELATION_RIGHTS} FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {OURS} AND c.relkind IN ('r', 'p', 'm', 'v', 'S')
        UNION ALL
        SELECT 'schema ' || n.nspname, {_SCHEMA_RIGHTS} FROM pg_namespace n WHERE {OURS}
        UNION ALL
        SELECT concat_ws(' ', 'from now on', defaclrole::regrole, defaclobjtype), defaclacl::text FROM pg_default_acl
        UNION ALL
        SELECT 'function ' || p.oid::regprocedure, {_FUNCTION_RIGHTS}
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE {OURS} AND {NOT_OF_AN_EXTENSION.format("p.oid")}
    """,
    "triggers": f"""
        SELECT c.oid::regclass || ' ' || t.tgname, concat_ws(' ', t.tgenabled, pg_get_triggerdef(t.oid))
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE {OURS} AND NOT t.tgisinternal
    """,
    "functions": f"""
        SELECT p.oid::regprocedure::text, md5(pg_get_functiondef(p.oid)) || ' ' || p.proowner::regrole
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE {OURS} AND p.prokind IN ('f', 'p') AND {NOT_OF_AN_EXTENSION.format("p.oid")}
    """,
    "extensions": "SELECT extname, extversion FROM pg_extension",
    "settings": """
        SELECT coalesce(setrole::regrole::text, ''), setconfig::text FROM pg_db_role_setting s
        JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = current_database()
    """,
}


def of(connection: psycopg.Connection) -> Fingerprint:
    """Return what the connection's database holds, as its snapshot sees it; ask as the owner of the tables.

    Reads every row of every table once. Sequences are apart (``sequences``): no snapshot holds them still.
    """
    for name, value in (
        ("TimeZone", "UTC"),
        ("DateStyle", "ISO"),
        ("IntervalStyle", "iso_8601"),
        ("row_security", "off"),
    ):
        connection.execute("SELECT set_config(%s, %s, false)", [name, value])
    tables = [name for (name,) in connection.execute(_TABLES).fetchall()]
    found: Fingerprint = {"tables": {name: _rows(connection, name) for name in tables}}
    for kind, query in _RULES.items():
        found[kind] = {name: _plain(str(what)) for name, what in connection.execute(sql.SQL(query)).fetchall()}
    return found


def sequences(connection: psycopg.Connection) -> dict[str, int]:
    """Return the last number each sequence gave, 0 for none."""
    rows = connection.execute(
        "SELECT format('%I.%I', schemaname, sequencename), coalesce(last_value, 0) FROM pg_sequences"
    )
    return dict(rows.fetchall())


def differences(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return a sentence for each name that is missing, new, or another thing than before, in order."""
    said = []
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            said.append(f"{name}: was {before.get(name, 'not there')}, is {after.get(name, 'not there')}")
    return said


# A list of texts is written down with its casts elsewhere once it was dumped and read again: `status IN ('a', 'b')`.
_CAST = re.compile(r"::(?:character varying|text)(?:\[\])?")
_NEEDLESS = re.compile(r"(?<!\w)\((\w+|'[^']*'|ARRAY\[[^\[\]]*\])\)")


def _plain(definition: str) -> str:
    """Return a definition without casts between kinds of text, and without brackets around one word or list."""
    plain = _CAST.sub("", definition)
    while (simpler := _NEEDLESS.sub(r"\1", plain)) != plain:
        plain = simpler
    return plain


def _rows(connection: psycopg.Connection, table: str) -> str:
    count, total = connection.execute(
        f"SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM {table} AS t"
    ).fetchone() or (0, 0)
    return f"{count} rows, {total}"
