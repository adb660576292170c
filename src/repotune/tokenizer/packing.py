"""corpus/ + tokenizer/ → tokens/: every document's ids end to end in flat files, memory-mapped as one.

The files of a split are told in `shards.py`. `index.json` stays small whatever the number of documents: `{"schema": 2,
"dtype", "tokenizer": SHA-256 of tokenizer.json, "splits": {split: {"documents", "tokens", "shards": ids in each,
"files": {name: {"bytes", "sha256"}}}}, "mixture": of the training split}`. Ids take 16 bits where the vocabulary
allows and 32 elsewhere. No token is dropped, added or cropped.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from collections.abc import Mapping
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from repotune.core.artefact import file_digest, write_atomically
from repotune.core.errors import UserError
from repotune.core.flow import Work
from repotune.corpus.split import SPLITS
from repotune.tokenizer import shards
from repotune.tokenizer.documents import count_documents, read_columns
from repotune.tokenizer.encoding import Codec, load_codec, vocabulary_path
from repotune.tokenizer.mixture import Mixture, MixtureCount, describe_mixture, share_factors

Tokens = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]
INDEX_NAME = "index.json"


def build_tokens(work: Work, shares: Mapping[str, float] | None = None) -> None:
    """Encodes every document of the corpus, alone. Writes the token files and index.json.

    `shares` names repositories that are to make up a share of each epoch's text, such as the old data of a model that
    is gone on from: their weights are multiplied so that they do.
    """
    tokenizer = work.inputs["tokenizer"]
    codec = load_codec(tokenizer)
    dtype = dtype_for(codec.size)
    columns = read_columns(work.inputs["corpus"], "train", "repository", "weight", "size")
    factors = share_factors(columns, shares) if shares else {}
    entries, mixtures = zip(*(_write_split(work, codec, split, dtype, factors) for split in SPLITS), strict=True)
    splits = dict(zip(SPLITS, entries, strict=True))
    mixture = mixtures[SPLITS.index("train")]
    write_index(work.folder, dtype, file_digest(vocabulary_path(tokenizer)), splits, mixture)


def write_index(
    folder: Path, dtype: np.dtype[Any], tokenizer: str, splits: dict[str, dict[str, Any]], mixture: Mixture
) -> None:
    """Writes index.json, without which a folder holds no tokens. `splits` are `SplitWriter.entry` of each."""
    index = {"schema": 2, "dtype": dtype.name, "tokenizer": tokenizer, "splits": splits, "mixture": mixture}
    write_atomically(folder / INDEX_NAME, json.dumps(index, ensure_ascii=False, indent=1) + "\n")


def dtype_for(size: int) -> np.dtype[Any]:
    """How the ids of a vocabulary of `size` are stored."""
    return np.dtype(np.uint16 if size <= 2**16 else np.uint32).newbyteorder("<")


class TokenStore:
    """A split of tokens/, memory-mapped: documents by number, as views. `tokens` is their total length.

    `weights` says how often an epoch sees each on average, shape (documents,); `offsets`, shape (documents + 1,), where
    each begins. Both are mapped too, so that a store of any size is open at once and takes no memory of its own.
    Raises UserError where the folder is absent, damaged or cut short.
    """

    def __init__(self, folder: Path, split: str) -> None:
        index = read_index(folder)
        entry = _entry(folder, index, split)
        self.dtype: np.dtype[Any] = np.dtype(index["dtype"]).newbyteorder("<")
        self.tokens = int(entry["tokens"])
        self._count = int(entry["documents"])
        sizes: list[int] = entry["shards"]
        self._starts = [0, *accumulate(sizes)][:-1]
        self._shards = [
            _mapped(folder / shards.shard_name(split, shard), self.dtype, size) for shard, size in enumerate(sizes)
        ]
        self.offsets: npt.NDArray[np.int64] = _mapped(
            folder / shards.offsets_name(split), shards.OFFSET, self._count + 1
        )
        self.weights: npt.NDArray[np.float64] = _mapped(folder / shards.weights_name(split), shards.WEIGHT, self._count)
        if self.offsets[-1] != self.tokens or sum(sizes) != self.tokens:
            raise damaged(folder / shards.offsets_name(split))
        self._names = _mapped_names(folder / shards.names_name(split), self._count)

    def __len__(self) -> int:
        return self._count

    @cached_property
    def sizes(self) -> npt.NDArray[np.int64]:
        """How long each document is, in tokens, shape (documents,)."""
        return np.diff(self.offsets)

    @property
    def epoch_tokens(self) -> float:
        """How many tokens an epoch sees on average."""
        return float((self.weights * self.sizes).sum())

    def document(self, number: int) -> Tokens:
        """The ids of a document: a read-only view, shape (tokens,). Raises IndexError beyond the last."""
        self._check(number)
        start, stop = self.offsets[number : number + 2].tolist()
        shard = bisect_right(self._starts, start) - 1
        before = self._starts[shard]
        view: Tokens = self._shards[shard][start - before : stop - before]
        return view

    def path(self, number: int) -> str:
        """The document's path in its repository. Raises IndexError beyond the last."""
        return self._name("path", number)

    def language(self, number: int) -> str:
        """The language that the corpus found it to be in. Raises IndexError beyond the last."""
        return self._name("language", number)

    def _name(self, column: str, number: int) -> str:
        self._check(number)
        batch, row = divmod(number, shards.NAMES_ROWS)
        name: str = self._names[batch][column][row].as_py()
        return name

    def _check(self, number: int) -> None:
        if not 0 <= number < self._count:
            raise IndexError(f"document {number} of {self._count}")


def read_index(folder: Path) -> dict[str, Any]:
    """index.json of a folder. Raises UserError where it is absent or not one that this version writes."""
    path = folder / INDEX_NAME
    try:
        index: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known = index["schema"] == 2 and index["dtype"] in ("uint16", "uint32")
    except FileNotFoundError:
        raise UserError(f"There is no {path}.", "repotune run builds what is missing") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(path) from error
    if not known:
        raise damaged(path)
    return index


def damaged(path: Path) -> UserError:
    """What is said of a file of tokens/ that is not what was written."""
    return UserError(f"{path} is absent, damaged or cut short.", f"remove {path.parent} and repeat: repotune run")


def _write_split(
    work: Work, codec: Codec, split: str, dtype: np.dtype[Any], factors: Mapping[str, float]
) -> tuple[dict[str, Any], Mixture]:
    """Writes the ids of a split. Returns its part of the index, and what an epoch of it is made of. `factors` multiply
    the weights of repositories in training."""
    corpus, threads = work.inputs["corpus"], os.cpu_count() or 1
    mixture = MixtureCount("languages", "repositories")
    columns = ("text", "weight", "path", "language", "repository")
    with (
        shards.SplitWriter(work.folder, split, dtype) as writer,
        work.console.progress(f"encoding {split}", count_documents(corpus, split), "files") as progress,
    ):
        for texts, weights, paths, languages, repositories in read_columns(corpus, split, *columns):
            documents = codec.encode_many(texts, threads)
            if factors and split == "train":
                pairs = zip(weights, repositories, strict=True)
                weights = [weight * factors.get(repository, 1.0) for weight, repository in pairs]
            writer.add(documents, weights, paths, languages)
            mixture.add([len(ids) for ids in documents], weights, languages, repositories)
            progress.advance(len(texts))
    entry, total = writer.entry(), mixture.total()
    work.console.say(f"  {split}: {entry['documents']:,} documents, {entry['tokens']:,} tokens")
    if mixture.uneven:
        work.console.say("\n".join(f"  {line}" for line in describe_mixture(total)))
    return entry, total


def _entry(folder: Path, index: dict[str, Any], split: str) -> dict[str, Any]:
    """A split's part of the index, whose files are there in full."""
    try:
        entry: dict[str, Any] = index["splits"][split]
        sizes = {folder / name: file["bytes"] for name, file in entry["files"].items()}
        numbers = [entry["documents"], entry["tokens"], *entry["shards"]]
        sound = bool(entry["shards"]) and all(isinstance(number, int) for number in numbers)
    except (KeyError, TypeError, AttributeError) as error:
        raise damaged(folder / INDEX_NAME) from error
    if not sound:
        raise damaged(folder / INDEX_NAME)
    for path, size in sizes.items():
        if not path.is_file() or path.stat().st_size != size:
            raise damaged(path)
    return entry


def _mapped(path: Path, dtype: np.dtype[Any], count: int) -> npt.NDArray[Any]:
    if not path.is_file() or path.stat().st_size != count * dtype.itemsize:
        raise damaged(path)
    if count == 0:  # nothing can be mapped of an empty file
        return np.empty(0, dtype=dtype)
    # As a plain array: views of a memmap are a subclass's, and each costs 1 µs more.
    return np.asarray(np.memmap(path, dtype=dtype, mode="r"))


def _mapped_names(path: Path, count: int) -> list[dict[str, Any]]:
    """The columns of each batch; their texts stay in the mapped file."""
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        batches = [{name: batch.column(name) for name in ("path", "language")} for batch in table.to_batches()]
    except (pa.ArrowException, OSError, KeyError) as error:
        raise damaged(path) from error
    if table.num_rows != count:
        raise damaged(path)
    return batches
