"""A comparison from models to verdict, in a folder that another run of the same goes on with.

    RESULTS/answers/HASH.jsonl          what a model did with the items, kept as it goes (`kept.py`)
    RESULTS/OLD-NEW-HASH/samples.jsonl  every item with everyone's answer and scores
    RESULTS/OLD-NEW-HASH/comparison.json

`comparison.json` (a score is {"value", "low", "high"}, 95 %, clustered by file):

    schema        1
    verdict       one sentence
    first, models the one that all are compared with, and {name: contents, parameters, context, vocabulary, weights,
                  index}: where a workspace has the model's index and it helps, the model is compared as it is served
    likelihood, infilling, languages    everyone's scores, as results.json has them
    differences   {opponent: {part: {measure: difference}}}, opponent − first, of "likelihood" (whole files), "all",
                  each kind, and "later" (holes in lines later than everything that the corpus trains on)
    by_language   {opponent: {language: {"likelihood" or measure: difference}}}
    data, seed, resamples, environment

A difference is {"value", "low", "high", "better", "p", "adjusted", "told", "items", "clusters", "fewer_is_better",
"analytic"} (`bootstrap.Difference`); "told" is "better", "worse" or "not told apart".
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from repotune.core.artefact import digest, write_atomically
from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.core.flow import locked
from repotune.core.settings import EvaluateSettings
from repotune.evaluate.comparison.asking import Questions, ask_all, questions
from repotune.evaluate.comparison.bootstrap import RESAMPLES
from repotune.evaluate.comparison.contestants import Contestant, open_contestants
from repotune.evaluate.comparison.measured import (
    Differences,
    Part,
    all_differences,
    language_pairs,
    own_code_pairs,
    own_code_scores,
)
from repotune.evaluate.comparison.same_bytes import cut_stretches
from repotune.evaluate.comparison.unseen import Unseen, read_unseen
from repotune.evaluate.comparison.verdict import own_code_verdict
from repotune.evaluate.own_code.held_out import learnt_until
from repotune.evaluate.own_code.history import later_lines, local_histories
from repotune.evaluate.own_code.items import KINDS, draw_items


@dataclass(frozen=True)
class Comparison:
    """What became of it: `folder` holds comparison.json and samples.jsonl; each difference is opponent − first, of the
    `pairs`. Opponents of `same` are the first model."""

    folder: Path
    first: str
    opponents: tuple[str, ...]
    differences: Differences
    verdict: str
    pairs: Mapping[str, Part]
    same: tuple[str, ...] = ()


def compare(
    models: Sequence[Path],
    corpus: Path,
    results: Path,
    settings: EvaluateSettings,
    console: Console,
    *,
    seed: int = 1,
    repositories: Sequence[str] = (),
    learnt: Sequence[Path] = (),
    names: Sequence[str] = (),
) -> Comparison:
    """Compares `models` with the first of them on the held-out files of the corpus in folder `corpus`.

    `names` are what they are called, by default their folders' names. `learnt` are corpora that they learnt from:
    held-out files that one of these trains on, or much like one that it trains on, are left out; so are those that the
    corpus of a model's index trains on.
    `repositories` tell which lines are later than everything trained on, as in `build_results`. What is done is kept
    in `results`, and asked for no more. Raises UserError for a model or a corpus that cannot be read, and where nothing
    is left to measure on.
    """
    contestants = open_contestants(models, names)
    unseen = read_unseen(corpus, [*learnt, *dict.fromkeys(each.learnt for each in contestants if each.learnt)])
    asked = _questions(contestants, corpus, unseen, settings, seed, repositories)
    results.mkdir(parents=True, exist_ok=True)
    with locked(results):
        reads, filled = ask_all(contestants, asked, results / "answers", console)
        first, *opponents = called = [contestant.name for contestant in contestants]
        same = [each.name for each in contestants[1:] if each.contents == contestants[0].contents]
        pairs = own_code_pairs(reads, filled)
        found = all_differences(pairs, first, opponents, same, seed)
        by_language = all_differences(language_pairs(reads, filled), first, opponents, same, seed)
        verdict = own_code_verdict(found, first, len(unseen.files), same)
        record = {
            "schema": 1,
            "verdict": verdict,
            "first": first,
            "models": {each.name: each.as_json() for each in contestants},
            **own_code_scores(reads, filled, called),
            "differences": as_json(found),
            "by_language": as_json(by_language),
            "data": _data(asked, unseen),
            "seed": seed,
            "resamples": RESAMPLES,
            "environment": environment(),
        }
        folder = results / folder_name(called, [asked.contents(), *(each.contents for each in contestants)])
        write_comparison(folder, record, [one.as_json() for one in filled])
    console.say(f"  {verdict}")
    return Comparison(folder, first, tuple(opponents), found, verdict, pairs, tuple(same))


def _questions(
    contestants: Sequence[Contestant],
    corpus: Path,
    unseen: Unseen,
    settings: EvaluateSettings,
    seed: int,
    repositories: Sequence[str],
) -> Questions:
    later = later_lines(unseen.files, learnt_until(corpus), local_histories(repositories))
    items = draw_items(unseen.files, KINDS, settings.items, seed, later)
    stretches = cut_stretches(unseen.files, settings.likelihood_bytes, seed)
    if not items or not stretches:
        raise UserError("The held-out files hold no line to complete.", "raise corpus.test_share, or add repositories")
    return questions(contestants, stretches, items)


def _data(asked: Questions, unseen: Unseen) -> dict[str, Any]:
    return {
        "files": len(unseen.files),
        "left_out": unseen.left_out,
        "items": len(asked.items),
        "bytes": sum(stretch.bytes for stretch in asked.stretches),
        "sha256": asked.contents(),
    }


def as_json(found: Differences) -> dict[str, Any]:
    """Differences as comparison.json has them."""
    return {
        opponent: {
            part: {measure: one.as_json() for measure, one in measures.items()} for part, measures in parts.items()
        }
        for opponent, parts in found.items()
    }


def folder_name(names: Sequence[str], contents: object) -> str:
    """A name for people with a hash of what is compared."""
    return f"{'-'.join(names).replace('/', '-')[:60]}-{digest(contents)[:8]}"


def write_comparison(folder: Path, record: dict[str, Any], samples: Sequence[dict[str, Any]]) -> None:
    """Writes both files; comparison.json last, so that a folder that holds it is whole."""
    folder.mkdir(exist_ok=True)
    lines = [json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples]
    write_atomically(folder / "samples.jsonl", "".join(lines))
    write_atomically(folder / "comparison.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def environment() -> dict[str, Any]:
    """Where it was measured."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
    }
