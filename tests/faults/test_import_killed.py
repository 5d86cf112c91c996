"""Kill the worker in the middle of a commit: nothing is half-imported, the next one does it, nothing is there twice."""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from unittest.mock import patch

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.db.models.functions import Now

from coalition import broker, jobs
from coalition.access import SYSTEM, acting_as
from coalition.imports import staging
from coalition.imports.staging import State, phase
from coalition.models import ImportBatch, Job
from monitoring.models import Report, Source
from tests import bed
from tests.factories import a_member, the_operation
from tests.product import eventually

pytestmark = pytest.mark.faults

ROWS = 40_000
WORKER = """
import sys
from tests import bed
bed.use(sys.argv[1])
from django.conf import settings
settings.MEDIA_ROOT = sys.argv[2]
from coalition.imports import staging  # whose jobs it knows then
from coalition import jobs
jobs.work(sys.argv[3])
"""


def state(batch: ImportBatch) -> ImportBatch:
    return ImportBatch.objects.select_related("job").get(pk=batch.pk)


def somebody_inserts() -> bool:
    """Return True while another connection of the app role writes reports."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND state = 'active' AND query LIKE %s",
            ["%INSERT INTO monitoring_report (%"],
        )
        return cursor.fetchone()[0] > 0


def test_a_worker_killed_in_the_middle_of_a_commit_leaves_nothing_and_the_next_does_it_once(committed):
    user = a_member("monitor")
    database = connection.settings_dict["NAME"]
    lines = [f"K{n},2025-03-20T09:{n % 60:02}Z,shot,48.{n % 900:03},37.5,Patrol\n" for n in range(ROWS)]
    content = "external_id,occurred_from,kind,latitude,longitude,source\n" + "".join(lines)
    with patch.object(broker, "send"):
        with acting_as(user):
            the_operation()
            Source.objects.create(code="patrol", name="Patrol", source_class="monitors")
            file = SimpleUploadedFile("reports.csv", content.encode())
            batch = staging.upload(file, profile="reports", operation=the_operation(), dataset="killed", by=user)
        jobs.work(batch.job_id)
        with acting_as(user):
            batch = staging.arrange(batch.pk, staging.proposed(state(batch), by=user), by=user, based_on=None)
        jobs.work(batch.job_id)
        with acting_as(user):
            batch = staging.commit(batch.pk, by=user, based_on=None)
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, database, str(settings.MEDIA_ROOT), str(batch.job_id)],
            cwd=bed.ROOT, env=os.environ | {"PYTEST_XDIST_WORKER": bed.WORKER or "gw0", "PYTHONPATH": str(bed.ROOT)},
        )  # fmt: skip
        eventually(somebody_inserts, within_s=120)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        eventually(lambda: not somebody_inserts(), within_s=120)
        with acting_as(user):
            assert Report.objects.count() == 0
            assert phase(state(batch)) == State.COMMITTING
        assert not jobs.work(batch.job_id)  # it may be alive still, for all others know
        with acting_as(SYSTEM):
            Job.objects.filter(pk=batch.job_id).update(heartbeat_at=Now() - timedelta(minutes=2))
        assert jobs.work(batch.job_id)
        with acting_as(user):
            assert (
                Report.objects.count() == Report.objects.distinct("external_id").order_by("external_id").count() == ROWS
            )
            assert (phase(state(batch)), state(batch).job.attempts) == (State.COMMITTED, 2)
        assert not jobs.work(batch.job_id)
