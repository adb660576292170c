from pathlib import Path

import pytest

from repotune.core import estimate
from repotune.core.hardware import probe


def test_the_scaling_law_gives_its_authors_own_check_value() -> None:
    assert estimate.loss(6.34e9, 242e9, 25e9) == pytest.approx(2.2256440889984477, abs=1e-12)


def test_repeated_epochs_are_worth_less_than_fresh_data_and_more_than_none() -> None:
    fresh = estimate.loss(1e9, 80e9, 80e9)
    repeated = estimate.loss(1e9, 80e9, 20e9)
    once = estimate.loss(1e9, 20e9, 20e9)
    assert fresh < repeated < once


def test_more_of_anything_costs_more() -> None:
    assert estimate.training_memory(10_000_000, 0) == 160_000_000
    small = estimate.activation_memory(4, 128, 352, 4, 2048, 256, rows=8)
    assert small < estimate.activation_memory(4, 128, 352, 4, 2048, 256, rows=16)
    assert estimate.workspace_disk(1e6, 1000) < estimate.workspace_disk(1e9, 1000)


def test_the_probe_reads_this_machine(tmp_path: Path) -> None:
    machine = probe(tmp_path / "not" / "there" / "yet")
    assert machine.cores >= 1
    assert 0 < machine.memory_free <= machine.memory
    assert machine.disk_free > 0
    assert machine.fp32_flops > 1e8
