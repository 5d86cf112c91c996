"""The product's own settings, with a clock that a test can turn and a few jobs that misbehave. For the fault suite only."""

from datetime import timedelta

from django.utils import timezone

from coalition.settings import *  # noqa: F403
from coalition.settings import DATA_DIR

if (DATA_DIR / "temporary").is_dir():  # a small disk; else none could be mounted
    FILE_UPLOAD_TEMP_DIR = DATA_DIR / "temporary"
CELERY_IMPORTS = ["tests.faults.strange_jobs"]

_true_now = timezone.now
_turned = DATA_DIR / "clock-turned-by-s"


def _now():
    try:
        return _true_now() + timedelta(seconds=float(_turned.read_text()))
    except (FileNotFoundError, ValueError):  # never turned, or just being written
        return _true_now()


timezone.now = _now
