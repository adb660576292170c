"""The files of a split of tokens/, written as documents come: nothing but a batch is ever held in memory.

{split}-NNNNN.bin       ids end to end, little-endian, whole documents, up to SHARD_BYTES a shard
{split}-offsets.bin     int64: where each document begins in the split, in ids, and where the last one ends
{split}-weights.bin     float64: how often an epoch sees each document on average
{split}-names.arrow     `path` and `language` of each, an Arrow file in batches of NAMES_ROWS
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from repotune.core.artefact import file_digest

SHARD_BYTES = 256_000_000
"""Of ids in a shard, as far as its last document does not go beyond."""

NAMES_ROWS = 65_536
"""A fixed number, so that a document's batch is known from the document's number."""

OFFSET, WEIGHT = np.dtype("<i8"), np.dtype("<f8")
_NAMES = pa.schema({"path": pa.string(), "language": pa.string()})


def shard_name(split: str, shard: int) -> str:
    """The file of a shard, inside tokens/."""
    return f"{split}-{shard:05}.bin"


def offsets_name(split: str) -> str:
    """The file of a split's offsets, inside tokens/."""
    return f"{split}-offsets.bin"


def weights_name(split: str) -> str:
    """The file of a split's weights, inside tokens/."""
    return f"{split}-weights.bin"


def names_name(split: str) -> str:
    """The file of a split's paths and languages, inside tokens/."""
    return f"{split}-names.arrow"


class SplitWriter:
    """Writes a split into `folder`, batch after batch. `entry()` is its part of the index, once it is closed."""

    def __init__(self, folder: Path, split: str, dtype: np.dtype[Any], shard_bytes: int = SHARD_BYTES) -> None:
        self._folder, self._split, self._dtype = folder, split, dtype
        self._shard_tokens = shard_bytes // dtype.itemsize
        self._shards: list[int] = []  # ids in each
        self._documents = self._tokens = 0
        self._waiting: list[tuple[str, str]] = []

    def __enter__(self) -> Self:
        with ExitStack() as files:
            self._offsets = files.enter_context((self._folder / offsets_name(self._split)).open("wb"))
            self._weights = files.enter_context((self._folder / weights_name(self._split)).open("wb"))
            sink = files.enter_context(pa.OSFile(str(self._folder / names_name(self._split)), "wb"))
            self._names = files.enter_context(pa.ipc.new_file(sink, _NAMES))
            self._ids: BinaryIO = self._next_shard()
            files.callback(lambda: self._ids.close())
            self._offsets.write(np.zeros(1, OFFSET).tobytes())
            self._files = files.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._files:
            if error is None:
                self._write_names(len(self._waiting))

    def add(
        self,
        documents: Sequence[Sequence[int] | npt.NDArray[Any]],
        weights: Sequence[float],
        paths: Sequence[str],
        languages: Sequence[str],
    ) -> None:
        """Appends documents: of each the ids, the weight, the path in its repository and the language."""
        sizes = [len(ids) for ids in documents]
        for ids, size in zip(documents, sizes, strict=True):
            if self._shards[-1] and self._shards[-1] + size > self._shard_tokens:
                self._ids.close()
                self._ids = self._next_shard()
            self._ids.write(np.asarray(ids, dtype=self._dtype).tobytes())
            self._shards[-1] += size
        self._offsets.write((self._tokens + np.cumsum(sizes, dtype=np.int64)).astype(OFFSET).tobytes())
        self._weights.write(np.asarray(weights, WEIGHT).tobytes())
        self._documents, self._tokens = self._documents + len(sizes), self._tokens + sum(sizes)
        self._waiting += zip(paths, languages, strict=True)
        while len(self._waiting) >= NAMES_ROWS:
            self._write_names(NAMES_ROWS)

    def entry(self) -> dict[str, Any]:
        """{"documents", "tokens", "shards": ids in each, "files": {name: {"bytes", "sha256"}}}"""
        names = [shard_name(self._split, shard) for shard in range(len(self._shards))]
        names += [name(self._split) for name in (offsets_name, weights_name, names_name)]
        paths = [self._folder / name for name in names]
        files = {path.name: {"bytes": path.stat().st_size, "sha256": file_digest(path)} for path in paths}
        return {"documents": self._documents, "tokens": self._tokens, "shards": self._shards, "files": files}

    def _next_shard(self) -> BinaryIO:
        self._shards.append(0)
        return (self._folder / shard_name(self._split, len(self._shards) - 1)).open("wb")

    def _write_names(self, rows: int) -> None:
        if rows:
            columns = zip(*self._waiting[:rows], strict=True)
            self._names.write_batch(pa.record_batch([pa.array(column, pa.string()) for column in columns], _NAMES))
            del self._waiting[:rows]
