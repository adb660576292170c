"""OpenAI's dialect over HTTP: what is answered, streamed and refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from repotune.infer.decoding import Sampling, generate
from repotune.infer.opening import open_engine
from repotune.infer.prompts import continuation_prompt, infilling_prompt
from repotune.infer.statement import Statement, load_parser
from repotune.infer.trimming import trim
from repotune.serve.exchange import BODY_LIMIT
from repotune.tokenizer.encoding import load_codec

CONTEXT = 256

PREFIX = "def mean(values):\n    return "
SUFFIX = "\n\nprint(mean([1, 2]))\n"


def complete(client: httpx.Client, **body: Any) -> dict[str, Any]:
    response = client.post("/v1/completions", json={"prompt": PREFIX, **body})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def events(client: httpx.Client, **body: Any) -> list[dict[str, Any]]:
    """The events of a streamed completion, which must end in [DONE]."""
    with client.stream("POST", "/v1/completions", json={"prompt": PREFIX, "stream": True, **body}) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def expected(release: Path, prefix: str, suffix: str | None, max_tokens: int, path: str = "") -> str:
    """What the engine says without a server."""
    engine, codec = open_engine(release), load_codec(release)
    room = CONTEXT - max_tokens
    prompt = (
        continuation_prompt(codec, prefix, path, room)
        if suffix is None
        else infilling_prompt(codec, prefix, suffix, path, room)
    )
    text = "".join(piece.text for piece in generate(engine, codec, prompt, Sampling(), max_tokens, (), heal=True))
    if suffix is None:
        return text
    parser = load_parser(path) if path else None
    return trim(prefix, suffix, text, parser and Statement(parser, prefix))


def test_a_prompt_is_continued_as_the_engine_would(client: httpx.Client, release: Path) -> None:
    answer = complete(client, max_tokens=12)
    assert answer["choices"][0]["text"] == expected(release, PREFIX, None, 12) != ""
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["object"] == "text_completion"
    assert answer["model"] == "acme"
    usage = answer["usage"]
    assert usage["completion_tokens"] == 12
    assert usage["total_tokens"] == usage["prompt_tokens"] + 12


@pytest.mark.parametrize("suffix", [SUFFIX, ""])
def test_a_suffix_makes_it_infilling(client: httpx.Client, release: Path, suffix: str) -> None:
    for prefix in ("total = sum(", "for value in ", "class "):
        answer = complete(client, prompt=prefix, suffix=suffix, max_tokens=24, path="mean.py")
        assert answer["choices"][0]["text"] == expected(release, prefix, suffix, 24, "mean.py")


def test_a_keystroke_reuses_the_prompt(client: httpx.Client) -> None:
    before = complete(client, prompt="import os\n\nfiles = os.", suffix="\n", max_tokens=1)
    after = complete(client, prompt="import os\n\nfiles = os.l", suffix="\n", max_tokens=1)
    cached = after["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert cached >= before["usage"]["prompt_tokens"] - 2


def test_what_is_typed_along_is_not_computed_again(client: httpx.Client, counter: Callable[[str], float]) -> None:
    gap = {"prompt": "def files(folder):\n    return ", "suffix": "\n\n\nfiles('.')\n", "max_tokens": 24}
    text = complete(client, **gap)["choices"][0]["text"]
    place = next(place for place in range(4, len(text)) if text.index(text[place : place + 3]) == place)
    gap["stop"] = text[place : place + 3]
    assert complete(client, **gap)["choices"][0]["finish_reason"] == "stop"
    told, computed = counter("repotune_typed_through_total"), counter("repotune_generation_tokens_total")
    again = complete(client, **{**gap, "prompt": gap["prompt"] + text[:2]})
    assert again["choices"][0]["text"] == text[2:place].rstrip() != ""
    assert again["usage"]["prompt_tokens_details"]["cached_tokens"] == again["usage"]["prompt_tokens"]
    assert counter("repotune_typed_through_total") == told + 1
    assert counter("repotune_generation_tokens_total") == computed
    for more in ({"temperature": 0.5}, {"logprobs": 0}, {"suffix": "\n"}):  # another question, or more than its text
        complete(client, **{**gap, "prompt": gap["prompt"] + text[:2], **more})
    assert counter("repotune_typed_through_total") == told + 1


@pytest.mark.parametrize("suffix", [None, SUFFIX])
def test_streaming_gives_the_same(client: httpx.Client, suffix: str | None) -> None:
    body = {"max_tokens": 40, "suffix": suffix, "logprobs": 0, "temperature": 1.5, "seed": 3}
    whole = complete(client, **body)
    streamed = events(client, **body, stream_options={"include_usage": True})
    choices = [choice for item in streamed for choice in item["choices"]]
    assert "".join(choice["text"] for choice in choices) == whole["choices"][0]["text"] != ""
    assert [choice["finish_reason"] for choice in choices[:-1]] == [None] * (len(choices) - 1)
    assert choices[-1]["finish_reason"] == whole["choices"][0]["finish_reason"]
    for key in ("tokens", "text_offset"):
        assert [each for choice in choices for each in choice["logprobs"][key]] == whole["choices"][0]["logprobs"][key]
    assert {item["id"] for item in streamed} == {streamed[0]["id"]}
    assert streamed[-1]["choices"] == []
    assert streamed[-1]["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]
    assert len(choices) > 1


def test_log_probabilities_belong_to_the_text(client: httpx.Client) -> None:
    choice = complete(client, max_tokens=8, logprobs=0)["choices"][0]
    assert "".join(choice["logprobs"]["tokens"]) == choice["text"]
    assert len(choice["logprobs"]["token_logprobs"]) == 8
    assert all(value <= 0 for value in choice["logprobs"]["token_logprobs"])
    for token, offset in zip(choice["logprobs"]["tokens"], choice["logprobs"]["text_offset"], strict=True):
        assert choice["text"].startswith(token, offset)


def test_seed_and_temperature(client: httpx.Client) -> None:
    def text(**body: Any) -> str:
        return str(complete(client, max_tokens=16, **body)["choices"][0]["text"])

    assert text() == text()
    assert text(temperature=1.0, seed=7) == text(temperature=1.0, seed=7)
    assert text(temperature=1.0, seed=-1) == text(temperature=1.0, seed=-1)
    assert len({text(temperature=1.0) for _ in range(4)}) > 1
    assert text(temperature=2.0, top_p=1e-9) == text()


def test_stop_strings_end_it_and_are_left_out(client: httpx.Client) -> None:
    whole = complete(client, max_tokens=24)["choices"][0]["text"]
    stop = whole[8:11]
    for given in (stop, [stop, "\0never"]):
        choice = complete(client, max_tokens=24, stop=given)["choices"][0]
        assert choice == {**choice, "text": whole[: whole.index(stop)], "finish_reason": "stop"}


def test_a_list_of_one_prompt_and_neutral_settings_are_taken(client: httpx.Client) -> None:
    neutral = {
        "n": 1,
        "best_of": 1,
        "echo": False,
        "logit_bias": {},
        "presence_penalty": 0,
        "user": "me",
        "model": "acme",
    }
    body = {"prompt": [PREFIX], "max_tokens": 4, "stop": None, "suffix": None, **neutral}
    assert complete(client, **body)["choices"] == complete(client, max_tokens=4)["choices"]


def test_eight_clients_at_once_get_their_own_answers(url: str, release: Path) -> None:
    prompts = [f"def function_{number}(argument):\n    return " for number in range(8)]

    def ask(prompt: str) -> str:
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            return str(complete(client, prompt=prompt, max_tokens=16)["choices"][0]["text"])

    with ThreadPoolExecutor(len(prompts)) as threads:
        answers = list(threads.map(ask, prompts))
    assert answers == [expected(release, prompt, None, 16) for prompt in prompts]


def test_a_file_longer_than_the_context_is_trimmed_for_infilling(client: httpx.Client) -> None:
    answer = complete(client, prompt="value = 1\n" * 2000, suffix="value = 2\n" * 2000, max_tokens=10_000)
    assert answer["usage"]["prompt_tokens"] <= CONTEXT // 2
    assert answer["usage"]["total_tokens"] <= CONTEXT


def test_a_plain_prompt_longer_than_the_context_is_refused(client: httpx.Client) -> None:
    fits = complete(client, max_tokens=1)["usage"]["prompt_tokens"]
    assert complete(client, max_tokens=CONTEXT - fits)["usage"]["completion_tokens"] > 0
    response = client.post("/v1/completions", json={"prompt": PREFIX, "max_tokens": CONTEXT - fits + 1})
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_length_exceeded"
    assert str(CONTEXT) in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b'{"prompt": "\xff"}', "JSON"),
        (b'{"prompt": "\\ud800"}', "JSON"),
        (b"[]", ""),
        (b"{}", "prompt"),
        (b'{"prompt": null}', "prompt"),
        (b'{"prompt": 3}', "prompt"),
        (b'{"prompt": ["a", "b"]}', "prompt"),
        (b'{"prompt": []}', "prompt"),
        (b'{"prompt": [[1, 2]]}', "prompt"),
        (b'{"prompt": "a", "suffix": 1}', "suffix"),
        (b'{"prompt": "a", "max_tokens": 0}', "max_tokens"),
        (b'{"prompt": "a", "max_tokens": -1}', "max_tokens"),
        (b'{"prompt": "a", "max_tokens": "5"}', "max_tokens"),
        (b'{"prompt": "a", "max_tokens": 1.5}', "max_tokens"),
        (b'{"prompt": "a", "temperature": -0.1}', "temperature"),
        (b'{"prompt": "a", "temperature": NaN}', "temperature"),
        (b'{"prompt": "a", "temperature": "hot"}', "temperature"),
        (b'{"prompt": "a", "top_p": 0}', "top_p"),
        (b'{"prompt": "a", "top_p": 1.1}', "top_p"),
        (b'{"prompt": "a", "seed": "x"}', "seed"),
        (b'{"prompt": "a", "stop": ""}', "stop"),
        (b'{"prompt": "a", "stop": ["1", "2", "3", "4", "5"]}', "stop"),
        (b'{"prompt": "a", "stop": [1]}', "stop"),
        (b'{"prompt": "a", "stream": "yes"}', "stream"),
        (b'{"prompt": "a", "logprobs": 1}', "logprobs"),
        (b'{"prompt": "a", "n": 2}', "n = 2"),
        (b'{"prompt": "a", "best_of": 3}', "best_of"),
        (b'{"prompt": "a", "echo": true}', "echo"),
        (b'{"prompt": "a", "logit_bias": {"5": 1}}', "logit_bias"),
        (b'{"prompt": "a", "frequency_penalty": 0.5}', "frequency_penalty"),
    ],
)
def test_bad_requests_get_a_sentence(client: httpx.Client, body: bytes, named: str) -> None:
    response = client.post("/v1/completions", content=body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert named in error["message"]
    assert error["message"].endswith(".")


def test_an_unknown_model_is_not_found(client: httpx.Client) -> None:
    response = client.post("/v1/completions", json={"prompt": "a", "model": "other"})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")
    assert client.get("/v1/models").json()["data"][0]["id"] == "acme"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_too_large_is_refused(client: httpx.Client, chunked: bool) -> None:
    body = b" " * (BODY_LIMIT + 1)
    response = client.post("/v1/completions", content=iter([body]) if chunked else body)
    assert response.status_code == 413
    assert str(BODY_LIMIT) in response.json()["error"]["message"]


def test_counters_count(client: httpx.Client, counter: Callable[[str], float]) -> None:
    names = (
        "prompt_tokens_total",
        "generation_tokens_total",
        "cached_prompt_tokens_total",
        "e2e_request_latency_seconds_count",
    )
    before = [counter(f"repotune_{name}") for name in names]
    refused = counter('repotune_http_requests_total{path="/v1/completions",status="400"}')
    usage = complete(client, max_tokens=5)["usage"]
    client.post("/v1/completions", content=b"{")
    after = [counter(f"repotune_{name}") for name in names]
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    assert [new - old for old, new in zip(before, after, strict=True)] == [usage["prompt_tokens"], 5, cached, 1]
    assert counter('repotune_http_requests_total{path="/v1/completions",status="400"}') == refused + 1
    assert counter('repotune_request_success_total{finished_reason="length"}') >= 1
