"""When an import is undone its new pledges are deleted; the database takes their steps along, which nobody may delete."""

import django.db.models.deletion
from django.db import migrations, models

REPLACE = """
DO $$
DECLARE old text;
BEGIN
    SELECT conname INTO STRICT old FROM pg_constraint
    WHERE conrelid = 'pledges_pledgestep'::regclass AND confrelid = 'pledges_pledge'::regclass AND contype = 'f';
    EXECUTE format('ALTER TABLE pledges_pledgestep DROP CONSTRAINT %I', old);
    ALTER TABLE pledges_pledgestep ADD CONSTRAINT {name} FOREIGN KEY (pledge_id) REFERENCES pledges_pledge (id)
        {action} DEFERRABLE INITIALLY DEFERRED;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("pledges", "0006_how_sure")]

    operations = [
        migrations.RunSQL(
            REPLACE.format(name="pledges_pledgestep_goes_with_pledge", action="ON DELETE CASCADE"),
            REPLACE.format(name="pledges_pledgestep_pledge_id_fk", action=""),
        ),
        migrations.AlterField(
            model_name="pledgestep",
            name="pledge",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.DO_NOTHING, related_name="steps", to="pledges.pledge"
            ),
        ),
    ]
