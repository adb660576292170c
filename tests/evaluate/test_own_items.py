"""Items: whole again when put together, never trivial, spread out, and the same for the same seed."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repotune.evaluate.own_code.held_out import HeldOut
from repotune.evaluate.own_code.items import KINDS, Item, Kind, draw_items, permuted
from repotune.evaluate.own_code.lines import BLOCK_LINES, LONGEST_LINE, is_code
from repotune.evaluate.own_code.syntax import ARGUMENTS_CHARACTERS, BODY_LINES
from repotune.evaluate.scores import edit_similarity, exact_match, identifier_f1

BY_LINES: tuple[Kind, ...] = ("rest", "line", "block", "nothing")


@pytest.mark.parametrize("kind", KINDS)
def test_an_item_put_together_is_a_part_of_its_file(held_out: list[HeldOut], kind: Kind) -> None:
    items = draw_items(held_out, [kind], 60, seed=1)
    assert len(items) == 60
    for item in items:
        assert item.prefix + item.expected + item.suffix in item.file.text
        assert (item.expected.strip() == "") == (kind == "nothing")
    assert len({(one.file.name, one.prefix) for one in items}) == 60


def test_what_was_expected_scores_all_and_an_empty_answer_only_where_nothing_is_needed(held_out: list[HeldOut]) -> None:
    for item in draw_items(held_out, KINDS, 40, seed=4):
        assert set(points(item, item.expected)) == {1.0}
        assert set(points(item, "")) == ({1.0} if item.kind == "nothing" else {0.0})
        assert 1.0 not in points(item, "\nrambling_on(1)")


def points(item: Item, answer: str) -> list[float]:
    named = identifier_f1(answer, item.expected, item.file.language)
    return [
        exact_match(answer, item.expected),
        edit_similarity(answer, item.expected),
        *([] if named is None else [named]),
    ]


def test_a_line_is_cut_before_a_word_and_its_blanks(held_out: list[HeldOut]) -> None:
    for item in draw_items(held_out, ["rest"], 60, seed=1):
        assert "\n" not in item.expected
        assert item.prefix.rpartition("\n")[2].strip()
        assert not item.prefix[-1:].isspace()
        assert not (item.prefix[-1:].isalnum() and item.expected[0].isalnum())
        assert is_code(item.expected, item.file.language)


def test_a_whole_line_is_taken_with_its_indentation(held_out: list[HeldOut]) -> None:
    for item in draw_items(held_out, ["line"], 60, seed=1):
        assert item.prefix[-1:] in ("", "\n") and item.suffix[:1] in ("", "\n")
        assert "\n" not in item.expected and len(item.expected) <= LONGEST_LINE


def test_a_block_is_lines_of_one_level(held_out: list[HeldOut]) -> None:
    for item in draw_items(held_out, ["block"], 60, seed=1):
        lines = item.expected.split("\n")
        assert len(lines) in BLOCK_LINES
        assert item.prefix == "" or item.prefix.endswith("\n")
        assert len({len(line) - len(line.lstrip()) for line in lines}) == 1
        assert all(is_code(line, item.file.language) for line in lines)


def test_where_nothing_is_needed_a_line_may_be_whole_and_the_next_goes_on(held_out: list[HeldOut]) -> None:
    for item in draw_items(held_out, ["nothing"], 60, seed=1):
        last, following = item.prefix.rpartition("\n")[2], item.suffix.lstrip("\n").partition("\n")[0]
        assert item.suffix.startswith("\n") and following.strip()
        assert last[-1] not in "([{,:=+-*\\ \t"
        assert len(following) - len(following.lstrip()) <= len(last) - len(last.lstrip())


def test_a_body_is_what_a_function_does(held_out: list[HeldOut]) -> None:
    for item in draw_items(held_out, ["body"], 60, seed=1):
        assert len(item.expected.strip("\n").split("\n")) <= BODY_LINES
        assert not item.expected.lstrip().startswith('"""')
        assert item.expected[:1].isspace()


def test_arguments_stand_between_brackets(held_out: list[HeldOut]) -> None:
    for item in draw_items(held_out, ["arguments"], 60, seed=1):
        assert item.prefix.endswith("(") and item.suffix.lstrip().startswith(")")
        assert len(item.expected) <= ARGUMENTS_CHARACTERS


def test_an_import_is_a_statement_on_its_own_lines(held_out: list[HeldOut]) -> None:
    for item in draw_items(held_out, ["imports"], 60, seed=1):
        assert item.expected.lstrip().startswith(("import ", "from "))
        assert item.prefix[-1:] in ("", "\n") and item.suffix[:1] in ("", "\n")


def test_prose_is_no_place_for_a_hole() -> None:
    text = (
        '"""Says\nwhat the module does.\n"""\n\n\ndef f():\n    """Does\n    as it is told to."""\n    return g  # h\n'
    )
    files = [HeldOut(text, "a.py", "Python", "r")]
    assert {item.expected for item in draw_items(files, ["line"], 20, seed=1)} == {"def f():", "    return g  # h"}
    assert draw_items(files, ["nothing"], 20, seed=1) == []
    assert [item.expected for item in draw_items(files, ["body"], 20, seed=1)] == ["    return g  # h"]


def test_files_take_turns_and_languages_are_spread(held_out: list[HeldOut]) -> None:
    items = draw_items(held_out, ["rest"], 33, seed=2)
    counts = Counter(item.file.name for item in items)
    assert set(counts.values()) == {3}
    assert {item.file.language for item in items} == {"Python", "Shell"}


def test_the_seed_decides_and_neither_the_order_of_files_nor_the_other_kinds_do(held_out: list[HeldOut]) -> None:
    first = draw_items(held_out, KINDS, 20, seed=1)
    assert draw_items(list(reversed(held_out)), KINDS, 20, seed=1) == first
    assert draw_items(held_out, ["body"], 20, seed=1) == [item for item in first if item.kind == "body"]
    assert draw_items(held_out, KINDS, 20, seed=2) != first


def test_later_lines_come_first_and_whole(held_out: list[HeldOut]) -> None:
    file = held_out[0]
    wanted = range(40, 60)
    items = draw_items([file], BY_LINES, 10, seed=1, later={file.name: frozenset(wanted)})
    for kind in BY_LINES:
        told = [item.later for item in items if item.kind == kind]
        assert told == sorted(told, reverse=True) and any(told)
    for item in items:
        first = item.prefix.count("\n") if item.prefix == file.text[: len(item.prefix)] else -1
        inside = all(line in wanted for line in range(first, first + item.expected.count("\n") + 1))
        assert item.later == inside


@pytest.mark.parametrize("text", ["", "}\n)\n", "# words\n# only\n", "// a\n/* b */\n * c\n", "\n\n   \n", "x" * 500])
def test_a_file_that_says_nothing_gives_no_item(text: str) -> None:
    assert draw_items([HeldOut(text, "a.py", "Python", "r")], KINDS, 5, seed=1) == []


def test_a_preprocessor_line_is_no_comment() -> None:
    assert is_code("#include <stdio.h>", "C")
    assert not is_code("#include <stdio.h>", "Python")


@given(st.text(alphabet='ab =(#"\n\r\t é:)', max_size=80))
def test_any_text_is_taken_apart_without_loss(text: str) -> None:
    for item in draw_items([HeldOut(text, "a.py", "Python", "r")], KINDS, 4, seed=5):
        assert item.prefix + item.expected + item.suffix == text
        assert bool(item.expected.strip()) == (item.kind != "nothing")


@given(st.integers(0, 400), st.integers(0, 2**64))
def test_a_walk_comes_by_every_place_once(count: int, chosen: int) -> None:
    assert sorted(permuted(count, chosen)) == list(range(count))
