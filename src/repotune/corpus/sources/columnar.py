"""Parquet files whose rows each hold the content of a source file, here or elsewhere: they are read in place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from repotune.core.errors import UserError
from repotune.corpus.exclusion import Exclusion
from repotune.corpus.rows import Dropped, Listed
from repotune.corpus.sources.columns import ABOUT, CONTENT, listed
from repotune.corpus.sources.remote import is_remote, open_remote

_DAMAGED = (pa.ArrowException, OSError, ValueError, StopIteration)
_ROWS = 512  # held decoded at a time: a row group may be all of a file


@dataclass(frozen=True)
class Parquet:
    """`place` is a path or a URL; `locator` is a row's group and its number in it."""

    name: str
    place: str
    title: str

    def listing(self, exclusion: Exclusion) -> Iterator[Listed | Dropped]:
        """Row by row."""
        with _readable(self.place, self.title) as file:
            content, number = content_column(file), 0
            if content is None:
                raise UserError(f"{self.title} has no column {', '.join(CONTENT)}.", "rename the one that holds code")
            columns = [content, *(name for name in ABOUT if name in file.schema_arrow.names)]
            for group in range(file.num_row_groups):
                row = 0
                for batch in file.iter_batches(_ROWS, [group], columns):
                    sizes = pc.binary_length(_plain(batch.column(content))).to_pylist()
                    for size, about in zip(
                        sizes, batch.drop_columns(content).to_pylist() or [{}] * len(sizes), strict=True
                    ):
                        place = f"{self.title}/{number + 1}"
                        if size is None:
                            yield Dropped(self.name, place, "malformed", "no content", "a text", 0)
                        else:
                            yield listed(about, self.name, place, size, f"{group}:{row}")
                        number, row = number + 1, row + 1

    def read(self, files: Sequence[Listed]) -> list[bytes | str]:
        """Forwards through the row groups; rows in the order of the listing are each decoded once."""
        contents: list[bytes | str] = []
        for file in files:
            group, row = map(int, file.locator.split(":"))
            try:
                contents.append(_open_cursor(self.place, self._state()).content(group, row))
            except _DAMAGED as error:
                contents.append(f"damaged: {error}")
        return contents

    def _state(self) -> int:
        """What tells a file from another that has taken its place."""
        return 0 if is_remote(self.place) else Path(self.place).stat().st_mtime_ns


def content_column(file: pq.ParquetFile) -> str | None:
    """The column that holds the code, by which such a file is known, or None."""
    schema = file.schema_arrow
    return next((name for name in CONTENT if name in schema.names and _holds_text(schema.field(name).type)), None)


class _Cursor:
    """Where reading stands in a file: the decoded rows and those that follow."""

    def __init__(self, place: str) -> None:
        self._file = pq.ParquetFile(open_remote(place) if is_remote(place) else place)
        self._column = content_column(self._file)
        self._group, self._first, self._rows = -1, 0, pa.array([], pa.large_binary())
        self._batches: Iterator[pa.RecordBatch] = iter(())

    def content(self, group: int, row: int) -> bytes:
        """The bytes of a row. One before those at hand begins its group again."""
        if group != self._group or row < self._first:
            self._batches = self._file.iter_batches(_ROWS, [group], [self._column])
            self._group, self._first, self._rows = group, 0, self._rows[:0]
        while row >= self._first + len(self._rows):
            batch = next(self._batches)
            self._first, self._rows = self._first + len(self._rows), _plain(batch.column(0)).cast(pa.large_binary())
        content: bytes = self._rows[row - self._first].as_py()
        return content


@lru_cache(maxsize=2)
def _open_cursor(place: str, state: int) -> _Cursor:
    """Kept open: a batch begins where the one before it ended."""
    return _Cursor(place)


@contextmanager
def _readable(place: str, title: str) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(open_remote(place) if is_remote(place) else place) as file:
            yield file
    except _DAMAGED as error:
        raise UserError(f"{title} is damaged: {error}.", "fetch or write it again") from error


def _plain(column: Any) -> Any:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _holds_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    checks = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(check(kind) for check in checks)
