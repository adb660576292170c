"""The leaderboard shows what results.json holds, and says what was not scored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from repotune.core.errors import UserError
from repotune.report.benchmarks_page import build_benchmarks_page


def result(**changes: Any) -> dict[str, Any]:
    score = {"value": 0.25, "low": 0.125, "high": 0.5}
    of = {"1": score}
    return {
        "schema": 2,
        "benchmark": "humaneval",
        "model": "release",
        "pass_at_k": of,
        "groups": {"py": {"problems": 100, "pass_at_k": of}, "js": {"problems": 64, "pass_at_k": of}},
        "verdicts": {"passed": 41, "failed": 123},
        "refused": {"HumanEval/9": "failed: wrong"},
        "unusable_languages": {"d": "this machine has no D"},
        "reference_bits_per_byte": {"value": 1.5, "low": 1.4, "high": 1.6},
        "generation": {
            "tokens_per_second": 200.0, "tokens_per_second_of_50": 4321.0, "peak_memory": 5e8, "bandwidth_share": 0.31
        },
        "circumstances": {"weights": {"model.safetensors": "abcdef99"}, "precision": "int8", "drawing": {
            "samples": 1, "temperature": 0.0}},
    } | changes  # fmt: skip


def write(folder: Path, name: str, value: dict[str, Any]) -> None:
    place = folder / value["benchmark"] / name
    place.mkdir(parents=True)
    (place / "results.json").write_text(json.dumps(value))


def test_scores_speed_and_what_was_left_out_are_said(tmp_path: Path) -> None:
    write(tmp_path, "a", result())
    page = build_benchmarks_page(tmp_path, "acme").with_suffix(".md").read_text()
    assert "release abcdef int8" in page
    for said in (
        "25.0 %",
        "12.5 to 50.0 %",
        "200",
        "4.32 k",
        "31 %",
        "500.0 MB",
        "this machine has no D",
        "HumanEval/9",
        "1.500",
    ):
        assert said in page, said


def test_of_two_runs_the_one_with_more_answers_leads(tmp_path: Path) -> None:
    circumstances = result()["circumstances"]
    many = circumstances | {"drawing": {"samples": 50, "temperature": 0.2}}
    better = {"1": {"value": 0.5, "low": None, "high": None}}
    write(tmp_path, "a", result(circumstances=many, pass_at_k=better))
    write(tmp_path, "b", result())
    board = build_benchmarks_page(tmp_path, "acme").with_suffix(".md").read_text().partition("## humaneval")[0]
    assert "50.0 %" in board
    assert "25.0 %" not in board


def test_streams_that_take_turns_have_no_figure_of_fifty(tmp_path: Path) -> None:
    alone = result()["generation"] | {"tokens_per_second_of_50": None}
    write(tmp_path, "a", result(generation=alone))
    assert "| 200 | – | 500.0 MB |" in build_benchmarks_page(tmp_path, "acme").with_suffix(".md").read_text()


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 1}', '{"schema": 2, "benchmark": "x"}'])
def test_a_damaged_result_is_said_to_be(tmp_path: Path, text: str) -> None:
    (tmp_path / "x" / "a").mkdir(parents=True)
    (tmp_path / "x" / "a" / "results.json").write_text(text)
    with pytest.raises(UserError):
        build_benchmarks_page(tmp_path, "acme")


def test_nothing_measured_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No benchmark"):
        build_benchmarks_page(tmp_path, "acme")
