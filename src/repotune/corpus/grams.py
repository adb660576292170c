"""Hashed n-grams of a text: what the quality model and the importance of a document are computed from.

A word is a run of letters, digits, underscores and bytes beyond ASCII, or a run of other signs such as `):` and `=>`
(NLTK's wordpunct, which DSIR takes; case is kept, for in code it is part of a name).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from repotune.corpus.hashing import IN_WORD, STEP, Bytes, Hashes, mix, span_hashes

Buckets = npt.NDArray[np.int64]

BYTE_GRAM = 4

_BLANK, _SIGN, _WORD = 0, 1, 2
_KIND = np.full(256, _SIGN, np.uint8)
_KIND[[*range(33), 127]] = _BLANK
_KIND[IN_WORD] = _WORD
_SPREAD = np.uint32(0x9E3779B1)  # 2^32 / golden ratio (Knuth, TAOCP 6.4): multiplied, every byte moves the top bits


def words(data: bytes) -> Hashes:
    """The hash of each word of `data`, in their order."""
    codes = np.frombuffer(data, np.uint8)
    kinds = np.zeros(len(codes) + 2, np.uint8)  # with a blank before the first byte and after the last
    _KIND.take(codes, out=kinds[1:-1], mode="clip")
    edges = np.flatnonzero(kinds[1:] != kinds[:-1])
    begins = np.flatnonzero(kinds[1:].take(edges))  # the edges after which there is no blank; each has one that follows
    return span_hashes(codes, edges[begins], edges[begins + 1])


def word_grams(data: bytes) -> Hashes:
    """The hashes of the words of `data`, then those of each two words in a row."""
    single = words(data)
    pairs = single[:-1] * STEP
    pairs += single[1:]
    return np.concatenate((single, mix(pairs)))


def byte_grams(data: bytes) -> npt.NDArray[np.uint32]:
    """The hash of each BYTE_GRAM bytes in a row."""
    codes: Bytes = np.frombuffer(data, np.uint8)
    count = max(0, len(codes) - BYTE_GRAM + 1)
    grams = np.zeros(count, np.uint32)
    for place in range(BYTE_GRAM):
        grams <<= np.uint32(8)
        grams |= codes[place : place + count]
    grams *= _SPREAD
    return grams


def modulo(hashes: Hashes, buckets: int) -> Buckets:
    """The bucket of each hash, for any number of them."""
    return (hashes % np.uint64(buckets)).astype(np.int64)
