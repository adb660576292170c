"""corpus/ + tokenizer/ → tokens/: every document's ids end to end in flat files, and an index into them.

`{train,validation,test}-00000.bin` are little-endian unsigned integers, 16 bits where the vocabulary allows and 32
elsewhere. `index.json`: `{"schema": 1, "dtype", "tokenizer": SHA-256 of tokenizer.json, "splits": {split: {"offsets",
"paths", "weights"}}, "mixture": of the training split}`; document i is ids offsets[i] … offsets[i + 1], and an epoch
sees it weights[i] times on average. No token is dropped, added or cropped.
"""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from repotune.core.artefact import file_digest, write_atomically
from repotune.core.errors import UserError
from repotune.core.flow import Work
from repotune.corpus.split import SPLITS
from repotune.tokenizer.documents import count_documents, read_columns
from repotune.tokenizer.encoding import Codec, load_codec
from repotune.tokenizer.layout import TOKENIZER_NAME
from repotune.tokenizer.mixture import Mixture, count_mixture, describe_mixture

Tokens = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]


def build_tokens(work: Work) -> None:
    """Encodes every document of the corpus, alone. Writes the token files and index.json."""
    tokenizer = work.inputs["tokenizer"]
    codec = load_codec(tokenizer)
    dtype = _dtype_for(codec.size)
    splits, mixtures = zip(*(_write_split(work, codec, split, dtype) for split in SPLITS), strict=True)
    index = {
        "schema": 1,
        "dtype": dtype.name,
        "tokenizer": file_digest(tokenizer / TOKENIZER_NAME),
        "splits": dict(zip(SPLITS, splits, strict=True)),
        "mixture": mixtures[SPLITS.index("train")],
    }
    write_atomically(work.folder / "index.json", json.dumps(index, ensure_ascii=False) + "\n")


class TokenStore:
    """A split of tokens/, memory-mapped: documents by number, as views. `tokens` is their total length.

    `weights` says how often an epoch sees each on average, shape (documents,), and `sizes` how long each is.
    Raises UserError where the folder is absent, damaged or cut short.
    """

    def __init__(self, folder: Path, split: str) -> None:
        index = _read_index(folder, split)
        self.dtype: np.dtype[Any] = np.dtype(index["dtype"]).newbyteorder("<")
        self._offsets = np.asarray(index["splits"][split]["offsets"], dtype=np.int64)
        self._paths: list[str] = index["splits"][split]["paths"]
        self.sizes: npt.NDArray[np.int64] = np.diff(self._offsets)
        self.weights = np.asarray(index["splits"][split]["weights"], dtype=np.float64)
        self.tokens = int(self._offsets[-1])
        self._ids = _map_tokens(_path(folder, split), self.dtype, self.tokens)

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def epoch_tokens(self) -> float:
        """How many tokens an epoch sees on average."""
        return float((self.weights * self.sizes).sum())

    def document(self, number: int) -> Tokens:
        """The ids of a document: a read-only view, shape (tokens,). Raises IndexError beyond the last."""
        if not 0 <= number < len(self):
            raise IndexError(f"document {number} of {len(self)}")
        return self._ids[self._offsets[number] : self._offsets[number + 1]]

    def path(self, number: int) -> str:
        """The document's path in its repository. Raises IndexError beyond the last."""
        return self._paths[number]


def _write_split(work: Work, codec: Codec, split: str, dtype: np.dtype[Any]) -> tuple[dict[str, Any], Mixture]:
    """Writes the ids of a split. Returns its part of the index, and what an epoch of it is made of."""
    corpus, threads = work.inputs["corpus"], os.cpu_count() or 1
    sizes: list[int] = []
    columns: dict[str, list[Any]] = {name: [] for name in ("path", "weight", "language", "repository")}
    with (
        _path(work.folder, split).open("wb") as file,
        work.console.progress(f"encoding {split}", count_documents(corpus, split), "files") as progress,
    ):
        for texts, *others in read_columns(corpus, split, "text", *columns):
            for ids in codec.encode_many(texts, threads):
                file.write(np.asarray(ids, dtype=dtype).tobytes())
                sizes.append(len(ids))
            for column, values in zip(columns.values(), others, strict=True):
                column += values
            progress.advance(len(texts))
    work.console.say(f"  {split}: {len(sizes):,} documents, {sum(sizes):,} tokens")
    groups = {"languages": columns["language"], "repositories": columns["repository"]}
    mixture = count_mixture(sizes, columns["weight"], groups)
    if any(weight != 1 for weight in columns["weight"]):
        work.console.say("\n".join(f"  {line}" for line in describe_mixture(mixture)))
    offsets = [0, *itertools.accumulate(sizes)]
    return {"offsets": offsets, "paths": columns["path"], "weights": columns["weight"]}, mixture


def _path(folder: Path, split: str) -> Path:
    return folder / f"{split}-00000.bin"


def _dtype_for(size: int) -> np.dtype[Any]:
    return np.dtype(np.uint16 if size <= 2**16 else np.uint32).newbyteorder("<")


def _read_index(folder: Path, split: str) -> dict[str, Any]:
    path = folder / "index.json"
    try:
        index: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        documents = index["splits"][split]
        count = len(documents["paths"])
        whole = len(documents["offsets"]) == count + 1 and len(documents["weights"]) == count
        whole = whole and index["dtype"] in ("uint16", "uint32")
    except FileNotFoundError:
        raise UserError(f"There is no {path}.", "repotune run builds what is missing") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path) from error
    if not whole:
        raise _damaged(path)
    return index


def _map_tokens(path: Path, dtype: np.dtype[Any], count: int) -> Tokens:
    if not path.is_file() or path.stat().st_size != count * dtype.itemsize:
        raise _damaged(path)
    if count == 0:  # nothing can be mapped of an empty file
        return np.empty(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r")


def _damaged(path: Path) -> UserError:
    return UserError(f"{path} is absent, damaged or cut short.", f"remove {path.parent} and repeat: repotune run")
