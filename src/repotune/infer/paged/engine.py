"""An `Engine` over passes, of which any number share one model and compute together."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from repotune.infer.engine import Cancelled, EngineStats, Logits, check_ids
from repotune.infer.paged.batching import Batcher, Request
from repotune.infer.paged.pages import Stream
from repotune.infer.paged.passes import Passes
from repotune.infer.paged.shelf import Shelf


class _Shared:
    """What the engines of one model have in common."""

    def __init__(self, passes: Passes) -> None:
        self.pages = passes.pages
        self.shelf = Shelf(self.pages)
        self.batcher = Batcher(passes)


class PagedEngine:
    """An Engine (`repotune.infer.engine`) over one stream of `passes`, whoever else computes and whatever was held
    before."""

    def __init__(self, passes: Passes, shared: _Shared | None = None) -> None:
        self.context, self.vocabulary = passes.config.context, passes.config.vocabulary
        self.precision = passes.precision
        self._passes = passes
        self._shared = shared or _Shared(passes)
        self._stream: Stream | None = None
        self._request: Request | None = None
        self._lock = threading.Lock()
        self._cancelled = False
        self._stats = EngineStats()

    def another(self) -> PagedEngine:
        """See `Engine.another`."""
        return PagedEngine(self._passes, self._shared)

    def held(self, ids: Sequence[int]) -> int:
        """See `Engine.held`."""
        return self._shared.shelf.held(ids)

    def prefill(self, ids: Sequence[int]) -> Logits:
        """See `Engine.prefill`."""
        started = time.perf_counter()
        check_ids(ids, self.vocabulary, room=self.context, context=self.context)
        self._put_back()
        self._stream = self._shared.shelf.take(ids)
        reused = len(self._stream.tokens)
        logits_V: Logits = self._compute(self._stream, ids[reused:], 1)[0]
        self._stats = self._stats.with_prompt(len(ids), reused, started)
        return logits_V

    def step(self, token: int) -> Logits:
        """See `Engine.step`."""
        logits_V: Logits = self.extend((token,))[0]
        return logits_V

    def extend(self, ids: Sequence[int]) -> Logits:
        """See `Engine.extend`."""
        started = time.perf_counter()
        if self._stream is None or not self._stream.tokens:
            raise ValueError("a sequence begins with a prefill")
        check_ids(ids, self.vocabulary, room=self.context - len(self._stream.tokens), context=self.context)
        logits_TV = self._compute(self._stream, ids, len(ids))
        self._stats = self._stats.with_step(started)
        return logits_TV

    def rewind(self, count: int) -> None:
        """See `Engine.rewind`."""
        if self._stream is None or not 0 <= count < len(self._stream.tokens):
            raise ValueError(f"{count} tokens cannot be taken back")
        self._shared.pages.cut(self._stream, len(self._stream.tokens) - count)

    def end(self) -> None:
        """See `Engine.end`."""
        self._put_back()
        with self._lock:
            self._cancelled = False

    def _put_back(self) -> None:
        if self._stream is not None:
            self._shared.shelf.put(self._stream)
        self._stream = None

    def cancel(self) -> None:
        """See `Engine.cancel`."""
        with self._lock:
            self._cancelled = True
            if self._request is not None:
                self._shared.batcher.cancel(self._request)

    def settle(self) -> None:
        """Waits until what was computed so far is as quick as it will be (`Passes.settle`)."""
        self._passes.settle()

    def stats(self) -> EngineStats:
        """What was done since the engine was opened."""
        return self._stats

    def _compute(self, stream: Stream, ids: Sequence[int], wanted: int) -> Logits:
        self._shared.shelf.reserve(stream, len(ids))
        with self._lock:
            if self._cancelled:
                self._cancelled = False
                raise Cancelled("cancelled")
            self._request = Request(stream, ids, wanted)
        try:
            return self._shared.batcher.compute(self._request)
        except Cancelled:
            self._cancelled = False
            raise
        finally:
            with self._lock:
                self._request = None
