"""MPT's layout: Replit's and MosaicML's models.

transformers' own MPT has no grouped queries and always a ratio of 4; with `kv_heads` fewer than `heads` the folder has
the layout of replit-code-v1.5-3b (`attn_config.kv_n_heads`, and fewer rows in `Wqkv`), which llm-foundry's MPT reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from repotune.core.errors import UserError
from repotune.model.configuration import ModelConfig
from repotune.model.layouts.layout import Layout, require


def _write(config: ModelConfig) -> dict[str, Any]:
    attention: dict[str, Any] = {"alibi": True, "alibi_bias_max": 8, "attn_impl": "torch"}
    if config.kv_heads != config.heads:
        attention |= {"attn_type": "grouped_query_attention", "kv_n_heads": config.kv_heads}
    return {
        "vocab_size": config.vocabulary,
        "d_model": config.width,
        "n_layers": config.layers,
        "n_heads": config.heads,
        "expansion_ratio": config.hidden // config.width,
        "max_seq_len": config.context,
        "layer_norm_epsilon": config.norm_epsilon,
        "no_bias": True,
        "attn_config": attention,
        "tie_word_embeddings": True,
    }


# llm-foundry's MPT has more options than transformers' of the same name.
_MEANT = {"no_bias": True, "logit_scale": None, "tie_word_embeddings": True}
_MEANT_OF_ATTENTION = {
    "alibi": True,
    "alibi_bias_max": 8,
    "rope": False,
    "clip_qkv": None,
    "qk_ln": False,
    "qk_gn": False,
    "softmax_scale": None,
    "sliding_window_size": -1,
    "prefix_lm": False,
    "attn_uses_sequence_id": False,
}


def _read(data: Mapping[str, Any]) -> ModelConfig:
    attention = data.get("attn_config") or {}
    require(data, _MEANT)
    require(attention, _MEANT_OF_ATTENTION)
    if data.get("norm_type", "layernorm") not in ("layernorm", "low_precision_layernorm"):
        raise UserError(f"Its norm_type is {data['norm_type']!r}, which is not supported (only LayerNorm).")
    kv_heads = 1 if attention.get("attn_type") == "multiquery_attention" else data["n_heads"]
    return ModelConfig(
        vocabulary=data["vocab_size"],
        width=data["d_model"],
        layers=data["n_layers"],
        heads=data["n_heads"],
        kv_heads=attention.get("kv_n_heads") or kv_heads,
        hidden=int(data.get("expansion_ratio", 4) * data["d_model"]),
        context=data["max_seq_len"],
        norm="layer",
        position="alibi",
        activation="gelu",
        norm_epsilon=data.get("layer_norm_epsilon", 1e-5),
    )


LAYOUT = Layout(
    architecture="MptForCausalLM",
    write=_write,
    read=_read,
    blocks="transformer.blocks",
    names={"embedding": "transformer.wte", "norm": "transformer.norm_f"},
    block_names={
        "attention_norm": "norm_1",
        "attention.output": "attn.out_proj",
        "feed_forward_norm": "norm_2",
        "feed_forward.up": "ffn.up_proj",
        "feed_forward.down": "ffn.down_proj",
    },
    fused="attn.Wqkv",
)
