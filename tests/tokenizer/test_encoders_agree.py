"""The fast engine gives tiktoken's ids to the last one, alone and in batches, and never a special one."""

from __future__ import annotations

import sys
import threading
from itertools import product
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from repotune.tokenizer import encoders
from repotune.tokenizer.encoders import RegexEncoder, SimdEncoder, open_encoder
from repotune.tokenizer.encoding import Codec
from repotune.tokenizer.layout import SPECIAL_TOKENS, SPLIT_PATTERN, Vocabulary, read_vocabulary, vocabulary_of
from repotune.tokenizer.patterns import KNOWN, PATTERNS

# What the pattern's branches turn on: runs of white space of every kind, contractions in both cases and with ſ,
# digits of every script, marks, joiners, letters that some engines do not know yet, and halves of special tokens.
SCRAPS = [
    *(" ", "  ", "\t", "\r", "\n", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\xa0", "\u2003", "\u2028", "\u3000"),
    *("'", "'s", "'S", "'ſ", "'ll", "'LL", "'lL", "'re", "'d", "ſ", "s", "S", "K", "a", "Foo", "def", "_", "__"),
    *("1", "12", "999", "٣", "²", "½", "Ⅷ", "𝟘", "=", "==", "(", ")", ".", "\0", "\x7f", "\ufffd", "\ufeff"),
    *("é", "e\u0301", "日本", "🐍", "\u200d", "\u202e", "\u0c5c", "\u088f", "\U000187f8", "\ud800", "\udc0d\ud83d"),
    *("<|", "endoftext", "|>", "<fim_", "prefix>", *SPECIAL_TOKENS),
]
TEXTS = st.one_of(st.lists(st.sampled_from(SCRAPS), max_size=30).map("".join), st.text(max_size=40))


@pytest.fixture(scope="module")
def vocabulary(built: dict[str, Path]) -> Vocabulary:
    return read_vocabulary(built["tokenizer"])


@pytest.fixture(scope="module")
def reference(vocabulary: Vocabulary) -> tiktoken.Encoding:
    return tiktoken.Encoding(
        "reference", pat_str=SPLIT_PATTERN, mergeable_ranks=vocabulary.ranks, special_tokens=vocabulary.special
    )


def test_the_default_pattern_has_the_fast_engine_and_code_has_not(vocabulary: Vocabulary) -> None:
    assert isinstance(open_encoder(vocabulary), SimdEncoder)
    code = vocabulary_of(list(vocabulary.ranks), PATTERNS["code"].regex)
    assert isinstance(open_encoder(code), RegexEncoder)


@settings(max_examples=2000, deadline=None)
@given(text=TEXTS)
def test_one_text(codec: Codec, reference: tiktoken.Encoding, text: str) -> None:
    assert codec.encode(text) == reference.encode_ordinary(text)


@settings(max_examples=300, deadline=None)
@given(texts=st.lists(TEXTS, max_size=12), threads=st.sampled_from([1, 2]))
def test_many_texts_with_their_boundaries(
    codec: Codec, reference: tiktoken.Encoding, texts: list[str], threads: int
) -> None:
    assert codec.encode_many(texts, threads) == reference.encode_ordinary_batch(texts, num_threads=1)


@pytest.mark.parametrize("maker", ["llama-bpe", "qwen2", "gpt-2"])
def test_every_character_is_classed_alike(maker: str) -> None:
    """With merges of each character's last byte and its neighbour, so that a split that differs shows in the ids."""
    edges = [bytes([last, neighbour]) for neighbour in b"a1(" for last in range(128, 256)]
    regex = next(pattern.regex for pattern in KNOWN.values() if pattern.simd and pattern.gguf == maker)
    vocabulary = vocabulary_of([*(bytes([byte]) for byte in range(256)), *edges], regex)
    fast, exact = open_encoder(vocabulary), RegexEncoder(vocabulary)
    assert isinstance(fast, SimdEncoder)
    characters = [chr(code) for code in range(128, sys.maxunicode + 1)]
    characters = [character for character in characters if not encoders._has_rare(character)]
    assert len(characters) > 50_000
    for start in range(0, len(characters), 16):
        few = characters[start : start + 16]
        text = "".join(f"a{character}a 1{character}1 ({character}(" for character in few)
        assert fast.encode(text) == exact.encode(text), few


def test_a_special_text_in_any_pieces_stays_text(codec: Codec) -> None:
    texts = [
        f"{special[:cut]}{between}{special[cut:]}"
        for special, between in product(SPECIAL_TOKENS, ("", " ", "é"))
        for cut in range(len(special))
    ]
    for text, ids in zip(texts, codec.encode_many(texts, 1), strict=True):
        assert not codec.special & {*ids, *codec.encode(text)}
        assert codec.decode(ids) == text


def test_threads_may_share_it(codec: Codec, splits: dict[str, list[tuple[str, str, str]]]) -> None:
    texts = [text for text, _, _ in splits["train"]]
    expected = [codec.encode(text) for text in texts]
    wrong: list[int] = []

    def encode(start: int) -> None:
        wrong.extend(index for index in range(start, len(texts), 2) if codec.encode(texts[index]) != expected[index])
        wrong.extend([-1] if codec.encode_many(texts, 2) != expected else [])

    threads = [threading.Thread(target=encode, args=(number % 2,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_it_begins_anew_when_its_memory_is_full(vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "_MEMORY", 100)
    encoder = open_encoder(vocabulary)
    assert isinstance(encoder, SimdEncoder)
    first = encoder._engine
    ids = [encoder.encode("def main():\n" * 10) for _ in range(4)]
    assert encoder._engine is not first
    assert ids == [RegexEncoder(vocabulary).encode("def main():\n" * 10)] * 4
