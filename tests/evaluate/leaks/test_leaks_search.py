"""Runs and values in the training text, checked against looking at every place."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from repotune.evaluate.leaks.documents import Document
from repotune.evaluate.leaks.search import WINDOW, Found, search, window_hashes

PIECES = st.lists(st.sampled_from(["ab" * 20, "x = f(y)\n" * 4, "Straße ≠ 日本\n", "q", "0123456789" * 4]), max_size=8)
texts = st.lists(PIECES.map("".join), max_size=4)


def find(training: list[str], answers: list[str], values: list[str] | None = None) -> Found:
    documents = (Document(text, "r", "", f"{place}.py", "Python", "MIT") for place, text in enumerate(training))
    sought = [value.encode() for value in values or []]
    return search(documents, [answer.encode() for answer in answers], sought, lambda *_: True)


def longest_by_looking(answer: bytes, data: bytes) -> int:
    lengths = [
        stop - start
        for start in range(len(answer))
        for stop in range(start + WINDOW, len(answer) + 1)
        if answer[start:stop] in data
    ]
    return max(lengths, default=0)


@given(texts, PIECES.map("".join))
def test_the_longest_run_is_as_long_as_looking_everywhere_says(training: list[str], answer: str) -> None:
    (run,) = find(training, [answer]).runs
    expected = [longest_by_looking(answer.encode(), text.encode()) for text in training]
    assert (run.length if run else 0) == max(expected, default=0)
    if run:
        place = int(run.place.path.removesuffix(".py"))
        assert answer.encode()[run.start : run.stop] in training[place].encode()
        assert expected[place] == run.length


def test_each_answer_has_its_own_run_its_line_and_how_many_files_hold_it() -> None:
    first, second = "def one(alpha, beta):\n    return alpha + beta\n", "class Two:\n    gamma = 'delta epsilon'\n"
    training = [f"import os\n{first}", f"{first}\n{second}", "nothing of it"]
    runs = find(training, [f"??{second}", "short", f"{first}??"]).runs
    assert runs[1] is None
    assert runs[0] is not None and (runs[0].place.path, runs[0].place.line, runs[0].files) == ("1.py", 4, 1)
    assert runs[2] is not None and (runs[2].place.path, runs[2].place.line, runs[2].files) == ("0.py", 2, 2)


def test_windows_that_a_file_has_one_by_one_are_no_run() -> None:
    source = random.Random(1)
    text = "".join(source.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(80))
    apart = text[:60] + "|" + text[60 - WINDOW + 1 :]  # holds every window of it, and never all of it
    (run,) = find([apart], [text]).runs
    assert run is not None and run.length == 60


def test_a_value_counts_where_it_is_not_part_of_a_longer_word() -> None:
    found = find(["tokenized", "a\nx = 'token'"], [], ["token", "absent"]).values
    assert found.keys() == {b"token"}
    assert (found[b"token"].path, found[b"token"].line) == ("1.py", 2)


def test_what_is_not_confirmed_does_not_count() -> None:
    documents = iter([Document("secret", "r", "", "a.py", "Python", "MIT")])
    assert search(documents, [], [b"secret"], lambda *_: False).values == {}


def test_hashes_are_those_of_the_formula() -> None:
    data = bytes(range(100))
    expected = [
        sum(byte * pow(0x9E3779B97F4A7C15, WINDOW - 1 - place, 2**64) for place, byte in enumerate(window)) % 2**64
        for window in (data[start : start + WINDOW] for start in range(len(data) - WINDOW + 1))
    ]
    assert window_hashes(data).tolist() == expected
    assert len(window_hashes(b"short")) == 0
