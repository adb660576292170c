"""Whether a language can be judged on this machine at all: controls and reference solutions run first.

Controls are four programs of ours whose verdicts are known, one of which must pass and three not: a runtime that only
prints a line where an assertion fails, as Mono's does, would pass every reference and every wrong answer too.

Of the references a share must pass: a missing library, an old compiler or a sandbox too tight makes every program fail,
and a score of 0 would be a statement about the machine. What share depends on who wrote the references:

- Checked ones (HumanEval's, HumanEval-X's) all pass where the toolchain is right. NEARLY_ALL leaves room for the few
  that need another version of the language.
- MultiPL-E's are a model's answers. In the languages whose toolchains are known to be right between 42 % (D) and 88 %
  (Rust) of them pass; in one with a part missing, none or a few. A QUARTER is well apart from both. What such
  references cannot tell is a toolchain that fails a small share of programs; so the share is part of the answer.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from repotune.core.errors import UserError
from repotune.evaluate.languages.language import Language
from repotune.evaluate.languages.running import LanguageSandbox
from repotune.evaluate.sandbox.confinement import Level
from repotune.evaluate.sandbox.execution import Limits, Outcome, Verdict

NEARLY_ALL = 0.95
QUARTER = 0.25


@dataclass(frozen=True, slots=True)
class Usable:
    """Of `tried` references `passed` did; it stopped where they were enough."""

    passed: int
    tried: int


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why no score of the language may be reported, in a sentence."""

    reason: str


def check_language(
    language: Language,
    references: Sequence[str],
    *,
    checked: bool,
    level: Level,
    limits: Limits | None = None,
    workers: int = 2,
) -> Usable | Unusable:
    """Runs programs that should pass, tests included; `checked`: whether a person has seen to it that they do.

    Raises UserError where the machine does not reach `level`, or there is no reference.
    """
    if not references:
        raise UserError(f"{language.name} has no reference solution to check the toolchain with.")
    if language.version() is None:
        return Unusable(f"this machine has no {language.name}")
    with LanguageSandbox(language, level, limits, workers) as sandbox:
        controls = language.control.texts()
        for expected, outcome in zip(controls, sandbox.run(controls.values()), strict=True):
            if outcome.verdict != expected:
                return Unusable(f"a control ended as {outcome.verdict}, not as {expected}: {outcome.detail}")
        return _check_references(sandbox, references, NEARLY_ALL if checked else QUARTER)


def _check_references(sandbox: LanguageSandbox, references: Sequence[str], share: float) -> Usable | Unusable:
    needed = math.ceil(share * len(references))
    outcomes: list[Outcome] = []
    passed = 0
    with closing(sandbox.run(references)) as judged:
        for outcome in judged:
            outcomes.append(outcome)
            passed += outcome.verdict == Verdict.PASSED
            if passed == needed:
                return Usable(passed, len(outcomes))
    return Unusable(_reason(outcomes, passed))


def _reason(outcomes: Sequence[Outcome], passed: int) -> str:
    """How many passed, and of what most of the others died, by the first of them."""
    failed = [outcome for outcome in outcomes if outcome.verdict != Verdict.PASSED]
    commonest, count = Counter(outcome.verdict for outcome in failed).most_common(1)[0]
    first = next(outcome for outcome in failed if outcome.verdict == commonest)
    return f"{passed} of {len(outcomes)} reference solutions passed; {count} ended as {commonest}: {first.detail}"
