"""Scores of completions and of likelihood, each with a 95 % interval clustered by file.

Items from one file are alike, so the file is the unit that was drawn: Miller 2024, "Adding error bars to evals"
(arXiv 2411.00640), section 2.2. Every mean here is a ratio of sums over files, Σ y_f / Σ x_f (y: bits or points,
x: bytes or items), with the linearised variance of a ratio (Cochran 1977, section 6.3):

    Var = n / (n − 1) · Σ (y_f − R·x_f)² / (Σ x_f)²     over n files

and Student's t with n − 1 degrees of freedom.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist

from rapidfuzz.distance import Levenshtein

from repotune.evaluate.own_code.identifiers import identifiers

Z95 = NormalDist().inv_cdf(0.975)
_FEWEST_CLUSTERS = 3


@dataclass(frozen=True)
class Score:
    """A mean and its 95 % interval; `low` and `high` are None where too few files allow none."""

    value: float
    low: float | None
    high: float | None

    def as_json(self) -> dict[str, float | None]:
        return {name: None if number is None else round(number, 6) for name, number in asdict(self).items()}

    @property
    def sign(self) -> int:
        """+1 or −1 where the whole interval lies above or below zero, else 0: not distinguishable."""
        if self.low is None or self.high is None:
            return 0
        return (self.low > 0) - (self.high < 0)


def exact_match(answer: str, expected: str) -> float:
    """1 where both are equal but for white space at the end, else 0."""
    return float(answer.rstrip() == expected.rstrip())


def edit_similarity(answer: str, expected: str) -> float:
    """1 − Levenshtein distance / length of the longer, white space at the end left out; in [0, 1]."""
    return float(Levenshtein.normalized_similarity(answer.rstrip(), expected.rstrip()))


def identifier_f1(answer: str, expected: str, language: str) -> float | None:
    """The harmonic mean of which share of the answer's identifiers is expected and which share of the expected ones it
    has, each as often as it occurs; None where `expected` holds none. CrossCodeEval's (arXiv 2310.11248)."""
    wanted = identifiers(expected, language)
    if not wanted:
        return None
    given = identifiers(answer, language)
    return 2 * (given & wanted).total() / (given.total() + wanted.total())


def clustered_mean(values: Sequence[float], clusters: Sequence[str]) -> Score:
    """The mean of `values`, its interval clustered by `clusters` (one name a value, such as the file)."""
    return clustered_rate(values, [1.0] * len(values), clusters)


def clustered_rate(numerators: Sequence[float], denominators: Sequence[float], clusters: Sequence[str]) -> Score:
    """Σ numerators / Σ denominators, as bits over bytes of many holes, its interval clustered by `clusters`."""
    above: dict[str, float] = defaultdict(float)
    below: dict[str, float] = defaultdict(float)
    for numerator, denominator, cluster in zip(numerators, denominators, clusters, strict=True):
        above[cluster] += numerator
        below[cluster] += denominator
    return clustered_ratio(list(above.values()), list(below.values()))


def clustered_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Score:
    """Σ numerators / Σ denominators, one pair a cluster, with the interval at the top of this file."""
    total = math.fsum(denominators)
    ratio = math.fsum(numerators) / total
    error = _standard_error(ratio, numerators, denominators, total)
    if error is None:
        return Score(ratio, None, None)
    reach = student_t(len(numerators) - 1) * error
    return Score(ratio, ratio - reach, ratio + reach)


def clustered_share(values: Sequence[float], clusters: Sequence[str]) -> Score:
    """The mean of zeros and ones with Wilson's interval, its sample size that which the clustered variance implies.

    The interval stays in [0, 1], and has a width even where all values agree: then the number of clusters is taken
    for the sample size. After Korn and Graubard 1998 (effective sample size); Wilson 1927.
    """
    mean = clustered_mean(values, clusters)
    distinct = len(set(clusters))
    if mean.high is None:
        return mean
    error = (mean.high - mean.value) / student_t(distinct - 1)
    size = mean.value * (1 - mean.value) / error**2 if error > 0 else float(distinct)
    size = min(size, len(values))
    centre = (mean.value + Z95**2 / (2 * size)) / (1 + Z95**2 / size)
    reach = Z95 / (1 + Z95**2 / size) * math.sqrt(mean.value * (1 - mean.value) / size + Z95**2 / (4 * size**2))
    return Score(mean.value, max(0.0, centre - reach), min(1.0, centre + reach))


def student_t(freedom: int) -> float:
    """The 97.5 % quantile of Student's t (Abramowitz and Stegun 26.7.5; within 0.8 % from 2 degrees of freedom on)."""
    z, v = Z95, float(freedom)
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * v**4)
    )


def _standard_error(
    ratio: float, numerators: Sequence[float], denominators: Sequence[float], total: float
) -> float | None:
    count = len(numerators)
    if count < _FEWEST_CLUSTERS:
        return None
    squares = math.fsum((y - ratio * x) ** 2 for y, x in zip(numerators, denominators, strict=True))
    return math.sqrt(count / (count - 1) * squares) / total
