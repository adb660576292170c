"""Streams that are used or were, since the next prompt mostly begins as an earlier one did."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from repotune.infer.paged.pages import Pages, PagesFullError, Stream

# Streams kept at once. Each prompt is compared with all of them: 32 of 1,000 tokens take 60 µs.
MOST_KEPT = 32
# Tokens that an edit leaves behind, so that 32 keystrokes in one file do not push out all others.
_AN_ANSWER = 64


class Shelf:
    """Streams in use, and kept ones, the latest used first. Safe to use from any thread."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._lock = threading.Lock()
        self._kept: list[Stream] = []
        self._used: list[Stream] = []

    def take(self, ids: Sequence[int]) -> Stream:
        """A stream that holds the beginning of `ids`, as much as any stream has of it, but not all of `ids`: the logits
        after the last are asked for. It is in use until it is `put` back.

        A kept stream of which little is left out, an answer that was not accepted, is the same text, edited, and goes
        on itself. Of another the beginning is shared: a header, the same other files put before two texts, or a prompt
        whose answer is still under way when the next key is struck.
        """
        with self._lock:
            best, length = self._nearest(ids)
            taken = self._begin(best, length) if best is not None else self._pages.stream()
            self._used.append(taken)
            return taken

    def held(self, ids: Sequence[int]) -> int:
        """How many of the first of `ids` a stream has, but for the last of them."""
        with self._lock:
            return self._nearest(ids)[1]

    def _nearest(self, ids: Sequence[int]) -> tuple[Stream | None, int]:
        """The stream that begins with most of `ids`, the last left out, and with how many; None where none does."""
        wanted = np.asarray(ids, np.int64)
        streams = [*self._kept, *self._used]
        # Slices, which are copied with Python's lock: numpy lets go of it while it reads an array, which nobody can
        # extend meanwhile, and the pass that computes one of these streams does.
        shared = [common_prefix(np.array(stream.tokens[:], np.int64), wanted) for stream in streams]
        best = max(range(len(shared)), key=shared.__getitem__, default=-1)
        length = min(shared[best], len(ids) - 1) if shared else 0
        return (streams[best], length) if length else (None, 0)

    def _begin(self, stream: Stream, length: int) -> Stream:
        if stream not in self._kept:
            return self._pages.fork(stream, length)
        self._kept.remove(stream)
        if len(stream.tokens) - length <= _AN_ANSWER:
            self._pages.cut(stream, length)
            return stream
        self._kept.insert(0, stream)
        return self._pages.fork(stream, length)

    def put(self, stream: Stream) -> None:
        """Keeps `stream`; the one unused for longest goes where there are too many."""
        with self._lock:
            self._used.remove(stream)
            if not stream.tokens:
                self._pages.release(stream)
                return
            self._kept.insert(0, stream)
            for dropped in self._kept[MOST_KEPT:]:
                self._pages.release(dropped)
            del self._kept[MOST_KEPT:]

    def reserve(self, stream: Stream, tokens: int) -> None:
        """Room for `tokens` more in `stream`, where need be in the pages of kept streams. Raises PagesFullError."""
        with self._lock:
            while True:
                try:
                    return self._pages.reserve(stream, tokens)
                except PagesFullError:
                    if not self._kept:
                        raise
                    self._pages.release(self._kept.pop())


def common_prefix(first: NDArray[np.int64], second: NDArray[np.int64]) -> int:
    """How many leading numbers are equal.

    >>> common_prefix(np.array([1, 2, 3]), np.array([1, 2, 4, 5]))
    2
    """
    length = min(len(first), len(second))
    different = first[:length] != second[:length]
    return int(different.argmax()) if different.any() else length
