"""The corpus on a Spark cluster: steps run in mapInArrow, SQL in Spark SQL, and nothing is collected but counts.

A table is a folder of Parquet files in `folder`, which the driver and all workers must see under the same path, as they
must see the sources and the place where the corpus is written. repotune has to be installed on the workers, for the
Python that PYSPARK_PYTHON names; both are tried before work begins.

Each result is written and read again, so a lost worker costs what it had under way, and rounds of SQL do not grow an
ever longer plan.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from repotune import __version__
from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.corpus.engines import Writer
from repotune.corpus.engines.spark_session import open_session, told
from repotune.corpus.engines.spark_tasks import Mapped, See, Written
from repotune.corpus.engines.steps import Step, run_steps
from repotune.corpus.rows import DROPPED

_TASKS_PER_CORE = 4  # a lost or slow one costs a quarter of what a core does
_LEAST_TASKS = 4

_UNNESTED = {
    "bands": "SELECT document, explode(bands) AS key FROM documents",
    "replaced": "SELECT document, explode(replaced) AS (kind, count) FROM documents",
}
_EDGES = pa.schema([("document", pa.int64()), ("other", pa.int64()), ("similarity", pa.float64())])
_BOTH_SIDES = """
SELECT pairs.document, pairs.other, a.shingles AS left, b.shingles AS right
FROM {pairs} AS pairs JOIN documents AS a ON pairs.document = a.document JOIN documents AS b ON pairs.other = b.document
"""
_PLACED = """
SELECT d.*, placed.* EXCEPT (placed.document) FROM documents AS d JOIN {placed} AS placed
    ON d.document = placed.document
"""


class SparkEngine:
    """An `Engine` on the cluster whose master is at `master`, such as spark://host:7077 or local[4]."""

    def __init__(self, master: str, folder: Path, console: Console) -> None:
        self._folder, self._console = folder, console
        self._spark = open_session(master)
        self._dropped: list[str] = []
        self._tasks = max(_LEAST_TASKS, self._spark.sparkContext.defaultParallelism * _TASKS_PER_CORE)
        self._spark.conf.set("spark.sql.shuffle.partitions", self._tasks)
        try:
            self._try_workers()
        except BaseException:
            self._spark.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._spark.stop()

    def start(self, name: str, rows: pa.Table) -> None:
        frame = self._spark.createDataFrame(rows).repartition(max(1, rows.num_rows))
        frame.createOrReplaceTempView(name)

    def map(self, name: str, over: str, steps: Sequence[Step], what: str, among: str = "") -> None:
        from pyspark.sql.pandas.types import to_arrow_schema

        frame = self._spark.table(over)
        if among:
            frame = frame.join(self._spark.table(among).select("document"), "document", "left_semi")
        if self._dropped:  # the first table's rows are work enough each; those of others are spread evenly
            frame = frame.repartition(self._tasks)
        # What the steps make of no rows tells what they make of any.
        schema = run_steps(pa.RecordBatch.from_pylist([], to_arrow_schema(frame.schema)), steps)[0].schema
        both = pa.schema([*schema, *(field for field in DROPPED if field.name not in schema.names)])
        self._map(name + "_all", frame, Mapped(steps, both), both, what)
        columns = ", ".join(f"`{column}`" for column in schema.names)
        self._view(name, f"SELECT {columns} FROM {name}_all WHERE rule IS NULL")
        self._dropped.append(f"SELECT {', '.join(DROPPED.names)} FROM {name}_all WHERE rule IS NOT NULL")
        self._view("dropped", " UNION ALL ".join(self._dropped))
        if name == "documents":
            for view, query in _UNNESTED.items():
                self._view(view, query)

    def sql(self, name: str, query: str) -> None:
        with told():
            self._save(name, self._spark.sql(query))

    def collect(self, query: str) -> pa.Table:
        with told():
            return self._spark.sql(query).toArrow()

    def compare(self, name: str, pairs: str, step: Step) -> None:
        frame = self._spark.sql(_BOTH_SIDES.format(pairs=pairs))
        self._map(name, frame, Mapped([step], _EDGES), _EDGES, "comparing")

    def write(self, query: str, order: Sequence[str], writer: Writer) -> None:
        with told():
            frame = self._spark.sql(query).repartition(1).sortWithinPartitions(*order)
            frame.mapInArrow(Written(writer, even_nothing=True), "batches bigint").collect()

    def write_documents(self, placed: str, writer: Writer) -> None:
        shards = self.collect(f"SELECT count(*) AS n FROM (SELECT DISTINCT split, shard FROM {placed}) AS shards")
        with self._shown("writing"), told():
            frame = self._spark.sql(_PLACED.format(placed=placed))
            frame = frame.repartition(shards["n"][0].as_py(), "split", "shard")
            frame = frame.sortWithinPartitions("split", "shard", "document")
            frame.mapInArrow(Written(writer, even_nothing=False), "batches bigint").collect()

    def _map(self, name: str, frame: Any, function: Mapped, schema: pa.Schema, what: str) -> None:
        from pyspark.sql.pandas.types import from_arrow_schema

        with self._shown(what), told():
            self._save(name, frame.mapInArrow(function, from_arrow_schema(schema)))

    def _save(self, name: str, frame: Any) -> None:
        """Writes `frame` under `name`, which from now on is read from there."""
        path = os.fspath(self._folder / name)
        frame.write.parquet(path)
        self._spark.read.schema(frame.schema).parquet(path).createOrReplaceTempView(name)

    def _view(self, name: str, query: str) -> None:
        self._spark.sql(query).createOrReplaceTempView(name)

    @contextmanager
    def _shown(self, what: str) -> Iterator[None]:
        self._console.say(f"  {what}: {self._tasks} tasks on {self._spark.sparkContext.master}")
        yield

    def _try_workers(self) -> None:
        """Raises UserError where the workers lack repotune or do not see the folder."""
        mark = self._folder / f"mark-{uuid.uuid4().hex}"
        mark.touch()
        with told():
            places = self._spark.range(0, self._tasks, 1, self._tasks)
            rows = places.mapInArrow(See(os.fspath(mark)), "seen string").collect()
        mark.unlink()
        if wrong := sorted({row["seen"] for row in rows} - {__version__}):
            raise UserError(
                f"Spark's workers cannot do the work: {wrong[0]}.",
                "they need this version of repotune, in the Python that PYSPARK_PYTHON names, and the project's folder"
                " under the same path",
            )
