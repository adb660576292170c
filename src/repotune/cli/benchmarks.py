"""`repotune evaluate benchmark SOURCE…`: any model on public benchmarks, and all that was measured on one page."""

from __future__ import annotations

import argparse
from pathlib import Path

from repotune.core.errors import UserError


def benchmark(arguments: argparse.Namespace) -> int:
    """Measures each model on each benchmark, says the scores and writes the page."""
    from repotune.core.console import Console
    from repotune.evaluate.benchmarks.run import Asked, read_scores, run_benchmark
    from repotune.evaluate.benchmarks.sampling import Drawing
    from repotune.evaluate.sandbox.confinement import Level
    from repotune.report.benchmarks_page import build_benchmarks_page

    models, results, name = _places(arguments)
    warm = 0.2 if arguments.samples > 1 else 0.0
    temperature = warm if arguments.temperature is None else arguments.temperature
    drawing = Drawing(arguments.samples, temperature, arguments.top_p, arguments.most_tokens)
    level = Level[arguments.level.upper()] if arguments.level else None
    console = Console()
    for model in models:
        for source in arguments.sources:
            folder = run_benchmark(
                model, Asked(source, drawing, arguments.part, arguments.most, level), results, console
            )
            for line in read_scores(folder):
                console.say(f"  {line}")
    console.say(f"the page of all that was measured: {build_benchmarks_page(results, name)}")
    return 0


def _places(arguments: argparse.Namespace) -> tuple[list[Path], Path, str]:
    """Models, where results go, and what the page is called. A project is needed only for what is not given."""
    if arguments.model and arguments.results:
        return arguments.model, arguments.results, arguments.results.resolve().name
    from repotune.pipeline.project import open_project

    project = open_project(arguments.config)
    release = project.workspace / "release"
    if not arguments.model and not release.is_dir():
        raise UserError("This project has no release yet.", "repotune release, or name a model: --model FOLDER")
    return arguments.model or [release], arguments.results or project.workspace / "benchmarks", project.name
