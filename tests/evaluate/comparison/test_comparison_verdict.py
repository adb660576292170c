"""The sentence that a team reads, for what the intervals allow."""

from __future__ import annotations

import doctest

import pytest

from repotune.evaluate.comparison import benchmarks, contestants, verdict
from repotune.evaluate.comparison.bootstrap import Difference
from repotune.evaluate.comparison.verdict import benchmark_verdict, own_code_verdict
from repotune.evaluate.scores import Score


def measured(value: float, reach: float, bits: bool = False) -> Difference:
    score = Score(value, value - reach, value + reach)
    p = 0.001 if abs(value) > reach else 0.5
    return Difference(value, score.low, score.high, 0.99, p, score, 9, 9, fewer_is_better=bits)


def test_what_is_told_bears_its_interval_and_what_is_not_is_named() -> None:
    parts = {
        "likelihood": {"bits_per_byte": measured(-0.08, 0.02, bits=True)},
        "rest": {"exact_match": measured(0.02, 0.05)},
        "line": {"exact_match": measured(-0.04, 0.05)},
        "block": {"edit_similarity": measured(-0.1, 0.05)},
    }
    assert own_code_verdict({"new": parts}, "old", 34, []) == (
        "On 34 held-out files new is better than old in bits per byte (−0.080 [−0.100, −0.060]), worse than it in the "
        "edit similarity of blocks (−10.0 points [−15.0, −5.0]) and not distinguishable from it in exact rests of a "
        "line and lines."
    )


def test_several_opponents_and_one_that_is_the_first() -> None:
    parts = {"likelihood": {"bits_per_byte": measured(0.08, 0.02, bits=True)}}
    assert own_code_verdict({"b": parts, "c": parts}, "a", 1, ["c"]) == (
        "On 1 held-out file b is worse than a in bits per byte (+0.080 [+0.060, +0.100]); c is a: weights and "
        "vocabulary are the same (Holm's correction for 2 comparisons)."
    )


def test_a_benchmark_is_told_by_all_its_problems() -> None:
    parts = {"all": {"pass@1": measured(0.1, 0.05), "pass@10": measured(0.1, 0.2)}, "call": {"pass@1": measured(-1, 0)}}
    assert benchmark_verdict({"new": parts}, "old", "humaneval", 164) == (
        "On 164 problems of humaneval new is better than old in pass@1 (+10.0 points [+5.0, +15.0]) and not "
        "distinguishable from it in pass@10."
    )


@pytest.mark.parametrize("module", [benchmarks, contestants, verdict])
def test_examples_in_docstrings_are_right(module: object) -> None:
    failed, tried = doctest.testmod(module)  # type: ignore[arg-type]
    assert not failed and tried
