"""A run goes on from a base: whole or by adapters, exactly resumable, and better for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.core.flow import Work
from repotune.model.configuration import LoRA, ModelConfig
from repotune.model.network import Network
from repotune.model.weights import load_model, read_weights, save_model
from repotune.train.base import build_base, network_of_base
from repotune.train.plan import Stage, TrainPlan
from repotune.train.resizing import resize_vocabulary
from repotune.train.run import build_run
from repotune.train.state import latest_checkpoint

KILLED_RUN = """
import json, os, signal, sys
from pathlib import Path
from repotune.core.console import Console
from repotune.core.flow import Work
from repotune.train import loop
from repotune.train.plan import TrainPlan
from repotune.train.run import build_run
plan, inputs, folder, last = json.loads(sys.argv[1])
step, calls = loop.take_step, []
def counted(*arguments, **options):
    calls.append(1)
    if len(calls) == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(*arguments, **options)
loop.take_step = counted
inputs = {name: Path(path) for name, path in inputs.items()}
build_run(Work(Path(folder), inputs, Console(), seed=1), TrainPlan.from_json(plan))
"""


@pytest.fixture
def plan(small_model: ModelConfig) -> TrainPlan:
    return TrainPlan(small_model, (Stage(512 * 12, 64, 512),), checkpoint_tokens=512 * 4, threads=1)


@pytest.fixture
def base(tmp_path: Path, inputs: dict[str, Path], plan: TrainPlan) -> dict[str, Path]:
    """The inputs of a run that goes on from one of 40 steps."""
    build_run(_work(tmp_path / "first", inputs), replace(plan, stages=(Stage(512 * 40, 64, 512),)))
    work = _work(tmp_path / "base", {})
    build_base(work, str(latest_checkpoint(tmp_path / "first")))
    return inputs | {"base": work.folder}


def _work(folder: Path, inputs: dict[str, Path]) -> Work:
    folder.mkdir(parents=True, exist_ok=True)
    return Work(folder, inputs, Console(quiet=True), seed=1)


def _losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("adapter", [None, LoRA(rank=4)])
def test_it_begins_where_the_base_stood_and_resumes_exactly(
    tmp_path: Path, base: dict[str, Path], plan: TrainPlan, adapter: LoRA | None
) -> None:
    optimiser = "adamw" if adapter else "muon"
    continued = replace(plan, adapter=adapter, optimiser=optimiser, schedule="cosine", learning_rate=1e-3)
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    build_run(_work(straight, base), continued)
    losses = _losses(straight)
    assert losses[0] < _losses(tmp_path / "first")[0] - 1.0
    assert sum(losses[-3:]) < sum(losses[:3])
    values = (asdict(continued), {name: str(path) for name, path in base.items()}, str(killed), 7)
    killed.mkdir()
    command = [sys.executable, "-c", KILLED_RUN, json.dumps(values)]
    result = subprocess.run(command, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=120)
    assert result.returncode == -signal.SIGKILL
    build_run(_work(killed, base), continued)
    assert _losses(killed) == losses
    ours, theirs = (read_weights(latest_checkpoint(folder)) for folder in (straight, killed))
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    before = read_weights(base["base"])
    changed = {name for name, tensor in ours.items() if not torch.equal(tensor, before[name])}
    untouched = {name for name in ours if "norm" in name or "embed" in name}
    assert changed == (set(ours) - untouched if adapter else set(ours))


def test_what_it_began_from_is_kept_for_comparison(tmp_path: Path, base: dict[str, Path], plan: TrainPlan) -> None:
    build_run(_work(tmp_path / "run", base), plan)
    initial, before = read_weights(tmp_path / "run" / "initial"), read_weights(base["base"])
    assert all(torch.equal(tensor, before[name]) for name, tensor in initial.items())


def test_an_adapter_without_a_base_is_refused(tmp_path: Path, inputs: dict[str, Path], plan: TrainPlan) -> None:
    with pytest.raises(UserError, match="needs a base"):
        build_run(_work(tmp_path, inputs), replace(plan, adapter=LoRA()))


@pytest.mark.parametrize("tied", [True, False])
def test_a_vocabulary_grows_by_means_and_shrinks_by_what_is_beyond(small_model: ModelConfig, tied: bool) -> None:
    torch.manual_seed(1)
    network = Network(replace(small_model, tied=tied))
    ids = torch.arange(20)[None]
    before, mean = network(ids), network.embedding.weight.mean(0)
    larger = resize_vocabulary(network, small_model.vocabulary + 3)
    torch.testing.assert_close(larger(ids)[..., : small_model.vocabulary], before)
    torch.testing.assert_close(larger.embedding.weight[-1], mean)
    assert (larger.head.weight is larger.embedding.weight) == tied
    smaller = resize_vocabulary(larger, 100)
    torch.testing.assert_close(smaller(ids), before[..., :100])
    assert smaller.config.vocabulary == 100


def test_a_base_in_another_type_and_context_becomes_ours(
    tmp_path: Path, inputs: dict[str, Path], small_model: ModelConfig
) -> None:
    save_model(tmp_path, Network(small_model), inputs["tokenizer"])
    network = network_of_base(tmp_path, replace(small_model, context=128, vocabulary=600), dropout=0.1)
    assert network.config == replace(small_model, context=128, vocabulary=600)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert load_model(tmp_path).config == small_model


def test_a_base_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no folder"):
        build_base(_work(tmp_path / "base", {}), str(tmp_path / "nothing here"))
