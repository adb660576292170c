"""Drafts change how many passes a text takes and nothing else."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from repotune.infer.decoding import Sampling, generate
from repotune.infer.engine import Cancelled, Engine
from repotune.infer.opening import open_engine
from repotune.infer.speculation import DraftedEngine
from repotune.tokenizer.encoding import Codec

SAMPLINGS = [Sampling(), Sampling(0.8, 0.95, seed=4), Sampling(1.5, seed=9)]


class Prophet:
    """Knows the text that will be written, and is wrong now and then. Drafts end at `most`."""

    def __init__(self, future: list[int], wrong: float, seed: int = 0) -> None:
        self._future, self._wrong, self._chance = future, wrong, random.Random(seed)
        self._at = 0

    def begin(self, ids: Sequence[int]) -> None:
        self._at = len(ids)

    def push(self, token: int) -> None:
        self._at += 1

    def rewind(self, count: int) -> None:
        self._at -= count

    def open_file(self, before: Sequence[int], behind: Sequence[int]) -> None:
        pass

    def propose(self, most: int) -> list[int]:
        drafted = self._future[self._at : self._at + self._chance.randrange(most + 1)]
        return [token if self._chance.random() > self._wrong else 11 for token in drafted]

    def another(self) -> Prophet:
        return Prophet(self._future, self._wrong, seed=1)


@pytest.fixture(scope="module")
def engine(llama_folder: Path) -> Engine:
    return open_engine(llama_folder, "int8", threads=1)


def written(engine: Engine, codec: Codec, prompt: list[int], sampling: Sampling) -> list[tuple[int, float]]:
    pieces = generate(engine, codec, prompt, sampling, max_tokens=60)
    return [(token.id, token.log_probability) for piece in pieces for token in piece.tokens]


@pytest.mark.parametrize("wrong", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("sampling", SAMPLINGS, ids=["greedy", "nucleus", "hot"])
def test_the_text_and_its_probabilities_are_those_without_drafts(
    engine: Engine, codec: Codec, sampling: Sampling, wrong: float
) -> None:
    for seed in range(3):
        prompt = random.Random(seed).choices(range(20, 1024), k=30)
        plain = written(engine, codec, prompt, sampling)
        drafted = DraftedEngine(engine, Prophet(prompt + [token for token, _ in plain], wrong))
        before = engine.stats().steps
        assert written(drafted, codec, prompt, sampling) == plain
        passes = engine.stats().steps - before
        if wrong == 0 and len(plain) > 20:
            assert passes < len(plain) / 2
            assert drafted.kept > len(plain) / 2


def test_what_was_drafted_in_vain_is_forgotten(engine: Engine) -> None:
    ids = random.Random(5).choices(range(1024), k=40)
    drafted = DraftedEngine(engine, Prophet([*ids, 1, 2, 3, 4, 5, 6, 7, 8, 9], wrong=0.0))
    drafted.prefill(ids)
    for token in (1, 2, 900):
        logits = drafted.step(token)
    np.testing.assert_array_equal(logits, drafted.another().prefill([*ids, 1, 2, 900]))
    drafted.step(3)
    drafted.rewind(2)
    np.testing.assert_array_equal(drafted.extend([7, 8])[1], drafted.another().prefill([*ids, 1, 2, 7, 8]))
    drafted.end()


def test_drafts_end_where_the_context_does(engine: Engine) -> None:
    ids = random.Random(6).choices(range(1024), k=engine.context - 3)
    drafted = DraftedEngine(engine, Prophet([*ids, 1, 2, 3, 4, 5, 6], wrong=0.0))
    drafted.prefill(ids)
    for token in (1, 2, 3):
        drafted.step(token)
    with pytest.raises(ValueError, match="do not fit"):
        drafted.step(4)


def test_a_cancel_ends_the_next_pass(engine: Engine) -> None:
    drafted = DraftedEngine(engine, Prophet(list(range(100)), wrong=1.0))
    drafted.prefill([0, 1, 2])
    drafted.cancel()
    with pytest.raises(Cancelled):
        drafted.step(3)
    drafted.end()  # what that pass drafted is not taken back, as it was never there
    before = engine.stats().reused_tokens
    engine.prefill([0, 1, 2, 3])
    assert engine.stats().reused_tokens == before + 3
