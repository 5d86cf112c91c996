"""How the web server serves, on a laptop and in the image alike: gunicorn reads this. Names: its settings page."""

import os
import shutil
import tempfile
from pathlib import Path

worker_class = "gthread"
workers = 2
threads = 8
preload_app = True  # one import for all workers: a quicker start, and less memory
timeout = 60  # seconds without a sign of life, not the longest request
graceful_timeout = 3
keepalive = 5
control_socket_disable = True  # it would write into the home folder
_memory = Path("/dev/shm")  # noqa: S108 - the heartbeat file; a slow disk there kills healthy workers
if _memory.is_dir():
    worker_tmp_dir = str(_memory)

# Workers count requests together, in files here. The library looks for the folder when it is first imported.
_counted = tempfile.mkdtemp(prefix="coalition-metrics-", dir=_memory if _memory.is_dir() else None)
os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", _counted)


def on_exit(_server) -> None:
    """Throw the counts away: the next start begins at zero, as a monitoring system expects."""
    shutil.rmtree(_counted, ignore_errors=True)
