"""One product for all faults, people who save without pause, and the table of what the faults cost."""

import json
import os
import random
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from coalition import embedded
from tests import bed
from tests.faults.people import SEED, SHORT, Crowd, Officer
from tests.product import Product, eventually, running_product

RECORD = bed.ROOT / ".test" / "faults.json"
SMALL_DISK_MB = 24
# A private view of the file system in which two folders are small disks of their own; then, as whoever we are.
SMALL_DISKS = """
set -e
mkdir -p "{media}" "{temporary}"
mount -t tmpfs -o size={size}m,mode=711 uploads "{media}"
mount -t tmpfs -o size={size}m,mode=1777 temporary "{temporary}"
exec {back} "$@"
"""


# --- What a fault cost ------------------------------------------------------------------------------


@dataclass
class Cost:
    """One line of the table. ``lost`` and ``twice`` count acknowledged writes or jobs; seconds are of this machine."""

    fault: str
    acknowledged: int
    lost: int
    twice: int
    longest_request_s: float | None
    recovered_s: float | None
    note: str = ""
    seed: int = SEED


_costs: list[Cost] = []


@pytest.fixture
def cost():
    """Return the function that writes down what a fault cost, and fails where it cost what it may not."""

    def write(fault: str, **figures) -> None:
        line = Cost(fault, **figures)
        _costs.append(line)
        assert (line.lost, line.twice) == (0, 0)

    return write


def pytest_terminal_summary(terminalreporter):
    """Print the table, and add it to the runs in the JSON file."""
    if not _costs:
        return
    terminalreporter.section(f"what the faults cost, FAULT_SEED={SEED}")
    head = ("fault", "acknowledged", "lost", "twice", "longest request", "recovered")
    lines = [head] + [
        (
            line.fault,
            str(line.acknowledged),
            str(line.lost),
            str(line.twice),
            "" if line.longest_request_s is None else f"{line.longest_request_s:.2f} s",
            "" if line.recovered_s is None else f"{line.recovered_s:.1f} s",
        )
        for line in sorted(_costs, key=lambda line: line.fault)
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        terminalreporter.write_line("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))
    for line in _costs:
        if line.note:
            terminalreporter.write_line(f"{line.fault}: {line.note}")
    runs = json.loads(RECORD.read_text()) if RECORD.exists() else []
    runs.append({"seed": SEED, "short": SHORT, "cores": os.cpu_count(), "faults": [asdict(line) for line in _costs]})
    RECORD.write_text(json.dumps(runs, indent=2) + "\n")


@pytest.fixture
def chance(request) -> random.Random:
    """Return the dice of this test: the same for the same FAULT_SEED, whatever ran before."""
    return random.Random(f"{SEED} {request.node.name}")


# --- The product ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def receiver_port() -> int:
    """The only port that webhooks may go to."""
    return embedded.free_port()


@pytest.fixture(scope="session")
def product(receiver_port) -> Iterator[Product]:
    folder = bed.DATA_DIR / f"faults-{bed.NUMBER}"
    environment = {
        "DJANGO_SETTINGS_MODULE": "tests.faults.settings_under_faults",
        "WEBHOOK_PLAIN_NETWORKS": "127.0.0.0/8",
        "WEBHOOK_PORTS": str(receiver_port),
        "EMAIL_HOST": "127.0.0.1",
        "EMAIL_PORT": "9",  # nobody answers
    }
    with running_product(folder, demo=True, **_on_small_disks(folder), **environment) as running:
        eventually(lambda: running.status().get("status") == "ok", within_s=60)
        yield running


def _on_small_disks(folder: Path) -> dict:
    """Return how to start a product whose uploads and temporary files lie on small disks; nothing where we may not."""
    media, temporary = folder / "media", folder / "temporary"
    root = os.geteuid() == 0
    back = "" if root else f"unshare --user --map-user={os.geteuid()} --map-group={os.getegid()} --"
    script = SMALL_DISKS.format(size=SMALL_DISK_MB, media=media, temporary=temporary, back=back)
    inside = ["unshare", *([] if root else ["--map-root-user"]), "--mount", "sh", "-c", script, "small-disks"]
    try:
        possible = subprocess.run([*inside, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        possible = False
    return {"inside": inside} if possible else {}


@pytest.fixture
def small_disk(product):
    """Return the folder as the product sees it, of a name below its data folder: ``media`` or ``temporary``."""

    def seen(name: str) -> Path:
        path = Path(f"/proc/{product.process.pid}/root{product.data_dir / name}")
        if not path.is_dir() or os.statvfs(path).f_blocks * os.statvfs(path).f_frsize > 2 * SMALL_DISK_MB * 1024**2:
            pytest.skip("No small disk could be mounted here: it takes Linux and `unshare --mount`.")
        return path

    return seen


# --- People -----------------------------------------------------------------------------------------


@pytest.fixture
def officer(product) -> Officer:
    visitor = Officer(product.address)
    assert visitor.log_in("officer-gb") == 302
    eventually(lambda: visitor.offered() is not None)
    return visitor


@pytest.fixture
def crowd(product, django_db_blocker):
    """Return the function that gathers a crowd under a label."""
    with django_db_blocker.unblock():
        yield lambda label: Crowd(product, label)
