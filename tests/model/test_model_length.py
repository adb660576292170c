"""Rows longer than those of training: ALiBi reads them as well (Press et al. 2021), and RoPE's base can be raised."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from repotune.core.errors import UserError
from repotune.model.configuration import ModelConfig
from repotune.model.network import Network

TRAINED = 32
SHAPE = {"vocabulary": 256, "width": 64, "layers": 2, "heads": 4, "kv_heads": 4, "hidden": 256, "context": TRAINED}
ALIBI = dict(SHAPE, norm="layer", position="alibi", activation="gelu")


@pytest.fixture(scope="module")
def code() -> Tensor:
    """Bytes of the standard library."""
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:60]
    return torch.tensor(list(b"".join(file.read_bytes() for file in files)))


def rows(code: Tensor, count: int, length: int, seed: int) -> Tensor:
    starts = torch.randint(0, len(code) - length, (count,), generator=torch.Generator().manual_seed(seed))
    return torch.stack([code[start : start + length] for start in starts.tolist()])


def trained(shape: dict[str, Any], code: Tensor, steps: int = 200) -> Network:
    torch.set_num_threads(1)
    torch.manual_seed(1)
    network = Network(ModelConfig(**shape))
    optimiser = torch.optim.AdamW(network.parameters())
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 3e-3 * min(1, (step + 1) / 20) * (1 - step / steps)
        optimiser.zero_grad()
        losses(network, rows(code[:-100_000], 16, TRAINED + 1, step)).mean().backward()
        optimiser.step()
    return network


def losses(network: Network, rows_of_bytes: Tensor) -> Tensor:
    return F.cross_entropy(network(rows_of_bytes[:, :-1]).transpose(1, 2), rows_of_bytes[:, 1:], reduction="none")


@torch.no_grad()
def change_by_length(network: Network, code: Tensor) -> float:
    """How much the loss of the same tokens rises when rows are twice as long as in training, as a share."""
    long_BT = rows(code[-100_000:], 200, 2 * TRAINED + 1, seed=7)
    scored = TRAINED // 2
    short = losses(network, long_BT[:, TRAINED:])[:, -scored:].mean()
    return float(losses(network, long_BT)[:, -scored:].mean() / short - 1)


def test_alibi_keeps_its_loss_at_twice_the_trained_length_and_rope_does_not(code: Tensor) -> None:
    assert change_by_length(trained(ALIBI, code), code) < 0.01
    assert change_by_length(trained(SHAPE, code), code) > 0.03


@pytest.mark.parametrize("shape", [SHAPE, ALIBI], ids=["rope", "alibi"])
@torch.no_grad()
def test_no_length_is_too_long(shape: dict[str, Any]) -> None:
    network = Network(ModelConfig(**shape))
    for length in (1, TRAINED, 1500):
        assert network(torch.zeros(1, length, dtype=torch.long)).shape == (1, length, 256)


@torch.no_grad()
def test_a_stretched_network_is_one_that_was_made_so() -> None:
    torch.manual_seed(2)
    network = Network(ModelConfig(**SHAPE))
    torch.nn.init.normal_(network.blocks[0].get_parameter("attention.output.weight"))
    ids = torch.arange(48)[None]
    before = network(ids)
    network.stretch(64, rope_base=100_000.0)
    assert not torch.equal(network(ids), before)
    fresh = Network(ModelConfig(**dict(SHAPE, context=64, rope_base=100_000.0)))
    assert fresh.config == network.config
    fresh.load_state_dict(network.state_dict())
    assert torch.equal(fresh(ids), network(ids))
    with pytest.raises(UserError, match="positive rope_base"):
        network.stretch(64, rope_base=-1.0)


def test_dropout_is_drawn_from_torchs_generator_while_training_and_off_in_evaluation() -> None:
    torch.manual_seed(2)
    network, plain = Network(ModelConfig(**SHAPE), dropout=0.2), Network(ModelConfig(**SHAPE))
    plain.load_state_dict(network.state_dict())
    ids = torch.arange(20)[None]
    state = torch.get_rng_state()
    first = network(ids)
    assert not torch.equal(network(ids), first)
    torch.set_rng_state(state)
    assert torch.equal(network(ids), first)
    assert torch.equal(network.eval()(ids), plain(ids))


def test_dropout_leaves_out_its_share_of_the_embeddings_and_of_what_a_block_adds() -> None:
    torch.manual_seed(2)
    network = Network(ModelConfig(**SHAPE), dropout=0.25)
    shares: dict[str, float] = {}

    def record(name: str, given: Tensor, result: Tensor) -> None:
        shares[name] = float(((result == 0) & (given != 0)).sum() / (given != 0).sum())

    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Dropout):
            module.register_forward_hook(lambda _, given, result, name=name: record(name, given[0], result))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    network(torch.arange(200)[None])
    assert set(shares) == {"dropout", "blocks.0.dropout", "blocks.1.dropout"}
    assert all(share == pytest.approx(0.25, abs=0.03) for share in shares.values())
