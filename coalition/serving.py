"""How the web server serves, on a laptop and in the image alike: gunicorn reads this. Names: its settings page."""

import gc
from pathlib import Path

worker_class = "gthread"
workers = 2
threads = 8
preload_app = True  # one import for all workers: a quicker start, and less memory
timeout = 60  # seconds without a sign of life, not the longest request
graceful_timeout = 3
keepalive = 5
control_socket_disable = True  # it would write into the home folder
if Path("/dev/shm").is_dir():  # noqa: S108 - the heartbeat file; a slow disk there kills healthy workers
    worker_tmp_dir = "/dev/shm"  # noqa: S108


def when_ready(server) -> None:
    """Set aside what was imported, before workers are forked: looking through it for garbage would copy it into each."""
    gc.collect()
    gc.freeze()
