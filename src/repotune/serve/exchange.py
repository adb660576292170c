"""Reading a body, sending events, and noticing that the other side has left."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from repotune.infer.adapters.completions import RemoteError
from repotune.serve.completion import Completion
from repotune.serve.errors import FAILED, RefusalError, error_body, remote_status, validation_refusal

_log = logging.getLogger("repotune.serve")
BODY_LIMIT = 1_000_000  # bytes; files above this are generated, and no context holds them

Body = TypeVar("Body", bound=BaseModel)
Answer = TypeVar("Answer")


async def read_request(request: Request, model: type[Body]) -> Body:
    """The body as a `model`. Raises RefusalError: 413 beyond BODY_LIMIT, read no further; 400 for what does not fit."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BODY_LIMIT:
            raise RefusalError(413, f"The body is larger than {BODY_LIMIT} bytes; send what is around the cursor.")
    try:
        return model.model_validate_json(bytes(body))
    except ValidationError as error:
        raise validation_refusal(error) from error


async def unless_disconnected(request: Request, completion: Completion, answer: Awaitable[Answer]) -> Answer | None:
    """`answer`, made from `completion`, or None where the client left first. Ends the completion either way."""
    making = asyncio.ensure_future(answer)
    leaving = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({making, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return making.result() if making.done() else None
    finally:
        making.cancel()
        leaving.cancel()
        completion.close()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class EventStream(StreamingResponse):
    """Server-sent events made from `completion`, which ends when the client leaves or the events do."""

    def __init__(self, completion: Completion, events: AsyncIterator[str]) -> None:
        super().__init__(_told(events), media_type="text/event-stream", headers={"x-accel-buffering": "no"})
        self._completion = completion

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._completion.close()


async def _told(events: AsyncIterator[str]) -> AsyncIterator[str]:
    """`events`, and where making them fails an event that says so: the status has long been sent."""
    try:
        async for text in events:
            yield text
    except RemoteError as error:
        yield event(error_body(remote_status(error), error.message))
    except Exception:
        _log.exception("A streamed completion failed")
        yield event(error_body(500, FAILED))


def event(data: dict[str, Any] | str) -> str:
    """One server-sent event."""
    return f"data: {data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)}\n\n"
