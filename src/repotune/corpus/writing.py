"""The corpus as Parquet files. Their bytes depend on the rows alone: neither on how these came in batches nor on who
writes them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from repotune.corpus.mixture import Limited
from repotune.corpus.privacy import COUNTS
from repotune.corpus.rows import with_columns
from repotune.corpus.signals.annotate import SIGNALS
from repotune.corpus.split import split_file

_MEASURED = (("tokens", pa.int64()), ("quality", pa.float64()), ("importance", pa.float64()))
KEPT = pa.schema(
    [
        ("text", pa.string()),
        ("repository", pa.string()),
        ("commit", pa.string()),
        ("path", pa.string()),
        ("language", pa.string()),
        ("licence", pa.string()),
        ("sha256", pa.string()),
        ("size", pa.int64()),
        ("committed", pa.string()),
        ("created", pa.string()),
        ("replaced", COUNTS),
        ("weight", pa.float64()),
        ("signals", pa.struct([*SIGNALS, *_MEASURED])),
    ]
)
_ROW_GROUP_BYTES = 16_000_000


@dataclass
class SplitWriter:
    """Writes documents with `split` and `shard` into `folder`; each shard's rows come together, and in order.

    Training documents have the weight of the mixture, times that of their importance where `limited` says so.
    """

    folder: Path
    limited: Limited | None = None
    _open: dict[str, tuple[int, _File]] = field(default_factory=dict, init=False)

    def add(self, batch: pa.RecordBatch) -> None:
        for split in pc.unique(batch.column("split")).to_pylist():
            mine = batch.filter(pc.equal(batch.column("split"), split))
            for shard in pc.unique(mine.column("shard")).to_pylist():
                rows = mine.filter(pc.equal(mine.column("shard"), shard))
                self._file(split, shard).add(self._finished(rows))

    def close(self) -> None:
        for _, file in self._open.values():
            file.close()
        self._open.clear()

    def _finished(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The columns of KEPT; `size` is that of the text, which may differ from the file's."""
        weight = pc.multiply(batch.column("weight"), self._factors(batch))
        weight = pc.if_else(pc.equal(batch.column("split"), "train"), weight, 1.0)
        given = {name: batch.column(name) for name in batch.schema.names}
        given |= {name: batch.column("signals").field(name) for name in SIGNALS.names if name not in given}
        fields = KEPT.field("signals").type
        arrays = [given.get(field.name, pa.nulls(batch.num_rows, field.type)) for field in fields]
        struct = pa.StructArray.from_arrays(arrays, fields=list(fields))
        return with_columns(batch, signals=struct, weight=weight, size=batch.column("text_bytes")).select(KEPT.names)

    def _factors(self, batch: pa.RecordBatch) -> pa.Array:
        importance = batch.column("importance")
        if self.limited is None or not len(importance):
            return pa.repeat(1.0, batch.num_rows)
        factors = self.limited.weights(importance.fill_null(0.0).to_numpy())
        return pc.if_else(pc.is_valid(importance), pa.array(factors), 1.0)

    def _file(self, split: str, shard: int) -> _File:
        number, file = self._open.get(split, (-1, None))
        if file is None or number != shard:
            if file is not None:
                file.close()
            file = _File(split_file(self.folder, split, shard), KEPT)
            self._open[split] = shard, file
        return file


@dataclass
class TableWriter:
    """Writes rows of `schema` into one file, empty if there are none."""

    path: Path
    schema: pa.Schema
    _file: _File | None = field(default=None, init=False)

    def add(self, batch: pa.RecordBatch) -> None:
        self._file = self._file or _File(self.path, self.schema)
        self._file.add(batch.select(self.schema.names))

    def close(self) -> None:
        self._file = self._file or _File(self.path, self.schema)
        self._file.close()


class _File:
    """A Parquet file. Row groups end where so many bytes are full, by the column `size`, wherever batches end.

    It gets its name when it is whole: a task that is tried again on a cluster leaves no half file.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._schema = path, schema
        self._unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        self._writer = pq.ParquetWriter(self._unfinished, schema, compression="zstd")
        self._waiting: list[pa.RecordBatch] = []
        self._group, self._bytes = 0, 0

    def add(self, batch: pa.RecordBatch) -> None:
        ends = self._bytes + np.cumsum(batch.column("size").to_numpy(zero_copy_only=False))
        groups = np.concatenate(([self._bytes], ends[:-1])) // _ROW_GROUP_BYTES
        for group in np.unique(groups).tolist():
            if group != self._group:
                self._flush()
            self._group = group
            places = np.flatnonzero(groups == group)
            self._waiting.append(batch.slice(int(places[0]), len(places)))
        self._bytes = int(ends[-1]) if len(ends) else self._bytes

    def close(self) -> None:
        self._flush()
        self._writer.close()
        self._unfinished.replace(self._path)

    def _flush(self) -> None:
        if self._waiting:
            table = pa.Table.from_batches(self._waiting, self._schema).combine_chunks()
            self._writer.write_table(table, row_group_size=table.num_rows)
            self._waiting = []
