"""Paired differences: what one model gains over another on the very same items, and how sure that is.

Both answered the same items, so the gain is taken item by item, and whole clusters (files, or a benchmark's problems)
are drawn again with replacement (Efron and Tibshirani 1993, chapters 8 and 13): items of one file are alike. A gain is
a ratio of sums, Σ weight · (other − first) / Σ weight, whose weights are bytes for bits and 1 for all else.

Percentiles of few clusters lie too close together: of 5 they hold the truth 83 times in 100 instead of 95, of 10 they
do 91 times (normal gains). So they are taken further out, as Hesterberg 2015 (arXiv 1411.5279, "expanded percentile
interval") derives from Student's t: 95 of 10, but still 91 of 5. So who is better is told only where the analytic
interval agrees, which is right for 5 files that are alike and too bold where files are skewed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from repotune.evaluate.scores import Score, clustered_rate, student_t

Float = NDArray[np.float64]

RESAMPLES = 10_000
LEVEL = 0.05
_FEWEST_CLUSTERS = 3
_DRAWN_AT_ONCE = 1 << 20  # clusters: what keeps the memory small
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Pairs:
    """What everyone scored at the same N things: by model N points, N weights, and N names of clusters.

    `fewer_is_better` as of bits. `bounded` points lie in [0, 1].
    """

    points: Mapping[str, Float]
    weights: Float
    clusters: Sequence[str]
    fewer_is_better: bool = False
    bounded: bool = True


@dataclass(frozen=True)
class Difference:
    """other − first. `low` and `high` are the bootstrap's 95 % interval, None where fewer than three clusters allow
    none; `better` is the share of resamples in which the other is better (a tie is half); `analytic` is the interval of
    `scores`; `p` is two-sided, the larger of what both say, and `adjusted` where several opponents are judged."""

    value: float
    low: float | None
    high: float | None
    better: float | None
    p: float | None
    analytic: Score
    items: int
    clusters: int
    fewer_is_better: bool
    adjusted: float | None = None

    @property
    def told(self) -> int:
        """+1 where the other is better, −1 where it is worse, 0 where nobody can tell."""
        p, sign = self.p if self.adjusted is None else self.adjusted, Score(self.value, *self.widest).sign
        if p is None or p > LEVEL:
            return 0
        return -sign if self.fewer_is_better else sign

    @property
    def widest(self) -> tuple[float | None, float | None]:
        """The ends of both intervals that lie further out."""
        lows = [low for low in (self.low, self.analytic.low) if low is not None]
        highs = [high for high in (self.high, self.analytic.high) if high is not None]
        return min(lows, default=None), max(highs, default=None)

    def as_json(self) -> dict[str, Any]:
        numbers = {name: value for name, value in asdict(self).items() if name != "analytic"}
        told = {"told": ("worse", "not told apart", "better")[self.told + 1]}
        return _rounded(numbers) | {"analytic": self.analytic.as_json()} | told


def difference(pairs: Pairs, first: str, other: str, seed: int, resamples: int = RESAMPLES) -> Difference:
    """How `other` differs from `first`. The same seed gives the same numbers."""
    gains = (pairs.points[other] - pairs.points[first]) * pairs.weights
    names, cluster_of = np.unique(np.asarray(pairs.clusters), return_inverse=True)
    above: Float = np.bincount(cluster_of, gains, len(names)).astype(np.float64)
    below: Float = np.bincount(cluster_of, pairs.weights, len(names)).astype(np.float64)
    analytic = clustered_rate(gains.tolist(), pairs.weights.tolist(), pairs.clusters)
    counts = len(gains), len(names)
    found = Difference(analytic.value, None, None, None, None, analytic, *counts, pairs.fewer_is_better)
    if len(names) < _FEWEST_CLUSTERS:
        return found
    if pairs.bounded and not gains.any():
        reach = _never_seen(len(names))
        return replace(found, low=-reach, high=reach, better=0.5, p=1.0)
    drawn = resampled(above, below, seed, resamples)
    low, high = np.quantile(drawn, _expanded(len(names)))
    below_zero = float(np.mean(drawn < 0) + np.mean(drawn == 0) / 2)
    better = below_zero if pairs.fewer_is_better else 1 - below_zero
    p = max(p_value(drawn, len(names)), _analytic_p(analytic, len(names)))
    return replace(found, low=float(low), high=float(high), better=better, p=p)


def no_difference(pairs: Pairs) -> Difference:
    """What a model differs from itself, which needs no statistics."""
    clusters = len(set(pairs.clusters))
    none = Score(0.0, 0.0, 0.0)
    return Difference(0.0, 0.0, 0.0, 0.5, 1.0, none, len(pairs.weights), clusters, pairs.fewer_is_better)


def resampled(numerators: Float, denominators: Float, seed: int, resamples: int) -> Float:
    """Σ numerators / Σ denominators of `resamples` draws with replacement of as many clusters as there are."""
    random, count = np.random.default_rng(seed), len(numerators)
    rows = max(1, _DRAWN_AT_ONCE // count)
    found = []
    for start in range(0, resamples, rows):
        drawn = random.integers(count, size=(min(rows, resamples - start), count))
        found.append(numerators[drawn].sum(axis=1) / denominators[drawn].sum(axis=1))
    return np.concatenate(found)


def p_value(drawn: Float, clusters: int) -> float:
    """Two-sided, of no difference: the level at which the expanded interval of `drawn` just holds zero.

    One is added to either count, for a p of zero cannot be known from resamples (Davison and Hinkley 1997, 4.2).
    """
    tail = (1 + min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))) / (len(drawn) + 1)
    if tail >= 0.5:
        return 1.0
    return both_tails(-_NORMAL.inv_cdf(tail) / math.sqrt(clusters / (clusters - 1)), clusters - 1)


def _analytic_p(score: Score, clusters: int) -> float:
    """Two-sided, of no difference, from the width of a score's interval."""
    assert score.high is not None
    reach = score.high - score.value
    return both_tails(abs(score.value) / reach * student_t(clusters - 1), clusters - 1) if reach else 1.0


def both_tails(t: float, freedom: int) -> float:
    """The probability that |T| exceeds `t` ≥ 0, of Student's t (Abramowitz and Stegun 26.7.3 and 26.7.4, exact)."""
    angle = math.atan(t / math.sqrt(freedom))
    odd = freedom % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0 if freedom == 1 else term
    for step in range(2 + odd, freedom - 1, 2):
        term *= math.cos(angle) ** 2 * (step - 1) / step
        total += term
    within = 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
    return max(0.0, 1.0 - within)


def holm(differences: Mapping[str, Difference]) -> dict[str, Difference]:
    """One measure of several opponents, each `p` adjusted so that together they err once in 20 (Holm 1979)."""
    told = sorted((one.p, name) for name, one in differences.items() if one.p is not None)
    adjusted, least = {}, 0.0
    for place, (p, name) in enumerate(told):
        least = max(least, min(1.0, (len(told) - place) * p))
        adjusted[name] = least
    return {name: replace(one, adjusted=adjusted.get(name)) for name, one in differences.items()}


def _expanded(clusters: int) -> tuple[float, float]:
    """The levels at which the two quantiles are taken: 0.025 and 0.975 of many clusters, further out of few."""
    level = _NORMAL.cdf(-math.sqrt(clusters / (clusters - 1)) * student_t(clusters - 1))
    return level, 1 - level


def _never_seen(clusters: int) -> float:
    """How often what none of `clusters` shows may be so all the same, at 97.5 %: about 3.7 / clusters.

    Answers that agree everywhere leave nothing to resample (the rule of three: Hanley and Lippman-Hand 1983).
    """
    return float(1 - (LEVEL / 2) ** (1 / clusters))


def _rounded(numbers: Mapping[str, Any]) -> dict[str, Any]:
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in numbers.items()}
