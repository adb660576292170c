"""Two trained models of different vocabularies, and a copy of one, on the corpus of the evaluation's workspace."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from repotune.core.console import Console
from repotune.core.flow import Work
from repotune.core.settings import EvaluateSettings
from repotune.evaluate.comparison.run import Comparison, compare
from repotune.model.configuration import ModelConfig
from repotune.model.network import Network
from repotune.model.weights import save_model
from repotune.tokenizer.encoding import load_codec
from repotune.tokenizer.vocabulary import build_tokenizer
from repotune.train.state import best_checkpoint

SETTINGS = EvaluateSettings(items=6, likelihood_bytes=12_000)


@dataclass(frozen=True)
class Models:
    """`trained` learnt from the corpus and `untrained` did not, in another vocabulary and another context."""

    corpus: Path
    trained: Path
    untrained: Path
    twin: Path


@pytest.fixture(scope="session")
def models(workspace, tmp_path_factory: pytest.TempPathFactory) -> Models:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("models")
    (root / "tokenizer").mkdir()
    build_tokenizer(Work(root / "tokenizer", workspace.folders, Console(quiet=True), seed=1), 600)
    torch.manual_seed(1)
    size = load_codec(root / "tokenizer").size
    network = Network(ModelConfig(size, width=32, layers=1, heads=2, kv_heads=1, hidden=64, context=128))
    save_model(root / "untrained", network, root / "tokenizer")
    trained = best_checkpoint(workspace.folders["run"])
    shutil.copytree(trained, root / "twin")
    return Models(workspace.folders["corpus"], trained, root / "untrained", root / "twin")


@pytest.fixture(scope="session")
def compared(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    results = tmp_path_factory.mktemp("compared")
    return compare([models.untrained, models.trained], models.corpus, results, SETTINGS, Console(quiet=True))
