"""A suffix array over token ids: where does this sequence occur, and how often, in one bisect per token.

Suffixes are sorted by their first `depth` tokens by prefix doubling (Manber and Myers 1993), which numpy's sort does
in seconds for millions of tokens; the first round already compares as many tokens as fit into one 64-bit key.
"""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.integer]

_KEY_BITS = 62


class SuffixArray:
    """Occurrences of token sequences of up to `depth` tokens.

    A *span* [low, high) is the rows of `order` whose suffixes begin with some sequence; its width is how often the
    sequence occurs. `text` ends in a sentinel of −1 that no query matches, so `text[order[row] + n]` always exists
    for rows that matched n tokens.
    """

    def __init__(self, tokens: Int, depth: int = 32) -> None:
        """`tokens`: ids ≥ 0. Takes about 40 bytes a token while it sorts, 8 afterwards."""
        self.text = np.append(np.asarray(tokens, np.int32), np.int32(-1))
        self.depth = depth
        self.order = _sort_suffixes(self.text[:-1], depth)

    def __len__(self) -> int:
        """The number of tokens."""
        return len(self.order)

    def narrow(self, low: int, high: int, matched: int, token: int) -> tuple[int, int]:
        """The part of a span of `matched` tokens whose suffixes go on with `token`."""
        rows = range(low, high)

        def following(row: int) -> int:
            return int(self.text[self.order[row] + matched])

        return low + bisect_left(rows, token, key=following), low + bisect_left(rows, token + 1, key=following)

    def spans(self, queries: Int) -> tuple[Int, Int]:
        """Spans of every beginning of every query.

        `queries` is (Q, n) with n ≤ depth; from the first −1 on a row matches nothing. Returns (low, high), each
        (Q, n + 1): column k is the span of the row's first k tokens, column 0 the whole array.
        """
        count, length = queries.shape
        low, high = np.zeros((2, count, length + 1), np.int64)
        high[:, 0] = len(self)
        for matched in range(length):
            live = np.flatnonzero((high[:, matched] > low[:, matched]) & (queries[:, matched] >= 0))
            if not live.size:
                break
            span = low[live, matched], high[live, matched]
            token = queries[live, matched]
            low[live, matched + 1] = self._first_row(*span, matched, token)
            high[live, matched + 1] = self._first_row(*span, matched, token + 1)
        return low, high

    def _first_row(self, low: Int, high: Int, matched: int, token: Int) -> Int:
        """For each span, its first row whose token after `matched` is at least `token`; all spans bisected at once."""
        low, high = low.copy(), high.copy()
        open_ = np.flatnonzero(low < high)
        while open_.size:
            middle = (low[open_] + high[open_]) >> 1
            before = self.text[self.order[middle] + matched] < token[open_]
            low[open_] = np.where(before, middle + 1, low[open_])
            high[open_] = np.where(before, high[open_], middle)
            open_ = open_[low[open_] < high[open_]]
        return low


def _sort_suffixes(tokens: Int, depth: int) -> Int:
    """Starts of all suffixes in the order of their first `depth` tokens (at least), equal ones by position."""
    count = len(tokens)
    if not count:
        return np.empty(0, np.int32)
    rank, length = _rank_by_key(tokens)
    while length < depth and rank.max() < count - 1:
        following = np.zeros(count, np.int64)
        following[: max(0, count - length)] = rank[length:] + 1
        rank = _dense_ranks(rank * (count + 1) + following)
        length *= 2
    # Unique keys: the order is then the same whatever sort numpy picks for this processor.
    return (np.sort(rank * count + np.arange(count)) % count).astype(np.int32)


def _rank_by_key(tokens: Int) -> tuple[Int, int]:
    """Ranks by as many first tokens as fit into one key, and how many those are. Past the end counts as smallest."""
    bits = max(1, int(tokens.max() + 1).bit_length())
    length = _KEY_BITS // bits
    padded = np.concatenate([tokens.astype(np.int64) + 1, np.zeros(length, np.int64)])
    key = np.zeros(len(tokens), np.int64)
    for shift in range(length):
        key = (key << bits) | padded[shift : shift + len(tokens)]
    return _dense_ranks(key), length


def _dense_ranks(key: Int) -> Int:
    """0 for the smallest key, 1 for the next, …"""
    order = np.argsort(key)
    by_rank = key[order]
    rank = np.empty(len(key), np.int64)
    rank[order] = np.concatenate([[0], np.cumsum(by_rank[1:] != by_rank[:-1])])
    return rank
