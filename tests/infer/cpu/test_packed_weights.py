"""Packed weights are the network's, rounded: computing with them is computing with the rounded network."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from repotune.core.errors import UserError
from repotune.infer.cpu.engine import cpu_engine
from repotune.infer.cpu.packed import Bits, Matrix, group_of, open_packed, write_packed
from repotune.infer.cpu.packing import pack_matrix, pack_network
from repotune.model.network import Network
from repotune.model.weights import load_model

SHAPE = {"vocabulary": 1024, "width": 128, "layers": 3, "heads": 4, "kv_heads": 2, "hidden": 96, "context": 512}
STARCODER2 = dict(SHAPE, norm="layer", activation="gelu-tanh", biases="all")
SHAPES = {
    "llama": SHAPE,
    "untied": dict(SHAPE, tied=False),
    "llama 3.1, odd hidden": dict(SHAPE, rope_factor=8.0, rope_trained=64, hidden=131),
    "qwen2": dict(SHAPE, biases="qkv"),
    "starcoder2, a window": dict(STARCODER2, window=50, tied=False),
    "mpt": dict(SHAPE, kv_heads=4, hidden=512, norm="layer", position="alibi", activation="gelu"),
}
MakeModel = Callable[[dict[str, Any]], Path]


def unpacked(matrix: Matrix, bits: Bits) -> np.ndarray:
    """The numbers that a packed matrix stands for, outputs × inputs, as the layout is described."""
    panels, group = matrix.outputs // 16, group_of(bits, matrix.inputs)
    if bits == 8:
        integers = matrix.weights.reshape(panels, matrix.inputs // 4, 16, 4).astype(np.float32) - 128
    else:
        halves = matrix.weights.reshape(panels, matrix.inputs // 8, 1, 16, 4)
        integers = np.concatenate([halves & 15, halves >> 4], 2).astype(np.float32) - 8
        integers = integers.reshape(panels, matrix.inputs // 4, 16, 4)
    numbers = integers.transpose(0, 2, 1, 3).reshape(matrix.outputs, matrix.inputs)
    scales = matrix.scales.reshape(panels, matrix.inputs // group, 16).transpose(0, 2, 1)
    return numbers * np.repeat(scales.reshape(matrix.outputs, -1).astype(np.float32), group, 1)


def rounded(network: Network, bits: Bits) -> Network:
    """`network` with every matrix replaced by what its packed form stands for."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 2:
                packed = unpacked(pack_matrix(parameter.numpy(), bits), bits)
                parameter.copy_(torch.from_numpy(packed[: parameter.shape[0], : parameter.shape[1]]))
    return network


@pytest.mark.parametrize("bits", [8, 4])
def test_rounding_costs_what_the_bits_allow(bits: Bits) -> None:
    weight = np.random.default_rng(0).normal(0, 0.02, (100, 200)).astype(np.float32)
    error = unpacked(pack_matrix(weight, bits), bits)[:100, :200] - weight
    assert np.linalg.norm(error) / np.linalg.norm(weight) < {8: 0.007, 4: 0.085}[bits]


def test_zeros_and_one_huge_number_stay_what_they_are() -> None:
    weight = np.zeros((20, 64), np.float32)
    weight[3, 5], weight[4, 6] = 1000.0, -1000.0
    for bits in (8, 4):
        numbers = unpacked(pack_matrix(weight, bits), bits)[:20]
        assert (numbers[weight == 0] == 0).all()
        np.testing.assert_allclose(numbers[weight != 0], weight[weight != 0], rtol=1e-3)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_engine_computes_the_rounded_network(make_model: MakeModel, shape: dict[str, Any], bits: Bits) -> None:
    """What is left is the rounding of activations to 8 bits."""
    folder = make_model(shape)
    ids = random.Random(3).choices(range(1024), k=300)
    engine = cpu_engine(pack_network(load_model(folder), bits), threads=2)
    engine.prefill(ids[:1])
    given = engine.extend(ids[1:])
    with torch.no_grad():
        expected = rounded(load_model(folder), bits)(torch.tensor([ids]))[0, 1:].numpy()
    assert np.linalg.norm(given - expected) / np.linalg.norm(expected) < 0.07
    assert (given.argmax(1) == expected.argmax(1)).mean() > 0.85


def test_a_written_model_is_the_same_mapped(make_model: MakeModel, tmp_path: Path) -> None:
    model = pack_network(load_model(make_model(STARCODER2)), 8)
    write_packed(model, path := tmp_path / "packed.safetensors")
    ids = list(range(40))
    np.testing.assert_array_equal(cpu_engine(model, 1).prefill(ids), cpu_engine(open_packed(path), 1).prefill(ids))


def test_damaged_files_say_what_is_wrong(make_model: MakeModel, tmp_path: Path) -> None:
    write_packed(pack_network(load_model(make_model(SHAPE)), 8), whole := tmp_path / "whole.safetensors")
    data = whole.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    missing = dict(header)
    del missing["0.up.scales"]
    wrong = {name: entry for name, entry in header.items() if name != "__metadata__"}
    cases = {
        "empty": b"",
        "cut short": data[: len(data) // 2],
        "noise": random.Random(0).randbytes(4096),
        "another format": _with_header(data, wrong),
        "a matrix missing": _with_header(data, missing),
        "a shape that is none": _with_header(data, header | {"norm.weight": header["norm.weight"] | {"shape": [3]}}),
    }
    for name, content in cases.items():
        (path := tmp_path / f"{name}.safetensors").write_bytes(content)
        with pytest.raises(UserError, match=r"damaged|no packed model"):
            open_packed(path)
    with pytest.raises(UserError, match="There is no"):
        open_packed(tmp_path / "none.safetensors")


def _with_header(data: bytes, header: dict[str, Any]) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + int.from_bytes(data[:8], "little") :]
