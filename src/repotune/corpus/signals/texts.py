"""A batch of documents as one array of UTF-8 bytes, so that what is measured byte by byte is measured all at once.

A newline stands after every document. It ends the last line and parts words, and belongs to no document.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from repotune.corpus.hashing import IN_WORD
from repotune.corpus.signals.scanning import Lexemes, scan
from repotune.corpus.signals.spans import Integers, Spans

_PADDING = bytes(8)  # a word's last byte can be read as the first of eight
_MASKS = np.array([(1 << 8 * length) - 1 for length in range(9)], np.uint64)


class Texts:
    """The `texts` of a batch with their `paths` and `languages`."""

    def __init__(self, texts: pa.Array, paths: Sequence[str], languages: Sequence[str]) -> None:
        self.documents: list[bytes] = texts.cast(pa.binary()).to_pylist()
        self.paths, self.languages = paths, languages
        self._joined = b"\n".join([*self.documents, _PADDING])
        self._padded = np.frombuffer(self._joined, np.uint8)
        self.data = self._padded[: -len(_PADDING)]
        sizes = np.fromiter(map(len, self.documents), np.int64, len(self.documents))
        self.ends: Integers = np.cumsum(sizes + 1) - 1
        self.starts: Integers = self.ends - sizes

    def __len__(self) -> int:
        return len(self.documents)

    @cached_property
    def characters(self) -> Integers:
        """Characters of each document."""
        return self.width(self.starts, self.ends)

    @cached_property
    def lines(self) -> Spans:
        """Lines without their ends; an end at a document's very end begins no further line."""
        ends = np.flatnonzero(self.data == ord("\n"))
        starts = np.concatenate(([0], ends[:-1] + 1)) if len(ends) else ends
        last = np.searchsorted(ends, self.ends)  # the newline that we put after each document
        keep = np.ones(len(ends), np.bool_)
        keep[last] = starts[last] < ends[last]
        running = np.concatenate(([0], np.cumsum(keep)))
        return Spans(starts[keep], ends[keep], running[np.concatenate(([0], last + 1))])

    @cached_property
    def words(self) -> Spans:
        """Runs of letters, digits, underscores and bytes beyond ASCII: names, numbers and the words of prose."""
        inside = np.zeros(len(self.data) + 1, np.bool_)
        inside[1:] = self.which(IN_WORD)
        edges = np.flatnonzero(inside[1:] != inside[:-1])
        starts, ends = edges[0::2], edges[1::2]
        return Spans(starts, ends, np.searchsorted(starts, np.append(self.starts, len(self.data))))

    @cached_property
    def lexemes(self) -> Lexemes:
        """Comments and strings, where the language's are known."""
        return scan(self.documents, self.languages, self.starts)

    @cached_property
    def words_in_code(self) -> npt.NDArray[np.bool_]:
        """Which of `words` begin outside comments and strings."""
        lexemes, words = self.lexemes.spans, self.words
        first, end = np.searchsorted(words.starts, lexemes.starts), np.searchsorted(words.starts, lexemes.ends)
        holding = first < end
        depth = np.zeros(len(words) + 1, np.int8)
        depth[first[holding]] += 1
        depth[end[holding]] -= 1
        outside: npt.NDArray[np.bool_] = np.cumsum(depth[:-1], dtype=np.int8) == 0
        return outside

    @cached_property
    def word_lengths(self) -> Integers:
        """Bytes of each word."""
        return self.words.ends - self.words.starts

    @cached_property
    def word_widths(self) -> Integers:
        """Characters of each word."""
        return self.width(self.words.starts, self.words.ends)

    @cached_property
    def word_heads(self) -> npt.NDArray[np.uint64]:
        """The first eight bytes of each word, as `eight` says."""
        return self.eight(self.words.starts, self.word_lengths)

    def which(self, table: npt.NDArray[np.bool_], stride: int = 1) -> npt.NDArray[np.bool_]:
        """Which of every `stride`th byte `table` holds of. `translate` takes a third of the time of `take`."""
        found = np.frombuffer(self._joined[::stride].translate(table.tobytes()), np.bool_)
        return found[: -(-len(self.data) // stride)]

    def width(self, starts: Integers, ends: Integers) -> Integers:
        """Characters of spans in order, none over another: bytes but those that continue a character of UTF-8."""
        continuing = self._continuing
        if len(continuing) > len(starts):
            return ends - starts - np.searchsorted(continuing, ends) + np.searchsorted(continuing, starts)
        owner = np.searchsorted(starts, continuing, side="right") - 1
        owner = owner[(owner >= 0) & (continuing < ends[owner])]
        return ends - starts - np.bincount(owner, minlength=len(starts))

    def eight(self, starts: Integers, lengths: Integers) -> npt.NDArray[np.uint64]:
        """The first eight bytes of each span as one little-endian number, with zeros beyond its length."""
        # A view of every eight bytes in a row: unaligned, which numpy reads as it is.
        windows = np.ndarray((len(self.data) + 1,), "<u8", buffer=self._padded, strides=(1,))
        return windows[starts] & _MASKS[np.minimum(lengths, 8)]

    def of(self, *languages: str) -> npt.NDArray[np.bool_]:
        """Which documents are in one of `languages`."""
        return np.fromiter((language in languages for language in self.languages), np.bool_, len(self))

    @cached_property
    def _continuing(self) -> Integers:
        return np.flatnonzero(self.data.view(np.int8) < -64)  # 0x80…0xBF


def number_of(word: bytes) -> np.uint64:
    """What `Texts.eight` gives for a word of up to eight bytes."""
    return np.uint64(int.from_bytes(word, "little"))


def member(values: bytes) -> npt.NDArray[np.bool_]:
    """Whether a byte is one of `values`, for all 256; `take` with mode="clip" is faster than indexing."""
    table = np.zeros(256, np.bool_)
    table[np.frombuffer(values, np.uint8)] = True
    return table
