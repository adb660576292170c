"""Two or more models on the same problems of a benchmark, paired problem by problem, from their result folders.

`comparison.json` has `schema`, `verdict`, `first`, `models`, `benchmark`, `pass_at_k` of each, `differences` of "all"
and of each group, `seed` and `resamples`; `samples.jsonl` a line a problem: id, kind, first answers and verdicts.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from repotune.core.artefact import digest
from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.core.flow import locked
from repotune.evaluate.benchmarks.pass_at_k import pass_at_k
from repotune.evaluate.benchmarks.run import KS
from repotune.evaluate.benchmarks.sampling import Answer, read_answers
from repotune.evaluate.comparison.bootstrap import RESAMPLES, Pairs
from repotune.evaluate.comparison.contestants import at_least_two, distinct_names
from repotune.evaluate.comparison.measured import Part, all_differences
from repotune.evaluate.comparison.run import Comparison, as_json, folder_name, write_comparison
from repotune.evaluate.comparison.verdict import benchmark_verdict
from repotune.evaluate.sandbox.execution import Verdict

# Of circumstances, what must be one for all: else a difference may be that of how was asked and not of who answered.
_ALIKE = ("problems", "drawing", "sandbox")
_INFILLING = re.compile(r"(?P<kind>\w+)Infilling(Light)?/(?P<origin>.+)/[^/]+")
_SYNTAX_HOLE = re.compile(r"(?P<origin>.+)/(?P<kind>block|control|call)/\d+")


@dataclass(frozen=True)
class Measured:
    """A result folder: the verdicts of each problem's answers, in their order."""

    name: str
    results: dict[str, Any]
    answers: list[Answer]
    verdicts: dict[str, list[str]]


def compare_benchmarks(folders: Sequence[Path], results: Path, console: Console, *, seed: int = 1) -> Comparison:
    """Compares the result folders of `run_benchmark` with the first of them, into a folder in `results`.

    Raises UserError where one is unfinished or damaged, where they hold other problems or answers drawn otherwise, and
    where the sandbox failed on an answer: that says nothing of a model.
    """
    names = distinct_names(at_least_two(folders))
    measured = [_read(name, folder) for name, folder in zip(names, folders, strict=True)]
    for one in measured[1:]:
        _check_alike(measured[0], one)
    first, *opponents = names
    parts = _parts(measured)
    found = all_differences(parts, first, opponents, (), seed)
    benchmark = measured[0].results["benchmark"]
    verdict = benchmark_verdict(found, first, benchmark, len(measured[0].verdicts))
    record = {
        "schema": 1,
        "verdict": verdict,
        "first": first,
        "models": {one.name: {"model": one.results["model"], **one.results["circumstances"]} for one in measured},
        "benchmark": benchmark,
        "pass_at_k": {one.name: one.results["pass_at_k"] for one in measured},
        "differences": as_json(found),
        "seed": seed,
        "resamples": RESAMPLES,
    }
    results.mkdir(parents=True, exist_ok=True)
    folder = results / folder_name([benchmark, *names], [digest(one.results) for one in measured])
    with locked(results):
        write_comparison(folder, record, _samples(measured))
    console.say(f"  {verdict}")
    return Comparison(folder, first, tuple(opponents), found, verdict, parts)


def origin_of(problem: str) -> str:
    """The problem that a hole was cut into, by its id: the cluster of what was made of it.

    >>> origin_of("SingleLineInfilling/HumanEval/0/L3"), origin_of("HumanEval/0/block/2"), origin_of("HumanEval/0")
    ('HumanEval/0', 'HumanEval/0', 'HumanEval/0')
    """
    for pattern in (_INFILLING, _SYNTAX_HOLE):
        if match := pattern.fullmatch(problem):
            return match["origin"]
    return problem


def _group_of(problem: str) -> str:
    """The kind of hole, or what a benchmark's ids begin with: of MultiPL-E the language."""
    for pattern in (_INFILLING, _SYNTAX_HOLE):
        if match := pattern.fullmatch(problem):
            return match["kind"]
    return problem.partition("/")[0]


def _read(name: str, folder: Path) -> Measured:
    if not (folder / "results.json").is_file():
        raise UserError(f"There are no finished results in {folder}.", "finish them with: repotune evaluate")
    answers = read_answers(folder / "samples.jsonl")
    try:
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        lines = [json.loads(line) for line in (folder / "verdicts.jsonl").read_text(encoding="utf-8").splitlines()]
        judged = [(line["problem"], line["number"], Verdict(line["verdict"])) for line in lines]
        told = Counter(str(verdict) for *_, verdict in judged) == Counter(results["verdicts"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, f"{type(error).__name__}: {error}") from error
    if not told or [(problem, number) for problem, number, _ in judged] != [(a.problem, a.number) for a in answers]:
        raise _damaged(folder, "its verdicts are not those of its answers and its scores")
    verdicts: dict[str, list[str]] = {}
    for problem, number, verdict in judged:
        if verdict is Verdict.HARNESS_ERROR:
            raise UserError(
                f"The sandbox failed on answer {number} to {problem} in {folder}; that says nothing of a model.",
                "measure that again: the same command judges anew",
            )
        verdicts.setdefault(problem, []).append(str(verdict))
    return Measured(name, results, answers, verdicts)


def _damaged(folder: Path, reason: str) -> UserError:
    return UserError(f"The results in {folder} are damaged: {reason}.", f"remove {folder} and measure again")


def _check_alike(first: Measured, other: Measured) -> None:
    if first.results["benchmark"] != other.results["benchmark"] or first.verdicts.keys() != other.verdicts.keys():
        raise UserError(
            f"{first.name} and {other.name} were not measured on the same problems.",
            "measure both on the same benchmark",
        )
    for key in _ALIKE:
        ours, theirs = (one.results["circumstances"][key] for one in (first, other))
        if ours != theirs:
            raise UserError(
                f"{first.name} and {other.name} differ in their {key}: {_said(ours, theirs)}.",
                "measure both in the same way",
            )


def _said(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    keys = [key for key in sorted({*ours, *theirs}) if ours.get(key) != theirs.get(key)]
    return "; ".join(f"{key} {ours.get(key)} and {theirs.get(key)}" for key in keys)


def _parts(measured: Sequence[Measured]) -> dict[str, Part]:
    """pass@k of all problems and of each kind of hole, for each k that every problem has answers for."""
    problems = list(measured[0].verdicts)
    groups = sorted({_group_of(problem) for problem in problems})
    parts = {"all": problems} | {group: [each for each in problems if _group_of(each) == group] for group in groups}
    return {part: _passing(measured, of) for part, of in parts.items() if part == "all" or len(groups) > 1}


def _passing(measured: Sequence[Measured], problems: Sequence[str]) -> Part:
    least = min(len(one.verdicts[problem]) for one in measured for problem in problems)
    weights, clusters = np.ones(len(problems)), [origin_of(problem) for problem in problems]
    return {
        f"pass@{k}": Pairs(
            {one.name: np.array([_pass_at(one.verdicts[problem], k) for problem in problems]) for one in measured},
            weights,
            clusters,
        )
        for k in KS
        if k <= least
    }


def _pass_at(verdicts: Sequence[str], k: int) -> float:
    return pass_at_k(len(verdicts), verdicts.count(Verdict.PASSED), k)


def _samples(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    first = {one.name: {answer.problem: answer.text for answer in reversed(one.answers)} for one in measured}
    return [
        {
            "problem": problem,
            "kind": _group_of(problem),
            "answers": {name: texts[problem] for name, texts in first.items()},
            "verdicts": {one.name: one.verdicts[problem] for one in measured},
        }
        for problem in measured[0].verdicts
    ]
