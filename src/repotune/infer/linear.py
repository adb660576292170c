"""Products with weight matrices, as plain callables: dense, or 8-bit for few rows at a time.

Decoding one token reads every weight once, so its time is that of memory: a quarter of the bytes is up to four times
the speed. Measured on two cores (AVX-512 BF16), 5120 × 768, one row: float32 408 µs, bfloat16 182 µs, int8 106 µs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Precision = Literal["f32", "bf16", "int8"]
Linear = Callable[[Tensor], Tensor]

# Up to this many rows the 8-bit product is the faster one. Same matrix: 2 rows 143 against 185 µs in bfloat16, 4 rows
# 215 against 233, 8 rows 439 against 325. A keystroke re-computes two or three tokens, so it stays below.
INT8_ROWS = 4
# torch's 8-bit kernel reads 16 inputs at a time and never checks: 24 gave infinities, 31 a segmentation fault.
INT8_INPUTS = 16


def make_linear(weight_OI: Tensor, precision: Precision, dense: torch.dtype) -> Linear:
    """The product with `weight_OI` (outputs × inputs) in `precision`; `dense` is what an int8 one uses for many rows,
    and what a matrix is kept in whose inputs are no multiple of 16."""
    if precision == "int8" and weight_OI.shape[1] % INT8_INPUTS == 0:
        return Int8Linear(weight_OI, dense)
    return DenseLinear(weight_OI.to(dense).contiguous())


class DenseLinear:
    """x·Wᵀ in the weight's own dtype."""

    def __init__(self, weight_OI: Tensor) -> None:
        self.weight_OI = weight_OI

    def __call__(self, x_TI: Tensor) -> Tensor:
        return F.linear(x_TI.to(self.weight_OI.dtype), self.weight_OI)


class Int8Linear:
    """x·Wᵀ with one scale a row of W, symmetric and rounded to nearest; the error of a product is about 0.8 %.

    The dense weights are kept beside: dequantising them for a prompt's many rows costs as much as 16 rows themselves,
    and a prompt is then as exact as in bfloat16. The price is memory, 3 bytes a parameter in place of 1.
    """

    def __init__(self, weight_OI: Tensor, dense: torch.dtype) -> None:
        self.dense = DenseLinear(weight_OI.to(dense).contiguous())
        self.quantised_OI, self.scale_O = quantise(weight_OI)

    def __call__(self, x_TI: Tensor) -> Tensor:
        if x_TI.shape[0] > INT8_ROWS:
            return self.dense(x_TI)
        # The kernel is vectorised for bfloat16 rows alone: with float32 ones it is 20 times slower.
        return torch._weight_int8pack_mm(x_TI.to(torch.bfloat16), self.quantised_OI, self.scale_O)


def quantise(weight_OI: Tensor) -> tuple[Tensor, Tensor]:
    """`weight_OI` as int8 and one bfloat16 scale a row; the scale is rounded first, so rounding it adds no error."""
    weight_OI = weight_OI.float()
    scale_O = (weight_OI.abs().amax(1) / 127).clamp_min(1e-8).to(torch.bfloat16)
    quantised_OI = (weight_OI / scale_O.float()[:, None]).round_().clamp_(-127, 127).to(torch.int8)
    return quantised_OI.contiguous(), scale_O
