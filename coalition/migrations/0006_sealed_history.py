"""History that nobody bends: append-only for the owner too, written by triggers alone, and seals over it."""

from django.db import migrations, models

from coalition.rights import (
    DROP_REFUSE,
    KEEPERS,
    REFUSE,
    SOMEBODY,
    append_only,
    history_of,
    kept_for_good,
    no_trigger_is_skipped,
    rows_seen_if,
)


class Migration(migrations.Migration):
    dependencies = [
        ("coalition", "0005_webhooks"),
    ]

    operations = [
        migrations.CreateModel(
            name="HistorySeal",
            fields=[
                (
                    "number",
                    models.BigIntegerField(help_text="1 and up, without gaps", primary_key=True, serialize=False),
                ),
                ("day", models.DateField(db_index=True, help_text="The day it was sealed, in UTC")),
                ("table_name", models.CharField(max_length=63)),
                (
                    "columns",
                    models.JSONField(help_text="Name and type of each column the digests are of, the key first"),
                ),
                (
                    "after",
                    models.BigIntegerField(
                        help_text="The stretch begins behind this key; empty: at the very first", null=True
                    ),
                ),
                ("through", models.BigIntegerField(help_text="And ends with this one")),
                ("rows", models.PositiveIntegerField()),
                ("total", models.BigIntegerField(help_text="Rows of all tables sealed so far, these included")),
                ("keys", models.BinaryField(help_text="The rows' keys, eight bytes each")),
                ("digests", models.BinaryField(help_text="Their SHA-256, 32 bytes each")),
                ("previous", models.BinaryField(help_text="The head before", max_length=32)),
                ("head", models.BinaryField(help_text="SHA-256 of all of the above", max_length=32)),
                ("sealed_at", models.DateTimeField()),
                ("key", models.CharField(help_text="The public key of who signed it, in hexadecimal", max_length=64)),
                ("signature", models.BinaryField(help_text="Ed25519, of the checkpoint", max_length=64)),
            ],
            options={
                "ordering": ["number"],
                "indexes": [models.Index(fields=["table_name", "-number"], name="coalition_h_table_n_e17da2_idx")],
            },
        ),
        migrations.RunSQL(REFUSE, DROP_REFUSE),
        append_only("coalition_historyseal"),
        kept_for_good("coalition_historyseal"),
        rows_seen_if("coalition_historyseal", KEEPERS),
        *history_of(
            "coalition_nationevent",
            "coalition_membershipevent",
            "coalition_operationevent",
            "coalition_sectorevent",
            "coalition_conditionevent",
            "coalition_tombstone",
        ),
        rows_seen_if("coalition_membershipevent", KEEPERS, written_if="true"),
        *(
            rows_seen_if(f"coalition_{noun}event", SOMEBODY, written_if="true")
            for noun in ("nation", "operation", "sector")
        ),
        no_trigger_is_skipped(),
    ]
