"""What a pass computes, as numbers on the host: pieces of streams, and the tables that the device reads of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from repotune.infer.gpu.places import ORIGIN, PAGE, POSITION, SLOT, TABLE, TOKEN
from repotune.infer.paged.pages import Stream

Longs = NDArray[np.int64]

# A step's least room: fewer tokens would save nothing that can be felt.
_LEAST_PAGES = 512 // PAGE


@dataclass(frozen=True, eq=False)
class Piece:
    """Ids to append to a stream, of whose rows the last `wanted` have logits; no row sees beyond `window` tokens."""

    stream: Stream
    ids: Sequence[int]
    wanted: int
    window: int

    @property
    def positions(self) -> Longs:
        """Of each id in its stream."""
        start = len(self.stream.tokens)
        return np.arange(start, start + len(self.ids))

    @property
    def slots(self) -> Longs:
        """Where each id's keys and values go."""
        positions = self.positions
        return self.stream.table[positions // PAGE] * PAGE + positions % PAGE

    @property
    def _first_page(self) -> int:
        return max(0, len(self.stream.tokens) + 1 - self.window) // PAGE

    @property
    def origin(self) -> int:
        """The position that the first of `pages` begins with."""
        return self._first_page * PAGE

    @property
    def pages(self) -> Longs:
        """Those that any of the rows sees."""
        last = len(self.stream.tokens) + len(self.ids) - 1
        return self.stream.table[self._first_page : last // PAGE + 1]


@dataclass(frozen=True)
class Bucket:
    """The shape of a step: rows, and pages that each may see. Few serve all, as each is compiled and captured."""

    rows: int
    pages: int

    @classmethod
    def of(cls, pieces: Sequence[Piece]) -> Bucket:
        """The least that holds `pieces`: the next powers of two.

        >>> Bucket(*map(_power, (5, 33)))
        Bucket(rows=8, pages=64)
        """
        rows = sum(len(piece.ids) for piece in pieces)
        return cls(_power(rows), max(_LEAST_PAGES, _power(max(len(piece.pages) for piece in pieces))))

    def job(self, pieces: Sequence[Piece], empty_page: int) -> Longs:
        """What `places.Rows.of` reads. Rows and pages beyond those of `pieces` are of `empty_page`, which no stream
        has: what a spare row computes goes there, and what a spare page holds stays in the chip's cache."""
        job = np.full((self.rows, TABLE + self.pages), empty_page, np.int64)
        job[:, [TOKEN, POSITION, ORIGIN]] = 0
        job[:, SLOT] = empty_page * PAGE
        first = 0
        for piece in pieces:
            rows = job[first : (first := first + len(piece.ids))]
            rows[:, TOKEN], rows[:, POSITION], rows[:, SLOT] = piece.ids, piece.positions, piece.slots
            rows[:, ORIGIN] = piece.origin
            rows[:, TABLE : TABLE + len(piece.pages)] = piece.pages
        return job


def _power(count: int) -> int:
    """The least power of two that is not below `count`."""
    return 1 << (count - 1).bit_length()
