"""The index brought up to date with the repositories as they are now, without training again: `repotune index`.

It is a flow of its own in workspace/latest/: the corpus of today, the model's vocabulary, its tokens, and the index of
the model with what differs. What the model learnt from stays as it is beside it, with all that was measured of it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from repotune.core.artefact import MANIFEST_NAME, read_manifest, require_artefact
from repotune.core.console import Console
from repotune.core.flow import LOCK_NAME, Step, Work, locked, run_flow
from repotune.pipeline.project import Project
from repotune.pipeline.steps import build_steps

LATEST = "latest"


def refresh_index(project: Project, console: Console, master: str = "") -> Path:
    """Brings the index up to date and returns its folder; what is up to date is not done again. With `master` the
    corpus is computed on the Spark cluster there.

    Raises UserError where the project has no index yet, or another repotune is at work on it.
    """
    workspace = project.workspace
    for name in ("tokenizer", "index"):
        require_artefact(workspace / name)
    own = {step.name: step for step in build_steps(project, master)}
    steps = [own["corpus"], _tokenizer(workspace), own["tokens"], _index(workspace)]
    with locked(workspace):  # both flows fetch into the same mirrors
        run_flow(steps, workspace / LATEST, console, project.seed)
    return workspace / LATEST / "index"


def newest_index(workspace: Path) -> Path | None:
    """The index to serve with: the one brought up to date, where it is of the model that is there now, else the one
    that was built with the model, if any."""
    trained, latest = workspace / "index", workspace / LATEST / "index"
    if not trained.is_dir():
        return None
    return latest if _is_of(latest, trained) else trained


def _is_of(latest: Path, trained: Path) -> bool:
    """Whether `latest` came from the index `trained`, and so has its gate."""
    newer, older = read_manifest(latest), read_manifest(trained)
    return newer is not None and older is not None and newer.settings.get("of") == older.contents


def _tokenizer(workspace: Path) -> Step:
    source = workspace / "tokenizer"

    def run(work: Work) -> None:
        _copy(source, work.folder)

    return Step("tokenizer", "Tokenizer: the model's", run, settings={"of": require_artefact(source).contents})


def _index(workspace: Path) -> Step:
    trained, latest = workspace / "index", workspace / LATEST / "index"

    def run(work: Work) -> None:
        from repotune.infer.index.building import refresh

        _copy(latest if _is_of(latest, trained) else trained, work.folder)
        changed, gone = refresh(work.folder, work.inputs["tokens"], work.inputs["corpus"], work.console)
        work.console.say(f"  {changed} files are new or changed, {gone} are gone")

    return Step(
        name="index",
        title="Index: take over what has changed",
        run=run,
        inputs=("corpus", "tokens"),
        settings={"of": require_artefact(trained).contents},
        volatile=frozenset({LOCK_NAME}),
    )


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST_NAME, LOCK_NAME))
