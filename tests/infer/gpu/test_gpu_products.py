"""What rounding does to a matrix on a GPU, seen by the same operations on a CPU."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from repotune.infer.gpu.products import Fp8, Int8, Precision, product_of

CPU = torch.device("cpu")


def matrix(seed: int, outputs: int = 48, inputs: int = 32) -> torch.Tensor:
    """Rows of very different sizes, one of them nothing but zeros."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.logspace(-6, 3, outputs)[:, None]
    weights = torch.randn(outputs, inputs, generator=generator) * sizes
    weights[outputs // 2] = 0
    return weights


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32))
def test_int8_is_off_by_half_a_step_at_most(seed: int) -> None:
    weights = matrix(seed)
    product = Int8(weights, None)
    rounded = product.rows(torch.arange(len(weights)))
    steps = weights.abs().amax(1, keepdim=True) / 127
    assert ((rounded - weights).abs() <= steps * 0.5001).all()
    assert product.bytes == weights.numel() + 4 * len(weights)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32))
def test_fp8_is_off_by_a_sixteenth_of_a_weight_at_most(seed: int) -> None:
    """Half a step of 3 bits; below the least normal number half a step is 2⁻¹⁰ of what e4m3 counts in."""
    weights = matrix(seed)
    rounded = Fp8(weights, None).rows(torch.arange(len(weights)))
    subnormal = weights.abs().amax(1, keepdim=True) / 448 * 2**-10
    assert ((rounded - weights).abs() <= torch.maximum(weights.abs() / 16, subnormal) * 1.001).all()


@pytest.mark.parametrize(("precision", "most"), [("f32", 1e-6), ("bf16", 0.005), ("int8", 0.01), ("fp8", 0.05)])
@pytest.mark.parametrize("rows", [1, 5, 32])
def test_products_are_near_exact_ones(precision: Precision, most: float, rows: int) -> None:
    torch.manual_seed(rows)
    weights, biases = torch.randn(64, 256), torch.randn(64)
    x = torch.randn(rows, 256).to(torch.float32 if precision == "f32" else torch.bfloat16)
    product = product_of(weights, biases, precision, CPU)
    exact = x.float() @ weights.t() + biases
    result = product(x)
    assert result.dtype == x.dtype
    assert (result.float() - exact).norm() / exact.norm() < most


@pytest.mark.parametrize("precision", ["f32", "bf16", "int8", "fp8"])
def test_a_row_of_zeros_stays_zeros(precision: Precision) -> None:
    product = product_of(matrix(1), None, precision, CPU)
    x = torch.zeros(2, 32, dtype=torch.float32 if precision == "f32" else torch.bfloat16)
    assert not product(x).any()
    assert not product.rows(torch.tensor([24])).any()
