"""Causal self-attention, and what it knows of order: RoPE's rotations, ALiBi's slopes, the mask.

Letters: B batch, T time, D width, H heads, K key-value heads, S the time of all H / K query heads of a group one after
another, E head width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from repotune.model.blockwise import blockwise_attention
from repotune.model.configuration import ModelConfig

# On a CPU, torch's fused attention has a slow backward pass: up to this length plain products are faster, and their
# T × T scores still fit in memory.
EXPLICIT_ATTENTION_LIMIT = 1024
# ALiBi's position of a key is a number below 2^16, written in bfloat16's 8 bits as two digits.
_DIGIT = 256
# Fused kernels want a head's width to be a multiple of 8.
_ALIGNMENT = 8


@dataclass(frozen=True)
class Positions:
    """What attention needs to know of order and of documents: rotations for RoPE, slopes for ALiBi, what is seen."""

    cosine: Tensor | None = None  # T×E
    sine: Tensor | None = None
    slopes: Tensor | None = None  # H
    # By plain products: all that is added to scores, B×H×T×T with 1 for B or H where all share it.
    bias: Tensor | None = None
    # By fused kernels: what is seen, B×1×T×T, where it is not simply all that came before.
    visible: Tensor | None = None

    @classmethod
    def of(
        cls, config: ModelConfig, length: int, device: torch.device, documents_BT: Tensor | None = None
    ) -> Positions:
        """Of rows of `length` tokens. A token sees what came before it, within the config's window, and where
        `documents_BT` numbers the documents of a row, within its own document."""
        time_T = torch.arange(length, device=device)
        cosine_TE, sine_TE = rotations(config, time_T) if config.position == "rope" else (None, None)
        slopes_H = alibi_slopes(config.heads).to(device) if config.position == "alibi" else None
        if device.type == "cpu" and length <= EXPLICIT_ATTENTION_LIMIT:
            bias = _bias(_visible(config, time_T, documents_BT), time_T, slopes_H)
            return cls(cosine_TE, sine_TE, slopes_H, bias=bias)
        if documents_BT is None and (config.window is None or config.window >= length):
            return cls(cosine_TE, sine_TE, slopes_H)
        return cls(cosine_TE, sine_TE, slopes_H, visible=_visible(config, time_T, documents_BT))


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
        if positions.bias is not None:
            mixed_BHTE = blockwise_attention(query_BHTE, key_BKTE, value_BKTE, positions.bias)
        else:
            mixed_BHTE = fused_attention(query_BHTE, key_BKTE, value_BKTE, positions)
        result_BTD: Tensor = self.output(mixed_BHTE.transpose(1, 2).reshape(B, T, -1))
        return result_BTD


def fused_attention(query_BHTE: Tensor, key_BKTE: Tensor, value_BKTE: Tensor, positions: Positions) -> Tensor:
    """softmax(query · keyᵀ / √E) · value by torch's fused kernels, which never hold all scores, with no mask where a
    token sees all that came before it."""
    width = query_BHTE.shape[-1]
    if positions.slopes is not None:
        query_BHTE, key_BKTE = _with_slopes(query_BHTE, key_BKTE, positions.slopes)
        value_BKTE = F.pad(value_BKTE, (0, _ALIGNMENT))  # the kernels that need no mask want three equal widths
    mixed_BHTE = F.scaled_dot_product_attention(
        query_BHTE,
        key_BKTE,
        value_BKTE,
        positions.visible,
        is_causal=positions.visible is None,
        scale=width**-0.5,
        enable_gqa=query_BHTE.shape[1] != key_BKTE.shape[1],
    )
    return mixed_BHTE[..., :width]


def _with_slopes(query_BHTE: Tensor, key_BKTE: Tensor, slopes_H: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys with columns whose product is ALiBi's bias, so that no kernel has to read one of H×T×T.

    ALiBi adds -slope · (i - j) to the score of query i and key j. What is the same for all keys of a query changes no
    softmax, so slope · j does as well. The slopes are of bfloat16's precision where the products are.
    """
    B, H, T, E = query_BHTE.shape
    slopes_H1 = (slopes_H * math.sqrt(E)).to(query_BHTE.dtype)[:, None]
    slopes_HA = F.pad(torch.cat((slopes_H1 * _DIGIT, slopes_H1), 1), (0, _ALIGNMENT - 2))
    time_T = torch.arange(T, device=key_BKTE.device)
    digits_T2 = torch.stack((time_T // _DIGIT, time_T % _DIGIT), 1).to(key_BKTE.dtype)
    digits_TA = F.pad(digits_T2, (0, _ALIGNMENT - 2))
    query_BHTF = torch.cat((query_BHTE, slopes_HA[None, :, None].expand(B, H, T, _ALIGNMENT)), -1)
    key_BKTF = torch.cat((key_BKTE, digits_TA.expand(B, key_BKTE.shape[1], T, _ALIGNMENT)), -1)
    return query_BHTF, key_BKTF


def _visible(config: ModelConfig, time_T: Tensor, documents_BT: Tensor | None) -> Tensor:
    """Which keys a query sees: B×1×T×T, or 1×1×T×T where all rows are alike."""
    distance_TT = time_T[:, None] - time_T[None, :]
    visible_TT = distance_TT >= 0
    if config.window is not None:
        visible_TT &= distance_TT < config.window
    if documents_BT is None:
        return visible_TT[None, None]
    same_BTT = documents_BT[:, :, None] == documents_BT[:, None, :]
    return (visible_TT & same_BTT)[:, None]


def _bias(visible_B1TT: Tensor, time_T: Tensor, slopes_H: Tensor | None) -> Tensor:
    """-inf where a key is not seen, and ALiBi's bias or 0 elsewhere, in the type of the products: B×H×T×T, with 1 for
    B or H where all share it."""
    device = time_T.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32
    bias = torch.zeros((), dtype=dtype, device=time_T.device)
    if slopes_H is not None:
        bias = (slopes_H[:, None, None] * (time_T[None, :] - time_T[:, None])).to(dtype)
    return torch.where(visible_B1TT, bias, -math.inf)


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
    turned_BHTE: Tensor = _Rotation.apply(  # type: ignore[no-untyped-call]
        x_BHTE, cosine_TE.to(x_BHTE.dtype), sine_TE.to(x_BHTE.dtype)
    )
    return turned_BHTE


class _Rotation(torch.autograd.Function):
    """Its gradient is turned back by the same angles. In place by halves: 0.95 ms of CPU time both ways for 2,048
    tokens of width 320 in bf16, by joining the halves 1.26 ms."""

    @staticmethod
    def forward(ctx: Any, x_BHTE: Tensor, cosine_TE: Tensor, sine_TE: Tensor) -> Tensor:
        ctx.save_for_backward(cosine_TE, sine_TE)
        return _turn(x_BHTE, cosine_TE, sine_TE)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BHTE: Tensor) -> tuple[Tensor, None, None]:
        cosine_TE, sine_TE = ctx.saved_tensors
        return _turn(grad_BHTE, cosine_TE, -sine_TE), None, None


def _turn(x_BHTE: Tensor, cosine_TE: Tensor, sine_TE: Tensor) -> Tensor:
    half = x_BHTE.shape[-1] // 2
    turned_BHTE = x_BHTE * cosine_TE
    turned_BHTE[..., :half].addcmul_(x_BHTE[..., half:], sine_TE[..., :half], value=-1)
    turned_BHTE[..., half:].addcmul_(x_BHTE[..., :half], sine_TE[..., half:])
    return turned_BHTE


def alibi_slopes(heads: int) -> Tensor:
    """One slope a head (Press et al. 2021), with MPT's largest exponent of 8.

    For a number of heads that is no power of two, every other slope of the next power is taken first.

    >>> alibi_slopes(2)
    tensor([0.0625, 0.0039])
    """
    power = 2 ** math.ceil(math.log2(heads))
    slopes = torch.exp2(-torch.arange(1, power + 1) * (8 / power))
    return slopes if power == heads else torch.cat((slopes[1::2], slopes[::2]))[:heads]
