"""Weights in and out, as folders that transformers loads and writes.

save_model(folder, network, codec_folder)     # config.json, model.safetensors and the tokenizer's files
network = load_model(folder)                  # also of a folder that transformers wrote, sharded or not
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from repotune.core.artefact import write_atomically
from repotune.core.errors import UserError
from repotune.model.configuration import ModelConfig
from repotune.model.layouts.conversion import (
    config_from_hugging_face,
    config_to_hugging_face,
    tensors_from_hugging_face,
    tensors_to_hugging_face,
)
from repotune.model.network import Network
from repotune.tokenizer.encoding import load_codec, tokenizer_files

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"


def save_model(folder: Path, network: Network, codec_folder: Path) -> None:
    """Writes `network` and the tokenizer in `codec_folder` into `folder`, in float32. Raises UserError without one."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in tokenizer_files(codec_folder):
        shutil.copyfile(codec_folder / name, folder / name)
    tensors = tensors_to_hugging_face(network.state_dict(), network.config)
    contiguous = {name: tensor.float().cpu().contiguous() for name, tensor in tensors.items()}
    # "format" tells transformers that the tensors are torch's.
    save_file(contiguous, folder / WEIGHTS_NAME, metadata={"format": "pt"})
    config = config_to_hugging_face(network.config, load_codec(codec_folder).end)
    write_atomically(folder / CONFIG_NAME, json.dumps(config, indent=2) + "\n")


def read_config(folder: Path) -> ModelConfig:
    """The shape of the model in `folder`. Raises UserError where it is not there, damaged, or of another family."""
    data = _read_json(folder, CONFIG_NAME)
    try:
        return config_from_hugging_face(data)
    except UserError as error:
        raise UserError(f"The model in {folder} cannot be used. {error.message}", error.hint) from None
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{folder / CONFIG_NAME} is damaged: {error}.") from error


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The tensors in `folder` under Hugging Face's names, memory-mapped. Raises UserError where they are missing or
    damaged."""
    tensors: dict[str, Tensor] = {}
    for name in _shards(folder):
        try:
            tensors |= load_file(folder / name)
        except FileNotFoundError:
            raise UserError(f"There are no weights in {folder}: {name} is missing.") from None
        except (OSError, SafetensorError) as error:
            raise UserError(f"{folder / name} is damaged: {error}.") from error
    return tensors


def load_model(folder: Path, dropout: float = 0.0) -> Network:
    """The network in `folder`, its weights in the type they are stored in; `dropout` is that of training it further.
    Raises UserError where config and weights are missing, damaged, or do not fit together."""
    config = read_config(folder)
    weights = read_weights(folder)
    with torch.device("meta"):
        network = Network(config, dropout)
    try:
        state = tensors_from_hugging_face(weights, config)
    except UserError as error:
        raise UserError(f"The model in {folder} cannot be used. {error.message}", error.hint) from None
    for name, expected in network.state_dict().items():
        if state[name].shape != expected.shape:
            given, meant = (" × ".join(map(str, tensor.shape)) for tensor in (state[name], expected))
            raise UserError(f"The model in {folder} cannot be used. {name} is {given} where config.json means {meant}.")
    network.load_state_dict(state, assign=True)
    if config.tied:
        network.head.weight = network.embedding.weight
    return network


def _shards(folder: Path) -> list[str]:
    """The files that hold the weights: one, or what the index names."""
    if not (folder / INDEX_NAME).is_file():
        return [WEIGHTS_NAME]
    places = _read_json(folder, INDEX_NAME).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise UserError(f"{folder / INDEX_NAME} is damaged: it names no files.")
    return sorted(set(places.values()))


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    try:
        data = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"There is no model in {folder}: {name} is missing.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / name} is damaged: {error}.") from error
    if not isinstance(data, dict):
        raise UserError(f"{folder / name} is damaged: it holds no JSON object.")
    return data
