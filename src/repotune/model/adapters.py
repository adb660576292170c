"""Low-rank adapters (LoRA, Hu et al. 2021): a base continued by training a few numbers beside its frozen weights.

    network = load_model(base)
    add_adapters(network, LoRA(rank=16, alpha=32))
    …                                                 # train what asks for a gradient
    save_model(folder, merge_adapters(network), base)

Ours and not peft's, which needs transformers and accelerate: 158 MB beside torch, where training may add 60.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from repotune.core.errors import UserError
from repotune.model.configuration import LoRA
from repotune.model.network import Network


class Adapted(nn.Module):
    """x·Wᵀ + b + alpha/rank · (x·Aᵀ)·Bᵀ, of which only A (`down`, R×I) and B (`up`, O×R) are trained, in float32
    whatever W is stored in. B begins at zero, so that training begins at the base."""

    def __init__(self, linear: nn.Linear, lora: LoRA) -> None:
        super().__init__()
        self.linear = linear
        self.scale = lora.alpha / lora.rank
        device = linear.weight.device
        self.down = nn.Parameter(torch.empty(lora.rank, linear.in_features, dtype=torch.float32, device=device))
        self.up = nn.Parameter(torch.zeros(linear.out_features, lora.rank, dtype=torch.float32, device=device))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x_BTI: Tensor) -> Tensor:
        y_BTO: Tensor = self.linear(x_BTI)
        change_BTO = F.linear(F.linear(x_BTI.to(self.down.dtype), self.down), self.up)
        return y_BTO + self.scale * change_BTO.to(y_BTO.dtype)

    @torch.no_grad()
    def merged(self) -> Tensor:
        """The one matrix O×I that does the same, in float32."""
        return self.linear.weight.float() + self.scale * (self.up @ self.down)


def add_adapters(network: Network, lora: LoRA) -> None:
    """Puts adapters into every block of `network`, and freezes all else. A's first values come from torch's
    generator; a family without a target (only SwiGLU has a gate) goes without."""
    network.requires_grad_(False)
    for parent in list(network.blocks.modules()):
        for name, child in list(parent.named_children()):
            if name in lora.targets and isinstance(child, nn.Linear):
                setattr(parent, name, Adapted(child, lora))


def merge_adapters(network: Network) -> Network:
    """A plain network that does what `network` does with its adapters, in float32. What is not adapted is shared with
    it where it is float32 already."""
    state = network.state_dict()
    for path, adapted in _adapted(network):
        state[f"{path}.weight"] = adapted.merged()
        for name in ("down", "up", "linear.weight"):
            del state[f"{path}.{name}"]
        if adapted.linear.bias is not None:
            state[f"{path}.bias"] = state.pop(f"{path}.linear.bias")
    with torch.device("meta"):
        plain = Network(network.config)
    plain.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)
    if network.config.tied:
        plain.head.weight = plain.embedding.weight
    return plain


def adapter_state(network: Network) -> dict[str, Tensor]:
    """The adapters alone, for a checkpoint: the base they stand in is not in it."""
    return {f"{path}.{name}": getattr(module, name).detach() for path, module in _adapted(network) for name in _PAIR}


@torch.no_grad()
def load_adapter_state(network: Network, state: Mapping[str, Tensor]) -> None:
    """Gives the adapters in `network` what `adapter_state` kept. Raises UserError where others stand in it."""
    held = adapter_state(network)
    if {name: tensor.shape for name, tensor in held.items()} != {name: tensor.shape for name, tensor in state.items()}:
        raise UserError("The adapters of the checkpoint do not fit those of the plan: their rank or targets differ.")
    for name, tensor in held.items():
        tensor.copy_(state[name])


_PAIR = ("down", "up")


def _adapted(network: Network) -> Iterator[tuple[str, Adapted]]:
    return ((path, module) for path, module in network.named_modules() if isinstance(module, Adapted))
