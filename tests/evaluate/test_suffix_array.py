"""Spans are counts of occurrences, checked against looking at every place."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from repotune.evaluate.suffix_array import SuffixArray

tokens = st.lists(st.integers(0, 3), max_size=60)


def occurrences(text: list[int], sought: list[int]) -> int:
    return sum(text[i : i + len(sought)] == sought for i in range(len(text) - len(sought) + 1))


@given(tokens, st.integers(1, 12))
def test_suffixes_are_in_order(text: list[int], depth: int) -> None:
    array = SuffixArray(np.array(text, np.int32), depth)
    assert sorted(array.order) == list(range(len(text)))
    beginnings = [text[start : start + depth] for start in array.order]
    assert beginnings == sorted(beginnings)


@given(tokens, st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=5))
def test_a_span_is_as_wide_as_its_sequence_is_frequent(text: list[int], queries: list[list[int]]) -> None:
    array = SuffixArray(np.array(text, np.int32), 6)
    low, high = array.spans(np.array(queries))
    for row, query in enumerate(queries):
        for length in range(7):
            assert high[row, length] - low[row, length] == (occurrences(text, query[:length]) if length else len(text))


@given(tokens, st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_narrowing_step_by_step_gives_the_same_spans(text: list[int], query: list[int]) -> None:
    array = SuffixArray(np.array(text, np.int32), 6)
    low, high = array.spans(np.array([query]))
    span = (0, len(text))
    for matched, token in enumerate(query):
        span = array.narrow(*span, matched, token)
        assert span[1] - span[0] == high[0, matched + 1] - low[0, matched + 1]


def test_an_unknown_token_ends_a_query() -> None:
    array = SuffixArray(np.array([1, 2, 1, 2]), 4)
    low, high = array.spans(np.array([[1, -1, 2], [1, 2, 1]]))
    assert (high - low).tolist() == [[4, 2, 0, 0], [4, 2, 2, 1]]


def test_the_order_of_equal_beginnings_is_their_place() -> None:
    rows = SuffixArray(np.zeros(1000, np.int32), 4).order[200:]  # those before reach the end, and so are smaller
    assert rows.tolist() == sorted(rows)
