"""The step: an index of the training split, a gate for the model that will be released, the same bytes each time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from repotune.core.console import Console
from repotune.core.flow import LOCK_NAME, Work
from repotune.infer.index.folder import INDEX_NAME, open_index
from repotune.infer.index.gate import GATES, model_hash, read_gate
from repotune.infer.index.step import build_index
from repotune.model.weights import CONFIG_NAME, WEIGHTS_NAME, load_model
from repotune.tokenizer.encoding import tokenizer_files
from repotune.tokenizer.packing import build_tokens
from repotune.train.batches import Position
from repotune.train.state import Progress, best_checkpoint, write_checkpoint

from .conftest import File, MakeWorkspace


@pytest.fixture(scope="module")
def run(llama_folder: Path, codec_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose only checkpoint is this model."""
    folder, network = tmp_path_factory.mktemp("run"), load_model(llama_folder)
    optimiser = torch.optim.SGD(network.parameters())
    write_checkpoint(folder, network, [optimiser], Progress(1, Position(), False), codec_folder)
    return folder


def built(inputs: dict[str, Path], folder: Path) -> Path:
    torch.set_num_threads(1)
    folder.mkdir()
    build_index(Work(folder, inputs, Console(quiet=True), seed=1))
    return folder


def stable(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != LOCK_NAME)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_its_gate_is_known_by_the_weights_that_a_release_copies(
    workspace: dict[str, Path], run: Path, tmp_path: Path
) -> None:
    folder = built({**workspace, "run": run}, tmp_path / "index")
    index = open_index(folder)
    checkpoint, release = best_checkpoint(run), tmp_path / "release"
    release.mkdir()
    for name in (CONFIG_NAME, WEIGHTS_NAME, *tokenizer_files(checkpoint)):
        shutil.copyfile(checkpoint / name, release / name)
    gate = read_gate(folder, model_hash(release), index.tokenizer)
    assert gate is not None and gate.helps
    assert index.documents == 12


def test_the_same_inputs_make_the_same_bytes(workspace: dict[str, Path], run: Path, tmp_path: Path) -> None:
    one, other = (built({**workspace, "run": run}, tmp_path / name) for name in ("one", "other"))
    assert stable(one) == stable(other)
    assert {name.partition("/")[0] for name in stable(one)} == {INDEX_NAME, "segments", GATES}


def test_too_few_files_to_fit_on_leave_drafts_and_attribution(
    make_workspace: MakeWorkspace, files: list[File], run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = {**make_workspace(files[:4]), "run": run}
    folder = built({**inputs, "tokens": _with_one_to_fit_on(inputs, tmp_path)}, tmp_path / "index")
    assert open_index(folder).documents == 4 and not (folder / GATES).exists()
    assert "drafts and attribution alone" in capsys.readouterr().err


def _with_one_to_fit_on(inputs: dict[str, Path], tmp_path: Path) -> Path:
    """Tokens of a corpus of which one file is kept for validation."""
    path = inputs["corpus"] / "validation-00000.parquet"
    pq.write_table(pq.read_table(path).slice(0, 1), path)
    folder = tmp_path / "tokens"
    folder.mkdir()
    build_tokens(Work(folder, inputs, Console(quiet=True), seed=1))
    return folder
