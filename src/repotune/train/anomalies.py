"""What must not go unseen in a run: a loss that is no number, one that leaps, one that falls to nothing."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

# Batches differ: at 2,048 tokens a step of code the mean of 16 losses moves by 0.1 to 0.2 nats by itself.
_WINDOW = 16
_LEAP = 1.0  # nats above the lowest mean so far; a warm-up that begins anew on a trained model costs about 0.3
# Code has some 0.3 nats a token that nobody can foresee; a mean below this sees its targets, or has one text by heart.
_NOTHING = 0.02


@dataclass(frozen=True)
class Anomaly:
    """What is wrong, in words, and whether other data from the last checkpoint may mend it."""

    what: str
    mendable: bool


class Watch:
    """Judges a run's losses, in nats, one after another. `losses` are those of the steps before, when it resumes."""

    def __init__(self, losses: Iterable[float] = ()) -> None:
        self._recent: deque[float] = deque(maxlen=_WINDOW)
        self._lowest = math.inf
        for loss in losses:
            self._take(loss)

    def judge(self, loss: float, gradient_norm: float) -> Anomaly | None:
        """The step with this `loss` and `gradient_norm`, or None where it is as it should be."""
        if not (math.isfinite(loss) and math.isfinite(gradient_norm)):
            return Anomaly(f"the loss was {loss}, its gradient's norm {gradient_norm}", mendable=True)
        lowest = self._lowest
        mean = self._take(loss)
        if mean is not None and mean > lowest + _LEAP:
            return Anomaly(f"the loss leapt to {mean:.2f}, where it had been {lowest:.2f}", mendable=True)
        if mean is not None and mean < _NOTHING:
            return Anomaly(f"the loss fell to {mean:.4f}, which is by heart and not learnt", mendable=False)
        return None

    def _take(self, loss: float) -> float | None:
        """The mean of the last losses once there are enough of them."""
        self._recent.append(loss)
        if len(self._recent) < _WINDOW:
            return None
        mean = sum(self._recent) / _WINDOW
        self._lowest = min(self._lowest, mean)
        return mean
