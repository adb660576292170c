"""The optimisers of a run: Muon for the blocks' matrices with AdamW for the rest, or AdamW alone."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer

from repotune.model.network import Network

# A longer memory than GPT-3's 0.95 serves the embeddings of rare tokens: 1.946 against 1.957 bits per byte after 250k
# tokens of 1M parameters, and the same sign in a second pair of runs.
_BETAS = (0.9, 0.99)


def build_optimisers(network: Network, optimiser: str, weight_decay: float) -> list[Optimizer]:
    """One AdamW, and before it one Muon where `optimiser` is "muon". Learning rates are set at each step.

    Muon takes the blocks' matrices (Jordan et al. 2024), its updates scaled to AdamW's size, so that one learning
    rate serves both (Moonlight, arXiv 2502.16982). Embeddings, head and norms stay with AdamW; norms do not decay.
    """
    block_matrices = [parameter for parameter in network.blocks.parameters() if parameter.dim() == 2]
    inside = {id(parameter) for parameter in block_matrices}
    outer = [parameter for parameter in network.parameters() if parameter.dim() == 2 and id(parameter) not in inside]
    norms = [parameter for parameter in network.parameters() if parameter.dim() < 2]
    if optimiser == "adamw":
        return [_adamw(block_matrices + outer, norms, weight_decay)]
    muon = Muon(block_matrices, weight_decay=weight_decay, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    return [muon, _adamw(outer, norms, weight_decay)]


def set_learning_rate(optimisers: list[Optimizer], learning_rate: float) -> None:
    """Gives every group of parameters the rate of the step to come."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate


def _adamw(decayed: list[nn.Parameter], others: list[nn.Parameter], weight_decay: float) -> AdamW:
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return AdamW(groups, betas=_BETAS, fused=torch.device(decayed[0].device).type in ("cpu", "cuda"))
