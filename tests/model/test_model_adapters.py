"""Adapters begin at the base, train alone, are kept alone, and merge into a plain network that does the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from repotune.core.errors import UserError
from repotune.model.adapters import LoRA, adapter_state, add_adapters, load_adapter_state, merge_adapters
from repotune.model.configuration import ModelConfig
from repotune.model.network import Network
from repotune.model.weights import load_model, save_model

LLAMA = {"vocabulary": 101, "width": 64, "layers": 2, "heads": 4, "kv_heads": 2, "hidden": 96, "context": 64}
FAMILIES = {
    "llama": LLAMA,
    "qwen2, untied": dict(LLAMA, biases="qkv", tied=False),
    "starcoder2": dict(LLAMA, norm="layer", activation="gelu-tanh", biases="all"),
    "mpt": dict(LLAMA, hidden=128, norm="layer", position="alibi", activation="gelu"),
}


@pytest.fixture
def ids() -> torch.Tensor:
    return torch.randint(0, 101, (2, 20), generator=torch.Generator().manual_seed(3))


def network_of(shape: dict[str, Any]) -> Network:
    torch.manual_seed(4)
    network = Network(ModelConfig(**shape))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return network


def train(network: Network, ids: torch.Tensor, steps: int = 3) -> list[float]:
    optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(steps):
        loss = F.cross_entropy(network(ids)[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("shape", FAMILIES.values(), ids=FAMILIES)
def test_training_begins_at_the_base_moves_adapters_alone_and_merges_into_the_same(
    shape: dict[str, Any], ids: torch.Tensor, tmp_path: Path, codec_folder: Path
) -> None:
    network = network_of(shape)
    base = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    before = network(ids)
    add_adapters(network, LoRA(rank=4, alpha=8))
    assert torch.equal(network(ids), before)
    losses = train(network, ids)
    assert losses[-1] < losses[0] - 0.1
    merged = merge_adapters(network)
    torch.testing.assert_close(merged(ids), network(ids), atol=1e-4, rtol=1e-4)
    changed = {name for name, tensor in merged.state_dict().items() if not torch.equal(tensor, base[name])}
    targets = ("query", "key", "value", "output", "gate", "up", "down")
    assert changed == {name for name in base if name.split(".")[-2] in targets and name.endswith(".weight")}
    save_model(tmp_path / "model", merged, codec_folder)
    torch.testing.assert_close(load_model(tmp_path / "model")(ids), network(ids), atol=1e-4, rtol=1e-4)


def test_only_a_few_numbers_ask_for_a_gradient_and_only_they_are_kept() -> None:
    network = network_of(LLAMA)
    add_adapters(network, LoRA(rank=4, targets=("query", "value")))
    trained = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    assert trained == 2 * 4 * ((64 + 64) + (64 + 32))
    assert sum(tensor.numel() for tensor in adapter_state(network).values()) == trained


def test_what_is_kept_goes_on_bit_for_bit(ids: torch.Tensor) -> None:
    whole, first = network_of(LLAMA), network_of(LLAMA)
    for network in (whole, first):
        torch.manual_seed(9)
        add_adapters(network, LoRA(rank=4))
        train(network, ids)
    second = network_of(LLAMA)
    add_adapters(second, LoRA(rank=4))
    load_adapter_state(second, adapter_state(first))
    assert torch.equal(second(ids), whole(ids))
    assert train(second, ids) == train(whole, ids)


def test_a_base_in_bfloat16_keeps_its_type_under_adapters_in_float32(ids: torch.Tensor) -> None:
    network = network_of(LLAMA).bfloat16()
    add_adapters(network, LoRA(rank=4))
    losses = train(network, ids, steps=5)
    assert losses[-1] < losses[0]
    assert {p.dtype for p in network.parameters() if p.requires_grad} == {torch.float32}
    assert network.embedding.weight.dtype == torch.bfloat16
    assert {p.dtype for p in merge_adapters(network).parameters()} == {torch.float32}


def test_adapters_that_cannot_be_are_refused() -> None:
    with pytest.raises(UserError, match="rank and an alpha above 0, not 0"):
        LoRA(rank=0)
    with pytest.raises(UserError, match="cannot stand at head"):
        LoRA(targets=("query", "head"))
    with pytest.raises(UserError, match="cannot stand at nothing"):
        LoRA(targets=())
    network, other = network_of(LLAMA), network_of(LLAMA)
    add_adapters(network, LoRA(rank=4))
    add_adapters(other, LoRA(rank=8))
    with pytest.raises(UserError, match="do not fit"):
        load_adapter_state(network, adapter_state(other))
