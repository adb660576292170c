"""Servers that speak OpenAI's dialect as a TextEngine: vLLM, llama.cpp's, TensorRT-LLM's, Ollama's, or another of ours.

    engine = RemoteEngine("http://127.0.0.1:8000", codec=load_codec(Path("release")))
    async for piece in engine.complete(TextRequest(prefix, suffix, max_tokens=64)):
        show(piece.text)

With `codec`, the server's model is one of ours and the prompt is sent as token ids, suffix first, as it was trained:
vLLM and llama.cpp's server take ids, and the prefix that they cache is then the one that a keystroke extends. Without
it the prompt is the prefix, and `suffix` is a field of its own; of servers known to us Ollama and ours heed it, vLLM
refuses it, and llama.cpp's ignores it without a word, so give these a codec.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx

from repotune.core.errors import UserError
from repotune.infer.adapters.completions import TextPiece, TextRequest
from repotune.infer.prompts import continuation_prompt, infilling_prompt
from repotune.tokenizer.encoding import Codec

# Seconds to connect, and between two pieces: a long prompt may wait for others.
CONNECT, SILENCE = 5.0, 120.0
# Of an error's body so many characters are shown.
_SHOWN = 300


class RemoteEngine:
    """A TextEngine (`repotune.infer.adapters.completions`) over `{url}/v1/completions`.

    `model` is the name that the server knows; `key` is sent as a bearer token; prompts of ids, and what follows them,
    take at most `context` tokens.
    """

    def __init__(
        self, url: str, model: str = "default", codec: Codec | None = None, context: int = 2048, key: str | None = None
    ) -> None:
        self._url, self._model, self._codec, self._context = url, model, codec, context
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(SILENCE, connect=CONNECT),
            trust_env=False,
        )

    async def complete(self, request: TextRequest) -> AsyncIterator[TextPiece]:
        """See `TextEngine.complete`."""
        body = self._body(request)
        try:
            async with self._client.stream("POST", "/v1/completions", json=body) as response:
                if response.is_error:
                    await response.aread()
                    raise self._failed(f"refused with status {response.status_code}: {_reason(response)}")
                async for piece in self._pieces(response):
                    yield piece
        except httpx.ConnectError as error:
            raise self._failed(f"cannot be reached ({error})", "is it running, and is the address right?") from error
        except httpx.TimeoutException as error:
            raise self._failed(f"said nothing for {SILENCE:.0f} seconds") from error
        except httpx.HTTPError as error:
            raise self._failed(f"stopped in the middle ({error})") from error

    async def close(self) -> None:
        """See `TextEngine.close`."""
        await self._client.aclose()

    def _body(self, request: TextRequest) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._model,
            "max_tokens": request.max_tokens,
            "temperature": request.sampling.temperature,
            "top_p": request.sampling.top_p,
            "seed": request.sampling.seed,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if request.stop:
            body["stop"] = list(request.stop)
        if self._codec is not None:
            return body | {"prompt": self._prompt(self._codec, request)}
        body["prompt"] = request.prefix
        return body if request.suffix is None else body | {"suffix": request.suffix}

    def _prompt(self, codec: Codec, request: TextRequest) -> list[int]:
        room = self._context - request.max_tokens
        if request.suffix is None:
            return continuation_prompt(codec, request.prefix, request.path, room)
        return infilling_prompt(codec, request.prefix, request.suffix, request.path, room)

    async def _pieces(self, response: httpx.Response) -> AsyncIterator[TextPiece]:
        """The events' texts. The finish waits for the counts, which come in an event of their own, or with it."""
        finish: str | None = None
        usage: Mapping[str, Any] = {}
        async for line in response.aiter_lines():
            data = line.removeprefix("data:").strip()
            if not line.startswith("data:") or data == "[DONE]":
                continue
            event = self._event(data)
            usage = event.get("usage") or usage
            for choice in event.get("choices") or ():
                finish = choice.get("finish_reason") or finish
                if choice.get("text"):
                    yield TextPiece(choice["text"])
        if finish is None:
            raise self._failed("stopped in the middle (its stream ended without a reason)")
        counts = usage.get("prompt_tokens"), usage.get("completion_tokens")
        yield TextPiece("", "length" if finish == "length" else "stop", *counts)

    def _event(self, data: str) -> dict[str, Any]:
        try:
            event = json.loads(data)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            raise self._failed(f"speaks another dialect: {data[:_SHOWN]!r} is no event")
        if event.get("error"):
            raise self._failed(f"failed: {_message(event)}")
        return event

    def _failed(self, what: str, hint: str | None = None) -> UserError:
        return UserError(f"The server at {self._url} {what}.", hint)


def _reason(response: httpx.Response) -> str:
    try:
        return _message(response.json())
    except ValueError:
        return response.text[:_SHOWN] or "no reason given"


def _message(body: Any) -> str:
    """What an error's body says, in OpenAI's form or another."""
    error = body.get("error", body) if isinstance(body, dict) else body
    message = error.get("message", error) if isinstance(error, dict) else error
    return str(message)[:_SHOWN].rstrip(".")
