"""StarCoder2's layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from repotune.model.configuration import ModelConfig
from repotune.model.layouts import llama
from repotune.model.layouts.layout import read_shape, require, write_shape

_NAMES = {name: theirs for name, theirs in llama.LAYOUT.block_names.items() if name != "feed_forward.gate"}


def _write(config: ModelConfig) -> dict[str, Any]:
    return write_shape(config) | {
        "hidden_act": "gelu_pytorch_tanh",
        "norm_epsilon": config.norm_epsilon,
        "use_bias": True,
        "sliding_window": config.window,
    }


def _read(data: Mapping[str, Any]) -> ModelConfig:
    require(data, {"hidden_act": "gelu_pytorch_tanh", "use_bias": True})
    return read_shape(
        data,
        tied=True,
        norm="layer",
        activation="gelu-tanh",
        biases="all",
        window=data.get("sliding_window"),
        norm_epsilon=data["norm_epsilon"],
    )


LAYOUT = replace(
    llama.LAYOUT,
    architecture="Starcoder2ForCausalLM",
    write=_write,
    read=_read,
    block_names=_NAMES | {"feed_forward.up": "mlp.c_fc", "feed_forward.down": "mlp.c_proj"},
)
