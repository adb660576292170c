"""The CPU engine's results are the same bits whatever it held, whoever else computes and however rows are grouped."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from repotune.infer.cpu.engine import cpu_engine
from repotune.infer.cpu.packed import PackedModel
from repotune.infer.cpu.packing import pack_network
from repotune.infer.engine import Cancelled
from repotune.infer.paged.engine import PagedEngine
from repotune.infer.paged.pages import Pages
from repotune.infer.paged.shelf import Shelf
from repotune.model.weights import load_model

VOCABULARY = 1024


@pytest.fixture(scope="module")
def model(llama_folder: Path) -> PackedModel:
    return pack_network(load_model(llama_folder), 8)


def tokens(count: int, seed: int = 3) -> list[int]:
    return random.Random(seed).choices(range(VOCABULARY), k=count)


def test_rows_together_are_rows_one_by_one(model: PackedModel) -> None:
    together, alone = cpu_engine(model, 2), cpu_engine(model, 1)
    ids = tokens(300)
    np.testing.assert_array_equal(together.prefill(ids[:270]), alone.prefill(ids[:270]))
    np.testing.assert_array_equal(together.extend(ids[270:]), [alone.step(token) for token in ids[270:]])


@pytest.mark.parametrize("seed", range(6))
def test_any_edits_rewinds_and_cancels_give_what_a_fresh_engine_gives(model: PackedModel, seed: int) -> None:
    """An editor's life: the same text edited, other texts, drafts taken back, answers that nobody waits for."""
    chance = random.Random(seed)
    engines = [first := cpu_engine(model, 2), first.another()]
    texts = [tokens(chance.randrange(1, 400), seed * 10 + number) for number in range(3)]
    for _ in range(25):
        engine, ids = chance.choice(engines), chance.choice(texts)
        place = chance.randrange(len(ids))
        if chance.random() < 0.5:
            ids[place : place + chance.randrange(3)] = tokens(chance.randrange(1, 4), chance.randrange(1000))
        del ids[450:]
        given, held = engine.prefill(ids), list(ids)
        for _ in range(chance.randrange(4)):
            more = tokens(chance.randrange(1, 6), chance.randrange(1000))
            given = engine.extend(more)[-1]
            held += more
            if chance.random() < 0.5:
                engine.rewind(back := chance.randrange(1, len(more) + 1))
                given = engine.step(7)
                held[len(held) - back :] = [7]
        np.testing.assert_array_equal(given, cpu_engine(model, 1).prefill(held))
        if chance.random() < 0.3:
            engine.cancel()
            with pytest.raises(Cancelled):
                engine.step(1)
        if chance.random() < 0.5:
            engine.end()


def test_streams_computed_together_are_streams_alone(model: PackedModel) -> None:
    engines = [first := cpu_engine(model, 2), *(first.another() for _ in range(5))]

    def answer(number: int) -> list[int]:
        return greedy(engines[number], tokens(40 + 60 * number, number), 20)

    with ThreadPoolExecutor(len(engines)) as threads:
        given = list(threads.map(answer, range(len(engines))))
    alone = [greedy(cpu_engine(model, 1), tokens(40 + 60 * number, number), 20) for number in range(len(engines))]
    assert given == alone


def greedy(engine: PagedEngine, ids: list[int], count: int) -> list[int]:
    chosen = [int(engine.prefill(ids).argmax())]
    while len(chosen) < count:
        chosen.append(int(engine.step(chosen[-1]).argmax()))
    engine.end()
    return chosen


def test_cancelling_one_stream_leaves_the_others_alone(model: PackedModel) -> None:
    engines = [first := cpu_engine(model, 2), first.another(), first.another()]
    cancelled = threading.Event()

    def go_on(number: int) -> list[int]:
        try:
            while True:
                greedy(engines[number], tokens(200, number), 30)
        except Cancelled:
            cancelled.set()
            return []

    with ThreadPoolExecutor(3) as threads:
        endless = threads.submit(go_on, 0)
        others = [threads.submit(greedy, engines[number], tokens(90, number), 40) for number in (1, 2)]
        while not cancelled.is_set():
            engines[0].cancel()
        endless.result()
        assert [other.result() for other in others] == [
            greedy(cpu_engine(model, 1), tokens(90, number), 40) for number in (1, 2)
        ]


def test_a_prompt_cancelled_anywhere_leaves_nothing_behind(model: PackedModel) -> None:
    engine, ids = cpu_engine(model, 2), tokens(450)
    expected = cpu_engine(model, 1).prefill(ids)
    for turn in range(12):
        timer = threading.Timer(turn / 2000, engine.cancel)
        timer.start()
        with suppress(Cancelled):
            engine.prefill(tokens(450, turn))
        timer.join()
        engine.end()
        np.testing.assert_array_equal(engine.prefill(ids), expected)


def test_a_prompt_that_another_stream_began_is_not_computed_again(model: PackedModel) -> None:
    first = cpu_engine(model, 1)
    second = first.another()
    shared, ends = tokens(100), [tokens(80, 7), tokens(150, 8)]
    first.prefill(shared + ends[0])
    first.end()
    second.prefill(shared + ends[1])
    assert second.stats().reused_tokens == 100
    first.prefill(shared + ends[0] + [1])
    assert first.stats().reused_tokens == 180


def test_a_key_struck_while_an_answer_is_under_way_computes_one_token(model: PackedModel) -> None:
    """The stream in use is shared as it stands, and goes on without noticing."""
    first = cpu_engine(model, 2)
    second = first.another()
    ids = tokens(203)
    first.prefill(ids)
    np.testing.assert_array_equal(second.prefill([*ids, 5]), cpu_engine(model, 1).prefill([*ids, 5]))
    assert second.stats().reused_tokens == 203
    np.testing.assert_array_equal(first.step(9), cpu_engine(model, 1).prefill([*ids, 9]))
    np.testing.assert_array_equal(second.step(9), cpu_engine(model, 1).prefill([*ids, 5, 9]))


def test_a_stream_can_be_compared_while_it_grows() -> None:
    """The next key is struck while an answer is under way: the pass must be able to add to what is being read."""
    pages = Pages(count=200, size=16, context=3000, copy=lambda page, to: None)
    shelf, ids = Shelf(pages), tokens(2000)
    growing = shelf.take(ids)
    growing.tokens.extend(ids)
    ended = threading.Event()

    def grow() -> None:
        while not ended.is_set():
            growing.tokens.extend(ids[:8])
            del growing.tokens[len(ids) :]

    with ThreadPoolExecutor(1) as threads:
        under_way = threads.submit(grow)
        try:
            held = {shelf.held(ids) for _ in range(300)}
        finally:
            ended.set()
        under_way.result()
    assert held == {len(ids) - 1}


def test_more_texts_than_have_room_are_answered(model: PackedModel) -> None:
    """The pages of streams unused for longest go first, and none is lost on the way."""
    engine = cpu_engine(model, 2)
    for seed in range(40):
        engine.prefill(tokens(500, seed))
        engine.end()
    reused = engine.stats().reused_tokens
    engine.prefill([*tokens(500, 39), 1])
    assert engine.stats().reused_tokens == reused + 500
    pages = engine._shared.pages
    held = {page for stream in [*engine._shared.shelf._kept, engine._stream] for page in stream.table[: stream.pages]}
    assert len(held) + pages.free == pages.count
