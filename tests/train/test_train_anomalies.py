"""A loss that goes wrong is seen, and an ordinary one is not taken for one that does."""

from __future__ import annotations

import math
import random

import pytest

from repotune.train.anomalies import Watch


def _noisy(level: float, count: int) -> list[float]:
    draw = random.Random(1)
    return [level + draw.gauss(0, 0.4) for _ in range(count)]


@pytest.mark.parametrize(("loss", "norm"), [(math.nan, 1.0), (math.inf, 1.0), (3.0, math.nan), (3.0, math.inf)])
def test_what_is_no_number_is_seen_at_once(loss: float, norm: float) -> None:
    anomaly = Watch().judge(loss, norm)
    assert anomaly is not None and anomaly.mendable


def test_a_noisy_loss_that_falls_is_none() -> None:
    watch = Watch()
    falling = [8 * 0.995**step + noise for step, noise in enumerate(_noisy(0.5, 1000))]
    assert all(watch.judge(loss, 1.0) is None for loss in falling)


def test_a_leap_that_stays_is_seen_and_one_bad_batch_is_not() -> None:
    watch = Watch(_noisy(2.0, 100))
    assert watch.judge(6.0, 1.0) is None
    judged = [watch.judge(loss, 1.0) for loss in [*_noisy(2.0, 40), *_noisy(4.5, 16)]]
    assert not any(judged[:40])
    found = next(anomaly for anomaly in judged if anomaly)
    assert found.mendable and "leapt" in found.what


def test_a_loss_of_nothing_is_seen_and_not_mendable() -> None:
    watch = Watch(_noisy(0.5, 100))
    found = [anomaly for anomaly in (watch.judge(0.001, 0.1) for _ in range(20)) if anomaly]
    assert found and not found[0].mendable


def test_a_watch_that_resumes_judges_as_one_that_never_stopped() -> None:
    losses = [*_noisy(2.0, 50), *_noisy(3.6, 30)]
    straight = Watch()
    whole = [straight.judge(loss, 1.0) is not None for loss in losses]
    resumed = Watch(losses[:57])
    assert [resumed.judge(loss, 1.0) is not None for loss in losses[57:]] == whole[57:]
