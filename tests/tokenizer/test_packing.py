"""build_tokens and TokenStore: every document comes back whole, and damage is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from repotune.core.artefact import file_digest
from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.core.flow import Work
from repotune.tokenizer import packing
from repotune.tokenizer.encoding import Codec
from repotune.tokenizer.packing import TokenStore, build_tokens

Splits = dict[str, list[tuple[str, str, str]]]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_every_document_comes_back_whole(built: dict[str, Path], codec: Codec, splits: Splits, split: str) -> None:
    store = TokenStore(built["tokens"], split)
    assert len(store) == len(splits[split])
    for number, (text, path, _) in enumerate(splits[split]):
        ids = store.document(number)
        assert codec.decode_bytes(ids.tolist()) == text.encode()
        assert ids.tolist() == codec.encode(text)
        assert store.path(number) == path
        assert store.language(number) == "Python" or path == "control.txt"
    assert store.tokens == sum(len(store.document(number)) for number in range(len(store)))
    assert store.tokens * 2 == (built["tokens"] / f"{split}-00000.bin").stat().st_size


def test_documents_are_read_only_views_of_the_file(built: dict[str, Path]) -> None:
    store = TokenStore(built["tokens"], "train")
    document = store.document(0)
    assert document.base is not None
    assert document.dtype == store.dtype == np.uint16
    with pytest.raises(ValueError, match="read-only"):
        document[0] = 1


def test_numbers_beyond_the_last_document_are_refused(built: dict[str, Path]) -> None:
    store = TokenStore(built["tokens"], "test")
    for number in (-1, len(store)):
        for look_up in (store.document, store.path, store.language):
            with pytest.raises(IndexError):
                look_up(number)


def test_the_index_names_its_tokenizer(built: dict[str, Path]) -> None:
    index = json.loads((built["tokens"] / "index.json").read_text())
    assert index["tokenizer"] == file_digest(built["tokenizer"] / "tokenizer.json")


def test_ids_beyond_16_bits_take_32() -> None:
    assert packing.dtype_for(65_536) == np.uint16
    assert packing.dtype_for(65_537) == np.uint32


def test_an_empty_split_is_a_store_without_documents(
    built: dict[str, Path], tmp_path: Path, corpus_of: Callable[..., Path]
) -> None:
    corpus = corpus_of({"train": [("x = 1\n", "a.py", "Python")]})
    (tmp_path / "tokens").mkdir()
    inputs = {"corpus": corpus, "tokenizer": built["tokenizer"]}
    build_tokens(Work(tmp_path / "tokens", inputs, Console(quiet=True), seed=1))
    store = TokenStore(tmp_path / "tokens", "test")
    assert (len(store), store.tokens) == (0, 0)


@pytest.mark.parametrize(
    "name", ["train-00000.bin", "train-offsets.bin", "train-weights.bin", "train-names.arrow", "index.json"]
)
@pytest.mark.parametrize("damage", ["cut", "absent"])
def test_damage_is_named(built: dict[str, Path], tmp_path: Path, name: str, damage: str) -> None:
    folder = shutil.copytree(built["tokens"], tmp_path / "tokens")
    path = folder / name
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-3])
    else:
        path.unlink()
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        TokenStore(folder, "train")


def test_a_split_that_does_not_exist_is_refused(built: dict[str, Path]) -> None:
    with pytest.raises(UserError, match=r"index\.json"):
        TokenStore(built["tokens"], "training")
