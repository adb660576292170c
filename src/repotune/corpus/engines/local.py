"""The corpus on one machine: processes for what is done document by document, DuckDB for what compares documents.

Batches are numbered before they are handed out and their results are named by that number, so the number of processes
changes nothing but the time. Texts rest in Arrow files that are memory-mapped, and never all lie in memory.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset

from repotune.core.errors import UserError
from repotune.corpus.rows import DROPPED, REASON

Step = Callable[[pa.RecordBatch], pa.RecordBatch]
"""Adds columns to a batch, row by row. One that drops rows says why in the columns of REASON, null for the others."""

_AHEAD = 3  # batches waiting per process: none idles, and memory stays bounded
_OPEN_FILES = 64  # of macOS's 256


class LocalEngine:
    """Runs steps over batches and queries over their results, which lie in `folder`."""

    def __init__(self, workers: int, folder: Path) -> None:
        self._workers, self._folder = workers, folder
        self._firsts: list[int] = []
        self._open = lru_cache(_OPEN_FILES)(_open_batch)

    def apply(self, batches: Sequence[pa.RecordBatch], steps: Sequence[Step]) -> Iterator[tuple[int, pa.Table]]:
        """Runs `steps` over `batches`. Yields, in order, how many rows went in and those that were dropped (DROPPED).

        The others are kept for `query`, `documents` and `shingles`.
        """
        tasks = [(self._note(number, batch), batch) for number, batch in enumerate(batches)]
        workers = min(self._workers, len(tasks))
        if workers <= 1:
            for path, batch in tasks:
                yield batch.num_rows, _run(batch, steps, path)
            return
        context = multiprocessing.get_context("spawn")  # the caller may hold threads, which a fork would break
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool:
            waiting: deque[tuple[int, Future[pa.Table]]] = deque()
            try:
                for path, batch in tasks:
                    waiting.append((batch.num_rows, pool.submit(_run, batch, steps, path)))
                    if len(waiting) >= _AHEAD * workers:
                        rows, future = waiting.popleft()
                        yield rows, future.result()
                yield from ((rows, future.result()) for rows, future in waiting)
            except BrokenProcessPool as error:
                raise UserError(
                    "A process that read the corpus was killed, most likely for want of memory.",
                    "use fewer workers, or leave out large folders with corpus.exclude",
                ) from error
            finally:
                pool.shutdown(cancel_futures=True)

    def query(self, sql: str, **tables: pa.Table) -> pa.Table:
        """The answer to `sql` over the views `documents` (all columns) and `bands` (document, key), and `tables`."""
        with duckdb.connect(config={"threads": self._workers, "temp_directory": str(self._folder / "spill")}) as base:
            for name in ("documents", "bands"):
                base.register(name, pa.dataset.dataset(self._paths(name), format="ipc"))
            for name, table in tables.items():
                base.register(name, table)
            return base.sql(sql).to_arrow_table()

    def documents(self) -> Iterator[pa.RecordBatch]:
        """The kept rows, batch by batch in the order of `apply`."""
        for path in self._paths("documents"):
            yield _open_batch(path)

    def shingles(self, document: int) -> npt.NDArray[np.uint64]:
        """The shingle hashes of one document, a view of the file."""
        number = int(np.searchsorted(self._firsts, document, side="right")) - 1
        batch = self._open(self._path("documents", number))
        row = pc.index(batch.column("document"), document).as_py()
        found: npt.NDArray[np.uint64] = batch.column("shingles")[row].values.to_numpy()
        return found

    def _note(self, number: int, batch: pa.RecordBatch) -> Path:
        self._firsts.append(batch.column("document")[0].as_py())
        return self._folder / f"{number:06}"

    def _path(self, name: str, number: int) -> Path:
        return self._folder / f"{number:06}.{name}"

    def _paths(self, name: str) -> list[Path]:
        return [self._path(name, number) for number in range(len(self._firsts))]


def _start_worker() -> None:
    """Leaves an interrupt to the parent, and ends with it: a pool's processes outlive a parent that is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _run(batch: pa.RecordBatch, steps: Sequence[Step], path: Path) -> pa.Table:
    """Runs `steps`, writes the rows that are left, and returns those that are not."""
    dropped = []
    for step in steps:
        batch = step(batch)
        if "rule" in batch.schema.names:
            lost = pc.is_valid(batch.column("rule"))
            dropped.append(batch.filter(lost).select(DROPPED.names))
            batch = batch.filter(pc.invert(lost)).drop_columns(list(REASON))
    documents = batch.column("document")
    bands = batch.column("bands")
    keys = {"document": documents.take(pc.list_parent_indices(bands)), "key": pc.list_flatten(bands)}
    _write(path.with_suffix(".bands"), pa.RecordBatch.from_pydict(keys))
    _write(path.with_suffix(".documents"), batch.drop_columns("bands"))
    return pa.Table.from_batches(dropped, DROPPED)


def _write(path: Path, batch: pa.RecordBatch) -> None:
    with pa.OSFile(os.fspath(path), "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)


def _open_batch(path: Path) -> pa.RecordBatch:
    return pa.ipc.open_file(pa.memory_map(os.fspath(path))).get_batch(0)
