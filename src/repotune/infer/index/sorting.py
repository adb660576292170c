"""Contexts in order: every place of a text, sorted by the tokens before it, the nearest first.

That is the suffix array of the reversed text, sorted to a bounded depth. Three arrays come of it, a row for each place:

    order      the places, sorted
    following  the token at each place: what follows the row's context (the Burrows-Wheeler transform of the text)
    psi        the rows, by the token at their place and then ascending

A *span* is the rows whose contexts end in the same tokens. With psi, the span of a context with one more token behind
it is two bisects in one list: that of the token (backward search, Ferragina and Manzini 2000, in the form of Grossi and
Vitter 2000). What was matched before is never looked at again, and the text itself never at all.

The rows are sorted in pieces that share their nearest token, so that memory is bounded by the piece, first by as many
tokens as 64 bits hold, then, where rows are still equal, by two (of 16 bits) or one more at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from repotune.tokenizer.packing import Tokens


Rows = NDArray[np.uint32]

ORDER, FOLLOWING = "order.bin", "following.bin"
DEPTH = 32
"""How many tokens of a context are sorted by, and how many a span can match."""
_PIECE = 1 << 20  # rows sorted at once: some 60 MB
_BLOCK = 1 << 18  # rows of psi, or places, looked at at once
_HALF = np.uint64(32)


def write_order(
    text: Tokens, counts: NDArray[np.int64], folder: Path, threads: int, done: Callable[[int], None]
) -> None:
    """Writes order.bin and following.bin of `text`, which begins with DEPTH separators and ends in one.

    The places are all but those of the first DEPTH. `counts` is how often each id is at them. `done` is told of the
    rows as they are written. Numpy sorts without the interpreter, so `threads` pieces are sorted at a time.
    """
    pieces = _pieces(counts)
    with (
        (folder / ORDER).open("wb") as order,
        (folder / FOLLOWING).open("wb") as following,
        ThreadPoolExecutor(threads) as pool,
    ):
        for first in range(0, len(pieces), threads):
            for places in pool.map(lambda piece: _sorted_places(text, *piece), pieces[first : first + threads]):
                places.tofile(order)
                text[places].tofile(following)
                done(len(places))


def count_ids(text: Tokens) -> NDArray[np.int64]:
    """How often each id is in `text`. In blocks, since numpy counts in numbers of 64 bits, which it makes first."""
    counts = np.zeros(1, np.int64)
    for first in range(0, len(text), _BLOCK):
        block = np.bincount(text[first : first + _BLOCK], minlength=len(counts))
        block[: len(counts)] += counts
        counts = block
    return counts


def sort_psi(following: Tokens, counts: NDArray[np.int64]) -> Rows:
    """The rows by the token that follows, ascending for each."""
    psi = np.empty(len(following), np.uint32)
    ends = np.cumsum(counts) - counts
    for first in range(0, len(following), _BLOCK):
        block = following[first : first + _BLOCK]
        rows = np.argsort(block, kind="stable")
        here = np.bincount(block, minlength=len(counts))
        shift = ends - (np.cumsum(here) - here)
        psi[np.arange(len(block)) + np.repeat(shift, here)] = rows + first
        ends += here
    return psi


def _pieces(counts: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Ranges of ids, each with about _PIECE places or a single id."""
    pieces, first, size = [], 0, 0
    for token, count in enumerate(counts.tolist()):
        if size and size + count > _PIECE:
            pieces.append((first, token))
            first, size = token, 0
        size += count
    return [*pieces, (first, len(counts))]


def _sorted_places(text: Tokens, low: int, high: int) -> Rows:
    """The places behind ids in [low, high), sorted."""
    places = _places_behind(text, low, high)
    matched, step = 8 // text.itemsize, 4 // text.itemsize
    key = _joined(text, 8)[places - matched]
    rows = np.argsort(key)
    places, tied, group = places[rows], *_tied(key[rows])
    while matched < DEPTH and tied.size:
        at = places[tied]
        matched += step
        key = group << _HALF | _joined(text, 4)[at - matched]
        rows = np.argsort(key)
        places[tied] = at[rows]
        again, group = _tied(key[rows])
        tied = tied[again]
    # What is equal as far as is sorted by goes by place, so that the order is the same on every processor.
    places[tied] = np.sort(group << _HALF | places[tied]).astype(np.uint32)
    return places


def _places_behind(text: Tokens, low: int, high: int) -> Rows:
    found = []
    for first in range(DEPTH - 1, len(text) - 1, _BLOCK):
        nearest = text[first : min(first + _BLOCK, len(text) - 1)]
        found.append((np.flatnonzero((nearest >= low) & (nearest < high)) + (first + 1)).astype(np.uint32))
    return np.concatenate(found)


def _joined(text: Tokens, size: int) -> NDArray[Any]:
    """Every `size` bytes of `text` that begin with an id, as one number: little-endian, so that the last id of them,
    which is a context's nearest, counts most."""
    count = len(text) - size // text.itemsize + 1
    return np.ndarray((count,), f"<u{size}", text.data, strides=(text.itemsize,))


def _tied(key: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Of ascending keys, which rows are not alone with theirs, and numbers that are the same for the same keys."""
    first = np.append(True, key[1:] != key[:-1])
    tied = np.flatnonzero(~(first & np.append(first[1:], True)))
    return tied, np.cumsum(first[tied], dtype=np.uint64)
