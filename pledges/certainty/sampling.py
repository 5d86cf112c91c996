"""What does a simulation say, where the exact answer would cost too much?

Each pledge and each condition has its own stream of random numbers, fixed by its number. So the same plan
gives the same answer, and a pledge withdrawn, cut or less sure can only lower each draw, never raise it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

MOST_DRAWS = 1 << 18
FEWEST_DRAWS = 1 << 12
RISK = 1e-6  # that a bound of `error_of` does not hold
_PLEDGES, _CONDITIONS = 1, 2  # so that pledge 7 and condition 7 do not share a stream


@dataclass(frozen=True)
class Entry:
    """What pledge number `pledge` adds to the sum of one line on the stretches `begin` <= t < `end`.

    `gate` has a bit for each condition it hangs on. Entries with one pledge number come together or not at
    all, as far as their chances and conditions are the same.
    """

    line: int
    pledge: int
    weight: int
    chance: float
    gate: int
    begin: int
    end: int


def error_of(draws: int) -> float:
    """Return how far a share of that many draws may lie from the chance, at any point of the distribution at
    once.

    Source: Dvoretzky, Kiefer and Wolfowitz 1956, constant by Massart 1990.
    """
    return math.sqrt(math.log(2 / RISK) / (2 * draws))


def steps(entries: int, stretches: int, lines: int, draws: int) -> float:
    """Return the predicted elementary steps, to be held against those of `elimination.Schedule`."""
    return draws * (8.0 * entries + 10.0 * stretches * lines)


def affordable_draws(entries: int, stretches: int, lines: int, budget: float) -> int:
    """Return the power of two of draws that fits the budget of steps, from `FEWEST_DRAWS` to `MOST_DRAWS`."""
    draws = MOST_DRAWS
    while draws > FEWEST_DRAWS and steps(entries, stretches, lines, draws) > budget:
        draws //= 2
    return draws


def sums(
    entries: Sequence[Entry], conditions: Sequence[float], lines: int, stretches: int, draws: int
) -> Iterator[np.ndarray]:
    """Yield for each stretch the drawn sums, shape (lines, draws). The array is reused: read it before going
    on.
    """
    holds = {}
    for c, chance in enumerate(conditions):
        if any(entry.gate >> c & 1 for entry in entries):
            holds[c] = _stream(_CONDITIONS, c, draws) < chance
    starting: list[list[int]] = [[] for _ in range(stretches + 1)]
    ending: list[list[int]] = [[] for _ in range(stretches + 1)]
    for i, entry in enumerate(entries):
        starting[entry.begin].append(i)
        ending[entry.end].append(i)
    coming: dict[int, np.ndarray] = {}
    totals = np.zeros((lines, draws), dtype=np.int64)
    for t in range(stretches):
        for i in ending[t]:
            totals[entries[i].line] -= coming.pop(i) * np.int64(entries[i].weight)
        for i in starting[t]:
            entry = entries[i]
            comes = _stream(_PLEDGES, entry.pledge, draws) < entry.chance
            for c, held in holds.items():
                if entry.gate >> c & 1:
                    comes &= held
            coming[i] = comes
            totals[entry.line] += comes * np.int64(entry.weight)
        yield totals


def percentile(drawn: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Return for each share a the largest x that at least 1 - a of the draws reach."""
    count = len(drawn)
    places = [count - max(1, math.ceil((1 - share - 1e-12) * count)) for share in shares]
    return np.sort(drawn)[places]


def _stream(kind: int, number: int, draws: int) -> np.ndarray:
    generator = np.random.Generator(np.random.Philox(key=np.array([number, kind], dtype=np.uint64)))
    return generator.random(draws, dtype=np.float32)
