"""Positions in every encoding, paths as in training, and the window around the cursor."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol.types import Position, Range, TextDocumentContentChangePartial, TextDocumentContentChangeWholeDocument

from repotune.editor.context import window
from repotune.editor.documents import Document, model_path

TEXT = st.text(alphabet="ab \r\n\f\u2028\x85é日🐍", max_size=40)
WIDTH = {"utf-8": 1, "utf-16": 2, "utf-32": 4}
CODEC = {"utf-8": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}


def position_of(text: str, offset: int, encoding: str) -> Position:
    """The inverse of Document.offset, written another way."""
    head = text[:offset].replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return Position(len(head) - 1, len(head[-1].encode(CODEC[encoding])) // WIDTH[encoding])


@given(text=TEXT, cut=st.integers(0, 40), encoding=st.sampled_from(sorted(WIDTH)))
def test_offsets_and_positions_agree(text: str, cut: int, encoding: str) -> None:
    offset = min(cut, len(text))
    if text[offset - 1 : offset + 1] != "\r\n":  # no position lies between the two
        assert Document(text, "", encoding).offset(position_of(text, offset, encoding)) == offset


@given(text=TEXT, first=st.integers(0, 40), second=st.integers(0, 40), new=TEXT)
def test_a_change_replaces_its_range(text: str, first: int, second: int, new: str) -> None:
    start, end = sorted((min(first, len(text)), min(second, len(text))))
    if "\r\n" in (text[start - 1 : start + 1], text[end - 1 : end + 1]):
        return
    document = Document(text, "", "utf-16")
    span = Range(position_of(text, start, "utf-16"), position_of(text, end, "utf-16"))
    document.apply(TextDocumentContentChangePartial(range=span, text=new))
    assert document.text == text[:start] + new + text[end:]


def test_a_whole_document_replaces_all() -> None:
    document = Document("old", "", "utf-16")
    document.apply(TextDocumentContentChangeWholeDocument(text="new\n"))
    assert document.text == "new\n"


@pytest.mark.parametrize(
    ("line", "character", "offset"), [(0, 99, 2), (1, 99, 6), (2, 0, 7), (9, 9, 7), (1, 0, 4), (1, 1, 5)]
)
def test_positions_beyond_an_end_are_that_end(line: int, character: int, offset: int) -> None:
    assert Document("ab\r\né🐍\n", "", "utf-16").offset(Position(line, character)) == offset


def test_a_path_is_told_as_in_its_repository(tmp_path: Path) -> None:
    (tmp_path / "code" / ".git").mkdir(parents=True)
    assert model_path(tmp_path / "code" / "a" / "b.py", tmp_path) == "a/b.py"
    assert model_path(Path("/no/such/root/a/b.py"), Path("/no/such/root")) == "a/b.py"
    assert model_path(Path("/no/such/root/a/b.py"), None) == "b.py"
    assert model_path(None, tmp_path) == ""


@given(before=TEXT, after=TEXT, budget=st.integers(1, 60))
def test_a_window_keeps_to_its_budget_and_to_the_cursor(before: str, after: str, budget: int) -> None:
    cut = window(before, after, budget, budget)
    assert before.endswith(cut.prefix)
    assert after.startswith(cut.suffix)
    assert len(cut.prefix.encode()) <= budget
    assert len(cut.suffix.encode()) <= budget
    if len((before + after).encode()) <= budget:
        assert (cut.prefix, cut.suffix) == (before, after)


def test_a_window_begins_and_ends_with_whole_lines() -> None:
    line = "value = compute(1)\n"
    cut = window(line * 100 + "v", " = 1\n" + line * 100, 200, 100)
    assert cut.prefix.startswith("value")
    assert cut.suffix.endswith("\n")
    assert len(cut.prefix) > 120


def test_the_beginning_of_a_window_stays_while_one_types() -> None:
    text = "".join(f"line {number}\n" for number in range(3000))
    cuts = [window(text + "x" * typed, "", 8192).prefix for typed in range(1000)]
    assert len({cut[:20] for cut in cuts}) <= 2
    assert min(map(len, cuts)) > 8192 * 3 / 4 - 20


def test_one_line_longer_than_the_budget_is_cut_within() -> None:
    cut = window("é" * 5000, "é" * 5000, 1001, 1001)
    assert set(cut.prefix) == set(cut.suffix) == {"é"}
    assert len(cut.suffix) == 500


def test_a_long_line_above_the_cursor_is_kept() -> None:
    cut = window("x" * 5000 + "\ny", "", 1000, 1000)
    assert cut.prefix.endswith("x\ny")
    assert len(cut.prefix) >= 750
