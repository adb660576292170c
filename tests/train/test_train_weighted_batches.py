"""A document is in an epoch as often as its weight says, each copy cut and infilled anew, and resuming stays exact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from repotune.core.errors import UserError
from repotune.tokenizer.encoding import Codec
from repotune.tokenizer.packing import TokenStore
from repotune.train.batches import Batches, Position
from repotune.train.epochs import Shuffle, epoch_copies
from repotune.train.infilling import Rendering

Stored = Callable[..., TokenStore]
TEXTS = [f"name_{number} = {number}\n" * (3 + 9 * number) for number in range(6)]
WEIGHTS = [1.0, 0.0, 0.5, 2.0, 2.25, 1.0]


def _batches(
    store: TokenStore, codec: Codec, infilling: float = 0.5, position: Position | None = None, rows: int = 3
) -> Batches:
    return Batches(store, Rendering(codec, 50, infilling, seed=7), rows, position)


def _copies(epoch: int, weights: list[float] = WEIGHTS) -> list[int]:
    return epoch_copies(7, epoch, np.array(weights)).tolist()


def test_weights_of_one_change_nothing(stored: Stored, codec: Codec, store: TokenStore) -> None:
    """Every piece is there once, in the order of one permutation."""
    rendering = Rendering(codec, 50, infilling_rate=0.5, seed=7)
    pieces = [(number, piece) for number in range(len(store)) for piece in range(rendering.pieces(store.sizes[number]))]
    expected = [
        token
        for epoch in range(3)
        for number in Shuffle(7, epoch, len(pieces))
        for token in rendering.render(store, *pieces[number], epoch)
    ]
    batches, seen = _batches(store, codec), []
    while len(seen) < len(expected):
        seen += batches.next()[0].flatten().tolist()
    assert seen[: len(expected)] == expected


def test_an_epoch_holds_each_copy_of_each_piece_once(stored: Stored, codec: Codec) -> None:
    store = stored(TEXTS, WEIGHTS)
    rendering = Rendering(codec, 50, infilling_rate=0.0, seed=7)
    expected = Counter[int]()
    for epoch in range(4):
        for document, copies in enumerate(_copies(epoch)):
            for copy in range(copies):
                for piece in range(rendering.pieces(store.sizes[document])):
                    expected.update(rendering.render(store, document, piece, epoch + (copy << 32)))
    batches, seen = _batches(store, codec, infilling=0.0, rows=1), Counter[int]()
    while batches.position.epoch < 4:
        seen.update(batches.next()[0].flatten().tolist())
    further = seen - expected  # the last row may reach into the fifth epoch
    assert seen >= expected and further.total() < 50


def test_a_weighted_stream_goes_on_from_any_position(stored: Stored, codec: Codec) -> None:
    store = stored(TEXTS, WEIGHTS)
    straight = _batches(store, codec)
    for _ in range(80):
        resumed = _batches(store, codec, position=straight.position)
        for one, other in zip(straight.next(), resumed.next(), strict=True):
            assert torch.equal(one, other)
        assert straight.position == resumed.position
    assert straight.position.epoch > 3


def test_a_copy_is_not_the_first_again(stored: Stored, codec: Codec) -> None:
    store = stored([TEXTS[5]], [2.0])
    rendering = Rendering(codec, 50, infilling_rate=1.0, seed=7)
    first, second = (rendering.render(store, 0, 0, epoch) for epoch in (3, 3 + (1 << 32)))
    assert first != second


@given(st.lists(st.floats(0, 5), min_size=1, max_size=20), st.integers(0, 10_000), st.integers(0, 2**31))
def test_copies_are_the_weight_rounded_down_or_up(weights: list[float], epoch: int, seed: int) -> None:
    copies = epoch_copies(seed, epoch, np.array(weights)).tolist()
    assert all(int(weight) <= copy <= -(-Fraction(weight) // 1) for weight, copy in zip(weights, copies, strict=True))
    assert copies == epoch_copies(seed, epoch, np.array(weights)).tolist()


def test_over_epochs_copies_are_as_many_as_the_weight() -> None:
    mean = np.mean([_copies(epoch) for epoch in range(4000)], axis=0)
    assert mean == pytest.approx(WEIGHTS, abs=0.04)
    assert len({tuple(_copies(epoch)) for epoch in range(40)}) == 4  # two fractions, drawn apart


def test_epochs_without_a_document_are_passed_over(stored: Stored, codec: Codec) -> None:
    store = stored(["a = 1\n"], [0.05])
    batches = _batches(store, codec)
    seen = {batches.position.epoch for _ in range(20) if batches.next()}
    assert all(_copies(epoch, [0.05]) == [1] for epoch in seen)
    assert _copies(0, [0.05]) == [0]


def test_weights_that_are_all_0_are_refused(stored: Stored, codec: Codec) -> None:
    with pytest.raises(UserError, match="weight of 0"):
        _batches(stored(TEXTS, [0.0] * len(TEXTS)), codec)


@given(st.lists(st.floats(0, 5), min_size=1, max_size=300), st.data())
def test_a_documents_copies_do_not_depend_on_what_is_asked_for_with_it(
    weights: list[float], data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, len(weights) - 1))
    stop = data.draw(st.integers(first, len(weights)))
    array = np.array(weights)
    assert epoch_copies(7, 2, array[first:stop], first).tolist() == epoch_copies(7, 2, array)[first:stop].tolist()
