"""Sixteen numbers at a time: the few vector operations that the kernels are made of, as numba sees them.

    total = fused(load(weights), load(row), total)

A vector is a value like any other inside a compiled function. LLVM holds it in one 512-bit register, two of 256 bits or
four of 128, whatever the machine has; only the products of short numbers (`instructions.py`) name instructions, as no
compiler finds them. Memory is given by address, as C would: whoever calls a kernel keeps the arrays alive and long
enough.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from repotune.infer.cpu.kernels.instructions import emit_dot2, emit_rounded

LANES = 16

Vector = Any  # 16 × float32 or 16 × int32, within a compiled function alone

_BYTE, _INT, _LONG, _HALF, _FLOAT = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.HalfType(), ir.FloatType()
_SHORT = ir.IntType(16)


class _VectorType(types.Type):
    def __init__(self, name: str, element: ir.Type) -> None:
        self.llvm = ir.VectorType(element, LANES)
        super().__init__(name=f"{name}x{LANES}")


floats, integers = _VectorType("float32", _FLOAT), _VectorType("int32", _INT)
_address, _float = types.int64, types.float32


@register_model(_VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: _VectorType) -> None:
        models.PrimitiveModel.__init__(self, manager, kind, kind.llvm)


def operation(result: Any, arguments: tuple[Any, ...], emit: Callable[..., Any]) -> Any:
    """An operation of compiled code, for which `emit(builder, *values)` writes the instructions."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:
        made = emit(builder, *values)
        return context.get_dummy_value() if result is types.void else made

    def found(typing_context: Any, *given: Any) -> Any:
        return result(*arguments), generate

    # numba reads the number of arguments off the signature.
    names = ("typing_context", *(f"value_{index}" for index in range(len(arguments))))
    found.__signature__ = Signature([Parameter(name, Parameter.POSITIONAL_ONLY) for name in names])  # type: ignore[attr-defined]
    return intrinsic(found)


def _at(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type) -> ir.Value:
    return builder.inttoptr(address, kind.as_pointer())


def splat(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """All lanes the same, while code is emitted."""
    kind = ir.VectorType(value.type, LANES)
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_INT, LANES), [0] * LANES))


def call(builder: ir.IRBuilder, name: str, *values: ir.Value, result: ir.Type | None = None) -> ir.Value:
    """LLVM's own function `name`, which becomes an instruction."""
    kind = ir.FunctionType(result or values[0].type, [value.type for value in values])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)


def _load(builder: ir.IRBuilder, address: ir.Value) -> ir.Value:
    return builder.load(_at(builder, address, floats.llvm), align=4)


def _load_pairs(builder: ir.IRBuilder, address: ir.Value) -> ir.Value:
    return builder.load(_at(builder, address, integers.llvm), align=2)


def _fill_pair(builder: ir.IRBuilder, address: ir.Value) -> ir.Value:
    return splat(builder, builder.load(_at(builder, address, _INT), align=2))


def _store(builder: ir.IRBuilder, address: ir.Value, vector: ir.Value) -> None:
    builder.store(vector, _at(builder, address, floats.llvm), align=4)


def _store_rounded(builder: ir.IRBuilder, address: ir.Value, vector: ir.Value) -> None:
    rounded = emit_rounded(builder, vector)
    builder.store(rounded, _at(builder, address, rounded.type), align=2)


def _store_apart(kind: ir.Type) -> Callable[..., None]:
    """Lanes as bfloat16, or pairs of them, `step` bytes from each to the next."""

    def emit(builder: ir.IRBuilder, address: ir.Value, vector: ir.Value, step: ir.Value) -> None:
        count = LANES * 16 // kind.width
        rounded = builder.bitcast(emit_rounded(builder, vector), ir.VectorType(kind, count))
        for lane in range(count):
            value = builder.extract_element(rounded, ir.Constant(_INT, lane))
            builder.store(value, _at(builder, address, kind), align=2)
            address = builder.add(address, step)

    return emit


def _store_bytes(builder: ir.IRBuilder, address: ir.Value, vector: ir.Value) -> None:
    lanes = ir.VectorType(_BYTE, LANES)
    builder.store(builder.trunc(vector, lanes), _at(builder, address, lanes), align=1)


def _load_byte(builder: ir.IRBuilder, address: ir.Value) -> ir.Value:
    return builder.zext(builder.load(_at(builder, address, _BYTE), align=1), _LONG)


def _store_byte(builder: ir.IRBuilder, address: ir.Value, value: ir.Value) -> None:
    builder.store(builder.trunc(value, _BYTE), _at(builder, address, _BYTE), align=1)


def _load_one_half(builder: ir.IRBuilder, address: ir.Value) -> ir.Value:
    return builder.fpext(builder.load(_at(builder, address, _HALF), align=2), _FLOAT)


def _load_scalar(kind: ir.Type, align: int) -> Callable[..., ir.Value]:
    return lambda builder, address: builder.load(_at(builder, address, kind), align=align)


def _store_scalar(kind: ir.Type, align: int) -> Callable[..., None]:
    return lambda builder, address, value: builder.store(value, _at(builder, address, kind), align=align)


def _store_one_half(builder: ir.IRBuilder, address: ir.Value, value: ir.Value) -> None:
    builder.store(builder.fptrunc(value, _HALF), _at(builder, address, _HALF), align=2)


def _store_one_rounded(builder: ir.IRBuilder, address: ir.Value, value: ir.Value) -> None:
    rounded = builder.extract_element(emit_rounded(builder, splat(builder, value)), ir.Constant(_INT, 0))
    builder.store(rounded, _at(builder, address, _SHORT), align=2)


def _nearest(builder: ir.IRBuilder, vector: ir.Value) -> ir.Value:
    return builder.fptosi(call(builder, "llvm.rint.v16f32", vector), integers.llvm)


def _power_of_two(builder: ir.IRBuilder, exponents: ir.Value) -> ir.Value:
    biased = builder.add(exponents, splat(builder, ir.Constant(_INT, 127)))
    return builder.bitcast(builder.shl(biased, splat(builder, ir.Constant(_INT, 23))), floats.llvm)


def _raised(builder: ir.IRBuilder, vector: ir.Value, shifted: ir.Value) -> ir.Value:
    exponents = builder.shl(builder.bitcast(shifted, integers.llvm), splat(builder, ir.Constant(_INT, 23)))
    return builder.bitcast(builder.add(builder.bitcast(vector, integers.llvm), exponents), floats.llvm)


def _sum(builder: ir.IRBuilder, vector: ir.Value) -> ir.Value:
    # The lanes are added in pairs, whatever the machine: the flag allows the order, the reduction is one shuffle tree.
    start = ir.Constant(_FLOAT, -0.0)
    kind = ir.FunctionType(_FLOAT, [_FLOAT, floats.llvm])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.vector.reduce.fadd.v16f32")
    return builder.call(function, (start, vector), fastmath=("reassoc",))


def _total(builder: ir.IRBuilder, vector: ir.Value) -> ir.Value:
    return call(builder, "llvm.vector.reduce.add.v16i32", vector, result=_INT)


def _largest(builder: ir.IRBuilder, vector: ir.Value) -> ir.Value:
    return call(builder, "llvm.vector.reduce.fmax.v16f32", vector, result=_FLOAT)


def _chosen(order: str) -> Callable[..., ir.Value]:
    # One instruction on x86. LLVM's maxnum is three, for the sake of numbers that are none.
    return lambda builder, one, two: builder.select(builder.fcmp_ordered(order, one, two), one, two)


def _binary(name: str) -> Callable[..., ir.Value]:
    return lambda builder, first, second: getattr(builder, name)(first, second)


# Memory. Addresses are those of the first byte; halves and bfloat16 are rounded to nearest, ties to even.
load = operation(floats, (_address,), _load)
load_pairs = operation(integers, (_address,), _load_pairs)  # 16 pairs of bfloat16
fill_pair = operation(integers, (_address,), _fill_pair)  # 16 times the same pair
store = operation(types.void, (_address, floats), _store)
store_rounded = operation(types.void, (_address, floats), _store_rounded)  # to bfloat16
store_apart = operation(types.void, (_address, floats, _address), _store_apart(_SHORT))
store_pairs_apart = operation(types.void, (_address, floats, _address), _store_apart(_INT))
store_bytes = operation(types.void, (_address, integers), _store_bytes)  # the lowest byte of each lane
load_float = operation(_float, (_address,), _load_scalar(_FLOAT, 4))
load_int = operation(types.int32, (_address,), _load_scalar(_INT, 4))
load_long = operation(types.int64, (_address,), _load_scalar(_LONG, 8))
load_byte = operation(types.int64, (_address,), _load_byte)
load_half_float = operation(_float, (_address,), _load_one_half)
store_float = operation(types.void, (_address, _float), _store_scalar(_FLOAT, 4))
store_int = operation(types.void, (_address, types.int32), _store_scalar(_INT, 4))
store_long = operation(types.void, (_address, types.int64), _store_scalar(_LONG, 8))
store_byte = operation(types.void, (_address, types.int64), _store_byte)
store_one_half = operation(types.void, (_address, _float), _store_one_half)
store_one_rounded = operation(types.void, (_address, _float), _store_one_rounded)

# Arithmetic.
fill = operation(floats, (_float,), splat)
add = operation(floats, (floats, floats), _binary("fadd"))
add_integers = operation(integers, (integers, integers), _binary("add"))
subtract = operation(floats, (floats, floats), _binary("fsub"))
multiply = operation(floats, (floats, floats), _binary("fmul"))
divide = operation(floats, (floats, floats), _binary("fdiv"))
fused = operation(floats, (floats,) * 3, lambda builder, *values: call(builder, "llvm.fma.v16f32", *values))
dot2 = operation(floats, (floats, integers, integers), emit_dot2)
magnitude = operation(floats, (floats,), lambda builder, vector: call(builder, "llvm.fabs.v16f32", vector))
with_sign = operation(floats, (floats, floats), lambda builder, *values: call(builder, "llvm.copysign.v16f32", *values))
larger, smaller = operation(floats, (floats, floats), _chosen(">")), operation(floats, (floats, floats), _chosen("<"))
nearest = operation(integers, (floats,), _nearest)  # ties to even
whole = operation(floats, (floats,), lambda builder, vector: call(builder, "llvm.rint.v16f32", vector))
power_of_two = operation(floats, (integers,), _power_of_two)
raised = operation(floats, (floats, floats), _raised)  # vector · 2ⁿ, n being the lowest bits of the second
sum_of = operation(_float, (floats,), _sum)
total_of = operation(types.int32, (integers,), _total)
largest_of = operation(_float, (floats,), _largest)
