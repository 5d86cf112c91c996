"""How a child process is started so that it never outlives us, and how it is stopped.

On Linux the kernel itself signals a child when the thread that started it dies (prctl PR_SET_PDEATHSIG), so start
children from the main thread. Source: prctl(2).
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def start(
    command: Sequence[str],
    *,
    log: Path,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    dies_by: signal.Signals = signal.SIGTERM,
    user: Mapping[str, Any] | None = None,
) -> subprocess.Popen:
    """Start ``command`` in ``folder``, in a process group of its own, its output appended to ``log``.

    ``dies_by`` is what the child gets should we be killed. ``user`` holds Popen's user, group and extra_groups, if it
    is to run as somebody else. Raises OSError if the command cannot be started.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=dict(environment) if environment is not None else None,
            start_new_session=True,  # a Ctrl-C in the terminal is ours to pass on, in order
            preexec_fn=_signalled_when_orphaned(dies_by),
            **(user or {}),
        )


def stop(process: subprocess.Popen, how: signal.Signals, *, patience_s: float) -> None:
    """Ask the child to end with ``how``; after ``patience_s`` seconds kill it and all of its group."""
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    kill_group(process)


def kill_group(process: subprocess.Popen) -> None:
    """Kill what is left of the process group of a child that has ended."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _signalled_when_orphaned(dies_by: signal.Signals) -> Callable[[], None] | None:
    if _libc is None:
        return None
    parent, prctl = os.getpid(), _libc.prctl

    def before_exec() -> None:
        prctl(_SET_PDEATHSIG, int(dies_by))
        if os.getppid() != parent:  # we died in between
            os._exit(1)

    return before_exec
