"""A Spark session, and what goes wrong with one, in words."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from repotune.core.errors import UserError
from repotune.corpus.engines.java import find_java

_SETTINGS = {
    # What a worker's Python holds of a table at once: files of at most 1 MB, most of them far smaller.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "256",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    # A small answer in many partitions is as many tasks and files; by default they are merged only down to the cores.
    "spark.sql.adaptive.coalescePartitions.parallelismFirst": "false",
    # The outputs are whole Parquet files that one task writes; two attempts at one at a time would waste the cluster.
    "spark.speculation": "false",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
}
_MASTERS = "a master is spark://HOST:PORT, yarn, k8s://… or local[CORES]; is it running, and does it see this machine?"
# How a step's UserError looks in what a worker reports; its hint is in its arguments and does not come through.
_RAISED = re.compile(r"repotune\.core\.errors\.UserError: (.+)")


def open_session(master: str) -> Any:
    """A session with `master`. Raises UserError without Java or pyspark, and where the master does not answer."""
    find_java()
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise UserError("Spark needs pyspark, which is not installed.", "pip install 'repotune[spark]'") from error
    _call(master)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master(master).appName("repotune corpus")
    for key, value in _SETTINGS.items():
        builder = builder.config(key, value)
    try:
        return builder.getOrCreate()
    except Exception as error:  # Java's own exceptions come in many wrappings
        raise UserError(f"Spark cannot be had at {master}: {_first_line(error)}", _MASTERS) from error


def _call(master: str) -> None:
    """Sees whether a standalone master answers: Spark itself would try for a minute, and then say little."""
    address = re.fullmatch(r"spark://([^:/,]+):(\d+)", master)
    if address:
        try:
            socket.create_connection((address[1], int(address[2])), timeout=10).close()
        except OSError as error:
            raise UserError(f"No Spark master answers at {master}: {error.strerror or error}.", _MASTERS) from error


@contextmanager
def told() -> Iterator[None]:
    """Raises UserError for what Spark gives up for; a step's own comes through as it was said."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (Py4JError, PySparkException) as error:
        raised = _RAISED.search(str(error))
        said = raised[1] if raised else f"Spark gave up: {_first_line(error)}"
        raise UserError(said, "the workers' logs say more" if not raised else None) from error


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0]
