"""The opponent: an n-gram model of unbounded order over the training tokens, with a cache of the file at hand.

    static   p_n(w) = λ · count(c_n w) / count(c_n) + (1 − λ) · p_{n−1}(w), from uniform up to the longest context c_n
             that occurs (an ∞-gram: Liu et al. 2024, arXiv 2401.17377). λ is shared by contexts of like order, count
             and diversity (Jelinek-Mercer with buckets: Chen and Goodman 1999, section 2.3).
    cache    what followed earlier in the same file after like contexts (Tu et al. 2014; Hellendoorn and Devanbu 2017,
             "Are deep neural networks the best choice for modeling source code?", where such a model beat an LSTM).

Both sets of weights are fitted by expectation maximisation on the validation split, never on test. It reads what the
network reads, with the same tokenizer: header, then all that stands before. Every distribution sums to one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from repotune.evaluate.suffix_array import Int, SuffixArray

Float = NDArray[np.float64]

ORDERS = 24  # contexts of 0 to 23 tokens
CACHE_TOKENS = 2048  # how far back in the file the cache looks
CACHE_BASE = 32.0  # an earlier place counts that many times as much for each further token its context shares
_SAMPLE = 8  # continuations looked at to see how diverse they are
_WIDEST = 1 << 16  # continuations counted for one distribution; of more, every second, third, …

_ORDER_EDGES = np.array([1, 2, 3, 4, 5, 6, 8, 12, 16])
_COUNT_EDGES = np.array([2, 3, 5, 9, 33, 257])
_DIVERSITY_EDGES = np.array([2, 3, 5])
_CACHE_SHAPE = (len(_ORDER_EDGES) + 1, len(_ORDER_EDGES) + 1)
_SHAPE = (len(_ORDER_EDGES) + 1, len(_COUNT_EDGES) + 1, len(_DIVERSITY_EDGES) + 1)


@dataclass(frozen=True)
class Passage:
    """A document's ids, header first, of which those at start ≤ position < stop are predicted from all before them.

    start ≥ 2, as the shortest header is two ids.
    """

    ids: Int
    start: int
    stop: int


@dataclass(frozen=True)
class _Evidence:
    """What the counts say about T targets. Only the weights are missing to make it a probability."""

    share: Float  # of the target among the continuations of each order's context
    bucket: Int  # of the context, into the static weights
    occurs: NDArray[np.bool_]
    cache_share: Float
    cache_bucket: Int  # into the weights of the cache


class NgramModel:
    """Next-token distributions from counts. All weights are one half until `fit`."""

    def __init__(self, documents: Sequence[Int], vocabulary: int) -> None:
        """`documents`: ids as the network is trained on them, header and end included; at least one token in all."""
        stream = np.concatenate([np.asarray(ids, np.int32) for ids in documents])
        self.vocabulary = vocabulary
        # Reversed, so that the spans of a context's ever longer ends are nested, and what follows it stands before it.
        self._index = SuffixArray(stream[::-1], ORDERS)
        # What follows each row's context, so that the continuations of a span lie side by side.
        self._following = self._index.text[(self._index.order - 1) % len(stream)]
        self._static = np.full(_SHAPE, 0.5).ravel()
        self._cache = np.full(_CACHE_SHAPE, 0.5).ravel()

    @property
    def tokens(self) -> int:
        return len(self._index)

    def fit(self, passages: Sequence[Passage], rounds: int = 12) -> None:
        """Sets the weights by expectation maximisation: no round lowers the likelihood of `passages`."""
        parts = [self._gather(passage) for passage in passages]
        evidence = _Evidence(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(_Evidence)))
        for _ in range(rounds):
            self._static = _refit_static(evidence, self._static, self.vocabulary)
        static = _interpolate(evidence, self._static, self.vocabulary)[:, -1]
        for _ in range(rounds):
            self._cache = _refit_cache(evidence, self._cache, static)

    def bits(self, passage: Passage) -> Float:
        """−log2 p of each id that the passage predicts."""
        evidence = self._gather(passage)
        static = _interpolate(evidence, self._static, self.vocabulary)[:, -1]
        weight = self._cache[evidence.cache_bucket]
        return -np.log2(weight * evidence.cache_share + (1 - weight) * static)

    def distribution(self, context: Int) -> Float:
        """p of every id after `context` (header first, at least two ids), shape (V,).

        What `bits` uses, but for contexts that occur more than 65,536 times, whose continuations are sampled.
        """
        p = np.full(self.vocabulary, 1 / self.vocabulary)
        low, high = 0, len(self._index)
        for order in range(min(ORDERS, len(context) + 1)):
            if order:
                low, high = self._index.narrow(low, high, order - 1, int(context[-order]))
            if low == high:
                break
            longest = order
            bucket = self._buckets(np.array([order]), np.array([low]), np.array([high]))
            following = self._following[low : high : -(-(high - low) // _WIDEST)]
            weight = self._static[bucket].item()
            p *= 1 - weight
            p += np.bincount(following, minlength=self.vocabulary) * (weight / len(following))
        _, like, follows = next(_earlier_places(context, len(context), len(context) + 1))
        kernel = CACHE_BASE**like
        weight = self._cache[_cache_bucket(like.max(keepdims=True), np.array([longest]))].item()
        mixed: Float = weight * np.bincount(follows, kernel, self.vocabulary) / kernel.sum() + (1 - weight) * p
        return mixed

    def _gather(self, passage: Passage) -> _Evidence:
        start, stop, ids = passage.start, passage.stop, np.asarray(passage.ids, np.int64)
        low, high = self._index.spans(_contexts(ids, start, stop))
        count = high - low
        context, target = count[:-1, :-1], count[1:, 1:]
        occurs = context > 0
        bucket = np.zeros(context.shape, np.int64)
        orders = np.broadcast_to(np.arange(ORDERS), context.shape)
        bucket[occurs] = self._buckets(orders[occurs], low[:-1, :-1][occurs], high[:-1, :-1][occurs])
        cache_share, best = np.zeros(stop - start), np.zeros(stop - start, np.int64)
        for at, like, follows in _earlier_places(ids, start, stop):
            kernel = CACHE_BASE**like
            cache_share[at - start] = kernel[follows == ids[at]].sum() / kernel.sum()
            best[at - start] = like.max()
        cache_bucket = _cache_bucket(best, occurs.sum(axis=1) - 1)
        return _Evidence(target / np.maximum(context, 1), bucket, occurs, cache_share, cache_bucket)

    def _buckets(self, order: Int, low: Int, high: Int) -> Int:
        """Which weight a context of `order` tokens with the non-empty span [low, high) is given."""
        rows = low[:, None] + (np.arange(_SAMPLE) * (high - low)[:, None]) // _SAMPLE
        sample = np.sort(self._following[rows], axis=1)
        diversity = 1 + np.count_nonzero(np.diff(sample, axis=1), axis=1)
        levels = ((order, _ORDER_EDGES), (high - low, _COUNT_EDGES), (diversity, _DIVERSITY_EDGES))
        return np.ravel_multi_index([np.searchsorted(edges, x, side="right") for x, edges in levels], _SHAPE)


def _cache_bucket(best: Int, longest: Int) -> Int:
    """Which weight the cache is given: by tokens shared with the file's best place, and with the training tokens'."""
    levels = [np.searchsorted(_ORDER_EDGES, length, side="right") for length in (best, longest)]
    return np.ravel_multi_index(levels, _CACHE_SHAPE)


def _contexts(ids: Int, start: int, stop: int) -> Int:
    """(stop − start + 1, ORDERS): before each position from start to stop, the last ids, nearest first, then −1."""
    padded = np.concatenate([np.full(ORDERS, -1), ids[:stop]])
    return np.lib.stride_tricks.sliding_window_view(padded, ORDERS)[start:, ::-1]


def _earlier_places(ids: Int, start: int, stop: int) -> Iterator[tuple[int, Int, Int]]:
    """For each position from start to stop: itself; at each of the J earlier places, how many ids its context shares
    with that before the position; and the id that follows there. One row of the quadratic table at a time.
    """
    like = np.zeros(stop + 1, np.int64)
    for at in range(max(1, start - ORDERS), stop):
        back = max(1, at - CACHE_TOKENS)
        like[back:at] = np.minimum(like[back - 1 : at - 1] + 1, ORDERS) * (ids[back - 1 : at - 1] == ids[at - 1])
        if at >= start:
            yield at, like[back:at], ids[back:at]


def _interpolate(evidence: _Evidence, weights: Float, vocabulary: int) -> Float:
    """p of each target by order, (T, N + 1): column 0 is uniform, the last the static model."""
    weight = np.where(evidence.occurs, weights[evidence.bucket], 0.0)
    p = np.empty((len(weight), ORDERS + 1))
    p[:, 0] = 1 / vocabulary
    for n in range(ORDERS):
        p[:, n + 1] = weight[:, n] * evidence.share[:, n] + (1 - weight[:, n]) * p[:, n]
    return p


def _refit_static(evidence: _Evidence, weights: Float, vocabulary: int) -> Float:
    """One round: a weight becomes the share of targets, among those that came down to it, that it explains."""
    p = _interpolate(evidence, weights, vocabulary)
    stayed, came = np.zeros((2, len(weights)))
    reach = np.ones(len(p))
    for n in reversed(range(ORDERS)):
        at = evidence.occurs[:, n]
        bucket = evidence.bucket[at, n]
        explained = np.zeros(len(p))
        explained[at] = reach[at] * weights[bucket] * evidence.share[at, n] / p[at, n + 1]
        stayed += np.bincount(bucket, explained[at], len(weights))
        came += np.bincount(bucket, reach[at], len(weights))
        reach = reach - explained
    return (stayed + 0.5) / (came + 1)


def _refit_cache(evidence: _Evidence, weights: Float, static: Float) -> Float:
    """The same for the share of the cache."""
    weight = weights[evidence.cache_bucket]
    gain = weight * evidence.cache_share
    explained = gain / (gain + (1 - weight) * static)
    stayed = np.bincount(evidence.cache_bucket, explained, len(weights))
    return (stayed + 0.5) / (np.bincount(evidence.cache_bucket, minlength=len(weights)) + 1)
