"""The bootstrap against oracles: the analytic interval, tables of Student's t, known coverage, Holm by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repotune.evaluate.comparison.bootstrap import (
    Difference,
    Pairs,
    both_tails,
    difference,
    holm,
    no_difference,
    resampled,
)
from repotune.evaluate.scores import Score, clustered_mean


def pairs(first: object, other: object, clusters: list[str], **more: bool) -> Pairs:
    points = {"a": np.asarray(first, float), "b": np.asarray(other, float)}
    return Pairs(points, np.ones(len(clusters)), clusters, **more)


def drawn_pairs(seed: int, gain: float, files: int = 40) -> Pairs:
    random = np.random.default_rng(seed)
    clusters = [str(file) for file in np.repeat(np.arange(files), random.integers(1, 9, files))]
    difficulty = random.uniform(0.2, 0.7, len(clusters))
    gains = gain + random.normal(0, 0.1, files)[[int(name) for name in clusters]]
    return pairs(difficulty, difficulty + gains, clusters)


def told(p: float | None, value: float = 0.2) -> Difference:
    score = Score(value, value - 0.1, value + 0.1)
    return Difference(value, score.low, score.high, 1.0, p, score, 10, 10, fewer_is_better=False)


@pytest.mark.parametrize("seed", range(5))
def test_bootstrap_and_analytic_interval_agree(seed: int) -> None:
    found = difference(drawn_pairs(seed, 0.05), "a", "b", seed)
    assert found.low is not None and found.high is not None
    assert found.analytic.low is not None and found.analytic.high is not None
    width = found.analytic.high - found.analytic.low
    assert found.low == pytest.approx(found.analytic.low, abs=0.1 * width)
    assert found.high == pytest.approx(found.analytic.high, abs=0.1 * width)


def test_pairs_are_resampled_by_file_and_not_by_item() -> None:
    gains, files = [0.1, 0.9, 0.4, 0.6, 0.2], list("abcde")
    once = difference(pairs([0.0] * 5, gains, files), "a", "b", 1)
    often = difference(pairs([0.0] * 50, gains * 10, files * 10), "a", "b", 1)
    assert (often.low, often.high, often.p) == pytest.approx((once.low, once.high, once.p))
    assert (often.items, often.clusters) == (50, 5)


def test_the_order_of_items_changes_nothing() -> None:
    of = drawn_pairs(3, 0.02)
    turned = Pairs({name: values[::-1] for name, values in of.points.items()}, of.weights, of.clusters[::-1])
    ours, theirs = difference(of, "a", "b", 7), difference(turned, "a", "b", 7)
    assert (ours.low, ours.high, ours.better) == pytest.approx((theirs.low, theirs.high, theirs.better))


def test_sides_swapped_swap_the_interval() -> None:
    of = drawn_pairs(4, 0.05)
    ours, theirs = difference(of, "a", "b", 7), difference(of, "b", "a", 7)
    assert (ours.value, ours.p) == pytest.approx((-theirs.value, theirs.p))
    assert ours.better == pytest.approx(1 - theirs.better)
    assert ours.told == -theirs.told == 1


def test_fewer_bits_are_better() -> None:
    of = drawn_pairs(4, -0.12)
    bits = Pairs(of.points, of.weights, of.clusters, fewer_is_better=True)
    assert difference(bits, "a", "b", 1).told == 1
    assert difference(of, "a", "b", 1).told == -1
    assert difference(bits, "a", "b", 1).better > 0.975


@pytest.mark.parametrize("files", [4, 5, 8, 30])
def test_where_nothing_differs_it_is_told_at_most_as_often_as_promised(files: int) -> None:
    random = np.random.default_rng(files)
    names = [str(file) for file in range(files)]
    wrong = 0
    for seed in range(400):
        gains = random.normal(0, 1, files)
        wrong += difference(pairs(np.zeros(files), gains, names, bounded=False), "a", "b", seed, 500).told != 0
    assert wrong / 400 < 0.08  # 0.05, and the chance of 400 draws


def test_skewed_files_are_covered() -> None:
    random = np.random.default_rng(0)
    names = [str(file) for file in range(25)]
    held = 0
    for seed in range(400):
        found = difference(pairs(np.zeros(25), random.exponential(1.0, 25), names, bounded=False), "a", "b", seed, 500)
        low, high = found.widest
        held += low <= 1.0 <= high  # type: ignore[operator]
    assert held / 400 > 0.91


@pytest.mark.parametrize(
    ("freedom", "table"), [(1, 12.7062), (2, 4.3027), (3, 3.1824), (5, 2.5706), (10, 2.2281), (10_000, 1.9602)]
)
def test_the_tails_of_students_t_are_those_of_the_tables(freedom: int, table: float) -> None:
    assert both_tails(table, freedom) == pytest.approx(0.05, rel=1e-3)
    assert both_tails(0.0, freedom) == pytest.approx(1.0)


def test_answers_that_agree_everywhere_are_not_known_to_be_the_same() -> None:
    found = difference(pairs([0, 1, 1, 0], [0, 1, 1, 0], list("abcd")), "a", "b", 1)
    assert found.low is not None and found.low < -0.5 and found.told == 0
    many = difference(pairs([0.0] * 400, [0.0] * 400, [str(file) for file in range(400)]), "a", "b", 1)
    assert many.high == pytest.approx(3.7 / 400, rel=0.02)
    of = pairs([0, 1, 1, 0], [0, 1, 1, 0], list("abcd"))
    assert (no_difference(of).low, no_difference(of).high, no_difference(of).told) == (0.0, 0.0, 0)


def test_two_files_tell_nothing() -> None:
    found = difference(pairs([0, 0], [1, 1], ["a", "b"]), "a", "b", 1)
    assert (found.value, found.low, found.p, found.told) == (1.0, None, None, 0)


def test_holm_is_holm() -> None:
    found = holm({"w": told(0.01), "x": told(0.04), "y": told(0.03), "z": told(None)})
    assert {name: one.adjusted for name, one in found.items()} == pytest.approx(
        {"w": 0.03, "y": 0.06, "x": 0.06, "z": None}
    )
    assert [one.told for one in found.values()] == [1, 0, 0, 0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_helps_and_keeps_the_order(values: list[float]) -> None:
    found = holm({str(place): told(p) for place, p in enumerate(values)})
    adjusted = [one.adjusted for one in found.values()]
    assert all(
        p <= more <= min(1.0, len(values) * p + 1e-12) or more >= p for p, more in zip(values, adjusted, strict=True)
    )
    order = sorted(range(len(values)), key=lambda place: values[place])
    assert [adjusted[place] for place in order] == sorted(adjusted)


def test_resamples_weigh_clusters_by_their_size() -> None:
    drawn = resampled(np.array([8.0, 1.0]), np.array([4.0, 1.0]), 1, 4000)
    assert sorted(set(np.round(drawn, 6))) == [1.0, 1.8, 2.0]
    assert np.mean(drawn == 1.8) == pytest.approx(0.5, abs=0.03)


def test_the_interval_is_that_of_scores() -> None:
    of = drawn_pairs(1, 0.1)
    gains = (of.points["b"] - of.points["a"]).tolist()
    assert difference(of, "a", "b", 1).analytic == clustered_mean(gains, of.clusters)
