"""What needs a GPU: steps compiled and captured there give what a CPU gives."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from repotune.infer.gpu.engine import gpu_engine
from repotune.infer.gpu.model import GpuModel
from repotune.infer.gpu.passes import GpuPasses
from repotune.infer.gpu.products import Precision
from repotune.infer.paged.engine import PagedEngine
from repotune.model.configuration import ModelConfig
from repotune.model.network import Network

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

VOCABULARY = 512
SHAPES = {
    "llama": ModelConfig(VOCABULARY, 256, 3, 4, 2, 512, 1024),
    "mpt": ModelConfig(
        VOCABULARY, 256, 3, 4, 2, 1024, 1024, norm="layer", position="alibi", activation="gelu"
    ),
}  # fmt: skip


def tokens(count: int) -> list[int]:
    return random.Random(1).choices(range(VOCABULARY), k=count)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES)
def test_captured_steps_give_what_a_cpu_gives(config: ModelConfig, precision: Precision) -> None:
    torch.manual_seed(5)
    network = Network(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) * (0.1 if parameter.dim() > 1 else 1.0))
    passes = GpuPasses(GpuModel(network, precision, torch.device("cuda")), 4096, "inductor")
    engine, ids = PagedEngine(passes), tokens(200)
    engine.prefill(ids[:100])
    before = np.stack([engine.step(ids[100]), *engine.extend(ids[101:104])])
    passes.settle()
    engine.rewind(4)
    after = np.stack([engine.step(ids[100]), *engine.extend(ids[101:104]), *(engine.step(each) for each in ids[104:])])
    exact = gpu_engine(network, "f32", torch.device("cpu"))
    exact.prefill(ids[:100])
    expected = exact.extend(ids[100:])
    assert np.linalg.norm(after[:4] - before) / np.linalg.norm(before) < 0.05
    assert np.linalg.norm(after - expected) / np.linalg.norm(expected) < 0.1
