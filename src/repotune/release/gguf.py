"""GGUF files for llama.cpp and what is built on it, written from a Hugging Face folder of ours.

llama.cpp's own converter knows a tokenizer by the hash of what it makes of a test text and so refuses one that was
trained on the spot; we know ours, and write it down.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import gguf
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repotune.core.errors import UserError
from repotune.model.attention import frequencies, slowing
from repotune.model.configuration import ModelConfig
from repotune.model.layouts.gguf import ROPE_FACTORS, gguf_name, interleave, rotated_heads
from repotune.model.network import Network
from repotune.model.weights import load_model
from repotune.tokenizer.encoding import load_codec, vocabulary_path
from repotune.tokenizer.layout import TOKENIZER_NAME, read_vocabulary
from repotune.tokenizer.patterns import known_pattern

GgufType = Literal["f32", "f16", "q8_0", "q4_0"]

_FILE_TYPES = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    "q4_0": gguf.LlamaFileType.MOSTLY_Q4_0,
}
_TENSOR_TYPES = {kind: gguf.GGMLQuantizationType[kind.upper()] for kind in _FILE_TYPES}
# Q8_0 and Q4_0 have one scale for 32 neighbours in a row.
BLOCK = 32


@dataclass(frozen=True)
class GgufTensor:
    """A tensor as llama.cpp wants it: its name there, its values, and our tensors whose rows it holds, in order."""

    name: str
    values: NDArray[np.float32]
    parts: tuple[str, ...]


def gguf_path(folder: Path, kind: GgufType) -> Path:
    """Where a release keeps its GGUF file of `kind`."""
    return folder / f"model-{kind.upper()}.gguf"


def write_gguf(source: Path, path: Path, kind: GgufType, name: str) -> None:
    """Writes the model in the Hugging Face folder `source` to `path`, under the general name `name`.

    Matrices are of `kind`; vectors, and matrices whose rows do not divide into blocks, are float32. Embedding and head
    keep 8 bits in a q4_0 file: what is lost there is lost in every token. Raises UserError for a model or a tokenizer
    that cannot be written so.
    """
    network = load_model(source)
    pattern = _pattern(source, network.config)
    writer = gguf.GGUFWriter(path, network.config.family)  # llama.cpp has the same names
    writer.add_name(name)
    writer.add_file_type(_FILE_TYPES[kind])
    if kind in ("q8_0", "q4_0"):
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _add_shape(writer, network.config)
    _add_tokenizer(writer, source, pattern)
    for tensor in gguf_tensors(network):
        tensor_type = _TENSOR_TYPES[_type_of(tensor, kind)]
        writer.add_tensor(tensor.name, gguf.quants.quantize(tensor.values, tensor_type), raw_dtype=tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _type_of(tensor: GgufTensor, kind: GgufType) -> GgufType:
    if tensor.values.ndim != 2 or (kind != "f16" and tensor.values.shape[1] % BLOCK):
        return "f32"
    return "q8_0" if kind == "q4_0" and tensor.name in ("token_embd.weight", "output.weight") else kind


def gguf_tensors(network: Network) -> Iterator[GgufTensor]:
    """Every tensor of a GGUF file, in float32; a tied head comes once."""
    config, parameters = network.config, dict(network.named_parameters())
    places: dict[str, list[str]] = {}
    for ours in parameters:
        places.setdefault(gguf_name(config, ours), []).append(ours)
    for name, parts in places.items():
        turned = [_turn(config, ours, parameters[ours].detach()) for ours in parts]
        yield GgufTensor(name, torch.cat(turned).float().contiguous().numpy(), tuple(parts))
    if config.rope_factor != 1:
        plain = frequencies(replace(config, rope_factor=1.0), torch.device("cpu"))
        yield GgufTensor(ROPE_FACTORS, slowing(config, plain).numpy(), ())


def _turn(config: ModelConfig, ours: str, tensor: Tensor) -> Tensor:
    heads = rotated_heads(config, ours)
    return interleave(tensor, heads) if heads else tensor


def _pattern(source: Path, config: ModelConfig) -> str:
    """llama.cpp's name for how the tokenizer cuts text. Raises UserError where it has none, or another size."""
    if vocabulary_path(source).name != TOKENIZER_NAME:
        raise UserError(
            f"The tokenizer in {source} is SentencePiece's, of which no GGUF is written.",
            "set release.gguf = [] in repotune.toml",
        )
    vocabulary = read_vocabulary(source)
    pattern = known_pattern(vocabulary.pattern).gguf
    if pattern is None:
        raise UserError(
            f"The tokenizer in {source} splits text by a pattern that llama.cpp has no name for.",
            "set release.gguf = [] in repotune.toml",
        )
    if vocabulary.size != config.vocabulary:
        raise UserError(
            f"The tokenizer in {source} has {vocabulary.size} entries and the model {config.vocabulary}.",
            "a model and its tokenizer belong together: repotune run builds both",
        )
    return pattern


def _add_shape(writer: gguf.GGUFWriter, config: ModelConfig) -> None:
    writer.add_block_count(config.layers)
    # llama.cpp's StarCoder2 has no window: up to its length all that is held is what a token sees.
    writer.add_context_length(min(config.context, config.window or config.context))
    writer.add_embedding_length(config.width)
    writer.add_feed_forward_length(config.hidden)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_vocab_size(config.vocabulary)
    if config.norm == "rms":
        writer.add_layer_norm_rms_eps(config.norm_epsilon)
    else:
        writer.add_layer_norm_eps(config.norm_epsilon)
    if config.position == "rope":
        writer.add_rope_dimension_count(config.head_width)
        writer.add_rope_freq_base(config.rope_base)
    else:
        writer.add_max_alibi_bias(8.0)


def _add_tokenizer(writer: gguf.GGUFWriter, source: Path, pattern: str) -> None:
    """Byte-level BPE, "gpt2" to llama.cpp. No token is put before a text: our documents begin with `<file_sep>`."""
    codec = load_codec(source)
    model = json.loads((source / TOKENIZER_NAME).read_text(encoding="utf-8"))["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    control = codec.special
    kinds = [gguf.TokenType.CONTROL if number in control else gguf.TokenType.NORMAL for number in range(len(tokens))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pattern)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in model["merges"]])
    writer.add_bos_token_id(codec.end)
    writer.add_eos_token_id(codec.end)
    writer.add_pad_token_id(codec.fim_pad)
    writer.add_add_bos_token(False)
    writer.add_uint32(gguf.Keys.Tokenizer.FIM_PRE_ID, codec.fim_prefix)
    writer.add_uint32(gguf.Keys.Tokenizer.FIM_SUF_ID, codec.fim_suffix)
    writer.add_uint32(gguf.Keys.Tokenizer.FIM_MID_ID, codec.fim_middle)
    writer.add_uint32(gguf.Keys.Tokenizer.FIM_PAD_ID, codec.fim_pad)
    writer.add_uint32(gguf.Keys.Tokenizer.FIM_REP_ID, codec.repo_name)
    writer.add_uint32(gguf.Keys.Tokenizer.FIM_SEP_ID, codec.file_sep)
