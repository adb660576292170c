"""A server that asks another one: ours in a second process, and llama.cpp's. No answer is lost or made up."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pytest

from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.core.settings import ServeSettings
from repotune.infer.prompts import infilling_prompt
from repotune.infer.trimming import trim
from repotune.release.gguf import write_gguf
from repotune.serve.process import running_server
from repotune.serve.run import BoundServer, open_server
from repotune.tokenizer.encoding import load_codec

PREFIX, SUFFIX = "def mean(values):\n    return ", "\n\nprint(mean([1, 2]))\n"
OURS = ServeSettings(port=0, engine="ours")
ENDLESS = 199_000
Serving = Callable[[BoundServer], AbstractContextManager[str]]


def client_of(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=60, trust_env=False)


def asking(url: str, **more: Any) -> ServeSettings:
    return ServeSettings(port=0, engine=url, **more)


@pytest.fixture(scope="module")
def other(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of our own server, in another process."""
    with running_server(release, OURS, tmp_path_factory.mktemp("other") / "log.txt") as url:
        yield url


@pytest.fixture(scope="module")
def both(other: str, release: Path, serving: Serving) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Who asks the other server, and the other server."""
    with serving(open_server(release, asking(other))) as url, client_of(url) as relay, client_of(other) as direct:
        yield relay, direct


def answer(client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def events(client: httpx.Client, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    told = client.post(path, json={**body, "stream": True}).text
    lines = [line.removeprefix("data: ") for line in told.splitlines() if line]
    return [json.loads(line) for line in lines if line != "[DONE]"]


BODIES = [
    {"prompt": PREFIX, "max_tokens": 12},
    {"prompt": PREFIX, "suffix": SUFFIX, "max_tokens": 24, "path": "mean.py"},
    {"prompt": "class ", "suffix": "", "max_tokens": 24},
    {"prompt": PREFIX, "suffix": SUFFIX, "max_tokens": 24, "temperature": 1.2, "top_p": 0.9, "seed": 7},
    {"prompt": PREFIX, "max_tokens": 24, "stop": ["e", "\n"]},
]


@pytest.mark.parametrize("body", BODIES)
def test_completions_are_those_of_the_server_asked(
    both: tuple[httpx.Client, httpx.Client], body: dict[str, Any]
) -> None:
    relay, direct = both
    expected, given = (answer(client, "/v1/completions", body) for client in (direct, relay))
    assert given["choices"] == expected["choices"]
    assert given["usage"]["prompt_tokens"] == expected["usage"]["prompt_tokens"] > 0
    assert given["usage"]["completion_tokens"] == expected["usage"]["completion_tokens"]
    streamed = events(relay, "/v1/completions", {**body, "prompt": body["prompt"] + " "})
    whole = answer(direct, "/v1/completions", {**body, "prompt": body["prompt"] + " "})
    choices = [choice for event in streamed for choice in event["choices"]]
    assert "".join(choice["text"] for choice in choices) == whole["choices"][0]["text"]
    assert choices[-1]["finish_reason"] == whole["choices"][0]["finish_reason"]


def test_infill_is_that_of_the_server_asked(both: tuple[httpx.Client, httpx.Client]) -> None:
    for predict in (16, -1):
        body = {"input_prefix": "import os\n", "prompt": "for name in ", "input_suffix": SUFFIX, "n_predict": predict}
        expected, given = (answer(client, "/infill", body) for client in (both[1], both[0]))
        same = ("content", "stop_type", "tokens_evaluated", "has_new_line")
        assert {name: given[name] for name in same} == {name: expected[name] for name in same}
        assert given["model"] == "acme"


def test_what_the_server_asked_does_not_give_is_refused(both: tuple[httpx.Client, httpx.Client]) -> None:
    response = both[0].post("/v1/completions", json={"prompt": "a", "logprobs": 0})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "logprobs"


def test_a_refusal_is_passed_on(both: tuple[httpx.Client, httpx.Client]) -> None:
    response = both[0].post("/v1/completions", json={"prompt": "a = 1\n" * 500, "max_tokens": 16})
    assert response.status_code == 400
    assert "the model's context holds 256 together" in response.json()["error"]["message"]
    (event,) = events(both[0], "/v1/completions", {"prompt": "a = 1\n" * 500, "max_tokens": 16})
    assert "the model's context holds 256 together" in event["error"]["message"]


def gauge(client: httpx.Client, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"repotune_{name} ")), 0.0)


def wait_for(client: httpx.Client, name: str, value: int) -> None:
    for _ in range(5000):
        if gauge(client, name) == value:
            return
    pytest.fail(f"{name} never became {value}")


@contextmanager
def left_open(client: httpx.Client, body: dict[str, Any]) -> Iterator[socket.socket]:
    """Sends a request; the socket closes when the block ends."""
    content = json.dumps(body).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(content)}\r\n\r\n".encode()
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=60) as connection:
        connection.sendall(head + content)
        yield connection


@pytest.mark.parametrize("stream", [False, True])
def test_who_leaves_ends_it_at_the_server_asked(
    endless_release: Path, serving: Serving, tmp_path: Path, stream: bool
) -> None:
    with (
        running_server(endless_release, OURS, tmp_path / "log.txt") as other,
        serving(open_server(endless_release, asking(other))) as url,
        client_of(url) as relay,
        client_of(other) as direct,
    ):
        begun = gauge(direct, 'request_success_total{finished_reason="abort"}')
        with left_open(relay, {"prompt": "a", "max_tokens": ENDLESS, "stream": stream}) as connection:
            wait_for(direct, "num_requests_running", 1)
            assert gauge(relay, "num_requests_running") == 1
            if stream:
                assert b"200 OK" in connection.recv(4096)
        wait_for(direct, "num_requests_running", 0)
        assert gauge(direct, 'request_success_total{finished_reason="abort"}') == begun + 1
        assert gauge(relay, "num_requests_running") == 0
        with left_open(relay, {"prompt": "a", "max_tokens": ENDLESS}):
            wait_for(direct, "num_requests_running", 1)  # and the end of this server ends it as well


def test_a_server_that_went_away_is_a_bad_gateway(release: Path, serving: Serving, tmp_path: Path) -> None:
    with running_server(release, OURS, tmp_path / "log.txt") as other:
        bound = open_server(release, asking(other))
    with serving(bound) as url, client_of(url) as relay:
        response = relay.post("/v1/completions", json={"prompt": "a"})
        assert response.status_code == 502
        assert f"The server at {other} cannot be reached" in response.json()["error"]["message"]
        (event,) = events(relay, "/v1/completions", {"prompt": "a"})
        assert "cannot be reached" in event["error"]["message"]
        assert relay.get("/health").status_code == 200


def test_no_server_another_model_and_another_dialect_are_told_at_the_start(other: str, release: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        free = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with pytest.raises(UserError, match="cannot be asked"):
        open_server(release, asking(free))
    with pytest.raises(UserError, match="has no model qwen") as caught:
        open_server(release, asking(other, model="qwen"))
    assert "acme" in (caught.value.hint or "")
    with pytest.raises(UserError, match="is no address of a server"):
        open_server(release, asking("http://[::1"))
    with pytest.raises(UserError, match="refused with status 404"):
        open_server(release, asking(f"{other}/elsewhere"))


def test_what_is_asked_and_how_is_said(other: str, release: Path, capsys: pytest.CaptureFixture[str]) -> None:
    open_server(release, asking(other), console=Console()).listener.close()
    assert f"asking acme at {other}, prompts as texts; what is around the cursor goes there" in capsys.readouterr().err


@contextmanager
def llama_cpp(model: Path) -> Iterator[str]:
    """llama.cpp's own server of a GGUF file."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model)
    parameters.n_ctx, parameters.n_parallel, parameters.verbosity = 256, 1, -1
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(parameters)
    yield server.listening_address
    del server  # which ends it


needs_llama_cpp = pytest.mark.skipif(find_spec("xllamacpp") is None, reason="llama.cpp is not installed: xllamacpp")


@pytest.fixture(scope="module")
def gguf(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    write_gguf(release, path, "f32", "acme")
    return path


@needs_llama_cpp
def test_llama_cpp_with_our_model_is_asked_by_ids(
    release: Path, gguf: Path, serving: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    codec, prefix, extra = load_codec(release), "for value in ", ("other.txt", "values = [1, 2, 3]\n")
    with llama_cpp(gguf) as other, client_of(other) as direct:
        bound = open_server(release, asking(other), console=Console())
        assert "prompts as token ids, suffix first" in capsys.readouterr().err
        ids = infilling_prompt(codec, prefix, SUFFIX, "a.txt", 256 - 16)
        before = [*codec.header(extra[0]), *codec.encode(extra[1]), codec.end]
        with serving(bound) as url, client_of(url) as relay:
            for documents, extras in (([], []), (before, [{"filename": extra[0], "text": extra[1]}])):
                body = {"prompt": [*documents, *ids], "max_tokens": 16, "temperature": 0}
                expected = answer(direct, "/v1/completions", body)["choices"][0]["text"]
                body = {"input_prefix": prefix, "input_suffix": SUFFIX, "path": "a.txt", "n_predict": 16}
                given = answer(relay, "/infill", {**body, "input_extra": extras})
                assert given["content"] == trim(prefix, SUFFIX, expected)
                assert given["tokens_evaluated"] == len(documents) + len(ids)


@needs_llama_cpp
def test_llama_cpp_with_another_model_goes_on_with_texts_and_fills_no_gaps(
    release: Path, gguf: Path, serving: Serving, other_release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with llama_cpp(gguf) as other, client_of(other) as direct:
        bound = open_server(other_release, asking(other), console=Console())
        assert "prompts as texts; it fills no gaps" in capsys.readouterr().err
        with serving(bound) as url, client_of(url) as relay:
            body = {"prompt": PREFIX, "max_tokens": 16, "temperature": 0}
            expected, given = (answer(client, "/v1/completions", body) for client in (direct, relay))
            assert given["choices"][0]["text"] == expected["choices"][0]["text"] != ""
            response = relay.post("/v1/completions", json={**body, "suffix": ""})
            assert response.status_code == 400
            assert response.json()["error"]["param"] == "suffix"
            assert relay.post("/infill", json={"input_prefix": "a"}).status_code == 400
