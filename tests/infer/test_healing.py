"""A prompt that ends within what the tokenizer would make one token goes on as if it had not been cut there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repotune.infer.decoding import Sampling, generate
from repotune.infer.engine import EngineStats, Logits
from repotune.infer.healing import Healing
from repotune.infer.opening import open_engine
from repotune.tokenizer.encoding import Codec


class Reading:
    """An engine that likes the end token best and, after that, what `text` has next in the tokenizer's own tokens."""

    def __init__(self, codec: Codec, text: str) -> None:
        self.context, self.vocabulary = 1000, codec.size
        self._codec, self._wanted = codec, codec.encode(text)
        self.seen: list[int] = []

    def end(self) -> None:
        pass

    def prefill(self, ids: Sequence[int]) -> Logits:
        self.seen = list(ids)
        return self._logits()

    def step(self, token: int) -> Logits:
        self.seen.append(token)
        return self._logits()

    def cancel(self) -> None: ...

    def stats(self) -> EngineStats:
        return EngineStats()

    def _logits(self) -> Logits:
        logits = np.zeros(self.vocabulary, np.float32)
        logits[self._codec.end] = 5.0
        if self.seen == self._wanted[: len(self.seen)] and len(self.seen) < len(self._wanted):
            logits[self._wanted[len(self.seen)]] = 4.0 if len(self.seen) else 10.0
        return logits


def test_a_cut_token_is_spelt_again_and_is_no_part_of_the_text(codec: Codec) -> None:
    text = "import os\n\ndef walk(path):\n    return path\n"
    for end in range(8, len(text) - 8):
        engine = Reading(codec, text)
        written = "".join(
            piece.text for piece in generate(engine, codec, codec.encode(text[:end]), Sampling(), 1, heal=True)
        )
        assert not written or text[end:].startswith(written), (text[:end], written)


def test_without_healing_the_model_ends_where_the_token_was_cut(codec: Codec) -> None:
    prompt = codec.encode("def walk(path):\n    re")
    text = "def walk(path):\n    return path\n"
    plain = list(generate(Reading(codec, text), codec, prompt, Sampling(), 8))
    healed = list(generate(Reading(codec, text), codec, prompt, Sampling(), 8, heal=True))
    assert "".join(piece.text for piece in plain) == ""
    assert "".join(piece.text for piece in healed).startswith("turn")


def test_what_only_spells_the_prompt_again_is_not_counted(codec: Codec, llama_folder: Path) -> None:
    engine = open_engine(llama_folder, "f32")
    pieces = list(generate(engine, codec, codec.encode("def walk(pa"), Sampling(), 5, heal=True))
    assert sum(len(piece.tokens) for piece in pieces) == 5
    assert pieces[-1].finish == "length"


def test_a_special_token_is_not_taken_back(codec: Codec) -> None:
    prompt = [codec.fim_prefix, codec.fim_suffix, codec.fim_middle]
    assert Healing(codec, prompt).prompt == prompt
    assert Healing(codec, prompt).begun == b""


def test_the_only_token_is_not_taken_back(codec: Codec) -> None:
    assert Healing(codec, [300]).prompt == [300]


@given(token=st.integers(7, 500))
def test_the_candidates_are_all_that_agree(codec: Codec, token: int) -> None:
    begun = codec.decode_bytes([token])
    plain = [other for other in range(codec.size) if other not in codec.special]
    texts = {other: codec.decode_bytes([other]) for other in plain}
    agreeing = {other for other, text in texts.items() if text.startswith(begun) or begun.startswith(text)}
    found = Healing(codec, [codec.end, token]).candidates()
    assert set(found.tolist()) == agreeing
    assert len(found) == len(agreeing)


@pytest.mark.parametrize("temperature", [0.0, 2.0])
def test_what_is_written_first_spells_what_was_taken_back(codec: Codec, temperature: float) -> None:
    for text in ("a = [b for", "    ", "x = '§", "if a:"):
        prompt = codec.encode(text)
        begun = Healing(codec, prompt).begun
        engine = Reading(codec, text)
        for _ in generate(engine, codec, prompt, Sampling(temperature, seed=3), 4, heal=True):
            pass
        written = codec.decode_bytes(engine.seen[len(prompt) - 1 :])
        assert written.startswith(begun) or begun.startswith(written)
