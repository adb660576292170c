"""Opens what was written for a release and compares it with the checkpoint that it was made from.

Equality is checked where it is meant (Hugging Face folder, f32), and closeness where weights are rounded; what rounding
costs is measured by `loss`.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repotune.core.artefact import file_digest
from repotune.core.errors import RepotuneError
from repotune.model.layouts.gguf import rotated_heads, separate
from repotune.model.network import Network
from repotune.model.weights import load_model
from repotune.release.gguf import BLOCK, GgufTensor, GgufType, gguf_tensors


class DamagedReleaseError(RepotuneError):
    """What was written is not what it was made from: a fault of ours or of the disk, never of the user's input."""


def check_folder(checkpoint: Path, folder: Path, names: tuple[str, ...]) -> None:
    """Raises DamagedReleaseError unless the files `names` of the release are the checkpoint's, byte for byte."""
    for name in names:
        if file_digest(folder / name) != file_digest(checkpoint / name):
            raise DamagedReleaseError(f"{folder / name} is not what {checkpoint / name} is")


def check_gguf(path: Path, kind: GgufType, source: Path) -> Network:
    """The network whose weights are those in the GGUF file `path`, read back and restored to float32.

    Raises DamagedReleaseError unless it holds every tensor of the model in `source`, equal in f32 and as near as its
    type allows in any other (`_bound`).
    """
    network = load_model(source)
    written = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    expected = list(gguf_tensors(network))
    if written.keys() != {tensor.name for tensor in expected}:
        raise DamagedReleaseError(f"{path} holds {len(written)} tensors where {len(expected)} are meant")
    for tensor in expected:
        kept = written[tensor.name]
        values = np.array(gguf.quants.dequantize(kept.data, kept.tensor_type)).reshape(tensor.values.shape)
        if not (np.abs(values - tensor.values) <= _bound(tensor.values, kept.tensor_type)).all():
            raise DamagedReleaseError(f"{tensor.name} in {path} differs from the model's more than {kind} allows")
        _put_back(network, tensor, torch.from_numpy(values))
    return network


def _bound(exact: NDArray[np.float32], kind: gguf.GGMLQuantizationType) -> NDArray[np.float32]:
    """How far each weight may be off in a tensor of `kind`.

    Of 32 neighbours the largest is 127 steps (Q8_0) or 8 (Q4_0). Rounding costs half a step, in Q4_0 a whole one at
    the end that has 7 steps, and the scale's own rounding to float16 2⁻¹¹ of all steps.
    """
    types = gguf.GGMLQuantizationType
    if kind == types.F32:
        return np.zeros_like(exact)
    if kind == types.F16:
        return np.maximum(np.abs(exact) * 2.0**-11, 2.0**-25, dtype=np.float32)
    steps, error = (127, 0.5) if kind == types.Q8_0 else (8, 1.0)
    blocks = np.abs(exact.reshape(-1, BLOCK))
    step = blocks.max(axis=1, keepdims=True) / steps
    bound: NDArray[np.float32] = np.broadcast_to(step * (error + steps * 2.0**-11) + 1e-7, blocks.shape)
    return bound.reshape(exact.shape)


def _put_back(network: Network, tensor: GgufTensor, values: Tensor) -> None:
    """Gives `network` the rows of each part of `tensor`, the halves of rotated heads apart again."""
    parameters = [(name, network.get_parameter(name)) for name in tensor.parts]
    parts = torch.split(values, [parameter.shape[0] for _, parameter in parameters]) if parameters else ()
    for (name, parameter), part in zip(parameters, parts, strict=True):
        heads = rotated_heads(network.config, name)
        if heads:
            part = separate(part, heads)
        parameter.data = part.reshape(parameter.shape)
