"""What an epoch holds and in which order, without a table of it: a store of any size is shuffled in no memory.

A document of weight w is in an epoch floor(w) times, and once more with probability w − floor(w). Every copy is cut and
infilled anew. Of the pieces only how many come before each block of 64 documents is kept, 8 bytes a block: 1.25 MB at
10⁷ documents, where a permutation of their pieces would be 800.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from repotune.tokenizer.packing import TokenStore
from repotune.train.infilling import Rendering

Integers = npt.NDArray[np.int64]

_COPIES = 1  # apart from the order's draws, which have the seed and the epoch alone
_BLOCK = 64
_BLOCKS_AT_ONCE = 2048
_ROUNDS = 8
_MASK = (1 << 64) - 1
_ODD = 0x9E3779B97F4A7C15  # 2⁶⁴ over the golden ratio: spreads the low bits over the high ones


class Epoch:
    """The pieces of one epoch, in its order. `len()` of them."""

    def __init__(self, store: TokenStore, rendering: Rendering, number: int) -> None:
        self._store, self._rendering, self._number = store, rendering, number
        step = _BLOCK * _BLOCKS_AT_ONCE
        sums = [self._block_sums(first, min(first + step, len(store))) for first in range(0, len(store), step)]
        self._ends: Integers = np.cumsum(np.concatenate(sums)) if sums else np.zeros(1, np.int64)
        self.order = Shuffle(rendering.seed, number, int(self._ends[-1]))

    def __len__(self) -> int:
        return len(self.order)

    def find(self, place: int) -> tuple[int, int, int]:
        """Document, copy and piece at a place in the order. Raises IndexError beyond the last."""
        number = self.order[place]
        block = int(self._ends.searchsorted(number, side="right"))
        first = block * _BLOCK
        copies, pieces = self._counts(first, min(first + _BLOCK, len(self._store)))
        ends = np.cumsum(copies * pieces) + (int(self._ends[block - 1]) if block else 0)
        row = int(ends.searchsorted(number, side="right"))
        before = int(ends[row] - copies[row] * pieces[row])
        copy, piece = divmod(number - before, int(pieces[row]))
        return first + row, copy, piece

    def _block_sums(self, first: int, stop: int) -> Integers:
        copies, pieces = self._counts(first, stop)
        sums: Integers = np.add.reduceat(copies * pieces, range(0, stop - first, _BLOCK))
        return sums

    def _counts(self, first: int, stop: int) -> tuple[Integers, Integers]:
        """How many copies of each document the epoch holds, and how many pieces a copy has."""
        copies = epoch_copies(self._rendering.seed, self._number, self._store.weights[first:stop], first)
        return copies, self._rendering.piece_counts(np.diff(self._store.offsets[first : stop + 1]))


class Shuffle:
    """A permutation of range(count), a function of (seed, epoch), that is computed place by place and not stored.

    A Feistel network over the next power of four, walked until it falls into the range (Black and Rogaway, "Ciphers
    with arbitrary finite domains", 2002). A place takes 5–10 µs, rendering its piece a hundred times that.
    """

    def __init__(self, seed: int, epoch: int, count: int) -> None:
        self._count = count
        self._bits = max(1, (count.bit_length() + 1) // 2)
        self._keys = np.random.SeedSequence((seed, epoch)).generate_state(_ROUNDS, np.uint64).tolist()

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: int) -> int:
        if not 0 <= place < self._count:
            raise IndexError(f"place {place} of {self._count}")
        number = self._scrambled(place)
        while number >= self._count:
            number = self._scrambled(number)
        return number

    def __iter__(self) -> Iterator[int]:
        return (self[place] for place in range(self._count))

    def _scrambled(self, number: int) -> int:
        bits, half = self._bits, (1 << self._bits) - 1
        left, right = number >> bits, number & half
        for key in self._keys:
            mixed = ((right ^ key) * _ODD) & _MASK
            mixed = ((mixed ^ (mixed >> 29)) * _ODD) & _MASK
            left, right = right, left ^ (mixed >> 64 - bits)
        return left << bits | right


def epoch_copies(seed: int, epoch: int, weights: npt.NDArray[np.float64], first: int = 0) -> Integers:
    """How many times each document is in an epoch: its weight, rounded up with the probability of its fraction.

    `weights` are those of the documents from `first` on; each has a draw of its own, whatever is asked for with it.
    """
    whole = np.floor(weights)
    copies: Integers = whole.astype(np.int64)
    if (whole == weights).all():
        return copies
    bits = np.random.PCG64((seed, epoch, _COPIES)).advance(first)
    return copies + (np.random.Generator(bits).random(len(weights)) < weights - whole)
