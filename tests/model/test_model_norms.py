"""RMSNorm's own backward pass, and what reaches the products."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from repotune.model.configuration import ModelConfig
from repotune.model.norms import RMSNorm, for_products, norm_of


@pytest.mark.parametrize("shape", [(3, 5, 16), (7, 16)])
def test_value_and_gradients_are_those_of_torch(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    norm = RMSNorm(16, eps=1e-5)
    with torch.no_grad():
        norm.weight.normal_()
    x = torch.randn(shape, requires_grad=True)
    expected = F.rms_norm(x, [16], norm.weight, 1e-5)
    upstream = torch.randn(shape)
    wanted = torch.autograd.grad(expected, (x, norm.weight), upstream)
    got = torch.autograd.grad(norm(x), (x, norm.weight), upstream)
    torch.testing.assert_close(norm(x), expected)
    torch.testing.assert_close(got, wanted)


def test_a_row_of_zeros_has_finite_gradients() -> None:
    norm, x = RMSNorm(8, eps=1e-6), torch.zeros(2, 8, requires_grad=True)
    norm(x).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_double_precision_takes_torchs_own() -> None:
    norm = RMSNorm(8, eps=1e-6).double()
    assert torch.autograd.gradcheck(norm, torch.randn(2, 8, dtype=torch.float64, requires_grad=True))


def test_the_norm_is_the_one_the_configuration_names() -> None:
    config = ModelConfig(32, 16, 1, 2, 2, 32, 8)
    assert isinstance(norm_of(config), RMSNorm)


def test_products_get_autocasts_type_only_under_autocast() -> None:
    x = torch.randn(2, 4)
    assert for_products(x).dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert for_products(x).dtype == torch.bfloat16
