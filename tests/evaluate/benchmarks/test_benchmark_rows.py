"""Rows of every known benchmark become problems whose candidate is the program meant; others are refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from repotune.core.errors import UserError
from repotune.evaluate.benchmarks.formats import problems_of
from repotune.evaluate.benchmarks.judging import judge
from repotune.evaluate.benchmarks.problem import Problem
from repotune.evaluate.benchmarks.reading import read_rows
from repotune.evaluate.languages.language import load_languages
from repotune.evaluate.sandbox.confinement import Level
from repotune.evaluate.sandbox.execution import Verdict
from repotune.evaluate.sandbox.probe import probe

HUMAN_EVAL = {
    "task_id": "HumanEval/0",
    "prompt": "def double(x):\n",
    "entry_point": "double",
    "canonical_solution": "    return 2 * x\n",
    "test": "def check(candidate):\n    assert candidate(2) == 4\n",
}
INFILLING = HUMAN_EVAL | {"task_id": "SingleLineInfilling/HumanEval/0/L0", "suffix": "\n"}
MBPP: dict[str, Any] = {
    "task_id": 7,
    "text": "Write a function to double.",
    "code": "def double(x):\r\n    return 2 * x",
    "test_list": ["assert double(1) == 2", "assert double(2) == 4"],
    "test_setup_code": "limit = 3",
    "challenge_test_list": ["assert double(limit) == 6"],
}
MBPP_PLUS = {"task_id": 7, "prompt": "Double.", "code": "x = 1", "test_list": '["assert x"]', "test": "assert x == 1"}
MULTIPLE = {"name": "f", "language": "rs", "prompt": "fn f() {\n", "tests": "}\n", "stop_tokens": ["\n}"]}
X = {
    "task_id": "CPP/0",
    "prompt": "int f() {\n",
    "declaration": "int f()",
    "canonical_solution": "    if (true) {\n        return 1;\n    }\n    return 2;\n}\n\n",
    "test": "#undef NDEBUG\n#include<assert.h>\nint main() {\n    assert (f() == 1);\n}\n",
}


def problem_of(row: dict[str, Any]) -> Problem:
    return problems_of([("rows", row)])[0]


def test_human_eval_calls_its_check() -> None:
    problem = problem_of(HUMAN_EVAL)
    assert problem.candidate(problem.reference or "") == "def double(x):\n    return 2 * x\n"
    assert problem.tests.endswith("check(double)\n")
    assert problem.cluster == "HumanEval/0"


def test_infilling_keeps_its_suffix_and_its_problem() -> None:
    problem = problem_of(INFILLING)
    assert problem.candidate("    return 1\n") == "def double(x):\n    return 1\n\n"
    assert (problem.lines, problem.kind, problem.cluster) == (1, "SingleLine", "HumanEval/0")


def test_mbpp_shows_one_test_and_runs_all() -> None:
    problem = problem_of(MBPP)
    assert "double(1)" in problem.prompt
    assert "double(2)" not in problem.prompt
    assert problem.tests.splitlines() == ["limit = 3", *MBPP["test_list"], *MBPP["challenge_test_list"]]
    assert problem.reference == "def double(x):\n    return 2 * x"


def test_mbpp_plus_runs_its_own_tests() -> None:
    assert problem_of(MBPP_PLUS).tests == "assert x == 1"


def test_multipl_es_samples_are_not_taken_for_right() -> None:
    problem = problem_of(MULTIPLE)
    assert (problem.language, problem.stop, problem.reference_is_checked) == ("rs", ("\n}",), False)


def test_human_eval_xs_functions_are_closed_after_an_answer() -> None:
    problem = problem_of(X)
    assert problem.language == "cpp"
    assert problem.reference == "    if (true) {\n        return 1;\n    }\n    return 2;"
    whole = X["prompt"] + X["canonical_solution"].rstrip() + "\n" + X["test"]
    assert f"{problem.candidate(problem.reference)}{problem.tests}" == whole


@pytest.mark.skipif(load_languages()["cpp"].version() is None, reason="there is no g++")
@pytest.mark.skipif(probe().level < Level.CONFINED, reason="this machine holds no code that nobody has read")
def test_an_answer_in_another_language_runs() -> None:
    problem = problem_of(X)
    outcomes = judge([(problem, problem.reference or ""), (problem, "    return 3;")], probe().level)
    assert [outcome.verdict for outcome in outcomes] == [Verdict.PASSED, Verdict.FAILED]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"question": "?", "answer": "!"}, "no benchmark that is known"),
        (HUMAN_EVAL | {"test": None, "entry_point": None, "task_id": 3, "suffix": ""}, "damaged"),
        (MBPP | {"test_list": "not JSON"}, "damaged"),
        (MULTIPLE | {"language": "klingon"}, "damaged"),
    ],
)
def test_other_rows_are_refused(row: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        problem_of(row)


def test_a_problem_comes_once() -> None:
    with pytest.raises(UserError, match="twice"):
        problems_of([("rows", HUMAN_EVAL), ("rows", HUMAN_EVAL)])


def test_files_of_every_ending_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(HUMAN_EVAL) + "\n\n")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(json.dumps(HUMAN_EVAL).encode()))
    pq.write_table(pa.Table.from_pylist([HUMAN_EVAL]), tmp_path / "c.parquet")
    (tmp_path / "README.md").write_text("no rows")
    assert read_rows(str(tmp_path)) == [("a", HUMAN_EVAL), ("b", HUMAN_EVAL), ("c", HUMAN_EVAL)]
    assert read_rows(str(tmp_path / "c.parquet")) == [("c", HUMAN_EVAL)]


def test_of_splits_only_test_is_read(tmp_path: Path) -> None:
    for split in ("test", "train"):
        pq.write_table(pa.Table.from_pylist([HUMAN_EVAL]), tmp_path / f"{split}-00000-of-00001.parquet")
    assert [name for name, _ in read_rows(str(tmp_path))] == ["test-00000-of-00001"]


@pytest.mark.parametrize("name", ["broken.jsonl", "broken.jsonl.gz", "broken.parquet"])
def test_a_damaged_file_is_said_to_be(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"{not json")
    with pytest.raises(UserError, match="broken"):
        read_rows(str(tmp_path))


def test_what_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REPOTUNE_DATA", raising=False)
    with pytest.raises(UserError, match="There is no benchmark"):
        read_rows(str(tmp_path / "absent"))
    with pytest.raises(UserError, match="REPOTUNE_DATA"):
        read_rows("humaneval")
    with pytest.raises(UserError, match="holds no benchmark"):
        read_rows(str(tmp_path))
