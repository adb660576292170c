"""The weights minimise what they are said to minimise."""

from __future__ import annotations

import numpy as np
import pytest

from repotune.corpus.logistic import Rows, fit, sigmoid, stack


def loss(rows: Rows, targets: np.ndarray, weights: np.ndarray, intercept: float, penalty: float) -> float:
    """The definition, from the logits' exact logarithms."""
    logits = rows.times(weights) + intercept
    entropy = np.logaddexp(0, logits) - targets * logits
    sides = [entropy[side].mean() / 2 for side in (targets >= 0.5, targets < 0.5)]
    return float(sum(sides) + penalty / 2 * (weights**2).sum())


@pytest.fixture
def problem() -> tuple[Rows, np.ndarray]:
    rng = np.random.default_rng(3)
    features = [np.sort(rng.choice(40, rng.integers(0, 20), replace=False)) for _ in range(90)]
    truth = np.array([float(rng.random() < 0.2 + 0.6 * (7 in row)) for row in features])
    return stack(features, rng.random(90) + 0.1, 40), truth


def test_no_step_away_from_the_weights_is_better(problem: tuple[Rows, np.ndarray]) -> None:
    rows, truth = problem
    weights, intercept = fit(rows, truth, 1e-2)
    best = loss(rows, truth, weights, intercept, 1e-2)
    rng = np.random.default_rng(5)
    for size in (1e-2, 1e-1, 1.0):
        step = size * rng.standard_normal(41)
        assert loss(rows, truth, weights + step[:-1], intercept + step[-1], 1e-2) > best
    assert weights[7] == weights.max()


def test_products_are_those_of_the_dense_matrix(problem: tuple[Rows, np.ndarray]) -> None:
    rows, _ = problem
    dense = np.zeros((len(rows), rows.columns))
    for row in range(len(rows)):
        dense[row, rows.features[rows.offsets[row] : rows.offsets[row + 1]]] = rows.scale[row]
    rng = np.random.default_rng(5)
    right, left = rng.standard_normal(rows.columns), rng.standard_normal(len(rows))
    assert np.allclose(rows.times(right), dense @ right) and np.allclose(rows.transposed_times(left), left @ dense)
    some = np.array([3, 0, 88])
    assert np.allclose(rows.take(some).times(right), (dense @ right)[some])


def test_sides_of_unequal_size_weigh_the_same() -> None:
    rows = stack([np.array([0], np.int64)] * 100, np.ones(100), 1)
    weights, intercept = fit(rows, np.repeat([1.0, 0.0], [90, 10]), 1e-3)
    assert sigmoid(rows.times(weights) + intercept) == pytest.approx(0.5, abs=1e-3)
