"""Numbers as text: as many digits as say something, a real minus sign, units where they are not plain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def percent(share: float, digits: int = 1) -> str:
    """
    >>> percent(0.085)
    '8.5 %'
    """
    return signless(f"{100 * share:.{digits}f}") + " %"


def plain(value: float, digits: int = 3) -> str:
    """
    >>> plain(-0.0714)
    '−0.071'
    """
    return signless(f"{value:.{digits}f}")


def signless(text: str) -> str:
    """`text`, a formatted number, with a real minus sign, and none before a zero."""
    return text.lstrip("-") if not text.strip("-0.") else text.replace("-", "−")


def milliseconds(value: float) -> str:
    """
    >>> milliseconds(153.4), milliseconds(7.21)
    ('153 ms', '7.2 ms')
    """
    return f"{value:.0f} ms" if value >= 10 or not value else f"{value:.1f} ms"


def short_number(value: float) -> str:
    """
    >>> short_number(10_270_848), short_number(512), short_number(0)
    ('10.3 M', '512', '0')
    """
    for unit, factor in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value:.3g}"


def interval(score: dict[str, Any], write: Callable[[float], str]) -> str:
    """The 95 % interval of a score of results.json, or why there is none; a unit is said once.

    >>> interval({"low": -0.005, "high": 0.105}, percent)
    '−0.5 to 10.5 %'
    """
    if score["low"] is None or score["high"] is None:
        return "too few files"
    return f"{write(score['low']).removesuffix(' %')} to {write(score['high'])}"
