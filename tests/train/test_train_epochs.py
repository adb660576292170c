"""An epoch's order is a permutation that is stored nowhere, and every piece is found in it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repotune.tokenizer.encoding import Codec
from repotune.tokenizer.packing import TokenStore
from repotune.train.epochs import Epoch, Shuffle, epoch_copies
from repotune.train.infilling import Rendering

Stored = Callable[..., TokenStore]


@settings(deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 2**40), st.integers(0, 600))
def test_a_shuffle_is_a_permutation(seed: int, epoch: int, count: int) -> None:
    assert sorted(Shuffle(seed, epoch, count)) == list(range(count))


def test_epochs_and_seeds_have_different_orders() -> None:
    orders = [list(Shuffle(seed, epoch, 50)) for seed in (1, 2) for epoch in range(3)]
    assert all(one != other for one, other in itertools.combinations(orders, 2))
    assert list(Shuffle(1, 2, 50)) == orders[2]


@pytest.mark.parametrize("count", [2, 3, 10, 100])
def test_every_piece_comes_as_often_at_every_place(count: int) -> None:
    epochs = 4000
    first = Counter(Shuffle(3, epoch, count)[0] for epoch in range(epochs))
    neighbours = Counter(
        (order[0] - order[1]) % count for order in (Shuffle(3, epoch, count) for epoch in range(epochs))
    )
    for counts, choices in ((first, count), (neighbours, count - 1)):
        deviation = np.sqrt(epochs / choices)
        assert len(counts) == choices
        assert max(abs(seen - epochs / choices) for seen in counts.values()) < 5 * deviation


def test_places_far_apart_are_unrelated() -> None:
    shuffle = Shuffle(5, 0, 10**9)
    numbers = np.array([shuffle[place] for place in range(3000)])
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.06
    assert abs(numbers.mean() / 10**9 - 0.5) < 0.03


@pytest.mark.parametrize("place", [-1, 7])
def test_a_place_beyond_the_last_is_refused(place: int) -> None:
    with pytest.raises(IndexError):
        Shuffle(1, 0, 7)[place]


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    documents=st.lists(st.tuples(st.integers(0, 400), st.floats(0, 3)), min_size=1, max_size=300),
    epoch=st.integers(0, 100),
)
def test_an_epoch_finds_every_piece_of_every_copy_once(
    memory_store: Callable[..., TokenStore], codec: Codec, documents: list[tuple[int, float]], epoch: int
) -> None:
    sizes, weights = zip(*documents, strict=True)
    store, rendering = memory_store(sizes, weights), Rendering(codec, 50, infilling_rate=0.5, seed=7)
    found = Epoch(store, rendering, epoch)
    copies = epoch_copies(7, epoch, np.array(weights)).tolist()
    assert sorted(found.find(place) for place in range(len(found))) == [
        (document, copy, piece)
        for document, size in enumerate(sizes)
        for copy in range(copies[document])
        for piece in range(rendering.pieces(size))
    ]
