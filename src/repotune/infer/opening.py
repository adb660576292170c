"""Which engine serves a model on this machine.

engine = open_engine(Path("release"))
logits_V = engine.prefill(prompt)
logits_V = engine.step(int(logits_V.argmax()))
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from repotune.core.errors import UserError
from repotune.core.hardware import available_cores, has_bf16
from repotune.infer.cpu.packed import Bits, PackedModel, open_packed, packable, packed_name
from repotune.infer.engine import Engine
from repotune.model.configuration import ModelConfig

Weights = Literal["auto", "f32", "bf16", "int8", "int4"]

_BITS: dict[str, Bits] = {"int8": 8, "int4": 4}


def open_engine(folder: Path, weights: Weights = "auto", threads: int | None = None) -> Engine:
    """The engine of the Hugging Face folder, or GGUF file, `folder`.

    `weights` "auto" is bf16 on a GPU and int8 on a CPU, or bf16 or f32 there for a shape that the kernels do not know.
    Packed weights are mapped from the folder where it has them, and packed in memory where not. `threads` is how many
    compute together, by default one a core. Raises UserError where the folder holds no model, and for weights that the
    model or the machine cannot have.
    """
    if weights not in ("auto", "f32", "bf16", "int8", "int4"):
        raise UserError(f"There are no weights {weights!r}.", "weights: auto, f32, bf16, int8, int4")
    bits = _BITS.get("int8" if weights == "auto" else weights)
    if bits and (folder / packed_name(bits)).is_file() and not has_gpu():
        return _cpu_engine(open_packed(folder / packed_name(bits)), threads)
    return _open_network(folder, weights, threads)


def has_gpu() -> bool:
    """Whether this machine has a GPU; without torch, whose import takes longer than all else before a token."""
    return Path("/dev/nvidiactl").exists()


def _cpu_engine(model: PackedModel, threads: int | None) -> Engine:
    from repotune.infer.cpu.engine import CpuEngine

    return CpuEngine(model, threads or available_cores())


def _open_network(folder: Path, weights: Weights, threads: int | None) -> Engine:
    import torch

    from repotune.infer.decoder import Decoder
    from repotune.model.gguf_reading import load_gguf
    from repotune.model.weights import load_model

    network = load_gguf(folder) if folder.suffix == ".gguf" else load_model(folder)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    bits = _BITS.get("int8" if weights == "auto" else weights)
    if bits and (reason := _no_kernels(network.config, device.type)) is None:
        from repotune.infer.cpu.packing import pack_network

        return _cpu_engine(pack_network(network, bits), threads)
    if weights in _BITS:
        raise UserError(f"{weights} weights are not to be had here: {reason}.", "weights: f32, bf16")
    if threads is not None:
        torch.set_num_threads(threads)
    slow = device.type == "cpu" and not has_bf16()  # bfloat16 by emulation
    return Decoder(network, "f32" if weights == "f32" or (weights == "auto" and slow) else "bf16", device)


def _no_kernels(config: ModelConfig, device: str) -> str | None:
    """Why the CPU engine cannot serve `config`, if so."""
    if device != "cpu":
        return "they are for CPUs"
    if not packable(config):
        return "the kernels need a width of whole 64s and heads of whole 32s"
    return None if find_spec("numba") else "numba is not installed (pip install 'repotune[serve]')"
