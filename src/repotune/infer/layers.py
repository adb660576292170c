"""One layer of the decoder over a cache, of any family, with fused weights.

Letters: T tokens computed, S tokens held (with these T), D width, H heads, K key-value heads, E head width, F hidden.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from repotune.infer.cache import Cache
from repotune.model.attention import alibi_slopes, frequencies
from repotune.model.configuration import ModelConfig
from repotune.model.layouts.gguf import interleave

# From this many rows, attention's products in bfloat16 pay for converting the held keys and values (12 heads over 4,
# 512 tokens held: 64 rows 746 → 548 µs, 512 rows 7.0 → 4.3 ms; 16 rows 216 → 239 µs).
DENSE_ATTENTION_ROWS = 64


@dataclass(frozen=True)
class Place:
    """Where the T computed tokens stand: the `start` of them, the `first` token that any of them sees, their `rotation`
    T×1×E/2 (RoPE, complex), and the `bias` added to the scores, H×T×S or 1×T×S, where S counts from `first`."""

    start: int
    first: int
    rotation: Tensor | None
    bias: Tensor | None


class Places:
    """What does not change between calls: RoPE's rotations as complex numbers, ALiBi's slopes."""

    def __init__(self, config: ModelConfig, device: torch.device) -> None:
        self._rotations_S1E: Tensor | None = None
        self._slopes_H11: Tensor | None = None
        self._time_S = torch.arange(config.context, device=device)
        self._window = config.window or config.context
        if config.position == "rope":
            angles_SE = self._time_S.float()[:, None] * frequencies(config, device)
            self._rotations_S1E = torch.polar(torch.ones_like(angles_SE), angles_SE)[:, None]
        else:
            self._slopes_H11 = alibi_slopes(config.heads).to(device)[:, None, None]

    def at(self, start: int, end: int) -> Place:
        """The place of the tokens from `start` up to `end`. One token sees all that is held, or all that its window
        holds, and needs no mask."""
        first = max(0, start + 1 - self._window)
        rotation_T1E = None if self._rotations_S1E is None else self._rotations_S1E[start:end]
        if end - start == 1 and self._slopes_H11 is None:
            return Place(start, first, rotation_T1E, None)
        distance_TS = (self._time_S[start:end, None] - self._time_S[None, first:end]).float()
        bias_HTS = torch.zeros_like(distance_TS)[None] if self._slopes_H11 is None else -self._slopes_H11 * distance_TS
        hidden_TS = (distance_TS < 0) | (distance_TS >= self._window)
        return Place(start, first, rotation_T1E, bias_HTS.masked_fill(hidden_TS, -math.inf))


class Norm:
    """RMSNorm, or LayerNorm with or without bias, in float32: the network's module `name`."""

    def __init__(self, config: ModelConfig, state: Mapping[str, Tensor], name: str) -> None:
        self._weight_D = state[f"{name}.weight"].float()
        bias_D = state.get(f"{name}.bias")
        self._bias_D = None if bias_D is None else bias_D.float()
        self._rms, self._epsilon = config.norm == "rms", config.norm_epsilon

    def __call__(self, x_TD: Tensor) -> Tensor:
        if self._rms:
            return F.rms_norm(x_TD, self._weight_D.shape, self._weight_D, self._epsilon)
        return F.layer_norm(x_TD, self._weight_D.shape, self._weight_D, self._bias_D, self._epsilon)


class Linear:
    """x·Wᵀ + b in `dtype`."""

    def __init__(self, weight_OI: Tensor, dtype: torch.dtype, bias_O: Tensor | None = None) -> None:
        self.weight_OI = weight_OI.to(dtype).contiguous()
        self.bias_O = None if bias_O is None else bias_O.to(dtype)

    def __call__(self, x_TI: Tensor) -> Tensor:
        return F.linear(x_TI.to(self.weight_OI.dtype), self.weight_OI, self.bias_O)


class Layer:
    """Attention and feed-forward of layer `index`, from the network's state (`repotune.model.network`)."""

    def __init__(self, config: ModelConfig, state: Mapping[str, Tensor], index: int, dense: torch.dtype) -> None:
        def rows(name: str, kind: str) -> Tensor:
            tensor = state[f"blocks.{index}.{name}.{kind}"]
            heads = {"attention.query": config.heads, "attention.key": config.kv_heads}.get(name, 0)
            return interleave(tensor, heads) if heads and config.position == "rope" else tensor

        def product(*names: str) -> Linear:
            """With the rows of the named matrices one after another. One alone stays in the file it is mapped from."""
            weights = [rows(name, "weight") for name in names]
            biased = f"blocks.{index}.{names[0]}.bias" in state
            bias_O = torch.cat([rows(name, "bias") for name in names]) if biased else None
            return Linear(torch.cat(weights) if len(weights) > 1 else weights[0], dense, bias_O)

        self._config, self._index, self._dense = config, index, dense
        self._gated = config.activation == "swiglu"
        self._approximate = "tanh" if config.activation == "gelu-tanh" else "none"
        self._attention_norm = Norm(config, state, f"blocks.{index}.attention_norm")
        self._feed_forward_norm = Norm(config, state, f"blocks.{index}.feed_forward_norm")
        self._qkv = product("attention.query", "attention.key", "attention.value")
        self._output = product("attention.output")
        self._up = product("feed_forward.gate", "feed_forward.up") if self._gated else product("feed_forward.up")
        self._down = product("feed_forward.down")

    def __call__(self, x_TD: Tensor, place: Place, cache: Cache) -> Tensor:
        """`x_TD` (float32) after this layer; the tokens' keys and values are in `cache` from then on."""
        x_TD = x_TD + self._attention(self._attention_norm(x_TD), place, cache)
        hidden_TF = self._up(self._feed_forward_norm(x_TD))
        if self._gated:
            gate_TF, up_TF = hidden_TF.chunk(2, dim=-1)
            hidden_TF = F.silu(gate_TF) * up_TF
        else:
            hidden_TF = F.gelu(hidden_TF, approximate=self._approximate)
        return x_TD + self._down(hidden_TF)

    def _attention(self, x_TD: Tensor, place: Place, cache: Cache) -> Tensor:
        T, H, K, E = x_TD.shape[0], self._config.heads, self._config.kv_heads, self._config.head_width
        qkv_THE = self._qkv(x_TD).float().view(T, H + 2 * K, E)
        turned_THE = qkv_THE[:, : H + K]
        if place.rotation is not None:
            turned_THE = rotate(turned_THE, place.rotation)
        query_HTE, key_KTE = turned_THE[:, :H].transpose(0, 1), turned_THE[:, H:].transpose(0, 1)
        keys_KSE, values_KSE = cache.append(self._index, place.start, key_KTE, qkv_THE[:, H + K :].transpose(0, 1))
        keys_KSE, values_KSE = keys_KSE[:, place.first :], values_KSE[:, place.first :]
        dtype = self._dense if T >= DENSE_ATTENTION_ROWS else cache.dtype
        mixed_HTE = attend(query_HTE.to(dtype), keys_KSE.to(dtype), values_KSE.to(dtype), place.bias)
        return self._output(mixed_HTE.transpose(0, 1).reshape(T, H * E))


def attend(query_HTE: Tensor, keys_KSE: Tensor, values_KSE: Tensor, bias_HTS: Tensor | None) -> Tensor:
    """Attention by plain products: a group's queries are stacked along time, so no key or value is repeated.

    As fast as torch's fused kernel on a CPU, or faster, from one row to 512; and the same code for all of them.
    """
    H, T, E = query_HTE.shape
    K = keys_KSE.shape[0]
    scores_HTS = ((query_HTE * E**-0.5).reshape(K, H // K * T, E) @ keys_KSE.transpose(-1, -2)).view(H, T, -1)
    if bias_HTS is not None:
        scores_HTS += bias_HTS
    weights_KTS = scores_HTS.softmax(-1).view(K, H // K * T, -1)
    return torch.bmm(weights_KTS, values_KSE).view(H, T, E)


def rotate(x_THE: Tensor, rotation_T1E: Tensor) -> Tensor:
    """RoPE (Su et al. 2021) over interleaved pairs: scores do not change when queries and keys are permuted alike, and
    a rotation becomes one complex product (4.5 against 11 µs a layer and token)."""
    pairs_THE = torch.view_as_complex(x_THE.view(*x_THE.shape[:-1], -1, 2))
    return torch.view_as_real(pairs_THE * rotation_T1E).flatten(-2)
