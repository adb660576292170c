"""Scaled ablations: the same training at a small scale on what a few settings change, then compared.

    [kept-duplicates]                       each table of VARIANTS.toml is a variant, with keys of repotune.toml
    corpus.near_duplicates = 1.0

    FOLDER/baseline-1/, FOLDER/kept-duplicates-1/, …    a workspace for each variant and seed, as far as its run
    FOLDER/results/                                     the comparisons, one a seed
    FOLDER/ablation.json                                what was asked, what was shared, each difference by seed, and
                                                        those of several seeds pooled

What variants have in common is built once: a step whose fingerprint another workspace has is linked from there, the
project's own among them. A seed decides on the training alone; what is held out is the same for all.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repotune.core.artefact import fingerprint, read_manifest, write_atomically
from repotune.core.config import Config, parse_config
from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.core.flow import Step, locked, run_flow, survey
from repotune.pipeline.project import Project, open_project
from repotune.pipeline.steps import build_steps, until

if TYPE_CHECKING:
    from repotune.evaluate.comparison.run import Comparison

BASELINE = "baseline"
_LAST_STEP = "run"
# Of the steps before these the output knows nothing of the training's seed.
_SEEDED = ("plan", "run")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# What all variants have in common: whose code it is, who opted out, the scale, and what they are measured on.
_FIXED = ("project", "corpus.opt_out", "model.size", "model.base", "train.tokens", "train.epochs", "budget", "evaluate")

Variants = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Scale:
    """How small the training is: a size of the ladder or a preset, and its tokens."""

    size: str
    tokens: int

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise UserError(f"A training needs a token at least, not {self.tokens}.", "--tokens 2000000")


@dataclass(frozen=True)
class Trained:
    """A variant's workspace, and which of its steps were linked from another."""

    name: str
    workspace: Path
    shared: tuple[str, ...]


@dataclass(frozen=True)
class Ablation:
    """`verdicts` are one a seed, and of several seeds the one over all of them last. `differences` are variant −
    baseline in bits per byte of held-out files, by variant, one a seed."""

    folder: Path
    verdicts: tuple[str, ...]
    differences: Mapping[str, tuple[float, ...]]


def read_variants(path: Path) -> Variants:
    """The tables of a VARIANTS.toml. Raises UserError where it is absent or no TOML, or holds no table."""
    try:
        variants = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not valid TOML: {error}.") from error
    if not variants or not all(isinstance(table, dict) for table in variants.values()):
        raise UserError(
            f"{path} names no variants.", "each is a table, such as [plain] with corpus.near_duplicates = 1.0"
        )
    return variants


def ablate(
    config: Path, variants: Variants, scale: Scale, seeds: Sequence[int], folder: Path, console: Console
) -> Ablation:
    """Trains the project of `config` and each of `variants` at `scale` with each of `seeds`, and compares them.

    A second call goes on where the first was stopped. Raises UserError before anything is built where a variant's name
    or settings are none, and where it changes what all must have in common.
    """
    project = open_project(config)
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise UserError("An ablation needs seeds, whole numbers from 0, each once.", "--seeds 1 2 3")
    if project.base is not None:
        raise UserError(
            "An ablation trains from nothing, and this project goes on from a base.", "leave out model.base"
        )
    tables: Variants = {BASELINE: {}, **variants}
    configs = {name: _configured(project, name, table, scale) for name, table in tables.items()}
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        trained: dict[int, list[Trained]] = {}
        for seed in seeds:
            trained[seed] = []
            for name, of in configs.items():
                console.heading(f"{name}, seed {seed}")
                donors = [one.workspace for built in trained.values() for one in built]
                trained[seed].append(_train(project, name, of, seed, folder, donors, console))
        return _compare(project, scale, variants, trained, folder, console)


def _configured(project: Project, name: str, table: Mapping[str, Any], scale: Scale) -> Config:
    """The project's settings with the variant's, at the scale."""
    if (name == BASELINE and table) or not _NAME.fullmatch(name):
        raise UserError(f"A variant cannot be called {name!r}.", "letters, digits, dots and dashes; baseline is taken")
    for key in _FIXED:
        if _holds(table, key.split(".")):
            raise UserError(
                f"The variant {name} changes {key}, which all have in common.", "change it in repotune.toml"
            )
    data = _merged(project.config.model_dump(), table)
    data["model"] = {"size": scale.size}
    data["train"] |= {"tokens": scale.tokens, "epochs": None}
    data["budget"] = {}
    return parse_config(data, f"variant {name}")


def _holds(table: Mapping[str, Any], key: Sequence[str]) -> bool:
    first, *rest = key
    inner = table.get(first)
    return first in table and (not rest or (isinstance(inner, Mapping) and _holds(inner, rest)))


def _merged(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """`ours` with `theirs`, table by table."""
    merged = dict(ours)
    for key, value in theirs.items():
        inner = merged.get(key)
        merged[key] = _merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return merged


def _train(
    project: Project, name: str, config: Config, seed: int, folder: Path, donors: Sequence[Path], console: Console
) -> Trained:
    """Builds a workspace as far as its run, step by step, each linked where another workspace has it."""
    workspace = folder / f"{name}-{seed}"
    workspace.mkdir(exist_ok=True)
    _share_mirrors(project, workspace)
    # The plan's seed is the training's; the flow's stays the project's, so that the corpus is split alike.
    seeded = config.model_copy(update={"project": config.project.model_copy(update={"seed": seed})})
    steps = until(build_steps(replace(project, config=seeded, workspace=workspace)), _LAST_STEP)
    shared = []
    for step in steps:
        of = [donor for donor in donors if step.name not in _SEEDED or donor.name.endswith(f"-{seed}")]
        if step.name not in _SEEDED:
            of.append(project.workspace)
        if _link(steps, step, workspace, of, project.seed):
            shared.append(step.name)
        run_flow(until(steps, step.name), workspace, Console(quiet=True), project.seed)
        console.say(f"  {step.name}: {'shared' if step.name in shared else 'built'}")
    return Trained(name, workspace, tuple(shared))


def _share_mirrors(project: Project, workspace: Path) -> None:
    """Repositories from elsewhere are fetched into the project's own mirrors, once."""
    mirrors = project.workspace / "mirrors"
    mirrors.mkdir(parents=True, exist_ok=True)
    if not (workspace / "mirrors").is_symlink():
        (workspace / "mirrors").symlink_to(mirrors.resolve(), target_is_directory=True)


def _link(steps: Sequence[Step], step: Step, workspace: Path, donors: Sequence[Path], seed: int) -> bool:
    """Gives `workspace` the folder of `step` from one of `donors` that has it. Says whether it is shared."""
    standings = {standing.step.name: standing for standing in survey(until(steps, step.name), workspace, seed)}
    if standings[step.name].state == "done":
        return any(_is_one(donor / step.name, workspace / step.name) for donor in donors)
    contents = {name: of.manifest.contents for name, of in standings.items() if of.manifest is not None}
    wanted = fingerprint(step.name, step.settings, {name: contents[name] for name in step.inputs}, seed)
    for donor in donors:
        manifest = read_manifest(donor / step.name)
        if manifest is not None and manifest.fingerprint == wanted:
            beside = workspace / f".{step.name}.linked"
            shutil.rmtree(beside, ignore_errors=True)
            shutil.copytree(donor / step.name, beside, copy_function=_hard_link)
            shutil.rmtree(workspace / step.name, ignore_errors=True)
            beside.rename(workspace / step.name)
            return True
    return False


def _hard_link(source: str, target: str) -> None:
    """A second name for a file, which nobody writes into; a copy where the file system has no such names."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _is_one(one: Path, other: Path) -> bool:
    manifests = read_manifest(one), read_manifest(other)
    return manifests[0] is not None and manifests[0] == manifests[1]


def _compare_seed(project: Project, built: Sequence[Trained], folder: Path, console: Console) -> Comparison:
    """A seed's models on the baseline's held-out files, less those that any variant has seen."""
    from repotune.evaluate.comparison.run import compare
    from repotune.train.state import best_checkpoint

    corpora = [one.workspace / "corpus" for one in built]
    return compare(
        [best_checkpoint(one.workspace / "run") for one in built],
        corpora[0],
        folder / "results",
        project.config.evaluate,
        console,
        seed=project.seed,
        repositories=project.repositories,
        learnt=corpora,
        names=[one.name for one in built],
    )


def _compare(
    project: Project,
    scale: Scale,
    variants: Variants,
    trained: Mapping[int, Sequence[Trained]],
    folder: Path,
    console: Console,
) -> Ablation:
    """Each seed's comparison, and what they say together."""
    from repotune.evaluate.comparison.pooled import pool
    from repotune.evaluate.comparison.run import as_json
    from repotune.evaluate.comparison.verdict import listed

    compared = [_compare_seed(project, built, folder, console) for built in trained.values()]
    differences = {
        name: tuple(one.differences[name]["likelihood"]["bits_per_byte"].value for one in compared) for name in variants
    }
    pooled = pool(compared, project.seed) if len(compared) > 1 else None
    verdicts = [one.verdict for one in compared]
    record = {
        "schema": 1,
        "size": scale.size,
        "tokens": scale.tokens,
        "seeds": list(trained),
        "variants": {name: dict(table) for name, table in variants.items()},
        "shared": {one.workspace.name: list(one.shared) for built in trained.values() for one in built},
        "comparisons": [one.folder.relative_to(folder).as_posix() for one in compared],
        "verdicts": verdicts,
        "pooled": pooled and {"verdict": pooled.verdict, "differences": as_json(pooled.differences)},
        "bits_per_byte": {name: [round(value, 6) for value in values] for name, values in differences.items()},
    }
    write_atomically(folder / "ablation.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    if pooled is not None:
        verdicts.append(f"Over seeds {listed([str(seed) for seed in trained])}: {pooled.verdict}")
        console.say(f"  {verdicts[-1]}")
    return Ablation(folder, tuple(verdicts), differences)
