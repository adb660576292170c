"""Pieces of other files: the most alike come first, and never the file itself nor a copy of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from repotune.core.errors import UserError
from repotune.evaluate.own_code.held_out import HeldOut
from repotune.evaluate.own_code.items import Item, draw_items
from repotune.evaluate.own_code.retrieval import PIECES, WINDOW_LINES, Piece, Retrieval, read_retrievals

CALLER = "from accounts import close_ledger\n\n\ndef finish(year):\n    ledger = open_ledger(year)\n    "
CALLEE = "def close_ledger(ledger, year):\n    ledger.sum_up(year)\n"
# Enough of them that `def` is a word which tells nothing.
ELSE = [
    (f"{what}.py", f"def {what}(canvas, colour):\n    canvas.{what}_all(colour)\n    return canvas\n")
    for what in ("paint", "draw", "sketch", "fill", "wash", "colour", "shade", "outline")
]


def asked(text: str = CALLER, path: str = "finish.py") -> Item:
    file = HeldOut(text + "close_ledger(ledger, year)\n", path, "Python", "books")
    return Item("rest", file, text, "\n", "close_ledger(ledger, year)")


def test_the_piece_that_shares_rare_words_comes_first() -> None:
    retrieval = Retrieval([*ELSE, ("accounts.py", CALLEE)])
    assert retrieval.pieces(asked()) == [Piece("accounts.py", 1, CALLEE)]


def test_neither_the_file_itself_nor_a_copy_is_shown() -> None:
    item = asked()
    copy = item.file.text.replace("year", "month", 1)
    retrieval = Retrieval([("finish.py", item.file.text), ("old/finish.py", copy), ("accounts.py", CALLEE)])
    assert [piece.path for piece in retrieval.pieces(item)] == ["accounts.py"]


def test_what_stands_in_the_hole_is_not_asked_with() -> None:
    item = asked("def finish(year):\n    ")
    answered = Retrieval([*ELSE, ("accounts.py", "close_ledger(ledger)\n" * 3)])
    assert answered.pieces(item) == []


def test_a_piece_is_a_stretch_of_its_file(held_out: list[HeldOut]) -> None:
    texts = {file.path: file.text for file in held_out}
    retrieval = Retrieval(texts.items())
    for item in draw_items(held_out, ["rest", "body"], 20, seed=1):
        found = retrieval.pieces(item)
        assert len(found) <= PIECES
        for piece in found:
            assert piece.path != item.file.path
            lines = texts[piece.path].split("\n")[piece.line - 1 :][:WINDOW_LINES]
            assert piece.text == "\n".join(lines)


def test_every_split_of_the_repository_and_no_other_repository_takes_part(workspace, held_out: list[HeldOut]) -> None:
    corpus = workspace.folders["corpus"]
    retrievals = read_retrievals(corpus, ["library"])
    assert retrievals.keys() == {"library"}
    shown = {
        piece.path
        for item in draw_items(held_out, ["rest"], 60, seed=1)
        for piece in retrievals["library"].pieces(item)
    }
    assert len(shown) > 10
    assert "bin/steps.sh" not in shown


def test_a_repository_without_files_has_no_pieces() -> None:
    assert Retrieval([]).pieces(asked()) == []
    assert Retrieval([("a.py", "")]).pieces(asked()) == []


def test_a_corpus_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"test-00000\.parquet|train-00000\.parquet"):
        read_retrievals(tmp_path, ["library"])
