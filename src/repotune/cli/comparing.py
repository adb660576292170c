"""`evaluate compare OLD NEW…` and `evaluate ablate VARIANTS.toml`: models side by side, and a gate's exit status."""

from __future__ import annotations

import argparse
from pathlib import Path

from repotune.core.console import Console, write_data
from repotune.core.errors import UserError
from repotune.pipeline.project import open_project


def compare(arguments: argparse.Namespace) -> int:
    """Compares `models`, or result folders of one benchmark, with the first of them; the verdict goes to stdout.

    With `margin`, `better` or `measure` it is a gate: 0 where the new model passes, 3 where it does not.
    """
    from repotune.evaluate.comparison.benchmarks import compare_benchmarks
    from repotune.evaluate.comparison.gate import Gate, judge
    from repotune.evaluate.comparison.run import compare as compare_models
    from repotune.report.comparison_page import build_comparison_page

    models: list[Path] = arguments.models
    benchmarks = [(folder / "verdicts.jsonl").is_file() for folder in models]
    if any(benchmarks) and not all(benchmarks):
        raise UserError("Results of a benchmark and models cannot be compared.", "name models, or results, not both")
    given = {name: getattr(arguments, name) for name in ("measure", "margin") if getattr(arguments, name) is not None}
    gate = None
    if given or arguments.better:
        gate = Gate(**({"measure": "pass@1"} if any(benchmarks) else {}) | given, better=arguments.better)
    console = Console()
    if any(benchmarks):
        found = compare_benchmarks(models, arguments.results or models[0].parent / "comparisons", console)
    else:
        project = open_project(arguments.config)
        found = compare_models(
            models,
            arguments.corpus or project.workspace / "corpus",
            arguments.results or project.workspace / "comparisons",
            project.config.evaluate,
            console,
            seed=project.seed,
            repositories=() if arguments.corpus else project.repositories,
            learnt=arguments.learnt,
        )
    build_comparison_page(found.folder, found.folder)
    console.say(f"the page: {found.folder / 'comparison.html'}")
    write_data(found.verdict)
    if gate is None:
        return 0
    passing = judge(gate, found)
    write_data(passing.sentence)
    return passing.status


def ablate(arguments: argparse.Namespace) -> int:
    """Trains the project and its variants at a small scale; each seed's verdict and that over all go to stdout."""
    from repotune.pipeline.ablation import Scale, read_variants
    from repotune.pipeline.ablation import ablate as run_ablation

    variants = read_variants(arguments.variants)
    scale = Scale(arguments.size, arguments.tokens)
    folder = arguments.folder or open_project(arguments.config).workspace / "ablations" / arguments.variants.stem
    folder.mkdir(parents=True, exist_ok=True)
    found = run_ablation(arguments.config, variants, scale, arguments.seeds, folder, Console())
    for verdict in found.verdicts:
        write_data(verdict)
    return 0
