"""Which engine serves a model on this machine.

engine = open_engine(Path("release"))
logits_V = engine.prefill(prompt)
logits_V = engine.step(int(logits_V.argmax()))
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from repotune.core.errors import UserError
from repotune.core.hardware import available_cores, has_bf16
from repotune.infer.cpu.kernels.native import lacking
from repotune.infer.cpu.packed import Bits, PackedModel, open_packed, packable, packed_name
from repotune.infer.engine import Engine
from repotune.model.configuration import ModelConfig

if TYPE_CHECKING:
    from repotune.model.network import Network

Weights = Literal["auto", "f32", "bf16", "int8", "int4", "fp8"]

BITS: dict[str, Bits] = {"int8": 8, "int4": 4}


def open_engine(folder: Path, weights: Weights = "auto", threads: int | None = None) -> Engine:
    """The engine of the Hugging Face folder, or GGUF file, `folder`.

    `weights` "auto" is bf16 on a GPU and int8 on a CPU, or bf16 or f32 there for a shape that the kernels do not know.
    int4 is for CPUs, fp8 for GPUs; int8 is for both, where a GPU rounds by itself. On a CPU packed weights are mapped
    from the folder where it has them, and packed in memory where not. `threads` is how many compute together there, by
    default one a core. Raises UserError where the folder holds no model, and for weights that the model or the machine
    cannot have.
    """
    if weights not in get_args(Weights):
        raise UserError(f"There are no weights {weights!r}.", f"weights: {', '.join(get_args(Weights))}")
    bits = BITS.get("int8" if weights == "auto" else weights)
    if bits and (folder / packed_name(bits)).is_file() and not has_gpu() and lacking() is None:
        return open_ours(folder, bits, threads)
    return _open_network(folder, weights, threads)


def open_ours(folder: Path, bits: Bits, threads: int | None = None) -> Engine:
    """Our engine on this machine's CPU, whatever else it has; raises as `open_engine`."""
    packed = folder / packed_name(bits)
    if packed.is_file():
        return _cpu_engine(open_packed(packed), threads)
    network = _read_network(folder)
    if reason := _no_kernels(network.config):
        raise UserError(f"int{bits} weights are not to be had here: {reason}.", "weights: f32, bf16")
    return _packing_engine(network, bits, threads)


def open_torch(folder: Path, weights: Weights, threads: int | None = None) -> Engine:
    """Torch: on a GPU where there is one, else with f32 or bf16 weights on the CPU. Raises as `open_engine`."""
    return _torch_engine(_read_network(folder), weights, threads)


def has_gpu() -> bool:
    """Whether this machine has a GPU; without torch, whose import takes longer than all else before a token."""
    return Path("/dev/nvidiactl").exists()


def _open_network(folder: Path, weights: Weights, threads: int | None) -> Engine:
    import torch

    network = _read_network(folder)
    bits = BITS.get("int8" if weights == "auto" else weights)
    if bits and not torch.cuda.is_available():
        reason = _no_kernels(network.config)
        if reason is None:
            return _packing_engine(network, bits, threads)
        if weights != "auto":
            raise UserError(f"{weights} weights are not to be had here: {reason}.", "weights: f32, bf16")
    return _torch_engine(network, weights, threads)


def _read_network(folder: Path) -> Network:
    from repotune.model.gguf_reading import load_gguf
    from repotune.model.weights import load_model

    return load_gguf(folder) if folder.suffix == ".gguf" else load_model(folder)


def _torch_engine(network: Network, weights: Weights, threads: int | None) -> Engine:
    """On a GPU the engine for one, but for exact weights; else plain torch."""
    import torch

    if torch.cuda.is_available() and weights != "f32":
        if weights == "int4":
            raise UserError("int4 weights are not to be had here: they are for CPUs.", "weights: f32, bf16, int8, fp8")
        from repotune.infer.gpu.engine import gpu_engine

        return gpu_engine(network, "bf16" if weights == "auto" else weights, torch.device("cuda"))
    if weights not in ("auto", "f32", "bf16"):
        raise UserError(f"{weights} weights are not to be had here: torch reads them on a GPU.", "weights: f32, bf16")
    return _decoder(network, weights, threads)


def _decoder(network: Network, weights: Weights, threads: int | None) -> Engine:
    import torch

    from repotune.infer.decoder import Decoder

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if threads is not None:
        torch.set_num_threads(threads)
    slow = not has_bf16()  # bfloat16 by emulation
    return Decoder(network, "f32" if weights == "f32" or (weights == "auto" and slow) else "bf16", device)


def _packing_engine(network: Network, bits: Bits, threads: int | None) -> Engine:
    from repotune.infer.cpu.packing import pack_network

    return _cpu_engine(pack_network(network, bits), threads)


def _cpu_engine(model: PackedModel, threads: int | None) -> Engine:
    from repotune.infer.cpu.engine import cpu_engine

    return cpu_engine(model, threads or available_cores())


def _no_kernels(config: ModelConfig) -> str | None:
    """Why the CPU engine cannot serve `config`, if so."""
    if not packable(config):
        return "the kernels need a width of whole 64s and heads of whole 32s"
    return lacking()
