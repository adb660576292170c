"""Every language that this machine has: what passes, what does not, and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from repotune.core.errors import UserError
from repotune.evaluate.languages.language import Language, load_languages
from repotune.evaluate.languages.running import LanguageSandbox, run_program
from repotune.evaluate.sandbox.confinement import Level
from repotune.evaluate.sandbox.execution import MIB, Limits, Outcome, Verdict
from repotune.evaluate.sandbox.probe import probe

LEVEL = probe().level
pytestmark = pytest.mark.skipif(LEVEL < Level.CONFINED, reason=f"this machine only reaches {LEVEL.name}")


def language(key: str) -> Language:
    found = load_languages()[key]
    if found.version() is None:
        pytest.skip(f"this machine has no {found.name}")
    return found


def run(key: str, text: str, **limits: float) -> Outcome:
    return run_program(language(key), text, level=LEVEL, limits=Limits(**limits))  # type: ignore[arg-type]


def program(key: str, body: str) -> str:
    return load_languages()[key].control.program.replace("{body}", body)


@pytest.mark.parametrize("key", sorted(load_languages()))
def test_a_language_tells_right_wrong_early_and_broken_apart(key: str) -> None:
    chosen = language(key)
    controls = chosen.control.texts()
    with LanguageSandbox(chosen, LEVEL, workers=1) as sandbox:
        outcomes = list(sandbox.run(controls.values()))
    assert [outcome.verdict for outcome in outcomes] == list(controls), outcomes


@pytest.mark.parametrize(
    ("key", "body"),
    [("cpp", "for (;;) {}"), ("js", "for (;;) {}"), ("pl", "while (1) {}"), ("sh", "while :; do :; done")],
)
def test_a_program_that_does_not_end_is_a_timeout(key: str, body: str) -> None:
    assert run(key, program(key, body), cpu_seconds=0.5).verdict == Verdict.TIMEOUT


@pytest.mark.parametrize(
    ("key", "body"),
    [
        ("cpp", "std::vector<long> v; for (;;) v.push_back(x); return v[0];"),
        ("java", "List<long[]> v = new ArrayList<>(); while (true) v.add(new long[1 << 20]);"),
        ("js", "const v = []; for (;;) v.push(new Array(1 << 20).fill(x));"),
        ("pl", "my @v; push @v, 'x' x 1000000 while 1;"),
    ],
)
def test_a_program_that_takes_all_memory_is_told_from_a_wrong_one(key: str, body: str) -> None:
    assert run(key, program(key, body), memory=512 * MIB, cpu_seconds=20).verdict == Verdict.MEMORY


def test_what_a_program_prints_does_not_hide_its_proof() -> None:
    flood = "std::cout << std::string(200000, 'x'); return 2 * x;"
    assert run("cpp", program("cpp", flood)).verdict == Verdict.PASSED


def test_the_secret_is_not_in_what_is_kept() -> None:
    outcome = run("sh", program("sh", "echo heard >&2; echo $((2 * $1))"))
    assert outcome.output.split() == ["heard", "heard"]


def test_a_crash_is_a_failure_that_names_its_signal() -> None:
    outcome = run("cpp", program("cpp", "return *(volatile long*)8;"))
    assert outcome.verdict == Verdict.FAILED
    assert outcome.detail.startswith("SIGSEGV")


def test_a_go_program_without_tests_proves_nothing() -> None:
    assert run("go", "package twice_test\n").verdict == Verdict.COMPILE_ERROR


def test_a_missing_language_is_said_with_what_brings_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="has no Swift"):
        run_program(load_languages()["swift"], "", level=LEVEL)
