"""A file of JSON objects, one a line, each with the content of a source file. A line that is none is a dropped row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from repotune.corpus.exclusion import Exclusion
from repotune.corpus.rows import Dropped, Listed
from repotune.corpus.sources.columns import CONTENT, listed
from repotune.corpus.sources.lines import bounded_lines

_LONGEST_LINE = 1 << 26  # bytes: 64 times what a source file may hold, and no more in memory at a time


@dataclass(frozen=True)
class JsonLines:
    """A plain file; `locator` is where a line begins and its length. Rows without a path are named by `title`."""

    name: str
    path: Path
    title: str

    def listing(self, exclusion: Exclusion) -> Iterator[Listed | Dropped]:
        """Line by line."""
        offset = 0
        with self.path.open("rb") as file:
            for number, (line, length) in enumerate(bounded_lines(file, _LONGEST_LINE)):
                if not line.isspace():
                    yield self._row(line, length, number, offset)
                offset += length

    def read(self, files: Sequence[Listed]) -> list[bytes | str]:
        """One seek per file."""
        contents: list[bytes | str] = []
        with self.path.open("rb") as lines:
            for file in files:
                offset, length = map(int, file.locator.split(":"))
                lines.seek(offset)
                content = _content(_record(lines.read(length)))
                contents.append("changed while it was read" if content is None else content)
        return contents

    def _row(self, line: bytes, length: int, number: int, offset: int) -> Listed | Dropped:
        place = f"{self.title}/{number + 1}"
        record = _record(line) if len(line) == length else None
        if record is None:
            found = "a longer line" if len(line) != length else "no JSON object"
            return Dropped(self.name, place, "malformed", found, "an object in a line of 64 MiB at most", length)
        content = _content(record)
        if content is None:
            return Dropped(self.name, place, "malformed", "no content", f"a text as {' or '.join(CONTENT)}", length)
        return listed(record, self.name, place, len(content), f"{offset}:{length}")


def first_record(file: BinaryIO) -> dict[str, Any] | None:
    """The first line as an object, by which such a file is known, or None."""
    return _record(file.readline(_LONGEST_LINE))


def holds_content(record: dict[str, Any] | None) -> bool:
    """Whether `record` is a line of a data set of code."""
    return record is not None and _content(record) is not None


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _content(record: dict[str, Any] | None) -> bytes | None:
    """The content as UTF-8. Half a surrogate pair stays what it is, for decoding to refuse."""
    found = (record[name] for name in CONTENT if record and isinstance(record.get(name), str))
    content = next(found, None)
    return None if content is None else content.encode("utf-8", "surrogatepass")
