"""The Parquet files of the splits: fixed columns, settings and row groups, so that equal rows make equal bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from repotune.corpus.examples import MEASURED, Weights
from repotune.corpus.privacy import COUNTS
from repotune.corpus.rows import with_columns
from repotune.corpus.signals.annotate import SIGNALS
from repotune.corpus.split import SPLITS

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
        ("replaced", COUNTS),
        ("weight", pa.float64()),
        ("signals", pa.struct([*SIGNALS, ("tokens", pa.int64()), *MEASURED.items()])),
    ]
)
_TOLD = ["language", "licence", "size", "replaced"]
_ROW_GROUP_BYTES = 16_000_000


def write_splits(
    folder: Path, documents: Iterator[pa.RecordBatch], splits: Mapping[int, str], weights: Weights
) -> pa.Table:
    """Writes the rows of `documents` that have a split, in order. Returns their split, language, licence and size."""
    told = []
    with ExitStack() as stack:
        writers = {split: stack.enter_context(_Writer(folder / f"{split}-00000.parquet")) for split in SPLITS}
        for batch in documents:
            assigned = pa.array(
                [splits.get(document) for document in batch.column("document").to_pylist()], pa.string()
            )
            batch = _finished(weights.apply(batch, assigned))
            for split, writer in writers.items():
                writer.add(batch.filter(pc.equal(assigned, split)))
            told.append(with_columns(batch.select(_TOLD), split=assigned).filter(pc.is_valid(assigned)))
    return pa.Table.from_batches(told)


def _finished(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The columns of KEPT; `size` is that of the text, which may differ from the file's."""
    signals = batch.column("signals")
    fields = [signals.field(name) for name in signals.type.names]
    fields += [batch.column(name) for name in ("tokens", *MEASURED)]
    struct = pa.StructArray.from_arrays(fields, fields=list(KEPT.field("signals").type))
    sizes = pc.cast(pc.binary_length(batch.column("text")), pa.int64())
    return with_columns(batch, signals=struct, size=sizes).select(KEPT.names)


class _Writer:
    """Gathers batches until they fill a row group."""

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetWriter(path, KEPT, compression="zstd")
        self._waiting: list[pa.RecordBatch] = []
        self._bytes = 0

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._file.close()

    def add(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        self._bytes += pc.sum(batch.column("size")).as_py() or 0
        if self._bytes >= _ROW_GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        table = pa.Table.from_batches(self._waiting, KEPT)
        self._file.write_table(table, row_group_size=max(1, table.num_rows))
        self._waiting, self._bytes = [], 0
