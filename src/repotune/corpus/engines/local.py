"""The corpus on one machine: processes for what is done document by document, DuckDB for what compares documents.

A table of documents is a row of Arrow files, numbered before they are made, so the number of processes changes nothing
but the time. They are memory-mapped: no text ever goes through a pipe, and never do all texts lie in memory.
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
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.dataset

from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.corpus.engines import Writer
from repotune.corpus.engines.steps import Step, run_steps
from repotune.corpus.engines.tables import Cursor, Shingles, Slice, no_rows, open_batch, slices_of, write_batch
from repotune.corpus.rows import DROPPED, with_columns

_PAIRS = 4096
_AHEAD = 3  # tasks waiting per process: none idles, and memory stays bounded
_UNNESTED = (
    "bands AS SELECT document, unnest(bands) AS key FROM documents",
    "replaced AS SELECT document, unnest(map_keys(replaced)) AS kind, unnest(map_values(replaced)) AS count"
    " FROM documents",
)
_DUCKDB_MEMORY = "512MB"  # beyond, it spills to the disk


class LocalEngine:
    """An `Engine` with `workers` processes; its tables lie in `folder`."""

    def __init__(self, workers: int, folder: Path, console: Console) -> None:
        self._workers, self._folder, self._console = workers, folder, console
        self._files: dict[str, list[str]] = {}
        self._pool: ProcessPoolExecutor | None = None
        self._base = duckdb.connect(
            folder / "tables.duckdb", config={"threads": workers, "memory_limit": _DUCKDB_MEMORY}
        )
        self._base.execute("PRAGMA disable_checkpoint_on_shutdown")  # the tables go with the engine

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._base.close()
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def start(self, name: str, rows: pa.Table) -> None:
        for number in range(rows.num_rows):
            write_batch(self._new_file(name), rows.slice(number, 1).combine_chunks().to_batches()[0])
        self._show(name)

    def map(self, name: str, over: str, steps: Sequence[Step], what: str, among: str = "") -> None:
        # Even no rows pass the steps: that gives the table its columns.
        slices = [part for path in self._files[over] for part in slices_of(path)] or [Slice(self._files[over][0], 0, 0)]
        if among:
            slices = list(self._narrowed(slices, among))
        tasks = [(part, self._new_file(name), self._new_file("dropped")) for part in slices]
        with self._console.progress(what, sum(part.rows for part in slices), "files") as progress:
            for part, _ in zip(slices, self._each(partial(_run, steps), tasks), strict=True):
                progress.advance(part.rows)
        self._show(name)
        self._show("dropped")

    def sql(self, name: str, query: str) -> None:
        self._base.execute(f"CREATE TABLE {name} AS {query}")

    def collect(self, query: str) -> pa.Table:
        return self._base.sql(query).to_arrow_table()

    def compare(self, name: str, pairs: str, step: Step) -> None:
        total = self.collect(f"SELECT count(*) AS n FROM {pairs}")["n"][0].as_py()
        batches = self._stream(f"SELECT document, other FROM {pairs} ORDER BY document, other", _PAIRS)
        shingles = Shingles(tuple(self._files["documents"]))
        tasks = ((batch, self._new_file(name)) for batch in batches)
        with self._console.progress("comparing", total, "pairs") as progress:
            for rows in self._each(partial(_compare, shingles, step), tasks):
                progress.advance(rows)
        if name not in self._files:
            self.sql(name, f"SELECT document, other, CAST(1 AS DOUBLE) AS similarity FROM {pairs}")
        else:
            self._show(name)

    def write(self, query: str, order: Sequence[str], writer: Writer) -> None:
        for batch in self._stream(f"{query} ORDER BY {', '.join(order)}"):
            writer.add(batch)
        writer.close()

    def write_documents(self, placed: str, writer: Writer) -> None:
        # Files hold ascending documents, so what belongs to each is the next run of `placed`.
        rows = Cursor(self._stream(f"SELECT * FROM {placed} ORDER BY document"))
        for path in self._files["documents"]:
            batch = open_batch(path)
            documents = batch.column("document").to_numpy()
            if len(documents) and (mine := rows.until(int(documents[-1]))).num_rows:
                found = batch.take(pa.array(np.searchsorted(documents, mine["document"].to_numpy())))
                others = {name: mine[name].combine_chunks() for name in mine.column_names if name != "document"}
                writer.add(with_columns(found, **others))
        writer.close()

    def _narrowed(self, slices: Sequence[Slice], among: str) -> Iterator[Slice]:
        wanted = Cursor(self._stream(f"SELECT document FROM {among} ORDER BY document"))
        for part in slices:
            documents = part.read().column("document")
            mine = wanted.until(documents[-1].as_py()) if len(documents) else documents
            yield replace(part, documents=mine["document"].combine_chunks() if len(mine) else documents[:0])

    def _stream(self, query: str, rows: int = 100_000) -> Iterator[pa.RecordBatch]:
        with self._base.cursor() as cursor:  # of its own: one connection has one answer at a time
            for name in self._files:
                self._register(cursor, name)
            yield from cursor.sql(query).to_arrow_reader(rows)

    def _each(self, function: Callable[[Any], int], tasks: Any) -> Iterator[int]:
        """`function` of each task, in order; in this process where there is one task or one worker."""
        waiting: deque[Future[int]] = deque()
        tasks = iter(tasks)
        first, second = next(tasks, None), next(tasks, None)
        tasks = (task for part in ([first, second], tasks) for task in part if task is not None)
        if self._workers <= 1 or second is None:
            yield from map(function, tasks)
            return
        if self._pool is None:
            context = multiprocessing.get_context("spawn")  # the caller may hold threads, which a fork would break
            self._pool = ProcessPoolExecutor(self._workers, mp_context=context, initializer=_start_worker)
        try:
            for task in tasks:
                waiting.append(self._pool.submit(function, task))
                if len(waiting) >= _AHEAD * self._workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise UserError(
                "A process that read the corpus was killed, most likely for want of memory.",
                "use fewer workers, or leave out large folders with corpus.exclude",
            ) from error
        finally:
            for future in waiting:
                future.cancel()

    def _new_file(self, name: str) -> str:
        files = self._files.setdefault(name, [])
        folder = self._folder / name
        if not files:
            folder.mkdir()
        files.append(os.fspath(folder / f"{len(files):06}.arrow"))
        return files[-1]

    def _show(self, name: str) -> None:
        self._register(self._base, name)
        if name == "documents":
            for view in _UNNESTED:
                self._base.execute(f"CREATE TEMP VIEW {view}")

    def _register(self, base: duckdb.DuckDBPyConnection, name: str) -> None:
        base.register(name, pa.dataset.dataset(self._files[name], format="ipc"))


def _run(steps: Sequence[Step], task: tuple[Slice, str, str]) -> int:
    part, kept_path, dropped_path = task
    kept, dropped = run_steps(part.read(), steps)
    write_batch(kept_path, kept)
    write_batch(dropped_path, dropped.combine_chunks().to_batches()[0] if dropped.num_rows else no_rows(DROPPED))
    return part.rows


def _compare(shingles: Shingles, step: Step, task: tuple[pa.RecordBatch, str]) -> int:
    pairs, path = task
    write_batch(path, pa.concat_batches([step(part) for part in shingles.beside(pairs)]))
    return int(pairs.num_rows)


def _start_worker() -> None:
    """Leaves an interrupt to the parent, and ends with it: a pool's processes outlive a parent that is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
