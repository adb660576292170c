"""Our engine on a GPU: a network's weights, rounded or not, for any number of paged streams.

    engine = gpu_engine(network, "int8", torch.device("cuda"))

Every operation but the capture of a step (`graphs.py`) runs on a CPU as well, where it is tested; speed on a GPU has
not been measured (`benchmarks/gpu_decode.py` does).
"""

from __future__ import annotations

import torch

from repotune.core.errors import UserError
from repotune.infer.gpu.model import GpuModel
from repotune.infer.gpu.passes import MOST_ROWS, GpuPasses
from repotune.infer.gpu.products import Precision
from repotune.infer.paged.engine import PagedEngine
from repotune.model.configuration import ModelConfig
from repotune.model.network import Network

# Whole contexts that have room at once where memory is plenty: the streams of a team, and files that one comes back to.
_CONTEXTS = 32
_CONTEXTS_ON_A_CPU = 5
# Of what is free behind the weights: the rest is for what a compiler tries out, and for others.
_SHARE = 0.8
# What passes take beside, by count: a step's keys and values before it is compiled, twice, and logits.
_WORKSPACE = 4 << 30
# fp8 has tensor cores from Ada on.
_FP8_CAPABILITY = (8, 9)


def gpu_engine(network: Network, precision: Precision, device: torch.device) -> PagedEngine:
    """`network` computed on `device`; on a CPU op by op, for exact comparison. Results in another company are close,
    not the same bits.

    Raises UserError where the GPU has no fp8, and where it has no room for the weights and one context.
    """
    if precision == "fp8" and device.type == "cuda" and torch.cuda.get_device_capability(device) < _FP8_CAPABILITY:
        raise UserError(f"{torch.cuda.get_device_name(device)} has no fp8.", "weights: bf16, int8")
    model = GpuModel(network, precision, device)
    if device.type != "cuda":
        return PagedEngine(GpuPasses(model, _CONTEXTS_ON_A_CPU * network.config.context, compiler=None))
    free, _ = torch.cuda.mem_get_info(device)
    tokens = room(network.config, model.dtype, free)
    return PagedEngine(GpuPasses(model, tokens, compiler="inductor"))


def room(config: ModelConfig, dtype: torch.dtype, free: int) -> int:
    """How many tokens' keys and values go into `free` bytes beside what passes take. Raises UserError where one context
    does not."""
    bytes_a_token = 2 * dtype.itemsize * config.layers * config.kv_heads * config.head_width
    bias = 2 * config.heads * MOST_ROWS * config.context  # of a prompt's last piece, in bfloat16
    tokens = int(_SHARE * max(0, free - _WORKSPACE - bias)) // bytes_a_token
    if tokens < config.context:
        raise UserError(
            f"Behind its weights the GPU has {free / 1e9:.1f} GB free, which is too little for a context of "
            f"{config.context} tokens.",
            "weights: int8, or a smaller model",
        )
    return min(tokens, _CONTEXTS * config.context)
