"""What a family's file states, and what the families that descend from Llama share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from repotune.core.errors import UserError
from repotune.model.configuration import ModelConfig

FUSED = ("attention.query", "attention.key", "attention.value")


@dataclass(frozen=True)
class Layout:
    """A family's config.json, and its names for our modules.

    `write` and `read` turn a shape into config.json's own keys and back. `names` are those outside of blocks, and
    `block_names` those within one, behind `blocks` and its number. Where `fused` is a name, it holds the rows of
    queries, keys and values one after another.
    """

    architecture: str
    write: Callable[[ModelConfig], dict[str, Any]]
    read: Callable[[Mapping[str, Any]], ModelConfig]
    blocks: str
    names: Mapping[str, str]
    block_names: Mapping[str, str]
    fused: str | None = None

    def tensors(self, config: ModelConfig) -> Iterator[tuple[str, str]]:
        """Our name and theirs for each tensor that is the same in both; a tied head comes once, as the embedding."""
        for ours, theirs in self.names.items():
            if not (config.tied and ours == "head"):
                yield from _weight_and_bias(ours, theirs, config.biases == "all" and ours == "norm")
        for layer in range(config.layers):
            for ours, theirs in self.block_names.items():
                biased = config.biases == "all" or (config.biases == "qkv" and ours in FUSED)
                yield from _weight_and_bias(f"blocks.{layer}.{ours}", f"{self.blocks}.{layer}.{theirs}", biased)


def _weight_and_bias(ours: str, theirs: str, biased: bool) -> Iterator[tuple[str, str]]:
    yield f"{ours}.weight", f"{theirs}.weight"
    if biased:
        yield f"{ours}.bias", f"{theirs}.bias"


def write_shape(config: ModelConfig) -> dict[str, Any]:
    """The keys of Llama's config.json that Qwen2 and StarCoder2 have too."""
    return {
        "vocab_size": config.vocabulary,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "intermediate_size": config.hidden,
        "max_position_embeddings": config.context,
        "rope_theta": config.rope_base,
        "tie_word_embeddings": config.tied,
    }


def read_shape(data: Mapping[str, Any], tied: bool, **own: Any) -> ModelConfig:
    """The shape that those keys tell of and what the family adds; `tied` is the family's default."""
    config = ModelConfig(
        vocabulary=data["vocab_size"],
        width=data["hidden_size"],
        layers=data["num_hidden_layers"],
        heads=data["num_attention_heads"],
        kv_heads=data.get("num_key_value_heads") or data["num_attention_heads"],
        hidden=data["intermediate_size"],
        context=data["max_position_embeddings"],
        tied=data.get("tie_word_embeddings", tied),
        **_read_rotations(data),
        **own,
    )
    if data.get("head_dim") not in (None, config.head_width):
        raise UserError(f"Its head_dim is {data['head_dim']}, not hidden_size / heads, which is not supported.")
    return config


def _read_rotations(data: Mapping[str, Any]) -> dict[str, Any]:
    # transformers 5 moved rope_theta into rope_parameters; both are about.
    rope = data.get("rope_parameters") or data.get("rope_scaling") or {}
    base = {"rope_base": float(rope.get("rope_theta") or data.get("rope_theta") or 10_000.0)}
    require({**data, **rope}, {"partial_rotary_factor": 1.0})
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return base
    if kind != "llama3":
        raise UserError(f"Its rotary positions are scaled ({kind}), which is not supported (only llama3).")
    require(rope, {"low_freq_factor": 1.0, "high_freq_factor": 4.0})
    return base | {"rope_factor": float(rope["factor"]), "rope_trained": rope["original_max_position_embeddings"]}


def require(data: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Options that transformers has and our network has not must stand at the value that means ours."""
    for key, value in values.items():
        if key in data and data[key] != value:
            raise UserError(f"Its config.json has {key} = {data[key]!r}, which is not supported (only {value!r}).")
