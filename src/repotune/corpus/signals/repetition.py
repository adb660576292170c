"""How much of a document repeats itself: lines, runs of words, and what a compressor makes of it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from repotune.corpus.signals.signal import Columns, Signal, ratio
from repotune.corpus.signals.spans import Integers, Spans
from repotune.corpus.signals.texts import Texts
from repotune.corpus.signals.words import word_hashes

_GOPHER = "Gopher (arXiv 2112.11446)"

_Hashes = npt.NDArray[np.uint32]

_STEP = 0x9E3779B1  # 2^32 / golden ratio: odd, and its powers are well spread
_TOP = (2, 4)
_REPEATED = 10

SIGNALS = (
    Signal("distinct_line_share", "share", "of lines", "different lines, empty ones aside"),
    Signal("duplicate_line_share", "share", "of bytes", "bytes of lines that have stood before, likewise", _GOPHER),
    Signal("distinct_word_share", "share", "of words", "different words"),
    *(
        Signal(
            f"top_{size}gram_share",
            "share",
            "of characters in words",
            f"covered by the commonest run of {size} words; 0 if none comes twice",
            _GOPHER,
        )
        for size in _TOP
    ),
    Signal("repeated_10gram_share", "share", "of runs of 10 words", "runs that have stood before", _GOPHER),
    Signal(
        "compression_ratio", "mean", "", "size after zstd at level 1 by size before: about 0.35 for code, 1 for noise"
    ),
)


_COMPRESSOR = pa.Codec("zstd", compression_level=1)


def measure(texts: Texts) -> Columns:
    """The columns of SIGNALS, a value for each document."""
    hashes = _run_hashes((word_hashes(texts) >> np.uint64(32)).astype(np.uint32))
    runs = {size: _Runs(texts.words, hashes[size], size) for size in (1, *_TOP, _REPEATED)}
    lines = np.array([_lines(document) for document in texts.documents], np.float64).reshape(-1, 2)
    packed = np.array([_COMPRESSOR.compress(document).size for document in texts.documents], np.int64)
    characters = texts.words.sum(texts.word_widths)
    return {
        "distinct_line_share": lines[:, 0],
        "duplicate_line_share": lines[:, 1],
        "distinct_word_share": ratio(runs[1].distinct, runs[1].counts),
        **{f"top_{size}gram_share": ratio(runs[size].covered_by_top(texts.word_widths), characters) for size in _TOP},
        "repeated_10gram_share": ratio(runs[_REPEATED].counts - runs[_REPEATED].distinct, runs[_REPEATED].counts),
        "compression_ratio": ratio(packed, texts.ends - texts.starts),
    }


def _lines(document: bytes) -> tuple[float, float]:
    """The shares of different lines, and of bytes in lines that repeat."""
    lines = document.split(b"\n")
    filled = len(lines) - lines.count(b"")
    if not filled:
        return 0.0, 0.0
    distinct = set(lines)
    distinct.discard(b"")
    return len(distinct) / filled, 1 - sum(map(len, distinct)) / (len(document) - len(lines) + 1)


def _run_hashes(words: _Hashes) -> dict[int, _Hashes]:
    """The hash of the run of 1, 2, 4 and 10 words that begins with each word, also across documents: Σ word · step^…"""

    def joined(first: _Hashes, second: _Hashes, first_size: int, second_size: int) -> _Hashes:
        following = second[first_size:]
        return first[: len(following)] * np.uint32(pow(_STEP, second_size, 1 << 32)) + following

    two = joined(words, words, 1, 1)
    four = joined(two, two, 2, 2)
    eight = joined(four, four, 4, 4)
    return {1: words, 2: two, 4: four, 10: joined(eight, two, 8, 2)}


class _Runs:
    """The runs of `size` words in each document of a batch, by hashes of 32 bits.

    These sort twice as fast as 64 bits, and among 100,000 words make one pair look alike that is not.
    """

    def __init__(self, words: Spans, hashes: _Hashes, size: int) -> None:
        self._words, self._hashes, self._size = words, hashes, size
        self.counts: Integers = np.maximum(words.counts - size + 1, 0)
        bounds = np.concatenate(([0], np.cumsum(self.counts)))
        self._ordered = np.empty(bounds[-1], np.uint32)
        for word, (first, end) in zip(words.bounds.tolist(), pairwise(bounds.tolist()), strict=False):
            part = self._ordered[first:end]
            part[:] = hashes[word : word + end - first]
            part.sort()
        self._equal = _equal(self._ordered, bounds)
        self.distinct: Integers = self._equal.counts

    def covered_by_top(self, widths: Integers) -> Integers:
        """The characters of the words that each document's commonest run covers, each once; 0 if none comes twice.
        Of several that are as common it is the one with the smallest hash."""
        times = self._equal.ends - self._equal.starts
        most = self._equal.maximum(times)
        commonest = np.flatnonzero(times == np.repeat(most, self.distinct))
        first = commonest[np.searchsorted(commonest, self._equal.bounds[:-1][self.counts > 0])]
        top = np.zeros(len(most), np.uint32)
        top[self.counts > 0] = self._ordered[self._equal.starts[first]]
        places = np.flatnonzero(self._hashes == np.repeat(top, self._words.counts)[: len(self._hashes)])
        documents = np.searchsorted(self._words.bounds, places, side="right") - 1
        places = places[(most[documents] > 1) & (places + self._size <= self._words.bounds[documents + 1])]
        inside = np.zeros(len(self._words), np.bool_)
        for place in range(self._size):
            inside[places + place] = True
        return self._words.sum(widths * inside)


def _equal(ordered: _Hashes, bounds: Integers) -> Spans:
    """The stretches of equal values, none across documents."""
    begins = np.ones(len(ordered), np.bool_)
    begins[1:] = ordered[1:] != ordered[:-1]
    begins[bounds[:-1][np.diff(bounds) > 0]] = True
    starts = np.flatnonzero(begins)
    return Spans(starts, np.append(starts[1:], len(ordered)), np.searchsorted(starts, bounds))
