"""Steps compiled beside passes, on a CPU: without a break, to the same logits, touching nothing of other streams."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters
from torch._inductor import list_options
from torch._inductor.utils import run_and_get_code

from repotune.infer.engine import Cancelled
from repotune.infer.gpu.jobs import Bucket
from repotune.infer.gpu.model import GpuModel
from repotune.infer.gpu.passes import GpuPasses
from repotune.infer.gpu.places import PAGE
from repotune.infer.gpu.products import Precision
from repotune.infer.gpu.stages import INDUCTOR, PLAIN
from repotune.infer.paged.engine import PagedEngine
from repotune.model.configuration import ModelConfig
from repotune.model.network import Network

CPU = torch.device("cpu")
LLAMA: dict[str, Any] = {
    "vocabulary": 256,
    "width": 64,
    "layers": 3,
    "heads": 4,
    "kv_heads": 2,
    "hidden": 96,
    "context": 2048,
}
MPT = dict(LLAMA, hidden=256, norm="layer", position="alibi", activation="gelu")
STARCODER2 = dict(LLAMA, norm="layer", activation="gelu-tanh", biases="all", window=700)
SHAPES = {"llama": LLAMA, "qwen2": dict(LLAMA, biases="qkv"), "starcoder2": STARCODER2, "mpt": MPT}
TOKENS = 8192  # of room


def passes(shape: dict[str, Any], precision: Precision = "f32", compiler: str | None = "eager") -> GpuPasses:
    torch.manual_seed(5)
    network = Network(ModelConfig(**shape))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) * (0.1 if parameter.dim() > 1 else 1.0))
    return GpuPasses(GpuModel(network, precision, CPU), TOKENS, compiler)


def tokens(count: int, seed: int = 3) -> list[int]:
    return random.Random(seed).choices(range(LLAMA["vocabulary"]), k=count)


def steps_of(engine: PagedEngine, ids: list[int]) -> np.ndarray:
    """One token, then all others, behind a prompt that is there; all taken back."""
    given = np.stack([engine.step(ids[0]), *engine.extend(ids[1:])])
    engine.rewind(len(ids))
    return given


@pytest.mark.parametrize(("precision", "most"), [("f32", 1e-5), ("int8", 0.05), ("fp8", 0.2)])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_compiled_whole_a_step_gives_the_same_logits(shape: dict[str, Any], precision: Precision, most: float) -> None:
    """Two shapes of step, behind 40 tokens and behind 1,000: `fullgraph` raises where a graph would break."""
    computed = passes(shape, precision)
    engine = PagedEngine(computed)
    for length in (40, 1000):
        engine.prefill(tokens(length))
        before = steps_of(engine, tokens(6))
        computed.settle()
        after = steps_of(engine, tokens(6))
        assert np.linalg.norm(after - before) / np.linalg.norm(before) < most
    assert computed._steps._ready.keys() == {Bucket(rows, pages) for rows in (1, 8) for pages in (8, 16)}


def test_one_layer_is_compiled_for_all() -> None:
    torch._dynamo.reset()
    computed = passes(dict(LLAMA, layers=6))
    engine = PagedEngine(computed)
    engine.prefill(tokens(40))
    before = counters["stats"]["unique_graphs"]
    engine.step(1)
    computed.settle()
    assert counters["stats"]["unique_graphs"] == before + len(PLAIN)


def test_spare_rows_and_their_compilation_touch_no_page_of_a_stream() -> None:
    computed = passes(LLAMA)
    engine = PagedEngine(computed)
    engine.prefill(tokens(100))
    before = everything(computed)
    engine.extend(tokens(5))  # eight rows, of which three are spare
    computed.settle()
    engine.rewind(5)
    engine.extend(tokens(5))
    stream = engine._stream
    assert stream is not None
    own = {(int(stream.table[position // PAGE]), position % PAGE) for position in range(100, 105)}
    touched = (everything(computed) != before).any(-1).nonzero().tolist()
    assert {tuple(slot) for slot in touched} - {(computed.pages.count, 0)} == own


def everything(computed: GpuPasses) -> torch.Tensor:
    """What is held of each token of each page, N×T×…"""
    kinds = [kind for held in computed._room.layers for kind in (held.keys, held.values.permute(0, 3, 1, 2))]
    return torch.cat([kind.flatten(2) for kind in kinds], -1)


def test_passes_go_on_while_steps_are_compiled() -> None:
    computed = passes(LLAMA)
    first = PagedEngine(computed)
    engines = [first, *(first.another() for _ in range(5))]

    def answer(number: int) -> np.ndarray:
        engine = engines[number]
        given = [engine.prefill(tokens(30 + 50 * number, number)), *(engine.step(token) for token in tokens(40))]
        engine.end()
        return np.stack(given)

    with ThreadPoolExecutor(len(engines)) as threads:
        given = list(threads.map(answer, range(len(engines))))
    computed.settle()
    for number, logits in enumerate(given):
        np.testing.assert_allclose(answer(number), logits, atol=1e-4, rtol=1e-4)


def test_a_step_that_cannot_be_compiled_goes_on_without(caplog: pytest.LogCaptureFixture) -> None:
    def fails(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable[..., Any]:
        raise RuntimeError("no compiler here")

    torch._dynamo.register_backend(fails, name="failing")
    computed = passes(LLAMA, compiler="failing")
    engine = PagedEngine(computed)
    engine.prefill(tokens(40))
    before = engine.step(1)
    with pytest.raises(Exception, match="no compiler here"):
        computed.settle()
    engine.rewind(1)
    np.testing.assert_allclose(engine.step(1), before, atol=1e-5, rtol=1e-4)
    assert "stay uncompiled" in caplog.text


# Importing Inductor meets torch's own remains of TorchScript.
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.skipif(shutil.which("g++") is None, reason="Inductor needs g++ on a CPU")
@pytest.mark.parametrize(("shape", "precision"), [(LLAMA, "int8"), (MPT, "f32")], ids=["llama int8", "mpt"])
def test_inductor_reads_keys_and_values_where_they_lie(shape: dict[str, Any], precision: Precision) -> None:
    """The same stream out of a layer, and in its code no copy of what is held, nor of what the rows see of it."""
    computed = passes(shape, precision, compiler=None)
    model, held = computed._model, computed._room.layers[0]
    held.keys.normal_()
    held.values.normal_()
    bucket = Bucket(rows=4, pages=8)
    with torch.no_grad():
        _, rows = model.begin(torch.from_numpy(bucket.job((), computed.pages.count)))
        x_RD = torch.randn(4, model.config.width)
        expected = PLAIN.layer(model.layers[0], x_RD, rows, held)
        compiled = PLAIN.compiled("inductor", CPU)
        given, codes = run_and_get_code(compiled.layer, model.layers[0], x_RD, rows, held)
    torch.testing.assert_close(given, expected, atol=0.05 if precision == "int8" else 1e-4, rtol=0.01)
    seen = bucket.rows * bucket.pages * PAGE * model.config.kv_heads * model.config.head_width
    sizes = [
        np.prod([int(side) for side in shape.split(",") if side.strip()])
        for shape in re.findall(r"= empty_strided_cpu\(\(([\d, ]+)\)", "".join(codes))
    ]
    assert sizes
    assert max(sizes) < seen


def test_inductor_knows_what_it_is_asked_for_on_a_gpu() -> None:
    assert set(INDUCTOR) <= set(list_options())


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_prompts_and_steps_of_one_pass_are_each_alone(shape: dict[str, Any]) -> None:
    """Two long pieces, a step and a draft in the same pass, wanted in part and wholly."""
    computed, texts = passes(shape, compiler=None), [tokens(80 + number, number) for number in range(4)]
    news, wanted = (30, 1, 60, 5), (1, 1, 60, 3)
    streams = [computed.pages.stream() for _ in texts]
    for stream, text, new in zip(streams, texts, news, strict=True):
        computed.compute([(stream, text[:-new], 1)])
    given = computed.compute(
        [(stream, text[-new:], want) for stream, text, new, want in zip(streams, texts, news, wanted, strict=True)]
    )
    for stream, text, logits, want in zip(streams, texts, given, wanted, strict=True):
        assert list(stream.tokens) == text
        np.testing.assert_allclose(logits, alone(computed, text, want), atol=1e-4, rtol=1e-4)


def alone(computed: GpuPasses, text: list[int], wanted: int) -> np.ndarray:
    """The last logits of `text`, computed in one piece by itself."""
    stream = computed.pages.stream()
    (logits,) = computed.compute([(stream, text, wanted)])
    computed.pages.release(stream)
    return logits


def test_more_streams_than_a_step_has_rows_take_several() -> None:
    computed = passes(LLAMA, compiler=None)
    texts = [tokens(20, number) for number in range(70)]
    streams = [computed.pages.stream() for _ in texts]
    for stream, text in zip(streams, texts, strict=True):
        computed.compute([(stream, text[:-1], 1)])
    given = computed.compute([(stream, text[-1:], 1) for stream, text in zip(streams, texts, strict=True)])
    for number in (0, 63, 64, 69):
        np.testing.assert_allclose(given[number], alone(computed, texts[number], 1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("new", [1, 40], ids=["a step", "a prompt"])
def test_cancelled_no_stream_has_changed(new: int) -> None:
    computed = passes(LLAMA, compiler=None)
    stream, text = computed.pages.stream(), tokens(90)
    computed.compute([(stream, text[:-new], 1)])
    computed.cancel()
    with pytest.raises(Cancelled):
        computed.compute([(stream, text[-new:], 1)])
    assert list(stream.tokens) == text[:-new]
    computed.resume()
    (logits,) = computed.compute([(stream, text[-new:], 1)])
    np.testing.assert_allclose(logits, alone(computed, text, 1), atol=1e-4, rtol=1e-4)
