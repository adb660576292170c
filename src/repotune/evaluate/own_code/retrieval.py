"""The pieces of other files that say most about a hole: windows of their lines, ranked by BM25 over words.

As RepoCoder (Zhang et al. 2023, arXiv 2303.12570) and CrossCodeEval (Ding et al. 2023, arXiv 2310.11248) do it: the
question is the lines around the hole, an answer is a window of as many lines as a prompt can hold some of. Files of any
split take part, for in an editor the rest of the repository is there; the file itself and what is nearly the same never
do. BM25 after Robertson and Zaragoza 2009, "The probabilistic relevance framework", section 3.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from repotune.evaluate.own_code.items import Item
from repotune.tokenizer.documents import read_columns, text_size

WINDOW_LINES = 10  # as CrossCodeEval's
LINES_BEFORE, LINES_AFTER = 15, 5  # of the hole that the question is made of
PIECES = 4
MOST_BYTES = 1 << 26  # an index takes some 2 bytes for each of text; of larger corpora every second, third, … file
ALIKE = 0.5  # of the distinct lines of two files, the share in both from which on neither is shown for the other

_K1, _B = 1.2, 0.75
_COMMONEST = 0.1  # words in a larger share of the windows are looked up by no one: they tell nothing and cost most
_CANDIDATES = 64
_WORD = re.compile(r"[^\W\d]\w+")


@dataclass(frozen=True)
class Piece:
    """Some lines of another file; `line` is the first, from 1."""

    path: str
    line: int
    text: str


class Retrieval:
    """The windows of the files of one repository."""

    def __init__(self, files: Iterable[tuple[str, str]]) -> None:
        """`files`: path and text of each."""
        self._files = list(files)
        self._places: list[tuple[int, int]] = []  # file and first line of each window
        self._ids: dict[str, int] = {}
        words, counts = [], []
        for number, (_, text) in enumerate(self._files):
            for line, window in _windows(text):
                found = [self._ids.setdefault(word, len(self._ids)) for word in _WORD.findall(window)]
                self._places.append((number, line))
                counts.append(len(found))
                words += found
        self._index(np.array(words, np.int64), np.array(counts, np.int64))
        self._alike = lru_cache(4096)(self._measure_likeness)

    def pieces(self, item: Item) -> list[Piece]:
        """The best few for the hole of `item`, best first; none where no other file shares a word with it."""
        scores = self._scores(_question(item))
        found: list[Piece] = []
        own = next((number for number, (path, _) in enumerate(self._files) if path == item.file.path), None)
        for window in _best(scores):
            number, line = self._places[window]
            path, text = self._files[number]
            if number != own and self._alike(item.file.text, number) < ALIKE:
                found.append(Piece(path, line + 1, "\n".join(text.split("\n")[line : line + WINDOW_LINES])))
            if len(found) == PIECES:
                break
        return found

    def _index(self, words: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        """Postings in the order of words: from _starts[word] to _starts[word + 1] the windows and what they weigh."""
        windows = np.repeat(np.arange(len(counts)), counts)
        pairs, times = np.unique(words * len(counts) + windows, return_counts=True)
        word, self._windows = np.divmod(pairs, max(1, len(counts)))
        self._starts = np.searchsorted(word, np.arange(len(self._ids) + 1))
        within = np.diff(self._starts)
        rarity = np.log1p((len(counts) - within + 0.5) / (within + 0.5))
        length = _K1 * (1 - _B + _B * counts[self._windows] / max(1.0, counts.mean() if len(counts) else 1.0))
        self._weights = rarity[word] * times * (_K1 + 1) / (times + length)
        self._common = within > max(4, _COMMONEST * len(counts))

    def _scores(self, question: set[str]) -> NDArray[np.float64]:
        asked = sorted(self._ids[word] for word in question if word in self._ids)
        spans = [slice(self._starts[word], self._starts[word + 1]) for word in asked if not self._common[word]]
        scores = np.zeros(len(self._places))
        for span in spans:  # a window stands once in a word's span, so that nothing is added twice to one place
            scores[self._windows[span]] += self._weights[span]
        return scores

    def _measure_likeness(self, text: str, number: int) -> float:
        ours, theirs = _distinct_lines(text), _distinct_lines(self._files[number][1])
        return len(ours & theirs) / max(1, len(ours | theirs))


def read_retrievals(corpus: Path, repositories: Iterable[str]) -> dict[str, Retrieval]:
    """A retrieval of each of `repositories` over the files of all splits. Raises UserError where one is damaged."""
    splits = ("train", "validation", "test")
    every = max(1, -(-sum(text_size(corpus, split) for split in splits) // MOST_BYTES))
    wanted = set(repositories)
    files: dict[str, list[tuple[str, str]]] = defaultdict(list)
    seen = 0
    for split in splits:
        for columns in read_columns(corpus, split, "repository", "path", "text"):
            for repository, path, text in zip(*columns, strict=True):
                seen += 1
                if repository in wanted and seen % every == 0:
                    files[repository].append((path, text))
    return {repository: Retrieval(files[repository]) for repository in sorted(wanted)}


def _windows(text: str) -> Iterator[tuple[int, str]]:
    """Of each stretch of WINDOW_LINES lines the first line, from 0, and the text."""
    lines = text.split("\n")
    for first in range(0, len(lines), WINDOW_LINES):
        yield first, "\n".join(lines[first : first + WINDOW_LINES])


def _question(item: Item) -> set[str]:
    """The words around the hole; what stands in it is not asked with."""
    before = item.prefix.split("\n")[-LINES_BEFORE:]
    after = item.suffix.split("\n", LINES_AFTER)[:LINES_AFTER]
    return set(_WORD.findall("\n".join([*before, *after])))


def _best(scores: NDArray[np.float64]) -> list[int]:
    """The windows with the highest scores above zero, the earlier first of two alike."""
    count = min(_CANDIDATES, int(np.count_nonzero(scores)))
    if not count:
        return []
    least = np.partition(scores, -count)[-count]
    candidates = np.flatnonzero(scores >= least)
    ordered: list[int] = candidates[np.argsort(-scores[candidates], kind="stable")][:count].tolist()
    return ordered


def _distinct_lines(text: str) -> frozenset[str]:
    return frozenset(line for line in map(str.strip, text.split("\n")) if _WORD.search(line))
