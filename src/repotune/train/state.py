"""Checkpoints: everything a run needs to go on exactly, in a folder that is whole or not there.

    checkpoints/00000400/            config.json, model.safetensors and the tokenizer: transformers loads it as it is
    checkpoints/00000400/state/      optimisers.pt; state.json: step, tokens, position; checksums.json of all the rest

A checkpoint is written beside its place, forced to the disk and renamed, so a kill leaves the one before. There is no
state of a random number generator in it: after initialisation nothing draws from one, and batches are a pure function
of the seed and the position.
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
from torch.optim import Optimizer

from repotune.core.artefact import file_digest, sync_folder, write_atomically
from repotune.core.errors import UserError
from repotune.model.network import Network
from repotune.model.weights import load_model, save_model
from repotune.train.batches import Position

KEPT = 2
_CHECKSUMS = "state/checksums.json"
_UNFINISHED = ".unfinished"


@dataclass(frozen=True)
class Progress:
    """How far a run has come: steps taken, where its batches stand, and whether it computes compiled."""

    step: int
    position: Position
    compiled: bool


def write_checkpoint(
    run_folder: Path, network: Network, optimisers: list[Optimizer], progress: Progress, codec_folder: Path
) -> Path:
    """Writes the checkpoint of `progress.step` and drops all but the last two. Returns its folder."""
    checkpoints = run_folder / "checkpoints"
    unfinished, folder = checkpoints / _UNFINISHED, checkpoints / f"{progress.step:08d}"
    shutil.rmtree(unfinished, ignore_errors=True)
    (unfinished / "state").mkdir(parents=True)
    save_model(unfinished, network, codec_folder)
    torch.save([optimiser.state_dict() for optimiser in optimisers], unfinished / "state" / "optimisers.pt")
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
    for old in _folders(run_folder)[:-KEPT]:
        shutil.rmtree(old)
    return folder


def read_checkpoint(folder: Path) -> tuple[Network, list[dict[str, Any]], Progress]:
    """The network, the states of its optimisers, and how far it had come."""
    data = json.loads((folder / "state" / "state.json").read_text(encoding="utf-8"))
    progress = Progress(data["step"], Position(**data["position"]), data["compiled"])
    states = torch.load(folder / "state" / "optimisers.pt", weights_only=True, map_location="cpu")
    return load_model(folder), states, progress


def latest_checkpoint(run_folder: Path) -> Path:
    """The last checkpoint of a run. Raises UserError where there is none, or where it is damaged."""
    folders = _folders(run_folder)
    if not folders:
        raise UserError(f"There is no checkpoint in {run_folder}.", "repotune run trains the model")
    if not is_whole(folders[-1]):
        raise UserError(f"The checkpoint {folders[-1]} is damaged.", f"remove {run_folder} and repeat: repotune run")
    return folders[-1]


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
