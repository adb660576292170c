"""The model that a run goes on from: kept in base/ as it came, and made into the network that is trained."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import torch

from repotune.core.flow import Work
from repotune.model.adapters import add_adapters
from repotune.model.base import open_base
from repotune.model.configuration import LoRA, ModelConfig
from repotune.model.network import Network
from repotune.model.weights import load_model
from repotune.train.resizing import resize_vocabulary


def build_base(work: Work, source: str) -> None:
    """Writes the files of the model `source`, a folder or a name on the hub, as they are. A disk that can keeps them
    once. Raises UserError as `open_base` does."""
    folder = open_base(source)
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        place = work.folder / path.name
        place.unlink(missing_ok=True)
        try:
            os.link(path.resolve(), place)
        except OSError:
            shutil.copyfile(path, place)


def network_of_base(folder: Path, config: ModelConfig, dropout: float) -> Network:
    """The network in `folder` in float32, with the vocabulary and the context of `config`."""
    stored = load_model(folder)
    network = Network(stored.config, dropout)
    network.load_state_dict({name: tensor.float() for name, tensor in stored.state_dict().items()})
    network = resize_vocabulary(network, config.vocabulary)
    network.stretch(config.context)
    return network


def adapt(network: Network, lora: LoRA | None, seed: int) -> None:
    """Puts adapters into `network`, where there are to be some, whose first values are a function of `seed`."""
    if lora is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            add_adapters(network, lora)
