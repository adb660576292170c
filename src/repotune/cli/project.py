"""init, plan, run and status: a project from its first line to its report."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import asdict
from pathlib import Path

from repotune.core.config import parse_config
from repotune.core.console import Console, duration, size, write_data
from repotune.core.errors import UserError
from repotune.core.flow import Standing, discard_unfinished, locked, run_flow, survey
from repotune.corpus.addresses import is_url
from repotune.corpus.sources.recognition import name_of, recognise
from repotune.pipeline.project import Project, locate, open_project
from repotune.pipeline.steps import build_steps, until

_TEMPLATE = """\
# What repotune learns from. Everything else has a default: docs/guides/configuration.md lists it.
[project]
name = {name}
repositories = [{repositories}]

[corpus]
licences = "any"            # "permissive" keeps only files under a permissive licence
exclude = []                # globs of paths to leave out, such as "vendor/**"

# The dial: training time on this machine. For a fixed size write [model] and size = "30m" beside it.
[budget]
hours = {hours:g}
"""

_MARKS = {"done": "✓", "unfinished": "…", "stale": "~", "missing": "·"}
# The step that each room's own command ends with.
_LAST_STEP = {
    "corpus": "corpus",
    "tokenizer": "tokens",
    "train": "run",
    "evaluate": "results",
    "release": "release",
    "report": "report",
}


def init(arguments: argparse.Namespace) -> int:
    """Writes repotune.toml. Never over one that is there."""
    path: Path = arguments.config
    if path.exists():
        raise UserError(f"{path} is there already.", f"edit it, or choose another place: --config OTHER/{path.name}")
    for repository in arguments.repositories:
        if not is_url(repository):  # what lies elsewhere is asked for when it is needed
            recognise(repository)
    root = Path.cwd()
    repositories = [locate(repository, root) for repository in arguments.repositories]
    text = _TEMPLATE.format(
        name=json.dumps(arguments.name or _name_of(repositories[0])),
        repositories=", ".join(json.dumps(repository, ensure_ascii=False) for repository in repositories),
        hours=arguments.hours,
    )
    write_config(path, text)
    Console().say(f"{path} is written; next: repotune plan")
    return 0


def write_config(path: Path, text: str) -> None:
    """Writes a repotune.toml that is known to load."""
    import tomllib

    from repotune.core.artefact import write_atomically

    parse_config(tomllib.loads(text), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text)


def plan(arguments: argparse.Namespace) -> int:
    """Says what `run` would do, and what that takes, without doing it."""
    from repotune.pipeline.forecast import forecast

    project = open_project(arguments.config)
    cast = forecast(project)
    if arguments.json:
        write_data(json.dumps({**asdict(cast), "seconds": cast.seconds}, indent=2))
        return 0
    console = Console()
    console.heading(f"{project.name}: {cast.files:,} files of code, {size(cast.bytes)}")
    for line in cast.lines:
        console.say(f"  {line}")
    for step in cast.steps:
        done = "done" if step.state == "done" else f"about {duration(step.seconds)}"
        console.say(f"  {_MARKS[step.state]} {step.name:<10} {done:<18} {step.title}")
    console.say(
        f"  in all {duration(cast.seconds)}; memory {size(cast.memory)} of {size(cast.memory_free)} free; "
        f"disk {size(cast.disk)} of {size(cast.disk_free)} free"
    )
    for warning in cast.warnings:
        console.warn(warning)
    console.say("next: repotune run")
    return 0


def run(arguments: argparse.Namespace) -> int:
    """Builds what is not built."""
    project = open_project(arguments.config)
    steps = build_steps(project, spark_master(arguments))
    if arguments.until:
        steps = until(steps, arguments.until)
    if arguments.discard:
        until(steps, arguments.discard)
        project.workspace.mkdir(parents=True, exist_ok=True)
        with locked(project.workspace):
            discard_unfinished(project.workspace, arguments.discard)
    run_flow(steps, project.workspace, Console(), project.seed)
    if steps[-1].name == "report":
        _say_end(project)
    return 0


def run_room(arguments: argparse.Namespace) -> int:
    """`repotune train` and the like: the flow as far as that room."""
    project = open_project(arguments.config)
    last = _LAST_STEP[arguments.room]
    run_flow(until(build_steps(project, spark_master(arguments)), last), project.workspace, Console(), project.seed)
    if last == "report":
        _say_end(project)
    return 0


def spark_master(arguments: argparse.Namespace) -> str:
    """The Spark master that computes the corpus; empty for this machine alone."""
    if arguments.engine == "local":
        if arguments.master:
            raise UserError("--master is Spark's.", f"add --engine spark --master {arguments.master}")
        return ""
    return arguments.master or "local[*]"


def status(arguments: argparse.Namespace) -> int:
    """Says how each step stands."""
    project = open_project(arguments.config)
    standings = survey(build_steps(project), project.workspace, project.seed)
    if arguments.json:
        write_data(json.dumps([_as_data(standing, project) for standing in standings], indent=2))
        return 0
    console = Console()
    console.heading(f"{project.name} in {project.workspace}")
    for standing in standings:
        console.say(f"  {_MARKS[standing.state]} {standing.step.name:<10} {_say_standing(standing, project)}")
    if all(standing.state == "done" for standing in standings):
        console.say("next: repotune serve")
    else:
        console.say("next: repotune run")
    return 0


def _say_standing(standing: Standing, project: Project) -> str:
    if standing.state == "done" and standing.manifest is not None:
        return f"done {standing.manifest.finished[:16].replace('T', ' ')}, took {duration(standing.manifest.seconds)}"
    if standing.state == "stale":
        return f"to be built again: {'; '.join(standing.changed)}"
    if standing.state == "unfinished":
        return "interrupted" + (f" at {at}; goes on from there" if (at := _reached(standing, project)) else "")
    return "not built yet"


def _reached(standing: Standing, project: Project) -> str:
    """Where an interrupted training stands, from its newest checkpoint."""
    from repotune.core.artefact import unfinished_path

    if not standing.step.resumable:
        return ""
    checkpoints = unfinished_path(project.workspace / standing.step.name) / "checkpoints"
    newest = max((path.name for path in checkpoints.glob("[0-9]*")), default="")
    return f"step {int(newest):,}" if newest else ""


def _as_data(standing: Standing, project: Project) -> dict[str, object]:
    manifest = standing.manifest
    return {
        "step": standing.step.name,
        "state": standing.state,
        "changed": list(standing.changed),
        "folder": str(project.workspace / standing.step.name),
        "finished": manifest.finished if manifest else None,
        "seconds": manifest.seconds if manifest else None,
    }


def _say_end(project: Project) -> None:
    from repotune.core.artefact import require_artefact

    results = project.workspace / "results"
    require_artefact(results)
    verdict = json.loads((results / "results.json").read_text(encoding="utf-8"))["verdict"]
    console = Console()
    console.heading(verdict)
    console.say(f"the report:  {project.workspace / 'report' / 'report.html'}")
    console.say(f"the release: {project.workspace / 'release'}")
    console.say("next: repotune serve")


def _name_of(repository: str) -> str:
    """A model's name from a repository's: its last part, reduced to what a name may hold."""
    plain = repository if Path(repository).exists() else repository.rpartition("#")[0] or repository
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name_of(plain)).strip("-._") or "model"
