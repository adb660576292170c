"""The held-out files that nobody learnt from: what is test for one model may be training text of another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from repotune.core.errors import UserError
from repotune.evaluate.own_code.held_out import HeldOut, read_held_out
from repotune.tokenizer.documents import read_columns

_LINES, _ALIKE = 5, 0.5


@dataclass(frozen=True)
class Unseen:
    """The files to measure on, and how many of the test split were left out because a model has seen them."""

    files: list[HeldOut]
    left_out: int


def read_unseen(corpus: Path, learnt: Sequence[Path]) -> Unseen:
    """The test split of `corpus` less what the corpora `learnt` train or steer by: another state of the file of that
    repository and path, or a text that has half of its stretches of five lines. Raises UserError where nothing is left,
    or one cannot be read."""
    held_out = read_held_out(corpus)
    if not held_out:
        raise UserError("No file is held out to measure on.", "raise corpus.test_share, or add repositories")
    stretches = [_stretches(file.text) for file in held_out]
    holders: dict[int, list[int]] = {}
    for place, of in enumerate(stretches):
        for stretch in of:
            holders.setdefault(stretch, []).append(place)
    names, seen = {(file.repository, file.path): place for place, file in enumerate(held_out)}, set[int]()
    for text, repository, path in _texts(learnt):
        if (repository, path) in names:
            seen.add(names[repository, path])
        shared = Counter(place for stretch in _stretches(text) for place in holders.get(stretch, ()))
        seen |= {place for place, count in shared.items() if count >= _ALIKE * len(stretches[place])}
    files = [file for place, file in enumerate(held_out) if place not in seen]
    if not files:
        raise UserError(
            f"Of {len(held_out):,} held-out files none is unseen by all models.",
            "hold out the same files in each corpus",
        )
    return Unseen(files, len(seen))


def _texts(corpora: Sequence[Path]) -> Iterator[tuple[str, str, str]]:
    for corpus in corpora:
        for split in ("train", "validation"):
            for columns in read_columns(corpus, split, "text", "repository", "path"):
                yield from zip(*columns, strict=True)


def _stretches(text: str) -> set[int]:
    """Hashes of every five lines that say something and follow each other; of a shorter text one, of all."""
    lines = [line for line in map(str.strip, text.split("\n")) if line]
    return {hash(tuple(lines[start : start + _LINES])) for start in range(max(1, len(lines) - _LINES + 1))}
