"""What is asked and what is answered: needs, contributions, and how sure it is that they meet.

Days are whole numbers counted from any day the caller likes; the last day of a window counts. Conditions are
named by their place in the sequence of their chances.
"""

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import numpy as np

Quantity = int | float | Decimal | Fraction

EXACT, BINNED, SAMPLED = "exact", "binned", "sampled"


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one pledge brings to one need on the days `first` to `last`; it never stands when first > last.

    `pledge` is a whole number that names the pledge wherever it appears: pieces of one pledge on the same
    day, on different lines, come together or not at all. `weight` is the planning quantity, at least 0, in
    the capability's unit. `chance` (0 to 1) is what is left once every one of `conditions` holds: the step's
    certainty times staleness. Raises ValueError when a number is not one or out of range.
    """

    pledge: int
    weight: Quantity
    chance: float
    first: int
    last: int
    conditions: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.pledge < 1 << 63:
            raise ValueError(f"pledge must be a number from 0, not {self.pledge!r}")
        demand_quantity(f"weight of pledge {self.pledge}", self.weight)
        demand_chance(f"chance of pledge {self.pledge}", self.chance)


@dataclass(frozen=True, slots=True)
class Plan:
    """One need line: `need` (at least 0, 0 is always met) on the days `first` to `last`, and what is
    allocated to it.

    With `any_one` the need is met by one contribution that alone reaches it; then contributions count 1 if
    they do, and all quantities in the answer are numbers of such contributions. Raises ValueError for a need
    that is no quantity or days in the wrong order.
    """

    need: Quantity
    first: int
    last: int
    contributions: tuple[Contribution, ...] = ()
    any_one: bool = False

    def __post_init__(self) -> None:
        demand_quantity("need", self.need)
        if self.first > self.last:
            raise ValueError(f"the line ends on day {self.last}, before it begins on day {self.first}")


@dataclass(frozen=True, slots=True)
class Capability:
    """The need lines of one capability, and what could be moved between them.

    `pool` holds every contribution of the capability with its whole quantity and window, allocated or not.
    None: the lines' own contributions, pieces of one pledge on one day added up.
    """

    lines: tuple[Plan, ...]
    pool: tuple[Contribution, ...] | None = None


@dataclass(frozen=True, slots=True)
class LineAnswer:
    """One need line; every array has one entry per stretch, the stretches cover the line's days in order.

    `first`, `last`: days, both count. `p_met`: P(sum >= need), 0 to 1. `expected`: E[sum]. `coverage`:
    E[min(sum, need)] / need, 0 to 1, NaN where the need is 0. `x10`, `x50`, `x90`: quantities; x10 is the
    largest that is reached with at least 90 %, so need <= x10 exactly when p_met >= 0.9. `method`: "exact",
    "binned" or "sampled". `error`: how far p_met can be off (0 when exact; when sampled, but for one case in
    a million). `quantity_error`: how far coverage times need, and in a binned answer the percentiles, can be
    off, in the unit of the need.
    """

    first: np.ndarray
    last: np.ndarray
    p_met: np.ndarray
    expected: np.ndarray
    coverage: np.ndarray
    x10: np.ndarray
    x50: np.ndarray
    x90: np.ndarray
    method: tuple[str, ...]
    error: np.ndarray
    quantity_error: np.ndarray


@dataclass(frozen=True, slots=True)
class CapabilityAnswer:
    """One capability: its lines in order, and per stretch of days on which a line is active the chance of all
    of them.

    `p_all`: P(every line active that day is met as allocated). `worst`: the place in `lines` of the active
    line with the lowest p_met, the first of equals. `error` and `method` are those of `p_all`. `pooled`: the
    sum of the pool against the sum of the active lines' needs, an upper bound, "if everything could be
    moved". With `any_one` it counts how often the smallest need would fit into what comes, against the number
    of active lines. Stretches of `pooled` are its own. A capability without lines has empty arrays.
    """

    lines: tuple[LineAnswer, ...]
    first: np.ndarray
    last: np.ndarray
    p_all: np.ndarray
    worst: np.ndarray
    method: tuple[str, ...]
    error: np.ndarray
    pooled: LineAnswer


class Crossing(NamedTuple):
    """From which day something holds: `day`, None if never; `lost_on` the day it is lost again, None if it
    lasts.
    """

    day: int | None
    lost_on: int | None


def demand_chance(name: str, chance: float) -> None:
    if not 0 <= chance <= 1:
        raise ValueError(f"{name} must lie between 0 and 1, not {chance!r}")


def demand_quantity(name: str, quantity: Quantity) -> None:
    if not (math.isfinite(quantity) and quantity >= 0):
        raise ValueError(f"{name} must be a finite number from 0, not {quantity!r}")
