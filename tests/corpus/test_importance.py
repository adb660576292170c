"""Importance is the mean log-ratio of the target's n-grams over the corpus's, whatever batches they are counted in."""

from __future__ import annotations

import pickle
import sysconfig
from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from repotune.corpus.importance import BUCKETS, COUNTS, Weigh, count, count_texts, log_ratios

LIBRARY = Path(sysconfig.get_paths()["stdlib"])


def batch(texts: list[str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"text": pa.array(texts, pa.string())})


def package(name: str) -> list[str]:
    return [path.read_text() for path in sorted((LIBRARY / name).glob("*.py"))]


def total(parts):
    """The counts of all parts, as the build's SQL sums them."""
    summed = np.zeros(BUCKETS, np.int64)
    for part in parts:
        np.add.at(summed, part.column("bucket").to_numpy(), part.column("count").to_numpy())
    return summed


@given(st.lists(st.text(max_size=60), max_size=12), st.integers(0, 12))
def test_counts_add_up_over_any_batches(texts: list[str], cut: int) -> None:
    parts = [count(batch(texts[:cut])), count(batch(texts[cut:]))]
    assert all(part.schema == COUNTS for part in parts)
    assert np.array_equal(total(parts), count_texts(text.encode() for text in texts))
    assert np.array_equal(total([count(batch(texts))]), total(parts))


def test_every_word_and_pair_is_counted() -> None:
    assert count_texts([b"a = b", b""]).sum() == 3 + 2


def test_a_target_that_is_the_corpus_says_nothing() -> None:
    counts = count_texts(text.encode() for text in package("json"))
    assert np.abs(log_ratios(counts, counts)).max() < 1e-12


def test_a_target_of_little_says_little() -> None:
    corpus = count_texts(text.encode() for text in package("email"))
    few, many = (log_ratios(count_texts([b"import json"] * times), corpus) for times in (1, 10_000))
    assert np.abs(few).max() < np.abs(many).max()
    assert np.abs(log_ratios(np.zeros(BUCKETS, np.int64), corpus)).max() < 1e-9


def test_files_like_the_target_come_first() -> None:
    inside, outside = package("email"), [*package("asyncio"), *package("unittest"), *package("tkinter")]
    target = count_texts(text.encode() for text in inside[::2])
    unseen, corpus = inside[1::2], [*inside[1::2], *outside]
    step = Weigh(log_ratios(target, count_texts(text.encode() for text in corpus)))
    like, other = ([step.importance(text.encode()) for text in texts] for texts in (unseen, outside))
    assert np.mean(np.greater.outer(like, other)) > 0.9


def test_length_is_not_importance() -> None:
    text = package("email")[3]
    corpus = count_texts(other.encode() for other in package("asyncio"))
    step = Weigh(log_ratios(count_texts([text.encode()]), corpus))
    once, thrice = step.importance(text.encode()), step.importance(("\n" + text).encode() * 3)
    assert abs(once - thrice) < 0.01 < once


@given(st.lists(st.text(max_size=60), min_size=1, max_size=6))
def test_a_document_is_weighed_alone(texts: list[str]) -> None:
    step = pickle.loads(pickle.dumps(Weigh(np.linspace(-2, 2, BUCKETS))))
    together = step(batch(texts)).column("importance").to_pylist()
    assert together == [step(batch([text])).column("importance")[0].as_py() for text in texts]
    assert all(-2 <= value <= 2 for value in together)


def test_text_without_a_word_is_of_no_importance() -> None:
    assert Weigh(np.ones(BUCKETS)).importance(b" \n\t") == 0.0
