"""The numbers of the tables, as compiled code reads them."""

from __future__ import annotations

from repotune.infer.cpu.kernels.compiling import compiled
from repotune.infer.cpu.kernels.simd import load_long
from repotune.infer.cpu.kernels.tables import LAYER_BYTES, LAYER_TABLE


@compiled
def get(table: int, index: int) -> int:
    """A long of a table."""
    return int(load_long(table + index * 8))


@compiled
def layer_at(model: int, layer: int) -> int:
    """The table of a layer."""
    return get(model, LAYER_TABLE) + layer * LAYER_BYTES
