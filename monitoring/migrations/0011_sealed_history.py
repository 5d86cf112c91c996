"""The monitors' history is append-only for everybody, and written by triggers alone; steps go with their thing only."""

from django.db import migrations

from coalition.rights import SOMEBODY, history_of, kept_for_good, no_trigger_is_skipped, rows_seen_if


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0010_slices_of_months"), ("coalition", "0006_sealed_history")]

    operations = [
        *history_of(
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
        kept_for_good(
            "monitoring_reportstep", "monitoring_incidentstep", "monitoring_reportmove", goes_with_its_thing=True
        ),
        *(rows_seen_if(f"monitoring_{noun}event", SOMEBODY, written_if="true") for noun in ("party", "source")),
        no_trigger_is_skipped(),
    ]
