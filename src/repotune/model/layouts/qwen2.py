"""Qwen2's layout, which is Llama's with biases on queries, keys and values: Qwen2, Qwen2.5 and Qwen2.5-Coder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from repotune.model.configuration import ModelConfig
from repotune.model.layouts import llama
from repotune.model.layouts.layout import read_shape, require, write_shape


def _write(config: ModelConfig) -> dict[str, Any]:
    own = {"hidden_act": "silu", "rms_norm_eps": config.norm_epsilon, "use_sliding_window": False}
    return write_shape(config) | own


def _read(data: Mapping[str, Any]) -> ModelConfig:
    require(data, {"hidden_act": "silu", "use_sliding_window": False})
    return read_shape(data, tied=False, biases="qkv", norm_epsilon=data["rms_norm_eps"])


LAYOUT = replace(llama.LAYOUT, architecture="Qwen2ForCausalLM", write=_write, read=_read)
