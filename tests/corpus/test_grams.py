"""The hashed n-grams are those of a regular expression and of slices: as many, and alike where the n-grams are."""

from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from repotune.corpus.grams import BYTE_GRAM, byte_grams, modulo, word_grams, words

WORDS = re.compile(rb"[A-Za-z0-9_\x80-\xff]+|[^A-Za-z0-9_\x80-\xff\x00-\x20\x7f]+")
data = st.one_of(st.binary(max_size=300), st.text("ab_1 (){}\n\té", max_size=300).map(str.encode))


@given(data)
def test_words_are_runs_of_letters_and_runs_of_signs(text: bytes) -> None:
    expected, found = WORDS.findall(text), words(text).tolist()
    assert len(found) == len(expected)
    assert len(set(zip(expected, found, strict=True))) == len(set(expected)) == len(set(found))


@given(data)
def test_pairs_come_after_the_words(text: bytes) -> None:
    single, found = WORDS.findall(text), word_grams(text).tolist()
    expected = [*((word,) for word in single), *pairwise(single)]
    assert len(found) == len(expected)
    assert len(set(zip(expected, found, strict=True))) == len(set(expected)) == len(set(found))


@given(data)
def test_byte_grams_slide_over_the_text(text: bytes) -> None:
    expected = [text[place : place + BYTE_GRAM] for place in range(len(text) - BYTE_GRAM + 1)]
    found = byte_grams(text).tolist()
    assert len(set(zip(expected, found, strict=True))) == len(set(expected)) == len(set(found))
    assert len(found) == len(expected)


def test_a_word_has_one_hash_wherever_it_stands() -> None:
    assert words(b"alpha")[0] == words(b"  => alpha")[1] == words(b"x alpha+1")[1]
    assert words(b"alpha")[0] != words(b"Alpha")[0]


@given(data, st.integers(1, 20_000))
def test_buckets_are_in_range(text: bytes, buckets: int) -> None:
    found = modulo(word_grams(text), buckets)
    assert len(found) == 0 or 0 <= found.min() <= found.max() < buckets
