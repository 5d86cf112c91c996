"""Jobs for the fault suite, registered in the worker under test by its settings: one that is honest, and poison."""

import os
import signal
import time

from coalition import jobs
from coalition.access import SYSTEM, acting_as
from coalition.models import Tombstone

NOTE, RAISES, DIES = "faults.note", "faults.raises", "faults.dies"


@jobs.handles(NOTE)
def note(work: jobs.Work) -> dict:
    """Take a while and leave one row behind, as every handler must: one transaction, and a look at its own rows first.

    Nothing else keeps two workers apart: were a job given to a second one while the first lives, two rows would tell.
    """
    with acting_as(SYSTEM):
        noted = Tombstone.objects.filter(kind=NOTE, object_id=str(work.job_id))
        again = noted.exists()
        if not again:
            time.sleep(work.arguments["seconds"])
            Tombstone.objects.create(kind=NOTE, object_id=str(work.job_id), tier_before=3)
    return {"again": again}


@jobs.handles(RAISES)
def raises(work: jobs.Work) -> dict:
    """Break at every attempt."""
    raise ZeroDivisionError("nobody outside may read this")


@jobs.handles(DIES)
def dies(work: jobs.Work) -> dict:
    """Take its worker along at every attempt, as the kernel does where memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)
    return {}
