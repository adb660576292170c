"""The n-gram is a distribution, `bits` and `distribution` agree, and fitting does what it says."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repotune.evaluate.ngram import NgramModel, Passage

VOCABULARY = 20


def documents(count: int, seed: int) -> list[np.ndarray]:
    """A language with habits: each token is mostly its forerunner's double. Files start with 1 and end with 0."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        ids = [1]
        for _ in range(random.integers(5, 60)):
            ids.append(int(2 + (2 * ids[-1] + random.choice([0, 0, 0, 1])) % (VOCABULARY - 3)))
        made.append(np.array([*ids, 0]))
    return made


@pytest.fixture(scope="module")
def model() -> NgramModel:
    made = NgramModel(documents(40, seed=0), VOCABULARY)
    made.fit(passages(10, seed=1))
    return made


def passages(count: int, seed: int) -> list[Passage]:
    return [Passage(ids, 2, len(ids) - 1) for ids in documents(count, seed)]


@settings(max_examples=50)
@given(st.lists(st.integers(0, VOCABULARY - 1), min_size=2, max_size=40))
def test_every_context_has_a_distribution(model: NgramModel, context: list[int]) -> None:
    p = model.distribution(np.array(context))
    assert p.shape == (VOCABULARY,)
    assert p.min() > 0
    assert p.sum() == pytest.approx(1, abs=1e-12)


def test_bits_are_those_of_the_distribution(model: NgramModel) -> None:
    for passage in passages(5, seed=2):
        expected = [-np.log2(model.distribution(passage.ids[:at])[passage.ids[at]]) for at in range(2, passage.stop)]
        assert model.bits(passage) == pytest.approx(expected, abs=1e-9)


def test_a_passage_may_begin_anywhere(model: NgramModel) -> None:
    ids = max((passage.ids for passage in passages(5, seed=3)), key=len)
    whole = model.bits(Passage(ids, 2, len(ids)))
    assert model.bits(Passage(ids, 7, 11)) == pytest.approx(whole[5:9], abs=1e-9)


def test_no_round_of_fitting_lowers_the_likelihood() -> None:
    unseen = passages(10, seed=1)
    totals = []
    for rounds in range(5):
        model = NgramModel(documents(40, seed=0), VOCABULARY)
        model.fit(unseen, rounds)
        totals.append(sum(model.bits(passage).sum() for passage in unseen))
    assert all(after <= before + 0.5 for before, after in pairwise(totals))  # 0.5: the smoothing
    assert totals[-1] < totals[0]


def test_it_learns_what_can_be_learnt(model: NgramModel) -> None:
    """The language's own entropy is 0.81 bits a token; an even guess needs 4.32."""
    bits = np.concatenate([model.bits(passage) for passage in passages(20, seed=4)])
    assert 0.7 < bits.mean() < 1.3


def test_the_cache_knows_what_this_file_said_before() -> None:
    random = np.random.default_rng(0)
    model = NgramModel([random.integers(0, VOCABULARY, 2000)], VOCABULARY)
    phrase = random.integers(0, VOCABULARY, 12)
    repeated = np.tile(phrase, 5)
    model.fit([Passage(np.tile(random.integers(0, VOCABULARY, 12), 5), 2, 60)])
    bits = model.bits(Passage(repeated, 2, len(repeated)))
    assert bits[-12:].mean() < 1 < 3 < bits[:10].mean()
