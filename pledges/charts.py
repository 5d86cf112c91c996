"""Readiness over time as an SVG: levels stacked, the need as a step line, and how sure it is where that is seen.

Made on the server, so it prints.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal

from pledges.counting import LEVELS
from pledges.readiness import Stretch

WIDTH, HEIGHT = 960, 280  # units of the drawing
LEFT, BOTTOM, TOP = 64, 28, 10
TICKS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True)
class Band:
    """One level's area: an SVG path, and its name."""

    level: str
    path: str


@dataclass(frozen=True)
class Mark:
    """A tick with its text, at ``at`` units along its axis."""

    at: float
    text: str


@dataclass(frozen=True)
class Chart:
    """A drawing of ``width`` × ``height`` units: bands from the surest (at the bottom) up, the need, axes.

    ``likely``: the area from the 10th to the 90th percentile of what comes; ``median``: its middle, a step line. Both are
    empty where the tier has no answer, and for capabilities whose quantities do not add up.
    """

    width: int
    height: int
    left: int
    base: float
    bands: list[Band]
    need: str
    likely: str
    median: str
    days: list[Mark]
    amounts: list[Mark]
    today_x: float | None
    day_x: float | None
    summary: str
    first: date
    last: date


def within(stretches: Sequence[Stretch], first: date | None, last: date | None) -> list[Stretch]:
    """Return the stretches cut to the days asked for; None: from the beginning, to the end. None left: all of them."""
    first, last = first or date.min, last or date.max
    cut = [
        replace(stretch, first=max(stretch.first, first), last=min(stretch.last, last))
        for stretch in stretches
        if stretch.first <= last and stretch.last >= first
    ]
    return cut or list(stretches)


def stacked_levels(stretches: Sequence[Stretch], *, today: date, day: date, adds_up: bool = True) -> Chart | None:
    """Return the drawing of a capability's stretches, or None when there is nothing to draw.

    The surest level lies at the bottom, so the line between firm and conditional is what may be counted on.
    """
    if not stretches:
        return None
    first, last = stretches[0].first, max(stretches[-1].last, stretches[0].first + timedelta(days=1))
    span = (last - first).days + 1
    amounts = [[stretch.answer.levels[level] for level in LEVELS] for stretch in stretches]
    needs = [stretch.answer.need or Decimal(0) for stretch in stretches]
    spreads = [_spread(stretch) if adds_up else None for stretch in stretches]
    largest = float(max([sum(row) for row in amounts] + needs + [spread[2] for spread in spreads if spread]) or 1)
    step = _round_step(largest)
    top = step * (int(largest / step) + 1)

    def x(when: date) -> float:
        return round(LEFT + (when - first).days / span * (WIDTH - LEFT), 1)

    def y(amount) -> float:
        return round(HEIGHT - BOTTOM - float(amount) / top * (HEIGHT - BOTTOM - TOP), 1)

    edges = [x(stretch.first) for stretch in stretches] + [float(WIDTH)]
    bands, below = [], [Decimal(0)] * len(stretches)
    for place in reversed(range(len(LEVELS))):
        above = [low + row[place] for low, row in zip(below, amounts, strict=True)]
        if above != below:
            bands.append(Band(LEVELS[place], _area(edges, [y(v) for v in above], [y(v) for v in below])))
        below = above
    return Chart(
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        base=HEIGHT - BOTTOM,
        bands=bands,
        need=_steps(edges, [y(need) for need in needs]) if any(needs) else "",
        likely="".join(
            _area(edges[begin : end + 1], *([y(spread[n]) for spread in spreads[begin:end]] for n in (2, 0)))
            for begin, end in _runs(spreads)
        ),
        median="".join(
            _steps(edges[begin : end + 1], [y(spread[1]) for spread in spreads[begin:end]])
            for begin, end in _runs(spreads)
        ),
        days=[Mark(x(when), f"{when:%b %Y}") for when in _months(first, last)],
        amounts=[Mark(y(step * i), f"{step * i:,.0f}".replace(",", "\u202f")) for i in range(int(top / step) + 1)],
        today_x=x(today) if first <= today <= last else None,
        day_x=x(day) if first <= day <= last and day != today else None,
        summary=f"{len(stretches)} stretches of days from {first} to {last}; the same figures are in the table below.",
        first=first,
        last=last,
    )


def _spread(stretch: Stretch) -> tuple[float, float, float] | None:
    """Return the 10th, 50th and 90th percentile of everything that comes; None where there is no answer."""
    pooled = stretch.answer.sure.pooled if stretch.answer.sure else None
    return (pooled.x10, pooled.x50, pooled.x90) if pooled and pooled.x10 is not None else None


def _runs(spreads: Sequence[tuple | None]) -> list[tuple[int, int]]:
    """Return begin and end of each unbroken run of stretches with an answer."""
    runs, begin = [], None
    for place, spread in enumerate([*spreads, None]):
        if spread is not None and begin is None:
            begin = place
        elif spread is None and begin is not None:
            runs.append((begin, place))
            begin = None
    return runs


def _round_step(largest: float) -> float:
    """Return a round distance between ticks that gives about four of them."""
    power = 10 ** (len(str(int(largest))) - 1) / 10
    return next(power * tick * scale for scale in (1, 10) for tick in TICKS if largest / (power * tick * scale) <= 5)


def _steps(edges: list[float], heights: list[float]) -> str:
    path = f"M{edges[0]} {heights[0]}"
    for right, height in zip(edges[1:], heights, strict=True):
        path += f"V{height}H{right}"
    return path


def _area(edges: list[float], upper: list[float], lower: list[float]) -> str:
    path = _steps(edges, upper)
    for left, height in zip(reversed(edges[:-1]), reversed(lower), strict=True):
        path += f"V{height}H{left}"
    return path + "Z"


def _months(first: date, last: date) -> list[date]:
    """Return the first days of months within the span, thinned so that their names do not touch."""
    months = [
        date(first.year + (first.month + i) // 12, (first.month + i) % 12 + 1, 1)
        for i in range((last.year - first.year) * 12 + last.month - first.month)
    ]
    every = max(1, -(-len(months) // 10))
    return months[::every]
