"""The Celery app and the beat schedule.

Every entry only looks whether there is something to do, so a beat that was away, or a second one, does no harm.
Messages expire before the next of their kind: a worker that was away does not work off a heap of old ones.
"""

import os

from celery import Celery
from celery.schedules import crontab

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "coalition.settings")

app = Celery("coalition")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.beat_schedule = {
    "report for duty": {"task": "coalition.report_for_duty", "schedule": 5.0, "options": {"expires": 5}},
    "sweep what is stale": {"task": "coalition.sweep", "schedule": 10.0, "options": {"expires": 10}},
    "take up lost jobs": {"task": "coalition.take_up_jobs", "schedule": 5.0, "options": {"expires": 5}},
    "gather webhooks": {"task": "coalition.gather_webhooks", "schedule": 10.0, "options": {"expires": 10}},
    "send webhooks": {"task": "coalition.send_webhooks", "schedule": 10.0, "options": {"expires": 10}},
    "turn the day": {"task": "pledges.turn_day", "schedule": 15.0, "options": {"expires": 15}},
    "seal history": {"task": "coalition.seal_history", "schedule": 300.0, "options": {"expires": 300}},
    "clean up": {"task": "coalition.clean_up", "schedule": crontab(hour=2, minute=20), "options": {"expires": 3600}},
}
