"""Bars drawn as SVG on the server: they print, need no JavaScript, and carry no style attribute."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from django import template

from coalition.templatetags.formatting import quantity, words

register = template.Library()

WIDTH = 1000  # units of the drawing; the page stretches it


@register.inclusion_tag("_level_bar.html")
def level_bar(
    amounts: Mapping[str, Decimal | None] | Iterable[tuple[str, Decimal | None]],
    need: Decimal | None = None,
    unit: str = "",
    legend: bool = False,
) -> dict:
    """Draw amounts per level, in the order given, side by side on one scale, with a mark where the need is.

    ``amounts`` are quantities, not shares, in one unit; None and 0 take no room. The scale ends at the larger
    of the sum and the need, so a surplus shows beyond the mark. With nothing to draw, there is only a track.
    """
    pairs = amounts.items() if isinstance(amounts, Mapping) else amounts
    filled = [(level, Decimal(str(amount))) for level, amount in pairs if amount]
    total = sum((amount for _, amount in filled), Decimal(0))
    scale = max(total, Decimal(str(need or 0))) or Decimal(1)
    parts, start = [], Decimal(0)
    for level, amount in filled:
        left, right = int(start / scale * WIDTH), int((start + amount) / scale * WIDTH)
        # A hundred people among fifty thousand must not vanish: the narrowest part is 2 units.
        parts.append(
            {
                "level": level,
                "label": words(level),
                "amount": quantity(amount, unit),
                "x": left,
                "width": max(right - left, 2),
            }
        )
        start += amount
    text = ", ".join(f"{part['label']} {part['amount']}" for part in parts) or "nothing pledged"
    if need:
        text += f"; need {quantity(need, unit)}"
    mark = min(int(Decimal(str(need)) / scale * WIDTH), WIDTH - 3) if need else None
    return {"parts": parts, "need_x": mark, "text": text, "legend": legend, "width": WIDTH}


@register.inclusion_tag("what_if/_swing.html")
def swing_bar(share: float, swing: float) -> dict:
    """Draw how far something moves the plan: ``share`` of the widest bar, 0 to 1, and ``swing`` in words."""
    return {"x": int(min(max(share, 0), 1) * WIDTH), "width": WIDTH, "text": f"{swing:.2f} lines"}
