"""One engine, one thread, requests in order: the door between the event loop and the model.

The event loop admits a task and reads its pieces; the thread computes them. A generation that nobody reads any more is
cancelled at once: in the queue it is dropped, under way it ends at the engine's next layer, so the next one starts.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from repotune.core.errors import RepotuneError
from repotune.infer.decoding import Piece, Sampling, generate
from repotune.infer.engine import Cancelled, Engine
from repotune.tokenizer.encoding import Codec

QUEUE_LIMIT = 32  # a team's editors at one moment; beyond it an answer would come too late to be of use


class BusyError(RepotuneError):
    """The queue is full."""


@dataclass(frozen=True)
class Task:
    """What the engine is asked: to continue `prompt` (token ids)."""

    prompt: list[int]
    max_tokens: int
    sampling: Sampling
    stop: tuple[str, ...] = ()


class Generation:
    """A task in the queue or under way; an asynchronous iterator of its pieces, which ends after the last or a cancel.

    `cached_tokens` and `prefill_seconds` are known from the first piece on.
    """

    def __init__(self, task: Task, scheduler: Scheduler) -> None:
        self.task = task
        self.cancelled = threading.Event()
        self.cached_tokens = 0
        self.prefill_seconds = 0.0
        self._scheduler = scheduler
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[Piece | BaseException | None] = asyncio.Queue()

    def cancel(self) -> None:
        """Ends it wherever it stands; without effect when it is over."""
        self._scheduler.cancel(self)

    async def __aiter__(self) -> AsyncIterator[Piece]:
        while (item := await self._pieces.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item

    def deliver(self, item: Piece | BaseException | None) -> None:
        """Hands the reader a piece, an error, or the end (None). Called by the scheduler's thread."""
        self._loop.call_soon_threadsafe(self._pieces.put_nowait, item)


class Scheduler:
    """Runs generations one after the other on `engine`. `start` and `close` frame its use."""

    def __init__(self, engine: Engine, codec: Codec, queue_limit: int = QUEUE_LIMIT) -> None:
        self._engine = engine
        self._codec = codec
        self._limit = queue_limit
        self._waiting: deque[Generation] = deque()
        self._running: Generation | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Cancels everything and waits for the thread: at most one layer's time."""
        with self._changed:
            self._closed = True
            for generation in [*self._waiting, *([self._running] if self._running else [])]:
                self._cancel(generation)
            self._changed.notify()
        self._thread.join()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def running(self) -> int:
        return int(self._running is not None)

    @property
    def limit(self) -> int:
        return self._limit

    def admit(self, task: Task) -> Generation:
        """Puts `task` at the end of the queue. Raises BusyError when the queue is full. Call it on the event loop."""
        generation = Generation(task, self)
        with self._changed:
            if len(self._waiting) >= self._limit or self._closed:
                raise BusyError(f"{len(self._waiting)} requests are waiting already")
            self._waiting.append(generation)
            self._changed.notify()
        return generation

    def cancel(self, generation: Generation) -> None:
        with self._changed:
            self._cancel(generation)

    def _cancel(self, generation: Generation) -> None:
        """Under the lock, so that the engine's cancel never meets the generation after this one."""
        if generation is self._running and not generation.cancelled.is_set():
            self._engine.cancel()
        elif generation in self._waiting:
            self._waiting.remove(generation)
            generation.deliver(None)
        generation.cancelled.set()

    def _next(self) -> Generation | None:
        with self._changed:
            self._running = None
            self._changed.wait_for(lambda: self._waiting or self._closed)
            self._running = self._waiting.popleft() if self._waiting else None
            return self._running

    def _work(self) -> None:
        while (generation := self._next()) is not None:
            try:
                self._generate(generation)
            except Cancelled:
                pass
            except Exception as error:  # the reader is told, the thread lives on for the next one
                generation.deliver(error)
            generation.deliver(None)

    def _generate(self, generation: Generation) -> None:
        if generation.cancelled.is_set():
            return
        task, before = generation.task, self._engine.stats()
        first = True
        limits = task.sampling, task.max_tokens, task.stop
        for piece in generate(self._engine, self._codec, task.prompt, *limits, heal=True):
            if generation.cancelled.is_set():
                return
            if first:
                after, first = self._engine.stats(), False
                generation.cached_tokens = after.reused_tokens - before.reused_tokens
                generation.prefill_seconds = after.prefill_seconds - before.prefill_seconds
            generation.deliver(piece)
