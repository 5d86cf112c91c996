"""Row policies of the monitors' tables, and append-only history."""

from django.db import migrations

from coalition.rights import SOMEBODY, TIER, append_only, rows_seen_if

LIVING = "((SELECT app_tier()) >= 3 OR EXISTS (SELECT FROM {table} AS living WHERE living.id = pgh_obj_id))"
OF_AGREEMENT = "EXISTS (SELECT FROM monitoring_agreement AS agreement WHERE agreement.id = agreement_id)"
OF_PROVISION = "EXISTS (SELECT FROM monitoring_provision AS provision WHERE provision.id = provision_id)"
OF_REPORT = "EXISTS (SELECT FROM monitoring_report AS report WHERE report.id = report_id)"
OF_INCIDENT = "EXISTS (SELECT FROM monitoring_incident AS incident WHERE incident.id = incident_id)"


def history_seen_with(table: str) -> migrations.RunSQL:
    """Show a row's history to whoever sees what stood then, and the living row."""
    return rows_seen_if(f"{table}event", f"{TIER} AND {LIVING.format(table=table)}", written_if=SOMEBODY)


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0001_initial"), ("coalition", "0002_rights")]

    operations = [
        append_only(
            "monitoring_partyevent",
            "monitoring_sourceevent",
            "monitoring_agreementevent",
            "monitoring_provisionevent",
            "monitoring_provisiontermevent",
            "monitoring_incidentevent",
            "monitoring_reportevent",
            "monitoring_evidenceevent",
            "monitoring_partyresponseevent",
        ),
        *(rows_seen_if(f"monitoring_{noun}", TIER) for noun in ("agreement", "incident", "report")),
        *(history_seen_with(f"monitoring_{noun}") for noun in ("agreement", "incident", "report")),
        rows_seen_if("monitoring_provision", OF_AGREEMENT),
        rows_seen_if("monitoring_provisionevent", OF_AGREEMENT, written_if=SOMEBODY),
        rows_seen_if("monitoring_provision_zones", OF_PROVISION),
        rows_seen_if("monitoring_provision_binds", OF_PROVISION),
        rows_seen_if("monitoring_provisionterm", OF_PROVISION),
        rows_seen_if("monitoring_provisiontermevent", OF_PROVISION, written_if=SOMEBODY),
        rows_seen_if("monitoring_evidence", OF_REPORT),
        rows_seen_if("monitoring_evidenceevent", OF_REPORT, written_if=SOMEBODY),
        rows_seen_if("monitoring_partyresponse", OF_INCIDENT),
        rows_seen_if("monitoring_partyresponseevent", OF_INCIDENT, written_if=SOMEBODY),
    ]
