"""Models out of GGUF files, ours or of other makers, of Llama's, Qwen2's, StarCoder2's and MPT's shape.

    network = load_gguf(Path("model-F16.gguf"))      # weights stay in the file
    codec = read_gguf_codec(Path("model-F16.gguf"))

What a file lacks or has too much is said; nothing is guessed. The way out is `repotune.release.gguf`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from repotune.core.errors import UserError
from repotune.model.attention import frequencies, slowing
from repotune.model.configuration import Family, ModelConfig
from repotune.model.gguf_file import GgufFile, read_gguf
from repotune.model.layouts.gguf import ROPE_FACTORS, gguf_name, rotated_heads, separate
from repotune.model.network import Network
from repotune.tokenizer.encoding import Codec
from repotune.tokenizer.layout import TOKENIZER_NAME, Vocabulary, read_vocabulary
from repotune.tokenizer.patterns import KNOWN

_PARTS: dict[Family, dict[str, Any]] = {
    "llama": {},
    "qwen2": {"biases": "qkv"},
    "starcoder2": {"norm": "layer", "activation": "gelu-tanh", "biases": "all"},
    "mpt": {"norm": "layer", "position": "alibi", "activation": "gelu"},
}
# llama.cpp's types of tokens: control tokens and added ones are special, unused ones only fill up the embedding.
_SPECIAL_TYPES, _UNUSED_TYPE = (3, 4), 5
Number = TypeVar("Number", int, float)


def load_gguf(path: Path) -> Network:
    """The network in the GGUF file `path`: f32, f16 and bf16 as they lie in the file, q8_0 and q4_0 in float32.

    Matrices and vectors may be of different types; `network.float()` makes them one, to compute with torch itself.
    Raises UserError where the file is damaged, or of a shape or a type that is not ours.
    """
    file = read_gguf(path)
    try:
        config = gguf_config(file)
        state = _state(file, config)
    except UserError as error:
        raise UserError(f"The model in {path} cannot be used. {error.message}", error.hint) from error
    with torch.device("meta"):
        network = Network(config)
    network.load_state_dict(state, assign=True)
    if config.tied:
        network.head.weight = network.embedding.weight
    return network.requires_grad_(False)


def gguf_config(file: GgufFile) -> ModelConfig:
    """The shape that `file` tells of. Raises UserError for a family or an option that we do not have."""
    family = file.metadata.get("general.architecture")
    if family not in _PARTS:
        raise UserError(f"Its architecture is {family!r}.", f"models of these can be read: {', '.join(_PARTS)}")
    facts = _Facts(file.metadata, family)
    heads = facts.number("attention.head_count", int)
    parts = _PARTS[family]
    config = ModelConfig(
        vocabulary=_check_size(file, facts),
        width=facts.number("embedding_length", int),
        layers=facts.number("block_count", int),
        heads=heads,
        kv_heads=facts.number("attention.head_count_kv", int, heads),
        hidden=facts.number("feed_forward_length", int),
        context=facts.number("context_length", int),
        tied="output.weight" not in file.tensors,
        norm_epsilon=facts.number(f"attention.layer_norm{'' if 'norm' in parts else '_rms'}_epsilon", float),
        rope_base=facts.number("rope.freq_base", float, 10_000.0),
        **parts,
    )
    _check_options(facts, config)
    if ROPE_FACTORS in file.tensors:
        return _with_slowing(config, file.tensors[ROPE_FACTORS].load().double())
    return config


def read_gguf_codec(path: Path) -> Codec:
    """The codec of the tokenizer in the GGUF file `path`. Raises UserError where it is no byte-level BPE that we know,
    or lacks special tokens of ours."""
    try:
        return Codec(gguf_vocabulary(read_gguf(path)))
    except ValueError as error:
        raise UserError(
            f"The tokenizer in {path} is not one of repotune: {error}.",
            "train from its Hugging Face folder as a base model: what is missing is added then",
        ) from error


def gguf_vocabulary(file: GgufFile) -> Vocabulary:
    """The vocabulary in `file`, with whatever special tokens it has. Raises UserError as `read_gguf_codec`."""
    kind, cut = (file.metadata.get(f"tokenizer.ggml.{name}") for name in ("model", "pre"))
    regex = next((pattern.regex for pattern in KNOWN.values() if pattern.gguf == cut), None)
    if kind != "gpt2" or regex is None:
        known = ", ".join(sorted({pattern.gguf for pattern in KNOWN.values() if pattern.gguf}))
        raise UserError(
            f"The tokenizer in {file.path} is of model {kind!r} and cuts text by {cut!r}.",
            f"read are byte-level BPE (gpt2) by {known}; its Hugging Face folder may be read",
        )
    content = _tokenizer_json(file, regex)
    with TemporaryDirectory() as folder:
        (Path(folder) / TOKENIZER_NAME).write_text(json.dumps(content), encoding="utf-8")
        try:
            return read_vocabulary(Path(folder))
        except UserError as error:
            message = error.message.replace(str(Path(folder) / TOKENIZER_NAME), f"The tokenizer in {file.path}")
            raise UserError(message, error.hint) from error


def _tokenizer_json(file: GgufFile, regex: str) -> dict[str, Any]:
    """What `read_vocabulary` needs of a tokenizer.json."""
    tokens: Any = file.metadata.get("tokenizer.ggml.tokens")
    merges: Any = file.metadata.get("tokenizer.ggml.merges")
    types: Any = file.metadata.get("tokenizer.ggml.token_type")
    if not (_strings(tokens) and _strings(merges) and isinstance(types, list) and len(types) == len(tokens)):
        raise UserError(f"The tokenizer in {file.path} lacks its tokens, their types or its merges.")
    numbered = [(text, number, kind) for number, (text, kind) in enumerate(zip(tokens, types, strict=True))]
    split = {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}
    whole = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
    vocabulary = {text: number for text, number, kind in numbered if kind != _UNUSED_TYPE}
    return {
        "model": {"type": "BPE", "vocab": vocabulary, "merges": merges},
        "added_tokens": [{"content": text, "id": number} for text, number, kind in numbered if kind in _SPECIAL_TYPES],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, whole]},
    }


class _Facts:
    """The numbers that metadata gives under a family's name."""

    def __init__(self, metadata: Mapping[str, Any], family: str) -> None:
        self._metadata, self._family = metadata, family

    def get(self, name: str) -> Any:
        return self._metadata.get(f"{self._family}.{name}")

    def number(self, name: str, kind: type[Number], default: Number | None = None) -> Number:
        """The value `name`, or `default`. Raises UserError where there is neither, or something else."""
        value = self.get(name)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, kind)) or not math.isfinite(value):
            raise UserError(f"It has {self._family}.{name} = {_shown(value)}, where a number is meant.")
        # A float32 in the file: 1e-5 and not the 9.99999974e-6 that is nearest to it.
        return kind(value) if kind is int else kind(str(np.float32(value)))


def _check_options(facts: _Facts, config: ModelConfig) -> None:
    """What llama.cpp has and our network has not must be absent, or stand at the value that means ours."""
    meant: dict[str, tuple[Any, ...]] = {
        "rope.dimension_count": (None, config.head_width),
        "attention.key_length": (None, config.head_width),
        "attention.value_length": (None, config.head_width),
        "rope.scaling.type": (None, "none"),
        "rope.scale_linear": (None, 1.0),
        "expert_count": (None, 0),
        "attention.sliding_window": (None, 0),
        "attention.clamp_kqv": (None, 0.0),
        "attention.max_alibi_bias": (8.0,) if config.position == "alibi" else (None, 0.0),
    }
    for name, values in meant.items():
        if facts.get(name) not in values:
            raise UserError(f"It has {config.family}.{name} = {_shown(facts.get(name))}, which is not supported.")


def _check_size(file: GgufFile, facts: _Facts) -> int:
    """The vocabulary's size. Before a network is made, so that a wrong number does not make one without end."""
    if "token_embd.weight" not in file.tensors:
        raise UserError("Its weights lack token_embd.weight.")
    rows, *width = file.tensors["token_embd.weight"].shape
    if width != [facts.number("embedding_length", int)]:
        raise UserError(f"token_embd.weight is {_times((rows, *width))}, which is not its embedding_length.")
    layers = {name.split(".")[1] for name in file.tensors if name.startswith("blk.")}
    if facts.number("block_count", int) != len(layers):
        raise UserError(f"It has a block_count of {facts.number('block_count', int)} and weights of {len(layers)}.")
    return rows


def _with_slowing(config: ModelConfig, factors: Tensor) -> ModelConfig:
    """`config` with the rope_factor and rope_trained of which `slowing` makes `factors` (Llama 3.1's).

    Its slowest rotations are slowed by rope_factor, and the context it was trained at is read off one in between.
    """
    plain = frequencies(config, torch.device("cpu"))
    most = float(factors.max())
    between = ((factors > 1.001) & (factors < 0.999 * most)).nonzero()
    if factors.shape == plain.shape and len(between) and most > 1:
        place = int(between[0])
        share = (1 / float(factors[place]) - 1 / most) / (1 - 1 / most)
        trained = round((1 + 3 * share) * 2 * math.pi / float(plain[place]))
        found = replace(config, rope_factor=round(most, 4), rope_trained=trained)
        if torch.allclose(slowing(found, plain).double(), factors, rtol=1e-3):
            return found
    raise UserError("Its rotations are slowed in another way than Llama 3.1's, which is not supported.")


def _state(file: GgufFile, config: ModelConfig) -> dict[str, Tensor]:
    """The network's state from `file`. Raises UserError that names what is missing, left over or of another shape."""
    with torch.device("meta"):
        meant = Network(config).state_dict()
    places: dict[str, list[str]] = {}
    for ours in meant:
        if not (config.tied and ours == "head.weight"):
            places.setdefault(gguf_name(config, ours), []).append(ours)
    if missing := places.keys() - file.tensors.keys():
        raise UserError(f"Its weights lack {_few(missing)}.")
    if extra := file.tensors.keys() - places.keys() - {ROPE_FACTORS}:
        raise UserError(f"Its weights hold {_few(extra)}, which a {config.family} model of ours has no place for.")
    state: dict[str, Tensor] = {}
    for theirs, parts in places.items():
        rows = [meant[part].shape[0] for part in parts]
        shape = (sum(rows), *meant[parts[0]].shape[1:])
        if file.tensors[theirs].shape != shape:
            raise UserError(f"{theirs} is {_times(file.tensors[theirs].shape)} where {_times(shape)} are meant.")
        state |= zip(parts, torch.split(file.tensors[theirs].load(), rows), strict=True)
    for ours in state:
        if heads := rotated_heads(config, ours):
            state[ours] = separate(state[ours], heads)
    if config.tied:
        state["head.weight"] = state["embedding.weight"]
    return state


def _strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _shown(value: Any) -> str:
    return "nothing" if value is None else f"a list of {len(value)}" if isinstance(value, list) else repr(value)[:60]


def _times(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


def _few(names: set[str]) -> str:
    first = sorted(names)[:3]
    return ", ".join(first) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
