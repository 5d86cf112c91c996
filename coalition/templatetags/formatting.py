"""How instants, days, shares and quantities are written on pages. Only formatting: no queries here.

Instants must be aware; a naive one raises ValueError, because guessing its zone would print a wrong time.
"""

from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from django import template
from django.contrib.staticfiles import finders
from django.templatetags.static import static
from django.utils import timezone

register = template.Library()

THIN_SPACE = "\u202f"  # narrow and no-break: a number and its unit stay on one line
MINUS = "\u2212"
# A date-time group is English in every locale.
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def _aware(at: datetime) -> datetime:
    if timezone.is_naive(at):
        raise ValueError(f"An instant needs a time zone: {at!r}")
    return at


@register.simple_tag
def utc_now() -> datetime:
    """Return the present instant, for the clock in the header."""
    return timezone.now()


@register.filter(expects_localtime=False)
def utc(at: datetime | None) -> str:
    """Write an instant as ``2026-11-22 15:30 UTC``; None gives ""."""
    return f"{_aware(at).astimezone(UTC):%Y-%m-%d %H:%M} UTC" if at else ""


@register.filter
def iso(at: datetime | None) -> str:
    """Write an instant as ``2026-11-22T15:30:00Z`` for the datetime attribute of <time>; None gives ""."""
    return f"{_aware(at).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if at else ""


@register.filter
def dtg(at: datetime | None) -> str:
    """Write an instant as a date-time group in zone Z, ``221530ZNOV26``; None gives "".

    Source: ACP 121, date-time group: day, hour, minute, zone letter, month, year of two digits.
    """
    if not at:
        return ""
    at = _aware(at).astimezone(UTC)
    return f"{at:%d%H%M}Z{MONTHS[at.month - 1]}{at:%y}"


@register.filter
def local(at: datetime | None, zone: str | ZoneInfo | None = None) -> str:
    """Write an instant in the operation's time zone, ``2026-11-22 17:30 EET``, for a title; None gives "".

    Without a zone, the active one of the request is used.
    """
    if not at:
        return ""
    place = ZoneInfo(str(zone)) if zone else timezone.get_current_timezone()
    return f"{_aware(at).astimezone(place):%Y-%m-%d %H:%M %Z}"


@register.filter
def age(at: datetime | None, now: datetime | None = None) -> str:
    """Say how long ago an instant was: ``40 s ago``, ``3 min ago``, ``12 d ago``; None gives "never".

    The future reads ``in 3 min``. Whole units, rounded down, so that nothing looks older than it is.
    """
    if not at:
        return "never"
    passed = (_aware(now) if now else timezone.now()) - _aware(at)
    amount = abs(passed)
    if amount < timedelta(seconds=1):
        return "now"
    if amount < timedelta(minutes=1):
        words = f"{amount.seconds} s"
    elif amount < timedelta(hours=1):
        words = f"{amount.seconds // 60} min"
    elif amount < timedelta(days=2):
        words = f"{amount.days * 24 + amount.seconds // 3600} h"
    else:
        words = f"{amount.days} d"
    return f"{words} ago" if passed > timedelta(0) else f"in {words}"


@register.filter
def days_from(day: date | None, today: date | None = None) -> str:
    """Say where a day lies from another: ``today``, ``in 12 days``, ``3 days ago``; None gives ""."""
    if not day:
        return ""
    days = (day - (today or timezone.localdate())).days
    if days == 0:
        return "today"
    words = f"{abs(days)} day" + ("" if abs(days) == 1 else "s")
    return f"in {words}" if days > 0 else f"{words} ago"


@register.filter
def percent(share: float | Decimal | None) -> str:
    """Write a share (0 to 1) as a percentage; None gives "n/a".

    Only nothing is 0 % and only the whole is 100 %: what lies within 0.1 % of them reads ``<0.1 %`` or
    ``>99.9 %``, within 1 % it has one decimal. A share above 1 is written as it is (``112 %``).
    """
    if share is None:
        return "n/a"
    if share == "":  # what Django makes of a name that the template does not know
        return ""
    hundredths = Decimal(str(share)) * 100
    if 0 < hundredths < Decimal("0.1"):
        return f"<0.1{THIN_SPACE}%"
    if Decimal("99.9") < hundredths < 100:
        return f">99.9{THIN_SPACE}%"
    near_an_end = 0 < hundredths < 1 or 99 < hundredths < 100
    rounded = hundredths.quantize(Decimal("0.1") if near_an_end else Decimal(1), rounding=ROUND_HALF_UP)
    return f"{rounded}{THIN_SPACE}%".replace("-", MINUS)


@register.filter
def quantity(amount: int | float | Decimal | None, unit: str = "") -> str:
    """Write an amount grouped by thin spaces, at most two decimals, no idle zeros: ``12 500.5 persons``.

    None gives "unquantified": an unknown amount is never written as a number.
    """
    if amount is None:
        return "unquantified"
    if amount == "":  # what Django makes of a name that the template does not know
        return ""
    rounded = Decimal(str(amount)).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
    text = f"{rounded:,f}".rstrip("0").rstrip(".").replace(",", THIN_SPACE).replace("-", MINUS)
    if text == f"{MINUS}0":
        text = "0"
    return f"{text}{THIN_SPACE}{unit}" if unit else text


@register.simple_tag
def quantity_range(low: Decimal | int | None, high: Decimal | int | None, unit: str = "") -> str:
    """Write a stated range: ``200–300 persons``, ``at least 200``, ``up to 300``, or "unquantified"."""
    if low is None and high is None:
        return "unquantified"
    if high is None:
        return f"at least {quantity(low, unit)}"
    if low is None:
        return f"up to {quantity(high, unit)}"
    if low == high:
        return quantity(low, unit)
    return f"{quantity(low)}–{quantity(high, unit)}"


@register.filter
def words(slug: str | None) -> str:
    """Write a stored word for people: ``in_place`` becomes ``In place``; None gives ""."""
    text = str(slug or "").replace("_", " ")
    return text[:1].upper() + text[1:]


@lru_cache(maxsize=512)
def _has_flag(code: str) -> bool:
    return finders.find(f"vendor/flags/{code}.svg") is not None


@register.filter
def flag_url(code: object) -> str:
    """Return the address of a nation's flag by its alpha-2 code, or "" where no flag is shipped."""
    code = str(code or "").lower()
    return static(f"vendor/flags/{code}.svg") if code.isalpha() and _has_flag(code) else ""


@register.filter
def at(answers: dict | None, key: object) -> object:
    """Return what a dictionary holds under a key, or None."""
    return (answers or {}).get(key)


@register.filter
def of_all(total: int | None) -> str:
    """Write what a number is a part of: ``of 64``."""
    return f"of {quantity(total or 0)}"


@register.filter
def signed(difference: float, decimals: int = 1) -> str:
    """Write a difference with its sign: ``+0.3``, ``−1.2``, ``0.0``."""
    text = f"{difference:+.{decimals}f}"
    return text.removeprefix("+").removeprefix("-") if not float(text) else text.replace("-", MINUS)


@register.filter
def points(difference: float) -> str:
    """Write a difference of two shares in percentage points: ``−76.7 pts``."""
    return f"{signed(difference * 100)}{THIN_SPACE}pts"
