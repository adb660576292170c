"""A small workspace of real parts: a corpus in two languages, tokenizer, tokens and a network trained briefly."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from repotune.core.console import Console
from repotune.core.flow import Work
from repotune.evaluate.own_code.held_out import HeldOut
from repotune.infer.index.step import build_index
from repotune.model.configuration import ModelConfig
from repotune.model.network import Network
from repotune.model.weights import save_model
from repotune.tokenizer.encoding import Codec, load_codec
from repotune.tokenizer.packing import TokenStore, build_tokens
from repotune.tokenizer.vocabulary import build_tokenizer
from repotune.train.batches import Position
from repotune.train.state import Progress, write_checkpoint

COLUMNS = ("text", "path", "language", "repository", "commit", "created", "committed")
PART = """# part {0}
step_{0}() {{
    echo "step {0}"
    run --level {0} | sort
}}
"""
SHELL = "".join(PART.format(number) for number in range(40))


@dataclass(frozen=True)
class Workspace:
    """Folders by step, and what they hold."""

    folders: dict[str, Path]
    codec: Codec

    def work(self, folder: Path) -> Work:
        folder.mkdir(exist_ok=True)
        return Work(folder, self.folders, Console(quiet=True), seed=3)


def write_corpus(folder: Path, splits: dict[str, list[HeldOut]]) -> None:
    folder.mkdir(parents=True)
    for split, files in splits.items():
        table = {name: pa.array([getattr(file, name) for file in files], pa.string()) for name in COLUMNS}
        table["licence"] = pa.array(["MIT"] * len(files), pa.string())
        table["weight"] = pa.array([1.0] * len(files), pa.float64())
        pq.write_table(pa.table(table), folder / f"{split}-00000.parquet")


def python_files() -> list[HeldOut]:
    library = Path(sysconfig.get_paths()["stdlib"])
    paths = [path for path in sorted(library.glob("*.py")) if 2_000 < path.stat().st_size < 40_000]
    return [HeldOut(path.read_text("utf-8"), path.name, "Python", "library") for path in paths[:60]]


def train(network: Network, store: TokenStore, codec: Codec, steps: int) -> torch.optim.Optimizer:
    """Plain AdamW on the tokens: enough to be far better than nothing. Returns the optimiser."""
    stream = np.concatenate([np.append(store.document(i), codec.end) for i in range(len(store))]).astype(np.int64)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for step in range(steps):
        starts = np.random.default_rng(step).integers(0, len(stream) - 129, 8)
        ids = torch.from_numpy(np.stack([stream[start : start + 129] for start in starts]))
        logits = network(ids[:, :-1])
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return optimiser


@pytest.fixture(scope="session")
def held_out() -> list[HeldOut]:
    return [*python_files()[50:], HeldOut(SHELL, "bin/steps.sh", "Shell", "tools")]


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory, held_out: list[HeldOut]) -> Workspace:
    # Two threads of torch on a busy machine wait for each other at every small product: twenty times as long.
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("workspace")
    folders = {name: root / name for name in ("corpus", "tokenizer", "tokens", "run")}
    files = python_files()
    write_corpus(folders["corpus"], {"train": files[:42], "validation": files[42:50], "test": held_out})
    for name in ("tokenizer", "tokens", "run"):
        folders[name].mkdir()
    quiet = Console(quiet=True)
    build_tokenizer(Work(folders["tokenizer"], folders, quiet, seed=1), 1024)
    build_tokens(Work(folders["tokens"], folders, quiet, seed=1))
    codec = load_codec(folders["tokenizer"])
    torch.manual_seed(0)
    # Whole vectors in every row and each half of a head: the CPU's kernels know this shape.
    network = Network(ModelConfig(codec.size, width=64, layers=2, heads=2, kv_heads=1, hidden=128, context=256))
    save_model(folders["run"] / "initial", network, folders["tokenizer"])
    optimiser = train(network, TokenStore(folders["tokens"], "train"), codec, steps=60)
    write_checkpoint(folders["run"], network, [optimiser], Progress(60, Position(), False), folders["tokenizer"])
    return Workspace(folders, codec)


@pytest.fixture(scope="session")
def indexed(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The same with the index of its training split, and how much the model takes of its word."""
    folder = tmp_path_factory.mktemp("indexed") / "index"
    build_index(workspace.work(folder))
    return Workspace({**workspace.folders, "index": folder}, workspace.codec)


class Repository:
    """One that is written commit by commit, each at a date of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str, date: str = "2024-01-01T00:00:00Z") -> str:
        identity = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        environment = {**os.environ, **identity, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        done = subprocess.run(["git", *arguments], cwd=self.folder, env=environment, check=True, capture_output=True)
        return done.stdout.decode().strip()

    def commit(self, date: str, **texts: str | None) -> str:
        """Commits Python files by their names, None for one that goes. Returns the commit."""
        for name, text in texts.items():
            path = self.folder / f"{name}.py"
            path.parent.mkdir(exist_ok=True)
            if text is None:
                path.unlink()
            else:
                path.write_text(text, "utf-8")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "change", date=date)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def make_repository() -> type[Repository]:
    return Repository


@pytest.fixture
def make_dated(
    workspace: Workspace, held_out: list[HeldOut], tmp_path: Path
) -> Callable[[str], tuple[Workspace, Path]]:
    """Gives the workspace a corpus whose four test files grew by some lines after all was learnt, and the repository
    that tells of it."""

    def make(added: str) -> tuple[Workspace, Path]:
        before, learnt_at, after = (f"{month}-01T00:00:00Z" for month in ("2023-01", "2024-01", "2024-02"))
        repository = Repository(tmp_path / "library")
        new = [replace(file, text=f"{added}\n{file.text}") for file in held_out[:4]]
        repository.commit(before, **{file.path.removesuffix(".py"): file.text for file in held_out[:4]})
        commit = repository.commit(after, **{file.path.removesuffix(".py"): file.text for file in new})
        files = [replace(file, commit=commit, created=before, committed=after) for file in new]
        learnt = [HeldOut("a = 1\n", "a.py", "Python", "library", committed=learnt_at)]
        corpus = tmp_path / "corpus"
        write_corpus(corpus, {"train": learnt, "validation": learnt, "test": files})
        return Workspace({**workspace.folders, "corpus": corpus}, workspace.codec), repository.folder

    return make


@pytest.fixture
def write_dated_corpus() -> Callable[[Path, list[str]], Path]:
    """Writes a training split of files that were last changed at these dates."""

    def write(folder: Path, dates: list[str]) -> Path:
        files = [HeldOut("a = 1\n", f"{i}.py", "Python", "r", committed=date) for i, date in enumerate(dates)]
        write_corpus(folder, {"train": files})
        return folder

    return write


@pytest.fixture
def emptied(workspace: Workspace, tmp_path: Path) -> Workspace:
    """The same without any held-out file."""
    corpus = tmp_path / "corpus"
    shutil.copytree(workspace.folders["corpus"], corpus)
    (corpus / "test-00000.parquet").unlink()
    pq.write_table(pa.table({name: pa.array([], pa.string()) for name in COLUMNS}), corpus / "test-00000.parquet")
    return Workspace({**workspace.folders, "corpus": corpus}, workspace.codec)
