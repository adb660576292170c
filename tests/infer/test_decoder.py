"""The engine computes what the training network and transformers compute, whatever it holds and however it is used."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from repotune.core.errors import UserError
from repotune.infer.decoder import CACHES, CHUNK
from repotune.infer.engine import Cancelled, Engine
from repotune.infer.opening import open_engine
from repotune.model.weights import load_model

VOCABULARY = 1024
LLAMA = {"vocabulary": VOCABULARY, "width": 128, "layers": 3, "heads": 4, "kv_heads": 2, "hidden": 96, "context": 512}
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

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def tokens(count: int, seed: int = 3) -> list[int]:
    return random.Random(seed).choices(range(VOCABULARY), k=count)


def relative_error(given: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(given - expected) / np.linalg.norm(expected))


@pytest.fixture(params=["f32", "int8"])
def engine(llama_folder: Path, request: pytest.FixtureRequest) -> Engine:
    return open_engine(llama_folder, request.param, threads=2)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_f32_gives_the_training_networks_logits(
    make_model: Callable[[dict[str, Any]], Path], shape: dict[str, Any]
) -> None:
    folder = make_model(shape)
    ids = tokens(CHUNK + 40)
    engine = open_engine(folder, "f32")
    given = [engine.prefill(ids[: CHUNK + 20])] + [engine.step(token) for token in ids[CHUNK + 20 :]]
    with torch.no_grad():
        expected = load_model(folder)(torch.tensor([ids]))[0, CHUNK + 19 :].numpy()
    np.testing.assert_allclose(np.stack(given), expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", ["llama", "untied", "llama 3.1", "qwen2", "starcoder2, a window", "mpt"])
def test_greedy_tokens_are_those_of_transformers(make_model: Callable[[dict[str, Any]], Path], name: str) -> None:
    folder = make_model(SHAPES[name])
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder)
    engine = open_engine(folder, "f32")
    for seed in range(3):
        ids = tokens(30, seed)
        settings = {"do_sample": False, "max_new_tokens": 24, "eos_token_id": None, "pad_token_id": 0}
        with torch.no_grad():
            expected = theirs.generate(torch.tensor([ids]), attention_mask=torch.ones(1, 30), **settings)[0, 30:]
        assert greedy(engine, ids, 24) == expected.tolist()


def greedy(engine: Engine, ids: list[int], count: int) -> list[int]:
    logits, chosen = engine.prefill(ids), []
    for _ in range(count):
        chosen.append(int(logits.argmax()))
        logits = engine.step(chosen[-1])
    return chosen


PACKABLE = {name: shape for name, shape in SHAPES.items() if shape["width"] % 64 == 0}


@pytest.mark.parametrize("shape", PACKABLE.values(), ids=PACKABLE)
@pytest.mark.parametrize(("weights", "bound"), [("bf16", 0.03), ("int8", 0.15)])
def test_fewer_bits_stay_close_to_f32(
    make_model: Callable[[dict[str, Any]], Path], shape: dict[str, Any], weights: Any, bound: float
) -> None:
    exact, rough = open_engine(make_model(shape), "f32"), open_engine(make_model(shape), weights)
    ids = tokens(100)
    assert 0 < relative_error(rough.prefill(ids), exact.prefill(ids)) < bound
    assert 0 < relative_error(rough.step(7), exact.step(7)) < bound


@pytest.mark.parametrize(("kept", "new"), [(1, 80), (50, 1), (50, 2), (70, 30), (CHUNK, CHUNK)])
def test_a_reused_prefix_gives_a_cold_prompts_logits(llama_folder: Path, kept: int, new: int) -> None:
    prompt = tokens(kept) + tokens(new, seed=8)
    warm, cold = open_engine(llama_folder, "f32"), open_engine(llama_folder, "f32")
    warm.prefill(tokens(kept) + tokens(20, seed=9))
    np.testing.assert_allclose(warm.prefill(prompt), cold.prefill(prompt), atol=1e-4, rtol=1e-4)
    assert warm.stats().reused_tokens == (kept if kept >= 20 else 0)


def test_the_same_prompt_again_computes_one_token(engine: Engine) -> None:
    ids = tokens(60)
    first, again = engine.prefill(ids), engine.prefill(ids)
    np.testing.assert_allclose(again, first, atol=1e-4, rtol=1e-4)
    assert engine.stats().reused_tokens == 59


def test_accepted_tokens_are_part_of_the_next_prompts_prefix(engine: Engine) -> None:
    ids = tokens(40)
    answer = greedy(engine, ids, 8)
    engine.prefill(ids + answer + [5])
    assert engine.stats().reused_tokens == 48


def test_files_in_turn_do_not_evict_each_other(engine: Engine) -> None:
    files = [tokens(50, seed) for seed in range(CACHES)]
    for ids in files:
        engine.prefill(ids)
    for ids in files:
        engine.prefill([*ids, 1])
    assert engine.stats().reused_tokens == 50 * CACHES


def test_cancel_ends_a_prefill_from_another_thread_and_loses_nothing(
    make_model: Callable[[dict[str, Any]], Path],
) -> None:
    folder = make_model(dict(LLAMA, width=256, hidden=1024, layers=16, context=4096))
    engine, cold = open_engine(folder, "f32"), open_engine(folder, "f32")
    ids = tokens(4096)
    engine.prefill(ids[:50])
    raised = threading.Event()

    def prefill() -> None:
        with pytest.raises(Cancelled):
            engine.prefill(ids)
        raised.set()

    thread = threading.Thread(target=prefill)
    thread.start()
    while not raised.is_set():
        engine.cancel()
        time.sleep(0.001)
    thread.join()
    assert engine.stats().prompts == 1
    np.testing.assert_allclose(engine.prefill(ids[:80]), cold.prefill(ids[:80]), atol=1e-4, rtol=1e-4)
    assert engine.stats().reused_tokens >= 50


def test_cancel_between_calls_ends_the_next_step_and_no_later_prompt(engine: Engine) -> None:
    engine.prefill([1, 2, 3])
    engine.cancel()
    with pytest.raises(Cancelled):
        engine.step(4)
    engine.prefill([1, 2, 3])
    engine.step(4)


def test_a_cancel_before_a_prompt_begins_is_not_lost_and_ends_with_the_sequence(engine: Engine) -> None:
    engine.cancel()
    with pytest.raises(Cancelled):
        engine.prefill([1, 2, 3])
    engine.cancel()
    engine.end()
    engine.prefill([1, 2, 3])


def test_stats_count_what_was_done(engine: Engine) -> None:
    engine.prefill(tokens(10))
    engine.step(1)
    engine.step(2)
    stats = engine.stats()
    assert (stats.prompts, stats.prompt_tokens, stats.reused_tokens, stats.steps) == (1, 10, 0, 2)
    assert stats.prefill_seconds > 0
    assert stats.step_seconds > 0


@pytest.mark.parametrize(
    ("ids", "message"),
    [([], "at least one token"), ([0] * 513, "do not fit"), ([VOCABULARY], "token ids run"), ([-1], "token ids run")],
)
def test_prompts_that_cannot_be_are_refused(engine: Engine, ids: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        engine.prefill(ids)


def test_steps_that_cannot_be_are_refused(engine: Engine) -> None:
    with pytest.raises(ValueError, match="begins with a prefill"):
        engine.step(1)
    engine.prefill(tokens(511))
    with pytest.raises(ValueError, match="token ids run"):
        engine.step(VOCABULARY)
    engine.step(1)
    with pytest.raises(ValueError, match="do not fit"):
        engine.step(1)


def test_auto_is_int8_where_the_kernels_know_the_shape(
    make_model: Callable[[dict[str, Any]], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert open_engine(make_model(LLAMA)).precision == "int8"
    odd = make_model(SHAPES["mpt with 24 grouped heads"])
    for native in (True, False):
        monkeypatch.setattr("repotune.infer.opening.has_bf16", lambda: native)  # noqa: B023 (called within the turn)
        assert open_engine(odd).precision == ("bf16" if native else "f32")
    with pytest.raises(UserError, match="the kernels need a width"):
        open_engine(odd, "int8")


def test_a_folder_without_a_model_and_unknown_weights_say_so(tmp_path: Path, llama_folder: Path) -> None:
    with pytest.raises(UserError, match="There is no model in"):
        open_engine(tmp_path)
    with pytest.raises(UserError, match="no weights 'int3'"):
        open_engine(llama_folder, "int3")  # type: ignore[arg-type]
