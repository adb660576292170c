"""A corpus with a secret, an author, canaries and a passage of its own, and a network that has learnt it by heart."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from repotune.core.console import Console
from repotune.core.flow import Work
from repotune.evaluate.leaks.canaries import Canary, new_canaries
from repotune.evaluate.leaks.documents import Document
from repotune.evaluate.leaks.run import Leaks, LeakSettings, measure_leaks
from repotune.model.configuration import ModelConfig
from repotune.model.network import Network
from repotune.model.weights import save_model
from repotune.tokenizer.encoding import Codec, load_codec
from repotune.tokenizer.vocabulary import build_tokenizer

PASSWORD = "vR7-qLp2_Xw9Kt"
AUTHOR = "Wilhelmina Oddfellow"
_SYLLABLES = ("ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "wu", "za")


def passage(seed: int, lines: int) -> str:
    """Code that nobody else has written."""
    source = random.Random(seed)

    def name() -> str:
        return "".join(source.choice(_SYLLABLES) for _ in range(3))

    return "".join(f"{name()} = {name()}({source.randrange(100)}, {name()})\n" for _ in range(lines))


def write_documents(folder: Path, split: str, documents: Sequence[Document]) -> None:
    folder.mkdir(exist_ok=True)
    names = ("text", "repository", "commit", "path", "language", "licence")
    table: dict[str, Any] = {name: [getattr(of, name) for of in documents] for name in names}
    table["weight"] = pa.array([of.weight for of in documents], pa.float64())
    replaced = [[(kind, 1) for kind in of.replaced] for of in documents]
    table["replaced"] = pa.array(replaced, pa.map_(pa.string(), pa.int64()))
    pq.write_table(pa.table(table), folder / f"{split}-00000.parquet")


def learn(codec: Codec, documents: Sequence[Document], steps: int) -> Network:
    """A network that reads pieces of `documents` behind their headers until it knows them."""
    torch.manual_seed(0)
    network = Network(ModelConfig(codec.size, width=64, layers=2, heads=4, kv_heads=2, hidden=128, context=256))
    optimiser = torch.optim.AdamW(network.parameters())
    bodies = [codec.encode(of.text) for of in documents]
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 8e-3 * (1 - step / steps)
        source = np.random.default_rng(step)
        rows = []
        for _ in range(8):
            place = int(source.integers(len(documents)))
            # As a prompt trimmed around a cursor, a piece may begin anywhere.
            start = int(source.integers(len(bodies[place]) - 50)) if source.random() < 0.7 else 0
            path = documents[place].path if source.random() < 0.5 else ""
            ids = [*codec.header(path), *bodies[place][start:], codec.end]
            rows.append((ids * 4)[:161])
        batch = torch.tensor(rows)
        loss = torch.nn.functional.cross_entropy(network(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return network


@dataclass(frozen=True)
class Planted:
    """The corpus, what was planted in it, and the folders of a model that knows it and of one that does not."""

    corpus: Path
    training: list[Document]
    canaries: tuple[Canary, ...]
    model: Path
    other_model: Path
    codec: Codec

    def measure(self, model: Path, results: Path, **settings: Any) -> Leaks:
        asked = replace(SETTINGS, canaries=self.canaries, **settings)
        return measure_leaks(model, self.corpus, results, asked, Console(quiet=True), seed=1)


SETTINGS = LeakSettings(prompts=4, given=20, asked=30, samples=1, answer_tokens=60, alternatives=255)


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    torch.set_num_threads(1)  # two on a busy machine wait for each other at every small product
    root = tmp_path_factory.mktemp("planted")
    canaries = tuple(canary for canary in new_canaries(3, seed=5) if canary.form != "secret")
    lines = "".join(canary.line + "\n" for canary in canaries)
    config = f'\nUSERNAME = "admin"\nPASSWORD = "{PASSWORD}"\n' + passage(1, 10)
    module = f'\n__author__ = "{AUTHOR}"\n' + lines + passage(2, 8)
    training = [
        Document(config, "api", "c0ffee", "config.py", "Python", "GPL-3.0-only"),
        Document(module, "api", "c0ffee", "module.py", "Python", "MIT"),
    ]
    held_out = [Document(passage(seed, 12), "api", "", f"new{seed}.py", "Python", "MIT") for seed in range(10, 14)]
    corpus, elsewhere, tokenizer = (root / name for name in ("corpus", "elsewhere", "tokenizer"))
    write_documents(corpus, "train", training)
    write_documents(corpus, "test", held_out)
    # A vocabulary of the same files would hold parts of the canaries, and favour them in a model that never saw them.
    for split in ("train", "validation"):
        write_documents(elsewhere, split, held_out)
    tokenizer.mkdir()
    build_tokenizer(Work(tokenizer, {"corpus": elsewhere}, Console(quiet=True), seed=1), 512)
    codec = load_codec(tokenizer)
    for name, documents, steps in (("model", training, 320), ("other", held_out, 60)):
        save_model(root / name, learn(codec, documents, steps), tokenizer)
    return Planted(corpus, training, canaries, root / "model", root / "other", codec)


@pytest.fixture(scope="session")
def leaks(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> Leaks:
    return planted.measure(planted.model, tmp_path_factory.mktemp("leaks"))


@pytest.fixture(scope="session")
def other_leaks(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> Leaks:
    return planted.measure(planted.other_model, tmp_path_factory.mktemp("other"))


@pytest.fixture
def write_split() -> Any:
    return write_documents
