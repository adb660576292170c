"""How much of a document repeats itself: lines, runs of words, and what a compressor makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from repotune.corpus.hashing import STEP, Hashes
from repotune.corpus.signals.signal import Columns, Signal, ratio
from repotune.corpus.signals.spans import Integers, Spans
from repotune.corpus.signals.texts import Texts
from repotune.corpus.signals.words import word_hashes

_GOPHER = "Gopher (arXiv 2112.11446)"

_TOP = (2, 4)
_REPEATED = 10

SIGNALS = (
    Signal("distinct_line_share", "share", "of lines", "different lines, blank ones and outer white space aside"),
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
    hashes = word_hashes(texts)
    lines = np.array([_lines(document) for document in texts.documents], np.float64).reshape(-1, 2)
    packed = np.array([_COMPRESSOR.compress(document).size for document in texts.documents], np.int64)
    grams = {size: _Grams.of(texts.words, hashes, size) for size in (1, *_TOP, _REPEATED)}
    widths = texts.word_widths
    return {
        "distinct_line_share": lines[:, 0],
        "duplicate_line_share": lines[:, 1],
        "distinct_word_share": grams[1].distinct_share(),
        **{
            f"top_{size}gram_share": ratio(grams[size].covered_by_top(texts.words, widths), texts.words.sum(widths))
            for size in _TOP
        },
        "repeated_10gram_share": grams[_REPEATED].repeated_share(),
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


@dataclass(frozen=True)
class _Grams:
    """The runs of `size` words in a batch: `values` (hashes) at `places` (words), and `equal`, spans of equal ones in
    each document's ascending order.

    32 bits of hash sort twice as fast as 64, and among 100,000 words make one pair look alike that is not.
    """

    size: int
    places: Integers
    values: npt.NDArray[np.uint32]
    bounds: Integers
    equal: Spans
    ordered: npt.NDArray[np.uint32]

    @classmethod
    def of(cls, words: Spans, hashes: Hashes, size: int) -> _Grams:
        documents = words.documents
        count = max(0, len(words) - size + 1)
        places = np.flatnonzero(documents[:count] == documents[size - 1 :])
        mixed = hashes[:count].copy()
        for place in range(1, size):
            mixed *= STEP
            mixed += hashes[place : place + count]
        values = (mixed >> np.uint64(32)).astype(np.uint32)[places]
        bounds = np.concatenate(([0], np.cumsum(np.maximum(words.counts - size + 1, 0))))
        ordered = values.copy()
        for first, end in pairwise(bounds.tolist()):
            ordered[first:end].sort()
        return cls(size, places, values, bounds, _equal(ordered, bounds), ordered)

    def distinct_share(self) -> npt.NDArray[np.float64]:
        """Of each document's runs, those that are different."""
        return ratio(self.equal.counts, np.diff(self.bounds))

    def repeated_share(self) -> npt.NDArray[np.float64]:
        """Of each document's runs, those that have stood before."""
        runs = np.diff(self.bounds)
        return ratio(runs - self.equal.counts, runs)

    def covered_by_top(self, words: Spans, widths: Integers) -> Integers:
        """The characters of the words that each document's commonest run covers, each once."""
        times = self.equal.ends - self.equal.starts
        most = self.equal.maximum(times)
        repeats = most > 1
        # Of several that are as common, the one with the smallest hash.
        tops = np.flatnonzero(times == np.repeat(most, self.equal.counts))
        first = tops[np.searchsorted(tops, self.equal.bounds[:-1][repeats])]
        value = np.zeros(len(repeats), np.uint32)
        value[repeats] = self.ordered[self.equal.starts[first]]
        runs = np.diff(self.bounds)
        starts = self.places[(self.values == np.repeat(value, runs)) & np.repeat(repeats, runs)]
        inside = np.zeros(len(words), np.bool_)
        for place in range(self.size):
            inside[starts + place] = True
        return words.sum(widths * inside)


def _equal(ordered: npt.NDArray[np.uint32], bounds: Integers) -> Spans:
    """The stretches of equal values, none across documents."""
    begins = np.ones(len(ordered), np.bool_)
    begins[1:] = ordered[1:] != ordered[:-1]
    begins[bounds[:-1][np.diff(bounds) > 0]] = True
    starts = np.flatnonzero(begins)
    return Spans(starts, np.append(starts[1:], len(ordered)), np.searchsorted(starts, bounds))
