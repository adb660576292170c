"""The innermost loop of a product: a tile of some rows by 64 outputs, whose totals stay in registers.

Weights lie as `packing` packs them: panels of 16 outputs, of which 64 bytes hold four consecutive inputs of each. Rows
are quantised in groups along the inputs; within a group everything is exact in integers, and between groups a tile is
scaled and added up in float32. Each output's sum has the same order whatever the number of rows, so a row's result does
not depend on which rows are computed with it.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import models, register_model

from repotune.infer.cpu.kernels.instructions import emit_dot4
from repotune.infer.cpu.kernels.simd import LANES, floats, integers, operation, splat

PANELS = 4  # of 16 outputs: with four rows they make 16 totals, half of AVX-512's registers
OUTPUTS = PANELS * LANES
_UNROLLED = 4  # blocks of four inputs; a group has a multiple of 16 inputs for 8 bits, of 32 for 4

_INT, _LONG, _FLOAT = ir.IntType(32), ir.IntType(64), ir.FloatType()


class _TileType(types.Type):
    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.llvm = ir.ArrayType(integers.llvm, rows * PANELS)
        super().__init__(name=f"tile{rows}x{PANELS}")


@register_model(_TileType)
class _TileModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: _TileType) -> None:
        models.PrimitiveModel.__init__(self, manager, kind, kind.llvm)


def _offset(builder: ir.IRBuilder, address: ir.Value, step: ir.Value | None, count: int, more: int = 0) -> ir.Value:
    moved = address if step is None else builder.add(address, builder.mul(step, ir.Constant(_LONG, count)))
    return builder.add(moved, ir.Constant(_LONG, more)) if more else moved


def _load(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type, align: int) -> ir.Value:
    return builder.load(builder.inttoptr(address, kind.as_pointer()), align=align)


def _weights(builder: ir.IRBuilder, panel: ir.Value, block: int, bits: int, kept: dict[int, ir.Value]) -> ir.Value:
    """Four inputs of each of 16 outputs. Of 4-bit weights a load holds two blocks, the second in the upper halves."""
    if bits == 8:
        return _load(builder, _offset(builder, panel, None, 0, 64 * block), integers.llvm, 1)
    if block % 2 == 0:
        kept[block] = _load(builder, _offset(builder, panel, None, 0, 32 * block), integers.llvm, 1)
        return builder.and_(kept[block], ir.Constant(integers.llvm, [0x0F0F0F0F] * LANES))
    upper = builder.lshr(kept[block - 1], ir.Constant(integers.llvm, [4] * LANES))
    return builder.and_(upper, ir.Constant(integers.llvm, [0x0F0F0F0F] * LANES))


def _step(rows: int, bits: int) -> Any:
    """tile, address of the weights, bytes from panel to panel, address of the rows, bytes from row to row → tile."""

    def emit(
        builder: ir.IRBuilder, tile: ir.Value, weights: ir.Value, panel: ir.Value, x: ir.Value, row: ir.Value
    ) -> Any:
        totals = [builder.extract_value(tile, index) for index in range(rows * PANELS)]
        panels = [_offset(builder, weights, panel, index) for index in range(PANELS)]
        kept: list[dict[int, ir.Value]] = [{} for _ in panels]
        for block in range(_UNROLLED):
            columns = [_weights(builder, at, block, bits, kept[index]) for index, at in enumerate(panels)]
            for index in range(rows):
                four = splat(builder, _load(builder, _offset(builder, x, row, index, 4 * block), _INT, 1))
                for column, loaded in enumerate(columns):
                    place = index * PANELS + column
                    totals[place] = emit_dot4(builder, totals[place], loaded, four)
        for index, total in enumerate(totals):
            tile = builder.insert_value(tile, total, index)
        return tile

    kind = _TileType(rows)
    return operation(kind, (kind, *[types.int64] * 4), emit)


def _flush(rows: int) -> Any:
    """tile; scales of the weights (halves) and the bytes from panel to panel; scales of the rows, their sums times the
    weights' zero, and the bytes from row to row; where the outputs are added to and the bytes from row to row."""

    def emit(builder: ir.IRBuilder, tile: ir.Value, *addresses: ir.Value) -> None:
        scales, panel, row_scales, row_zeros, row, out, out_row = addresses
        halves = ir.VectorType(ir.HalfType(), LANES)
        columns = [
            builder.fpext(_load(builder, _offset(builder, scales, panel, index), halves, 2), floats.llvm)
            for index in range(PANELS)
        ]
        kind = ir.FunctionType(floats.llvm, [floats.llvm] * 3)
        fused = cgutils.get_or_insert_function(builder.module, kind, "llvm.fma.v16f32")
        for index in range(rows):
            scale = splat(builder, _load(builder, _offset(builder, row_scales, row, index), _FLOAT, 4))
            zero = splat(builder, _load(builder, _offset(builder, row_zeros, row, index), _INT, 4))
            for column, loaded in enumerate(columns):
                at = builder.inttoptr(_offset(builder, out, out_row, index, 64 * column), floats.llvm.as_pointer())
                exact = builder.sub(builder.extract_value(tile, index * PANELS + column), zero)
                total = builder.sitofp(exact, floats.llvm)
                scaled = builder.fmul(loaded, scale)
                builder.store(builder.call(fused, (total, scaled, builder.load(at, align=4))), at, align=4)

    return operation(types.void, (_TileType(rows), *[types.int64] * 7), emit)


def _zero(rows: int) -> Any:
    kind = _TileType(rows)
    return operation(kind, (), lambda builder: ir.Constant(kind.llvm, None))


zero_1, zero_4 = _zero(1), _zero(4)
step_1_int8, step_4_int8 = _step(1, 8), _step(4, 8)
step_1_int4, step_4_int4 = _step(1, 4), _step(4, 4)
flush_1, flush_4 = _flush(1), _flush(4)
