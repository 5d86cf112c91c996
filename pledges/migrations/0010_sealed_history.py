"""The pledges' history is append-only for everybody, and written by triggers alone; steps go with their pledge only."""

from django.db import migrations

from coalition.rights import SOMEBODY, history_of, kept_for_good, no_trigger_is_skipped, rows_seen_if


class Migration(migrations.Migration):
    dependencies = [("pledges", "0009_what_leaves_with_its_line"), ("coalition", "0006_sealed_history")]

    operations = [
        *history_of(
            "pledges_capabilityevent",
            "pledges_requirementevent",
            "pledges_pledgeevent",
            "pledges_pledgeconditionevent",
            "pledges_caveatevent",
            "pledges_allocationevent",
        ),
        kept_for_good("pledges_pledgestep", goes_with_its_thing=True),
        rows_seen_if("pledges_capabilityevent", SOMEBODY, written_if="true"),
        no_trigger_is_skipped(),
    ]
