"""`repotune index`: the repositories as they are now are in the index; the model and its figures stay as they were."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

import pytest

from repotune.cli.main import main
from repotune.core.artefact import read_manifest
from repotune.core.console import Console
from repotune.core.flow import run_flow
from repotune.infer.index.building import _segments
from repotune.infer.index.folder import open_index, read_head
from repotune.pipeline.latest import newest_index, refresh_index
from repotune.pipeline.project import Project, open_project
from repotune.pipeline.steps import build_steps, until

CONFIG = """
[project]
name = "latest"
repositories = ["code"]
[tokenizer]
size = 1024
[model]
size = "1m"
[train]
tokens = 4096
sequence = 64
batch_tokens = 1024
threads = 1
device = "cpu"
"""
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project on some packages of the standard library, as far as its index."""
    folder = tmp_path_factory.mktemp("latest")
    library = Path(sysconfig.get_paths()["stdlib"])
    for package in ("json", "email", "logging", "html", "asyncio", "unittest", "importlib"):
        shutil.copytree(library / package, folder / "code" / package, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "repotune.toml").write_text(CONFIG)
    project = open_project(folder / "repotune.toml")
    run_flow(until(build_steps(project), "index"), project.workspace, QUIET, project.seed)
    return folder


@pytest.fixture
def project(built: Path, tmp_path: Path) -> Project:
    """A copy of it, to change."""
    shutil.copytree(built, tmp_path / "project")
    return open_project(tmp_path / "project" / "repotune.toml")


def paths(index: Path) -> set[str]:
    """What the index at `index` holds, by path."""
    return {source.path for segment in _segments(index, read_head(index)) for _, source, _ in segment.living()}


def trained_on(project: Project) -> list[Path]:
    """Files of the training split, in order."""
    code = project.path.absolute().parent / "code"
    return sorted(code / path for path in paths(project.workspace / "index"))


def test_what_changed_is_taken_over_and_the_model_stays(project: Project) -> None:
    changed, gone = trained_on(project)[:2]
    before = {name: read_manifest(project.workspace / name) for name in ("corpus", "tokens", "run", "index")}
    changed.write_text(changed.read_text() + "\n\ndef a_function_of_today(argument):\n    return argument\n")
    gone.unlink()
    folder = refresh_index(project, QUIET)
    assert gone.relative_to(project.path.absolute().parent / "code").as_posix() not in paths(folder)
    assert changed.relative_to(project.path.absolute().parent / "code").as_posix() in paths(folder)
    assert before == {name: read_manifest(project.workspace / name) for name in before}
    assert newest_index(project.workspace) == folder
    assert open_index(folder).tokenizer == open_index(project.workspace / "index").tokenizer
    assert {gate.name for gate in (folder / "gates").iterdir()} == {
        gate.name for gate in (project.workspace / "index" / "gates").iterdir()
    }


def test_what_is_up_to_date_is_not_done_again(project: Project) -> None:
    folder = refresh_index(project, QUIET)
    first = (folder / "manifest.json").stat()
    assert refresh_index(project, QUIET) == folder
    again = (folder / "manifest.json").stat()
    assert (again.st_ino, again.st_mtime_ns) == (first.st_ino, first.st_mtime_ns)


def test_a_model_trained_since_has_its_own_index(project: Project) -> None:
    latest = refresh_index(project, QUIET)
    trained_on(project)[0].unlink()
    run_flow(until(build_steps(project), "index"), project.workspace, QUIET, project.seed)
    assert newest_index(project.workspace) == project.workspace / "index"
    assert refresh_index(project, QUIET) == latest
    assert newest_index(project.workspace) == latest
    assert paths(latest) == paths(project.workspace / "index")


def test_without_a_model_the_command_says_what_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "repotune.toml").write_text(CONFIG)
    assert newest_index(tmp_path / "work") is None
    assert main(["index", "--config", str(tmp_path / "repotune.toml")]) == 2
    assert "repotune run builds what is missing" in capsys.readouterr().err
