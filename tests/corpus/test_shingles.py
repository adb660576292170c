from __future__ import annotations

import re
import sysconfig
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repotune.corpus.hashing import Hashes
from repotune.corpus.shingles import band_keys, band_rows, jaccard, shingles


def reference(data: bytes) -> set[tuple[bytes, ...]]:
    """Shingles as Python sets of tokens: the definition."""
    tokens = re.findall(rb"[A-Za-z0-9_\x80-\xff]+", data)
    return {tuple(tokens[place : place + 5]) for place in range(len(tokens) - 4)}


def of(data: bytes) -> Hashes:
    return shingles([data])[0][0]


@given(st.lists(st.binary(max_size=400), max_size=4))
def test_there_are_as_many_hashes_as_distinct_shingles(documents):
    sets, tokens = shingles(documents)
    assert [len(hashes) for hashes in sets] == [len(reference(data)) for data in documents]
    assert tokens == [len(re.findall(rb"[A-Za-z0-9_\x80-\xff]+", data)) for data in documents]
    assert all(a < b for hashes in sets for a, b in pairwise(hashes.tolist()))


@given(st.lists(st.text("ab_é ", max_size=60), min_size=1, max_size=4))
def test_a_documents_hashes_are_the_same_alone_and_among_others(texts):
    documents = [text.encode() for text in texts]
    for data, hashes in zip(documents, shingles(documents)[0], strict=True):
        assert np.array_equal(of(data), hashes)


def test_similarity_on_real_source_is_that_of_the_sets_themselves():
    folder = Path(sysconfig.get_paths()["stdlib"])
    data = [(folder / "encodings" / f"cp{page}.py").read_bytes() for page in (1250, 1252, 1254, 437)]
    for a in data:
        for b in data:
            sets = reference(a), reference(b)
            exact = len(sets[0] & sets[1]) / len(sets[0] | sets[1])
            assert jaccard(of(a), of(b), 0.0) == exact


def test_hashes_do_not_depend_on_what_stands_before():
    text = b"def f(a, b): return a + b"
    assert np.array_equal(of(text), of(b"# ----- !!\n" * 9999 + text))


def test_a_file_shorter_than_a_shingle_has_none():
    assert len(of(b"a b c d")) == 0 and len(of(b"a b c d e")) == 1
    assert jaccard(of(b""), of(b"a"), 0.0) == 0.0


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.7, 0.85, 0.95, 1.0])
def test_bands_miss_a_pair_at_the_threshold_less_than_once_in_two_thousand(threshold):
    rows = band_rows(threshold)
    assert (1 - threshold**rows) ** (250 // rows) < 5e-4


def test_seven_tenths_is_fifty_bands_of_five():
    assert band_rows(0.7) == 5
    assert band_keys([of(b"a b c d e f")], 5).shape == (1, 50)


def test_similar_sets_share_bands_and_others_do_not():
    generator = np.random.default_rng(0)
    base = np.sort(generator.integers(0, 2**63, 4000, dtype=np.uint64))
    near = np.sort(np.concatenate([base[:3500], generator.integers(0, 2**63, 500, dtype=np.uint64)]))
    other = np.sort(generator.integers(0, 2**63, 4000, dtype=np.uint64))
    keys = band_keys([base, near, other], 5)
    assert (keys[0] == keys[1]).any() and not (keys[0] == keys[2]).any()
    assert np.array_equal(keys[1:2], band_keys([near], 5))
