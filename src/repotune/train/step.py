"""One optimiser step: passes forward and backward over a batch, clipping, update. The same for training and timing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from repotune.model.network import Network
from repotune.train.loss import head_loss

_LARGEST_GRADIENT = 1.0

Features = Callable[[Tensor, Tensor | None], Tensor]


@dataclass(frozen=True)
class Precision:
    """The type of the products: bfloat16 where the device multiplies it natively, float32 elsewhere. Weights,
    optimiser state, residual stream and loss are float32 in both."""

    device: torch.device
    bf16: bool

    @classmethod
    def of(cls, device: str) -> Precision:
        if device == "cuda":
            return cls(torch.device(device), bf16=True)
        # Here, so that steps run on a GPU machine that has torch and nothing else of ours.
        from repotune.core.hardware import has_bf16

        return cls(torch.device(device), has_bf16())

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)


def take_step(
    network: Network,
    features: Features,
    optimisers: list[Optimizer],
    batch: tuple[Tensor, Tensor],
    pass_rows: int,
    precision: Precision,
    separator: int | None = None,
) -> tuple[float, float]:
    """Updates `network` by a batch of ids B×T and targets B×T. Returns the loss in nats and the gradient's norm
    before clipping; nothing is updated where either is not finite.

    `features` is `network.features`, or a compiled version of it. Where `separator` is the id that begins each
    document, no token sees another document than its own.
    """
    ids_BT, targets_BT = (part.to(precision.device) for part in batch)
    passes = len(ids_BT) // pass_rows
    total = torch.zeros((), device=precision.device)
    for ids_RT, targets_RT in zip(torch.split(ids_BT, pass_rows), torch.split(targets_BT, pass_rows), strict=True):
        with precision.autocast():
            features_RTD = features(ids_RT, documents(ids_RT, separator))
            loss = head_loss(features_RTD, network.head.weight, targets_RT) / passes
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    norm = nn.utils.clip_grad_norm_(network.parameters(), _LARGEST_GRADIENT)
    if torch.isfinite(total) and torch.isfinite(norm):
        for optimiser in optimisers:
            optimiser.step()
    for optimiser in optimisers:
        optimiser.zero_grad()
    return float(total), float(norm)


def documents(ids_BT: Tensor, separator: int | None) -> Tensor | None:
    """The number within its row of each token's document, where `separator` begins one; None without a separator.

    >>> documents(torch.tensor([[5, 0, 7, 0]]), separator=0)
    tensor([[0, 1, 1, 2]])
    """
    return None if separator is None else (ids_BT == separator).cumsum(1)
