"""Llama's layout: Llama 2 and 3, Code Llama, and most models of that shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from repotune.model.configuration import ModelConfig
from repotune.model.layouts.layout import Layout, read_shape, require, write_shape


def _write(config: ModelConfig) -> dict[str, Any]:
    data = write_shape(config) | {
        "head_dim": config.head_width,
        "hidden_act": "silu",
        "rms_norm_eps": config.norm_epsilon,
        "attention_bias": False,
        "mlp_bias": False,
    }
    if config.rope_factor != 1:
        data["rope_scaling"] = {
            "rope_type": "llama3",
            "factor": config.rope_factor,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": config.rope_trained,
        }
    return data


def _read(data: Mapping[str, Any]) -> ModelConfig:
    require(data, {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False})
    return read_shape(data, tied=False, norm_epsilon=data["rms_norm_eps"])


LAYOUT = Layout(
    architecture="LlamaForCausalLM",
    write=_write,
    read=_read,
    blocks="model.layers",
    names={"embedding": "model.embed_tokens", "norm": "model.norm", "head": "lm_head"},
    block_names={
        "attention_norm": "input_layernorm",
        "attention.query": "self_attn.q_proj",
        "attention.key": "self_attn.k_proj",
        "attention.value": "self_attn.v_proj",
        "attention.output": "self_attn.o_proj",
        "feed_forward_norm": "post_attention_layernorm",
        "feed_forward.gate": "mlp.gate_proj",
        "feed_forward.up": "mlp.up_proj",
        "feed_forward.down": "mlp.down_proj",
    },
)
