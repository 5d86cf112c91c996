"""What was worked out before, and need not be worked out again: one entry per stretch, found by what stands on it.

An answer hangs on nothing but its key, so a remembered one is never stale. Most changes of a plan touch few days: all
other stretches stand as they did. Only exact answers are remembered; what was binned or sampled is tried again.
"""

import hashlib
from itertools import accumulate, count
from typing import NamedTuple

import numpy as np

from pledges.certainty import elimination
from pledges.certainty.courses import Course

MOST_CELLS = 1 << 21  # of the younger half, counted in numbers: at most about 80 MB in all
CELLS_OF_AN_ENTRY = 64  # what an entry weighs beside its table

Key = tuple[int, int, int]


class Remembered(NamedTuple):
    """One stretch of a course, in the course's whole numbers; see ``spread.Columns``. ``serial`` names it."""

    serial: int
    p_met: float
    minimum: float
    percentiles: tuple[float, float, float]
    mask: int
    given: np.ndarray


class Memory:
    """Exact answers by what they hang on, the longest unused forgotten first. Several threads may use one."""

    def __init__(self, most_cells: int = MOST_CELLS):
        self._most_cells = most_cells
        self._serials = count()
        self.forget()

    def forget(self) -> None:
        """Remember nothing any more."""
        self._young: dict = {}
        self._old: dict = {}
        self._cells = 0

    def next_serial(self) -> int:
        """Return a number that no other entry has, for the joint chances that are made of entries."""
        return next(self._serials)

    def get(self, key: object) -> object | None:
        """Return what was put under the key, None when it was not or is forgotten."""
        young = self._young
        found = young.get(key)
        if found is None and (found := self._old.get(key)) is not None:
            self.put(key, found, CELLS_OF_AN_ENTRY)
        return found

    def put(self, key: object, value: object, cells: int) -> None:
        """Remember a value of about so many cells; half of all is forgotten when there are too many."""
        if self._cells + cells > self._most_cells:
            self._old, self._young, self._cells = self._young, {}, 0
        self._young[key] = value
        self._cells += cells


def keys_of(course: Course) -> list[Key]:
    """Return per stretch what its answer hangs on: what stands there, the need, and the conditions to split it by.

    The pieces go in as the sum of their 128-bit digests, whatever their order: with them their chance, and the number
    and the chance of each condition they hang on.
    """
    standing = [0] * (len(course.firsts) + 1)
    for piece in course.pieces:
        chances = [course.chances[c] for c in elimination.bits(piece.gate)]
        told = repr((piece.weight, piece.chance, piece.gate, chances)).encode()
        digest = int.from_bytes(hashlib.blake2b(told, digest_size=16).digest())
        begin, end = course.reach(piece)
        standing[begin] += digest
        standing[end] -= digest
    return list(zip(accumulate(standing[:-1]), course.needs, course.kept, strict=True))
