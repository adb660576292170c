"""The steps from repositories to report, in order: ten, and one before the tokenizer where a base is gone on from.

A room is imported only when its step runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from repotune.core.errors import UserError
from repotune.core.flow import LOCK_NAME, Step, Work
from repotune.core.hardware import available_cores
from repotune.pipeline.project import Project


def build_steps(project: Project, master: str = "") -> list[Step]:
    """The flow of `project`. With `master` its corpus is computed on the Spark cluster there, to the same bytes."""
    return [
        _corpus(project, master),
        *_base(project),
        _tokenizer(project),
        _tokens(project),
        _plan(project),
        _run(project),
        _index(),
        _results(project),
        _release(project),
        _trial(),
        _report(project),
    ]


def until(steps: Sequence[Step], name: str) -> list[Step]:
    """The steps up to and with `name`. Raises UserError where there is none of that name."""
    names = [step.name for step in steps]
    if name not in names:
        raise UserError(f"There is no step {name}.", f"the steps are: {', '.join(names)}")
    return list(steps[: names.index(name) + 1])


def _corpus(project: Project, master: str) -> Step:
    from repotune.corpus.contamination import state_of_benchmarks
    from repotune.corpus.exclusion import Exclusion
    from repotune.corpus.profiles import load_profile
    from repotune.corpus.samples import named_samples
    from repotune.corpus.sources import state_of

    settings, root = project.config.corpus, project.path.absolute().parent

    def run(work: Work) -> None:
        from repotune.corpus.build import build_corpus
        from repotune.corpus.engines.local import LocalEngine
        from repotune.corpus.engines.spark import SparkEngine

        mirrors = project.workspace / "mirrors"  # outlives the step: a later build fetches only what is new
        engine = partial(SparkEngine, master) if master else partial(LocalEngine, available_cores())
        build_corpus(work, project.repositories, settings, engine, root, mirrors)

    # Where a repository lies does not matter to what is in it: its state is its fingerprint.
    return Step(
        name="corpus",
        title="Corpus: collect, filter, deduplicate, split",
        run=run,
        settings={
            **_plain(settings),
            "profile": load_profile(settings.profile, root).as_settings(),
            "repositories": state_of(project.repositories, Exclusion(settings.exclude)),
            "benchmarks": state_of_benchmarks(settings, root),
            "examples": {key: samples.state() for key, samples in named_samples(settings, root).items()},
        },
    )


def _base(project: Project) -> list[Step]:
    if (source := project.base) is None:
        return []

    def run(work: Work) -> None:
        from repotune.train.base import build_base

        build_base(work, source)

    return [Step("base", "Base: fetch the model to go on from", run, settings=_state_of_base(source))]


def _tokenizer(project: Project) -> Step:
    settings = project.config.tokenizer

    def adopt(work: Work) -> None:
        from repotune.tokenizer.adoption import adopt_tokenizer

        adopt_tokenizer(work, work.inputs["base"])

    def run(work: Work) -> None:
        from repotune.pipeline.derive import vocabulary_size
        from repotune.tokenizer.vocabulary import build_tokenizer

        summary = json.loads((work.inputs["corpus"] / "summary.json").read_text(encoding="utf-8"))
        build_tokenizer(work, settings.size or vocabulary_size(summary["splits"]["train"]["bytes"]), settings.pattern)

    return Step(
        name="tokenizer",
        title="Tokenizer: take over the base's vocabulary" if project.base else "Tokenizer: learn the vocabulary",
        run=adopt if project.base else run,
        inputs=("corpus", *_base_of(project)),
        settings=_plain(settings),
    )


def _tokens(project: Project) -> Step:
    shares = project.config.corpus.mixture.shares

    def run(work: Work) -> None:
        from repotune.tokenizer.packing import build_tokens

        build_tokens(work, shares)

    return Step(
        name="tokens",
        title="Tokens: encode the corpus",
        run=run,
        inputs=("corpus", "tokenizer"),
        settings={"shares": dict(shares)},
    )


def _plan(project: Project) -> Step:
    config = project.config

    def run(work: Work) -> None:
        from repotune.pipeline.derive import build_plan

        build_plan(work, config)

    return Step(
        name="plan",
        title="Plan: choose size and length by what this machine can do",
        run=run,
        inputs=("tokenizer", "tokens", *_base_of(project)),
        settings=_training_settings(project),
        volatile=frozenset({"measured.json"}),
    )


def _run(project: Project) -> Step:
    def run(work: Work) -> None:
        from repotune.pipeline.derive import read_plan
        from repotune.train.run import build_run

        build_run(work, read_plan(work.inputs["plan"]))

    return Step(
        name="run",
        title="Run: train the model",
        run=run,
        inputs=("tokenizer", "tokens", "plan", *_base_of(project)),
        settings=_training_settings(project),
        volatile=frozenset({"metrics.jsonl", "logbook.md", "tensorboard"}),
        resumable=True,
    )


def _index() -> Step:
    def run(work: Work) -> None:
        from repotune.infer.index.step import build_index

        build_index(work)

    return Step(
        name="index",
        title="Index: your code at hand, for drafts, probabilities and attribution",
        run=run,
        inputs=("corpus", "tokens", "run"),
        volatile=frozenset({LOCK_NAME}),
    )


def _results(project: Project) -> Step:
    settings = project.config.evaluate

    def run(work: Work) -> None:
        from repotune.evaluate.run import build_results

        build_results(work, settings, project.repositories)

    return Step(
        name="results",
        title="Results: measure what will be served on held-out files",
        run=run,
        inputs=("corpus", "tokenizer", "tokens", "run", "index", *_base_of(project)),
        settings=_plain(settings),
    )


def _release(project: Project) -> Step:
    settings = project.config.release

    def run(work: Work) -> None:
        from repotune.release.build import build_release

        build_release(work, settings, project.name)

    return Step(
        name="release",
        title="Release: package it for transformers, llama.cpp and the server",
        run=run,
        inputs=("corpus", "tokenizer", "tokens", "run", "results"),
        settings={**_plain(settings), "name": project.name},
    )


def _trial() -> Step:
    def run(work: Work) -> None:
        from repotune.core.settings import ServeSettings
        from repotune.serve.trial import build_trial

        # The trial takes a free port of its own: the project's may be in use by the server it will replace.
        build_trial(work, ServeSettings(port=0))

    return Step(
        name="trial",
        title="Trial: start the server and ask it for completions",
        run=run,
        inputs=("corpus", "release", "index"),
        volatile=frozenset({"trial.json", "log.txt"}),
    )


def _report(project: Project) -> Step:
    def run(work: Work) -> None:
        from repotune.report.build import build_report

        build_report(work, project.name)

    return Step(
        name="report",
        title="Report: put it on one page",
        run=run,
        inputs=("corpus", "tokenizer", "tokens", "plan", "run", "index", "results", "release", "trial"),
        settings={"name": project.name},
    )


def _base_of(project: Project) -> tuple[str, ...]:
    """The base, for steps that depend on it where there is one."""
    return ("base",) if project.base else ()


def _state_of_base(source: str) -> dict[str, Any]:
    """What tells whether `source` is still the same: its files' sizes and times, or its name on the hub."""
    folder = Path(source).expanduser()
    if not folder.is_dir():
        return {"hub": source}
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in files}


def _training_settings(project: Project) -> Mapping[str, Any]:
    """What the plan, and so the run, depends on."""
    config = project.config
    return {"model": _plain(config.model), "budget": _plain(config.budget), "train": _plain(config.train)}


def _plain(section: Any) -> dict[str, Any]:
    """A section as JSON values, so that it compares equal to what a manifest holds."""
    plain: dict[str, Any] = json.loads(section.model_dump_json())
    return plain
