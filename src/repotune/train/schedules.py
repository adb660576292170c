"""The learning rate over a run, as pure functions of tokens."""

from __future__ import annotations


def trapezoid(done: float, total: float, warmup_share: float, cooldown_share: float) -> float:
    """The share of the peak learning rate after `done` of `total` tokens: linear up, constant, linear down to 0.

    The constant part lets a run be prolonged without knowing its end at its start (WSD, Hu et al. 2024).

    >>> [trapezoid(done, 100, 0.1, 0.4) for done in (0, 5, 10, 60, 80, 100, 101)]
    [0.0, 0.5, 1.0, 1.0, 0.5, 0.0, 0.0]
    """
    up = done / (warmup_share * total) if warmup_share else 1.0
    down = (total - done) / (cooldown_share * total) if cooldown_share else 1.0
    return max(0.0, min(1.0, up, down))
