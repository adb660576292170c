"""Several ranks share an epoch: together they see exactly it, and each goes on from anywhere by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repotune.tokenizer.encoding import Codec
from repotune.tokenizer.packing import TokenStore
from repotune.train.batches import Batches, Position
from repotune.train.epochs import Epoch
from repotune.train.infilling import Rendering

unhurried = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Watched(Rendering):
    """Keeps what was rendered, so that a test sees which pieces a rank took."""

    seen: list[tuple[int, int, int]]

    def render(self, store: TokenStore, document: int, piece: int, epoch: int) -> list[int]:
        self.seen.append((epoch, document, piece))
        return super().render(store, document, piece, epoch)


def _watched(codec: Codec) -> Watched:
    rendering = Watched(codec, 50, infilling_rate=0.5, seed=7)
    object.__setattr__(rendering, "seen", [])
    return rendering


@unhurried
@given(
    sizes=st.lists(st.integers(0, 200), min_size=1, max_size=12),
    world=st.integers(1, 5),
    weight=st.sampled_from([1.0, 0.5, 1.5]),
)
def test_ranks_partition_every_epoch(
    memory_store: Callable[..., TokenStore], codec: Codec, sizes: list[int], world: int, weight: float
) -> None:
    store, epochs = memory_store(sizes, [weight] * len(sizes)), 3
    seen: Counter[tuple[int, int, int]] = Counter()
    for rank in range(world):
        rendering = _watched(codec)
        batches = Batches(store, rendering, rows=1, rank=rank, world=world)
        while batches.position.epoch < epochs:
            batches.next()
        mine = list(dict.fromkeys(rendering.seen))  # a piece is rendered again when a batch begins in it
        seen.update(piece for piece in mine if piece[0] % 2**32 < epochs)
    expected = Counter(
        (number + (copy << 32), document, piece)
        for number in range(epochs)
        for epoch in [Epoch(store, _watched(codec), number)]
        for document, copy, piece in map(epoch.find, range(len(epoch)))
    )
    assert seen == expected


@unhurried
@given(world=st.integers(1, 4), data=st.data(), steps=st.integers(0, 40), share=st.sampled_from([0.0, 0.5]))
def test_a_rank_goes_on_from_any_step(
    store: TokenStore, codec: Codec, world: int, data: st.DataObject, steps: int, share: float
) -> None:
    rank = data.draw(st.integers(0, world - 1))
    rendering = Rendering(codec, 50, infilling_rate=0.5, seed=7, syntax_share=share)
    straight = Batches(store, rendering, rows=3, rank=rank, world=world)
    for _ in range(steps):
        straight.next()
    resumed = Batches(store, rendering, 3, straight.position, rank, world)
    for _ in range(3):
        for one, other in zip(straight.next(), resumed.next(), strict=True):
            assert torch.equal(one, other)
    assert straight.position == resumed.position


def test_every_rank_is_first_in_turn(memory_store: Callable[..., TokenStore], codec: Codec) -> None:
    """One piece and three ranks: in three epochs each has had it."""
    rendering = Rendering(codec, 50, infilling_rate=0.0, seed=7)
    store = memory_store([10], [1.0])
    firsts = [Batches(store, rendering, rows=1, rank=rank, world=3).position for rank in range(3)]
    assert sorted(position.epoch for position in firsts) == [0, 1, 2]
    assert {(position.turn, position.offset) for position in firsts} == {(0, 0)}


def test_a_new_epoch_begins_for_every_rank_alike(store: TokenStore, codec: Codec) -> None:
    rendering = Rendering(codec, 50, infilling_rate=0.0, seed=7)
    batches = [Batches(store, rendering, 1, Position(4), rank, world=3) for rank in range(3)]
    assert {each.position for each in batches} == {Position(4)}
    assert len({tuple(each.next()[0].flatten().tolist()) for each in batches}) == 3


@pytest.mark.parametrize(("rank", "world"), [(2, 2), (-1, 2), (0, 0)])
def test_a_rank_that_is_not_in_the_world_is_refused(store: TokenStore, codec: Codec, rank: int, world: int) -> None:
    with pytest.raises(ValueError, match="rank"):
        Batches(store, Rendering(codec, 50, 0.0, seed=1), 1, rank=rank, world=world)
