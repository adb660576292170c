"""The step that adds `signals` to a batch: all groups over one view of its bytes, and parsing where it is asked for."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from repotune.corpus.rows import with_columns
from repotune.corpus.signals import (
    characters,
    comments,
    encoded,
    generated,
    markup,
    parsing,
    prose,
    repetition,
    sizes,
    statements,
    words,
)
from repotune.corpus.signals.signal import Signal
from repotune.corpus.signals.texts import Texts

GROUPS = (sizes, characters, words, repetition, encoded, generated, comments, statements, prose, markup)
"""Modules with SIGNALS and `measure(texts) -> Columns`."""

LATER = (
    Signal(
        "stripped",
        "count",
        "characters",
        "taken out of HTML and CSS before all else was measured; null for others",
        "named by Replit (2023)",
    ),
    Signal("cluster_size", "count", "files", "its near-duplicates and itself; null where they were not counted"),
)
"""Filled by other steps: `stripped` by `corpus.stripping`, `cluster_size` by `corpus.duplicates`."""

ALL = (*(signal for group in GROUPS for signal in group.SIGNALS), *parsing.SIGNALS, *LATER)
SIGNALS = pa.struct([(signal.name, signal.type) for signal in ALL])
"""The type of the column `signals`."""


@dataclass(frozen=True)
class Annotate:
    """Adds `signals` (a struct, see SIGNALS) to a batch with `text`, `path` and `language`.

    `parsed` are the languages whose documents are parsed too, which takes six times as long as all other signals.
    """

    parsed: frozenset[str] = frozenset()

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        texts = Texts(batch.column("text"), batch.column("path").to_pylist(), batch.column("language").to_pylist())
        columns = {name: column for group in GROUPS for name, column in group.measure(texts).items()}
        columns |= parsing.measure(texts, self.parsed)
        if "stripped" in batch.schema.names:
            columns["stripped"] = batch.column("stripped")
        empty = pa.nulls(len(texts))
        arrays = [_array(columns.get(field.name, empty), field.type) for field in SIGNALS]
        return with_columns(batch, signals=pa.StructArray.from_arrays(arrays, fields=list(SIGNALS)))


def _array(values: object, kind: pa.DataType) -> pa.Array:
    return values.cast(kind) if isinstance(values, pa.Array) else pa.array(values, kind)
