"""Weights as the kernels read them: integers in panels of 16 outputs, each group of inputs with a scale of its own."""

from __future__ import annotations

from repotune.infer.cpu.kernels.compiling import compiled
from repotune.infer.cpu.kernels.simd import (
    load_byte,
    load_float,
    load_half_float,
    store_byte,
    store_one_half,
)

_CANDIDATES = 14


@compiled
def pack_rows(
    weights: int, first: int, end: int, outputs: int, inputs: int, padded: int, group: int, bits: int, packed: int,
    scales: int,
) -> None:  # fmt: skip
    """Packs the panels from `first` up to `end` of a float32 matrix of `outputs` × `inputs`; what lies beyond either is
    zero. `padded` inputs are a multiple of `group`."""
    zero = 8 if bits == 4 else 128
    groups = padded // group
    for panel in range(first, end):
        for lane in range(16):
            output = panel * 16 + lane
            row = weights + output * inputs * 4
            for index in range(groups):
                start = index * group
                count = min(group, inputs - start) if output < outputs else 0
                at = scales + ((panel * groups + index) * 16 + lane) * 2
                store_one_half(at, _scale(row + start * 4, count, bits))
                scale = load_half_float(at)
                for offset in range(group):
                    value = zero
                    if offset < count and scale != 0.0:
                        value = zero + _rounded(load_float(row + (start + offset) * 4) / scale, zero)
                    _put(packed, panel, lane, start + offset, padded, bits, value)


@compiled
def _rounded(value: float, zero: int) -> int:
    return int(min(max(round(value), -zero), zero - 1))


@compiled
def _scale(row: int, count: int, bits: int) -> float:
    """The scale of a group. In 8 bits the largest number takes the whole range; in 4 bits the one of 14 ranges
    whose squared error is least, since rounding is coarse enough for a clipped number to pay (as in llama.cpp's and
    AWQ's search)."""
    extreme = 0.0
    for index in range(count):
        value = load_float(row + index * 4)
        if abs(value) > abs(extreme):
            extreme = value
    if bits == 8:
        return abs(extreme) / 127.0
    best, least = 0.0, 1e30
    for candidate in range(_CANDIDATES):
        # The largest number by size becomes -8, which has no positive counterpart.
        scale = -extreme / (8.75 - 0.125 * candidate)
        if scale == 0.0:
            return 0.0
        error = 0.0
        for index in range(count):
            value = load_float(row + index * 4)
            off = value - scale * _rounded(value / scale, 8)
            error += off * off
        if error < least:
            best, least = scale, error
    return best


@compiled
def _put(packed: int, panel: int, lane: int, index: int, padded: int, bits: int, value: int) -> None:
    if bits == 8:
        store_byte(packed + panel * padded * 16 + index // 4 * 64 + lane * 4 + index % 4, value)
        return
    # A byte holds input k in its lower half and k + 4 in its upper one.
    at = packed + panel * padded * 8 + index // 8 * 64 + lane * 4 + index % 4
    store_byte(at, load_byte(at) | value << 4 if index % 8 >= 4 else value)
