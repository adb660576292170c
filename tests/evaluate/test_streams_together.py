"""Questions answered together are answered as one after the other, in their order, whatever happens to one of them."""

from __future__ import annotations

import threading
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from repotune.evaluate import streams
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
    for number in (None, 8):
        assert [*answer_all(open_engine(model, weights), prompts, write, number)] == alone
        assert [*answer_all(open_engine(model, weights), prompts[:1], write, number)] == alone[:1]
        assert [*answer_all(open_engine(model, weights), [], write, number)] == []


@pytest.mark.parametrize(("weights", "pays", "threads"), [("int8", True, 8), ("int8", False, 0), ("f32", True, 0)])
def test_threads_are_used_where_streams_are_computed_together_and_a_token_takes_its_time(
    model: Path, monkeypatch: pytest.MonkeyPatch, weights: Any, pays: bool, threads: int
) -> None:
    monkeypatch.setattr(streams, "_HANDED_OVER", 0.0 if pays else 1e9)
    met, here = threading.Barrier(max(1, threads)), threading.get_ident()

    def thread(engine: Engine, number: int) -> int:
        if number >= 4:  # the first are tried alone
            met.wait(60)  # all are under way at once
        else:
            engine.prefill([number + 8])
            engine.step(9)
        return threading.get_ident()

    found = [*answer_all(open_engine(model, weights), range(12), thread)]
    assert found[:4] == [here] * 4
    assert len(set(found[4:]) - {here}) == threads


def test_streams_without_room_beside_others_are_answered_alone(model: Path, workspace: Any) -> None:
    """Sixteen whole contexts, where ten have room."""
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
    assert len(refused) >= 6
    assert found == [open_engine(model, "int8").prefill(prompt).tobytes() for prompt in prompts]


def test_a_fault_is_raised_and_ends_the_others(model: Path, workspace: Any, prompts: list[Prompt]) -> None:
    engine, write = open_engine(model, "int8"), writer(workspace.codec)

    def answer(engine: Engine, prompt: Prompt) -> str:
        if prompt is prompts[5]:
            raise ZeroDivisionError
        return str(write(engine, prompt))

    before = threading.active_count()
    answers = answer_all(engine, prompts, answer, streams=8)
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

    answers = answer_all(engine, range(100), ramble, streams=8)
    assert next(answers) == 0
    answers.close()  # type: ignore[attr-defined]
    assert len(begun) <= 17
    engine.end()
    assert engine.prefill([8]).any()
