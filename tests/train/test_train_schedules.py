"""Each schedule has the shape that its paper gives it."""

from __future__ import annotations

import itertools
import math
from typing import get_args

import pytest

from repotune.train.schedules import Schedule, ScheduleName


@pytest.mark.parametrize("name", get_args(ScheduleName))
def test_every_schedule_warms_up_to_the_peak_and_never_leaves_its_bounds(name: ScheduleName) -> None:
    schedule = Schedule(name, warmup=0.1, cooldown=0.3, final=0.1)
    shares = [schedule.share(done, 1000) for done in range(0, 1101, 10)]
    assert shares[:11] == pytest.approx([done / 10 for done in range(11)])
    assert all(earlier >= later for earlier, later in itertools.pairwise(shares[10:]))
    assert min(shares[10:]) > 0


def test_wsd_stays_and_then_falls_to_nothing() -> None:
    schedule = Schedule("wsd", warmup=0.1, cooldown=0.3, final=0.0)
    assert [schedule.share(done, 1000) for done in range(100, 701, 50)] == [1.0] * 13
    assert schedule.share(850, 1000) == pytest.approx(0.5)
    assert schedule.share(1000, 1000) == 0.0


def test_without_warmup_and_cooldown_the_rate_is_the_peak() -> None:
    schedule = Schedule("wsd", warmup=0.0, cooldown=0.0, final=0.0)
    assert schedule.share(0, 1000) == schedule.share(1000, 1000) == 1.0


def test_the_cosine_is_halfway_at_half_of_what_is_left() -> None:
    schedule = Schedule("cosine", warmup=0.2, cooldown=0.5, final=0.1)
    assert schedule.share(60, 100) == pytest.approx(0.55)
    assert schedule.share(100, 100) == pytest.approx(0.1)


def test_the_inverse_root_falls_by_the_root_of_the_tokens_until_it_cools() -> None:
    schedule = Schedule("inverse-sqrt", warmup=0.01, cooldown=0.2, final=0.0)
    for done in (0.04, 0.25, 0.64):
        assert schedule.share(done, 1.0) == pytest.approx(math.sqrt(0.01 / done))
    assert schedule.share(0.9, 1.0) == pytest.approx(math.sqrt(0.01 / 0.9) / 2)
    assert schedule.share(1.0, 1.0) == pytest.approx(0.0, abs=1e-12)


def test_the_infinite_schedule_has_a_level_to_stay_at() -> None:
    schedule = Schedule("infinite", warmup=0.01, cooldown=0.1, final=0.1)
    assert {round(schedule.share(done, 100), 6) for done in (30, 50, 70, 90)} == {0.55}
    assert schedule.share(95, 100) == pytest.approx(math.sqrt(0.55 * 0.1))
    assert schedule.share(100, 100) == pytest.approx(0.1)
