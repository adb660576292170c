"""A benchmark from rows to scores: real answers of a network, real verdicts, and a killed run that goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.evaluate.benchmarks.judging import check_references, judge
from repotune.evaluate.benchmarks.problem import Problem
from repotune.evaluate.benchmarks.run import Asked, read_scores, run_benchmark
from repotune.evaluate.benchmarks.sampling import Answer, Drawing, cut, read_answers
from repotune.evaluate.sandbox.confinement import Level
from repotune.evaluate.sandbox.execution import Verdict
from repotune.evaluate.sandbox.probe import probe
from repotune.report.benchmarks_page import build_benchmarks_page
from repotune.train.state import best_checkpoint

LEVEL = probe().level
pytestmark = pytest.mark.skipif(LEVEL < Level.CONFINED, reason="this machine holds no code that nobody has read")

NAMES = ("double", "triple", "negate")
BODIES = ("    return 2 * x\n", "    return 3 * x\n", "    return -x\n")
VALUES = (4, 6, -2)


def rows() -> list[dict[str, str]]:
    return [
        {
            "task_id": f"Test/{name}",
            "prompt": f'def {name}(x):\n    """What the name says."""\n',
            "entry_point": name,
            "canonical_solution": body,
            "test": f"def check(candidate):\n    assert candidate(2) == {value}\n",
        }
        for name, body, value in zip(NAMES, BODIES, VALUES, strict=True)
    ]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "small.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return path


@pytest.fixture
def model(workspace: Any) -> Path:
    return best_checkpoint(workspace.folders["run"])


def asked(source: Path, samples: int = 3) -> Asked:
    return Asked(str(source), Drawing(samples, temperature=0.8, most_tokens=12))


def run(model: Path, what: Asked, results: Path) -> Path:
    return run_benchmark(model, what, results, Console(quiet=True))


def problems() -> list[Problem]:
    return [
        Problem(f"Test/{name}", "py", f"def {name}(x):\n", None, f"assert {name}(2) == {value}", body)
        for name, body, value in zip(NAMES, BODIES, VALUES, strict=True)
    ]


def test_every_answer_is_kept_and_judged(model: Path, source: Path, tmp_path: Path) -> None:
    folder = run(model, asked(source), tmp_path / "results")
    results = json.loads((folder / "results.json").read_text())
    verdicts = [json.loads(line) for line in (folder / "verdicts.jsonl").read_text().splitlines()]
    assert len(read_answers(folder / "samples.jsonl")) == len(verdicts) == 9
    assert sum(results["verdicts"].values()) == 9
    assert 0 <= results["pass_at_k"]["1"]["value"] <= 1
    assert results["reference_bits_per_byte"]["value"] > 0
    assert results["generation"]["tokens_per_second"] > 0
    assert results["generation"]["tokens_per_second_of_50"] > 0
    assert 0 < results["generation"]["bandwidth_share"] < 1
    assert read_scores(folder)[0].startswith("small, py: pass@1")


def test_a_killed_run_goes_on_to_the_same_answers(model: Path, source: Path, tmp_path: Path) -> None:
    folder = run(model, asked(source), tmp_path / "results")
    samples = folder / "samples.jsonl"
    whole = samples.read_bytes()
    samples.write_bytes(whole[: len(whole) * 2 // 3])  # in the middle of a line
    (folder / "results.json").unlink()
    assert run(model, asked(source), tmp_path / "results") == folder
    assert samples.read_bytes() == whole
    assert (folder / "results.json").exists()


def test_other_settings_go_elsewhere(model: Path, source: Path, tmp_path: Path) -> None:
    first, second = (run(model, asked(source, samples), tmp_path / "results") for samples in (1, 2))
    assert first != second
    page = build_benchmarks_page(tmp_path / "results", "team")
    assert "small" in page.read_text()
    assert page.with_suffix(".md").read_text().count("pass@1") >= 2


def test_a_part_and_a_sample_of_it_are_measured(model: Path, source: Path, tmp_path: Path) -> None:
    folder = run(model, replace(asked(source, 1), part="Test/t"), tmp_path / "results")
    assert [answer.problem for answer in read_answers(folder / "samples.jsonl")] == ["Test/triple"]
    folder = run(model, replace(asked(source, 1), most=2), tmp_path / "results")
    assert len(read_answers(folder / "samples.jsonl")) == 2
    with pytest.raises(UserError, match="no problem"):
        run(model, replace(asked(source, 1), part="Nobody"), tmp_path / "results")


def test_verdicts_are_those_of_the_tests() -> None:
    double = problems()[0]
    answers = [
        "    return x + x\n",
        "    return x\n",
        "    return (\n",
        "    raise SystemExit(0)\n",
        "    return x + x\n",
    ]
    outcomes = judge([(double, answer) for answer in answers], LEVEL)
    assert [outcome.verdict for outcome in outcomes][:3] == [Verdict.PASSED, Verdict.FAILED, Verdict.COMPILE_ERROR]
    assert outcomes[3].verdict not in (Verdict.PASSED, Verdict.HARNESS_ERROR)
    assert outcomes[4] is outcomes[0]  # the same program ran once


def test_tests_that_compare_by_numpy_have_it() -> None:
    """As HumanEval+ and MBPP+ do."""
    tests = "import numpy as np\n\ndef check(candidate):\n    assert np.allclose(candidate(2), 4.0)\n\ncheck(double)\n"
    plus = replace(problems()[0], tests=tests)
    outcomes = judge([(plus, "    return x + x\n"), (plus, "    return x + 1\n")], LEVEL)
    assert [outcome.verdict for outcome in outcomes] == [Verdict.PASSED, Verdict.FAILED]


def test_a_problem_whose_reference_fails_is_left_out() -> None:
    good = [replace(problem, id=f"{problem.id}/{copy}") for problem in problems() for copy in range(10)]
    wrong = replace(good[0], id="wrong", reference="    return 5\n")
    found = check_references([*good, wrong], LEVEL)
    assert found.usable == good
    assert found.refused["wrong"].startswith("failed")
    assert not found.unusable_languages


def test_a_language_whose_references_fail_is_not_scored() -> None:
    broken = [replace(problem, tests="import nowhere\n" + problem.tests) for problem in problems()]
    found = check_references(broken, LEVEL)
    assert not found.usable
    assert "3 of 3 references fail" in found.unusable_languages["py"]


def test_a_damaged_file_of_answers_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text('{"problem": "a"}\n')
    with pytest.raises(UserError, match="damaged"):
        read_answers(path)


@pytest.mark.parametrize("drawing", [{"samples": 0}, {"most_tokens": 0}, {"samples": 2}, {"temperature": -1}])
def test_senseless_drawings_are_refused(drawing: dict[str, int]) -> None:
    with pytest.raises(UserError):
        Drawing(**drawing)


def test_a_single_lines_answer_is_one_line() -> None:
    line = replace(problems()[0], lines=1, suffix="")
    assert cut("    a\n    b\n", line) == "    a\n"
    assert cut("    a", line) == "    a\n"
    assert cut("a\nb", problems()[0]) == "a\nb"


def test_an_answer_is_a_line_of_its_fields() -> None:
    assert Answer(**json.loads('{"problem": "p", "number": 0, "text": "é", "tokens": 1, "finish": "stop"}')).text == "é"
