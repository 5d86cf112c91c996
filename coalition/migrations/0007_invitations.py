"""Invitations: seen and written by administrators, and by the system, for whoever holds a link."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

from coalition.rights import rows_seen_if


class Migration(migrations.Migration):
    dependencies = [
        ("coalition", "0006_sealed_history"),
    ]

    operations = [
        migrations.CreateModel(
            name="Invitation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "digest",
                    models.CharField(help_text="SHA-256 of the secret in the link, as hex", max_length=64, unique=True),
                ),
                ("for_whom", models.CharField(max_length=120)),
                (
                    "role",
                    models.CharField(
                        choices=[
                            ("officer", "Staff officer"),
                            ("monitor", "Monitor"),
                            ("analyst", "Analyst"),
                            ("planner", "Planner"),
                            ("administrator", "Administrator"),
                        ],
                        max_length=13,
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("expires_at", models.DateTimeField()),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                ("accepted_at", models.DateTimeField(blank=True, null=True)),
                (
                    "accepted_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "invited_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "nation",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="coalition.nation",
                    ),
                ),
            ],
            options={
                "ordering": ["-created_at", "-id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("role", "officer"), _negated=True), ("nation__isnull", False), _connector="OR"
                        ),
                        name="invitation_officer_has_nation",
                        violation_error_message="A staff officer belongs to a nation.",
                    )
                ],
            },
        ),
        rows_seen_if("coalition_invitation", "(SELECT app_role()) IN ('administrator', 'system')"),
    ]
