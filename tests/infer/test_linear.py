"""The 8-bit product is close to the exact one for every shape that it is used for."""

from __future__ import annotations

import pytest
import torch

from repotune.infer.linear import INT8_ROWS, DenseLinear, Int8Linear, make_linear, quantise


@pytest.mark.parametrize("inputs", [16, 48, 352, 768])
@pytest.mark.parametrize("outputs", [1, 5, 131, 1024])
@pytest.mark.parametrize("rows", [1, 3, INT8_ROWS, INT8_ROWS + 1])
def test_an_int8_product_is_off_by_less_than_two_percent(inputs: int, outputs: int, rows: int) -> None:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(outputs, inputs, generator=generator) * torch.rand(outputs, 1, generator=generator)
    x = torch.randn(rows, inputs, generator=generator)
    product = make_linear(weight, "int8", torch.bfloat16)
    assert isinstance(product, Int8Linear)
    usual_norm = x.norm() * weight.norm() / inputs**0.5
    assert (product(x).float() - x @ weight.T).norm() < 0.02 * usual_norm


def test_a_width_that_the_kernel_would_read_beyond_stays_dense() -> None:
    weight, x = torch.randn(8, 24), torch.randn(1, 24)
    product = make_linear(weight, "int8", torch.float32)
    assert isinstance(product, DenseLinear)
    torch.testing.assert_close(product(x), x @ weight.T)


def test_quantising_is_off_by_half_a_scale_at_most_and_keeps_zero_rows() -> None:
    weight = torch.randn(32, 64, generator=torch.Generator().manual_seed(2))
    weight[3] = 0
    quantised, scale = quantise(weight)
    restored = quantised.float() * scale.float()[:, None]
    # A scale rounded down by up to 2⁻⁹ clips a row's largest weight by a quarter of a scale more.
    assert ((restored - weight).abs() <= 0.76 * scale.float()[:, None]).all()
    assert (restored[3] == 0).all()
