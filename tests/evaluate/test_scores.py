"""Formulas against numeric oracles: distances by hand, intervals by simulation and by known quantiles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from repotune.evaluate.scores import (
    Score,
    clustered_mean,
    clustered_rate,
    clustered_ratio,
    clustered_share,
    edit_similarity,
    exact_match,
    identifier_f1,
    student_t,
)

texts = st.text(alphabet="ab \n", max_size=12)
values = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6)), min_size=1, max_size=40)


def levenshtein(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row_before, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(row_before[j] + 1, row[-1] + 1, row_before[j - 1] + (x != y)))
    return row[-1]


@given(texts, texts)
def test_edit_similarity_is_levenshteins(answer: str, expected: str) -> None:
    a, b = answer.rstrip(), expected.rstrip()
    assert edit_similarity(answer, expected) == pytest.approx(1 - levenshtein(a, b) / max(len(a), len(b), 1))
    assert (edit_similarity(answer, expected) == 1) == (exact_match(answer, expected) == 1)


def test_only_white_space_at_the_end_is_forgiven() -> None:
    assert exact_match("x = 1  \n", "x = 1") == 1
    assert exact_match(" x = 1", "x = 1") == 0


@given(values)
def test_an_interval_holds_its_mean(pairs: list[tuple[float, int]]) -> None:
    numbers, clusters = [value for value, _ in pairs], [str(cluster) for _, cluster in pairs]
    score = clustered_mean(numbers, clusters)
    assert score.value == pytest.approx(np.mean(numbers))
    if len(set(clusters)) < 3:
        assert score.low is None and score.high is None and score.sign == 0
    else:
        assert score.low is not None and score.high is not None and score.low <= score.value <= score.high


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=40))
def test_a_share_stays_between_0_and_1_and_is_never_certain(pairs: list[tuple[bool, int]]) -> None:
    clusters = [str(cluster) for _, cluster in pairs]
    assume(len(set(clusters)) >= 3)
    score = clustered_share([float(value) for value, _ in pairs], clusters)
    assert score.low is not None and score.high is not None
    assert 0 <= score.low <= score.value + 1e-12 and score.value - 1e-12 <= score.high <= 1
    assert score.high - score.low > 0.01


def test_one_item_a_file_is_the_ordinary_standard_error() -> None:
    numbers = [0.0, 1.0, 1.0, 0.5, 0.25, 0.75]
    score = clustered_mean(numbers, list("abcdef"))
    reach = 2.5706 * np.std(numbers, ddof=1) / np.sqrt(6)
    assert score.low == pytest.approx(score.value - reach, rel=1e-3)
    assert score.high == pytest.approx(score.value + reach, rel=1e-3)


def test_copies_of_an_item_make_nothing_more_certain() -> None:
    numbers, clusters = [0.1, 0.9, 0.4, 0.6], list("abcd")
    once, often = clustered_mean(numbers, clusters), clustered_mean(numbers * 5, clusters * 5)
    assert (often.value, often.low, often.high) == pytest.approx((once.value, once.low, once.high))


@pytest.mark.parametrize(("freedom", "table"), [(2, 4.3027), (3, 3.1824), (5, 2.5706), (10, 2.2281), (30, 2.0423)])
def test_students_t_is_that_of_the_tables(freedom: int, table: float) -> None:
    assert student_t(freedom) == pytest.approx(table, rel=8e-3)


def test_the_intervals_cover_the_truth_95_times_in_100() -> None:
    """2,000 draws of 25 files with a character of their own and 1 to 12 items each."""
    random = np.random.default_rng(0)
    shares = ratios = 0
    for _ in range(2000):
        sizes = random.integers(1, 13, 25)
        character = random.beta(1.2, 2.8, 25)  # mean 0.3
        hits = random.binomial(sizes, character)
        clusters = [str(i) for i in np.repeat(np.arange(25), sizes)]
        answers = np.concatenate([np.arange(size) < hit for size, hit in zip(sizes, hits, strict=True)]).astype(float)
        share = clustered_share(answers.tolist(), clusters)
        ratio = clustered_ratio(hits.astype(float).tolist(), sizes.astype(float).tolist())
        assert ratio.value == pytest.approx(share.value)
        shares += share.low <= 0.3 <= share.high  # type: ignore[operator]
        ratios += ratio.low <= 0.3 <= ratio.high  # type: ignore[operator]
    assert 0.92 < shares / 2000 < 0.98
    assert 0.92 < ratios / 2000 < 0.98


def test_pairs_see_a_difference_that_two_intervals_hide() -> None:
    random = np.random.default_rng(1)
    difficulty = random.uniform(0, 1, 60)
    ours, theirs = (difficulty + 0.03).tolist(), difficulty.tolist()
    files = [str(i // 2) for i in range(60)]
    gains = [mine - yours for mine, yours in zip(ours, theirs, strict=True)]
    assert clustered_mean(gains, files).sign == 1
    assert clustered_mean([-gain for gain in gains], files).sign == -1
    mine, yours = clustered_mean(ours, files), clustered_mean(theirs, files)
    assert mine.low is not None and yours.high is not None and mine.low < yours.high


def test_a_score_is_rounded_and_says_where_it_knows_no_interval() -> None:
    assert Score(1 / 3, None, None).as_json() == {"value": 0.333333, "low": None, "high": None}


def test_a_rate_weighs_each_value_by_its_size() -> None:
    rate = clustered_rate([8.0, 1.0, 3.0], [4.0, 1.0, 1.0], ["a", "b", "c"])
    assert rate.value == pytest.approx(12 / 6)
    assert rate == clustered_ratio([8.0, 1.0, 3.0], [4.0, 1.0, 1.0])
    assert clustered_rate([8.0, 1.0, 3.0], [4.0, 1.0, 1.0], ["a", "b", "b"]) == clustered_ratio([8.0, 4.0], [4.0, 2.0])


@pytest.mark.parametrize(
    ("answer", "expected", "language", "score"),
    [
        ("return path.join(a, b)", "return path.join(a, b)", "Python", 1.0),
        ("path.join(a)", "return path.join(a, b)", "Python", 6 / 7),
        ("path.path", "path.join", "Python", 0.5),  # as often as it occurs: the second `path` is wrong
        ("return", "return self", "Python", 0.0),
        ("new Foo()", "Foo.bar()", "Java", 2 / 3),  # `new` is Java's own word
        ("new Foo()", "Foo.bar()", "Brainfuck", 0.5),  # and of a language not known every word counts
        ("x = 'b c'", "x = 'a'", "Python", 1.0),  # what stands in quotes names nothing
        ("self", "return None", "Python", None),
        ("anything", "", "Python", None),
    ],
)
def test_identifiers_are_compared_as_often_as_they_occur(
    answer: str, expected: str, language: str, score: float | None
) -> None:
    assert identifier_f1(answer, expected, language) == (score if score is None else pytest.approx(score))


@given(texts, texts)
def test_identifier_f1_is_a_share_and_blind_to_sides(answer: str, expected: str) -> None:
    one, other = identifier_f1(answer, expected, "Python"), identifier_f1(expected, answer, "Python")
    assert one is None or (0 <= one <= 1 and (other is None or one == pytest.approx(other)))
