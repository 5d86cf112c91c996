"""A broker that is dead or hangs, for real: nobody waits longer than two seconds for it."""

import os
import socket
import subprocess
import sys

import pytest

pytestmark = pytest.mark.faults

SEND = """
import logging, time
import django
django.setup()
from coalition import broker
logging.disable()
for attempt in range(3):
    broker._silent_until = 0.0
    begun = time.monotonic()
    taken = broker.send("sweep.nothing")
    print(taken, time.monotonic() - begun)
"""


def waits_for(port):
    """Return what three sends to this port gave, and how many seconds each took, in a process of their own."""
    said = subprocess.run(
        [sys.executable, "-c", SEND],
        env=os.environ | {"REDIS_URL": f"redis://:secret@127.0.0.1:{port}/0"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return said[::2], [float(seconds) for seconds in said[1::2]]


@pytest.fixture
def silent_port():
    """A port where somebody listens and never answers, as a stopped Redis does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_hung_broker_holds_nobody_longer_than_two_seconds(silent_port):
    taken, waits = waits_for(silent_port)
    assert (taken, max(waits) < 2) == (["False"] * 3, True)


def test_a_dead_broker_refuses_at_once():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    taken, waits = waits_for(port)
    assert (taken, max(waits) < 2) == (["False"] * 3, True)
