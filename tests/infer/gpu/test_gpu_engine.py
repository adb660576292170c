"""The GPU's engine, run on a CPU: it computes what the training network computes, whatever it holds and whoever else
computes."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from repotune.core.errors import UserError
from repotune.infer.engine import Cancelled, Engine
from repotune.infer.gpu.engine import gpu_engine, room
from repotune.infer.gpu.products import Precision
from repotune.infer.paged.engine import PagedEngine
from repotune.model.configuration import ModelConfig, preset
from repotune.model.network import Network
from repotune.model.weights import load_model

VOCABULARY = 1024
LLAMA: dict[str, Any] = {
    "vocabulary": VOCABULARY,
    "width": 128,
    "layers": 3,
    "heads": 4,
    "kv_heads": 2,
    "hidden": 96,
    "context": 512,
}
MPT = dict(LLAMA, kv_heads=4, hidden=512, norm="layer", position="alibi", activation="gelu")
STARCODER2 = dict(LLAMA, norm="layer", activation="gelu-tanh", biases="all")
SHAPES = {
    "llama": LLAMA,
    "untied": dict(LLAMA, tied=False, rope_base=500_000.0),
    "one key-value head": dict(LLAMA, kv_heads=1),
    "no groups, odd hidden": dict(LLAMA, kv_heads=4, hidden=131),
    "llama 3.1": dict(LLAMA, rope_factor=8.0, rope_trained=64),
    "qwen2": dict(LLAMA, biases="qkv"),
    "starcoder2": STARCODER2,
    "starcoder2, a window": dict(STARCODER2, window=50, tied=False),
    "mpt": MPT,
    "mpt with 24 grouped heads": dict(MPT, width=96, heads=24, kv_heads=8, hidden=384),
}
CPU = torch.device("cpu")
MakeModel = Callable[[dict[str, Any]], Path]


def tokens(count: int, seed: int = 3) -> list[int]:
    return random.Random(seed).choices(range(VOCABULARY), k=count)


def exact(folder: Path) -> PagedEngine:
    return gpu_engine(load_model(folder), "f32", CPU)


def close(given: np.ndarray, expected: np.ndarray) -> None:
    """Equal but for the order of sums."""
    np.testing.assert_allclose(given, expected, atol=1e-3, rtol=1e-3)


def expected_logits(network: Network, ids: list[int]) -> np.ndarray:
    with torch.no_grad():
        logits: np.ndarray = network(torch.tensor([ids]))[0].numpy()
    return logits


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_f32_gives_the_training_networks_logits(make_model: MakeModel, shape: dict[str, Any]) -> None:
    folder = make_model(shape)
    engine, ids = exact(folder), tokens(120)
    given = [engine.prefill(ids[:70]), *(engine.step(token) for token in ids[70:90]), *engine.extend(ids[90:])]
    close(np.stack(given), expected_logits(load_model(folder), ids)[69:])


def test_a_prompt_of_several_passes_is_whole(llama_folder: Path, make_model: MakeModel) -> None:
    folder = make_model(dict(LLAMA, context=1100))
    engine, ids = exact(folder), tokens(1090)
    close(engine.prefill(ids), expected_logits(load_model(folder), ids)[-1])


@pytest.mark.parametrize(("precision", "most"), [("bf16", 0.05), ("int8", 0.1), ("fp8", 0.4)])
@pytest.mark.parametrize("name", ["llama", "qwen2", "starcoder2, a window", "mpt"])
def test_rounded_weights_give_nearly_the_same_logits(
    make_model: MakeModel, name: str, precision: Precision, most: float
) -> None:
    network = load_model(make_model(SHAPES[name]))
    engine, ids = gpu_engine(network, precision, CPU), tokens(90)
    given = [engine.prefill(ids[:60]), *engine.extend(ids[60:70]), *(engine.step(token) for token in ids[70:])]
    expected = expected_logits(network, ids)[59:]
    error = np.linalg.norm(np.stack(given) - expected) / np.linalg.norm(expected)
    assert 1e-6 < error < most


@pytest.mark.parametrize("seed", range(4))
def test_any_edits_rewinds_and_cancels_give_what_a_fresh_engine_gives(llama_folder: Path, seed: int) -> None:
    """An editor's life: the same text edited, other texts, drafts taken back, answers that nobody waits for."""
    chance, network = random.Random(seed), load_model(llama_folder)
    engines = [first := exact(llama_folder), first.another()]
    texts = [tokens(chance.randrange(1, 400), seed * 10 + number) for number in range(3)]
    for _ in range(20):
        engine, ids = chance.choice(engines), chance.choice(texts)
        place = chance.randrange(len(ids))
        if chance.random() < 0.5:
            ids[place : place + chance.randrange(3)] = tokens(chance.randrange(1, 4), chance.randrange(1000))
        del ids[450:]
        given, held = engine.prefill(ids), list(ids)
        for _ in range(chance.randrange(4)):
            more = tokens(chance.randrange(1, 20), chance.randrange(1000))
            given = engine.extend(more)[-1]
            held += more
            if chance.random() < 0.5:
                engine.rewind(back := chance.randrange(1, len(more) + 1))
                given = engine.step(7)
                held[len(held) - back :] = [7]
        close(given, expected_logits(network, held)[-1])
        if chance.random() < 0.3:
            engine.cancel()
            with pytest.raises(Cancelled):
                engine.step(1)
        if chance.random() < 0.5:
            engine.end()


def follow(engine: Engine, ids: list[int], then: list[int]) -> np.ndarray:
    """The logits after `ids` and after each of `then`."""
    given = [engine.prefill(ids), *(engine.step(token) for token in then)]
    engine.end()
    return np.stack(given)


@pytest.mark.parametrize("name", ["llama", "starcoder2, a window", "mpt with 24 grouped heads"])
def test_streams_computed_together_are_streams_alone(make_model: MakeModel, name: str) -> None:
    folder = make_model(SHAPES[name])
    engines = [first := exact(folder), *(first.another() for _ in range(4))]
    texts = [(tokens(10 + 60 * number, number), tokens(20, 50 + number)) for number in range(len(engines))]
    with ThreadPoolExecutor(len(engines)) as threads:
        given = list(threads.map(follow, engines, *zip(*texts, strict=True)))
    network = load_model(folder)
    for logits, (ids, then) in zip(given, texts, strict=True):
        close(logits, expected_logits(network, ids + then)[len(ids) - 1 :])


def test_cancelling_one_stream_leaves_the_others_alone(llama_folder: Path) -> None:
    engines = [first := exact(llama_folder), first.another(), first.another()]
    cancelled = threading.Event()

    def go_on() -> None:
        with suppress(Cancelled):
            while True:
                follow(engines[0], tokens(200), tokens(30))
        cancelled.set()

    texts = [(tokens(90, number), tokens(30, 50 + number)) for number in (1, 2)]
    with ThreadPoolExecutor(3) as threads:
        endless = threads.submit(go_on)
        others = [threads.submit(follow, *pair) for pair in zip(engines[1:], *zip(*texts, strict=True), strict=True)]
        while not cancelled.is_set():
            engines[0].cancel()
        endless.result()
    for other, (ids, then) in zip(others, texts, strict=True):
        close(other.result(), expected_logits(load_model(llama_folder), ids + then)[len(ids) - 1 :])


def test_a_prompt_cancelled_anywhere_leaves_nothing_behind(llama_folder: Path) -> None:
    engine, ids = exact(llama_folder), tokens(450)
    expected = expected_logits(load_model(llama_folder), ids)[-1]
    ended = 0
    for turn in range(8):
        timer = threading.Timer(turn / 1000, engine.cancel)
        timer.start()
        try:
            engine.prefill(tokens(450, turn))
        except Cancelled:
            ended += 1
        timer.join()
        engine.end()
        close(engine.prefill(ids), expected)
    assert ended


def test_a_key_struck_while_an_answer_is_under_way_computes_one_token(llama_folder: Path) -> None:
    """The stream in use is shared as it stands, up to the middle of a page, and goes on without noticing."""
    first, network = exact(llama_folder), load_model(llama_folder)
    second, ids = first.another(), tokens(203)
    first.prefill(ids)
    close(second.prefill([*ids, 5]), expected_logits(network, [*ids, 5])[-1])
    assert second.stats().reused_tokens == 203
    close(first.step(9), expected_logits(network, [*ids, 9])[-1])
    close(second.step(9), expected_logits(network, [*ids, 5, 9])[-1])


def test_more_texts_than_have_room_are_answered(llama_folder: Path) -> None:
    engine = exact(llama_folder)
    for seed in range(12):
        engine.prefill(tokens(500, seed))
        engine.end()
    reused = engine.stats().reused_tokens
    engine.prefill([*tokens(500, 11), 1])
    assert engine.stats().reused_tokens == reused + 500


def test_room_is_for_whole_contexts_beside_what_passes_take() -> None:
    config = preset("replit-code-v1.5-3b")
    assert room(config, torch.bfloat16, free=70 << 30) == 32 * config.context
    few = room(config, torch.bfloat16, free=8 << 30)
    assert config.context <= few < 8 * config.context
    with pytest.raises(UserError, match="too little for a context of 4096"):
        room(config, torch.bfloat16, free=4 << 30)


def test_fp8_refuses_a_shape_that_its_products_cannot_have() -> None:
    config = ModelConfig(256, width=64, layers=1, heads=2, kv_heads=2, hidden=100, context=64)
    with pytest.raises(UserError, match="cannot be read as fp8"):
        gpu_engine(Network(config), "fp8", CPU)
