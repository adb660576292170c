"""Products of quantised rows with a packed matrix, 64 outputs at a time: what threads share out."""

from __future__ import annotations

from repotune.infer.cpu.kernels import tiles
from repotune.infer.cpu.kernels.compiling import compiled
from repotune.infer.cpu.kernels.simd import add, fill, load, load_long, store
from repotune.infer.cpu.kernels.tables import BIAS, BITS, GROUP, INPUTS, OUTPUTS, SCALES, WEIGHTS

PIECE = tiles.OUTPUTS
_PANELS = tiles.PANELS


@compiled
def pieces_of(matrix: int) -> int:
    """How many pieces of 64 outputs a product with `matrix` has."""
    return int(load_long(matrix + OUTPUTS) // PIECE)


@compiled
def product(
    piece: int, matrix: int, rows: int, quantised: int, scales: int, zeros: int, out: int, out_row: int, adds: bool
) -> None:
    """out[r] (= or, where `adds`, +=) W·x[r] + b for all `rows`, the 64 outputs of `piece`, whose rows lie `out_row`
    bytes apart from `out` on.

    `quantised`, `scales` and `zeros` are what `rows.quantise` wrote for this matrix's inputs and group.
    """
    _begin(matrix, piece, rows, out, out_row, adds)
    _multiply(matrix, piece, rows, quantised, scales, zeros, out, out_row)


@compiled
def _begin(matrix: int, piece: int, rows: int, out: int, out_row: int, adds: bool) -> None:
    """What the products are added to: the bias, or nothing, and what was there."""
    bias = load_long(matrix + BIAS)
    for panel in range(_PANELS):
        start = fill(0.0)
        if bias:
            start = load(bias + (piece * PIECE + panel * 16) * 4)
        for row in range(rows):
            at = out + row * out_row + panel * 64
            store(at, add(load(at), start) if adds else start)


@compiled
def _multiply(
    matrix: int, piece: int, rows: int, quantised: int, scales: int, zeros: int, out: int, out_row: int
) -> None:
    inputs, group = load_long(matrix + INPUTS), load_long(matrix + GROUP)
    four_bit = load_long(matrix + BITS) == 4
    panel, groups = inputs * (8 if four_bit else 16), inputs // group
    w = load_long(matrix + WEIGHTS) + piece * _PANELS * panel
    s = load_long(matrix + SCALES) + piece * _PANELS * groups * 32
    row = 0
    while row < rows:
        x, side, y = quantised + row * inputs, row * groups * 4, out + row * out_row
        if rows - row >= 4:
            if four_bit:
                tiles.multiply_4_int4(groups, group, w, panel, x, s, scales + side, zeros + side, y, out_row)
            else:
                tiles.multiply_4_int8(groups, group, w, panel, x, s, scales + side, zeros + side, y, out_row)
            row += 4
        else:
            if four_bit:
                tiles.multiply_1_int4(groups, group, w, panel, x, s, scales + side, zeros + side, y, out_row)
            else:
                tiles.multiply_1_int8(groups, group, w, panel, x, s, scales + side, zeros + side, y, out_row)
            row += 1
