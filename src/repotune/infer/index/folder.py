"""The folder of an index, and opening it.

    index.json      {"schema": 1, "dtype", "tokenizer": SHA-256 of the vocabulary, "separator", "segments": [entry…]}
    segments/NAME/  `segment.py`; never changed, but for new files beside
    gates/          how much a model's probabilities give way to the index's (`gate.py`)

index.json is replaced in one step, and alone says what belongs to the index: who opens it sees an old state or a new
one, each whole. What an old state had is removed afterwards; those who mapped it keep it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from repotune.core.artefact import file_digest, write_atomically
from repotune.core.errors import UserError
from repotune.infer.index.segment import LISTS, Entry, Segment, damaged

INDEX_NAME, SEGMENTS = "index.json", "segments"
_SCHEMA = 1


@dataclass(frozen=True)
class Head:
    """What index.json says. The first segment is the large one; a second one holds what changed since."""

    dtype: str
    tokenizer: str
    separator: int
    segments: tuple[Entry, ...]

    @property
    def numbers(self) -> np.dtype[Any]:
        """How ids are stored."""
        return np.dtype(self.dtype).newbyteorder("<")


class Index:
    """The documents of a corpus, by what stands in them. Read-only and safe to use from many threads; where a sequence
    stands in it is a `cursor.Cursor`."""

    def __init__(self, folder: Path, head: Head) -> None:
        self.folder, self.tokenizer, self.separator = folder, head.tokenizer, head.separator
        self.segments = [
            Segment(folder / SEGMENTS / entry.name, entry, head.numbers, head.separator) for entry in head.segments
        ]

    @property
    def documents(self) -> int:
        """How many there are, removed ones not counted."""
        return sum(segment.documents for segment in self.segments)

    @property
    def tokens(self) -> int:
        """The ids in all documents, those removed and a separator for each included."""
        return sum(len(segment.order) for segment in self.segments)


def open_index(folder: Path) -> Index:
    """The index in `folder`, its files mapped. Raises UserError where there is none, or where it is damaged as far as
    sizes tell; `check_index` reads all of it."""
    head = read_head(folder)
    while True:
        try:
            return Index(folder, head)
        except UserError:
            # Written anew between index.json and the segments: that is no damage.
            if (again := read_head(folder)) == head:
                raise
            head = again


def check_index(folder: Path) -> None:
    """Raises UserError where a byte of the index is not what was written: reads all of it (100 MB of code: 0.4 s)."""
    for entry in read_head(folder).segments:
        for name, file in entry.files.items():
            path = folder / SEGMENTS / entry.name / name
            if not path.is_file() or file_digest(path) != file["sha256"]:
                raise damaged(path)


def read_head(folder: Path) -> Head:
    """index.json. Raises UserError where it is absent or not one that this version writes."""
    path = folder / INDEX_NAME
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        segments = tuple(_entry(entry) for entry in found["segments"])
        head = Head(found["dtype"], found["tokenizer"], found["separator"], segments)
        known = found["schema"] == _SCHEMA and head.dtype in ("uint16", "uint32") and isinstance(head.separator, int)
    except FileNotFoundError:
        raise UserError(f"There is no index in {folder}.", "build it first") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(path) from error
    if not known:
        raise damaged(path)
    return head


def write_head(folder: Path, head: Head) -> None:
    """Replaces index.json."""
    write_atomically(folder / INDEX_NAME, json.dumps({"schema": _SCHEMA, **asdict(head)}, indent=1) + "\n")


def _entry(found: dict[str, Any]) -> Entry:
    entry = Entry(**{**found, "removed": tuple(found["removed"])})
    numbers = (entry.documents, entry.tokens, *entry.removed, *(file["bytes"] for file in entry.files.values()))
    safe = all(isinstance(name, str) and Path(name).name == name for name in (entry.name, entry.following))
    if not safe or not all(isinstance(number, int) and number >= 0 for number in numbers) or LISTS not in entry.files:
        raise ValueError("a segment's entry")
    return entry
