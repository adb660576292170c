"""llama.cpp's /infill, which llama.vim and llama.vscode speak:
https://github.com/ggml-org/llama.cpp/tree/master/tools/server#post-infill-for-code-infilling

Fields of llama.cpp's own sampling (`top_k`, `samplers`, …) and of its caching are ignored: sampling is by temperature,
which is 0 unless asked for, and top_p; the longest prefix is always reused.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from repotune.infer.decoding import Sampling
from repotune.serve.completion import Completer, Completion
from repotune.serve.errors import CLIENT_LEFT
from repotune.serve.exchange import EventStream, event, read_request, unless_disconnected
from repotune.serve.openai import seed_or_any
from repotune.serve.source import Ask

_UNLIMITED = 2**31  # n_predict of -1: as much as the context takes


class Extra(BaseModel):
    """A piece of another file."""

    text: str
    filename: str = ""


class InfillRequest(BaseModel):
    """The body of a request. `prompt` is the line of the cursor up to it, `path` (ours) the file's path."""

    model_config = ConfigDict(strict=True)

    input_prefix: str = ""
    input_suffix: str = ""
    input_extra: list[Extra] = []
    prompt: str = ""
    path: str = ""
    n_predict: int = Field(default=-1, ge=-1)
    temperature: float = Field(default=0.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    seed: int = -1
    stop: list[Annotated[str, Field(min_length=1)]] = []
    stream: bool = False
    t_max_predict_ms: float = 0
    response_fields: list[str] = []

    def ask(self) -> Ask:
        """The question in it."""
        return Ask(
            prefix=self.input_prefix + self.prompt,
            suffix=self.input_suffix,
            max_tokens=_UNLIMITED if self.n_predict < 0 else max(1, self.n_predict),
            sampling=Sampling(self.temperature, self.top_p, seed_or_any(None if self.seed < 0 else self.seed)),
            stop=tuple(self.stop),
            path=self.path,
            extras=tuple((extra.filename, extra.text) for extra in self.input_extra),
            patience=self.t_max_predict_ms / 1000 if self.t_max_predict_ms > 0 else float("inf"),
        )


class Infill:
    """The endpoint. `name` is the model's."""

    def __init__(self, completer: Completer, name: str) -> None:
        self._completer = completer
        self._name = name

    async def infill(self, request: Request) -> Response:
        """POST /infill"""
        body = await read_request(request, InfillRequest)
        completion = await self._completer.begin(body.ask())
        answer = _Answer(completion, body, self._name)
        if body.stream:
            return EventStream(completion, answer.events())
        whole = await unless_disconnected(request, completion, answer.whole())
        return JSONResponse(whole) if whole else Response(status_code=CLIENT_LEFT)


class _Answer:
    """One completion in llama.cpp's words."""

    def __init__(self, completion: Completion, body: InfillRequest, name: str) -> None:
        self._completion = completion
        self._fields = body.response_fields
        self._warms = body.n_predict == 0  # the engine reads the prompt, and nothing is to be said
        self._name = name

    async def whole(self) -> dict[str, Any]:
        async for _chunk in self._completion:
            pass
        return self._last(self._completion.text)

    async def events(self) -> AsyncIterator[str]:
        async for chunk in self._completion:
            if chunk.text and not self._completion.finish:
                yield event({"index": 0, "content": chunk.text, "stop": False})
            elif self._completion.finish:
                yield event(self._last(chunk.text))

    def _last(self, content: str) -> dict[str, Any]:
        completion = self._completion
        answer = {
            "index": 0,
            "content": "" if self._warms else content,
            "stop": True,
            "model": self._name,
            "tokens_predicted": completion.completion_tokens,
            "tokens_evaluated": completion.prompt_tokens,
            "tokens_cached": completion.prompt_tokens + completion.completion_tokens,
            "has_new_line": "\n" in completion.text,
            "stop_type": "limit" if completion.finish == "length" else "eos",
            "timings": self._timings(),
        }
        if completion.repeats:
            answer["repeats"] = completion.repeats
        return _chosen(answer, self._fields) if self._fields else answer

    def _timings(self) -> dict[str, float]:
        completion = self._completion
        computed, generated = completion.prompt_tokens - completion.cached_tokens, completion.completion_tokens
        return {
            "cache_n": completion.cached_tokens,
            **_timing("prompt", computed, completion.prefill_seconds),
            **_timing("predicted", generated, completion.decode_seconds),
        }


def _timing(name: str, count: int, seconds: float) -> dict[str, float]:
    """llama.cpp's four figures of a phase."""
    return {
        f"{name}_n": count,
        f"{name}_ms": 1000 * seconds,
        f"{name}_per_token_ms": 1000 * seconds / max(1, count),
        f"{name}_per_second": count / seconds if seconds else 0.0,
    }


def _chosen(answer: Mapping[str, Any], fields: list[str]) -> dict[str, Any]:
    """The `response_fields` asked for; `timings/prompt_n` reaches into an object and is itself the key."""
    chosen = {}
    for field in fields:
        value: Any = answer
        for part in field.split("/"):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None:
            chosen[field] = value
    return chosen
