"""Row policies of the steps of triage, append-only; and what the database does with steps when their thing goes."""

from django.db import migrations

from coalition.rights import append_only, rows_seen_if

OF_REPORT = "EXISTS (SELECT FROM monitoring_report AS report WHERE report.id = report_id)"
OF_INCIDENT = "EXISTS (SELECT FROM monitoring_incident AS incident WHERE incident.id = incident_id)"


def seen_or_none(column: str) -> str:
    return f"({column} IS NULL OR EXISTS (SELECT FROM monitoring_incident AS other WHERE other.id = {column}))"


def on_delete(table: str, column: str, target: str, action: str) -> migrations.RunSQL:
    """Let the database itself act when the row at the other end goes: the app role may not touch steps."""
    name = f"{table}_{column}_on_delete"

    def again(action: str) -> str:
        return f"""
DO $$
DECLARE old text;
BEGIN
    SELECT conname INTO STRICT old FROM pg_constraint
    WHERE conrelid = '{table}'::regclass AND contype = 'f' AND conkey = ARRAY[(
        SELECT attnum FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attname = '{column}'
    )];
    EXECUTE format('ALTER TABLE {table} DROP CONSTRAINT %I', old);
    ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({column}) REFERENCES {target} (id)
        {action} DEFERRABLE INITIALLY DEFERRED;
END $$;
"""

    return migrations.RunSQL(again(f"ON DELETE {action}"), again(""))


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0006_triage"), ("coalition", "0002_rights")]

    operations = [
        append_only("monitoring_reportstep", "monitoring_incidentstep", "monitoring_reportmove"),
        on_delete("monitoring_reportstep", "report_id", "monitoring_report", "CASCADE"),
        on_delete("monitoring_reportstep", "undoes_id", "monitoring_reportstep", "CASCADE"),
        on_delete("monitoring_incidentstep", "incident_id", "monitoring_incident", "CASCADE"),
        on_delete("monitoring_incidentstep", "other_id", "monitoring_incident", "SET NULL"),
        on_delete("monitoring_incidentstep", "undoes_id", "monitoring_incidentstep", "CASCADE"),
        on_delete("monitoring_incidentstep", "caused_by_id", "monitoring_incidentstep", "SET NULL"),
        on_delete("monitoring_reportmove", "step_id", "monitoring_incidentstep", "CASCADE"),
        on_delete("monitoring_reportmove", "report_id", "monitoring_report", "CASCADE"),
        on_delete("monitoring_reportmove", "from_incident_id", "monitoring_incident", "SET NULL"),
        on_delete("monitoring_reportmove", "to_incident_id", "monitoring_incident", "SET NULL"),
        rows_seen_if("monitoring_reportstep", OF_REPORT),
        rows_seen_if("monitoring_incidentstep", f"{OF_INCIDENT} AND {seen_or_none('other_id')}"),
        rows_seen_if(
            "monitoring_reportmove",
            f"{OF_REPORT} AND {seen_or_none('from_incident_id')} AND {seen_or_none('to_incident_id')}",
        ),
    ]
