"""GGUF's names for our tensors, and the order of rows that llama.cpp wants."""

from __future__ import annotations

from torch import Tensor

from repotune.model.configuration import ModelConfig

_NAMES = {"embedding": "token_embd", "norm": "output_norm", "head": "output"}
_BLOCK_NAMES = {
    "attention_norm": "attn_norm",
    "attention.query": "attn_q",
    "attention.key": "attn_k",
    "attention.value": "attn_v",
    "attention.output": "attn_output",
    "feed_forward_norm": "ffn_norm",
    "feed_forward.gate": "ffn_gate",
    "feed_forward.up": "ffn_up",
    "feed_forward.down": "ffn_down",
}
# Of MPT the rows of queries, keys and values are one matrix.
_MPT_BLOCK_NAMES = _BLOCK_NAMES | {f"attention.{part}": "attn_qkv" for part in ("query", "key", "value")}
# What slows Llama 3.1's rotations, one number for each pair.
ROPE_FACTORS = "rope_freqs.weight"


def gguf_name(config: ModelConfig, name: str) -> str:
    """GGUF's name of the tensor `name` (ours)."""
    stem, kind = name.rsplit(".", 1)
    if stem in _NAMES:
        return f"{_NAMES[stem]}.{kind}"
    _, layer, part = stem.split(".", 2)
    names = _MPT_BLOCK_NAMES if config.family == "mpt" else _BLOCK_NAMES
    return f"blk.{layer}.{names[part]}.{kind}"


def rotated_heads(config: ModelConfig, name: str) -> int:
    """How many heads' rows the tensor `name` (ours) holds whose halves llama.cpp wants interleaved; 0 for any other.

    In Llama's family it rotates neighbours where Hugging Face rotates halves, in the others halves as well.
    """
    if config.family != "llama" or not name.endswith(("attention.query.weight", "attention.key.weight")):
        return 0
    return config.heads if "query" in name else config.kv_heads


def interleave(rows: Tensor, heads: int) -> Tensor:
    """Rows of a matrix with each head's two halves interleaved, so that a pair that rotates together lies together."""
    return rows.view(heads, 2, rows.shape[0] // heads // 2, -1).transpose(1, 2).reshape(rows.shape)


def separate(rows: Tensor, heads: int) -> Tensor:
    """What `interleave` made, with the halves of each head apart again."""
    return rows.view(heads, rows.shape[0] // heads // 2, 2, -1).transpose(1, 2).reshape(rows.shape)
