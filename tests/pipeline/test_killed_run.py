"""`kill -9` in the middle of every step, then `run` again: the same corpus, tokens, losses and weights at the end."""

import json
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from repotune.core.artefact import read_manifest, unfinished_path
from repotune.core.flow import Step
from repotune.pipeline.project import open_project
from repotune.pipeline.steps import build_steps

CONFIG = """
[project]
name = "killed"
repositories = ["code"]
[tokenizer]
size = 1024
[model]
size = "1m"
[train]
tokens = 16384
sequence = 64
batch_tokens = 1024
checkpoint_tokens = 2048
threads = 1
device = "cpu"
[evaluate]
items = 4
likelihood_bytes = 2000
"""
PATIENCE_SECONDS = 120
# What follows depends on these by contents alone; the other steps also hold timings.
COMPARED = ("corpus", "tokenizer", "tokens", "plan", "run", "index", "results")


def make_project(folder: Path) -> Path:
    """A project on a few dozen files of the standard library."""
    library = Path(sysconfig.get_paths()["stdlib"])
    for package in ("json", "email", "logging", "html"):
        for source in sorted((library / package).glob("*.py")):
            target = folder / "code" / package / source.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    path = folder / "repotune.toml"
    path.write_text(CONFIG)
    return path


def start(config: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "repotune", "run", "--config", str(config), *more]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def under_way(step: Step, workspace: Path) -> bool:
    """Whether `step` has begun to write; for training, whether it is past its first checkpoint."""
    folder = unfinished_path(workspace / step.name)
    if step.resumable:
        return any((folder / "checkpoints").glob("[0-9]*"))
    return folder.exists()


def kill_in_the_middle(step: Step, config: Path, workspace: Path) -> None:
    process = start(config, "--until", step.name)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not under_way(step, workspace):
        assert process.poll() is None, f"{step.name} ended before it was seen:\n{process.stderr.read().decode()}"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert read_manifest(workspace / step.name) is None, f"{step.name} was over before it could be killed"


def finish(config: Path) -> None:
    process = start(config)
    _, said = process.communicate(timeout=2 * PATIENCE_SECONDS)
    assert process.returncode == 0, said.decode()


def losses(workspace: Path) -> list[tuple[int, float]]:
    lines = (workspace / "run" / "metrics.jsonl").read_text().splitlines()
    return [(line["step"], line["loss"]) for line in map(json.loads, lines)]


@pytest.mark.timeout(600)
def test_a_run_killed_in_every_step_ends_as_one_that_was_not(tmp_path: Path) -> None:
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole, killed = (make_project(tmp_path / name) for name in ("whole", "killed"))
    finish(whole)
    workspace = killed.parent / "work"
    for step in build_steps(open_project(killed)):
        kill_in_the_middle(step, killed, workspace)
    finish(killed)
    for name in COMPARED:
        ours, theirs = (read_manifest(path.parent / "work" / name) for path in (killed, whole))
        assert ours is not None and theirs is not None
        assert ours.contents == theirs.contents, f"{name} differs"
    assert losses(workspace) == losses(whole.parent / "work")
    assert len(losses(workspace)) == 16
