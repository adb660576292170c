"""A network as OpenVINO's graph, from our weights straight to the operations that its CPU plugin fuses.

    model = build_graph(config, state, "int8")          # openvino.Model; state is Network.state_dict()

No exporter and no tracing: a Llama of 125M parameters takes two seconds. The graph is what OpenVINO GenAI expects of a
"stateful" model (`input_ids`, `attention_mask`, `position_ids`, `beam_idx` in, `logits` out, keys and values as
variables), so what is written of it runs there as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repotune.core.errors import UserError
from repotune.model.attention import frequencies
from repotune.model.configuration import ModelConfig

# Without its types, which are there in some installations only.
ov: Any = import_module("openvino")
ops: Any = import_module("openvino.opset13")
variables: Any = import_module("openvino.opset6")

OpenvinoWeights = Literal["f32", "f16", "int8", "int4"]

# NNCF's and optimum-intel's: a scale for 128 neighbours in a row.
INT4_GROUP = 128
_FAR = float(np.finfo(np.float32).min)


def build_graph(
    config: ModelConfig, state: Mapping[str, Tensor], weights: OpenvinoWeights, chosen: bool = False
) -> Any:
    """The `openvino.Model` of the network whose state is `state`. With `chosen` it has one more input, `wanted`: how
    many of the last tokens have logits, since the head's product for a whole prompt costs as much as two layers.

    Raises UserError for ALiBi and for a window smaller than the context.
    """
    if config.position != "rope" or (config.window or config.context) < config.context:
        raise UserError("OpenVINO's graph is built for rotary positions without a window only.", "use our own engine")
    return _Builder(config, state, weights).build(chosen)


class _Builder:
    """One graph. Shapes: B batch, T tokens computed, S tokens seen, D width, H heads, K key-value heads, E head width,
    V vocabulary."""

    def __init__(self, config: ModelConfig, state: Mapping[str, Tensor], weights: OpenvinoWeights) -> None:
        self._config, self._state, self._weights = config, state, weights
        self._sinks: list[Any] = []
        self._variables: list[Any] = []

    def build(self, chosen: bool) -> Any:
        config = self._config
        names = ("input_ids", "attention_mask", "position_ids", "beam_idx")
        parameters = [ops.parameter([-1, -1], np.int64, name=name) for name in names[:3]]
        parameters.append(ops.parameter([-1], np.int32, name=names[3]))
        for parameter, name in zip(parameters, names, strict=True):
            parameter.output(0).set_names({name})
        ids, mask, positions, self._beams = parameters
        self._batch = ops.gather(ops.shape_of(ids, "i64"), [0], 0)
        embedding = self._matrix("embedding.weight")
        x_BTD = ops.gather(embedding, ops.convert(ids, np.int32), np.int32(0))
        self._rotate_with(positions)
        self._bias = _causal_bias(ids, mask)
        for index in range(config.layers):
            x_BTD = self._block(x_BTD, f"blocks.{index}", index)
        x_BTD = self._norm(x_BTD, "norm")
        if chosen:
            wanted = ops.parameter([1], np.int64, name="wanted")
            wanted.output(0).set_names({"wanted"})
            parameters.append(wanted)
            x_BTD = ops.slice(x_BTD, ops.negative(wanted), [np.iinfo(np.int64).max], [1], [1])
        head = embedding if config.tied else self._matrix("head.weight")
        logits = ops.result(ops.matmul(x_BTD, head, False, True), name="logits")
        logits.output(0).set_names({"logits"})
        return ov.Model([logits], self._sinks, parameters, self._variables, config.family)

    def _rotate_with(self, positions: Any) -> None:
        """Cosines and sines of every position, B×1×T×E."""
        frequencies_E = frequencies(self._config, torch.device("cpu")).numpy().astype(np.float32)
        half = ops.constant(frequencies_E.reshape(1, -1, 1))
        shape = ops.concat([self._batch, ops.constant(np.array([1, 1]))], 0)
        angles = ops.matmul(
            ops.broadcast(half, shape, broadcast_spec="BIDIRECTIONAL"),
            ops.convert(ops.unsqueeze(positions, 1), np.float32),
            False,
            False,
        )
        angles_BTE = ops.transpose(angles, [0, 2, 1])
        angles_BTE = ops.concat([angles_BTE, angles_BTE], -1)
        self._cosine, self._sine = (ops.unsqueeze(f(angles_BTE), 1) for f in (ops.cos, ops.sin))

    def _block(self, x_BTD: Any, name: str, index: int) -> Any:
        mixed = self._attention(self._norm(x_BTD, f"{name}.attention_norm"), f"{name}.attention", index)
        x_BTD = ops.add(x_BTD, mixed)
        hidden = self._norm(x_BTD, f"{name}.feed_forward_norm")
        up = self._product(hidden, f"{name}.feed_forward.up")
        if self._config.activation == "swiglu":
            up = ops.multiply(ops.swish(self._product(hidden, f"{name}.feed_forward.gate")), up)
        else:
            up = ops.gelu(up, "tanh" if self._config.activation == "gelu-tanh" else "erf")
        return ops.add(x_BTD, self._product(up, f"{name}.feed_forward.down"))

    def _attention(self, x_BTD: Any, name: str, index: int) -> Any:
        H, K, E = self._config.heads, self._config.kv_heads, self._config.head_width
        query = self._turn(self._heads(self._product(x_BTD, f"{name}.query"), H))
        key = self._turn(self._heads(self._product(x_BTD, f"{name}.key"), K))
        value = self._heads(self._product(x_BTD, f"{name}.value"), K)
        keys = self._repeat(self._remember(key, f"past_key_values.{index}.keypresent.{index}.key"))
        values = self._repeat(self._remember(value, f"past_key_values.{index}.valuepresent.{index}.value"))
        mixed = ops.scaled_dot_product_attention(query, keys, values, self._bias, np.float32(E**-0.5), False)
        rows = ops.reshape(ops.transpose(mixed, [0, 2, 1, 3]), np.array([0, 0, H * E]), True)
        return self._product(rows, f"{name}.output")

    def _heads(self, rows: Any, heads: int) -> Any:
        shape = np.array([0, 0, heads, self._config.head_width])
        return ops.transpose(ops.reshape(rows, shape, True), [0, 2, 1, 3])

    def _turn(self, x: Any) -> Any:
        half = self._config.head_width // 2
        first = ops.slice(x, [0], [half], [1], [3])
        second = ops.slice(x, [half], [np.iinfo(np.int64).max], [1], [3])
        turned = ops.concat([ops.multiply(second, np.float32(-1.0)), first], -1)
        return ops.add(ops.multiply(x, self._cosine), ops.multiply(turned, self._sine))

    def _remember(self, new: Any, name: str) -> Any:
        """`new` behind what the variable `name` holds, which then holds both."""
        K, E = self._config.kv_heads, self._config.head_width
        info = ov.op.util.VariableInfo()
        info.data_shape, info.data_type, info.variable_id = ov.PartialShape([-1, K, -1, E]), ov.Type.f32, name
        variable = ov.op.util.Variable(info)
        shape = ops.concat([self._batch, ops.constant(np.array([K, 0, E]))], 0)
        held = variables.read_value(ops.broadcast(np.float32(0), shape), variable)
        whole = ops.concat([ops.gather(held, self._beams, np.int32(0)), new], 2)
        self._sinks.append(variables.assign(whole, variable))
        self._variables.append(variable)
        return whole

    def _repeat(self, x: Any) -> Any:
        """Each key-value head as often as there are query heads over it."""
        H, K, E = self._config.heads, self._config.kv_heads, self._config.head_width
        if H == K:
            return x
        shape = ops.concat([self._batch, ops.constant(np.array([1, H // K, 1, 1]))], 0)
        wide = ops.broadcast(ops.unsqueeze(x, 2), shape, broadcast_spec="BIDIRECTIONAL")
        return ops.reshape(wide, np.array([0, H, -1, E]), True)

    def _norm(self, x: Any, name: str) -> Any:
        epsilon = np.float32(self._config.norm_epsilon)
        weight = self._vector(f"{name}.weight")
        if self._config.norm == "rms":
            square = ops.reduce_mean(ops.power(x, np.float32(2)), [-1], True)
            scaled = ops.multiply(x, ops.divide(np.float32(1), ops.sqrt(ops.add(square, epsilon))))
            return ops.multiply(scaled, weight)
        return self._biased(ops.multiply(ops.mvn(x, [-1], True, float(epsilon), "inside_sqrt"), weight), name)

    def _product(self, x: Any, name: str) -> Any:
        return self._biased(ops.matmul(x, self._matrix(f"{name}.weight"), False, True), name)

    def _biased(self, x: Any, name: str) -> Any:
        return ops.add(x, self._vector(f"{name}.bias")) if f"{name}.bias" in self._state else x

    def _vector(self, name: str) -> Any:
        return ops.constant(self._state[name].float().numpy().reshape(1, 1, -1))

    def _matrix(self, name: str) -> Any:
        """The matrix `name`, outputs × inputs, held in few bits."""
        values = self._state[name].float().numpy()
        if self._weights == "f32":
            return ops.constant(values)
        if self._weights == "f16":
            return ops.convert(ops.constant(values.astype(np.float16)), np.float32)
        # As NNCF does, the embedding stays in 8 bits where the rest has 4: it is looked up, and it is the head.
        if self._weights == "int8" or name == "embedding.weight" or values.shape[1] % INT4_GROUP:
            return self._rounded(values, 127, ov.Type.i8)
        return self._rounded(values.reshape(len(values), -1, INT4_GROUP), 7, ov.Type.i4)

    def _rounded(self, values: NDArray[np.float32], most: int, kind: Any) -> Any:
        scale = np.abs(values).max(-1, keepdims=True) / most
        scale = np.where(scale == 0, 1, scale).astype(np.float16)
        whole = np.clip(np.round(values / scale.astype(np.float32)), -most - 1, most).astype(np.int8)
        constant = ops.constant(whole) if kind == ov.Type.i8 else _packed(whole)
        result = ops.multiply(ops.convert(constant, np.float16), ops.constant(scale))
        if values.ndim == 3:
            result = ops.reshape(result, np.array([len(values), -1]), False)
        return ops.convert(result, np.float32)


def _packed(whole: NDArray[np.int8]) -> Any:
    """A tensor of 4-bit numbers, the lower half of a byte first."""
    pairs = (whole.reshape(-1, 2) & 15).astype(np.uint8)
    tensor = ov.Tensor(np.ascontiguousarray(pairs[:, 0] | pairs[:, 1] << 4), list(whole.shape), ov.Type.i4)
    return ops.constant(tensor, shared_memory=False)  # or it would point at numbers that are gone


def _causal_bias(ids: Any, mask: Any) -> Any:
    """0 where a token is seen, a far negative number elsewhere: B×1×T×S."""
    seen = ops.gather(ops.shape_of(mask, "i64"), [1], 0)
    new = ops.gather(ops.shape_of(ids, "i64"), [1], 0)
    end = ops.squeeze(seen, [0])
    columns = ops.range(np.int64(0), end, np.int64(1), "i64")
    rows = ops.range(ops.squeeze(ops.subtract(seen, new), [0]), end, np.int64(1), "i64")
    visible = ops.less_equal(ops.unsqueeze(columns, 0), ops.unsqueeze(rows, 1))
    padded = ops.not_equal(ops.unsqueeze(mask, np.array([1, 2])), np.int64(0))
    both = ops.logical_and(ops.unsqueeze(visible, np.array([0, 1])), padded)
    return ops.select(both, np.float32(0), np.float32(_FAR))
