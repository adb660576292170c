"""Every optimiser updates every parameter once, by its published rule."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import nn

from repotune.model.configuration import ModelConfig
from repotune.model.network import Network
from repotune.train.optimisers import LionW, OptimiserName, build_optimisers, set_learning_rate


@pytest.mark.parametrize("name", get_args(OptimiserName))
def test_every_parameter_belongs_to_one_group_and_vectors_do_not_decay(
    name: OptimiserName, small_model: ModelConfig
) -> None:
    network = Network(small_model)
    optimisers = build_optimisers(network, name, 0.1)
    groups = [group for optimiser in optimisers for group in optimiser.param_groups]
    held = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(held) == sorted(id(parameter) for parameter in network.parameters())
    for group in groups:
        assert all((parameter.dim() >= 2) == (group["weight_decay"] > 0) for parameter in group["params"])


@pytest.mark.parametrize("name", get_args(OptimiserName))
def test_what_is_frozen_stays(name: OptimiserName, small_model: ModelConfig) -> None:
    network = Network(small_model)
    frozen = network.embedding.weight.requires_grad_(False)
    before = frozen.detach().clone()
    optimisers = build_optimisers(network, name, 0.1)
    set_learning_rate(optimisers, 0.1)
    network(torch.arange(8)[None]).sum().backward()
    for optimiser in optimisers:
        optimiser.step()
    assert torch.equal(frozen, before)


def test_lion_takes_the_sign_of_its_interpolation_and_decays_apart_from_it() -> None:
    torch.manual_seed(1)
    weight = nn.Parameter(torch.randn(5, 3))
    expected, momentum = weight.detach().clone(), torch.zeros(5, 3)
    optimiser = LionW([{"params": [weight], "weight_decay": 0.5}], betas=(0.9, 0.99))
    for _ in range(4):
        gradient = torch.randn(5, 3)
        set_learning_rate([optimiser], 0.01)
        weight.grad = gradient.clone()
        optimiser.step()
        expected *= 1 - 0.01 * 0.5
        expected -= 0.01 * torch.sign(0.9 * momentum + 0.1 * gradient)
        momentum = 0.99 * momentum + 0.01 * gradient
        torch.testing.assert_close(weight.detach(), expected)
    assert len(optimiser.state[weight]) == 1
