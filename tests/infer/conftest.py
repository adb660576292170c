"""A real tokenizer over a little of the standard library, and folders with random networks."""

from __future__ import annotations

import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from repotune.model.configuration import ModelConfig
from repotune.model.network import Network
from repotune.model.weights import save_model
from repotune.tokenizer.encoding import Codec, load_codec
from repotune.tokenizer.layout import SPECIAL_TOKENS, vocabulary_of, write_vocabulary
from repotune.tokenizer.vocabulary import train_bpe

VOCABULARY = 1024
LLAMA = {"vocabulary": VOCABULARY, "width": 128, "layers": 3, "heads": 4, "kv_heads": 2, "hidden": 96, "context": 512}

MakeModel = Callable[[dict[str, Any]], Path]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Two threads on a busy machine wait for each other longer than they work."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def sources() -> list[str]:
    """Ordinary code."""
    library = Path(sysconfig.get_paths()["stdlib"])
    return [path.read_text(encoding="utf-8") for path in sorted(library.glob("*.py"))[:12]]


@pytest.fixture(scope="session")
def codec_folder(tmp_path_factory: pytest.TempPathFactory, sources: list[str]) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_vocabulary(folder, vocabulary_of(train_bpe(iter(sources), VOCABULARY - len(SPECIAL_TOKENS))))
    return folder


@pytest.fixture(scope="session")
def codec(codec_folder: Path) -> Codec:
    return load_codec(codec_folder)


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory, codec_folder: Path) -> MakeModel:
    """Writes a network of a shape, its weights random and large enough that no part of it is lost in rounding."""
    made: dict[str, Path] = {}

    def make(shape: dict[str, Any]) -> Path:
        key = repr(sorted(shape.items()))
        if key not in made:
            made[key] = tmp_path_factory.mktemp("model")
            torch.manual_seed(5)
            network = Network(ModelConfig(**shape))
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.copy_(torch.randn_like(parameter) * (0.1 if parameter.dim() > 1 else 1.0))
            save_model(made[key], network, codec_folder)
        return made[key]

    return make


@pytest.fixture(scope="session")
def llama_folder(make_model: MakeModel) -> Path:
    return make_model(LLAMA)
