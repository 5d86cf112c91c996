"""How sure is it that a need is met, on each day, given what was pledged and what the pledges hang on?

Numbers in, numbers out: nothing here knows the database. Conditions are independent of each other and
*shared*: two pledges that hang on one condition come or stay away together. Pledges are independent once the
conditions are known. So the chance of a sum is not the product of averages. Nothing is said about more than
one day at once.

Every answer comes in bounded time and memory, by the way that was predicted to be cheapest: exact, binned or
sampled, the last two with a bound on the error. Lines of a plan of ordinary size are exact. The most that was
seen: ten thousand pledges over a century on one line, 4 s of one processor and 120 MB; 60 capabilities with
long lines and large numbers, 6 s and 270 MB.
"""

from pledges.certainty.answers import capabilities, crossing, holds_from, lines, staleness
from pledges.certainty.memory import Memory
from pledges.certainty.plans import (
    Capability,
    CapabilityAnswer,
    Contribution,
    Crossing,
    LineAnswer,
    Plan,
)
from pledges.certainty.sensitivity import Loss, Swing, losses, overridden, tornado, without

__all__ = [
    "Capability",
    "CapabilityAnswer",
    "Contribution",
    "Crossing",
    "LineAnswer",
    "Loss",
    "Memory",
    "Plan",
    "Swing",
    "capabilities",
    "crossing",
    "holds_from",
    "lines",
    "losses",
    "overridden",
    "staleness",
    "tornado",
    "without",
]
