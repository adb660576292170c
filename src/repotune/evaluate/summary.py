"""From what every contestant did to scores with intervals, and from paired differences to the verdict's grounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from repotune.evaluate.own_code.held_out import HeldOut
from repotune.evaluate.own_code.items import KINDS, Item
from repotune.evaluate.own_code.retrieval import Piece
from repotune.evaluate.scores import (
    Score,
    clustered_rate,
    clustered_ratio,
    clustered_share,
    edit_similarity,
    exact_match,
    identifier_f1,
)

OPPONENTS = ("ngram", "base", "untrained", "model")
"""Whom what is judged is compared to: what a run began from is the base, where it had one, or the untrained network."""
SERVED = "served"
"""The model with the index mixed in, as it is served: what is judged wherever mixing helps."""
WITH_FILES = "model_with_files"
"""The model again, asked with pieces of other files in front."""
CONTESTANTS = (SERVED, "model", "ngram", "base", "untrained")
MEASURES = ("exact_match", "edit_similarity", "identifier_f1", "bits_per_byte")

Measured = dict[str, dict[str, Score]]
"""By kind, or "likelihood", the scores by measure."""


@dataclass(frozen=True)
class Read:
    """A passage of a held-out file: its bytes, and the bits that each contestant needed for it."""

    file: HeldOut
    bytes: int
    bits: Mapping[str, float]


@dataclass(frozen=True)
class Filled:
    """An item with the answers of those that were asked, and the bits that all needed for what stood in the hole, which
    is `bytes` long as far as it was measured. `pieces` are what WITH_FILES was shown of other files."""

    item: Item
    answers: Mapping[str, str]
    bits: Mapping[str, float]
    bytes: int
    pieces: Sequence[Piece] = ()

    @cached_property
    def scores(self) -> dict[str, dict[str, float | None]]:
        """By contestant and measure; None where it gave no answer, or a hole without identifiers or without text has no
        such score."""
        return {name: self._scores(name) for name in self.bits}

    def _scores(self, contestant: str) -> dict[str, float | None]:
        scores = dict[str, float | None].fromkeys(MEASURES)
        if self.bytes:
            scores["bits_per_byte"] = self.bits[contestant] / self.bytes
        if (answer := self.answers.get(contestant)) is not None:
            scores["exact_match"] = exact_match(answer, self.item.expected)
            scores["edit_similarity"] = edit_similarity(answer, self.item.expected)
            scores["identifier_f1"] = identifier_f1(answer, self.item.expected, self.item.file.language)
        return scores

    def as_json(self) -> dict[str, Any]:
        """A line of samples.jsonl."""
        return {
            "kind": self.item.kind,
            "path": self.item.file.path,
            "repository": self.item.file.repository,
            "language": self.item.file.language,
            "later": self.item.later,
            "prefix": self.item.prefix,
            "suffix": self.item.suffix,
            "expected": self.item.expected,
            "pieces": [f"{piece.path}:{piece.line}" for piece in self.pieces],
            "answers": dict(self.answers),
            "scores": {
                name: {measure: round(score, 6) for measure, score in scores.items() if score is not None}
                for name, scores in self.scores.items()
            },
        }


def judged(reads: Sequence[Read]) -> str:
    """Who is judged: what is served, which is the model alone where no index helps it."""
    return SERVED if SERVED in reads[0].bits else "model"


def likelihood_scores(reads: Sequence[Read]) -> dict[str, Any]:
    """{contestant: {"bits_per_byte", "bytes", "files"}}."""
    sizes = [float(read.bytes) for read in reads]
    return {
        name: {
            "bits_per_byte": clustered_ratio([read.bits[name] for read in reads], sizes).as_json(),
            "bytes": sum(read.bytes for read in reads),
            "files": len(reads),
        }
        for name in CONTESTANTS
        if name in reads[0].bits
    }


def infilling_scores(filled: Sequence[Filled], names: Sequence[str] = CONTESTANTS) -> dict[str, Any]:
    """{kind: {contestant: {"items", and of MEASURES those that both have}}}; kinds without items are left out."""
    found: dict[str, Any] = {}
    for kind in KINDS:
        asked = _of_kind(filled, kind)
        for name in _present(asked, names):
            if scores := _scores(asked, name):
                told = {measure: score.as_json() for measure, score in scores.items()}
                found.setdefault(kind, {})[name] = {"items": len(asked), **told}
    return found


def language_scores(filled: Sequence[Filled]) -> dict[str, Any]:
    """The same by language, for what is served, the model and the n-gram."""
    languages, names = sorted({one.item.file.language for one in filled}), (SERVED, "model", "ngram")
    return {
        language: infilling_scores([one for one in filled if one.item.file.language == language], names)
        for language in languages
    }


def later_scores(filled: Sequence[Filled], after: str | None) -> dict[str, Any]:
    """The same of the holes in lines later than everything trained on, which was written until `after`."""
    later = [one for one in filled if one.item.later]
    return {
        "after": after,
        "items": len(later),
        "files": len({one.item.file.name for one in later}),
        "infilling": infilling_scores(later, (SERVED, "model", "ngram", "base")),
    }


def file_scores(filled: Sequence[Filled]) -> dict[str, Any]:
    """What pieces of other files change for the model: {"all" or kind: {"items", measure: {"without", "with",
    "difference"}}}, the difference item by item."""
    found = {}
    for kind in ("all", *KINDS):
        if asked := _of_kind(filled, kind):
            sides = (_scores(asked, "model"), _scores(asked, WITH_FILES), _differences(asked, WITH_FILES, "model"))
            found[kind] = {
                "items": len(asked),
                **{
                    measure: {name: side[measure].as_json() for name, side in zip(_SIDES, sides, strict=True)}
                    for measure in sides[0]
                },
            }
    return found


_SIDES = ("without", "with", "difference")


def differences(reads: Sequence[Read], filled: Sequence[Filled]) -> dict[str, Measured]:
    """{opponent: {"likelihood": {"bits_per_byte"}, kind: {measure}}}, what is judged − opponent."""
    found: dict[str, Measured] = {}
    ours = judged(reads)
    for opponent in OPPONENTS:
        if opponent != ours and opponent in reads[0].bits:
            gains = [read.bits[ours] - read.bits[opponent] for read in reads]
            bits = clustered_ratio(gains, [float(read.bytes) for read in reads])
            found[opponent] = {"likelihood": {"bits_per_byte": bits}}
            for kind in KINDS:
                if told := _differences(_of_kind(filled, kind), ours, opponent):
                    found[opponent][kind] = told
    return found


def _of_kind(filled: Sequence[Filled], kind: str) -> list[Filled]:
    return [one for one in filled if kind in ("all", one.item.kind)]


def _present(filled: Sequence[Filled], names: Sequence[str]) -> list[str]:
    return [name for name in names if filled and name in filled[0].bits]


def _scores(filled: Sequence[Filled], contestant: str) -> dict[str, Score]:
    found = {}
    for measure in MEASURES:
        if measured := _points(filled, contestant, measure):
            points, sizes, files = measured
            if measure == "exact_match":
                found[measure] = clustered_share(points, files)
            else:
                sums = [point * size for point, size in zip(points, sizes, strict=True)]
                found[measure] = clustered_rate(sums, sizes, files)
    return found


def _differences(filled: Sequence[Filled], ours: str, theirs: str) -> dict[str, Score]:
    """ours − theirs, item by item: far narrower than two intervals side by side."""
    found = {}
    for measure in MEASURES:
        mine, yours = (_points(filled, name, measure) for name in (ours, theirs))
        if mine and yours:
            points, sizes, files = mine
            gains = [(a - b) * size for a, b, size in zip(points, yours[0], sizes, strict=True)]
            found[measure] = clustered_rate(gains, sizes, files)
    return found


def _points(
    filled: Sequence[Filled], contestant: str, measure: str
) -> tuple[list[float], list[float], list[str]] | None:
    """Of the items that have this score: it, what it weighs (the hole's bytes, of bits for each of them), the file."""
    rows = [
        (point, float(one.bytes) if measure == "bits_per_byte" else 1.0, one.item.file.name)
        for one in filled
        if (point := one.scores[contestant][measure]) is not None
    ]
    if not rows:
        return None
    points, sizes, files = zip(*rows, strict=True)
    return list(points), list(sizes), list(files)
