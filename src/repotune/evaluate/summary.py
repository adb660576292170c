"""From what every contestant did to scores with intervals, and from paired differences to the verdict's grounds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from repotune.evaluate.scores import (
    Score,
    clustered_mean,
    clustered_ratio,
    clustered_share,
    edit_similarity,
    exact_match,
    paired_difference,
)
from repotune.evaluate.tasks import KINDS, HeldOut, Item

OPPONENTS = ("ngram", "base", "untrained")
"""Whom the model is compared to: what a run began from is the base, where it had one, or the untrained network."""


@dataclass(frozen=True)
class Read:
    """A passage of a held-out file: its bytes, and the bits that each contestant needed for it."""

    file: HeldOut
    bytes: int
    bits: Mapping[str, float]


@dataclass(frozen=True)
class Filled:
    """An item with the answers of those that were asked."""

    item: Item
    answers: Mapping[str, str]

    def exact(self, contestant: str) -> float:
        return exact_match(self.answers[contestant], self.item.expected)

    def similarity(self, contestant: str) -> float:
        return edit_similarity(self.answers[contestant], self.item.expected)

    def as_json(self) -> dict[str, Any]:
        """A line of samples.jsonl."""
        return {
            "kind": self.item.kind,
            "path": self.item.file.path,
            "repository": self.item.file.repository,
            "language": self.item.file.language,
            "prefix": self.item.prefix,
            "suffix": self.item.suffix,
            "expected": self.item.expected,
            "answers": dict(self.answers),
            "scores": {
                name: {"exact_match": self.exact(name), "edit_similarity": round(self.similarity(name), 6)}
                for name in self.answers
            },
        }


def likelihood_scores(reads: Sequence[Read]) -> dict[str, Any]:
    """{contestant: {"bits_per_byte", "bytes", "files"}}."""
    sizes = [float(read.bytes) for read in reads]
    return {
        name: {
            "bits_per_byte": clustered_ratio([read.bits[name] for read in reads], sizes).as_json(),
            "bytes": sum(read.bytes for read in reads),
            "files": len(reads),
        }
        for name in _contestants(reads[0].bits)
    }


def infilling_scores(filled: Sequence[Filled], names: Sequence[str] | None = None) -> dict[str, Any]:
    """{kind: {contestant: {"items", "exact_match", "edit_similarity"}}}; kinds without items are left out."""
    contestants = names or _contestants({name for one in filled for name in one.answers})
    return {
        kind: {name: _scores_of(_asked(filled, kind, name), name) for name in contestants}
        for kind in KINDS
        if all(_asked(filled, kind, name) for name in contestants)
    }


def language_scores(filled: Sequence[Filled]) -> dict[str, Any]:
    """The same by language, for the model and the n-gram."""
    languages = sorted({one.item.file.language for one in filled})
    return {
        language: infilling_scores([one for one in filled if one.item.file.language == language], ("model", "ngram"))
        for language in languages
    }


def differences(reads: Sequence[Read], filled: Sequence[Filled]) -> dict[str, dict[str, dict[str, Score]]]:
    """{opponent: {"likelihood": {"bits_per_byte"}, kind: {"exact_match", "edit_similarity"}}}, model − opponent."""
    return {name: _differences_to(name, reads, filled) for name in OPPONENTS if name in reads[0].bits}


def _differences_to(opponent: str, reads: Sequence[Read], filled: Sequence[Filled]) -> dict[str, dict[str, Score]]:
    gains = [read.bits["model"] - read.bits[opponent] for read in reads]
    found = {"likelihood": {"bits_per_byte": clustered_ratio(gains, [float(read.bytes) for read in reads])}}
    for kind in KINDS:
        both = _asked(filled, kind, opponent)
        if both:
            files = [one.item.file.name for one in both]
            found[kind] = {
                "exact_match": paired_difference(
                    [one.exact("model") for one in both], [one.exact(opponent) for one in both], files
                ),
                "edit_similarity": paired_difference(
                    [one.similarity("model") for one in both], [one.similarity(opponent) for one in both], files
                ),
            }
    return found


def _contestants(present: Collection[str]) -> list[str]:
    return [name for name in ("model", *OPPONENTS) if name in present]


def _asked(filled: Sequence[Filled], kind: str, contestant: str) -> list[Filled]:
    return [one for one in filled if one.item.kind == kind and contestant in one.answers]


def _scores_of(filled: Sequence[Filled], contestant: str) -> dict[str, Any]:
    files = [one.item.file.name for one in filled]
    return {
        "items": len(filled),
        "exact_match": clustered_share([one.exact(contestant) for one in filled], files).as_json(),
        "edit_similarity": clustered_mean([one.similarity(contestant) for one in filled], files).as_json(),
    }
