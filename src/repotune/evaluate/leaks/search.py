"""What of some answers stands in the training text: the longest run of each, and where given values occur.

Answers are few and the training text is large, so the answers are indexed and the text streams by, a file at a time:
memory is that of the answers, whatever the corpus's size. Each window of 32 bytes has a polynomial hash (Karp and
Rabin 1987), made for all windows of a file in five doublings; windows that an answer has, too, are looked at exactly.
Values are found by Aho and Corasick's automaton (1975).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import ahocorasick_rs
import numpy as np
from numpy.typing import NDArray

from repotune.evaluate.leaks.documents import Document

WINDOW = 32  # bytes; shorter runs are not looked for
_FACTOR = 0x9E3779B97F4A7C15
_FILTER_BITS = 22  # a table of 4 MB answers for nearly all windows that no answer has

Positions = NDArray[np.int64]
Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class Place:
    """Where something stands in the training text: a file, and the line in it, from 1."""

    repository: str
    commit: str
    path: str
    licence: str
    line: int


@dataclass(frozen=True)
class Run:
    """The longest run of an answer that stands in the training text: `text[start:stop]`, in bytes, first found at
    `place`, and in how many files it stands."""

    start: int
    stop: int
    place: Place
    files: int

    @property
    def length(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Found:
    """`runs`, one an answer, None where there is none of 32 bytes; `values` that occur, and where they do first."""

    runs: list[Run | None]
    values: dict[bytes, Place]


Confirm = Callable[[bytes, bytes, int, Document], bool]
"""Given a value, a document's text in UTF-8, where the value stands in it, and the document: whether that counts."""


def search(
    documents: Iterator[Document], answers: Sequence[bytes], values: Collection[bytes], confirm: Confirm
) -> Found:
    """Looks for runs of `answers`, and for whole `values` where `confirm` holds, in the texts of `documents`."""
    runs, sought = _Runs(answers), _Values(values, confirm)
    for document in documents:
        data = document.text.encode(errors="replace")
        runs.look(data, document)
        sought.look(data, document)
    return Found(runs.best, sought.found)


class _Runs:
    """The answers by the hashes of their windows, and the best run of each so far."""

    def __init__(self, answers: Sequence[bytes]) -> None:
        self.best: list[Run | None] = [None] * len(answers)
        self._lengths = np.zeros(len(answers), np.int64)
        self._answers = answers
        self._offsets = np.cumsum([0, *(len(answer) for answer in answers)])
        hashes = [window_hashes(answer) for answer in answers]
        places = [offset + np.arange(len(of)) for offset, of in zip(self._offsets[:-1], hashes, strict=True)]
        joined = np.concatenate([np.empty(0, np.uint64), *hashes])
        order = np.argsort(joined, kind="stable")
        self._places: Positions = np.concatenate([np.empty(0, np.int64), *places])[order]
        self._hashes, self._starts = np.unique(joined[order], return_index=True)
        self._stops = np.append(self._starts[1:], len(joined))
        self._filter = np.zeros(1 << _FILTER_BITS, bool)
        self._filter[_filtered(self._hashes)] = True

    def look(self, data: bytes, document: Document) -> None:
        """Takes the runs of a file that are longer than those known, and counts those that are known."""
        firsts, lasts = self._candidates(window_hashes(data))
        numbers = np.searchsorted(self._offsets, firsts, side="right") - 1
        for place in np.flatnonzero(lasts - firsts + WINDOW >= self._lengths[numbers]):
            number, offset = int(numbers[place]), int(self._offsets[numbers[place]])
            start, stop = int(firsts[place]) - offset, int(lasts[place]) - offset + WINDOW
            # Windows that a file has one by one need not stand in a row there.
            start, stop = _longest_common(self._answers[number], start, stop, data)
            self._take(number, start, stop, data, document)

    def _take(self, number: int, start: int, stop: int, data: bytes, document: Document) -> None:
        best = self.best[number]
        if best is None or stop - start > best.length:
            place = _place(document, data, data.find(self._answers[number][start:stop]))
            self.best[number] = Run(start, stop, place, 1)
            self._lengths[number] = stop - start
        elif (start, stop) == (best.start, best.stop):
            self.best[number] = Run(start, stop, best.place, best.files + 1)

    def _candidates(self, hashes: Hashes) -> tuple[Positions, Positions]:
        """First and last places, over all answers in a row, of windows in a row that the file has. An answer's last
        window and the next one's first are more than a window apart."""
        none = np.empty(0, np.int64)
        if not len(self._hashes):
            return none, none
        hashes = np.unique(hashes[self._filter[_filtered(hashes)]])
        at = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        at = at[self._hashes[at] == hashes]
        if not at.size:
            return none, none
        places = np.sort(np.concatenate([self._places[self._starts[one] : self._stops[one]] for one in at]))
        breaks = np.diff(places) > 1
        return places[np.append(True, breaks)], places[np.append(breaks, True)]


class _Values:
    """Values sought as they are, where neither neighbour goes on with the word or the number."""

    def __init__(self, values: Collection[bytes], confirm: Confirm) -> None:
        self._confirm = confirm
        self.found: dict[bytes, Place] = {}
        self._values = sorted(set(values) - {b""})
        self._automaton = ahocorasick_rs.BytesAhoCorasick(self._values)

    def look(self, data: bytes, document: Document) -> None:
        """Takes the values of a file that were not found before."""
        for index, start, end in self._automaton.find_matches_as_indexes(data, overlapping=True):
            value = self._values[index]
            goes_on = data[start - 1 : start].isalnum() or data[end : end + 1].isalnum()
            if value not in self.found and not goes_on and self._confirm(value, data, start, document):
                self.found[value] = _place(document, data, start)


def window_hashes(data: bytes) -> Hashes:
    """A hash of each window of WINDOW bytes, Σ data[i + j] · FACTOR^(WINDOW − 1 − j) modulo 2^64; none of less."""
    hashes = np.frombuffer(data, np.uint8).astype(np.uint64)
    if len(hashes) < WINDOW:
        return hashes[:0]
    factor, span = _FACTOR, 1
    while span < WINDOW:
        hashes = hashes[:-span] * np.uint64(factor) + hashes[span:]
        factor, span = factor * factor % 2**64, 2 * span
    return hashes


def _filtered(hashes: Hashes) -> Hashes:
    return hashes >> np.uint64(64 - _FILTER_BITS)


def _longest_common(answer: bytes, start: int, stop: int, data: bytes) -> tuple[int, int]:
    """The longest part of `answer[start:stop]` that stands in `data`, of which every window of WINDOW bytes does."""
    if answer[start:stop] in data:
        return start, stop
    best = (start, start + WINDOW)
    end = best[1]
    for begin in range(start, stop - WINDOW + 1):
        end = max(end, begin + WINDOW)
        while end < stop and answer[begin : end + 1] in data:
            end += 1
        if end - begin > best[1] - best[0]:
            best = (begin, end)
    return best


def _place(document: Document, data: bytes, start: int) -> Place:
    line = data.count(b"\n", 0, start) + 1
    return Place(document.repository, document.commit, document.path, document.licence, line)
