"""A signal: one measured value of a document, with its unit, its definition and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Columns = Mapping[str, Any]
"""Signals of a batch: name → an array or a list with a value per document."""

_TYPES = {"share": pa.float64(), "mean": pa.float64(), "count": pa.int64(), "text": pa.string(), "yes": pa.bool_()}


@dataclass(frozen=True)
class Signal:
    """One measured value. `kind` is "share" (0…1), "mean" (any number), "count" (whole), "text" or "yes" (a boolean).

    `source` names who published it; an empty one says that it is our own.
    """

    name: str
    kind: str
    unit: str
    definition: str
    source: str = ""

    @property
    def type(self) -> pa.DataType:
        return _TYPES[self.kind]


def ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """`part` / `whole`, and 0 where there is nothing to take a part of."""
    quotient: npt.NDArray[np.float64] = np.asarray(part, np.float64) / np.maximum(whole, 1)
    return quotient


def where_known(values: npt.NDArray[Any], known: npt.NDArray[np.bool_]) -> pa.Array:
    """`values` as Arrow, null where they are not known."""
    return pa.array(values, mask=~known)
