"""Small plots as inline SVG: strips for table rows, a curve, bars. Pure functions from numbers to markup.

Everything stands at percentages of the width, so a plot is as wide as its place and its text keeps its size; only a
curve's line is stretched, in an inner SVG whose strokes do not scale. Colours come from the page's CSS by class.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

Point = tuple[float, float]

_STRIP_HEIGHT = 22
_CURVE_HEIGHT = 300
_CURVE_TOP, _CURVE_FOOT = 24, 28  # room above for a label, below for the ticks of x


@dataclass(frozen=True)
class Scale:
    """A linear axis from `low` to `high` with its ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def percent(self, value: float) -> float:
        """Where `value` stands, 0 to 100; what lies beyond an end is drawn at that end."""
        return round(100 * min(1.0, max(0.0, (value - self.low) / (self.high - self.low))), 3)


def nice_scale(values: Sequence[float], most_ticks: int = 5, zero: bool = False) -> Scale:
    """A scale over `values` that begins and ends at round ticks (steps of 1, 2 or 5 times a power of ten).

    With `zero` it begins at zero at the latest. Values that are not finite are left out.
    """
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    if zero:
        low = min(0.0, low)
    if high == low:
        high = low + (abs(low) or 1.0)
    step = _nice_step((high - low) / most_ticks)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(round(number * step, 12) for number in range(first, last + 1))
    return Scale(ticks[0], ticks[-1], ticks)


def strip(value: float, low: float | None, high: float | None, scale: Scale, strong: bool, title: str) -> Markup:
    """One dot with its whiskers, for a cell of a table. Without `low` or `high` the whisker ends at the dot."""
    middle = _STRIP_HEIGHT / 2
    start, end = (scale.percent(value if edge is None else edge) for edge in (low, high))
    ticks = Markup().join(
        Markup('<line class="grid" x1="{0}%" x2="{0}%" y1="0" y2="100%"/>').format(scale.percent(tick))
        for tick in scale.ticks
    )
    return Markup(
        '<svg class="strip{strong}" role="img" height="{height}"><title>{title}</title>{ticks}'
        '<line class="whisker" x1="{start}%" x2="{end}%" y1="{middle}" y2="{middle}"/>'
        '<circle cx="{at}%" cy="{middle}" r="4.5"/></svg>'
    ).format(
        strong=" strong" if strong else "", height=_STRIP_HEIGHT, title=title, ticks=ticks, start=start, end=end,
        middle=middle, at=scale.percent(value),
    )  # fmt: skip


def axis(scale: Scale, label: Callable[[float], str]) -> Markup:
    """The numbers under a column of strips. Hidden from screen readers: the table has the values."""
    return Markup('<svg class="axis" aria-hidden="true" height="16">{}</svg>').format(_tick_labels(scale, label, 12))


def bar(share: float, title: str) -> Markup:
    """A bar as long as `share`, 0 to 1; what is there at all can be seen."""
    width = round(100 * min(1.0, max(0.0, share)), 3)
    return Markup(
        '<svg class="bar" role="img" height="12"><title>{title}</title>'
        '<rect class="track" width="100%" height="12" rx="2"/>'
        '<rect class="fill" width="{width}%" height="12" rx="2"{least}/></svg>'
    ).format(title=title, width=width, least=Markup(' style="min-width:2px"') if share > 0 else "")


def curve(
    line: Sequence[Point],
    points: Sequence[Point],
    *,
    names: tuple[str, str],
    title: str,
    description: str,
    x_label: Callable[[float], str],
    identity: str,
) -> Markup:
    """A line and single points over one pair of axes; `names` are theirs. `identity` is unique on the page."""
    x = nice_scale([at for at, _ in [*line, *points]], zero=True)
    y = nice_scale([value for _, value in [*line, *points]])
    inner = _CURVE_HEIGHT - _CURVE_TOP - _CURVE_FOOT

    def height(value: float) -> float:
        return round(_CURVE_TOP + inner * (1 - y.percent(value) / 100), 2)

    path = " ".join(f"{x.percent(at)},{round(100 - y.percent(value), 3)}" for at, value in line if math.isfinite(value))
    dots = [
        Markup('<circle cx="{}%" cy="{}" r="4"><title>{}</title></circle>').format(
            x.percent(at), height(value), f"{names[1]} {value:.3f} at {x_label(at)}"
        )
        for at, value in points
        if math.isfinite(value)
    ]
    grid = [
        Markup('<line class="grid" x1="0" x2="100%" y1="{0}" y2="{0}"/><text x="0" y="{1}">{2}</text>').format(
            height(tick), height(tick) - 5, f"{tick:g}"
        )
        for tick in y.ticks
    ]
    return Markup(
        '<svg class="curve" role="img" aria-labelledby="{id}-title {id}-about" height="{full}">'
        '<title id="{id}-title">{title}</title><desc id="{id}-about">{description}</desc>{grid}'
        '<svg y="{top}" width="100%" height="{inner}" viewBox="0 0 100 100" preserveAspectRatio="none"'
        ' overflow="visible"><polyline points="{path}" vector-effect="non-scaling-stroke"/></svg>'
        "<g>{dots}</g>{ticks}</svg>"
    ).format(
        id=identity, full=_CURVE_HEIGHT, title=title, description=description, grid=Markup().join(grid), top=_CURVE_TOP,
        inner=inner, path=path, dots=Markup().join(dots), ticks=_tick_labels(x, x_label, _CURVE_HEIGHT - 8),
    )  # fmt: skip


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """At most `most` points, each the mean of a run of neighbours; all of them where there are fewer."""
    if len(points) <= most:
        return list(points)
    edges = [round(number * len(points) / most) for number in range(most + 1)]
    runs = [points[start:stop] for start, stop in pairwise(edges)]
    return [(sum(x for x, _ in run) / len(run), sum(y for _, y in run) / len(run)) for run in runs]


def _tick_labels(scale: Scale, label: Callable[[float], str], y: float) -> Markup:
    """Numbers at the ticks; the outermost stay within the plot."""
    last = len(scale.ticks) - 1
    return Markup().join(
        Markup('<text class="{}" x="{}%" y="{}">{}</text>').format(
            "first" if place == 0 else "last" if place == last else "between", scale.percent(tick), y, label(tick)
        )
        for place, tick in enumerate(scale.ticks)
    )


def _nice_step(rough: float) -> float:
    """The least of 1, 2, 5 and 10 times a power of ten that is at least `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
