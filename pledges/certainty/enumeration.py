"""How is a short sum distributed? Every subset of its contributions is listed, in every world, many sums at
once.

Exact at any magnitude, money included: the cost depends on how many contributions there are, not on how
large.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_AT_ONCE = 1 << 16  # cells of one numpy array; larger batches are cut, to stay in the processor's cache


@dataclass(frozen=True)
class Short:
    """One sum: what contributes, and what it hangs on, numbered from 0 within this sum.

    `weights` are whole numbers, `chances` 0 to 1, `gates` have a bit per condition, `conditions` are their
    chances. `need` is a whole number; the sum meets it when it reaches it.
    """

    weights: Sequence[int]
    chances: Sequence[float]
    gates: Sequence[int]
    conditions: Sequence[float]
    need: int


@dataclass(frozen=True)
class Subsets:
    """Sums with n contributions and k conditions each, side by side; bit i of a subset's number: contribution
    i comes.

    `chances` (sums, 2^n) of each subset, all worlds together; `totals` (sums, 2^n) whole numbers; `given`
    (sums, 2^k) is P(sum >= need) in each world, bit c of whose number says whether condition c holds; `needs`
    (sums,).
    """

    chances: np.ndarray
    totals: np.ndarray
    given: np.ndarray
    needs: np.ndarray


def shapes(batch: Sequence[Short]) -> dict[tuple[int, int], list[int]]:
    """Return the places in the batch by (contributions, conditions), cut into what can be listed at once."""
    alike: dict[tuple[int, int], list[int]] = {}
    for place, short in enumerate(batch):
        alike.setdefault((len(short.weights), len(short.conditions)), []).append(place)
    return alike


def subsets(batch: Sequence[Short]) -> list[tuple[list[int], Subsets]]:
    """Return all subsets of all sums, as pairs (places in the batch, their subsets). An empty sum has one
    subset.
    """
    found = []
    for (n, k), places in shapes(batch).items():
        at_once = max(1, MOST_AT_ONCE >> (n + k))
        for begin in range(0, len(places), at_once):
            some = places[begin : begin + at_once]
            found.append((some, _listed([batch[place] for place in some], n, k)))
    return found


def worlds(chances: np.ndarray) -> np.ndarray:
    """Return the chance of each world, shape (rows, 2^k), from those of the k conditions, shape (rows, k).

    Bit c of a world's number says whether condition c holds. Without conditions there is one world, of chance
    1.
    """
    found = np.ones((len(chances), 1))
    for c in range(chances.shape[1]):
        holds = found * chances[:, c : c + 1]
        found = np.concatenate((found - holds, holds), axis=1)
    return found


def _listed(batch: Sequence[Short], n: int, k: int) -> Subsets:
    count = len(batch)
    weights = np.array([short.weights for short in batch], dtype=np.int64).reshape(count, n)
    coming = np.array([short.chances for short in batch], dtype=np.float64).reshape(count, n)
    gates = np.array([short.gates for short in batch], dtype=np.int64).reshape(count, n)
    holding = np.array([short.conditions for short in batch], dtype=np.float64).reshape(count, k)
    needs = np.array([short.need for short in batch], dtype=np.int64)
    number = np.arange(1 << k)
    # Subsets first: then each doubling works on whole blocks of memory.
    chances = np.empty((1 << n, count, 1 << k))
    totals = np.empty((1 << n, count), dtype=np.int64)
    chances[0] = 1.0
    totals[0] = 0
    for i in range(n):
        known, new = slice(0, 1 << i), slice(1 << i, 2 << i)
        gate = gates[:, i : i + 1]
        np.multiply(chances[known], coming[:, i : i + 1] * ((number & gate) == gate), out=chances[new])
        chances[known] -= chances[new]
        np.add(totals[known], weights[:, i], out=totals[new])
    given = np.einsum("srw,sr->rw", chances, (totals >= needs).astype(np.float64))
    mixed = np.einsum("srw,rw->rs", chances, worlds(holding))
    return Subsets(mixed, np.ascontiguousarray(totals.T), given, needs)
