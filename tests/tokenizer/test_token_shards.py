"""A store of many shards is one store, whatever the sizes of its documents, and its index stays small."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repotune.core.errors import UserError
from repotune.tokenizer import shards
from repotune.tokenizer.packing import TokenStore, write_index
from repotune.tokenizer.shards import SplitWriter

DTYPE = np.dtype("<u2")


def _write(folder: Path, batches: list[list[list[int]]], shard_bytes: int) -> TokenStore:
    number = 0
    with SplitWriter(folder, "train", DTYPE, shard_bytes) as writer:
        for documents in batches:
            numbers = range(number, number + len(documents))
            paths, languages = [f"{n}.py" for n in numbers], [f"language {n % 3}" for n in numbers]
            writer.add(documents, [n / 2 for n in numbers], paths, languages)
            number += len(documents)
    write_index(folder, DTYPE, tokenizer="", splits={"train": writer.entry()}, mixture={})
    return TokenStore(folder, "train")


documents = st.lists(st.integers(0, 65_535), max_size=20)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(documents, max_size=6), max_size=5), st.integers(2, 80), st.integers(1, 7))
def test_every_document_comes_back_from_any_number_of_shards(
    batches: list[list[list[int]]], shard_bytes: int, names_rows: int
) -> None:
    expected = [document for batch in batches for document in batch]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "NAMES_ROWS", names_rows)
        store = _write(Path(folder), batches, shard_bytes)
        assert [store.document(number).tolist() for number in range(len(store))] == expected
        assert [store.path(number) for number in range(len(store))] == [f"{n}.py" for n in range(len(expected))]
        assert [store.language(n) for n in range(len(store))] == [f"language {n % 3}" for n in range(len(expected))]
        assert store.weights.tolist() == [n / 2 for n in range(len(expected))]
        assert store.sizes.tolist() == [len(document) for document in expected]
        assert store.tokens == store.sizes.sum()
        files = sorted(Path(folder).glob("train-[0-9]*.bin"))
        assert all(len(file.read_bytes()) <= max(shard_bytes, 40) for file in files)
        if store.tokens * DTYPE.itemsize > max(shard_bytes, 40):
            assert len(files) > 1


def test_the_index_does_not_grow_with_the_documents(tmp_path: Path) -> None:
    store = _write(tmp_path, [[[1, 2, 3]] * 1000] * 100, shard_bytes=200_000)
    assert len(store) == 100_000
    assert (tmp_path / "index.json").stat().st_size < 2_000


def test_a_shard_that_is_missing_is_named(tmp_path: Path) -> None:
    _write(tmp_path, [[[1, 2, 3]] * 10], shard_bytes=12)
    (tmp_path / "train-00003.bin").unlink()
    with pytest.raises(UserError, match="train-00003"):
        TokenStore(tmp_path, "train")


def test_what_an_error_leaves_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), SplitWriter(tmp_path, "train", DTYPE) as writer:
        writer.add([[1, 2]], [1.0], ["a.py"], ["Python"])
        raise ZeroDivisionError
    with pytest.raises(UserError, match=r"index\.json"):
        TokenStore(tmp_path, "train")
