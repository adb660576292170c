"""Files of a corpus as leaks are asked about: a sample that a hash draws, and those in which placeholders stand."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from repotune.evaluate.own_code.held_out import number
from repotune.tokenizer.documents import read_columns

_COLUMNS = ("text", "repository", "commit", "path", "language", "licence", "weight", "replaced")


@dataclass(frozen=True)
class Document:
    """A file of a split, as its row says. `weight` is how often an epoch sees it on average; `replaced` are the kinds
    of placeholders in it."""

    text: str
    repository: str
    commit: str
    path: str
    language: str
    licence: str
    weight: float = 1.0
    replaced: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What tells the file from all others: the cluster of what is asked about it."""
        return f"{self.repository}/{self.path}"


def read_documents(corpus: Path, split: str) -> Iterator[Document]:
    """The files of a split, a batch in memory at a time. Raises UserError where it is absent, damaged or older."""
    for *columns, replaced in read_columns(corpus, split, *_COLUMNS):
        kinds = [tuple(kind for kind, _ in of or ()) for of in replaced]
        yield from (Document(*row) for row in zip(*columns, kinds, strict=True))


def draw_documents(documents: Iterator[Document], count: int, seed: int) -> list[Document]:
    """`count` of `documents` by a hash of their names: the same ones for the same seed, few of them in memory."""
    keyed = ((number(seed, document.name), place, document) for place, document in enumerate(documents))
    return [document for _, _, document in heapq.nsmallest(count, keyed)]
