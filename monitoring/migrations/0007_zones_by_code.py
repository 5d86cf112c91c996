"""A provision names zones and parties by code: in its own row, its version and its history. Nobody has named any yet."""

import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations

BEFORE = """
DROP TRIGGER stale_coverage_insert ON monitoring_provision_zones;
DROP TRIGGER stale_coverage_delete ON monitoring_provision_zones;
DROP TRIGGER stale_coverage_insert ON monitoring_provision_binds;
DROP TRIGGER stale_coverage_delete ON monitoring_provision_binds;
DROP TRIGGER stale_places ON coalition_sector;
DROP FUNCTION monitoring_stale_by_link();
DROP FUNCTION monitoring_stale_by_sector();
"""
MARKS = """
CREATE FUNCTION monitoring_stale_by_sector() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'UPDATE' OR (OLD.polygon, OLD.kind) IS DISTINCT FROM (NEW.polygon, NEW.kind) THEN
        INSERT INTO coalition_stale (kind, key, marked_at) VALUES ('places', 'sector:' || coalesce(NEW.id, OLD.id), now());
    END IF;
    IF TG_OP <> 'UPDATE' OR (OLD.polygon, OLD.code) IS DISTINCT FROM (NEW.polygon, NEW.code) THEN
        INSERT INTO coalition_stale (kind, key, marked_at)
        SELECT 'coverage', 'provision:' || provision.id, now()
        FROM monitoring_provision AS provision WHERE provision.zones && ARRAY[OLD.code, NEW.code];
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER stale_places AFTER INSERT OR UPDATE OR DELETE ON coalition_sector
    FOR EACH ROW EXECUTE FUNCTION monitoring_stale_by_sector();

CREATE FUNCTION monitoring_stale_by_party() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO coalition_stale (kind, key, marked_at)
    SELECT 'coverage', 'provision:' || provision.id, now()
    FROM monitoring_provision AS provision
    WHERE provision.binds && ARRAY[OLD.code, NEW.code] AND OLD.code IS DISTINCT FROM NEW.code;
    RETURN NULL;
END $$;
CREATE TRIGGER stale_coverage AFTER INSERT OR UPDATE OR DELETE ON monitoring_party
    FOR EACH ROW EXECUTE FUNCTION monitoring_stale_by_party();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("monitoring", "0006_triage_rights"),
    ]

    operations = [
        migrations.RunSQL(BEFORE),
        pgtrigger.migrations.RemoveTrigger(
            model_name="report",
            name="stale_coverage_insert",
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name="report",
            name="stale_coverage_update",
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name="report",
            name="stale_coverage_delete",
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="report",
            trigger=pgtrigger.compiler.Trigger(
                name="stale_coverage_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="INSERT INTO coalition_stale (kind, key, marked_at) SELECT DISTINCT 'coverage', keys.key, now() FROM (WITH changed_rows AS (SELECT * FROM new_rows) SELECT 'reports:' || number FROM (SELECT DISTINCT id / 100 AS number FROM changed_rows) AS blocks) AS keys (key) WHERE keys.key IS NOT NULL; RETURN NULL;",
                    hash="87d71976e6b34c7d6f7b832adef731adc3269193",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_stale_coverage_insert_23e51",
                    referencing="REFERENCING NEW TABLE AS new_rows ",
                    table="monitoring_report",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="report",
            trigger=pgtrigger.compiler.Trigger(
                name="stale_coverage_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="INSERT INTO coalition_stale (kind, key, marked_at) SELECT DISTINCT 'coverage', keys.key, now() FROM (WITH changed_rows AS (SELECT old_rows.* FROM old_rows JOIN new_rows ON new_rows.id = old_rows.id WHERE (old_rows.kind, old_rows.facility_class, old_rows.accused_id, old_rows.occurred_from, old_rows.occurred_until, old_rows.tier, old_rows.longitude, old_rows.latitude, old_rows.place_precision_m, old_rows.sensitive, old_rows.coalition_longitude, old_rows.coalition_latitude, old_rows.public_longitude, old_rows.public_latitude) IS DISTINCT FROM (new_rows.kind, new_rows.facility_class, new_rows.accused_id, new_rows.occurred_from, new_rows.occurred_until, new_rows.tier, new_rows.longitude, new_rows.latitude, new_rows.place_precision_m, new_rows.sensitive, new_rows.coalition_longitude, new_rows.coalition_latitude, new_rows.public_longitude, new_rows.public_latitude) UNION ALL SELECT new_rows.* FROM old_rows JOIN new_rows ON new_rows.id = old_rows.id WHERE (old_rows.kind, old_rows.facility_class, old_rows.accused_id, old_rows.occurred_from, old_rows.occurred_until, old_rows.tier, old_rows.longitude, old_rows.latitude, old_rows.place_precision_m, old_rows.sensitive, old_rows.coalition_longitude, old_rows.coalition_latitude, old_rows.public_longitude, old_rows.public_latitude) IS DISTINCT FROM (new_rows.kind, new_rows.facility_class, new_rows.accused_id, new_rows.occurred_from, new_rows.occurred_until, new_rows.tier, new_rows.longitude, new_rows.latitude, new_rows.place_precision_m, new_rows.sensitive, new_rows.coalition_longitude, new_rows.coalition_latitude, new_rows.public_longitude, new_rows.public_latitude)) SELECT 'reports:' || number FROM (SELECT DISTINCT id / 100 AS number FROM changed_rows) AS blocks) AS keys (key) WHERE keys.key IS NOT NULL; RETURN NULL;",
                    hash="602b972ad7110b507745100c57d5af35bd5cc9a2",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_stale_coverage_update_f296b",
                    referencing="REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ",
                    table="monitoring_report",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="report",
            trigger=pgtrigger.compiler.Trigger(
                name="stale_coverage_delete",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="INSERT INTO coalition_stale (kind, key, marked_at) SELECT DISTINCT 'coverage', keys.key, now() FROM (WITH changed_rows AS (SELECT * FROM old_rows) SELECT 'reports:' || number FROM (SELECT DISTINCT id / 100 AS number FROM changed_rows) AS blocks) AS keys (key) WHERE keys.key IS NOT NULL; RETURN NULL;",
                    hash="4b4d2fd63b8871506c4579338f012f2c040f4b9e",
                    level="STATEMENT",
                    operation="DELETE",
                    pgid="pgtrigger_stale_coverage_delete_206de",
                    referencing="REFERENCING OLD TABLE AS old_rows ",
                    table="monitoring_report",
                    when="AFTER",
                ),
            ),
        ),
        migrations.RunSQL(MARKS),
    ]
