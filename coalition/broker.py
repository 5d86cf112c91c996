"""Hand work to the broker without making anybody wait for it.

What must be done is written in PostgreSQL first (``Stale``, ``Job``) and the beat looks there, so a message that is not
taken costs seconds, never work.
"""

import logging
import time

from coalition.celery import app

SILENCE_S = 5.0  # after a failure nobody else tries, and waits, for so long

log = logging.getLogger(__name__)
_silent_until = 0.0


def send(task: str, *arguments, expires_s: float | None = None) -> bool:
    """Send a task by name; return False where the broker did not take it. Never raises, waits two seconds at most.

    ``expires_s``: a worker that comes later throws the message away, because another will have been sent by then.
    """
    global _silent_until
    if time.monotonic() < _silent_until:
        return False
    try:
        app.send_task(task, args=arguments, expires=expires_s, retry=False)
    except Exception:  # whatever the broker's client raises: the work is written down, and the answer must go out
        _silent_until = time.monotonic() + SILENCE_S
        log.warning("The broker did not take %s; the beat will send it again.", task, exc_info=True)
        return False
    return True
