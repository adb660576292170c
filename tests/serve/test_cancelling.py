"""Requests side by side, and none computed for a client that has left. The model here never stops by itself."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from repotune.core.settings import ServeSettings
from repotune.serve.run import BoundServer, open_server
from repotune.serve.scheduler import QUEUE_LIMIT, STREAMS

Serving = Callable[[BoundServer], AbstractContextManager[str]]
ENDLESS = 199_000
PATIENCE = 20  # seconds; so many tokens take minutes
LONG = STREAMS - 1  # long texts computed at once


@pytest.fixture
def client(endless_release: Path, serving: Serving) -> Iterator[httpx.Client]:
    with (
        serving(open_server(endless_release, ServeSettings(port=0, engine="ours"))) as url,
        httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False) as client,
    ):
        yield client


@contextmanager
def endless_request(client: httpx.Client, path: str, **body: object) -> Iterator[socket.socket]:
    """Sends a request for an endless completion; the socket closes when the block ends."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(content)}\r\n\r\n".encode()
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=PATIENCE) as connection:
        connection.sendall(head + content)
        yield connection


def _long(client: httpx.Client, **more: object) -> AbstractContextManager[socket.socket]:
    return endless_request(client, "/v1/completions", prompt="a", max_tokens=ENDLESS, **more)


def gauge(client: httpx.Client, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"repotune_{name} ")), 0.0)


def wait_for(client: httpx.Client, name: str, value: int) -> None:
    for _ in range(5000):
        if gauge(client, name) == value:
            return
    pytest.fail(f"{name} never became {value}")


def complete(client: httpx.Client) -> int:
    """A short request; it is answered only when the engine is free. Returns the tokens generated."""
    response = client.post("/v1/completions", json={"prompt": "import os", "max_tokens": 3})
    return int(response.json()["usage"]["completion_tokens"])


def aborted(client: httpx.Client) -> float:
    return gauge(client, 'request_success_total{finished_reason="abort"}')


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": "import", "max_tokens": ENDLESS}),
        ("/infill", {"input_prefix": "import", "n_predict": -1}),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_ends_its_completion(
    client: httpx.Client, path: str, body: dict[str, object], stream: bool
) -> None:
    with endless_request(client, path, stream=stream, **body) as connection:
        wait_for(client, "num_requests_running", 1)
        if stream:
            assert b"200 OK" in connection.recv(4096)
    assert complete(client) == 3
    assert aborted(client) == 1


def test_a_client_that_leaves_the_queue_is_dropped_and_the_first_goes_on(client: httpx.Client) -> None:
    with ExitStack() as stack:
        first, *_ = (stack.enter_context(_long(client, stream=True)) for _ in range(LONG))
        wait_for(client, "num_requests_running", LONG)
        with _long(client):
            wait_for(client, "num_requests_waiting", 1)
        wait_for(client, "num_requests_waiting", 0)
        assert gauge(client, "num_requests_running") == LONG
        first.recv(1 << 16)
        assert first.recv(1 << 16)
    assert complete(client) == 3


def test_who_waits_at_a_cursor_does_not_wait_for_long_texts(client: httpx.Client) -> None:
    with ExitStack() as stack:
        for _ in range(LONG + 2):
            stack.enter_context(_long(client))
        wait_for(client, "num_requests_waiting", 2)
        body = {"prompt": "import os", "suffix": "", "max_tokens": 3}
        assert client.post("/v1/completions", json=body).json()["usage"]["completion_tokens"] == 3
        assert gauge(client, "num_requests_waiting") == 2


def test_a_full_queue_asks_to_come_back(client: httpx.Client) -> None:
    with ExitStack() as stack:
        for _ in range(LONG):
            stack.enter_context(_long(client))
        wait_for(client, "num_requests_running", LONG)
        for _ in range(QUEUE_LIMIT):
            stack.enter_context(_long(client))
        wait_for(client, "num_requests_waiting", QUEUE_LIMIT)
        response = client.post("/v1/completions", json={"prompt": "a"})
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) >= 1
        assert response.json()["error"]["code"] == "busy"
    assert complete(client) == 3


def test_the_loop_answers_while_the_engine_works(client: httpx.Client) -> None:
    with endless_request(client, "/v1/completions", prompt="a", max_tokens=ENDLESS):
        wait_for(client, "num_requests_running", 1)
        assert client.get("/health").json() == {"status": "ok"}
        assert gauge(client, "num_requests_running") == 1


def test_stopping_ends_what_is_under_way(endless_release: Path, serving: Serving) -> None:
    with ExitStack() as stack:
        with serving(open_server(endless_release, ServeSettings(port=0, engine="ours"))) as url:
            client = stack.enter_context(httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False))
            body = {"prompt": "a", "max_tokens": ENDLESS, "stream": True}
            connection = stack.enter_context(endless_request(client, "/v1/completions", **body))
            assert connection.recv(4096)
        while connection.recv(1 << 16):  # what was sent before the end
            pass


def test_patience_ends_at_a_line(client: httpx.Client) -> None:
    body = {"input_prefix": "import os\nx = ", "n_predict": -1, "temperature": 1, "seed": 2, "t_max_predict_ms": 1}
    answer = client.post("/infill", json=body).json()
    assert answer["stop_type"] == "limit"
    assert answer["has_new_line"]
    assert answer["tokens_predicted"] < ENDLESS // 2
