"""What Spark's workers run: functions over batches, as mapInArrow wants them."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from repotune import __version__
from repotune.corpus.engines import Writer
from repotune.corpus.engines.steps import Step, run_steps


@dataclass(frozen=True)
class Mapped:
    """What steps keep and what they drop, in one schema: each row has nulls in the columns of the other kind."""

    steps: Sequence[Step]
    schema: pa.Schema

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            kept, dropped = run_steps(batch, self.steps)
            for rows in (kept, *dropped.to_batches()):
                yield self._widened(rows)

    def _widened(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        there = set(rows.schema.names)
        columns = [
            rows.column(field.name).cast(field.type) if field.name in there else pa.nulls(rows.num_rows, field.type)
            for field in self.schema
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)


@dataclass(frozen=True)
class Written:
    """A writer at work on one partition. A partition without rows is written only where that is asked for."""

    writer: Writer
    even_nothing: bool

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        count = 0
        for batch in batches:
            self.writer.add(batch)
            count += 1
        if count or self.even_nothing:
            self.writer.close()
        yield pa.RecordBatch.from_pydict({"batches": [count]})


@dataclass(frozen=True)
class See:
    """What a worker sees of repotune and of the file `mark`: the version, or what is missing."""

    mark: str

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            seen = __version__ if Path(self.mark).exists() else f"{platform.node()} does not see {self.mark}"
            yield pa.RecordBatch.from_pydict({"seen": [seen] * batch.num_rows})
