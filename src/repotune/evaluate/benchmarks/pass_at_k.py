"""pass@k: how likely one of k answers passes, unbiased from n ≥ k of them (Chen et al. 2021, arXiv 2107.03374)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from repotune.evaluate.scores import Score, clustered_mean, clustered_share


def pass_at_k(answers: int, passed: int, k: int) -> float:
    """1 − C(n − c, k) / C(n, k) for n `answers` of which c `passed`. Raises ValueError where k is above n.

    As 1 − Π (1 − k / i) over i from n − c + 1 to n, whose factors neither overflow nor cancel.

    >>> pass_at_k(2, 1, 1)
    0.5
    """
    if not 0 <= passed <= answers or not 1 <= k <= answers:
        raise ValueError(f"pass@{k} of {passed} in {answers} answers has no meaning")
    if answers - passed < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / i for i in range(answers - passed + 1, answers + 1))


def pass_at_k_score(counts: Sequence[tuple[int, int]], k: int, clusters: Sequence[str]) -> Score:
    """The mean over problems, each with (answers, passed), and its 95 % interval, clustered by what was drawn.

    Of one answer each, Wilson's interval, which has a width even where all fail. Problems with fewer than k answers do
    not count. Raises ValueError where none has enough.
    """
    found = [
        (pass_at_k(answers, passed, k), cluster)
        for (answers, passed), cluster in zip(counts, clusters, strict=True)
        if answers >= k
    ]
    if not found:
        raise ValueError(f"no problem has {k} answers")
    values, names = [value for value, _ in found], [name for _, name in found]
    if all(value in (0.0, 1.0) for value in values):
        return clustered_share(values, names)
    score = clustered_mean(values, names)
    if score.low is None or score.high is None:
        return score
    return Score(score.value, max(0.0, score.low), min(1.0, score.high))
