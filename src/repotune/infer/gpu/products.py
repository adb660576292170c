"""A matrix as the GPU reads it: exact, or rounded to a byte a weight with a scale a row of outputs.

What a step costs is the reading of these. int8 rounds weights alone: half a step is 1/254 of a row's largest weight.
fp8 (e4m3: 3 bits of mantissa) rounds weights and the rows that meet them, each to within 1/16 of itself, for the tensor
cores' double rate on long prompts. All of it runs on a CPU as well, by the same operations.
"""

from __future__ import annotations

from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from repotune.core.errors import UserError

Precision = Literal["f32", "bf16", "int8", "fp8"]

# Largest number of e4m3, and what its tensor cores want every side of a matrix to be a multiple of.
_E4M3_MAX = 448.0
_E4M3_SIDE = 16
# A row of nothing but zeros has a scale all the same.
_LEAST = 1e-12


class Product(Protocol):
    """x·Wᵀ + b for one matrix W (outputs O × inputs I)."""

    @property
    def bytes(self) -> int:
        """Read by one product of any number of rows."""

    def __call__(self, x_RI: Tensor) -> Tensor:
        """R×O in the type of `x_RI`."""

    def rows(self, ids_R: Tensor) -> Tensor:
        """The rows of W at `ids_R`, R×I, float32: an embedding."""


def product_of(weight_OI: Tensor, bias_O: Tensor | None, precision: Precision, device: torch.device) -> Product:
    """`weight_OI` rounded to `precision` on `device`. Raises UserError for a shape that fp8 cannot have."""
    weight_OI = weight_OI.detach().to(device)
    bias_O = None if bias_O is None else bias_O.detach().to(device, torch.float32)
    if precision == "int8":
        return Int8(weight_OI, bias_O)
    if precision == "fp8":
        return Fp8(weight_OI, bias_O)
    return Dense(weight_OI.to(torch.float32 if precision == "f32" else torch.bfloat16), bias_O)


class Dense:
    """Weights in the type of the rows that meet them."""

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None) -> None:
        self.weight_OI = weight_OI.contiguous()
        self.bias_O = bias_O

    @property
    def bytes(self) -> int:
        return self.weight_OI.nbytes

    def __call__(self, x_RI: Tensor) -> Tensor:
        return _biased(F.linear(x_RI, self.weight_OI), self.bias_O)

    def rows(self, ids_R: Tensor) -> Tensor:
        return self.weight_OI[ids_R].float()


class Int8:
    """Bytes that are converted as they are read.

    One row: Inductor takes the product apart into a multiplication and a sum, into which the conversion goes (as
    gpt-fast has it). Several rows: it tries its own tensor-core kernels with the conversion at their entrance against
    one that writes the converted matrix first, and takes what is quicker on that machine.
    """

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None) -> None:
        weight_OI = weight_OI.float()
        self.scales_O = weight_OI.abs().amax(1).clamp(min=_LEAST) / 127
        self.weight_OI = (weight_OI / self.scales_O[:, None]).round().to(torch.int8)
        self.bias_O = bias_O

    @property
    def bytes(self) -> int:
        return self.weight_OI.nbytes + self.scales_O.nbytes

    def __call__(self, x_RI: Tensor) -> Tensor:
        sums_RO = F.linear(x_RI, self.weight_OI.to(x_RI.dtype))
        return _biased((sums_RO * self.scales_O).to(x_RI.dtype), self.bias_O)

    def rows(self, ids_R: Tensor) -> Tensor:
        return self.weight_OI[ids_R].float() * self.scales_O[ids_R, None]


class Fp8:
    """Weights and rows in e4m3, each row of both with its scale; for compute capability 8.9 and above."""

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None) -> None:
        if any(side % _E4M3_SIDE for side in weight_OI.shape):
            raise UserError(
                f"A matrix of {weight_OI.shape[0]} × {weight_OI.shape[1]} cannot be read as fp8, which wants multiples "
                f"of {_E4M3_SIDE}.",
                "weights: bf16, int8",
            )
        self.weight_OI, self.scales_O = _to_e4m3(weight_OI)
        self.bias_O = bias_O

    @property
    def bytes(self) -> int:
        return self.weight_OI.nbytes + self.scales_O.nbytes

    def __call__(self, x_RI: Tensor) -> Tensor:
        rounded_RI, scales_R = _to_e4m3(x_RI)
        sums_RO = torch._scaled_mm(
            rounded_RI, self.weight_OI.t(), scales_R[:, None], self.scales_O[None], out_dtype=torch.bfloat16
        )
        return _biased(sums_RO.to(x_RI.dtype), self.bias_O)

    def rows(self, ids_R: Tensor) -> Tensor:
        # Picked as bytes: not every device has an index over e4m3.
        return self.weight_OI.view(torch.uint8)[ids_R].view(torch.float8_e4m3fn).float() * self.scales_O[ids_R, None]


def _to_e4m3(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Each of `rows` divided by its scale, which makes its largest number e4m3's, and the scales, one a row."""
    rows = rows.float()
    scales = rows.abs().amax(-1).clamp(min=_LEAST) / _E4M3_MAX
    return (rows / scales[:, None]).clamp(-_E4M3_MAX, _E4M3_MAX).to(torch.float8_e4m3fn), scales


def _biased(product_RO: Tensor, bias_O: Tensor | None) -> Tensor:
    """Added apart from the product, so that this stays one that Inductor takes apart."""
    return product_RO if bias_O is None else (product_RO + bias_O).to(product_RO.dtype)
