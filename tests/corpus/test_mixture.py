"""Weights multiply; what is drawn follows the importance; what is repeated leaves the epoch as long as it was."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repotune.core.errors import UserError
from repotune.core.settings import MixtureSettings
from repotune.corpus.mixture import Mix, check_names, limited, sampling_keys

importances = st.lists(st.tuples(st.floats(-8, 8), st.integers(0, 10**6)), min_size=1, max_size=30)


def test_weights_of_language_and_repository_multiply() -> None:
    step = Mix(MixtureSettings(languages={"Python": 2.0, "Markdown": 0.5}, repositories={"api": 3.0}))
    batch = pa.RecordBatch.from_pydict(
        {"language": ["Python", "Python", "Markdown", "Go"], "repository": ["api", "web", "web", "api"]}
    )
    assert step(batch).column("weight").to_pylist() == [6.0, 2.0, 0.5, 3.0]
    assert Mix(MixtureSettings())(batch).column("weight").to_pylist() == [1.0] * 4


def test_names_that_do_not_exist_are_refused_with_those_that_do() -> None:
    check_names(MixtureSettings(languages={"Python": 2.0}, repositories={"api": 2.0}), {"api", "web"})
    with pytest.raises(UserError, match="Pythn"):
        check_names(MixtureSettings(languages={"Pythn": 2.0}), {"api"})
    with pytest.raises(UserError, match="names ap") as raised:
        check_names(MixtureSettings(repositories={"ap": 2.0}), {"web", "api"})
    assert raised.value.hint == "their names are: api, web"


def drawn(importance, draws, sizes, share):
    """Which documents come first by their keys, up to `share` of the bytes, as the build's SQL has it."""
    order = np.lexsort((draws, -sampling_keys(importance, draws)))
    before = np.cumsum(sizes[order]) - sizes[order]
    kept = np.zeros(len(order), np.bool_)
    kept[order[before < share * sizes.sum()]] = True
    return kept


def test_the_drawn_hold_the_share_of_the_bytes() -> None:
    rng = np.random.default_rng(1)
    importance, draws, sizes = rng.normal(0, 0.1, 500), rng.random(500), rng.integers(1, 9000, 500).astype(float)
    for share in (0.01, 0.3, 0.99):
        kept = drawn(importance, draws, sizes, share)
        assert share * sizes.sum() <= sizes[kept].sum() < share * sizes.sum() + 9000
    assert drawn(importance, draws, sizes, 1.0).all()
    assert importance[drawn(importance, draws, sizes, 0.3)].mean() > importance.mean() + 0.05


def test_odds_are_those_of_the_importance_weights() -> None:
    """Of two files whose 256 n-grams are e^log 3 times as likely in the target, the first is drawn 3 times of 4."""
    importance, sizes = np.array([math.log(3) / 256, 0.0]), np.ones(2)
    times = [drawn(importance, draws, sizes, 0.5)[0] for draws in np.random.default_rng(2).random((20_000, 2))]
    assert np.mean(times) == pytest.approx(0.75, abs=0.015)


@given(importances, st.floats(0.01, 1), st.randoms(use_true_random=False))
def test_what_is_drawn_does_not_depend_on_the_order(
    rows: list[tuple[float, int]], share: float, random: object
) -> None:
    importance, sizes = (np.array(column, float) for column in zip(*rows, strict=True))
    draws = np.random.default_rng(3).random(len(rows))
    order = np.random.default_rng(4).permutation(len(rows))
    kept = drawn(importance, draws, sizes, share)
    assert np.array_equal(drawn(importance[order], draws[order], sizes[order], share), kept[order])


@given(importances, st.floats(1, 100))
def test_weights_rise_up_to_the_most_and_keep_the_epochs_length(rows: list[tuple[float, int]], most: float) -> None:
    importance, sizes = (np.array(column, float) for column in zip(*rows, strict=True))
    weights = limited(importance, sizes, most).weights(importance)
    assert weights.min() >= 0 and weights.max() <= most + 1e-4
    assert np.all(np.diff(weights[np.argsort(importance, kind="stable")]) >= 0)
    assert (weights * sizes).sum() == pytest.approx(sizes.sum(), rel=1e-3, abs=1)


def test_a_most_of_one_weighs_all_alike() -> None:
    levels = np.array([0.3, -2.0, 0.0])
    assert limited(levels, np.array([5.0, 9.0, 1.0]), 1.0).weights(levels).tolist() == [1.0, 1.0, 1.0]
