"""Result folders as the benchmarks write them, paired problem by problem."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from repotune.core.console import Console
from repotune.core.errors import UserError
from repotune.evaluate.benchmarks.formats import problems_of
from repotune.evaluate.benchmarks.problem import Problem
from repotune.evaluate.benchmarks.reading import read_rows
from repotune.evaluate.benchmarks.sampling import Answer, line_of
from repotune.evaluate.benchmarks.syntax_holes import syntax_holes
from repotune.evaluate.comparison.benchmarks import compare_benchmarks, origin_of
from repotune.evaluate.sandbox.execution import Verdict

QUIET = Console(quiet=True)
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a folder as a benchmark does: of each problem, which of its answers passed."""

    def make(name: str, passed: Mapping[str, Sequence[bool]], failing: str = "failed", **circumstances: object) -> Path:
        told = [(problem, n, ok) for problem, of in passed.items() for n, ok in enumerate(of)]
        verdicts = [str(Verdict.PASSED if ok else Verdict(failing)) for *_, ok in told]
        lines = [
            {"problem": problem, "number": n, "verdict": verdict, "detail": "", "cpu_seconds": 0.01}
            for (problem, n, _), verdict in zip(told, verdicts, strict=True)
        ]
        alike = {"problems": {"count": len(passed)}, "drawing": {"temperature": 0.2}, "sandbox": {"level": "full"}}
        results = {
            "benchmark": "humaneval",
            "model": name,
            "pass_at_k": {},
            "verdicts": dict(Counter(verdicts)),
            "circumstances": alike | circumstances,
        }
        folder = tmp_path / name
        folder.mkdir()
        samples = [Answer(problem, n, "x = 1", 3, "stop") for problem, n, _ in told]
        (folder / "samples.jsonl").write_text("".join(map(line_of, samples)))
        (folder / "verdicts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (folder / "results.json").write_text(json.dumps(results))
        return folder

    return make


def answers(problems: int, passing: int, samples: int = 1) -> dict[str, list[bool]]:
    return {f"HumanEval/{n}": [n < passing] * samples for n in range(problems)}


def test_the_better_is_told_problem_by_problem(write: Write, tmp_path: Path) -> None:
    found = compare_benchmarks([write("old", answers(80, 20)), write("new", answers(80, 40))], tmp_path / "c", QUIET)
    one = found.differences["new"]["all"]["pass@1"]
    assert (one.value, one.told, one.clusters) == (0.25, 1, 80)
    assert found.verdict.startswith("On 80 problems of humaneval new is better than old in pass@1 (+25.0 points [+1")
    record = json.loads((found.folder / "comparison.json").read_text())
    assert record["differences"]["new"]["all"]["pass@1"]["told"] == "better"
    assert len((found.folder / "samples.jsonl").read_text().splitlines()) == 80


def test_a_difference_of_one_problem_is_not_told(write: Write, tmp_path: Path) -> None:
    found = compare_benchmarks([write("old", answers(80, 20)), write("new", answers(80, 21))], tmp_path / "c", QUIET)
    assert "not distinguishable from old in pass@1" in found.verdict


def test_pass_at_10_needs_ten_answers(write: Write, tmp_path: Path) -> None:
    folders = [write("old", answers(8, 2, 12)), write("new", answers(8, 6, 12))]
    assert set(compare_benchmarks(folders, tmp_path / "c", QUIET).differences["new"]["all"]) == {"pass@1", "pass@10"}


def test_holes_of_one_problem_are_one_cluster(write: Write, tmp_path: Path) -> None:
    holes = {
        f"HumanEval/{n}/{kind}/{place}": [n < 6] for n in range(9) for kind in ("block", "call") for place in (0, 1)
    }
    none = {problem: [False] for problem in holes}
    found = compare_benchmarks([write("old", none), write("new", holes)], tmp_path / "c", QUIET).differences["new"]
    assert set(found) == {"all", "block", "call"}
    assert (found["all"]["pass@1"].items, found["all"]["pass@1"].clusters) == (36, 9)


def test_the_origin_is_that_of_the_problem(infilling_problems: list[Problem]) -> None:
    assert Counter(origin_of(problem.id) for problem in infilling_problems) == Counter(
        problem.cluster for problem in infilling_problems
    )


@pytest.fixture
def infilling_problems() -> list[Problem]:
    """Problems of every way in which ids are made, by the readers of the benchmarks."""
    row = {
        "prompt": "def f(a):\n", "suffix": "", "canonical_solution": "    if a:\n        return g(a)\n    return a\n",
        "test": "def check(f): pass", "entry_point": "f",
    }  # fmt: skip
    whole = {key: value for key, value in row.items() if key != "suffix"}
    rows = [
        {**row, "task_id": f"{kind}Infilling/HumanEval/7/L{n}"} for kind in ("SingleLine", "RandomSpan") for n in (0, 1)
    ]
    holes = problems_of([("humaneval_infilling", each) for each in rows])
    plain = problems_of([("humaneval", {**whole, "task_id": "HumanEval/7"})])
    assert {problem.cluster for problem in holes} == {"HumanEval/7"} and len(syntax_holes(plain)) == 3
    return [*holes, *plain, *syntax_holes(plain)]


def test_the_origin_is_that_of_every_stored_problem() -> None:
    try:
        sets = [problems_of(read_rows(name)) for name in ("humaneval", "humaneval_infilling", "multipl_e")]
    except UserError as error:
        pytest.skip(error.message)
    for problems in [*sets, syntax_holes(sets[0])]:
        assert all(origin_of(problem.id) == problem.cluster for problem in problems)


def test_what_was_not_measured_alike_is_refused(write: Write, tmp_path: Path) -> None:
    old = write("old", answers(8, 2))

    def fails(folder: Path, match: str) -> None:
        with pytest.raises(UserError, match=match):
            compare_benchmarks([old, folder], tmp_path / "c", QUIET)
        assert not (tmp_path / "c").exists()

    fails(write("fewer", answers(7, 2)), "not measured on the same problems")
    fails(write("warm", answers(8, 2), drawing={"temperature": 0.8}), "temperature 0.2 and 0.8")
    fails(write("broken", answers(8, 2), failing="harness error"), "The sandbox failed on answer 0 to HumanEval/2")
    fails(tmp_path / "absent", "no finished results")
    torn = write("torn", answers(8, 2))
    (torn / "verdicts.jsonl").write_text((torn / "verdicts.jsonl").read_text()[:-20])
    fails(torn, "damaged")
    forged = write("forged", answers(8, 2))
    text = (forged / "verdicts.jsonl").read_text()
    (forged / "verdicts.jsonl").write_text(text.replace('"failed"', '"passed"', 1))
    fails(forged, "not those of its answers")
