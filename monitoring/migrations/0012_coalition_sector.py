from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0011_sealed_history")]

    operations = [
        migrations.AddIndex(
            model_name="report",
            index=models.Index(fields=["coalition_sector", "occurred_on"], name="report_coalition_sector_day"),
        ),
    ]
