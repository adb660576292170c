"""What a model is judged by: the weights that a server on a CPU reads by default."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from repotune.infer.cpu.kernels.native import lacking
from repotune.infer.cpu.packed import packable
from repotune.infer.engine import Engine
from repotune.infer.opening import open_engine
from repotune.model.configuration import ModelConfig
from repotune.model.weights import read_config


def served_weights(config: ModelConfig) -> Literal["int8", "f32"]:
    """What a server on a CPU reads by default, and f32 where the CPU engine does not know the shape or a GPU is at
    hand. Never bf16: what a model is worth must not depend on whether this machine has its products."""
    import torch

    known = packable(config) and lacking() is None and not torch.cuda.is_available()
    return "int8" if known else "f32"


def open_served(folder: Path) -> Engine:
    """The engine of the model in `folder` with these weights. Raises UserError as `open_engine`."""
    return open_engine(folder, weights=served_weights(read_config(folder)))
