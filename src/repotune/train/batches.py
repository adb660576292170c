"""An endless stream of rows over the documents of a split, reshuffled each epoch.

Documents are rendered one after another and cut into rows with no token dropped, repeated or padded. Where the stream
stands is three numbers, so a run resumes at once, however far it had come.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from repotune.core.errors import UserError
from repotune.tokenizer.packing import TokenStore
from repotune.train.infilling import Rendering


@dataclass(frozen=True)
class Position:
    """The next token: in `epoch`, of the document that is `rank`-th in that epoch's order, after `offset` tokens."""

    epoch: int = 0
    rank: int = 0
    offset: int = 0


class Batches:
    """Rows of `rendering.sequence` tokens, `rows` at a time. `position` is where the next batch begins.

    Raises UserError for a split without a document.
    """

    def __init__(self, store: TokenStore, rendering: Rendering, rows: int, position: Position | None = None) -> None:
        if len(store) == 0:
            raise UserError("There is no text to train on.", "add repositories to repotune.toml")
        self.position = position or Position()
        self._store, self._rendering, self._rows = store, rendering, rows
        # A batch ends within a document that the next begins with.
        self._render = lru_cache(maxsize=2)(lambda document, epoch: rendering.render(store, document, epoch))

    def next(self) -> tuple[Tensor, Tensor]:
        """Ids B×T and targets B×T (int64): the target of a token is its successor, also across rows and batches."""
        count = self._rows * self._rendering.sequence
        ids, self.position = self._read(self.position, count)
        following, _ = self._read(self.position, 1)
        stream = torch.tensor(ids + following)
        shape = (self._rows, self._rendering.sequence)
        return stream[:-1].view(shape), stream[1:].view(shape)

    def _read(self, position: Position, count: int) -> tuple[list[int], Position]:
        """`count` tokens from `position` on, and the position after them."""
        tokens: list[int] = []
        while len(tokens) < count:
            document = epoch_order(self._rendering.seed, position.epoch, len(self._store))[position.rank]
            rendered = self._render(int(document), position.epoch)
            part = rendered[position.offset : position.offset + count - len(tokens)]
            tokens += part
            position = replace(position, offset=position.offset + len(part))
            if position.offset == len(rendered):
                position = self._next_document(position)
        return tokens, position

    def _next_document(self, position: Position) -> Position:
        if position.rank + 1 < len(self._store):
            return Position(position.epoch, position.rank + 1)
        return Position(position.epoch + 1)


@lru_cache(maxsize=2)
def epoch_order(seed: int, epoch: int, documents: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The documents in the order of an epoch."""
    return np.random.default_rng((seed, epoch)).permutation(documents)
