"""`repotune evaluate leaks`: what must not come out of a model, measured, on a page and as a gate."""

from __future__ import annotations

import argparse
from pathlib import Path

from repotune.core.errors import UserError


def leaks(arguments: argparse.Namespace) -> int:
    """Measures what comes out of a model and writes the page. With --gate the status is 3 where anything private came
    out, or more verbatim text than the rate; with --plant it only writes new canaries."""
    if arguments.plant is not None:
        return _plant(arguments.plant)
    from repotune.core.console import Console
    from repotune.evaluate.leaks.canaries import read_canaries
    from repotune.evaluate.leaks.run import LeakSettings, measure_leaks
    from repotune.pipeline.project import open_project
    from repotune.report.leaks_page import build_leaks_page

    project, console = open_project(arguments.config), Console()
    settings = LeakSettings(
        prompts=arguments.prompts,
        samples=arguments.samples,
        canaries=tuple(read_canaries(arguments.canaries)) if arguments.canaries else (),
        policy=project.config.corpus,
    )
    model: Path = arguments.model or project.workspace / "release"
    if not model.is_dir():
        raise UserError(f"There is no model in {model}.", "repotune release, or name a model: --model FOLDER")
    found = measure_leaks(
        model, project.workspace / "corpus", project.workspace / "leaks", settings, console, project.seed
    )
    console.heading(found.data["said"])
    console.say(f"the page: {build_leaks_page(found.folder, project.name)}")
    if arguments.gate is None or found.passes(arguments.gate):
        return 0
    console.error(
        f"The gate of {100 * arguments.gate:g} % is not passed.", f"what came out: {found.folder}/leaks.jsonl"
    )
    return 3


def _plant(path: Path) -> int:
    """Writes new canaries to `path`; what is to be planted goes to stdout, a line each."""
    from repotune.core.console import write_data
    from repotune.evaluate.leaks.canaries import new_canaries, write_canaries

    canaries = new_canaries(9)
    write_canaries(canaries, path)
    write_data("\n".join(canary.line for canary in canaries))
    return 0
