"""The Celery app and the beat schedule."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "coalition.settings")

app = Celery("coalition")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.beat_schedule = {
    # Expires before the next one, so that a worker that was away does not answer a hundred times.
    "report-for-duty": {"task": "coalition.tasks.report_for_duty", "schedule": 5.0, "options": {"expires": 5}},
}
