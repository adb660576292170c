"""Histograms as SVG, drawn as the other plots are (`report.plots`): bars over a linear or a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from repotune.report.plots import nice_scale

_HEIGHT = 168
_TOP, _FLOOR = 34, _HEIGHT - 22  # the highest bar's end and all bars' beginning
_LEAST_BAR = 1.5  # a single file can be seen beside thousands


@dataclass(frozen=True)
class Bins:
    """Counts of what lies between `edges`, one more than these: the outermost bins are open.

    `kept` and `dropped` are stacked. A `linear` axis is that of shares, from 0 to 1; else it is logarithmic.
    """

    edges: Sequence[float]
    kept: Sequence[int]
    dropped: Sequence[int]
    linear: bool

    def bounds(self, threshold: float | None) -> list[float]:
        """The edges of the bins from the first that holds something to the last, those at `threshold` among them."""
        first, last = self._outermost()
        used = [place for place, counts in enumerate(zip(self.kept, self.dropped, strict=True)) if any(counts)] or [0]
        if threshold in self.edges:
            used += [self.edges.index(threshold), self.edges.index(threshold) + 1]
        return [first, *self.edges, last][min(used) : max(used) + 2]

    def bars(self, bounds: Sequence[float]) -> list[tuple[float, float, int, int]]:
        """Each bin within `bounds`: where it begins and ends, how many are kept and dropped."""
        first, last = self._outermost()
        every = [first, *self.edges, last]
        return [
            (*ends, kept, dropped)
            for ends, kept, dropped in zip(pairwise(every), self.kept, self.dropped, strict=True)
            if bounds[0] <= ends[0] < bounds[-1]
        ]

    def _outermost(self) -> tuple[float, float]:
        """The ends that the open bins are drawn with: they are as wide as their neighbours."""
        if self.linear:
            return 0.0, 1.0
        return self.edges[0] ** 2 / self.edges[1], self.edges[-1] ** 2 / self.edges[-2]


def histogram(
    bins: Bins, *, title: str, label: Callable[[float], str], threshold: float | None = None, limit: str = ""
) -> Markup:
    """Bars by value, the dropped on top of the kept, and a line at `threshold`, which `limit` says in words."""
    bounds = bins.bounds(threshold)
    bars = bins.bars(bounds)
    most = max(kept + dropped for _, _, kept, dropped in bars) or 1
    inner = _FLOOR - _TOP

    def across(value: float) -> float:
        """Where `value` stands, 0 to 100; what lies beyond an end is drawn at that end."""
        value = min(bounds[-1], max(bounds[0], value))
        start, end, at = (each if bins.linear else math.log10(each) for each in (bounds[0], bounds[-1], value))
        return round(100 * (at - start) / (end - start), 3)

    drawn = []
    for start, end, *counts in bars:
        base = float(_FLOOR)
        for kind, count in zip(("kept", "dropped"), counts, strict=True):
            if count:
                height = round(max(_LEAST_BAR, inner * count / most), 2)
                base = round(base - height, 2)
                drawn.append(
                    Markup('<rect class="{}" x="{}%" width="{}%" y="{}" height="{}"/>').format(
                        kind, across(start), round(across(end) - across(start), 3), base, height
                    )
                )
    at = None if threshold is None else across(threshold)
    return Markup(
        '<svg class="bars" role="img" height="{height}"><title>{title}</title>'
        '<line class="grid" x1="0" x2="100%" y1="{top}" y2="{top}"/>'
        '<line class="grid" x1="0" x2="100%" y1="{floor}" y2="{floor}"/>{drawn}{most}{limit}{ticks}</svg>'
    ).format(
        height=_HEIGHT, title=title, top=_TOP, floor=_FLOOR, drawn=Markup().join(drawn),
        most=_beside(100 if at is not None and at < 50 else 0, _TOP - 5, f"{most:,}"),
        limit=_limit_line(at, limit) if at is not None else "",
        ticks=Markup().join(
            _beside(across(tick), _HEIGHT - 6, label(tick)) for tick in _ticks_within(bounds, bins.linear)
        ),
    )  # fmt: skip


def _ticks_within(bounds: Sequence[float], linear: bool) -> list[float]:
    """Round numbers on an axis of bins: powers of ten on a logarithmic one."""
    if linear:
        scale = nice_scale([bounds[0], bounds[-1]])
        return [tick for tick in scale.ticks if bounds[0] <= tick <= bounds[-1]]
    powers = range(math.ceil(math.log10(bounds[0]) - 1e-9), math.floor(math.log10(bounds[-1]) + 1e-9) + 1)
    return [10.0**power for power in powers]


def _limit_line(at: float, limit: str) -> Markup:
    return Markup('<line class="limit" x1="{0}%" x2="{0}%" y1="16" y2="{1}"/>{2}').format(
        at, _FLOOR, _beside(at, 11, limit)
    )


def _beside(at: float, y: float, text: str) -> Markup:
    """Text at a place, which stays within the plot."""
    side = "first" if at < 15 else "last" if at > 85 else "between"
    return Markup('<text class="{}" x="{}%" y="{}">{}</text>').format(side, at, y, text)
