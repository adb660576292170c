"""Several trainings of the same contestants as one comparison: what differs whichever seed they were trained with.

A gain is still that of one item in one training; items of one file are one cluster in all trainings together, since
they are the same holes. So an interval says how it would be on other files, after these trainings. How it would be
after others is told by how many of these agree: two or three are too few for an interval of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from repotune.evaluate.comparison.bootstrap import Pairs
from repotune.evaluate.comparison.measured import BITS, Differences, Part, all_differences
from repotune.evaluate.comparison.run import Comparison
from repotune.evaluate.comparison.verdict import listed, own_code_verdict


@dataclass(frozen=True)
class Pooled:
    """As a `Comparison`: each difference is opponent − first, of all trainings."""

    differences: Differences
    verdict: str


def pool(trainings: Sequence[Comparison], seed: int) -> Pooled:
    """Pools comparisons of contestants with the same names on the same items, one of each training. `seed` is the
    resamples'."""
    first, opponents = trainings[0].first, trainings[0].opponents
    parts = _joined([one.pairs for one in trainings])
    same = [name for name in opponents if all(name in one.same for one in trainings)]
    found = all_differences(parts, first, opponents, same, seed)
    files = len(set(parts["likelihood"][BITS].clusters))
    agreeing = listed([f"{name} in {_fewer_bits(trainings, name)} of {len(trainings)}" for name in opponents])
    said = own_code_verdict(found, first, files, same)
    return Pooled(found, f"{said} Fewer bits per byte than {first}, by training: {agreeing}.")


def _fewer_bits(trainings: Sequence[Comparison], name: str) -> int:
    return sum(one.differences[name]["likelihood"][BITS].value < 0 for one in trainings)


def _joined(trainings: Sequence[Mapping[str, Part]]) -> dict[str, Part]:
    return {
        part: {measure: _join([of[part][measure] for of in trainings]) for measure in measures}
        for part, measures in trainings[0].items()
    }


def _join(pairs: Sequence[Pairs]) -> Pairs:
    points = {name: np.concatenate([of.points[name] for of in pairs]) for name in pairs[0].points}
    clusters = [cluster for of in pairs for cluster in of.clusters]
    weights = np.concatenate([of.weights for of in pairs])
    return Pairs(points, weights, clusters, pairs[0].fewer_is_better, pairs[0].bounded)
