"""What comes out of `generate`: the right tokens, whole characters, no stop string, no special token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repotune.core.errors import UserError
from repotune.infer.decoding import Piece, Sampling, StoppingText, generate
from repotune.infer.engine import Cancelled, Engine, EngineStats, Logits
from repotune.infer.opening import open_engine
from repotune.tokenizer.encoding import Codec

PROMPT = [6, 200, 300, 400]


class Dictated:
    """An engine whose greedy tokens are those it was given: the text is then known beforehand."""

    def __init__(self, codec: Codec, tokens: Sequence[int], context: int = 1000) -> None:
        self.context, self.vocabulary = context, codec.size
        self._tokens = list(tokens)

    def end(self) -> None:
        pass

    def prefill(self, ids: Sequence[int]) -> Logits:
        return self._next()

    def step(self, token: int) -> Logits:
        return self._next()

    def cancel(self) -> None: ...

    def stats(self) -> EngineStats:
        return EngineStats()

    def _next(self) -> Logits:
        logits = np.zeros(self.vocabulary, np.float32)
        logits[self._tokens.pop(0)] = 10.0
        return logits


@pytest.fixture
def engine(llama_folder: Path) -> Engine:
    return open_engine(llama_folder, "f32")


def text_of(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def dictate(codec: Codec, tokens: list[int], stop: Sequence[str] = (), max_tokens: int = 100) -> list[Piece]:
    return list(generate(Dictated(codec, tokens), codec, [1], Sampling(), max_tokens, stop))


def test_greedy_takes_the_likeliest_token_each_time(engine: Engine, codec: Codec) -> None:
    pieces = list(generate(engine, codec, PROMPT, Sampling(), 12))
    chosen = [token for piece in pieces for token in piece.tokens]
    logits = engine.prefill(PROMPT)
    for token, _, given_log_probability in chosen:
        assert token == int(logits.argmax())
        shifted = logits.astype(np.float64) - logits.max()
        assert given_log_probability == pytest.approx(shifted[token] - np.log(np.exp(shifted).sum()), abs=1e-4)
        logits = engine.step(token)
    assert len(chosen) == 12
    assert [piece.finish for piece in pieces] == [None] * (len(pieces) - 1) + ["length"]


def test_the_end_token_stops_and_is_no_text(codec: Codec) -> None:
    pieces = dictate(codec, [*codec.encode("return 1\n"), codec.end, *codec.encode("more")])
    assert text_of(pieces) == "return 1\n"
    assert pieces[-1].finish == "stop"
    assert [token.id for piece in pieces for token in piece.tokens] == codec.encode("return 1\n")


def test_any_special_token_ends_the_text(codec: Codec) -> None:
    for special in range(7):
        pieces = dictate(codec, [*codec.encode("x"), special, *codec.encode("y")])
        assert (text_of(pieces), pieces[-1].finish) == ("x", "stop")


def test_a_text_that_is_over_at_once_is_one_empty_piece(codec: Codec) -> None:
    assert dictate(codec, [codec.end]) == [Piece("", (), "stop")]


@pytest.mark.parametrize("stop", ["\n\n", "def", "n 1", "return 1\n\ndef", "f"])
def test_no_stop_string_and_no_part_of_one_comes_out(codec: Codec, stop: str) -> None:
    text = "return 1\n\ndef f"
    pieces = dictate(codec, [*codec.encode(text), codec.end], stop=["zzz", stop])
    assert text_of(pieces) == text[: text.index(stop)]
    assert pieces[-1].finish == "stop"


def test_a_beginning_of_a_stop_string_comes_out_once_it_is_none(codec: Codec) -> None:
    pieces = dictate(codec, [*codec.encode("a\nb\n"), codec.end], stop=["\n\n"])
    assert text_of(pieces) == "a\nb\n"


@given(st.text("ab\n", max_size=30), st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=3), st.data())
def test_text_is_cut_at_the_first_stop_string_however_it_arrives(
    text: str, stops: list[str], data: st.DataObject
) -> None:
    stopping, given_text, rest = StoppingText(stops), "", text.encode()
    while rest and not stopping.stopped:
        size = data.draw(st.integers(1, len(rest)))
        given_text, rest = given_text + stopping.push(rest[:size]), rest[size:]
        assert not any(stop in given_text for stop in stops)
    given_text += stopping.flush()
    # The stop string that is complete first counts, then the one that begins first.
    ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
    assert stopping.stopped == bool(ends)
    assert text.startswith(given_text)
    assert given_text == text if not ends else len(given_text) < min(ends)


def test_a_character_split_over_tokens_comes_out_whole(codec: Codec) -> None:
    text = "# 日本語 🐍 é"
    tokens = codec.encode(text)
    assert len(tokens) > len(text), "the vocabulary splits these characters"
    pieces = dictate(codec, [*tokens, codec.end])
    assert text_of(pieces) == text
    assert all("\ufffd" not in piece.text for piece in pieces)


def test_half_a_character_at_the_limit_is_dropped(codec: Codec) -> None:
    pieces = dictate(codec, codec.encode("a🐍")[:-1], max_tokens=len(codec.encode("a🐍")) - 1)
    assert (text_of(pieces), pieces[-1].finish) == ("a", "length")


def test_text_held_back_for_a_stop_string_comes_out_at_the_limit(codec: Codec) -> None:
    tokens = codec.encode("a\n")
    assert text_of(dictate(codec, tokens, stop=["\n\n"], max_tokens=len(tokens))) == "a\n"


def test_generation_ends_where_the_context_does(codec: Codec) -> None:
    engine = Dictated(codec, codec.encode("abcdefghijklmnop") * 4, context=10)
    pieces = list(generate(engine, codec, [1] * 7, Sampling(), 100))
    assert sum(len(piece.tokens) for piece in pieces) == 4
    assert pieces[-1].finish == "length"


def test_a_real_engine_reaches_the_end_of_its_context_without_an_error(engine: Engine, codec: Codec) -> None:
    pieces = list(generate(engine, codec, [9] * 508, Sampling(), 100))
    assert pieces[-1].finish in ("length", "stop")


def test_a_seed_makes_sampling_repeatable_and_another_differs(engine: Engine, codec: Codec) -> None:
    def sample(seed: int) -> list[Piece]:
        return list(generate(engine, codec, PROMPT, Sampling(temperature=1.5, seed=seed), 20))

    assert text_of(sample(1)) == text_of(sample(1))
    assert text_of(sample(1)) != text_of(sample(2))


def test_sampling_follows_the_distribution_within_the_nucleus(codec: Codec) -> None:
    class Fixed(Dictated):
        def _next(self) -> Logits:
            logits = np.full(self.vocabulary, -50.0, np.float32)
            logits[[300, 301, 302]] = np.log([0.6, 0.3, 0.1])
            return logits

    drawn = [
        token.id
        for piece in generate(Fixed(codec, [], context=5000), codec, [1], Sampling(1.0, top_p=0.85, seed=4), 3000)
        for token in piece.tokens
    ]
    assert set(drawn) == {300, 301}
    assert np.mean(np.array(drawn) == 300) == pytest.approx(2 / 3, abs=0.03)


def test_cancelling_ends_a_generation(engine: Engine, codec: Codec) -> None:
    pieces = generate(engine, codec, PROMPT, Sampling(), 100)
    next(pieces)
    engine.cancel()
    with pytest.raises(Cancelled):
        list(pieces)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -1.0}, "temperature of -1.0"),
        ({"temperature": float("nan")}, "temperature of nan"),
        ({"top_p": 0.0}, "top_p"),
        ({"seed": -1}, "seed"),
    ],
)
def test_settings_without_sense_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Sampling(**settings)


def test_requests_without_sense_are_refused(codec: Codec) -> None:
    with pytest.raises(UserError, match="At least one token"):
        dictate(codec, [1], max_tokens=0)
    with pytest.raises(UserError, match="empty stop string"):
        dictate(codec, [1], stop=[""])
