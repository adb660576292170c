"""Every type of GGUF is as near to the model as it can be, and a weight that is further off is noticed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest

from repotune.model.configuration import ModelConfig
from repotune.release.gguf import GgufType, write_gguf
from repotune.release.verify import DamagedReleaseError, check_gguf

SHAPE = ModelConfig(1024, width=64, layers=2, heads=4, kv_heads=2, hidden=112, context=512)
BYTES = {"f32": 4.0, "f16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}


@pytest.fixture(scope="module")
def folder(make_folder: Callable[[ModelConfig], Path]) -> Path:
    return make_folder(SHAPE)


@pytest.mark.parametrize("kind", BYTES)
def test_what_is_written_is_what_is_meant(folder: Path, tmp_path: Path, kind: GgufType) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(folder, path, kind, "test")
    network = check_gguf(path, kind, folder)
    assert network.config == SHAPE
    sizes = {tensor.name: tensor.n_bytes / tensor.n_elements for tensor in gguf.GGUFReader(path).tensors}
    assert sizes["blk.0.ffn_up.weight"] == BYTES[kind]
    # Embedding and head keep 8 bits; 112 neighbours are no whole number of blocks.
    assert sizes["token_embd.weight"] == (BYTES["q8_0"] if kind == "q4_0" else BYTES[kind])
    assert sizes["blk.0.ffn_down.weight"] == (2.0 if kind == "f16" else 4.0)
    assert sizes["output_norm.weight"] == 4.0


@pytest.mark.parametrize("kind", BYTES)
def test_a_weight_that_is_off_by_more_is_noticed(folder: Path, tmp_path: Path, kind: GgufType) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(folder, path, kind, "test")
    tensor = next(one for one in gguf.GGUFReader(path, "r+").tensors if one.name == "blk.1.attn_v.weight")
    raw = tensor.data.view(np.uint8).reshape(-1)
    # The last byte of a number in f32 and f16, the first one's whole part in a block of q8_0 and q4_0.
    place = {"f32": 3, "f16": 1, "q8_0": 2, "q4_0": 2}[kind]
    raw[place] ^= 0x44
    with pytest.raises(DamagedReleaseError, match=r"blk.1.attn_v.weight"):
        check_gguf(path, kind, folder)
