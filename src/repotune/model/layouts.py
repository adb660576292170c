"""Our names and shapes against Hugging Face's: config.json and the tensors of Llama's and MPT's layout.

transformers' own MPT has no grouped queries; with `kv_heads` fewer than `heads` the folder has the layout of
replit-code-v1.5-3b (`attn_config.kv_n_heads`, and fewer rows in `Wqkv`), which llm-foundry's MPT reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from repotune.core.errors import UserError
from repotune.model.configuration import ModelConfig

# The tokenizer's first id is <|endoftext|>: it ends a document and stands before the first token.
_END = 0

_LLAMA_NAMES = {
    "embedding.weight": "model.embed_tokens.weight",
    "norm.weight": "model.norm.weight",
    "head.weight": "lm_head.weight",
}
_LLAMA_BLOCK_NAMES = {
    "attention_norm.weight": "input_layernorm.weight",
    "attention.query.weight": "self_attn.q_proj.weight",
    "attention.key.weight": "self_attn.k_proj.weight",
    "attention.value.weight": "self_attn.v_proj.weight",
    "attention.output.weight": "self_attn.o_proj.weight",
    "feed_forward_norm.weight": "post_attention_layernorm.weight",
    "feed_forward.gate.weight": "mlp.gate_proj.weight",
    "feed_forward.up.weight": "mlp.up_proj.weight",
    "feed_forward.down.weight": "mlp.down_proj.weight",
}
_MPT_NAMES = {"embedding.weight": "transformer.wte.weight", "norm.weight": "transformer.norm_f.weight"}
_MPT_BLOCK_NAMES = {
    "attention_norm.weight": "norm_1.weight",
    "attention.output.weight": "attn.out_proj.weight",
    "feed_forward_norm.weight": "norm_2.weight",
    "feed_forward.up.weight": "ffn.up_proj.weight",
    "feed_forward.down.weight": "ffn.down_proj.weight",
}


def config_to_hugging_face(config: ModelConfig) -> dict[str, Any]:
    """The contents of config.json."""
    if config.family == "llama":
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": config.vocabulary,
            "hidden_size": config.width,
            "num_hidden_layers": config.layers,
            "num_attention_heads": config.heads,
            "num_key_value_heads": config.kv_heads,
            "head_dim": config.head_width,
            "intermediate_size": config.hidden,
            "max_position_embeddings": config.context,
            "hidden_act": "silu",
            "rope_theta": config.rope_base,
            "rms_norm_eps": config.norm_epsilon,
            "attention_bias": False,
            "mlp_bias": False,
            "tie_word_embeddings": config.tied,
            "bos_token_id": _END,
            "eos_token_id": _END,
            "dtype": "float32",
        }
    attention: dict[str, Any] = {"alibi": True, "alibi_bias_max": 8, "attn_impl": "torch"}
    if config.kv_heads != config.heads:
        attention |= {"attn_type": "grouped_query_attention", "kv_n_heads": config.kv_heads}
    return {
        "architectures": ["MptForCausalLM"],
        "model_type": "mpt",
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
        "bos_token_id": _END,
        "eos_token_id": _END,
        "dtype": "float32",
    }


def config_from_hugging_face(data: Mapping[str, Any]) -> ModelConfig:
    """The shape that a config.json tells of. Raises UserError for a family or an option we do not have."""
    family = data.get("model_type")
    try:
        if family == "llama":
            return _llama_config(data)
        if family == "mpt":
            return _mpt_config(data)
    except KeyError as error:
        raise UserError(f"Its config.json lacks {error.args[0]}.") from None
    raise UserError(f"Its model_type is {family!r}.", "Llama- and MPT-shaped models can be read")


def tensors_to_hugging_face(tensors: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """The network's state under Hugging Face's names; tied embeddings once."""
    result = {theirs: tensors[ours] for ours, theirs in _names(config).items()}
    if config.family == "mpt":
        for layer in range(config.layers):
            parts = [tensors[f"blocks.{layer}.attention.{part}.weight"] for part in ("query", "key", "value")]
            result[_fused_name(layer)] = torch.cat(parts)
    return result


def tensors_from_hugging_face(tensors: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """The network's state from Hugging Face's names, tied embeddings under both of ours. Raises UserError that
    names what is missing or left over."""
    names = _names(config)
    fused = {_fused_name(layer) for layer in range(config.layers)} if config.family == "mpt" else set()
    needed = set(names.values()) | fused
    # A tied head may be written twice, and old Llama folders hold the rotations, which we compute.
    extra = {name for name in set(tensors) - needed if not name.endswith(("lm_head.weight", "rotary_emb.inv_freq"))}
    if needed - set(tensors):
        raise UserError(f"Its weights lack {_few(needed - set(tensors))}.")
    if extra:
        raise UserError(f"Its weights hold {_few(extra)}, which a {config.family} model of ours has no place for.")
    result = {ours: tensors[theirs] for ours, theirs in names.items()}
    rows = [config.heads * config.head_width] + [config.kv_heads * config.head_width] * 2
    for layer in range(config.layers if fused else 0):
        whole = tensors[_fused_name(layer)]
        if whole.shape[0] != sum(rows):
            raise UserError(f"{_fused_name(layer)} has {whole.shape[0]} rows where {sum(rows)} are meant.")
        for part, tensor in zip(("query", "key", "value"), torch.split(whole, rows), strict=True):
            result[f"blocks.{layer}.attention.{part}.weight"] = tensor
    if config.tied:
        result["head.weight"] = result["embedding.weight"]
    return result


def _names(config: ModelConfig) -> dict[str, str]:
    """Our name → theirs, for the tensors that are the same in both."""
    if config.family == "llama":
        top, block, prefix = _LLAMA_NAMES, _LLAMA_BLOCK_NAMES, "model.layers"
    else:
        top, block, prefix = _MPT_NAMES, _MPT_BLOCK_NAMES, "transformer.blocks"
    names = {ours: theirs for ours, theirs in top.items() if not (config.tied and ours == "head.weight")}
    for layer in range(config.layers):
        names |= {f"blocks.{layer}.{ours}": f"{prefix}.{layer}.{theirs}" for ours, theirs in block.items()}
    return names


def _fused_name(layer: int) -> str:
    return f"transformer.blocks.{layer}.attn.Wqkv.weight"


def _llama_config(data: Mapping[str, Any]) -> ModelConfig:
    # transformers 5 moved rope_theta into rope_parameters; both are about.
    rope = data.get("rope_parameters") or data.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    _require(data, {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False})
    if kind != "default":
        raise UserError(f"Its rotary positions are scaled ({kind}), which is not supported.")
    config = ModelConfig(
        vocabulary=data["vocab_size"],
        width=data["hidden_size"],
        layers=data["num_hidden_layers"],
        heads=data["num_attention_heads"],
        kv_heads=data.get("num_key_value_heads") or data["num_attention_heads"],
        hidden=data["intermediate_size"],
        context=data["max_position_embeddings"],
        tied=data.get("tie_word_embeddings", False),
        rope_base=float(rope.get("rope_theta") or data.get("rope_theta") or 10_000.0),
        norm_epsilon=data["rms_norm_eps"],
    )
    if data.get("head_dim") not in (None, config.head_width):
        raise UserError(f"Its head_dim is {data['head_dim']}, not hidden_size / heads, which is not supported.")
    return config


def _mpt_config(data: Mapping[str, Any]) -> ModelConfig:
    attention = data.get("attn_config") or {}
    _require(data, {"no_bias": True, "logit_scale": None, "tie_word_embeddings": True})
    plain = {"alibi": True, "alibi_bias_max": 8, "clip_qkv": None, "qk_ln": False, "softmax_scale": None}
    _require(attention, plain | {"prefix_lm": False})
    return ModelConfig(
        vocabulary=data["vocab_size"],
        width=data["d_model"],
        layers=data["n_layers"],
        heads=data["n_heads"],
        kv_heads=attention.get("kv_n_heads") or data["n_heads"],
        hidden=int(data.get("expansion_ratio", 4) * data["d_model"]),
        context=data["max_seq_len"],
        norm="layer",
        position="alibi",
        activation="gelu",
        norm_epsilon=data.get("layer_norm_epsilon", 1e-5),
    )


def _require(data: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Options that transformers has and our network has not must stand at the value that means ours."""
    for key, value in values.items():
        if key in data and data[key] != value:
            raise UserError(f"Its config.json has {key} = {data[key]!r}, which is not supported (only {value!r}).")


def _few(names: set[str]) -> str:
    first = sorted(names)[:3]
    return ", ".join(first) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
