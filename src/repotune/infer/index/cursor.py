"""Where a sequence stands in the index, and in the file at hand: what followed elsewhere after the same tokens.

    cursor = Cursor(index, codec.special)
    cursor.open_file(ids of what stands before, ids of what stands behind)
    cursor.move_to(prompt)
    cursor.indexed().ids, .shares          what follows the longest context that occurs
    cursor.own().ids, .shares              what followed like contexts in the file
    cursor.push(token)

One for each sequence that is written. Its state is a span for each length of context; a token more is one search in a
sorted list, whatever the index's size.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from repotune.infer.index.folder import Index
from repotune.infer.index.segment import Segment
from repotune.infer.index.sorting import DEPTH, Rows

Ids = NDArray[np.int64]

OWN_BASE = 32.0
"""A place in the file counts that many times as much for each further token its context shares."""
_SAMPLE = 512  # rows of a span looked at; of more, every second, third, …
_OWN_TOKENS = 1 << 14  # how far back own text is looked at: 30 µs for each token that is written
_NOTHING = -1  # between texts: equal to no id


@dataclass(frozen=True)
class Continuations:
    """What follows a context of `length` tokens that occurs `count` times: ids, each once, and their shares (float64,
    which add up to one). No ids and a length of 0 where there is no such context."""

    ids: Ids
    shares: NDArray[np.float64]
    length: int
    count: int


NONE = Continuations(np.empty(0, np.int64), np.empty(0), 0, 0)


class Cursor:
    """A sequence of ids, and its longest contexts in `index`. `special` ids are never continuations, nor part of a
    context in the index. Without an index there is the file at hand alone."""

    def __init__(self, index: Index | None, special: Collection[int]) -> None:
        self._index = index
        self.segments: list[Segment] = index.segments if index else []
        self._special = frozenset(special)
        self._plain = np.ones(max(special, default=0) + 3, bool)  # by id + 1, the last for all beyond
        self._plain[[_NOTHING + 1, *(token + 1 for token in special)]] = False
        self.ids: list[int] = []
        self._own: Ids = np.empty(0, np.int64)
        self._history: list[list[Rows]] = []
        self._before: list[int] = []
        self._behind: list[int] = []
        self._restart([])

    def open_file(self, before: Sequence[int], behind: Sequence[int] = ()) -> None:
        """Sets what is looked at beside the sequence itself: what stands before and behind the cursor in the file,
        whatever of it the prompt has room for. Holds for the sequences that are moved to from then on; what one ends
        in, as a prompt does in what is before, is not looked at twice."""
        self._before, self._behind = list(before), list(behind)
        self._restart([])

    def another(self) -> Cursor:
        """One for another sequence in the same index."""
        return Cursor(self._index, self._special)

    def move_to(self, ids: Sequence[int]) -> None:
        """Makes `ids` the sequence. Costs what it has more than before, or DEPTH tokens where it is another one."""
        held = len(self.ids)
        if 0 < held <= len(ids) and list(ids[:held]) == self.ids:
            for token in ids[held:]:
                self.push(token)
        else:
            self._restart(ids)

    def push(self, token: int) -> None:
        """Appends a token."""
        self.ids.append(token)
        if self._end == len(self._own):
            self._own = np.append(self._own, np.empty_like(self._own))
        self._own[self._end] = token
        self._end += 1
        self._follow(token)

    def rewind(self, count: int) -> None:
        """Takes the last `count` tokens back."""
        if count >= len(self._history):
            self._restart(self.ids[: len(self.ids) - count])
        elif count:
            del self.ids[-count:], self._history[-count:]
            self._end -= count

    def indexed(self, least: int = 1) -> Continuations:
        """What follows the longest context that occurs at least `least` times in the index, up to DEPTH tokens."""
        for length in range(self._longest(least), 0, -1):
            following = np.concatenate(
                [self._following(segment, spans, length) for segment, spans in self._reached(length)]
            )
            if following.size:
                ids, counts = _tallied(following, np.ones(following.size))
                return Continuations(ids, counts / following.size, length, self._count(length))
        return NONE

    @property
    def reach(self) -> int:
        """The length of the longest context that occurs in the index, whether something follows there or not."""
        return self._longest(1)

    def own(self) -> Continuations:
        """What follows earlier in the sequence and in the file at hand, after contexts that end like the sequence:
        places count for more the more tokens they share (Hellendoorn and Devanbu 2017's cache, with a kernel)."""
        follows, shared = self.own_places()
        if not follows.size:
            return NONE
        longest = int(shared.max())
        weights = OWN_BASE ** (shared - longest)
        ids, shares = _tallied(self._own[follows], weights)
        return Continuations(ids, shares / shares.sum(), longest, int(np.count_nonzero(shared == longest)))

    def own_places(self) -> tuple[Ids, Ids]:
        """Where in own text something follows the sequence's last token, and how many tokens each place shares."""
        own, end = self._own, self._end
        begin = max(1, end - _OWN_TOKENS)
        if end <= begin or own[end - 1] == _NOTHING:
            return NONE.ids, NONE.ids
        follows = np.flatnonzero(own[begin - 1 : end - 1] == own[end - 1]) + begin
        follows = follows[self._is_code(own[follows])]
        shared = np.ones(len(follows), np.int64)
        open_ = np.flatnonzero(follows > 1)
        for length in range(1, min(DEPTH, end - 1)):
            open_ = open_[own[follows[open_] - 1 - length] == own[end - 1 - length]]
            if not open_.size or own[end - 1 - length] == _NOTHING:
                break
            shared[open_] += 1
            open_ = open_[follows[open_] > length + 1]
        return follows, shared

    def own_texts(self, places: Ids, most: int) -> Ids:
        """The `most` ids of own text from each of P places on, P × `most`; −1 where they are no code or beyond it."""
        at = places[:, None] + np.arange(most)
        ids = self._own[np.minimum(at, self._end - 1)]
        return np.where((at < self._end) & self._is_code(ids), ids, _NOTHING)

    def places(self, most: int) -> tuple[int, list[tuple[Segment, NDArray[np.int64]]]]:
        """The longest context that occurs and that something follows, and up to `most` places in each segment's text
        where that stands."""
        for length in range(self._longest(1), 0, -1):
            found = []
            for segment, spans in self._reached(length):
                rows = _sampled(spans, length, most)
                living = segment.following[rows] != segment.separator
                found.append((segment, segment.order[rows][living].astype(np.int64)))
            if any(places.size for _, places in found):
                return length, found
        return 0, []

    def _restart(self, ids: Sequence[int]) -> None:
        self.ids = list(ids)
        before = self._before[: len(self._before) - _shared_end(self._before, self.ids)]
        everything = [_NOTHING, *self._behind, _NOTHING, *before, _NOTHING, *ids]
        self._end = len(everything)
        self._own = np.empty(max(1024, 2 * self._end), np.int64)
        self._own[: self._end] = everything
        self._history = [[segment.everywhere for segment in self.segments]]
        for token in ids[-DEPTH:]:
            self._follow(token)

    @property
    def _spans(self) -> list[Rows]:
        """In each segment those of the sequence's last 0, 1, 2, … tokens."""
        return self._history[-1]

    def _follow(self, token: int) -> None:
        pairs = zip(self.segments, self._spans, strict=True)
        if token in self._special:
            self._history.append([segment.everywhere for segment in self.segments])
        else:
            self._history.append([segment.narrow(spans, token) for segment, spans in pairs])

    def _longest(self, least: int) -> int:
        """The length of the longest context that occurs at least `least` times, those in removed documents included."""
        longest = max((spans.shape[1] for spans in self._spans), default=1) - 1
        while longest and self._count(longest) < least:
            longest -= 1
        return longest

    def _count(self, length: int) -> int:
        return sum(int(spans[1, length]) - int(spans[0, length]) for _, spans in self._reached(length))

    def _reached(self, length: int) -> list[tuple[Segment, Rows]]:
        pairs = zip(self.segments, self._spans, strict=True)
        return [(segment, spans) for segment, spans in pairs if spans.shape[1] > length]

    def _following(self, segment: Segment, spans: Rows, length: int) -> NDArray[np.integer]:
        following = segment.following[_sampled(spans, length, _SAMPLE)]
        living: NDArray[np.integer] = following[following != segment.separator]
        return living

    def _is_code(self, ids: Ids) -> NDArray[np.bool_]:
        """Which ids are of a text: neither special ones nor boundaries."""
        return self._plain[np.minimum(ids + 1, len(self._plain) - 1)]


def _tallied(ids: NDArray[np.integer], weights: NDArray[np.floating]) -> tuple[Ids, NDArray[np.float64]]:
    """Each of `ids` once, ascending, and what its `weights` add up to. For the few ids of a context a third of the time
    of numpy's `unique`."""
    order = ids.argsort(kind="stable")
    ids = ids[order]
    first = np.empty(len(ids), bool)
    first[0] = True
    np.not_equal(ids[1:], ids[:-1], out=first[1:])
    starts = first.nonzero()[0]
    return ids[starts].astype(np.int64), np.add.reduceat(weights[order], starts)


def _shared_end(before: list[int], ids: list[int]) -> int:
    """How much of the end of `before` is the end of `ids`. The last token before the cursor may be missing there: it is
    taken back to be healed (`infer/healing.py`), and must not be what is expected next."""
    shared = []
    for taken in (0, 1):
        pairs = zip(reversed(before[: len(before) - taken]), reversed(ids), strict=False)
        same = next(
            (count for count, (one, other) in enumerate(pairs) if one != other), min(len(before) - taken, len(ids))
        )
        shared.append(taken + same if same > 0 else 0)
    return max(shared, default=0)


def _sampled(spans: Rows, length: int, most: int) -> slice:
    """The rows of a span, or evenly some of them."""
    low, high = int(spans[0, length]), int(spans[1, length])
    return slice(low, high, -(-(high - low) // most))
