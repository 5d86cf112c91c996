"""The app role's rights, the cache table, and the row policies of the kernel's tables."""

from django.db import migrations

from coalition.rights import (
    DROP_FUNCTIONS,
    FUNCTIONS,
    OWN,
    SOMEBODY,
    TIER,
    TIER_OR_NATION,
    append_only,
    open_to_app,
    rows_seen_if,
)

CACHE = """
CREATE TABLE coalition_cache (
    cache_key varchar(255) PRIMARY KEY, value text NOT NULL, expires timestamp with time zone NOT NULL
);
CREATE INDEX coalition_cache_expires ON coalition_cache (expires);
"""


class Migration(migrations.Migration):
    dependencies = [("coalition", "0001_initial")]

    operations = [
        migrations.RunSQL(FUNCTIONS, DROP_FUNCTIONS),
        migrations.RunSQL(CACHE, "DROP TABLE coalition_cache;"),
        open_to_app(),
        append_only(
            "coalition_nationevent",
            "coalition_membershipevent",
            "coalition_operationevent",
            "coalition_sectorevent",
            "coalition_conditionevent",
            "coalition_tombstone",
        ),
        rows_seen_if("coalition_condition", TIER),
        rows_seen_if(
            "coalition_conditionevent",
            f"{TIER} AND ((SELECT app_tier()) >= 3"
            " OR EXISTS (SELECT FROM coalition_condition AS living WHERE living.id = pgh_obj_id))",
            written_if=SOMEBODY,
        ),
        rows_seen_if("coalition_tombstone", TIER_OR_NATION.replace("tier <=", "tier_before <="), written_if=SOMEBODY),
        rows_seen_if("coalition_job", OWN),
        rows_seen_if("coalition_importbatch", OWN),
        rows_seen_if(
            "coalition_importrow",
            "EXISTS (SELECT FROM coalition_importbatch AS batch WHERE batch.id = batch_id)",
        ),
        rows_seen_if("coalition_idempotencykey", OWN),
    ]
