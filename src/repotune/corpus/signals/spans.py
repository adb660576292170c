"""Stretches of a batch's bytes (lines, words, comments), each within one document, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Spans:
    """Spans `starts`…`ends` (exclusive), ascending; those of document i are `bounds[i]`…`bounds[i + 1]`."""

    starts: Integers
    ends: Integers
    bounds: Integers

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def counts(self) -> Integers:
        """How many each document has."""
        return np.diff(self.bounds)

    @property
    def documents(self) -> Integers:
        """The document of each span."""
        return np.repeat(np.arange(len(self.bounds) - 1), self.counts)

    def sum(self, values: npt.NDArray[Any]) -> Integers:
        """The sum of a whole number per span, by document."""
        running = np.concatenate(([0], np.cumsum(values, dtype=np.int64)))
        return np.diff(running[self.bounds])

    def maximum(self, values: Integers) -> Integers:
        """The greatest of a whole number ≥ 0 per span, by document; 0 where a document has no span."""
        # reduceat gives the element itself for an empty group, and takes no index past the end.
        padded = np.append(values, 0)
        return (
            np.where(self.counts > 0, np.maximum.reduceat(padded, self.bounds[:-1]), 0)
            if len(self.counts)
            else padded[:0]
        )

    def select(self, chosen: npt.NDArray[np.bool_]) -> Spans:
        """The spans that are `chosen`."""
        running = np.concatenate(([0], np.cumsum(chosen, dtype=np.int64)))
        return Spans(self.starts[chosen], self.ends[chosen], running[self.bounds])
