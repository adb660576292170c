"""Verdicts of answers: the same program runs once, references run first, and the sandbox's own failures never count."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from repotune.core.hardware import available_cores
from repotune.evaluate.benchmarks.problem import Problem
from repotune.evaluate.sandbox.confinement import Level
from repotune.evaluate.sandbox.execution import MIB, Limits, Outcome, Verdict
from repotune.evaluate.sandbox.python import PythonProgram, PythonSandbox

# A reference that its own tests refuse says that the machine or the data is not as the benchmark means it.
_USABLE = 0.9
LIMITS = Limits(cpu_seconds=5.0, memory=1024 * MIB)

Candidate = tuple[Problem, str]


@dataclass(frozen=True)
class References:
    """What became of the references: the problems to measure on, and of the others why not."""

    usable: list[Problem]
    refused: dict[str, str] = field(default_factory=dict)
    unusable_languages: dict[str, str] = field(default_factory=dict)


def check_references(problems: Sequence[Problem], level: Level) -> References:
    """Runs every checked reference. A problem whose own is refused is left out with the reason; a language of whose
    references fewer than nine in ten pass is left out as a whole, since that is no score of a model but of a setup."""
    checked = [problem for problem in problems if problem.reference is not None and problem.reference_is_checked]
    outcomes = judge([(problem, problem.reference or "") for problem in checked], level)
    refused = {
        problem.id: f"{outcome.verdict}: {outcome.detail}"
        for problem, outcome in zip(checked, outcomes, strict=True)
        if outcome.verdict is not Verdict.PASSED
    }
    unusable = {}
    for language in sorted({problem.language for problem in checked}):
        of = [problem for problem in checked if problem.language == language]
        failed = [problem.id for problem in of if problem.id in refused]
        if len(of) - len(failed) < _USABLE * len(of):
            unusable[language] = f"{len(failed)} of {len(of)} references fail, first {failed[0]}: {refused[failed[0]]}"
    usable = [problem for problem in problems if problem.id not in refused and problem.language not in unusable]
    return References(usable, refused, unusable)


def judge(candidates: Sequence[Candidate], level: Level, advance: Callable[[], None] = lambda: None) -> list[Outcome]:
    """An outcome for each (problem, answer), in their order. Raises UserError where the machine does not reach
    `level`."""
    keys = [(problem.tests, problem.candidate(answer)) for problem, answer in candidates]
    first = {key: place for place, key in reversed(list(enumerate(keys)))}
    distinct = [candidates[place] for place in sorted(first.values())]
    found: dict[tuple[str, str], Outcome] = {}
    for (problem, answer), outcome in zip(distinct, _run(distinct, level), strict=True):
        found[problem.tests, problem.candidate(answer)] = outcome
        advance()
    return [found[key] for key in keys]


def _run(candidates: Sequence[Candidate], level: Level) -> Iterator[Outcome]:
    programs = [
        PythonProgram(problem.candidate(answer), problem.tests, problem.entry_point) for problem, answer in candidates
    ]
    with PythonSandbox(level, LIMITS, workers=available_cores()) as sandbox:
        yield from sandbox.run(programs)
