"""Collects examples.json from the tables of an engine, once documents are placed and written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from repotune.core.artefact import write_atomically
from repotune.core.flow import Work
from repotune.core.settings import CorpusSettings
from repotune.corpus.engines import Engine
from repotune.corpus.engines.steps import Step
from repotune.corpus.profiles import Decide, Profile
from repotune.corpus.showcase.likeness import likenesses
from repotune.corpus.showcase.reasons import reasons
from repotune.corpus.showcase.spreads import signals, sizes
from repotune.corpus.split import split_files
from repotune.corpus.summary import Counts

EXAMPLES_NAME = "examples.json"
SCHEMA = 1
_MOST_WEIGHED = 12
_ALTERED = re.compile("[…<\u2400-\u2421\ufffd]")


def write_showcase(
    work: Work, engine: Engine, steps: Sequence[Step], settings: CorpusSettings, dropped: Counts
) -> None:
    """Writes examples.json beside the corpus in `work.folder`. `steps` made `documents` of `listed`; `dropped` counts
    what they and the comparisons dropped, by rule."""
    profile = next((step.profile for step in steps if isinstance(step, Decide)), Profile(()))
    _write(
        work.folder,
        {
            "schema": SCHEMA,
            "sizes": sizes(engine),
            "signals": signals(engine, profile, dropped),
            "reasons": reasons(engine, steps, dropped, work.seed),
            "near_duplicates": likenesses(engine),
            "mixture": _mixture(work.folder) if _is_mixed(settings) else None,
        },
    )


def forget(source: Path, target: Path, gone: Callable[[str, str], bool]) -> None:
    """Copies examples.json of folder `source` into `target` without the text of any file that is `gone`, by its
    repository and path. Names and distributions stay, as they do in dropped.parquet and summary.json."""

    def stays(row: dict[str, Any]) -> bool:
        # A name that is not shown as it is cannot be compared.
        return not (_ALTERED.search(row["repository"] + row["path"]) or gone(row["repository"], row["path"]))

    data = json.loads((source / EXAMPLES_NAME).read_text(encoding="utf-8"))
    for example in (example for reason in data["reasons"] for example in reason["examples"]):
        example["excerpt"] = example["excerpt"] if stays(example) else None
    alike = data["near_duplicates"]
    alike["pairs"] = [pair for pair in alike["pairs"] if stays(pair["kept"]) and stays(pair["dropped"])]
    _write(target, data)


def _write(folder: Path, data: dict[str, Any]) -> None:
    write_atomically(folder / EXAMPLES_NAME, json.dumps(data, ensure_ascii=False, separators=(",", ":")) + "\n")


def _is_mixed(settings: CorpusSettings) -> bool:
    """Whether an epoch sees some documents more often than others."""
    return bool(settings.mixture.languages or settings.mixture.repositories or settings.importance.target)


def _mixture(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Bytes of the training split and of an epoch, by language and by repository, the largest first."""
    columns = ["language", "repository", "size", "weight"]
    table = pa.concat_tables([pq.read_table(path, columns=columns) for path in split_files(folder, "train")])
    table = table.append_column("epoch", pc.multiply(table["size"].cast(pa.float64()), table["weight"]))
    return {
        name: _shares(table, column) for name, column in (("languages", "language"), ("repositories", "repository"))
    }


def _shares(table: pa.Table, column: str) -> list[dict[str, Any]]:
    groups = table.group_by(column, use_threads=False).aggregate([("size", "count"), ("size", "sum"), ("epoch", "sum")])
    rows = [
        {
            "name": row[column],
            "files": row["size_count"],
            "bytes": row["size_sum"],
            "epoch_bytes": round(row["epoch_sum"]),
        }
        for row in groups.to_pylist()
    ]
    return sorted(rows, key=lambda row: (-row["epoch_bytes"], row["name"]))[:_MOST_WEIGHED]
