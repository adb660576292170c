"""Where a corpus is computed: one machine (`local`) or a cluster (`spark`), by the same steps and the same SQL."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

import pyarrow as pa

from repotune.corpus.engines.steps import Step


class Writer(Protocol):
    """Takes batches in order and writes them to files; `close` makes them whole. Picklable until it has begun."""

    def add(self, batch: pa.RecordBatch) -> None: ...

    def close(self) -> None: ...


class Engine(Protocol):
    """Tables by name, each made once: by steps over another table's rows, or by SQL over any of them.

    The results are the same rows whatever the number of processes or partitions. SQL is what DuckDB and Spark have in
    common. Every `map` puts what its steps drop into `dropped`. Once `documents` is made there are `bands` (document,
    key) and `replaced` (document, kind, count), a row for each entry of the columns of these names.
    """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def start(self, name: str, rows: pa.Table) -> None:
        """Makes a table of `rows`, each of which is work enough for a batch of its own."""

    def map(self, name: str, over: str, steps: Sequence[Step], what: str, among: str = "") -> None:
        """Makes table `name` of what `steps` make of the rows of `over`, or of those whose `document` is in table
        `among`. `what` names the work to a person."""

    def sql(self, name: str, query: str) -> None:
        """Makes table `name` of the answer to `query`."""

    def collect(self, query: str) -> pa.Table:
        """The answer to `query`, which must be small."""

    def compare(self, name: str, pairs: str, step: Step) -> None:
        """Makes table `name` of what `step` makes of `pairs` (document, other), to which `left` and `right` are added:
        the two documents' `shingles`."""

    def write(self, query: str, order: Sequence[str], writer: Writer) -> None:
        """Gives the rows of `query` to `writer`, by the columns `order`."""

    def write_documents(self, placed: str, writer: Writer) -> None:
        """Gives the documents that `placed` (document, split, shard and further columns) names to `writer`, with its
        columns added, by split, shard and document, or by document."""
