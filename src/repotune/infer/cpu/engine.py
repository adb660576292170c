"""Our engine on a CPU: an `Engine` over packed weights, of which any number share one model and compute together."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace

import psutil

from repotune.infer.cpu.batching import Batcher, Request
from repotune.infer.cpu.packed import PackedModel
from repotune.infer.cpu.pages import Stream
from repotune.infer.cpu.passes import Passes
from repotune.infer.cpu.shelf import Shelf
from repotune.infer.engine import Cancelled, EngineStats, Logits, check_ids
from repotune.model.configuration import ModelConfig

# Whole contexts that have room at once, those under way and those kept for the next keystroke, in a share of memory:
# the server's four streams at their longest, and some files that one comes back to.
_CONTEXTS = 5
_LEAST_TOKENS = 2560  # of short contexts: fifty streams of three pages
_SHARE = 0.25


class _Shared:
    """What the engines of one model have in common."""

    def __init__(self, model: PackedModel, threads: int, tokens: int) -> None:
        self.passes = Passes(model, threads, tokens)
        self.shelf = Shelf(self.passes.pages)
        self.batcher = Batcher(self.passes)


class CpuEngine:
    """An Engine (`repotune.infer.engine`) over one stream. Results are the same bits whoever else computes, whatever
    was held before and with any number of threads."""

    def __init__(self, model: PackedModel, threads: int, shared: _Shared | None = None) -> None:
        self.context, self.vocabulary = model.config.context, model.config.vocabulary
        self.precision = f"int{model.bits}"
        self._model, self._threads = model, threads
        self._shared = shared or _Shared(model, threads, _tokens(model.config))
        self._stream: Stream | None = None
        self._request: Request | None = None
        self._lock = threading.Lock()
        self._cancelled = False
        self._stats = EngineStats()

    def another(self) -> CpuEngine:
        """See `Engine.another`."""
        return CpuEngine(self._model, self._threads, self._shared)

    def prefill(self, ids: Sequence[int]) -> Logits:
        """See `Engine.prefill`."""
        started = time.perf_counter()
        check_ids(ids, self.vocabulary, room=self.context, context=self.context)
        self._put_back()
        self._stream = self._shared.shelf.take(ids)
        reused = len(self._stream.tokens)
        logits_V: Logits = self._compute(self._stream, ids[reused:], 1)[0]
        self._stats = replace(
            self._stats,
            prompts=self._stats.prompts + 1,
            prompt_tokens=self._stats.prompt_tokens + len(ids),
            reused_tokens=self._stats.reused_tokens + reused,
            prefill_seconds=self._stats.prefill_seconds + time.perf_counter() - started,
        )
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
        self._stats = replace(
            self._stats,
            steps=self._stats.steps + 1,
            step_seconds=self._stats.step_seconds + time.perf_counter() - started,
        )
        return logits_TV

    def rewind(self, count: int) -> None:
        """See `Engine.rewind`."""
        if self._stream is None or not 0 <= count < len(self._stream.tokens):
            raise ValueError(f"{count} tokens cannot be taken back")
        self._shared.passes.pages.cut(self._stream, len(self._stream.tokens) - count)

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


def _tokens(config: ModelConfig) -> int:
    """How many tokens' keys and values there is room for: one context in any case."""
    bytes_a_token = 2 * 2 * config.layers * config.kv_heads * config.head_width
    room = int(_SHARE * psutil.virtual_memory().total) // bytes_a_token
    return max(config.context, min(max(_CONTEXTS * config.context, _LEAST_TOKENS), room))
