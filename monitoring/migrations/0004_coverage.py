"""Stored answers to which provision covers what, and what makes them, and the sectors of places, stale."""

import django.contrib.postgres.fields
import django.db.models.deletion
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models

from coalition.rights import rows_seen_if

MARKS = """
CREATE FUNCTION monitoring_stale_by_agreement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO coalition_stale (kind, key, marked_at)
    SELECT 'coverage', 'provision:' || provision.id, now()
    FROM new_rows
    JOIN old_rows ON old_rows.id = new_rows.id AND old_rows.tier <> new_rows.tier
    JOIN monitoring_provision AS provision ON provision.agreement_id = new_rows.id;
    RETURN NULL;
END $$;
CREATE TRIGGER stale_coverage AFTER UPDATE ON monitoring_agreement
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION monitoring_stale_by_agreement();

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

CREATE TRIGGER stale_places AFTER INSERT OR UPDATE OR DELETE ON coalition_sector
    FOR EACH ROW EXECUTE FUNCTION monitoring_stale_by_sector();
"""
DROP = """
DROP TRIGGER stale_coverage ON monitoring_agreement;
DROP TRIGGER stale_coverage ON monitoring_party;
DROP TRIGGER stale_places ON coalition_sector;
DROP FUNCTION monitoring_stale_by_agreement();
DROP FUNCTION monitoring_stale_by_sector();
DROP FUNCTION monitoring_stale_by_party();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("monitoring", "0003_rollups"),
    ]

    operations = [
        migrations.CreateModel(
            name="Coverage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "tier_from",
                    models.PositiveSmallIntegerField(choices=[(1, "public"), (2, "coalition"), (3, "planning")]),
                ),
                (
                    "tier_until",
                    models.PositiveSmallIntegerField(choices=[(1, "public"), (2, "coalition"), (3, "planning")]),
                ),
                (
                    "answer",
                    models.CharField(
                        choices=[("yes", "Covered"), ("no", "Not in force"), ("unclear", "Cannot tell")], max_length=7
                    ),
                ),
                (
                    "when",
                    models.CharField(
                        choices=[
                            ("within", "Within the term"),
                            ("before", "Before it began"),
                            ("after", "After it ended"),
                            ("between", "Between two terms"),
                            ("across_start", "Across its beginning"),
                            ("across_end", "Across its end"),
                        ],
                        max_length=12,
                    ),
                ),
                ("at", models.DateTimeField(help_text="The beginning or end of the term that decided", null=True)),
                (
                    "doubts",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=10),
                        default=list,
                        help_text="Dimensions of which one cannot tell",
                        size=None,
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "coverage",
            },
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name="provision",
            name="update_update",
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name="provision",
            name="delete_delete",
        ),
        migrations.AddField(
            model_name="provisionevent",
            name="binds",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.SlugField(max_length=40),
                blank=True,
                default=list,
                help_text="Empty: every party",
                size=None,
            ),
        ),
        migrations.AddField(
            model_name="provisionevent",
            name="zones",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.SlugField(max_length=40),
                blank=True,
                default=list,
                help_text="Empty: everywhere",
                size=None,
            ),
        ),
        migrations.RemoveField(
            model_name="provision",
            name="binds",
        ),
        migrations.RemoveField(
            model_name="provision",
            name="zones",
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="incident",
            trigger=pgtrigger.compiler.Trigger(
                name="stale_coverage_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="INSERT INTO coalition_stale (kind, key, marked_at) SELECT DISTINCT 'coverage', keys.key, now() FROM (WITH changed_rows AS (SELECT * FROM new_rows) SELECT 'incidents:' || block FROM (SELECT DISTINCT id / 100 AS block FROM changed_rows) AS blocks) AS keys (key) WHERE keys.key IS NOT NULL; RETURN NULL;",
                    hash="1015c3b056102c85390c4ec36ac9337b37da7dd4",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_stale_coverage_insert_097cf",
                    referencing="REFERENCING NEW TABLE AS new_rows ",
                    table="monitoring_incident",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="incident",
            trigger=pgtrigger.compiler.Trigger(
                name="stale_coverage_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="INSERT INTO coalition_stale (kind, key, marked_at) SELECT DISTINCT 'coverage', keys.key, now() FROM (WITH changed_rows AS (SELECT old_rows.* FROM old_rows JOIN new_rows ON new_rows.id = old_rows.id WHERE (old_rows.kind, old_rows.facility_class, old_rows.accused_id, old_rows.occurred_from, old_rows.occurred_until, old_rows.tier, old_rows.longitude, old_rows.latitude, old_rows.place_precision_m, old_rows.sensitive, old_rows.coalition_longitude, old_rows.coalition_latitude, old_rows.public_longitude, old_rows.public_latitude, old_rows.attribution, old_rows.attributed_to_id) IS DISTINCT FROM (new_rows.kind, new_rows.facility_class, new_rows.accused_id, new_rows.occurred_from, new_rows.occurred_until, new_rows.tier, new_rows.longitude, new_rows.latitude, new_rows.place_precision_m, new_rows.sensitive, new_rows.coalition_longitude, new_rows.coalition_latitude, new_rows.public_longitude, new_rows.public_latitude, new_rows.attribution, new_rows.attributed_to_id) UNION ALL SELECT new_rows.* FROM old_rows JOIN new_rows ON new_rows.id = old_rows.id WHERE (old_rows.kind, old_rows.facility_class, old_rows.accused_id, old_rows.occurred_from, old_rows.occurred_until, old_rows.tier, old_rows.longitude, old_rows.latitude, old_rows.place_precision_m, old_rows.sensitive, old_rows.coalition_longitude, old_rows.coalition_latitude, old_rows.public_longitude, old_rows.public_latitude, old_rows.attribution, old_rows.attributed_to_id) IS DISTINCT FROM (new_rows.kind, new_rows.facility_class, new_rows.accused_id, new_rows.occurred_from, new_rows.occurred_until, new_rows.tier, new_rows.longitude, new_rows.latitude, new_rows.place_precision_m, new_rows.sensitive, new_rows.coalition_longitude, new_rows.coalition_latitude, new_rows.public_longitude, new_rows.public_latitude, new_rows.attribution, new_rows.attributed_to_id)) SELECT 'incidents:' || block FROM (SELECT DISTINCT id / 100 AS block FROM changed_rows) AS blocks) AS keys (key) WHERE keys.key IS NOT NULL; RETURN NULL;",
                    hash="df395d8af06c3083b1cf178200f49fea5131749a",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_stale_coverage_update_0fbf8",
                    referencing="REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ",
                    table="monitoring_incident",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="incident",
            trigger=pgtrigger.compiler.Trigger(
                name="stale_coverage_delete",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="INSERT INTO coalition_stale (kind, key, marked_at) SELECT DISTINCT 'coverage', keys.key, now() FROM (WITH changed_rows AS (SELECT * FROM old_rows) SELECT 'incidents:' || block FROM (SELECT DISTINCT id / 100 AS block FROM changed_rows) AS blocks) AS keys (key) WHERE keys.key IS NOT NULL; RETURN NULL;",
                    hash="469a87ff7158e2925649379630b1a549327aa540",
                    level="STATEMENT",
                    operation="DELETE",
                    pgid="pgtrigger_stale_coverage_delete_b6e80",
                    referencing="REFERENCING OLD TABLE AS old_rows ",
                    table="monitoring_incident",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="provision",
            trigger=pgtrigger.compiler.Trigger(
                name="stale_coverage_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="INSERT INTO coalition_stale (kind, key, marked_at) SELECT DISTINCT 'coverage', keys.key, now() FROM (WITH changed_rows AS (SELECT * FROM new_rows) SELECT 'provision:' || id FROM changed_rows) AS keys (key) WHERE keys.key IS NOT NULL; RETURN NULL;",
                    hash="708cddacd55f2517f8e20e036a92cf40dfae9b1b",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_stale_coverage_insert_7c03c",
                    referencing="REFERENCING NEW TABLE AS new_rows ",
                    table="monitoring_provision",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="provision",
            trigger=pgtrigger.compiler.Trigger(
                name="stale_coverage_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="INSERT INTO coalition_stale (kind, key, marked_at) SELECT DISTINCT 'coverage', keys.key, now() FROM (WITH changed_rows AS (SELECT old_rows.* FROM old_rows JOIN new_rows ON new_rows.id = old_rows.id WHERE (old_rows.agreement_id, old_rows.kind, old_rows.act_kinds, old_rows.facility_classes, old_rows.zones, old_rows.binds) IS DISTINCT FROM (new_rows.agreement_id, new_rows.kind, new_rows.act_kinds, new_rows.facility_classes, new_rows.zones, new_rows.binds) UNION ALL SELECT new_rows.* FROM old_rows JOIN new_rows ON new_rows.id = old_rows.id WHERE (old_rows.agreement_id, old_rows.kind, old_rows.act_kinds, old_rows.facility_classes, old_rows.zones, old_rows.binds) IS DISTINCT FROM (new_rows.agreement_id, new_rows.kind, new_rows.act_kinds, new_rows.facility_classes, new_rows.zones, new_rows.binds)) SELECT 'provision:' || id FROM changed_rows) AS keys (key) WHERE keys.key IS NOT NULL; RETURN NULL;",
                    hash="8d62688d96d660330bf7976b3fa423b3d6a81b30",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_stale_coverage_update_a9653",
                    referencing="REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ",
                    table="monitoring_provision",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="provision",
            trigger=pgtrigger.compiler.Trigger(
                name="stale_coverage_delete",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="INSERT INTO coalition_stale (kind, key, marked_at) SELECT DISTINCT 'coverage', keys.key, now() FROM (WITH changed_rows AS (SELECT * FROM old_rows) SELECT 'provision:' || id FROM changed_rows) AS keys (key) WHERE keys.key IS NOT NULL; RETURN NULL;",
                    hash="7f553ff503649580dfe16d6b12d0985b58f72b6d",
                    level="STATEMENT",
                    operation="DELETE",
                    pgid="pgtrigger_stale_coverage_delete_24731",
                    referencing="REFERENCING OLD TABLE AS old_rows ",
                    table="monitoring_provision",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="provision",
            trigger=pgtrigger.compiler.Trigger(
                name="update_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (OLD.* IS DISTINCT FROM NEW.*)",
                    func='INSERT INTO "monitoring_provisionevent" ("act_kinds", "agreement_id", "article", "binds", "changed_at", "changed_xid", "created_at", "facility_classes", "id", "kind", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "text", "version", "zones") VALUES (OLD."act_kinds", OLD."agreement_id", OLD."article", OLD."binds", OLD."changed_at", OLD."changed_xid", OLD."created_at", OLD."facility_classes", OLD."id", OLD."kind", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, NOW(), \'update\', OLD."id", OLD."text", OLD."version", OLD."zones"); RETURN NULL;',
                    hash="dcd886118ad257f7d1e0699cde2f0efcdf8005c0",
                    operation="UPDATE",
                    pgid="pgtrigger_update_update_b1e58",
                    table="monitoring_provision",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="provision",
            trigger=pgtrigger.compiler.Trigger(
                name="delete_delete",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='INSERT INTO "monitoring_provisionevent" ("act_kinds", "agreement_id", "article", "binds", "changed_at", "changed_xid", "created_at", "facility_classes", "id", "kind", "pgh_context", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "text", "version", "zones") VALUES (OLD."act_kinds", OLD."agreement_id", OLD."article", OLD."binds", OLD."changed_at", OLD."changed_xid", OLD."created_at", OLD."facility_classes", OLD."id", OLD."kind", COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_metadata\', TRUE), \'\'), NULL)::JSONB, COALESCE(NULLIF(CURRENT_SETTING(\'pghistory.context_id\', TRUE), \'\'), NULL)::UUID, NOW(), \'delete\', OLD."id", OLD."text", OLD."version", OLD."zones"); RETURN NULL;',
                    hash="5240a706f459f5a30c474a44e3a5299b71ed7dd6",
                    operation="DELETE",
                    pgid="pgtrigger_delete_delete_8ea10",
                    table="monitoring_provision",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="provisionterm",
            trigger=pgtrigger.compiler.Trigger(
                name="stale_coverage_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="INSERT INTO coalition_stale (kind, key, marked_at) SELECT DISTINCT 'coverage', keys.key, now() FROM (WITH changed_rows AS (SELECT * FROM new_rows) SELECT 'provision:' || provision_id FROM changed_rows) AS keys (key) WHERE keys.key IS NOT NULL; RETURN NULL;",
                    hash="3285380db923b42463d1d2d57298ed05a75ba3e3",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_stale_coverage_insert_f22e4",
                    referencing="REFERENCING NEW TABLE AS new_rows ",
                    table="monitoring_provisionterm",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="provisionterm",
            trigger=pgtrigger.compiler.Trigger(
                name="stale_coverage_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="INSERT INTO coalition_stale (kind, key, marked_at) SELECT DISTINCT 'coverage', keys.key, now() FROM (WITH changed_rows AS (SELECT old_rows.* FROM old_rows JOIN new_rows ON new_rows.id = old_rows.id WHERE (old_rows.provision_id, old_rows.party_id, old_rows.begins_at, old_rows.ends_at) IS DISTINCT FROM (new_rows.provision_id, new_rows.party_id, new_rows.begins_at, new_rows.ends_at) UNION ALL SELECT new_rows.* FROM old_rows JOIN new_rows ON new_rows.id = old_rows.id WHERE (old_rows.provision_id, old_rows.party_id, old_rows.begins_at, old_rows.ends_at) IS DISTINCT FROM (new_rows.provision_id, new_rows.party_id, new_rows.begins_at, new_rows.ends_at)) SELECT 'provision:' || provision_id FROM changed_rows) AS keys (key) WHERE keys.key IS NOT NULL; RETURN NULL;",
                    hash="a90e9c26df98fd0d29e399bb5cc1e66dda80f4a8",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_stale_coverage_update_d867f",
                    referencing="REFERENCING OLD TABLE AS old_rows  NEW TABLE AS new_rows ",
                    table="monitoring_provisionterm",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="provisionterm",
            trigger=pgtrigger.compiler.Trigger(
                name="stale_coverage_delete",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="INSERT INTO coalition_stale (kind, key, marked_at) SELECT DISTINCT 'coverage', keys.key, now() FROM (WITH changed_rows AS (SELECT * FROM old_rows) SELECT 'provision:' || provision_id FROM changed_rows) AS keys (key) WHERE keys.key IS NOT NULL; RETURN NULL;",
                    hash="8b5270f2bd1d2bdf58909c812168d8eb7fdb5dcb",
                    level="STATEMENT",
                    operation="DELETE",
                    pgid="pgtrigger_stale_coverage_delete_e7e4b",
                    referencing="REFERENCING OLD TABLE AS old_rows ",
                    table="monitoring_provisionterm",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="report",
            trigger=pgtrigger.compiler.Trigger(
                name="stale_coverage_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="INSERT INTO coalition_stale (kind, key, marked_at) SELECT DISTINCT 'coverage', keys.key, now() FROM (WITH changed_rows AS (SELECT * FROM new_rows) SELECT 'reports:' || block FROM (SELECT DISTINCT id / 100 AS block FROM changed_rows) AS blocks) AS keys (key) WHERE keys.key IS NOT NULL; RETURN NULL;",
                    hash="474a40415bca7eb5f280b86580423cc3070a43fb",
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
                    func="INSERT INTO coalition_stale (kind, key, marked_at) SELECT DISTINCT 'coverage', keys.key, now() FROM (WITH changed_rows AS (SELECT old_rows.* FROM old_rows JOIN new_rows ON new_rows.id = old_rows.id WHERE (old_rows.kind, old_rows.facility_class, old_rows.accused_id, old_rows.occurred_from, old_rows.occurred_until, old_rows.tier, old_rows.longitude, old_rows.latitude, old_rows.place_precision_m, old_rows.sensitive, old_rows.coalition_longitude, old_rows.coalition_latitude, old_rows.public_longitude, old_rows.public_latitude) IS DISTINCT FROM (new_rows.kind, new_rows.facility_class, new_rows.accused_id, new_rows.occurred_from, new_rows.occurred_until, new_rows.tier, new_rows.longitude, new_rows.latitude, new_rows.place_precision_m, new_rows.sensitive, new_rows.coalition_longitude, new_rows.coalition_latitude, new_rows.public_longitude, new_rows.public_latitude) UNION ALL SELECT new_rows.* FROM old_rows JOIN new_rows ON new_rows.id = old_rows.id WHERE (old_rows.kind, old_rows.facility_class, old_rows.accused_id, old_rows.occurred_from, old_rows.occurred_until, old_rows.tier, old_rows.longitude, old_rows.latitude, old_rows.place_precision_m, old_rows.sensitive, old_rows.coalition_longitude, old_rows.coalition_latitude, old_rows.public_longitude, old_rows.public_latitude) IS DISTINCT FROM (new_rows.kind, new_rows.facility_class, new_rows.accused_id, new_rows.occurred_from, new_rows.occurred_until, new_rows.tier, new_rows.longitude, new_rows.latitude, new_rows.place_precision_m, new_rows.sensitive, new_rows.coalition_longitude, new_rows.coalition_latitude, new_rows.public_longitude, new_rows.public_latitude)) SELECT 'reports:' || block FROM (SELECT DISTINCT id / 100 AS block FROM changed_rows) AS blocks) AS keys (key) WHERE keys.key IS NOT NULL; RETURN NULL;",
                    hash="c7f171a058a372ed7f387cd25b77a3e10268dc50",
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
                    func="INSERT INTO coalition_stale (kind, key, marked_at) SELECT DISTINCT 'coverage', keys.key, now() FROM (WITH changed_rows AS (SELECT * FROM old_rows) SELECT 'reports:' || block FROM (SELECT DISTINCT id / 100 AS block FROM changed_rows) AS blocks) AS keys (key) WHERE keys.key IS NOT NULL; RETURN NULL;",
                    hash="ff963de7ed6ae178dbb7035fac269356001ee4cd",
                    level="STATEMENT",
                    operation="DELETE",
                    pgid="pgtrigger_stale_coverage_delete_206de",
                    referencing="REFERENCING OLD TABLE AS old_rows ",
                    table="monitoring_report",
                    when="AFTER",
                ),
            ),
        ),
        migrations.AddField(
            model_name="coverage",
            name="incident",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="coverage",
                to="monitoring.incident",
            ),
        ),
        migrations.AddField(
            model_name="coverage",
            name="party",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                help_text="By whose dates",
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="monitoring.party",
            ),
        ),
        migrations.AddField(
            model_name="coverage",
            name="provision",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="coverage",
                to="monitoring.provision",
            ),
        ),
        migrations.AddField(
            model_name="coverage",
            name="report",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="coverage",
                to="monitoring.report",
            ),
        ),
        migrations.AddField(
            model_name="provision",
            name="binds",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.SlugField(max_length=40),
                blank=True,
                default=list,
                help_text="Empty: every party",
                size=None,
            ),
        ),
        migrations.AddField(
            model_name="provision",
            name="zones",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.SlugField(max_length=40),
                blank=True,
                default=list,
                help_text="Empty: everywhere",
                size=None,
            ),
        ),
        migrations.AddIndex(
            model_name="coverage",
            index=models.Index(
                condition=models.Q(("report__isnull", False)), fields=["report"], name="coverage_of_report"
            ),
        ),
        migrations.AddIndex(
            model_name="coverage",
            index=models.Index(
                condition=models.Q(("incident__isnull", False)), fields=["incident"], name="coverage_of_incident"
            ),
        ),
        migrations.AddIndex(
            model_name="coverage",
            index=models.Index(fields=["provision", "party", "answer"], name="coverage_by_provision"),
        ),
        migrations.AddConstraint(
            model_name="coverage",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("incident__isnull", False), ("report__isnull", True)),
                    models.Q(("incident__isnull", True), ("report__isnull", False)),
                    _connector="OR",
                ),
                name="coverage_is_of_one_thing",
            ),
        ),
        migrations.AddConstraint(
            model_name="coverage",
            constraint=models.CheckConstraint(
                condition=models.Q(("tier_until__gte", models.F("tier_from"))), name="coverage_tiers_in_order"
            ),
        ),
        migrations.RunSQL(MARKS, DROP),
        rows_seen_if("monitoring_coverage", "tier_from <= (SELECT app_tier())"),
    ]
