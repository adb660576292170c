"""The held-out files that nobody learnt from: what is test for one model may be training text of another."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from repotune.core.errors import UserError
from repotune.evaluate.own_code.held_out import HeldOut, read_held_out
from repotune.tokenizer.documents import read_columns


@dataclass(frozen=True)
class Unseen:
    """The files to measure on, and how many of the test split were left out because a model has seen them."""

    files: list[HeldOut]
    left_out: int


def read_unseen(corpus: Path, learnt: Sequence[Path]) -> Unseen:
    """The test split of `corpus` less what the corpora `learnt` train or steer by: the same text, or another state of
    the file of that repository and path. Raises UserError where nothing is left, or one cannot be read."""
    seen: set[object] = set()
    for folder in learnt:
        for split in ("train", "validation"):
            for columns in read_columns(folder, split, "text", "repository", "path"):
                for text, repository, path in zip(*columns, strict=True):
                    seen |= {_hash(text), (repository, path)}
    held_out = read_held_out(corpus)
    files = [file for file in held_out if not seen & {_hash(file.text), (file.repository, file.path)}]
    if not held_out:
        raise UserError("No file is held out to measure on.", "raise corpus.test_share, or add repositories")
    if not files:
        raise UserError(
            f"Of {len(held_out):,} held-out files none is unseen by all models.",
            "hold out the same files in each corpus",
        )
    return Unseen(files, len(held_out) - len(files))


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
