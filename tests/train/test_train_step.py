"""A step is the same in one pass or in several, and never applies a gradient that is no number."""

from __future__ import annotations

import pytest
import torch

from repotune.model.configuration import ModelConfig
from repotune.model.network import Network
from repotune.train.optimisers import build_optimisers, set_learning_rate
from repotune.train.step import Precision, take_step
from repotune.train.throughput import measure

FLOAT32 = Precision(torch.device("cpu"), bf16=False)


def _stepped(
    config: ModelConfig, optimiser: str, pass_rows: int, steps: int = 1
) -> tuple[Network, tuple[float, float]]:
    torch.manual_seed(3)
    network = Network(config)
    optimisers = build_optimisers(network, optimiser, 0.1)
    set_learning_rate(optimisers, 1e-3)
    stream = torch.randint(config.vocabulary, (8, 33))
    batch = (stream[:, :-1], stream[:, 1:])
    for _ in range(steps):
        result = take_step(network, network.features, optimisers, batch, pass_rows, FLOAT32)
    return network, result


def test_passes_that_share_a_step_add_up_to_it(small_model: ModelConfig) -> None:
    whole, (loss, norm) = _stepped(small_model, "adamw", 8)
    parts, (same_loss, same_norm) = _stepped(small_model, "adamw", 2)
    assert same_loss == pytest.approx(loss, rel=1e-6)
    assert same_norm == pytest.approx(norm, rel=1e-4)
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("optimiser", ["muon", "adamw"])
def test_two_steps_move_every_parameter(small_model: ModelConfig, optimiser: str) -> None:
    torch.manual_seed(3)
    before = Network(small_model).state_dict()
    # Two, since what reads for a projection that is still zero has no gradient in the first.
    after, _ = _stepped(small_model, optimiser, 8, steps=2)
    for name, tensor in after.state_dict().items():
        assert not torch.equal(tensor, before[name]), name


def test_a_loss_that_is_no_number_changes_nothing(small_model: ModelConfig) -> None:
    torch.manual_seed(3)
    network = Network(small_model)
    optimisers = build_optimisers(network, "muon", 0.1)
    with torch.no_grad():
        network.norm.weight[0] = float("inf")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    ids = torch.zeros(2, 8, dtype=torch.long)
    loss, norm = take_step(network, network.features, optimisers, (ids, ids), 2, FLOAT32)
    assert not (torch.isfinite(torch.tensor(loss)) and torch.isfinite(torch.tensor(norm)))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_throughput_is_that_of_real_steps(small_model: ModelConfig) -> None:
    generator_state = torch.random.get_rng_state()
    assert 1_000 < measure(small_model, 64, 512, "cpu", threads=1) < 10_000_000
    assert torch.equal(torch.random.get_rng_state(), generator_state)


def test_documents_do_not_see_each_other_in_a_step(small_model: ModelConfig) -> None:
    """Two documents in one row give the loss of each in a row of its own; without boundaries they do not."""
    torch.manual_seed(3)
    documents_RT = torch.randint(1, small_model.vocabulary, (2, 16))
    documents_RT[:, 0] = 0
    targets_RT = torch.randint(small_model.vocabulary, (2, 16))

    def loss(ids: torch.Tensor, targets: torch.Tensor, separator: int | None) -> float:
        torch.manual_seed(4)
        network = Network(small_model)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        return take_step(network, network.features, [], (ids, targets), 1, FLOAT32, separator)[0]

    apart = loss(documents_RT, targets_RT, None)
    together = documents_RT.view(1, 32), targets_RT.view(1, 32)
    assert loss(*together, 0) == pytest.approx(apart, rel=1e-5)
    assert loss(*together, None) != pytest.approx(apart, rel=1e-4)
