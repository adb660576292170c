"""A run learns, ends the same however often it is killed, and stops with a word when it cannot go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.core.flow import Work
from repotune.model.configuration import ModelConfig
from repotune.model.weights import load_model, read_weights
from repotune.train.plan import TrainPlan
from repotune.train.run import build_run
from repotune.train.state import latest_checkpoint

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

TIMINGS = {"seconds", "tokens_per_second"}

# Runs a plan in a process of its own, which is killed at the `at`-th call of the function `name` in `module`.
KILLED_RUN = """
import importlib, json, os, sys
from pathlib import Path
from repotune.core.console import Console
from repotune.core.flow import Work
from repotune.model.configuration import ModelConfig
from repotune.train.plan import TrainPlan
from repotune.train.run import build_run
plan, inputs, folder, module, name, at, number = json.loads(sys.argv[1])
place = importlib.import_module(module)
function, calls = getattr(place, name), 0
def counted(*arguments, **options):
    global calls
    calls += 1
    if calls == at:
        os.kill(os.getpid(), number)
    return function(*arguments, **options)
setattr(place, name, counted)
plan = TrainPlan(**{**plan, "model": ModelConfig(**plan["model"])})
build_run(Work(Path(folder), {key: Path(value) for key, value in inputs.items()}, Console(), seed=1), plan)
"""


@pytest.fixture
def plan(small_model: ModelConfig) -> TrainPlan:
    return TrainPlan(small_model, 64 * 8 * 20, sequence=64, batch_tokens=512, checkpoint_tokens=512 * 6, threads=1)


def _work(folder: Path, inputs: dict[str, Path]) -> Work:
    folder.mkdir(exist_ok=True)
    return Work(folder, inputs, Console(quiet=True), seed=1)


def _lines(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(text) for text in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMINGS} for line in lines]


def _killed(
    plan: TrainPlan, inputs: dict[str, Path], folder: Path, place: tuple[str, str, int], number: int
) -> subprocess.CompletedProcess[str]:
    values = (asdict(plan), {key: str(path) for key, path in inputs.items()}, str(folder), *place, int(number))
    command = [sys.executable, "-c", KILLED_RUN, json.dumps(values)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


def _assert_equal_runs(one: Path, other: Path) -> None:
    assert _lines(one) == _lines(other)
    first, second = latest_checkpoint(one), latest_checkpoint(other)
    assert first.name == second.name
    ours, theirs = read_weights(first), read_weights(second)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_a_run_learns_and_writes_what_the_contract_says(
    tmp_path: Path, inputs: dict[str, Path], plan: TrainPlan
) -> None:
    build_run(_work(tmp_path, inputs), replace(plan, tokens=512 * 60))
    lines = _lines(tmp_path)
    assert [line["step"] for line in lines] == list(range(1, 61))
    assert lines[-1]["tokens"] == 512 * 60
    assert lines[-1]["loss"] < lines[0]["loss"] - 1.0
    measured = [line for line in lines if "validation_bits_per_byte" in line]
    assert [line["step"] for line in measured] == list(range(6, 61, 6))
    assert measured[-1]["validation_bits_per_byte"] < measured[0]["validation_bits_per_byte"]
    assert 0 < lines[-1]["learning_rate"] < 0.1 * max(line["learning_rate"] for line in lines)
    assert "Finished after 60 steps" in (tmp_path / "logbook.md").read_text()
    final = latest_checkpoint(tmp_path)
    assert final.name == "00000060"
    assert load_model(tmp_path / "initial").config == load_model(final).config == plan.model
    ids = torch.arange(40)[None]
    with torch.no_grad():
        theirs = transformers.AutoModelForCausalLM.from_pretrained(final)(ids).logits
        torch.testing.assert_close(load_model(final)(ids), theirs, atol=1e-4, rtol=1e-4)


def test_a_run_killed_again_and_again_ends_as_if_it_never_was(
    tmp_path: Path, inputs: dict[str, Path], plan: TrainPlan
) -> None:
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    build_run(_work(straight, inputs), plan)
    killed.mkdir()
    for place, whole in [
        (("repotune.train.run", "take_step", 4), []),  # before the first checkpoint
        (("repotune.train.run", "take_step", 10), [6]),  # between two
        (("repotune.train.state", "write_atomically", 2), [6]),  # while the second is being written
        (("repotune.train.state", "sync_folder", 2), [6, 12, 18]),  # just after the third was renamed
    ]:
        result = _killed(plan, inputs, killed, place, signal.SIGKILL)
        assert result.returncode == -signal.SIGKILL, result.stderr
        names = [int(path.name) for path in sorted(killed.glob("checkpoints/[0-9]*"))]
        assert names == whole
    build_run(_work(killed, inputs), plan)
    _assert_equal_runs(straight, killed)
    assert (killed / "logbook.md").read_text().count("Resumed from step") == 3


def test_a_polite_stop_loses_no_step(tmp_path: Path, inputs: dict[str, Path], plan: TrainPlan) -> None:
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    build_run(_work(straight, inputs), plan)
    stopped.mkdir()
    result = _killed(plan, inputs, stopped, ("repotune.train.run", "take_step", 9), signal.SIGTERM)
    assert "KeyboardInterrupt" in result.stderr
    assert latest_checkpoint(stopped).name == "00000009"
    build_run(_work(stopped, inputs), plan)
    _assert_equal_runs(straight, stopped)


def test_a_damaged_checkpoint_costs_only_itself(
    tmp_path: Path, inputs: dict[str, Path], plan: TrainPlan, capsys: pytest.CaptureFixture[str]
) -> None:
    straight, damaged = tmp_path / "straight", tmp_path / "damaged"
    build_run(_work(straight, inputs), plan)
    build_run(_work(damaged, inputs), plan)
    (latest_checkpoint(damaged) / "model.safetensors").write_bytes(b"")
    build_run(_work(damaged, inputs), plan)
    assert "00000020 is damaged" in capsys.readouterr().err
    assert "00000020 is damaged" in (damaged / "logbook.md").read_text()
    _assert_equal_runs(straight, damaged)


def test_a_finished_run_is_left_as_it_is(tmp_path: Path, inputs: dict[str, Path], plan: TrainPlan) -> None:
    build_run(_work(tmp_path, inputs), plan)
    before = _lines(tmp_path)
    build_run(_work(tmp_path, inputs), plan)
    assert _lines(tmp_path) == before


def test_a_run_that_diverges_says_so_and_keeps_its_checkpoint(
    tmp_path: Path, inputs: dict[str, Path], plan: TrainPlan
) -> None:
    build_run(_work(tmp_path, inputs), replace(plan, tokens=512 * 6, cooldown_share=0.0))
    with pytest.raises(UserError, match="diverged") as caught:
        build_run(_work(tmp_path, inputs), replace(plan, learning_rate=1e30, optimiser="muon"))
    assert caught.value.hint is not None and "learning_rate" in caught.value.hint
    assert latest_checkpoint(tmp_path).name == "00000006"
    assert all(line["loss"] < 100 for line in _lines(tmp_path))


def test_a_plan_for_another_vocabulary_is_refused(tmp_path: Path, inputs: dict[str, Path], plan: TrainPlan) -> None:
    with pytest.raises(UserError, match="vocabulary of 600"):
        build_run(_work(tmp_path, inputs), replace(plan, model=replace(plan.model, vocabulary=600)))
