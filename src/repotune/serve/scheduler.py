"""A few streams, a thread each, and a queue before them: the door between the event loop and the model.

The event loop admits a task and reads its pieces; the threads compute them, together where the engine can. A generation
that nobody reads any more is cancelled at once: in the queue it is dropped, under way it ends at the engine's next
layer or token. What somebody waits for at a cursor goes before longer texts, and has a stream that these never take.

When an answer is out, and nobody waits, its stream reads on: what the prompt left out to be in time.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

from repotune.infer.assistance import AssistedEngine
from repotune.infer.decoding import Piece, Sampling, generate
from repotune.infer.engine import Cancelled
from repotune.infer.paged.pages import PagesFullError
from repotune.serve.source import BusyError
from repotune.tokenizer.encoding import Codec

STREAMS = 4  # together they cost a pass little more than one: its time is that of reading the weights
_TELLING = 128  # tokens: a shorter prompt's time says little of a long one's
QUEUE_LIMIT = 32  # a team's editors at one moment; beyond it an answer would come too late to be of use


@dataclass(frozen=True)
class Task:
    """What the engine is asked: to continue `prompt` (token ids). Somebody waits at a cursor for what is `urgent`;
    `before` and `behind` it stand the ids of the file at hand; `further` is a prompt to be read after the answer."""

    prompt: list[int]
    max_tokens: int
    sampling: Sampling
    stop: tuple[str, ...] = ()
    urgent: bool = True
    before: list[int] = field(default_factory=list)
    behind: list[int] = field(default_factory=list)
    further: list[int] = field(default_factory=list)


class Generation:
    """A task in the queue or under way: a Reply (`repotune.serve.source`)."""

    def __init__(self, task: Task, scheduler: Scheduler) -> None:
        self.task = task
        self.cancelled = threading.Event()
        self.cached_tokens = self.completion_tokens = 0
        self.prefill_seconds = 0.0
        self._scheduler = scheduler
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[Piece | BaseException | None] = asyncio.Queue()

    @property
    def prompt_tokens(self) -> int:
        return len(self.task.prompt)

    def cancel(self) -> None:
        """See `Reply.cancel`."""
        self._scheduler.cancel(self)

    async def __aiter__(self) -> AsyncIterator[Piece]:
        while (item := await self._pieces.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            self.completion_tokens += len(item.tokens)
            yield item

    def deliver(self, item: Piece | BaseException | None) -> None:
        """Hands the reader a piece, an error, or the end (None). Called by the scheduler's thread."""
        self._loop.call_soon_threadsafe(self._pieces.put_nowait, item)


class Scheduler:
    """Runs generations on `streams` engines of the same weights. `start` and `close` frame its use."""

    def __init__(
        self, engine: AssistedEngine, codec: Codec, queue_limit: int = QUEUE_LIMIT, streams: int = STREAMS
    ) -> None:
        self._codec, self._engine = codec, engine
        self._limit = queue_limit
        self._waiting: deque[Generation] = deque()
        self._running: dict[Generation, AssistedEngine] = {}
        self._reading: list[AssistedEngine] = []
        self._rate = math.inf
        self._closed = False
        self._changed = threading.Condition()
        engines = [engine, *(engine.another() for _ in range(1, streams))]
        urgent_only = [streams > 1, *[False] * (streams - 1)]
        self._threads = [
            threading.Thread(target=self._work, args=arguments, name=f"stream-{number}", daemon=True)
            for number, arguments in enumerate(zip(engines, urgent_only, strict=True))
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Cancels everything and waits for the threads: at most one layer's time, or one token's."""
        with self._changed:
            self._closed = True
            for generation in [*self._waiting, *self._running]:
                self._cancel(generation)
            self._stop_reading()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def limit(self) -> int:
        return self._limit

    @property
    def rate(self) -> float:
        """Tokens of a prompt that are read in a second, by the latest prompts; infinite before any."""
        return self._rate

    def held(self, prompt: list[int]) -> int:
        """How many of the first of them need not be read."""
        return self._engine.held(prompt)

    def admit(self, task: Task) -> Generation:
        """Puts `task` at the end of the queue. Raises BusyError when the queue is full. Call it on the event loop."""
        generation = Generation(task, self)
        with self._changed:
            if len(self._waiting) >= self._limit or self._closed:
                raise BusyError(f"{len(self._waiting)} requests are waiting already")
            self._waiting.append(generation)
            self._stop_reading()
            self._changed.notify_all()  # not each stream takes each task
        return generation

    def cancel(self, generation: Generation) -> None:
        with self._changed:
            self._cancel(generation)

    def _cancel(self, generation: Generation) -> None:
        """Under the lock, so that the engine's cancel never meets the generation after this one."""
        if generation in self._running and not generation.cancelled.is_set():
            self._running[generation].cancel()
        elif generation in self._waiting:
            self._waiting.remove(generation)
            generation.deliver(None)
        generation.cancelled.set()

    def _stop_reading(self) -> None:
        """Under the lock, as `_cancel`."""
        for engine in self._reading:
            engine.cancel()

    def _next(self, engine: AssistedEngine, urgent_only: bool) -> Generation | None:
        """Waits for a generation to run on `engine`: the first that is urgent, else the first. None at the end."""
        with self._changed:
            while not self._closed:
                urgent = (generation for generation in self._waiting if generation.task.urgent)
                found = next(urgent, None) or (None if urgent_only else next(iter(self._waiting), None))
                if found is not None:
                    self._waiting.remove(found)
                    self._running[found] = engine
                    return found
                self._changed.wait()
        return None

    def _work(self, engine: AssistedEngine, urgent_only: bool) -> None:
        while (generation := self._next(engine, urgent_only)) is not None:
            try:
                self._generate(generation, engine)
            except Cancelled:
                pass
            except PagesFullError as error:
                generation.deliver(BusyError(str(error)))
            except Exception as error:  # the reader is told, the thread lives on for the next one
                generation.deliver(error)
            with self._changed:
                del self._running[generation]
                engine.end()  # a cancel that came too late is not for the next one
            generation.deliver(None)
            if generation.task.further:
                self._read(generation.task.further, engine)

    def _read(self, prompt: list[int], engine: AssistedEngine) -> None:
        """Has `prompt` in the engine's cache before it is asked for, where nobody else computes or comes."""
        with self._changed:
            if self._waiting or self._running or self._closed:
                return
            self._reading.append(engine)
        with suppress(Exception):  # whatever it is, who asks for this prompt next is told; the thread lives on
            engine.prefill(prompt)
        with self._changed:
            self._reading.remove(engine)
            engine.end()

    def _generate(self, generation: Generation, engine: AssistedEngine) -> None:
        if generation.cancelled.is_set():
            return
        task, before = generation.task, engine.stats()
        engine.open_file(task.before, task.behind)
        first = True
        limits = task.sampling, task.max_tokens, task.stop
        for piece in generate(engine, self._codec, task.prompt, *limits, heal=True):
            if generation.cancelled.is_set():
                return
            if first:
                after, first = engine.stats(), False
                generation.cached_tokens = after.reused_tokens - before.reused_tokens
                generation.prefill_seconds = after.prefill_seconds - before.prefill_seconds
                self._measure(len(task.prompt) - generation.cached_tokens, generation.prefill_seconds)
            generation.deliver(piece)

    def _measure(self, tokens: int, seconds: float) -> None:
        """Takes note of a prompt's speed; half of what is known is the latest, as a machine has other things to do."""
        if tokens >= _TELLING and seconds > 0:
            rate = tokens / seconds
            self._rate = rate if math.isinf(self._rate) else (self._rate + rate) / 2
