"""OpenVINO behind our door: the logits of transformers, and those of a fresh engine whatever went before."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repotune.core.errors import UserError
from repotune.infer.adapters import openvino
from repotune.infer.adapters.openvino import MOST_STALE, OpenvinoEngine, open_openvino
from repotune.infer.engine import Cancelled, Engine

pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install openvino")

VOCABULARY = 1024
LLAMA = {"vocabulary": VOCABULARY, "width": 128, "layers": 3, "heads": 4, "kv_heads": 2, "hidden": 96, "context": 512}
SHAPES = {
    "llama": LLAMA,
    "untied": dict(LLAMA, tied=False, rope_base=500_000.0),
    "llama 3.1": dict(LLAMA, rope_factor=8.0, rope_trained=64),
    "qwen2, no groups": dict(LLAMA, biases="qkv", kv_heads=4),
    "starcoder2": dict(LLAMA, norm="layer", activation="gelu-tanh", biases="all"),
}
MakeModel = Callable[[dict[str, Any]], Path]

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def tokens(count: int, seed: int = 3) -> list[int]:
    return random.Random(seed).choices(range(VOCABULARY), k=count)


@pytest.fixture(scope="module")
def engine(llama_folder: Path) -> Engine:
    return open_openvino(llama_folder, "f32", threads=1)


@pytest.fixture(scope="module")
def compiled(engine: OpenvinoEngine) -> Any:
    return engine._pool._compiled


def fresh(engine: OpenvinoEngine, compiled: Any) -> OpenvinoEngine:
    """An engine over the same graph that has seen nothing."""
    return OpenvinoEngine(engine._config, openvino._Pool(compiled), engine.precision)


def relative_error(given: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(given - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_logits_are_those_of_transformers(make_model: MakeModel, shape: dict[str, Any]) -> None:
    folder = make_model(shape)
    engine, ids = open_openvino(folder, "f32", threads=1), tokens(90)
    given = np.concatenate([engine.prefill(ids[:70])[None], engine.extend(ids[70:85]), engine.step(ids[85])[None]])
    with torch.no_grad():
        theirs = transformers.AutoModelForCausalLM.from_pretrained(folder)(torch.tensor([ids])).logits[0].numpy()
    np.testing.assert_allclose(given, theirs[69:86], atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize(("weights", "bound"), [("f16", 0.03), ("int8", 0.06), ("int4", 0.5)])
def test_fewer_bits_stay_close(llama_folder: Path, engine: Engine, weights: Any, bound: float) -> None:
    rough = open_openvino(llama_folder, weights, threads=1)
    assert 0 < relative_error(rough.prefill(tokens(100)), engine.prefill(tokens(100))) < bound


# What an editor makes an engine do: a prompt that keeps a share of the last one, an answer, drafts taken back.
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("prompt"), st.integers(0, 120), st.integers(1, 150)),
        st.tuples(st.just("extend"), st.integers(1, 6), st.just(0)),
        st.tuples(st.just("rewind"), st.integers(0, 4), st.just(0)),
        st.tuples(st.just("cancel"), st.just(0), st.just(0)),
        st.tuples(st.just("end"), st.just(0), st.just(0)),
    ),
    max_size=12,
)


@given(actions=ACTIONS, seed=st.integers(0, 2**16))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_sequence_of_calls_gives_what_a_fresh_engine_gives(
    engine: OpenvinoEngine, compiled: Any, actions: list[tuple[str, int, int]], seed: int
) -> None:
    used, held, draw = fresh(engine, compiled), [0], random.Random(seed)
    used.prefill(held)
    for action, first, second in actions:
        new = draw.choices(range(VOCABULARY), k=second or first)
        if action == "prompt":
            held = (held[:first] + new)[:400]
            used.prefill(held)
        elif action == "extend":
            held = held + new
            used.extend(new)
        elif action == "rewind":
            count = min(first, len(held) - 1)
            held = held[: len(held) - count]
            used.rewind(count)
        elif action == "cancel":
            used.cancel()
            with pytest.raises(Cancelled):
                used.step(1)
            used.prefill(held)
        else:
            used.end()
            used.prefill(held)
    expected = fresh(engine, compiled).prefill([*held, 7])
    np.testing.assert_allclose(used.step(7), expected, atol=2e-4, rtol=1e-3)


def test_stale_tokens_are_masked_and_at_last_left_out(engine: OpenvinoEngine, compiled: Any) -> None:
    used, ids = fresh(engine, compiled), tokens(100)
    used.prefill(ids)
    for seed in range(MOST_STALE // 20 + 2):
        used.extend(tokens(20, seed))
        used.rewind(20)
        assert used._sequence is not None
        assert used._sequence._width <= len(ids) + MOST_STALE
    np.testing.assert_allclose(used.step(5), fresh(engine, compiled).prefill([*ids, 5]), atol=2e-4, rtol=1e-3)


def test_a_keystroke_computes_its_own_tokens_alone(engine: OpenvinoEngine, compiled: Any) -> None:
    used, ids = fresh(engine, compiled), tokens(200)
    used.prefill(ids)
    used.prefill([*ids[:-1], 5, 6])
    assert used.stats().reused_tokens == 199
    used.prefill([*ids[:-1], 5, 6])
    assert used.stats().reused_tokens == 199 + 200


def test_files_in_turn_do_not_evict_each_other_and_engines_share_what_ended(
    engine: OpenvinoEngine, compiled: Any
) -> None:
    used = fresh(engine, compiled)
    files = [tokens(60, seed) for seed in range(openvino.IDLE)]
    for ids in files:
        used.prefill(ids)
    used.end()
    other = used.another()
    for ids in files:
        other.prefill([*ids, 1])
    assert other.stats().reused_tokens == 60 * openvino.IDLE


def test_two_engines_at_once_keep_their_sequences_apart(engine: OpenvinoEngine, compiled: Any) -> None:
    first = fresh(engine, compiled)
    second = first.another()
    one, two = tokens(50, 1), tokens(50, 2)
    first.prefill(one)
    second.prefill(two)
    given = first.step(3), second.step(4)
    expected = fresh(engine, compiled).prefill([*one, 3]), fresh(engine, compiled).prefill([*two, 4])
    np.testing.assert_allclose(given, expected, atol=2e-4, rtol=1e-3)


def test_cancel_ends_a_prompt_under_way_and_loses_nothing_that_was_whole(make_model: MakeModel) -> None:
    folder = make_model(dict(LLAMA, width=256, hidden=1024, layers=12, context=4096))
    engine = open_openvino(folder, "f32", threads=1)
    ids = tokens(4096)
    engine.prefill(ids[:300])
    raised = threading.Event()

    def prefill() -> None:
        with pytest.raises(Cancelled):
            engine.prefill(ids)
        raised.set()

    thread = threading.Thread(target=prefill)
    thread.start()
    while not raised.wait(0.001):
        engine.cancel()
    thread.join()
    engine.end()  # takes back a cancel that came too late
    given = engine.prefill(ids[:320])
    assert engine.stats().reused_tokens >= 300
    np.testing.assert_allclose(given, open_openvino(folder, "f32", threads=1).prefill(ids[:320]), atol=1e-3, rtol=1e-3)


def test_cancel_between_calls_ends_the_next_call_and_end_takes_it_back(engine: OpenvinoEngine, compiled: Any) -> None:
    used = fresh(engine, compiled)
    used.cancel()
    with pytest.raises(Cancelled):
        used.prefill([1, 2, 3])
    used.prefill([1, 2, 3])
    used.cancel()
    used.end()
    used.prefill([1, 2, 3])
    used.cancel()
    with pytest.raises(Cancelled):
        used.step(4)
    used.step(4)


@pytest.mark.parametrize("ids", [[], [0] * 513, [VOCABULARY], [-1]])
def test_prompts_that_cannot_be_are_refused(engine: Engine, ids: list[int]) -> None:
    with pytest.raises(ValueError, match=r"token"):
        engine.prefill(ids)


def test_calls_out_of_order_are_refused(engine: OpenvinoEngine, compiled: Any) -> None:
    used = fresh(engine, compiled)
    with pytest.raises(ValueError, match="begins with a prefill"):
        used.step(1)
    used.prefill(tokens(511))
    used.step(1)
    with pytest.raises(ValueError, match="do not fit"):
        used.step(1)
    with pytest.raises(ValueError, match="cannot be taken back"):
        used.rewind(512)


def test_shapes_and_weights_that_cannot_be_say_so(make_model: MakeModel, llama_folder: Path, tmp_path: Path) -> None:
    mpt = dict(LLAMA, norm="layer", position="alibi", activation="gelu", hidden=256, kv_heads=4)
    for shape in (mpt, dict(SHAPES["starcoder2"], window=50)):
        with pytest.raises(UserError, match="rotary positions without a window"):
            open_openvino(make_model(shape))
    with pytest.raises(UserError, match="no weights 'int3'"):
        open_openvino(llama_folder, "int3")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="There is no model in"):
        open_openvino(tmp_path)
