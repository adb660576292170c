"""Where rows stand and what they see: the same layer computes single rows of many streams and long pieces of a few.

Letters: R rows, N pages in all, P pages that a row sees, T tokens of a page, S = P·T, K key-value heads, G query heads
that share one, H = K·G, E head width. A token's slot is its page times T, and its place there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from repotune.model.attention import alibi_slopes, rotations
from repotune.model.configuration import ModelConfig

# Tokens of a page: the values of so many are the 128 bytes that a GPU reads at once.
PAGE = 64
# The columns of a job, a table of int64 with a row for each token: the last is the first of its pages.
TOKEN, POSITION, SLOT, ORIGIN, TABLE = range(5)


class Held(NamedTuple):
    """A layer's `keys`, N×T×K×E, and `values`, N×K×E×T: each so that the sum over it, of a head's width or of tokens,
    runs through memory as it lies. Across, a sum over tokens would read 2 bytes of every 32 that it touches."""

    keys: Tensor
    values: Tensor

    def write(self, slots_R: Tensor, key_RKE: Tensor, value_RKE: Tensor) -> None:
        """Keeps the rows' keys and values in their slots."""
        pages_R, places_R = slots_R // PAGE, slots_R % PAGE
        self.keys[pages_R, places_R] = key_RKE.to(self.keys.dtype)
        self.values[pages_R, :, :, places_R] = value_RKE.to(self.values.dtype)


class Room:
    """Keys and values of all layers in `pages` pages. Zeros: what no token has reached is masked, and must be a number.
    `layers` are views, one a layer."""

    def __init__(self, config: ModelConfig, pages: int, dtype: torch.dtype, device: torch.device) -> None:
        L, K, E = config.layers, config.kv_heads, config.head_width
        self._keys = torch.zeros((L, pages, PAGE, K, E), dtype=dtype, device=device)
        self._values = torch.zeros((L, pages, K, E, PAGE), dtype=dtype, device=device)
        self.layers = [Held(*layer) for layer in zip(self._keys, self._values, strict=True)]

    def copy(self, page: int, to: int) -> None:
        """Makes page `to` what `page` is, in all layers at once."""
        for kind in (self._keys, self._values):
            kind[:, to] = kind[:, page]


class Order:
    """What a model knows of order, on its device."""

    def __init__(self, config: ModelConfig, device: torch.device) -> None:
        self._config = config
        self.window = config.window or config.context
        slopes_H = alibi_slopes(config.heads).to(device) if config.position == "alibi" else None
        self.groups = config.heads // config.kv_heads
        self._slopes_KG = None if slopes_H is None else slopes_H.view(config.kv_heads, self.groups)

    def rotation(self, positions_R: Tensor) -> tuple[Tensor, Tensor] | None:
        """RoPE's cosines and sines at `positions_R`, R×1×E."""
        if self._slopes_KG is not None:
            return None
        cosine_RE, sine_RE = rotations(self._config, positions_R)
        return cosine_RE[:, None], sine_RE[:, None]

    def bias(self, distance_RS: Tensor) -> Tensor:
        """What is added to the scores of tokens so far behind each row, float32: -inf ahead and beyond the window, else
        0 or ALiBi's. R×1×1×S, or R×K×G×S."""
        distance_RS = distance_RS[:, None, None]
        hidden_RS = (distance_RS < 0) | (distance_RS >= self.window)
        if self._slopes_KG is None:
            return torch.zeros_like(distance_RS, dtype=torch.float32).masked_fill(hidden_RS, -math.inf)
        return (-self._slopes_KG[..., None] * distance_RS).masked_fill(hidden_RS, -math.inf)


@dataclass(frozen=True)
class Rows:
    """Rows that each look up their own pages: steps of any streams, and a few tokens after one another of one.

    Their `rotation` (`Order.rotation`), the `slots` of their own keys and values, R, the `pages` that they see, R×P,
    and the `bias` that is added to their scores (`Order.bias`).

    Compiled, looking up becomes part of the sums, so that keys and values are read once and never gathered: at 32 rows
    of 640 tokens a copy would triple 2.7 GB beside the 6.6 GB of replit-code-v1.5-3b's weights. Op by op these sums
    would hold all products, and plain matrix products are the better way.
    """

    rotation: tuple[Tensor, Tensor] | None
    slots: Tensor
    pages: Tensor
    bias: Tensor

    @classmethod
    def of(cls, job_RC: Tensor, order: Order) -> Rows:
        """From a job: a row's token, its position, its slot, the position that its table begins with, and its pages."""
        positions_R, pages_RP = job_RC[:, POSITION], job_RC[:, TABLE:]
        time_S = torch.arange(pages_RP.shape[1] * PAGE, device=job_RC.device)
        distance_RS = (positions_R - job_RC[:, ORIGIN])[:, None] - time_S
        return cls(order.rotation(positions_R), job_RC[:, SLOT], pages_RP, order.bias(distance_RS))

    def weigh(self, query_RKGE: Tensor, held: Held) -> Tensor:
        """softmax(query · keysᵀ / √E + bias), R×K×G×S, float32."""
        keys_RKSE = held.keys[self.pages].flatten(1, 2).transpose(1, 2)
        if torch.compiler.is_compiling():
            scores_RKGS = (query_RKGE[:, :, :, None].float() * keys_RKSE[:, :, None].float()).sum(-1)
        else:
            scores_RKGS = (query_RKGE @ keys_RKSE.transpose(-1, -2)).float()
        scale: float = query_RKGE.shape[-1] ** -0.5
        return torch.softmax(scores_RKGS * scale + self.bias, -1)

    def mix(self, weights_RKGS: Tensor, held: Held) -> Tensor:
        """weights · values, R×(H·E) in the type of the values."""
        values_RKES = held.values[self.pages].permute(0, 2, 3, 1, 4).flatten(-2)
        if torch.compiler.is_compiling():
            mixed_RKGE = (weights_RKGS[:, :, :, None] * values_RKES[:, :, None].float()).sum(-1).to(held.values.dtype)
        else:
            mixed_RKGE = weights_RKGS.to(held.values.dtype) @ values_RKES.transpose(-1, -2)
        return mixed_RKGE.flatten(1)


@dataclass(frozen=True)
class Part:
    """Rows `first` to `end` of a pass, one stream's: the P `pages` that they see, and the `bias` 1×(1 or K)×(G·R)×S in
    the type of the keys."""

    first: int
    end: int
    pages: Tensor
    bias: Tensor

    @classmethod
    def of(
        cls, first: int, positions_R: Tensor, pages_P: Tensor, origin: int, order: Order, dtype: torch.dtype
    ) -> Part:
        """Of rows at `positions_R`, which see `pages_P`, whose first token is the one at `origin`."""
        time_S = torch.arange(len(pages_P) * PAGE, device=pages_P.device)
        distance_RS = (positions_R - origin)[:, None] - time_S
        bias_KGRS = order.bias(distance_RS).to(dtype).permute(1, 2, 0, 3)
        bias_KQS = bias_KGRS.expand(-1, order.groups, -1, -1).reshape(1, len(bias_KGRS), -1, len(time_S))
        return cls(first, first + len(positions_R), pages_P, bias_KQS)


@dataclass(frozen=True)
class Parts:
    """Long pieces, each of one stream, one after another; their rows' `rotation` and `slots` are as those of `Rows`."""

    rotation: tuple[Tensor, Tensor] | None
    slots: Tensor
    parts: Sequence[Part]

    def attend(self, query_RKGE: Tensor, held: Held) -> Tensor:
        """softmax(query · keysᵀ / √E + bias) · values, R×(H·E). The queries of a group are stacked along time, so that
        torch's fused kernel, which never holds all scores, needs no key repeated whatever the family."""
        mixed = []
        for part in self.parts:
            query_KGRE = query_RKGE[part.first : part.end].permute(1, 2, 0, 3)
            K, G, R, E = query_KGRE.shape
            keys_KSE = held.keys[part.pages].flatten(0, 1).transpose(0, 1)[None]
            values_KSE = held.values[part.pages].permute(1, 0, 3, 2).reshape(1, K, -1, E)
            query_KQE = query_KGRE.reshape(1, K, G * R, E)
            mixed_KQE = F.scaled_dot_product_attention(query_KQE, keys_KSE, values_KSE, part.bias)
            mixed.append(mixed_KQE.view(K, G, R, E).permute(2, 0, 1, 3))
        return torch.cat(mixed).flatten(1)
