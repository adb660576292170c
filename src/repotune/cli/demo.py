"""`repotune demo`: the whole flow on code that every machine has, the standard library of the Python that runs it."""

from __future__ import annotations

import argparse
import json
import sysconfig
import time
from pathlib import Path

from repotune.cli.project import write_config
from repotune.core.console import Console, duration
from repotune.core.flow import run_flow
from repotune.pipeline.project import Project, open_project
from repotune.pipeline.steps import build_steps

# About four minutes of training: with everything around it the demo ends within eight on two idle cores.
_HOURS = 0.07

_CONFIG = """\
# Written by `repotune demo`. The same file for your own code comes from: repotune init REPOSITORY…
[project]
name = "demo"
repositories = [{repository}]

[corpus]
languages = ["Python"]
licences = "permissive"
validation_share = 0.03
test_share = 0.05           # some thirty-five files: fewer make wide intervals
exclude = ["**/test/**", "**/tests/**", "**/idle_test/**", "site-packages/**", "dist-packages/**"]

[budget]
hours = {hours:g}
"""


def demo(arguments: argparse.Namespace) -> int:
    """Builds everything, shows a completion and the verdict; with --serve it then stays up."""
    console = Console()
    started = time.monotonic()
    project = _open(arguments.folder, arguments.hours or _HOURS)
    console.heading(f"repotune demo: a completion model of {project.repositories[0]}, in {arguments.folder}/")
    run_flow(build_steps(project), project.workspace, console, project.seed)
    _show(project, console)
    console.say(f"the demo took {duration(time.monotonic() - started)}")
    if not arguments.serve:
        console.say("next: repotune demo --serve, or repotune init PATH to learn from your own code")
        return 0
    from repotune.serve.run import serve

    workspace = project.workspace
    serve(workspace / "release", project.config.serve, console, _report(project), workspace / "index")
    return 0


def _open(folder: Path, hours: float) -> Project:
    path = folder / "repotune.toml"
    library = json.dumps(sysconfig.get_paths()["stdlib"], ensure_ascii=False)
    text = _CONFIG.format(repository=library, hours=hours)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_config(path, text)
    return open_project(path)


def _show(project: Project, console: Console) -> None:
    """One completion as the server gave it over HTTP, then the verdict and where things are."""
    trial = json.loads((project.workspace / "trial" / "trial.json").read_text(encoding="utf-8"))
    examples = trial["examples"]
    example = next((each for each in examples if each["got"].strip()), examples[0])
    before, after = example["prefix_tail"].splitlines() or [""], example["suffix_head"].split("\n", 1)[0]
    console.heading(f"asked over HTTP to complete {example['path']} at ▏:")
    for line in [*before[-4:-1], f"{before[-1]}▏{example['got']}▏{after}"]:
        console.say(f"    {line}")
    console.say(f"  the file itself goes on: {example['expected'].rstrip()}")
    latency = trial["keystroke"]["total_ms"]
    console.say(f"  a completion after a keystroke took {latency['p50']:.0f} ms at p50, {latency['p95']:.0f} ms at p95")
    verdict = json.loads((project.workspace / "results" / "results.json").read_text(encoding="utf-8"))["verdict"]
    console.heading(verdict)
    console.say(f"the report: {_report(project)}")


def _report(project: Project) -> Path:
    return project.workspace / "report" / "report.html"
