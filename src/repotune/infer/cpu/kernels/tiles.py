"""The innermost loops of a product: a tile of some rows by 64 outputs, whose totals stay in registers.

Weights lie as `packing` packs them: panels of 16 outputs, of which 64 bytes hold four consecutive inputs of each. Rows
are quantised in groups along the inputs; within a group everything is exact in integers, and group after group a tile
is scaled and added up in float32. Each output's sum has the same order whatever the number of rows, so a row's result
does not depend on which rows are computed with it.

On one core of Zen 4, whose `vpdpbusd` can do 430 billion operations a second, products of 256 rows do 350 to 390 in 8
bits and 335 in 4. Tiles of 6 rows are no faster, of 8 rows by 2 panels a tenth slower.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from repotune.infer.cpu.kernels.dots import dot_of
from repotune.infer.cpu.kernels.instructions import has_wide_registers
from repotune.infer.cpu.kernels.simd import LANES, call, floats, integers, operation, splat

PANELS = 4  # of 16 outputs; with four rows they make 16 totals, half of AVX-512's registers
OUTPUTS = PANELS * LANES
_BLOCKS = 4  # of four inputs, in a step
INPUTS_A_STEP = 4 * _BLOCKS

_INT, _LONG, _FLOAT = ir.IntType(32), ir.IntType(64), ir.FloatType()
_HALVES = ir.VectorType(ir.HalfType(), LANES)


class _Builder:
    """Writes the instructions of a tile of `rows` by `panels`, for weights of `bits`."""

    def __init__(self, builder: ir.IRBuilder, rows: int, panels: int, bits: int) -> None:
        self.builder, self.rows, self.panels, self.bits = builder, rows, panels, bits
        self.dot = dot_of(bits)
        self.totals = [cgutils.alloca_once(builder, integers.llvm) for _ in range(rows * panels)]

    def begin(self, zeros: ir.Value, row: ir.Value) -> None:
        """Totals begin at what the weights' zero point adds to them, taken off."""
        for index in range(self.rows):
            zero = self.builder.neg(self.load(self.at(zeros, row, index), _INT, 4))
            if self.dot.zero_is_zero:
                zero = ir.Constant(_INT, 0)
            for column in range(self.panels):
                self.builder.store(splat(self.builder, zero), self.totals[index * self.panels + column])

    def step(self, weights: ir.Value, panel: ir.Value, x: ir.Value, row: ir.Value) -> None:
        """16 inputs of all rows and panels."""
        sums = [self.dot.start(self.builder, total) for total in self.totals]
        panels = [self.at(weights, panel, index) for index in range(self.panels)]
        upper: list[ir.Value] = []
        for block in range(_BLOCKS):
            loaded, upper = self.weights(panels, block, upper)
            columns = [self.dot.weights(self.builder, each) for each in loaded]
            for index in range(self.rows):
                four = splat(self.builder, self.load(self.at(x, row, index, 4 * block), _INT, 1))
                for column, prepared in enumerate(columns):
                    place = index * self.panels + column
                    sums[place] = self.dot.add(self.builder, sums[place], prepared, four)
        for each, total in zip(sums, self.totals, strict=True):
            self.dot.end(self.builder, total, each)

    def weights(
        self, panels: list[ir.Value], block: int, upper: list[ir.Value]
    ) -> tuple[list[ir.Value], list[ir.Value]]:
        """Four inputs of each output, and of 4-bit weights what the next block takes: a load holds two, the second in
        the upper halves of its bytes."""
        if self.bits == 8:
            return [self.load(self.at(panel, None, 0, 64 * block), integers.llvm, 1) for panel in panels], []
        mask = ir.Constant(integers.llvm, [0x0F0F0F0F] * LANES)
        if upper:
            return upper, []
        loaded = [self.load(self.at(panel, None, 0, 32 * block), integers.llvm, 1) for panel in panels]
        four = ir.Constant(integers.llvm, [4] * LANES)
        shifted = [self.builder.and_(self.builder.lshr(both, four), mask) for both in loaded]
        return [self.builder.and_(both, mask) for both in loaded], shifted

    def flush(
        self, scales: ir.Value, panel: ir.Value, row_scales: ir.Value, row: ir.Value, out: ir.Value, out_row: ir.Value
    ) -> None:
        """Adds the totals of a group, scaled, to the outputs."""
        columns = [
            self.builder.fpext(self.load(self.at(scales, panel, index), _HALVES, 2), floats.llvm)
            for index in range(self.panels)
        ]
        for index in range(self.rows):
            scale = splat(self.builder, self.load(self.at(row_scales, row, index), _FLOAT, 4))
            for column, loaded in enumerate(columns):
                total = self.builder.sitofp(self.builder.load(self.totals[index * self.panels + column]), floats.llvm)
                scaled = self.builder.fmul(loaded, scale)
                place = self.at(out, out_row, index, 64 * column)
                sum_so_far = self.load(place, floats.llvm, 4)
                added = call(self.builder, "llvm.fma.v16f32", total, scaled, sum_so_far)
                self.builder.store(added, self.builder.inttoptr(place, floats.llvm.as_pointer()), align=4)

    def at(self, address: ir.Value, step: ir.Value | None, count: int, more: int = 0) -> ir.Value:
        """address + step · count + more"""
        if step is not None and count:
            address = self.builder.add(address, self.builder.mul(step, ir.Constant(_LONG, count)))
        return self.builder.add(address, ir.Constant(_LONG, more)) if more else address

    def load(self, address: ir.Value, kind: ir.Type, align: int) -> ir.Value:
        return self.builder.load(self.builder.inttoptr(address, kind.as_pointer()), align=align)


def _tile(rows: int, bits: int) -> Any:
    """out[r, o] += Σ over groups of scale · scale · (Σ of products), for `rows` rows and 64 outputs.

    Arguments, all longs: how many groups, and inputs in each; the weights and the bytes from panel to panel; the rows;
    the weights' scales; the rows' scales and their sums times the weights' zero; the outputs and the bytes from row to
    row. All 64 at once where there are registers for 16 totals, else 16 after 16.
    """

    def emit(
        builder: ir.IRBuilder,
        groups: ir.Value,
        group: ir.Value,
        weights: ir.Value,
        panel: ir.Value,
        x: ir.Value,
        *rest: ir.Value,
    ) -> None:
        scales, row_scales, zeros, out, out_row = rest
        wide = PANELS if has_wide_registers() else max(1, PANELS // rows)
        tile = _Builder(builder, rows, wide, bits)
        four, sixteen = ir.Constant(_LONG, 4), ir.Constant(_LONG, INPUTS_A_STEP)
        row, side_row = builder.mul(groups, group), builder.mul(groups, four)
        scale_panel = builder.mul(groups, ir.Constant(_LONG, 2 * LANES))
        steps = builder.udiv(group, sixteen)
        step_bytes = ir.Constant(_LONG, INPUTS_A_STEP * LANES * bits // 8)
        for place in range(0, PANELS, wide):
            w, s = tile.at(weights, panel, place), tile.at(scales, scale_panel, place)
            y = tile.at(out, None, 0, 4 * LANES * place)
            with cgutils.for_range(builder, groups) as outer:
                side = builder.mul(outer.index, four)
                tile.begin(builder.add(zeros, side), side_row)
                first = builder.mul(outer.index, steps)
                with cgutils.for_range(builder, steps) as inner:
                    step = builder.add(first, inner.index)
                    at, inputs = builder.mul(step, step_bytes), builder.mul(step, sixteen)
                    tile.step(builder.add(w, at), panel, builder.add(x, inputs), row)
                at = builder.mul(outer.index, ir.Constant(_LONG, 2 * LANES))
                tile.flush(builder.add(s, at), scale_panel, builder.add(row_scales, side), side_row, y, out_row)

    return operation(types.void, (types.int64,) * 10, emit)


multiply_1_int8, multiply_4_int8 = (_tile(rows, 8) for rows in (1, 4))
multiply_1_int4, multiply_4_int4 = (_tile(rows, 4) for rows in (1, 4))
