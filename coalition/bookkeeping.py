"""What the database writes down by itself at every change: version, feed columns, tombstones, stale marks.

Triggers rather than ``save()`` overrides or signals: they hold for bulk updates, the admin, imports and a psql shell
alike.
"""

from collections.abc import Sequence

import pgtrigger
from django.db import models
from django.db.models.functions import Now

XID = "pg_current_xact_id()::text::bigint"


class CurrentXid(models.Func):
    """The id of the writing transaction, as a bigint. The change feed is ordered by it."""

    template = f"({XID})"
    arity = 0
    output_field = models.BigIntegerField()


BUMP = pgtrigger.Trigger(
    name="bump",
    when=pgtrigger.Before,
    operation=pgtrigger.Update,
    condition=pgtrigger.Condition("OLD.* IS DISTINCT FROM NEW.*"),
    func=f"NEW.version := OLD.version + 1; NEW.changed_at := now(); NEW.changed_xid := {XID}; RETURN NEW;",
)

_LEAVE_TOMBSTONE = f"""
INSERT INTO coalition_tombstone (kind, object_id, tier_before, nation_id, left_at, changed_xid)
VALUES (
    TG_TABLE_NAME,
    coalesce(to_jsonb(OLD) ->> 'id', to_jsonb(OLD) ->> 'code'),
    coalesce((to_jsonb(OLD) ->> 'tier')::int, 1),
    to_jsonb(OLD) ->> 'nation_id',
    now(),
    {XID}
);
RETURN NULL;
"""

GONE = pgtrigger.Trigger(name="gone", when=pgtrigger.After, operation=pgtrigger.Delete, func=_LEAVE_TOMBSTONE)
HIDDEN = pgtrigger.Trigger(
    name="hidden",
    when=pgtrigger.After,
    operation=pgtrigger.UpdateOf("tier"),
    condition=pgtrigger.Condition("NEW.tier > OLD.tier"),
    func=_LEAVE_TOMBSTONE,
)


def marks_stale(kind: str, keys: str, *, heeds: Sequence[str] = ()) -> list[pgtrigger.Trigger]:
    """Return the triggers that mark what a change of a table makes stale: old keys and new ones, once per statement.

    ``keys`` is a SELECT of one text column over ``changed_rows``, which stands for the changed rows. ``heeds``: the only
    columns the answer depends on; an update that leaves all of them as they were marks nothing (empty: any column).
    """
    differs = "({}) IS DISTINCT FROM ({})".format(
        ", ".join(f"old_rows.{name}" for name in heeds), ", ".join(f"new_rows.{name}" for name in heeds)
    )
    both = f" FROM old_rows JOIN new_rows ON new_rows.id = old_rows.id WHERE {differs}" if heeds else ""

    def body(*tables: str) -> str:
        if both and len(tables) == 2:
            rows = " UNION ALL ".join(f"SELECT {table}.*{both}" for table in tables)
        else:
            rows = " UNION ALL ".join(f"SELECT * FROM {table}" for table in tables)
        return (
            f"INSERT INTO coalition_stale (kind, key, marked_at) SELECT DISTINCT '{kind}', keys.key, now() FROM ("
            f"WITH changed_rows AS ({rows}) {keys}) AS keys (key) WHERE keys.key IS NOT NULL; RETURN NULL;"
        )

    old, new = "old_rows", "new_rows"
    shapes = [
        ("insert", pgtrigger.Insert, pgtrigger.Referencing(new=new), body(new)),
        ("update", pgtrigger.Update, pgtrigger.Referencing(old=old, new=new), body(old, new)),
        ("delete", pgtrigger.Delete, pgtrigger.Referencing(old=old), body(old)),
    ]
    return [
        pgtrigger.Trigger(
            name=f"stale_{kind}_{name}",
            level=pgtrigger.Statement,
            when=pgtrigger.After,
            operation=operation,
            referencing=referencing,
            func=func,
        )
        for name, operation, referencing, func in shapes
    ]


class Record(models.Model):
    """A noun that people write: it has a version, and what the change feed needs.

    The three columns belong to the database (trigger ``bump``): refresh an object after saving to read them.
    """

    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    changed_at = models.DateTimeField(db_default=Now(), editable=False)
    changed_xid = models.BigIntegerField(db_default=CurrentXid(), editable=False, db_index=True)

    class Meta:
        abstract = True
        triggers = [BUMP, GONE]
