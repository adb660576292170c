"""pass@k is the closed formula, and its interval is clustered."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repotune.evaluate.benchmarks.pass_at_k import pass_at_k, pass_at_k_score


@given(st.data())
def test_it_is_the_closed_formula(data: st.DataObject) -> None:
    answers = data.draw(st.integers(1, 300))
    passed = data.draw(st.integers(0, answers))
    k = data.draw(st.integers(1, answers))
    exact = 1 - Fraction(math.comb(answers - passed, k), math.comb(answers, k))
    assert abs(pass_at_k(answers, passed, k) - exact) < 1e-12


@pytest.mark.parametrize(("answers", "passed", "k"), [(3, 4, 1), (3, 1, 4), (3, 1, 0), (0, 0, 1)])
def test_what_has_no_meaning_is_refused(answers: int, passed: int, k: int) -> None:
    with pytest.raises(ValueError, match="no meaning"):
        pass_at_k(answers, passed, k)


def test_one_answer_each_has_a_width_even_where_all_fail() -> None:
    score = pass_at_k_score([(1, 0)] * 20, 1, [str(number) for number in range(20)])
    assert score.value == score.low == 0
    assert score.high is not None
    assert 0.1 < score.high < 0.2


def test_holes_of_one_problem_count_as_one() -> None:
    counts = [(1, number % 2) for number in range(4) for _ in range(25)]
    apart = pass_at_k_score(counts, 1, [str(number) for number in range(100)])
    together = pass_at_k_score(counts, 1, [str(number) for number in range(4) for _ in range(25)])
    assert apart.value == together.value == 0.5
    assert apart.low is not None
    assert together.low is not None
    assert together.low < apart.low - 0.2


def test_problems_with_too_few_answers_do_not_count() -> None:
    assert pass_at_k_score([(10, 10), (3, 0)], 10, ["a", "b"]).value == 1.0
    with pytest.raises(ValueError, match="10 answers"):
        pass_at_k_score([(3, 0)], 10, ["b"])
