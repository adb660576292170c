"""A plan counts what an epoch sees, and what unevenly repeated text is worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from repotune.pipeline.derive import evenly_repeated
from repotune.tokenizer.packing import TokenStore, write_index
from repotune.tokenizer.shards import SplitWriter

Make = Callable[[Sequence[int], Sequence[float]], TokenStore]


@pytest.fixture
def store(tmp_path: Path) -> Make:
    """A store of documents of these sizes and weights."""

    def make(sizes: Sequence[int], weights: Sequence[float]) -> TokenStore:
        dtype, names = np.dtype("<u2"), ["a.py"] * len(sizes)
        with SplitWriter(tmp_path, "train", dtype) as writer:
            writer.add([np.zeros(size, dtype) for size in sizes], weights, names, ["Python"] * len(sizes))
        write_index(tmp_path, dtype, tokenizer="", splits={"train": writer.entry()}, mixture={})
        return TokenStore(tmp_path, "train")

    return make


def test_without_weights_every_token_counts_once(store: Make) -> None:
    plain = store([300, 500], [1.0, 1.0])
    assert evenly_repeated(plain) == plain.epoch_tokens == plain.tokens == 800


def test_equal_weights_lengthen_the_epoch_and_teach_nothing_more(store: Make) -> None:
    doubled = store([300, 500], [2.0, 2.0])
    assert (evenly_repeated(doubled), doubled.epoch_tokens) == (800, 1600)


def test_text_of_weight_0_is_not_there(store: Make) -> None:
    half = store([300, 500], [0.0, 1.0])
    assert evenly_repeated(half) == half.epoch_tokens == 500


def test_uneven_repetition_is_worth_less_than_its_text(store: Make) -> None:
    uneven = store([500, 500], [3.0, 1.0])
    assert evenly_repeated(uneven) == round(2000**2 / (9 * 500 + 500))
    assert 500 < evenly_repeated(uneven) < 1000
