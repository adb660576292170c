"""What the corpus tests share: a work folder, repositories made by git itself, and source that passes every rule."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from repotune.core.console import Console
from repotune.core.flow import Work
from repotune.core.settings import CorpusSettings
from repotune.corpus.build import build_corpus
from repotune.corpus.engines.local import LocalEngine

Files = Mapping[str, str | bytes]


@dataclass(frozen=True)
class Repository:
    folder: Path

    def git(self, *arguments: str, date: str = "2024-01-01T00:00:00Z") -> str:
        who = {f"GIT_{role}_{part}": "t@example.org" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
        when = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        command = ["git", "-C", str(self.folder), *arguments]
        return subprocess.run(
            command, check=True, capture_output=True, text=True, errors="surrogateescape", env=os.environ | who | when
        ).stdout

    def commit(self, files: Files, date: str = "2024-01-01T00:00:00Z") -> None:
        _write(self.folder, files)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "change", date=date)


@dataclass(frozen=True)
class Built:
    """A corpus as it was written."""

    folder: Path
    summary: dict[str, Any]

    def split(self, name: str) -> list[dict[str, Any]]:
        return pq.read_table(self.folder / f"{name}-00000.parquet").to_pylist()

    @property
    def kept(self) -> dict[str, dict[str, Any]]:
        return {row["path"]: row for name in ("train", "validation", "test") for row in self.split(name)}

    @property
    def dropped(self) -> dict[str, dict[str, Any]]:
        return {row["path"]: row for row in pq.read_table(self.folder / "dropped.parquet").to_pylist()}


@pytest.fixture
def write() -> Callable[[Path, Files], None]:
    return _write


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "api")
    made.folder.mkdir()
    made.git("init", "-q", "-b", "main")
    return made


@pytest.fixture
def module() -> Callable[..., str]:
    """Python source that resembles no other number's."""

    def make(number: int, functions: int = 12) -> str:
        return "\n".join(
            f"def f{number}_{place}(alpha{number}, beta{place}):\n"
            f"    total{number * place} = alpha{number} + {number + place}\n"
            f"    return total{number * place} * beta{place} - gamma{number}_{place}\n"
            for place in range(functions)
        )

    return make


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Built]:
    """Builds a corpus of folders, with settings by keyword."""

    def run(*repositories: Path | str, workers: int = 1, seed: int = 1, name: str = "corpus", **settings: Any) -> Built:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        work = Work(folder, {}, Console(quiet=True), seed)
        build_corpus(
            work, [str(path) for path in repositories], CorpusSettings(**settings), partial(LocalEngine, workers)
        )
        return Built(folder, json.loads((folder / "summary.json").read_text()))

    return run


def _write(folder: Path, files: Files) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
