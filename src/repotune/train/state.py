"""Checkpoints: everything a run needs to go on exactly, in a folder that is whole or not there.

    checkpoints/00000400/            config.json, model.safetensors and the tokenizer: transformers loads it as it is
    checkpoints/00000400/state/      optimisers.pt, adapters.safetensors; state.json: progress and score; checksums.json

A checkpoint is written beside its place, forced to the disk and renamed, so a kill leaves the one before. It stands
between two steps, so no gradient is under way, and there is no state of a random number generator in it: batches are a
pure function of the seed and the position, and what is dropped out is one of the seed and the step.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import Optimizer

from repotune.core.artefact import file_digest, sync_folder, write_atomically
from repotune.core.errors import UserError
from repotune.model.adapters import adapter_state, merge_adapters
from repotune.model.network import Network
from repotune.model.weights import load_model, save_model
from repotune.train.batches import Position

KEPT = 2
_CHECKSUMS = "state/checksums.json"
_UNFINISHED = ".unfinished"


@dataclass(frozen=True)
class Progress:
    """How far a run has come: steps taken, where its batches stand (None before the first), whether it computes
    compiled, how often it has stepped back, and its bits per byte of validation text where they were measured."""

    step: int
    position: Position | None
    compiled: bool
    setbacks: int = 0
    bits_per_byte: float | None = None


def write_checkpoint(
    run_folder: Path, network: Network, optimisers: list[Optimizer], progress: Progress, codec_folder: Path
) -> Path:
    """Writes the checkpoint of `progress.step` and drops all but the last two and the best. Returns its folder."""
    checkpoints = run_folder / "checkpoints"
    unfinished, folder = checkpoints / _UNFINISHED, checkpoints / f"{progress.step:08d}"
    shutil.rmtree(unfinished, ignore_errors=True)
    (unfinished / "state").mkdir(parents=True)
    adapters = adapter_state(network)
    save_model(unfinished, merge_adapters(network) if adapters else network, codec_folder)
    torch.save([optimiser.state_dict() for optimiser in optimisers], unfinished / "state" / "optimisers.pt")
    save_file({name: tensor.cpu() for name, tensor in adapters.items()}, unfinished / "state" / "adapters.safetensors")
    write_atomically(unfinished / "state" / "state.json", json.dumps(asdict(progress), indent=2) + "\n")
    files = sorted(path for path in unfinished.rglob("*") if path.is_file())
    checksums = {path.relative_to(unfinished).as_posix(): file_digest(path) for path in files}
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    write_atomically(unfinished / _CHECKSUMS, json.dumps(checksums, indent=2) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
    sync_folder(checkpoints)
    for old in set(_folders(run_folder)[:-KEPT]) - {_best(run_folder)}:
        shutil.rmtree(old)
    return folder


@dataclass(frozen=True)
class Checkpoint:
    """What a run goes on from, read from `folder`: states of the optimisers, and the adapters where it trains some."""

    folder: Path
    optimisers: list[dict[str, Any]]
    adapters: dict[str, Tensor]
    progress: Progress

    def network(self) -> Network:
        """The network, with its adapters merged into it."""
        return load_model(self.folder)


def read_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint in `folder`, which is whole."""
    state = folder / "state"
    data = json.loads((state / "state.json").read_text(encoding="utf-8"))
    position = Position(**data["position"]) if data["position"] else None
    optimisers = torch.load(state / "optimisers.pt", weights_only=True, map_location="cpu")
    adapters = load_file(state / "adapters.safetensors")
    return Checkpoint(folder, optimisers, adapters, Progress(**{**data, "position": position}))


def latest_checkpoint(run_folder: Path) -> Path:
    """The last checkpoint of a run. Raises UserError where there is none, or where it is damaged."""
    folders = _folders(run_folder)
    if not folders:
        raise UserError(f"There is no checkpoint in {run_folder}.", "repotune run trains the model")
    return _checked(folders[-1])


def best_checkpoint(run_folder: Path) -> Path:
    """The checkpoint that reads validation text best, or the last where none was measured: after many epochs of a
    small corpus the last is not always the best. Raises UserError as `latest_checkpoint` does."""
    best = _best(run_folder)
    return _checked(best) if best else latest_checkpoint(run_folder)


def _checked(folder: Path) -> Path:
    if not is_whole(folder):
        raise UserError(f"The checkpoint {folder} is damaged.", f"remove {folder.parents[1]} and repeat: repotune run")
    return folder


def _best(run_folder: Path) -> Path | None:
    """The checkpoint with the fewest bits per byte; of equal ones the later."""
    measured = []
    for folder in _folders(run_folder):
        try:
            bits = json.loads((folder / "state" / "state.json").read_text(encoding="utf-8"))["bits_per_byte"]
        except (OSError, ValueError, KeyError):
            continue  # a damaged one is found by its checksums when it is used
        if bits is not None:
            measured.append((bits, -int(folder.name), folder))
    return min(measured)[2] if measured else None


def resumable_checkpoint(run_folder: Path, warn: Callable[[str], None]) -> Path | None:
    """The newest whole checkpoint to go on from, or None. A damaged one is named to `warn` and dropped."""
    shutil.rmtree(run_folder / "checkpoints" / _UNFINISHED, ignore_errors=True)
    for folder in reversed(_folders(run_folder)):
        if is_whole(folder):
            return folder
        warn(f"the checkpoint {folder.name} is damaged; training goes on from the one before")
        shutil.rmtree(folder)
    return None


def is_whole(folder: Path) -> bool:
    """Whether every file of a checkpoint is there with the bytes that were written."""
    try:
        checksums = json.loads((folder / _CHECKSUMS).read_text(encoding="utf-8"))
        return all(file_digest(folder / name) == digest for name, digest in checksums.items())
    except (OSError, ValueError, AttributeError):
        return False


def _folders(run_folder: Path) -> list[Path]:
    """Checkpoints by step."""
    return sorted(path for path in (run_folder / "checkpoints").glob("[0-9]*") if path.is_dir())
