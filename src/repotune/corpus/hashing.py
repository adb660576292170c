"""Hashes of the words of a text, all at once, straight from its bytes.

Nothing is split into Python objects: a byte table marks the words, and polynomial prefix sums modulo 2^64 (Rabin and
Karp) give the hash of every span.

    h(s..e) = Σ value(byte_i) · base^(i−s)   for i in s..e−1
            = (prefix[e] − prefix[s]) · base^(−s)    (base is odd, so it has an inverse modulo 2^64)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.intp]

STEP = np.uint64(0xC2B2AE3D27D4EB4F)
"""Odd: what the hashes so far are multiplied by before that of the next word is added."""

IN_WORD = np.zeros(256, np.bool_)
"""Whether a byte belongs to a word: letters, digits, underscores and all bytes beyond ASCII."""
IN_WORD[np.frombuffer(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz", np.uint8)] = True
IN_WORD[128:] = True

_IN_WORD = IN_WORD.tobytes()
_BLOCK = 1 << 16  # bytes hashed at once, each as a number of eight: what a core's own cache holds
_BASE = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: odd, and its powers are well spread
_BYTE_VALUE = np.random.Generator(np.random.PCG64(7)).integers(1, 2**63, 256, dtype=np.uint64)


def token_hashes(documents: Sequence[bytes]) -> tuple[Hashes, Places]:
    """The hash of each token of `documents`, in order; those of document i are bounds[i] … bounds[i + 1], the second.

    A token is a run of letters, digits, underscores and bytes beyond ASCII.
    """
    joined = b"\n".join([b"", *documents, b""])  # outside a token before the first byte and after the last
    inside = np.frombuffer(joined.translate(_IN_WORD), np.bool_)  # in a third of the time of `take`
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    starts, ends = edges[0::2], edges[1::2]
    begins = np.cumsum([0, *(len(document) + 1 for document in documents)])
    return span_hashes(np.frombuffer(joined, np.uint8), starts, ends), np.searchsorted(starts, begins)


def run_hashes(tokens: Hashes, size: int) -> Hashes:
    """The hash of each `size` tokens in a row: Σ token · STEP^(size − 1 − its place), from runs half as long."""
    if size == 1 or len(tokens) < size:
        return tokens[: max(0, len(tokens) - size + 1)]
    half = run_hashes(tokens, size // 2)
    runs = half[: -(size // 2)] * np.uint64(pow(int(STEP), size // 2, 1 << 64))
    runs += half[size // 2 :]
    if size % 2:
        runs = runs[:-1] * STEP
        runs += tokens[size - 1 :]
    return runs


def span_hashes(data: Bytes, starts: Places, ends: Places) -> Hashes:
    """The hash of each of the spans starts[i] … ends[i] of `data`, by its bytes alone, wherever it lies.

    Spans ascend, and none lies over another.
    """
    hashes = np.empty(len(starts), np.uint64)
    first = 0
    while first < len(starts):
        begin = starts[first]
        last = max(first + 1, int(np.searchsorted(ends, begin + _BLOCK, side="right")))
        block = slice(first, last)
        hashes[block] = _hashes_of_block(data[begin : ends[last - 1]], starts[block] - begin, ends[block] - begin)
        first = last
    return hashes


def _hashes_of_block(data: Bytes, starts: Places, ends: Places) -> Hashes:
    powers, inverses = _powers(1 << max(12, len(data).bit_length()))
    prefix = np.empty(len(data) + 1, np.uint64)
    prefix[0] = 0
    # `take` that clips is 1.6 times as fast as indexing, which checks every index; a byte is never out of bounds.
    values = _BYTE_VALUE.take(data, mode="clip")
    values *= powers[: len(data)]
    np.cumsum(values, out=prefix[1:])
    hashes = prefix.take(ends, mode="clip")
    hashes -= prefix.take(starts, mode="clip")
    hashes *= inverses.take(starts, mode="clip")
    return mix(hashes)


def mix(values: Hashes) -> Hashes:
    """MurmurHash3's finaliser: every bit of the input moves every bit of the output."""
    values = values ^ (values >> np.uint64(33))
    values *= np.uint64(0xFF51AFD7ED558CCD)
    values ^= values >> np.uint64(33)
    values *= np.uint64(0xC4CEB9FE1A85EC53)
    values ^= values >> np.uint64(33)
    return values


@cache
def _powers(length: int) -> tuple[Hashes, Hashes]:
    """The powers of the base and of its inverse modulo 2^64, `length` of each (a power of two)."""
    tables = []
    for base in (_BASE, pow(_BASE, -1, 1 << 64)):
        table = np.ones(length, np.uint64)
        for half in (1 << bit for bit in range(length.bit_length() - 1)):
            table[half : 2 * half] = table[:half] * np.uint64(pow(base, half, 1 << 64))
        tables.append(table)
    return tables[0], tables[1]
