"""The network: a decoder of any of our families' shapes, to train and to check other engines against.

    logits_BTV = Network(config)(ids_BT)

Positions, masks and rotations are computed from the length at hand, so no buffer limits the context and an empty
network can be built on the meta device. Letters: B batch, T time, D width, V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from repotune.model.attention import Attention, Positions
from repotune.model.configuration import ModelConfig
from repotune.model.norms import for_products, norm_of


class Network(nn.Module):
    """Token ids in, logits of the next token out.

    `dropout` is the share of the embeddings, and of what each half of a block adds to the stream, that is left out
    while training (GPT-2), for small corpora seen many times. It draws from torch's generator; `eval()` turns it off.
    """

    def __init__(self, config: ModelConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(config, dropout) for _ in range(config.layers))
        self.norm = norm_of(config)
        self.head = nn.Linear(config.width, config.vocabulary, bias=False)
        if config.tied:
            self.head.weight = self.embedding.weight
        self.initialise()

    def forward(self, ids_BT: Tensor) -> Tensor:
        """Logits B×T×V of the token after each of `ids_BT` (integers)."""
        logits_BTV: Tensor = self.head(self.features(ids_BT))
        return logits_BTV

    def features(self, ids_BT: Tensor, documents_BT: Tensor | None = None) -> Tensor:
        """The B×T×D that the head turns into logits, for a loss that never holds all logits at once. Where
        `documents_BT` numbers the documents of a row, no token sees another document than its own."""
        x_BTD = self.dropout(self.embedding(ids_BT))
        positions = Positions.of(self.config, ids_BT.shape[1], ids_BT.device, documents_BT)
        for block in self.blocks:
            x_BTD = block(x_BTD, positions)
        features_BTD: Tensor = self.norm(x_BTD)
        return features_BTD

    def stretch(self, context: int, rope_base: float | None = None) -> None:
        """Goes on at another context, as a stage of training with longer rows does. RoPE's base may be raised with it,
        so that no rotation meets an angle that it has not learnt: Qwen2.5-Coder's from 1e4 to 1e6 between 8k and 32k,
        StarCoder2 15B's from 1e4 to 1e5 between 4k and 16k. ALiBi needs nothing."""
        base = self.config.rope_base if rope_base is None else rope_base
        self.config = replace(self.config, context=context, rope_base=base)

    @torch.no_grad()
    def initialise(self) -> None:
        """Blocks begin as the identity: what they write into the stream is zero, and what they read with has a
        deviation of 0.5/√fan-in. Embeddings have one of 0.02. After 250k tokens 1M parameters stood at 1.957 bits per
        byte so, and at 1.968 with 0.02 everywhere and residual projections divided by √(2·layers) (GPT-2)."""
        for name, parameter in self.named_parameters():
            if name.endswith(".bias"):
                parameter.zero_()
            elif parameter.dim() < 2:
                parameter.fill_(1.0)
            elif name.endswith(("output.weight", "down.weight")):
                parameter.zero_()
            else:
                deviation = 0.5 / math.sqrt(parameter.shape[1]) if name.startswith("blocks.") else 0.02
                nn.init.normal_(parameter, std=deviation)


class Block(nn.Module):
    """Attention, then feed-forward, each behind a norm and added to the stream."""

    def __init__(self, config: ModelConfig, dropout: float) -> None:
        super().__init__()
        self.attention_norm = norm_of(config)
        self.attention = Attention(config)
        self.feed_forward_norm = norm_of(config)
        self.feed_forward = SwiGLU(config) if config.activation == "swiglu" else GELU(config)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor, positions: Positions) -> Tensor:
        x_BTD = x_BTD + self.dropout(self.attention(for_products(self.attention_norm(x_BTD)), positions))
        y_BTD: Tensor = x_BTD + self.dropout(self.feed_forward(for_products(self.feed_forward_norm(x_BTD))))
        return y_BTD


class SwiGLU(nn.Module):
    """down(silu(gate(x)) · up(x)) (Shazeer 2020)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate = nn.Linear(config.width, config.hidden, bias=False)
        self.up = nn.Linear(config.width, config.hidden, bias=False)
        self.down = nn.Linear(config.hidden, config.width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        result_BTD: Tensor = self.down(F.silu(self.gate(x_BTD)) * self.up(x_BTD))
        return result_BTD


class GELU(nn.Module):
    """down(gelu(up(x))), exact or by tanh (Hendrycks and Gimpel 2016)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.up = nn.Linear(config.width, config.hidden, bias=config.biases == "all")
        self.down = nn.Linear(config.hidden, config.width, bias=config.biases == "all")
        self.approximate = "tanh" if config.activation == "gelu-tanh" else "none"

    def forward(self, x_BTD: Tensor) -> Tensor:
        result_BTD: Tensor = self.down(F.gelu(self.up(x_BTD), approximate=self.approximate))
        return result_BTD
