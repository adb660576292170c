"""Go's tests by our small `testing` package end as they do by Go's own."""

from __future__ import annotations

import shutil

import pytest

from repotune.evaluate.languages.language import load_languages
from repotune.evaluate.languages.running import LanguageSandbox
from repotune.evaluate.sandbox.confinement import Level
from repotune.evaluate.sandbox.execution import Outcome, Verdict
from repotune.evaluate.sandbox.probe import probe

LEVEL = probe().level
pytestmark = [
    pytest.mark.skipif(LEVEL < Level.CONFINED, reason=f"this machine only reaches {LEVEL.name}"),
    pytest.mark.skipif(shutil.which("go") is None, reason="this machine has no Go"),
]

PROGRAM = """
package small_test

import (
    "os"
    "runtime"
    "testing"
)

var leave = []interface{}{os.Exit, runtime.Goexit}

func answer() int {
    BODY
    return 42
}

func TestFirst(t *testing.T) {
    OWN
    TESTS
}

func TestLast(t *testing.T) {}
"""
OWN = "t.Cleanup(func() {})"  # ours does not know it
ASSERTED = 'if answer() != 42 { t.Fatalf("expected %d", 42) }'
NESTED = 't.Run("outer", func(t *testing.T) { t.Run("inner", func(t *testing.T) { if answer() != 42 { t.Error() } }) })'
CASES = {
    "right": ("", ASSERTED, Verdict.PASSED),
    "wrong": ("return 41", ASSERTED, Verdict.FAILED),
    "right, nested": ("", NESTED, Verdict.PASSED),
    "wrong, nested": ("return 41", NESTED, Verdict.FAILED),
    "wrong, and the test goes on": ("", "t.Fail(); t.Log(t.Name())", Verdict.FAILED),
    "from another goroutine": ("", "go t.Fail(); for !t.Failed() { runtime.Gosched() }", Verdict.FAILED),
    "the candidate leaves its test": ("runtime.Goexit()", ASSERTED, Verdict.FAILED),
    "the candidate leaves its subtest": ("runtime.Goexit()", NESTED, Verdict.FAILED),
    "the candidate leaves the process": ("os.Exit(0)", ASSERTED, Verdict.EARLY_EXIT),
    "panic": ('panic("no")', NESTED, Verdict.FAILED),
    "deadlock": ("select {}", NESTED, Verdict.FAILED),
    "other tests": ("testing.Main(nil, nil, nil, nil)", ASSERTED, Verdict.EARLY_EXIT),
}


def judge(*texts: str) -> list[Outcome]:
    with LanguageSandbox(load_languages()["go"], LEVEL, workers=1) as sandbox:
        return list(sandbox.run(texts))


@pytest.mark.parametrize("name", CASES)
def test_a_verdict_is_that_of_gos_own_testing(name: str) -> None:
    body, tests, verdict = CASES[name]
    text = PROGRAM.replace("BODY", body).replace("TESTS", tests)
    outcomes = judge(text.replace("OWN", ""), text.replace("OWN", OWN))
    assert [outcome.verdict for outcome in outcomes] == [verdict, verdict], outcomes


def test_what_a_failing_test_says_is_told() -> None:
    (outcome,) = judge(PROGRAM.replace("BODY", "return 41").replace("TESTS", ASSERTED).replace("OWN", ""))
    assert "TestFirst: expected 42" in outcome.output


def test_what_does_not_compile_is_told_as_gos_own_compiler_says_it() -> None:
    (outcome,) = judge(PROGRAM.replace("BODY", "return no").replace("TESTS", ASSERTED).replace("OWN", OWN))
    assert outcome.verdict == Verdict.COMPILE_ERROR
    assert outcome.detail == "program.go:13:12: undefined: no"
