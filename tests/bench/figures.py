"""What a bench found, as figures: each is printed at once, and kept for the one table of `make bench`.

A bench calls ``figure(...)`` for what it measured and ``size(...)`` for how much to measure, and stays a program that can be
run alone. ``tests/bench/run.py`` runs all of them and reads what they kept.
"""

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

SHORT = os.environ.get("SHORT") == "1"
KEPT_IN = os.environ.get("FIGURES", "")  # a file, one figure to a line; empty: only print


@dataclass(frozen=True)
class Figure:
    """One thing measured. ``at_most`` or ``at_least`` is what is to be reached, in the same unit; neither: told only.

    ``beside`` is what a plain way of doing the same took in the same run, in the same unit, and ``beside_what`` says
    which way. ``note`` says in a few words how it was taken.
    """

    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    beside: float | None = None
    beside_what: str = ""
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None where there is none."""
        if self.at_most is not None:
            return self.value <= self.at_most
        return self.value >= self.at_least if self.at_least is not None else None

    @property
    def target(self) -> str:
        if self.at_most is not None:
            return f"≤ {shown(self.at_most)} {self.unit}".rstrip()
        return f"≥ {shown(self.at_least)} {self.unit}".rstrip() if self.at_least is not None else ""

    @property
    def seen(self) -> str:
        return f"{shown(self.value)} {self.unit}".rstrip()

    @property
    def compared(self) -> str:
        """What stood beside it, and how many times it this is."""
        if not self.beside:
            return ""
        return f"{shown(self.value / self.beside)} × {self.beside_what} ({shown(self.beside)} {self.unit})"


def figure(
    name: str,
    value: float,
    unit: str = "",
    *,
    at_most: float | None = None,
    at_least: float | None = None,
    beside: tuple[str, float] | None = None,
    note: str = "",
) -> Figure:
    """Print a figure and keep it for the table. ``beside`` names a plain way of doing the same and what it took.

    For example ``figure("a page of 100", 9.1, "ms", at_most=12, beside=("plain DRF", 31.0), note="median of 40")``.
    """
    what, took = beside or ("", None)
    found = Figure(name, float(value), unit, at_most, at_least, None if took is None else float(took), what, note)
    parts = [f"{name}: {found.seen}"]
    if found.target:
        parts.append(f"to reach {found.target}: {'yes' if found.reached else 'NO'}")
    parts += [part for part in (found.compared, note) if part]
    print("  " + "; ".join(parts), flush=True)
    if KEPT_IN:
        with Path(KEPT_IN).open("a") as kept:
            kept.write(json.dumps(asdict(found)) + "\n")
    return found


def size(whole: int, short: int) -> int:
    """Return how many to measure with: the number on the command line, else ``short`` with SHORT=1, else ``whole``."""
    asked = next((int(word) for word in sys.argv[1:] if word.isdigit()), None)
    return asked or (short if SHORT else whole)


def shown(number: float) -> str:
    """Return a number with three digits that count, and all of them before the point."""
    if number == 0 or abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.3g}"
