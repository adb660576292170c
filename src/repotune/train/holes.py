"""Holes at character level: between any two characters, or up to where a line ends."""

from __future__ import annotations

import numpy as np

# The share of holes that end where a line ends, as a person's do; the others lie between any two characters.
_LINE_HOLES = 0.5
_MOST_FURTHER_LINES = 5


def draw_hole(rng: np.random.Generator, text: str) -> tuple[int, int]:
    """Start and end, in characters, of the part to be filled in."""
    start = int(rng.integers(len(text) + 1))
    if rng.random() >= _LINE_HOLES:
        other = int(rng.integers(len(text) + 1))
        return min(start, other), max(start, other)
    further_lines = int(rng.integers(1, _MOST_FURTHER_LINES + 1)) if rng.random() < 0.5 else 0
    stop = start - 1
    for _ in range(1 + further_lines):
        stop = text.find("\n", stop + 1)
        if stop < 0:
            return start, len(text)
    return start, stop
