"""What every engine does to a batch: steps one after the other, and the rows that each of them drops set aside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from repotune.corpus.rows import DROPPED, REASON

Step = Callable[[pa.RecordBatch], pa.RecordBatch]
"""Adds columns to a batch, row by row. One that drops rows says why in the columns of REASON, null for the others."""


@dataclass(frozen=True)
class Only:
    """Leaves all columns away but these."""

    columns: Sequence[str]

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.select(list(self.columns))


def run_steps(batch: pa.RecordBatch, steps: Sequence[Step]) -> tuple[pa.RecordBatch, pa.Table]:
    """The rows that pass all of `steps`, and those that do not, as rows of DROPPED."""
    dropped = []
    for step in steps:
        batch = step(batch)
        if "rule" in batch.schema.names:
            lost = pc.is_valid(batch.column("rule"))
            if pc.any(lost).as_py():  # a filter copies all texts, even where it lets all of them pass
                dropped.append(batch.filter(lost).select(DROPPED.names))
                batch = batch.filter(pc.invert(lost))
            batch = batch.drop_columns(list(REASON))
    return batch, pa.Table.from_batches(dropped, DROPPED)
