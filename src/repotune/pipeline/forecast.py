"""What `repotune plan` prints: what will be built, how long it takes and what it needs. Decides and changes nothing.

Where the plan is made already its figures are facts; before that they are estimated from the files' sizes.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from repotune.core import estimate
from repotune.core.artefact import read_manifest
from repotune.core.console import size
from repotune.core.flow import State, survey
from repotune.core.hardware import Hardware, probe
from repotune.corpus.addresses import is_url
from repotune.corpus.exclusion import Exclusion
from repotune.corpus.languages import language_named, likely_language, wanted_languages
from repotune.corpus.profiles import MAX_BYTES
from repotune.corpus.rows import Listed
from repotune.corpus.sources import open_sources
from repotune.pipeline.derive import Choice, choose, describe, read_plan, shape_of_base, vocabulary_size
from repotune.pipeline.project import Project
from repotune.pipeline.steps import build_steps

# Share of the listed bytes that survives filters, duplicates and the held-out splits, and bytes a token holds: both
# as on the standard library (docs/lab-log.md).
_KEPT_SHARE, _BYTES_PER_TOKEN = 0.85, 3.6
# Bytes per second of the steps that read the corpus, on two cores, and seconds of those whose length hardly varies.
_RATES = {"corpus": 2.0e6, "tokenizer": 2.5e6, "tokens": 10e6, "index": 1.0e6}
_SECONDS = {"plan": 12.0, "release": 10.0, "trial": 20.0, "report": 2.0}
_SECONDS_PER_ITEM = 0.7  # of each of seven kinds, answered by the model and the n-gram


@dataclass(frozen=True)
class ForecastStep:
    """One step's expected seconds; 0 where it is done."""

    name: str
    title: str
    state: State
    seconds: float


@dataclass(frozen=True)
class Forecast:
    """Amounts in bytes and seconds; `lines` say the model and training in words, `warnings` what will not fit."""

    files: int
    bytes: int
    lines: tuple[str, ...]
    steps: tuple[ForecastStep, ...]
    memory: float
    memory_free: float
    disk: float
    disk_free: float
    warnings: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """From now to the report."""
        return sum(step.seconds for step in self.steps)


def forecast(project: Project) -> Forecast:
    """What `run` would do now, and what that takes. Raises UserError where the project cannot be run."""
    files, total, unknown = _outline(project)
    machine = probe(project.workspace)
    choice = _decided(project.workspace) or _estimated(project, total, machine)
    steps = [
        ForecastStep(
            standing.step.name,
            standing.step.title,
            standing.state,
            0.0 if standing.state == "done" else _seconds(standing.step.name, total, choice, project),
        )
        for standing in survey(build_steps(project), project.workspace, project.seed)
    ]
    disk = estimate.workspace_disk(total * _KEPT_SHARE, choice.plan.model.parameters())
    return Forecast(
        files=files,
        bytes=total,
        lines=tuple(describe(choice)),
        steps=tuple(steps),
        memory=choice.memory,
        memory_free=_memory(machine, choice),
        disk=disk,
        disk_free=machine.disk_free,
        warnings=tuple(_warnings(project, total, unknown, choice, disk, machine)),
    )


def _outline(project: Project) -> tuple[int, int, list[str]]:
    """(files, bytes) of the code that is here, by name and size alone, and the repositories that are elsewhere."""
    settings = project.config.corpus
    wanted, exclusion = wanted_languages(settings.languages), Exclusion(settings.exclude)
    elsewhere = [repository for repository in project.repositories if is_url(repository)]
    here = [repository for repository in project.repositories if repository not in elsewhere]
    with tempfile.TemporaryDirectory(prefix="repotune-") as scratch:  # where compressed archives are unpacked
        sizes = [
            file.size
            for source in open_sources(here, Path(scratch))
            for file in source.listing(exclusion)
            if isinstance(file, Listed) and _counts(file, wanted, exclusion)
        ]
    return len(sizes), sum(sizes), elsewhere


def _counts(file: Listed, wanted: frozenset[str], exclusion: Exclusion) -> bool:
    language = language_named(file.language) or likely_language(file.path)
    return language in wanted and file.size <= MAX_BYTES and not exclusion.reason(file.path)


def _decided(workspace: Path) -> Choice | None:
    """The choice in plan/, if it was made."""
    folder = workspace / "plan"
    if read_manifest(folder) is None:
        return None
    measured = json.loads((folder / "measured.json").read_text(encoding="utf-8"))
    names = ("unique_tokens", "epoch_tokens", "tokens_per_second", "measured")
    return Choice(read_plan(folder), *(measured[name] for name in names))


def _estimated(project: Project, total: int, machine: Hardware) -> Choice:
    kept = round(total * _KEPT_SHARE)
    tokens = max(1, round(kept / _BYTES_PER_TOKEN))
    if project.base is not None:
        base = shape_of_base(project.base)
        return choose(project.config, base.vocabulary, tokens, tokens, machine, base)
    vocabulary = project.config.tokenizer.size or vocabulary_size(kept)
    return choose(project.config, vocabulary, tokens, tokens, machine)


def _seconds(name: str, total: int, choice: Choice, project: Project) -> float:
    if name == "run":
        return choice.seconds
    if name == "results":
        return 5 + project.config.evaluate.items * _SECONDS_PER_ITEM
    return 1 + total / _RATES[name] if name in _RATES else _SECONDS[name]


def _memory(machine: Hardware, choice: Choice) -> int:
    return machine.gpus[0].memory if choice.plan.device == "cuda" else machine.memory_free


def _warnings(
    project: Project, total: int, elsewhere: Sequence[str], choice: Choice, disk: float, machine: Hardware
) -> list[str]:
    warnings = [f"{repository} is counted once it is fetched" for repository in elsewhere]
    if total == 0 and not elsewhere:
        warnings.append("no code was found in the chosen languages; see corpus.languages and corpus.exclude")
    if choice.memory > _memory(machine, choice):
        warnings.append(f"training wants {size(choice.memory)} of memory; choose a smaller model.size")
    if disk > machine.disk_free:
        warnings.append(f"the workspace wants {size(disk)}; make room or set project.workspace to another disk")
    if choice.plan.tokens > 40 * choice.unique_tokens:
        epochs = choice.plan.tokens / choice.unique_tokens
        warnings.append(
            f"{epochs:.0f} epochs of so little code mostly memorise it; add repositories or spend less time"
        )
    return warnings
