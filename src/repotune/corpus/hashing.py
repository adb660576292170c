"""Hashes of the words of a text, all at once, straight from its bytes.

Nothing is split into Python objects: a byte table marks the words, and polynomial prefix sums modulo 2^64 (Rabin and
Karp) give the hash of every span.

    h(s..e) = Σ value(byte_i) · base^(i−s)   for i in s..e−1
            = (prefix[e] − prefix[s]) · base^(−s)    (base is odd, so it has an inverse modulo 2^64)
"""

from __future__ import annotations

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

_BASE = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: odd, and its powers are well spread
_BYTE_VALUE = np.random.Generator(np.random.PCG64(7)).integers(1, 2**63, 256, dtype=np.uint64)


def span_hashes(data: Bytes, starts: Places, ends: Places) -> Hashes:
    """The hash of each of the spans starts[i] … ends[i] of `data`, by its bytes alone, wherever it lies."""
    powers, inverses = _powers(1 << max(12, len(data).bit_length()))
    prefix = np.empty(len(data) + 1, np.uint64)
    prefix[0] = 0
    # `take` that clips is 1.6 times as fast as indexing, which checks every index; a byte is never out of bounds.
    values = _BYTE_VALUE.take(data, mode="clip")
    values *= powers[: len(data)]
    np.cumsum(values, out=prefix[1:])
    hashes = prefix[ends]
    hashes -= prefix[starts]
    hashes *= inverses[starts]
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
