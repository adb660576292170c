"""Tables on one machine: each is a row of Arrow files with one batch each, memory-mapped when they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from repotune.corpus.rows import with_columns

# What one process holds at a time: enough that calls over Arrow cost nothing, little enough to share a small machine.
_BATCH_ROWS = 256
_BATCH_BYTES = 4_000_000
_COMPARED_BYTES = 32_000_000  # of shingles laid side by side
_OPEN_FILES = 16  # each may be resident as a whole, and macOS allows 256


@dataclass(frozen=True)
class Slice:
    """Rows of one file of a table."""

    path: str
    start: int
    rows: int
    documents: pa.Array | None = None
    """Those that are meant, if not all are."""

    def read(self) -> pa.RecordBatch:
        """The rows that are meant."""
        batch = open_batch(self.path).slice(self.start, self.rows)
        if self.documents is None:
            return batch
        return batch.filter(pc.is_in(batch.column("document"), value_set=self.documents))


def slices_of(path: str) -> Iterator[Slice]:
    """The rows of a file in batches of bounded number and size, by the sizes that are listed."""
    batch = open_batch(path)
    sizes = batch.column("size").to_pylist() if "size" in batch.schema.names else [0] * batch.num_rows
    start, weight = 0, 0
    for place, size in enumerate(sizes):
        if place > start and (weight + size > _BATCH_BYTES or place - start == _BATCH_ROWS):
            yield Slice(path, start, place - start)
            start, weight = place, 0
        weight += size
    if start < batch.num_rows:
        yield Slice(path, start, batch.num_rows - start)


@dataclass(frozen=True)
class Shingles:
    """Looks documents' shingles up in the files of `documents`, whose ids ascend."""

    paths: tuple[str, ...]

    def beside(self, pairs: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """`pairs` with the shingles of both sides, `left` and `right`, in batches of bounded size."""
        sides = self._of(pairs.column("document")), self._of(pairs.column("other"))
        weights = np.cumsum([len(left) + len(right) for left, right in zip(*sides, strict=True)])
        ends = [*np.flatnonzero(np.diff(weights // _COMPARED_BYTES)).tolist(), pairs.num_rows - 1]
        start = 0
        for end in ends:
            left, right = (_binary(side[start : end + 1]) for side in sides)
            yield with_columns(pairs.slice(start, end + 1 - start), left=left, right=right)
            start = end + 1

    def _of(self, documents: pa.Array) -> list[memoryview]:
        numbers = np.searchsorted(_firsts(self.paths), documents.to_numpy(), side="right") - 1
        return list(map(self._one, numbers.tolist(), documents.to_pylist()))

    def _one(self, number: int, document: int) -> memoryview:
        batch = open_batch(self.paths[number])
        row = int(np.searchsorted(batch.column("document").to_numpy(), document))
        return memoryview(batch.column("shingles")[row].as_buffer())


def _binary(values: Sequence[memoryview]) -> pa.Array:
    """An array of `values` by one copy of their bytes; pa.array takes five times as long."""
    offsets = np.cumsum([0, *map(len, values)], dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(values))]
    return pa.Array.from_buffers(pa.binary(), len(values), buffers)


class Cursor:
    """Walks through batches with ascending `document`."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self._rest: pa.RecordBatch | None = next(batches, None)

    def until(self, last: int) -> pa.Table:
        """The next rows, up to document `last`."""
        taken = []
        while self._rest is not None:
            count = int(np.searchsorted(self._rest.column("document").to_numpy(), last, side="right"))
            taken.append(self._rest.slice(0, count))
            if count < self._rest.num_rows:
                self._rest = self._rest.slice(count)
                break
            self._rest = next(self._batches, None)
        return pa.Table.from_batches(taken, taken[0].schema) if taken else pa.table({})


def no_rows(schema: pa.Schema) -> pa.RecordBatch:
    """An empty batch of `schema`."""
    return pa.RecordBatch.from_pylist([], schema)


def write_batch(path: str, batch: pa.RecordBatch) -> None:
    """Writes `batch` as a file of a table."""
    with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)


@lru_cache(_OPEN_FILES)
def open_batch(path: str) -> pa.RecordBatch:
    """The one batch of a file, mapped; files are written once and never again."""
    return pa.ipc.open_file(pa.memory_map(path)).get_batch(0)


@lru_cache(2)
def _firsts(paths: tuple[str, ...]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The first document of each file; of an empty one, that of the next."""
    firsts: list[int] = []
    following = np.iinfo(np.int64).max
    for path in reversed(paths):
        documents = open_batch(path).column("document")
        following = pc.min(documents).as_py() if len(documents) else following
        firsts.append(following)
    return np.array(firsts[::-1], np.int64)
