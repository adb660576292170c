"""GGUF files as such: what they say of themselves, and their tensors, mapped from the file.

    file = read_gguf(Path("model.gguf"))
    file.metadata["general.architecture"], file.tensors["token_embd.weight"].load()

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The gguf package's reader makes several objects of
each string, 4.7 s for the header of a 32k vocabulary where this takes 0.07 s beside other work, and trusts every
length; nothing that a file says is trusted here. Unpacking blocks of weights is the package's.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import gguf
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from repotune.core.errors import UserError

_MAGIC, _VERSIONS = b"GGUF", (2, 3)
# struct's letters of the types of metadata, by number; 8 is a string and 9 an array.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MOST_DIMENSIONS = 4
_DEFAULT_ALIGNMENT = 32

# As torch's own types, whose numbers stay in the file, and as blocks, which are unpacked.
_DENSE = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_BLOCKS = ("Q8_0", "Q4_0")
Item = TypeVar("Item")


class _DamagedError(ValueError):
    """The file does not hold what it says."""


@dataclass(frozen=True)
class GgufTensor:
    """A tensor in a file: its shape (rows first), GGUF's name of its type, and its bytes, mapped."""

    shape: tuple[int, ...]
    kind: str
    data: NDArray[np.uint8]

    def load(self) -> Tensor:
        """Its numbers: f32, f16 and bf16 where they lie in the file, q8_0 and q4_0 unpacked to float32. Raises
        UserError for any other type."""
        if self.kind in _DENSE:
            return torch.from_numpy(self.data).view(_DENSE[self.kind]).view(self.shape)
        if self.kind not in _BLOCKS:
            raise UserError(
                f"Its tensors are of type {self.kind}, which cannot be read.",
                "read are F32, F16, BF16, Q8_0 and Q4_0; llama.cpp's llama-quantize --allow-requantize makes them",
            )
        rows = np.asarray(self.data).reshape(*self.shape[:-1], -1)
        return torch.from_numpy(gguf.quants.dequantize(rows, gguf.GGMLQuantizationType[self.kind]))


@dataclass(frozen=True)
class GgufFile:
    """What a file says of itself, by GGUF's keys, and its tensors by GGUF's names."""

    path: Path
    metadata: dict[str, Any]
    tensors: dict[str, GgufTensor]


def read_gguf(path: Path) -> GgufFile:
    """The GGUF file `path`. Raises UserError where there is none, and where it is of another kind, damaged or cut off.

    Weights are mapped copy-on-write: whoever writes to them writes to memory of his own.
    """
    try:
        data = np.memmap(path, np.uint8, "c")
    except FileNotFoundError:
        raise UserError(f"There is no {path}.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}.") from error
    if bytes(data[:4]) != _MAGIC:
        raise UserError(f"{path} is no GGUF file.")
    try:
        return _parse(path, data)
    except (_DamagedError, struct.error, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged or cut off: {error}.", "fetch it again") from error


def _parse(path: Path, data: NDArray[np.uint8]) -> GgufFile:
    cursor = _Cursor(data.data, 4)
    version = cursor.scalar("I")
    if version not in _VERSIONS:
        raise UserError(f"{path} is of GGUF's version {version}; read are 2 and 3, with the low byte first.")
    tensor_count, metadata_count = cursor.scalar("Q"), cursor.scalar("Q")
    metadata = cursor.named(metadata_count, lambda: cursor.value(cursor.scalar("I")))
    places = cursor.named(tensor_count, cursor.tensor_place)
    alignment = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1 or alignment % 8:
        raise _DamagedError(f"its alignment is {alignment!r}")
    start = -(-cursor.at // alignment) * alignment
    return GgufFile(path, metadata, {name: _tensor(name, place, data, start) for name, place in places.items()})


def _tensor(name: str, place: tuple[tuple[int, ...], int, int], data: NDArray[np.uint8], start: int) -> GgufTensor:
    shape, number, offset = place
    try:
        kind = gguf.GGMLQuantizationType(number)
    except ValueError:
        raise _DamagedError(f"{name} is of the unknown type {number}") from None
    block, size = gguf.GGML_QUANT_SIZES[kind]
    if shape[-1] % block:
        raise _DamagedError(f"rows of {name} are {shape[-1]} long, which {kind.name} does not divide")
    first, length = start + offset, math.prod(shape) // block * size
    if first + length > len(data):
        raise _DamagedError(f"{name} ends at byte {first + length} and the file at {len(data)}")
    if offset % _DEFAULT_ALIGNMENT and offset % 8:
        raise _DamagedError(f"{name} begins in the middle of a number")
    return GgufTensor(shape, kind.name, data[first : first + length])


class _Cursor:
    """Reads numbers and strings one after the other. struct.error and _DamagedError say that there are no more."""

    def __init__(self, data: memoryview, at: int) -> None:
        self._data, self.at = data, at

    def named(self, count: int, read: Callable[[], Item]) -> dict[str, Item]:
        """`count` names, each with what `read` reads behind it."""
        found: dict[str, Item] = {}
        for _ in range(count):
            name = self.string()
            if name in found:
                raise _DamagedError(f"it has {name!r} twice")
            found[name] = read()
        return found

    def scalar(self, letter: str) -> Any:
        (value,) = struct.unpack_from(f"<{letter}", self._data, self.at)
        self.at += struct.calcsize(f"<{letter}")
        return value

    def string(self) -> str:
        length = self.scalar("Q")
        return str(self._bytes(length), "utf-8")

    def value(self, kind: int) -> Any:
        """A value of metadata of type `kind`; an array is a list."""
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind])
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            raise _DamagedError(f"a value is of the unknown type {kind}")
        inner, count = self.scalar("I"), self.scalar("Q")
        if inner == _ARRAY:
            raise _DamagedError("it has an array of arrays")
        if inner == _STRING:
            return [self.string() for _ in range(count)]
        if inner not in _SCALARS:
            raise _DamagedError(f"a value is of the unknown type {inner}")
        letters = f"<{_SCALARS[inner]}"
        return [value for (value,) in struct.iter_unpack(letters, self._bytes(count * struct.calcsize(letters)))]

    def tensor_place(self) -> tuple[tuple[int, ...], int, int]:
        """Shape, type and offset of a tensor."""
        dimensions = self.scalar("I")
        if not 1 <= dimensions <= _MOST_DIMENSIONS:
            raise _DamagedError(f"a tensor has {dimensions} dimensions")
        shape = tuple(self.scalar("Q") for _ in range(dimensions))[::-1]
        if not all(shape):
            raise _DamagedError("a tensor is empty")
        return shape, self.scalar("I"), self.scalar("Q")

    def _bytes(self, count: int) -> memoryview:
        if count > len(self._data) - self.at:
            raise _DamagedError(f"{count} bytes are announced and {len(self._data) - self.at} are left")
        self.at += count
        return self._data[self.at - count : self.at]
