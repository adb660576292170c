"""OpenAI's /v1/completions and /v1/models: https://platform.openai.com/docs/api-reference/completions.

`suffix` is honoured: the gap before it is filled. Beyond the original there is `path`, the file's path in its
repository, which the model was trained to read. A field that would change the answer and is not honoured is refused;
others are ignored.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from repotune.infer.decoding import Sampling
from repotune.serve.completion import Chunk, Completer, Completion
from repotune.serve.errors import CLIENT_LEFT, RefusalError
from repotune.serve.exchange import EventStream, event, read_request, unless_disconnected
from repotune.serve.source import Ask

_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (None, 1),
    "best_of": (None, 1),
    "echo": (None, False),
    "logit_bias": (None, {}),
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
}


class StreamOptions(BaseModel):
    """`include_usage` adds a last event with the counts."""

    include_usage: bool = False


class CompletionRequest(BaseModel):
    """The body of a request. Temperature is 0 unless asked for: the likeliest completion, the same one each time."""

    model_config = ConfigDict(strict=True, extra="allow")

    model: str | None = None
    prompt: str
    suffix: str | None = None
    path: str = ""
    max_tokens: int = Field(default=16, ge=1)
    temperature: float = Field(default=0.0, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    seed: int | None = None
    stop: list[Annotated[str, Field(min_length=1)]] = Field(default=[], max_length=4)
    stream: bool = False
    stream_options: StreamOptions | None = None
    logprobs: int | None = Field(default=None, ge=0, le=0)

    @field_validator("prompt", mode="before")
    @classmethod
    def _one_prompt(cls, value: Any) -> Any:
        if isinstance(value, list):
            if len(value) != 1 or not isinstance(value[0], str):
                raise ValueError("one string is taken, or a list of one string")
            return value[0]
        return value

    @field_validator("stop", mode="before")
    @classmethod
    def _stop_list(cls, value: Any) -> Any:
        return [] if value is None else [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _nothing_unheeded(self) -> CompletionRequest:
        for name, value in (self.model_extra or {}).items():
            if name in _NEUTRAL and value not in _NEUTRAL[name]:
                raise ValueError(f"{name} = {value!r} is not supported; leave it out")
        return self

    def ask(self) -> Ask:
        """The question in it."""
        return Ask(
            prefix=self.prompt,
            suffix=self.suffix,
            max_tokens=self.max_tokens,
            sampling=Sampling(self.temperature, self.top_p, seed_or_any(self.seed)),
            stop=tuple(self.stop),
            path=self.path,
            probabilities=self.logprobs is not None,
        )


def seed_or_any(seed: int | None) -> int:
    """The seed asked for (both APIs allow negative ones), or one that differs each time."""
    return secrets.randbits(63) if seed is None else seed % 2**63


class OpenAI:
    """The endpoints. `name` is the model's."""

    def __init__(self, completer: Completer, name: str) -> None:
        self._completer = completer
        self._name = name
        self._created = int(time.time())

    async def models(self, _request: Request) -> Response:
        """GET /v1/models"""
        model = {"id": self._name, "object": "model", "created": self._created, "owned_by": "repotune"}
        return JSONResponse({"object": "list", "data": [{**model, "max_model_len": self._completer.context}]})

    async def completions(self, request: Request) -> Response:
        """POST /v1/completions"""
        body = await read_request(request, CompletionRequest)
        if body.model not in (None, self._name):
            raise RefusalError(
                404, f"The model here is {self._name!r}, not {body.model!r}.", "model", "model_not_found"
            )
        completion = await self._completer.begin(body.ask())
        answer = _Answer(completion, body, self._name)
        if body.stream:
            return EventStream(completion, answer.events())
        whole = await unless_disconnected(request, completion, answer.whole())
        return JSONResponse(whole) if whole else Response(status_code=CLIENT_LEFT)


class _Answer:
    """One completion in OpenAI's words."""

    def __init__(self, completion: Completion, body: CompletionRequest, name: str) -> None:
        self._completion = completion
        self._usage_event = body.stream_options is not None and body.stream_options.include_usage
        self._tokens = None if body.logprobs is None else _Tokens()
        self._frame = {
            "id": f"cmpl-{secrets.token_hex(12)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": name,
        }

    async def whole(self) -> dict[str, Any]:
        async for chunk in self._completion:
            self._read(chunk)
        answer = {**self._frame, "choices": [self._choice(self._completion.text)], "usage": self._usage()}
        return answer | self._repeats()

    async def events(self) -> AsyncIterator[str]:
        async for chunk in self._completion:
            self._read(chunk)
            if chunk.text or self._completion.finish:
                yield event({**self._frame, "choices": [self._choice(chunk.text)], **self._repeats()})
        if self._usage_event:
            yield event({**self._frame, "choices": [], "usage": self._usage()})
        yield event("[DONE]")

    def _read(self, chunk: Chunk) -> None:
        if self._tokens:
            self._tokens.read(chunk)

    def _choice(self, text: str) -> dict[str, Any]:
        completion = self._completion
        log_probabilities = self._tokens.take(len(completion.text)) if self._tokens else None
        return {"index": 0, "text": text, "logprobs": log_probabilities, "finish_reason": completion.finish}

    def _repeats(self) -> dict[str, Any]:
        """Ours: what the completion repeats of the indexed code, known at its end."""
        return {"repeats": self._completion.repeats} if self._completion.repeats else {}

    def _usage(self) -> dict[str, Any]:
        prompt, generated = self._completion.prompt_tokens, self._completion.completion_tokens
        return {
            "prompt_tokens": prompt,
            "completion_tokens": generated,
            "total_tokens": prompt + generated,
            "prompt_tokens_details": {"cached_tokens": self._completion.cached_tokens},
        }


class _Tokens:
    """Tokens with their log-probabilities, given out when shown text reaches them, so never one trimmed away."""

    def __init__(self) -> None:
        self._read: list[tuple[str, float, int]] = []
        self._length = 0

    def read(self, chunk: Chunk) -> None:
        for token in chunk.tokens:
            self._read.append((token.data.decode(errors="replace"), token.log_probability, self._length))
            self._length += len(token.data.decode(errors="ignore"))

    def take(self, shown: int) -> dict[str, Any]:
        """OpenAI's object for the tokens that begin before character `shown` and were not given out yet."""
        reached = [entry for entry in self._read if entry[2] < shown]
        self._read = self._read[len(reached) :]
        texts, values, offsets = zip(*reached, strict=True) if reached else ((), (), ())
        return {"tokens": texts, "token_logprobs": values, "top_logprobs": None, "text_offset": offsets}
