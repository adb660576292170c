"""Steps are compiled where a run is long enough to earn the time back, and only where that can work."""

from __future__ import annotations

import pytest

from repotune.model.configuration import ladder
from repotune.train.compilation import compilation_pays
from repotune.train.plan import TrainPlan


def _plan(tokens: int) -> TrainPlan:
    return TrainPlan.simple(ladder("10m", 8192, 512), tokens, sequence=512, batch_tokens=8192)


def test_a_long_run_is_compiled_and_a_short_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert compilation_pays(_plan(200_000_000), threads=2)[0]
    short, reason = compilation_pays(_plan(500_000), threads=2)
    assert not short and "too short" in reason


def test_more_threads_make_a_run_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    plan = _plan(30_000_000)
    assert compilation_pays(plan, threads=1)[0] and not compilation_pays(plan, threads=64)[0]


def test_without_a_compiler_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    compiled, reason = compilation_pays(_plan(200_000_000), threads=2)
    assert not compiled and "no C++ compiler" in reason
