"""Servers that speak OpenAI's dialect as a TextEngine: vLLM, llama.cpp's, TensorRT-LLM's, Ollama's, or another of ours.

    engine = RemoteEngine("http://127.0.0.1:8000", codec=load_codec(Path("release")))
    async for piece in engine.complete(TextRequest(prefix, suffix, max_tokens=64)):
        show(piece.text)

With `codec`, the server's model is one of ours and the prompt is sent as token ids, suffix first, as it was trained:
vLLM and llama.cpp's server take ids, and the prefix that they cache is then the one that a keystroke extends. Without
it the prompt is the prefix, and `suffix` is a field of its own, which some servers heed; `greeting` finds out which.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx

from repotune.infer.adapters.completions import RemoteError, TextPiece, TextRequest
from repotune.infer.prompts import continuation_prompt, infilling_prompt, other_files
from repotune.tokenizer.encoding import Codec

# Seconds to connect, and between two pieces: a long prompt may wait for others.
CONNECT, SILENCE = 5.0, 120.0
# Of an error's body so many characters are shown.
_SHOWN = 300
# Seconds after which an idle connection is not used again. httpx's default is uvicorn's own, 5: whoever pauses for just
# so long asks on a connection that the server closes at that moment.
_IDLE = 2.0
_UNTRIMMED = 2**31  # as the room for a prompt: its whole text is encoded


class RemoteEngine:
    """A TextEngine (`repotune.infer.adapters.completions`) over `{url}/v1/completions`.

    `model` is the name that the server knows; `key` is sent as a bearer token; prompts and what follows them take at
    most `context` tokens. Without a codec, `fills` says whether the server heeds `suffix`, `told_paths` whether it
    takes our field `path`.
    """

    def __init__(
        self,
        url: str,
        model: str = "default",
        codec: Codec | None = None,
        context: int = 2048,
        key: str | None = None,
        *,
        fills: bool = True,
        told_paths: bool = False,
    ) -> None:
        self.context, self.fills = context, fills
        self._url, self._model, self._codec, self._told_paths = url, model, codec, told_paths
        self._client = httpx.AsyncClient(
            base_url=url,
            headers=authorised(key),
            timeout=httpx.Timeout(SILENCE, connect=CONNECT),
            limits=httpx.Limits(keepalive_expiry=_IDLE),
            trust_env=False,
        )

    def __str__(self) -> str:
        """How it is asked, for a person."""
        prompts = "as token ids, suffix first" if self._codec else "as texts"
        return f"{self._model} at {self._url}, prompts {prompts}{'' if self.fills else '; it fills no gaps'}"

    async def complete(self, request: TextRequest) -> AsyncIterator[TextPiece]:
        """See `TextEngine.complete`."""
        body = self._body(request)
        try:
            async with self._client.stream("POST", "/v1/completions", json=body) as response:
                if response.is_error:
                    await response.aread()
                    said = f"refused with status {response.status_code}: {reason(response)}"
                    raise self._failed(said, status=response.status_code)
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
        if request.suffix is not None and not self.fills:
            raise ValueError(f"{self} is asked to fill a gap")
        # As in our own server: of a file too long at least half of the context is prompt.
        most = request.max_tokens if request.suffix is None else self.context // 2
        max_tokens = min(request.max_tokens, most)
        body: dict[str, Any] = {
            "model": self._model,
            "max_tokens": max_tokens,
            "temperature": request.sampling.temperature,
            "top_p": request.sampling.top_p,
            "seed": request.sampling.seed % 2**31,  # no server takes more than all take
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if request.stop:
            body["stop"] = list(request.stop)
        if self._codec is not None:
            return body | {"prompt": self._prompt(self._codec, request, self.context - max_tokens)}
        body["prompt"] = request.prefix
        if request.path and self._told_paths:
            body["path"] = request.path
        return body if request.suffix is None else body | {"suffix": request.suffix}

    def _prompt(self, codec: Codec, request: TextRequest, room: int) -> list[int]:
        if request.suffix is None:
            prompt = continuation_prompt(codec, request.prefix, request.path, _UNTRIMMED)
            if len(prompt) > room:
                said = f"The prompt has {len(prompt)} tokens and max_tokens is {request.max_tokens}; "
                raise RemoteError(f"{said}the model's context holds {self.context} together.", status=400)
            return prompt
        prompt = infilling_prompt(codec, request.prefix, request.suffix, request.path, room)
        return [*other_files(codec, request.extras, room - len(prompt)), *prompt]

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

    def _failed(self, what: str, hint: str | None = None, status: int | None = None) -> RemoteError:
        return RemoteError(f"The server at {self._url} {what}.", hint, status)


def authorised(key: str | None) -> dict[str, str]:
    """The headers of who knows `key`."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def reason(response: httpx.Response) -> str:
    """Why a request was refused, as far as the answer says."""
    try:
        return _message(response.json())
    except ValueError:
        return response.text[:_SHOWN] or "no reason given"


def _message(body: Any) -> str:
    """What an error's body says, in OpenAI's form or another."""
    error = body.get("error", body) if isinstance(body, dict) else body
    message = error.get("message", error) if isinstance(error, dict) else error
    return str(message)[:_SHOWN].rstrip(".")
