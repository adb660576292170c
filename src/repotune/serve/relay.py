"""Answers from a server elsewhere, which is asked in OpenAI's dialect. What it does not give is refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from repotune.infer.adapters.completions import TextEngine, TextPiece, TextRequest
from repotune.infer.decoding import Piece
from repotune.serve.scheduler import QUEUE_LIMIT, STREAMS
from repotune.serve.source import Ask, BusyError, NotGivenError


class Relay:
    """A Source (`repotune.serve.source`) over `engine`. The other server orders what is asked of it at once, up to as
    much as an engine here takes in."""

    def __init__(self, engine: TextEngine) -> None:
        self.context = engine.context
        self.waiting = 0  # none waits here
        self._engine = engine
        self._running: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> int:
        """See `Source.running`."""
        return len(self._running)

    def start(self) -> None:
        """See `Source.start`."""

    async def close(self) -> None:
        """See `Source.close`."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._engine.close()

    async def reply(self, ask: Ask) -> RelayedReply:
        """See `Source.reply`."""
        if ask.probabilities:
            raise NotGivenError("The server that is asked tells no log-probabilities; leave logprobs out.", "logprobs")
        if ask.suffix is not None and not self._engine.fills:
            raise NotGivenError("The server that is asked fills no gaps; leave the suffix out.", "suffix")
        if self.running >= STREAMS + QUEUE_LIMIT:
            raise BusyError(f"{self.running} requests are under way already")
        request = TextRequest(
            ask.prefix, ask.suffix, ask.max_tokens, ask.sampling, ask.stop, path=ask.path, extras=ask.extras
        )
        reply = RelayedReply(self._engine.complete(request))
        self._running.add(reply.reading)
        reply.reading.add_done_callback(self._running.discard)
        return reply


class RelayedReply:
    """A Reply (`repotune.serve.source`). Tokens are counted by the other server, at the end; one that does not say is
    taken to send a token a piece."""

    cached_tokens = 0

    def __init__(self, pieces: AsyncIterator[TextPiece]) -> None:
        self.prompt_tokens = self.completion_tokens = 0
        self.prefill_seconds = 0.0
        self.reading = asyncio.create_task(self._read(pieces))
        self.reading.add_done_callback(lambda _: self._pieces.put_nowait(None))
        self._pieces: asyncio.Queue[TextPiece | Exception | None] = asyncio.Queue()

    def cancel(self) -> None:
        """See `Reply.cancel`: the connection is closed, by which the other server knows."""
        self.reading.cancel()

    async def _read(self, pieces: AsyncIterator[TextPiece]) -> None:
        begun = time.perf_counter()
        try:
            async for piece in pieces:
                self.prefill_seconds = self.prefill_seconds or time.perf_counter() - begun
                self._pieces.put_nowait(piece)
        except Exception as error:  # for who reads this reply
            self._pieces.put_nowait(error)

    async def __aiter__(self) -> AsyncIterator[Piece]:
        while (piece := await self._pieces.get()) is not None:
            if isinstance(piece, Exception):
                raise piece
            counted = self.completion_tokens + bool(piece.text)
            self.completion_tokens = counted if piece.completion_tokens is None else piece.completion_tokens
            self.prompt_tokens = piece.prompt_tokens or 0
            yield Piece(piece.text, (), piece.finish)
