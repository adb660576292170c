"""The learning rate over a run, as pure functions of tokens: shares of the peak, so 1 is the peak itself.

All rise linearly over the warm-up. `wsd` stays and falls linearly (Hu et al. 2024), `cosine` falls from there on,
`inverse-sqrt` falls with the root of the tokens and then linearly, `infinite` falls to a level that a run of unknown
length can stay at and is annealed from there (Ibrahim et al. 2024, arXiv 2403.08763). A run that continues another
model warms up again over 1 % and falls by a cosine to a tenth (Gupta et al. 2023, arXiv 2308.04014): that is `cosine`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

ScheduleName = Literal["wsd", "cosine", "inverse-sqrt", "infinite"]

# Where the paper's infinite schedule stays: 1.65e-4 of 3e-4. It cools to that over the first part of a run.
_PLATEAU, _COOLING = 0.55, 0.25


@dataclass(frozen=True)
class Schedule:
    """The shape of a learning rate. `warmup` and `cooldown` are shares of the run, `final` is one of the peak."""

    name: ScheduleName
    warmup: float
    cooldown: float
    final: float

    def share(self, done: float, total: float) -> float:
        """The share of the peak after `done` of `total` tokens.

        >>> wsd = Schedule("wsd", warmup=0.1, cooldown=0.4, final=0.0)
        >>> [wsd.share(done, 100) for done in (0, 5, 10, 60, 80, 100, 101)]
        [0.0, 0.5, 1.0, 1.0, 0.5, 0.0, 0.0]
        """
        done = min(max(done / total, 0.0), 1.0)
        if done < self.warmup:
            return done / self.warmup
        return _SHAPES[self.name](self, done)


def _wsd(schedule: Schedule, done: float) -> float:
    return 1.0 - (1.0 - schedule.final) * _cooled(schedule, done)


def _cosine(schedule: Schedule, done: float) -> float:
    passed = (done - schedule.warmup) / (1 - schedule.warmup)
    return schedule.final + (1 - schedule.final) * _half_cosine(passed)


def _inverse_sqrt(schedule: Schedule, done: float) -> float:
    # The warm-up is the time scale: a rate that fell by the same law from the start would join it at the peak.
    scale = schedule.warmup or 0.01
    falling = 1 / math.sqrt((done - schedule.warmup + scale) / scale)
    return falling * (1 - (1 - schedule.final) * _cooled(schedule, done))


def _infinite(schedule: Schedule, done: float) -> float:
    passed = min(1.0, (done - schedule.warmup) / _COOLING)
    level = _PLATEAU + (1 - _PLATEAU) * _half_cosine(passed)
    # The annealing is exponential, as in the paper; a rate of 0 has no exponential way to it.
    end = max(schedule.final, 0.01)
    return float(level * (end / level) ** _cooled(schedule, done))


_SHAPES: dict[ScheduleName, Callable[[Schedule, float], float]] = {
    "wsd": _wsd,
    "cosine": _cosine,
    "inverse-sqrt": _inverse_sqrt,
    "infinite": _infinite,
}


def _cooled(schedule: Schedule, done: float) -> float:
    """How far into the cooldown: 0 before it, 1 at the end of the run."""
    if not schedule.cooldown:
        return 0.0
    return min(1.0, max(0.0, (done - (1 - schedule.cooldown)) / schedule.cooldown))


def _half_cosine(passed: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * passed))
