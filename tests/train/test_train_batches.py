"""The stream of rows loses nothing, and goes on from anywhere as if it had never stopped."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from repotune.core.errors import UserError
from repotune.tokenizer.encoding import Codec
from repotune.tokenizer.packing import TokenStore
from repotune.train.batches import Batches, Position
from repotune.train.epochs import Shuffle
from repotune.train.infilling import Rendering

Stored = Callable[[list[str]], TokenStore]


def _batches(
    store: TokenStore, codec: Codec, rows: int = 3, sequence: int = 50, position: Position | None = None
) -> Batches:
    return Batches(store, Rendering(codec, sequence, infilling_rate=0.5, seed=7), rows, position)


def test_two_epochs_hold_every_piece_once(store: TokenStore, codec: Codec) -> None:
    rendering = Rendering(codec, 50, infilling_rate=0.5, seed=7)
    pieces = [(number, piece) for number in range(len(store)) for piece in range(rendering.pieces(store.sizes[number]))]
    expected = [
        token
        for epoch in (0, 1)
        for number in Shuffle(7, epoch, len(pieces))
        for token in rendering.render(store, *pieces[number], epoch)
    ]
    batches, seen = _batches(store, codec), []
    while batches.position.epoch < 2:
        ids, targets = batches.next()
        assert torch.equal(ids.flatten()[1:], targets.flatten()[:-1])
        seen += ids.flatten().tolist()
    assert seen[: len(expected)] == expected


def test_targets_follow_across_batches(store: TokenStore, codec: Codec) -> None:
    batches = _batches(store, codec)
    for _ in range(20):
        _, targets = batches.next()
        ids, _ = batches.next()
        assert targets[-1, -1] == ids[0, 0]


def test_a_stream_goes_on_from_any_position(store: TokenStore, codec: Codec) -> None:
    straight = _batches(store, codec)
    for _ in range(60):
        resumed = _batches(store, codec, position=straight.position)
        for one, other in zip(straight.next(), resumed.next(), strict=True):
            assert torch.equal(one, other)
        assert straight.position == resumed.position


def test_rows_do_not_depend_on_how_many_make_a_batch(store: TokenStore, codec: Codec) -> None:
    one, four = _batches(store, codec, rows=1), _batches(store, codec, rows=4)
    rows = [one.next()[0] for _ in range(40)]
    assert torch.equal(torch.cat(rows), torch.cat([four.next()[0] for _ in range(10)]))


def test_a_split_without_documents_is_refused(stored: Stored, codec: Codec) -> None:
    with pytest.raises(UserError, match="no text to train on"):
        _batches(stored([]), codec)


def test_a_corpus_shorter_than_a_row_is_repeated(stored: Stored, codec: Codec) -> None:
    batches = _batches(stored(["a = 1\n"]), codec)
    batches.next()
    assert batches.position.epoch > 3
