"""What a cursor says is what reading all documents from end to end says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repotune.infer.index import sorting
from repotune.infer.index.cursor import NONE, Continuations, Cursor
from repotune.infer.index.folder import Index
from repotune.tokenizer.encoding import Codec
from repotune.tokenizer.packing import TokenStore

from .conftest import small_index


def followers(documents: Sequence[Sequence[int]], context: Sequence[int], least: int) -> tuple[int, Counter[int], int]:
    """By reading: the length of the longest end of `context` that occurs `least` times and that something follows, what
    does, and how often it occurs."""
    for length in range(min(len(context), sorting.DEPTH), 0, -1):
        wanted, found, count = list(context[-length:]), Counter[int](), 0
        for ids in documents:
            for place in range(length, len(ids) + 1):
                if list(ids[place - length : place]) == wanted:
                    count += 1
                    found.update(ids[place : place + 1])
        if count >= least and found:
            return length, found, count
    return 0, Counter(), 0


def as_counts(said: Continuations) -> dict[int, float]:
    return dict(zip(said.ids.tolist(), said.shares.round(9).tolist(), strict=True))


ids_ = st.lists(st.integers(0, 3), max_size=90)


@given(st.lists(ids_, min_size=1, max_size=5), ids_, st.sampled_from(["uint16", "uint32"]), st.integers(1, 3))
def test_agrees_with_reading_everything(
    tmp_path_factory: pytest.TempPathFactory, documents: list[list[int]], written: list[int], dtype: str, least: int
) -> None:
    cursor = Cursor(small_index(tmp_path_factory.mktemp("index"), documents, dtype), {8})
    for place, token in enumerate(written):
        cursor.push(token)
        length, found, count = followers(documents, written[: place + 1], least)
        said = cursor.indexed(least)
        assert (said.length, said.count) == (length, count)
        total = sum(found.values())
        assert as_counts(said) == {one: round(times / total, 9) for one, times in sorted(found.items())}


@given(st.lists(ids_, min_size=1, max_size=4), st.integers(1, 3))
def test_rows_are_all_places_in_the_order_of_their_contexts(
    tmp_path_factory: pytest.TempPathFactory, documents: list[list[int]], threads: int
) -> None:
    segment = small_index(tmp_path_factory.mktemp("index"), documents, "uint16", threads).segments[0]
    places = segment.order.tolist()
    assert sorted(places) == list(range(sorting.DEPTH, len(segment.text)))
    keys = [(segment.text[place - sorting.DEPTH : place][::-1].tolist(), place) for place in places]
    assert keys == sorted(keys)
    assert segment.following.tolist() == segment.text[segment.order].tolist()


def test_many_pieces_are_one_order(tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = index.segments[0]
    monkeypatch.setattr(sorting, "_PIECE", 1000)
    monkeypatch.setattr(sorting, "_BLOCK", 777)
    counts = sorting.count_ids(segment.text[sorting.DEPTH :])
    assert np.array_equal(counts, np.bincount(segment.text[sorting.DEPTH :]))
    sorting.write_order(segment.text, counts, tmp_path, 3, lambda rows: None)
    assert np.array_equal(np.fromfile(tmp_path / sorting.ORDER, np.uint32), segment.order)
    assert np.array_equal(sorting.sort_psi(segment.following, counts), segment._psi)


def test_real_code_goes_on_as_it_does_in_its_file(index: Index, workspace: dict[str, Path], codec: Codec) -> None:
    ids = TokenStore(workspace["tokens"], "train").document(3).tolist()
    cursor = Cursor(index, codec.special)
    cursor.move_to(ids[:500])
    for token in ids[500:600]:
        said = cursor.indexed()
        assert said.length == sorting.DEPTH and token in said.ids
        cursor.push(token)


def test_another_sequence_a_longer_one_and_one_taken_back_are_as_if_begun_anew(index: Index, codec: Codec) -> None:
    ids = codec.encode("def read(self, path):\n    return self.path.read_text()\n" * 3)
    cursor = Cursor(index, codec.special)
    cursor.open_file(ids[:20], ids[20:])
    for sequence in (ids[:7], ids[:30], ids[:12], ids[3:40], [codec.file_sep, *ids], ids):
        cursor.move_to(sequence)
        fresh = Cursor(index, codec.special)
        fresh.open_file(ids[:20], ids[20:])
        fresh.move_to(sequence)
        assert as_counts(cursor.indexed()) == as_counts(fresh.indexed())
        cursor.push(ids[5])
        cursor.push(ids[6])
        cursor.rewind(2)
        assert as_counts(cursor.indexed()) == as_counts(fresh.indexed())
        assert as_counts(cursor.own()) == as_counts(fresh.own())
        cursor.rewind(len(sequence))
        assert cursor.ids == [] and cursor.indexed() is NONE


def test_a_special_token_is_nothing_that_a_context_goes_through(index: Index, codec: Codec) -> None:
    cursor = Cursor(index, codec.special)
    cursor.move_to([*codec.encode("import "), codec.fim_middle])
    assert cursor.indexed() is NONE
    cursor.push(codec.encode("import")[0])
    assert cursor.indexed().length == 1


def test_own_text_goes_on_as_it_did_after_the_longest_like_context() -> None:
    cursor = Cursor(None, {0})
    cursor.move_to([1, 2, 3, 7, 1, 2, 3, 8, 5, 3, 9, 5, 2, 3])
    said = cursor.own()
    assert said.length == 2 and said.count == 2
    assert set(said.ids.tolist()) == {7, 8, 9}
    seven, eight, nine = said.shares
    assert seven == eight > 30 * nine


def test_what_stands_behind_the_cursor_is_own_text_and_what_the_prompt_repeats_is_not_counted_twice() -> None:
    before, behind = [4, 5, 6, 9, 9, 6, 7, 5], [1, 5, 6, 2]
    cursor = Cursor(None, {0})
    cursor.open_file(before, behind)
    cursor.move_to([6, 7, 5])  # the end of what is before
    said = cursor.own()
    assert as_counts(said) == {6: 1.0} and said.count == 2


def test_a_token_that_is_taken_back_to_be_healed_is_not_what_comes_next() -> None:
    cursor = Cursor(None, {0})
    cursor.open_file([4, 5, 6, 7, 8], [])
    cursor.move_to([5, 6, 7])
    assert cursor.own() is NONE


def test_special_tokens_and_the_ends_of_texts_never_follow() -> None:
    cursor = Cursor(None, {0})
    cursor.open_file([1, 2], [3, 2])
    cursor.move_to([1, 2, 0, 5, 2])
    assert cursor.own() is NONE
