"""The gate on known differences: what is worse, what may be, what nobody can tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from repotune.core.errors import UserError
from repotune.evaluate.comparison.bootstrap import Pairs, difference
from repotune.evaluate.comparison.gate import NOT_PASSED, PASSED, Gate, judge
from repotune.evaluate.comparison.run import Comparison


def comparison(bits: float, exact: float, spread: float = 0.05, files: int = 60) -> Comparison:
    """The new model needs `bits` more a byte and is exact `exact` more often, give or take `spread`."""
    random = np.random.default_rng(2)
    names = [str(file) for file in range(files)]
    noise = random.normal(0, spread, files)
    noise -= noise.mean()

    def pairs(gain: float, fewer: bool) -> Pairs:
        points = {"old": np.full(files, 0.5), "new": 0.5 + gain + noise}
        return Pairs(points, np.ones(files), names, fewer_is_better=fewer, bounded=False)

    parts = {
        "likelihood": {"bits_per_byte": difference(pairs(bits, True), "old", "new", 1)},
        "line": {"exact_match": difference(pairs(exact, False), "old", "new", 1)},
    }
    return Comparison(Path(), "old", ("new",), {"new": parts}, "", {})


@pytest.mark.parametrize(
    ("gate", "bits", "exact", "passed"),
    [
        (Gate(), -0.10, 0.0, True),  # better is not worse
        (Gate(), 0.0, 0.0, False),  # it may be a little worse, and the margin is none
        (Gate(margin=0.05), 0.0, 0.0, True),
        (Gate(margin=0.05), 0.045, 0.0, False),  # its mean is within the margin, its interval is not
        (Gate(margin=0.05), 0.10, 0.0, False),
        (Gate(better=True), -0.10, 0.0, True),
        (Gate(better=True), -0.001, 0.0, False),
        (Gate(better=True), 0.10, 0.0, False),
        (Gate("line.exact_match", 0.02), 0.10, 0.0, True),
        (Gate("line.exact_match", 0.02), -0.10, -0.05, False),
        (Gate("line.exact_match", better=True), 0.10, 0.05, True),
    ],
)
def test_the_gate_asks_for_what_it_says(gate: Gate, bits: float, exact: float, passed: bool) -> None:
    found = judge(gate, comparison(bits, exact))
    assert found.passed is passed
    assert found.status == (PASSED if passed else NOT_PASSED)
    assert found.sentence.startswith("Passed" if passed else "Not passed")
    assert gate.measure in found.sentence


def test_too_few_files_do_not_pass() -> None:
    found = judge(Gate(margin=10), comparison(-0.5, 0.5, files=2))
    assert not found.passed and "too few" in found.sentence


def test_what_a_gate_cannot_be_is_said() -> None:
    with pytest.raises(UserError, match=r"-0\.1"):
        Gate(margin=-0.1)
    with pytest.raises(UserError, match="margin"):
        Gate(margin=0.1, better=True)
    with pytest.raises(UserError, match="no measure bleu") as raised:
        judge(Gate("bleu"), comparison(0, 0))
    assert raised.value.hint == "one of: bits_per_byte, likelihood.bits_per_byte, line.exact_match"
    three = comparison(0, 0)
    with pytest.raises(UserError, match="between two"):
        judge(Gate(), Comparison(Path(), "old", ("new", "newer"), {**three.differences, "newer": {}}, "", {}))
