"""Engines that give text: llama.cpp's server for real, and servers that misbehave."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from repotune.core.errors import UserError
from repotune.infer.adapters.completions import TextEngine, TextPiece, TextRequest
from repotune.infer.adapters.llama_cpp import open_llama_cpp
from repotune.infer.adapters.remote import RemoteEngine
from repotune.infer.decoding import Sampling
from repotune.infer.prompts import infilling_prompt
from repotune.model.network import Network
from repotune.model.weights import load_model, save_model
from repotune.release.gguf import write_gguf
from repotune.tokenizer.encoding import Codec

LLAMA = {"vocabulary": 1024, "width": 128, "layers": 3, "heads": 4, "kv_heads": 2, "hidden": 96, "context": 512}
PREFIX, SUFFIX = "def add(a, b):\n    ", "\n\n\ndef sub(a, b):\n    return a - b\n"
MakeModel = Callable[[dict[str, Any]], Path]


@pytest.fixture(scope="module")
def gguf(llama_folder: Path) -> Path:
    path = llama_folder / "model.gguf"
    write_gguf(llama_folder, path, "f32", "test")
    return path


async def read(engine: TextEngine, request: TextRequest) -> list[TextPiece]:
    return [piece async for piece in engine.complete(request)]


def llama_cpp(gguf: Path, codec: Codec, *requests: TextRequest) -> list[list[TextPiece]]:
    """What llama.cpp answers, one after the other."""

    async def ask() -> list[list[TextPiece]]:
        async with open_llama_cpp(gguf, codec, context=512, threads=1) as engine:
            return [await read(engine, request) for request in requests]

    return asyncio.run(ask())


def certain_greedy(network: Network, ids: list[int], count: int) -> list[int]:
    """The likeliest tokens, up to where the second is nearly as likely: llama.cpp keeps keys and values in 16 bits."""
    chosen: list[int] = []
    for _ in range(count):
        with torch.no_grad():
            first, second = network(torch.tensor([ids + chosen]))[0, -1].topk(2).values.tolist()
            best = int(network(torch.tensor([ids + chosen]))[0, -1].argmax())
        if first - second < 0.02:
            break
        chosen.append(best)
    return chosen


def test_llama_cpp_fills_a_hole_with_our_networks_likeliest_tokens(
    llama_folder: Path, gguf: Path, codec: Codec
) -> None:
    network, compared = load_model(llama_folder), 0
    for prefix in (PREFIX, "import os\n\nos.", "class A:\n    x = 1\n", "for i in "):
        ids = infilling_prompt(codec, prefix, SUFFIX, "a.py", 496)
        chosen = certain_greedy(network, ids, 8)
        (pieces,) = llama_cpp(gguf, codec, TextRequest(prefix, SUFFIX, max(1, len(chosen)), path="a.py"))
        # llama.cpp holds back bytes that are not yet a character.
        assert codec.decode(chosen).startswith("".join(piece.text for piece in pieces[: len(chosen)]).rstrip("\ufffd"))
        assert (pieces[-1].prompt_tokens, pieces[-1].completion_tokens) == (len(ids), max(1, len(chosen)))
        compared += len(chosen)
    assert compared > 8


def test_seeds_stop_strings_and_the_suffix_are_heeded(gguf: Path, codec: Codec) -> None:
    warm = Sampling(temperature=1.5, seed=4)
    plain = TextRequest(PREFIX, SUFFIX, 24, warm)
    first, again, other, without, bare = llama_cpp(
        gguf,
        codec,
        plain,
        plain,
        TextRequest(PREFIX, SUFFIX, 24, Sampling(temperature=1.5, seed=5)),
        TextRequest(PREFIX, "x", 24, warm),
        TextRequest(PREFIX, None, 24, warm),
    )
    texts = ["".join(piece.text for piece in pieces) for pieces in (first, again, other, without, bare)]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 4
    stop = re.findall("[a-z]{2}", texts[0])[1]
    (pieces,) = llama_cpp(gguf, codec, TextRequest(PREFIX, SUFFIX, 24, warm, (stop,)))
    assert "".join(piece.text for piece in pieces) == texts[0][: texts[0].index(stop)]
    assert pieces[-1].finish == "stop"


def test_a_prompt_is_cut_to_what_the_context_holds(gguf: Path, codec: Codec) -> None:
    (pieces,) = llama_cpp(gguf, codec, TextRequest("x = 1\n" * 4000, SUFFIX, 8))
    assert pieces[-1].prompt_tokens is not None
    assert 300 < pieces[-1].prompt_tokens <= 504


def test_who_stops_reading_stops_llama_cpp(make_model: MakeModel, codec: Codec, tmp_path: Path) -> None:
    folder = make_model(dict(LLAMA, width=256, layers=8, hidden=1024, context=8192))
    network = load_model(folder)
    with torch.no_grad():
        network.embedding.weight[list(codec.special)] = 0  # so that it never ends by itself
    save_model(tmp_path, network, folder)
    write_gguf(tmp_path, tmp_path / "model.gguf", "f32", "endless")

    async def leave() -> int:
        """How many tokens were last seen decoded before it was idle."""
        decoded = 0
        async with open_llama_cpp(tmp_path / "model.gguf", codec, context=8192, threads=1) as engine:
            async with aclosing(engine.complete(TextRequest("x", None, 8000))) as pieces:
                assert (await anext(pieces)).finish is None
            while (slot := (await engine._client.get("/slots")).json()[0])["is_processing"]:
                decoded = slot["next_token"][0]["n_decoded"]
        return decoded

    assert asyncio.run(leave()) < 4000  # of 8000, which take a minute


OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


@asynccontextmanager
async def server(answer: bytes, asked: list[dict[str, Any]] | None = None) -> AsyncIterator[str]:
    """A server that reads a request, notes its body, writes `answer` and closes the connection."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        size = int(head.split("content-length:")[1].split("\r\n")[0])
        if asked is not None:
            asked.append(json.loads(await reader.readexactly(size)) | {"head": head})
        writer.write(answer)
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


def asked_of(answer: bytes, request: TextRequest, **settings: Any) -> tuple[list[TextPiece], list[dict[str, Any]]]:
    asked: list[dict[str, Any]] = []

    async def ask() -> list[TextPiece]:
        async with server(answer, asked) as url:
            engine = RemoteEngine(url, **settings)
            try:
                return await read(engine, request)
            finally:
                await engine.close()

    return asyncio.run(ask()), asked


def event(**content: Any) -> bytes:
    return f"data: {json.dumps(content)}\n\n".encode()


DONE = b"data: [DONE]\n\n"
HELLO = event(choices=[{"text": "hel", "finish_reason": None}]) + event(choices=[{"text": "lo", "finish_reason": None}])
END = event(choices=[{"text": "", "finish_reason": "stop"}])


def test_the_dialect_is_openais() -> None:
    usage = event(choices=[], usage={"prompt_tokens": 9, "completion_tokens": 2})
    request = TextRequest("a", "b", 5, Sampling(0.5, 0.9, 7), ("\n",))
    pieces, (body,) = asked_of(OK + HELLO + b": a comment\n\n" + END + usage + DONE, request, model="m", key="secret")
    assert pieces == [TextPiece("hel"), TextPiece("lo"), TextPiece("", "stop", 9, 2)]
    assert "authorization: bearer secret" in body.pop("head")
    assert body == {
        "model": "m",
        "prompt": "a",
        "suffix": "b",
        "max_tokens": 5,
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 7,
        "stop": ["\n"],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_what_only_continues_has_no_suffix_and_no_counts_are_made_up(codec: Codec) -> None:
    pieces, (body,) = asked_of(OK + HELLO + END, TextRequest("a", None, 5))
    assert pieces[-1] == TextPiece("", "stop", None, None)
    assert "suffix" not in body
    _, (body,) = asked_of(OK + END, TextRequest("a", None, 5), codec=codec)
    assert body["prompt"] == [*codec.header(""), *codec.encode("a")]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (OK + HELLO, "stopped in the middle"),
        (OK + b"data: hello\n\n", "another dialect"),
        (OK + b"data: [1]\n\n", "another dialect"),
        (OK + HELLO + event(error={"message": "out of memory"}), "failed: out of memory"),
        (
            b"HTTP/1.1 400 Bad\r\nContent-Length: 40\r\n\r\n" + b'{"error": {"message": "no suffix here"}}',
            "status 400: no suffix here",
        ),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "status 503: no reason given"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + HELLO, "stopped in the middle"),
        (b"", "stopped in the middle"),
    ],
)
def test_what_goes_wrong_is_said(answer: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        asked_of(answer, TextRequest("a", None, 5))


def test_no_server_no_file_and_a_broken_file_say_so(tmp_path: Path, codec: Codec) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + bytes(500))

    async def refused() -> None:
        async with server(b"") as url:
            pass
        engine = RemoteEngine(url)
        try:
            await read(engine, TextRequest("a", None, 5))
        finally:
            await engine.close()

    with pytest.raises(UserError, match="cannot be reached"):
        asyncio.run(refused())
    for name, message in (("missing.gguf", "There is no"), ("broken.gguf", "cannot load")):
        with pytest.raises(UserError, match=message):
            llama_cpp(tmp_path / name, codec)


def test_leaving_closes_the_connection_before_the_first_piece() -> None:
    asked, closed = asyncio.Event(), asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        while await reader.read(1000):
            pass
        closed.set()
        writer.close()

    async def leave() -> None:
        async with await asyncio.start_server(hang, "127.0.0.1", 0) as listening:
            engine = RemoteEngine(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
            reading = asyncio.create_task(read(engine, TextRequest("a", None, 5)))
            await asked.wait()
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            await closed.wait()
            await engine.close()

    asyncio.run(leave())
