"""Keys and values in pages of some tokens, which streams share where their beginnings are the same.

A page that several streams hold is never written where another reads: who goes on behind a shared beginning gets a copy
of its last page. Safe to use from any thread, for a stream of one's own, and to fork one that another thread is using.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from repotune.core.errors import RepotuneError


class PagesFullError(RepotuneError):
    """No page is free."""


class Stream:
    """One sequence: the `tokens` whose keys and values are whole, and the `table` of the pages that hold them."""

    def __init__(self, most_pages: int) -> None:
        self.tokens: array[int] = array("q")
        self.table: NDArray[np.int64] = np.zeros(most_pages, np.int64)
        self.pages = 0


class Pages:
    """Which of `count` pages of `size` tokens belongs to which stream. What lies in them is the backend's, which gives
    `copy(page, to)`."""

    def __init__(self, count: int, size: int, context: int, copy: Callable[[int, int], None]) -> None:
        self.count, self.size = count, size
        self._most_pages = -(-context // size)
        self._copy = copy
        self._holders = np.zeros(count, np.int64)
        self._free = list(range(count - 1, -1, -1))
        self._lock = threading.RLock()

    @property
    def free(self) -> int:
        return len(self._free)

    def stream(self) -> Stream:
        """A new stream that holds nothing."""
        return Stream(self._most_pages)

    def fork(self, stream: Stream, length: int) -> Stream:
        """A new stream with the first `length` tokens of `stream`, in the same pages."""
        forked = self.stream()
        with self._lock:
            forked.tokens = stream.tokens[:length]
            forked.pages = -(-length // self.size)
            forked.table[: forked.pages] = stream.table[: forked.pages]
            self._holders[forked.table[: forked.pages]] += 1
        return forked

    def cut(self, stream: Stream, length: int) -> None:
        """Forgets all but the first `length` tokens of `stream`."""
        with self._lock:
            del stream.tokens[length:]
            self._drop(stream, -(-length // self.size))

    def reserve(self, stream: Stream, tokens: int) -> None:
        """Makes room for `tokens` more in pages that `stream` alone holds. Raises PagesFullError; then `stream` holds
        what it held."""
        length = len(stream.tokens)
        with self._lock:
            pages = max(stream.pages, -(-(length + tokens) // self.size))
            shared = length % self.size > 0 and self._holders[stream.table[length // self.size]] > 1
            if pages - stream.pages + shared > len(self._free):
                raise PagesFullError(f"{pages} pages are needed and {len(self._free)} are free")
            if shared:
                self._own(stream, length // self.size)
            while stream.pages < pages:
                stream.table[stream.pages] = self._take()
                stream.pages += 1

    def release(self, stream: Stream) -> None:
        """Forgets `stream`."""
        self.cut(stream, 0)

    def _take(self) -> int:
        page = self._free.pop()
        self._holders[page] = 1
        return page

    def _own(self, stream: Stream, place: int) -> None:
        shared = stream.table[place]
        page = self._take()
        self._copy(int(shared), page)
        self._holders[shared] -= 1
        stream.table[place] = page

    def _drop(self, stream: Stream, pages: int) -> None:
        for page in stream.table[pages : stream.pages]:
            self._holders[page] -= 1
            if not self._holders[page]:
                self._free.append(int(page))
        stream.pages = min(stream.pages, pages)
