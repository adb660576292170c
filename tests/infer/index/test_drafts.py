"""Drafts are what the file at hand, or the index, goes on with, and change nothing of what is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from repotune.infer.decoding import Sampling, generate
from repotune.infer.engine import Engine
from repotune.infer.index.cursor import Cursor
from repotune.infer.index.drafting import IndexDrafter, trust
from repotune.infer.index.folder import Index
from repotune.infer.opening import open_engine
from repotune.infer.speculation import DraftedEngine
from repotune.tokenizer.encoding import Codec
from repotune.tokenizer.packing import TokenStore


def proposed(drafter: IndexDrafter, ids: list[int], most: int) -> list[int]:
    """What is drafted behind `ids`."""
    drafter.begin(ids)
    return drafter.propose(most)


def test_a_file_that_repeats_itself_is_drafted_without_an_index() -> None:
    drafter = IndexDrafter(Cursor(None, {0}))
    assert proposed(drafter, [5, 6, 7, 8, 9, 1, 2, 5, 6, 7], 4) == [8, 9, 1, 2]
    assert proposed(drafter, [5, 6, 7, 8, 9, 1, 2, 5, 6, 7], 1) == [8]
    assert proposed(drafter, [5, 6, 7], 4) == []


def test_a_draft_never_goes_into_special_tokens_or_past_the_end_of_a_text() -> None:
    drafter = IndexDrafter(Cursor(None, {0}), least=0.01)
    assert proposed(drafter, [5, 6, 7, 8, 0, 9, 5, 6, 7], 8) == [8]
    drafter.cursor.open_file([], [3, 4, 5, 6])
    assert proposed(drafter, [3, 4], 8) == [5, 6]


def test_places_vote() -> None:
    drafter = IndexDrafter(Cursor(None, {0}), least=0.01)
    often, once = [1, 2, 3, 4, 5], [1, 2, 3, 9, 9]
    assert proposed(drafter, [*often, *once, *often, *often, 1, 2], 3) == [3, 4, 5]


def test_a_draft_ends_where_it_is_unlikely() -> None:
    text = [token for round_ in range(12) for token in (1, 2, 20 + round_)] + [1]
    drafter = IndexDrafter(Cursor(None, {0}))
    draft = (proposed(drafter, text, 5), drafter.draft(5))
    assert draft[0] == [2] and draft[1].confidence == pytest.approx((trust(1),))


def test_indexed_code_is_drafted_from_its_file(index: Index, workspace: dict[str, Path], codec: Codec) -> None:
    ids = TokenStore(workspace["tokens"], "train").document(6).tolist()
    drafter = IndexDrafter(Cursor(index, codec.special))
    right = 0
    for place in range(100, 400, 10):
        drafted = proposed(drafter, ids[:place], 8)
        assert len(drafted) <= 8
        right += drafted == ids[place : place + 8]
    assert right >= 28
    assert proposed(drafter.another(), ids[:200], 8) == ids[200:208]


def test_text_is_the_same_with_drafts_and_without(index: Index, llama_folder: Path, codec: Codec) -> None:
    engine, drafted = open_engine(llama_folder, "f32"), open_engine(llama_folder, "f32")
    # Drafts of all lengths, most of them wrong: the network is random.
    eager = DraftedEngine(drafted, IndexDrafter(Cursor(index, codec.special), least=0.001))

    def write(by: Engine, prompt: list[int], sampling: Sampling) -> list[int]:
        return [token.id for piece in generate(by, codec, prompt, sampling, 40) for token in piece.tokens]

    for number, text in enumerate(("import os\n", "def main(argv):\n    for line in ", "class Table:\n")):
        prompt = [*codec.header("a.py"), *codec.encode(text * 3)]
        for sampling in (Sampling(), Sampling(temperature=0.7, seed=number)):
            assert write(engine, prompt, sampling) == write(eager, prompt, sampling)
    assert eager.drafted > 0
