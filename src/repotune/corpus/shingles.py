"""Token shingles and MinHash signatures, vectorised over the bytes of many documents.

A token is a run of letters, digits, underscores and bytes beyond ASCII; a shingle is five tokens in a row, as in
BigCode's deduplication.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import rensa

from repotune.corpus.hashing import STEP, Hashes, mix, run_hashes, token_hashes

SHINGLE_TOKENS = 5
PERMUTATIONS = 250
_SEED = 42
_MISSED = 5e-4


def shingles(documents: Sequence[bytes]) -> tuple[list[Hashes], list[int]]:
    """The distinct shingle hashes of each document, ascending, and how many tokens it has.

    With fewer tokens than a shingle there are none: such files would all be alike, and only equal bytes tell.
    """
    tokens, bounds = token_hashes(documents)
    runs = mix(run_hashes(tokens, SHINGLE_TOKENS))  # also across documents; those are passed over
    sets = [_distinct(runs[first : max(first, last - SHINGLE_TOKENS + 1)]) for first, last in pairwise(bounds.tolist())]
    return sets, np.diff(bounds).tolist()


def jaccard(a: Hashes, b: Hashes, at_least: float) -> float:
    """The exact Jaccard similarity of two ascending sets, or 0 where their sizes rule out `at_least`."""
    small, large = (a, b) if len(a) <= len(b) else (b, a)
    if len(small) < at_least * len(large) or not len(large):
        return 0.0
    places = np.searchsorted(large, small)
    places[places == len(large)] = 0
    common = int(np.count_nonzero(large[places] == small))
    return common / (len(a) + len(b) - common)


def band_rows(threshold: float) -> int:
    """Rows per band: the most with which a pair at `threshold` is missed less than once in 2,000.

    A pair of similarity s shares a band of r rows with probability s^r, so all bands differ with (1 − s^r)^(250 / r)
    (Leskovec et al., Mining of Massive Datasets, §3.4). For 0.7 it is 5 rows in 50 bands: missed once in 10,000.
    """
    return max(rows for rows in range(1, 26) if rows == 1 or (1 - threshold**rows) ** (PERMUTATIONS // rows) < _MISSED)


def band_keys(sets: list[Hashes], rows: int) -> npt.NDArray[np.uint64]:
    """The keys under which near-duplicates meet, (sets, bands): alike where all `rows` minima of a band are."""
    offsets = np.zeros(len(sets) + 1, np.uint64)
    np.cumsum([len(each) for each in sets], out=offsets[1:])
    flat = np.concatenate([*sets, np.empty(0, np.uint64)])
    minima = rensa.RMinHash.digest_matrix_from_flat_token_hashes(flat, offsets, num_perm=PERMUTATIONS, seed=_SEED)
    bands = PERMUTATIONS // rows
    signatures = np.array(minima.to_rows(), np.uint64).reshape(len(sets), PERMUTATIONS)[:, : bands * rows]
    keys = np.broadcast_to(np.arange(bands, dtype=np.uint64), (len(sets), bands)).copy()
    for row in range(rows):
        keys = mix(keys * STEP + signatures[:, row::rows])
    return keys


def _distinct(values: Hashes) -> Hashes:
    values.sort()
    new = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=new[1:])
    return values[new]
