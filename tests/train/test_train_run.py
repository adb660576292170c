"""A run learns, ends the same however often it is killed, and stops with a word when it cannot go on."""

from __future__ import annotations

import json
import math
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tensorboardX.proto import event_pb2

from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.core.flow import Work
from repotune.model.configuration import ModelConfig
from repotune.model.network import Network
from repotune.model.weights import load_model, read_weights
from repotune.train.plan import Stage, TrainPlan
from repotune.train.run import build_run
from repotune.train.state import latest_checkpoint
from repotune.train.step import take_step

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

TIMINGS = {"seconds", "tokens_per_second", "share_of_peak", "memory", "remaining_seconds"}

# Runs a plan in a process of its own, which is killed at the `at`-th call of the function `name` in `module`.
KILLED_RUN = """
import importlib, json, os, sys
from pathlib import Path
from repotune.core.console import Console
from repotune.core.flow import Work
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
plan = TrainPlan.from_json(plan)
build_run(Work(Path(folder), {key: Path(value) for key, value in inputs.items()}, Console(), seed=1), plan)
"""


@pytest.fixture
def plan(small_model: ModelConfig) -> TrainPlan:
    stage = Stage(512 * 20, sequence=64, batch_tokens=512)
    return TrainPlan(small_model, (stage,), checkpoint_tokens=512 * 6, threads=1)


def _of_steps(plan: TrainPlan, steps: int) -> TrainPlan:
    return replace(plan, stages=(replace(plan.stages[0], tokens=512 * steps),))


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
    build_run(_work(tmp_path, inputs), _of_steps(plan, 60))
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
        (("repotune.train.loop", "take_step", 4), []),  # before the first checkpoint
        (("repotune.train.loop", "take_step", 10), [6]),  # between two
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
    result = _killed(plan, inputs, stopped, ("repotune.train.loop", "take_step", 9), signal.SIGTERM)
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


def test_stages_and_dropout_resume_exactly_too(tmp_path: Path, inputs: dict[str, Path], plan: TrainPlan) -> None:
    staged = replace(plan, stages=(Stage(128 * 6, 32, 128), Stage(256 * 6, 32, 256), Stage(512 * 6, 64, 512, 5e4)))
    staged = replace(staged, dropout=0.2, checkpoint_tokens=1024)
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    build_run(_work(straight, inputs), staged)
    killed.mkdir()
    for call in (9, 5, 3):  # in the second stage, at its end, and in the third
        result = _killed(staged, inputs, killed, ("repotune.train.loop", "take_step", call), signal.SIGKILL)
        assert result.returncode == -signal.SIGKILL, result.stderr
    build_run(_work(killed, inputs), staged)
    _assert_equal_runs(straight, killed)
    assert load_model(latest_checkpoint(killed)).config.rope_base == 5e4
    plain = tmp_path / "plain"
    build_run(_work(plain, inputs), replace(staged, dropout=0.0))
    assert [line["loss"] for line in _lines(plain)] != [line["loss"] for line in _lines(straight)]


def test_a_run_that_diverges_says_so_and_keeps_its_checkpoint(
    tmp_path: Path, inputs: dict[str, Path], plan: TrainPlan
) -> None:
    build_run(_work(tmp_path, inputs), replace(_of_steps(plan, 6), cooldown_share=0.0))
    with pytest.raises(UserError, match="diverged") as caught:
        build_run(_work(tmp_path, inputs), replace(plan, learning_rate=1e30, optimiser="muon"))
    assert caught.value.hint is not None and "learning_rate" in caught.value.hint
    assert latest_checkpoint(tmp_path).name == "00000006"
    assert all(line["loss"] < 100 for line in _lines(tmp_path))
    assert (tmp_path / "logbook.md").read_text().count("Back to step 6") == 3


def test_one_bad_step_is_left_out_and_training_goes_on(
    tmp_path: Path, inputs: dict[str, Path], plan: TrainPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []

    def once_broken(network: Network, *rest: Any, **options: Any) -> tuple[float, float]:
        steps.append(rest[2])
        if len(steps) == 10:  # a weight flips, as memory without parity does
            with torch.no_grad():
                network.norm.weight[0] = math.nan
        return take_step(network, *rest, **options)

    monkeypatch.setattr("repotune.train.loop.take_step", once_broken)
    build_run(_work(tmp_path, inputs), plan)
    assert [line["step"] for line in _lines(tmp_path)] == list(range(1, 21))
    assert latest_checkpoint(tmp_path).name == "00000020"
    # Steps 7 to 9 were taken twice, the second time on what came after the tenth.
    assert len(steps) == 20 + 4
    assert not torch.equal(steps[6][0], steps[10][0])
    logbook = (tmp_path / "logbook.md").read_text()
    assert "Setback at step 10: the loss was nan" in logbook and "Back to step 6" in logbook
    state = json.loads((latest_checkpoint(tmp_path) / "state" / "state.json").read_text())
    assert state["setbacks"] == 1


def test_tensorboard_gets_every_step_once(tmp_path: Path, inputs: dict[str, Path], plan: TrainPlan) -> None:
    watched = replace(plan, tensorboard=True)
    result = _killed(watched, inputs, _work(tmp_path, inputs).folder, ("repotune.train.loop", "take_step", 9), 15)
    assert "KeyboardInterrupt" in result.stderr
    build_run(_work(tmp_path, inputs), watched)
    files = sorted((tmp_path / "tensorboard").iterdir())
    events = [event for path in files for event in _events(path)]
    values = {(value.tag, event.step): value.simple_value for event in events for value in event.summary.value}
    losses = {line["step"]: line["loss"] for line in _lines(tmp_path)}
    assert {step: values["training/loss", step] for step in losses} == pytest.approx(losses)
    assert [step for tag, step in values if tag == "validation/Python"] == [6, 12, 18, 20]


def _events(path: Path) -> Iterator[event_pb2.Event]:
    """The records of a TFRecord file: a length and its checksum, the event and its checksum."""
    data = path.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        yield event_pb2.Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]


def test_a_plan_for_another_vocabulary_is_refused(tmp_path: Path, inputs: dict[str, Path], plan: TrainPlan) -> None:
    with pytest.raises(UserError, match="vocabulary of 600"):
        build_run(_work(tmp_path, inputs), replace(plan, model=replace(plan.model, vocabulary=600)))
