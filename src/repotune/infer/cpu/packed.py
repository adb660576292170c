"""A model as the CPU engine reads it: 8- or 4-bit weights in one file, mapped into memory and never copied.

    write_packed(pack_network(network, bits=8), path := Path("release") / packed_name(8))
    model = open_packed(path)

The file is a safetensors file, so that any tool lists it; what its numbers mean is in `kernels/packing.py`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from repotune.core.artefact import write_bytes_atomically
from repotune.core.errors import UserError
from repotune.model.configuration import ModelConfig

Bits = Literal[8, 4]
Array = NDArray[Any]

_FORMAT = "repotune-packed-2"
PIECE = 64  # outputs are padded to whole pieces of work
SMALLEST_GROUP = 32
_TYPES = {"F32": np.float32, "F16": np.float16, "U8": np.uint8}


@dataclass(frozen=True)
class Matrix:
    """A packed matrix: `weights` (bytes), `scales` (panel × group × 16, float16) and perhaps a bias."""

    weights: Array
    scales: Array
    bias: Array | None
    inputs: int
    outputs: int


@dataclass(frozen=True)
class PackedModel:
    """A model's shape, its matrices and its float32 vectors, by name: the norms', and RoPE's "frequencies" (E/2 radians
    from one token to the next) or ALiBi's "slopes" (one a head)."""

    config: ModelConfig
    bits: Bits
    matrices: dict[str, Matrix]
    vectors: dict[str, Array]


def packable(config: ModelConfig) -> bool:
    """Whether the kernels know this shape: whole vectors in every row and in each half of a head."""
    return config.width % PIECE == 0 and config.head_width % 32 == 0 and config.rope_factor >= 1


def group_of(bits: Bits, inputs: int) -> int:
    """Inputs that share a scale, which keeps a large number from spoiling more than its neighbours. Every 128 they cost
    a product in 8 bits a twentieth of its speed, every 64 an eighth; 4 bits need more scales, as llama.cpp's q4_0 has.
    """
    return SMALLEST_GROUP if bits == 4 else 128 if inputs % 128 == 0 else 64


def packed_name(bits: Bits) -> str:
    """What the packed weights of a model's folder are called: not *.safetensors, of which vLLM loads all there are."""
    return f"int{bits}.packed"


def write_packed(model: PackedModel, path: Path) -> None:
    """Writes `model` to `path`, whole or not at all."""
    arrays = dict(model.vectors)
    for name, matrix in model.matrices.items():
        arrays[f"{name}.weights"], arrays[f"{name}.scales"] = matrix.weights, matrix.scales
        if matrix.bias is not None:
            arrays[f"{name}.bias"] = matrix.bias
    facts = {"bits": model.bits, "config": asdict(model.config)}
    # One entry: safetensors writes several in an order that changes from run to run.
    write_bytes_atomically(path, save(arrays, {_FORMAT: json.dumps(facts)}))


def open_packed(path: Path) -> PackedModel:
    """Maps the file at `path`. Raises UserError where it is missing, cut short, or no packed model."""
    arrays, facts = _mapped(path)
    if _FORMAT not in facts:
        raise UserError(
            f"{path} is no packed model of this version.", "remove the release's folder: repotune run makes it again"
        )
    try:
        described = json.loads(facts[_FORMAT])
        config = ModelConfig(**described["config"])
        bits: Bits = 4 if described["bits"] == 4 else 8
        matrices = {name: _matrix(arrays, name, bits, *shape) for name, shape in matrix_shapes(config).items()}
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(
            f"{path} is damaged: {error}.", "remove the release's folder: repotune run makes it again"
        ) from error
    vectors = {name: array for name, array in arrays.items() if name.rpartition(".")[0] not in matrices}
    return PackedModel(config, bits, matrices, vectors)


def _matrix(arrays: dict[str, Array], name: str, bits: Bits, inputs: int, outputs: int) -> Matrix:
    weights, scales = arrays[f"{name}.weights"], arrays[f"{name}.scales"]
    if weights.nbytes != inputs * outputs * bits // 8 or scales.size != inputs * outputs // group_of(bits, inputs):
        raise ValueError(f"{name} has another size than config means")
    return Matrix(weights, scales, arrays.get(f"{name}.bias"), inputs, outputs)


def matrix_shapes(config: ModelConfig) -> dict[str, tuple[int, int]]:
    """The padded inputs and outputs of every matrix, by name."""
    width, hidden = config.width, round_up(config.hidden, PIECE)
    qkv = round_up((config.heads + 2 * config.kv_heads) * config.head_width, PIECE)
    shapes = {"embedding": (width, round_up(config.vocabulary, PIECE))}
    if not config.tied:
        shapes["head"] = shapes["embedding"]
    for index in range(config.layers):
        shapes[f"{index}.qkv"], shapes[f"{index}.output"] = (width, qkv), (width, width)
        shapes[f"{index}.up"] = (width, 2 * hidden if config.activation == "swiglu" else hidden)
        shapes[f"{index}.down"] = (hidden, width)
    return shapes


def _mapped(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays of a safetensors file, mapped, and its metadata. The library's own reader copies them."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
        facts = header.pop("__metadata__", {})
        data = np.memmap(path, np.uint8, "r", offset=8 + length)
        arrays = {name: _view(data, entry) for name, entry in header.items()}
    except FileNotFoundError:
        raise UserError(f"There is no {path}.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, MemoryError) as error:
        raise UserError(
            f"{path} is damaged: {error}.", "remove the release's folder: repotune run makes it again"
        ) from error
    return arrays, facts


def _view(data: Array, entry: dict[str, Any]) -> Array:
    begin, end = entry["data_offsets"]
    return data[begin:end].view(_TYPES[entry["dtype"]]).reshape(entry["shape"])


def round_up(count: int, step: int) -> int:
    """The least multiple of `step` that holds `count`."""
    return -(-count // step) * step
