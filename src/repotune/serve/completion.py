"""From a question to a completion: what answers it, what is trimmed from the answer and what is counted."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal

from starlette.concurrency import run_in_threadpool

from repotune.infer.decoding import Token
from repotune.infer.trimming import Trimmer, open_trimmer
from repotune.serve.attribution import Attribution
from repotune.serve.metrics import Metrics
from repotune.serve.source import Ask, Reply, Source
from repotune.serve.typed_through import Answers, Told

Finish = Literal["stop", "length"]


@dataclass(frozen=True)
class Chunk:
    """Text that is certain to stay, and the tokens read meanwhile; some of these may end up trimmed away."""

    text: str
    tokens: tuple[Token, ...]


class Completer:
    """Answers questions from `source`. `attribution` looks up what answers repeat, where there is an index."""

    def __init__(self, source: Source, metrics: Metrics, attribution: Attribution | None) -> None:
        self.context = source.context
        self._source, self._metrics, self._attribution = source, metrics, attribution
        self._answers = Answers()

    async def begin(self, ask: Ask) -> Completion:
        """Admits `ask`; raises as `Source.reply`."""
        arrived = time.perf_counter()
        if told := self._answers.rest(ask):
            self._metrics.typed_through()
            return Completion(ask, told, None, self._metrics, self._answers, self._attribution, arrived)
        reply = await self._source.reply(ask)
        trimmer = None
        if ask.suffix is not None:  # a grammar's first loading goes on beside the model's work
            trimmer = await run_in_threadpool(open_trimmer, ask.prefix, ask.suffix, ask.path)
        return Completion(ask, reply, trimmer, self._metrics, self._answers, self._attribution, arrived)


class Completion:
    """One completion under way. Iterate for its chunks; afterwards, or after `close`, the figures are final."""

    def __init__(
        self,
        ask: Ask,
        reply: Reply,
        trimmer: Trimmer | None,
        metrics: Metrics,
        answers: Answers,
        attribution: Attribution | None,
        arrived: float,
    ) -> None:
        self.text = ""
        self.finish: Finish | None = None
        self.repeats: list[dict[str, Any]] = []
        self.decode_seconds = 0.0
        self._ask, self._reply = ask, reply
        self._metrics, self._answers, self._attribution = metrics, answers, attribution
        self._arrived, self._first = arrived, 0.0
        self._trimmer = trimmer

    @property
    def prompt_tokens(self) -> int:
        return self._reply.prompt_tokens

    @property
    def cached_tokens(self) -> int:
        """How much of the prompt was in the engine already."""
        return self._reply.cached_tokens

    @property
    def completion_tokens(self) -> int:
        return self._reply.completion_tokens

    @property
    def prefill_seconds(self) -> float:
        return self._reply.prefill_seconds

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
        async for piece in self._reply:
            now = time.perf_counter()
            if not self._first:
                self._first = now
                self._metrics.first_token(now - self._arrived)
            self.decode_seconds = now - self._first
            text, enough = self._trim(piece.text, piece.finish)
            late = self.decode_seconds > self._ask.patience and "\n" in self.text + text
            self.text += text
            self.finish = piece.finish or ("stop" if enough else "length" if late else None)
            yield Chunk(text, piece.tokens)
            if self.finish:
                return

    def close(self) -> None:
        """Ends it and counts it: a completion without a finish was left by its reader."""
        self._reply.cancel()
        if self.finish and not isinstance(self._reply, Told):
            self._answers.remember(self._ask, self.text, self.finish, self.prompt_tokens)
        if self._first:
            self._metrics.prompt(self.prompt_tokens, self.cached_tokens)
        self._metrics.completed(self.finish or "abort", time.perf_counter() - self._arrived, self.completion_tokens)

    def _trim(self, text: str, finish: Finish | None) -> tuple[str, bool]:
        """What of `text` to show, and whether that was all there is to say."""
        if self._trimmer is None:
            return text, False
        shown = self._trimmer.feed(text)
        if finish:
            shown += self._trimmer.finish()
        return shown, self._trimmer.done
