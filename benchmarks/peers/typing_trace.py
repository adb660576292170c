"""What somebody types in the files of a repository: edits, stops, and jumps to other files.

A pure function of the files and a seed. Time between keystrokes is told only where an answer may be under way: someone
who types on cancels it. Where someone stops, the answer is waited for, and nothing more is waited.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# What an editor sends: so many lines before the place and after it, here about 500 tokens together.
BEFORE, AFTER = 36, 14
STOPS = 6
# A visit goes back to one of the last places with this probability, and to a new one otherwise.
RETURNS, PLACES = 0.4, 4


@dataclass(frozen=True)
class Request:
    """The text on both sides of the cursor. The answer is shown, or, where someone types on, cancelled after `pause`
    seconds. `cold` is the first request after a jump."""

    prefix: str
    suffix: str
    pause: float | None
    cold: bool


@dataclass
class _Place:
    """A hole in a file that is being typed: `left` is what is still to come."""

    prefix: str
    left: str
    suffix: str


def typing_trace(files: Sequence[Path], visits: int, seed: int) -> Iterator[Request]:
    """Requests in order: `visits` places, and STOPS stops at each, most after a few quick keystrokes."""
    draw = random.Random(seed)
    places: list[_Place] = []
    for _ in range(visits):
        if places and draw.random() < RETURNS:
            place = places.pop(draw.randrange(len(places)))
        else:
            place = _open(draw.choice(files), draw)
        places = [*places, place][-PLACES:]
        cold = True
        for _ in range(STOPS):
            for pause in [*(draw.uniform(0.04, 0.2) for _ in range(draw.choice((0, 0, 1, 2, 3)))), None]:
                _edit(place, draw)
                yield Request(place.prefix, place.suffix, pause, cold)
                cold = False


def _open(path: Path, draw: random.Random) -> _Place:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    at = draw.randrange(min(BEFORE, len(lines) // 2), max(len(lines) - AFTER - 4, len(lines) // 2 + 1))
    hole = "".join(lines[at : at + 4])
    column = draw.randrange(len(lines[at]) // 2 + 1)
    prefix = "".join(lines[max(0, at - BEFORE) : at]) + hole[:column]
    return _Place(prefix, hole[column:] * 9, "".join(lines[at + 4 : at + 4 + AFTER]))


def _edit(place: _Place, draw: random.Random) -> None:
    """Mostly one more character; sometimes three are taken back, or a word is put in at once, as an accepted
    completion is."""
    kind = draw.random()
    if kind < 0.08:
        place.prefix, place.left = place.prefix[:-3], place.prefix[-3:] + place.left
        return
    size = 12 if kind > 0.92 else 1
    place.prefix, place.left = place.prefix + place.left[:size], place.left[size:]
