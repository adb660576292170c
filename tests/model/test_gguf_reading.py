"""GGUF in: the weights, the logits and the tokenizer of the folder it was written from, and what is wrong is said."""

from __future__ import annotations

import json
import random
import struct
import sysconfig
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
import xllamacpp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repotune.core.errors import UserError
from repotune.model.configuration import ModelConfig
from repotune.model.gguf_file import read_gguf
from repotune.model.gguf_reading import load_gguf, read_gguf_codec
from repotune.model.network import Network
from repotune.model.weights import load_model, save_model
from repotune.release.gguf import GgufType, write_gguf
from repotune.tokenizer.bpe import train_bpe
from repotune.tokenizer.encoding import load_codec
from repotune.tokenizer.layout import SPECIAL_TOKENS, vocabulary_of, write_vocabulary
from repotune.tokenizer.patterns import KNOWN, PATTERNS

LIBRARY = Path(sysconfig.get_paths()["stdlib"])
SHAPE = {"width": 64, "layers": 2, "heads": 4, "kv_heads": 2, "hidden": 128, "context": 512}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": SHAPE,
    "llama, untied": dict(SHAPE, tied=False, rope_base=500_000.0),
    "llama 3.1": dict(SHAPE, rope_factor=8.0, rope_trained=64),
    "qwen2": dict(SHAPE, biases="qkv", norm_epsilon=1e-6),
    "starcoder2": dict(SHAPE, norm="layer", activation="gelu-tanh", biases="all", rope_base=999_999.4420358813),
    "mpt": dict(SHAPE, norm="layer", position="alibi", activation="gelu", hidden=256),
}
TEXTS = [
    "def f(x):\n    return 1234567\n",
    "naïve = '日本語 🐍'  # don't, I'M\r\n\t\t}",
    "<|endoftext|> <fim_prefix>",
    " " * 70,
]


@pytest.fixture(scope="module")
def sources() -> list[str]:
    return [path.read_text(encoding="utf-8")[:20_000] for path in sorted(LIBRARY.glob("*.py"))[:12]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, sources: list[str]) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    write_vocabulary(folder, vocabulary_of(train_bpe(iter(sources), 1024 - len(SPECIAL_TOKENS))))
    return folder


Write = Callable[..., tuple[Path, Path]]


@pytest.fixture(scope="module")
def write(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> Write:
    """Writes a random model of a family as a folder, and as GGUF of a type beside it."""

    def make(family: str = "llama", kind: GgufType = "f32", tokenizer: Path = trained) -> tuple[Path, Path]:
        folder = tmp_path_factory.mktemp("model")
        torch.manual_seed(5)
        network = Network(ModelConfig(load_codec(tokenizer).size, **FAMILIES[family]))
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.copy_(torch.randn_like(parameter) * (0.1 if parameter.dim() > 1 else 1.0))
        save_model(folder, network, tokenizer)
        write_gguf(folder, folder / "model.gguf", kind, "test")
        return folder, folder / "model.gguf"

    return make


def logits(network: Network, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return network.float()(torch.tensor([ids]))[0]


def ids_of(count: int, vocabulary: int = 1024) -> list[int]:
    return random.Random(1).choices(range(7, vocabulary), k=count)


@pytest.mark.parametrize("family", FAMILIES)
def test_f32_gives_the_folders_config_and_weights_exactly(write: Write, family: str) -> None:
    folder, path = write(family)
    given, meant = load_gguf(path), load_model(folder)
    assert given.config.family == meant.config.family
    for name, value in vars(meant.config).items():
        assert getattr(given.config, name) == (pytest.approx(value, rel=1e-7) if isinstance(value, float) else value)
    assert given.state_dict().keys() == meant.state_dict().keys()
    for name, tensor in meant.state_dict().items():
        assert torch.equal(given.state_dict()[name], tensor), name
    if family != "starcoder2":  # its base is no float32
        assert torch.equal(logits(given, ids_of(40)), logits(meant, ids_of(40)))


@pytest.mark.parametrize(("kind", "bound"), [("f16", 0.002), ("q8_0", 0.03), ("q4_0", 0.5)])
def test_fewer_bits_are_near_the_folders_logits(write: Write, kind: GgufType, bound: float) -> None:
    folder, path = write("llama", kind)
    given, meant = logits(load_gguf(path), ids_of(40)), logits(load_model(folder), ids_of(40))
    assert 0 < float((given - meant).norm() / meant.norm()) < bound


@pytest.mark.parametrize(("kind", "bound"), [("f32", 0.02), ("f16", 0.02), ("q8_0", 0.15), ("q4_0", 0.15)])
@pytest.mark.parametrize("family", ["llama", "qwen2", "starcoder2"])
def test_logits_are_llama_cpps(write: Write, family: str, kind: GgufType, bound: float) -> None:
    """Of the same file. llama.cpp has keys and values in 16 bits, and rounds activations where weights are rounded."""
    _, path = write(family, kind)
    ids = ids_of(30)
    meant = logits(load_gguf(path), ids)[-1].log_softmax(0).numpy()
    assert np.abs(llama_cpp_log_probabilities(path, ids) - meant).max() < bound


def llama_cpp_log_probabilities(path: Path, ids: list[int]) -> np.ndarray:
    """Of the token after `ids`, from llama.cpp's server."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx, parameters.n_parallel, parameters.warmup, parameters.verbosity = 512, 1, False, -1
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(parameters)
    # Probabilities are those before sampling. The likeliest token is taken: where chance took the end, none come back.
    body = json.dumps({"prompt": ids, "n_predict": 1, "temperature": 1, "top_k": 1, "n_probs": 1024}).encode()
    request = urllib.request.Request(
        server.listening_address + "/completion", body, {"Content-Type": "application/json"}
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
        (first,) = json.loads(answer.read())["completion_probabilities"]
    found = {one["id"]: one["logprob"] for one in first["top_logprobs"]}
    return np.array([found[number] for number in range(1024)])


def test_bf16_is_read_as_it_lies_in_the_file(write: Write, tmp_path: Path) -> None:
    folder, path = write()
    rewrite(path, tmp_path / "bf16.gguf", matrices=gguf.GGMLQuantizationType.BF16)
    given, meant = load_gguf(tmp_path / "bf16.gguf"), load_model(folder)
    assert given.embedding.weight.dtype == torch.bfloat16
    assert torch.equal(given.embedding.weight, meant.embedding.weight.bfloat16())
    assert torch.equal(given.norm.weight, meant.norm.weight)


def test_weights_stay_in_the_file(write: Write) -> None:
    _, path = write("qwen2", "f16")
    file = read_gguf(path)
    for name in ("token_embd.weight", "blk.1.ffn_up.weight", "blk.0.attn_q.weight"):
        tensor = file.tensors[name]
        assert tensor.load().data_ptr() == tensor.data.__array_interface__["data"][0]
    network = load_gguf(path)
    assert network.embedding.weight is network.head.weight
    before = path.read_bytes()
    network.embedding.weight.zero_()
    assert path.read_bytes() == before


@pytest.mark.parametrize("pattern", [p for p in KNOWN.values() if p.gguf], ids=lambda p: p.gguf)
def test_the_codec_is_the_folders(
    write: Write, sources: list[str], tmp_path: Path, pattern: Any, trained: Path
) -> None:
    write_vocabulary(
        tmp_path, vocabulary_of(train_bpe(iter(sources), 1024 - len(SPECIAL_TOKENS), pattern.regex), pattern.regex)
    )
    folder, path = write(tokenizer=tmp_path)
    given, meant = read_gguf_codec(path), load_codec(folder)
    assert (given.names, given.special, given.size) == (meant.names, meant.special, meant.size)
    for text in [*TEXTS, *sources]:
        assert given.encode(text) == meant.encode(text)


# Changes to a file's metadata and tensors, and what is said of it.
FOREIGN: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "another family": ({"general.architecture": "gptneox"}, {}, "architecture is 'gptneox'"),
    "scaled rotations": ({"llama.rope.scaling.type": "yarn"}, {}, "scaling.type = 'yarn'"),
    "experts": ({"llama.expert_count": 8}, {}, "expert_count = 8"),
    "no length": ({"llama.block_count": None}, {}, "block_count = nothing"),
    "a word for a number": ({"llama.embedding_length": "wide"}, {}, "embedding_length = 'wide'"),
    "heads that do not divide": ({"llama.attention.head_count": 3}, {}, "does not divide"),
    "more layers than weights": ({"llama.block_count": 3}, {}, "block_count of 3 and weights of 2"),
    "fewer layers than weights": ({"llama.block_count": 1}, {}, "block_count of 1 and weights of 2"),
    "another width": ({"llama.feed_forward_length": 96}, {}, "128 × 64 where 96 × 64"),
    "a tensor too many": ({}, {"blk.0.attn_q.bias": np.ones(64, np.float32)}, "hold blk.0.attn_q.bias"),
    "a tensor too few": ({}, {"blk.0.attn_q.weight": None}, "lack blk.0.attn_q.weight"),
    "no embedding": ({}, {"token_embd.weight": None}, "lack token_embd.weight"),
    "another model's facts": ({"general.architecture": "qwen2"}, {}, "qwen2.attention.head_count = nothing"),
    "other rotations": ({}, {"rope_freqs.weight": np.linspace(1, 3, 8, dtype=np.float32)}, "slowed in another way"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_what_is_not_ours_is_refused_by_name(write: Write, tmp_path: Path, case: str) -> None:
    metadata, tensors, message = FOREIGN[case]
    _, path = write()
    rewrite(path, tmp_path / "foreign.gguf", metadata, tensors)
    with pytest.raises(UserError, match=message):
        load_gguf(tmp_path / "foreign.gguf")


def test_types_that_are_not_read_are_named(write: Write, tmp_path: Path) -> None:
    _, path = write()
    data = path.read_bytes()
    # The type of token_embd.weight (1024 × 64, F32 = 0) becomes Q5_0 (6), of which fewer bytes are needed.
    place = data.index(struct.pack("<QQ", 64, 1024)) + 16
    (tmp_path / "q5.gguf").write_bytes(data[:place] + struct.pack("<I", 6) + data[place + 4 :])
    with pytest.raises(UserError, match="type Q5_0, which cannot be read"):
        load_gguf(tmp_path / "q5.gguf")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"tokenizer.ggml.model": "llama"}, "of model 'llama'"),
        ({"tokenizer.ggml.pre": "deepseek-coder"}, "cuts text by 'deepseek-coder'"),
        ({"tokenizer.ggml.merges": None}, "lacks its tokens"),
        ({"tokenizer.ggml.token_type": [1] * 1024}, "lacks special tokens"),
        ({"tokenizer.ggml.tokens": ["x"] * 1024}, "not a tokenizer of repotune"),
    ],
)
def test_tokenizers_that_are_not_ours_are_refused(
    write: Write, tmp_path: Path, metadata: dict[str, Any], message: str
) -> None:
    _, path = write()
    rewrite(path, tmp_path / "foreign.gguf", metadata)
    with pytest.raises(UserError, match=message) as caught:
        read_gguf_codec(tmp_path / "foreign.gguf")
    assert "foreign.gguf" in caught.value.message


def test_no_file_and_no_gguf_say_so(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "other").write_bytes(b"PK" + bytes(100))
    (tmp_path / "first").write_bytes(b"GGUF" + struct.pack("<I", 1) + bytes(100))
    cases = {"missing": "There is no", "empty": "cannot be read", "other": "no GGUF file", "first": "version 1"}
    for name, message in cases.items():
        with pytest.raises(UserError, match=message):
            load_gguf(tmp_path / name)
    with pytest.raises(UserError, match="cannot be read"):
        load_gguf(tmp_path)


def test_a_file_that_was_cut_off_says_so_wherever_it_was_cut(write: Write, tmp_path: Path) -> None:
    _, path = write("qwen2", "q8_0")
    data = path.read_bytes()
    cuts = [5, 12, 23, 24, 25, 60, 500, 5000, *random.Random(2).choices(range(len(data) - 32), k=40), len(data) - 32]
    for cut in cuts:
        (tmp_path / "cut.gguf").write_bytes(data[:cut])
        with pytest.raises(UserError, match=r"damaged or cut off|no GGUF file"):
            load_gguf(tmp_path / "cut.gguf")


@given(seed=st.integers(0, 2**32), changes=st.integers(1, 8))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_is_an_error_of_ours_or_none(write: Write, tmp_path: Path, seed: int, changes: int) -> None:
    path = tmp_path / "whole.gguf"
    if not path.exists():
        path.write_bytes(write()[1].read_bytes())
    data, draw = bytearray(path.read_bytes()), random.Random(seed)
    end = draw.choice((400, 1200, 40_000, len(data)))  # most of what can go wrong is in front
    for _ in range(changes):
        data[draw.randrange(4, end)] = draw.choice((0, 1, 127, 255, draw.randrange(256)))
    (tmp_path / "damaged.gguf").write_bytes(data)
    for read in (load_gguf, read_gguf_codec):
        try:
            read(tmp_path / "damaged.gguf")
        except UserError as error:
            assert error.message


def rewrite(
    source: Path,
    target: Path,
    metadata: dict[str, Any] | None = None,
    tensors: dict[str, np.ndarray | None] | None = None,
    matrices: gguf.GGMLQuantizationType | None = None,
) -> None:
    """`source` by the gguf package, with other values and tensors (None leaves one out), or matrices of a type."""
    reader = gguf.GGUFReader(source)
    facts = {name: (field.contents(), field.types) for name, field in reader.fields.items() if "GGUF." not in name}
    for name, value in (metadata or {}).items():
        kind = gguf.GGUFValueType.get_type(value[0] if isinstance(value, list) else value) if value else None
        inner = [gguf.GGUFValueType.ARRAY, kind] if isinstance(value, list) else [kind]
        facts[name] = value, facts[name][1] if name in facts and type(value) is type(facts[name][0]) else inner
    writer = gguf.GGUFWriter(target, facts.pop("general.architecture")[0])
    for name, (value, types) in facts.items():
        if value is not None:
            writer.add_key_value(name, value, types[0], types[-1] if len(types) > 1 else None)
    changed = tensors or {}
    for tensor in reader.tensors:
        if tensor.name in changed:
            continue
        kind = matrices if matrices is not None and tensor.data.ndim == 2 else tensor.tensor_type
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        writer.add_tensor(tensor.name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    for name, values in changed.items():
        if values is not None:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_the_pattern_of_ours_is_the_one_that_llama_bpe_stands_for() -> None:
    """Two patterns have that name in GGUF; ours spells the contractions out."""
    found = next(pattern for pattern in KNOWN.values() if pattern.gguf == "llama-bpe")
    assert found is PATTERNS["llama-3"]
