"""The rows of the corpus: a file as it is listed, and a file as it is dropped, with the rule that dropped it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Listed:
    """A file of a source, not read yet. Its source finds it again by `locator` (a git object, an offset, a row).

    `size` is in bytes; `created` and `committed` are the ISO dates of its first and last change, empty if unknown.
    `language` and `licences` are what the source itself states of it; `authors` is filled only where it is asked for.
    """

    repository: str
    path: str
    size: int
    locator: str = ""
    commit: str = ""
    committed: str = ""
    created: str = ""
    language: str = ""
    licences: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dropped:
    """A file that is left out: by which rule, at what value, against what threshold."""

    repository: str
    path: str
    rule: str
    value: str
    threshold: str
    size: int


LISTED = pa.schema(
    [
        ("document", pa.int64()),
        ("source", pa.int64()),
        ("repository", pa.string()),
        ("path", pa.string()),
        ("size", pa.int64()),
        ("locator", pa.string()),
        ("commit", pa.string()),
        ("committed", pa.string()),
        ("created", pa.string()),
        ("language", pa.string()),
        ("folder_licences", pa.list_(pa.string())),
    ]
)
"""What is known of a file before it is read. `document` ascends by source and path; `folder_licences` are those that
its source states or that lie in its folder or the nearest above."""

DROPPED = pa.schema([(field.name, pa.int64() if field.name == "size" else pa.string()) for field in fields(Dropped)])
REASON = ("rule", "value", "threshold")


def to_utf8(texts: pa.Array) -> list[bytes]:
    """The bytes of each text as they lie in Arrow: UTF-8, copied and never decoded."""
    data: list[bytes] = texts.cast(pa.binary()).to_pylist()
    return data


def from_utf8(data: Sequence[bytes]) -> pa.Array:
    """Texts of their bytes in UTF-8."""
    return pa.array(data, pa.binary()).cast(pa.string())


def with_columns(batch: pa.RecordBatch, **columns: Any) -> pa.RecordBatch:
    """`batch` with `columns` added, or put in the place of those that bear the same name."""
    named = {name: batch.column(name) for name in batch.schema.names}
    return pa.RecordBatch.from_pydict(named | columns)


def with_reasons(batch: pa.RecordBatch, reasons: list[tuple[str, str, str] | None]) -> pa.RecordBatch:
    """`batch` with rule, value and threshold for rows that are to be dropped, and nulls for the others."""
    columns = {
        name: pa.array([reason[place] if reason else None for reason in reasons], pa.string())
        for place, name in enumerate(REASON)
    }
    return with_columns(batch, **columns)
