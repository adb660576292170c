"""config.json and tensors, between our names and Hugging Face's, for every family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from repotune.core.errors import UserError
from repotune.model.configuration import Family, ModelConfig
from repotune.model.layouts import llama, mpt, qwen2, starcoder2
from repotune.model.layouts.layout import FUSED, Layout

LAYOUTS: dict[Family, Layout] = {
    "llama": llama.LAYOUT,
    "qwen2": qwen2.LAYOUT,
    "starcoder2": starcoder2.LAYOUT,
    "mpt": mpt.LAYOUT,
}


def config_to_hugging_face(config: ModelConfig, end: int) -> dict[str, Any]:
    """The contents of config.json; `end` is the id of the token that ends a document and stands before the first."""
    layout = LAYOUTS[config.family]
    kind = {"architectures": [layout.architecture], "model_type": config.family}
    return {**kind, **layout.write(config), "bos_token_id": end, "eos_token_id": end, "dtype": "float32"}


def config_from_hugging_face(data: Mapping[str, Any]) -> ModelConfig:
    """The shape that a config.json tells of. Raises UserError for a family or an option we do not have."""
    family = data.get("model_type")
    if family not in LAYOUTS:
        raise UserError(f"Its model_type is {family!r}.", f"models of these types can be read: {', '.join(LAYOUTS)}")
    try:
        return LAYOUTS[family].read(data)
    except KeyError as error:
        raise UserError(f"Its config.json lacks {error.args[0]}.") from None


def tensors_to_hugging_face(tensors: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """The network's state under Hugging Face's names; tied embeddings once."""
    result = {theirs: tensors[ours] for ours, theirs in LAYOUTS[config.family].tensors(config)}
    for theirs, parts in _fused(config).items():
        result[theirs] = torch.cat([tensors[part] for part in parts])
    return result


def tensors_from_hugging_face(tensors: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """The network's state from Hugging Face's names, tied embeddings under both of ours. Raises UserError that
    names what is missing or left over."""
    names = dict(LAYOUTS[config.family].tensors(config))
    needed = {*names.values(), *_fused(config)}
    # A tied head may be written twice, and old Llama folders hold the rotations, which we compute.
    extra = {name for name in set(tensors) - needed if not name.endswith(("lm_head.weight", "rotary_emb.inv_freq"))}
    if needed - set(tensors):
        raise UserError(f"Its weights lack {_few(needed - set(tensors))}.")
    if extra:
        raise UserError(f"Its weights hold {_few(extra)}, which a {config.family} model of ours has no place for.")
    result = {ours: tensors[theirs] for ours, theirs in names.items()}
    rows = [config.heads * config.head_width] + [config.kv_heads * config.head_width] * 2
    for theirs, parts in _fused(config).items():
        if tensors[theirs].shape[0] != sum(rows):
            raise UserError(f"{theirs} has {tensors[theirs].shape[0]} rows where {sum(rows)} are meant.")
        result |= zip(parts, torch.split(tensors[theirs], rows), strict=True)
    if config.tied:
        result["head.weight"] = result["embedding.weight"]
    return result


def _fused(config: ModelConfig) -> dict[str, list[str]]:
    """Their names of fused matrices, and ours of the parts in the order of their rows."""
    layout = LAYOUTS[config.family]
    if layout.fused is None:
        return {}
    return {
        f"{layout.blocks}.{layer}.{layout.fused}.weight": [f"blocks.{layer}.{part}.weight" for part in FUSED]
        for layer in range(config.layers)
    }


def _few(names: set[str]) -> str:
    first = sorted(names)[:3]
    return ", ".join(first) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
