"""The engines that can serve a model on this machine, with the weights that each would read.

    candidates(Path("release"))                       usually one: ours, in int8
    candidates(Path("release"), recommended="int4")   what the release's own-code score allows

OpenVINO is a candidate in int8, not in int4: it rounds these otherwise than the weights whose loss a release tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, cast

from repotune.core.errors import UserError
from repotune.core.hardware import has_bf16
from repotune.infer.cpu.kernels.cache import kernels_version
from repotune.infer.cpu.kernels.native import lacking
from repotune.infer.cpu.packed import packable, packed_name
from repotune.infer.engine import Engine
from repotune.infer.opening import BITS, Weights, has_gpu, open_ours, open_torch

EngineName = Literal["ours", "openvino", "torch"]

_READS: dict[EngineName, tuple[Weights, ...]] = {
    "ours": ("int8", "int4"),
    "openvino": ("int8", "int4", "f32"),
    "torch": ("bf16", "f32"),
}
_READS_ON_A_GPU: tuple[Weights, ...] = ("bf16", "f32", "int8", "fp8")


@dataclass(frozen=True)
class Candidate:
    """An engine and the weights that it reads, which are never "auto"."""

    engine: EngineName
    weights: Weights

    def __str__(self) -> str:
        return f"{self.engine} {self.weights}"

    @property
    def version(self) -> str:
        """Of what computes: another one is measured anew."""
        if self.engine == "ours":
            return kernels_version()
        return version(self.engine)

    def open(self, folder: Path, threads: int | None = None) -> Engine:
        """The engine of the model in `folder`. Raises UserError where it is not installed, or does not know the model
        or these weights."""
        if self.engine == "ours":
            return open_ours(folder, BITS[self.weights], threads)
        if self.engine == "torch":
            return open_torch(folder, self.weights, threads)
        from repotune.infer.adapters.openvino import open_openvino

        return open_openvino(folder, cast(Any, self.weights), threads)


def candidates(
    folder: Path,
    engine: str = "auto",
    weights: Weights = "auto",
    recommended: Literal["int8", "int4"] = "int8",
) -> list[Candidate]:
    """What may serve the model in `folder`, ours first; at least one. `engine` and `weights` leave those alone that are
    named; with neither, only weights are read whose loss is accepted: `recommended` by our kernels, int8 by OpenVINO,
    and torch's exact ones where there is a GPU or the kernels do not know the shape. On a GPU, torch reads int8 and fp8
    where they are named: their loss is not among those that a release tells.

    Raises UserError where the engine named does not read the weights named, and for a folder that holds no model.
    """
    for name in _READS:
        if name == engine:
            return [_named(folder, name, weights, recommended)]
    found = []
    if weights in _READS["ours"] or (weights == "auto" and _has_kernels(folder)):
        found.append(Candidate("ours", _ours(folder, recommended) if weights == "auto" else weights))
    if find_spec("openvino") and weights in ("auto", *_READS["openvino"]):
        found.append(Candidate("openvino", "int8" if weights == "auto" else weights))
    if weights in _reads("torch") or not found or (weights == "auto" and has_gpu()):
        found.append(Candidate("torch", _torch() if weights == "auto" else weights))
    return found


def _named(folder: Path, engine: EngineName, weights: Weights, recommended: Literal["int8", "int4"]) -> Candidate:
    if weights == "auto":
        chosen: dict[EngineName, Weights] = {"ours": _ours(folder, recommended), "openvino": "int8", "torch": _torch()}
        return Candidate(engine, chosen[engine])
    if weights not in _reads(engine):
        raise UserError(f"{engine} does not read {weights} weights here.", f"it reads {', '.join(_reads(engine))}")
    return Candidate(engine, weights)


def _reads(engine: EngineName) -> tuple[Weights, ...]:
    return _READS_ON_A_GPU if engine == "torch" and has_gpu() else _READS[engine]


def _ours(folder: Path, recommended: Literal["int8", "int4"]) -> Weights:
    """What is recommended, where the folder has it packed."""
    return recommended if (folder / packed_name(BITS[recommended])).is_file() else "int8"


def _torch() -> Weights:
    """bf16 where it is not emulated."""
    return "bf16" if has_gpu() or has_bf16() else "f32"


def _has_kernels(folder: Path) -> bool:
    """Whether our kernels know the model; without torch where it is packed already."""
    if lacking():
        return False
    if any((folder / packed_name(bits)).is_file() for bits in BITS.values()):
        return True
    from repotune.model.weights import read_config

    return packable(read_config(folder))
