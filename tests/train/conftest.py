"""A small corpus of this Python's own library, its tokenizer and its tokens, made by the real rooms below."""

from __future__ import annotations

import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from repotune.core.console import Console
from repotune.core.flow import Work
from repotune.model.configuration import ModelConfig
from repotune.tokenizer.encoding import Codec, load_codec
from repotune.tokenizer.layout import SPECIAL_TOKENS, vocabulary_of, write_vocabulary
from repotune.tokenizer.packing import TokenStore, build_tokens, write_index
from repotune.tokenizer.shards import SplitWriter
from repotune.tokenizer.vocabulary import train_bpe

VOCABULARY = 512
_FILES = {
    "train": ("bisect.py", "heapq.py", "keyword.py", "queue.py", "sched.py", "stat.py", "this.py", "token.py"),
    "validation": ("colorsys.py",),
    "test": ("contextvars.py",),
}
_ONE_OF_EACH = {"language": "Python", "repository": "library"}


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The inputs of a run: tokenizer/ and tokens/."""
    root = tmp_path_factory.mktemp("inputs")
    folders = {name: root / name for name in ("corpus", "tokenizer", "tokens")}
    for folder in folders.values():
        folder.mkdir()
    library = Path(sysconfig.get_paths()["stdlib"])
    texts = {split: [(library / name).read_text() for name in names] for split, names in _FILES.items()}
    for split, names in _FILES.items():
        _write_split(folders["corpus"], split, texts[split], [f"lib/{name}" for name in names])
    tokens = train_bpe(iter(texts["train"]), VOCABULARY - len(SPECIAL_TOKENS))
    write_vocabulary(folders["tokenizer"], vocabulary_of(tokens))
    build_tokens(Work(folders["tokens"], folders, Console(quiet=True), seed=1))
    return {"tokenizer": folders["tokenizer"], "tokens": folders["tokens"]}


@pytest.fixture(scope="session")
def codec(inputs: dict[str, Path]) -> Codec:
    return load_codec(inputs["tokenizer"])


@pytest.fixture(scope="session")
def store(inputs: dict[str, Path]) -> TokenStore:
    return TokenStore(inputs["tokens"], "train")


@pytest.fixture
def stored(tmp_path: Path, inputs: dict[str, Path]) -> Callable[..., TokenStore]:
    """Documents of one's own, encoded by the same tokenizer, and their weights where they have any."""

    def store_texts(texts: list[str], weights: Sequence[float] | None = None) -> TokenStore:
        folders = {"corpus": tmp_path / "corpus", "tokenizer": inputs["tokenizer"]}
        folders["corpus"].mkdir(exist_ok=True)
        for split in _FILES:
            _write_split(folders["corpus"], split, texts, ["lib/own.py"] * len(texts), weights)
        build_tokens(Work(tmp_path, folders, Console(quiet=True), seed=1))
        return TokenStore(tmp_path, "train")

    return store_texts


@pytest.fixture
def memory_store(tmp_path: Path) -> Callable[[Sequence[int], Sequence[float]], TokenStore]:
    """A store of documents of these sizes and weights, all of one letter."""

    def make(sizes: Sequence[int], weights: Sequence[float]) -> TokenStore:
        dtype, names = np.dtype("<u2"), ["a.py"] * len(sizes)
        letter = np.array([7 + ord("a")], dtype)  # behind the special tokens come the bytes
        with SplitWriter(tmp_path, "train", dtype) as writer:
            writer.add([letter.repeat(size) for size in sizes], weights, names, ["Python"] * len(sizes))
        write_index(tmp_path, dtype, tokenizer="", splits={"train": writer.entry()}, mixture={})
        return TokenStore(tmp_path, "train")

    return make


@pytest.fixture(scope="session")
def small_model() -> ModelConfig:
    return ModelConfig(vocabulary=VOCABULARY, width=32, layers=2, heads=4, kv_heads=2, hidden=64, context=64)


def _write_split(
    corpus: Path, split: str, texts: list[str], paths: list[str], weights: Sequence[float] | None = None
) -> None:
    columns = {"text": pa.array(texts, pa.string()), "path": pa.array(paths, pa.string())}
    columns |= {name: pa.array([value] * len(texts), pa.string()) for name, value in _ONE_OF_EACH.items()}
    columns["weight"] = pa.array(weights or [1.0] * len(texts), pa.float64())
    pq.write_table(pa.table(columns), corpus / f"{split}-00000.parquet")
