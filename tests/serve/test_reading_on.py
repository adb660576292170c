"""A first answer in a new place sees as much as can be read in time; the rest is read while nobody waits."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from repotune.infer.assistance import AssistedEngine, assist
from repotune.infer.decoding import Sampling
from repotune.infer.engine import Cancelled, Logits
from repotune.infer.opening import open_engine
from repotune.serve import local
from repotune.serve.local import Local
from repotune.serve.scheduler import Generation, Scheduler
from repotune.serve.source import Ask
from repotune.tokenizer.encoding import Codec, load_codec

NEAR = 64
PREFIX = "".join(f"value_{number} = {number} * 2\n" for number in range(40))


@pytest.fixture
def codec(release: Path) -> Codec:
    return load_codec(release)


@pytest.fixture
def engine(release: Path, codec: Codec) -> AssistedEngine:
    return assist(open_engine(release, "int8", threads=1), codec.special, None, None)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that reads too little in time for more than the least."""
    monkeypatch.setattr(local, "_LEAST_READ", NEAR)
    monkeypatch.setattr(local, "_IN_TIME", 1e-9)


def started(engine: AssistedEngine, codec: Codec) -> Local:
    """A source that has an idea of its speed already."""
    source = Local(engine, codec)
    source._scheduler._rate = 1000.0
    source.start()
    return source


async def answer(source: Local, prefix: str, max_tokens: int = 3) -> Generation:
    """An answer that was waited for, and its figures."""
    generation = await source.reply(Ask(prefix, "\nprint(value_1)\n", max_tokens, Sampling()))
    async for _piece in generation:
        pass
    return generation


def reads(engine: AssistedEngine, prompt: list[int]) -> bool:
    """Whether all of `prompt` is in the cache before long."""
    last = time.monotonic() + 60
    while engine.held(prompt) < len(prompt) - 1:
        if time.monotonic() > last:
            return False
        time.sleep(0.001)
    return True


@pytest.mark.usefixtures("slow")
def test_the_first_answer_is_near_and_the_next_sees_all(engine: AssistedEngine, codec: Codec) -> None:
    async def ask() -> None:
        source = started(engine, codec)
        first = await answer(source, PREFIX)
        assert first.prompt_tokens <= NEAR < len(first.task.further)
        assert first.completion_tokens == 3
        assert await asyncio.to_thread(reads, engine, first.task.further)
        second = await answer(source, PREFIX + "v")
        assert not second.task.further
        assert second.prompt_tokens > NEAR
        assert second.cached_tokens >= len(first.task.further) - 3  # the last token may be healed
        await source.close()

    asyncio.run(ask())


@pytest.mark.usefixtures("slow")
def test_who_asks_for_one_token_has_all_of_it_read(engine: AssistedEngine, codec: Codec) -> None:
    """That is how editors have a prompt read ahead (llama.vim's n_predict of 0)."""

    async def ask() -> None:
        source = started(engine, codec)
        assert (await answer(source, PREFIX, max_tokens=1)).prompt_tokens > NEAR
        await source.close()

    asyncio.run(ask())


def test_who_can_read_all_in_time_does(engine: AssistedEngine, codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_LEAST_READ", NEAR)
    monkeypatch.setattr(local, "_IN_TIME", 60.0)

    async def ask() -> None:
        source = Local(engine, codec)
        source.start()
        for prefix in (PREFIX, PREFIX[::-1]):  # before anything is known of its speed, and after
            found = await answer(source, prefix)
            assert found.prompt_tokens > NEAR
            assert not found.task.further
        assert 0 < source._scheduler.rate < float("inf")
        await source.close()

    asyncio.run(ask())


def test_how_much_is_near_moves_only_by_much(
    engine: AssistedEngine, codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine's speed is never twice the same, and each other beginning of a prompt is read anew."""
    monkeypatch.setattr(local, "_LEAST_READ", 10)
    source, near = Local(engine, codec), []
    for readable in (float("inf"), 200, 150, 200, 250, 0):
        source._scheduler._rate = readable / local._IN_TIME
        near.append(source._readable())
    assert near == [256, 256, 150, 150, 250, 10]


class Waits:
    """An engine whose reading on does not end by itself."""

    def __init__(self, engine: AssistedEngine, most: int) -> None:
        self._engine, self._most = engine, most
        self.reading, self._cancelled = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def prefill(self, ids: Sequence[int]) -> Logits:
        if len(ids) <= self._most:
            return self._engine.prefill(ids)
        self.reading.set()
        assert self._cancelled.wait(60)
        raise Cancelled

    def cancel(self) -> None:
        self._cancelled.set()


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("ends", ["by an answer", "by the end"])
def test_reading_on_gives_way(engine: AssistedEngine, codec: Codec, ends: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "Scheduler", partial(Scheduler, streams=1))
    waits = Waits(engine, NEAR)

    async def ask() -> None:
        source = started(waits, codec)  # type: ignore[arg-type]
        await answer(source, PREFIX)
        assert await asyncio.to_thread(waits.reading.wait, 60)
        if ends == "by an answer":
            assert (await answer(source, PREFIX + "v")).completion_tokens == 3
            assert waits._cancelled.is_set()
        await source.close()
        assert waits._cancelled.is_set()

    asyncio.run(ask())


@pytest.mark.usefixtures("slow")
def test_a_stream_outlives_reading_that_fails(
    engine: AssistedEngine, codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "Scheduler", partial(Scheduler, streams=1))
    prefill, failed = engine.prefill, threading.Event()

    def fail(ids: Sequence[int]) -> Logits:
        if len(ids) <= NEAR:
            return prefill(ids)
        failed.set()
        raise RuntimeError("the memory is broken")

    monkeypatch.setattr(engine, "prefill", fail)

    async def ask() -> None:
        source = started(engine, codec)
        await answer(source, PREFIX)
        assert await asyncio.to_thread(failed.wait, 60)
        assert (await answer(source, PREFIX + "v")).completion_tokens == 3
        await source.close()

    asyncio.run(ask())
