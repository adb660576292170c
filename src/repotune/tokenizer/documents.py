"""The rows of corpus/, streamed: a batch in memory at a time, whatever the corpus's size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from repotune.core.errors import UserError
from repotune.corpus.split import split_file, split_files

_BATCH_ROWS = 256


def count_documents(corpus: Path, split: str) -> int:
    """How many rows a split has. Raises UserError where its file is absent or damaged."""
    rows = 0
    for path in _files(corpus, split):
        with _open(path) as file:
            rows += int(file.metadata.num_rows)
    return rows


def text_size(corpus: Path, split: str) -> int:
    """About how many bytes of text a split holds: what Parquet says of its column, repeated texts counted once."""
    size = 0
    for path in _files(corpus, split):
        with _open(path) as file:
            column = file.schema_arrow.get_field_index("text")
            if column < 0:
                raise _damaged(path, KeyError("text"))
            groups = (file.metadata.row_group(group) for group in range(file.metadata.num_row_groups))
            size += sum(int(group.column(column).total_uncompressed_size) for group in groups)
    return size


def read_columns(corpus: Path, split: str, *names: str) -> Iterator[tuple[list[Any], ...]]:
    """Batches of a split: one list a column of `names`. Raises UserError where the file is damaged."""
    for path in _files(corpus, split):
        with _open(path) as file:
            try:
                for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=list(names)):
                    yield tuple(batch.column(name).to_pylist() for name in names)
            except (pa.ArrowException, OSError, KeyError) as error:
                raise _damaged(path, error) from error


def _files(corpus: Path, split: str) -> list[Path]:
    files = split_files(corpus, split)
    if not files:
        raise UserError(f"There is no {split_file(corpus, split, 0)}.", "repotune run builds what is missing")
    return files


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> UserError:
    reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    return UserError(f"{path} is damaged: {reason}.", f"remove {path.parent} and repeat: repotune run")
