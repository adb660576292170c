"""Products with weight matrices, as plain callables: dense, or 8-bit for few rows at a time.

Decoding one token reads every weight once, so its time is that of memory. 5120 × 768, one row, one thread (AVX-512 with
VNNI, busy machine), weights from memory and not from a cache: the integer product here 402 µs, and 560 for torch's
`_weight_int8pack_mm`, which keeps x in bfloat16 and crashes where the inputs are no multiple of 16.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Precision = Literal["f32", "bf16", "int8"]
Linear = Callable[[Tensor], Tensor]

# Up to this many rows are multiplied in 8 bits: a keystroke's two or three tokens, and the one of a decoding step. It
# would pay for more (16 rows 503 against 1172 µs in bfloat16), but a prompt is better read exactly.
INT8_ROWS = 8


def make_linear(weight_OI: Tensor, precision: Precision, dense: torch.dtype, bias_O: Tensor | None = None) -> Linear:
    """The product with `weight_OI` (outputs × inputs) in `precision`, and `bias_O` added; `dense` is what int8 uses for
    many rows."""
    if precision == "int8":
        return Int8Linear(weight_OI, dense, bias_O)
    return DenseLinear(weight_OI.to(dense).contiguous(), bias_O)


class DenseLinear:
    """x·Wᵀ + b in the weight's own dtype."""

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None = None) -> None:
        self.weight_OI = weight_OI
        self.bias_O = None if bias_O is None else bias_O.to(weight_OI.dtype)

    def __call__(self, x_TI: Tensor) -> Tensor:
        return F.linear(x_TI.to(self.weight_OI.dtype), self.weight_OI, self.bias_O)


class Int8Linear:
    """x·Wᵀ + b in integers: a scale for each row of W, fixed, and one for each row of x, taken as it comes (LLM.int8,
    Dettmers et al. 2022, without its outliers). Off by about 1 % of a product's usual size.

    The dense weights are kept beside, so that a prompt is as exact as in bfloat16. The price is memory, 3 bytes a
    parameter in place of 1.
    """

    def __init__(self, weight_OI: Tensor, dense: torch.dtype, bias_O: Tensor | None = None) -> None:
        self.dense = DenseLinear(weight_OI.to(dense).contiguous(), bias_O)
        self._bias_O = None if bias_O is None else bias_O.float()
        quantised_OI, self._scale_O = quantise(weight_OI)
        self._quantised_IO = quantised_OI.t()

    def __call__(self, x_TI: Tensor) -> Tensor:
        if x_TI.shape[0] > INT8_ROWS:
            return self.dense(x_TI)
        quantised_TI, scale_T = quantise(x_TI)
        product_TO = torch._int_mm(quantised_TI, self._quantised_IO) * (scale_T[:, None] * self._scale_O)
        return product_TO if self._bias_O is None else product_TO + self._bias_O


def quantise(rows_TI: Tensor) -> tuple[Tensor, Tensor]:
    """Each row as int8, symmetric and rounded to nearest, and its float32 scale."""
    rows_TI = rows_TI.float()
    scale_T = rows_TI.abs().amax(1).div_(127).clamp_min_(1e-12)
    return (rows_TI / scale_T[:, None]).round_().to(torch.int8), scale_T
