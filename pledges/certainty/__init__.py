"""How sure is it that a need is met, on each day, given what was pledged and what the pledges hang on?

Numbers in, numbers out: nothing here knows the database. Conditions are independent of each other and
*shared*: two pledges that hang on one condition come or stay away together. Pledges are independent once the
conditions are known. So the chance of a sum is not the product of averages. Nothing is said about more than
one day at once.
"""

from pledges.certainty.answers import capabilities, holds_from, lines, staleness
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
    "Plan",
    "Swing",
    "capabilities",
    "holds_from",
    "lines",
    "losses",
    "overridden",
    "staleness",
    "tornado",
    "without",
]
