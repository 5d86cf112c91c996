"""How the web server serves, on a laptop and in the image alike: gunicorn reads this. Names: its settings page."""

import gc
import json
import os
import shutil
import tempfile
import uuid
from pathlib import Path

from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine
from gunicorn.util import write_nonblock
from gunicorn.workers.gthread import ThreadWorker

limit_request_line = 8190  # bytes, the most there is: filters may name many things
TOO_LONG = {
    LimitRequestLine: (414, "URI Too Long", "uri_too_long", f"The address is longer than {limit_request_line} bytes."),
    LimitRequestHeaders: (431, "Request Header Fields Too Large", "headers_too_large", "The headers are too long."),
}


class Worker(ThreadWorker):
    """Says in the one shape of errors what is too long to be read, so that no program gets HTML from the API."""

    def handle_error(self, req, client, addr, exc) -> None:
        if type(exc) not in TOO_LONG:
            super().handle_error(req, client, addr, exc)
            return
        status, reason, code, detail = TOO_LONG[type(exc)]
        self.log.warning("%s, from %s", reason, addr and addr[0])
        try:
            write_nonblock(client, too_long(status, reason, code, detail))
        except OSError:
            self.log.debug("Nobody waited for the error.")


def too_long(status: int, reason: str, code: str, detail: str) -> bytes:
    """Return the whole answer of HTTP/1.1; the connection ends with it."""
    body = json.dumps({"type": "client_error", "code": code, "detail": detail, "errors": {}})
    head = {
        "Connection": "close",
        "Content-Type": "application/json",
        "Content-Length": len(body),
        "Cache-Control": "private, no-store",
        "X-Request-ID": uuid.uuid4().hex,
    }
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in head.items())]
    return "\r\n".join([*lines, "", body]).encode()


worker_class = Worker
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


def when_ready(server) -> None:
    """Set aside what was imported, before workers are forked: looking through it for garbage would copy it into each."""
    gc.collect()
    gc.freeze()


def on_exit(_server) -> None:
    """Throw the counts away: the next start begins at zero, as a monitoring system expects."""
    shutil.rmtree(_counted, ignore_errors=True)
