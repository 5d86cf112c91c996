"""How ready the coalition is: stored whole by the worker, read from the store by every page and by the API.

The worker computes a key, an operation and a capability, for all three release tiers at once. Each tier's answer
is made of exactly the rows that tier sees, and is stored beside the others in ``ReadinessLine``. Readers name the tier;
row policies see to it that nobody reads a higher one than theirs.

Days: an answer begins on the day that was today when it was computed and holds for every day after it. The past is not
counted anew (``DayIsPast``): what stood there then is in the history, not in today's statuses.
"""

from pledges.readiness.answers import (
    AsOf,
    CapabilityAnswer,
    CapabilityDetail,
    LineAnswer,
    Matrix,
    NationCell,
    NationPart,
    NationRow,
    Stretch,
    Totals,
)
from pledges.readiness.reading import (
    DayIsPast,
    as_of,
    capability_detail,
    gap_days,
    held,
    lines_on_their_days,
    lines_over_time,
    matrix,
    nation_matrix,
    overall,
    requirement_lines,
    worst_gaps,
)
from pledges.readiness.storing import (
    KIND,
    key_of,
    load,
    mark_all,
    mark_outdated,
    recompute,
    recompute_all,
    sweep,
)

__all__ = [
    "KIND",
    "AsOf",
    "CapabilityAnswer",
    "CapabilityDetail",
    "DayIsPast",
    "LineAnswer",
    "Matrix",
    "NationCell",
    "NationPart",
    "NationRow",
    "Stretch",
    "Totals",
    "as_of",
    "capability_detail",
    "gap_days",
    "held",
    "key_of",
    "lines_on_their_days",
    "lines_over_time",
    "load",
    "mark_all",
    "mark_outdated",
    "matrix",
    "nation_matrix",
    "overall",
    "recompute",
    "recompute_all",
    "requirement_lines",
    "sweep",
    "worst_gaps",
]
