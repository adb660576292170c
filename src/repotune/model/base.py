"""Where a base comes from: a folder, or a model on the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

from repotune.core.errors import UserError
from repotune.model.configuration import ModelConfig
from repotune.model.weights import CONFIG_NAME, INDEX_NAME, WEIGHTS_NAME, read_config

_HUB_NAME = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
# Weights as safetensors alone: a pickle runs what its writer wished. Of a tokenizer, every form of it.
_WANTED = [
    CONFIG_NAME,
    "model*.safetensors",
    INDEX_NAME,
    "tokenizer*",
    "special_tokens_map.json",
    "vocab.*",
    "merges.txt",
]


def read_base_config(source: str) -> ModelConfig:
    """The shape of the model `source`, of which nothing else is fetched. Raises UserError as `open_base` does."""
    folder = Path(source).expanduser()
    return read_config(folder if folder.is_dir() else _fetch(source, only_shape=True))


def open_base(source: str) -> Path:
    """The folder of the model `source`: a folder, or "owner/name" or "owner/name@revision" on the hub, fetched once
    into the hub's own cache (`HF_HOME`, `HF_ENDPOINT` and `HF_TOKEN` count as everywhere).

    Raises UserError where there is none, where it is of a family we do not have (before its weights are fetched), and
    where its weights are not safetensors.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        folder = _fetch(source)
    read_config(folder)
    if not ((folder / WEIGHTS_NAME).is_file() or (folder / INDEX_NAME).is_file()):
        raise UserError(
            f"{source} has no weights as safetensors.",
            "transformers converts them: AutoModelForCausalLM.from_pretrained(…).save_pretrained(folder)",
        )
    return folder


def _fetch(source: str, only_shape: bool = False) -> Path:
    named = _HUB_NAME.fullmatch(source)
    if named is None:
        raise UserError(f"There is no folder {source}.", 'a base is a folder, or "owner/name" on the hub')
    name, revision = named["name"], named["revision"]
    try:
        from huggingface_hub import hf_hub_download, snapshot_download
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        raise UserError(
            f"There is no folder {name}, and to fetch it from the hub huggingface_hub is needed.",
            "pip install 'repotune[hub]', or name a folder",
        ) from None
    try:
        # The shape first: weights of a family that we do not have are not worth their gigabytes.
        shape = Path(hf_hub_download(name, CONFIG_NAME, revision=revision)).parent
        read_config(shape)
        if only_shape:
            return shape
        return Path(snapshot_download(name, revision=revision, allow_patterns=_WANTED))
    except (OSError, HFValidationError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(
            f"{name} cannot be fetched from the hub: {reason}",
            "for a gated model accept its terms and log in: hf auth login; without a network name a folder",
        ) from error
