"""From a question to a completion: the prompt, the generation, what is trimmed from it and what is counted.

Both dialects, OpenAI's and llama.cpp's, come down to an `Ask`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from starlette.concurrency import run_in_threadpool

from repotune.core.errors import RepotuneError
from repotune.infer.assistance import AssistedEngine
from repotune.infer.decoding import Sampling, Token
from repotune.infer.prompts import continuation_prompt, infilling_prompt
from repotune.serve.attribution import Attribution
from repotune.serve.metrics import Metrics
from repotune.serve.postprocess import Trimmer
from repotune.serve.scheduler import Generation, Scheduler, Task
from repotune.serve.typed_through import Answers, Told
from repotune.tokenizer.encoding import Codec

_AT_HAND = 20_000  # characters on either side of the cursor
_UNTRIMMED = 2**31  # as the room for a prompt: its whole text is encoded

Finish = Literal["stop", "length"]


class PromptTooLongError(RepotuneError):
    """A plain prompt and what shall follow it are longer than the model's context."""


@dataclass(frozen=True)
class Ask:
    """A question to the model.

    With a `suffix`, even an empty one, the gap before it is filled; with None the prefix is continued. `extras` are
    pieces of other files, (path, text), which stand before it as far as there is room. After `patience` seconds of
    generating, a completion of more than a line ends where it is.
    """

    prefix: str
    suffix: str | None
    max_tokens: int
    sampling: Sampling
    stop: tuple[str, ...] = ()
    path: str = ""
    extras: tuple[tuple[str, str], ...] = ()
    patience: float = float("inf")


@dataclass(frozen=True)
class Chunk:
    """Text that is certain to stay, and the tokens read meanwhile; some of these may end up trimmed away."""

    text: str
    tokens: tuple[Token, ...]


class Completer:
    """Answers questions with one engine. The scheduler runs between its `start` and its `close`."""

    def __init__(
        self,
        engine: AssistedEngine,
        codec: Codec,
        scheduler: Scheduler,
        metrics: Metrics,
        attribution: Attribution | None,
    ) -> None:
        self.codec = codec
        self.context = engine.context
        self._metrics = metrics
        self._scheduler = scheduler
        self._answers = Answers()
        self._attribution = attribution

    async def begin(self, ask: Ask) -> Completion:
        """Admits `ask`. Raises PromptTooLongError for a plain prompt, and BusyError."""
        arrived = time.perf_counter()
        if told := self._answers.rest(ask):
            self._metrics.typed_through()
            return self._completion(ask, told, arrived)
        task = await run_in_threadpool(self._task, ask)  # encoding a long file would hold up the event loop
        return self._completion(ask, self._scheduler.admit(task), arrived)

    def _completion(self, ask: Ask, generation: Generation | Told, arrived: float) -> Completion:
        return Completion(ask, generation, self._metrics, self._answers, self._attribution, arrived)

    def _task(self, ask: Ask) -> Task:
        if ask.suffix is None:
            prompt = continuation_prompt(self.codec, ask.prefix, ask.path, _UNTRIMMED)
            if len(prompt) + ask.max_tokens > self.context:
                raise PromptTooLongError(
                    f"The prompt has {len(prompt)} tokens and max_tokens is {ask.max_tokens}; "
                    f"the model's context holds {self.context} together."
                )
            return Task(prompt, ask.max_tokens, ask.sampling, ask.stop, urgent=False)
        # An editor sends whole files: what lies far from the gap is left out. At least half of the context is prompt.
        max_tokens = min(ask.max_tokens, self.context // 2)
        prompt = infilling_prompt(self.codec, ask.prefix, ask.suffix, ask.path, self.context - max_tokens)
        left = self.context - max_tokens - len(prompt)
        # The prompt may leave out much of the file; what the file repeats is looked up in more of it.
        before = self.codec.encode(ask.prefix[-_AT_HAND:])
        behind = self.codec.encode(ask.suffix[:_AT_HAND])
        prompt = [*self._before(ask.extras, left), *prompt]
        return Task(prompt, max_tokens, ask.sampling, ask.stop, before=before, behind=behind)

    def _before(self, extras: Sequence[tuple[str, str]], room: int) -> list[int]:
        """The last of `extras` that fit, each as a document like those that precede one in training."""
        documents: list[list[int]] = []
        for path, text in reversed(extras):
            document = [*self.codec.header(path), *self.codec.encode(text), self.codec.end]
            room -= len(document)
            if room < 0:
                break
            documents.insert(0, document)
        return [token for document in documents for token in document]


class Completion:
    """One completion under way. Iterate for its chunks; afterwards, or after `close`, the figures are final."""

    def __init__(
        self,
        ask: Ask,
        generation: Generation | Told,
        metrics: Metrics,
        answers: Answers,
        attribution: Attribution | None,
        arrived: float,
    ) -> None:
        self.text = ""
        self.finish: Finish | None = None
        self.prompt_tokens = generation.prompt_tokens
        self.completion_tokens = 0
        self.decode_seconds = 0.0
        self._ask = ask
        self._generation = generation
        self.repeats: list[dict[str, Any]] = []
        self._metrics, self._answers, self._attribution = metrics, answers, attribution
        self._arrived = arrived
        trimmed = ask.suffix is None or isinstance(generation, Told)
        self._trimmer = None if trimmed else Trimmer(ask.prefix, ask.suffix or "")

    @property
    def cached_tokens(self) -> int:
        """How much of the prompt was in the engine already."""
        return self._generation.cached_tokens

    @property
    def prefill_seconds(self) -> float:
        return self._generation.prefill_seconds

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        attribution = self._attribution
        if attribution is None:
            async for chunk in self._chunks():
                yield chunk
            return
        # A licence may forbid the whole: then nothing can be shown before the end is known.
        held: list[Chunk] = []
        async for chunk in self._chunks():
            if self.finish:
                verdict = await run_in_threadpool(attribution.judge, self._ask.prefix, self.text, self._ask.path)
                self.repeats = verdict.repeats
                if not verdict.allowed:
                    self._metrics.withheld()
                    self.text, self.finish = "", "stop"
                    yield Chunk("", ())
                    return
            if attribution.refuses:
                held.append(chunk)
            else:
                yield chunk
        if held and self.finish:  # one that was cut off was not judged
            yield Chunk(self.text, tuple(token for chunk in held for token in chunk.tokens))

    async def _chunks(self) -> AsyncIterator[Chunk]:
        first = 0.0
        async for piece in self._generation:
            now = time.perf_counter()
            if not first:
                first = now
                self._metrics.first_token(first - self._arrived, self.prompt_tokens, self.cached_tokens)
            self.completion_tokens += len(piece.tokens)
            self.decode_seconds = now - first
            text, enough = self._trim(piece.text, piece.finish)
            late = self.decode_seconds > self._ask.patience and "\n" in self.text + text
            self.text += text
            self.finish = piece.finish or ("stop" if enough else "length" if late else None)
            yield Chunk(text, piece.tokens)
            if self.finish:
                return

    def close(self) -> None:
        """Ends it and counts it: a completion without a finish was left by its reader."""
        self._generation.cancel()
        if self.finish and isinstance(self._generation, Generation):
            self._answers.remember(self._ask, self.text, self.finish, self.prompt_tokens)
        self._metrics.completed(self.finish or "abort", time.perf_counter() - self._arrived, self.completion_tokens)

    def _trim(self, text: str, finish: Finish | None) -> tuple[str, bool]:
        """What of `text` to show, and whether that was all there is to say."""
        if self._trimmer is None:
            return text, False
        shown = self._trimmer.feed(text)
        if finish:
            shown += self._trimmer.finish()
        return shown, self._trimmer.done
