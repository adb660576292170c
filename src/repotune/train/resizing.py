"""A network with another number of tokens: a base's vocabulary, and what a project adds to it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from repotune.model.network import Network


@torch.no_grad()
def resize_vocabulary(network: Network, size: int) -> Network:
    """`network` itself, with `size` tokens. What is beyond goes (bases pad their tables); what is new begins as the
    mean of all, where it neither draws nor repels (Hewitt 2021)."""
    if size == network.config.vocabulary:
        return network
    network.config = replace(network.config, vocabulary=size)
    network.embedding.weight = nn.Parameter(_resized(network.embedding.weight, size))
    network.embedding.num_embeddings = size
    tied = network.config.tied
    network.head.weight = network.embedding.weight if tied else nn.Parameter(_resized(network.head.weight, size))
    network.head.out_features = size
    return network


def _resized(table_VD: Tensor, size: int) -> Tensor:
    kept_KD = table_VD[:size]
    new = kept_KD.mean(0, keepdim=True).expand(size - len(kept_KD), -1)
    return torch.cat((kept_KD, new))
