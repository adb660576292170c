"""Verdicts of answers: the same program runs once, references run first, and the sandbox's own failures never count.

A candidate in Python meets its tests from a process of its own (`PythonSandbox`), where no verdict can be forged; in
other languages candidate and tests are one program, which proves at its end that it came there (`LanguageSandbox`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy

from repotune.core.hardware import available_cores
from repotune.evaluate.benchmarks.problem import PYTHON, Problem
from repotune.evaluate.languages.joining import join_whole
from repotune.evaluate.languages.language import load_languages
from repotune.evaluate.languages.references import NEARLY_ALL, Unusable, check_language
from repotune.evaluate.languages.running import LanguageSandbox
from repotune.evaluate.own_code.held_out import number
from repotune.evaluate.sandbox.confinement import Level
from repotune.evaluate.sandbox.execution import Limits, Outcome, Verdict
from repotune.evaluate.sandbox.python import PythonProgram, PythonSandbox

LIMITS = Limits()
# EvalPlus's tests compare by numpy; it is seen, with what is installed beside it, only where tests ask for it.
_IMPORTS_NUMPY = re.compile(r"^\s*(?:import|from) numpy\b", re.MULTILINE)
_NUMPY = Path(numpy.__file__).parents[1]
# Of a model's answers as references, so many tell whether a toolchain works: a quarter of them must pass, and in no
# working one fewer than 41 % do, so a working one is refused once in a hundred times.
_UNCHECKED = 40

Candidate = tuple[Problem, str]


@dataclass(frozen=True)
class References:
    """The problems to measure on. `refused` are those whose own reference fails, with its verdict, and
    `unusable_languages` those left out as a whole: their score would tell of the machine and not of a model."""

    usable: list[Problem]
    refused: dict[str, str] = field(default_factory=dict)
    unusable_languages: dict[str, str] = field(default_factory=dict)


def check_references(problems: Sequence[Problem], level: Level) -> References:
    """Runs the references. Raises UserError where the machine does not reach `level`."""
    refused: dict[str, str] = {}
    unusable: dict[str, str] = {}
    for language in sorted({problem.language for problem in problems}):
        of = [problem for problem in problems if problem.language == language and problem.reference is not None]
        if language == PYTHON:
            refused = _refused(of, level)
            if len(refused) > (1 - NEARLY_ALL) * len(of):
                first = next(iter(refused))
                unusable[language] = f"{len(refused)} of {len(of)} references fail, first {first}: {refused[first]}"
        elif reason := _unusable(language, of, level):
            unusable[language] = reason
    usable = [problem for problem in problems if problem.id not in refused and problem.language not in unusable]
    return References(usable, refused, unusable)


def _refused(problems: Sequence[Problem], level: Level) -> dict[str, str]:
    outcomes = judge([(problem, problem.reference or "") for problem in problems], level)
    return {
        problem.id: f"{outcome.verdict}: {outcome.detail}"
        for problem, outcome in zip(problems, outcomes, strict=True)
        if outcome.verdict is not Verdict.PASSED
    }


def _unusable(key: str, problems: Sequence[Problem], level: Level) -> str:
    """Why a language is not, or nothing."""
    if not problems:
        return "the benchmark has no reference to check the toolchain with"
    language = load_languages()[key]
    checked = all(problem.reference_is_checked for problem in problems)
    if not checked:
        problems = sorted(problems, key=lambda problem: number(0, problem.id))[:_UNCHECKED]
    programs = [
        _program(problem, problem.reference or "")
        if problem.reference_is_checked
        else join_whole(language, problem.prompt, problem.reference or "", problem.tests)
        for problem in problems
    ]
    found = check_language(language, programs, checked=checked, level=level, limits=LIMITS, workers=available_cores())
    return found.reason if isinstance(found, Unusable) else ""


def judge(candidates: Sequence[Candidate], level: Level, advance: Callable[[], None] = lambda: None) -> list[Outcome]:
    """An outcome for each (problem, answer), in their order. Raises UserError where the machine does not reach `level`
    or has not the language."""
    keys = [(problem.language, problem.candidate(answer), problem.tests) for problem, answer in candidates]
    found: dict[tuple[str, str, str], Outcome] = {}
    for language in sorted({key[0] for key in keys}):
        distinct = {key: candidate for key, candidate in zip(keys, candidates, strict=True) if key[0] == language}
        for key, outcome in zip(distinct, _run(language, list(distinct.values()), level), strict=True):
            found[key] = outcome
            advance()
    return [found[key] for key in keys]


def _run(language: str, candidates: Sequence[Candidate], level: Level) -> Iterator[Outcome]:
    if language == PYTHON:
        programs = [
            PythonProgram(problem.candidate(answer), problem.tests, problem.entry_point)
            for problem, answer in candidates
        ]
        packages = [_NUMPY] if any(_IMPORTS_NUMPY.search(problem.tests) for problem, _ in candidates) else []
        with PythonSandbox(level, LIMITS, workers=available_cores(), packages=packages) as sandbox:
            yield from sandbox.run(programs)
    else:
        with LanguageSandbox(load_languages()[language], level, LIMITS, workers=available_cores()) as others:
            yield from others.run([_program(problem, answer) for problem, answer in candidates])


def _program(problem: Problem, answer: str) -> str:
    return f"{problem.candidate(answer)}\n{problem.tests}"
