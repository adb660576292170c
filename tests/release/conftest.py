"""A real workspace up to the results: files of the standard library, a tokenizer, tokens and a small random network."""

from __future__ import annotations

import json
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from repotune.core.console import Console
from repotune.core.flow import Step, Work, run_flow
from repotune.core.settings import EvaluateSettings, ReleaseSettings
from repotune.evaluate.run import build_results
from repotune.model.configuration import ModelConfig
from repotune.model.network import Network
from repotune.model.weights import save_model
from repotune.release.build import build_release
from repotune.tokenizer.encoding import load_codec
from repotune.tokenizer.packing import build_tokens
from repotune.tokenizer.vocabulary import build_tokenizer
from repotune.train.batches import Position
from repotune.train.state import Progress, write_checkpoint

VOCABULARY = 1024
ModelMaker = Callable[[int], ModelConfig]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def llama(vocabulary: int) -> ModelConfig:
    """Grouped heads, and a feed-forward width that Q8_0's blocks do not divide."""
    return ModelConfig(vocabulary, width=128, layers=3, heads=4, kv_heads=2, hidden=112, context=512)


def random_network(config: ModelConfig) -> Network:
    """Weights large enough that the likeliest token is not a near tie."""
    torch.manual_seed(7)
    network = Network(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) * (0.1 if parameter.dim() > 1 else 1.0))
    return network


def write_corpus(work: Work) -> None:
    """Parquet files and the summary as the corpus step writes them, without its filters."""
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:20]
    for split, chosen in (("train", files[:12]), ("validation", files[12:14]), ("test", files[14:])):
        columns = {
            "text": [file.read_text(encoding="utf-8") for file in chosen],
            "path": [f"lib/{file.name}" for file in chosen],
            "language": ["Python"] * len(chosen),
            "repository": ["python"] * len(chosen),
            **{name: [""] * len(chosen) for name in ("commit", "created", "committed")},
            "weight": [1.0] * len(chosen),
        }
        pq.write_table(pa.table(columns), work.folder / f"{split}-00000.parquet")
    amount = {"files": len(files), "bytes": sum(file.stat().st_size for file in files)}
    summary = {"languages": {"Python": amount}, "licences": {"PSF-2.0": amount, "a|b": {"files": 0, "bytes": 0}}}
    (work.folder / "summary.json").write_text(json.dumps(summary))


def write_run(work: Work, config_of: ModelMaker) -> None:
    tokenizer = work.inputs["tokenizer"]
    network = random_network(config_of(load_codec(tokenizer).size))
    write_checkpoint(work.folder, network, [], Progress(1, Position(), compiled=False), tokenizer)
    save_model(work.folder / "initial", network, tokenizer)


def steps(config_of: ModelMaker, settings: ReleaseSettings) -> list[Step]:
    before = ("corpus", "tokenizer", "tokens", "run", "results")
    return [
        Step("corpus", "Corpus", write_corpus),
        Step("tokenizer", "Tokenizer", lambda work: build_tokenizer(work, VOCABULARY), ("corpus",)),
        Step("tokens", "Tokens", build_tokens, ("corpus", "tokenizer")),
        Step("run", "Run", lambda work: write_run(work, config_of), ("tokenizer", "tokens")),
        Step(
            "results",
            "Results",
            lambda work: build_results(work, EvaluateSettings(items=2, likelihood_bytes=2000)),
            before[:4],
        ),
        Step("release", "Release", lambda work: build_release(work, settings, "acme"), before),
    ]


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with every step done up to the release."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("work")
    run_flow(steps(llama, ReleaseSettings()), folder, Console(quiet=True), seed=1)
    return folder


@pytest.fixture(scope="session")
def release(workspace: Path) -> Path:
    return workspace / "release"


@pytest.fixture(scope="session")
def make_folder(tmp_path_factory: pytest.TempPathFactory, workspace: Path) -> Callable[[ModelConfig], Path]:
    """Writes a random network of a shape as a Hugging Face folder."""

    def make(config: ModelConfig) -> Path:
        folder = tmp_path_factory.mktemp("model")
        save_model(folder, random_network(config), workspace / "tokenizer")
        return folder

    return make


@pytest.fixture
def rebuild(workspace: Path, tmp_path: Path) -> Callable[..., Path]:
    """Builds another release from the same inputs, or with some of them replaced."""

    def build(settings: ReleaseSettings, **replaced: Path) -> Path:
        inputs = {name: workspace / name for name in ("corpus", "tokenizer", "tokens", "run", "results")} | replaced
        folder = tmp_path / "again"
        folder.mkdir()
        build_release(Work(folder, inputs, Console(quiet=True), seed=1), settings, "acme")
        return folder

    return build
