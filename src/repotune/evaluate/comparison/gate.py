"""A gate for a build server: may the new model take the old one's place?

Not worse by more than a margin, with 95 % confidence (non-inferiority: the whole interval, of both the wider, lies on
the good side of the margin, as CONSORT asks, Piaggio et al. 2012), or better beyond chance. What is too uncertain to
tell does not pass.
"""

from __future__ import annotations

from dataclasses import dataclass

from repotune.core.errors import UserError
from repotune.evaluate.comparison.bootstrap import Difference
from repotune.evaluate.comparison.run import Comparison

PASSED = 0
NOT_PASSED = 3
"""1 is a fault of repotune's and 2 something the user can mend, as an unreadable model: neither is a verdict."""


@dataclass(frozen=True)
class Gate:
    """`measure` is that of whole files or of all items, such as "bits_per_byte", "exact_match" or "pass@1", or one of a
    part, such as "line.exact_match". `margin` is in its unit: bits per byte, or a share of 1."""

    measure: str = "bits_per_byte"
    margin: float = 0.0
    better: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.margin < float("inf"):
            raise UserError(f"A margin is how much worse is still allowed, 0 or more, not {self.margin}.")
        if self.better and self.margin:
            raise UserError("--better asks for more than a margin allows.", "leave one of them out")


@dataclass(frozen=True)
class Passing:
    """Whether the gate is passed, the sentence that says so, and the exit status."""

    passed: bool
    sentence: str

    @property
    def status(self) -> int:
        return PASSED if self.passed else NOT_PASSED


def judge(gate: Gate, comparison: Comparison) -> Passing:
    """Whether the second model may take the first one's place. Raises UserError where there are more than two, or none
    of them has the measure."""
    if len(comparison.opponents) != 1:
        raise UserError("A gate is between two models, the old one and the new one.", "name two, or leave the gate out")
    new = comparison.opponents[0]
    one = _measured(gate.measure, comparison)
    low, high = one.widest
    if low is None or high is None:
        return Passing(False, f"Not passed: {one.clusters} clusters are too few to tell.")
    loss = max(0.0, high if one.fewer_is_better else -low)
    said = f"in {gate.measure} {new} minus {comparison.first} is {one.value:+.4f} [{low:+.4f}, {high:+.4f}]"
    said = said.replace("-", "−")
    if gate.better:
        passed = one.told > 0
        return Passing(passed, f"{'Passed' if passed else 'Not passed'}: {said}, {_WORDS[one.told]}.")
    passed = loss <= gate.margin
    verb = "is worse by no more than" if passed else "may be worse by more than"
    return Passing(passed, f"{'Passed' if passed else 'Not passed'}: {said}, which {verb} {gate.margin:g}.")


_WORDS = {1: "better", 0: "not distinguishable", -1: "worse"}


def _measured(name: str, comparison: Comparison) -> Difference:
    """The difference that `name` stands for."""
    (differences,) = comparison.differences.values()
    part, _, measure = name.rpartition(".")
    for place in (part,) if part else ("likelihood", "all"):
        if measure in differences.get(place, {}):
            return differences[place][measure]
    known = [measure for place in ("likelihood", "all") for measure in differences.get(place, {})]
    known += [f"{place}.{measure}" for place, of in differences.items() for measure in of]
    raise UserError(f"There is no measure {name} here.", f"one of: {', '.join(dict.fromkeys(known))}")
