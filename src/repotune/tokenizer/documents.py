"""The rows of corpus/, streamed: a batch in memory at a time, whatever the corpus's size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from repotune.core.errors import UserError

SPLITS = ("train", "validation", "test")
_BATCH_ROWS = 256


def count_documents(corpus: Path, split: str) -> int:
    """How many rows a split has. Raises UserError where its file is absent or damaged."""
    with _open(corpus, split) as file:
        return int(file.metadata.num_rows)


def read_columns(corpus: Path, split: str, *names: str) -> Iterator[tuple[list[Any], ...]]:
    """Batches of a split: one list a column of `names`. Raises UserError where the file is damaged."""
    with _open(corpus, split) as file:
        try:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=list(names)):
                yield tuple(batch.column(name).to_pylist() for name in names)
        except (pa.ArrowException, OSError, KeyError) as error:
            raise _damaged(_path(corpus, split), error) from error


def _path(corpus: Path, split: str) -> Path:
    return corpus / f"{split}-00000.parquet"


def _open(corpus: Path, split: str) -> pq.ParquetFile:
    path = _path(corpus, split)
    try:
        return pq.ParquetFile(path)
    except FileNotFoundError:
        raise UserError(f"There is no {path}.", "repotune run builds what is missing") from None
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> UserError:
    reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    return UserError(f"{path} is damaged: {reason}.", f"remove {path.parent} and repeat: repotune run")
