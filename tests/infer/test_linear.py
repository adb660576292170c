"""The 8-bit product is close to the exact one for every shape that it is used for."""

from __future__ import annotations

import pytest
import torch

from repotune.infer.linear import INT8_ROWS, make_linear, quantise


@pytest.mark.parametrize("inputs", [24, 131, 352, 768])
@pytest.mark.parametrize("outputs", [1, 5, 131, 1024])
@pytest.mark.parametrize("rows", [1, 3, INT8_ROWS, INT8_ROWS + 1])
def test_an_int8_product_is_off_by_a_few_percent_at_most(inputs: int, outputs: int, rows: int) -> None:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(outputs, inputs, generator=generator) * torch.rand(outputs, 1, generator=generator)
    x = torch.randn(rows, inputs, generator=generator)
    product = make_linear(weight, "int8", torch.bfloat16)
    usual_norm = x.norm() * weight.norm() / inputs**0.5
    assert (product(x).float() - x @ weight.T).norm() < 0.04 * usual_norm


def test_few_rows_are_multiplied_alone_and_many_are_dense() -> None:
    generator = torch.Generator().manual_seed(3)
    weight, x = torch.randn(32, 64, generator=generator), torch.randn(INT8_ROWS + 1, 64, generator=generator)
    product = make_linear(weight, "int8", torch.float32)
    torch.testing.assert_close(product(x), x @ weight.T)
    together = product(x[:INT8_ROWS])
    assert torch.equal(together, torch.cat([product(row[None]) for row in x[:INT8_ROWS]])), "no row sees another"
    assert not torch.equal(together, x[:INT8_ROWS] @ weight.T)


def test_quantising_is_off_by_half_a_scale_at_most_and_keeps_zero_rows() -> None:
    weight = torch.randn(32, 64, generator=torch.Generator().manual_seed(2))
    weight[3] = 0
    quantised, scale = quantise(weight)
    restored = quantised.float() * scale[:, None]
    assert ((restored - weight).abs() <= 0.501 * scale[:, None]).all()
    assert (restored[3] == 0).all()
