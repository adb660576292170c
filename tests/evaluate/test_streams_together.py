"""Questions answered together are answered as one after the other, in their order, whatever happens to one of them."""

from __future__ import annotations

import threading
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from repotune.evaluate.streams import answer_all
from repotune.infer.decoding import Sampling, generate
from repotune.infer.engine import Engine
from repotune.infer.opening import open_engine
from repotune.train.state import best_checkpoint

Prompt = list[int]


@pytest.fixture
def model(workspace: Any) -> Path:
    return best_checkpoint(workspace.folders["run"])


@pytest.fixture
def prompts(workspace: Any) -> list[Prompt]:
    chance = np.random.default_rng(4)
    return [chance.integers(8, workspace.codec.size, chance.integers(3, 60)).tolist() for _ in range(40)]


def writer(codec: Any) -> Any:
    def write(engine: Engine, prompt: Prompt) -> str:
        drawn = generate(engine, codec, prompt, Sampling(0.8, seed=len(prompt)), 2 + prompt[0] % 20)
        return "".join(piece.text for piece in drawn)

    return write


@pytest.mark.parametrize("weights", ["int8", "f32"])
def test_several_streams_answer_what_one_does(model: Path, workspace: Any, prompts: list[Prompt], weights: Any) -> None:
    write = writer(workspace.codec)
    alone = [*answer_all(open_engine(model, weights), prompts, write, streams=1)]
    assert [*answer_all(open_engine(model, weights), prompts, write)] == alone
    assert [*answer_all(open_engine(model, weights), prompts[:1], write)] == alone[:1]
    assert [*answer_all(open_engine(model, weights), [], write)] == []


def test_only_an_engine_that_computes_together_is_asked_from_several_threads(model: Path) -> None:
    def thread(engine: Engine, number: int) -> int:
        met.wait(60)  # all eight are under way at once
        return threading.get_ident()

    met = threading.Barrier(8)
    assert len(set(answer_all(open_engine(model, "int8"), range(8), thread))) == 8
    met = threading.Barrier(1)
    assert set(answer_all(open_engine(model, "f32"), range(8), thread)) == {threading.get_ident()}


def test_streams_without_room_beside_others_are_answered_alone(model: Path, workspace: Any) -> None:
    """Sixteen whole contexts, where eight have room."""
    engine = open_engine(model, "int8")
    chance = np.random.default_rng(4)
    prompts = [chance.integers(8, workspace.codec.size, engine.context - 8).tolist() for _ in range(24)]
    met, asked, refused = threading.Barrier(16), count(), []

    def answer(engine: Engine, prompt: Prompt) -> bytes:
        first = next(asked) < 16
        try:
            logits = engine.prefill(prompt)
        except Exception as error:
            refused.append(error)
            raise
        finally:
            if first:
                met.wait(60)  # all sixteen hold what they could have
        engine.end()
        return logits.tobytes()

    found = [*answer_all(engine, prompts, answer, streams=16)]
    assert len(refused) >= 8
    assert found == [open_engine(model, "int8").prefill(prompt).tobytes() for prompt in prompts]


def test_a_fault_is_raised_and_ends_the_others(model: Path, workspace: Any, prompts: list[Prompt]) -> None:
    engine, write = open_engine(model, "int8"), writer(workspace.codec)

    def answer(engine: Engine, prompt: Prompt) -> str:
        if prompt is prompts[5]:
            raise ZeroDivisionError
        return str(write(engine, prompt))

    before = threading.active_count()
    answers = answer_all(engine, prompts, answer)
    assert len([next(answers) for _ in range(5)]) == 5
    with pytest.raises(ZeroDivisionError):
        next(answers)
    assert threading.active_count() == before
    assert [*answer_all(engine, prompts[:4], write)]  # of use again


def test_what_nobody_reads_any_more_is_not_computed(model: Path, workspace: Any) -> None:
    engine = open_engine(model, "int8")
    begun: list[int] = []

    def ramble(engine: Engine, number: int) -> int:
        begun.append(number)
        engine.prefill([number + 8])
        while number:  # the first is answered, the others would go on for ever
            engine.rewind(0)
            engine.step(9)
            engine.rewind(1)
        return number

    answers = answer_all(engine, range(100), ramble)
    assert next(answers) == 0
    answers.close()  # type: ignore[attr-defined]
    assert len(begun) <= 17
    engine.end()
    assert engine.prefill([8]).any()
