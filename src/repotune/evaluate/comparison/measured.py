"""From what everyone did to pairs of scores: by kind, by language, and in lines later than everything learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from repotune.evaluate.comparison.bootstrap import Difference, Pairs, difference, holm, no_difference
from repotune.evaluate.own_code.items import KINDS
from repotune.evaluate.scores import clustered_ratio
from repotune.evaluate.summary import MEASURES, Filled, Read, infilling_scores

BITS = "bits_per_byte"
Part = dict[str, Pairs]
"""By measure."""
Differences = dict[str, dict[str, dict[str, Difference]]]
"""By opponent, part and measure, each opponent − first."""


def own_code_pairs(reads: Sequence[Read], filled: Sequence[Filled]) -> dict[str, Part]:
    """{"likelihood", "all", kind or "later": {measure: pairs}}; parts that hold nothing are left out."""
    parts = {"likelihood": {BITS: _reading(reads)}, "all": _answering(filled)}
    parts |= {kind: _answering([one for one in filled if one.item.kind == kind]) for kind in KINDS}
    parts["later"] = _answering([one for one in filled if one.item.later])
    return {name: part for name, part in parts.items() if part}


def language_pairs(reads: Sequence[Read], filled: Sequence[Filled]) -> dict[str, Part]:
    """{language: {"likelihood": bits per byte of whole files, measure: of the holes of all kinds}}."""
    found = {}
    for language in sorted({read.file.language for read in reads}):
        of = [read for read in reads if read.file.language == language]
        holes = [one for one in filled if one.item.file.language == language]
        found[language] = {"likelihood": _reading(of), **_answering(holes)}
    return found


def all_differences(
    parts: Mapping[str, Part], first: str, opponents: Sequence[str], same: Sequence[str], seed: int
) -> Differences:
    """Everyone against the first, a measure's p adjusted where there are several. Those of `same` are the first."""
    found: Differences = {opponent: {} for opponent in opponents}
    for part, measures in parts.items():
        for measure, pairs in measures.items():
            told = {
                opponent: no_difference(pairs) if opponent in same else difference(pairs, first, opponent, seed)
                for opponent in opponents
            }
            for opponent, one in (holm(told) if len(told) > 1 else told).items():
                found[opponent].setdefault(part, {})[measure] = one
    return found


def own_code_scores(reads: Sequence[Read], filled: Sequence[Filled], names: Sequence[str]) -> dict[str, Any]:
    """Each model's own scores: `likelihood`, `infilling` by kind and `languages`, as results.json has them."""
    languages = sorted({one.item.file.language for one in filled})
    return {
        "likelihood": _likelihood(reads, names),
        "infilling": infilling_scores(filled, names),
        "languages": {
            language: infilling_scores([one for one in filled if one.item.file.language == language], names)
            for language in languages
        },
    }


def _likelihood(reads: Sequence[Read], names: Sequence[str]) -> dict[str, Any]:
    sizes = [float(read.bytes) for read in reads]
    return {
        name: {
            BITS: clustered_ratio([read.bits[name] for read in reads], sizes).as_json(),
            "bytes": sum(read.bytes for read in reads),
            "files": len(reads),
        }
        for name in names
    }


def _reading(reads: Sequence[Read]) -> Pairs:
    sizes = np.array([float(read.bytes) for read in reads])
    points = {name: np.array([read.bits[name] for read in reads]) / sizes for name in reads[0].bits}
    return Pairs(points, sizes, [read.file.name for read in reads], fewer_is_better=True, bounded=False)


def _answering(filled: Sequence[Filled]) -> Part:
    found = {}
    for measure in MEASURES:
        # Whether an item has a score depends on what stood in its hole, so all have it or none.
        rows = [one for one in filled if all(of[measure] is not None for of in one.scores.values())]
        if rows:
            points = {
                name: np.array([float(one.scores[name][measure] or 0.0) for one in rows]) for name in rows[0].bits
            }
            bits = measure == BITS
            weights = np.array([float(one.bytes) if bits else 1.0 for one in rows])
            names = [one.item.file.name for one in rows]
            found[measure] = Pairs(points, weights, names, fewer_is_better=bits, bounded=not bits)
    return found
