"""OpenVINO behind the server: the same protocol as ours, so drafts, the index and cancelling come with it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from repotune.core.errors import UserError
from repotune.core.settings import ServeSettings
from repotune.infer.adapters.openvino import open_openvino
from repotune.infer.decoding import Sampling, generate
from repotune.infer.prompts import infilling_prompt
from repotune.infer.trimming import trim
from repotune.serve.run import BoundServer, open_server
from repotune.tokenizer.encoding import load_codec

pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install openvino")

Serving = Callable[[BoundServer], AbstractContextManager[str]]
EXACT = ServeSettings(port=0, engine="openvino", weights="f32")
SUFFIX = "\n\nprint(mean([1, 2]))\n"


def test_completions_are_those_of_the_engine_alone(release: Path, serving: Serving) -> None:
    codec, engine = load_codec(release), open_openvino(release, "f32")
    with serving(open_server(release, EXACT)) as url, httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        for prefix in ("total = sum(", "for value in ", "def mean(values):\n    return "):
            prompt = infilling_prompt(codec, prefix, SUFFIX, "mean.txt", 256 - 24)
            alone = "".join(piece.text for piece in generate(engine, codec, prompt, Sampling(), 24, heal=True))
            body = {"prompt": prefix, "suffix": SUFFIX, "path": "mean.txt", "max_tokens": 24}
            given = client.post("/v1/completions", json=body).json()["choices"][0]["text"]
            assert given == trim(prefix, SUFFIX, alone)


def test_who_leaves_stops_it(endless_release: Path, serving: Serving) -> None:
    with (
        serving(open_server(endless_release, EXACT)) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
    ):
        content = json.dumps({"prompt": "a", "max_tokens": 199_000, "stream": True}).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(content)}\r\n\r\n".encode()
        with socket.create_connection((client.base_url.host, client.base_url.port), timeout=60) as connection:
            connection.sendall(head + content)
            assert b"200 OK" in connection.recv(4096)
        answer = client.post("/v1/completions", json={"prompt": "import os", "max_tokens": 3}).json()
        assert answer["usage"]["completion_tokens"] == 3
        assert 'finished_reason="abort"} 1.0' in client.get("/metrics").text


def test_weights_that_it_does_not_read_are_refused(release: Path) -> None:
    with pytest.raises(UserError, match="openvino does not read bf16"):
        open_server(release, ServeSettings(port=0, engine="openvino", weights="bf16"))
