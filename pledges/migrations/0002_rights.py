"""Row policies of the pledges' tables, append-only steps and history, and what a changed condition or operation makes stale."""

from django.db import migrations

from coalition.rights import SOMEBODY, TIER, TIER_OR_NATION, append_only, rows_seen_if

OF_PLEDGE = "EXISTS (SELECT FROM pledges_pledge AS pledge WHERE pledge.id = pledge_id)"
LIVING = "((SELECT app_tier()) >= 3 OR EXISTS (SELECT FROM {table} AS living WHERE living.id = pgh_obj_id))"

STALE_BY_KERNEL = """
CREATE FUNCTION pledges_stale_by_condition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO coalition_stale (kind, key, marked_at)
    SELECT DISTINCT 'readiness', pledge.operation_id || ':' || pledge.capability_id, now()
    FROM new_rows
    JOIN pledges_pledgecondition AS link ON link.condition_id = new_rows.id
    JOIN pledges_pledge AS pledge ON pledge.id = link.pledge_id;
    RETURN NULL;
END $$;
CREATE TRIGGER stale_readiness AFTER UPDATE ON coalition_condition
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION pledges_stale_by_condition();

CREATE FUNCTION pledges_stale_by_operation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO coalition_stale (kind, key, marked_at)
    SELECT 'readiness', new_rows.id || ':' || capability.id, now()
    FROM new_rows, pledges_capability AS capability
    WHERE EXISTS (SELECT FROM pledges_pledge AS p WHERE p.operation_id = new_rows.id AND p.capability_id = capability.id)
       OR EXISTS (
           SELECT FROM pledges_requirement AS r WHERE r.operation_id = new_rows.id AND r.capability_id = capability.id
       );
    RETURN NULL;
END $$;
CREATE TRIGGER stale_readiness AFTER UPDATE ON coalition_operation
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION pledges_stale_by_operation();

CREATE FUNCTION pledges_stale_by_capability() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO coalition_stale (kind, key, marked_at)
    SELECT 'readiness', operation.id || ':' || new_rows.id, now() FROM new_rows, coalition_operation AS operation;
    RETURN NULL;
END $$;
CREATE TRIGGER stale_readiness AFTER UPDATE ON pledges_capability
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION pledges_stale_by_capability();
"""
DROP = """
DROP TRIGGER stale_readiness ON coalition_condition;
DROP TRIGGER stale_readiness ON coalition_operation;
DROP TRIGGER stale_readiness ON pledges_capability;
DROP FUNCTION pledges_stale_by_condition();
DROP FUNCTION pledges_stale_by_operation();
DROP FUNCTION pledges_stale_by_capability();
"""


class Migration(migrations.Migration):
    dependencies = [("pledges", "0001_initial"), ("coalition", "0002_rights")]

    operations = [
        migrations.RunSQL(STALE_BY_KERNEL, DROP),
        append_only(
            "pledges_capabilityevent",
            "pledges_requirementevent",
            "pledges_pledgeevent",
            "pledges_pledgeconditionevent",
            "pledges_caveatevent",
            "pledges_allocationevent",
            "pledges_pledgestep",
        ),
        rows_seen_if("pledges_requirement", TIER),
        rows_seen_if("pledges_pledge", TIER_OR_NATION),
        rows_seen_if("pledges_pledgecondition", OF_PLEDGE),
        rows_seen_if("pledges_pledgestep", OF_PLEDGE),
        rows_seen_if("pledges_caveat", OF_PLEDGE),
        rows_seen_if(
            "pledges_allocation",
            f"{OF_PLEDGE} AND EXISTS (SELECT FROM pledges_requirement AS line WHERE line.id = requirement_id)",
        ),
        rows_seen_if("pledges_readinessline", TIER),
        rows_seen_if(
            "pledges_requirementevent",
            f"{TIER} AND {LIVING.format(table='pledges_requirement')}",
            written_if=SOMEBODY,
        ),
        rows_seen_if(
            "pledges_pledgeevent",
            f"{TIER_OR_NATION} AND {LIVING.format(table='pledges_pledge')}",
            written_if=SOMEBODY,
        ),
        rows_seen_if("pledges_pledgeconditionevent", OF_PLEDGE, written_if=SOMEBODY),
        rows_seen_if("pledges_caveatevent", OF_PLEDGE, written_if=SOMEBODY),
        rows_seen_if("pledges_allocationevent", LIVING.format(table="pledges_allocation"), written_if=SOMEBODY),
    ]
