"""Items: whole again when put together, never trivial, spread out, and the same for the same seed."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repotune.evaluate.tasks import BLOCK_LINES, KINDS, HeldOut, Kind, draw_items, is_code


@pytest.mark.parametrize("kind", KINDS)
def test_an_item_put_together_is_a_part_of_its_file(held_out: list[HeldOut], kind: Kind) -> None:
    items = draw_items(held_out, kind, 60, seed=1)
    assert len(items) == 60
    for item in items:
        assert item.prefix + item.expected + item.suffix in item.file.text
        assert item.suffix[:1] in ("", "\n")
        assert len({(one.file.name, one.prefix) for one in items}) == 60


def test_a_line_is_cut_before_a_word_and_its_blanks(held_out: list[HeldOut]) -> None:
    for item in draw_items(held_out, "line", 60, seed=1):
        assert "\n" not in item.expected
        assert not item.prefix[-1:].isspace() or item.prefix.endswith("\n")
        assert not (item.prefix[-1:].isalnum() and item.expected[0].isalnum())
        assert is_code(item.expected, item.file.language)


def test_a_block_is_lines_of_one_level(held_out: list[HeldOut]) -> None:
    for item in draw_items(held_out, "block", 60, seed=1):
        lines = item.expected.split("\n")
        assert len(lines) in BLOCK_LINES
        assert item.prefix == "" or item.prefix.endswith("\n")
        assert len({len(line) - len(line.lstrip()) for line in lines}) == 1
        assert all(is_code(line, item.file.language) for line in lines)


def test_files_take_turns_and_languages_are_spread(held_out: list[HeldOut]) -> None:
    items = draw_items(held_out, "line", 33, seed=2)
    counts = Counter(item.file.name for item in items)
    assert set(counts.values()) == {3}
    assert {item.file.language for item in items} == {"Python", "Shell"}


def test_the_seed_decides_and_the_order_of_files_does_not(held_out: list[HeldOut]) -> None:
    first = draw_items(held_out, "line", 20, seed=1)
    assert draw_items(list(reversed(held_out)), "line", 20, seed=1) == first
    assert draw_items(held_out, "line", 20, seed=2) != first


@pytest.mark.parametrize("text", ["", "}\n)\n", "# words\n# only\n", "// a\n/* b */\n * c\n", "\n\n   \n", "x" * 500])
def test_a_file_that_says_nothing_gives_no_item(text: str) -> None:
    files = [HeldOut(text, "a.py", "Python", "r")]
    assert draw_items(files, "line", 5, seed=1) == []
    assert draw_items(files, "block", 5, seed=1) == []


def test_a_preprocessor_line_is_no_comment() -> None:
    assert is_code("#include <stdio.h>", "C")
    assert not is_code("#include <stdio.h>", "Python")


@given(st.text(alphabet='ab =(#"\n\r\t é', max_size=80))
def test_any_text_is_taken_apart_without_loss(text: str) -> None:
    for kind in KINDS:
        for item in draw_items([HeldOut(text, "a.py", "Python", "r")], kind, 4, seed=5):
            assert item.prefix + item.expected + item.suffix == text
            assert item.expected.strip()
