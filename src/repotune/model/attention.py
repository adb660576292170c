"""Causal self-attention, and what it knows of order: RoPE's rotations, ALiBi's slopes, the mask.

Letters: B batch, T time, D width, H heads, K key-value heads, S the time of all H / K query heads of a group one after
another, E head width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from repotune.model.configuration import ModelConfig

# On a CPU, torch's fused attention has a slow backward pass: below this length plain products are faster, and their
# T × T scores still fit in memory.
EXPLICIT_ATTENTION_LIMIT = 1024


@dataclass(frozen=True)
class Positions:
    """What attention needs to know of order: rotations for RoPE, a bias for ALiBi and for the causal mask."""

    bias: Tensor  # H×T×T, or 1×T×T where all heads share it
    cosine: Tensor | None  # T×E
    sine: Tensor | None
    causal_alone: bool = False  # the bias says no more than that none sees what follows it

    @classmethod
    def of(cls, config: ModelConfig, length: int, device: torch.device) -> Positions:
        time_T = torch.arange(length, device=device)
        distance_TT = time_T[:, None] - time_T[None, :]
        hidden_TT = distance_TT < 0
        if config.window is not None:
            hidden_TT |= distance_TT >= config.window
        mask_TT = torch.zeros(length, length, device=device).masked_fill(hidden_TT, -math.inf)
        if config.position == "alibi":
            slopes_H = alibi_slopes(config.heads).to(device)
            return cls(mask_TT - slopes_H[:, None, None] * distance_TT, None, None)
        cosine_TE, sine_TE = rotations(config, time_T)
        return cls(mask_TT[None], cosine_TE, sine_TE, causal_alone=config.window is None or config.window >= length)


class Attention(nn.Module):
    """Causal self-attention in which groups of query heads share a key-value head."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_width = config.heads, config.kv_heads, config.head_width
        biased = config.biases != "none"
        self.query = nn.Linear(config.width, config.heads * config.head_width, bias=biased)
        self.key = nn.Linear(config.width, config.kv_heads * config.head_width, bias=biased)
        self.value = nn.Linear(config.width, config.kv_heads * config.head_width, bias=biased)
        self.output = nn.Linear(config.heads * config.head_width, config.width, bias=config.biases == "all")

    def forward(self, x_BTD: Tensor, positions: Positions) -> Tensor:
        B, T, _ = x_BTD.shape
        query_BHTE = self.query(x_BTD).view(B, T, self.heads, self.head_width).transpose(1, 2)
        key_BKTE = self.key(x_BTD).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        value_BKTE = self.value(x_BTD).view(B, T, self.kv_heads, self.head_width).transpose(1, 2)
        if positions.cosine is not None and positions.sine is not None:
            query_BHTE = rotate(query_BHTE, positions.cosine, positions.sine)
            key_BKTE = rotate(key_BKTE, positions.cosine, positions.sine)
        if x_BTD.device.type == "cpu" and T <= EXPLICIT_ATTENTION_LIMIT:
            mixed_BHTE = explicit_attention(query_BHTE, key_BKTE, value_BKTE, positions.bias)
        else:
            mixed_BHTE = fused_attention(query_BHTE, key_BKTE, value_BKTE, positions)
        result_BTD: Tensor = self.output(mixed_BHTE.transpose(1, 2).reshape(B, T, -1))
        return result_BTD


def explicit_attention(query_BHTE: Tensor, key_BKTE: Tensor, value_BKTE: Tensor, bias_HTT: Tensor) -> Tensor:
    """Attention by plain products. A group's queries are stacked along time, so no key or value is repeated."""
    B, H, T, E = query_BHTE.shape
    K = key_BKTE.shape[1]
    query_BKSE = (query_BHTE * E**-0.5).reshape(B, K, H // K * T, E)
    scores_BHTT = (query_BKSE @ key_BKTE.transpose(-1, -2)).view(B, H, T, T) + bias_HTT.to(query_BHTE.dtype)
    weights_BKST = scores_BHTT.softmax(-1).to(value_BKTE.dtype).view(B, K, H // K * T, T)
    return torch.matmul(weights_BKST, value_BKTE).view(B, H, T, E)


def fused_attention(query_BHTE: Tensor, key_BKTE: Tensor, value_BKTE: Tensor, positions: Positions) -> Tensor:
    """The same by torch's fused kernels, which need no mask where the order is all there is to know."""
    grouped = query_BHTE.shape[1] != key_BKTE.shape[1]
    if positions.causal_alone:
        return F.scaled_dot_product_attention(query_BHTE, key_BKTE, value_BKTE, is_causal=True, enable_gqa=grouped)
    bias_1HTT = positions.bias.to(query_BHTE.dtype)[None]
    return F.scaled_dot_product_attention(query_BHTE, key_BKTE, value_BKTE, bias_1HTT, enable_gqa=grouped)


def rotations(config: ModelConfig, time_T: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines T×E of RoPE (Su et al. 2021) in Llama's layout: the halves of a head rotate against each
    other."""
    angles_TE = (time_T.float()[:, None] * frequencies(config, time_T.device)[None, :]).repeat(1, 2)
    return angles_TE.cos(), angles_TE.sin()


def frequencies(config: ModelConfig, device: torch.device) -> Tensor:
    """What each of the E/2 rotations of RoPE turns by from one token to the next, in radians."""
    steps = torch.arange(0, config.head_width, 2, device=device, dtype=torch.float32)
    plain = torch.pow(config.rope_base, -steps / config.head_width)
    return plain if config.rope_factor == 1 else plain / slowing(config, plain)


def slowing(config: ModelConfig, frequencies: Tensor) -> Tensor:
    """By how much Llama 3.1 slows each rotation: by `rope_factor` one that turns less than once in `rope_trained`
    tokens, not at all one that turns more than 4 times, and evenly between. All of its models have the 1 and the 4."""
    turns = config.rope_trained * frequencies / (2 * math.pi)
    plain = ((turns - 1) / (4 - 1)).clamp(0, 1)
    return 1 / (plain + (1 - plain) / config.rope_factor)


def rotate(x_BHTE: Tensor, cosine_TE: Tensor, sine_TE: Tensor) -> Tensor:
    """`x_BHTE` turned by each position's angles, in x's own dtype as transformers does."""
    first, second = x_BHTE.chunk(2, dim=-1)
    turned_BHTE = torch.cat((-second, first), dim=-1)
    return x_BHTE * cosine_TE.to(x_BHTE.dtype) + turned_BHTE * sine_TE.to(x_BHTE.dtype)


def alibi_slopes(heads: int) -> Tensor:
    """One slope a head (Press et al. 2021), with MPT's largest exponent of 8.

    For a number of heads that is no power of two, every other slope of the next power is taken first.

    >>> alibi_slopes(2)
    tensor([0.0625, 0.0039])
    """
    power = 2 ** math.ceil(math.log2(heads))
    slopes = torch.exp2(-torch.arange(1, power + 1) * (8 / power))
    return slopes if power == heads else torch.cat((slopes[1::2], slopes[::2]))[:heads]
