"""Jobs for the fault suite, registered in the worker under test by its settings: one that is honest, and poison."""

import os
import signal
import time

from coalition import jobs
from coalition.access import SYSTEM, Tier, acting_as
from coalition.models import Condition, Operation

NOTE, RAISES, DIES = "faults.note", "faults.raises", "faults.dies"


@jobs.handles(NOTE)
def note(work: jobs.Work) -> dict:
    """Take a while and leave one row behind, as every handler must: one transaction, and a look at its own rows first.

    Nothing else keeps two workers apart: were a job given to a second one while the first lives, two rows would tell.
    """
    with acting_as(SYSTEM):
        title = f"{NOTE} {work.job_id}"
        again = Condition.objects.filter(title=title).exists()
        if not again:
            time.sleep(work.arguments["seconds"])
            operation = Operation.objects.order_by("pk").first()
            Condition.objects.create(operation=operation, kind=Condition.Kind.PARTNER, title=title, tier=Tier.PLANNING)
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
