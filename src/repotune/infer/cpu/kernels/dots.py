"""What a tile multiplies bytes with, by what the processor has: all of them exact, so all of them the same.

`start`, `add` and `end` write the instructions of one total of 16 lanes over the blocks of a step: 16 inputs, four in a
block. Where there is an instruction for it (`instructions.emit_dot4`), that is used. AVX2 has a product of bytes with a
sign and bytes without one, whose sums in pairs have 16 bits only, into which not all fit; most laptops have nothing
else. There the sign of a weight goes over to the activation, and weights of 4 bits stay in 16 bits over a whole step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from repotune.infer.cpu.kernels.instructions import emit_dot4, instruction_set

_INTS = ir.VectorType(ir.IntType(32), 16)
_HALF_BYTES, _HALF_SHORTS = ir.VectorType(ir.IntType(8), 32), ir.VectorType(ir.IntType(16), 16)
_HALF_INTS = ir.VectorType(ir.IntType(32), 8)
_ONES = ir.Constant(_HALF_SHORTS, [1] * 16)

Halves = Sequence[ir.Value]


class Dot:
    """With `dot4`. Weights have no sign: totals begin at what their zero adds, taken off."""

    zero_is_zero = False

    def weights(self, builder: ir.IRBuilder, loaded: ir.Value) -> Any:
        """Four inputs of 16 outputs, once for all rows."""
        return loaded

    def start(self, builder: ir.IRBuilder, total: ir.Value) -> Any:
        """Of the total that lies at the address `total`, what `add` goes on with."""
        return builder.load(total)

    def add(self, builder: ir.IRBuilder, sums: Any, weights: Any, four: ir.Value) -> Any:
        """`sums` and the products of `weights` with the four inputs of a row, in all lanes the same."""
        return emit_dot4(builder, sums, weights, four)

    def end(self, builder: ir.IRBuilder, total: ir.Value, sums: Any) -> None:
        """Keeps `sums` at `total`."""
        builder.store(sums, total)


class SignedDot(Dot):
    """AVX2's, for weights of 8 bits, whose sign goes over to the activation: two products of up to 128 and up to 127
    fit into 16 bits."""

    zero_is_zero = True

    def weights(self, builder: ir.IRBuilder, loaded: ir.Value) -> tuple[Halves, Halves]:
        signed = _halves(builder, builder.xor(loaded, ir.Constant(_INTS, [0x80808080] * 16)))
        exact = ir.Constant(ir.IntType(1), 0)  # 128 is what it is, without a sign
        return signed, [_call(builder, "llvm.abs.v32i8", _HALF_BYTES, half, exact) for half in signed]

    def add(self, builder: ir.IRBuilder, sums: Any, weights: tuple[Halves, Halves], four: ir.Value) -> Any:
        products = [
            _pairs(builder, magnitude, _call(builder, "llvm.x86.avx2.psign.b", _HALF_BYTES, row, sign))
            for sign, magnitude, row in zip(*weights, _halves(builder, four), strict=True)
        ]
        return builder.add(sums, _whole(builder, [_total(builder, pairs) for pairs in products]))


class SmallDot(Dot):
    """AVX2's, for weights of 4 bits: two products of 15 and 127, and eight pairs of them, fit into 16 bits."""

    def weights(self, builder: ir.IRBuilder, loaded: ir.Value) -> Halves:
        return _halves(builder, loaded)

    def start(self, builder: ir.IRBuilder, total: ir.Value) -> Halves:
        return [ir.Constant(_HALF_SHORTS, [0] * 16)] * 2

    def add(self, builder: ir.IRBuilder, sums: Halves, weights: Halves, four: ir.Value) -> Halves:
        return [
            builder.add(so_far, _pairs(builder, half, row))
            for so_far, half, row in zip(sums, weights, _halves(builder, four), strict=True)
        ]

    def end(self, builder: ir.IRBuilder, total: ir.Value, sums: Halves) -> None:
        whole = _whole(builder, [_total(builder, pairs) for pairs in sums])
        builder.store(builder.add(builder.load(total), whole), total)


def dot_of(bits: int) -> Dot:
    """This machine's, for weights of `bits`."""
    if instruction_set() != "avx2":
        return Dot()
    return SignedDot() if bits == 8 else SmallDot()


def _pairs(builder: ir.IRBuilder, unsigned: ir.Value, signed: ir.Value) -> ir.Value:
    """The sums of two neighbouring products of bytes, in 16 bits."""
    return _call(builder, "llvm.x86.avx2.pmadd.ub.sw", _HALF_SHORTS, unsigned, signed)


def _total(builder: ir.IRBuilder, pairs: ir.Value) -> ir.Value:
    """The sums of two neighbouring numbers of 16 bits, in 32."""
    return _call(builder, "llvm.x86.avx2.pmadd.wd", _HALF_INTS, pairs, _ONES)


def _halves(builder: ir.IRBuilder, vector: ir.Value) -> Halves:
    undefined = ir.Constant(vector.type, ir.Undefined)
    masks = [ir.Constant(_HALF_INTS, list(range(first, first + 8))) for first in (0, 8)]
    return [builder.bitcast(builder.shuffle_vector(vector, undefined, mask), _HALF_BYTES) for mask in masks]


def _whole(builder: ir.IRBuilder, halves: Halves) -> ir.Value:
    return builder.shuffle_vector(*halves, ir.Constant(_INTS, list(range(16))))


def _call(builder: ir.IRBuilder, name: str, result: ir.Type, *values: ir.Value) -> ir.Value:
    kind = ir.FunctionType(result, [value.type for value in values])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)
