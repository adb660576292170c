"""The optimisers of a run: Muon for the blocks' matrices with AdamW for the rest, AdamW alone, or LionW alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer

from repotune.model.network import Network
from repotune.train.plan import OptimiserName

# A longer memory than GPT-3's 0.95 serves the embeddings of rare tokens: 1.946 against 1.957 bits per byte after 250k
# tokens of 1M parameters, and the same sign in a second pair of runs.
_BETAS = (0.9, 0.99)


def build_optimisers(network: Network, name: OptimiserName, weight_decay: float) -> list[Optimizer]:
    """The optimisers of `network`'s trainable parameters: one, or Muon and AdamW where `name` is "muon".

    Learning rates are set at each step, which takes rate · `weight_decay` of each weight, whatever the optimiser. Muon
    takes the blocks' matrices (Jordan et al. 2024), its updates scaled to AdamW's size, so that one learning rate
    serves both (Moonlight, arXiv 2502.16982). Embeddings, head and norms stay with AdamW; vectors do not decay.
    """
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    in_blocks = {id(parameter) for parameter in network.blocks.parameters()}
    vectors = [parameter for parameter in trained if parameter.dim() < 2]
    matrices = [parameter for parameter in trained if parameter.dim() == 2 and id(parameter) in in_blocks]
    outer = [parameter for parameter in trained if parameter.dim() == 2 and id(parameter) not in in_blocks]
    if name == "lionw":
        return [LionW(_groups(matrices + outer, vectors, weight_decay))]
    if name == "adamw":
        return [_adamw(matrices + outer, vectors, weight_decay)]
    muon = Muon(matrices, weight_decay=weight_decay, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    return [muon, _adamw(outer, vectors, weight_decay)] if outer or vectors else [muon]


def set_learning_rate(optimisers: list[Optimizer], learning_rate: float) -> None:
    """Gives every group of parameters the rate of the step to come."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate


class LionW(Optimizer):
    """Lion (Chen et al. 2023) with decoupled weight decay, as MosaicML and Replit trained with.

    p ← p·(1 − rate·decay), p ← p − rate·sign(β₁·m + (1 − β₁)·g), m ← β₂·m + (1 − β₂)·g. Half of AdamW's state; its rate
    is a third to a tenth of AdamW's, its decay three to ten times. composer's DecoupledLionW writes rate/peak·decay:
    its decay is ours times the peak.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], betas: tuple[float, float] = (0.9, 0.99)) -> None:
        super().__init__(groups, {"lr": 1e-4, "betas": betas, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters:
                self._update(group, parameters)

    def _update(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter]["momentum"] = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        momenta = [self.state[parameter]["momentum"] for parameter in parameters]
        first, second = group["betas"]
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        directions = torch._foreach_lerp(momenta, gradients, 1 - first)
        torch._foreach_sign_(directions)
        torch._foreach_add_(parameters, directions, alpha=-group["lr"])
        torch._foreach_lerp_(momenta, gradients, 1 - second)


def _adamw(decayed: list[nn.Parameter], others: list[nn.Parameter], weight_decay: float) -> AdamW:
    device = (decayed or others)[0].device.type
    return AdamW(_groups(decayed, others, weight_decay), betas=_BETAS, fused=device in ("cpu", "cuda"))


def _groups(decayed: list[nn.Parameter], others: list[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
