"""A checkpoint is whole or not there, and says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from repotune.core.errors import UserError
from repotune.model.configuration import ModelConfig
from repotune.model.network import Network
from repotune.model.weights import load_model
from repotune.train.batches import Position
from repotune.train.optimisers import build_optimisers
from repotune.train.state import (
    Progress,
    best_checkpoint,
    latest_checkpoint,
    read_checkpoint,
    resumable_checkpoint,
    write_checkpoint,
)


@pytest.fixture
def run_folder(tmp_path: Path, small_model: ModelConfig, inputs: dict[str, Path]) -> Path:
    """A run with checkpoints of steps 1 to 4, the network doubled at each."""
    torch.manual_seed(1)
    network = Network(small_model)
    optimisers = build_optimisers(network, "muon", 0.1)
    for step in range(1, 5):
        with torch.no_grad():
            network.norm.weight.fill_(float(step))
        progress = Progress(step, Position(0, step, 10 * step), compiled=False)
        write_checkpoint(tmp_path, network, optimisers, progress, inputs["tokenizer"])
    return tmp_path


def _names(run_folder: Path) -> list[str]:
    return sorted(path.name for path in (run_folder / "checkpoints").iterdir())


def test_the_last_two_are_kept(run_folder: Path) -> None:
    assert _names(run_folder) == ["00000003", "00000004"]
    assert latest_checkpoint(run_folder).name == "00000004"


def test_the_best_is_kept_beside_the_last(tmp_path: Path, small_model: ModelConfig, inputs: dict[str, Path]) -> None:
    network = Network(small_model)
    optimisers = build_optimisers(network, "adamw", 0.1)
    for step, bits in enumerate((3.0, 1.0, 2.0, None, 1.5), 1):
        progress = Progress(step, Position(0, step, 0), compiled=False, bits_per_byte=bits)
        write_checkpoint(tmp_path, network, optimisers, progress, inputs["tokenizer"])
    assert _names(tmp_path) == ["00000002", "00000004", "00000005"]
    assert best_checkpoint(tmp_path).name == "00000002"
    (tmp_path / "checkpoints" / "00000002" / "config.json").write_text("{}")
    with pytest.raises(UserError, match="00000002 is damaged"):
        best_checkpoint(tmp_path)


def test_without_scores_the_last_is_the_best(run_folder: Path) -> None:
    assert best_checkpoint(run_folder).name == "00000004"


def test_what_is_read_is_what_was_written(run_folder: Path) -> None:
    checkpoint = read_checkpoint(latest_checkpoint(run_folder))
    assert checkpoint.progress == Progress(4, Position(0, 4, 40), compiled=False)
    assert torch.all(checkpoint.network().norm.weight == 4.0)
    assert len(checkpoint.optimisers) == 2 and not checkpoint.adapters


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "state/optimisers.pt", "state/state.json"])
def test_a_flipped_bit_sends_training_to_the_one_before_with_a_word(run_folder: Path, name: str) -> None:
    path = run_folder / "checkpoints" / "00000004" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="00000004 is damaged"):
        latest_checkpoint(run_folder)
    said: list[str] = []
    folder = resumable_checkpoint(run_folder, said.append)
    assert folder is not None and folder.name == "00000003"
    assert said == ["the checkpoint 00000004 is damaged; training goes on from the one before"]
    assert torch.all(load_model(folder).norm.weight == 3.0)


def test_what_a_kill_left_half_written_is_dropped(run_folder: Path) -> None:
    half = run_folder / "checkpoints" / ".unfinished"
    half.mkdir()
    (half / "config.json").write_text("{")
    said: list[str] = []
    folder = resumable_checkpoint(run_folder, said.append)
    assert folder is not None and folder.name == "00000004"
    assert not said and not half.exists()


def test_a_run_without_checkpoints_is_refused_by_those_who_need_one(tmp_path: Path) -> None:
    assert resumable_checkpoint(tmp_path, pytest.fail) is None
    with pytest.raises(UserError, match="no checkpoint"):
        latest_checkpoint(tmp_path)


def test_checksums_cover_every_other_file(run_folder: Path) -> None:
    folder = latest_checkpoint(run_folder)
    covered = set(json.loads((folder / "state" / "checksums.json").read_text()))
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files - covered == {"state/checksums.json"}
