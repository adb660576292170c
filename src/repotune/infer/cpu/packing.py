"""From a network to packed weights, one tensor at a time in float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from repotune.core.hardware import available_cores
from repotune.infer.cpu.kernels.packing import pack_rows
from repotune.infer.cpu.kernels.tables import address_of
from repotune.infer.cpu.packed import PIECE, Array, Bits, Matrix, PackedModel, group_of, round_up
from repotune.model.attention import alibi_slopes, frequencies
from repotune.model.configuration import ModelConfig
from repotune.model.network import Network

_PANEL = 16
_PANELS_A_CALL = 32
_NORMS = ("attention", "feed_forward")

Read = Callable[[str], Array]


def pack_network(network: Network, bits: Bits) -> PackedModel:
    """`network` rounded to `bits`."""
    state, config = network.state_dict(), network.config

    def read(name: str) -> Array:
        array: Array = state[name].detach().float().cpu().numpy()
        return array

    matrices = {"embedding": pack_matrix(read("embedding.weight"), bits)}
    if not config.tied:
        matrices["head"] = pack_matrix(read("head.weight"), bits)
    for index in range(config.layers):
        for name, weight_OI, bias_O in _layer(config, read, f"blocks.{index}"):
            matrices[f"{index}.{name}"] = pack_matrix(weight_OI, bits, bias_O)
    norms = ["norm", *(f"blocks.{index}.{part}_norm" for index in range(config.layers) for part in _NORMS)]
    kinds = ("weight", "bias") if config.biases == "all" else ("weight",)
    vectors = {f"{norm}.{kind}": np.array(read(f"{norm}.{kind}"), np.float32) for norm in norms for kind in kinds}
    if config.position == "rope":
        vectors["frequencies"] = frequencies(config, torch.device("cpu")).numpy()
    else:
        vectors["slopes"] = alibi_slopes(config.heads).numpy().astype(np.float32)
    return PackedModel(config, bits, matrices, vectors)


def pack_matrix(weight_OI: Array, bits: Bits, bias_O: Array | None = None) -> Matrix:
    """`weight_OI` (outputs × inputs, float32) rounded to `bits`, on all cores."""
    weight_OI = np.ascontiguousarray(weight_OI, np.float32)
    outputs, inputs = weight_OI.shape
    padded_outputs, padded_inputs = round_up(outputs, PIECE), round_up(inputs, PIECE)
    group = group_of(bits, padded_inputs)
    weights = np.zeros(padded_outputs * padded_inputs * bits // 8, np.uint8)
    scales = np.zeros(padded_outputs * padded_inputs // group, np.float16)

    def pack(first: int) -> None:
        end = min(first + _PANELS_A_CALL, padded_outputs // _PANEL)
        pack_rows(
            address_of(weight_OI), first, end, outputs, inputs, padded_inputs, group, bits, address_of(weights),
            address_of(scales),
        )  # fmt: skip

    with ThreadPoolExecutor(available_cores()) as threads:
        list(threads.map(pack, range(0, padded_outputs // _PANEL, _PANELS_A_CALL)))
    bias = None
    if bias_O is not None:
        bias = np.zeros(padded_outputs, np.float32)
        bias[:outputs] = bias_O
    return Matrix(weights, scales, bias, padded_inputs, padded_outputs)


def _layer(config: ModelConfig, read: Read, block: str) -> Iterator[tuple[str, Array, Array | None]]:
    """A layer's four matrices: queries, keys and values in one, and gate and up, each padded to whole pieces."""

    def stacked(biased: bool, *names: str) -> tuple[Array, Array | None]:
        weights = [read(f"{block}.{name}.weight") for name in names]
        bias = np.concatenate([read(f"{block}.{name}.bias") for name in names]) if biased else None
        return np.concatenate(weights), bias

    everywhere = config.biases == "all"
    yield "qkv", *stacked(config.biases != "none", "attention.query", "attention.key", "attention.value")
    yield "output", *stacked(everywhere, "attention.output")
    if config.activation == "swiglu":
        beyond = ((0, round_up(config.hidden, PIECE) - config.hidden), (0, 0))
        pair = (np.pad(read(f"{block}.feed_forward.{name}.weight"), beyond) for name in ("gate", "up"))
        yield "up", np.concatenate([*pair]), None
    else:
        yield "up", *stacked(everywhere, "feed_forward.up")
    yield "down", *stacked(everywhere, "feed_forward.down")
