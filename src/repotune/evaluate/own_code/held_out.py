"""The files that are measured on: the test split of a corpus, and until when all that was learnt from was written."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from repotune.tokenizer.documents import read_columns


@dataclass(frozen=True)
class HeldOut:
    """A file of the test split. `commit` is where it was read, `created` and `committed` are the ISO dates of its first
    and its last change; all three are empty where no history tells them."""

    text: str
    path: str
    language: str
    repository: str
    commit: str = ""
    created: str = ""
    committed: str = ""

    @property
    def name(self) -> str:
        """What tells the file from all others: the cluster of its items."""
        return f"{self.repository}/{self.path}"


_COLUMNS = ("text", "path", "language", "repository", "commit", "created", "committed")


def read_held_out(corpus: Path) -> list[HeldOut]:
    """The test split, in its own order. Raises UserError where it is absent or damaged."""
    batches = read_columns(corpus, "test", *_COLUMNS)
    return [HeldOut(*row) for batch in batches for row in zip(*batch, strict=True)]


def learnt_until(corpus: Path) -> str | None:
    """The newest date at which a file of the training split was changed; None where one of them bears no date, so
    that nothing can be known to be later. Raises UserError as above."""
    newest = ""
    for (dates,) in read_columns(corpus, "train", "committed"):
        if not all(dates):
            return None
        newest = max([newest, *dates])
    return newest or None


def number(*key: object) -> int:
    """A number that only `key` decides: a random generator's stream may change between versions, a hash does not."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big")
