"""A network's weights on a GPU, and what its layers compute: functions of tensors, with no choice that data makes.

Letters: R rows, D width, H heads, K key-value heads, G query heads that share one, E head width, F hidden, V
vocabulary. The stream between layers and all that is no product are float32; products are in bfloat16, or in float32
where weights are "f32".
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from repotune.infer.gpu.places import TOKEN, Held, Order, Parts, Rows
from repotune.infer.gpu.products import Precision, Product, product_of
from repotune.model.configuration import ModelConfig
from repotune.model.network import Network


class GpuModel:
    """A Network's weights, copied to `device` in `precision`. Raises UserError for a shape that fp8 cannot have."""

    def __init__(self, network: Network, precision: Precision, device: torch.device) -> None:
        config, state = network.config, network.state_dict()
        self.config, self.precision, self.device = config, precision, device
        self.dtype = torch.float32 if precision == "f32" else torch.bfloat16
        self.order = Order(config, device)
        self._embedding = product_of(state["embedding.weight"], None, precision, device)
        self._head = self._embedding if config.tied else product_of(state["head.weight"], None, precision, device)
        self._norm = Norm(config, state, "norm", self.dtype, device)
        self.layers = [Layer(config, state, index, precision, device) for index in range(config.layers)]

    @property
    def bytes(self) -> int:
        """Of weights that a step reads."""
        return self._head.bytes + sum(product.bytes for layer in self.layers for product in layer.products)

    def embed(self, ids_R: Tensor) -> Tensor:
        """The stream R×D (float32) before the first layer."""
        return self._embedding.rows(ids_R)

    def begin(self, job_RC: Tensor) -> tuple[Tensor, Rows]:
        """The stream before the first layer of a job's rows, and where they stand."""
        return self.embed(job_RC[:, TOKEN]), Rows.of(job_RC, self.order)

    def end(self, x_RD: Tensor) -> Tensor:
        """The stream behind the last layer, normed."""
        return self._norm(x_RD)

    def logits(self, normed_RD: Tensor) -> Tensor:
        """R×V (float32) of what `end` gave."""
        return self._head(normed_RD).float()


class Norm:
    """RMSNorm, or LayerNorm with or without bias, in float32 and given in `dtype`: the network's module `name`."""

    def __init__(
        self, config: ModelConfig, state: Mapping[str, Tensor], name: str, dtype: torch.dtype, device: torch.device
    ) -> None:
        bias_D = state.get(f"{name}.bias")
        self._weight_D = state[f"{name}.weight"].detach().to(device, torch.float32)
        self._bias_D = None if bias_D is None else bias_D.detach().to(device, torch.float32)
        self._rms, self._epsilon, self._dtype = config.norm == "rms", config.norm_epsilon, dtype

    def __call__(self, x_RD: Tensor) -> Tensor:
        shape = self._weight_D.shape
        if self._rms:
            return F.rms_norm(x_RD, shape, self._weight_D, self._epsilon).to(self._dtype)
        return F.layer_norm(x_RD, shape, self._weight_D, self._bias_D, self._epsilon).to(self._dtype)


class Layer:
    """Attention and feed-forward of layer `index`, from the network's state (`repotune.model.network`), in the pieces
    that are compiled (`stages.py`). What passes between them is in the type of products, but for the stream."""

    def __init__(
        self, config: ModelConfig, state: Mapping[str, Tensor], index: int, precision: Precision, device: torch.device
    ) -> None:
        block = f"blocks.{index}"

        def product(*names: str) -> Product:
            """With the rows of the named matrices one after another: fewer, larger products."""
            biases = [state[f"{block}.{name}.bias"] for name in names if f"{block}.{name}.bias" in state]
            weight_OI = torch.cat([state[f"{block}.{name}.weight"] for name in names])
            return product_of(weight_OI, torch.cat(biases) if biases else None, precision, device)

        self._kv_heads, self._groups = config.kv_heads, config.heads // config.kv_heads
        self._head_width = config.head_width
        self._gated = config.activation == "swiglu"
        self._approximate = "tanh" if config.activation == "gelu-tanh" else "none"
        self._dtype = torch.float32 if precision == "f32" else torch.bfloat16
        self._attention_norm = Norm(config, state, f"{block}.attention_norm", self._dtype, device)
        self._feed_forward_norm = Norm(config, state, f"{block}.feed_forward_norm", self._dtype, device)
        self._qkv = product("attention.query", "attention.key", "attention.value")
        self._output = product("attention.output")
        self._up = product("feed_forward.gate", "feed_forward.up") if self._gated else product("feed_forward.up")
        self._down = product("feed_forward.down")

    @property
    def products(self) -> tuple[Product, ...]:
        return self._qkv, self._output, self._up, self._down

    def enter(self, x_RD: Tensor) -> Tensor:
        """The stream, normed for attention."""
        return self._attention_norm(x_RD)

    def project(self, normed_RD: Tensor, place: Rows | Parts, held: Held) -> Tensor:
        """Queries R×K×G×E; the rows' keys and values are in `held` from then on."""
        R, K, G, E = len(normed_RD), self._kv_heads, self._groups, self._head_width
        qkv_RHE = self._qkv(normed_RD).float().view(R, (G + 2) * K, E)
        query_RHE, key_RKE, value_RKE = qkv_RHE[:, : G * K], qkv_RHE[:, G * K : -K], qkv_RHE[:, -K:]
        if place.rotation is not None:
            query_RHE, key_RKE = rotate(query_RHE, *place.rotation), rotate(key_RKE, *place.rotation)
        held.write(place.slots, key_RKE, value_RKE)
        return query_RHE.to(self._dtype).view(R, K, G, E)

    def add(self, x_RD: Tensor, mixed_RD: Tensor) -> tuple[Tensor, Tensor]:
        """The stream behind attention, and normed for the feed-forward half."""
        x_RD = x_RD + self._output(mixed_RD)
        return x_RD, self._feed_forward_norm(x_RD)

    def feed(self, normed_RD: Tensor) -> Tensor:
        """What the activation lets through, R×F."""
        hidden_RF = self._up(normed_RD).float()
        if self._gated:
            gate_RF, up_RF = hidden_RF.chunk(2, dim=-1)
            return (F.silu(gate_RF) * up_RF).to(self._dtype)
        return F.gelu(hidden_RF, approximate=self._approximate).to(self._dtype)

    def leave(self, x_RD: Tensor, active_RF: Tensor) -> Tensor:
        """The stream behind the layer."""
        return x_RD + self._down(active_RF)


def rotate(x_RHE: Tensor, cosine_R1E: Tensor, sine_R1E: Tensor) -> Tensor:
    """RoPE (Su et al. 2021) in Llama's layout: the halves of a head rotate against each other."""
    first_RHE, second_RHE = x_RHE.chunk(2, dim=-1)
    return x_RHE * cosine_R1E + torch.cat((-second_RHE, first_RHE), -1) * sine_R1E
