"""What several trainings say together: gains of all, files as clusters, and no certainty from asking twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from repotune.evaluate.comparison.bootstrap import Pairs
from repotune.evaluate.comparison.measured import Part, all_differences
from repotune.evaluate.comparison.pooled import pool
from repotune.evaluate.comparison.run import Comparison

ITEMS, FILES = 400, 40


def training(seed: int, gain: float, same: tuple[str, ...] = ()) -> Comparison:
    """A comparison in which the new model takes `gain` bits per byte more, and a file has a gain of its own."""
    chance = np.random.default_rng(seed)
    files = np.arange(ITEMS) % FILES
    old = chance.normal(2, 0.2, ITEMS)
    own = np.random.default_rng(9).normal(0, 0.1, FILES)[files]
    new = old if same else old + gain + own + chance.normal(0, 0.05, ITEMS)
    points = {"old": old, "new": new}
    weights = chance.integers(5, 50, ITEMS).astype(float)
    parts: dict[str, Part] = {
        "likelihood": {"bits_per_byte": Pairs(points, weights, [f"{file}.py" for file in files], True, False)}
    }
    found = all_differences(parts, "old", ["new"], same, seed)
    return Comparison(Path(), "old", ("new",), found, "", parts, same)


def test_a_gain_is_that_of_all_trainings_by_weight() -> None:
    trainings = [training(1, -0.1), training(2, -0.3)]
    one = pool(trainings, seed=1).differences["new"]["likelihood"]["bits_per_byte"]
    sums = []
    for of in trainings:
        pairs = of.pairs["likelihood"]["bits_per_byte"]
        sums.append((((pairs.points["new"] - pairs.points["old"]) * pairs.weights).sum(), pairs.weights.sum()))
    above, below = zip(*sums, strict=True)
    assert one.value == pytest.approx(sum(above) / sum(below))
    assert (one.items, one.clusters) == (2 * ITEMS, FILES)


def test_the_same_training_twice_is_no_surer_than_once() -> None:
    once = training(1, -0.02)
    told = once.differences["new"]["likelihood"]["bits_per_byte"]
    twice = pool([once, once], seed=1).differences["new"]["likelihood"]["bits_per_byte"]
    assert twice.value == pytest.approx(told.value)
    assert (twice.low, twice.high, twice.p) == pytest.approx((told.low, told.high, told.p))
    assert twice.analytic.low == pytest.approx(told.analytic.low)


def test_the_sentence_says_in_how_many_trainings_it_was_so() -> None:
    said = pool([training(1, -0.5), training(2, -0.3), training(3, 0.2)], seed=1).verdict
    assert said.startswith(f"On {FILES} held-out files new is better than old in bits per byte")
    assert said.endswith("Fewer bits per byte than old, by training: new in 2 of 3.")


def test_a_variant_that_changes_nothing_is_said_to_be_the_same() -> None:
    trainings = [training(seed, 0.0, same=("new",)) for seed in (1, 2)]
    assert "new is old: weights and vocabulary are the same" in pool(trainings, seed=1).verdict
    assert "weights" not in pool([trainings[0], training(2, 0.1)], seed=1).verdict
