"""The products of short numbers that processors have, by what this one has.

Each of 16 lanes holds four weights, unsigned, and four activations, signed, of 8 bits; their products are added to the
lane. Exact in every version, so that results do not depend on the machine:

    dot4(total, weights, activations)[i] = total[i] + Σ_j weights[4i + j] · activations[4i + j]

Or a lane holds two bfloat16 of each side, whose products are added in float32, rounded as the machine does it:

    dot2(total, first, second)[i] = total[i] + Σ_j first[2i + j] · second[2i + j]
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

from llvmlite import binding, ir
from numba.core import cgutils, config

_INT, _SHORT, _FLOAT = ir.IntType(32), ir.IntType(16), ir.FloatType()
_LANES, _FLOATS = ir.VectorType(_INT, 16), ir.VectorType(_FLOAT, 16)


class BrainFloatType(ir.types._BaseFloatType):  # type: ignore[misc]
    """LLVM's bfloat, which llvmlite does not name: the upper half of a float32."""

    null = "0.0"
    intrinsic_name = "bf16"

    def __str__(self) -> str:
        return "bfloat"


BrainFloatType._create_instance()


@lru_cache(1)
def processor() -> tuple[str, str]:
    """The processor that is compiled for, in LLVM's words, and what it can do ("+avx2,-avx512f,…"): this machine's,
    unless numba was told of another (NUMBA_CPU_NAME and NUMBA_CPU_FEATURES), as tests do."""
    settings = cast(Any, config)
    name, features = settings.CPU_NAME, settings.CPU_FEATURES
    return name or binding.get_host_cpu_name(), features or binding.get_host_cpu_features().flatten()


@lru_cache(1)
def instruction_set() -> str:
    """What products are made of on this machine: "avx512-vnni", "avx-vnni", "avx2" or "portable"."""
    features = processor()[1].split(",")
    if "+avx512vnni" in features and "+avx512bw" in features:
        return "avx512-vnni"
    if "+avxvnni" in features:
        return "avx-vnni"
    return "avx2" if "+avx2" in features else "portable"


@lru_cache(1)
def has_wide_registers() -> bool:
    """Whether a vector of 16 lies in one of 32 registers. AVX2 has 16 of half that size, ARM 32 of a quarter."""
    return "+avx512f" in processor()[1].split(",")


def emit_dot4(builder: ir.IRBuilder, total: ir.Value, weights: ir.Value, activations: ir.Value) -> ir.Value:
    """Writes one product; all three are vectors of 16 × int32."""
    kind = instruction_set()
    if kind == "avx512-vnni":
        return _call(builder, "llvm.x86.avx512.vpdpbusd.512", total, weights, activations)
    if kind == "avx-vnni":
        return _by_halves(builder, "llvm.x86.avx512.vpdpbusd.256", total, weights, activations)
    return _by_shorts(builder, total, weights, activations)


def emit_dot2(builder: ir.IRBuilder, total: ir.Value, first: ir.Value, second: ir.Value) -> ir.Value:
    """Writes one product; `total` is a vector of 16 × float32, the others of 16 × int32 that hold pairs of bfloat16."""
    if has_dot2():
        pairs = (builder.bitcast(value, ir.VectorType(BrainFloatType(), 32)) for value in (first, second))
        return _call(builder, "llvm.x86.avx512bf16.dpbf16ps.512", total, *pairs)
    for widened in (_odd, _even):  # the order of the instruction
        total = _call(builder, "llvm.fma.v16f32", widened(builder, first), widened(builder, second), total)
    return total


def emit_rounded(builder: ir.IRBuilder, vector: ir.Value) -> ir.Value:
    """Writes the rounding of 16 × float32 to bfloat16, to nearest, ties to even; the result is 16 × 16 bits.

    Without an instruction LLVM would call a function of the compiler's library, which no process has: half of the last
    place is added to the bits, and where that is a tie what makes it even.
    """
    shorts = ir.VectorType(_SHORT, 16)
    if has_dot2():
        return builder.bitcast(builder.fptrunc(vector, ir.VectorType(BrainFloatType(), 16)), shorts)
    bits = builder.bitcast(vector, _LANES)
    odd = builder.and_(builder.lshr(bits, _filled(16)), _filled(1))
    return builder.trunc(builder.lshr(builder.add(bits, builder.add(odd, _filled(0x7FFF))), _filled(16)), shorts)


@lru_cache(1)
def has_dot2() -> bool:
    """Whether this machine has an instruction for `dot2`, and so for rounding: half the time of float32."""
    return "+avx512bf16" in processor()[1].split(",")


def _even(builder: ir.IRBuilder, pairs: ir.Value) -> ir.Value:
    return builder.bitcast(builder.shl(pairs, _filled(16)), _FLOATS)


def _odd(builder: ir.IRBuilder, pairs: ir.Value) -> ir.Value:
    return builder.bitcast(builder.and_(pairs, _filled(0xFFFF0000)), _FLOATS)


def _call(builder: ir.IRBuilder, name: str, *values: ir.Value) -> ir.Value:
    kind = ir.FunctionType(values[0].type, [value.type for value in values])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)


def _half(builder: ir.IRBuilder, vector: ir.Value, first: int) -> ir.Value:
    mask = ir.Constant(ir.VectorType(_INT, 8), list(range(first, first + 8)))
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)


def _by_halves(builder: ir.IRBuilder, name: str, *values: ir.Value) -> ir.Value:
    low, high = (_call(builder, name, *(_half(builder, value, first) for value in values)) for first in (0, 8))
    return builder.shuffle_vector(low, high, ir.Constant(ir.VectorType(_INT, 16), list(range(16))))


def _by_shorts(builder: ir.IRBuilder, total: ir.Value, weights: ir.Value, activations: ir.Value) -> ir.Value:
    """Bytes 0 and 2 of each lane, then 1 and 3, as pairs of 16 bits: their products cannot overflow 32 bits, where
    AVX2's product of bytes would saturate at 16."""
    for shift in (0, 8):
        unsigned = builder.and_(_shifted(builder, weights, shift), _filled(0x00FF00FF))
        # Up and down again by eight bits within each half, so that the sign fills it.
        lifted = builder.bitcast(builder.shl(_shifted(builder, activations, shift), _filled(8)), _shorts())
        signed = builder.ashr(lifted, ir.Constant(_shorts(), [8] * 32))
        total = builder.add(total, _pairs(builder, builder.bitcast(unsigned, _shorts()), signed))
    return total


def _pairs(builder: ir.IRBuilder, first: ir.Value, second: ir.Value) -> ir.Value:
    """The sum of two neighbouring products in each lane of 32 bits: on x86 one instruction (vpmaddwd)."""
    products = [
        builder.mul(*(builder.sext(_every_second(builder, value, start), _LANES) for value in (first, second)))
        for start in (0, 1)
    ]
    return builder.add(*products)


def _every_second(builder: ir.IRBuilder, shorts: ir.Value, start: int) -> ir.Value:
    mask = ir.Constant(ir.VectorType(_INT, 16), list(range(start, 32, 2)))
    return builder.shuffle_vector(shorts, ir.Constant(shorts.type, ir.Undefined), mask)


def _shifted(builder: ir.IRBuilder, vector: ir.Value, bits: int) -> ir.Value:
    return builder.lshr(vector, _filled(bits)) if bits else vector


def _filled(value: int) -> ir.Constant:
    return ir.Constant(_LANES, [value] * 16)


def _shorts() -> ir.VectorType:
    return ir.VectorType(_SHORT, 32)
