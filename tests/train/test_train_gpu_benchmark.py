"""The benchmark for GPUs runs its whole course on small shapes, and claims nothing of a GPU where there is none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

_BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "gpu_training.py"


def _run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(_BENCHMARK), *options], capture_output=True, text=True, timeout=120)


def test_small_shapes_go_the_whole_way() -> None:
    done = _run("--quick")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    rates = [result["figure"], *(other["figure"] for other in result["others"])]
    assert len(rates) == 2 and all(rate > 0 for rate in rates)
    assert result["share_of_peak"] is None and result["met"] is False


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, which this would keep busy")
def test_without_a_gpu_nothing_is_measured() -> None:
    done = _run()
    assert done.returncode == 1 and done.stdout == ""
    assert "There is no GPU here" in done.stderr
