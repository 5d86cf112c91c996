"""What is kept for a while only: answers to repeated creates, finished jobs, sent webhooks, tokens, sessions."""

from datetime import timedelta
from importlib import import_module

from django.conf import settings
from django.db.models.functions import Now

from coalition import exports, webhooks
from coalition.access import SYSTEM, acting_as
from coalition.models import ApiToken, IdempotencyKey, Job

KEEP_ANSWERS = timedelta(days=2)  # longer than any client tries again
KEEP_JOBS = timedelta(days=90)


def clean_up() -> None:
    """Delete what is older than it needs to be. Opens its own transaction."""
    with acting_as(SYSTEM):
        IdempotencyKey.objects.filter(created_at__lt=Now() - KEEP_ANSWERS).delete()
        ApiToken.objects.filter(expiry__lt=Now()).delete()
        over = [Job.State.DONE, Job.State.FAILED, Job.State.CANCELLED]
        exports.throw_away()
        webhooks.forget()
        Job.objects.filter(state__in=over, finished_at__lt=Now() - KEEP_JOBS).delete()
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
