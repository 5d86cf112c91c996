"""Outgoing webhooks: subscriptions with their deliveries, seen by who made them and by administrators."""

import uuid

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

from coalition.rights import rows_seen_if

APP_ROLE = """
CREATE FUNCTION app_role() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('app.role', true), '') $$;
"""
KEPT = "(user_id = (SELECT app_user()) OR (SELECT app_role()) IN ('administrator', 'system'))"


class Migration(migrations.Migration):
    dependencies = [
        ("coalition", "0003_tombstones"),
    ]

    operations = [
        migrations.CreateModel(
            name="WebhookSubscription",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=100)),
                (
                    "address",
                    models.CharField(help_text="An https address on a network the operator lists", max_length=500),
                ),
                ("kinds", models.JSONField(help_text="Resources of the feed of changes, sorted")),
                (
                    "tier",
                    models.PositiveSmallIntegerField(
                        choices=[(1, "public"), (2, "coalition"), (3, "planning")],
                        default=2,
                        help_text="Tells of nothing above this tier, nor above its owner's",
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("active", "Active"), ("paused", "Paused")], default="active", max_length=6
                    ),
                ),
                ("paused_because", models.CharField(blank=True, max_length=200)),
                (
                    "place",
                    models.JSONField(help_text="The last place of the feed that was read: transaction, kind, key"),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="webhooks",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-created_at", "id"],
            },
        ),
        migrations.CreateModel(
            name="WebhookDelivery",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("payload", models.JSONField()),
                (
                    "state",
                    models.CharField(
                        choices=[("waiting", "Waiting"), ("delivered", "Delivered"), ("dead", "Given up")],
                        default="waiting",
                        max_length=9,
                    ),
                ),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                (
                    "next_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        help_text="Not sent before; while it is being sent, not again",
                    ),
                ),
                (
                    "status",
                    models.PositiveSmallIntegerField(
                        blank=True, help_text="Of the last answer, if there was one", null=True
                    ),
                ),
                ("error", models.CharField(blank=True, max_length=300)),
                ("sent_at", models.DateTimeField(blank=True, help_text="When it was last sent", null=True)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "subscription",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="deliveries",
                        to="coalition.webhooksubscription",
                    ),
                ),
            ],
            options={
                "ordering": ["-created_at", "id"],
                "indexes": [
                    models.Index(fields=["state", "next_at"], name="coalition_w_state_191475_idx"),
                    models.Index(fields=["subscription", "-created_at"], name="coalition_w_subscri_5ab9cc_idx"),
                ],
            },
        ),
        migrations.RunSQL(APP_ROLE, "DROP FUNCTION app_role();"),
        rows_seen_if("coalition_webhooksubscription", KEPT),
        rows_seen_if(
            "coalition_webhookdelivery",
            "EXISTS (SELECT FROM coalition_webhooksubscription AS kept WHERE kept.id = subscription_id)",
        ),
    ]
